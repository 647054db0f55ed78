//! The problem that a prediction is for, from keyword arguments.

use neural_collapse::models::AnyModel;
use neural_collapse::models::low_rank::Search;
use neural_collapse::problem::{LossFunction, TrainingObjective};
use neural_collapse::{Bias, ClassCounts, Monitor, Regularization};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyString};
use serde::{Deserialize, Serialize};

use crate::arrays::vector;
use crate::error::{OrRaise, bad_argument};

/// Up to so many classes a numerical search takes about a second.
const SEARCHED_CLASSES: usize = 20;

/// All that a model is made of: what is pickled of a prediction, which is made again from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipe {
    pub(crate) objective: TrainingObjective,
    pub(crate) counts: ClassCounts,
    pub(crate) widths: Option<Vec<usize>>,
    pub(crate) search: Option<Search>,
}

impl Recipe {
    pub(crate) fn build(&self, monitor: &dyn Monitor) -> neural_collapse::Result<AnyModel> {
        let (counts, widths) = (self.counts.clone(), self.widths.as_deref());
        match &self.search {
            Some(search) => AnyModel::searched(&self.objective, counts, widths, search, monitor),
            None => AnyModel::new(&self.objective, counts, widths),
        }
    }
}

/// The decays as they were given.
pub(crate) struct Decays<'a, 'py> {
    pub(crate) depth: Option<usize>,
    pub(crate) weight_decay: Option<&'a Bound<'py, PyAny>>,
    pub(crate) feature_decay: Option<f64>,
    pub(crate) bias: Option<&'a Bound<'py, PyAny>>,
}

/// How the loss treats labels and features, beyond the plain one.
#[derive(Default)]
pub(crate) struct LabelTreatment<'a, 'py> {
    pub(crate) class_weights: Option<&'a Bound<'py, PyAny>>,
    pub(crate) label_smoothing: f64,
    pub(crate) logit_offsets: Option<&'a Bound<'py, PyAny>>,
    pub(crate) nonnegative_features: bool,
}

/// What a loss may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    SquaredError,
    CrossEntropy,
    LayerPeeled,
    SupportVectors,
}

impl Loss {
    pub(crate) fn new(py: Python<'_>, name: &str) -> PyResult<Self> {
        match name.to_lowercase().replace(['-', ' '], "_").as_str() {
            "mse" | "squared" | "squared_error" | "mean_squared_error" => Ok(Self::SquaredError),
            "ce" | "cross_entropy" => Ok(Self::CrossEntropy),
            "layer_peeled" => Ok(Self::LayerPeeled),
            "uf_svm" | "svm" | "seli" => Ok(Self::SupportVectors),
            _ => Err(bad_argument(
                py,
                "loss",
                &format!("'{name}'"),
                "'mse', 'ce', 'layer_peeled' or 'uf_svm'",
            )),
        }
    }

    pub(crate) fn of(objective: &TrainingObjective) -> Self {
        match (objective, objective.loss_function()) {
            (TrainingObjective::Budgeted { .. }, _) => Self::LayerPeeled,
            (TrainingObjective::SmallestNorms { .. }, _) => Self::SupportVectors,
            (_, LossFunction::SquaredError) => Self::SquaredError,
            _ => Self::CrossEntropy,
        }
    }

    /// The name in the program's JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SquaredError => "mse",
            Self::CrossEntropy => "cross_entropy",
            Self::LayerPeeled => "layer_peeled",
            Self::SupportVectors => "uf_svm",
        }
    }
}

/// The class counts from a list of whole numbers or a text such as `200,100,50x2`.
pub(crate) fn counts(object: &Bound<'_, PyAny>) -> PyResult<ClassCounts> {
    let py = object.py();
    if let Ok(text) = object.cast::<PyString>() {
        return text.to_str()?.parse::<ClassCounts>().or_raise(py);
    }
    let counts = py.import("neuralcollapse._arrays")?.call_method1("counts", (object,))?;
    ClassCounts::new(&counts.extract::<Vec<u64>>()?).or_raise(py)
}

