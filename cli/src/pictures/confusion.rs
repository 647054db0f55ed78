//! Decisions of the head against those of the nearest class mean.

use std::sync::Arc;

use kuva::prelude::{MarkerShape, Plot, ScatterPlot, TickFormat};

use super::ink::Ink;
use super::picture::Picture;

/// Two decisions, and for how many samples they are made.
type Pair = (usize, usize, u64);

/// Pairs of decisions as squares, their areas the numbers of samples.
pub(crate) fn confusion(
    title: &str,
    axes: [&str; 2],
    classes: usize,
    pairs: &[Pair],
    ink: Ink,
) -> Picture {
    let most = pairs.iter().map(|pair| pair.2).max().unwrap_or(1) as f64;
    let (differ, agree): (Vec<Pair>, Vec<Pair>) = pairs.iter().partition(|pair| pair.0 != pair.1);
    let kinds =
        [(agree, "the same class", ink.measured()), (differ, "another class", ink.predicted())];
    let mut plots: Vec<Plot> = Vec::new();
    for (pairs, name, color) in kinds {
        if pairs.is_empty() {
            continue;
        }
        let points: Vec<(f64, f64)> =
            pairs.iter().map(|pair| (pair.0 as f64, pair.1 as f64)).collect();
        // Areas are in proportion, but one sample can be seen.
        let sizes = pairs.iter().map(|pair| (12.0 * (pair.2 as f64 / most).sqrt()).max(2.0));
        let marks = ScatterPlot::new().with_data(points).with_color(color);
        let marks = marks.with_marker(MarkerShape::Square).with_sizes(sizes.collect::<Vec<_>>());
        plots.push(marks.with_legend(name).into());
    }
    let differing: u64 = pairs.iter().filter(|pair| pair.0 != pair.1).map(|pair| pair.2).sum();
    let all: u64 = pairs.iter().map(|pair| pair.2).sum();
    let description = format!("{differing} of {all} samples are decided differently.");
    let end = classes as f64;
    // There is no class beside the first and the last one.
    let class = move |number: f64| match (0.0..end).contains(&number) {
        true => number.to_string(),
        false => String::new(),
    };
    let step = (end / 10.0).ceil().max(1.0);
    Picture::new(title, description, plots, axes, ink).with_layout(|layout| {
        layout
            .with_x_axis_min(-1.0)
            .with_x_axis_max(end)
            .with_y_axis_min(-1.0)
            .with_y_axis_max(end)
            .with_x_tick_format(TickFormat::Custom(Arc::new(class)))
            .with_y_tick_format(TickFormat::Custom(Arc::new(class)))
            .with_x_tick_step(step)
            .with_y_tick_step(step)
            .with_equal_aspect()
            .with_height(440.0)
    })
}
