//! NC4: the classifier decides as the nearest class mean does.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::measure::class_means::Visited;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::statistics::ClassStatistics;
use crate::measure::version::Version;
use crate::metrics::decisions::{Decision, Near, Rules, Screened};
use crate::metrics::nc1_sums::Nc1Sums;
use crate::numerics::scalar::Scalar;
use crate::problem::head::LinearHead;

/// Shares of samples, each between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct DecisionShares {
    /// Samples for which the head and the nearest class mean decide for the same class.
    pub agreement: f64,
    /// Samples for which the head decides for the right class: the accuracy of the network.
    pub head_accuracy: f64,
    /// Samples whose nearest class mean is that of the right class.
    pub nearest_mean_accuracy: f64,
}

/// How often a linear head and the nearest class mean decide alike, and rightly.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Nc4 {
    /// Over all samples; its `agreement` is the metric NC4.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub overall: DecisionShares,
    /// Over the samples of each class, `None` for one without samples.
    pub classes: Vec<Option<DecisionShares>>,
}

/// NC4: the share of samples h for which
///
/// ```math
/// argmaxₖ (W_M⋯W₁ h + b)ₖ = argminₖ ‖h − h_k‖,
/// ```
///
/// and the accuracy of both rules, over all samples and by class.
///
/// The bias is part of the decision. On a tie both rules decide for the class with the lowest number,
/// as NumPy and PyTorch do; so two classes with equal means and equal weights count as agreeing.
/// Decisions are those of scores in `f64`. Most of them are certain from scores in `f32`, of which it is known how far off they
/// may be, and only for the other samples those in `f64` are computed. Distances are compared without forming the large squares
/// that a common mean of all features would give.
///
/// # Errors
/// [`Error::Shape`] if `statistics` or `head` are for another dimension or number of classes,
/// [`Error::EmptyClass`] if a class has no mean, [`Error::Empty`] without samples,
/// [`Error::Unrepresentable`] if an output is too large for a floating-point number.
///
/// ```
/// use nalgebra::{dmatrix, dvector};
/// use neural_collapse::{ClassStatistics, Features, LinearHead};
/// use neural_collapse::metrics::nc4;
///
/// let numbers = [2.0, 4.0, -3.0, -1.0];
/// let data = Features::from_row_major(&numbers, 4, 1)?.with_labels(&[0, 0, 1, 1], 2)?;
/// let statistics = ClassStatistics::new(&data)?; // means 3 and −2, half-way: 0.5
/// let head = LinearHead::new(vec![dmatrix![1.0; -1.0]], Some(dvector![-3.0, 3.0]))?; // at 3
/// let nc4 = nc4(&data, &statistics, &head)?;
/// assert_eq!(nc4.overall.agreement, 0.75); // not for the sample 2
/// assert_eq!(nc4.overall.nearest_mean_accuracy, 1.0);
/// assert_eq!(nc4.classes[0].map(|class| class.head_accuracy), Some(0.5));
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Papyan, Han & Donoho, *Prevalence of neural collapse* (PNAS 2020), (NC4), who count the disagreements.
pub fn nc4<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    statistics: &ClassStatistics,
    head: &LinearHead,
) -> Result<Nc4> {
    let mut counts = DecisionCounts::new(statistics, head)?.of_other_samples();
    counts.accumulate(data)?;
    counts.nc4()
}

/// The decisions that [`nc4`] compares, counted batch by batch.
///
/// Batches can come in any order, and pieces that were counted elsewhere with equal first passes and heads can be
/// [merged](Self::merge).
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{ClassStatistics, Features, LinearHead};
/// use neural_collapse::metrics::DecisionCounts;
///
/// let numbers = [2.0, 4.0, -3.0, -1.0];
/// let batch = Features::from_row_major(&numbers, 4, 1)?.with_labels(&[0, 0, 1, 1], 2)?;
/// let head = LinearHead::new(vec![dmatrix![1.0; -1.0]], None)?;
/// let mut counts = DecisionCounts::new(&ClassStatistics::new(&batch)?, &head)?;
/// for (number, label) in numbers.chunks(1).zip([0, 0, 1, 1]) {
///     counts.accumulate(&Features::from_row_major(number, 1, 1)?.with_labels(&[label], 2)?)?;
/// }
/// assert_eq!(counts.nc4()?.overall.agreement, 1.0);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DecisionCounts {
    rules: Arc<Rules>,
    visited: Visited,
    classes: Vec<Tally>,
}

