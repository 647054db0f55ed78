//! Single metrics, as functions.

use nalgebra::DMatrix;
use neural_collapse::ClassStatistics;
use neural_collapse::measure::{Center, ClassVectors, Scalar};
use neural_collapse::metrics::{self, Nc1Options, Nc1Sums};
use numpy::PyUntypedArrayMethods;
use numpy::{Element, PyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use pythonize::pythonize;

use crate::arrays::{Features, head, labels, list_to_numpy, matrix};
use crate::error::{OrRaise, bad_argument};
use crate::first_pass::FirstPass;
use crate::geometry::ClassMatrix;
use crate::passes::{Listener, Piece, for_each_piece};

/// The conventions of NC1.
pub(crate) fn nc1_options(
    py: Python<'_>,
    center: &str,
    rank_cutoff: f64,
    divide_by_classes: bool,
) -> PyResult<Nc1Options> {
    Ok(Nc1Options::default()
        .with_center(center_named(py, center)?)
        .with_rank_cutoff(rank_cutoff)
        .with_divide_by_classes(divide_by_classes))
}

fn center_named(py: Python<'_>, center: &str) -> PyResult<Center> {
    match center {
        "samples" => Ok(Center::Samples),
        "classes" => Ok(Center::Classes),
        other => Err(bad_argument(py, "center", &format!("'{other}'"), "'samples' or 'classes'")),
    }
}

/// Samples with their labels, and the class means that they are measured around.
struct Data<'a, 'py> {
    features: Features<'py>,
    labels: Vec<i64>,
    given: Option<PyRef<'a, FirstPass>>,
    own: Option<FirstPass>,
}

impl<'a, 'py> Data<'a, 'py> {
    /// Without a number of classes they are as many as the largest label says.
    fn new(
        py: Python<'py>,
        features: &Bound<'py, PyAny>,
        labels: &Bound<'py, PyAny>,
        classes: Option<usize>,
        given: Option<PyRef<'a, FirstPass>>,
    ) -> PyResult<Self> {
        let features = Features::new(features)?;
        let labels = self::labels(labels)?.as_slice()?.to_vec();
        let own = match &given {
            Some(_) => None,
            None => {
                let largest = labels.iter().copied().max().unwrap_or(0).max(0);
                let classes =
                    classes.unwrap_or(usize::try_from(largest).unwrap_or(0).saturating_add(1));
                Some(FirstPass::of(py, &features, &labels, classes)?)
            }
        };
        Ok(Self { features, labels, given, own })
    }

    fn statistics(&self) -> Option<&ClassStatistics> {
        self.given.as_deref().or(self.own.as_ref()).map(FirstPass::statistics)
    }
}

/// A measurement of samples of either precision around class means.
trait Measure: Sync {
    type Found: Send;

    fn of<T: Scalar>(
        &self,
        piece: Piece<'_, T>,
        statistics: &ClassStatistics,
    ) -> neural_collapse::Result<Self::Found>;
}

fn measured<M: Measure>(py: Python<'_>, data: &Data<'_, '_>, measure: &M) -> PyResult<M::Found> {
    let Some(statistics) = data.statistics() else {
        return Err(bad_argument(py, "statistics", "missing", "those of the samples"));
    };
    match &data.features {
        Features::Single(array) => measured_as(py, array, &data.labels, statistics, measure),
        Features::Double(array) => measured_as(py, array, &data.labels, statistics, measure),
    }
}

fn measured_as<T: Scalar + Element, M: Measure>(
    py: Python<'_>,
    array: &PyReadonlyArray2<'_, T>,
    labels: &[i64],
    statistics: &ClassStatistics,
    measure: &M,
) -> PyResult<M::Found> {
    let numbers = crate::arrays::row_major(array)?;
    let dimension = array.shape()[1];
    let piece = Piece { numbers, labels, dimension, classes: statistics.classes() };
    py.detach(|| measure.of(piece, statistics)).or_raise(py)
}

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
    let data = Data::new(py, features, labels, classes, statistics)?;
    let listener = Listener { stage: "deviations", callback: progress };
    match &data.features {
        Features::Single(array) => nc1_of(py, array, &data, &options, listener),
        Features::Double(array) => nc1_of(py, array, &data, &options, listener),
    }
}

fn nc1_of<T: Scalar + Element>(
    py: Python<'_>,
    array: &PyReadonlyArray2<'_, T>,
    data: &Data<'_, '_>,
    options: &Nc1Options,
    listener: Listener<'_, '_>,
) -> PyResult<f64> {
    let Some(statistics) = data.statistics() else {
        return Err(bad_argument(py, "statistics", "missing", "those of the samples"));
    };
    let classes = statistics.classes();
    let sums = py.detach(|| Nc1Sums::<T>::new(statistics, options)).or_raise(py)?;
    let mut sums = sums.of_other_samples();
    for_each_piece(py, array, &data.labels, classes, listener, |piece| {
        sums.accumulate(&piece.batch()?)
    })?;
    Ok(sums.nc1().or_raise(py)?.value)
}

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
/// `class_means` is (K, d), one class a row. Source: Dang et al. (ICML 2023), C.1.3.
#[pyfunction]
pub(crate) fn nc3(
    py: Python<'_>,
    class_means: &Bound<'_, PyAny>,
    weights: &Bound<'_, PyAny>,
    target: &ClassMatrix,
) -> PyResult<f64> {
    let means = matrix(class_means, "class_means")?.transpose();
    let head = head(weights, None)?;
    py.detach(|| metrics::nc3(&means, &head, &target.0)).or_raise(py)
}

