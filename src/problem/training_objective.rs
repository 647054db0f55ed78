//! What a model says that training minimizes.

use core::fmt;

use crate::problem::counts::ClassCounts;
use crate::problem::kinds::Kinds;
use crate::problem::regularization::Regularization;

/// The data term of a training objective: how outputs are compared with the labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum LossFunction {
    /// 1/(2N) Σ ‖z − e_y‖² over the N samples, z the outputs and e_y the one-hot target.
    #[doc(alias = "MSE")]
    #[cfg_attr(feature = "serde", serde(rename = "mse"))]
    SquaredError,
    /// The mean of ln Σ_k exp(z_k − z_y) over the samples.
    CrossEntropy,
    /// None: every sample must have the margin z_y − z_k ≥ 1 over every other class k.
    #[doc(alias = "SVM")]
    Margin,
    /// None: every sample must have δ_y z_y − δ_k z_k ≥ m_y for every other class k, with scales δ and margins m
    /// of the classes.
    #[doc(alias("CDT", "LDT", "VS"))]
    ScaledMargin,
    /// None: on the support of its soft label every sample must have equal outputs, which exceed those of every
    /// other class by 1 at least.
    SupportMargin,
    /// The mean over the samples of Σ_k y_k ln Σ_j exp(z_j − z_k) with soft labels y, times weights of the samples if
    /// there are some.
    #[doc(alias = "distillation")]
    SoftLabels,
    /// The mean over the samples of the sum over their tags y of ln Σ_k exp(z_k − z_y).
    #[doc(alias = "PAL")]
    PickAllLabels,
    /// The sum over all samples of the mean over the others of their class of −ln(exp(h_i·h_p/τ)/Σ_{a≠i} exp(h_i·h_a/τ)).
    #[doc(alias = "SupCon")]
    SupervisedContrastive,
}

impl fmt::Display for LossFunction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::SquaredError => "squared error",
            Self::CrossEntropy => "cross-entropy",
            Self::Margin => "margin",
            Self::ScaledMargin => "scaled margin",
            Self::SupportMargin => "support margin",
            Self::PickAllLabels => "pick-all-labels",
            Self::SupervisedContrastive => "supervised contrastive",
            Self::SoftLabels => "cross-entropy with soft labels",
        })
    }
}

