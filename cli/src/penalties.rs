//! What is known of a training run, as the flags and the metadata of a file state it.

use std::str::FromStr;

use neural_collapse::audit::infer_decays;
use neural_collapse::geometry::ClassMatrix;
use neural_collapse::measure::FeatureEnergy;
use neural_collapse::problem::{LossFunction, TrainingObjective};
use neural_collapse::{Bias, Error, LinearHead, Regularization};

use crate::decays::Decays;
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

/// The loss, the decays and the treatment of the bias, as far as they are known.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Penalties {
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

/// The objective of a training run, or why it is not known.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    /// What was minimized, if it is known.
    pub(crate) loss: Option<Loss>,
    /// Whether the loss is assumed, as nothing tells it.
    pub(crate) loss_is_assumed: bool,
    /// Whether the bias counts as not penalized because nothing tells how it is.
    pub(crate) bias_is_assumed: bool,
    /// Treatment of the bias.
    pub(crate) bias: Bias,
    /// The known weight decays, where others are missing.
    pub(crate) weight_decays: Option<Vec<f64>>,
    /// λ_H, if it was inferred.
    pub(crate) inferred_feature_decay: Option<f64>,
    /// λ₁, …, λ_M as far as they were inferred, if any was.
    pub(crate) inferred_weight_decays: Option<Vec<Option<f64>>>,
    /// The objective.
    pub(crate) objective: Option<TrainingObjective>,
    /// Why there can be no prediction, in words.
    pub(crate) missing: Option<String>,
}

impl Resolved {
    /// The objective that was found; the reason is kept if there is none.
    fn found(
        &mut self,
        objective: Result<TrainingObjective, &'static str>,
    ) -> Option<TrainingObjective> {
        match objective {
            Ok(objective) => Some(objective),
            Err(reason) => {
                self.missing.get_or_insert(reason.into());
                None
            }
        }
    }
}

impl Penalties {
    /// What of the objective is known for a head whose features have these lengths.
    ///
    /// A setting for the bias that contradicts the file is refused, even where nothing depends on it.
    pub(crate) fn resolve(
        &self,
        head: &LinearHead,
        energy: &FeatureEnergy,
    ) -> Result<Resolved, CliError> {
        self.labels.check(head.classes())?;
        let decays = self.decays(head, energy)?;
        let (loss, loss_is_assumed) = match (self.loss, &decays) {
            (Some(loss), _) => (Some(loss), false),
            (None, Decays::All { .. }) => (Some(Loss::Mse), true),
            (None, _) => (None, false),
        };
        if let Some(loss) = loss {
            self.rates.check(loss)?;
        }
        let bias = self.bias_of_head(head)?;
        Regularization::new(&[1.0], 1.0)?.with_bias(bias)?;
        let mut resolved = Resolved {
            loss,
            loss_is_assumed,
            bias_is_assumed: self.bias.is_none() && head.bias().is_some(),
            bias,
            weight_decays: decays.weight_decays().map(<[f64]>::to_vec),
            inferred_feature_decay: decays.inferred_feature_decay(),
            inferred_weight_decays: decays.inferred_weight_decays(),
            objective: None,
            missing: self.uncovered(loss).map(String::from),
        };
        let data_term = |loss_function| Some(TrainingObjective::DataTerm { loss_function });
        resolved.objective = match (loss, decays) {
            (None, _) => None,
            // The squared error of two outputs ±z/2 is not that of one.
            (Some(Loss::Mse), _) if self.has_one_output => None,
            (Some(Loss::LayerPeeled), _) => Some(TrainingObjective::Budgeted {
                loss_function: LossFunction::CrossEntropy,
                weight_energy: head.product()?.norm_squared() / head.classes() as f64,
                feature_energy: energy.mean()?,
            }),
            (Some(Loss::FixedEtf), _) => resolved.found(self.fixed_head(head, energy)?),
            (Some(loss @ (Loss::SphericalCe | Loss::Supcon)), _) => {
                resolved.found(self.unit_vectors(loss, head))
            }
            (Some(Loss::UfSvm), _) => Some(self.labels.margins()),
            (Some(loss @ (Loss::Mse | Loss::Ce)), Decays::All { weights, features, .. }) => {
                let regularization =
                    Regularization::new(&weights, features)?.with_bias(resolved.bias)?;
                Some(self.labels.objective(loss, regularization))
            }
            (Some(loss @ (Loss::Mse | Loss::Ce)), Decays::Missing { reason, .. }) => {
                resolved.missing.get_or_insert(reason.into());
                data_term(loss.function())
            }
        };
        if loss.is_none() {
            resolved.missing =
                Some(unknown_loss(self.weight_decays.is_some(), self.feature_decay.is_some()));
        }
        Ok(resolved)
    }

