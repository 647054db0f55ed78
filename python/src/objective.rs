//! The training objective of a measured network, and its decays.

use nalgebra::DVector;
use neural_collapse::objective::{LeastSquaresSplit, ObjectiveSums, balancedness_with};
use neural_collapse::problem::{CodedFeaturePenalty, CodedLoss, PartialRegularization};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pythonize::pythonize;

use crate::arrays::{Features, head, list_to_numpy, of_rows, to_numpy};
use crate::error::{OrRaise, bad_argument};
use crate::metrics::scatter_of;
use crate::monitor::watched;
use crate::prediction::Prediction;
use crate::problem::{Given, bias_of_head};
use crate::samples::Samples;

/// The training objective of a prediction at a measured network: a dictionary with data_term, weight_penalty,
/// feature_penalty, bias_penalty, loss (their sum) and gradient_norm ‖∇f‖ in all layers, the bias and the features.
///
/// `features` (N, d), `labels` (N,), `weights` (K, d) or a list of layers, `bias` (K,) or None. For a prediction with soft
/// labels `labels` are their numbers.
///
/// Raises NotAnsweredError for margins, which are constraints and have no value.
#[pyfunction]
#[pyo3(signature = (features, labels, weights, bias = None, *, prediction, progress = None))]
pub(crate) fn objective<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    bias: Option<&Bound<'py, PyAny>>,
    prediction: &Bound<'py, Prediction>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (head, objective) = (head(weights, bias)?, prediction.get().objective());
    let labels_of_all = objective.labels(head.classes());
    let samples = Samples::new(features, labels, Some(labels_of_all), None)?;
    let sums = ObjectiveSums::new(samples.statistics(), &head, &objective).or_raise(py)?;
    let value = samples.added_to(py, sums, progress)?.objective().or_raise(py)?;
    let found = pythonize(py, &value)?;
    found.set_item("loss", value.loss())?;
    Ok(found)
}

/// The residuals of the balance λ_1 W_1ᵀW_1 = λ_H HHᵀ and λ_(m+1) W_(m+1)ᵀW_(m+1) = λ_m W_m W_mᵀ, from the features on, each
/// relative to the larger side, shape (M,): all vanish at every stationary point of an objective with these decays.
///
/// It takes d² numbers; `progress(stage, done, total)` is called meanwhile. Source: lemma D.2 of Dang et al. (ICML 2023).
#[pyfunction]
#[pyo3(signature = (features, weights, *, weight_decay, feature_decay, progress = None))]
pub(crate) fn balancedness<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    weight_decay: &Bound<'py, PyAny>,
    feature_decay: f64,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let head = head(weights, None)?;
    let (depth, weight_decay) = (Some(head.depth()), Some(weight_decay));
    let given =
        Given { depth, weight_decay, feature_decay: Some(feature_decay), ..Given::default() };
    let regularization = given.regularization(py)?;
    let features = Features::new(features)?;
    let found = of_rows!(features, |rows| watched(py, progress, |monitor| {
        balancedness_with(&rows?, &head, &regularization, monitor)
    }))?;
    Ok(list_to_numpy(py, &found))
}

/// The squared loss of one layer with its penalties, but for that of the features, split into four parts, none negative: a
/// dictionary with within_classes, class_means, penalty, head_distance, loss (their sum), and the head that is best for
/// these features, best_weights (K, d) and best_bias (K,) or None.
///
/// Raises ShapeError for several layers, NotAnsweredError if the decay is so small that the best head is lost in rounding.
///
/// Source: Han, Papyan & Donoho (ICLR 2022), theorem 1, here for any class sizes and any bias.
#[pyfunction]
#[pyo3(signature = (features, labels, weights, bias = None, *, weight_decay, bias_decay = None, progress = None))]
#[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub(crate) fn least_squares_split<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    bias: Option<&Bound<'py, PyAny>>,
    weight_decay: &Bound<'py, PyAny>,
    bias_decay: Option<f64>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let head = head(weights, bias)?;
    let treated = bias_of_head(py, &head, bias_decay)?;
    let given = Given {
        weight_decay: Some(weight_decay),
        // The split has no part of the features' penalty.
        feature_decay: Some(1.0),
        bias: treated.as_ref(),
        ..Given::default()
    };
    let regularization = given.regularization(py)?;
    let samples = Samples::new(features, labels, Some(head.classes()), None)?;
    let scatter = scatter_of(py, &samples, progress)?;
    let split =
        py.detach(|| LeastSquaresSplit::new(&scatter, &head, &regularization)).or_raise(py)?;
    let found = PyDict::new(py);
    found.set_item("within_classes", split.within_classes)?;
    found.set_item("class_means", split.class_means)?;
    found.set_item("penalty", split.penalty)?;
    found.set_item("head_distance", split.head_distance)?;
    found.set_item("loss", split.loss())?;
    let [best] = split.best_head.weights() else {
        return Err(bad_argument(py, "weights", "of several layers", "one layer"));
    };
    found.set_item("best_weights", to_numpy(py, best)?)?;
    let best = split.best_head.bias().map(DVector::as_slice);
    found.set_item("best_bias", best.map(|bias| list_to_numpy(py, bias)))?;
    Ok(found)
}

