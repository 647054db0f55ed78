//! The singular directions of a prediction, as a table and as JSON.

use std::cmp::Ordering;
use std::iter::repeat_n;
use std::ops::Range;

use neural_collapse::error::Error;
use neural_collapse::models::AnyModel;
use neural_collapse::models::cross_entropy::CrossEntropyPoint;
use neural_collapse::models::squared::Direction;
use neural_collapse::prediction::SingularValue;
use neural_collapse::{Bias, ClassCounts, GlobalMinimum, Prediction, Seli};
use serde::{Serialize, Serializer};

use crate::tables::{Cell, merge_equal, numbered_table};

/// The directions of one model.
#[derive(Debug)]
pub(super) enum Directions {
    /// Those of the squared loss, as runs of equal ones.
    Squared(Vec<(usize, TargetDirection)>),
    /// Those of the logits, as runs of equal ones.
    Logits(Vec<(usize, LogitDirection)>),
    /// The model has none to show.
    None,
}

/// A direction of the effective target under the squared loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct TargetDirection {
    target_squared: f64,
    ratio: f64,
    x: Option<f64>,
    energy: Option<f64>,
    s: Option<f64>,
}

/// A direction of the logits: their singular value σ, the energy t and the singular value s of W₁.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct LogitDirection {
    logit: f64,
    energy: f64,
    s: f64,
}

impl Directions {
    pub(super) fn new(model: &AnyModel) -> Result<Self, Error> {
        Ok(match model {
            AnyModel::Squared(minimum) => Self::Squared(target_directions(minimum)),
            AnyModel::CrossEntropy(landscape) => Self::Logits(logit_directions(landscape.best())?),
            AnyModel::SupportVectors(seli) => Self::Logits(label_directions(seli)),
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
fn label_directions(seli: &Seli) -> Vec<(usize, LogitDirection)> {
    let direction = |SingularValue { value, multiplicity, .. }: SingularValue| {
        (multiplicity, LogitDirection { logit: value, energy: value, s: value.sqrt() })
    };
    seli.logit_singular_values().into_iter().map(direction).collect()
}

/// Runs of equal directions with their lengths: in class order without bias, else by falling σ².
fn target_directions(minimum: &GlobalMinimum) -> Vec<(usize, TargetDirection)> {
    if minimum.problem().regularization().bias() == Bias::None {
        return directions_of_classes(minimum);
    }
    let mut directions: Vec<Direction> = minimum.directions().collect();
    directions.sort_by(|a, b| {
        b.target_squared().partial_cmp(&a.target_squared()).unwrap_or(Ordering::Equal)
    });
    let all = |direction: Direction| split(&direction, 0..direction.multiplicity(), minimum);
    directions.into_iter().flat_map(all).collect()
}

/// Without a bias, the directions of a class size belong to the classes of that size.
fn directions_of_classes(minimum: &GlobalMinimum) -> Vec<(usize, TargetDirection)> {
    let mut used = vec![0; minimum.directions().len()];
    let runs = minimum.counts().into_iter().flat_map(ClassCounts::runs);
    runs.flat_map(|run| {
        let first = used[run.group];
        let range = first..first + run.class_count;
        used[run.group] = range.end;
        minimum.direction(run.group).map(|own| split(&own, range, minimum)).into_iter().flatten()
    })
    .collect()
}

/// The vectors `range` of a direction: those that every minimizer fits, those that some fit, the others.
///
/// Which vectors of a direction are fitted is not determined if there is no room for all; how many are,
/// is. The fitted ones are listed first.
fn split(
    direction: &Direction,
    range: Range<usize>,
    minimum: &GlobalMinimum,
) -> impl Iterator<Item = (usize, TargetDirection)> + use<> {
    let (least, most) = direction.rank().into_inner();
    let below = |limit: usize| range.end.min(limit).saturating_sub(range.start);
    let (fitted, possible) = (below(least), below(most));
    let first_decay = minimum.problem().regularization().weight_decays()[0];
    let (x, energy) = (direction.x(), direction.energy());
    let report = |x: Option<f64>, energy: Option<f64>| TargetDirection {
        target_squared: direction.target_squared(),
        ratio: direction.ratio(),
        x,
        energy,
        s: energy.map(|energy| (energy / first_decay).sqrt()),
    };
    let pieces = [
        (fitted, report(Some(x), Some(energy))),
        (possible - fitted, report(None, None)),
        (range.len() - possible, report(Some(0.0), Some(0.0))),
    ];
    pieces.into_iter().filter(|(length, _)| *length > 0)
}
