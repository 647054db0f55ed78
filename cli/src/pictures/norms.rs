//! Squared norms against class sizes.

use kuva::prelude::{LinePlot, MarkerShape, Plot, ReferenceLine, ScatterPlot};

use super::ink::Ink;
use super::picture::{Picture, short};

/// A squared norm of a class, or of several classes of one size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Norm {
    /// Number of samples.
    pub(crate) size: f64,
    /// The squared norm.
    pub(crate) squared: f64,
}

/// What a picture of norms shows.
pub(crate) struct Norms<'a> {
    /// Whose norms: `‖wₖ‖²`.
    pub(crate) symbol: &'a str,
    /// The same in words.
    pub(crate) name: &'a str,
    /// Of every class.
    pub(crate) measured: Vec<Norm>,
    /// At the sizes of the classes, by size.
    pub(crate) predicted: Vec<Norm>,
    /// Between them.
    pub(crate) curve: Vec<Norm>,
    /// The class size below which a class collapses.
    pub(crate) threshold: Option<f64>,
}

/// Squared norms against class sizes.
pub(crate) fn norms(shown: &Norms<'_>, ink: Ink) -> Picture {
    let points = |norms: &[Norm]| -> Vec<(f64, f64)> {
        norms.iter().map(|norm| (norm.size, norm.squared)).collect()
    };
    let mut plots: Vec<Plot> = Vec::new();
    if !shown.curve.is_empty() {
        let line = LinePlot::new().with_data(points(&shown.curve)).with_color(ink.predicted());
        plots.push(line.with_stroke_width(1.5).into());
    }
    if !shown.predicted.is_empty() {
        let marks = ScatterPlot::new().with_data(points(&shown.predicted));
        let marks = marks.with_color(ink.predicted()).with_marker(MarkerShape::Diamond);
        plots.push(marks.with_size(6.0).with_legend("predicted").into());
    }
    if !shown.measured.is_empty() {
        let marks = ScatterPlot::new().with_data(points(&shown.measured));
        let marks = marks.with_color(ink.measured()).with_marker(MarkerShape::Circle);
        plots.push(marks.with_size(3.5).with_legend("measured").into());
    }
    let title = format!("{} against class size", shown.name);
    let description = description(shown);
    let picture = Picture::new(title, description, plots, ["samples nₖ", shown.symbol], ink);
    let sizes = shown.measured.iter().chain(&shown.predicted).map(|norm| norm.size);
    let (low, high) =
        sizes.fold((f64::INFINITY, 0.0_f64), |(low, high), size| (low.min(size), high.max(size)));
    let drawn = shown.measured.iter().chain(&shown.predicted).chain(&shown.curve);
    let highest = drawn.map(|norm| norm.squared).fold(0.0, f64::max);
    let highest = if highest > 0.0 { 1.1 * highest } else { 1.0 };
    let picture =
        picture.with_layout(|layout| layout.with_y_axis_min(0.0).with_y_axis_max(highest));
    match shown.threshold {
        // Far from all classes it would squeeze them.
        Some(size) if size > 0.2 * low && size < 5.0 * high => picture.with_layout(|layout| {
            let line = ReferenceLine::vertical(size).with_color(ink.muted());
            layout.with_reference_line(line.with_label("collapse"))
        }),
        _ => picture,
    }
}

fn description(shown: &Norms<'_>) -> String {
    let parts = [
        (!shown.measured.is_empty()).then(|| format!("{} measured values", shown.measured.len())),
        (!shown.predicted.is_empty()).then(|| "the predicted values on their curve".into()),
        shown.threshold.map(|size| format!("classes below {} samples collapse", short(size))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("{} of every class against its number of samples: {}.", shown.symbol, parts.join("; "))
}
