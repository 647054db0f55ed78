//! What a reader of an audit must be told in words.

use neural_collapse::problem::TrainingObjective;

use crate::audit::AuditedNetwork;
use crate::loss::Loss;
use crate::tables::capitalized;

/// An accuracy below this share of that of the nearest class mean is pointed out: near collapse they hardly differ.
const FAR_BELOW: f64 = 0.8;

/// NC3 and its centered form count as different from this ratio on.
const DISAGREE: f64 = 2.0;

/// From this residual on, the balance of the layers fails.
const UNBALANCED: f64 = 0.05;

pub(crate) fn remarks(network: &AuditedNetwork) -> Vec<String> {
    let mut remarks: Vec<String> =
        network.facts.assumptions.iter().map(|assumption| sentence(assumption)).collect();
    remarks.extend(
        network
            .facts
            .unknown_metadata
            .iter()
            .map(|(file, entry)| format!("Metadata in {}: {entry}.", file.display())),
    );
    remarks.extend(left_out_remark(network));
    remarks.extend(training_remarks(network));
    remarks.extend(missing_remarks(network));
    remarks.extend(rank_remark(network));
    remarks.extend(accuracy_remark(network));
    remarks.extend(centering_remark(network));
    remarks.extend(model_remarks(network));
    remarks
}

/// Outputs without samples are part of what cross-entropy divides by in training.
fn left_out_remark(network: &AuditedNetwork) -> Option<String> {
    const SHOWN: usize = 8;
    let outputs = &network.facts.left_out_outputs;
    let shown: Vec<_> = outputs.iter().take(SHOWN).map(ToString::to_string).collect();
    let (noun, more) = match outputs.len() {
        0 => return None,
        1 => ("output", String::new()),
        count if count > SHOWN => ("outputs", format!(" and {} more", count - SHOWN)),
        _ => ("outputs", String::new()),
    };
    Some(format!(
        "Left out: {noun} {}{more}, without samples. Classes are numbered without what is left out, and loss and \
         prediction are those of a training without it.",
        shown.join(", ")
    ))
}

fn training_remarks(network: &AuditedNetwork) -> Vec<String> {
    let training = &network.training;
    let mut remarks = Vec::new();
    let decays = training.objective.as_ref().and_then(|objective| objective.regularization());
    if training.loss_is_assumed {
        remarks.push(
            "Loss: taken as the squared error, for neither --loss nor the metadata `loss_function` tells it.".into(),
        );
    }
    if training.bias_is_assumed && decays.is_some() {
        remarks.push(
            "Bias: taken as unregularized, for the file has one and neither --bias nor the metadata `bias` tells more."
                .into(),
        );
    }
    if let Some(decay) = training.inferred_feature_decay {
        remarks.push(format!(
            "Feature decay: λ_H = {decay:.6e} is not given but inferred from λ₁‖W₁‖² = λ_H‖H‖², which holds at every \
             stationary point."
        ));
    }
    if let Some(decays) = &training.inferred_weight_decays {
        let layers = decays.iter().enumerate();
        let named = layers
            .filter_map(|(layer, decay)| Some(format!("λ_{} = {:.6e}", layer + 1, (*decay)?)));
        remarks.push(format!(
            "Weight decays: {} not given but inferred from λₘ‖Wₘ‖² = λ_H‖H‖² of all layers, which holds at every \
             stationary point.",
            named.collect::<Vec<_>>().join(", ")
        ));
    }
    if training.inferred_feature_decay.is_some() || training.inferred_weight_decays.is_some() {
        let worst = network.audit.measurement.balancedness().unwrap_or_default();
        let worst = worst.iter().copied().fold(0.0, f64::max);
        if worst > UNBALANCED {
            remarks.push(format!(
                "Balance: the layers differ by up to {:.0} % from the balance of a stationary point, so that the network \
                 is at none of an objective with such decays, and the comparison says little.",
                100.0 * worst
            ));
        }
    }
    remarks
}

fn missing_remarks(network: &AuditedNetwork) -> Vec<String> {
    let audit = &network.audit;
    let mut remarks = Vec::new();
    if let Some(reason) = &audit.no_prediction {
        remarks.push(format!("No prediction: {}.", reason.trim_end_matches('.')));
    }
    if let Some(reason) = audit.reasons.get("nc1") {
        remarks.push(format!("NC1 is not determined: {reason}."));
    }
    match (&network.model, audit.nc3, &audit.nc3_target) {
        (Some(_), None, _) => {
            let reason = audit.reasons.get("nc3").map_or("it has no value", String::as_str);
            remarks.push(format!("NC3 is not determined: {reason}."));
        }
        (None, Some(_), Some(target)) => remarks.push(format!(
            "NC2 and NC3 are measured to the {target}, that of balanced classes {}, unless the weight decays are so large \
             that classes collapse; distances to other frames stand beside it.",
            frame_of(network.training.loss, audit.measurement.head().bias().is_some())
        )),
        _ => {}
    }
    remarks
}