/// The search for so many starts at each rank: for none given that of the program, which is short.
pub(crate) fn search(starts: Option<usize>, seed: u64, classes: usize) -> Option<Search> {
    match starts {
        Some(0) => None,
        Some(starts) => Some(Search::default().with_starts(starts).with_seed(seed)),
        None => (classes <= SEARCHED_CLASSES).then(|| Search::default().with_seed(seed)),
    }
}

/// The objective of a loss with decays.
pub(crate) fn penalized(
    py: Python<'_>,
    loss: Loss,
    decays: &Decays<'_, '_>,
    labels: &LabelTreatment<'_, '_>,
) -> PyResult<TrainingObjective> {
    let regularization = regularization(py, decays)?;
    let list = |numbers: Option<&Bound<'_, PyAny>>, name| {
        let numbers = numbers.filter(|numbers| !numbers.is_none());
        Ok::<_, PyErr>(
            numbers.map(|numbers| vector(numbers, name)).transpose()?.unwrap_or_default(),
        )
    };
    let class_weights = list(labels.class_weights, "class_weights")?;
    let logit_offsets = list(labels.logit_offsets, "logit_offsets")?;
    let label_smoothing = labels.label_smoothing;
    let only_cross_entropy = !logit_offsets.is_empty() || labels.nonnegative_features;
    let plain = class_weights.iter().all(|&weight| weight == 1.0)
        && label_smoothing == 0.0
        && !only_cross_entropy;
    Ok(match (loss, plain) {
        (Loss::CrossEntropy, true) => {
            TrainingObjective::penalized(LossFunction::CrossEntropy, regularization)
        }
        (Loss::CrossEntropy, false) => TrainingObjective::WeightedCrossEntropy {
            regularization,
            class_weights,
            label_smoothing,
            logit_offsets,
            nonnegative_features: labels.nonnegative_features,
        },
        (_, true) => TrainingObjective::penalized(LossFunction::SquaredError, regularization),
        (_, false) if only_cross_entropy => {
            let expected = "'ce' beside offsets of logits or non-negative features";
            return Err(bad_argument(py, "loss", "'mse'", expected));
        }
        (_, false) => TrainingObjective::WeightedSquaredError {
            regularization,
            class_weights,
            label_smoothing,
        },
    })
}

fn regularization(py: Python<'_>, decays: &Decays<'_, '_>) -> PyResult<Regularization> {
    let missing = |name| bad_argument(py, name, "not given", "a positive number for this loss");
    let weights = decays.weight_decay.filter(|decay| !decay.is_none());
    let weights = weights.ok_or_else(|| missing("weight_decay"))?;
    let feature_decay = decays.feature_decay.ok_or_else(|| missing("feature_decay"))?;
    let regularization = match weights.extract::<f64>() {
        Ok(decay) => Regularization::uniform(decays.depth.unwrap_or(1), decay, feature_decay),
        Err(_) => {
            let list = vector(weights, "weight_decay")?;
            if decays.depth.is_some_and(|depth| depth != list.len()) {
                let found = format!("a list of {}", list.len());
                return Err(bad_argument(py, "weight_decay", &found, "one number for each layer"));
            }
            Regularization::new(&list, feature_decay)
        }
    };
    let bias = bias(py, decays.bias)?;
    regularization.and_then(|decays| decays.with_bias(bias)).or_raise(py)
}

/// `None`, `"none"`, `"unregularized"` or the weight decay of the bias.
fn bias(py: Python<'_>, bias: Option<&Bound<'_, PyAny>>) -> PyResult<Bias> {
    let Some(bias) = bias.filter(|bias| !bias.is_none()) else { return Ok(Bias::None) };
    let expected = "None, 'unregularized' or the weight decay of the bias";
    if let Ok(text) = bias.cast::<PyString>() {
        return text
            .to_str()?
            .parse()
            .map_err(|_| bad_argument(py, "bias", &format!("'{text}'"), expected));
    }
    // Neither says how a bias is penalized.
    if bias.is_instance_of::<PyBool>() {
        return Err(bad_argument(py, "bias", &bias.to_string(), expected));
    }
    match bias.extract::<f64>() {
        Ok(decay) => Ok(Bias::Regularized(decay)),
        Err(_) => Err(bad_argument(py, "bias", &bias.repr()?.to_string(), expected)),
    }
}
