//! The singular directions of a prediction, as a table and as JSON.

use std::iter::repeat_n;

use neural_collapse::error::Error;
use neural_collapse::models::AnyModel;
use neural_collapse::models::cross_entropy::CrossEntropyPoint;
use neural_collapse::models::squared::TargetVector;
use neural_collapse::{Prediction, Seli};
use serde::{Serialize, Serializer};

use crate::tables::{Cell, merge_equal, numbered_table};

/// The directions of one model.
#[derive(Debug)]
pub(super) enum Directions {
    /// Those of the squared loss, as runs of equal ones.
    Squared(Vec<(usize, TargetVector)>),
    /// Those of the logits, as runs of equal ones.
    Logits(Vec<(usize, LogitDirection)>),
    /// The model has none to show.
    None,
}

/// A direction of the logits: their singular value σ, the energy t and the singular value s of W₁, which models answer
/// in several lists.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct LogitDirection {
    logit: f64,
    energy: f64,
    s: f64,
}

impl Directions {
    pub(super) fn new(model: &AnyModel) -> Result<Self, Error> {
        Ok(match model {
            AnyModel::Squared(minimum) => Self::Squared(minimum.target_vectors()),
            AnyModel::CrossEntropy(landscape) => Self::Logits(logit_directions(landscape.best())?),
            AnyModel::SupportVectors(seli) => Self::Logits(label_directions(seli)?),
            _ => Self::None,
        })
    }

    pub(super) fn to_table(&self) -> Option<String> {
        match self {
            Self::Squared(runs) => {
                let headings = ["σ²", "a/σ²", "x", "energy t", "s"];
                let runs = merge_equal(runs.iter().copied());
                Some(numbered_table("direction", &headings, &runs, |direction| {
                    vec![
                        Cell::Number(Some(direction.target_squared)),
                        Cell::Number(Some(direction.ratio)),
                        Cell::Number(direction.x),
                        Cell::Number(direction.energy),
                        Cell::Number(direction.s),
                    ]
                }))
            }
            Self::Logits(runs) => {
                let runs = merge_equal(runs.iter().copied());
                Some(numbered_table("direction", &["σ", "energy t", "s"], &runs, |direction| {
                    [direction.logit, direction.energy, direction.s]
                        .map(|value| Cell::Number(Some(value)))
                        .into()
                }))
            }
            Self::None => None,
        }
    }
}

impl Serialize for Directions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Squared(runs) => one_by_one(runs, serializer),
            Self::Logits(runs) => one_by_one(runs, serializer),
            Self::None => serializer.serialize_none(),
        }
    }
}

fn one_by_one<S: Serializer, T: Copy + Serialize>(
    runs: &[(usize, T)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(runs.iter().flat_map(|&(length, item)| repeat_n(item, length)))
}

/// The directions of the best known logits under cross-entropy.
fn logit_directions(point: &CrossEntropyPoint) -> Result<Vec<(usize, LogitDirection)>, Error> {
    let logits = point.logit_singular_values().into_iter();
    let first = Prediction::singular_values(point, 1..=1)?;
    let values = logits.zip(point.energies()).zip(first);
    let directions = values.map(|((logit, (energy, _)), first)| {
        (logit.multiplicity, LogitDirection { logit: logit.value, energy, s: first.value })
    });
    Ok(directions.collect())
}

/// The directions of the encoded labels of the support vector machine, without decays: t is σ itself.
fn label_directions(seli: &Seli) -> Result<Vec<(usize, LogitDirection)>, Error> {
    let first = Prediction::singular_values(seli, 1..=1)?;
    let directions = seli.logit_singular_values().into_iter().zip(first).map(|(logit, first)| {
        let (energy, s) = (logit.value, first.value);
        (logit.multiplicity, LogitDirection { logit: logit.value, energy, s })
    });
    Ok(directions.collect())
}
