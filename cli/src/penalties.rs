//! The hyper-parameters of a training run, as the flags and the metadata of a file state them.

use neural_collapse::{Bias, LinearHead, Regularization};

use crate::error::CliError;
use crate::loss::Loss;

/// The weight decays of the layers, in the user's words.
const WEIGHT_DECAYS: &str = "the weight decays (--weight-decay or the metadata `lambda_w`)";

/// The loss, the weight decays and the treatment of the bias, as far as they are known.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Penalties {
    /// λ₁, …, λ_M, or one value that stands for all.
    pub(crate) weight_decays: Option<Vec<f64>>,
    /// λ_H.
    pub(crate) feature_decay: Option<f64>,
    /// Treatment of the bias.
    pub(crate) bias: Option<Bias>,
    /// What they are penalties beside.
    pub(crate) loss: Option<Loss>,
    /// The label smoothing of the cross-entropy.
    pub(crate) label_smoothing: Option<f64>,
    /// The weights of the classes in the loss.
    pub(crate) class_weights: Option<Vec<f64>>,
}

impl Penalties {
    /// The penalties that `head` was trained with; `None` if they are not all known.
    ///
    /// A setting for the bias that contradicts the file is refused, even where nothing depends on it.
    pub(crate) fn of_head(&self, head: &LinearHead) -> Result<Option<Regularization>, CliError> {
        let bias = self.bias_of_head(head)?;
        if self.uncovered().is_some() {
            return Ok(None);
        }
        let (Some(weight_decays), Some(feature_decay)) = (&self.weight_decays, self.feature_decay)
        else {
            return Ok(None);
        };
        let weight_decays = spread(WEIGHT_DECAYS, weight_decays, head.depth())?;
        Ok(Some(Regularization::new(&weight_decays, feature_decay)?.with_bias(bias)?))
    }

    /// These, and what only the others tell.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            weight_decays: self.weight_decays.or(others.weight_decays),
            feature_decay: self.feature_decay.or(others.feature_decay),
            bias: self.bias.or(others.bias),
            loss: self.loss.or(others.loss),
            label_smoothing: self.label_smoothing.or(others.label_smoothing),
            class_weights: self.class_weights.or(others.class_weights),
        }
    }

    /// The penalties of the two-class head that a head with one output stands for.
    ///
    /// The output z is the difference of two outputs ±z/2, whose rows together have half of the squared norm: the same
    /// penalty needs twice the weight decay in the last of `depth` layers, and twice that of the bias.
    pub(crate) fn of_two_outputs(mut self, depth: usize) -> Self {
        self.weight_decays = self.weight_decays.map(|decays| {
            let mut decays = match decays[..] {
                [decay] => vec![decay; depth],
                _ => decays,
            };
            decays.last_mut().into_iter().for_each(|decay| *decay *= 2.0);
            decays
        });
        self.bias = self.bias.map(|bias| match bias {
            Bias::Regularized(decay) => Bias::Regularized(2.0 * decay),
            other => other,
        });
        self
    }

    /// What the loss was trained with that no model here covers, in words.
    fn uncovered(&self) -> Option<&'static str> {
        if self.label_smoothing.is_some_and(|smoothing| smoothing != 0.0) {
            return Some(
                "no model here covers label smoothing (--label-smoothing or the metadata `label_smoothing`)",
            );
        }
        let weights = self.class_weights.as_deref().unwrap_or_default();
        let weighted = weights.iter().zip(weights.iter().skip(1)).any(|(one, other)| one != other);
        weighted.then_some("no model here covers class weights (the metadata `class_weights`)")
    }

    /// Why the penalties are not all known, in words; `None` if they are.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        if let Some(reason) = self.uncovered() {
            return Some(reason);
        }
        match (&self.weight_decays, self.feature_decay) {
            (Some(_), Some(_)) => None,
            (None, Some(_)) => Some(
                "the weight decays of the layers are not known (--weight-decay or the metadata `lambda_w`)",
            ),
            (Some(_), None) => Some(
                "the weight decay of the features is not known (--feature-decay or the metadata `lambda_h`)",
            ),
            (None, None) => Some(
                "the weight decays are not known (--weight-decay and --feature-decay, or the metadata \
                 `lambda_w` and `lambda_h`)",
            ),
        }
    }

    /// Without a setting, a bias is taken as not penalised.
    fn bias_of_head(&self, head: &LinearHead) -> Result<Bias, CliError> {
        let contradiction = |reason: &str| CliError::Argument {
            name: "the setting for the bias (--bias or the metadata `bias`)".into(),
            reason: reason.into(),
        };
        match (self.bias, head.bias()) {
            (None, None) => Ok(Bias::None),
            (None, Some(_)) => Ok(Bias::Unregularized),
            (Some(Bias::None), Some(_)) => Err(contradiction(
                "it is `none`, but the file has a bias; give --bias unregularized or its weight decay",
            )),
            (Some(Bias::Unregularized | Bias::Regularized(_)), None) => Err(contradiction(
                "it is not `none`, but the file has no bias; give its name with --bias-key, or --bias none",
            )),
            (Some(bias), _) => Ok(bias),
        }
    }
}

/// A value for each of `depth` layers, from one for each or one for all.
pub(crate) fn spread<T: Copy>(name: &str, values: &[T], depth: usize) -> Result<Vec<T>, CliError> {
    match values {
        [value] => Ok(vec![*value; depth]),
        _ if values.len() == depth => Ok(values.to_vec()),
        _ => Err(CliError::Argument {
            name: name.into(),
            reason: format!(
                "{} values for {depth} layers, but one for all or one for each is expected",
                values.len()
            ),
        }),
    }
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
    fn one_value_stands_for_all_layers() {
        assert_eq!(spread("--widths", &[64], 3).unwrap(), [64, 64, 64]);
        assert_eq!(spread("--widths", &[64, 32], 2).unwrap(), [64, 32]);
        let error = spread("--widths", &[64, 32], 3).unwrap_err().to_string();
        assert_eq!(
            error,
            "--widths: 2 values for 3 layers, but one for all or one for each is expected"
        );
    }

    #[test]
    fn every_treatment_of_the_bias_is_understood() {
        assert_eq!(parse_bias("none"), Some(Bias::None));
        assert_eq!(parse_bias("unregularized"), Some(Bias::Unregularized));
        assert_eq!(parse_bias("5e-4"), Some(Bias::Regularized(5e-4)));
        assert_eq!(parse_bias("yes"), None);
        assert_eq!(parse_bias(""), None);
    }
}
