//! Problems without a closed form: what is trained, checked once.

use crate::error::{Error, Result};
use crate::models::low_rank::objective::{DataTerm, Objective};
use crate::problem::counts::ClassCounts;
use crate::problem::kinds::list_unless_ones;
use crate::problem::regularization::Regularization;
use crate::problem::training_objective::{LossFunction, TrainingObjective};
use crate::problem::widths::Widths;

/// Classes beyond which the K² outputs of a search are too many.
const MOST_CLASSES: usize = 1000;

/// A deep linear head on unconstrained features with any class sizes, class weights, widths and bias, and a
/// search for the lowest value of its objective.
///
/// ```math
/// min  1/N Σ ω_k ℓ(W_M ⋯ W₁ h_ki + b, y_k) + Σₘ λₘ/2 ‖Wₘ‖² + λ_H/2 ‖H‖² + λ_b/2 ‖b‖²
/// ```
///
/// with ℓ the cross-entropy, y_k = (1 − δ) e_k + δ/K 1, or with ℓ(z, y_k) = ½‖z − e_k‖².
///
/// At every minimum the features of one class coincide and the layers are balanced. With Z (K×K) the outputs
/// for the class means, before the bias, n̄ = N/K and ν_k = √(n_k/n̄), the objective is
///
/// ```math
/// F(Z, b) = Σ_k ω_k n_k/N ℓ(Z_k + b, y_k) + (M+1)/2 · u · Σ_i σ_i(Z diag(ν))^(2/(M+1)) + λ_b/2 ‖b‖²,
/// u = (n̄ λ_H λ₁ ⋯ λ_M)^(1/(M+1)).
/// ```
///
/// What a search finds is attained, so that it is an upper bound of the minimum; that it is the minimum is not
/// proved. For one layer the problem without widths is convex: its minimum
/// ([`ConvexUfm`](crate::models::convex::ConvexUfm)) is a lower bound, and attained where its rank fits. For the squared
/// loss without class weights there are closed forms ([`Ufm`](crate::Ufm)) unless a penalized bias meets classes of
/// different sizes. Prefer those where they apply.
///
/// ```
/// use neural_collapse::models::low_rank::{LowRankProblem, Search};
/// use neural_collapse::{ClassCounts, Prediction, Regularization};
///
/// let counts = ClassCounts::new(&[40, 20, 10, 5])?;
/// let regularization = Regularization::new(&[1e-3; 2], 1e-4)?;
/// let problem = LowRankProblem::cross_entropy(counts, regularization)?.with_label_smoothing(0.1)?;
/// let found = problem.minimize(&Search::default().with_starts(5), &())?;
/// assert!(found.rank() <= 3 && found.gradient() < 1e-10);
/// assert_eq!(found.verdict().keyword(), "best_known");
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: the reduction is derived in the project's `docs/cross-entropy.md`.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "crate::models::stored::StoredLowRank"))]
pub struct LowRankProblem {
    data_term: DataTerm,
    counts: ClassCounts,
    regularization: Regularization,
    /// ω, empty if all are 1.
    class_weights: Vec<f64>,
    label_smoothing: f64,
    widths: Option<Vec<usize>>,
    #[cfg_attr(feature = "serde", serde(skip_serializing))]
    strength: f64,
}

impl LowRankProblem {
    /// A problem with the cross-entropy loss and unlimited widths.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless there are between 2 and 1000 classes, [`Error::Unrepresentable`] if u is
    /// out of the range of `f64`.
    pub fn cross_entropy(counts: ClassCounts, regularization: Regularization) -> Result<Self> {
        Self::new(DataTerm::CrossEntropy, counts, regularization)
    }

    /// A problem with the squared loss and unlimited widths.
    ///
    /// # Errors
    /// As [`cross_entropy`](Self::cross_entropy).
    pub fn squared(counts: ClassCounts, regularization: Regularization) -> Result<Self> {
        Self::new(DataTerm::Squared, counts, regularization)
    }

    fn new(
        data_term: DataTerm,
        counts: ClassCounts,
        regularization: Regularization,
    ) -> Result<Self> {
        let classes = counts.classes();
        if !(2..=MOST_CLASSES).contains(&classes) {
            return Err(Error::out_of_range("classes", classes as f64, "from 2 to 1000"));
        }
        let mean_count = counts.samples() as f64 / classes as f64;
        let strength = regularization.mean_decay(mean_count)?;
        Ok(Self {
            data_term,
            counts,
            regularization,
            class_weights: Vec::new(),
            label_smoothing: 0.0,
            widths: None,
            strength,
        })
    }

    /// The same problem with the weights ω_k that the loss of a sample of class k is multiplied with. The
    /// sum is divided by N, not by the sum of the weights.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there is a weight for each class, [`Error::OutOfRange`] if one is not positive and
    /// finite.
    pub fn with_class_weights(mut self, weights: &[f64]) -> Result<Self> {
        let weights = list_unless_ones("class_weights", weights, self.counts.classes())?;
        self.class_weights = weights.unwrap_or_default();
        Ok(self)
    }

    /// The same problem with smoothed labels, y_k = (1 − δ) e_k + δ/K 1.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless 0 ≤ δ < 1.
    pub fn with_label_smoothing(mut self, smoothing: f64) -> Result<Self> {
        if !(0.0..1.0).contains(&smoothing) {
            let expected = "at least 0 and below 1";
            return Err(Error::out_of_range("label_smoothing", smoothing, expected));
        }
        self.label_smoothing = smoothing;
        Ok(self)
    }

    /// The same problem with the widths d₁, …, d_M. They limit the rank of the outputs.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there are M widths, [`Error::OutOfRange`] if one is 0.
    pub fn with_widths(mut self, widths: &[usize]) -> Result<Self> {
        self.widths = Some(Widths::new(widths, self.regularization.depth())?.as_slice().to_vec());
        Ok(self)
    }

