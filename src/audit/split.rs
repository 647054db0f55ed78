//! Whether the squared loss of an audit can be split, and why not.

use crate::error::Error;
use crate::measure::statistics::ClassStatistics;
use crate::objective::{LeastSquaresSplit, ObjectiveSums};
use crate::problem::head::LinearHead;
use crate::problem::training_objective::{LossFunction, TrainingObjective};

/// The loss on features of more dimensions is not split, as that takes some d³ operations.
const MOST_FEATURES: usize = 2048;

/// The parts of the squared loss of one layer, or why there are none.
pub(super) fn split(
    sums: Option<&ObjectiveSums>,
    statistics: &ClassStatistics,
    head: &LinearHead,
    objective: Option<&TrainingObjective>,
) -> Result<LeastSquaresSplit, String> {
    let is_plain = matches!(
        objective,
        Some(TrainingObjective::Penalized {
            loss_function: LossFunction::SquaredError,
            factor: 1.0,
            ..
        })
    );
    let Some(sums) = sums.filter(|_| is_plain) else {
        return Err(
            "only the squared loss 1/(2N) ‖Z − Y‖² of the training samples with known decays is split".into()
        );
    };
    if head.depth() > 1 {
        return Err("only the loss of one layer is split".into());
    }
    if head.feature_dimension() > MOST_FEATURES {
        return Err(format!("features of more than {MOST_FEATURES} dimensions are not split"));
    }
    let found = sums.least_squares_split(statistics).map_err(|error: Error| error.to_string())?;
    found.ok_or_else(|| "it comes with the balance of the layers, which was not asked for".into())
}