/// The objective of a training: a [`LossFunction`] of the outputs, and what keeps weights and features small.
///
/// Every prediction carries the objective that it is the minimum of; the loss and the gradient of a measured
/// network follow from it.
///
/// A list of weights or of offsets is empty where all are 1 or 0. That is chosen: nothing has to be stored for each of
/// many classes, and an `Option` of a list would say the same in two ways, as none and as an empty one.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum TrainingObjective {
    /// The loss function plus Σ λₘ/2 ‖Wₘ‖² + λ_H/2 ‖H‖² + λ_b/2 ‖b‖².
    Penalized {
        /// The loss function.
        loss_function: LossFunction,
        /// How much of it counts: 1, or ½ for cross-entropy divided by 2N instead of N.
        factor: f64,
        /// The decays.
        regularization: Regularization,
    },
    /// 1/N Σ ω_y CE(z + ι, (1−δ)e_y + δ1/K) over the N samples plus the penalties: cross-entropy with class weights,
    /// label smoothing and constants added to the logits.
    WeightedCrossEntropy {
        /// The decays.
        regularization: Regularization,
        /// ω, one number for each class; empty if all are 1.
        class_weights: Vec<f64>,
        /// δ.
        label_smoothing: f64,
        /// ι, one number for each class, as of logit adjustment; empty if all are 0.
        logit_offsets: Vec<f64>,
        /// Whether features are constrained to be non-negative, as after a ReLU.
        nonnegative_features: bool,
    },
    /// 1/N Σᵢ Σ_k ω_k y′_ik ln(1/p_ik) plus the penalties, with y′ = (1−δ)e_y + δ1/K and the probabilities p: weights of
    /// the entries of labels, as PyTorch understands them beside smoothing (see
    /// [`CodedClassWeights`](crate::problem::CodedClassWeights)).
    WeightedEntries {
        /// The decays.
        regularization: Regularization,
        /// ω, one number for each class.
        entry_weights: Vec<f64>,
        /// δ.
        label_smoothing: f64,
    },
    /// 1/N Σ ω_j CE(z, y_j) plus the penalties, with J soft labels y_j and a weight for each: a sample's *label* is the
    /// number j of its soft label.
    SoftLabels {
        /// The decays.
        regularization: Regularization,
        /// y_j, K probabilities for each of the J soft labels.
        labels: Vec<Vec<f64>>,
        /// ω_j; empty if all are 1.
        weights: Vec<f64>,
    },
    /// 1/N Σ CE(z, (1−δ)e_y + δ1/K) + λ_H/2 ‖H‖² for a simplex ETF as a classifier that is not trained.
    FixedSimplexHead {
        /// ‖w_k‖².
        classifier_norm_squared: f64,
        /// λ_H.
        feature_decay: f64,
        /// δ.
        label_smoothing: f64,
    },
    /// The loss function of features, and classifiers if there are any, of length 1, with inner products divided by a
    /// temperature.
    UnitVectors {
        /// The loss function.
        loss_function: LossFunction,
        /// τ.
        temperature: f64,
        /// Whether features are constrained to be non-negative, as after a ReLU.
        nonnegative_features: bool,
    },
    /// 1/(2N) Σ ω_y ‖z − (1−δ)e_y − δ1/K‖² over the N samples plus the penalties: the squared loss with class
    /// weights and label smoothing.
    WeightedSquaredError {
        /// The decays.
        regularization: Regularization,
        /// ω, one number per class; empty if all are 1.
        class_weights: Vec<f64>,
        /// δ.
        label_smoothing: f64,
    },
    /// The loss function under the budgets 1/K Σ ‖w_k‖² ≤ E_W and 1/K Σ_k (1/n_k) Σ_i ‖h_ki‖² ≤ E_H.
    Budgeted {
        /// The loss function.
        loss_function: LossFunction,
        /// E_W.
        weight_energy: f64,
        /// E_H.
        feature_energy: f64,
    },
    /// The smallest ½‖W‖² + ½‖H‖² under the constraints of the loss function.
    SmallestNorms {
        /// The loss function, which here is only a constraint.
        loss_function: LossFunction,
    },
    /// The smallest ½‖W‖² + ½‖H‖² such that every sample has δ_y z_y − δ_k z_k ≥ m_y for every other class k.
    ScaledMargins {
        /// m, one number for each class; empty if all are 1.
        margins: Vec<f64>,
        /// δ, one number for each class; empty if all are 1.
        logit_scales: Vec<f64>,
    },
    /// The loss function alone: what can be evaluated where decays are not known.
    DataTerm {
        /// The loss function.
        loss_function: LossFunction,
    },
}

impl TrainingObjective {
    /// All of a loss function and decays.
    #[must_use]
    pub fn penalized(loss_function: LossFunction, regularization: Regularization) -> Self {
        Self::Penalized { loss_function, factor: 1.0, regularization }
    }

    /// The loss function.
    #[must_use]
    pub fn loss_function(&self) -> LossFunction {
        match self {
            Self::Penalized { loss_function, .. }
            | Self::Budgeted { loss_function, .. }
            | Self::SmallestNorms { loss_function }
            | Self::UnitVectors { loss_function, .. }
            | Self::DataTerm { loss_function } => *loss_function,
            Self::WeightedCrossEntropy { .. }
            | Self::WeightedEntries { .. }
            | Self::FixedSimplexHead { .. } => LossFunction::CrossEntropy,
            Self::WeightedSquaredError { .. } => LossFunction::SquaredError,
            Self::ScaledMargins { .. } => LossFunction::ScaledMargin,
            Self::SoftLabels { .. } => LossFunction::SoftLabels,
        }
    }

    /// The decays, if there are any.
    #[must_use]
    pub fn regularization(&self) -> Option<&Regularization> {
        match self {
            Self::Penalized { regularization, .. }
            | Self::WeightedCrossEntropy { regularization, .. }
            | Self::WeightedEntries { regularization, .. }
            | Self::SoftLabels { regularization, .. }
            | Self::WeightedSquaredError { regularization, .. } => Some(regularization),
            Self::Budgeted { .. }
            | Self::SmallestNorms { .. }
            | Self::ScaledMargins { .. }
            | Self::FixedSimplexHead { .. }
            | Self::UnitVectors { .. }
            | Self::DataTerm { .. } => None,
        }
    }

