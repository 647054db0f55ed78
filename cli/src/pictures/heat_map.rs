//! A matrix over the classes.

use std::sync::Arc;

use kuva::prelude::{Heatmap, LinePlot, Plot, TickFormat};
use nalgebra::DMatrix;

use super::ink::Ink;
use super::picture::{Picture, short};

/// More names than these do not fit beside a matrix.
const MOST_NAMES: usize = 12;

/// Cells tell their values up to so many rows.
const MOST_TOLD: usize = 20;

/// The rows and columns of matrices over the classes.
#[derive(Debug, Clone)]
pub(crate) struct Grid {
    /// Names of the classes or groups.
    pub(crate) names: Vec<String>,
    /// Where smaller classes begin.
    pub(crate) boundaries: Vec<usize>,
    /// What a row is, such as `class, the largest first`.
    pub(crate) axis: String,
}

/// A matrix over the classes in colors from −`end` to `end`, the first row at the top.
pub(crate) fn heat_map(
    title: &str,
    matrix: &DMatrix<f64>,
    grid: &Grid,
    end: f64,
    ink: Ink,
) -> Picture {
    let size = matrix.nrows();
    let range = (matrix.min(), matrix.max());
    let end = rounded_up(end);
    // The crate draws the first row lowest, and loses tiny numbers in its own scaling.
    let mut rows: Vec<Vec<f64>> =
        matrix.row_iter().map(|row| row.iter().map(|entry| entry / end).collect()).collect();
    rows.reverse();
    let told: Vec<String> = rows.iter().flatten().map(|share| short(share * end)).collect();
    let cells = Heatmap::new().with_data(rows);
    let cells = cells.with_color_map(ink.heat((range.0 / end, range.1 / end)));
    let cells = match size <= MOST_TOLD {
        true => cells.with_cell_size(0.96).with_tooltips().with_tooltip_labels(told),
        false => cells.with_cell_size(1.0),
    };
    let mut plots: Vec<Plot> = vec![cells.into()];
    let edge = size as f64 + 0.5;
    for &boundary in &grid.boundaries {
        // Rows are counted from below.
        let (across, down) = (edge - boundary as f64, boundary as f64 + 0.5);
        for line in [[(0.5, across), (edge, across)], [(down, 0.5), (down, edge)]] {
            let line = LinePlot::new().with_data(line).with_color(ink.muted());
            plots.push(line.with_stroke_width(0.8).into());
        }
    }
    let description = format!(
        "Heat map of {size} × {size} entries from {} to {}; colors from −{} to {}, the palest is zero.",
        short(range.0),
        short(range.1),
        short(end),
        short(end)
    );
    let picture = Picture::new(title, description, plots, [&grid.axis, ""], ink);
    let names = |reversed: bool| -> Vec<String> {
        let step = size.div_ceil(MOST_NAMES).max(1);
        let shown = |(index, name): (usize, &String)| match index % step {
            0 => name.clone(),
            _ => String::new(),
        };
        let mut names: Vec<String> = grid.names.iter().enumerate().map(shown).collect();
        if reversed {
            names.reverse();
        }
        names
    };
    picture.with_layout(|layout| {
        layout
            .with_width(330.0)
            .with_height(300.0)
            .with_show_grid(false)
            .with_colorbar_tick_format(TickFormat::Custom(Arc::new(move |share| {
                short(share * end)
            })))
            .with_x_categories(names(false))
            .with_y_categories(names(true))
    })
}

/// The end of a scale: the next number with one digit.
fn rounded_up(end: f64) -> f64 {
    if end <= 0.0 {
        return 1.0;
    }
    let unit = 10_f64.powf(end.log10().floor());
    unit * (end / unit).ceil()
}
