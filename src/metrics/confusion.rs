//! Which classes are taken for which: the decisions behind NC4, pair by pair.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::measure::class_means::Visited;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::statistics::ClassStatistics;
use crate::measure::version::Version;
use crate::metrics::decisions::{Decision, Rules};
use crate::numerics::scalar::Scalar;
use crate::problem::head::LinearHead;

/// How many samples of one class have one pair of decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct Confused {
    /// The class that the samples are of.
    pub label: usize,
    /// The class whose output is the largest.
    pub head: usize,
    /// The class whose mean is the nearest.
    pub nearest_mean: usize,
    /// Number of these samples.
    pub samples: u64,
}

/// The decisions that [`nc4`](crate::metrics::nc4) compares, counted for every class and pair of decisions, batch by
/// batch. Ties go to the lowest class.
///
/// Only what occurs is kept: under neural collapse one entry per class. Batches can come in any order, and pieces that were
/// counted elsewhere with equal first passes and heads can be [merged](Self::merge). It is the second pass over the samples of
/// the statistics, and there are [`entries`](Self::entries) when all of them have been counted.
///
/// ```
/// use nalgebra::{dmatrix, dvector};
/// use neural_collapse::{ClassStatistics, Features, LinearHead};
/// use neural_collapse::metrics::Confusion;
///
/// let numbers = [2.0, 4.0, -3.0, -1.0];
/// let data = Features::from_row_major(&numbers, 4, 1)?.with_labels(&[0, 0, 1, 1], 2)?;
/// let head = LinearHead::new(vec![dmatrix![1.0; -1.0]], Some(dvector![-3.0, 3.0]))?;
/// let mut confusion = Confusion::new(&ClassStatistics::new(&data)?, &head)?;
/// confusion.accumulate(&data)?;
/// // The sample 2 is nearest to the mean of its class, but the head takes it for the other.
/// let wrong: Vec<_> = confusion.entries()?.filter(|entry| entry.head != entry.label).collect();
/// assert_eq!((wrong.len(), wrong[0].label, wrong[0].head, wrong[0].nearest_mean), (1, 0, 1, 0));
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: (NC4) of Papyan, Han & Donoho (PNAS 2020), counted class by class.
#[derive(Debug, Clone)]
pub struct Confusion {
    rules: Rules,
    visited: Visited,
    counts: BTreeMap<[usize; 3], u64>,
}

/// What a [`Confusion`] has counted: the entries that occur. With the feature `serde` it can be serialized.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, try_from = "StoredPart"))]
pub struct ConfusionPart {
    version: Version<1>,
    /// Of the class means and the head that were compared.
    fingerprint: u64,
    classes: usize,
    entries: Vec<Confused>,
}

impl Confusion {
    /// No samples yet; the class means are those of `statistics`, which has to be complete.
    ///
    /// # Errors
    /// As [`DecisionCounts::new`](crate::metrics::DecisionCounts::new).
    pub fn new(statistics: &ClassStatistics, head: &LinearHead) -> Result<Self> {
        Ok(Self {
            rules: Rules::new(statistics, head)?,
            visited: Visited::default(),
            counts: BTreeMap::new(),
        })
    }

