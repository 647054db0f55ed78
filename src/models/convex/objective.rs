//! What a one-layer problem minimizes, in the words of all models.

use crate::models::convex::problem::{ConvexUfm, Labels};
use crate::problem::training_objective::{LossFunction, TrainingObjective};

impl ConvexUfm {
    /// The objective with its decays. That of [`pytorch`](Self::pytorch) is stated with weights of the entries of
    /// labels, or without smoothing with class weights.
    #[must_use]
    pub fn training_objective(&self) -> TrainingObjective {
        let regularization = self.regularization().clone();
        match self.labels() {
            Labels::Classes { .. } => self.objective_of_classes(),
            Labels::Soft { labels, weights } => TrainingObjective::SoftLabels {
                regularization,
                labels: labels.column_iter().map(|label| label.iter().copied().collect()).collect(),
                weights: weights.clone(),
            },
            Labels::PyTorch(code) => {
                // There is a weight for each class: the constructor has checked it.
                let weights = code.entry_weights(self.counts()).unwrap_or_default();
                match code.label_smoothing() {
                    0.0 => TrainingObjective::WeightedCrossEntropy {
                        regularization,
                        class_weights: weights,
                        label_smoothing: 0.0,
                        logit_offsets: Vec::new(),
                        nonnegative_features: false,
                    },
                    label_smoothing => TrainingObjective::WeightedEntries {
                        regularization,
                        entry_weights: weights,
                        label_smoothing,
                    },
                }
            }
        }
    }

    fn objective_of_classes(&self) -> TrainingObjective {
        let regularization = self.regularization().clone();
        let list = |list: Option<&[f64]>| list.map(<[f64]>::to_vec).unwrap_or_default();
        let (class_weights, logit_offsets) =
            (list(self.class_weights()), list(self.logit_offsets()));
        let label_smoothing = self.label_smoothing();
        let is_plain =
            class_weights.is_empty() && logit_offsets.is_empty() && label_smoothing == 0.0;
        match self.loss_function() {
            loss_function if is_plain => {
                TrainingObjective::penalized(loss_function, regularization)
            }
            LossFunction::SquaredError => TrainingObjective::WeightedSquaredError {
                regularization,
                class_weights,
                label_smoothing,
            },
            _ => TrainingObjective::WeightedCrossEntropy {
                regularization,
                class_weights,
                label_smoothing,
                logit_offsets,
                nonnegative_features: false,
            },
        }
    }
}
