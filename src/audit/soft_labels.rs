//! A network trained with soft labels beside its prediction.

use std::collections::BTreeMap;

use nalgebra::DMatrix;

use crate::audit::frames::comparable;
use crate::audit::measurement::penalty_gradient;
use crate::audit::soft_label_sums::SoftLabelSums;
use crate::audit::training::{Evidence, TrainingVerdict};
use crate::error::Result;
use crate::measure::class_means::check_second_pass;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::statistics::ClassStatistics;
use crate::metrics::{Nc1, TagAverage, nc2, tag_average_residuals};
use crate::monitor::Monitor;
use crate::numerics::linalg::product;
use crate::numerics::scalar::Scalar;
use crate::numerics::squares::norm;
use crate::objective::{Objective, ObjectiveSums};
use crate::prediction::{Prediction, Summary};
use crate::problem::head::LinearHead;

/// A network trained with labels that are no classes (soft labels, sets of tags, contexts), as it was measured and beside the
/// minimum for its training: the same as an [`Audit`](crate::Audit), but that samples are grouped by their label instead of
/// their class.
///
/// Numbers that are not defined are `None`, with the reason in [`reasons`](Self::reasons).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SoftLabelAudit {
    /// NC1 of the samples with one label, around their mean; `None` if all means are equal or no label has two samples.
    pub nc1: Option<Nc1>,
    /// NC2: the normalized distance of WWᵀ (K×K) to the predicted one; `None` where one of them is zero.
    pub nc2: Option<f64>,
    /// The normalized distance of the Gram matrix H̄ᵀH̄ of the means (J×J) to the predicted one; `None` where one of them
    /// is zero.
    pub features: Option<f64>,
    /// NC3: the normalized distance of the outputs W H̄ (K×J) to the predicted ones; `None` where one of them is zero.
    pub nc3: Option<f64>,
    /// For each number of tags, how far the means of sets of tags are from multiples of the average over their tags
    /// ([`tag_average_residuals`], of the means as they are); `None` unless labels are sets of tags, single ones among them.
    pub tag_averages: Option<Vec<TagAverage>>,
    /// The training objective with its gradient; `None` where that is a constraint.
    pub objective: Option<Objective>,
    /// The predicted loss, if it can be measured.
    pub loss_optimum: Option<f64>,
    /// What no loss is below.
    pub lower_bound: Option<f64>,
    /// The residual of the balance of layer and features ([`balancedness`](crate::objective::balancedness)); `None` without
    /// decays.
    pub balancedness: Option<Vec<f64>>,
    /// Whether training has reached the prediction.
    pub verdict: TrainingVerdict,
    /// The prediction.
    pub prediction: Summary,
    /// Why a number is missing, by its name.
    pub reasons: BTreeMap<&'static str, String>,
}

impl SoftLabelAudit {
    /// f − f*.
    #[must_use]
    pub fn loss_gap(&self) -> Option<f64> {
        Some(self.objective?.loss() - self.loss_optimum?)
    }

    /// (f − f*)/f*.
    #[must_use]
    pub fn loss_gap_relative(&self) -> Option<f64> {
        let optimum = self.loss_optimum.filter(|&optimum| optimum > 0.0)?;
        Some(self.loss_gap()? / optimum)
    }
}

