//! Collapse layer by layer, as tables.

use neural_collapse::metrics::errors::{Estimate, Metric};
use neural_collapse::metrics::layers::{LayerMetrics, SeparationErrors, SeparationLaw};

use crate::layers::MeasuredLayers;
use crate::tables::{Cell, format_number, plain_table, wrap};

/// The metrics of each layer, the similarity of layers, and the law of equi-separation.
pub(super) fn feature_layers(layers: &MeasuredLayers) -> String {
    let mut parts = vec![metric_table(layers), similarity_table(layers)];
    let errors = layers.found.separation_standard_errors.as_ref();
    parts.extend(layers.found.separation.map(|law| wrap(&law_text(law, errors))));
    parts.push(wrap(LEGEND));
    parts.join("\n\n")
}

const LEGEND: &str = "\
NC2 of means: distance of the Gram matrix of the centered class means to that of a simplex ETF; accuracy: share of samples \
whose nearest class mean is their class's; ±: standard error of the number before it; ranks: effective and stable rank of the centered features; CKA: similarity of \
the features of two layers, 1 up to rotation and scale.";

fn metric_table(layers: &MeasuredLayers) -> String {
    let row = |(name, layer): (&String, &LayerMetrics)| {
        let nc1 = layer.nc1.center_samples.map(|nc1| nc1.value);
        let errors = layer.standard_errors.as_ref();
        let error = |estimate: &Estimate| estimate.standard_error;
        vec![
            Cell::Text(name.clone()),
            Cell::Count(layer.dimension as u64),
            residual(nc1),
            residual(errors.and_then(|errors| errors.get(Metric::Nc1)).map(error)),
            residual(layer.nc1_trace_quotient.center_samples),
            residual(layer.cdnv.and_then(|cdnv| cdnv.mean)),
            residual(layer.nc2_class_means),
            residual(errors.and_then(|errors| errors.get(Metric::Nc2ClassMeans)).map(error)),
            residual(Some(layer.nearest_mean_accuracy)),
            residual(layer.effective_rank),
            residual(errors.and_then(|errors| errors.get(Metric::EffectiveRank)).map(error)),
            residual(layer.stable_rank),
            residual(errors.and_then(|errors| errors.get(Metric::StableRank)).map(error)),
        ]
    };
    let rows: Vec<_> = layers.names.iter().zip(&layers.found.layers).map(row).collect();
    let headings = [
        "layer",
        "width",
        "NC1",
        "±",
        "tr Σ_W / tr Σ_B",
        "CDNV",
        "NC2 of means",
        "±",
        "accuracy",
        "eff. rank",
        "±",
        "stable rank",
        "±",
    ];
    plain_table(&headings, &rows)
}

fn similarity_table(layers: &MeasuredLayers) -> String {
    let row = |(name, similarities): (&String, &Vec<Option<f64>>)| {
        let cells = similarities.iter().map(|&similarity| residual(similarity));
        std::iter::once(Cell::Text(name.clone())).chain(cells).collect::<Vec<_>>()
    };
    let rows: Vec<_> = layers.names.iter().zip(&layers.found.cka).map(row).collect();
    let headings: Vec<&str> =
        std::iter::once("CKA").chain(layers.names.iter().map(String::as_str)).collect();
    plain_table(&headings, &rows)
}

fn law_text(law: SeparationLaw, errors: Option<&SeparationErrors>) -> String {
    let error = |number: Option<f64>| {
        number.map_or(String::new(), |error| format!(" ± {}", format_number(error)))
    };
    format!(
        "Law of equi-separation: every layer changes NC1 by the factor {} (slope of ln NC1: {}{}), R² {}{}.",
        format_number(law.factor()),
        format_number(law.slope),
        error(errors.and_then(|errors| errors.slope)),
        format_number(law.r_squared),
        error(errors.and_then(|errors| errors.r_squared)),
    )
}

fn residual(number: Option<f64>) -> Cell {
    Cell::Residual(number.filter(|number| number.is_finite()))
}
