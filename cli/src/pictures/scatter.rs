//! Vectors in a plane.

use kuva::prelude::{LinePlot, MarkerShape, Plot, ScatterPlot, TextAnnotation};

use super::ink::Ink;
use super::picture::Picture;

/// Points of a plane.
pub(crate) type Points = Vec<(f64, f64)>;

/// More classes than these get no names.
const MOST_NAMES: usize = 24;

/// Vectors below this share of the longest get no name.
const FAR: f64 = 0.08;

/// How far names are beyond the ends, as a share of the longest vector: upwards, and for each letter sidewards.
const BEYOND: f64 = 0.16;
const OF_LETTER: f64 = 0.025;
/// The height of a name.
const HEIGHT: f64 = 0.11;

/// Ends that are closer, as a share of the longest vector, are one place, and so many names are written at it.
const SAME_PLACE: f64 = 0.02;
const MOST_SHARED: usize = 4;

/// What a picture of a plane shows.
pub(crate) struct Scatter<'a> {
    /// What the axes are.
    pub(crate) title: &'a str,
    /// Names of the axes.
    pub(crate) axes: [&'a str; 2],
    /// The measured class means.
    pub(crate) means: Points,
    /// The predicted ones, laid over.
    pub(crate) predicted: Points,
    /// Some of the samples.
    pub(crate) samples: Points,
    /// A name for each class.
    pub(crate) names: Vec<String>,
}

/// Class means with some samples, and the predicted vectors laid over.
pub(crate) fn scatter(shown: Scatter<'_>, ink: Ink) -> Picture {
    let description = format!(
        "{} class means{}{}.",
        shown.means.len(),
        if shown.predicted.is_empty() { "" } else { " with the predicted vectors laid over them" },
        match shown.samples.len() {
            0 => String::new(),
            samples => format!(", and {samples} of the samples"),
        }
    );
    let mut plots: Vec<Plot> = Vec::new();
    if !shown.samples.is_empty() {
        let marks = ScatterPlot::new().with_data(shown.samples).with_color(ink.muted());
        let marks = marks.with_size(1.6).with_marker_opacity(0.5);
        plots.push(marks.with_legend("samples").into());
    }
    for &tip in &shown.predicted {
        let line = LinePlot::new().with_data([(0.0, 0.0), tip]).with_color(ink.predicted());
        plots.push(line.with_stroke_width(0.8).into());
    }
    if !shown.predicted.is_empty() {
        let marks = ScatterPlot::new().with_data(shown.predicted).with_color(ink.predicted());
        let marks = marks.with_marker(MarkerShape::Diamond).with_size(6.0);
        plots.push(marks.with_legend("predicted").into());
    }
    let are_named = shown.means.len() <= MOST_NAMES;
    let named = if are_named { labels(&shown.means, shown.names) } else { Vec::new() };
    let marks = ScatterPlot::new().with_data(shown.means).with_color(ink.measured());
    let marks = marks.with_size(3.5).with_legend("class means");
    plots.push(marks.into());
    let picture = Picture::new(shown.title, description, plots, shown.axes, ink);
    with_labels(picture, named).with_layout(|layout| layout.with_equal_aspect().with_height(440.0))
}

/// Names beyond the ends of vectors; those close to the origin would lie on each other, and one that would lie on another
/// is left out. Classes that share an end share a name.
pub(super) fn labels(tips: &[(f64, f64)], names: Vec<String>) -> Vec<(f64, f64, String)> {
    let length = |tip: &(f64, f64)| tip.0.hypot(tip.1);
    let longest = tips.iter().map(length).fold(0.0, f64::max);
    let mut ends: Vec<((f64, f64), Vec<String>)> = Vec::new();
    for (&tip, name) in tips.iter().zip(names).filter(|(tip, _)| length(tip) > FAR * longest) {
        let is_here =
            |end: &(f64, f64)| (end.0 - tip.0).hypot(end.1 - tip.1) < SAME_PLACE * longest;
        match ends.iter_mut().find(|(end, _)| is_here(end)) {
            Some((_, names)) => names.push(name),
            None => ends.push((tip, vec![name])),
        }
    }
    let half_width = |name: &str| OF_LETTER * name.chars().count() as f64;
    let mut labels: Vec<(f64, f64, String)> = Vec::new();
    for (tip, names) in ends {
        let name = of_several(names);
        let sidewards = tip.0.abs() / length(&tip) * half_width(&name);
        let factor = 1.0 + (BEYOND + sidewards) * longest / length(&tip);
        let (x, y) = (factor * tip.0, factor * tip.1);
        let lies_on = |(other_x, other_y, other): &(f64, f64, String)| {
            (x - other_x).abs() < (half_width(&name) + half_width(other)) * longest
                && (y - other_y).abs() < HEIGHT * longest
        };
        if !labels.iter().any(lies_on) {
            labels.push((x, y, name));
        }
    }
    labels
}

/// One name for the classes at one place.
fn of_several(mut names: Vec<String>) -> String {
    let number = names.len();
    names.dedup();
    match (names.len(), number) {
        (1, 1) => names.concat(),
        (1, _) => format!("{number} × {}", names.concat()),
        (2..=MOST_SHARED, _) => names.join(", "),
        _ => format!("{number} classes"),
    }
}

/// Writes names at places of a picture.
pub(super) fn with_labels(picture: Picture, labels: Vec<(f64, f64, String)>) -> Picture {
    let end = labels.iter().map(|(x, y, _)| x.abs().max(y.abs())).fold(0.0, f64::max);
    let named = labels.into_iter().fold(picture, |picture, (x, y, name)| {
        // Text stands on its place; a part of its height lower it stands around it.
        let annotation = TextAnnotation::new(name, x, y - 0.035 * end).with_font_size(11);
        picture.with_layout(|layout| layout.with_annotation(annotation))
    });
    match end > 0.0 {
        true => named.with_layout(|layout| {
            let end = 1.2 * end;
            layout
                .with_x_axis_min(-end)
                .with_x_axis_max(end)
                .with_y_axis_min(-end)
                .with_y_axis_max(end)
        }),
        false => named,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_at_one_place_share_a_name() {
        let tips = [(1.0, 0.0), (0.0, 1.0), (1.0, 0.001), (0.01, 0.0)];
        let named = |names: [&str; 4]| -> Vec<String> {
            let names = names.map(String::from).into();
            labels(&tips, names).into_iter().map(|(_, _, name)| name).collect()
        };
        assert_eq!(named(["0", "1", "2", "3"]), ["0, 2", "1"]);
        assert_eq!(named(["n = 5"; 4]), ["2 × n = 5", "n = 5"]);
        let close = labels(&[(1.0, 0.0), (0.99, 0.06)], vec!["0".into(), "1".into()]);
        assert_eq!(close.len(), 1);
        assert_eq!(of_several((0..9).map(|class| class.to_string()).collect()), "9 classes");
    }
}