/// Audits a network of one linear layer that was trained with labels that are no classes: `data` has for each sample the
/// number of its label.
///
/// | prediction | labels |
/// |---|---|
/// | [`ConvexMinimum`](crate::models::convex::ConvexMinimum) of [`soft_labels`](crate::models::convex::ConvexUfm::soft_labels) | columns of the soft labels |
/// | [`MultiLabelMinimum`](crate::models::multi_label::MultiLabelMinimum) | sets of tags, in the order of [`tag_sets`](crate::models::multi_label::MultiLabelUfm::tag_sets) |
/// | [`CenteredSupports`](crate::models::soft_labels::CenteredSupports), [`SmallestLogits`](crate::models::soft_labels::SmallestLogits) | contexts; directions alone are compared, as the logits grow without bound |
///
/// In batches and in pieces: [`SoftLabelSums`].
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::audit::{Arrival, audit_soft_labels};
/// use neural_collapse::models::convex::ConvexUfm;
/// use neural_collapse::{Basis, Features, Prediction, Regularization};
///
/// // Three classes, four soft labels with 3, 2, 2 and 1 samples.
/// let labels = dmatrix![0.9, 0.1, 0.2, 0.0; 0.1, 0.8, 0.3, 0.5; 0.0, 0.1, 0.5, 0.5];
/// let ufm = ConvexUfm::soft_labels(labels, &[3, 2, 2, 1], Regularization::new(&[1e-2], 2e-2)?)?;
/// let minimum = ufm.global_minimum()?;
/// // A global minimizer stands in for a trained network.
/// let network = minimum.explicit(&Basis::Standard)?;
/// let features = network.features()?;
/// let data = Features::from_sample_columns(&features)?.with_labels(&[0, 0, 0, 1, 1, 2, 2, 3], 4)?;
///
/// let audit = audit_soft_labels(&data, network.head(), &minimum)?;
/// assert!(audit.nc1.unwrap().value < 1e-20 && audit.nc3.unwrap() < 1e-12);
/// assert!(audit.loss_gap().unwrap().abs() < 1e-14);
/// assert_eq!(audit.verdict.kind, Arrival::GlobalMinimum);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Several tags per sample:
///
/// ```
/// use neural_collapse::audit::audit_soft_labels;
/// use neural_collapse::models::multi_label::MultiLabelUfm;
/// use neural_collapse::{Basis, Features, Prediction, Regularization};
///
/// // Two samples of each of three tags, one of each pair of tags: the labels are {0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}.
/// let ufm = MultiLabelUfm::new(3, &[(1, 2), (2, 1)], Regularization::new(&[1e-2], 1e-2)?)?;
/// let minimum = ufm.global_minimum()?;
/// let network = minimum.explicit(&Basis::Standard)?;
/// let features = network.features()?;
/// let data = Features::from_sample_columns(&features)?.with_labels(&[0, 0, 1, 1, 2, 2, 3, 4, 5], 6)?;
/// let audit = audit_soft_labels(&data, network.head(), &minimum)?;
/// assert!(audit.features.unwrap() < 1e-14 && audit.loss_gap().unwrap().abs() < 1e-14);
/// // Means of pairs are multiples of the average of those of their tags.
/// assert!(audit.tag_averages.unwrap()[1].residual < 1e-14);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// # Errors
/// As [`SoftLabelSums::new`], and [`Error::Unrepresentable`](crate::Error::Unrepresentable) if a number overflows.
pub fn audit_soft_labels<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    head: &LinearHead,
    prediction: &dyn Prediction,
) -> Result<SoftLabelAudit> {
    audit_soft_labels_with(data, head, prediction, &())
}

/// [`audit_soft_labels`] under the eyes of a monitor, which may end it.
///
/// # Errors
/// As [`audit_soft_labels`], and [`Error::Cancelled`](crate::Error::Cancelled) if the monitor ends the work.
pub fn audit_soft_labels_with<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    head: &LinearHead,
    prediction: &dyn Prediction,
    monitor: &dyn Monitor,
) -> Result<SoftLabelAudit> {
    let mut statistics = ClassStatistics::empty(data.features().dimension(), data.classes())?;
    data.watched_chunks("means", monitor, |chunk| statistics.accumulate(chunk))?;
    let mut sums = SoftLabelSums::new(statistics, head.clone(), prediction)?;
    data.watched_chunks("deviations", monitor, |chunk| sums.accumulate(chunk))?;
    sums.audit()
}

