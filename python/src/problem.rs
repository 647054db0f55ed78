//! The problem that a prediction is for, from keyword arguments.

use neural_collapse::models::convex::ConvexUfm;
use neural_collapse::models::low_rank::Search;
use neural_collapse::problem::{LossFunction, TrainingObjective};
use neural_collapse::{Bias, ClassCounts, LinearHead, Regularization};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyString};

use crate::arrays::{list_to_numpy, vector};
use crate::error::{OrRaise, bad_argument};
use crate::loss::Loss;
use crate::recipe::{ClassRecipe, Recipe};

/// Up to so many classes a numerical search takes about a second.
const SEARCHED_CLASSES: usize = 20;

/// What was given of all that a loss may need beside class counts.
#[derive(Default)]
pub(crate) struct Given<'a, 'py> {
    pub(crate) depth: Option<usize>,
    pub(crate) weight_decay: Option<&'a Bound<'py, PyAny>>,
    pub(crate) feature_decay: Option<f64>,
    pub(crate) bias: Option<&'a Bound<'py, PyAny>>,
    pub(crate) widths: Option<Vec<usize>>,
    pub(crate) class_weights: Option<&'a Bound<'py, PyAny>>,
    pub(crate) label_smoothing: f64,
    pub(crate) logit_offsets: Option<&'a Bound<'py, PyAny>>,
    pub(crate) nonnegative_features: bool,
    pub(crate) pytorch_weight: Option<&'a Bound<'py, PyAny>>,
    pub(crate) weight_energy: Option<f64>,
    pub(crate) feature_energy: Option<f64>,
    pub(crate) margins: Option<&'a Bound<'py, PyAny>>,
    pub(crate) logit_scales: Option<&'a Bound<'py, PyAny>>,
    pub(crate) classifier_norm_squared: Option<f64>,
    pub(crate) temperature: Option<f64>,
    pub(crate) starts: Option<usize>,
    pub(crate) seed: u64,
}

impl Given<'_, '_> {
    /// The problem for these class counts. What the loss does not use must not be given.
    pub(crate) fn recipe(
        self,
        py: Python<'_>,
        loss: Loss,
        counts: &Bound<'_, PyAny>,
    ) -> PyResult<Recipe> {
        let counts = self::counts(counts)?;
        self.check_unused(py, loss)?;
        if let Some(weight) = present(self.pytorch_weight) {
            return self.pytorch(py, weight, counts);
        }
        let objective = self.objective(py, loss)?;
        // Models without decays are never searched for.
        let searched = matches!(loss, Loss::SquaredError | Loss::CrossEntropy);
        let search = self.search(counts.classes()).filter(|_| searched);
        Ok(Recipe::Classes(ClassRecipe { objective, counts, widths: self.widths, search }))
    }

    fn check_unused(&self, py: Python<'_>, loss: Loss) -> PyResult<()> {
        let list = |numbers| present(numbers).is_some();
        let given = [
            ("weight_decay", list(self.weight_decay)),
            ("feature_decay", self.feature_decay.is_some()),
            ("bias", list(self.bias)),
            ("class_weights", list(self.class_weights)),
            ("label_smoothing", self.label_smoothing != 0.0),
            ("logit_offsets", list(self.logit_offsets)),
            ("nonnegative_features", self.nonnegative_features),
            ("pytorch_weight", list(self.pytorch_weight)),
            ("weight_energy", self.weight_energy.is_some()),
            ("feature_energy", self.feature_energy.is_some()),
            ("margins", list(self.margins)),
            ("logit_scales", list(self.logit_scales)),
            ("classifier_norm_squared", self.classifier_norm_squared.is_some()),
            ("temperature", self.temperature.is_some()),
        ];
        let used = loss.arguments();
        match given.into_iter().find(|(name, given)| *given && !used.contains(name)) {
            None => Ok(()),
            Some((name, _)) => {
                let expected = "left out for this loss, which does not use it";
                Err(bad_argument(py, name, "given", expected))
            }
        }
    }

