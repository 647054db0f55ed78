//! Numbers that change in training.

use kuva::prelude::{LinePlot, Plot, ReferenceLine, ScatterPlot};

use super::ink::Ink;
use super::picture::Picture;
use super::scatter::Points;

/// A number at every checkpoint.
pub(crate) struct Curve {
    /// Which.
    pub(crate) name: String,
    /// Against the epoch.
    pub(crate) points: Points,
    /// A line that is not measured but predicted or fitted.
    pub(crate) is_drawn_through: bool,
}

impl Curve {
    /// Whether any of its points is shown on axes that may be logarithmic. A picture without one has no range of its axes.
    pub(crate) fn is_seen(&self, logarithmic: [bool; 2]) -> bool {
        self.points.iter().any(|&point| is_shown(point, logarithmic))
    }
}

/// Whether a point has a place on axes that may be logarithmic.
fn is_shown((x, y): (f64, f64), [log_x, log_y]: [bool; 2]) -> bool {
    (!log_x || x > 0.0) && (!log_y || y > 0.0)
}

/// A predicted value that a curve should reach.
pub(crate) struct Level {
    /// Which.
    pub(crate) name: String,
    /// The value.
    pub(crate) value: f64,
}

/// Curves against the epoch; on logarithmic axes only what is positive is shown.
pub(crate) fn curves(
    title: &str,
    [x, y]: [&str; 2],
    curves: Vec<Curve>,
    levels: &[Level],
    [log_x, log_y]: [bool; 2],
    ink: Ink,
) -> Picture {
    let names: Vec<&str> = curves.iter().map(|curve| curve.name.as_str()).collect();
    let marked: Vec<String> =
        levels.iter().map(|level| format!("{} {:.4}", level.name, level.value)).collect();
    let description = format!(
        "{} against the {x}: {}{}.",
        title,
        names.join(", "),
        if marked.is_empty() { String::new() } else { format!("; {}", marked.join(", ")) }
    );
    let mut plots: Vec<Plot> = Vec::new();
    for (index, curve) in curves.into_iter().enumerate() {
        let shown = curve.points.into_iter().filter(|&point| is_shown(point, [log_x, log_y]));
        let points: Points = shown.collect();
        if points.is_empty() {
            continue;
        }
        let color = ink.series(index);
        let line = LinePlot::new().with_data(points.clone()).with_color(&*color);
        let line = line.with_stroke_width(1.5);
        if curve.is_drawn_through {
            plots.push(line.with_dashed().with_legend(curve.name).into());
        } else {
            plots.push(line.into());
            let marks = ScatterPlot::new().with_data(points).with_color(color).with_size(2.5);
            plots.push(marks.with_legend(curve.name).into());
        }
    }
    let picture = Picture::new(title, description, plots, [x, y], ink);
    let picture = picture.with_logarithmic([log_x, log_y]);
    levels.iter().fold(picture, |picture, level| {
        picture.with_layout(|layout| {
            let line = ReferenceLine::horizontal(level.value).with_color(ink.muted());
            layout.with_reference_line(line.with_label(&*level.name))
        })
    })
}
