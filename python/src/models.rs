//! The models as classes, and the function that chooses among them.

mod cross_entropy;
mod fixed_head;
mod layer_peeled;
mod multi_label;
mod seli;
mod soft_labels;
mod ufm;
mod unit_vectors;

use pyo3::prelude::*;

use crate::loss::Loss;
use crate::prediction::Prediction;
use crate::problem::Given;

pub(crate) use cross_entropy::{CrossEntropy, margin_equalizing_weights};
pub(crate) use fixed_head::FixedHead;
pub(crate) use layer_peeled::LayerPeeled;
pub(crate) use multi_label::MultiLabel;
pub(crate) use seli::{Seli, simplex_margins};
pub(crate) use soft_labels::{SoftLabels, SparseLabels};
pub(crate) use ufm::Ufm;
pub(crate) use unit_vectors::{
    SphericalCrossEntropy, SupervisedContrastive, one_vs_rest_bound, one_vs_rest_distance,
};

/// The minimum of the training objective: the point that training should reach.
///
/// Parameters
/// ----------
/// counts : the number of samples of each class, or a text such as "200,100,50x2"
/// depth : number of linear layers M (default: that of `weight_decay`, or 1)
/// weight_decay : λ_1, …, λ_M from the features to the output, or one number for all
/// feature_decay : λ_H
/// bias : None, "unregularized" or its weight decay λ_b
/// loss : "mse", "ce", "layer_peeled", "uf_svm", "fixed_etf", "spherical_ce" or "supcon"
/// widths : d_1, …, d_M, the inputs of each layer, if they are limited
/// class_weights, label_smoothing : of "mse" and "ce", (K,) and δ (which "fixed_etf" has too)
/// logit_offsets, nonnegative_features : of "ce", (K,) as of logit adjustment, and as after a ReLU (which "supcon" has too)
/// pytorch_weight : of "ce" instead of class_weights, (K,), the `weight` of torch.nn.CrossEntropyLoss
/// weight_energy, feature_energy : of "layer_peeled", the budgets
/// margins, logit_scales : of "uf_svm", (K,) each, as of CDT, LDT and VS losses
/// classifier_norm_squared : of "fixed_etf", ‖w_k‖²
/// temperature : of "spherical_ce" and "supcon", τ
/// starts, seed : of the numerical search where no minimum is proved (see CrossEntropy)
/// progress : called as progress(stage, done, total) during long work
///
/// Returns a Prediction: Ufm, CrossEntropy, LayerPeeled, Seli, FixedHead, SphericalCrossEntropy or SupervisedContrastive.
/// Labels that are no classes have SoftLabels, SparseLabels, MultiLabel and Ufm.from_targets. Raises subclasses of ValueError
/// that carry the argument's name, place and value, also for an argument that the loss does not use; NoClosedFormError where
/// no model has this objective.
#[pyfunction]
#[pyo3(signature = (
    counts, *, depth = None, weight_decay = None, feature_decay = None, bias = None, loss = "mse", widths = None,
    class_weights = None, label_smoothing = 0.0, logit_offsets = None, nonnegative_features = false, pytorch_weight = None,
    weight_energy = None, feature_energy = None, margins = None, logit_scales = None, classifier_norm_squared = None,
    temperature = None, starts = None, seed = 0, progress = None
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
    pytorch_weight: Option<&Bound<'_, PyAny>>,
    weight_energy: Option<f64>,
    feature_energy: Option<f64>,
    margins: Option<&Bound<'_, PyAny>>,
    logit_scales: Option<&Bound<'_, PyAny>>,
    classifier_norm_squared: Option<f64>,
    temperature: Option<f64>,
    starts: Option<usize>,
    seed: u64,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Py<PyAny>> {
    let given = Given {
        depth,
        weight_decay,
        feature_decay,
        bias,
        widths,
        class_weights,
        label_smoothing,
        logit_offsets,
        nonnegative_features,
        pytorch_weight,
        weight_energy,
        feature_energy,
        margins,
        logit_scales,
        classifier_norm_squared,
        temperature,
        starts,
        seed,
    };
    let recipe = given.recipe(py, Loss::new(py, loss)?, counts)?;
    Prediction::build(py, recipe, progress)?.into_object(py)
}
