//! A network trained with soft labels beside its prediction.

use nalgebra::DMatrix;

use crate::audit::frames::comparable;
use crate::audit::measurement::penalty_gradient;
use crate::audit::training::{Evidence, TrainingVerdict};
use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::statistics::ClassStatistics;
use crate::metrics::{Nc1, Nc1Options, Nc1Sums, nc2};
use crate::models::convex::ConvexMinimum;
use crate::monitor::Monitor;
use crate::numerics::linalg::product;
use crate::numerics::scalar::Scalar;
use crate::numerics::squares::norm;
use crate::objective::{Objective, ObjectiveSums};
use crate::prediction::Prediction;
use crate::problem::head::LinearHead;

/// A network trained with soft labels, as it was measured and beside the minimum for its training: the same as an
/// [`Audit`](crate::Audit), but that samples are grouped by their soft label instead of their class.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct SoftLabelAudit {
    /// NC1 of the samples with one soft label, around their mean; `None` if all means are equal or no label has two
    /// samples.
    pub nc1: Option<Nc1>,
    /// NC2: the normalized distance of WWᵀ (K×K) to the predicted one; `None` where one of them is zero.
    pub nc2: Option<f64>,
    /// The normalized distance of the Gram matrix H̄ᵀH̄ of the means (J×J) to the predicted one; `None` where one of them
    /// is zero.
    pub features: Option<f64>,
    /// NC3: the normalized distance of the outputs W H̄ (K×J) to the predicted ones; `None` where one of them is zero.
    pub nc3: Option<f64>,
    /// The training objective with its gradient.
    pub objective: Objective,
    /// The predicted loss.
    pub loss_optimum: f64,
    /// What no loss is below.
    pub lower_bound: f64,
    /// The residual of the balance of layer and features ([`balancedness`](crate::objective::balancedness)).
    pub balancedness: Vec<f64>,
    /// Whether training has reached the prediction.
    pub verdict: TrainingVerdict,
}

impl SoftLabelAudit {
    /// f − f*.
    #[must_use]
    pub fn loss_gap(&self) -> f64 {
        self.objective.loss() - self.loss_optimum
    }
}

/// Audits a network of one linear layer that was trained with soft labels: `data` has for each sample the number of its
/// soft label, a column of the labels of [`ConvexUfm::soft_labels`](crate::models::convex::ConvexUfm::soft_labels).
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
/// assert!(audit.loss_gap().abs() < 1e-14);
/// assert_eq!(audit.verdict.kind, Arrival::GlobalMinimum);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// # Errors
/// [`Error::NotAnswered`] if the labels of the prediction are classes, which [`audit`](crate::audit()) is for;
/// [`Error::Shape`] if head, features and prediction do not fit together, [`Error::EmptyClass`] if a soft label has no
/// sample, [`Error::DifferentCounts`] if the prediction is for other numbers of samples, and
/// [`Error::Unrepresentable`] if a number overflows.
pub fn audit_soft_labels<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    head: &LinearHead,
    minimum: &ConvexMinimum,
) -> Result<SoftLabelAudit> {
    audit_soft_labels_with(data, head, minimum, &())
}

/// [`audit_soft_labels`] under the eyes of a monitor, which may end it.
///
/// # Errors
/// As [`audit_soft_labels`], and [`Error::Cancelled`] if the monitor ends the work.
pub fn audit_soft_labels_with<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    head: &LinearHead,
    minimum: &ConvexMinimum,
    monitor: &dyn Monitor,
) -> Result<SoftLabelAudit> {
    if minimum.counts().is_some() {
        return Err(Error::NotAnswered {
            question: "an audit by soft labels",
            reason: "the labels of the prediction are classes",
        });
    }
    let mut statistics = ClassStatistics::empty(data.features().dimension(), data.classes())?;
    data.watched_chunks("means", monitor, |chunk| statistics.accumulate(chunk))?;
    let expected = minimum.problem().counts();
    if statistics.classes() != expected.classes() {
        let reason = "one for each soft label";
        return Err(Error::length("labels", statistics.classes(), expected.classes(), reason));
    }
    let means = statistics.class_means()?;
    statistics.class_counts()?.check_predicted(expected)?;
    let mut sums = ObjectiveSums::new(&statistics, head, &minimum.training_objective())?
        .with_balancedness()?;
    data.watched_chunks("objective", monitor, |chunk| sums.accumulate(chunk))?;
    let objective = sums.objective()?;
    let repeated = statistics.counts().iter().any(|&count| count > 1);
    let spread = || {
        let mut sums = Nc1Sums::new(&statistics, &Nc1Options::default())?;
        data.watched_chunks("deviations", monitor, |chunk| sums.accumulate(chunk))?;
        sums.nc1()
    };
    let features = ClassMatrix::dense(minimum.features_gram());
    Ok(SoftLabelAudit {
        nc1: if repeated { comparable(spread())? } else { None },
        nc2: comparable(nc2(head, 1, &minimum.trailing_gram(1)?))?,
        features: comparable(features.distance_to_gram(&means.transpose()))?,
        nc3: distance(&product(&head.product()?, &means), &minimum.outputs()),
        verdict: verdict(head, minimum, &objective, sums.feature_energy()?.total()),
        loss_optimum: minimum.loss(),
        lower_bound: minimum.loss() - minimum.gap(),
        balancedness: sums.balancedness()?.unwrap_or_default(),
        objective,
    })
}

fn verdict(
    head: &LinearHead,
    minimum: &ConvexMinimum,
    objective: &Objective,
    features_squared: f64,
) -> TrainingVerdict {
    let penalties = penalty_gradient(head, minimum.problem().regularization(), features_squared);
    TrainingVerdict::of(&Evidence {
        relative_gradient: (penalties > 0.0).then(|| objective.gradient_norm / penalties),
        losses: (minimum.loss() > 0.0).then(|| (objective.loss(), minimum.loss())),
        prediction: Some(&minimum.verdict()),
        ranks: None,
        shared_directions: 0,
    })
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
            assert_eq!(audit.lower_bound, minimum.loss() - minimum.gap());
            assert_eq!(audit.loss_gap(), audit.objective.loss() - minimum.loss());
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
