//! An audit as tables.

use neural_collapse::Audit;
use neural_collapse::audit::{
    AT_MINIMUM, ClassAudit, Compared, FrameDistance, MetricDifference, STATIONARY, Samples,
};
use neural_collapse::metrics::errors::Metric;
use neural_collapse::metrics::{Detection, DetectionErrors};
use neural_collapse::objective::LeastSquaresSplit;

use super::feature_layers::feature_layers;
use super::loss_names::LossNames;
use super::metric_tables::{METRIC_LEGEND, error_table, metric_tables};
use super::prediction::{geometry_text, statement};
use super::problem::{decay_facts, fact, list_numbers};
use super::remarks::remarks;
use crate::against::Against;
use crate::audit::AuditedNetwork;
use crate::outside::OutOfDistribution;
use crate::tables::{Cell, NEGLIGIBLE, Run, merge_equal, numbered_table, plain_table, wrap};

/// The tables and remarks of an audit.
pub(crate) fn audit_tables(network: &AuditedNetwork, against: Option<&Against>) -> String {
    let audit = &network.audit;
    let metrics = audit.measurement.metrics();
    let mut parts = vec![
        network_table(network),
        wrap(&format!("Verdict: {}.", audit.verdict.text)),
        metric_table(network),
    ];
    parts.extend(against.map(difference_table));
    parts.extend(layer_table(audit));
    parts.extend(distance_table(audit));
    parts.extend(audit.measurement.least_squares_split().map(split_table));
    parts.push(class_table(network));
    parts.extend(network.layers.as_ref().map(feature_layers));
    parts.extend(network.outside.as_ref().map(outside_table));
    let names = network.label_names.as_deref();
    parts.extend(metrics.map(|metrics| metric_tables(metrics, &audit.nc1_layer_ratios, names)));
    if metrics.is_some() {
        parts.extend(audit.standard_errors.as_ref().map(|errors| error_table(errors, audit)));
    }
    parts.extend(network.model.iter().map(|model| wrap(&statement(&model.prediction().verdict()))));
    parts.extend(remarks(network).iter().map(|remark| wrap(remark)));
    parts.push(wrap(&legend()));
    parts.extend(metrics.map(|_| wrap(METRIC_LEGEND)));
    parts.join("\n\n")
}

/// What the symbols mean, and from what size on a number counts as collapsed.
fn legend() -> String {
    format!(
        "NC1: spread within the classes relative to that between them; NC2, NC3: distance to the prediction, up to \
         scale, of the Gram matrix of the last m layers and of the outputs for the class means (centered: less their \
         mean over all samples); NC4: share of samples where largest output and nearest class mean agree; accuracy: \
         share of samples whose largest output is their label's; balance: relative difference of layer m and the one \
         before it; ‖w‖², ‖h‖²: squared norms of the classifier's row and of the class mean; diff.: relative to the \
         prediction; collapsed: from what size on a metric counts as such, NC2 as NC3; ± : standard error; noise: what \
         the errors of the class means alone leave in a perfectly collapsed network with this spread; random: what it is \
         on average without any structure; ≈ 0: rounding errors; – : not determined. All numbers are dimensionless. \
         Counted as stationary: a gradient below {STATIONARY} of that of the penalties; as at the minimum: a loss within \
         {} % of it.",
        100.0 * AT_MINIMUM
    )
}

fn network_table(network: &AuditedNetwork) -> String {
    let (audit, training) = (&network.audit, &network.training);
    let head = audit.measurement.head();
    let loss = match (training.loss, training.loss_is_assumed) {
        (None, _) => "not known".into(),
        (Some(loss), false) => loss.name().replace('_', " "),
        (Some(loss), true) => format!("{} (assumed)", loss.name().replace('_', " ")),
    };
    let mut facts = vec![
        fact("loss", loss),
        fact("samples N", audit.measurement.counts().samples().to_string()),
        fact("classes K", head.classes().to_string()),
        fact("linear layers M", head.depth().to_string()),
        fact("widths d₁,…,d_M", list_numbers(&head.widths())),
        fact("weights", network.facts.weights.join(", ")),
    ];
    facts.extend(decay_rows(network));
    let geometry = network.model.as_ref().map(|model| geometry_text(model.prediction()));
    facts.push(fact("predicted geometry", geometry.unwrap_or("–".into())));
    plain_table(&["network", ""], &facts)
}

