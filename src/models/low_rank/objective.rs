//! The training objective as a function of rank-one terms.
//!
//! After the features of a class have coincided and the layers are balanced, what is left are the outputs Z of
//! the K class means (before the bias), with the objective
//!
//! ```text
//! F(Z, b) = Σ_k w_k ℓ(Z_k + b, y_k) + (M+1)/2 · u · Σ σᵢ(Z diag(ν))^(2/(M+1)) + λ_b/2 ‖b‖².
//! ```
//!
//! The sum over singular values is the least Σ (‖aᵢ‖‖bᵢ‖)^(2/(M+1)) over all Z diag(ν) = Σ aᵢbᵢᵀ. With r terms
//! S^((M−1)/2) c dᵀ, where S = (‖c‖² + ‖d‖²)/2 is the *energy* of a term, the penalty is (M+1)/2 · u · ΣS: the
//! objective is smooth at every depth, also where a term vanishes, and it needs no decomposition.

use nalgebra::DMatrix;

use crate::numerics::lbfgs::{Smooth, add_scaled};
use crate::numerics::simd::vectorized;
use crate::numerics::squares::dot;
use crate::problem::regularization::Bias;

/// How outputs are held against targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub(crate) enum DataTerm {
    CrossEntropy,
    /// ½‖z − y‖².
    Squared,
}

/// F for a given number K of classes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Objective {
    pub(crate) data_term: DataTerm,
    pub(crate) classes: usize,
    /// w_k, one for each class.
    pub(crate) weights: Vec<f64>,
    /// ν_k: 1 for balanced classes.
    pub(crate) scales: Vec<f64>,
    /// 1 − δ in y_k = (1 − δ) e_k + δ/K 1.
    pub(crate) sharpness: f64,
    pub(crate) depth: usize,
    /// u.
    pub(crate) strength: f64,
    /// The bias with λ_b as F sees it.
    pub(crate) bias: Bias,
}

impl Objective {
    /// (M−1)/2.
    pub(crate) fn exponent(&self) -> f64 {
        (self.depth as f64 - 1.0) / 2.0
    }

    /// (M+1)/2 · u, the price of a unit of energy.
    pub(crate) fn price(&self) -> f64 {
        (self.depth as f64 + 1.0) / 2.0 * self.strength
    }

    /// A power of two near 1/price. Loss and penalty are of the size of the price where decays are small, and squares of
    /// such numbers underflow; times a power of two they keep every digit.
    pub(crate) fn unit(&self) -> f64 {
        (-self.price().log2().floor()).clamp(0.0, 1000.0).exp2()
    }

    /// σ^(2/(M+1)), the energy of a singular value.
    pub(crate) fn energy(&self, singular_value: f64) -> f64 {
        singular_value.powf(2.0 / (self.depth as f64 + 1.0))
    }

    pub(crate) fn has_bias(&self) -> bool {
        self.bias != Bias::None
    }

    /// Number of parameters of `rank` terms: all c, then all d, then b.
    pub(crate) fn parameters(&self, rank: usize) -> usize {
        2 * rank * self.classes + if self.has_bias() { self.classes } else { 0 }
    }

    /// The target of an output for a class.
    pub(crate) fn target(&self, output: usize, class: usize) -> f64 {
        let smoothed = (1.0 - self.sharpness) / self.classes as f64;
        if output == class { self.sharpness + smoothed } else { smoothed }
    }

    /// ℓ of outputs for a class; they are replaced by its gradient.
    #[inline(always)]
    fn loss(&self, outputs: &mut [f64], class: usize) -> f64 {
        match self.data_term {
            DataTerm::CrossEntropy => self.cross_entropy(outputs, class),
            DataTerm::Squared => {
                for (output, entry) in outputs.iter_mut().enumerate() {
                    *entry -= self.target(output, class);
                }
                dot(outputs, outputs) / 2.0
            }
        }
    }

