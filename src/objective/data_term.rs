//! How outputs are held against labels.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::problem::training_objective::{LossFunction, TrainingObjective};

/// A loss function whose values over samples can be summed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DataTerm {
    kind: Kind,
    /// ω, one number a class; empty if all are 1.
    class_weights: Vec<f64>,
    /// δ.
    label_smoothing: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    SquaredError,
    CrossEntropy,
}

impl DataTerm {
    /// The data term of an objective for K = `classes`.
    ///
    /// [`Error::NotAnswered`] for a margin, which is a constraint and has no value, and for samples with more than
    /// one label.
    pub(super) fn new(objective: &TrainingObjective, classes: usize) -> Result<Self> {
        let (class_weights, label_smoothing) = match objective {
            TrainingObjective::WeightedCrossEntropy { class_weights, label_smoothing, .. }
            | TrainingObjective::WeightedSquaredError { class_weights, label_smoothing, .. } => {
                (class_weights.clone(), *label_smoothing)
            }
            _ => (Vec::new(), 0.0),
        };
        if !class_weights.is_empty() && class_weights.len() != classes {
            let reason = "one for each class";
            return Err(Error::length("class_weights", class_weights.len(), classes, reason));
        }
        let question = "the objective of a measured network";
        match objective {
            TrainingObjective::FixedSimplexHead { .. } => {
                let reason = "its classifier is not trained";
                return Err(Error::NotAnswered { question, reason });
            }
            TrainingObjective::UnitVectors { .. } => {
                let reason = "its features have the length 1";
                return Err(Error::NotAnswered { question, reason });
            }
            _ => {}
        }
        let kind = match objective.loss_function() {
            LossFunction::SquaredError => Kind::SquaredError,
            LossFunction::CrossEntropy => Kind::CrossEntropy,
            LossFunction::SupervisedContrastive => {
                let reason = "it is a loss of pairs of samples";
                return Err(Error::NotAnswered { question, reason });
            }
            LossFunction::PickAllLabels | LossFunction::SoftLabels => {
                let reason = "its samples have no single label";
                return Err(Error::NotAnswered { question, reason });
            }
            LossFunction::Margin | LossFunction::ScaledMargin | LossFunction::SupportMargin => {
                let reason = "a margin is a constraint, which a network meets or not";
                return Err(Error::NotAnswered { question, reason });
            }
        };
        Ok(Self { kind, class_weights, label_smoothing })
    }

    /// Numbers that tell it from others.
    pub(super) fn words(&self) -> Vec<u64> {
        let numbers = [self.label_smoothing].into_iter().chain(self.class_weights.iter().copied());
        core::iter::once(self.kind as u64).chain(numbers.map(f64::to_bits)).collect()
    }

    /// What the sum of [`residuals`](Self::residuals) over N samples is divided by.
    pub(super) fn divisor(&self, samples: f64) -> f64 {
        match self.kind {
            Kind::SquaredError => 2.0 * samples,
            Kind::CrossEntropy => samples,
        }
    }

    /// Turns the outputs for a block of samples into R, N times the derivative of the data term by
    /// them, and returns the sum of their losses.
    pub(super) fn residuals(&self, outputs: &mut DMatrix<f64>, labels: &[usize]) -> f64 {
        let of_sample = match self.kind {
            Kind::SquaredError => squared_error,
            Kind::CrossEntropy => cross_entropy,
        };
        let columns = outputs.column_iter_mut().zip(labels);
        columns
            .map(|(mut column, &label)| {
                let weight = self.class_weights.get(label).copied().unwrap_or(1.0);
                of_sample(column.as_mut_slice(), label, weight, self.label_smoothing)
            })
            .sum()
    }
}

/// Turns outputs z into ω(z − y), y = (1−δ)e_y + δ1/K, and returns ω‖z − y‖².
fn squared_error(outputs: &mut [f64], label: usize, weight: f64, smoothing: f64) -> f64 {
    let classes = outputs.len() as f64;
    outputs[label] -= 1.0 - smoothing;
    if smoothing > 0.0 {
        outputs.iter_mut().for_each(|output| *output -= smoothing / classes);
    }
    let square: f64 = outputs.iter().map(|output| output * output).sum();
    if weight != 1.0 {
        outputs.iter_mut().for_each(|output| *output *= weight);
    }
    weight * square
}

/// Turns outputs z into ω(p − (1−δ)e_y − δ1/K), p the probabilities, and returns
/// ω CE(z, (1−δ)e_y + δ1/K) = ω(−ln p_y + δ(z_y − mean z)).
fn cross_entropy(outputs: &mut [f64], label: usize, weight: f64, smoothing: f64) -> f64 {
    let classes = outputs.len() as f64;
    let excess = match smoothing > 0.0 {
        true => outputs.iter().map(|output| (outputs[label] - output) / classes).sum::<f64>(),
        false => 0.0,
    };
    let loss = softmax(outputs, label) + smoothing * excess;
    outputs[label] -= 1.0 - smoothing;
    if smoothing > 0.0 || weight != 1.0 {
        outputs.iter_mut().for_each(|output| *output = weight * (*output - smoothing / classes));
    }
    weight * loss
}

/// Turns outputs into probabilities and returns −ln of that of the label.
fn softmax(outputs: &mut [f64], label: usize) -> f64 {
    let largest = outputs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let gap = largest - outputs[label];
    outputs.iter_mut().for_each(|output| *output = (*output - largest).exp());
    let total: f64 = outputs.iter().sum();
    // Summed without the label where that is the largest: its loss may be far below ε.
    let wrong = outputs.iter().enumerate().filter(|&(class, _)| class != label);
    let loss = match gap > 0.0 {
        true => gap + total.ln(),
        false => wrong.map(|(_, weight)| weight).sum::<f64>().ln_1p(),
    };
    outputs.iter_mut().for_each(|output| *output /= total);
    loss
}
