//! The tables that `audit --metrics all` adds.

use neural_collapse::Audit;
use neural_collapse::audit::LayerRatio;
use neural_collapse::metrics::errors::{Estimate, Metric, StandardErrors};
use neural_collapse::metrics::{AllMetrics, DecisionShares, Shape};

use crate::tables::{Cell, Run, merge_equal, numbered_table, plain_table};

/// What the symbols mean.
pub(super) const METRIC_LEGEND: &str = "\
NC1 after layer m, relative to that of the features: measured, and predicted for deviations of equal size in all \
directions; center: what class means are centered at for Σ_B, the mean over all samples or that of the class means; CDNV: \
variances of two classes relative to their distance, over all pairs; coincident: pairs of classes with equal means; \
CV: standard deviation relative to the mean; ETF: |cos + 1/(K−1)|; energy: log 1/‖u − v‖ of two directions; \
self-duality: distance of W_M and the centered class means in front of it, each divided by its norm; duality cosines: \
between the two, class by class; agreement, accuracies: shares of the samples.";

/// All that the other tables do not have.
pub(super) fn metric_tables(
    metrics: &AllMetrics,
    ratios: &[LayerRatio],
    names: Option<&[String]>,
) -> String {
    let tables = [
        center_table(metrics),
        layer_table(metrics, ratios),
        shape_table(metrics),
        network_table(metrics),
        class_table(metrics, names),
    ];
    tables.join("\n\n")
}

/// Every metric with its standard error and its levels.
pub(super) fn error_table(errors: &StandardErrors, audit: &Audit) -> String {
    let row = |(metric, estimate): (Metric, Option<&Estimate>)| {
        vec![
            Cell::Text(metric.to_string()),
            number(estimate.map(|found| found.value)),
            residual(estimate.map(|found| found.standard_error)),
            residual(audit.levels.collapsed_of(metric)),
            number(audit.levels.unstructured_of(metric)),
        ]
    };
    let rows: Vec<_> = errors.iter().map(row).collect();
    plain_table(&["metric", "", "±", "noise", "random"], &rows)
}

/// The metrics that depend on the center of the class means.
fn center_table(metrics: &AllMetrics) -> String {
    let AllMetrics { nc1, nc1_trace_quotient: quotient, .. } = metrics;
    let row = |name: &str, samples, classes| vec![Cell::Text(name.into()), samples, classes];
    let rank = |rank: Option<usize>| rank.map_or(Cell::Number(None), count);
    let (samples, classes) = (nc1.center_samples, nc1.center_classes);
    let rows = [
        row("NC1", residual(samples.map(|nc1| nc1.value)), residual(classes.map(|nc1| nc1.value))),
        row("rank of Σ_B", rank(samples.map(|nc1| nc1.rank)), rank(classes.map(|nc1| nc1.rank))),
        row(
            "tr Σ_W / tr Σ_B",
            residual(quotient.center_samples),
            residual(quotient.center_classes),
        ),
    ];
    plain_table(&["center", "samples", "classes"], &rows)
}

/// NC1 after each layer, also relative to that of the features.
fn layer_table(metrics: &AllMetrics, ratios: &[LayerRatio]) -> String {
    let layers = metrics.nc1_after_layers.iter().zip(ratios).enumerate();
    let rows: Vec<_> = layers
        .map(|(index, (&nc1, &ratio))| Run { first: index + 1, length: 1, item: (nc1, ratio) })
        .collect();
    let headings = ["NC1 after layer m", "rel. to features", "predicted", "rank of Σ_B"];
    numbered_table("m", &headings, &rows, |(nc1, ratio)| {
        let rank = nc1.map_or(Cell::Number(None), |nc1| count(nc1.rank));
        let value = residual(nc1.map(|nc1| nc1.value));
        vec![value, number(ratio.measured), number(ratio.predicted), rank]
    })
}