/// What [`DecisionCounts`] have counted: four numbers for each class. With the feature `serde` it can be serialized.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct DecisionPart {
    version: Version<1>,
    /// Of the class means and the head that were compared.
    fingerprint: u64,
    classes: Vec<Tally>,
}

impl DecisionCounts {
    /// No samples yet; the class means are those of `statistics`, which has to be complete.
    ///
    /// # Errors
    /// [`Error::Shape`] if `head` is for another dimension or number of classes than `statistics`,
    /// [`Error::EmptyClass`] if a class has no mean, [`Error::Unrepresentable`] if the bias is too large
    /// beside the weights.
    pub fn new(statistics: &ClassStatistics, head: &LinearHead) -> Result<Self> {
        Ok(Self {
            rules: Arc::new(Rules::new(statistics, head)?),
            visited: Visited::default(),
            classes: vec![Tally::default(); head.classes()],
        })
    }

    /// For features without a head: both rules are that of the nearest class mean.
    pub(crate) fn without_head(statistics: &ClassStatistics) -> Result<Self> {
        Ok(Self {
            rules: Arc::new(Rules::without_head(statistics)?),
            classes: vec![Tally::default(); statistics.classes()],
            visited: Visited::default(),
        })
    }

    /// The same for samples that are not those of the statistics, such as a test set around the class means of a
    /// training set. Without this, results before all samples are there are refused.
    #[must_use]
    pub fn of_other_samples(mut self) -> Self {
        self.visited = Visited::OtherSamples;
        self
    }

    /// Adds the samples of a batch; one without samples changes nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] if the batch has another dimension or number of classes,
    /// [`Error::OutOfRange`] naming a number that is not finite or too large; the counts are then as
    /// they were.
    pub fn accumulate<T: Scalar>(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<()> {
        let decisions = self.decide(batch, None, None)?;
        self.count(batch.labels(), &decisions);
        Ok(())
    }

    /// The decisions for the samples of a batch; those of the head may be known already for some, and what is certain of the
    /// samples may have been [seen](Self::near).
    pub(crate) fn decide<T: Scalar>(
        &self,
        batch: &LabeledFeatures<'_, T>,
        of_head: Option<&[Option<usize>]>,
        seen: Option<Vec<Screened>>,
    ) -> Result<Vec<Decision>> {
        self.rules.decide(batch, of_head, seen)
    }

    /// What tells decisions from what `nc1` finds of deviations; `None` unless its directions are few and known, and numbers
    /// in range.
    pub(crate) fn near<T: Scalar>(&self, nc1: &Nc1Sums<T>) -> Result<Option<Near<T>>> {
        match nc1.few_directions() {
            Some((directions, scale)) => self.rules.near(directions, scale),
            None => Ok(None),
        }
    }

    /// Counts the decisions for samples of these classes.
    pub(crate) fn count(&mut self, labels: &[usize], decisions: &[Decision]) {
        for (&label, &decision) in labels.iter().zip(decisions) {
            self.classes[label].count(label, decision);
        }
    }

    /// Adds the samples of others.
    ///
    /// # Errors
    /// As [`merge_part`](Self::merge_part).
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.merge_part(&other.part())
    }

    /// What has been counted so far: what the workers of a cluster send back.
    #[must_use]
    pub fn part(&self) -> DecisionPart {
        let classes = self.classes.clone();
        DecisionPart { version: Version, fingerprint: self.rules.fingerprint(), classes }
    }

    /// Adds what others have counted.
    ///
    /// # Errors
    /// [`Error::DifferentFirstPass`] if that is for other class means or another head.
    pub fn merge_part(&mut self, other: &DecisionPart) -> Result<()> {
        if !self.fits(other) {
            return Err(Error::DifferentFirstPass);
        }
        for (class, &other) in self.classes.iter_mut().zip(&other.classes) {
            *class = class.plus(other);
        }
        Ok(())
    }

    /// Whether a part is of the same first pass and head.
    pub(crate) fn fits(&self, other: &DecisionPart) -> bool {
        other.classes.len() == self.classes.len() && other.fingerprint == self.rules.fingerprint()
    }

    /// Number of samples of each class in the second pass.
    #[must_use]
    pub fn counts(&self) -> Vec<u64> {
        self.classes.iter().map(|class| class.samples).collect()
    }

