//! The function whose minimum decides the size of a direction.

use kuva::prelude::{LinePlot, MarkerShape, Plot, ScatterPlot};
use neural_collapse::{Error, Potential};

use super::ink::Ink;
use super::picture::Picture;

/// Points of a curve.
const POINTS: u32 = 480;

/// Curves of steep slopes end here: g is 1 at x = 0, and lower where a direction survives.
const HIGHEST: f64 = 1.6;

/// g(x; β) = 1/(x^M + 1) + β x for these slopes, each with a name, with its stationary points.
pub(crate) fn potential(depth: u32, slopes: &[(String, f64)], ink: Ink) -> Result<Picture, Error> {
    let potential = Potential::<f64>::new(depth)?;
    let largest = slopes.iter().filter_map(|(_, slope)| {
        let stationary = potential.stationary_points(*slope).ok()??;
        Some(stationary.local_minimum)
    });
    let end = 1.5 * largest.fold(1.0, f64::max);
    let mut plots: Vec<Plot> = Vec::new();
    let (mut stationary, mut minima) = (Vec::new(), Vec::new());
    for (index, (name, slope)) in slopes.iter().enumerate() {
        let x = |step: u32| end * f64::from(step) / f64::from(POINTS);
        let points = (0..=POINTS).map(|step| (x(step), potential.value_or_nan(x(step), *slope)));
        let points = points.filter(|point| point.1 <= HIGHEST);
        let line = LinePlot::new().with_data(points.collect::<Vec<_>>());
        let line = line.with_color(ink.series(index + 2)).with_stroke_width(1.6);
        plots.push(line.with_legend(&**name).into());
        let minimum = potential.minimizer(*slope)?;
        minima.push((minimum.x(), minimum.value()));
        if let Some(found) = potential.stationary_points(*slope)? {
            let points = found.local_maximum.into_iter().chain([found.local_minimum]);
            // At M = 1 and a slope above 1 the one beyond zero is none.
            stationary.extend(
                points.filter(|&x| x > 0.0).map(|x| (x, potential.value_or_nan(x, *slope))),
            );
        }
    }
    let marks = ScatterPlot::new().with_data(stationary).with_color(ink.predicted());
    let marks = marks.with_marker(MarkerShape::Diamond).with_size(6.0);
    plots.push(marks.with_legend("stationary").into());
    let marks = ScatterPlot::new().with_data(minima).with_color(ink.measured());
    plots.push(marks.with_size(3.5).with_legend("global minimum").into());
    let (threshold, fold) = (potential.slope_threshold(), potential.fold());
    let description = format!(
        "g(x; β) = 1/(x^M + 1) + β x for M = {depth}; a direction collapses for slopes β above {threshold:.4}, and \
         stationary points exist up to the fold {fold:.4}."
    );
    let title = format!("g(x; β), M = {depth}: threshold β = {threshold:.4}, fold β = {fold:.4}");
    let picture = Picture::new(title, description, plots, ["x", "g(x; β)"], ink);
    Ok(picture.with_layout(|layout| layout.with_y_axis_min(0.0).with_y_axis_max(HIGHEST)))
}