/// What there is once: CDNV, duality and the decisions for all samples.
fn network_table(metrics: &AllMetrics) -> String {
    let AllMetrics { cdnv, self_duality, duality_cosines: cosines, nc4, .. } = metrics;
    let row = |name: &str, cell| vec![Cell::Text(name.into()), cell];
    let coincident = cdnv.map_or(Cell::Number(None), |cdnv| Cell::Count(cdnv.coincident_pairs));
    let rows = [
        row("CDNV, mean", residual(cdnv.and_then(|cdnv| cdnv.mean))),
        row("CDNV, largest", residual(cdnv.and_then(|cdnv| cdnv.largest))),
        row("CDNV, coincident", coincident),
        row("self-duality", residual(*self_duality)),
        row("duality cosines, mean", number(cosines.map(|cosines| cosines.mean))),
        row("duality cosines, deviation", residual(cosines.map(|cosines| cosines.deviation))),
        row("agreement (NC4)", number(Some(nc4.overall.agreement))),
        row("head accuracy", number(Some(nc4.overall.head_accuracy))),
        row("nearest-mean accuracy", number(Some(nc4.overall.nearest_mean_accuracy))),
    ];
    plain_table(&["metric", ""], &rows)
}

/// Norms and angles, a row for each metric.
fn shape_table(metrics: &AllMetrics) -> String {
    let shapes = [metrics.class_means, metrics.centered_class_means, metrics.classifier];
    let row = |name: &str, cell: fn(Shape) -> Cell| {
        let mut row = vec![Cell::Text(name.into())];
        row.extend(shapes.map(cell));
        row
    };
    let rows = [
        row("norms, mean", |shape| number(Some(shape.norm_spread.mean))),
        row("norms, CV", |shape| residual(shape.norm_spread.coefficient_of_variation())),
        row("cosines, mean", |shape| number(shape.cosine_spread.map(|cosines| cosines.mean))),
        row("cosines, deviation", |shape| {
            residual(shape.cosine_spread.map(|cosines| cosines.deviation))
        }),
        row("ETF, mean", |shape| residual(shape.equiangularity.map(|found| found.etf_deviation))),
        row("ETF, largest", |shape| {
            residual(shape.equiangularity.map(|found| found.largest_etf_deviation))
        }),
        row("energy, mean", |shape| number(shape.log_energy.map(|energy| energy.mean))),
        row("energy, deviation", |shape| residual(shape.log_energy.map(|energy| energy.deviation))),
    ];
    plain_table(&["vectors", "class means", "centered", "classifier"], &rows)
}

/// NC4 and accuracies of each class.
fn class_table(metrics: &AllMetrics, names: Option<&[String]>) -> String {
    let name_heading = if names.is_some() { &["name"][..] } else { &[] };
    let headings = [name_heading, &["agreement", "head accuracy", "nearest-mean accuracy"]];
    let classes = metrics.nc4.classes.iter().enumerate();
    let runs = merge_equal(
        classes.map(|(class, &shares)| (1, (shares, names.and_then(|names| names.get(class))))),
    );
    numbered_table("class", &headings.concat(), &runs, |&(shares, name)| {
        let name = names.map(|_| Cell::Text(name.cloned().unwrap_or_default()));
        name.into_iter().chain(share_cells(shares)).collect()
    })
}

fn share_cells(shares: Option<DecisionShares>) -> [Cell; 3] {
    let share = |share: fn(DecisionShares) -> f64| number(shares.map(share));
    [
        share(|shares| shares.agreement),
        share(|shares| shares.head_accuracy),
        share(|shares| shares.nearest_mean_accuracy),
    ]
}

fn count(count: usize) -> Cell {
    Cell::Count(count as u64)
}

/// A number that is not finite stands for one that cannot be computed, as in JSON.
fn number(number: Option<f64>) -> Cell {
    Cell::Number(number.filter(|number| number.is_finite()))
}

fn residual(number: Option<f64>) -> Cell {
    Cell::Residual(number.filter(|number| number.is_finite()))
}
