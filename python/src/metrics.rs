//! Metrics of samples, as functions.

use neural_collapse::measure::{ClassVariances, PooledScatter};
use neural_collapse::metrics::{Confusion, DecisionCounts, MetricSums, Nc1Sums};
use numpy::PyArray2;
use pyo3::prelude::*;
use pythonize::pythonize;

use crate::arrays::{head, to_numpy};
use crate::error::OrRaise;
use crate::first_pass::FirstPass;
use crate::samples::{Samples, center_named, measured, nc1_options};

/// NC1 = tr(Σ_W Σ_B⁺)/K: the spread within the classes relative to that between them.
///
/// Parameters: `features` (N, d), `labels` (N,), `classes` K (default: the largest label plus one); `statistics`, a
/// FirstPass whose class means are taken, such as that of a training set; `center`, what class means are centered at,
/// "samples" or "classes"; `rank_cutoff` relative to the largest singular value; `divide_by_classes`; `progress`.
///
/// Raises ArgumentError if all class means are equal, EmptyClassError if a class has no sample.
///
/// Source: Papyan, Han & Donoho (PNAS 2020); Dang et al. (ICML 2023), C.1.1.
#[pyfunction]
#[pyo3(signature = (
    features, labels, classes = None, *, statistics = None, center = "samples", rank_cutoff = 1e-6,
    divide_by_classes = true, progress = None
))]
#[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub(crate) fn nc1<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
    classes: Option<usize>,
    statistics: Option<PyRef<'_, FirstPass>>,
    center: &str,
    rank_cutoff: f64,
    divide_by_classes: bool,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<f64> {
    let options = nc1_options(py, center, rank_cutoff, divide_by_classes)?;
    let samples = Samples::new(features, labels, classes, statistics)?;
    let nc1 = measured!(
        py,
        samples,
        progress,
        |statistics| Nc1Sums::new(statistics, &options).map(Nc1Sums::of_other_samples),
        |sums: Nc1Sums<_>| sums.nc1()
    );
    Ok(nc1.or_raise(py)?.value)
}

/// NC4: a dictionary with `agreement` (the share of samples for which classifier and nearest class mean decide alike),
/// `head_accuracy`, `nearest_mean_accuracy` and `classes` (the same of every class, None without samples).
///
/// Source: Papyan, Han & Donoho (PNAS 2020).
#[pyfunction]
#[pyo3(signature = (features, labels, weights, bias = None, *, statistics = None, progress = None))]
pub(crate) fn nc4<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    bias: Option<&Bound<'py, PyAny>>,
    statistics: Option<PyRef<'_, FirstPass>>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let head = head(weights, bias)?;
    let samples = Samples::new(features, labels, Some(head.classes()), statistics)?;
    let decisions = DecisionCounts::new(samples.statistics(), &head).or_raise(py)?;
    let decisions = samples.added_to(py, decisions.of_other_samples(), progress)?;
    Ok(pythonize(py, &decisions.nc4().or_raise(py)?)?)
}

/// Every combination of a label and of the decisions of classifier and nearest class mean that occurs: a list of
/// dictionaries label, head, nearest_mean, samples, which pandas.DataFrame takes.
#[pyfunction]
#[pyo3(signature = (features, labels, weights, bias = None, *, statistics = None, progress = None))]
pub(crate) fn confusion<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    bias: Option<&Bound<'py, PyAny>>,
    statistics: Option<PyRef<'_, FirstPass>>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let head = head(weights, bias)?;
    let samples = Samples::new(features, labels, Some(head.classes()), statistics)?;
    let confusion = Confusion::new(samples.statistics(), &head).or_raise(py)?;
    let confusion = samples.added_to(py, confusion.of_other_samples(), progress)?;
    Ok(pythonize(py, &confusion.entries().or_raise(py)?.collect::<Vec<_>>())?)
}

/// CDNV, the class-distance normalized variance over all pairs of classes: a dictionary with `mean`, `largest` and
/// `coincident_pairs`. Source: Galanti, György & Hutter (ICLR 2022).
#[pyfunction]
#[pyo3(signature = (features, labels, classes = None, *, statistics = None, progress = None))]
pub(crate) fn cdnv<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
    classes: Option<usize>,
    statistics: Option<PyRef<'_, FirstPass>>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let samples = Samples::new(features, labels, classes, statistics)?;
    let found = measured!(
        py,
        samples,
        progress,
        |statistics| ClassVariances::new(statistics).map(ClassVariances::of_other_samples),
        |sums: ClassVariances<_>| sums.cdnv()
    );
    Ok(pythonize(py, &found.or_raise(py)?)?)
}

/// tr Σ_W / tr Σ_B, a cheaper relative of NC1. Source: Tirer & Bruna (ICML 2022).
#[pyfunction]
#[pyo3(signature = (features, labels, classes = None, *, statistics = None, center = "samples", progress = None))]
pub(crate) fn nc1_trace_quotient<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
    classes: Option<usize>,
    statistics: Option<PyRef<'_, FirstPass>>,
    center: &str,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<f64> {
    let center = center_named(py, center)?;
    let samples = Samples::new(features, labels, classes, statistics)?;
    let found = measured!(
        py,
        samples,
        progress,
        |statistics| ClassVariances::new(statistics).map(ClassVariances::of_other_samples),
        |sums: ClassVariances<_>| sums.trace_quotient(center)
    );
    found.or_raise(py)
}

/// Every metric that needs no target, as a dictionary with the keys of docs/metrics.md.
#[pyfunction]
#[pyo3(signature = (features, labels, weights, bias = None, *, statistics = None, progress = None))]
pub(crate) fn all_metrics<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    bias: Option<&Bound<'py, PyAny>>,
    statistics: Option<PyRef<'_, FirstPass>>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let head = head(weights, bias)?;
    let samples = Samples::new(features, labels, Some(head.classes()), statistics)?;
    let found = measured!(
        py,
        samples,
        progress,
        |statistics| MetricSums::new(statistics, &head).map(MetricSums::of_other_samples),
        |sums: MetricSums<_>| sums.metrics()
    );
    Ok(pythonize(py, &found.or_raise(py)?)?)
}

/// Σ_W, the covariance within the classes, shape (d, d): 1/N Σ_i (h_i − h_y)(h_i − h_y)ᵀ.
#[pyfunction]
#[pyo3(signature = (features, labels, classes = None, *, progress = None))]
pub(crate) fn within_class_covariance<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
    classes: Option<usize>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let samples = Samples::new(features, labels, classes, None)?;
    let scatter = scatter_of(py, &samples, progress)?;
    to_numpy(py, &py.detach(|| scatter.within_class_covariance()).or_raise(py)?)
}

/// The class means with all of Σ_W.
pub(crate) fn scatter_of(
    py: Python<'_>,
    samples: &Samples<'_, '_>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<PooledScatter> {
    let (dimension, classes) = (samples.features.shape().1, samples.statistics().classes());
    let scatter = PooledScatter::empty(dimension, classes).or_raise(py)?;
    samples.added_to(py, scatter, progress)
}
