//! The distribution of cosines.

use kuva::prelude::{Histogram, Plot, ReferenceLine};

use super::ink::Ink;
use super::picture::Picture;

/// Bars between −1 and 1, one of them around 0.
const BARS: usize = 41;

/// More different predictions than these are not marked.
const MOST_MARKS: usize = 12;

/// Cosines between the vectors of pairs of classes, with the predicted ones marked.
pub(crate) fn cosines(name: &str, measured: &[f64], predicted: &[f64], ink: Ink) -> Picture {
    let bars = Histogram::new().with_data(measured.iter().copied()).with_bins(BARS);
    let bars = bars.with_range((-1.0, 1.0)).with_color(ink.measured());
    let plots: Vec<Plot> = vec![bars.with_legend("measured").into()];
    let mut marks: Vec<f64> = predicted.to_vec();
    marks.sort_by(f64::total_cmp);
    marks.dedup_by(|a, b| (*a - *b).abs() < 1e-3);
    let marked = if marks.len() <= MOST_MARKS { &marks[..] } else { &[] };
    let list: Vec<String> = marked.iter().map(|cosine| format!("{cosine:.3}")).collect();
    let description = format!(
        "Histogram of {} cosines between {name} of two classes; predicted: {}.",
        measured.len(),
        if list.is_empty() { "not a few values".into() } else { list.join(", ") }
    );
    let title = format!("Cosines between {name}");
    let picture = Picture::new(title, description, plots, ["cosine", "pairs of classes"], ink);
    marked.iter().enumerate().fold(picture, |picture, (index, &cosine)| {
        picture.with_layout(|layout| {
            let line = ReferenceLine::vertical(cosine).with_color(ink.predicted());
            let line = line.with_stroke_width(1.8);
            layout.with_reference_line(if index == 0 { line.with_label("predicted") } else { line })
        })
    })
}
