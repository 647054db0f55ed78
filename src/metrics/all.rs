//! Every metric at once.

use std::sync::Arc;

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::measure::center::Center;
use crate::measure::class_means::ClassMeans;
use crate::measure::class_vectors::ClassVectors;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::projected::{Found, Nc1Part};
use crate::measure::seen::Nobody;
use crate::measure::statistics::ClassStatistics;
use crate::measure::variances::{ClassVariances, VariancePart};
use crate::measure::version::Version;
use crate::metrics::cdnv::Cdnv;
use crate::metrics::decisions::Decision;
use crate::metrics::duality::{duality_cosines, self_duality};
use crate::metrics::nc1::{Nc1, Nc1Options};
use crate::metrics::nc1_sums::Nc1Sums;
use crate::metrics::nc4::{DecisionCounts, DecisionPart, Nc4};
use crate::metrics::shape::Shape;
use crate::metrics::spread::Spread;
use crate::numerics::scalar::Scalar;
use crate::problem::head::LinearHead;

/// Every metric that needs no target. What is not defined, such as the angle of a vector that is zero, is `None` and
/// fails nothing else.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AllMetrics {
    /// [`nc1`](crate::metrics::nc1).
    pub nc1: ByCenter<Nc1>,
    /// [`nc1_trace_quotient`](crate::metrics::nc1_trace_quotient).
    pub nc1_trace_quotient: ByCenter<f64>,
    /// [`cdnv`](crate::metrics::cdnv).
    pub cdnv: Option<Cdnv>,
    /// NC1 of the features after the first m layers, m = 1, …, M.
    pub nc1_after_layers: Vec<Option<Nc1>>,
    /// Of the class means h_k.
    pub class_means: Shape,
    /// Of the class means less the mean of all samples, h_k − h_G.
    #[cfg_attr(feature = "serde", serde(rename = "centred_class_means"))]
    pub centered_class_means: Shape,
    /// Of the rows of W_M.
    pub classifier: Shape,
    /// [`self_duality`](crate::metrics::self_duality) of W_M and the centered class means after the other layers.
    pub self_duality: Option<f64>,
    /// Their [`duality_cosines`](crate::metrics::duality_cosines).
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::metrics::keys::spread"))]
    pub duality_cosines: Option<Spread>,
    /// [`nc4`](crate::metrics::nc4).
    pub nc4: Nc4,
}

/// A metric for either center of the class means; `None` where it is not defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ByCenter<T> {
    /// The mean over all samples.
    pub center_samples: Option<T>,
    /// The mean of the class means.
    pub center_classes: Option<T>,
}

/// Every metric of samples in memory that needs no target, with the conventions of [`Nc1Options::default`] but for
/// the center. `statistics` are usually those of `data`.
///
/// # Errors
/// [`Error::Shape`] if `statistics` or `head` are for another dimension or number of classes,
/// [`Error::EmptyClass`] if a class has no mean, [`Error::Empty`] without samples,
/// [`Error::Unrepresentable`] if an output is too large for a floating-point number.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{ClassStatistics, Features, LinearHead};
/// use neural_collapse::metrics::all_metrics;
///
/// let rows = dmatrix![1.1, 0.0; 0.9, 0.0; -1.0, 0.3; -1.0, -0.3];
/// let data = Features::from_sample_rows(&rows)?.with_labels(&[0, 0, 1, 1], 2)?;
/// let head = LinearHead::new(vec![dmatrix![1.0, 0.0; -1.0, 0.0]], None)?;
/// let metrics = all_metrics(&data, &ClassStatistics::new(&data)?, &head)?;
/// assert!((metrics.nc1.center_samples.unwrap().value - 0.02 / 4.0 / 2.0).abs() < 1e-15);
/// assert!((metrics.cdnv.unwrap().mean.unwrap() - 0.1 / 8.0).abs() < 1e-15);
/// assert!(metrics.self_duality.unwrap() < 1e-15);
/// assert_eq!(metrics.nc4.overall.agreement, 1.0);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn all_metrics<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    statistics: &ClassStatistics,
    head: &LinearHead,
) -> Result<AllMetrics> {
    let mut sums = MetricSums::new(statistics, head)?.of_other_samples();
    sums.accumulate(data)?;
    sums.metrics()
}

