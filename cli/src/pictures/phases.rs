//! Phase diagrams.

use std::collections::BTreeMap;

use kuva::prelude::{BandPlot, LinePlot, MarkerShape, Plot, ScatterPlot};

use super::ink::Ink;
use super::picture::Picture;
use super::scatter::Points;

/// Structures that have a color of their own; others are gray.
const MOST_STRUCTURES: usize = 5;
const OTHERS: usize = 6;

/// Half the width of a column.
const HALF: f64 = 0.42;

/// Factors on all decays over the imbalance.
pub(crate) struct Thresholds<'a> {
    /// What happens at them.
    pub(crate) title: &'a str,
    /// The same in a sentence.
    pub(crate) description: &'a str,
    /// A name for each curve, the first to be met first.
    pub(crate) limits: Vec<(String, Points)>,
    /// The imbalance and the factor of the problem itself.
    pub(crate) here: (f64, f64),
}

/// At which factors on all decays classes collapse or merge, each as a curve over the imbalance.
pub(crate) fn thresholds(shown: Thresholds<'_>, ink: Ink) -> Picture {
    let end = last_of(shown.limits.iter().map(|limit| &limit.1));
    let mut plots: Vec<Plot> = Vec::new();
    for (index, (name, points)) in shown.limits.into_iter().enumerate() {
        let line = LinePlot::new().with_data(points).with_color(ink.series(index));
        plots.push(line.with_stroke_width(1.8).with_legend(name).into());
    }
    plots.push(star(shown.here, ink));
    let axes = ["largest class / smallest class", "factor on all decays"];
    Picture::new(shown.title, shown.description, plots, axes, ink)
        .with_logarithmic([true, true])
        // The mark is at the factor 1.
        .with_layout(|layout| layout.with_y_axis_min(0.4).with_x_axis_min(1.0).with_x_axis_max(end))
}

/// Where curves over the imbalance end: an axis of its own choice would go on to the next power of ten.
pub(super) fn last_of<'a>(curves: impl Iterator<Item = &'a Points>) -> f64 {
    curves.flatten().map(|point| point.0).fold(2.0, f64::max)
}

fn star(place: (f64, f64), ink: Ink) -> Plot {
    let mark = ScatterPlot::new().with_data([place]).with_color(ink.text());
    mark.with_marker(MarkerShape::Star).with_size(8.0).with_legend("this problem").into()
}

/// The structures of one depth.
pub(crate) struct Column {
    /// M.
    pub(crate) depth: usize,
    /// Name of a structure, and the strengths between which it is the lowest.
    pub(crate) phases: Vec<(String, f64, f64)>,
}

/// The structures with the lowest loss over strength and depth; `here` is the problem itself.
pub(crate) fn structures(columns: Vec<Column>, here: (usize, f64), ink: Ink) -> Picture {
    let ends = columns.iter().flat_map(|column| column.phases.iter().map(|phase| phase.2));
    let ends = ends.filter(|end| end.is_finite());
    let (low, high) = ends.fold((here.1, here.1), |(low, high), end| (low.min(end), high.max(end)));
    let (low, high) = (0.3 * low, 3.0 * high);
    let described: Vec<String> = columns.iter().map(in_words).collect();
    let colors = Colors::new(&columns, here.0);
    let mut plots: Vec<Plot> = Vec::new();
    let mut named: BTreeMap<usize, (f64, f64, String)> = BTreeMap::new();
    for column in &columns {
        let middle = column.depth as f64;
        for (name, from, to) in &column.phases {
            let (from, to) = (from.max(low), to.min(high));
            let index = colors.index(name);
            let band =
                BandPlot::new(vec![middle - HALF, middle + HALF], vec![from; 2], vec![to; 2]);
            plots.push(band.with_color(ink.series(index)).with_opacity(0.75).into());
            let shown = if index == OTHERS { "another structure" } else { name };
            named.entry(index).or_insert((middle, to, shown.into()));
        }
    }
    // Bands are not in legends.
    for (index, (middle, to, name)) in named {
        let edge = LinePlot::new().with_data([(middle - HALF, to), (middle + HALF, to)]);
        let edge = edge.with_color(ink.series(index)).with_stroke_width(2.0);
        plots.push(edge.with_legend(name).into());
    }
    plots.push(star((here.0 as f64, here.1), ink));
    let description = format!(
        "Structures by the strength u of the penalties and the depth M: {}.",
        described.join("; ")
    );
    let axes = ["number of layers M", "strength u = (n λ_H Πλₘ)^(1/(M+1))"];
    let (first, last) = match (columns.first(), columns.last()) {
        (Some(first), Some(last)) => (first.depth as f64, last.depth as f64),
        _ => (1.0, 1.0),
    };
    Picture::new("The structure with the lowest loss", description, plots, axes, ink)
        .with_logarithmic([false, true])
        .with_layout(|layout| {
            layout
                .with_show_grid(false)
                .with_x_axis_min(first - 0.5)
                .with_x_axis_max(last + 0.5)
                .with_x_tick_step(1.0)
        })
}

fn in_words(column: &Column) -> String {
    let phase = |(name, from, to): &(String, f64, f64)| format!("{name} from {from:.4} to {to:.4}");
    let list: Vec<String> = column.phases.iter().map(phase).collect();
    format!("M = {}: {}", column.depth, list.join(", "))
}

/// A color for each structure: for the simplex ETF and zero the same everywhere, then those of the own depth.
struct Colors<'a>(Vec<&'a str>);

impl<'a> Colors<'a> {
    fn new(columns: &'a [Column], own: usize) -> Self {
        let (first, others): (Vec<_>, Vec<_>) =
            columns.iter().partition(|column| column.depth == own);
        let mut names = vec!["simplex ETF", "zero"];
        for (name, ..) in first.into_iter().chain(others).flat_map(|column| &column.phases) {
            if !names.contains(&name.as_str()) {
                names.push(name.as_str());
            }
        }
        Self(names)
    }

    /// All that have no color of their own share the last one.
    fn index(&self, name: &str) -> usize {
        let found = self.0.iter().position(|other| *other == name);
        found.filter(|&index| index < MOST_STRUCTURES).unwrap_or(OTHERS)
    }
}
