//! The angles between classes of every pair of sizes.

use std::collections::BTreeMap;

use neural_collapse::error::Error;
use neural_collapse::{ClassCounts, Prediction};
use serde::Serialize;

use crate::tables::{Cell, merge_equal, numbered_table};

/// The cosines between two classes of the sizes `counts`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Angle {
    counts: [u64; 2],
    classifier_cosine: Option<f64>,
    feature_cosine: Option<f64>,
}

/// The angles of one pair for every pair of sizes; none where classes of one size differ.
pub(super) fn angles(prediction: &dyn Prediction) -> Result<Option<Vec<Angle>>, Error> {
    let Some(counts) = prediction.counts().filter(|_| prediction.is_symmetric()) else {
        return Ok(None);
    };
    let grams = match (prediction.trailing_gram(1), prediction.class_means_gram()) {
        (Err(Error::NotAnswered { .. }), _) | (_, Err(Error::NotAnswered { .. })) => {
            return Ok(None);
        }
        (classifier, means) => (classifier?, means?),
    };
    let angle = |counts, [i, j]: [usize; 2]| Angle {
        counts,
        classifier_cosine: grams.0.cosine(i, j),
        feature_cosine: grams.1.cosine(i, j),
    };
    let examples = examples(counts);
    let mut angles = Vec::new();
    for (index, (size, classes)) in examples.iter().enumerate() {
        if let &[first, second] = classes.as_slice() {
            angles.push(angle([*size; 2], [first, second]));
        }
        for (other, others) in &examples[index + 1..] {
            angles.push(angle([*size, *other], [classes[0], others[0]]));
        }
    }
    Ok(Some(angles))
}

/// Up to two classes of every size, the largest size first.
fn examples(counts: &ClassCounts) -> Vec<(u64, Vec<usize>)> {
    let mut examples: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for run in counts.runs() {
        let of_size = examples.entry(run.size).or_default();
        let wanted = 2_usize.saturating_sub(of_size.len());
        of_size.extend((run.first_class..run.first_class + run.class_count).take(wanted));
    }
    examples.into_iter().rev().collect()
}

pub(super) fn angle_table(angles: &[Angle]) -> String {
    let row = |angle: &Angle| {
        let [first, second] = angle.counts;
        vec![
            Cell::Count(first),
            Cell::Count(second),
            Cell::Number(angle.classifier_cosine),
            Cell::Number(angle.feature_cosine),
        ]
    };
    let runs = merge_equal(angles.iter().map(|angle| (1, *angle)));
    numbered_table("angle", &["samples", "and", "cos w", "cos h"], &runs, row)
}
