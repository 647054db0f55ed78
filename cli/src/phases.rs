//! Which classes collapse, and which structure is the lowest, over decays and imbalance or depth.

use neural_collapse::Error;
use neural_collapse::models::AnyModel;
use neural_collapse::models::diagrams::{DepthPhases, MergingLimit, PhaseDiagram};

use crate::error::CliError;
use crate::pictures::{self, Column, Ink, Picture, Thresholds};
use crate::plot::{MOST_CURVES, refused};
use crate::progress::Progress;

/// The phase diagram of a model.
pub(crate) fn phase_of(
    model: &AnyModel,
    ink: Ink,
    progress: &Progress,
) -> Result<Picture, CliError> {
    match PhaseDiagram::new(model, progress) {
        Ok(PhaseDiagram::Survival { limits, imbalance }) => {
            let named = limits.into_iter();
            let named = named.map(|limit| (surviving(limit.surviving_directions), limit.points));
            Ok(pictures::thresholds(
                Thresholds {
                    title: "Which classes collapse",
                    description: "Factors on all weight decays at which classes collapse, against the ratio of the largest \
                                  to the smallest class: below the lowest curve all classes survive, above the highest none.",
                    limits: first_to_last(named.collect()),
                    here: (imbalance, 1.0),
                },
                ink,
            ))
        }
        Ok(PhaseDiagram::Merging { limits, zero, imbalance }) => {
            let named = limits.into_iter().map(|limit| (merging(&limit), limit.points));
            let mut limits = first_to_last(named.collect());
            limits.push(("all weights are zero above".into(), zero));
            Ok(pictures::thresholds(
                Thresholds {
                    title: "Which classes merge, cross-entropy, M = 1",
                    description: "Factors on all weight decays above which classes of one size share one vector, and above \
                                  which everything is zero, against the ratio of the largest to the smallest class.",
                    limits,
                    here: (imbalance, 1.0),
                },
                ink,
            ))
        }
        Ok(PhaseDiagram::Structures { depths, depth, strength }) => {
            let columns = depths.into_iter().map(column).collect();
            Ok(pictures::structures(columns, (depth, strength), ink))
        }
        Ok(_) | Err(Error::NotAnswered { .. }) => {
            Err(refused("phase", "there is no phase diagram for this model".into()))
        }
        Err(error) => Err(error.into()),
    }
}

fn surviving(number: usize) -> String {
    match number {
        0 => "none survives above".into(),
        1 => "1 direction survives above".into(),
        number => format!("{number} directions survive above"),
    }
}

fn merging(limit: &MergingLimit) -> String {
    match limit.is_smaller {
        Some(true) => "the smaller classes merge above".into(),
        Some(false) => "the larger classes merge above".into(),
        None => format!("classes of now n = {} merge above", limit.count),
    }
}

fn column(depth: DepthPhases) -> Column {
    let phases = depth.phases.iter();
    let named = phases.map(|phase| (phase.structure.to_string(), phase.from, phase.to));
    Column { depth: depth.depth, phases: named.collect() }
}

/// Of many curves the first, the last and some between them.
fn first_to_last<T>(curves: Vec<T>) -> Vec<T> {
    let step = curves.len().div_ceil(MOST_CURVES).max(1);
    let last = curves.len().saturating_sub(1);
    let kept = curves.into_iter().enumerate();
    kept.filter(|(index, _)| index % step == 0 || *index == last).map(|(_, curve)| curve).collect()
}
