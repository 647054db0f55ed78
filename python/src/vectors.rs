//! Metrics of class means and classifiers, without samples.

use nalgebra::DMatrix;
use neural_collapse::measure::ClassVectors;
use neural_collapse::metrics::levels::Unstructured;
use neural_collapse::metrics::{self, Shape};
use numpy::PyArray1;
use pyo3::prelude::*;
use pythonize::pythonize;

use crate::arrays::{head, list_to_numpy, rows_as_columns};
use crate::error::OrRaise;
use crate::geometry::ClassMatrix;
use crate::problem::counts;

/// NC2: ‖G/‖G‖ − T/‖T‖‖ of the Gram matrix G of the rows of the last `layers` layers to a target T (ClassMatrix).
///
/// `weights` is a (K, d) array or a list of arrays (outputs, inputs). Source: Dang et al. (ICML 2023), C.1.2.
#[pyfunction]
#[pyo3(signature = (weights, target, layers = 1))]
pub(crate) fn nc2(
    py: Python<'_>,
    weights: &Bound<'_, PyAny>,
    target: &ClassMatrix,
    layers: usize,
) -> PyResult<f64> {
    let head = head(weights, None)?;
    py.detach(|| metrics::nc2(&head, layers, &target.0)).or_raise(py)
}

/// NC3: the distance of the outputs W_M⋯W_1 h_k for the class means to a target (ClassMatrix), both scaled to norm 1.
///
/// `class_means` is (K, d), one class per row. Source: Dang et al. (ICML 2023), C.1.3.
#[pyfunction]
pub(crate) fn nc3(
    py: Python<'_>,
    class_means: &Bound<'_, PyAny>,
    weights: &Bound<'_, PyAny>,
    target: &ClassMatrix,
) -> PyResult<f64> {
    let means = rows_as_columns(class_means, "class_means")?;
    let head = head(weights, None)?;
    py.detach(|| metrics::nc3(&means, &head, &target.0)).or_raise(py)
}

/// ‖W/‖W‖ − M/‖M‖‖ of a classifier (K, d) and centered class means (K, d).
#[pyfunction]
pub(crate) fn self_duality(
    py: Python<'_>,
    class_means: &Bound<'_, PyAny>,
    weights: &Bound<'_, PyAny>,
) -> PyResult<f64> {
    let (means, weights) = pair(class_means, weights)?;
    let distance = ClassVectors::columns(&means)
        .and_then(|means| metrics::self_duality(&means, &ClassVectors::columns(&weights)?));
    distance.or_raise(py)
}

/// The cosines between the rows of a classifier (K, d) and of class means (K, d), class by class.
#[pyfunction]
pub(crate) fn duality_cosines<'py>(
    py: Python<'py>,
    class_means: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let (means, weights) = pair(class_means, weights)?;
    let cosines = ClassVectors::columns(&means)
        .and_then(|means| metrics::duality_cosines(&means, &ClassVectors::columns(&weights)?));
    Ok(list_to_numpy(py, &cosines.or_raise(py)?))
}

fn pair(
    class_means: &Bound<'_, PyAny>,
    weights: &Bound<'_, PyAny>,
) -> PyResult<(DMatrix<f64>, DMatrix<f64>)> {
    Ok((rows_as_columns(class_means, "class_means")?, rows_as_columns(weights, "weights")?))
}

/// How near vectors of classes (K, d), one a row, are to a simplex ETF: a dictionary with the spread of their norms, of the
/// cosines of their angles, `equiangularity` and `log_energy`, with the keys of docs/metrics.md.
///
/// Class means less their mean are what such numbers are usually given of.
///
/// Source: Papyan, Han & Donoho (PNAS 2020); Liu et al. (ICLR 2023) for the energy.
#[pyfunction]
pub(crate) fn shape<'py>(
    py: Python<'py>,
    vectors: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let vectors = rows_as_columns(vectors, "vectors")?;
    let shape = py.detach(|| ClassVectors::columns(&vectors).map(|vectors| Shape::of(&vectors)));
    Ok(pythonize(py, &shape.or_raise(py)?)?)
}

/// NC0 = ‖1ᵀW_M‖²/K: how far the rows of the classifier are from having the sum zero.
///
/// `weights` is a (K, d) array or a list of arrays (outputs, inputs). Source: the project's docs/theory.md, "Dynamics".
#[pyfunction]
pub(crate) fn nc0(py: Python<'_>, weights: &Bound<'_, PyAny>) -> PyResult<f64> {
    metrics::nc0(&head(weights, None)?).or_raise(py)
}

/// (1 − ηλ)²: what NC0 is multiplied with in each step η of gradient descent with the weight decay λ, under cross-entropy.
#[pyfunction]
pub(crate) fn nc0_factor(py: Python<'_>, step: f64, weight_decay: f64) -> PyResult<f64> {
    metrics::nc0_factor(step, weight_decay).or_raise(py)
}

/// What the metrics are on average without any structure: for these class counts and d = `dimension` features, or in front
/// of a head if `weights` are given; a dictionary with the keys of docs/metrics.md.
#[pyfunction]
#[pyo3(signature = (counts, dimension = None, *, weights = None))]
pub(crate) fn unstructured_levels<'py>(
    py: Python<'py>,
    counts: &Bound<'py, PyAny>,
    dimension: Option<usize>,
    weights: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let counts = self::counts(counts)?;
    let levels = match weights.filter(|weights| !weights.is_none()) {
        Some(weights) => Unstructured::of_network(&counts, &head(weights, None)?),
        // No features are refused by the library.
        None => Unstructured::new(&counts, dimension.unwrap_or(0)),
    };
    Ok(pythonize(py, &levels.or_raise(py)?)?)
}

/// How far the features of several tags are from multiples of the average of theirs: one dictionary for each number of tags
/// with tags, sets, residual and factor.
///
/// `single` (K, d) has the means of the samples with one tag, one a row; `sets` the tags of each set, `set_means` (S, d) its
/// mean.
///
/// Source: Li et al. (ICML 2024).
#[pyfunction]
pub(crate) fn tag_average_residuals<'py>(
    py: Python<'py>,
    single: &Bound<'py, PyAny>,
    sets: Vec<Vec<usize>>,
    set_means: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let (single, means) =
        (rows_as_columns(single, "single")?, rows_as_columns(set_means, "set_means")?);
    let found = py.detach(|| metrics::tag_average_residuals(&single, &sets, &means));
    Ok(pythonize(py, &found.or_raise(py)?)?)
}
