//! The non-negative minimizer, which is unchanged by a ReLU between the layers.

use crate::error::{Error, Result};
use crate::models::squared::minimum::GlobalMinimum;
use crate::prediction::explicit::{Basis, ExplicitPoint};
use crate::problem::regularization::Bias;
use crate::problem::target::Target;

impl GlobalMinimum {
    /// The global minimizer whose weights and features are non-negative: for one-hot targets without
    /// a bias, Wₘ = diag(√(t_k/λₘ)) and h_k = √(t_k/(λ_H n_k)) e_k in the first dimensions of each space.
    ///
    /// A ReLU after the features or after any layer changes nothing for it, so that the minimum of
    /// the objective with ReLUs,
    ///
    /// ```math
    /// 1/(2N) ‖W_M σ(W_(M−1) ⋯ σ(W₁ σ(H))) − Y‖² + Σₘ λₘ/2 ‖Wₘ‖² + λ_H/2 ‖H‖²
    /// ```
    ///
    /// is at most the linear [`loss`](crate::Prediction::loss) f*. How far it is the minimum
    /// ([`relu_verdict`](Self::relu_verdict) tells for a problem):
    ///
    /// * **M = 1, σ on the features only**: it is. Replacing H by σ(H) never makes ‖H‖ larger, so the
    ///   problem is the linear one over H ≥ 0, a smaller set.
    /// * **M = 2, σ after W₁**: it is, if ‖W₁H‖_* = ‖σ(W₁H)‖_* (nuclear norms) at every global minimum.
    ///   This is what Tirer & Bruna assume, who call the case the extended unconstrained features
    ///   model. It suffices that ‖σ(W₁H)‖_* is not the larger one. Even then W₁H is not unique, only
    ///   σ(W₁H): features of a simplex ETF, of smaller rank, reach f* too.
    /// * **The assumption can fail**, and with more layers f* is not the minimum from 6 classes (M = 4) or 10
    ///   classes (M = 3) on, at small decay: features of rank below K are cheaper.
    ///   [`relu_competitor`](Self::relu_competitor) has the matrices, without a ReLU on the features.
    ///
    /// Where the widths leave no room for all classes, the first ones of the largest size that is cut
    /// are fitted.
    ///
    /// # Errors
    /// [`Error::NoClosedForm`] with a bias or an arbitrary target matrix.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, Regularization, Ufm};
    ///
    /// let regularization = Regularization::new(&[1e-3; 2], 1e-3)?;
    /// let minimum = Ufm::new(ClassCounts::balanced(4, 10)?, regularization)?.global_minimum()?;
    /// let minimizer = minimum.nonnegative_minimizer()?;
    /// let hidden = &minimizer.head().weights()[0] * minimizer.class_means().unwrap();
    /// assert_eq!(hidden.map(|entry| entry.max(0.0)), hidden); // ReLU changes nothing
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// Source: Tirer & Bruna, *Extended Unconstrained Features Model for Exploring Deep Neural
    /// Collapse* (ICML 2022), the theorem on two layers with ReLU, for any depth and class sizes.
    pub fn nonnegative_minimizer(&self) -> Result<ExplicitPoint> {
        let problem = self.problem();
        if let Target::Matrix(_) = problem.target() {
            return Err(Error::NoClosedForm {
                problem: "a non-negative minimizer for an arbitrary target matrix",
            });
        }
        if problem.regularization().bias() != Bias::None {
            return Err(Error::NoClosedForm { problem: "a non-negative minimizer beside a bias" });
        }
        // Without a bias the singular vectors are unit vectors, and so is the standard basis.
        self.explicit_point(&Basis::Standard)
    }
}