/// [`all_metrics`] of samples that come in batches: the second pass, after that of [`ClassStatistics`].
///
/// Batches can come in any order, and pieces that were computed elsewhere with equal first passes and heads can be
/// [merged](Self::merge).
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{ClassStatistics, Features, LinearHead};
/// use neural_collapse::metrics::{MetricSums, all_metrics};
///
/// let shards = [[1.1, 0.0, -1.0, 0.3], [0.9, 0.0, -1.0, -0.3]];
/// let batch = |numbers| Features::from_row_major(numbers, 2, 2)?.with_labels(&[0, 1], 2);
/// let head = LinearHead::new(vec![dmatrix![1.0, 0.0; -1.0, 0.0]], None)?;
/// let mut statistics = ClassStatistics::empty(2, 2)?;
/// for shard in &shards {
///     statistics.merge(&ClassStatistics::new(&batch(shard)?)?)?;
/// }
/// // Each shard could be on a machine of its own.
/// let mut sums = MetricSums::<f64>::new(&statistics, &head)?;
/// for shard in &shards {
///     let mut worker = MetricSums::new(&statistics, &head)?;
///     worker.accumulate(&batch(shard)?)?;
///     sums.merge_part(&worker.part())?;
/// }
/// assert!((sums.metrics()?.nc1.center_samples.unwrap().value - 0.02 / 4.0 / 2.0).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MetricSums<T: Scalar> {
    means: Arc<ClassMeans>,
    head: LinearHead,
    by_samples: Nc1Sums<T>,
    by_classes: Nc1Sums<T>,
    /// `None` where the product of the layers is out of range.
    after_layers: Vec<Option<Nc1Sums<T>>>,
    variances: ClassVariances<T>,
    decisions: DecisionCounts,
}

/// What [`MetricSums`] have added up: some numbers for each class and layer. With the feature `serde` it can be
/// serialized.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct MetricPart {
    version: Version<1>,
    by_samples: Nc1Part,
    by_classes: Nc1Part,
    after_layers: Vec<Option<Nc1Part>>,
    variances: VariancePart,
    decisions: DecisionPart,
}

impl<T: Scalar> MetricSums<T> {
    /// No samples yet; the class means are those of `statistics`, which has to be complete.
    ///
    /// # Errors
    /// [`Error::Shape`] if `head` is for another dimension or number of classes than `statistics`,
    /// [`Error::EmptyClass`] if a class has no mean, [`Error::Unrepresentable`] if the bias is too large
    /// beside the weights.
    pub fn new(statistics: &ClassStatistics, head: &LinearHead) -> Result<Self> {
        let decisions = DecisionCounts::new(statistics, head)?;
        let nc1 = Nc1Sums::new(statistics, &Nc1Options::default())?;
        Self::beside(statistics, head, &nc1, decisions)
    }

    /// The same beside sums without samples for NC1 and NC4 of this head: what these find need not be found again.
    pub(crate) fn beside(
        statistics: &ClassStatistics,
        head: &LinearHead,
        nc1: &Nc1Sums<T>,
        decisions: DecisionCounts,
    ) -> Result<Self> {
        let options = Nc1Options::default();
        let around = |center| nc1.beside(statistics, &options.with_center(center));
        let after = |layers| defined(Nc1Sums::after_layers(statistics, head, layers, &options));
        Ok(Self {
            decisions,
            means: statistics.shared_means()?,
            head: head.clone(),
            by_samples: around(Center::Samples)?,
            by_classes: around(Center::Classes)?,
            after_layers: (1..=head.depth()).map(after).collect::<Result<_>>()?,
            variances: ClassVariances::new(statistics)?,
        })
    }

    /// The same for samples that are not those of the statistics, such as a test set around the class means of a
    /// training set. Without this, results before all samples are there are refused.
    #[must_use]
    pub fn of_other_samples(self) -> Self {
        let after_layers = self.after_layers.into_iter();
        Self {
            by_samples: self.by_samples.of_other_samples(),
            by_classes: self.by_classes.of_other_samples(),
            after_layers: after_layers.map(|sums| sums.map(Nc1Sums::of_other_samples)).collect(),
            variances: self.variances.of_other_samples(),
            decisions: self.decisions.of_other_samples(),
            ..self
        }
    }

    /// Adds the samples of a batch; one without samples changes nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] if the batch has another dimension or number of classes,
    /// [`Error::OutOfRange`] naming a number that is not finite or too large; the sums are then as
    /// they were.
    pub fn accumulate(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<()> {
        self.means.check_shape(batch)?;
        batch.features().check()?;
        batch.chunks().try_for_each(|chunk| {
            let decisions = self.decisions.decide(&chunk, None, None)?;
            let (nc1, _) = self.by_samples.find(&chunk, &[], None::<&Nobody>)?;
            self.add(&chunk, &nc1, &decisions)
        })
    }

    /// Adds a chunk of checked samples of the right shape, of which it is known what is decided and what is found for one NC1.
    pub(crate) fn add(
        &mut self,
        chunk: &LabeledFeatures<'_, T>,
        nc1: &Found<T>,
        decisions: &[Decision],
    ) -> Result<()> {
        self.decisions.count(chunk.labels(), decisions);
        self.variances.accumulate(chunk)?;
        self.nc1_mut().try_for_each(|sums| sums.add(chunk, nc1))
    }

    fn nc1_mut(&mut self) -> impl Iterator<Item = &mut Nc1Sums<T>> {
        let centers = [&mut self.by_samples, &mut self.by_classes];
        centers.into_iter().chain(self.after_layers.iter_mut().flatten())
    }

    /// Adds the samples of others. The order and the grouping of merges change the result by
    /// no more than rounding errors.
    ///
    /// # Errors
    /// As [`merge_part`](Self::merge_part).
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.merge_part(&other.part())
    }

