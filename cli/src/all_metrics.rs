//! Every metric of the library, for `audit --metrics all`.
//!
//! What cannot be computed, such as the angle of a vector that is zero, is left out and fails nothing else.

use nalgebra::DMatrix;
use neural_collapse::measure::{Center, ClassVectors, ProjectedScatter, Scalar};
use neural_collapse::metrics::{
    Cdnv, DecisionShares, Equiangularity, Nc1, Nc1Options, Nc4, Spread, duality_cosines,
    equiangularity, log_energy, norm_spread, self_duality,
};
use neural_collapse::{Audit, ClassStatistics, Error, LabeledFeatures, LinearHead};
use serde::Serialize;

/// Every metric, as it is printed too. What cannot be computed is null.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AllMetrics {
    /// NC1 and its rank.
    pub(crate) nc1: ByCenter<Nc1Value>,
    /// tr Σ_W / tr Σ_B.
    pub(crate) nc1_trace_quotient: ByCenter<f64>,
    /// Class-distance normalised variance.
    pub(crate) cdnv: Option<CdnvValue>,
    /// NC1 of the features after the first m layers, m = 1, …, M.
    pub(crate) nc1_after_layers: Vec<Option<Nc1Value>>,
    /// Of the class means h_k.
    pub(crate) class_means: Shape,
    /// Of the class means less the mean of all samples, h_k − h_G.
    pub(crate) centred_class_means: Shape,
    /// Of the rows of W_M.
    pub(crate) classifier: Shape,
    /// Distance of W_M and the centred class means after the other layers, each divided by its norm.
    pub(crate) self_duality: Option<f64>,
    /// Their cosines, class by class.
    pub(crate) duality_cosines: Option<SpreadValue>,
    /// Decisions of the head and of the nearest class mean.
    pub(crate) nc4: Nc4Value,
}

/// A metric for either centre of the class means.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct ByCenter<T> {
    /// The mean over all samples.
    pub(crate) center_samples: Option<T>,
    /// The mean of the class means.
    pub(crate) center_classes: Option<T>,
}

/// [`Nc1`].
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Nc1Value {
    pub(crate) value: f64,
    pub(crate) rank: usize,
}

/// [`Cdnv`].
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct CdnvValue {
    pub(crate) mean: f64,
    pub(crate) largest: f64,
    pub(crate) coincident_pairs: u64,
}

/// The shape that a vector for each class makes.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Shape {
    /// Of the lengths.
    pub(crate) norm_spread: Option<NormSpread>,
    /// Of the cosines of all pairs.
    pub(crate) cosine_spread: Option<SpreadValue>,
    /// How far the cosines are from those of a simplex ETF.
    pub(crate) equiangularity: Option<EtfDeviation>,
    /// Hyperspherical uniformity.
    pub(crate) log_energy: Option<SpreadValue>,
}

/// [`Spread`] of lengths.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct NormSpread {
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
    pub(crate) coefficient_of_variation: f64,
}

/// [`Spread`].
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct SpreadValue {
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
}

/// [`Equiangularity`], less the spread of the cosines.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct EtfDeviation {
    pub(crate) etf_deviation: f64,
    pub(crate) largest_etf_deviation: f64,
}

/// [`Nc4`].
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Nc4Value {
    #[serde(flatten)]
    pub(crate) overall: Shares,
    pub(crate) classes: Vec<Option<Shares>>,
}

/// [`DecisionShares`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Shares {
    pub(crate) agreement: f64,
    pub(crate) head_accuracy: f64,
    pub(crate) nearest_mean_accuracy: f64,
}

/// What the second pass adds up for the metrics that an audit does not have; `None` where there are none.
pub(crate) struct MetricSums<T: Scalar> {
    /// Centred at the mean of the class means; the audit has the other centre.
    scatter: Option<ProjectedScatter<T>>,
    after_layers: Vec<Option<ProjectedScatter<T>>>,
}

impl<T: Scalar> MetricSums<T> {
    /// No samples yet; `statistics` are those of all samples.
    pub(crate) fn new(statistics: &ClassStatistics, head: &LinearHead) -> Self {
        let by_classes = Nc1Options { center: Center::Classes, ..Nc1Options::default() };
        let after = |layers| after_layers(statistics, head, layers).ok();
        Self {
            scatter: ProjectedScatter::new(statistics, &by_classes).ok(),
            after_layers: (1..=head.depth()).map(after).collect(),
        }
    }

