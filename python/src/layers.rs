//! Collapse layer by layer.

use neural_collapse::ClassStatistics;
use neural_collapse::measure::Scalar;
use neural_collapse::metrics::layers::{LayerSums, SeparationLaw};
use numpy::{Element, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pythonize::pythonize;

use crate::arrays::{Features, labels, row_major};
use crate::error::{OrRaise, bad_argument};
use crate::passes::{Listener, Piece, add_all, piece_samples};

/// Collapse layer by layer: the features of the same samples after several layers of a network, first to last.
///
/// `features` is a list of (N, d_l) arrays, all float32 or all float64; `labels` (N,); `classes` K (default: the largest
/// label plus one); `progress(stage, done, total)`. Returns a dictionary with `layers` (for each dimension, nc1, nc1_trace_quotient, cdnv,
/// nearest_mean_accuracy, nc2_class_means, effective_rank, stable_rank and their standard_errors), `cka` (the similarity of every
/// two layers) with `cka_standard_errors`, `separation` (the law of equi-separation, None with less than three layers) with
/// `separation_standard_errors`, and `reasons` for standard errors that are None.
///
/// It takes D² numbers for D features in all layers together.
///
/// Source: He & Su, A Law of Data Separation in Deep Learning (PNAS 2023); Kornblith et al. (ICML 2019) for CKA.
#[pyfunction]
#[pyo3(signature = (features, labels, classes = None, *, progress = None))]
pub(crate) fn layers<'py>(
    py: Python<'py>,
    features: Vec<Bound<'py, PyAny>>,
    labels: &Bound<'py, PyAny>,
    classes: Option<usize>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let labels = self::labels(labels)?;
    let labels = labels.as_slice()?;
    let largest = labels.iter().copied().max().unwrap_or(0).max(0);
    let named = usize::try_from(largest).unwrap_or(0).saturating_add(1);
    let classes = classes.unwrap_or(named);
    let (mut single, mut double) = (Vec::new(), Vec::new());
    for array in &features {
        match Features::new(array)? {
            Features::Single(array) => single.push(array),
            Features::Double(array) => double.push(array),
        }
    }
    match (single.is_empty(), double.is_empty()) {
        (_, true) => measured(py, &single, labels, classes, progress),
        (true, false) => measured(py, &double, labels, classes, progress),
        (false, false) => {
            let expected = "float32 in all layers, or float64 in all";
            Err(bad_argument(py, "features", "of both precisions", expected))
        }
    }
}

fn measured<'py, T: Scalar + Element>(
    py: Python<'py>,
    arrays: &[PyReadonlyArray2<'py, T>],
    labels: &[i64],
    classes: usize,
    callback: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut statistics = Vec::with_capacity(arrays.len());
    for array in arrays {
        let mut sums = ClassStatistics::empty(array.shape()[1], classes).or_raise(py)?;
        let listener = Listener { stage: "class means", callback };
        add_all(py, &mut sums, array, labels, classes, listener)?;
        statistics.push(sums);
    }
    let mut sums = LayerSums::<T>::new(&statistics).or_raise(py)?;
    let listener = Listener { stage: "layers", callback };
    let numbers = arrays.iter().map(row_major).collect::<PyResult<Vec<_>>>()?;
    let dimensions: Vec<usize> = arrays.iter().map(|array| array.shape()[1]).collect();
    let size = piece_samples(dimensions.iter().sum());
    for first in (0..labels.len()).step_by(size) {
        let end = labels.len().min(first + size);
        let added = py.detach(|| {
            let mut batch = Vec::with_capacity(numbers.len());
            for (numbers, &dimension) in numbers.iter().zip(&dimensions) {
                let numbers = &numbers[first * dimension..end * dimension];
                let labels = &labels[first..end];
                batch.push(Piece { numbers, labels, dimension, classes }.batch()?);
            }
            sums.accumulate(&batch)
        });
        added.map_err(|error| error.counted_from(first)).or_raise(py)?;
        py.check_signals()?;
        listener.hear(end, labels.len())?;
    }
    Ok(pythonize(py, &py.detach(|| sums.layers()).or_raise(py)?)?)
}

/// The law of equi-separation, ln NC1 after layer l = intercept + slope·l: a dictionary with slope, intercept, r_squared,
/// layers and factor e^slope; None with less than three layers that have an NC1.
///
/// `nc1` has a number or None for each layer. Source: He & Su (PNAS 2023).
#[pyfunction]
pub(crate) fn separation_law<'py>(
    py: Python<'py>,
    nc1: Vec<Option<f64>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(law) = SeparationLaw::fit(&nc1).or_raise(py)? else { return Ok(None) };
    let found = pythonize(py, &law)?;
    found.set_item("factor", law.factor())?;
    Ok(Some(found))
}
