//! The models as classes, and the function that chooses among them.

use neural_collapse::models::layer_peeled::LayerPeeledMinimum;
use neural_collapse::problem::{LossFunction, TrainingObjective};
use neural_collapse::{Bias, Error, GlobalMinimum};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::error::{OrRaise, bad_argument, exception};
use crate::prediction::Prediction;
use crate::problem::{Decays, LabelTreatment, Loss, Recipe, counts, penalized, search};

/// The global minimum of deep linear layers on free features under the squared loss.
///
/// f = 1/(2N) ‖W_M⋯W_1 H + b 1ᵀ − Y‖² + Σ λ_m/2 ‖W_m‖² + λ_H/2 ‖H‖² + λ_b/2 ‖b‖²
///
/// Parameters: `counts`, the samples of each class; `weight_decay`, λ_1, …, λ_M or one number for all of `depth`
/// layers; `feature_decay`, λ_H; `bias`, None, "unregularized" or λ_b; `widths`, d_1, …, d_M if they are limited.
///
/// Raises ArgumentError, ShapeError, NoClosedFormError (all subclasses of ValueError).
///
/// Source: Dang et al., Neural Collapse in Deep Linear Networks (ICML 2023), theorems 3.1 to 4.4.
#[pyclass(extends = Prediction, frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct Ufm;

#[pymethods]
impl Ufm {
    #[new]
    #[pyo3(signature = (counts, *, weight_decay, feature_decay, depth = None, bias = None, widths = None))]
    fn new(
        py: Python<'_>,
        counts: &Bound<'_, PyAny>,
        weight_decay: &Bound<'_, PyAny>,
        feature_decay: f64,
        depth: Option<usize>,
        bias: Option<&Bound<'_, PyAny>>,
        widths: Option<Vec<usize>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let decays = Decays {
            depth,
            weight_decay: Some(weight_decay),
            feature_decay: Some(feature_decay),
            bias,
        };
        let objective = penalized(py, Loss::SquaredError, &decays, &LabelTreatment::default())?;
        let counts = self::counts(counts)?;
        let search = search(None, 0, counts.classes());
        let recipe = Recipe { objective, counts, widths, search };
        Ok(PyClassInitializer::from(Prediction::build(py, recipe, None)?).add_subclass(Self))
    }

    /// a: a direction of the target with singular value σ survives if a/σ² is below `threshold`; None for a penalized
    /// bias with classes of different sizes.
    #[getter]
    fn scale(slf: &Bound<'_, Self>) -> Option<f64> {
        slf.as_super().get().squared().map(GlobalMinimum::scale)
    }

    /// τ_M, the threshold of a/σ².
    #[getter]
    fn threshold(slf: &Bound<'_, Self>) -> Option<f64> {
        slf.as_super().get().squared().map(GlobalMinimum::threshold)
    }

    /// The class size above which classes survive, without a bias.
    #[getter]
    fn smallest_surviving_count(slf: &Bound<'_, Self>) -> Option<f64> {
        let own = slf.as_super().get();
        let no_bias = own.recipe.objective.regularization()?.bias() == Bias::None;
        own.squared().filter(|_| no_bias).map(GlobalMinimum::smallest_surviving_count)
    }

    /// The factor on all decays up to which every class survives.
    #[getter]
    fn largest_decay_factor(slf: &Bound<'_, Self>) -> Option<f64> {
        slf.as_super().get().squared()?.largest_decay_factor()
    }

    /// Where directions collapse if all decays grow: pairs (factor, surviving directions).
    #[getter]
    fn collapse_factors(slf: &Bound<'_, Self>) -> Vec<(f64, usize)> {
        slf.as_super().get().squared().map(GlobalMinimum::collapse_factors).unwrap_or_default()
    }

    /// The distinct directions of the target, one dictionary each: target_squared σ², multiplicity, ratio a/σ², the
    /// minimizer x of g(x) = 1/(x^M + 1) + M (a/σ²) x, energy t = λ·(singular value)² of every layer, and loss.
    #[getter]
    fn directions<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let directions = PyList::empty(slf.py());
        let own = slf.as_super().get();
        for direction in own.squared().map(GlobalMinimum::directions).unwrap_or_default() {
            let row = PyDict::new(slf.py());
            row.set_item("target_squared", direction.target_squared())?;
            row.set_item("multiplicity", direction.multiplicity())?;
            row.set_item("ratio", direction.ratio())?;
            row.set_item("x", direction.x())?;
            row.set_item("energy", direction.energy())?;
            row.set_item("loss", direction.loss())?;
            directions.append(row)?;
        }
        Ok(directions)
    }

    /// Curvature at the minimum: a dictionary with the distinct eigenvalues of the Hessian (pairs of value and
    /// multiplicity), zero_modes, largest_step (of stable gradient descent), condition_number, nc1_rate.
    ///
    /// Raises NotAnsweredError where it is not known.
    fn curvature<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let py = slf.py();
        let minimum = slf.as_super().get().squared().ok_or_else(|| {
            let (question, reason) = ("the curvature", "it is known in closed form only");
            exception(py, &Error::NotAnswered { question, reason })
        })?;
        let curvature = py.detach(|| minimum.curvature()).or_raise(py)?;
        let pairs = curvature.eigenvalues().iter();
        let pairs: Vec<(f64, u128)> = pairs.map(|pair| (pair.value, pair.multiplicity)).collect();
        let found = PyDict::new(py);
        found.set_item("eigenvalues", pairs)?;
        found.set_item("zero_modes", curvature.zero_modes())?;
        found.set_item("largest_step", curvature.largest_step())?;
        found.set_item("condition_number", curvature.condition_number())?;
        found.set_item("nc1_rate", curvature.nc1_rate())?;
        Ok(found)
    }
}

