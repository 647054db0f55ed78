//! The tables of `audit`.

use neural_collapse::Audit;
use neural_collapse::audit::{ClassAudit, Compared};

use super::audit::loss_name;
use super::metric_tables::{METRIC_LEGEND, metric_tables};
use super::prediction::geometry_text;
use super::problem::{fact, list_numbers, penalty_facts};
use crate::arguments::Loss;
use crate::audit::AuditedNetwork;
use crate::model::{Model, Prediction};
use crate::tables::{Cell, NEGLIGIBLE, Run, merge_equal, numbered_table, plain_table, wrap};

/// The audit of `network` as tables, with remarks and a legend.
pub(crate) fn audit_tables(network: &AuditedNetwork) -> String {
    let audit = &network.audit;
    let mut parts = vec![network_table(network), metric_table(network)];
    parts.extend(layer_table(audit));
    parts.push(class_table(audit, network.prediction.is_some()));
    parts.extend(network.metrics.iter().map(metric_tables));
    parts.extend(remarks(network));
    parts.push(wrap(LEGEND));
    parts.extend(network.metrics.iter().map(|_| wrap(METRIC_LEGEND)));
    parts.join("\n\n")
}

/// What the symbols mean.
const LEGEND: &str = "\
NC1: spread within the classes relative to that between them; NC2, NC3: distance to the prediction, up to scale, \
of the Gram matrix of the last m layers and of the outputs for the class means; NC4: share of samples where \
largest output and nearest class mean agree; balance: relative difference of layer m and the one before it; \
‖w‖², ‖h‖²: squared norms of the classifier's row and of the class mean; diff.: relative to the prediction; \
≈ 0: rounding errors; – : not determined. All numbers are dimensionless.";

/// What the network is and how it was trained.
fn network_table(network: &AuditedNetwork) -> String {
    let head = &network.head;
    let loss = loss_name(network.loss_function).map(|name| fact("loss", name.replace('_', " ")));
    let mut facts: Vec<_> = loss.into_iter().collect();
    facts.extend([
        fact("samples N", network.samples.to_string()),
        fact("classes K", head.classes().to_string()),
        fact("linear layers M", head.depth().to_string()),
        fact("widths d₁,…,d_M", list_numbers(&head.widths())),
    ]);
    match &network.penalties {
        Some(known) => {
            facts.extend(penalty_facts(known.weight_decays(), known.feature_decay(), known.bias()));
        }
        None => facts.push(fact("bias", if head.bias().is_some() { "yes" } else { "none" })),
    }
    let geometry = network.prediction.as_ref().map(|prediction| match prediction {
        Prediction::Squared(minimum) => geometry_text(minimum),
        Prediction::Other(model) => model.geometry(),
    });
    facts.push(fact("predicted geometry", geometry.unwrap_or("–".into())));
    plain_table(&["network", ""], &facts)
}

/// What there is once for the whole network.
fn metric_table(network: &AuditedNetwork) -> String {
    let audit = &network.audit;
    let row = |name: &str, cell: Cell| vec![Cell::Text(name.into()), cell];
    let mut rows = vec![
        row("NC1", Cell::Residual(audit.nc1.map(|nc1| nc1.value))),
        row("NC3", Cell::Residual(audit.nc3)),
        row("NC4", Cell::Number(Some(audit.nc4.overall.agreement))),
    ];
    if let Some(objective) = &audit.objective {
        rows.push(row("gradient norm ‖∇f‖", Cell::Residual(Some(objective.gradient_norm))));
    }
    if let Some(loss) = network.loss {
        rows.push(row("loss f", Cell::Number(Some(loss))));
        if let Some(prediction) = &network.prediction {
            let optimum = prediction.loss();
            rows.push(row("predicted loss f*", Cell::Number(Some(optimum))));
            let gap = relative_difference(loss, Some(optimum));
            rows.push(row("loss gap (f − f*)/f*", Cell::Residual(gap)));
        }
    }
    plain_table(&["metric", ""], &rows)
}

/// What there is for every layer; `None` if there is nothing.
fn layer_table(audit: &Audit) -> Option<String> {
    if audit.balancedness.is_none() && audit.nc2.iter().all(Option::is_none) {
        return None;
    }
    let balance = |index: usize| audit.balancedness.as_ref()?.get(index).copied();
    let layers = audit.nc2.iter().enumerate();
    let rows = layers.map(|(index, &nc2)| Run {
        first: index + 1,
        length: 1,
        item: [nc2, balance(index)],
    });
    let rows: Vec<_> = rows.collect();
    Some(numbered_table("m", &["NC2", "balance"], &rows, |item| item.map(Cell::Residual).into()))
}

