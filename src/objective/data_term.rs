//! How outputs are held against labels.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::problem::training_objective::LossFunction;

/// A loss function whose values over samples can be summed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum DataTerm {
    SquaredError,
    CrossEntropy,
}

impl DataTerm {
    /// [`Error::NotAnswered`] for a margin, which is a constraint and has no value.
    pub(super) fn new(loss_function: LossFunction) -> Result<Self> {
        match loss_function {
            LossFunction::SquaredError => Ok(Self::SquaredError),
            LossFunction::CrossEntropy => Ok(Self::CrossEntropy),
            LossFunction::Margin => Err(Error::NotAnswered {
                question: "the objective of a measured network",
                reason: "a margin is a constraint, which a network meets or not",
            }),
        }
    }

    /// A number that tells it from the other.
    pub(super) fn key(self) -> u64 {
        match self {
            Self::SquaredError => 0,
            Self::CrossEntropy => 1,
        }
    }

    /// What the sum of [`residuals`](Self::residuals) over N samples is divided by.
    pub(super) fn divisor(self, samples: f64) -> f64 {
        match self {
            Self::SquaredError => 2.0 * samples,
            Self::CrossEntropy => samples,
        }
    }

    /// Turns the outputs for a block of samples into R, N times the derivative of the data term by
    /// them, and returns the sum of their losses.
    pub(super) fn residuals(self, outputs: &mut DMatrix<f64>, labels: &[usize]) -> f64 {
        let columns = outputs.column_iter_mut().zip(labels);
        match self {
            Self::SquaredError => columns
                .map(|(mut column, &label)| {
                    column[label] -= 1.0;
                    column.norm_squared()
                })
                .sum(),
            Self::CrossEntropy => columns
                .map(|(mut column, &label)| {
                    let loss = softmax(column.as_mut_slice(), label);
                    column[label] -= 1.0;
                    loss
                })
                .sum(),
        }
    }
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