    /// What no model covers of such a training, in words.
    fn uncovered(&self, loss: Option<Loss>) -> Option<&'static str> {
        match (loss, self.has_one_output) {
            (Some(Loss::Mse), true) => Some(ONE_OUTPUT),
            _ => self.labels.uncovered(loss),
        }
    }

    /// The objective of features in front of a simplex ETF that is not trained, or why it is not known.
    fn fixed_head(
        &self,
        head: &LinearHead,
        energy: &FeatureEnergy,
    ) -> Result<Result<TrainingObjective, &'static str>, CliError> {
        if head.depth() != 1 || head.bias().is_some() {
            return Ok(Err("a fixed simplex ETF is covered as one layer without a bias"));
        }
        let Some(rate) = self.feature_decay.and_then(Decay::given) else {
            return Ok(Err(
                "the weight decay of the features is not known (--feature-decay or the metadata `lambda_h`)",
            ));
        };
        let samples = energy.counts().iter().sum();
        let feature_decay = self.rates.feature_decay(rate, samples, head.classes())?;
        let classifier = head.product()?;
        let gram = &classifier * classifier.transpose();
        let simplex = ClassMatrix::simplex_etf(head.classes())?;
        if simplex.distance(&gram).is_ok_and(|distance| distance > ETF_TOLERANCE) {
            return Ok(Err("the classifier is not a simplex ETF"));
        }
        let classifier_norm_squared = classifier.norm_squared() / head.classes() as f64;
        let label_smoothing = self.labels.label_smoothing.unwrap_or(0.0);
        Ok(Ok(TrainingObjective::FixedSimplexHead {
            classifier_norm_squared,
            feature_decay,
            label_smoothing,
        }))
    }

    /// The objective of vectors of length 1, or why it is not known.
    fn unit_vectors(
        &self,
        loss: Loss,
        head: &LinearHead,
    ) -> Result<TrainingObjective, &'static str> {
        if head.depth() != 1 || head.bias().is_some() {
            return Err("vectors of length 1 are covered with one layer and without a bias");
        }
        let Some(temperature) = self.temperature else {
            return Err(
                "features and classifier are not divided by their norms (--normalize and --temperature)",
            );
        };
        Ok(TrainingObjective::UnitVectors {
            loss_function: loss.function(),
            temperature,
            nonnegative_features: self.labels.nonnegative_features,
        })
    }

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

    /// The decays of the two-class head that a head with one output stands for.
    ///
    /// The output z is the difference of two outputs ±z/2, whose rows together have half of the squared norm: the same
    /// penalty needs twice the weight decay in the last of `depth` layers, and twice that of the bias.
    pub(crate) fn of_two_outputs(mut self, depth: usize) -> Self {
        self.has_one_output = true;
        self.weight_decays = self.weight_decays.map(|decays| {
            let mut decays = match decays[..] {
                [decay] => vec![decay; depth],
                _ => decays,
            };
            if let Some(Decay::Given(last)) = decays.last_mut() {
                *last *= 2.0;
            }
            decays
        });
        self.bias = self.bias.map(|bias| match bias {
            Bias::Regularized(decay) => Bias::Regularized(2.0 * decay),
            other => other,
        });
        self
    }

    /// The decays of the objective: converted from the rates of training code, and inferred where that is asked for.
    fn decays(&self, head: &LinearHead, energy: &FeatureEnergy) -> Result<Decays, CliError> {
        let weights = self.weight_decays.as_deref();
        let weights =
            weights.map(|given| spread(WEIGHT_DECAYS, given, head.depth())).transpose()?;
        let samples = energy.counts().iter().sum();
        let convert = |decay: Decay| -> Result<Option<f64>, Error> {
            decay.given().map(|rate| self.rates.weight_decay(rate, head.classes())).transpose()
        };
        let weights = weights
            .map(|weights| weights.into_iter().map(convert).collect::<Result<Vec<_>, _>>())
            .transpose()?;
        let features = self.feature_decay.map(|decay| {
            let rate = decay.given();
            rate.map(|rate| self.rates.feature_decay(rate, samples, head.classes())).transpose()
        });
        let features = features.transpose()?;
        check(weights.as_deref(), features.flatten())?;
        Ok(match (weights, features) {
            (Some(weights), Some(features)) => {
                let inferred = infer_decays(head, energy.total(), &weights, features);
                let (inferred_weights, inferred_features) = inferred.map_err(not_inferred)?;
                Decays::All {
                    weights: inferred_weights,
                    features: inferred_features,
                    weights_are_inferred: weights.iter().map(Option::is_none).collect(),
                    features_are_inferred: features.is_none(),
                }
            }
            (weights, features) => {
                let weights = weights.and_then(|weights| weights.into_iter().collect());
                Decays::Missing { reason: missing(weights.is_some(), features.is_some()), weights }
            }
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
            (Some(Bias::Regularized(rate)), _) => {
                Ok(Bias::Regularized(self.rates.weight_decay(rate, head.classes())?))
            }
            (Some(bias), _) => Ok(bias),
        }
    }
}

