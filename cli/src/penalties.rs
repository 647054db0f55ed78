//! The hyper-parameters of a training run, as the flags and the metadata of a file state them.

use neural_collapse::Bias;

/// The weight decays and the treatment of the bias, as far as they are known.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Penalties {
    /// λ₁, …, λ_M, or one value that stands for all.
    pub(crate) weight_decays: Option<Vec<f64>>,
    /// λ_H.
    pub(crate) feature_decay: Option<f64>,
    /// Treatment of the bias.
    pub(crate) bias: Option<Bias>,
}

/// What [`parse_bias`] understands.
pub(crate) const BIAS_SYNTAX: &str = "`none`, `unregularized` or the weight decay of the bias";

/// Parses `none`, `unregularized` or the number λ_b. The range of the number is not checked.
pub(crate) fn parse_bias(text: &str) -> Option<Bias> {
    match text {
        "none" => Some(Bias::None),
        "unregularized" => Some(Bias::Unregularized),
        _ => text.trim().parse().ok().map(Bias::Regularized),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_treatment_of_the_bias_is_understood() {
        assert_eq!(parse_bias("none"), Some(Bias::None));
        assert_eq!(parse_bias("unregularized"), Some(Bias::Unregularized));
        assert_eq!(parse_bias("5e-4"), Some(Bias::Regularized(5e-4)));
        assert_eq!(parse_bias("yes"), None);
        assert_eq!(parse_bias(""), None);
    }
}