    /// The shares of all samples: see [`nc4`].
    ///
    /// # Errors
    /// [`Error::Empty`] without samples, [`Error::SecondPass`] if a class has not had as many samples as in the
    /// statistics.
    pub fn nc4(&self) -> Result<Nc4> {
        self.visited.check(self.rules.means().counts(), &self.counts())?;
        let total = self.classes.iter().copied().fold(Tally::default(), Tally::plus);
        let Some(overall) = total.shares() else {
            return Err(Error::Empty { argument: "features" });
        };
        Ok(Nc4 { overall, classes: self.classes.iter().map(Tally::shares).collect() })
    }
}

/// [`Tally`] as it is read.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTally {
    samples: u64,
    agreements: u64,
    head_right: u64,
    mean_right: u64,
}

#[cfg(feature = "serde")]
impl TryFrom<StoredTally> for Tally {
    type Error = &'static str;

    fn try_from(stored: StoredTally) -> core::result::Result<Self, Self::Error> {
        let StoredTally { samples, agreements, head_right, mean_right } = stored;
        match agreements.max(head_right).max(mean_right) <= samples {
            true => Ok(Self { samples, agreements, head_right, mean_right }),
            false => Err("a class has no more decisions than samples"),
        }
    }
}

/// What was decided for the samples of a class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, try_from = "StoredTally"))]
struct Tally {
    samples: u64,
    agreements: u64,
    head_right: u64,
    mean_right: u64,
}

impl Tally {
    fn count(&mut self, label: usize, Decision { head, nearest_mean, .. }: Decision) {
        self.samples += 1;
        self.agreements += u64::from(head == nearest_mean);
        self.head_right += u64::from(head == label);
        self.mean_right += u64::from(nearest_mean == label);
    }

    fn plus(self, other: Self) -> Self {
        Self {
            samples: self.samples.saturating_add(other.samples),
            agreements: self.agreements.saturating_add(other.agreements),
            head_right: self.head_right.saturating_add(other.head_right),
            mean_right: self.mean_right.saturating_add(other.mean_right),
        }
    }

    fn shares(&self) -> Option<DecisionShares> {
        let share = |number: u64| number as f64 / self.samples as f64;
        (self.samples > 0).then(|| DecisionShares {
            agreement: share(self.agreements),
            head_accuracy: share(self.head_right),
            nearest_mean_accuracy: share(self.mean_right),
        })
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "shares of a few samples are compared exactly")]
mod tests {
    use super::*;
    use crate::measure::energy::FeatureEnergy;
    use crate::measure::features::Features;
    use nalgebra::{DMatrix, dmatrix, dvector};

    fn measured(rows: &DMatrix<f64>, labels: &[usize], head: &LinearHead) -> Result<Nc4> {
        let data = Features::from_sample_rows(rows)?.with_labels(labels, head.classes())?;
        nc4(&data, &ClassStatistics::new(&data)?, head)
    }

    /// Those of the pass for lengths, in one piece or not.
    #[test]
    fn lengths_are_those_of_the_features() {
        let rows = DMatrix::from_fn(300, 37, |i, j| ((i * 7 + j * 13) as f32).sin());
        let columns = rows.transpose();
        let labels: Vec<usize> = (0..300).map(|sample| sample % 4).collect();
        let weights = DMatrix::from_fn(4, 37, |i, j| ((i * 3 + j) as f64).cos());
        let head = LinearHead::new(vec![weights], None).unwrap();
        for features in [Features::from_sample_rows(&rows), Features::from_sample_columns(&columns)]
        {
            let data = features.unwrap().with_labels(&labels, 4).unwrap();
            let statistics = ClassStatistics::new(&data).unwrap();
            let counts = DecisionCounts::new(&statistics, &head).unwrap();
            let mut energy = FeatureEnergy::empty(37, 4).unwrap();
            let decisions = counts.decide(&data, None, None).unwrap();
            energy.add(&labels, decisions.iter().filter_map(|decision| decision.square));
            let expected = FeatureEnergy::new(&data).unwrap().class_energies().unwrap();
            for (own, expected) in energy.class_energies().unwrap().into_iter().zip(expected) {
                assert!((own / expected - 1.0).abs() < 1e-15);
            }
        }
    }

    #[test]
    fn scales_do_not_matter() {
        let rows = dmatrix![2.0; 4.0; -3.0; -1.0];
        for (features, weights) in [(1.0, 1.0), (1e139, 1e160), (1e-290, 1e10), (1e-200, 1e300)] {
            let bias = dvector![-3.0, 3.0] * features * weights;
            let head = LinearHead::new(vec![dmatrix![1.0; -1.0] * weights], Some(bias)).unwrap();
            let nc4 = measured(&(&rows * features), &[0, 0, 1, 1], &head).unwrap();
            assert_eq!(nc4.overall.agreement, 0.75);
            assert_eq!(nc4.overall.nearest_mean_accuracy, 1.0);
        }
    }

