//! The objective of a training run, from what is stated of it and the network that it led to.

use neural_collapse::geometry::ClassMatrix;
use neural_collapse::measure::FeatureEnergy;
use neural_collapse::metrics::nc2;
use neural_collapse::problem::{LossFunction, PartialRegularization, TrainingObjective};
use neural_collapse::{Bias, Error, LinearHead, Regularization};

use crate::error::CliError;
use crate::loss::Loss;
use crate::stated::{Decay, StatedTraining};

/// The objective of a training run, or why it is not known.
#[derive(Debug, Clone)]
pub(crate) struct Training {
    /// What was minimized, if it is known.
    pub(crate) loss: Option<Loss>,
    /// Whether the loss is assumed, as nothing tells it.
    pub(crate) loss_is_assumed: bool,
    /// Whether the bias counts as not penalized because nothing tells how it is.
    pub(crate) bias_is_assumed: bool,
    /// Treatment of the bias.
    pub(crate) bias: Bias,
    /// λ₁, …, λ_M, where all of them are known.
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

/// The objective as far as it is known, and why there can be no prediction of it.
type Found = (Option<TrainingObjective>, Option<&'static str>);

impl Training {
    /// What of the objective is known for a head whose features have these lengths.
    pub(crate) fn new(
        stated: &StatedTraining,
        head: &LinearHead,
        energy: &FeatureEnergy,
    ) -> Result<Self, CliError> {
        stated.labels.check(head.classes())?;
        // With all decays the squared error is assumed.
        let assumed = stated.has_decays().then_some(Loss::Mse);
        let loss = stated.loss.or(assumed);
        if let Some(loss) = loss {
            stated.rates.check(loss)?;
        }
        let partial = stated.regularization(head, energy.counts().iter().sum())?;
        let regularization = match stated.has_decays() {
            true => Some(partial.inferred(head, energy.total()).map_err(not_inferred)?),
            false => None,
        };
        let (objective, missing) = match loss {
            Some(loss) => objective(stated, loss, regularization.as_ref(), (head, energy))?,
            None => (None, None),
        };
        let missing = uncovered(stated, loss).or(missing).map(String::from);
        Ok(Self {
            loss,
            loss_is_assumed: stated.loss.is_none() && loss.is_some(),
            bias_is_assumed: stated.bias.is_none() && head.bias().is_some(),
            bias: partial.bias(),
            weight_decays: match &regularization {
                Some(known) => Some(known.weight_decays().to_vec()),
                None => partial.weight_decays().iter().copied().collect(),
            },
            inferred_feature_decay: regularization
                .as_ref()
                .filter(|_| partial.feature_decay().is_none())
                .map(Regularization::feature_decay),
            inferred_weight_decays: regularization
                .as_ref()
                .and_then(|known| inferred_weight_decays(&partial, known)),
            objective,
            missing: loss.map_or_else(|| Some(unknown_loss(stated)), |_| missing),
        })
    }
}

/// The decays of the layers that were not given, if there are some.
fn inferred_weight_decays(
    partial: &PartialRegularization,
    known: &Regularization,
) -> Option<Vec<Option<f64>>> {
    let decays = partial.weight_decays().iter().zip(known.weight_decays());
    let inferred = decays.map(|(given, &decay)| given.is_none().then_some(decay));
    partial.weight_decays().contains(&None).then(|| inferred.collect())
}

/// What no model covers of such a training, in words.
fn uncovered(stated: &StatedTraining, loss: Option<Loss>) -> Option<&'static str> {
    match (loss, stated.has_one_output) {
        (Some(Loss::Mse), true) => Some(ONE_OUTPUT),
        _ => stated.labels.uncovered(loss),
    }
}

const ONE_OUTPUT: &str = "a head with one output has no model under the squared loss, whose targets need not be those \
                          of two outputs; under the logistic loss (--loss ce) it is the difference of two";

fn objective(
    stated: &StatedTraining,
    loss: Loss,
    regularization: Option<&Regularization>,
    (head, energy): (&LinearHead, &FeatureEnergy),
) -> Result<Found, CliError> {
    Ok(match (loss, regularization) {
        // The squared error of two outputs ±z/2 is not that of one.
        (Loss::Mse, _) if stated.has_one_output => (None, None),
        (Loss::Mse | Loss::Ce, Some(known)) => {
            (Some(stated.labels.objective(loss, known.clone())), None)
        }
        (Loss::Mse | Loss::Ce, None) => {
            let objective = TrainingObjective::DataTerm { loss_function: loss.function() };
            (Some(objective), Some(missing_decays(stated)))
        }
        (Loss::LayerPeeled, _) => {
            let objective = TrainingObjective::Budgeted {
                loss_function: LossFunction::CrossEntropy,
                weight_energy: head.weight_energy()?,
                feature_energy: energy.mean()?,
            };
            (Some(objective), None)
        }
        (Loss::UfSvm, _) => (Some(stated.labels.margins()), None),
        (Loss::FixedEtf, _) => found(fixed_head(stated, head, energy)?),
        (Loss::SphericalCe | Loss::Supcon, _) => found(unit_vectors(stated, loss, head)),
    })
}

fn found(objective: Result<TrainingObjective, &'static str>) -> Found {
    match objective {
        Ok(objective) => (Some(objective), None),
        Err(reason) => (None, Some(reason)),
    }
}

/// Up to this distance of its Gram matrix a classifier is the simplex ETF that it was set to: numbers in bf16 have an
/// error of 0.004.
const ETF_TOLERANCE: f64 = 0.01;

/// The objective of features in front of a simplex ETF that is not trained, or why it is not known.
fn fixed_head(
    stated: &StatedTraining,
    head: &LinearHead,
    energy: &FeatureEnergy,
) -> Result<Result<TrainingObjective, &'static str>, CliError> {
    if head.depth() != 1 || head.bias().is_some() {
        return Ok(Err("a fixed simplex ETF is covered as one layer without a bias"));
    }
    let Some(rate) = stated.feature_decay.and_then(Decay::given) else {
        return Ok(Err(
            "the weight decay of the features is not known (--feature-decay or the metadata `lambda_h`)",
        ));
    };
    let samples = energy.counts().iter().sum();
    let feature_decay = stated.rates.feature_decay(rate, samples, head.classes())?;
    let simplex = ClassMatrix::simplex_etf(head.classes())?;
    if nc2(head, 1, &simplex).is_ok_and(|distance| distance > ETF_TOLERANCE) {
        return Ok(Err("the classifier is not a simplex ETF"));
    }
    Ok(Ok(TrainingObjective::FixedSimplexHead {
        classifier_norm_squared: head.weight_energy()?,
        feature_decay,
        label_smoothing: stated.labels.label_smoothing.unwrap_or(0.0),
    }))
}