    fn objective(&self, py: Python<'_>, loss: Loss) -> PyResult<TrainingObjective> {
        let needed = |name, value: Option<f64>| {
            let expected = "a positive number for this loss";
            value.ok_or_else(|| bad_argument(py, name, "not given", expected))
        };
        let unit_vectors = |loss_function| {
            let temperature = needed("temperature", self.temperature)?;
            let nonnegative_features = self.nonnegative_features;
            Ok(TrainingObjective::UnitVectors { loss_function, temperature, nonnegative_features })
        };
        match loss {
            Loss::SquaredError => self.squared(py),
            Loss::CrossEntropy => self.cross_entropy(py),
            Loss::LayerPeeled => Ok(TrainingObjective::Budgeted {
                loss_function: LossFunction::CrossEntropy,
                weight_energy: needed("weight_energy", self.weight_energy)?,
                feature_energy: needed("feature_energy", self.feature_energy)?,
            }),
            Loss::SupportVectors => {
                let (margins, logit_scales) =
                    (list(self.margins, "margins")?, list(self.logit_scales, "logit_scales")?);
                Ok(match margins.is_empty() && logit_scales.is_empty() {
                    true => {
                        TrainingObjective::SmallestNorms { loss_function: LossFunction::Margin }
                    }
                    false => TrainingObjective::ScaledMargins { margins, logit_scales },
                })
            }
            Loss::FixedEtf => Ok(TrainingObjective::FixedSimplexHead {
                classifier_norm_squared: needed(
                    "classifier_norm_squared",
                    self.classifier_norm_squared,
                )?,
                feature_decay: needed("feature_decay", self.feature_decay)?,
                label_smoothing: self.label_smoothing,
            }),
            Loss::SphericalCrossEntropy => unit_vectors(LossFunction::CrossEntropy),
            Loss::SupervisedContrastive => unit_vectors(LossFunction::SupervisedContrastive),
            // Their labels are not classes: they have classes of their own.
            Loss::SoftLabels | Loss::PickAllLabels | Loss::SupportMargins => {
                Err(bad_argument(py, "loss", loss.name(), "one of labels that are classes"))
            }
        }
    }

    fn cross_entropy(&self, py: Python<'_>) -> PyResult<TrainingObjective> {
        let regularization = self.regularization(py)?;
        let class_weights = list(self.class_weights, "class_weights")?;
        let logit_offsets = list(self.logit_offsets, "logit_offsets")?;
        let is_plain = self.has_plain_labels(&class_weights)
            && logit_offsets.is_empty()
            && !self.nonnegative_features;
        Ok(match is_plain {
            true => TrainingObjective::penalized(LossFunction::CrossEntropy, regularization),
            false => TrainingObjective::WeightedCrossEntropy {
                regularization,
                class_weights,
                label_smoothing: self.label_smoothing,
                logit_offsets,
                nonnegative_features: self.nonnegative_features,
            },
        })
    }

    fn squared(&self, py: Python<'_>) -> PyResult<TrainingObjective> {
        if present(self.logit_offsets).is_some() || self.nonnegative_features {
            let expected = "'ce' beside offsets of logits or non-negative features";
            return Err(bad_argument(py, "loss", "'mse'", expected));
        }
        let regularization = self.regularization(py)?;
        let class_weights = list(self.class_weights, "class_weights")?;
        Ok(match self.has_plain_labels(&class_weights) {
            true => TrainingObjective::penalized(LossFunction::SquaredError, regularization),
            false => TrainingObjective::WeightedSquaredError {
                regularization,
                class_weights,
                label_smoothing: self.label_smoothing,
            },
        })
    }

    fn has_plain_labels(&self, class_weights: &[f64]) -> bool {
        self.label_smoothing == 0.0 && class_weights.iter().all(|&weight| weight == 1.0)
    }

    /// What PyTorch's `CrossEntropyLoss(weight, label_smoothing)` minimizes, which weights entries of labels.
    fn pytorch(
        &self,
        py: Python<'_>,
        weight: &Bound<'_, PyAny>,
        counts: ClassCounts,
    ) -> PyResult<Recipe> {
        for (name, given) in [
            ("class_weights", present(self.class_weights).is_some()),
            ("logit_offsets", present(self.logit_offsets).is_some()),
            ("nonnegative_features", self.nonnegative_features),
        ] {
            if given {
                return Err(bad_argument(py, name, "given", "left out beside `pytorch_weight`"));
            }
        }
        let weight = vector(weight, "pytorch_weight")?;
        let regularization = self.regularization(py)?;
        let ufm = ConvexUfm::pytorch(counts, &weight, self.label_smoothing, regularization)
            .or_raise(py)?;
        Ok(Recipe::Convex(match &self.widths {
            Some(widths) => ufm.with_widths(widths).or_raise(py)?,
            None => ufm,
        }))
    }