/// The decays as far as they are known, and the bias.
fn decay_rows(network: &AuditedNetwork) -> Vec<Vec<Cell>> {
    let training = &network.training;
    let regularization =
        training.objective.as_ref().and_then(|objective| objective.regularization());
    match (regularization, &training.weight_decays) {
        (Some(known), _) => {
            let features = Some(known.feature_decay());
            let [mut weights, mut features, bias] =
                decay_facts(known.weight_decays(), features, known.bias());
            let mark = |row: &mut Vec<Cell>, text: &str| {
                if let Some(Cell::Text(value)) = row.last_mut() {
                    value.push_str(text);
                }
            };
            if training.inferred_feature_decay.is_some() {
                mark(&mut features, " (inferred)");
            }
            match training.inferred_weight_decays.as_deref() {
                None => {}
                Some(all) if all.iter().all(Option::is_some) => mark(&mut weights, " (inferred)"),
                Some(_) => mark(&mut weights, " (some inferred)"),
            }
            vec![weights, features, bias]
        }
        (None, Some(weights)) => decay_facts(weights, None, training.bias).into(),
        (None, None) => {
            let bias = network.audit.measurement.head().bias();
            vec![fact("bias", if bias.is_some() { "yes" } else { "none" })]
        }
    }
}

fn metric_table(network: &AuditedNetwork) -> String {
    let audit = &network.audit;
    let measurement = &audit.measurement;
    let residual = |value: Option<f64>| Cell::Residual(value);
    let row = |name: &str, cell: Cell, metric: Metric| metric_row(audit, (name, cell), metric);
    let nc1 = measurement.nc1();
    let name = nc1.map_or("NC1".into(), |nc1| format!("NC1 (rank {})", nc1.rank));
    let mut rows = vec![row(&name, residual(nc1.map(|nc1| nc1.value)), Metric::Nc1)];
    let parts = [
        ("predicted", measurement.nc1_predicted_rank(), Metric::Nc1PredictedRank),
        ("resolved", measurement.nc1_resolved(), Metric::Nc1Resolved),
    ];
    for (name, part, metric) in parts {
        if let Some(part) = part.filter(|part| nc1.is_some_and(|all| part.rank < all.rank)) {
            let name = format!("NC1, {name} (rank {})", part.rank);
            rows.push(row(&name, residual(Some(part.value)), metric));
        }
    }
    let agreement = Cell::Number(Some(measurement.nc4().overall.agreement));
    rows.extend([
        row("NC2, class means", residual(audit.nc2_class_means), Metric::Nc2ClassMeans),
        row("NC3", residual(audit.nc3), Metric::Nc3),
        row("NC3, centered", residual(audit.nc3_centered), Metric::Nc3Centered),
        row("NC4", agreement, Metric::Nc4),
        row("accuracy", Cell::Number(Some(measurement.accuracy())), Metric::Accuracy),
    ]);
    if let norm @ Some(_) = audit.gradient_norm() {
        let name = Cell::Text("gradient norm ‖∇f‖".into());
        rows.push([&[name, residual(norm)][..], &NOTHING].concat());
    }
    rows.extend(loss_rows(audit));
    let rows: Vec<_> = rows.into_iter().map(with_collapse).collect();
    plain_table(&["metric", "", "collapsed", "±", "noise", "random"], &rows)
}

/// Neither a standard error nor levels.
const NOTHING: [Cell; 3] = [const { Cell::Residual(None) }; 3];

/// A metric with its standard error and its levels.
fn metric_row(audit: &Audit, (name, cell): (&str, Cell), metric: Metric) -> Vec<Cell> {
    let errors = audit.standard_errors.as_ref();
    let error = errors.and_then(|errors| errors.get(metric)).map(|found| found.standard_error);
    let error = error.filter(|error| error.is_finite());
    let levels = [audit.levels.collapsed_of(metric), audit.levels.unstructured_of(metric)];
    let others = [error, levels[0], levels[1]].map(Cell::Residual);
    [vec![Cell::Text(name.into()), cell], others.into()].concat()
}

