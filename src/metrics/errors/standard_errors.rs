//! The standard errors of all metrics that depend on samples.

use std::collections::BTreeMap;

use nalgebra::DMatrix;

use crate::error::Result;
use crate::geometry::class_matrix::ClassMatrix;
use crate::measure::center::{Center, subtract_center};
use crate::measure::class_vectors::ClassVectors;
use crate::measure::variances::VariancesAndMeans;
use crate::metrics::all::{defined, duality};
use crate::metrics::cdnv::cdnv_of;
use crate::metrics::errors::estimate::Estimate;
use crate::metrics::errors::nc1::Nc1Change;
use crate::metrics::errors::parts::SampleParts;
use crate::metrics::nc3::nc3;
use crate::metrics::nc4::{DecisionShares, Nc4};
use crate::metrics::shape::Shape;
use crate::metrics::trace_quotient::trace_quotient;
use crate::problem::head::LinearHead;

/// A number that is measured on samples.
///
/// Those of class means and of centered class means are the entries of [`Shape`](crate::metrics::Shape).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[allow(missing_docs, reason = "the names are those of the metrics' functions and fields")]
#[non_exhaustive]
pub enum Metric {
    Nc1,
    Nc1TraceQuotient,
    Cdnv,
    Nc2ClassMeans,
    Nc3,
    Nc3Centered,
    Nc4,
    Accuracy,
    NearestMeanAccuracy,
    SelfDuality,
    DualityCosineMean,
    DualityCosineDeviation,
    ClassMeansNormVariation,
    ClassMeansCosineMean,
    ClassMeansCosineDeviation,
    ClassMeansEtfDeviation,
    ClassMeansLogEnergy,
    CenteredClassMeansNormVariation,
    CenteredClassMeansCosineMean,
    CenteredClassMeansCosineDeviation,
    CenteredClassMeansEtfDeviation,
    CenteredClassMeansLogEnergy,
}

impl core::fmt::Display for Metric {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(match self {
            Self::Nc1 => "NC1",
            Self::Nc1TraceQuotient => "tr Σ_W / tr Σ_B",
            Self::Cdnv => "CDNV, mean",
            Self::Nc2ClassMeans => "NC2, class means",
            Self::Nc3 => "NC3",
            Self::Nc3Centered => "NC3, centered",
            Self::Nc4 => "NC4",
            Self::Accuracy => "accuracy",
            Self::NearestMeanAccuracy => "nearest-mean accuracy",
            Self::SelfDuality => "self-duality",
            Self::DualityCosineMean => "duality cosines, mean",
            Self::DualityCosineDeviation => "duality cosines, deviation",
            Self::ClassMeansNormVariation => "class means: norms, CV",
            Self::ClassMeansCosineMean => "class means: cosines, mean",
            Self::ClassMeansCosineDeviation => "class means: cosines, deviation",
            Self::ClassMeansEtfDeviation => "class means: ETF, mean",
            Self::ClassMeansLogEnergy => "class means: energy, mean",
            Self::CenteredClassMeansNormVariation => "centered: norms, CV",
            Self::CenteredClassMeansCosineMean => "centered: cosines, mean",
            Self::CenteredClassMeansCosineDeviation => "centered: cosines, deviation",
            Self::CenteredClassMeansEtfDeviation => "centered: ETF, mean",
            Self::CenteredClassMeansLogEnergy => "centered: energy, mean",
        })
    }
}

/// Metrics with their standard errors, from the samples that the metrics were measured on.
///
/// The samples are independent within their classes, and the class sizes are given. [`SampleParts`] move the class means
/// and variances by as much as the parts of the samples differ; a metric is computed once for each of these moves
/// (NC1 to first order), and the squares of its changes add up to its variance. Shares of samples have the variance
/// Σ_k n_k p_k (1 − p_k)/N².
///
/// The network counts as given. On its own training set it has been fitted to the very samples, and is nearer to
/// collapse than their errors would let a given network be.
///
/// Errors are right for many samples a class (68 % of measurements are within one standard error of their mean from 30
/// samples on) and for metrics that are not at the edge of their range: a distance that is as small as its own noise
/// ([`Collapsed`](crate::metrics::levels::Collapsed)) has no normal distribution.
///
/// See [`Estimate::minus_independent`] for an example, and for differences between two networks.
///
/// Source: the infinitesimal jackknife of Jaeckel (1972) with parts instead of single samples; Efron & Tibshirani, *An
/// Introduction to the Bootstrap* (1993), chapters 11 and 21.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct StandardErrors {
    #[cfg_attr(feature = "serde", serde(flatten))]
    estimates: BTreeMap<Metric, Option<Estimate>>,
}

