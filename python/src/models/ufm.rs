//! The squared loss.

use neural_collapse::{Bias, Error, GlobalMinimum};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use pythonize::pythonize;

use crate::arrays::rows_as_columns;
use crate::error::{OrRaise, exception};
use crate::loss::Loss;
use crate::prediction::Prediction;
use crate::problem::Given;
use crate::recipe::Recipe;

/// The global minimum of deep linear layers on free features under the squared loss.
///
/// f = 1/(2N) ‖W_M⋯W_1 H + b 1ᵀ − Y‖² + Σ λ_m/2 ‖W_m‖² + λ_H/2 ‖H‖² + λ_b/2 ‖b‖²
///
/// Parameters: `counts`, the samples of each class; `weight_decay`, λ_1, …, λ_M or one number for all of `depth`
/// layers; `feature_decay`, λ_H; `bias`, None, "unregularized" or λ_b; `widths`, d_1, …, d_M if they are limited;
/// `class_weights` ω (K,), which multiply the loss of each sample, and `label_smoothing` δ. For several layers and
/// weights, smoothing or a penalized bias beside classes of different sizes a numerical search of `starts` starts is made
/// (see CrossEntropy); `proof` says what is proved. `from_targets` is for real-valued targets.
///
/// Raises ArgumentError, ShapeError, NoClosedFormError (all subclasses of ValueError).
///
/// Source: Dang et al., Neural Collapse in Deep Linear Networks (ICML 2023), theorems 3.1 to 4.4; the project's
/// docs/convex.md for one layer with weights.
#[pyclass(extends = Prediction, frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct Ufm;

#[pymethods]
impl Ufm {
    #[new]
    #[pyo3(signature = (
        counts, *, weight_decay, feature_decay, depth = None, bias = None, widths = None, class_weights = None,
        label_smoothing = 0.0, starts = None, seed = 0, progress = None
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
        starts: Option<usize>,
        seed: u64,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let given = Given {
            depth,
            weight_decay: Some(weight_decay),
            feature_decay: Some(feature_decay),
            bias,
            widths,
            class_weights,
            label_smoothing,
            starts,
            seed,
            ..Given::default()
        };
        let recipe = given.recipe(py, Loss::SquaredError, counts)?;
        Ok(Prediction::build(py, recipe, progress)?.initializer(Self))
    }

    /// The same for real-valued targets Y, (N, outputs) with one sample per row: regression, several labels per sample.
    ///
    /// Raises NoClosedFormError for a penalized bias.
    #[staticmethod]
    #[pyo3(signature = (targets, *, weight_decay, feature_decay, depth = None, bias = None, widths = None))]
    fn from_targets(
        py: Python<'_>,
        targets: &Bound<'_, PyAny>,
        weight_decay: &Bound<'_, PyAny>,
        feature_decay: f64,
        depth: Option<usize>,
        bias: Option<&Bound<'_, PyAny>>,
        widths: Option<Vec<usize>>,
    ) -> PyResult<Py<Self>> {
        let given = Given {
            depth,
            weight_decay: Some(weight_decay),
            feature_decay: Some(feature_decay),
            bias,
            ..Given::default()
        };
        let (targets, decays) = (rows_as_columns(targets, "targets")?, given.regularization(py)?);
        let ufm = py.detach(|| {
            let ufm = neural_collapse::Ufm::from_target(targets, decays)?;
            match widths {
                Some(widths) => ufm.with_widths(&widths),
                None => Ok(ufm),
            }
        });
        let prediction = Prediction::build(py, Recipe::Targets(ufm.or_raise(py)?), None)?;
        Py::new(py, prediction.initializer(Self))
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
        let no_bias = own.objective().regularization()?.bias() == Bias::None;
        own.squared().filter(|_| no_bias).map(GlobalMinimum::smallest_surviving_count)
    }

    /// The pair (‖w‖², ‖h‖²) of a class of this size among as many samples: the curve that all classes lie on.
    ///
    /// Raises NotAnsweredError beside a bias and for arbitrary targets.
    fn norms_of_size(slf: &Bound<'_, Self>, size: f64) -> PyResult<(f64, f64)> {
        let minimum = slf.as_super().get().squared();
        let found = minimum.ok_or(Error::NotAnswered {
            question: "the norms of a class of another size",
            reason: "they depend on the other classes",
        });
        found.and_then(|minimum| minimum.norms_of_size(size)).or_raise(slf.py())
    }

    /// The factor on all decays up to which every class survives.
    #[getter]
    fn largest_decay_factor(slf: &Bound<'_, Self>) -> Option<f64> {
        slf.as_super().get().squared()?.largest_decay_factor()
    }

    /// Where directions collapse if all decays grow: pairs (factor, surviving directions).
    #[getter]
    fn collapse_factors(slf: &Bound<'_, Self>) -> Vec<(f64, usize)> {
        let minimum = slf.as_super().get().squared();
        let steps = minimum.map(GlobalMinimum::collapse_factors).unwrap_or_default();
        steps.into_iter().map(|step| (step.factor, step.surviving_directions)).collect()
    }

    /// The distinct directions of the target, one dictionary each: target_squared σ², multiplicity, ratio a/σ², the
    /// minimizer x of g(x) = 1/(x^M + 1) + M (a/σ²) x, energy t = λ·(singular value)² of every layer, loss, slope M (a/σ²), the
    /// fitted_share x^M/(x^M + 1) of the target, and regime: "zero" (it collapses), "tie" or "positive".
    #[getter]
    fn directions<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let directions = PyList::empty(slf.py());
        let own = slf.as_super().get();
        let depth = own.minimum().depth();
        for direction in own.squared().into_iter().flat_map(GlobalMinimum::directions) {
            let row = PyDict::new(slf.py());
            row.set_item("target_squared", direction.target_squared())?;
            row.set_item("multiplicity", direction.multiplicity())?;
            row.set_item("ratio", direction.ratio())?;
            row.set_item("x", direction.x())?;
            row.set_item("energy", direction.energy())?;
            row.set_item("loss", direction.loss())?;
            row.set_item("slope", depth as f64 * direction.ratio())?;
            row.set_item("fitted_share", direction.fitted_share())?;
            row.set_item("regime", pythonize(slf.py(), &direction.regime())?)?;
            directions.append(row)?;
        }
        Ok(directions)
    }

    /// The singular values σ x^M/(x^M + 1) of the outputs W_M⋯W_1 H, one for each of `directions`.
    #[getter]
    fn output_singular_values(slf: &Bound<'_, Self>) -> Vec<f64> {
        let own = slf.as_super().get();
        own.squared().map(GlobalMinimum::output_singular_values).unwrap_or_default()
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
