//! What is minimised.

use clap::ValueEnum;

/// What is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Loss {
    /// The mean squared error
    #[default]
    #[value(alias = "mean-squared-error", alias = "squared")]
    Mse,
    /// Cross-entropy, balanced classes
    #[value(alias = "cross-entropy", alias = "cross_entropy")]
    Ce,
    /// The layer-peeled model: cross-entropy with budgets for the norms
    #[value(alias = "layer_peeled")]
    LayerPeeled,
    /// The support vector machine on free features: cross-entropy for vanishing weight decay
    #[value(alias = "uf_svm", alias = "seli")]
    UfSvm,
}

impl Loss {
    /// The name in the JSON output and in the metadata of files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mse => "mse",
            Self::Ce => "cross_entropy",
            Self::LayerPeeled => "layer_peeled",
            Self::UfSvm => "uf_svm",
        }
    }
}