impl StandardErrors {
    /// Of NC1, and of NC3 of class means as they are and centered to the `target`, if there is one. `None` if all
    /// samples of a class are in one part, as if there is only one.
    ///
    /// # Errors
    /// [`Error::SecondPass`](crate::Error::SecondPass) if a class has not had as many samples as in the statistics,
    /// [`Error::Shape`](crate::Error::Shape) if head, target and statistics do not fit together.
    pub fn new(
        parts: &SampleParts,
        head: &LinearHead,
        target: Option<&ClassMatrix>,
    ) -> Result<Option<Self>> {
        Self::build(parts, head, target, false)
    }

    /// Those of [`new`](Self::new) and of all other metrics of class means and variances: CDNV, quotient of traces,
    /// duality, norms, angles and energy.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_all_metrics(
        parts: &SampleParts,
        head: &LinearHead,
        target: Option<&ClassMatrix>,
    ) -> Result<Option<Self>> {
        Self::build(parts, head, target, true)
    }

    fn build(
        parts: &SampleParts,
        head: &LinearHead,
        target: Option<&ClassMatrix>,
        all: bool,
    ) -> Result<Option<Self>> {
        let (dimension, classes) = parts.means().shape();
        head.check_shape("statistics", dimension, classes)?;
        let measure = |moved: &Moved| moved.values(parts, head, target, all);
        let estimates = estimates(parts, measure)?;
        estimates.map(|estimates| Self { estimates }.with_nc1(parts)).transpose()
    }

    /// Those of features without a head, as [`LayerMetrics`](crate::metrics::layers::LayerMetrics) has them: NC1, quotient of
    /// traces, CDNV, and NC2 of the centered class means to a simplex ETF. `None` as for [`new`](Self::new).
    ///
    /// # Errors
    /// [`Error::SecondPass`](crate::Error::SecondPass) if a class has not had as many samples as in the statistics.
    pub fn of_features(parts: &SampleParts) -> Result<Option<Self>> {
        let simplex = ClassMatrix::simplex_etf(parts.means().classes())?;
        let measure = |moved: &Moved| {
            let distance = defined(simplex.distance_to_gram(&moved.centered.transpose()))?;
            let mut values = BTreeMap::from([(Metric::Nc2ClassMeans, distance)]);
            moved.insert_variances(parts, &mut values)?;
            Ok(values)
        };
        let estimates = estimates(parts, measure)?;
        estimates.map(|estimates| Self { estimates }.with_nc1(parts)).transpose()
    }

    /// NC1 changes to first order, which needs no second pass over the samples.
    fn with_nc1(mut self, parts: &SampleParts) -> Result<Self> {
        let (Some(moves), Some(corrections)) = (parts.moves()?, parts.corrections()?) else {
            return Ok(self);
        };
        let nc1 = Nc1Change::new(parts).map(|nc1| {
            let change =
                |(part, moves): (usize, &DMatrix<f64>)| nc1.with(part, moves, &corrections);
            Estimate::of_moves(nc1.value, moves.iter().enumerate().map(change).collect())
        });
        self.estimates.insert(Metric::Nc1, nc1.filter(Estimate::is_finite));
        Ok(self)
    }

    /// With NC2 of the class means: the distance of H̄ᵀH̄ to a `target`, with the samples that [`new`](Self::new) was given.
    ///
    /// # Errors
    /// [`Error::SecondPass`](crate::Error::SecondPass) if a class has not had as many samples as in the statistics,
    /// [`Error::Shape`](crate::Error::Shape) if the target is for another number of classes.
    pub fn with_nc2_class_means(
        mut self,
        parts: &SampleParts,
        target: &ClassMatrix,
    ) -> Result<Self> {
        let measure = |moved: &Moved| {
            let distance = defined(target.distance_to_gram(&moved.means.transpose()))?;
            Ok(BTreeMap::from([(Metric::Nc2ClassMeans, distance)]))
        };
        self.estimates.extend(estimates(parts, measure)?.unwrap_or_default());
        Ok(self)
    }

    /// With NC4 and the accuracies.
    #[must_use]
    pub fn with_decisions(mut self, decisions: &Nc4, counts: &[u64]) -> Self {
        for metric in [Metric::Nc4, Metric::Accuracy, Metric::NearestMeanAccuracy] {
            self = self.with_share(metric, decisions, counts);
        }
        self
    }

    /// With one of these shares.
    pub(crate) fn with_share(mut self, metric: Metric, decisions: &Nc4, counts: &[u64]) -> Self {
        let share = |shares: &DecisionShares| match metric {
            Metric::Nc4 => shares.agreement,
            Metric::Accuracy => shares.head_accuracy,
            _ => shares.nearest_mean_accuracy,
        };
        let samples: f64 = counts.iter().map(|&count| count as f64).sum();
        let classes = decisions.classes.iter().flatten().zip(counts);
        let variance: f64 = classes
            .map(|(shares, &count)| count as f64 * share(shares) * (1.0 - share(shares)))
            .sum();
        let (value, error) = (share(&decisions.overall), variance.sqrt() / samples);
        self.estimates.insert(metric, Some(Estimate::new(value, error)));
        self
    }

    /// A metric with its standard error; `None` if it was not asked for or is not defined.
    #[must_use]
    pub fn get(&self, metric: Metric) -> Option<&Estimate> {
        self.estimates.get(&metric)?.as_ref()
    }

    /// All metrics that were asked for; `None` where one is not defined.
    pub fn iter(&self) -> impl Iterator<Item = (Metric, Option<&Estimate>)> {
        self.estimates.iter().map(|(&metric, estimate)| (metric, estimate.as_ref()))
    }
}

