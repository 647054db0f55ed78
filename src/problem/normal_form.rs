//! Whether two training objectives are the same, however they are written.

use std::borrow::Cow;

use crate::problem::regularization::Regularization;
use crate::problem::training_objective::{LossFunction, TrainingObjective};

/// All that the value of an objective with decays depends on, with lists written out.
#[derive(Debug, PartialEq)]
struct NormalForm<'a> {
    loss_function: LossFunction,
    regularization: &'a Regularization,
    /// One weight for each label, times the factor of the loss.
    weights: Vec<f64>,
    /// Whether these are weights of the entries of labels, where that differs from weights of the labels.
    of_entries: bool,
    label_smoothing: f64,
    /// Less the first, as a constant beside all logits changes nothing.
    logit_offsets: Vec<f64>,
    nonnegative_features: bool,
    soft_labels: &'a [Vec<f64>],
}

impl TrainingObjective {
    /// Whether both have the same value for every network with K = `classes` outputs: empty lists stand for lists of ones, or
    /// of zeros, and a factor of the loss for so large weights.
    pub(crate) fn is_same_as(&self, other: &Self, classes: usize) -> bool {
        match (self.normal_form(classes), other.normal_form(classes)) {
            (Some(own), Some(other)) => own == other,
            _ => self.written_out(classes) == other.written_out(classes),
        }
    }

    /// `None` without decays.
    fn normal_form(&self, classes: usize) -> Option<NormalForm<'_>> {
        let plain = |regularization, weights: &[f64], factor| NormalForm {
            loss_function: self.loss_function(),
            regularization,
            weights: filled(weights, self.labels(classes)).map(|weight| factor * weight).collect(),
            of_entries: false,
            label_smoothing: 0.0,
            logit_offsets: vec![0.0; classes],
            nonnegative_features: false,
            soft_labels: &[],
        };
        Some(match self {
            Self::Penalized { factor, regularization, .. } => plain(regularization, &[], *factor),
            Self::WeightedCrossEntropy {
                regularization,
                class_weights,
                label_smoothing,
                logit_offsets,
                nonnegative_features,
            } => {
                let first = logit_offsets.first().copied().unwrap_or(0.0);
                let offsets = logit_offsets.iter().map(|offset| offset - first);
                let form = plain(regularization, class_weights, 1.0);
                NormalForm {
                    label_smoothing: *label_smoothing,
                    logit_offsets: match logit_offsets.is_empty() {
                        true => form.logit_offsets,
                        false => offsets.collect(),
                    },
                    nonnegative_features: *nonnegative_features,
                    ..form
                }
            }
            Self::WeightedSquaredError { regularization, class_weights, label_smoothing } => {
                let form = plain(regularization, class_weights, 1.0);
                NormalForm { label_smoothing: *label_smoothing, ..form }
            }
            Self::WeightedEntries { regularization, entry_weights, label_smoothing } => {
                let is_common = entry_weights.windows(2).all(|pair| pair[0] == pair[1]);
                NormalForm {
                    of_entries: *label_smoothing != 0.0 && !is_common,
                    label_smoothing: *label_smoothing,
                    ..plain(regularization, entry_weights, 1.0)
                }
            }
            Self::SoftLabels { regularization, labels, weights } => {
                NormalForm { soft_labels: labels, ..plain(regularization, weights, 1.0) }
            }
            _ => return None,
        })
    }

    /// With lists written out that stand for margins and scales of 1.
    fn written_out(&self, classes: usize) -> Cow<'_, Self> {
        match self {
            Self::ScaledMargins { margins, logit_scales } => Cow::Owned(Self::ScaledMargins {
                margins: filled(margins, classes).collect(),
                logit_scales: filled(logit_scales, classes).collect(),
            }),
            _ => Cow::Borrowed(self),
        }
    }
}

