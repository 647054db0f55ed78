//! Which classes are taken for which: the decisions behind NC4, pair by pair.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::statistics::ClassStatistics;
use crate::metrics::decisions::{Decision, Rules};
use crate::numerics::scalar::Scalar;
use crate::problem::head::LinearHead;

/// How many samples of one class have one pair of decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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
/// Only what occurs is kept: under neural collapse one entry per class.
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
/// let wrong: Vec<_> = confusion.entries().filter(|entry| entry.head != entry.label).collect();
/// assert_eq!((wrong.len(), wrong[0].label, wrong[0].head, wrong[0].nearest_mean), (1, 0, 1, 0));
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: (NC4) of Papyan, Han & Donoho (PNAS 2020), counted class by class.
#[derive(Debug, Clone)]
pub struct Confusion {
    rules: Rules,
    counts: BTreeMap<[usize; 3], u64>,
}

impl Confusion {
    /// No samples yet; the class means are those of `statistics`, which has to be complete.
    ///
    /// # Errors
    /// As [`DecisionCounts::new`](crate::metrics::DecisionCounts::new).
    pub fn new(statistics: &ClassStatistics, head: &LinearHead) -> Result<Self> {
        Ok(Self { rules: Rules::new(statistics, head)?, counts: BTreeMap::new() })
    }

    /// Adds the samples of a batch; one without samples changes nothing.
    ///
    /// # Errors
    /// As [`DecisionCounts::accumulate`](crate::metrics::DecisionCounts::accumulate).
    pub fn accumulate<T: Scalar>(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<()> {
        for (&label, decision) in batch.labels().iter().zip(self.rules.decide(batch, None)?) {
            let Decision { head, nearest_mean } = decision;
            *self.counts.entry([label, head, nearest_mean]).or_default() += 1;
        }
        Ok(())
    }

    /// Adds the samples of others.
    ///
    /// # Errors
    /// [`Error::DifferentFirstPass`] if those are for other class means or another head.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::{ClassStatistics, Error, Features, LinearHead};
    /// use neural_collapse::metrics::Confusion;
    ///
    /// let data = Features::from_row_major(&[2.0, -1.0], 2, 1)?.with_labels(&[0, 1], 2)?;
    /// let statistics = ClassStatistics::new(&data)?;
    /// let empty = |weight| Confusion::new(&statistics, &LinearHead::new(vec![weight], None)?);
    /// let mut whole = empty(dmatrix![1.0; -1.0])?;
    /// for _ in 0..2 {
    ///     let mut part = empty(dmatrix![1.0; -1.0])?;
    ///     part.accumulate(&data)?;
    ///     whole.merge(&part)?;
    /// }
    /// assert!(whole.entries().map(|entry| entry.samples).eq([2, 2]));
    /// assert_eq!(whole.merge(&empty(dmatrix![2.0; -1.0])?), Err(Error::DifferentFirstPass));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if other.rules.fingerprint() != self.rules.fingerprint() {
            return Err(Error::DifferentFirstPass);
        }
        for (&decisions, samples) in &other.counts {
            let own = self.counts.entry(decisions).or_default();
            *own = own.saturating_add(*samples);
        }
        Ok(())
    }

    /// All that occurred, by label and decisions.
    pub fn entries(&self) -> impl Iterator<Item = Confused> + '_ {
        self.counts.iter().map(|(&[label, head, nearest_mean], &samples)| Confused {
            label,
            head,
            nearest_mean,
            samples,
        })
    }
}
