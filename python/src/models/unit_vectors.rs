//! Features of length 1.

use neural_collapse::Basis;
use neural_collapse::models::AnyModel;
use neural_collapse::models::contrastive::{self, UnitMinimum};
use numpy::PyArray2;
use pyo3::prelude::*;
use pythonize::pythonize;

use crate::arrays::{columns_to_numpy, matrix};
use crate::error::{OrRaise, bad_argument};
use crate::loss::Loss;
use crate::prediction::Prediction;
use crate::problem::Given;

/// The global minimum of the supervised contrastive loss over features of length 1.
///
/// f = Σ_i −1/(n_y − 1) Σ_p ln(exp(h_i·h_p/τ) / Σ_{a≠i} exp(h_i·h_a/τ))
///
/// Parameters: `counts`, the samples of each class; `temperature` τ; `nonnegative_features`, as after a ReLU, which is known
/// for any class sizes: without them classes must have one size. There is no classifier: what is about one is None or raises
/// NotAnsweredError.
///
/// Source: Graf et al. (ICML 2021); Kini et al. (ICLR 2024) for non-negative features.
#[pyclass(extends = Prediction, frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct SupervisedContrastive;

#[pymethods]
impl SupervisedContrastive {
    #[new]
    #[pyo3(signature = (counts, *, temperature, nonnegative_features = false))]
    fn new(
        py: Python<'_>,
        counts: &Bound<'_, PyAny>,
        temperature: f64,
        nonnegative_features: bool,
    ) -> PyResult<PyClassInitializer<Self>> {
        let temperature = Some(temperature);
        let given = Given { temperature, nonnegative_features, ..Given::default() };
        let recipe = given.recipe(py, Loss::SupervisedContrastive, counts)?;
        Ok(Prediction::build(py, recipe, None)?.initializer(Self))
    }

    /// τ.
    #[getter]
    fn temperature(slf: &Bound<'_, Self>) -> PyResult<f64> {
        Ok(minimum(slf.as_super())?.problem().temperature())
    }

    /// Class means of length 1 that attain the loss, shape (K, d), one class per row; turned at random with a `seed`.
    #[pyo3(signature = (seed = None))]
    fn class_means<'py>(
        slf: &Bound<'py, Self>,
        seed: Option<u64>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        class_means(slf.as_super(), seed)
    }
}

/// The global minimum of cross-entropy of cosines, divided by a temperature: features and classifier of length 1.
///
/// f = 1/N Σ CE(W h/τ, y)
///
/// Parameters: `counts`, classes of one size; `temperature` τ.
///
/// Source: Yaras et al., Neural Collapse with Normalized Features (NeurIPS 2022).
#[pyclass(extends = Prediction, frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct SphericalCrossEntropy;

#[pymethods]
impl SphericalCrossEntropy {
    #[new]
    #[pyo3(signature = (counts, *, temperature))]
    fn new(
        py: Python<'_>,
        counts: &Bound<'_, PyAny>,
        temperature: f64,
    ) -> PyResult<PyClassInitializer<Self>> {
        let given = Given { temperature: Some(temperature), ..Given::default() };
        let recipe = given.recipe(py, Loss::SphericalCrossEntropy, counts)?;
        Ok(Prediction::build(py, recipe, None)?.initializer(Self))
    }

    /// τ.
    #[getter]
    fn temperature(slf: &Bound<'_, Self>) -> PyResult<f64> {
        Ok(minimum(slf.as_super())?.problem().temperature())
    }

    /// Class means of length 1 that attain the loss, shape (K, d), one class per row; turned at random with a `seed`.
    #[pyo3(signature = (seed = None))]
    fn class_means<'py>(
        slf: &Bound<'py, Self>,
        seed: Option<u64>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        class_means(slf.as_super(), seed)
    }
}

fn minimum<'a>(prediction: &'a Bound<'_, Prediction>) -> PyResult<&'a UnitMinimum> {
    match prediction.get().model().any() {
        Some(AnyModel::UnitVectors(minimum)) => Ok(minimum),
        _ => Err(bad_argument(prediction.py(), "self", "another model", "one of unit vectors")),
    }
}

fn class_means<'py>(
    prediction: &Bound<'py, Prediction>,
    seed: Option<u64>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let (py, basis) = (prediction.py(), seed.map_or(Basis::Standard, Basis::Random));
    columns_to_numpy(py, minimum(prediction)?.class_means(&basis).or_raise(py)?)
}

/// min_k of the distance of w_k to the convex hull of the others, for the rows of a (K, d) matrix: what spherical
/// cross-entropy maximizes as the temperature vanishes.
///
/// Source: Jiang et al., Generalized Neural Collapse for a Large Number of Classes (ICML 2024).
#[pyfunction]
pub(crate) fn one_vs_rest_distance(py: Python<'_>, vectors: &Bound<'_, PyAny>) -> PyResult<f64> {
    let vectors = matrix(vectors, "vectors")?;
    py.detach(|| contrastive::one_vs_rest_distance(&vectors)).or_raise(py)
}

/// The largest such distance that K = `classes` unit vectors in d = `dimension` dimensions can have: a dictionary with
/// `distance`, an upper bound, and `attained`, whether some are known to have it.
///
/// Source: Jiang et al. (ICML 2024); the project's docs/closed-forms.md.
#[pyfunction]
pub(crate) fn one_vs_rest_bound(
    py: Python<'_>,
    classes: usize,
    dimension: usize,
) -> PyResult<Bound<'_, PyAny>> {
    Ok(pythonize(py, &contrastive::one_vs_rest_bound(classes, dimension).or_raise(py)?)?)
}