struct WithHead<'a>(&'a neural_collapse::LinearHead);

impl Measure for WithHead<'_> {
    type Found = metrics::Nc4;

    fn of<T: Scalar>(
        &self,
        piece: Piece<'_, T>,
        statistics: &ClassStatistics,
    ) -> neural_collapse::Result<metrics::Nc4> {
        metrics::nc4(&piece.batch()?, statistics, self.0)
    }
}

/// NC4: a dictionary with `agreement` (the share of samples for which classifier and nearest class mean decide alike),
/// `head_accuracy`, `nearest_mean_accuracy` and `classes` (the same of every class, None without samples).
///
/// Source: Papyan, Han & Donoho (PNAS 2020).
#[pyfunction]
#[pyo3(signature = (features, labels, weights, bias = None, *, statistics = None))]
pub(crate) fn nc4<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    bias: Option<&Bound<'py, PyAny>>,
    statistics: Option<PyRef<'_, FirstPass>>,
) -> PyResult<Bound<'py, PyAny>> {
    let head = head(weights, bias)?;
    let data = Data::new(py, features, labels, Some(head.classes()), statistics)?;
    Ok(pythonize(py, &measured(py, &data, &WithHead(&head))?)?)
}

struct WithPairs;

impl Measure for WithPairs {
    type Found = metrics::Cdnv;

    fn of<T: Scalar>(
        &self,
        piece: Piece<'_, T>,
        statistics: &ClassStatistics,
    ) -> neural_collapse::Result<metrics::Cdnv> {
        metrics::cdnv(&piece.batch()?, statistics)
    }
}

/// CDNV, the class-distance normalized variance over all pairs of classes: a dictionary with `mean`, `largest` and
/// `coincident_pairs`. Source: Galanti, György & Hutter (ICLR 2022).
#[pyfunction]
#[pyo3(signature = (features, labels, classes = None, *, statistics = None))]
pub(crate) fn cdnv<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
    classes: Option<usize>,
    statistics: Option<PyRef<'_, FirstPass>>,
) -> PyResult<Bound<'py, PyAny>> {
    let data = Data::new(py, features, labels, classes, statistics)?;
    Ok(pythonize(py, &measured(py, &data, &WithPairs)?)?)
}

struct WithTraces(Center);

impl Measure for WithTraces {
    type Found = f64;

    fn of<T: Scalar>(
        &self,
        piece: Piece<'_, T>,
        statistics: &ClassStatistics,
    ) -> neural_collapse::Result<f64> {
        metrics::nc1_trace_quotient(&piece.batch()?, statistics, self.0)
    }
}

/// tr Σ_W / tr Σ_B, a cheaper relative of NC1. Source: Tirer & Bruna (ICML 2022).
#[pyfunction]
#[pyo3(signature = (features, labels, classes = None, *, statistics = None, center = "samples"))]
pub(crate) fn nc1_trace_quotient<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
    classes: Option<usize>,
    statistics: Option<PyRef<'_, FirstPass>>,
    center: &str,
) -> PyResult<f64> {
    let center = center_named(py, center)?;
    let data = Data::new(py, features, labels, classes, statistics)?;
    measured(py, &data, &WithTraces(center))
}

/// ‖W/‖W‖ − M/‖M‖‖ of a classifier (K, d) and centered class means (K, d).
#[pyfunction]
pub(crate) fn self_duality(
    py: Python<'_>,
    class_means: &Bound<'_, PyAny>,
    weights: &Bound<'_, PyAny>,
) -> PyResult<f64> {
    let (means, weights) = pair(class_means, weights)?;
    let vectors = ClassVectors::rows(&means)
        .and_then(|means| metrics::self_duality(&means, &ClassVectors::rows(&weights)?));
    vectors.or_raise(py)
}

/// The cosines between the rows of a classifier (K, d) and of class means (K, d), class by class.
#[pyfunction]
pub(crate) fn duality_cosines<'py>(
    py: Python<'py>,
    class_means: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let (means, weights) = pair(class_means, weights)?;
    let cosines = ClassVectors::rows(&means)
        .and_then(|means| metrics::duality_cosines(&means, &ClassVectors::rows(&weights)?));
    Ok(list_to_numpy(py, &cosines.or_raise(py)?))
}

fn pair(
    class_means: &Bound<'_, PyAny>,
    weights: &Bound<'_, PyAny>,
) -> PyResult<(DMatrix<f64>, DMatrix<f64>)> {
    Ok((matrix(class_means, "class_means")?, matrix(weights, "weights")?))
}

struct WithAll<'a>(&'a neural_collapse::LinearHead);

impl Measure for WithAll<'_> {
    type Found = metrics::AllMetrics;

    fn of<T: Scalar>(
        &self,
        piece: Piece<'_, T>,
        statistics: &ClassStatistics,
    ) -> neural_collapse::Result<metrics::AllMetrics> {
        metrics::all_metrics(&piece.batch()?, statistics, self.0)
    }
}

/// Every metric that needs no target, as a dictionary with the keys of docs/metrics.md.
#[pyfunction]
#[pyo3(signature = (features, labels, weights, bias = None, *, statistics = None))]
pub(crate) fn all_metrics<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    bias: Option<&Bound<'py, PyAny>>,
    statistics: Option<PyRef<'_, FirstPass>>,
) -> PyResult<Bound<'py, PyAny>> {
    let head = head(weights, bias)?;
    let data = Data::new(py, features, labels, Some(head.classes()), statistics)?;
    Ok(pythonize(py, &measured(py, &data, &WithAll(&head))?)?)
}