    /// What has been added up so far: what the workers of a cluster send back.
    #[must_use]
    pub fn part(&self) -> MetricPart {
        let after_layers = self.after_layers.iter();
        MetricPart {
            version: Version,
            by_samples: self.by_samples.part(),
            by_classes: self.by_classes.part(),
            after_layers: after_layers.map(|sums| sums.as_ref().map(Nc1Sums::part)).collect(),
            variances: self.variances.part(),
            decisions: self.decisions.part(),
        }
    }

    /// Adds what others have added up.
    ///
    /// # Errors
    /// [`Error::DifferentFirstPass`] if that is for other class means or another head; the sums are then as they
    /// were.
    pub fn merge_part(&mut self, other: &MetricPart) -> Result<()> {
        if !self.fits(other) {
            return Err(Error::DifferentFirstPass);
        }
        self.by_samples.merge_part(&other.by_samples)?;
        self.by_classes.merge_part(&other.by_classes)?;
        self.variances.merge_part(&other.variances)?;
        self.decisions.merge_part(&other.decisions)?;
        let layers = self.after_layers.iter_mut().zip(&other.after_layers);
        let mut pairs = layers.filter_map(|(own, other)| own.as_mut().zip(other.as_ref()));
        pairs.try_for_each(|(own, other)| own.merge_part(other))
    }

    /// Whether a part is of the same first pass and head.
    pub(crate) fn fits(&self, other: &MetricPart) -> bool {
        let layers = self.after_layers.iter().zip(&other.after_layers);
        let mut layers = layers.map(|(own, other)| match (own, other) {
            (Some(own), Some(other)) => own.fits(other),
            (None, None) => true,
            _ => false,
        });
        self.by_samples.fits(&other.by_samples)
            && self.by_classes.fits(&other.by_classes)
            && self.variances.fits(&other.variances)
            && self.decisions.fits(&other.decisions)
            && self.after_layers.len() == other.after_layers.len()
            && layers.all(|fits| fits)
    }

    /// Every metric.
    ///
    /// # Errors
    /// [`Error::Empty`] without samples, [`Error::SecondPass`] if a class has not had as many samples as in the
    /// statistics.
    pub fn metrics(&self) -> Result<AllMetrics> {
        let nc1 = |sums: &Nc1Sums<T>| defined(sums.nc1());
        let after_layer = |sums: &Option<Nc1Sums<T>>| sums.as_ref().map_or(Ok(None), nc1);
        let quotient = |center| defined(self.variances.trace_quotient(center));
        let centered = self.means.centered(Center::Samples);
        let (self_duality, duality_cosines) = duality(&self.head, &centered)?;
        Ok(AllMetrics {
            nc4: self.decisions.nc4()?,
            nc1: ByCenter {
                center_samples: nc1(&self.by_samples)?,
                center_classes: nc1(&self.by_classes)?,
            },
            nc1_trace_quotient: ByCenter {
                center_samples: quotient(Center::Samples)?,
                center_classes: quotient(Center::Classes)?,
            },
            cdnv: defined(self.variances.cdnv())?,
            nc1_after_layers: self.after_layers.iter().map(after_layer).collect::<Result<_>>()?,
            class_means: Shape::of(&ClassVectors::columns(self.means.matrix())?),
            centered_class_means: Shape::of(&ClassVectors::columns(&centered)?),
            classifier: Shape::of(&ClassVectors::rows(&*self.head.borrowed_product(1)?)?),
            self_duality,
            duality_cosines,
        })
    }
}

impl<T: Scalar> PartialEq for MetricSums<T> {
    fn eq(&self, other: &Self) -> bool {
        self.part() == other.part()
    }
}

