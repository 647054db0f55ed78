//! What the flags and the metadata of a file state of a training run.

use std::str::FromStr;

use neural_collapse::problem::PartialRegularization;
use neural_collapse::{Bias, Error, LinearHead};

use crate::error::CliError;
use crate::label_treatment::LabelTreatment;
use crate::loss::Loss;
use crate::rates::Rates;

/// The weight decays of the layers, in the user's words.
const WEIGHT_DECAYS: &str = "the weight decays (--weight-decay or the metadata `lambda_w`)";

/// A decay as it is given: a number, or to be inferred from the network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Decay {
    /// This one.
    Given(f64),
    /// That which balances the layers.
    Inferred,
}

impl FromStr for Decay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "inferred" => Ok(Self::Inferred),
            number => number
                .parse()
                .map(Self::Given)
                .map_err(|_| format!("`{text}` is neither a number nor `inferred`")),
        }
    }
}

impl Decay {
    pub(crate) fn given(self) -> Option<f64> {
        match self {
            Self::Given(decay) => Some(decay),
            Self::Inferred => None,
        }
    }
}

/// What is stated of a training: the loss, the decays and the treatment of the bias, as far as they are known.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct StatedTraining {
    /// λ₁, …, λ_M, or one value that stands for all.
    pub(crate) weight_decays: Option<Vec<Decay>>,
    /// λ_H.
    pub(crate) feature_decay: Option<Decay>,
    /// Treatment of the bias.
    pub(crate) bias: Option<Bias>,
    /// What was minimized.
    pub(crate) loss: Option<Loss>,
    /// How decays are meant.
    pub(crate) rates: Rates,
    /// How the loss treats labels.
    pub(crate) labels: LabelTreatment,
    /// Whether the head has one output, read as the difference of two.
    pub(crate) has_one_output: bool,
    /// The temperature of features and classifier of length 1.
    pub(crate) temperature: Option<f64>,
}

impl StatedTraining {
    /// These, and what only the others tell.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            weight_decays: self.weight_decays.or(others.weight_decays),
            feature_decay: self.feature_decay.or(others.feature_decay),
            bias: self.bias.or(others.bias),
            loss: self.loss.or(others.loss),
            rates: self.rates,
            labels: self.labels.or(others.labels),
            temperature: self.temperature.or(others.temperature),
            has_one_output: self.has_one_output || others.has_one_output,
        }
    }

    /// The same without the constraint that features are not negative.
    pub(crate) fn with_features_of_any_sign(mut self) -> Self {
        self.labels.nonnegative_features = false;
        self
    }

    /// Whether all decays are stated, as numbers or as to be inferred.
    pub(crate) fn has_decays(&self) -> bool {
        self.weight_decays.is_some() && self.feature_decay.is_some()
    }

    /// The regularization of a head that was trained on so many samples, in the decays of the objective. What is to be
    /// inferred is not known in it, nor what is not stated.
    ///
    /// A setting for the bias that contradicts the file is refused, even where nothing depends on it.
    pub(crate) fn regularization(
        &self,
        head: &LinearHead,
        samples: u64,
    ) -> Result<PartialRegularization, CliError> {
        let (rates, classes) = (self.rates, head.classes());
        let weights = match self.weight_decays.as_deref() {
            Some(stated) => spread(WEIGHT_DECAYS, stated, head.depth())?,
            None => vec![Decay::Inferred; head.depth()],
        };
        let weight =
            |decay: Decay| decay.given().map(|rate| rates.weight_decay(rate, classes)).transpose();
        let weights = weights.into_iter().map(weight).collect::<Result<Vec<_>, Error>>()?;
        let features = self.feature_decay.and_then(Decay::given);
        let features = features.map(|rate| rates.feature_decay(rate, samples, classes));
        let regularization = PartialRegularization::new(&weights, features.transpose()?)?
            .with_bias(self.bias_of_head(head)?)?;
        Ok(match self.has_one_output {
            true => regularization.of_two_outputs()?,
            false => regularization,
        })
    }

    /// Without a setting, a bias is taken as not penalized.
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
            (Some(bias), _) => Ok(self.rates.bias(bias, head.classes())?),
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

/// How the treatment of a bias is stated.
pub(crate) const BIAS_SYNTAX: &str = "`none`, `unregularized` or the weight decay of the bias";

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
    fn decays_are_numbers_or_inferred() {
        assert_eq!("5e-4".parse(), Ok(Decay::Given(5e-4)));
        assert_eq!("inferred".parse(), Ok(Decay::Inferred));
        assert!("guess".parse::<Decay>().is_err());
    }
}