    /// The class counts.
    #[must_use]
    pub fn counts(&self) -> &ClassCounts {
        &self.counts
    }

    /// The penalties of the objective.
    #[must_use]
    pub fn regularization(&self) -> &Regularization {
        &self.regularization
    }

    /// The class weights ω; empty if all are 1.
    #[must_use]
    pub fn class_weights(&self) -> &[f64] {
        &self.class_weights
    }

    /// δ.
    #[must_use]
    pub fn label_smoothing(&self) -> f64 {
        self.label_smoothing
    }

    /// The widths d₁, …, d_M, or `None` if they are unlimited.
    #[must_use]
    pub fn widths(&self) -> Option<&[usize]> {
        self.widths.as_deref()
    }

    /// The strength u = (n̄ λ_H λ₁ ⋯ λ_M)^(1/(M+1)) of the penalties.
    #[must_use]
    pub fn strength(&self) -> f64 {
        self.strength
    }

    /// The largest rank that outputs can have at a minimum: that of the widths, and K − 1 for cross-entropy,
    /// which does not feel what all outputs have in common.
    #[must_use]
    pub fn rank_limit(&self) -> usize {
        let classes = self.counts.classes();
        let of_loss = match self.data_term {
            DataTerm::CrossEntropy => classes - 1,
            DataTerm::Squared => classes,
        };
        self.widths.iter().flatten().copied().fold(of_loss, usize::min)
    }

    pub(crate) fn data_term(&self) -> DataTerm {
        self.data_term
    }

    /// What is minimized.
    #[must_use]
    pub fn training_objective(&self) -> TrainingObjective {
        let (regularization, class_weights) =
            (self.regularization.clone(), self.class_weights.clone());
        match self.data_term {
            DataTerm::CrossEntropy if class_weights.is_empty() && self.label_smoothing == 0.0 => {
                let loss_function = LossFunction::CrossEntropy;
                TrainingObjective::Penalized { loss_function, factor: 1.0, regularization }
            }
            DataTerm::CrossEntropy => TrainingObjective::WeightedCrossEntropy {
                regularization,
                class_weights,
                label_smoothing: self.label_smoothing,
                logit_offsets: Vec::new(),
                nonnegative_features: false,
            },
            DataTerm::Squared if class_weights.is_empty() && self.label_smoothing == 0.0 => {
                let loss_function = LossFunction::SquaredError;
                TrainingObjective::Penalized { loss_function, factor: 1.0, regularization }
            }
            DataTerm::Squared => TrainingObjective::WeightedSquaredError {
                regularization,
                class_weights,
                label_smoothing: self.label_smoothing,
            },
        }
    }

    /// ω_k n_k/N.
    fn shares(&self) -> Vec<f64> {
        let samples = self.counts.samples() as f64;
        let sizes = self.class_sizes().into_iter().map(|size| size / samples);
        if self.class_weights.is_empty() {
            return sizes.collect();
        }
        sizes.zip(&self.class_weights).map(|(share, weight)| share * weight).collect()
    }

    /// n_k.
    pub(crate) fn class_sizes(&self) -> Vec<f64> {
        let runs = self.counts.runs();
        runs.flat_map(|run| core::iter::repeat_n(run.size as f64, run.class_count)).collect()
    }

    pub(super) fn objective(&self) -> Objective {
        let mean_count = self.counts.samples() as f64 / self.counts.classes() as f64;
        let scales = self.class_sizes().into_iter().map(|size| (size / mean_count).sqrt());
        Objective {
            data_term: self.data_term,
            classes: self.counts.classes(),
            weights: self.shares(),
            scales: scales.collect(),
            sharpness: 1.0 - self.label_smoothing,
            depth: self.regularization.depth(),
            strength: self.strength,
            bias: self.regularization.bias(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights and smoothing, and they alone, are told of.
    #[test]
    fn the_objective_is_that_of_the_options() {
        let counts = ClassCounts::new(&[4, 2, 1]).unwrap();
        let regularization = Regularization::new(&[1e-2; 2], 1e-3).unwrap();
        for (weights, label_smoothing) in [(&[][..], 0.0), (&[], 0.1), (&[1.0, 2.0, 3.0], 0.0)] {
            let made = |problem: LowRankProblem| {
                let problem = problem.with_label_smoothing(label_smoothing).unwrap();
                let problem = match weights {
                    [] => problem,
                    weights => problem.with_class_weights(weights).unwrap(),
                };
                assert_eq!(problem.class_weights(), weights);
                problem.training_objective()
            };
            let is_plain = weights.is_empty() && label_smoothing == 0.0;
            let (regularization, counts) = (regularization.clone(), counts.clone());
            let plain = |loss| TrainingObjective::penalized(loss, regularization.clone());
            let (entropy, squared) = match is_plain {
                true => (plain(LossFunction::CrossEntropy), plain(LossFunction::SquaredError)),
                false => (
                    TrainingObjective::WeightedCrossEntropy {
                        regularization: regularization.clone(),
                        class_weights: weights.to_vec(),
                        label_smoothing,
                        logit_offsets: Vec::new(),
                        nonnegative_features: false,
                    },
                    TrainingObjective::WeightedSquaredError {
                        regularization: regularization.clone(),
                        class_weights: weights.to_vec(),
                        label_smoothing,
                    },
                ),
            };
            let problem = LowRankProblem::cross_entropy(counts.clone(), regularization.clone());
            assert_eq!(made(problem.unwrap()), entropy);
            assert_eq!(made(LowRankProblem::squared(counts, regularization).unwrap()), squared);
        }
    }
}
