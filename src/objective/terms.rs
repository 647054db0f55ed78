//! The terms of the training objective and of its gradient.

use std::borrow::Cow;

use nalgebra::{DMatrix, DVector};

use super::Objective;
use crate::error::{Error, Result};
use crate::numerics::linalg::{add_product, product, transposed};
use crate::problem::head::LinearHead;
use crate::problem::regularization::{Bias, Regularization};

/// The terms of the objective and its gradient, summed over samples, with R = W_M⋯W₁H + b1ᵀ − Y; with
/// cross-entropy, R has the probabilities in place of the outputs.
#[derive(Debug, Clone)]
pub(super) struct Terms<'a> {
    head: &'a LinearHead,
    regularization: &'a Regularization,
    data_term: DataTerm,
    /// N.
    samples: f64,
    /// W_M⋯W₁.
    product: Cow<'a, DMatrix<f64>>,
    /// ‖R‖², or the sum of all cross-entropies.
    loss: f64,
    /// ‖H‖².
    features_squared: f64,
    /// ‖1/N (W_M⋯W₁)ᵀR + λ_H H‖².
    feature_gradient_squared: f64,
    /// 1/N R1, K.
    mean_residual: DVector<f64>,
    /// 1/N RHᵀ, K×d.
    residual_feature_product: DMatrix<f64>,
}

impl<'a> Terms<'a> {
    pub(super) fn new(
        head: &'a LinearHead,
        regularization: &'a Regularization,
        data_term: DataTerm,
        samples: u64,
    ) -> Result<Self> {
        Ok(Self {
            head,
            regularization,
            data_term,
            samples: samples as f64,
            product: head.borrowed_product(head.depth())?,
            loss: 0.0,
            features_squared: 0.0,
            feature_gradient_squared: 0.0,
            mean_residual: DVector::zeros(head.classes()),
            residual_feature_product: DMatrix::zeros(head.classes(), head.feature_dimension()),
        })
    }

    /// Adds samples, the columns of a block.
    pub(super) fn add(&mut self, block: &DMatrix<f64>, labels: &[usize]) {
        let mut residuals = outputs(&self.product, self.head.bias(), block);
        self.loss += self.data_term.residuals(&mut residuals, labels);
        let mut gradient = block * self.regularization.feature_decay();
        add_product(&mut gradient, self.samples.recip(), &transposed(&self.product), &residuals);
        self.features_squared += block.norm_squared();
        self.feature_gradient_squared += gradient.norm_squared();
        self.mean_residual += residuals.column_sum() / self.samples;
        let sum = &mut self.residual_feature_product;
        add_product(sum, self.samples.recip(), &residuals, &transposed(block));
    }

    pub(super) fn objective(&self) -> Result<Objective> {
        let Self { head, regularization, samples, .. } = *self;
        let weights = head.weights().iter().zip(regularization.weight_decays());
        let weight_penalty =
            weights.map(|(weight, decay)| decay / 2.0 * weight.norm_squared()).sum();
        let bias_squared = head.bias().map_or(0.0, DVector::norm_squared);
        let objective = Objective {
            data_term: self.loss / self.data_term.divisor(samples),
            weight_penalty,
            feature_penalty: regularization.feature_decay() / 2.0 * self.features_squared,
            bias_penalty: bias_decay(regularization) / 2.0 * bias_squared,
            gradient_norm: (self.feature_gradient_squared
                + self.bias_gradient_squared()
                + self.weight_gradients_squared())
            .sqrt(),
        };
        let total = objective.loss() + objective.gradient_norm;
        if total.is_finite() {
            return Ok(objective);
        }
        let quantity = "the objective or its gradient";
        Err(Error::Unrepresentable { quantity, log10: f64::INFINITY })
    }

    /// ‖1/N R1 + λ_b b‖², 0 without a bias.
    fn bias_gradient_squared(&self) -> f64 {
        self.head.bias().map_or(0.0, |bias| {
            (&self.mean_residual + bias * bias_decay(self.regularization)).norm_squared()
        })
    }

    /// Σₘ ‖(W_M⋯W_{m+1})ᵀ (1/N RHᵀ) (W_{m−1}⋯W₁)ᵀ + λₘWₘ‖².
    fn weight_gradients_squared(&self) -> f64 {
        // 1/N RHᵀ(W_{m−1}⋯W₁)ᵀ for every m, from the features up.
        let mut from_below = vec![self.residual_feature_product.clone()];
        for weight in self.head.weights().iter().take(self.head.depth() - 1) {
            let next = from_below.last().map(|below| product(below, &transposed(weight)));
            from_below.extend(next);
        }
        let mut above: Option<DMatrix<f64>> = None;
        let mut squared = 0.0;
        let decays = self.regularization.weight_decays();
        let layers = self.head.weights().iter().zip(decays).zip(&from_below);
        for ((weight, &decay), from_below) in layers.rev() {
            // W_M⋯W_{m+1} is the identity for the last layer, which would be K×K.
            (squared, above) = match above {
                None => {
                    (squared + (from_below + weight * decay).norm_squared(), Some(weight.clone()))
                }
                Some(above) => {
                    let gradient = product(&transposed(&above), from_below) + weight * decay;
                    (squared + gradient.norm_squared(), Some(product(&above, weight)))
                }
            };
        }
        squared
    }
}

/// How outputs are held against labels.
#[derive(Debug, Clone, Copy)]
pub(super) enum DataTerm {
    Squared,
    CrossEntropy,
}

impl DataTerm {
    /// What the sum of [`residuals`](Self::residuals) over N samples is divided by.
    fn divisor(self, samples: f64) -> f64 {
        match self {
            Self::Squared => 2.0 * samples,
            Self::CrossEntropy => samples,
        }
    }

    /// Turns the outputs for a block of samples into R, N times the derivative of the data term by
    /// them, and returns the sum of their losses.
    fn residuals(self, outputs: &mut DMatrix<f64>, labels: &[usize]) -> f64 {
        let columns = outputs.column_iter_mut().zip(labels);
        match self {
            Self::Squared => columns
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

/// W_M⋯W₁H + b1ᵀ of a block of samples.
fn outputs(head: &DMatrix<f64>, bias: Option<&DVector<f64>>, block: &DMatrix<f64>) -> DMatrix<f64> {
    let mut outputs = product(head, block);
    if let Some(bias) = bias {
        outputs.column_iter_mut().for_each(|mut output| output += bias);
    }
    outputs
}

fn bias_decay(regularization: &Regularization) -> f64 {
    match regularization.bias() {
        Bias::Regularized(decay) => decay,
        Bias::None | Bias::Unregularized => 0.0,
    }
}