impl<T: Scalar> SoftLabelSums<T> {
    /// The network beside the prediction.
    ///
    /// # Errors
    /// [`Error::SecondPass`](crate::Error::SecondPass) if a label had not as many samples as in the statistics,
    /// [`Error::Unrepresentable`](crate::Error::Unrepresentable) if a number overflows.
    pub fn audit(&self) -> Result<SoftLabelAudit> {
        check_second_pass(self.statistics.counts(), self.energy.counts())?;
        let (means, head) = (self.statistics.class_means()?, &*self.head);
        let labels = &self.predicted.labels;
        let summary = self.predicted.summary.clone();
        let repeated = self.statistics.counts().iter().any(|&count| count > 1);
        let objective = self.objective.as_ref().map(ObjectiveSums::objective).transpose()?;
        let balancedness = self.objective.as_ref().map(ObjectiveSums::balancedness).transpose()?;
        let has_loss = objective.is_some();
        let audit = SoftLabelAudit {
            nc1: if repeated { comparable(self.nc1.nc1())? } else { None },
            nc2: comparable(nc2(head, 1, &self.predicted.gram))?,
            features: comparable(labels.features_gram.distance_to_gram(&means.transpose()))?,
            nc3: distance(&product(&head.product()?, &means), &labels.outputs),
            tag_averages: tag_averages(labels.tag_sets.as_deref(), head.classes(), &means)?,
            verdict: self.verdict(objective.as_ref()),
            objective,
            loss_optimum: has_loss.then_some(summary.loss),
            lower_bound: summary.lower_bound.filter(|_| has_loss),
            balancedness: balancedness.flatten(),
            prediction: summary,
            reasons: BTreeMap::new(),
        };
        Ok(audit.with_reasons(repeated, labels.tag_sets.is_some()))
    }

    fn verdict(&self, objective: Option<&Objective>) -> TrainingVerdict {
        let summary = &self.predicted.summary;
        let penalties = summary
            .training_objective
            .regularization()
            .map_or(0.0, |decays| penalty_gradient(&self.head, decays, self.energy.total()));
        let gradient = objective.map(|objective| objective.gradient_norm / penalties);
        TrainingVerdict::of(&Evidence {
            relative_gradient: gradient.filter(|_| penalties > 0.0),
            losses: objective
                .map(|objective| (objective.loss(), summary.loss))
                .filter(|(_, optimum)| *optimum > 0.0),
            prediction: Some(&summary.verdict),
            ranks: None,
            shared_directions: 0,
        })
    }
}

impl SoftLabelAudit {
    /// Says why numbers are missing.
    fn with_reasons(mut self, repeated: bool, has_tags: bool) -> Self {
        let nc1 = match repeated {
            true => "the means of all labels are equal",
            false => "no label has two samples, so that nothing can vary within a label",
        };
        let zero = "it, or what is predicted for it, is zero, so that it has no direction";
        let tags = match has_tags {
            true => {
                "single tags are no labels of their own, or the means of some number of tags are zero"
            }
            false => "labels are no sets of tags",
        };
        let constraint = "the model minimizes norms under constraints, and has no loss to measure";
        let missing = [
            ("nc1", self.nc1.is_none(), nc1),
            ("nc2", self.nc2.is_none(), zero),
            ("features", self.features.is_none(), zero),
            ("nc3", self.nc3.is_none(), zero),
            ("tag_averages", self.tag_averages.is_none(), tags),
            ("objective", self.objective.is_none(), constraint),
            ("loss_optimum", self.loss_optimum.is_none(), constraint),
            ("lower_bound", self.lower_bound.is_none(), constraint),
            ("loss_gap", self.loss_gap().is_none(), constraint),
            (
                "loss_gap_relative",
                self.loss_gap_relative().is_none(),
                if self.objective.is_none() { constraint } else { "the predicted loss is zero" },
            ),
            ("balancedness", self.balancedness.is_none(), constraint),
        ];
        let missing = missing.into_iter().filter(|(_, is_missing, _)| *is_missing);
        self.reasons.extend(missing.map(|(key, _, reason)| (key, reason.to_string())));
        self
    }
}

