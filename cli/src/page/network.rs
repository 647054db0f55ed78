//! The page of a measured network.

use neural_collapse::audit::ClassAudit;
use neural_collapse::models::AnyModel;

use super::classes::add_classes;
use super::figures::{
    Figures, cosine_figures, decision_figures, gram_figures, plane_figures, spectrum_figures,
};
use super::html::{Entry, Page};
use super::lengths::lengths;
use super::measured::Measured;
use super::seen::Seen;
use super::words::{layers_in_words, sizes_in_words};
use crate::audit::AuditedNetwork;
use crate::error::CliError;
use crate::loss::Loss;
use crate::pictures::{self, Ink, Norm, Norms};
use crate::report::{AuditReport, LossNames, remarks};
use crate::tables::capitalized;

/// The JSON object of more classes than these is not repeated in the page.
const MOST_CLASSES_IN_JSON: usize = 2000;

/// The page of a measured network beside its prediction.
pub(crate) fn network_page(
    network: &AuditedNetwork,
    seen: &Seen,
    name: &str,
    command: &str,
) -> Result<String, CliError> {
    let audit = &network.audit;
    let verdict = format!("{}.", capitalized(&audit.verdict.text));
    let mut page = Page::new(&format!("Neural collapse of {name}"), &verdict);
    introduce(&mut page, network);
    add_metrics(&mut page, network);
    let shown = Measured::new(network)?;
    let prediction = network.model.as_ref().map(AnyModel::prediction);
    let mut missing: Vec<String> =
        audit.reasons.iter().map(|(name, reason)| format!("{name}: {reason}.")).collect();

    page.heading("Lengths");
    page.paragraph(
        "Squared norms of the rows wₖ of the last layer and of the class means hₖ. Under the squared loss without a \
         bias all classes of one data set lie on one curve, and those left of the threshold collapse to zero.",
    );
    page.figures(norm_figures(network), false);

    page.heading("Gram matrices");
    page.paragraph(
        "Inner products of the rows of the last layer, of the class means, and the outputs W_M⋯W₁h for class means, each \
         matrix divided by its Frobenius norm; the norm of the difference is the distance that NC2 and NC3 measure. \
         Lines are drawn between classes of different sizes.",
    );
    page.figures(gram_figures(&shown, prediction, &mut missing)?, true);

    page.heading("Angles");
    page.figures(cosine_figures(&shown, prediction)?, false);

    page.heading("Singular values");
    page.figures(spectrum_figures(network, &shown, prediction)?, false);

    page.heading("Class means in space");
    page.paragraph(
        "The predicted vectors are turned so that they lie as near to the class means as they can (Procrustes). The leading \
         directions hold the most of the squared lengths; the star is the plane in which vectors at equal angles to each \
         other point into all directions evenly.",
    );
    page.figures(plane_figures(&shown, prediction, seen, &mut missing)?, false);

    page.heading("Decisions");
    page.figures(decision_figures(network, seen), false);

    page.heading("Classes");
    add_classes(&mut page, network);

    page.heading("What to know");
    let mut known: Vec<String> = remarks(network);
    known.extend(missing);
    if let Some(model) = &network.model {
        known.insert(0, format!("Theorem: {}.", model.prediction().verdict()));
    }
    page.list(&known);
    let json = match audit.classes.len() <= MOST_CLASSES_IN_JSON {
        true => serde_json::to_string(&AuditReport::new(network, None)?).ok(),
        false => None,
    };
    Ok(page.finish(command, json.as_deref()))
}

fn introduce(page: &mut Page, network: &AuditedNetwork) {
    let measurement = &network.audit.measurement;
    let head = measurement.head();
    let layers = layers_in_words(head.depth());
    let bias = if head.bias().is_some() { "with" } else { "without" };
    let loss = network.training.loss.map_or("an unknown loss", |loss| match loss {
        Loss::Mse => "the squared loss",
        Loss::Ce => "the cross-entropy",
        Loss::LayerPeeled => "the layer-peeled model",
        Loss::UfSvm => "the support vector machine",
        Loss::FixedEtf => "cross-entropy behind a fixed simplex ETF",
        Loss::SphericalCe => "the spherical cross-entropy",
        Loss::Supcon => "the supervised contrastive loss",
    });
    page.paragraph(&format!(
        "Measured: {} samples of {} classes ({}), features of \
         dimension {}, and a head of {layers} {bias} a bias, trained with {loss}.",
        measurement.counts().samples(),
        head.classes(),
        sizes_in_words(measurement.counts().imbalance()),
        head.feature_dimension(),
    ));
    match (&network.model, &network.audit.no_prediction) {
        (Some(model), _) => {
            let prediction = model.prediction();
            let family = if prediction.is_unique() { "" } else { ", one of a family" };
            page.paragraph(&format!("Predicted: {}{family}.", prediction.geometry()));
        }
        (None, Some(reason)) => page.paragraph(&format!("No prediction: {reason}.")),
        (None, None) => {}
    }
}

