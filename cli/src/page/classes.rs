//! The table of classes.

use neural_collapse::audit::ClassAudit;

use super::html::{Entry, Page};
use crate::audit::AuditedNetwork;

/// A longer table is cut in the middle.
const MOST_ROWS: usize = 2000;

/// Columns of the table.
const COLUMNS: [&str; 7] =
    ["class", "samples", "‖wₖ‖²", "predicted ‖wₖ‖²", "‖hₖ‖²", "predicted ‖hₖ‖²", "collapsed"];

/// Every class, or the first and last ones of very many.
pub(super) fn add_classes(page: &mut Page, network: &AuditedNetwork) {
    let classes = &network.audit.classes;
    let name = |class: usize| match &network.label_names {
        Some(names) => names.get(class).cloned().unwrap_or_default(),
        None => class.to_string(),
    };
    let is_shown = |class: usize| {
        classes.len() <= MOST_ROWS
            || class < MOST_ROWS / 2
            || class >= classes.len() - MOST_ROWS / 2
    };
    let shown = classes.iter().enumerate().filter(|(class, _)| is_shown(*class));
    let rows: Vec<Vec<Entry>> =
        shown.map(|(class, audit)| row(class, name(class), audit)).collect();
    let caption = match classes.len() - rows.len() {
        0 => "Measured and predicted squared norms of every class; a heading sorts".into(),
        hidden => format!("The first and last classes; {hidden} between them are left out"),
    };
    page.table(&caption, &COLUMNS, &rows, true);
}

fn row(class: usize, name: String, audit: &ClassAudit) -> Vec<Entry> {
    let path = |key: &str| format!("classes[{class}].{key}");
    let (classifier, feature) = (audit.classifier_norm_squared, audit.feature_norm_squared);
    let collapsed = match (audit.collapsed.measured, audit.collapsed.predicted) {
        (true, Some(true)) => "yes, as predicted",
        (true, Some(false)) => "yes, against the prediction",
        (true, None) => "yes",
        (false, Some(true)) => "no, against the prediction",
        (false, _) => "no",
    };
    vec![
        Entry::Text(name),
        Entry::Count(audit.count),
        Entry::Number(Some(classifier.measured), path("classifier_norm_squared.measured")),
        Entry::Number(classifier.predicted, path("classifier_norm_squared.predicted")),
        Entry::Number(Some(feature.measured), path("feature_norm_squared.measured")),
        Entry::Number(feature.predicted, path("feature_norm_squared.predicted")),
        Entry::Text(collapsed.into()),
    ]
}