/// The norms of every class beside their predictions, if there are any.
fn class_table(audit: &Audit, is_predicted: bool) -> String {
    let runs = merge_equal(audit.classes.iter().map(|&class| (1, class)));
    let largest = |norm: fn(&ClassAudit) -> f64| audit.classes.iter().map(norm).fold(0.0, f64::max);
    let largest_classifier = largest(|class| class.classifier_norm_squared.measured);
    let largest_feature = largest(|class| class.feature_norm_squared.measured);
    // Columns of a norm: alone, or with its prediction and their difference.
    let columns = if is_predicted { 3 } else { 1 };
    let headings = [
        &["samples"],
        &["‖w‖²", "predicted", "diff."][..columns],
        &["‖h‖²", "predicted", "diff."][..columns],
        &[""],
    ];
    numbered_table("class", &headings.concat(), &runs, |class| {
        let mut row = vec![Cell::Count(class.count)];
        row.extend_from_slice(
            &norm_cells(class.classifier_norm_squared, largest_classifier)[..columns],
        );
        row.extend_from_slice(&norm_cells(class.feature_norm_squared, largest_feature)[..columns]);
        row.push(Cell::Text(collapse_mark(class.collapsed).into()));
        row
    })
}

/// A squared norm, its prediction and the relative difference.
fn norm_cells(norm: Compared<f64>, largest: f64) -> [Cell; 3] {
    let measured = match norm.measured < NEGLIGIBLE * largest {
        true => Cell::NearZero,
        false => Cell::Number(Some(norm.measured)),
    };
    let difference = relative_difference(norm.measured, norm.predicted);
    [measured, Cell::Number(norm.predicted), Cell::Residual(difference)]
}

/// The difference relative to the prediction, if that is not zero.
fn relative_difference(measured: f64, predicted: Option<f64>) -> Option<f64> {
    let predicted = predicted.filter(|&predicted| predicted > 0.0)?;
    Some((measured - predicted) / predicted)
}

/// The mark of a class that has collapsed or should have.
fn collapse_mark(collapsed: Compared<bool>) -> &'static str {
    match (collapsed.measured, collapsed.predicted) {
        (true, Some(true)) => "collapsed, as predicted",
        (true, Some(false)) => "collapsed, against the prediction",
        (true, None) => "collapsed",
        (false, Some(true)) => "predicted to collapse",
        (false, _) => "",
    }
}

/// What was assumed, and why something is missing; one line each.
fn remarks(network: &AuditedNetwork) -> Vec<String> {
    let audit = &network.audit;
    let mut remarks = Vec::new();
    if network.bias_is_assumed && network.penalties.is_some() {
        remarks.push(
            "Bias: taken as unregularized, for the file has one and neither --bias nor the metadata `bias` tells more."
                .into(),
        );
    }
    if let Some(reason) = &network.no_prediction {
        remarks.push(format!("No prediction: {reason}."));
    }
    if audit.nc1.is_none() {
        remarks.push("NC1 is not determined: the class means are all equal.".into());
    }
    match (&network.prediction, audit.nc3) {
        (Some(_), None) => remarks
            .push("NC3 is not determined: the outputs, or those predicted, are all zero.".into()),
        (None, Some(_)) if network.loss_function == Loss::Ce => remarks.push(
            "NC2 and NC3 are measured to the simplex ETF, which may not be what the weight decays lead to."
                .into(),
        ),
        (None, Some(_)) => remarks.push(frame_remark(network.head.bias().is_some())),
        _ => {}
    }
    if let Some(Prediction::Other(model)) = &network.prediction {
        remarks.extend(model_remarks(network, model));
    }
    remarks
}

/// Which theorem speaks, and how the network was held against it.
fn model_remarks(network: &AuditedNetwork, model: &Model) -> Vec<String> {
    let mut remarks = vec![format!("Theorem: {}.", model.statement())];
    if network.relabelled {
        remarks.push(
            "Classes were matched with those of the structure, exchanging two at a time; NC2, NC3 and the predicted \
             norms are for that order."
                .into(),
        );
    }
    match model {
        Model::CrossEntropy(_) => {}
        Model::LayerPeeled(_) => remarks.push(
            "The model has one layer and no bias: W is the product of all layers; the budgets E_W and E_H are those of the network; f is the mean \
             cross-entropy."
                .into(),
        ),
        Model::SupportVectors(_) => remarks.push(
            "The model has one layer and no bias: W is the product of all layers; norms are predicted up to a factor, chosen so that their sums agree."
                .into(),
        ),
    }
    remarks
}

/// What NC2 and NC3 are measured to where there is no prediction.
fn frame_remark(has_bias: bool) -> String {
    let (frame, bias) = match has_bias {
        true => ("simplex ETF", "with an unregularized bias"),
        false => ("orthogonal frame", "without a bias"),
    };
    format!(
        "NC2 and NC3 are measured to the {frame}: that of balanced classes {bias}, unless the weight decays \
         are so large that they collapse."
    )
}