/// Up to this distance of its Gram matrix a classifier is the simplex ETF that it was set to: numbers in bf16 have an
/// error of 0.004.
const ETF_TOLERANCE: f64 = 0.01;

const ONE_OUTPUT: &str = "a head with one output has no model under the squared loss, whose targets need not be those \
                          of two outputs; under the logistic loss (--loss ce) it is the difference of two";

/// Names the flags where decays cannot be inferred.
fn not_inferred(error: Error) -> CliError {
    let Error::NotAnswered { reason, .. } = error else { return error.into() };
    CliError::Argument {
        name: "--weight-decay and --feature-decay".into(),
        reason: format!("`inferred` has no answer: {reason}; give one or all of them as numbers"),
    }
}

/// Refuses decays that no objective has, even where others are missing so that nothing depends on them.
fn check(weights: Option<&[Option<f64>]>, features: Option<f64>) -> Result<(), Error> {
    let known = |decay: Option<f64>| decay.unwrap_or(1.0);
    let weights = weights.unwrap_or(&[None]).iter().copied().map(known).collect::<Vec<_>>();
    Regularization::new(&weights, known(features)).map(drop)
}

/// Why the decays are not all known.
fn missing(weights_are_known: bool, features_are_known: bool) -> &'static str {
    match (weights_are_known, features_are_known) {
        (false, true) => {
            "the weight decays of the layers are not known (--weight-decay or the metadata `lambda_w`)"
        }
        (true, _) => {
            "the weight decay of the features is not known (--feature-decay or the metadata `lambda_h`; \
             --feature-decay inferred takes it from the balance of the layers)"
        }
        (false, false) => {
            "the weight decays are not known (--weight-decay and --feature-decay, or the metadata \
             `lambda_w` and `lambda_h`)"
        }
    }
}

/// Why there is no prediction where nothing tells the loss: with all decays the squared error would be assumed.
fn unknown_loss(weights_are_known: bool, features_are_known: bool) -> String {
    const LOSS: &str = "the loss function (--loss or the metadata `loss_function`)";
    match weights_are_known || features_are_known {
        true => {
            let decays = missing(weights_are_known, features_are_known);
            format!("{LOSS} is not known, and {decays}")
        }
        false => format!(
            "neither {LOSS} nor the weight decays (--weight-decay and --feature-decay, or the metadata `lambda_w` and \
             `lambda_h`) are known"
        ),
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

    #[test]
    fn decays_are_numbers_or_inferred() {
        assert_eq!("5e-4".parse(), Ok(Decay::Given(5e-4)));
        assert_eq!("inferred".parse(), Ok(Decay::Inferred));
        assert!("guess".parse::<Decay>().is_err());
    }
}
