//! The difference of two audits, with its errors.

use std::collections::BTreeMap;

use crate::audit::comparison::Audit;
use crate::error::{Error, Result};
use crate::metrics::errors::{Estimate, Metric};

/// How the samples of two audits belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Samples {
    /// The same samples in the same order, as of one network at two epochs: they share their errors, most of which cancel.
    Same,
    /// Drawn independently of each other, as by two seeds with data of their own: variances add up. For the same samples
    /// this is usually too much.
    Independent,
}

/// What two audits differ by: see [`Audit::minus`].
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AuditDifference {
    /// How the samples belong together.
    pub samples: Samples,
    /// One entry for each metric that both audits have with its standard error.
    pub metrics: BTreeMap<Metric, MetricDifference>,
    /// What has to be known to read the numbers.
    pub remarks: Vec<&'static str>,
}

/// A metric of two audits.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct MetricDifference {
    /// Of the audit itself.
    pub value: f64,
    /// Of the other one.
    pub other: f64,
    /// `value` less `other`.
    pub difference: f64,
    /// The standard error of the difference.
    pub standard_error: f64,
    /// Whether errors that both share were taken out of it.
    pub paired: bool,
}

impl MetricDifference {
    fn new(own: &Estimate, other: &Estimate, samples: Samples) -> Self {
        let paired = match samples {
            Samples::Same => own.minus(other),
            Samples::Independent => None,
        };
        let is_paired = paired.is_some();
        let found = paired.unwrap_or_else(|| own.minus_independent(other));
        Self {
            value: own.value,
            other: other.value,
            difference: found.value,
            standard_error: found.standard_error,
            paired: is_paired,
        }
    }
}

impl Audit {
    /// By how much each metric differs from that of another audit, with the standard error of the difference.
    ///
    /// For the [same](Samples::Same) samples in the same order the errors that both share cancel, so that a difference can
    /// be known far better than either number. Shares of samples (NC4 and accuracies) have no such error and get that of
    /// independent samples, as [`paired`](MetricDifference::paired) says.
    ///
    /// # Errors
    /// [`Error::NotAnswered`] if one of the audits has no standard errors, or if the samples shall be the same and the class
    /// sizes are not.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::audit::{AuditOptions, Samples};
    /// use neural_collapse::metrics::errors::Metric;
    /// use neural_collapse::{Audit, AuditSums, ClassStatistics, Features, LinearHead};
    ///
    /// // One network at two epochs: the features of the same six samples.
    /// let early = dmatrix![1.1, 0.0; 0.9, 0.3; 1.0, -0.2; -1.0, 0.3; -1.3, -0.3; -0.8, 0.1];
    /// let late = dmatrix![1.05, 0.0; 0.95, 0.2; 1.0, -0.1; -1.0, 0.2; -1.15, -0.2; -0.9, 0.0];
    /// let head = LinearHead::new(vec![dmatrix![1.0, 0.0; -1.0, 0.0]], None)?;
    /// let audit = |rows| -> neural_collapse::Result<Audit> {
    ///     let data = Features::from_sample_rows(rows)?.with_labels(&[0, 0, 0, 1, 1, 1], 2)?;
    ///     let options = AuditOptions::default().with_standard_errors(true);
    ///     let mut sums = AuditSums::new(ClassStatistics::new(&data)?, head.clone(), &options)?;
    ///     sums.accumulate(&data)?;
    ///     sums.measurement()?.without_prediction("the decays are not known")
    /// };
    /// let (early, late) = (audit(&early)?, audit(&late)?);
    /// let nc1 = late.minus(&early, Samples::Same)?.metrics[&Metric::Nc1];
    /// assert!(nc1.paired && nc1.difference < 0.0);
    /// let independent = late.minus(&early, Samples::Independent)?.metrics[&Metric::Nc1];
    /// assert!(nc1.standard_error < independent.standard_error);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn minus(&self, other: &Self, samples: Samples) -> Result<AuditDifference> {
        let refuse =
            |reason| Err(Error::NotAnswered { question: "the difference of two audits", reason });
        let (Some(own_errors), Some(other_errors)) =
            (&self.standard_errors, &other.standard_errors)
        else {
            return refuse("one of them has no standard errors");
        };
        let is_same = samples == Samples::Same;
        let counts = |audit: &Self| audit.measurement.statistics().counts().to_vec();
        if is_same && counts(self) != counts(other) {
            return refuse("their samples cannot be the same, as class sizes differ");
        }
        let mut metrics = BTreeMap::new();
        for (metric, own) in own_errors.iter() {
            if let Some((own, other)) = own.zip(other_errors.get(metric)) {
                metrics.insert(metric, MetricDifference::new(own, other, samples));
            }
        }
        let mut remarks = Vec::new();
        if self.nc3_target != other.nc3_target || counts(self) != counts(other) {
            remarks.push(
                "distances are to different predictions, and levels without structure may differ",
            );
        }
        if is_same && metrics.values().any(|found| !found.paired) {
            remarks.push("metrics that are not paired have the error of independent samples, which is usually too much");
        }
        Ok(AuditDifference { samples, metrics, remarks })
    }
}
