//! The squared loss of one layer, split at the head that is best for the measured features.

use neural_collapse::measure::PooledScatter;
use neural_collapse::objective::LeastSquaresSplit;
use neural_collapse::problem::{LossFunction, TrainingObjective};
use neural_collapse::{LinearHead, Regularization};
use serde::Serialize;

/// Features of more dimensions are not split: d² numbers and d² operations a sample.
const MOST_FEATURES: usize = 2048;

/// The four parts of the loss, without the penalty of the features.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Split {
    /// What the deviations within the classes cost the best head.
    pub(crate) within_classes: f64,
    /// How far its outputs for the class means are from the labels.
    pub(crate) class_means: f64,
    /// Its penalty.
    pub(crate) penalty: f64,
    /// How far the head is from the best one.
    pub(crate) head_distance: f64,
}

impl Split {
    /// From the sums of all samples.
    pub(crate) fn new(
        scatter: &PooledScatter,
        head: &LinearHead,
        regularization: &Regularization,
    ) -> Result<Self, String> {
        let split = LeastSquaresSplit::new(scatter, head, regularization);
        let split = split.map_err(|error| error.to_string())?;
        Ok(Self {
            within_classes: split.within_classes,
            class_means: split.class_means,
            penalty: split.penalty,
            head_distance: split.head_distance,
        })
    }
}

/// The decays with which the loss of this head can be split, or why it cannot.
pub(crate) fn splittable<'a>(
    head: &LinearHead,
    objective: Option<&'a TrainingObjective>,
    around_other_means: bool,
) -> Result<&'a Regularization, String> {
    if around_other_means {
        return Err("the samples are not those of the training".into());
    }
    let Some(TrainingObjective::Penalized {
        loss_function: LossFunction::SquaredError,
        factor: 1.0,
        regularization: decays,
    }) = objective
    else {
        return Err("only the squared loss 1/(2N) ‖Z − Y‖² with known decays is split".into());
    };
    match (head.depth(), head.feature_dimension()) {
        (1, ..=MOST_FEATURES) => Ok(decays),
        (1, _) => Err(format!("features of more than {MOST_FEATURES} dimensions are not split")),
        _ => Err("only the loss of one layer is split".into()),
    }
}