/// `None` for a metric that is not defined: where all means or a vector are zero, for too few classes, without
/// samples of a class, or out of the range of numbers.
pub(crate) fn defined<M>(metric: Result<M>) -> Result<Option<M>> {
    match metric {
        Ok(metric) => Ok(Some(metric)),
        Err(
            Error::ZeroNorm { .. }
            | Error::ZeroVector { .. }
            | Error::EmptyClass { .. }
            | Error::OutOfRange { .. }
            | Error::Unrepresentable { .. }
            | Error::NoConvergence { .. },
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Distance and cosines of W_M and the centered class means in front of it.
pub(crate) fn duality(
    head: &LinearHead,
    centered: &DMatrix<f64>,
) -> Result<(Option<f64>, Option<Spread>)> {
    let before_last = match head.depth() {
        1 => Ok(centered.clone()),
        depth => head.leading_product(depth - 1).map(|layers| layers * centered),
    };
    let Some(before_last) = defined(before_last)? else { return Ok((None, None)) };
    let Some(means) = defined(ClassVectors::columns(&before_last))? else {
        return Ok((None, None));
    };
    let last = head.borrowed_product(1)?;
    let classifier = ClassVectors::rows(&last)?;
    let cosines = defined(duality_cosines(&means, &classifier))?;
    let cosines = cosines.and_then(|cosines| Spread::of(&cosines));
    Ok((defined(self_duality(&means, &classifier))?, cosines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::features::Features;
    use nalgebra::dmatrix;

    fn sums(rows: &DMatrix<f64>, head: &LinearHead) -> MetricSums<f64> {
        let data = Features::from_sample_rows(rows).unwrap().with_labels(&[0, 0, 1, 1], 2).unwrap();
        let mut sums = MetricSums::new(&ClassStatistics::new(&data).unwrap(), head).unwrap();
        sums.accumulate(&data).unwrap();
        sums
    }

    /// One foreign sum among those that fit is enough, and nothing has changed.
    #[test]
    fn a_part_fits_if_all_of_its_sums_do() {
        let head = |last: f64| {
            let layers = vec![dmatrix![1.0, 0.5], dmatrix![1.0; last]];
            LinearHead::new(layers, None).unwrap()
        };
        let own = sums(&dmatrix![1.1, 0.0; 0.9, 0.0; -1.0, 0.3; -1.0, -0.3], &head(-1.0));
        let other = sums(&dmatrix![1.2, 0.0; 0.9, 0.0; -1.0, 0.3; -1.0, -0.3], &head(-2.0)).part();
        assert!(own.fits(&own.part()));
        let changes: [fn(&mut MetricPart, MetricPart); 8] = [
            |part, other| part.by_samples = other.by_samples,
            |part, other| part.by_classes = other.by_classes,
            |part, other| part.variances = other.variances,
            |part, other| part.decisions = other.decisions,
            |part, other| part.after_layers = other.after_layers,
            |part, _| part.after_layers.truncate(1),
            |part, _| part.after_layers[0] = None,
            |part, _| part.after_layers[1] = None,
        ];
        for change in changes {
            let (mut merged, mut part) = (own.clone(), own.part());
            change(&mut part, other.clone());
            assert_eq!(merged.merge_part(&part), Err(Error::DifferentFirstPass));
            assert_eq!(merged, own);
        }
        let mut twice = own.clone();
        twice.merge(&own).unwrap();
        assert_ne!(twice, own);
    }

    /// Rows 1 and −2 of the last layer beside class means that the first maps to ±1: a cosine of 3/√10.
    #[test]
    fn the_last_layer_is_dual_to_the_means_in_front_of_it() {
        let layers = vec![dmatrix![1.0, 0.5], dmatrix![1.0; -2.0]];
        let head = LinearHead::new(layers, None).unwrap();
        let found = sums(&dmatrix![1.1, 0.0; 0.9, 0.0; -1.0, 0.3; -1.0, -0.3], &head);
        let metrics = found.metrics().unwrap();
        let expected = (2.0 - 6.0 / 10.0_f64.sqrt()).sqrt();
        assert!((metrics.self_duality.unwrap() - expected).abs() < 1e-14, "{metrics:?}");
        assert_eq!(metrics.duality_cosines.unwrap().mean, 1.0);
    }

    /// Layers whose product overflows on the way have no NC1 there, and those after them have.
    #[test]
    fn layers_out_of_range_have_no_nc1() {
        let layers = vec![dmatrix![1e200, 0.0], dmatrix![1e200], dmatrix![1e-300; -1e-300]];
        let head = LinearHead::new(layers, None).unwrap();
        let own = sums(&dmatrix![1.1, 0.0; 0.9, 0.0; -1.0, 0.3; -1.0, -0.3], &head);
        let found = own.metrics().unwrap().nc1_after_layers;
        assert_eq!([0, 1, 2].map(|layer| found[layer].is_some()), [true, false, true]);
        assert!(own.fits(&own.part()));
    }
}
