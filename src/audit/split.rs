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

#[cfg(test)]
mod tests {
    use crate::audit::{AuditOptions, measure_with};
    use crate::measure::features::Features;
    use crate::problem::head::LinearHead;
    use crate::problem::regularization::Regularization;
    use crate::problem::training_objective::{LossFunction, TrainingObjective};
    use nalgebra::DMatrix;

    #[test]
    fn losses_that_are_not_split_have_their_reasons() {
        for (dimension, layers, loss_function, reason) in [
            (2048, 1, LossFunction::SquaredError, "the balance of the layers"),
            (2049, 1, LossFunction::SquaredError, "more than 2048 dimensions"),
            (3, 2, LossFunction::SquaredError, "only the loss of one layer"),
            (3, 1, LossFunction::CrossEntropy, "only the squared loss"),
        ] {
            let features = DMatrix::from_fn(dimension, 4, |i, j| ((i * i + 5 * j) as f64).sin());
            let data = Features::from_sample_columns(&features).unwrap();
            let data = data.with_labels(&[0, 1, 0, 1], 2).unwrap();
            let mut weights = vec![DMatrix::identity(2, dimension)];
            weights.resize(layers, DMatrix::identity(2, 2));
            let regularization = Regularization::new(&vec![1e-3; layers], 1e-3).unwrap();
            let objective = TrainingObjective::penalized(loss_function, regularization);
            let options = AuditOptions::default().with_objective(objective).with_balance(false);
            let head = LinearHead::new(weights, None).unwrap();
            let found = measure_with(&data, &head, &options, &()).unwrap().split.unwrap_err();
            assert!(found.contains(reason), "{dimension}: {found}");
        }
    }
}