/// The metrics of means and variances, with the changes that the parts of the samples make; `None` if all samples of a class
/// are in one part.
fn estimates(
    parts: &SampleParts,
    measure: impl Fn(&Moved) -> Result<BTreeMap<Metric, Option<f64>>>,
) -> Result<Option<BTreeMap<Metric, Option<Estimate>>>> {
    let Some(moves) = parts.moves()? else { return Ok(None) };
    let Some(corrections) = parts.corrections()? else { return Ok(None) };
    let still = measure(&Moved::nowhere(parts))?;
    let mut changes: BTreeMap<Metric, Option<Vec<f64>>> =
        still.keys().map(|&metric| (metric, Some(Vec::new()))).collect();
    for (part, moves) in moves.iter().enumerate() {
        let moved = measure(&Moved::by(parts, part, moves, &corrections))?;
        for (metric, changes) in &mut changes {
            let change = moved[metric].zip(still[metric]).map(|(moved, still)| moved - still);
            *changes = changes.take().zip(change).map(|(mut list, change)| {
                list.push(change);
                list
            });
        }
    }
    let estimate = |(metric, changes): (Metric, Option<Vec<f64>>)| {
        let known = still[&metric].zip(changes);
        let found = known.map(|(value, changes)| Estimate::of_moves(value, changes));
        // Squares of numbers at the ends of the range.
        (metric, found.filter(Estimate::is_finite))
    };
    Ok(Some(changes.into_iter().map(estimate).collect()))
}

/// Class means and variances that are moved a little.
struct Moved {
    means: DMatrix<f64>,
    centered: DMatrix<f64>,
    /// In squares of the scale.
    variances: Vec<f64>,
}

impl Moved {
    fn nowhere(parts: &SampleParts) -> Self {
        let variances = class_variances(parts);
        let centered = parts.means().centered(Center::Samples);
        Self { means: parts.means().matrix().clone(), centered, variances }
    }

    fn by(parts: &SampleParts, part: usize, moves: &DMatrix<f64>, corrections: &[f64]) -> Self {
        let mut moved = Self::nowhere(parts);
        let change = moves * parts.scale();
        moved.means += &change;
        // Only what moves is centered, so that means that are large beside their differences cost no digits.
        let mut change = change;
        subtract_center(&mut change, parts.means().counts(), Center::Samples);
        moved.centered += change;
        let sums = &parts.sums()[part];
        for (class, variance) in moved.variances.iter_mut().enumerate() {
            let count = parts.means().counts()[class] as f64;
            let expected = sums.counts[class] as f64 * *variance;
            *variance += corrections[class] * (sums.squares[class] - expected) / count;
        }
        moved
    }

