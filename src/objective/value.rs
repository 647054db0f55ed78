//! The value of the objective.

/// The value of the objective with its terms, and the size of its gradient.
///
/// ```math
/// f = 1/(2N) ‖W_M⋯W₁ H + b 1ᵀ − Y‖² + Σₘ λₘ/2 ‖Wₘ‖² + λ_H/2 ‖H‖² + λ_b/2 ‖b‖²
/// ```
///
/// Problem (3) of Dang et al., *Neural Collapse in Deep Linear Networks* (ICML 2023): H are the
/// features as free variables, Y the one-hot labels, all norms Frobenius norms. With the
/// [cross-entropy](Self::cross_entropy) as the data term it is their problem (7).
///
/// What a [`TrainingObjective`](crate::problem::TrainingObjective) constrains has no penalty, and the gradient is what is left
/// of it in the directions in which features and weights can move. So it vanishes at the minimum, whatever the objective:
///
/// | objective | f | directions |
/// |---|---|---|
/// | [`Budgeted`](crate::problem::TrainingObjective::Budgeted) | data term | those that leave ‖W_M⋯W₁‖² and Σ_k (1/n_k) Σ_i ‖h_ki‖² as they are, since a minimum uses both budgets up |
/// | [`UnitVectors`](crate::problem::TrainingObjective::UnitVectors) | data term of w_k·h/(‖w_k‖‖h‖τ) | for each h/‖h‖ and each w_k/‖w_k‖ those across it; vectors of zeros stay zero and can move anywhere |
/// | [`FixedSimplexHead`](crate::problem::TrainingObjective::FixedSimplexHead) | data term and λ_H/2 ‖H‖² | those of the features |
/// | features ≥ 0 | as without | where a feature is zero, those above zero |
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
    /// λ_b/2 ‖b‖², 0 without a bias or if it is not regularized.
    pub bias_penalty: f64,
    /// Norm of the gradient of the sum of these terms with respect to W₁, …, W_M, H and b together, as far as
    /// constraints allow these to follow it.
    pub gradient_norm: f64,
}

impl Objective {
    /// f, the sum of the four terms.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.data_term + self.weight_penalty + self.feature_penalty + self.bias_penalty
    }
}
