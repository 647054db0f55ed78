//! The layer-peeled model: what is trained, checked once.

use crate::error::{Error, Result, check_positive};
use crate::problem::counts::ClassCounts;

/// The layer-peeled model: cross-entropy on unconstrained features with a budget for the norms,
///
/// ```math
/// min  1/N Σ_k Σ_i CE(W h_ki, k)   such that   1/K Σ_k ‖w_k‖² ≤ E_W,   1/K Σ_k 1/n_k Σ_i ‖h_ki‖² ≤ E_H
/// ```
///
/// over W ∈ ℝ^(K×d) and features h_ki ∈ ℝᵈ, d ≥ K − 1.
///
/// Samples of a class have equal features at the minimum, because the loss is convex in each; then
/// with Z = W H̄ it is the convex problem min Σ_k (n_k/N) CE(Z e_k, k) such that ‖Z‖_* ≤ K√(E_W E_H),
/// since a matrix is a product of factors with these norms iff its nuclear norm obeys that bound. The
/// columns of the optimal Z sum to zero (taking their mean out keeps the loss and shortens Z), so it
/// has rank K − 1 at most and no larger d is needed. Z is unique, as the loss is strictly convex in
/// such columns, and with it the Gram matrices
/// WWᵀ = √(E_W/E_H) (ZZᵀ)^(1/2) and H̄ᵀH̄ = √(E_H/E_W) (ZᵀZ)^(1/2).
///
/// Balanced classes have a closed form; of classes of two sizes symmetry leaves four numbers; any other sizes
/// are solved by the method of [`ConvexUfm`](crate::models::convex::ConvexUfm), with a lower bound that proves the
/// result.
///
/// ```
/// use neural_collapse::{ClassCounts, LayerPeeled, Prediction};
///
/// let minority_cosine = |majority: u64| {
///     let counts = ClassCounts::from_runs([(majority, 3), (10, 3)])?;
///     let minimum = LayerPeeled::new(counts, 1.0, 1.0)?.global_minimum()?;
///     Ok::<_, neural_collapse::Error>(minimum.trailing_gram(1)?.cosine(4, 5).unwrap())
/// };
/// assert!((minority_cosine(10)? + 0.2).abs() < 1e-14); // balanced: a simplex ETF
/// assert!(minority_cosine(30)? > 0.0);
/// assert!(minority_cosine(100)? > 1.0 - 1e-15); // minority collapse
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Fang, He, Long & Su, *Exploring Deep Neural Networks via Layer-Peeled Model* (PNAS 2021),
/// whose convex relaxation (over the Gram matrix of W and H̄, for d ≥ 2K) this is with W and H̄
/// eliminated.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "crate::models::stored::StoredLayerPeeled"))]
pub struct LayerPeeled {
    counts: ClassCounts,
    weight_energy: f64,
    feature_energy: f64,
}

impl LayerPeeled {
    /// The model for classes of these sizes, with the budgets E_W and E_H.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] with less than two classes or if a budget is not positive and finite.
    pub fn new(counts: ClassCounts, weight_energy: f64, feature_energy: f64) -> Result<Self> {
        if counts.classes() < 2 {
            return Err(Error::out_of_range("classes", counts.classes() as f64, "at least 2"));
        }
        check_energies(weight_energy, feature_energy)?;
        Ok(Self { counts, weight_energy, feature_energy })
    }

    /// The class sizes.
    #[must_use]
    pub fn counts(&self) -> &ClassCounts {
        &self.counts
    }

    /// E_W.
    #[must_use]
    pub fn weight_energy(&self) -> f64 {
        self.weight_energy
    }

    /// E_H.
    #[must_use]
    pub fn feature_energy(&self) -> f64 {
        self.feature_energy
    }

    /// T = K√(E_W E_H), the nuclear norm of the logits Z of the class means.
    #[must_use]
    pub fn nuclear_norm(&self) -> f64 {
        nuclear_norm(self.counts.classes() as f64, self.weight_energy, self.feature_energy)
    }
}

/// K√(E_W E_H), without overflow on the way.
pub(super) fn nuclear_norm(classes: f64, weight_energy: f64, feature_energy: f64) -> f64 {
    classes * weight_energy.sqrt() * feature_energy.sqrt()
}

pub(super) fn check_energies(weight_energy: f64, feature_energy: f64) -> Result<()> {
    check_positive("weight_energy", weight_energy)?;
    check_positive("feature_energy", feature_energy)
}
