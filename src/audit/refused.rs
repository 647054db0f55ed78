//! Predictions that a network is not compared with class by class and layer by layer, and what compares it with them.

use crate::error::{Error, Result};
use crate::prediction::Prediction;
use crate::problem::counts::ClassCounts;
use crate::problem::head::LinearHead;
use crate::problem::training_objective::LossFunction;

/// The class counts of a prediction, or what to use instead of an audit by classes.
pub(super) fn classes_of(prediction: &dyn Prediction) -> Result<&ClassCounts> {
    let reason = match prediction.training_objective().loss_function() {
        LossFunction::SquaredError => {
            "every sample of the prediction has a target of its own; `audit_regression` compares a network with it"
        }
        _ => {
            "samples of the prediction carry soft labels, sets of tags or contexts instead of classes; `audit_soft_labels` \
             compares a network with it"
        }
    };
    prediction.counts().ok_or(Error::NotAnswered { question: "an audit by classes", reason })
}

/// Refuses a head of another number of layers than a prediction, unless that is of the product of all layers.
pub(super) fn check_layers(prediction: &dyn Prediction, head: &LinearHead) -> Result<()> {
    let one_layer = prediction.training_objective().is_of_one_layer();
    // A contrastive loss has no layers, so that it takes any.
    let any_layers = one_layer || prediction.depth() == 0;
    if any_layers || prediction.depth() == head.depth() {
        return Ok(());
    }
    let reason = "the number of layers of the prediction; `audit_product` and `compare_product` take the product of all";
    Err(Error::length("weights", head.depth(), prediction.depth(), reason))
}