    /// The search for so many starts at each rank: for none given that of the program, which is short.
    fn search(&self, classes: usize) -> Option<Search> {
        let search = Search::default().with_seed(self.seed);
        match self.starts {
            Some(0) => None,
            Some(starts) => Some(search.with_starts(starts)),
            None => (classes <= SEARCHED_CLASSES).then_some(search),
        }
    }

    /// The decays.
    pub(crate) fn regularization(&self, py: Python<'_>) -> PyResult<Regularization> {
        let missing = |name| bad_argument(py, name, "not given", "a positive number for this loss");
        let weights = present(self.weight_decay).ok_or_else(|| missing("weight_decay"))?;
        let feature_decay = self.feature_decay.ok_or_else(|| missing("feature_decay"))?;
        let regularization = match weights.extract::<f64>() {
            Ok(decay) => Regularization::uniform(self.depth.unwrap_or(1), decay, feature_decay),
            Err(_) => {
                let list = vector(weights, "weight_decay")?;
                if self.depth.is_some_and(|depth| depth != list.len()) {
                    let found = format!("a list of {}", list.len());
                    let expected = "one number for each layer";
                    return Err(bad_argument(py, "weight_decay", &found, expected));
                }
                Regularization::new(&list, feature_decay)
            }
        };
        let bias = bias_named(py, self.bias)?;
        regularization.and_then(|decays| decays.with_bias(bias)).or_raise(py)
    }
}

/// How the bias of a head is penalized, as `bias` says it: None and 0 are without a penalty.
pub(crate) fn bias_of_head<'py>(
    py: Python<'py>,
    head: &LinearHead,
    decay: Option<f64>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(match (head.bias(), decay) {
        (None, None) => None,
        (None, Some(_)) => {
            return Err(bad_argument(py, "bias_decay", "given", "left out without a bias"));
        }
        (Some(_), None | Some(0.0)) => Some("unregularized".into_pyobject(py)?.into_any()),
        (Some(_), Some(decay)) => Some(decay.into_pyobject(py)?.into_any()),
    })
}

/// What was given and is not None.
fn present<'a, 'py>(object: Option<&'a Bound<'py, PyAny>>) -> Option<&'a Bound<'py, PyAny>> {
    object.filter(|object| !object.is_none())
}

/// The numbers of a list, empty if it is not given.
fn list(numbers: Option<&Bound<'_, PyAny>>, name: &'static str) -> PyResult<Vec<f64>> {
    Ok(present(numbers).map(|numbers| vector(numbers, name)).transpose()?.unwrap_or_default())
}

/// The class counts from a list of whole numbers or a text such as `200,100,50x2`.
pub(crate) fn counts(object: &Bound<'_, PyAny>) -> PyResult<ClassCounts> {
    let py = object.py();
    if let Ok(text) = object.cast::<PyString>() {
        return text.to_str()?.parse::<ClassCounts>().or_raise(py);
    }
    ClassCounts::new(&samples(object, "counts")?).or_raise(py)
}

/// Class counts with another ratio of the largest to the smallest class and as many samples but for rounding, shape (K,): sizes
/// between the two are changed as powers of themselves, and equal classes become a long tail of geometric sizes.
///
/// `counts` as of :func:`predict`. Raises ArgumentError for a ratio below 1 or one that leaves a class without samples.
///
/// Source: the exponential profile of Cui et al. (CVPR 2019).
#[pyfunction]
pub(crate) fn with_imbalance<'py>(
    counts: &Bound<'py, PyAny>,
    ratio: f64,
) -> PyResult<Bound<'py, PyArray1<u64>>> {
    let changed = self::counts(counts)?.with_imbalance(ratio).or_raise(counts.py())?;
    let sizes: Vec<u64> =
        changed.runs().flat_map(|run| run.classes().map(move |_| run.size)).collect();
    Ok(list_to_numpy(counts.py(), &sizes))
}

/// A list of numbers of samples.
pub(crate) fn samples(object: &Bound<'_, PyAny>, name: &'static str) -> PyResult<Vec<u64>> {
    let arrays = object.py().import("neuralcollapse._arrays")?;
    arrays.call_method1("counts", (object, name))?.extract()
}

/// `None`, `"none"`, `"unregularized"` or the weight decay of the bias.
pub(crate) fn bias_named(py: Python<'_>, bias: Option<&Bound<'_, PyAny>>) -> PyResult<Bias> {
    let Some(bias) = present(bias) else { return Ok(Bias::None) };
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
