//! What is minimized.

use clap::ValueEnum;
use neural_collapse::models::AnyModel;
use neural_collapse::problem::{LossFunction, TrainingObjective};

/// What is minimized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Loss {
    /// The mean squared error
    #[default]
    #[value(alias = "mean-squared-error", alias = "squared")]
    Mse,
    /// Cross-entropy
    #[value(alias = "cross-entropy", alias = "cross_entropy")]
    Ce,
    /// The layer-peeled model: cross-entropy with budgets for the norms
    #[value(alias = "layer_peeled")]
    LayerPeeled,
    /// The support vector machine on free features: cross-entropy for vanishing weight decay
    #[value(alias = "uf_svm", alias = "seli")]
    UfSvm,
    /// Cross-entropy in front of a classifier that is a simplex ETF and not trained
    #[value(alias = "fixed_etf")]
    FixedEtf,
    /// Cross-entropy of cosines, divided by a temperature: features and classifier of length 1
    #[value(alias = "spherical_ce")]
    SphericalCe,
    /// The supervised contrastive loss of features of length 1
    Supcon,
}

impl Loss {
    /// Whether minima are searched for numerically where none is known in closed form.
    pub(crate) fn is_searched(self) -> bool {
        matches!(self, Self::Mse | Self::Ce)
    }

    /// The name in the JSON output and in the metadata of files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mse => "mse",
            Self::Ce => "cross_entropy",
            Self::LayerPeeled => "layer_peeled",
            Self::UfSvm => "uf_svm",
            Self::FixedEtf => "fixed_etf",
            Self::SphericalCe => "spherical_ce",
            Self::Supcon => "supcon",
        }
    }

    /// The library's loss function.
    pub(crate) fn function(self) -> LossFunction {
        match self {
            Self::Mse => LossFunction::SquaredError,
            Self::Ce | Self::LayerPeeled | Self::FixedEtf | Self::SphericalCe => {
                LossFunction::CrossEntropy
            }
            Self::Supcon => LossFunction::SupervisedContrastive,
            Self::UfSvm => LossFunction::Margin,
        }
    }

    /// What can be had where no closed form is known for an objective with this loss, in words.
    pub(crate) fn instead(self, objective: &TrainingObjective) -> &'static str {
        match self {
            Self::Ce if has_nonnegative_features(objective) => {
                "it is known for one layer with as many dimensions as classes that do not collapse: without a bias for \
                 classes of any sizes and weights, with one for classes that are alike"
            }
            Self::Mse => {
                "--search looks for the minimum numerically; with --bias none or --bias unregularized it is known for \
                 classes of any sizes"
            }
            Self::Ce => {
                "--search looks for the minimum of several layers numerically; it is known for classes of any sizes with \
                 one layer, --loss layer-peeled and --loss uf-svm"
            }
            _ => "it is known for classes of any sizes under --loss layer-peeled and --loss uf-svm",
        }
    }

    /// The loss of a model.
    pub(crate) fn of(model: &AnyModel) -> Self {
        match model {
            AnyModel::Squared(_) => Self::Mse,
            AnyModel::LayerPeeled(_) => Self::LayerPeeled,
            AnyModel::SupportVectors(_) => Self::UfSvm,
            AnyModel::FixedHead(_) => Self::FixedEtf,
            AnyModel::UnitVectors(_) => {
                match model.prediction().training_objective().loss_function() {
                    LossFunction::SupervisedContrastive => Self::Supcon,
                    _ => Self::SphericalCe,
                }
            }
            _ => match model.prediction().training_objective().loss_function() {
                LossFunction::SquaredError => Self::Mse,
                _ => Self::Ce,
            },
        }
    }
}

fn has_nonnegative_features(objective: &TrainingObjective) -> bool {
    matches!(objective, TrainingObjective::WeightedCrossEntropy { nonnegative_features: true, .. })
}