    /// The same for samples that are not those of the statistics, such as a test set around the class means of a
    /// training set. Without this, results before all samples are there are refused.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::{ClassStatistics, Error, Features, LinearHead};
    /// use neural_collapse::metrics::Confusion;
    ///
    /// let samples = |numbers| Features::from_row_major(numbers, 2, 1)?.with_labels(&[0, 1], 2);
    /// let training = ClassStatistics::new(&samples(&[2.0, -1.0])?)?;
    /// let test = Features::from_row_major(&[0.2], 1, 1)?.with_labels(&[0], 2)?;
    /// let mut confusion = Confusion::new(&training, &LinearHead::new(vec![dmatrix![1.0; -1.0]], None)?)?;
    /// confusion.accumulate(&test)?;
    /// let unfinished = Error::SecondPass { class: 1, found: 0, expected: 1 };
    /// assert_eq!(confusion.entries().map(|_| ()), Err(unfinished));
    /// let confusion = confusion.of_other_samples();
    /// let entry = confusion.entries()?.next().unwrap();
    /// assert_eq!((entry.label, entry.head, entry.nearest_mean), (0, 0, 1));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn of_other_samples(mut self) -> Self {
        self.visited = Visited::OtherSamples;
        self
    }

    /// Adds the samples of a batch; one without samples changes nothing.
    ///
    /// # Errors
    /// As [`DecisionCounts::accumulate`](crate::metrics::DecisionCounts::accumulate).
    pub fn accumulate<T: Scalar>(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<()> {
        for (&label, decision) in batch.labels().iter().zip(self.rules.decide(batch, None, None)?) {
            let Decision { head, nearest_mean, .. } = decision;
            *self.counts.entry([label, head, nearest_mean]).or_default() += 1;
        }
        Ok(())
    }

    /// Adds the samples of others.
    ///
    /// # Errors
    /// As [`merge_part`](Self::merge_part).
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::{ClassStatistics, Error, Features, LinearHead};
    /// use neural_collapse::metrics::Confusion;
    ///
    /// let numbers = [2.0, 4.0, -3.0, -1.0];
    /// let data = Features::from_row_major(&numbers, 4, 1)?.with_labels(&[0, 0, 1, 1], 2)?;
    /// let statistics = ClassStatistics::new(&data)?;
    /// let empty = |weight| Confusion::new(&statistics, &LinearHead::new(vec![weight], None)?);
    /// let mut whole = empty(dmatrix![1.0; -1.0])?;
    /// for (half, label) in numbers.chunks(2).zip([0, 1]) {
    ///     let mut part = empty(dmatrix![1.0; -1.0])?;
    ///     part.accumulate(&Features::from_row_major(half, 2, 1)?.with_labels(&[label; 2], 2)?)?;
    ///     whole.merge(&part)?;
    /// }
    /// assert!(whole.entries()?.map(|entry| entry.samples).eq([2, 2]));
    /// assert_eq!(whole.merge(&empty(dmatrix![2.0; -1.0])?), Err(Error::DifferentFirstPass));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.merge_part(&other.part())
    }

    /// What has been counted so far: what the workers of a cluster send back.
    #[must_use]
    pub fn part(&self) -> ConfusionPart {
        ConfusionPart {
            version: Version,
            fingerprint: self.rules.fingerprint(),
            classes: self.rules.means().classes(),
            entries: self.counted().collect(),
        }
    }

    /// Adds what others have counted.
    ///
    /// # Errors
    /// [`Error::DifferentFirstPass`] if that is for other class means or another head.
    pub fn merge_part(&mut self, other: &ConfusionPart) -> Result<()> {
        let own = (self.rules.means().classes(), self.rules.fingerprint());
        if (other.classes, other.fingerprint) != own {
            return Err(Error::DifferentFirstPass);
        }
        for &Confused { label, head, nearest_mean, samples } in &other.entries {
            let own = self.counts.entry([label, head, nearest_mean]).or_default();
            *own = own.saturating_add(samples);
        }
        Ok(())
    }

    /// Number of samples of each class in the second pass.
    #[must_use]
    pub fn counts(&self) -> Vec<u64> {
        let mut counts = vec![0_u64; self.rules.means().classes()];
        for (&[label, ..], &samples) in &self.counts {
            counts[label] = counts[label].saturating_add(samples);
        }
        counts
    }

    /// All that occurred, by label and decisions.
    ///
    /// # Errors
    /// [`Error::Empty`] without samples, [`Error::SecondPass`] if a class has not had as many samples as in the
    /// statistics.
    pub fn entries(&self) -> Result<impl Iterator<Item = Confused> + '_> {
        self.visited.check(self.rules.means().counts(), &self.counts())?;
        Ok(self.counted())
    }

    /// What has been counted so far.
    fn counted(&self) -> impl Iterator<Item = Confused> + '_ {
        self.counts.iter().map(|(&[label, head, nearest_mean], &samples)| Confused {
            label,
            head,
            nearest_mean,
            samples,
        })
    }
}

/// [`ConfusionPart`] as it is read.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPart {
    version: Version<1>,
    fingerprint: u64,
    classes: usize,
    entries: Vec<Confused>,
}

#[cfg(feature = "serde")]
impl TryFrom<StoredPart> for ConfusionPart {
    type Error = &'static str;

    fn try_from(stored: StoredPart) -> core::result::Result<Self, Self::Error> {
        let StoredPart { version, fingerprint, classes, entries } = stored;
        let key = |entry: &Confused| [entry.label, entry.head, entry.nearest_mean];
        if entries.iter().flat_map(key).any(|class| class >= classes) {
            return Err("an entry has a class that is not one of the classes");
        }
        if entries.iter().any(|entry| entry.samples == 0) {
            return Err("an entry has no samples");
        }
        if !entries.is_sorted_by(|one, next| key(one) < key(next)) {
            return Err("the entries must be in the order of label and decisions, each once");
        }
        Ok(Self { version, fingerprint, classes, entries })
    }
}
