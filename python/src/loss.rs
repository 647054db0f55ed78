//! What the losses are called, and which arguments belong to them.

use neural_collapse::problem::{LossFunction, TrainingObjective};
use pyo3::prelude::*;

use crate::error::bad_argument;

/// What is minimized, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    SquaredError,
    CrossEntropy,
    LayerPeeled,
    SupportVectors,
    FixedEtf,
    SphericalCrossEntropy,
    SupervisedContrastive,
    SoftLabels,
    PickAllLabels,
    SupportMargins,
}

impl Loss {
    /// The loss that `predict` is asked for.
    pub(crate) fn new(py: Python<'_>, name: &str) -> PyResult<Self> {
        match name.to_lowercase().replace(['-', ' '], "_").as_str() {
            "mse" | "squared" | "squared_error" | "mean_squared_error" => Ok(Self::SquaredError),
            "ce" | "cross_entropy" => Ok(Self::CrossEntropy),
            "layer_peeled" => Ok(Self::LayerPeeled),
            "uf_svm" | "svm" | "seli" => Ok(Self::SupportVectors),
            "fixed_etf" | "fixed_head" => Ok(Self::FixedEtf),
            "spherical_ce" | "spherical_cross_entropy" => Ok(Self::SphericalCrossEntropy),
            "supcon" | "supervised_contrastive" => Ok(Self::SupervisedContrastive),
            _ => Err(bad_argument(
                py,
                "loss",
                &format!("'{name}'"),
                "'mse', 'ce', 'layer_peeled', 'uf_svm', 'fixed_etf', 'spherical_ce' or 'supcon'",
            )),
        }
    }

    /// The loss of an objective.
    pub(crate) fn of(objective: &TrainingObjective) -> Self {
        match (objective, objective.loss_function()) {
            (TrainingObjective::Budgeted { .. }, _) => Self::LayerPeeled,
            (TrainingObjective::FixedSimplexHead { .. }, _) => Self::FixedEtf,
            (_, LossFunction::SupervisedContrastive) => Self::SupervisedContrastive,
            (TrainingObjective::UnitVectors { .. }, _) => Self::SphericalCrossEntropy,
            (_, LossFunction::Margin | LossFunction::ScaledMargin) => Self::SupportVectors,
            (_, LossFunction::SupportMargin) => Self::SupportMargins,
            (_, LossFunction::PickAllLabels) => Self::PickAllLabels,
            (_, LossFunction::SoftLabels) => Self::SoftLabels,
            (_, LossFunction::SquaredError) => Self::SquaredError,
            _ => Self::CrossEntropy,
        }
    }

    /// The name in the program's JSON, and of those that it does not have.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SquaredError => "mse",
            Self::CrossEntropy => "cross_entropy",
            Self::LayerPeeled => "layer_peeled",
            Self::SupportVectors => "uf_svm",
            Self::FixedEtf => "fixed_etf",
            Self::SphericalCrossEntropy => "spherical_ce",
            Self::SupervisedContrastive => "supcon",
            Self::SoftLabels => "soft_labels",
            Self::PickAllLabels => "pick_all_labels",
            Self::SupportMargins => "support_margins",
        }
    }

    /// The class of its predictions.
    pub(crate) fn class_name(self) -> &'static str {
        match self {
            Self::SquaredError => "Ufm",
            Self::CrossEntropy => "CrossEntropy",
            Self::LayerPeeled => "LayerPeeled",
            Self::SupportVectors => "Seli",
            Self::FixedEtf => "FixedHead",
            Self::SphericalCrossEntropy => "SphericalCrossEntropy",
            Self::SupervisedContrastive => "SupervisedContrastive",
            Self::SoftLabels => "SoftLabels",
            Self::PickAllLabels => "MultiLabel",
            Self::SupportMargins => "SparseLabels",
        }
    }

    /// The arguments of `predict` that it uses, beyond those of all.
    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            // The last two are refused by what they ask for instead.
            Self::SquaredError => &[
                "weight_decay",
                "feature_decay",
                "bias",
                "class_weights",
                "label_smoothing",
                "logit_offsets",
                "nonnegative_features",
            ],
            Self::CrossEntropy => &[
                "weight_decay",
                "feature_decay",
                "bias",
                "class_weights",
                "label_smoothing",
                "logit_offsets",
                "nonnegative_features",
                "pytorch_weight",
            ],
            Self::LayerPeeled => &["weight_energy", "feature_energy"],
            Self::SupportVectors => &["margins", "logit_scales"],
            Self::FixedEtf => &["classifier_norm_squared", "feature_decay", "label_smoothing"],
            Self::SphericalCrossEntropy | Self::SupervisedContrastive => {
                &["temperature", "nonnegative_features"]
            }
            Self::SoftLabels | Self::PickAllLabels | Self::SupportMargins => &[],
        }
    }
}