    /// ln Σ exp(z_i − z_k) − Σ y_i (z_i − z_k), which keeps the digits of a small loss.
    #[inline(always)]
    fn cross_entropy(&self, outputs: &mut [f64], class: usize) -> f64 {
        let right = outputs[class];
        let mut largest = f64::NEG_INFINITY;
        let mut sum = 0.0;
        for entry in outputs.iter_mut() {
            *entry -= right;
            largest = largest.max(*entry);
            sum += *entry;
        }
        let smoothed = (1.0 - self.sharpness) / self.classes as f64;
        let shift = largest.max(0.0);
        let mut wrong = 0.0;
        for (output, entry) in outputs.iter_mut().enumerate() {
            *entry = (*entry - shift).exp();
            wrong += if output == class { 0.0 } else { *entry };
        }
        let own = (-shift).exp();
        let loss = if shift == 0.0 { wrong.ln_1p() } else { (wrong + own).ln() + shift };
        let scale = (wrong + own).recip();
        outputs.iter_mut().for_each(|entry| *entry = *entry * scale - smoothed);
        // The gradient sums to zero; its own entry would lose its digits as p − 1.
        let others = self.classes as f64 - 1.0;
        outputs[class] = smoothed * others - wrong * scale;
        loss - smoothed * sum
    }

    /// The value for outputs Z (K×K, column by column) and a bias, without a penalty. Z is overwritten.
    pub(crate) fn data_term(&self, outputs: &mut [f64], bias: &[f64]) -> f64 {
        let mut value = 0.0;
        for (class, column) in outputs.chunks_exact_mut(self.classes).enumerate() {
            add_scaled(column, 1.0, bias);
            value += self.weights[class] * self.loss(column, class);
        }
        value
    }

    /// Z of Z diag(ν).
    pub(crate) fn unscale(&self, product: &mut DMatrix<f64>) {
        for (mut column, scale) in product.column_iter_mut().zip(&self.scales) {
            column /= *scale;
        }
    }

    /// What is added to the outputs: zeros where there is no bias.
    pub(crate) fn shift(&self, bias: &[f64]) -> Vec<f64> {
        if bias.is_empty() { vec![0.0; self.classes] } else { bias.to_vec() }
    }

    /// λ_b/2 ‖b‖².
    pub(crate) fn bias_penalty(&self, bias: &[f64]) -> f64 {
        match self.bias {
            Bias::Regularized(decay) => decay / 2.0 * dot(bias, bias),
            _ => 0.0,
        }
    }
}

/// F of `rank` terms, times its [`unit`](Objective::unit), with the memory that its evaluation needs.
#[derive(Debug)]
pub(crate) struct Terms<'a> {
    objective: &'a Objective,
    rank: usize,
    /// One column of Z, then of the gradient.
    column: Vec<f64>,
    /// S^((M−1)/2), and what its change does, for each term.
    gains: Vec<f64>,
    pulls: Vec<f64>,
    unit: f64,
}

impl<'a> Terms<'a> {
    pub(crate) fn new(objective: &'a Objective, rank: usize) -> Self {
        let column = vec![0.0; objective.classes];
        let (gains, pulls) = (vec![0.0; rank], vec![0.0; rank]);
        Self { objective, rank, column, gains, pulls, unit: objective.unit() }
    }