fn add_metrics(page: &mut Page, network: &AuditedNetwork) {
    let audit = &network.audit;
    let measurement = &audit.measurement;
    let mut rows: Vec<Vec<Entry>> = Vec::new();
    let mut add = |name: String, entry: Entry, meaning: &str| {
        rows.push(vec![Entry::Text(name), entry, Entry::Text(meaning.into())]);
    };
    let residual = |value: Option<f64>, path: &str| Entry::Residual(value, path.into());
    let number = |value: Option<f64>, path: &str| Entry::Number(value, path.into());
    let nc1 = measurement.nc1().map(|nc1| nc1.value);
    add("NC1".into(), residual(nc1, "nc1"), "spread within classes relative to that between them");
    for (index, &distance) in audit.nc2.iter().enumerate() {
        let meaning = "distance of the Gram matrix of the last layers to the prediction";
        add(
            format!("NC2, m = {}", index + 1),
            residual(distance, &format!("nc2[{index}]")),
            meaning,
        );
    }
    let meaning = "distance of the outputs for class means to the prediction";
    add("NC3".into(), residual(audit.nc3, "nc3"), meaning);
    let meaning = "the same for centered class means";
    add("NC3, centered".into(), residual(audit.nc3_centered, "nc3_centered"), meaning);
    let agreement = measurement.nc4().overall.agreement;
    let meaning = "share of samples where largest output and nearest class mean agree";
    add("NC4".into(), number(Some(agreement), "nc4"), meaning);
    let meaning = "share of samples whose largest output is their label's";
    add("accuracy".into(), number(Some(measurement.accuracy()), "accuracy"), meaning);
    if let Some(loss) = audit.loss {
        add("loss f".into(), number(Some(loss), "loss"), "measured");
    }
    if let Some((prediction, optimum)) = audit.prediction.as_ref().zip(audit.loss_optimum()) {
        let names = LossNames::new(&prediction.verdict);
        add(names.optimum.into(), number(Some(optimum), "loss_optimum"), names.meaning);
        let gap = residual(audit.loss_gap_relative(), "loss_gap_relative");
        add(names.gap.into(), gap, "relative gap of the loss");
    }
    if let norm @ Some(_) = audit.gradient_norm() {
        add("‖∇f‖".into(), residual(norm, "gradient_norm"), "norm of the gradient");
    }
    for (index, &residue) in measurement.balancedness().unwrap_or_default().iter().enumerate() {
        let path = format!("balancedness[{index}]");
        let meaning = "relative difference of this layer and the one before it";
        add(format!("balance, m = {}", index + 1), residual(Some(residue), &path), meaning);
    }
    page.table("Metrics, all without a unit", &["metric", "value", "meaning"], &rows, false);
}

fn norm_figures(network: &AuditedNetwork) -> Figures {
    let classes = &network.audit.classes;
    let norms = |value: fn(&ClassAudit) -> Option<f64>| -> Vec<Norm> {
        let norm =
            |class: &ClassAudit| Some(Norm { size: class.count as f64, squared: value(class)? });
        thinned(classes.iter().filter_map(norm).collect())
    };
    let measured = [
        norms(|class| Some(class.classifier_norm_squared.measured)),
        norms(|class| Some(class.feature_norm_squared.measured)),
    ];
    let predicted = [
        norms(|class| class.classifier_norm_squared.predicted),
        norms(|class| class.feature_norm_squared.predicted),
    ];
    let caption = |norms: &Norms<'_>| match (norms.threshold, norms.predicted.is_empty()) {
        (Some(size), false) => {
            format!("Classes of less than {} samples collapse to zero.", pictures::short(size))
        }
        (_, true) => "There is no prediction of it.".into(),
        _ => String::new(),
    };
    lengths(network.model.as_ref(), measured, predicted)
        .map(|shown| (pictures::norms(&shown, Ink::OfPage), caption(&shown)))
        .into()
}

/// At most so many points that a picture stays small: one of every few classes.
fn thinned(norms: Vec<Norm>) -> Vec<Norm> {
    const MOST: usize = 1000;
    let step = norms.len().div_ceil(MOST).max(1);
    norms.into_iter().step_by(step).collect()
}