/// The row of a metric with the size from which on it counts as collapsed, after its value.
fn with_collapse(mut row: Vec<Cell>) -> Vec<Cell> {
    const SIZES: [(&str, &str); 4] =
        [("NC1", "< 0.01"), ("NC2", "< 0.1"), ("NC3", "< 0.1"), ("NC4", "> 0.99")];
    let size = match row.first() {
        Some(Cell::Text(metric)) => SIZES.iter().find(|(name, _)| metric.starts_with(name)),
        _ => None,
    };
    row.insert(2, Cell::Text(size.map(|(_, size)| (*size).into()).unwrap_or_default()));
    row
}

/// The measured loss beside the predicted one.
fn loss_rows(audit: &Audit) -> Vec<Vec<Cell>> {
    let Some(loss) = audit.loss else { return Vec::new() };
    let mut rows = vec![metric_row(audit, ("loss f", Cell::Number(Some(loss))), Metric::Loss)];
    let predicted = audit.prediction.as_ref().zip(audit.loss_optimum());
    if let Some((prediction, optimum)) = predicted {
        let names = LossNames::new(&prediction.verdict);
        let name = Cell::Text(names.predicted.into());
        rows.push([&[name, Cell::Number(Some(optimum))][..], &NOTHING].concat());
        let gap = Cell::Residual(audit.loss_gap_relative());
        rows.push(metric_row(audit, (names.gap, gap), Metric::LossGapRelative));
    }
    rows
}

fn layer_table(audit: &Audit) -> Option<String> {
    let balancedness = audit.measurement.balancedness();
    if balancedness.is_none() && audit.nc2.iter().all(Option::is_none) {
        return None;
    }
    let balance = |index: usize| balancedness?.get(index).copied();
    let random = |index: usize| audit.levels.unstructured.nc2.get(index).copied().flatten();
    let layers = audit.nc2.iter().enumerate();
    let item = |index, nc2| [nc2, random(index), balance(index)];
    let rows: Vec<_> = layers
        .map(|(index, &nc2)| Run { first: index + 1, length: 1, item: item(index, nc2) })
        .collect();
    let headings = ["NC2", "random", "balance"];
    Some(numbered_table("m", &headings, &rows, |item| item.map(Cell::Residual).into()))
}

/// What the network differs from another one by.
fn difference_table(against: &Against) -> String {
    let metrics = &against.difference.metrics;
    let row = |(metric, found): (&Metric, &MetricDifference)| {
        let error = Some(found.standard_error).filter(|&error| error > 0.0);
        let text = |is_paired| if is_paired { "paired" } else { "" };
        vec![
            Cell::Text(metric.to_string()),
            Cell::Number(Some(found.value)),
            Cell::Number(Some(found.other)),
            Cell::Number(Some(found.difference)),
            Cell::Residual(Some(found.standard_error)),
            Cell::Number(error.map(|error| found.difference / error)),
            Cell::Text(text(found.paired).into()),
        ]
    };
    let rows: Vec<_> = metrics.iter().map(row).collect();
    let headings = ["against", "this", "other", "difference", "±", "in errors", ""];
    let about = match against.difference.samples {
        Samples::Same => {
            "The samples of both count as the same: paired differences are without the errors that both share."
        }
        Samples::Independent => "The samples of both count as independent of each other.",
    };
    let mut parts = vec![plain_table(&headings, &rows)];
    let mut about: String = about.into();
    for remark in &against.difference.remarks {
        about.push_str(&format!(" Note that {remark}."));
    }
    about.extend(against.hint.map(|hint| format!(" {hint}")));
    parts.push(wrap(&about));
    parts.join("\n\n")
}

/// The parts of the squared loss.
fn split_table(split: &LeastSquaresSplit) -> String {
    let row = |name: &str, value: f64| vec![Cell::Text(name.into()), Cell::Residual(Some(value))];
    let rows = [
        row("deviations within the classes", split.within_classes),
        row("class means from the labels", split.class_means),
        row("penalty of the best head", split.penalty),
        row("head from the best one", split.head_distance),
    ];
    plain_table(&["loss f without the features' penalty", ""], &rows)
}

