//! Minority collapse: norms against the imbalance.

use kuva::prelude::{LinePlot, Plot, ReferenceLine};

use super::ink::Ink;
use super::phases::last_of;
use super::picture::{Picture, short};
use super::scatter::Points;

/// How many times as large the next ratio must be to have room for its name.
const APART: f64 = 1.4;

/// ‖wₖ‖² of classes against the ratio of the largest to the smallest class, with the ratios at which classes collapse.
pub(crate) fn collapse(curves: Vec<(String, Points)>, critical: &[f64], ink: Ink) -> Picture {
    let list: Vec<String> = critical.iter().map(|ratio| short(*ratio)).collect();
    let description = format!(
        "Squared norms of the classifier's rows against the imbalance; {}.",
        match list.is_empty() {
            true => "no class collapses in this range".into(),
            false => format!("classes collapse at the ratios {}", list.join(", ")),
        }
    );
    let end = last_of(curves.iter().map(|curve| &curve.1));
    let lines = curves.into_iter().enumerate().map(|(index, (name, points))| {
        let line = LinePlot::new().with_data(points).with_color(ink.series(index));
        line.with_stroke_width(1.8).with_legend(name).into()
    });
    let plots: Vec<Plot> = lines.collect();
    let axes = ["largest class / smallest class", "‖wₖ‖²"];
    let picture = Picture::new("Minority collapse", description, plots, axes, ink);
    let picture = picture
        .with_logarithmic([true, false])
        .with_layout(|layout| layout.with_x_axis_min(1.0).with_x_axis_max(end));
    let mut named = 0.0;
    critical.iter().fold(picture, |picture, &ratio| {
        let line = ReferenceLine::vertical(ratio).with_color(ink.muted());
        // A name beside the former one would lie on it.
        let line = match ratio > APART * named {
            true => {
                named = ratio;
                line.with_label(short(ratio))
            }
            false => line,
        };
        picture.with_layout(|layout| layout.with_reference_line(line))
    })
}