    #[inline(always)]
    fn evaluate_plainly(&mut self, point: &[f64], gradient: &mut [f64]) -> f64 {
        let Self { objective, rank, column, gains, pulls, .. } = self;
        let (classes, exponent) = (objective.classes, objective.exponent());
        let terms = *rank * classes;
        let (left, rest) = point.split_at(terms);
        let (right, bias) = rest.split_at(terms);
        let (left_gradient, rest) = gradient.split_at_mut(terms);
        let (right_gradient, bias_gradient) = rest.split_at_mut(terms);
        left_gradient.fill(0.0);
        bias_gradient.fill(0.0);
        pulls.fill(0.0);
        let mut value = 0.0;
        let sides = left.chunks_exact(classes).zip(right.chunks_exact(classes));
        for ((c, d), gain) in sides.zip(gains.iter_mut()) {
            let energy = (dot(c, c) + dot(d, d)) / 2.0;
            *gain = energy.powf(exponent);
            value += objective.price() * energy;
        }
        for class in 0..classes {
            let scale = objective.scales[class].recip();
            column.fill(0.0);
            add_scaled(column, 1.0, bias);
            for (term, c) in left.chunks_exact(classes).enumerate() {
                add_scaled(column, gains[term] * scale * right[term * classes + class], c);
            }
            let weight = objective.weights[class];
            value += weight * objective.loss(column, class);
            add_scaled(bias_gradient, weight, column);
            let factor = weight * scale;
            let sides = left.chunks_exact(classes).zip(left_gradient.chunks_exact_mut(classes));
            for (term, (c, c_gradient)) in sides.enumerate() {
                let d = right[term * classes + class];
                let product = factor * dot(column, c);
                right_gradient[term * classes + class] = gains[term] * product;
                pulls[term] += product * d;
                add_scaled(c_gradient, factor * gains[term] * d, column);
            }
        }
        for (term, (&gain, &pull)) in gains.iter().zip(pulls.iter()).enumerate() {
            let own = term * classes..(term + 1) * classes;
            let (c, d) = (&left[own.clone()], &right[own.clone()]);
            let energy = (dot(c, c) + dot(d, d)) / 2.0;
            let bent = if energy > 0.0 { exponent * gain / energy * pull } else { 0.0 };
            add_scaled(&mut left_gradient[own.clone()], bent + objective.price(), c);
            add_scaled(&mut right_gradient[own], bent + objective.price(), d);
        }
        if let Bias::Regularized(decay) = objective.bias {
            add_scaled(bias_gradient, decay, bias);
        }
        value + objective.bias_penalty(bias)
    }
}