/// The residuals of the averages over tags, if every single tag is a label of its own and no mean is zero.
fn tag_averages(
    sets: Option<&[Vec<usize>]>,
    classes: usize,
    means: &DMatrix<f64>,
) -> Result<Option<Vec<TagAverage>>> {
    let Some(sets) = sets else { return Ok(None) };
    let single = |tag: usize| sets.iter().position(|set| set[..] == [tag]);
    let Some(single) = (0..classes).map(single).collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    comparable(tag_average_residuals(&means.select_columns(&single), sets, means))
}

/// ‖A/‖A‖ − B/‖B‖‖; `None` if one is zero.
fn distance(one: &DMatrix<f64>, other: &DMatrix<f64>) -> Option<f64> {
    let norms = (norm(one.as_slice()), norm(other.as_slice()));
    if norms.0.min(norms.1) == 0.0 {
        return None;
    }
    let differences = one.iter().zip(other).map(|(a, b)| a / norms.0 - b / norms.1);
    Some(norm(&differences.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::training::Arrival;
    use crate::measure::features::Features;
    use crate::models::convex::ConvexUfm;
    use crate::prediction::Basis;
    use crate::problem::regularization::Regularization;
    use nalgebra::dmatrix;

    /// Of labels with one sample each nothing is known of what varies within them.
    #[test]
    fn single_samples_have_no_nc1() {
        for (counts, labels) in [([1, 1, 1], vec![0, 1, 2]), ([1, 2, 1], vec![0, 1, 1, 2])] {
            let soft = dmatrix![0.9, 0.2, 0.5; 0.1, 0.8, 0.5];
            let regularization = Regularization::new(&[1e-2], 2e-2).unwrap();
            let ufm = ConvexUfm::soft_labels(soft, &counts, regularization).unwrap();
            let minimum = ufm.global_minimum().unwrap();
            let network = minimum.explicit(&Basis::Standard).unwrap();
            let features = network.features().unwrap();
            let data = Features::from_sample_columns(&features).unwrap();
            let data = data.with_labels(&labels, 3).unwrap();
            let audit = audit_soft_labels(&data, network.head(), &minimum).unwrap();
            assert_eq!(audit.nc1.is_some(), counts.contains(&2));
            assert!((audit.lower_bound.unwrap() - (minimum.loss() - minimum.gap())).abs() < 1e-15);
            let gap = audit.objective.unwrap().loss() - minimum.loss();
            assert_eq!(audit.loss_gap(), Some(gap));
            assert_eq!(audit.loss_gap_relative(), Some(gap / minimum.loss()));
        }
    }

    /// Decays beyond the collapse: the network of zeros is the minimum, though no gradient tells so.
    #[test]
    fn zeros_are_the_minimum_of_large_decays() {
        let soft = dmatrix![0.9, 0.2; 0.1, 0.8];
        let ufm = ConvexUfm::soft_labels(soft, &[1, 1], Regularization::new(&[9.0], 9.0).unwrap());
        let minimum = ufm.unwrap().global_minimum().unwrap();
        let features = DMatrix::<f64>::zeros(3, 2);
        let data = Features::from_sample_columns(&features).unwrap().with_labels(&[0, 1], 2);
        let head = LinearHead::new(vec![DMatrix::zeros(2, 3)], None).unwrap();
        let audit = audit_soft_labels(&data.unwrap(), &head, &minimum).unwrap();
        assert_eq!(audit.verdict.kind, Arrival::GlobalMinimum, "{}", audit.verdict.text);
        assert_eq!((audit.nc2, audit.nc3), (None, None));
    }

    #[test]
    fn distances_know_no_size() {
        let one = dmatrix![3.0, 0.0; 0.0, 4.0];
        assert!(distance(&one, &(&one * 1e200)).unwrap() < 1e-15);
        // (3, 4)/5 beside (0, 1): √(2 − 8/5).
        let found = distance(&one, &dmatrix![0.0, 0.0; 0.0, 7.0]).unwrap();
        assert!((found - 0.4_f64.sqrt()).abs() < 1e-15, "{found}");
        assert_eq!(distance(&one, &DMatrix::zeros(2, 2)), None);
    }
}