/// The numbers of a list, so many ones if there are none.
fn filled(list: &[f64], length: usize) -> impl Iterator<Item = f64> {
    let ones = if list.is_empty() { length } else { 0 };
    list.iter().copied().chain(core::iter::repeat_n(1.0, ones))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decays() -> Regularization {
        Regularization::new(&[1e-3], 1e-3).unwrap()
    }

    fn entropy(
        class_weights: &[f64],
        label_smoothing: f64,
        logit_offsets: &[f64],
    ) -> TrainingObjective {
        TrainingObjective::WeightedCrossEntropy {
            regularization: decays(),
            class_weights: class_weights.to_vec(),
            label_smoothing,
            logit_offsets: logit_offsets.to_vec(),
            nonnegative_features: false,
        }
    }

    fn entries(weights: &[f64], label_smoothing: f64) -> TrainingObjective {
        let entry_weights = weights.to_vec();
        TrainingObjective::WeightedEntries {
            regularization: decays(),
            entry_weights,
            label_smoothing,
        }
    }

    fn factored(loss_function: LossFunction, factor: f64) -> TrainingObjective {
        TrainingObjective::Penalized { loss_function, factor, regularization: decays() }
    }

    /// Each stands in one row, with all that it is the same as.
    #[test]
    fn objectives_are_told_apart_by_their_values() {
        let squared = |class_weights: &[f64], label_smoothing| {
            let class_weights = class_weights.to_vec();
            let regularization = decays();
            TrainingObjective::WeightedSquaredError {
                regularization,
                class_weights,
                label_smoothing,
            }
        };
        let soft = |label: [f64; 2], weights: &[f64]| TrainingObjective::SoftLabels {
            regularization: decays(),
            labels: vec![label.to_vec(), vec![0.5, 0.5]],
            weights: weights.to_vec(),
        };
        let margins = |margins: &[f64], logit_scales: &[f64]| TrainingObjective::ScaledMargins {
            margins: margins.to_vec(),
            logit_scales: logit_scales.to_vec(),
        };
        let mut nonnegative = entropy(&[], 0.0, &[]);
        if let TrainingObjective::WeightedCrossEntropy { nonnegative_features, .. } =
            &mut nonnegative
        {
            *nonnegative_features = true;
        }
        let larger = Regularization::new(&[2e-3], 1e-3).unwrap();
        let cross_entropy = LossFunction::CrossEntropy;
        let kinds = [
            vec![
                TrainingObjective::penalized(cross_entropy, decays()),
                entropy(&[], 0.0, &[]),
                entropy(&[1.0, 1.0], 0.0, &[0.0, 0.0]),
                entropy(&[], 0.0, &[3.0, 3.0]),
                entries(&[1.0, 1.0], 0.0),
            ],
            vec![TrainingObjective::penalized(cross_entropy, larger)],
            vec![factored(cross_entropy, 0.5), entropy(&[0.5, 0.5], 0.0, &[])],
            vec![entropy(&[1.0, 2.0], 0.0, &[]), entries(&[1.0, 2.0], 0.0)],
            vec![entropy(&[], 0.1, &[]), entries(&[1.0, 1.0], 0.1)],
            vec![entropy(&[1.0, 2.0], 0.1, &[])],
            vec![entries(&[1.0, 2.0], 0.1)],
            vec![entropy(&[], 0.0, &[0.0, 1.0]), entropy(&[1.0, 1.0], 0.0, &[1.0, 2.0])],
            vec![nonnegative],
            vec![factored(LossFunction::SquaredError, 1.0), squared(&[], 0.0)],
            vec![factored(LossFunction::SquaredError, 0.5), squared(&[0.5, 0.5], 0.0)],
            vec![squared(&[1.0, 2.0], 0.0)],
            vec![squared(&[], 0.1), squared(&[1.0, 1.0], 0.1)],
            vec![soft([0.9, 0.1], &[]), soft([0.9, 0.1], &[1.0, 1.0])],
            vec![soft([0.9, 0.1], &[1.0, 2.0])],
            vec![soft([0.8, 0.2], &[])],
            vec![margins(&[2.0, 1.0], &[]), margins(&[2.0, 1.0], &[1.0, 1.0])],
            vec![margins(&[], &[2.0, 1.0])],
            vec![TrainingObjective::DataTerm { loss_function: cross_entropy }],
        ];
        for (row, own) in kinds.iter().enumerate() {
            for (column, others) in kinds.iter().enumerate() {
                for (one, other) in
                    own.iter().flat_map(|one| others.iter().map(move |to| (one, to)))
                {
                    assert_eq!(one.is_same_as(other, 2), row == column, "{one:?} {other:?}");
                }
            }
        }
    }
}
