//! Singular values.

use kuva::prelude::{LinePlot, MarkerShape, Plot, ScatterPlot};

use super::ink::Ink;
use super::picture::{Picture, short};

/// Values shown of a longer list.
const MOST_VALUES: usize = 400;

/// Values that are always shown.
const FIRST_VALUES: usize = 12;

/// Singular values by falling size.
pub(crate) struct Spectrum {
    /// Of what.
    pub(crate) name: String,
    /// Those measured, if something was.
    pub(crate) measured: Vec<f64>,
    /// Those predicted, as many as there are.
    pub(crate) predicted: Vec<f64>,
}

/// Singular values, measured and predicted.
pub(crate) fn spectrum(shown: &Spectrum, ink: Ink) -> Picture {
    let most = shown.number();
    let points = |values: &[f64]| -> Vec<(f64, f64)> {
        let numbered = values.iter().take(most).enumerate();
        numbered.map(|(index, &value)| (index as f64 + 1.0, value)).collect()
    };
    let mut plots: Vec<Plot> = Vec::new();
    if !shown.predicted.is_empty() {
        let marks = ScatterPlot::new().with_data(points(&shown.predicted));
        let marks = marks.with_color(ink.predicted()).with_marker(MarkerShape::Diamond);
        plots.push(marks.with_size(6.0).with_legend("predicted").into());
    }
    if !shown.measured.is_empty() {
        let line = LinePlot::new().with_data(points(&shown.measured)).with_color(ink.measured());
        plots.push(line.with_stroke_width(0.8).into());
        let marks = ScatterPlot::new().with_data(points(&shown.measured));
        let marks = marks.with_color(ink.measured()).with_size(3.0);
        plots.push(marks.with_legend("measured").into());
    }
    let description = format!(
        "{} measured and {} predicted singular values of {}, by falling size, of which at most {most} are shown.",
        shown.measured.len(),
        shown.predicted.len(),
        shown.name
    );
    let title = format!("Singular values of {}", shown.name);
    let axes = ["number, by falling size", "singular value"];
    let last = shown.measured.len().max(shown.predicted.len()).min(most) as f64;
    let all = shown.measured.iter().chain(&shown.predicted);
    let highest = all.copied().fold(0.0, f64::max);
    let highest = if highest > 0.0 { 1.1 * highest } else { 1.0 };
    Picture::new(title, description, plots, axes, ink).with_layout(|layout| {
        layout
            .with_y_axis_min(0.0)
            .with_y_axis_max(highest)
            .with_x_axis_min(0.0)
            .with_x_axis_max(last + 1.0)
    })
}

impl Spectrum {
    /// How many values are shown: beyond twice those predicted there is little but zeros.
    fn number(&self) -> usize {
        let most = match self.predicted.len() {
            0 => MOST_VALUES,
            predicted => 2 * predicted,
        };
        most.clamp(FIRST_VALUES, MOST_VALUES)
    }

    /// What is said of those that are not shown.
    pub(crate) fn rest(&self) -> Option<String> {
        let rest = self.measured.get(self.number()..)?;
        let largest = rest.first()?;
        Some(format!("{} more measured ones are at most {}.", rest.len(), short(*largest)))
    }
}
