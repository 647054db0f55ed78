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
            Labels::PyTorch { code, total } => {
                let weights = code.scaled_weights(self.counts().samples() as f64 / total);
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

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use super::*;
    use crate::problem::counts::ClassCounts;
    use crate::problem::regularization::Regularization;

    /// Each option alone is stated with what it needs, and no option as the plain objective.
    #[test]
    fn objectives_are_stated_by_their_options() {
        let counts = || ClassCounts::new(&[3, 1]).unwrap();
        let regularization = Regularization::new(&[0.01], 0.02).unwrap();
        let entropy = ConvexUfm::cross_entropy(counts(), regularization.clone()).unwrap();
        let squared = ConvexUfm::squared_error(counts(), regularization.clone()).unwrap();
        for (ufm, loss_function) in
            [(&entropy, LossFunction::CrossEntropy), (&squared, LossFunction::SquaredError)]
        {
            let plain = TrainingObjective::penalized(loss_function, regularization.clone());
            assert_eq!(ufm.training_objective(), plain);
        }
        let (weights, offsets) = ([0.5, 2.0], [1.0, -1.0]);
        let weighted = |class_weights: &[f64], label_smoothing, logit_offsets: &[f64]| {
            TrainingObjective::WeightedCrossEntropy {
                regularization: regularization.clone(),
                class_weights: class_weights.to_vec(),
                label_smoothing,
                logit_offsets: logit_offsets.to_vec(),
                nonnegative_features: false,
            }
        };
        let squares =
            |class_weights: &[f64], label_smoothing| TrainingObjective::WeightedSquaredError {
                regularization: regularization.clone(),
                class_weights: class_weights.to_vec(),
                label_smoothing,
            };
        let torch = |smoothing| {
            ConvexUfm::pytorch(counts(), &[1.0, 3.0], smoothing, regularization.clone())
        };
        let soft = ConvexUfm::soft_labels(DMatrix::identity(2, 2), &[3, 1], regularization.clone());
        // PyTorch divides by 3·1 + 1·3 instead of by 4 samples.
        let coded = [4.0 / 6.0, 12.0 / 6.0];
        for (ufm, expected) in [
            (entropy.clone().with_class_weights(&weights), weighted(&weights, 0.0, &[])),
            (entropy.clone().with_label_smoothing(0.25), weighted(&[], 0.25, &[])),
            (entropy.with_logit_offsets(&offsets), weighted(&[], 0.0, &offsets)),
            (squared.clone().with_class_weights(&weights), squares(&weights, 0.0)),
            (squared.with_label_smoothing(0.25), squares(&[], 0.25)),
            (torch(0.0), weighted(&coded, 0.0, &[])),
            (
                torch(0.25),
                TrainingObjective::WeightedEntries {
                    regularization: regularization.clone(),
                    entry_weights: coded.to_vec(),
                    label_smoothing: 0.25,
                },
            ),
            (
                soft.unwrap().with_label_weights(&weights),
                TrainingObjective::SoftLabels {
                    regularization: regularization.clone(),
                    labels: vec![vec![1.0, 0.0], vec![0.0, 1.0]],
                    weights: weights.to_vec(),
                },
            ),
        ] {
            assert_eq!(ufm.unwrap().training_objective(), expected);
        }
    }
}