    /// Adds the samples of a batch.
    pub(crate) fn accumulate(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<(), Error> {
        let scatters = self.scatter.iter_mut().chain(self.after_layers.iter_mut().flatten());
        scatters.into_iter().try_for_each(|scatter| scatter.accumulate(batch))
    }
}

/// The scatter after the first layers of a head.
///
/// Outputs of many classes are longer than the features: K class means of K numbers each need K² numbers and K³
/// operations. NC1 is the same for QR as for R if the columns of Q are orthonormal, and R is no longer than the
/// features.
fn after_layers<T: Scalar>(
    statistics: &ClassStatistics,
    head: &LinearHead,
    layers: usize,
) -> Result<ProjectedScatter<T>, Error> {
    let options = Nc1Options::default();
    let product = head.leading_product(layers)?;
    if product.nrows() <= product.ncols() {
        return ProjectedScatter::after_layers(statistics, head, layers, &options);
    }
    // NC1 does not depend on the size of the layers either, whose squares could overflow.
    let size = product.amax();
    let short = (product / size).qr().unpack_r();
    let rest = DMatrix::zeros(head.classes(), short.nrows());
    let equivalent = LinearHead::new(vec![short, rest], None)?;
    ProjectedScatter::after_layers(statistics, &equivalent, 1, &options)
}

impl AllMetrics {
    /// Every metric of the samples in `sums`, with class means in `statistics`, and of `head`.
    pub(crate) fn new<T: Scalar>(
        sums: &MetricSums<T>,
        statistics: &ClassStatistics,
        head: &LinearHead,
        audit: &Audit,
    ) -> Self {
        let scatter = sums.scatter.as_ref();
        let nc1 = |scatter: &ProjectedScatter<T>| scatter.nc1().ok().map(Nc1Value::from);
        let quotient = |center| scatter.and_then(|scatter| scatter.trace_quotient(center).ok());
        let centred = statistics.centred_means(Center::Samples).ok();
        let (self_duality, duality_cosines) = duality(head, centred.as_ref());
        Self {
            nc1: ByCenter {
                center_samples: audit.nc1.map(Nc1Value::from),
                center_classes: scatter.and_then(nc1),
            },
            nc1_trace_quotient: ByCenter {
                center_samples: quotient(Center::Samples),
                center_classes: quotient(Center::Classes),
            },
            cdnv: scatter.and_then(|scatter| scatter.cdnv().ok()).map(CdnvValue::from),
            nc1_after_layers: sums.after_layers.iter().map(|s| s.as_ref().and_then(nc1)).collect(),
            class_means: Shape::of_columns(statistics.class_means().ok().as_ref()),
            centred_class_means: Shape::of_columns(centred.as_ref()),
            classifier: Shape::of_rows(head.weights().last()),
            self_duality,
            duality_cosines,
            nc4: Nc4Value::from(&audit.nc4),
        }
    }
}

impl Shape {
    fn of_columns(matrix: Option<&DMatrix<f64>>) -> Self {
        matrix
            .and_then(|matrix| ClassVectors::columns(matrix).ok())
            .map_or_else(Self::default, Self::of)
    }

    fn of_rows(matrix: Option<&DMatrix<f64>>) -> Self {
        matrix
            .and_then(|matrix| ClassVectors::rows(matrix).ok())
            .map_or_else(Self::default, Self::of)
    }

    fn of(vectors: ClassVectors<'_>) -> Self {
        let angles = equiangularity(&vectors).ok();
        Self {
            norm_spread: Some(norm_spread(&vectors).into()),
            cosine_spread: angles.map(|angles| angles.cosines.into()),
            equiangularity: angles.map(EtfDeviation::from),
            log_energy: log_energy(&vectors).ok().map(SpreadValue::from),
        }
    }
}

/// Distance and cosines of W_M and the centred class means in front of it.
fn duality(
    head: &LinearHead,
    centred: Option<&DMatrix<f64>>,
) -> (Option<f64>, Option<SpreadValue>) {
    let means = centred.and_then(|centred| match head.depth() {
        1 => Some(centred.clone()),
        depth => head.leading_product(depth - 1).ok().map(|layers| layers * centred),
    });
    let classifier = head.weights().last().and_then(|weights| ClassVectors::rows(weights).ok());
    let means = means.as_ref().and_then(|means| ClassVectors::columns(means).ok());
    let Some((classifier, means)) = classifier.zip(means) else {
        return (None, None);
    };
    let cosines = duality_cosines(&classifier, &means).ok();
    (self_duality(&classifier, &means).ok(), cosines.map(|cosines| Spread::of(&cosines).into()))
}

impl From<Nc1> for Nc1Value {
    fn from(Nc1 { value, rank }: Nc1) -> Self {
        Self { value, rank }
    }
}

impl From<Cdnv> for CdnvValue {
    fn from(cdnv: Cdnv) -> Self {
        let Cdnv { mean, largest, coincident_pairs, .. } = cdnv;
        // Of no pairs there is no largest either.
        let largest = if mean.is_nan() { f64::NAN } else { largest };
        Self { mean, largest, coincident_pairs }
    }
}

impl From<Spread> for NormSpread {
    fn from(spread: Spread) -> Self {
        Self {
            mean: spread.mean,
            deviation: spread.deviation,
            coefficient_of_variation: spread.coefficient_of_variation(),
        }
    }
}

impl From<Spread> for SpreadValue {
    fn from(spread: Spread) -> Self {
        Self { mean: spread.mean, deviation: spread.deviation }
    }
}

impl From<Equiangularity> for EtfDeviation {
    fn from(found: Equiangularity) -> Self {
        Self {
            etf_deviation: found.etf_deviation,
            largest_etf_deviation: found.largest_etf_deviation,
        }
    }
}

impl From<DecisionShares> for Shares {
    fn from(shares: DecisionShares) -> Self {
        Self {
            agreement: shares.agreement,
            head_accuracy: shares.head_accuracy,
            nearest_mean_accuracy: shares.nearest_mean_accuracy,
        }
    }
}

impl From<&Nc4> for Nc4Value {
    fn from(nc4: &Nc4) -> Self {
        let classes = nc4.classes.iter().map(|shares| shares.map(Shares::from)).collect();
        Self { overall: nc4.overall.into(), classes }
    }
}