/// The objective of vectors of length 1, or why it is not known.
fn unit_vectors(
    stated: &StatedTraining,
    loss: Loss,
    head: &LinearHead,
) -> Result<TrainingObjective, &'static str> {
    if head.depth() != 1 || head.bias().is_some() {
        return Err("vectors of length 1 are covered with one layer and without a bias");
    }
    let Some(temperature) = stated.temperature else {
        return Err(
            "features and classifier are not divided by their norms (--normalize and --temperature)",
        );
    };
    Ok(TrainingObjective::UnitVectors {
        loss_function: loss.function(),
        temperature,
        nonnegative_features: stated.labels.nonnegative_features,
    })
}

/// Names the flags where decays cannot be inferred.
fn not_inferred(error: Error) -> CliError {
    let Error::NotAnswered { reason, .. } = error else { return error.into() };
    CliError::Argument {
        name: "--weight-decay and --feature-decay".into(),
        reason: format!("`inferred` has no answer: {reason}; give one or all of them as numbers"),
    }
}

/// Which decays are not stated.
fn missing_decays(stated: &StatedTraining) -> &'static str {
    match (stated.weight_decays.as_deref(), stated.feature_decay.is_some()) {
        (None, true) => {
            "the weight decays of the layers are not known (--weight-decay or the metadata `lambda_w`)"
        }
        // The balance of the layers tells all decays from one.
        (Some(decays), _) if decays.iter().all(|decay| decay.given().is_none()) => {
            "the weight decay of the features is not known (--feature-decay or the metadata `lambda_h`), from which those of \
             the layers would be inferred"
        }
        (Some(_), _) => {
            "the weight decay of the features is not known (--feature-decay or the metadata `lambda_h`; \
             --feature-decay inferred takes it from the balance of the layers)"
        }
        (None, false) => {
            "the weight decays are not known (--weight-decay and --feature-decay, or the metadata \
             `lambda_w` and `lambda_h`)"
        }
    }
}

/// Why there is no prediction where nothing tells the loss.
fn unknown_loss(stated: &StatedTraining) -> String {
    const LOSS: &str = "the loss function (--loss or the metadata `loss_function`)";
    match stated.weight_decays.is_some() || stated.feature_decay.is_some() {
        true => format!("{LOSS} is not known, and {}", missing_decays(stated)),
        false => format!(
            "neither {LOSS} nor the weight decays (--weight-decay and --feature-decay, or the metadata `lambda_w` and \
             `lambda_h`) are known"
        ),
    }
}
