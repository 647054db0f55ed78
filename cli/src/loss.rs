//! The losses that the program knows, by the names that are typed.

use clap::ValueEnum;
use neural_collapse::models::AnyModel;

/// What training minimizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Loss {
    /// The squared error with weight decay.
    #[default]
    #[value(alias = "mean-squared-error", alias = "squared")]
    Mse,
    /// Cross-entropy with weight decay.
    #[value(alias = "cross-entropy", alias = "cross_entropy")]
    Ce,
    /// Cross-entropy with budgets for the norms.
    #[value(alias = "layer_peeled")]
    LayerPeeled,
    /// The support vector machine on free features.
    #[value(alias = "uf_svm", alias = "seli")]
    UfSvm,
}

impl Loss {
    /// The name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mse => "mse",
            Self::Ce => "cross_entropy",
            Self::LayerPeeled => "layer_peeled",
            Self::UfSvm => "uf_svm",
        }
    }

    /// The loss of a model.
    pub(crate) fn of(model: &AnyModel) -> Self {
        match model {
            AnyModel::Squared(_) => Self::Mse,
            AnyModel::LayerPeeled(_) => Self::LayerPeeled,
            AnyModel::SupportVectors(_) => Self::UfSvm,
            _ => Self::Ce,
        }
    }
}