/// The lowest known point under cross-entropy with weight decay, on free features.
///
/// f = 1/N Σ ω_y CE(z, (1−δ) e_y + δ 1/K) + Σ λ_m/2 ‖W_m‖² + λ_H/2 ‖H‖² + λ_b/2 ‖b‖²
///
/// Parameters as those of :class:`Ufm`; `class_weights` ω (K,), `label_smoothing` δ, `logit_offsets` ι (K,), which are
/// added to the outputs z, `nonnegative_features` as after a ReLU. With several layers beside equal classes, and alone for others, a numerical search of `starts` starts at each
/// rank is made (25 up to 20 classes, else none); `proof` says what is proved. `progress(stage, done, total)` is called
/// meanwhile.
///
/// Source: the project's docs/cross-entropy.md and docs/convex.md; Zhu et al. (NeurIPS 2021) for one layer.
#[pyclass(extends = Prediction, frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct CrossEntropy;

#[pymethods]
impl CrossEntropy {
    #[new]
    #[pyo3(signature = (
        counts, *, weight_decay, feature_decay, depth = None, bias = None, widths = None, class_weights = None,
        label_smoothing = 0.0, logit_offsets = None, nonnegative_features = false, starts = None, seed = 0, progress = None
    ))]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        py: Python<'_>,
        counts: &Bound<'_, PyAny>,
        weight_decay: &Bound<'_, PyAny>,
        feature_decay: f64,
        depth: Option<usize>,
        bias: Option<&Bound<'_, PyAny>>,
        widths: Option<Vec<usize>>,
        class_weights: Option<&Bound<'_, PyAny>>,
        label_smoothing: f64,
        logit_offsets: Option<&Bound<'_, PyAny>>,
        nonnegative_features: bool,
        starts: Option<usize>,
        seed: u64,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let decays = Decays {
            depth,
            weight_decay: Some(weight_decay),
            feature_decay: Some(feature_decay),
            bias,
        };
        let labels =
            LabelTreatment { class_weights, label_smoothing, logit_offsets, nonnegative_features };
        let objective = penalized(py, Loss::CrossEntropy, &decays, &labels)?;
        let counts = self::counts(counts)?;
        let search = search(starts, seed, counts.classes());
        let recipe = Recipe { objective, counts, widths, search };
        Ok(PyClassInitializer::from(Prediction::build(py, recipe, progress)?).add_subclass(Self))
    }

    /// u = (n λ_H Π λ_m)^(1/(M+1)), the strength of the penalties for equal classes; None for others.
    #[getter]
    fn strength(slf: &Bound<'_, Self>) -> Option<f64> {
        Some(slf.as_super().get().landscape()?.problem().strength())
    }

    /// The loss of the simplex ETF, for equal classes; None for others.
    #[getter]
    fn simplex_etf_loss(slf: &Bound<'_, Self>) -> Option<f64> {
        let landscape = slf.as_super().get().landscape()?;
        Some(neural_collapse::Prediction::loss(landscape.simplex_etf()))
    }
}

/// The global minimum of the layer-peeled model: cross-entropy under budgets for the norms.
///
/// 1/K Σ ‖w_k‖² ≤ `weight_energy`, 1/K Σ_k (1/n_k) Σ_i ‖h_ki‖² ≤ `feature_energy`.
///
/// Source: Fang, He, Long & Su (PNAS 2021).
#[pyclass(extends = Prediction, frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct LayerPeeled;

#[pymethods]
impl LayerPeeled {
    #[new]
    #[pyo3(signature = (counts, *, weight_energy, feature_energy))]
    fn new(
        py: Python<'_>,
        counts: &Bound<'_, PyAny>,
        weight_energy: f64,
        feature_energy: f64,
    ) -> PyResult<PyClassInitializer<Self>> {
        let objective = budgeted(weight_energy, feature_energy);
        let recipe =
            Recipe { objective, counts: self::counts(counts)?, widths: None, search: None };
        Ok(PyClassInitializer::from(Prediction::build(py, recipe, None)?).add_subclass(Self))
    }

    /// Whether the classes of the smaller size have one point.
    #[getter]
    fn minority_collapsed(slf: &Bound<'_, Self>) -> Option<bool> {
        slf.as_super().get().layer_peeled().map(LayerPeeledMinimum::minority_collapsed)
    }
}

/// The simplex-encoded-label interpolation: the support vector machine on free features.
///
/// Source: Thrampoulidis, Kini, Vakilian & Behnia (NeurIPS 2022).
#[pyclass(extends = Prediction, frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct Seli;

