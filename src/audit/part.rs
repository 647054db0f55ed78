//! What the pieces of an audit send each other.

use crate::audit::resolution::ResolutionPart;
use crate::audit::sums::AuditSums;
use crate::error::{Error, Result};
use crate::measure::energy::FeatureEnergy;
use crate::measure::projected::Nc1Part;
use crate::measure::version::Version;
use crate::metrics::errors::{SamplePart, SampleParts};
use crate::metrics::{DecisionPart, MetricPart, MetricSums};
use crate::numerics::scalar::Scalar;
use crate::objective::{ObjectivePart, ObjectiveSums};

/// What [`AuditSums`] have added up, without the class statistics and the head that all pieces share.
///
/// Some numbers for each class, for an objective dK more, and d²/2 more for the balance of its layers
/// ([`AuditOptions::without_balance`](crate::audit::AuditOptions::without_balance) leaves it out). With the feature
/// `serde` it can be serialized.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct AuditPart {
    version: Version<1>,
    nc1: Nc1Part,
    resolved: ResolutionPart,
    predicted: ResolutionPart,
    decisions: DecisionPart,
    energy: FeatureEnergy,
    objective: Option<ObjectivePart>,
    metrics: Option<MetricPart>,
    parts: Option<SamplePart>,
}

impl<T: Scalar> AuditSums<T> {
    /// What has been added up so far: what the workers of a cluster send back.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::audit::AuditOptions;
    /// use neural_collapse::{AuditSums, ClassStatistics, Features, LinearHead};
    ///
    /// let data = Features::from_row_major(&[1.1, 0.0, -1.0, 0.3], 2, 2)?.with_labels(&[0, 1], 2)?;
    /// let head = LinearHead::new(vec![dmatrix![1.0, 0.0; -1.0, 0.0]], None)?;
    /// let mut whole = AuditSums::new(ClassStatistics::new(&data)?, head, &AuditOptions::default())?;
    /// let mut worker = whole.clone();
    /// worker.accumulate(&data)?;
    /// whole.merge_part(&worker.part())?;
    /// assert_eq!(whole.measurement()?, worker.measurement()?);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn part(&self) -> AuditPart {
        AuditPart {
            version: Version,
            nc1: self.nc1.part(),
            resolved: self.resolved.part(),
            predicted: self.predicted.part(),
            decisions: self.decisions.part(),
            energy: self.energy.clone(),
            objective: self.objective.as_ref().map(ObjectiveSums::part),
            metrics: self.metrics.as_ref().map(MetricSums::part),
            parts: self.parts.as_ref().map(SampleParts::part),
        }
    }

    /// Adds what others have added up, from the same statistics, head and options.
    ///
    /// # Errors
    /// [`Error::DifferentFirstPass`] if it was not from the same; the sums are then as they were.
    pub fn merge_part(&mut self, other: &AuditPart) -> Result<()> {
        if !self.fits(other) {
            return Err(Error::DifferentFirstPass);
        }
        // The energies tell by themselves whether they fit.
        let mut energy = self.energy.clone();
        energy.merge(&other.energy).map_err(|_| Error::DifferentFirstPass)?;
        if let (Some(own), Some(other)) = (&mut self.objective, &other.objective) {
            own.merge_part(other)?;
        }
        self.nc1.merge_part(&other.nc1)?;
        self.resolved.merge_part(&other.resolved)?;
        self.predicted.merge_part(&other.predicted)?;
        self.decisions.merge_part(&other.decisions)?;
        if let (Some(own), Some(other)) = (&mut self.metrics, &other.metrics) {
            own.merge_part(other)?;
        }
        if let (Some(own), Some(other)) = (&mut self.parts, &other.parts) {
            own.merge_part(other)?;
        }
        self.energy = energy;
        Ok(())
    }

    fn fits(&self, other: &AuditPart) -> bool {
        both_fit(&self.objective, &other.objective, ObjectiveSums::fits)
            && both_fit(&self.metrics, &other.metrics, MetricSums::fits)
            && both_fit(&self.parts, &other.parts, SampleParts::fits)
            && self.nc1.fits(&other.nc1)
            && self.resolved.fits(&other.resolved)
            && self.predicted.fits(&other.predicted)
            && self.decisions.fits(&other.decisions)
    }
}

/// Whether a part that not every audit has is in both and fits, or in neither.
pub(super) fn both_fit<S, P>(
    own: &Option<S>,
    other: &Option<P>,
    fits: impl Fn(&S, &P) -> bool,
) -> bool {
    match (own, other) {
        (Some(own), Some(other)) => fits(own, other),
        (own, other) => own.is_none() && other.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::AuditOptions;
    use crate::measure::center::Center;
    use crate::measure::features::Features;
    use crate::measure::statistics::ClassStatistics;
    use crate::metrics::Nc1Options;
    use crate::problem::head::LinearHead;
    use crate::problem::regularization::Regularization;
    use crate::problem::training_objective::{LossFunction, TrainingObjective};
    use nalgebra::DMatrix;

    fn sums(options: &AuditOptions, weight: f64) -> AuditSums<f64> {
        let rows = DMatrix::from_fn(12, 4, |i, j| {
            ((i * i + 5 * j) as f64).sin() + ((i % 3) * (j + 1) * (i % 3)) as f64
        });
        let labels: Vec<usize> = (0..12).map(|sample| sample % 3).collect();
        let data = Features::from_sample_rows(&rows).unwrap().with_labels(&labels, 3).unwrap();
        let weights = DMatrix::from_fn(3, 4, |i, j| weight * ((i * 3 + j) as f64).cos());
        let head = LinearHead::new(vec![weights], None).unwrap();
        let mut sums = AuditSums::new(ClassStatistics::new(&data).unwrap(), head, options).unwrap();
        sums.accumulate(&data).unwrap();
        sums
    }

    /// One thing that differs is enough to be refused, whichever is added to which, and nothing has changed.
    #[test]
    fn what_is_refused_changes_nothing() {
        let objective = |decay: f64| {
            let regularization = Regularization::new(&[decay], 1e-3).unwrap();
            TrainingObjective::penalized(LossFunction::SquaredError, regularization)
        };
        let plain = AuditOptions::default();
        let by_classes = Nc1Options::default().with_center(Center::Classes);
        let with_objective = plain.clone().with_objective(objective(1e-3));
        let full = with_objective.clone().with_all_metrics(true).with_standard_errors(true);
        let full = full.with_predicted_rank(Some(1)).with_features_squared(1000.0);
        let pairs = [
            ("objective", &full, AuditOptions { objective: None, ..full.clone() }, 1.0),
            ("decays", &full, full.clone().with_objective(objective(1e-2)), 1.0),
            ("balance", &full, full.clone().with_balance(false), 1.0),
            ("metrics", &full, full.clone().with_all_metrics(false), 1.0),
            ("errors", &full, full.clone().with_standard_errors(false), 1.0),
            ("rank", &plain, plain.clone().with_predicted_rank(Some(1)), 1.0),
            ("noise", &plain, plain.clone().with_features_squared(1000.0), 1.0),
            ("NC1", &with_objective, with_objective.clone().with_nc1(by_classes), 1.0),
            ("head", &plain, plain.clone(), 2.0),
        ];
        for (name, one, other, weight) in &pairs {
            let (one, other) = (&sums(one, 1.0), &sums(other, *weight));
            for (own, foreign) in [(one, other), (other, one)] {
                let mut merged = own.clone();
                assert_eq!(merged.merge(foreign), Err(Error::DifferentFirstPass), "{name}");
                assert_eq!(merged.part(), own.part(), "{name}");
            }
        }
    }
}