    /// λ_H, where features have a decay: beside those of the layers, or alone in front of a head that is not trained.
    ///
    /// ```
    /// use neural_collapse::Regularization;
    /// use neural_collapse::problem::{LossFunction, TrainingObjective};
    ///
    /// let loss_function = LossFunction::CrossEntropy;
    /// let decays = Regularization::new(&[1e-3], 1e-5)?;
    /// assert_eq!(TrainingObjective::penalized(loss_function, decays).feature_decay(), Some(1e-5));
    /// assert_eq!(TrainingObjective::DataTerm { loss_function }.feature_decay(), None);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn feature_decay(&self) -> Option<f64> {
        match self {
            Self::FixedSimplexHead { feature_decay, .. } => Some(*feature_decay),
            _ => self.regularization().map(Regularization::feature_decay),
        }
    }

    /// Whether it belongs to a model of one layer without decays, which predicts only the product of all layers.
    #[must_use]
    pub fn is_of_one_layer(&self) -> bool {
        matches!(self, Self::Budgeted { .. }) || self.is_constraint()
    }

    /// The kind of each class: those of one kind have the same size, weight and constant beside the logits, so that
    /// exchanging them changes nothing in the objective.
    pub(crate) fn class_kinds(&self, counts: &ClassCounts) -> Vec<usize> {
        let (weights, offsets): (&[f64], &[f64]) = match self {
            Self::WeightedCrossEntropy { class_weights, logit_offsets, .. } => {
                (class_weights, logit_offsets)
            }
            Self::WeightedSquaredError { class_weights, .. } => (class_weights, &[]),
            Self::WeightedEntries { entry_weights, .. } => (entry_weights, &[]),
            Self::ScaledMargins { margins, logit_scales } => (margins, logit_scales),
            _ => (&[], &[]),
        };
        let given = |list| Some(list).filter(|list: &&[f64]| list.len() == counts.classes());
        Kinds::new(counts, [given(weights), given(offsets)]).of_classes()
    }

    /// How many labels samples can have, for K = `classes`: as many as there are soft labels, or K.
    #[must_use]
    pub fn labels(&self, classes: usize) -> usize {
        match self {
            Self::SoftLabels { labels, .. } => labels.len(),
            _ => classes,
        }
    }

    /// Whether its loss function is a constraint, which a network meets or not, and has no value.
    #[must_use]
    pub fn is_constraint(&self) -> bool {
        matches!(self, Self::SmallestNorms { .. } | Self::ScaledMargins { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of three classes of one size, what tells them apart.
    #[test]
    fn kinds_are_told_apart_by_the_lists_of_the_objective() {
        let counts = ClassCounts::balanced(3, 5).unwrap();
        let regularization = Regularization::new(&[0.1], 0.1).unwrap();
        let (one, other) = (|| vec![1.0, 2.0, 1.0], || vec![1.0, 1.0, 2.0]);
        let weighted = |class_weights, logit_offsets| TrainingObjective::WeightedCrossEntropy {
            regularization: regularization.clone(),
            class_weights,
            label_smoothing: 0.0,
            logit_offsets,
            nonnegative_features: false,
        };
        let margins =
            |margins, logit_scales| TrainingObjective::ScaledMargins { margins, logit_scales };
        let squared = TrainingObjective::WeightedSquaredError {
            regularization: regularization.clone(),
            class_weights: one(),
            label_smoothing: 0.0,
        };
        let entries = TrainingObjective::WeightedEntries {
            regularization: regularization.clone(),
            entry_weights: one(),
            label_smoothing: 0.0,
        };
        for (objective, kinds) in [
            (weighted(one(), vec![]), [0, 1, 0]),
            (weighted(vec![], other()), [0, 0, 1]),
            (weighted(one(), other()), [0, 1, 2]),
            (weighted(vec![1.0, 2.0], vec![]), [0, 0, 0]),
            (squared, [0, 1, 0]),
            (entries, [0, 1, 0]),
            (margins(one(), vec![]), [0, 1, 0]),
            (margins(vec![], other()), [0, 0, 1]),
        ] {
            assert_eq!(objective.class_kinds(&counts), kinds, "{objective:?}");
        }
    }

    #[test]
    fn margins_are_constraints_and_budgets_are_of_one_layer() {
        let (weight_energy, feature_energy) = (1.0, 1.0);
        let loss_function = LossFunction::CrossEntropy;
        let budgeted = TrainingObjective::Budgeted { loss_function, weight_energy, feature_energy };
        let smallest = TrainingObjective::SmallestNorms { loss_function: LossFunction::Margin };
        let plain = TrainingObjective::DataTerm { loss_function };
        let both = |objective: &TrainingObjective| {
            (objective.is_of_one_layer(), objective.is_constraint())
        };
        assert_eq!(
            [&budgeted, &smallest, &plain].map(both),
            [(true, false), (true, true), (false, false)]
        );
    }
}
