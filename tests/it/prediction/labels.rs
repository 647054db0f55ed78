//! What is predicted of samples by their labels, where these are no classes.

use std::ops::Range;

use nalgebra::DMatrix;
use neural_collapse::ExplicitPoint;
use neural_collapse::prediction::LabelGeometry;

use super::answers::assert_same;
use super::data_term::{DataTerm, Held};
use super::subject::{Subject, assert_close};
use super::unanswered::answered;

/// The Gram matrix of the features, the outputs and the objective of all labels, if there are any.
pub fn check(subject: &Subject<'_>, point: &ExplicitPoint) {
    let Some(labels) = answered(subject.prediction.label_geometry()) else { return };
    let (name, head, features) = (&subject.name, point.head(), point.features().unwrap());
    let samples = samples_of_labels(&labels);
    assert_eq!(samples.last().map(|range| range.end), Some(features.ncols()), "{name}");
    for (label, range) in samples.iter().cloned().enumerate() {
        check_held(subject, &labels, label, range.clone());
        let own = features.column(range.start);
        assert!(range.clone().all(|sample| features.column(sample) == own), "{name}: {label}");
    }
    let firsts: Vec<usize> = samples.iter().map(|range| range.start).collect();
    let features_of_labels = features.select_columns(&firsts);
    let gram = features_of_labels.transpose() * &features_of_labels;
    assert_same(&format!("{name}, labels"), &labels.features_gram, &gram);
    // The layers one after the other, without the bias.
    let outputs = head.weights().iter().fold(features_of_labels, |input, weight| weight * input);
    let difference = (&labels.outputs - &outputs).amax();
    assert!(difference <= 1e-9 * outputs.amax().max(1e-300), "{name}: {difference:e}");
    check_objective(subject, &labels, point, &features);
}

/// The samples of each label: they are in the order of the labels.
fn samples_of_labels(labels: &LabelGeometry) -> Vec<Range<usize>> {
    let mut next = 0;
    let ranges = (0..labels.counts.classes()).map(|label| {
        let first = next;
        next += labels.counts.count(label).unwrap() as usize;
        first..next
    });
    ranges.collect()
}

/// All samples of a label are held against the same.
fn check_held(subject: &Subject<'_>, labels: &LabelGeometry, label: usize, range: Range<usize>) {
    let name = &subject.name;
    match &subject.held {
        Held::Labels(own) => assert!(own[range].iter().all(|&own| own == label), "{name}: {label}"),
        Held::Sets(sets) => {
            let tags = labels.tag_sets.as_ref().map_or(&sets[range.start], |tags| &tags[label]);
            assert!(sets[range].iter().all(|set| set == tags), "{name}: {label}");
        }
        Held::Target(_) => panic!("{name}: a target has no labels"),
    }
}

/// The objective by numbers of labels is that by what the samples are held against.
fn check_objective(
    subject: &Subject<'_>,
    labels: &LabelGeometry,
    point: &ExplicitPoint,
    features: &DMatrix<f64>,
) {
    let (name, prediction) = (&subject.name, subject.prediction);
    let (own, by_labels) = (prediction.training_objective(), &labels.training_objective);
    assert_eq!(own.regularization(), by_labels.regularization(), "{name}");
    let numbers = labels.counts.labels().unwrap();
    let value = |objective, held: &Held| {
        let term = DataTerm::new(objective, prediction.classes(), held)?;
        Some(term.slopes(point.head(), features).value)
    };
    match (value(by_labels, &Held::Labels(numbers)), value(&own, &subject.held)) {
        (Some(found), Some(expected)) => assert_close(found, expected, 1e-11, name),
        (found, expected) => {
            assert_eq!((found, expected, by_labels), (None, None, &own), "{name}");
        }
    }
}
