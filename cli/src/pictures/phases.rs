//! Phase diagrams.

use kuva::prelude::{BandPlot, LinePlot, MarkerShape, Plot, ReferenceLine, ScatterPlot};

use super::ink::Ink;
use super::picture::Picture;
use super::scatter::Points;

/// How many directions survive, over imbalance and decays: `limits` are the factors on all decays at which one more
/// collapses, each as a curve over the imbalance with its name, the first to collapse first.
pub(crate) fn surviving_classes(
    limits: Vec<(String, Points)>,
    here: (f64, f64),
    ink: Ink,
) -> Picture {
    let mut plots: Vec<Plot> = Vec::new();
    for (index, (name, points)) in limits.into_iter().enumerate() {
        let line = LinePlot::new().with_data(points).with_color(ink.series(index));
        plots.push(line.with_stroke_width(1.8).with_legend(name).into());
    }
    let mark = ScatterPlot::new().with_data([here]).with_color(ink.muted());
    let mark = mark.with_marker(MarkerShape::Star).with_size(8.0);
    plots.push(mark.with_legend("this problem").into());
    let description = "Factors on all weight decays at which classes collapse, against the ratio of the largest to the \
                       smallest class: below the lowest curve all classes survive, above the highest none.";
    let axes = ["largest class / smallest class", "factor on all decays"];
    Picture::new("Which classes collapse", description, plots, axes, ink)
        .with_logarithmic([true, true])
        // The mark is at the factor 1.
        .with_layout(|layout| layout.with_y_axis_min(0.4))
}

/// The structures with the lowest loss over the strength of the penalties: name, from, to.
pub(crate) fn phases_of_strength(
    phases: &[(String, f64, f64)],
    here: f64,
    depth: usize,
    ink: Ink,
) -> Picture {
    let mut plots: Vec<Plot> = Vec::new();
    for (index, (name, from, to)) in phases.iter().enumerate() {
        let band = BandPlot::new(vec![*from, *to], vec![0.0, 0.0], vec![1.0, 1.0]);
        plots.push(band.with_color(ink.series(index)).with_opacity(0.6).into());
        // Bands are not in legends.
        let edge = LinePlot::new().with_data([(*from, 1.0), (*to, 1.0)]);
        let edge = edge.with_color(ink.series(index)).with_stroke_width(4.0);
        plots.push(edge.with_legend(&**name).into());
    }
    let list: Vec<String> =
        phases.iter().map(|(name, from, to)| format!("{name} from {from:.4} to {to:.4}")).collect();
    let description =
        format!("Structures by the strength u of the penalties: {}.", list.join("; "));
    let axes = ["strength u = (n λ_H Πλₘ)^(1/(M+1))", ""];
    let title = format!("The structure with the lowest loss, M = {depth}");
    let line = ReferenceLine::vertical(here).with_color(ink.muted()).with_label("this problem");
    Picture::new(title, description, plots, axes, ink).with_logarithmic([true, false]).with_layout(
        |layout| {
            layout
                .with_reference_line(line)
                .with_show_grid(false)
                .with_y_categories(Vec::new())
                .with_height(300.0)
        },
    )
}
