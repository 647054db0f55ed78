//! The value of the objective.

/// The value of the objective with its terms, and the size of its gradient.
///
/// ```math
/// f = 1/(2N) ‖W_M⋯W₁ H + b 1ᵀ − Y‖² + Σₘ λₘ/2 ‖Wₘ‖² + λ_H/2 ‖H‖² + λ_b/2 ‖b‖²
/// ```
///
/// Problem (3) of Dang et al., *Neural Collapse in Deep Linear Networks* (ICML 2023): H are the
/// features as free variables, Y the one-hot labels, all norms Frobenius norms. With the
/// [cross-entropy](Self::cross_entropy) as the data term it is their problem (7). Under budgets
/// ([`TrainingObjective::Budgeted`](crate::problem::TrainingObjective::Budgeted)) it is the data term alone.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Objective {
    /// 1/(2N) ‖W_M⋯W₁ H + b 1ᵀ − Y‖², or the mean cross-entropy, times the factor of the training objective.
    pub data_term: f64,
    /// Σₘ λₘ/2 ‖Wₘ‖².
    pub weight_penalty: f64,
    /// λ_H/2 ‖H‖².
    pub feature_penalty: f64,
    /// λ_b/2 ‖b‖², 0 without a bias or if it is not regularised.
    pub bias_penalty: f64,
    /// Norm of the gradient of the sum of these terms with respect to W₁, …, W_M, H and b together. Under budgets
    /// it does not vanish at the minimum, where it points out of what the budgets allow. For features that are
    /// constrained to be non-negative, what would push a zero below zero is left out.
    pub gradient_norm: f64,
}

impl Objective {
    /// f, the sum of the four terms.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.data_term + self.weight_penalty + self.feature_penalty + self.bias_penalty
    }
}
