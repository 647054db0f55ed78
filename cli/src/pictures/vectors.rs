//! Predicted vectors as arrows from the origin.

use kuva::prelude::{LinePlot, Plot, ScatterPlot};

use super::ink::Ink;
use super::picture::Picture;
use super::scatter::{Points, labels, with_labels};

/// Vectors of one kind.
pub(crate) struct Arrows {
    /// Which.
    pub(crate) name: &'static str,
    /// Their ends.
    pub(crate) tips: Points,
}

/// Vectors from the origin, with names at those of the first kind.
pub(crate) fn vectors(title: &str, kinds: Vec<Arrows>, names: Vec<String>, ink: Ink) -> Picture {
    // Where the longest vector of each class ends.
    let longest = |class: usize| {
        let tips = kinds.iter().filter_map(|kind| kind.tips.get(class));
        let length = |tip: &(f64, f64)| tip.0.hypot(tip.1);
        tips.copied().max_by(|a, b| length(a).total_cmp(&length(b))).unwrap_or_default()
    };
    let tips: Points = (0..names.len()).map(longest).collect();
    let labels = labels(&tips, names);
    let described: Vec<String> =
        kinds.iter().map(|kind| format!("{} {}", kind.tips.len(), kind.name)).collect();
    let mut plots: Vec<Plot> = Vec::new();
    for (index, kind) in kinds.into_iter().enumerate() {
        let color = ink.series(index);
        for &tip in &kind.tips {
            let line = LinePlot::new().with_data([(0.0, 0.0), tip]).with_color(&*color);
            let line = line.with_stroke_width(if index == 0 { 2.2 } else { 1.2 });
            plots.push(if index == 0 { line.into() } else { line.with_dashed().into() });
        }
        let ends = ScatterPlot::new().with_data(kind.tips).with_color(color);
        plots.push(ends.with_size(4.5).with_legend(kind.name).into());
    }
    let description = format!("Vectors from the origin: {}.", described.join(", "));
    let axes = ["lengths relative to the longest vector", ""];
    let picture = Picture::new(title, description, plots, axes, ink);
    with_labels(picture, labels).with_layout(|layout| layout.with_equal_aspect().with_height(500.0))
}
