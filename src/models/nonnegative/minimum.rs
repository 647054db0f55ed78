//! The numbers of the global minimum with non-negative features.

use crate::error::{Error, Result};
use crate::models::nonnegative::problem::NonnegativeUfm;
use crate::problem::kinds::{Kind, Kinds};
use crate::problem::regularization::Bias;

/// The global minimum of a [`NonnegativeUfm`], unique up to the choice of orthogonal non-negative unit vectors for
/// the features.
///
/// With α_k the margins, κ = √(λ_W λ_H) and W = Σ v_k h_kᵀ/‖h_k‖:
///
/// ```math
/// ‖h_k‖² = α_k √((K−1)/K) √(λ_W/(n_k λ_H)),   ‖v_k‖² = α_k √((K−1)/K) √(n_k λ_H/λ_W),
/// f* = Σ_k (ω_k n_k/N) [ln(1 + (K−1) e^(−α_k)) + δ (K−1) α_k/K] + κ Σ_k √(n_k (K−1)/K) α_k
/// ```
///
/// It is a [`Prediction`](crate::Prediction), which has its matrices.
#[derive(Debug, Clone, PartialEq)]
pub struct NonnegativeMinimum {
    problem: NonnegativeUfm,
    kinds: Kinds<1>,
    /// α for each kind.
    margins: Vec<f64>,
    pub(crate) loss: f64,
}

impl NonnegativeUfm {
    /// The global minimum.
    ///
    /// A bias is zero at the minimum where the classes are of one size and, if some die, of one weight. Elsewhere
    /// it bends the features out of their right angles: n = (40, 20, 10, 5), λ_W = 4·10⁻³, λ_H = 2·10⁻⁴ and a free
    /// bias have the loss 0.07464 somewhere, but 0.07547 at the best point with orthogonal features. This is
    /// refused.
    ///
    /// # Errors
    /// [`Error::NoClosedForm`] with such a bias or if the features have less dimensions than there are living
    /// classes, [`Error::Unrepresentable`] if a squared norm is out of the range of `f64`.
    pub fn global_minimum(&self) -> Result<NonnegativeMinimum> {
        NonnegativeMinimum::new(self.clone())
    }
}

impl NonnegativeMinimum {
    pub(crate) fn new(problem: NonnegativeUfm) -> Result<Self> {
        let kinds = problem.kinds();
        let margins: Vec<f64> = kinds.kinds().iter().map(|kind| margin(&problem, kind)).collect();
        let losses = kinds.kinds().iter().zip(&margins).map(|(kind, &alpha)| {
            kind.classes as f64
                * (data_term(&problem, kind, alpha) + penalty(&problem, kind, alpha))
        });
        let loss = losses.sum();
        let minimum = Self { problem, kinds, margins, loss };
        minimum.check()?;
        Ok(minimum)
    }

    fn check(&self) -> Result<()> {
        let living = self.living_classes();
        if !self.problem.bias_is_idle(living) {
            return Err(Error::NoClosedForm {
                problem: "cross-entropy on non-negative features with a bias and classes that differ, as their \
                          features are then not orthogonal",
            });
        }
        if self.problem.widths().is_some_and(|widths| widths.iter().any(|&width| width < living)) {
            return Err(Error::NoClosedForm {
                problem: "non-negative features of fewer dimensions than there are living classes",
            });
        }
        for (index, alpha) in self.margins.iter().enumerate().filter(|(_, alpha)| **alpha > 0.0) {
            for squared in [self.feature_norm_squared(index), self.direction_norm_squared(index)] {
                if !squared.is_normal() {
                    let log10 = alpha.log10() + self.aspect(index).log10().abs();
                    return Err(Error::Unrepresentable { quantity: "a squared norm", log10 });
                }
            }
        }
        if !self.loss.is_finite() {
            return Err(Error::Unrepresentable { quantity: "the loss", log10: f64::INFINITY });
        }
        Ok(())
    }

    /// The problem that this is the minimum of.
    #[must_use]
    pub fn problem(&self) -> &NonnegativeUfm {
        &self.problem
    }

