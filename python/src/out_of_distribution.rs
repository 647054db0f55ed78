//! Samples of no class.

use nalgebra::DVector;
use neural_collapse::measure::{ClassVectors, Scalar};
use neural_collapse::metrics;
use neural_collapse::metrics::errors::{SampleParts, nc5_estimate};
use numpy::PyArray1;
use pyo3::prelude::*;
use pythonize::pythonize;

use crate::arrays::{Features, head, list_to_numpy, row_major, rows_as_columns, vector};
use crate::error::OrRaise;
use crate::first_pass::FirstPass;
use crate::metrics::scatter_of;
use crate::passes::piece_samples;
use crate::samples::Samples;

/// Scores as an array; NaN for a sample that has none.
fn scores<'py>(py: Python<'py>, scores: Vec<Option<f64>>) -> Bound<'py, PyArray1<f64>> {
    let scores: Vec<f64> = scores.into_iter().map(|score| score.unwrap_or(f64::NAN)).collect();
    list_to_numpy(py, &scores)
}

/// The scores of samples, piece by piece, so that other Python threads run and Ctrl-C ends it.
fn in_pieces<T: Scalar>(
    py: Python<'_>,
    numbers: &[T],
    samples: usize,
    dimension: usize,
    score: impl Fn(&neural_collapse::Features<'_, T>) -> neural_collapse::Result<Vec<Option<f64>>>
    + Sync,
) -> PyResult<Vec<Option<f64>>> {
    let mut found = Vec::with_capacity(samples);
    let size = piece_samples(dimension);
    // No samples are looked at too, as their shape may be wrong.
    for first in (0..samples.max(1)).step_by(size) {
        let end = samples.min(first + size);
        let numbers = &numbers[first * dimension..end * dimension];
        let scored = py.detach(|| {
            let piece = neural_collapse::Features::from_row_major(numbers, end - first, dimension)?;
            score(&piece)
        });
        found.extend(scored.map_err(|error| error.counted_from(first)).or_raise(py)?);
        py.check_signals()?;
    }
    Ok(found)
}

/// Scores of features of either precision: `scored!(py, samples, score)`.
macro_rules! scored {
    ($py:expr, $samples:expr, $score:expr) => {{
        let features = Features::new($samples)?;
        let (samples, dimension) = features.shape();
        let found = match &features {
            Features::Single(array) => {
                in_pieces($py, row_major(array)?, samples, dimension, $score)
            }
            Features::Double(array) => {
                in_pieces($py, row_major(array)?, samples, dimension, $score)
            }
        };
        Ok(scores($py, found?))
    }};
}

/// NC5: the mean |cosine| between the class means and the mean of samples out of distribution, neither centered.
///
/// `class_means` is (K, d), `outside_mean` (d,). Independent random directions give √(2/(πd)).
///
/// Source: Ammar et al., NECO (ICLR 2024).
#[pyfunction]
pub(crate) fn nc5(
    py: Python<'_>,
    class_means: &Bound<'_, PyAny>,
    outside_mean: &Bound<'_, PyAny>,
) -> PyResult<f64> {
    let means = rows_as_columns(class_means, "class_means")?;
    let outside = DVector::from_vec(vector(outside_mean, "outside_mean")?);
    let nc5 = ClassVectors::columns(&means).and_then(|means| metrics::nc5(&means, &outside));
    nc5.or_raise(py)
}

/// The standard error of :func:`nc5` for samples of known classes (N, d) with `labels` (N,), and samples out of distribution
/// (n, d) with as many zeros as `zeros`: both move it independently. None if a class has a single sample.
#[pyfunction]
pub(crate) fn nc5_standard_error<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
    statistics: PyRef<'_, FirstPass>,
    outside: &Bound<'py, PyAny>,
    zeros: &Bound<'py, PyAny>,
) -> PyResult<Option<f64>> {
    let known = parts(py, &Samples::new(features, labels, None, Some(statistics))?)?;
    let outside = parts(py, &Samples::new(outside, zeros, Some(1), None)?)?;
    let found = py.detach(|| nc5_estimate(&known, &outside)).or_raise(py)?;
    Ok(found.map(|found| found.standard_error))
}