/// What a frame is that of.
fn frame_of(loss: Option<Loss>, has_bias: bool) -> &'static str {
    match (loss, has_bias) {
        (Some(Loss::Mse), true) => "under the squared loss with an unregularized bias",
        (Some(Loss::Mse), false) => "under the squared loss without a bias",
        (None, _) => {
            "with an unregularized bias, under the squared loss and mostly under cross-entropy"
        }
        (Some(_), _) => "under cross-entropy with one layer, and mostly with several",
    }
}

/// A transposed kernel or labels of another order show in the accuracy only.
fn accuracy_remark(network: &AuditedNetwork) -> Option<String> {
    let measurement = &network.audit.measurement;
    let (accuracy, nearest) =
        (measurement.accuracy(), measurement.nc4().overall.nearest_mean_accuracy);
    let head = measurement.head();
    let square = head.weights().iter().all(nalgebra::Matrix::is_square);
    let chance = 1.0 / head.classes() as f64;
    let low = accuracy < FAR_BELOW * nearest || (accuracy <= 1.5 * chance && nearest > 0.9);
    (low && head.classes() > 1).then(|| {
        let transposed = match square {
            true => "are the weights transposed (--transposed reads inputs × outputs, as Keras and Flax store them), or ",
            false => "",
        };
        format!(
            "Accuracy {accuracy:.3} is far below that of the nearest class mean, {nearest:.3}: {transposed}are the labels \
             in another order than the outputs, or is a bias left out?"
        )
    })
}

/// NC1 on directions that are noise stays of order 1 however small the noise is.
fn rank_remark(network: &AuditedNetwork) -> Option<String> {
    let measurement = &network.audit.measurement;
    let all = measurement.nc1()?;
    let Some(resolved) = measurement.nc1_resolved() else {
        return Some(
            "NC1: no difference between class means stands out of the noise of means of so few samples.".into(),
        );
    };
    (resolved.rank < all.rank).then(|| {
        format!(
            "NC1: in {} of {} directions class means differ by no more than the noise of their samples, which NC1 divides \
             by there; on the {} that stand out it is {:.3e}.",
            all.rank - resolved.rank,
            all.rank,
            resolved.rank,
            resolved.value
        )
    })
}

fn centering_remark(network: &AuditedNetwork) -> Option<String> {
    let audit = &network.audit;
    let (plain, centered) = (audit.nc3?, audit.nc3_centered?);
    let differ = plain.max(centered) > DISAGREE * plain.min(centered) && plain.max(centered) > 1e-3;
    differ.then(|| match plain > centered {
        true => "NC3 differs from its centered form: the outputs have a part that all classes share. The centered form, \
                 which papers' codes compute, removes it."
            .into(),
        false => "NC3 differs from its centered form: the predicted class means do not sum to zero, so that centering \
                  takes a part of them away."
            .into(),
    })
}

fn model_remarks(network: &AuditedNetwork) -> Vec<String> {
    let audit = &network.audit;
    let mut remarks = Vec::new();
    if audit.matching.as_ref().is_some_and(|order| !order.is_sorted()) {
        remarks.push(
            "Classes were matched with those of the structure; NC2, NC3 and the predicted norms are for that order."
                .into(),
        );
    }
    let Some(prediction) = audit.prediction.as_ref() else { return remarks };
    match prediction.training_objective {
        TrainingObjective::Budgeted { .. } => remarks.push(
            "The model has one layer and no bias: W is the product of all layers; the budgets E_W and E_H are those of \
             the network; f is the mean cross-entropy."
                .into(),
        ),
        TrainingObjective::SmallestNorms { .. } | TrainingObjective::ScaledMargins { .. } => remarks.push(
            "The model has one layer and no bias: W is the product of all layers; norms are predicted up to a factor, \
             chosen so that their sums agree."
                .into(),
        ),
        _ => {}
    }
    if network.around_other_means {
        remarks
            .push("Class means, center and rank are those of the files given by --means.".into());
    }
    remarks
}

fn sentence(text: &str) -> String {
    format!("{}.", capitalized(text.trim_end_matches('.')))
}
