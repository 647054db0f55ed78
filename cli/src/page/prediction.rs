//! The page of a prediction alone.

use neural_collapse::models::AnyModel;
use neural_collapse::prediction::ClassGeometry;
use neural_collapse::problem::Run;

use super::html::{Entry, Page};
use super::lengths::lengths;
use super::words::{layers_in_words, sizes_in_words};
use crate::error::CliError;
use crate::phases::phase_of;
use crate::pictures::{self, Ink, Norm, Picture};
use crate::plot::{MOST_LAYERS, collapse_of, potential_of, spectra, vectors_of};
use crate::progress::Progress;
use crate::report::{LossNames, PredictionReport, Versioned};
use crate::tables::capitalized;

/// The JSON object of more classes than these is not repeated in the page.
const MOST_CLASSES_IN_JSON: usize = 2000;

/// The page of a prediction.
pub(crate) fn prediction_page(
    model: &AnyModel,
    command: &str,
    progress: &Progress,
) -> Result<String, CliError> {
    let prediction = model.prediction();
    let family = if prediction.is_unique() { "" } else { ", one of a family" };
    let verdict = format!("{}{family}: {}.", prediction.geometry(), prediction.verdict());
    let verdict = capitalized(&verdict);
    let mut page = Page::new("What neural collapse leads to", &verdict);
    let counts = prediction.counts();
    page.paragraph(&format!(
        "Predicted for {} samples of {} classes ({}) and {} after free features.",
        counts.map_or(0, neural_collapse::ClassCounts::samples),
        prediction.classes(),
        sizes_in_words(counts.map_or(1.0, neural_collapse::ClassCounts::imbalance)),
        layers_in_words(prediction.depth()),
    ));
    let rows = vec![vec![
        Entry::Text(LossNames::new(&prediction.verdict()).loss.into()),
        Entry::Number(Some(prediction.loss()), "loss".into()),
    ]];
    page.table("The predicted point", &["", "value"], &rows, false);
    let runs = prediction.class_runs()?;
    let mut left_out: Vec<String> = Vec::new();
    page.heading("Lengths");
    page.figures(norm_figures(model, &runs), false);
    page.heading("Vectors");
    let mut figures = Vec::new();
    add(&mut figures, &mut left_out, vectors_of(model, Ink::OfPage));
    page.figures(figures, false);
    page.heading("Singular values");
    if prediction.depth() > MOST_LAYERS {
        left_out.push(format!(
            "Singular values: of {} layers, the first {MOST_LAYERS}.",
            prediction.depth()
        ));
    }
    let spectra = spectra(prediction)?;
    let drawn = spectra.iter().map(|shown| (pictures::spectrum(shown, Ink::OfPage), String::new()));
    page.figures(drawn.collect(), true);
    page.heading("Collapse");
    let mut figures = Vec::new();
    for picture in [
        phase_of(model, Ink::OfPage, progress),
        collapse_of(model, Ink::OfPage, progress),
        potential_of(model, Ink::OfPage),
    ] {
        add(&mut figures, &mut left_out, picture);
    }
    page.figures(figures, false);
    page.heading("Classes");
    add_classes(&mut page, &runs);
    if !left_out.is_empty() {
        page.heading("What is not shown");
        page.list(&left_out);
    }
    let json = match prediction.classes() <= MOST_CLASSES_IN_JSON {
        true => serde_json::to_string(&Versioned::new(&PredictionReport::new(model)?)).ok(),
        false => None,
    };
    Ok(page.finish(command, json.as_deref()))
}

fn add(
    figures: &mut Vec<(Picture, String)>,
    left_out: &mut Vec<String>,
    picture: Result<Picture, CliError>,
) {
    match picture {
        Ok(picture) => figures.push((picture, String::new())),
        Err(error) => left_out.push(format!("{}.", error.one_line())),
    }
}

fn norm_figures(model: &AnyModel, runs: &[(Run, ClassGeometry)]) -> Vec<(Picture, String)> {
    let norms = |value: fn(&ClassGeometry) -> Option<f64>| -> Vec<Norm> {
        let norm = |(run, class): &(Run, ClassGeometry)| {
            Some(Norm { size: run.size as f64, squared: value(class)? })
        };
        runs.iter().filter_map(norm).collect()
    };
    let predicted =
        [norms(|class| class.classifier_norm_squared), norms(|class| class.feature_norm_squared)];
    lengths(Some(model), [Vec::new(), Vec::new()], predicted)
        .map(|shown| (pictures::norms(&shown, Ink::OfPage), String::new()))
        .into()
}

fn add_classes(page: &mut Page, runs: &[(Run, ClassGeometry)]) {
    const MOST_ROWS: usize = 2000;
    let row = |(run, class): &(Run, ClassGeometry)| {
        let path = |key: &str| format!("classes[{}].{key}", run.first_class);
        let name = match run.class_count {
            1 => run.first_class.to_string(),
            count => format!("{}–{}", run.first_class, run.first_class + count - 1),
        };
        let collapsed = match class.collapsed {
            Some(true) => "yes",
            Some(false) => "no",
            None => "not determined",
        };
        vec![
            Entry::Text(name),
            Entry::Count(run.size),
            Entry::Number(class.classifier_norm_squared, path("classifier_norm_squared")),
            Entry::Number(class.feature_norm_squared, path("feature_norm_squared")),
            Entry::Text(collapsed.into()),
        ]
    };
    let rows: Vec<Vec<Entry>> = runs.iter().take(MOST_ROWS).map(row).collect();
    let caption = match runs.len() - rows.len() {
        0 => "Predicted squared norms of every class; a heading sorts".into(),
        hidden => format!("Predicted squared norms; {hidden} more rows are left out"),
    };
    page.table(&caption, &["classes", "samples", "‖wₖ‖²", "‖hₖ‖²", "collapsed"], &rows, true);
}