/// The distances to the frames that need no prediction.
fn distance_table(audit: &Audit) -> Option<String> {
    let distances = audit.distances.as_ref()?;
    let frames = [
        ("orthogonal frame", &distances.orthogonal_frame),
        ("simplex ETF", &distances.simplex_etf),
        ("SELI", &distances.seli),
    ];
    let known = frames.into_iter().filter_map(|(name, frame)| Some((name, frame.as_ref()?)));
    let rows: Vec<_> = known
        .map(|(name, FrameDistance { nc2, nc3, nc3_centered, .. })| {
            vec![
                Cell::Text(name.into()),
                Cell::Residual(nc2.first().copied().flatten()),
                Cell::Residual(*nc3),
                Cell::Residual(*nc3_centered),
            ]
        })
        .collect();
    (!rows.is_empty())
        .then(|| plain_table(&["distance to", "NC2, m = 1", "NC3", "NC3, centered"], &rows))
}

/// What tells samples out of distribution from those of the network.
fn outside_table(outside: &OutOfDistribution) -> String {
    let scores = [("NECO", outside.neco), ("NCI", outside.nci)].into_iter().map(|(name, found)| {
        let part = |part: fn(Detection) -> Option<f64>| Cell::Number(found.and_then(part));
        let error = |part: fn(DetectionErrors) -> Option<f64>| {
            Cell::Residual(found.and_then(|found| part(found.standard_errors)))
        };
        vec![
            Cell::Text(name.into()),
            part(|found| found.known_mean),
            error(|errors| errors.known_mean),
            part(|found| found.outside_mean),
            error(|errors| errors.outside_mean),
            part(|found| found.auroc),
            error(|errors| errors.auroc),
        ]
    });
    let nc5 = Cell::Number(outside.nc5);
    let nc5_error = Cell::Residual(outside.nc5_standard_error);
    let empty = || Cell::Text(String::new());
    let nc5 = vec![Cell::Text("NC5".into()), empty(), empty(), nc5, nc5_error, empty(), empty()];
    let rows: Vec<_> = std::iter::once(nc5).chain(scores).collect();
    plain_table(&["out of distribution", "known", "±", "others", "±", "AUROC", "±"], &rows)
}

fn class_table(network: &AuditedNetwork) -> String {
    let audit = &network.audit;
    let is_predicted = network.model.is_some();
    let largest = |norm: fn(&ClassAudit) -> f64| audit.classes.iter().map(norm).fold(0.0, f64::max);
    let largest_classifier = largest(|class| class.classifier_norm_squared.measured);
    let largest_feature = largest(|class| class.feature_norm_squared.measured);
    // Columns of a norm: alone, or with its prediction and their difference.
    let columns = if is_predicted { 3 } else { 1 };
    let names = network.label_names.as_deref();
    let name_heading = if names.is_some() { &["name"][..] } else { &[] };
    let headings = [
        name_heading,
        &["samples"],
        &["‖w‖²", "predicted", "diff."][..columns],
        &["‖h‖²", "predicted", "diff."][..columns],
        &[""],
    ];
    let classes = audit.classes.iter().enumerate();
    let runs =
        merge_equal(classes.map(|(index, &class)| {
            (1, (class, names.and_then(|names| names.get(index)).cloned()))
        }));
    numbered_table("class", &headings.concat(), &runs, |(class, name)| {
        let mut row: Vec<Cell> = Vec::new();
        row.extend(names.map(|_| Cell::Text(name.clone().unwrap_or_default())));
        row.push(Cell::Count(class.count));
        row.extend_from_slice(
            &norm_cells(class.classifier_norm_squared, largest_classifier)[..columns],
        );
        row.extend_from_slice(&norm_cells(class.feature_norm_squared, largest_feature)[..columns]);
        row.push(Cell::Text(collapse_mark(class.collapsed).into()));
        row
    })
}

fn norm_cells(norm: Compared<f64>, largest: f64) -> [Cell; 3] {
    let measured = match norm.measured < NEGLIGIBLE * largest {
        true => Cell::NearZero,
        false => Cell::Number(Some(norm.measured)),
    };
    [measured, Cell::Number(norm.predicted), Cell::Residual(norm.relative_difference())]
}

fn collapse_mark(collapsed: Compared<bool>) -> &'static str {
    match (collapsed.measured, collapsed.predicted) {
        (true, Some(true)) => "collapsed, as predicted",
        (true, Some(false)) => "collapsed, against the prediction",
        (true, None) => "collapsed",
        (false, Some(true)) => "predicted to collapse",
        (false, _) => "",
    }
}