    #[test]
    fn ties_go_to_the_lowest_class() {
        // Classes 1 and 2 have collapsed: features and weights are zero, so the outputs are equal.
        let rows = dmatrix![5.0; 5.0; 0.0; 0.0; 0.0];
        let head = LinearHead::new(vec![dmatrix![1.0; 0.0; 0.0]], None).unwrap();
        let nc4 = measured(&rows, &[0, 0, 1, 2, 2], &head).unwrap();
        // The outputs of zero features are 0, 0, 0: class 0. The nearest mean is that of class 1.
        assert_eq!(nc4.overall.agreement, 2.0 / 5.0);
        let class = |index: usize| nc4.classes[index].unwrap();
        assert_eq!(class(1).nearest_mean_accuracy, 1.0);
        assert_eq!(class(2).nearest_mean_accuracy, 0.0);
    }

    #[test]
    fn large_common_mean() {
        let rows = dmatrix![1e8 + 0.5; 1e8; 1e8 + 3.0; 1e8 + 4.0];
        let head =
            LinearHead::new(vec![dmatrix![-1.0; 1.0]], Some(dvector![1e8 + 2.0, -1e8 - 2.0]));
        let nc4 = measured(&rows, &[0, 0, 1, 1], &head.unwrap()).unwrap();
        let perfect =
            DecisionShares { agreement: 1.0, head_accuracy: 1.0, nearest_mean_accuracy: 1.0 };
        assert_eq!(nc4.overall, perfect);
    }

    #[test]
    fn a_class_without_samples_has_no_shares() {
        let (means, head) = (dmatrix![1.0; -1.0], LinearHead::new(vec![dmatrix![1.0; -1.0]], None));
        let train = Features::from_sample_rows(&means).unwrap().with_labels(&[0, 1], 2).unwrap();
        let statistics = ClassStatistics::new(&train).unwrap();
        let test = Features::from_row_major(&[0.5_f32], 1, 1).unwrap();
        let head = head.unwrap();
        let nc4 = nc4(&test.with_labels(&[0], 2).unwrap(), &statistics, &head).unwrap();
        assert!(nc4.classes[0].is_some() && nc4.classes[1].is_none());
    }

    #[test]
    fn shapes_must_fit() {
        let head =
            |rows, columns| LinearHead::new(vec![DMatrix::identity(rows, columns)], None).unwrap();
        let rows = dmatrix![1.0, 0.0; 0.0, 1.0];
        assert!(measured(&rows, &[0, 1], &head(2, 2)).is_ok());
        assert!(matches!(measured(&rows, &[0, 1], &head(2, 3)), Err(Error::Shape { .. })));
        assert!(matches!(measured(&rows, &[0, 1], &head(3, 2)), Err(Error::EmptyClass { .. })));
        let huge_bias = LinearHead::new(vec![dmatrix![1e-200; 1e-200]], Some(dvector![1e200, 0.0]));
        let result = measured(&dmatrix![1.0; 2.0], &[0, 1], &huge_bias.unwrap());
        let Err(Error::Unrepresentable { log10, .. }) = result else { panic!("{result:?}") };
        assert!((log10 - 400.0).abs() < 0.5, "{log10}");
    }

    #[test]
    fn decisions_of_another_head_or_other_means_are_refused() {
        let counts = |rows: &DMatrix<f64>, weight: f64| {
            let data = Features::from_sample_rows(rows).unwrap().with_labels(&[0, 1], 2).unwrap();
            let head = LinearHead::new(vec![dmatrix![weight; -1.0]], None).unwrap();
            let statistics = ClassStatistics::new(&data).unwrap();
            let mut counts = DecisionCounts::new(&statistics, &head).unwrap();
            counts.accumulate(&data).unwrap();
            counts
        };
        let (rows, other) = (dmatrix![1.0; -1.0], dmatrix![1.0; -2.0]);
        let mut whole = counts(&rows, 1.0);
        whole.merge(&counts(&rows, 1.0)).unwrap();
        assert_eq!(whole.counts(), [2, 2]);
        for foreign in [counts(&rows, 2.0), counts(&other, 1.0)] {
            assert_eq!(whole.merge(&foreign), Err(Error::DifferentFirstPass));
        }
        assert_eq!(whole.counts(), [2, 2]);
    }
}