    /// α_k, by which the logit of class k exceeds every other one on its own samples; 0 for a dead class, `None` if
    /// there is no such class.
    #[must_use]
    pub fn margin(&self, class: usize) -> Option<f64> {
        self.margins.get(self.kinds.kind_of(class)?).copied()
    }

    /// Number of classes with α_k > 0, which is the rank of the features.
    #[must_use]
    pub fn living_classes(&self) -> usize {
        let kinds = self.kinds.kinds().iter().zip(&self.margins);
        kinds.filter(|(_, margin)| **margin > 0.0).map(|(kind, _)| kind.classes).sum()
    }

    /// Whether the minimizers form a family beyond rotations: two living classes with a free bias, which can take
    /// over any part of the logits of one class and add it to those of the other.
    #[must_use]
    pub fn is_family(&self) -> bool {
        let free = self.problem.regularization().bias() == Bias::Unregularized;
        free && self.kinds.classes() == 2 && self.living_classes() == 2
    }

    pub(crate) fn kinds(&self) -> &Kinds<1> {
        &self.kinds
    }

    pub(crate) fn margins(&self) -> &[f64] {
        &self.margins
    }

    /// √(λ_W/(n_k λ_H)) of a kind.
    fn aspect(&self, kind: usize) -> f64 {
        let size = self.kinds.kinds()[kind].size as f64;
        let decays = self.problem.weight_decay().sqrt()
            / self.problem.regularization().feature_decay().sqrt();
        decays / size.sqrt()
    }

    /// ‖h_k‖² for a kind.
    pub(crate) fn feature_norm_squared(&self, kind: usize) -> f64 {
        self.reduced_margin(kind) * self.aspect(kind)
    }

    /// ‖v_k‖² for a kind.
    pub(crate) fn direction_norm_squared(&self, kind: usize) -> f64 {
        self.reduced_margin(kind) / self.aspect(kind)
    }

    /// α_k √((K−1)/K) = ‖z_k‖ for a kind.
    fn reduced_margin(&self, kind: usize) -> f64 {
        let classes = self.kinds.classes() as f64;
        self.margins[kind] * ((classes - 1.0) / classes).sqrt()
    }

    /// ν_k² for each kind, where v_k = ν_k (e_k − 1/K).
    pub(crate) fn squared_sizes(&self) -> Vec<f64> {
        let classes = self.kinds.classes() as f64;
        let size = |kind| self.direction_norm_squared(kind) * (classes / (classes - 1.0));
        (0..self.margins.len()).map(size).collect()
    }
}

/// α = ln(1 + (1 − K v)/v) with v = u + δ/K, where 1 − K v = (1 − δ) − K u; 0 where that is not positive.
pub(super) fn margin(problem: &NonnegativeUfm, kind: &Kind<1>) -> f64 {
    let classes = problem.counts().classes() as f64;
    let [weight] = kind.numbers;
    let pull = problem.counts().samples() as f64 * problem.root_of_decays()
        / weight
        / ((kind.size as f64).sqrt() * (classes * (classes - 1.0)).sqrt());
    let smoothing = problem.label_smoothing();
    let excess = classes.mul_add(-pull, 1.0 - smoothing);
    if excess <= 0.0 {
        return 0.0;
    }
    let share = pull + smoothing / classes;
    let ratio = excess / share;
    if ratio.is_finite() { ratio.ln_1p() } else { excess.ln() - share.ln() }
}

/// The loss of all samples of a class with the margin α.
fn data_term(problem: &NonnegativeUfm, kind: &Kind<1>, alpha: f64) -> f64 {
    let others = problem.counts().classes() as f64 - 1.0;
    let [weight] = kind.numbers;
    let smoothed = problem.label_smoothing() * alpha * others / (others + 1.0);
    let loss = (others * (-alpha).exp()).ln_1p() + smoothed;
    weight * (kind.size as f64 / problem.counts().samples() as f64) * loss
}

/// κ √(n (K−1)/K) α, the penalties of a class and its direction of the classifier.
fn penalty(problem: &NonnegativeUfm, kind: &Kind<1>, alpha: f64) -> f64 {
    let classes = problem.counts().classes() as f64;
    let root = (kind.size as f64).sqrt() * ((classes - 1.0) / classes).sqrt();
    problem.root_of_decays() * root * alpha
}