impl Smooth for Terms<'_> {
    fn evaluate(&mut self, point: &[f64], gradient: &mut [f64]) -> f64 {
        let value = vectorized(
            #[inline(always)]
            || self.evaluate_plainly(point, gradient),
        );
        if self.unit > 1.0 {
            gradient.iter_mut().for_each(|entry| *entry *= self.unit);
        }
        value * self.unit
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Numbers without structure.
    fn wild(index: usize) -> f64 {
        (index as f64 * 12.9898).sin() + 0.3 * (index as f64 * 78.233).cos()
    }

    /// F as it is documented, output by output and term by term; a term that is zero stays where it is.
    #[test]
    fn the_value_is_that_of_the_formula() {
        let (weights, scales) = ([0.2, 0.5, 0.1], [0.7, 1.1, 1.6]);
        for (data_term, depth, strength, bias) in [
            (DataTerm::CrossEntropy, 1, 0.05, Bias::Regularized(0.3)),
            (DataTerm::CrossEntropy, 4, 1e-5, Bias::None),
            (DataTerm::CrossEntropy, 5, 0.7, Bias::Unregularized),
            (DataTerm::Squared, 2, 0.05, Bias::Regularized(0.3)),
            (DataTerm::Squared, 3, 0.05, Bias::None),
        ] {
            let (sharpness, rank) = (0.8, 3);
            let objective = Objective {
                data_term,
                classes: 3,
                weights: weights.to_vec(),
                scales: scales.to_vec(),
                sharpness,
                depth,
                strength,
                bias,
            };
            let length = 18 + if bias == Bias::None { 0 } else { 3 };
            assert_eq!(objective.parameters(rank), length);
            let mut point: Vec<f64> = (0..length).map(wild).collect();
            point[6..9].fill(0.0);
            point[15..18].fill(0.0);
            let (c, d) = (&point[..9], &point[9..18]);
            let b = |output: usize| point.get(18 + output).copied().unwrap_or(0.0);
            let m = depth as f64;
            let square = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>();
            let energy = |t: usize| (square(&c[3 * t..][..3]) + square(&d[3 * t..][..3])) / 2.0;
            let z = |i: usize, k: usize| -> f64 {
                let term = |t: usize| energy(t).powf((m - 1.0) / 2.0) * c[3 * t + i] * d[3 * t + k];
                b(i) + (0..2).map(term).sum::<f64>() / scales[k]
            };
            let y = |i: usize, k: usize| if i == k { 0.8 + 0.2 / 3.0 } else { 0.2 / 3.0 };
            let mut expected = (m + 1.0) / 2.0 * strength * (energy(0) + energy(1));
            if bias == Bias::Regularized(0.3) {
                expected += 0.3 / 2.0 * square(&point[18..]);
            }
            for (k, weight) in weights.iter().enumerate() {
                let sum: f64 = (0..3).map(|i| z(i, k).exp()).sum();
                let loss = |i: usize| match data_term {
                    DataTerm::CrossEntropy => y(i, k) * (sum.ln() - z(i, k)),
                    DataTerm::Squared => (z(i, k) - y(i, k)).powi(2) / 2.0,
                };
                expected += weight * (0..3).map(loss).sum::<f64>();
            }
            // A power of two that makes the price about one, and never smaller.
            let unit = objective.unit();
            let price = (m + 1.0) / 2.0 * strength;
            assert_eq!(unit.log2().fract(), 0.0);
            assert!(unit == 1.0 && price >= 1.0 || (1.0..2.0).contains(&(price * unit)));
            let mut gradient = vec![f64::NAN; length];
            let value = Terms::new(&objective, rank).evaluate(&point, &mut gradient);
            assert!((value / (expected * unit) - 1.0).abs() < 1e-13, "{depth}: {value} {expected}");
            assert!(gradient[6..9].iter().chain(&gradient[15..18]).all(|&entry| entry == 0.0));
        }
    }

    /// Objectives of both losses, of some depths with every bias.
    pub(crate) fn objectives(weights: &[f64], scales: &[f64]) -> Vec<Objective> {
        let mut objectives = Vec::new();
        for data_term in [DataTerm::CrossEntropy, DataTerm::Squared] {
            for (depth, bias) in [
                (1, Bias::None),
                (2, Bias::Unregularized),
                (3, Bias::Regularized(0.3)),
                (6, Bias::None),
            ] {
                objectives.push(Objective {
                    data_term,
                    classes: weights.len(),
                    weights: weights.to_vec(),
                    scales: scales.to_vec(),
                    sharpness: 0.9,
                    depth,
                    strength: 0.07,
                    bias,
                });
            }
        }
        objectives
    }

    /// Checks a gradient, whose entries are of the size of `unit`, against central differences.
    pub(crate) fn assert_is_gradient(function: &mut impl Smooth, point: &[f64], unit: f64) {
        let mut gradient = vec![0.0; point.len()];
        function.evaluate(point, &mut gradient);
        let mut unused = gradient.clone();
        for (index, entry) in gradient.iter().enumerate() {
            let mut at = |shift: f64| {
                let mut moved = point.to_vec();
                moved[index] += shift;
                function.evaluate(&moved, &mut unused)
            };
            let numerical = (at(1e-5) - at(-1e-5)) / 2e-5;
            let error = (numerical - entry).abs();
            assert!(error < 1e-8 * unit.max(numerical.abs()), "{index}: {error:e}");
        }
    }

    #[test]
    fn the_gradient_agrees_with_central_differences() {
        let list = |first: f64, step: f64| [0.0, 1.0, 2.0, 3.0, 4.0].map(|k| first + step * k);
        for objective in objectives(&list(0.1, 0.05), &list(0.7, 0.2)) {
            let point: Vec<f64> = (0..objective.parameters(3)).map(wild).collect();
            assert_is_gradient(&mut Terms::new(&objective, 3), &point, objective.unit());
        }
    }
}