/// The decays λ_1, …, λ_M and λ_H of a network of which some are known: (weight_decay (M,), feature_decay). Those that are
/// None follow from λ_1‖W_1‖² = … = λ_M‖W_M‖² = λ_H‖H‖², which holds at every stationary point.
///
/// `features_squared` is ‖H‖², such as of a FirstPass; `weight_decay` a number for all layers, or a list of numbers and
/// Nones. Whether the model applies the balance of the layers tells. Raises NotAnsweredError if no decay is known.
#[pyfunction]
#[pyo3(signature = (weights, features_squared, *, weight_decay = None, feature_decay = None))]
pub(crate) fn infer_decays<'py>(
    py: Python<'py>,
    weights: &Bound<'py, PyAny>,
    features_squared: f64,
    weight_decay: Option<&Bound<'py, PyAny>>,
    feature_decay: Option<f64>,
) -> PyResult<(Bound<'py, PyArray1<f64>>, f64)> {
    let head = head(weights, None)?;
    let known = match weight_decay {
        None => vec![None; head.depth()],
        Some(decay) => match decay.extract::<Option<f64>>() {
            Ok(decay) => vec![decay; head.depth()],
            Err(_) => decay.extract()?,
        },
    };
    let known = PartialRegularization::new(&known, feature_decay);
    let found = known.and_then(|known| known.inferred(&head, features_squared)).or_raise(py)?;
    Ok((list_to_numpy(py, found.weight_decays()), found.feature_decay()))
}

/// The decay λ of the objective from the `weight_decay` that SGD or Adam was given beside a loss as PyTorch writes it:
/// `loss` is "cross_entropy" (`CrossEntropyLoss()`), "mean_squared_error" (`MSELoss()`, a mean over samples *and* outputs,
/// which is 2/K of the objective's) or "half_squared_error" (½‖z − e_y‖², a mean over samples).
#[pyfunction]
#[pyo3(signature = (weight_decay, classes, *, loss))]
pub(crate) fn decay_of_code(
    py: Python<'_>,
    weight_decay: f64,
    classes: usize,
    loss: &str,
) -> PyResult<f64> {
    coded_loss(py, loss)?.weight_decay(weight_decay, classes).or_raise(py)
}

/// The decay λ_H of the objective from a penalty of the features that training code adds to a loss (see
/// :func:`decay_of_code`): rate/2 Σ ‖h‖² over the samples of a batch of `batch_size` ("sum_over_batch"), rate/2 times their
/// mean ("mean_over_samples"), or rate/2 Σ ‖h‖² over all samples at every step ("sum_over_samples").
#[pyfunction]
#[pyo3(signature = (rate, classes, *, loss, penalty, samples = None, batch_size = None))]
pub(crate) fn feature_decay_of_code(
    py: Python<'_>,
    rate: f64,
    classes: usize,
    loss: &str,
    penalty: &str,
    samples: Option<u64>,
    batch_size: Option<u64>,
) -> PyResult<f64> {
    let needed = |name, number: Option<u64>| {
        number.ok_or_else(|| bad_argument(py, name, "not given", "a number for this penalty"))
    };
    let penalty = match penalty {
        "sum_over_batch" => CodedFeaturePenalty::SumOverBatch {
            rate,
            batch_size: needed("batch_size", batch_size)?,
            samples: needed("samples", samples)?,
        },
        "mean_over_samples" => {
            CodedFeaturePenalty::MeanOverSamples { rate, samples: needed("samples", samples)? }
        }
        "sum_over_samples" => CodedFeaturePenalty::SumOverSamples { rate },
        other => {
            let expected = "'sum_over_batch', 'mean_over_samples' or 'sum_over_samples'";
            return Err(bad_argument(py, "penalty", &format!("'{other}'"), expected));
        }
    };
    coded_loss(py, loss)?.feature_decay(penalty, classes).or_raise(py)
}

fn coded_loss(py: Python<'_>, name: &str) -> PyResult<CodedLoss> {
    match name {
        "cross_entropy" => Ok(CodedLoss::CrossEntropy),
        "mean_squared_error" => Ok(CodedLoss::MeanSquaredError),
        "half_squared_error" => Ok(CodedLoss::HalfSquaredError),
        other => {
            let expected = "'cross_entropy', 'mean_squared_error' or 'half_squared_error'";
            Err(bad_argument(py, "loss", &format!("'{other}'"), expected))
        }
    }
}