#[pymethods]
impl Seli {
    #[new]
    fn new(py: Python<'_>, counts: &Bound<'_, PyAny>) -> PyResult<PyClassInitializer<Self>> {
        let recipe = Recipe {
            objective: margin(),
            counts: self::counts(counts)?,
            widths: None,
            search: None,
        };
        Ok(PyClassInitializer::from(Prediction::build(py, recipe, None)?).add_subclass(Self))
    }
}

fn budgeted(weight_energy: f64, feature_energy: f64) -> TrainingObjective {
    let loss_function = LossFunction::CrossEntropy;
    TrainingObjective::Budgeted { loss_function, weight_energy, feature_energy }
}

fn margin() -> TrainingObjective {
    TrainingObjective::SmallestNorms { loss_function: LossFunction::Margin }
}

/// The minimum of the training objective: the point that training should reach.
///
/// Parameters
/// ----------
/// counts : the number of samples of each class, or a text such as "200,100,50x2"
/// depth : number of linear layers M (default: that of `weight_decay`, or 1)
/// weight_decay : λ_1, …, λ_M from the features to the output, or one number for all
/// feature_decay : λ_H
/// bias : None, "unregularized" or its weight decay λ_b
/// loss : "mse", "ce", "layer_peeled" or "uf_svm"
/// widths : d_1, …, d_M, the inputs of each layer, if they are limited
/// class_weights, label_smoothing : of the loss, (K,) and δ
/// logit_offsets, nonnegative_features : of the cross-entropy, (K,) as of logit adjustment, and as after a ReLU
/// weight_energy, feature_energy : budgets of the layer-peeled model
/// starts, seed : of the numerical search where no minimum is proved (see CrossEntropy)
/// progress : called as progress(stage, done, total) during long work
///
/// Returns a Prediction: Ufm, CrossEntropy, LayerPeeled or Seli. Raises subclasses of ValueError that carry the
/// argument's name, place and value; NoClosedFormError where no model has this objective.
#[pyfunction]
#[pyo3(signature = (
    counts, *, depth = None, weight_decay = None, feature_decay = None, bias = None, loss = "mse", widths = None,
    class_weights = None, label_smoothing = 0.0, logit_offsets = None, nonnegative_features = false, weight_energy = None,
    feature_energy = None, starts = None, seed = 0, progress = None
))]
#[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub(crate) fn predict(
    py: Python<'_>,
    counts: &Bound<'_, PyAny>,
    depth: Option<usize>,
    weight_decay: Option<&Bound<'_, PyAny>>,
    feature_decay: Option<f64>,
    bias: Option<&Bound<'_, PyAny>>,
    loss: &str,
    widths: Option<Vec<usize>>,
    class_weights: Option<&Bound<'_, PyAny>>,
    label_smoothing: f64,
    logit_offsets: Option<&Bound<'_, PyAny>>,
    nonnegative_features: bool,
    weight_energy: Option<f64>,
    feature_energy: Option<f64>,
    starts: Option<usize>,
    seed: u64,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Py<PyAny>> {
    let counts = self::counts(counts)?;
    let loss = Loss::new(py, loss)?;
    let decays = Decays { depth, weight_decay, feature_decay, bias };
    let labels =
        LabelTreatment { class_weights, label_smoothing, logit_offsets, nonnegative_features };
    let unused = |name, given: bool| match given {
        true => {
            Err(bad_argument(py, name, "given", "left out for this loss, which does not use it"))
        }
        false => Ok(()),
    };
    let without_decays = || {
        unused("weight_decay", weight_decay.is_some())?;
        unused("feature_decay", feature_decay.is_some())?;
        unused("bias", bias.is_some_and(|bias| !bias.is_none()))?;
        unused("class_weights", class_weights.is_some())?;
        unused("logit_offsets", logit_offsets.is_some())?;
        unused("nonnegative_features", nonnegative_features)?;
        unused("label_smoothing", label_smoothing != 0.0)
    };
    let without_budgets = || {
        unused("weight_energy", weight_energy.is_some())?;
        unused("feature_energy", feature_energy.is_some())
    };
    let needed = |name, value: Option<f64>| {
        value.ok_or_else(|| bad_argument(py, name, "not given", "a positive number for this loss"))
    };
    let objective = match loss {
        Loss::SquaredError | Loss::CrossEntropy => {
            without_budgets()?;
            penalized(py, loss, &decays, &labels)?
        }
        Loss::LayerPeeled => {
            without_decays()?;
            budgeted(
                needed("weight_energy", weight_energy)?,
                needed("feature_energy", feature_energy)?,
            )
        }
        Loss::SupportVectors => {
            without_decays()?;
            without_budgets()?;
            margin()
        }
    };
    // Models without decays are never searched for.
    let searched = matches!(loss, Loss::SquaredError | Loss::CrossEntropy);
    let search = search(starts, seed, counts.classes()).filter(|_| searched);
    Prediction::build(py, Recipe { objective, counts, widths, search }, progress)?.into_object(py)
}