    /// All metrics of the means and variances.
    fn values(
        &self,
        parts: &SampleParts,
        head: &LinearHead,
        target: Option<&ClassMatrix>,
        all: bool,
    ) -> Result<BTreeMap<Metric, Option<f64>>> {
        let mut values = BTreeMap::new();
        if let Some(target) = target {
            values.insert(Metric::Nc3, defined(nc3(&self.means, head, target))?);
            values.insert(Metric::Nc3Centered, defined(nc3(&self.centered, head, target))?);
        }
        if all {
            self.insert_all(parts, head, &mut values)?;
        }
        for value in values.values_mut() {
            *value = value.filter(|value| value.is_finite());
        }
        Ok(values)
    }

    fn insert_all(
        &self,
        parts: &SampleParts,
        head: &LinearHead,
        values: &mut BTreeMap<Metric, Option<f64>>,
    ) -> Result<()> {
        self.insert_variances(parts, values)?;
        let (self_duality, cosines) = duality(head, &self.centered)?;
        values.extend([
            (Metric::SelfDuality, self_duality),
            (Metric::DualityCosineMean, cosines.map(|cosines| cosines.mean)),
            (Metric::DualityCosineDeviation, cosines.map(|cosines| cosines.deviation)),
        ]);
        let shape = Shape::of(&ClassVectors::columns(&self.means)?);
        let centered = Shape::of(&ClassVectors::columns(&self.centered)?);
        values.extend(MEANS.into_iter().zip(entries(&shape)));
        values.extend(CENTERED_MEANS.into_iter().zip(entries(&centered)));
        Ok(())
    }

    /// CDNV and quotient of traces.
    fn insert_variances(
        &self,
        parts: &SampleParts,
        values: &mut BTreeMap<Metric, Option<f64>>,
    ) -> Result<()> {
        let cdnv = defined(cdnv_of(self.with_means(parts)))?;
        let quotient = defined(trace_quotient(self.with_means(parts), Center::Samples))?;
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        values.insert(Metric::Cdnv, finite(cdnv.and_then(|cdnv| cdnv.mean)));
        values.insert(Metric::Nc1TraceQuotient, finite(quotient));
        Ok(())
    }

    fn with_means(&self, parts: &SampleParts) -> VariancesAndMeans {
        let counts = parts.means().counts();
        let samples: f64 = counts.iter().map(|&count| count as f64).sum();
        let sums = self.variances.iter().zip(counts).map(|(square, &n)| square * n as f64);
        VariancesAndMeans {
            within: sums.sum::<f64>() / samples,
            variances: self.variances.iter().copied().map(Some).collect(),
            unit: parts.scale(),
            means: self.means.clone(),
            counts: counts.to_vec(),
        }
    }
}

/// σ_k² in squares of the scale.
fn class_variances(parts: &SampleParts) -> Vec<f64> {
    let sum = |class: usize| parts.sums().iter().map(|part| part.squares[class]).sum::<f64>();
    let counts = parts.means().counts().iter().enumerate();
    counts.map(|(class, &count)| sum(class) / count as f64).collect()
}

const MEANS: [Metric; 5] = [
    Metric::ClassMeansNormVariation,
    Metric::ClassMeansCosineMean,
    Metric::ClassMeansCosineDeviation,
    Metric::ClassMeansEtfDeviation,
    Metric::ClassMeansLogEnergy,
];

const CENTERED_MEANS: [Metric; 5] = [
    Metric::CenteredClassMeansNormVariation,
    Metric::CenteredClassMeansCosineMean,
    Metric::CenteredClassMeansCosineDeviation,
    Metric::CenteredClassMeansEtfDeviation,
    Metric::CenteredClassMeansLogEnergy,
];

/// The entries of a shape in the order of the lists of metrics.
fn entries(shape: &Shape) -> [Option<f64>; 5] {
    [
        shape.norm_spread.coefficient_of_variation(),
        shape.cosine_spread.map(|cosines| cosines.mean),
        shape.cosine_spread.map(|cosines| cosines.deviation),
        shape.equiangularity.map(|found| found.etf_deviation),
        shape.log_energy.map(|energy| energy.mean),
    ]
}