fn parts(py: Python<'_>, samples: &Samples<'_, '_>) -> PyResult<SampleParts> {
    let parts = SampleParts::new(samples.statistics(), &metrics::Nc1Options::default());
    samples.added_to(py, parts.or_raise(py)?, None)
}

/// NECO scores: the share ‖P(h − h_G)‖/‖h − h_G‖ of a feature in the directions in which known classes vary.
///
/// Neco(statistics) takes the directions in which the class means of a FirstPass differ; `principal` takes the first
/// principal directions of all samples, as the source does. Known samples of a collapsed network have a score near 1,
/// others a lower one.
///
/// Source: Ammar et al., NECO (ICLR 2024).
#[pyclass(frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct Neco(metrics::Neco);

#[pymethods]
impl Neco {
    #[new]
    fn new(py: Python<'_>, statistics: PyRef<'_, FirstPass>) -> PyResult<Self> {
        let statistics = statistics.statistics();
        py.detach(|| metrics::Neco::of_class_means(statistics)).map(Self).or_raise(py)
    }

    /// With the first `rank` principal directions of the features (N, d) of known classes, `labels` (N,).
    #[staticmethod]
    #[pyo3(signature = (features, labels, rank, *, progress = None))]
    fn principal<'py>(
        py: Python<'py>,
        features: &Bound<'py, PyAny>,
        labels: &Bound<'py, PyAny>,
        rank: usize,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let samples = Samples::new(features, labels, None, None)?;
        let scatter = scatter_of(py, &samples, progress)?;
        py.detach(|| metrics::Neco::new(&scatter, rank)).map(Self).or_raise(py)
    }

    /// The number of directions.
    #[getter]
    fn rank(&self) -> usize {
        self.0.rank()
    }

    /// The scores of samples (n, d), shape (n,), between 0 and 1; NaN for a sample that is the mean of the known ones.
    fn scores<'py>(
        &self,
        py: Python<'py>,
        samples: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        scored!(py, samples, |samples| self.0.scores(samples))
    }

    fn __repr__(&self) -> String {
        format!("Neco(rank={})", self.0.rank())
    }
}

/// NCI scores ⟨w_c, h − h_G⟩/‖h − h_G‖ + α‖h‖_1 of samples (n, d), c the class that the head decides for: shape (n,), NaN for
/// a sample at the mean h_G of the known ones.
///
/// `statistics` is the FirstPass of known samples, `weights` and `bias` the head.
///
/// Source: Liu & Qin (CVPR 2025).
#[pyfunction]
#[pyo3(signature = (samples, statistics, weights, bias = None, *, alpha = 0.0))]
pub(crate) fn nci_scores<'py>(
    py: Python<'py>,
    samples: &Bound<'py, PyAny>,
    statistics: PyRef<'_, FirstPass>,
    weights: &Bound<'py, PyAny>,
    bias: Option<&Bound<'py, PyAny>>,
    alpha: f64,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let (head, known) = (head(weights, bias)?, statistics.statistics());
    scored!(py, samples, |samples| metrics::nci_scores(samples, known, &head, alpha))
}

/// How well a score tells samples of known classes from others: a dictionary with known_mean, outside_mean and auroc, the
/// share of pairs in the right order (even ones by half), and their `standard_errors` for other samples by the same rule.
/// Samples without a score, NaN, are left out.
#[pyfunction]
pub(crate) fn detection<'py>(
    py: Python<'py>,
    known: &Bound<'py, PyAny>,
    outside: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let scores = |object: &Bound<'py, PyAny>, name| -> PyResult<Vec<Option<f64>>> {
        let numbers = vector(object, name)?.into_iter();
        Ok(numbers.map(|score| Some(score).filter(|score| !score.is_nan())).collect())
    };
    let (known, outside) = (scores(known, "known")?, scores(outside, "outside")?);
    Ok(pythonize(py, &metrics::Detection::of_scores(&known, &outside).or_raise(py)?)?)
}
