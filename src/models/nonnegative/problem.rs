//! The problem with non-negative features: what is trained, checked once, and when classes die.

use crate::error::{Error, Result};
use crate::problem::counts::ClassCounts;
use crate::problem::kinds::{Kinds, list_unless_ones};
use crate::problem::regularization::{Bias, Regularization};
use crate::problem::widths::Widths;

/// Cross-entropy on unconstrained features that are not negative, as after a ReLU, with class weights ω and label
/// smoothing δ:
///
/// ```math
/// min over W ∈ ℝ^(K×d), H ≥ 0:   1/N Σ_k Σ_i ω_k CE(W h_ki, (1−δ) e_k + δ 1/K) + λ_W/2 ‖W‖² + λ_H/2 ‖H‖²
/// ```
///
/// Its global minimum has a closed form for any class sizes. With
///
/// ```math
/// u_k = Nκ/(ω_k √(n_k K (K−1))),   κ = √(λ_W λ_H),
/// α_k = ln(1/(u_k + δ/K) − K + 1) if u_k + δ/K < 1/K, else 0,
/// ```
///
/// samples of a class have equal features, features of different classes are orthogonal, the classifier is
/// W = Σ_k v_k h_kᵀ/‖h_k‖ with v_k ∝ e_k − 1/K, and the logits of class k are α_k (e_k − 1/K). So u_k decides
/// each class by itself: a class *dies*, its features are zero, where α_k = 0.
///
/// ```
/// use neural_collapse::models::nonnegative::NonnegativeUfm;
/// use neural_collapse::{ClassCounts, Prediction, Regularization};
///
/// let counts = ClassCounts::new(&[500, 100, 20])?;
/// let regularization = Regularization::new(&[5e-4], 1e-4)?;
/// let minimum = NonnegativeUfm::new(counts, regularization)?.global_minimum()?;
/// // Features are orthogonal, and the larger class has the larger margin.
/// assert_eq!(minimum.class_means_gram()?.cosine(0, 2), Some(0.0));
/// assert!(minimum.margin(0) > minimum.margin(2));
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// The minimum without weights and smoothing is that of Dang et al., *Neural Collapse for Cross-entropy
/// Class-Imbalanced Learning with Unconstrained ReLU Feature Model* (ICML 2024); the proof for all of it is in the
/// project's `docs/closed-forms.md`.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "crate::models::stored::StoredNonnegative"))]
pub struct NonnegativeUfm {
    counts: ClassCounts,
    regularization: Regularization,
    class_weights: Option<Vec<f64>>,
    label_smoothing: f64,
    widths: Option<Widths>,
}

impl NonnegativeUfm {
    /// The problem without class weights (ω = 1), label smoothing or a limit of the features' dimension.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] with less than two classes, [`Error::NoClosedForm`] with more than one layer.
    pub fn new(counts: ClassCounts, regularization: Regularization) -> Result<Self> {
        if counts.classes() < 2 {
            return Err(Error::out_of_range("classes", counts.classes() as f64, "at least 2"));
        }
        if regularization.depth() > 1 {
            return Err(Error::NoClosedForm {
                problem: "cross-entropy on non-negative features with more than one layer",
            });
        }
        Ok(Self { counts, regularization, class_weights: None, label_smoothing: 0.0, widths: None })
    }

    /// The same problem with the weight ω_k for each sample of class k. The weighted sum of the losses is divided
    /// by N, not by the sum of the weights.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there are K weights, [`Error::OutOfRange`] if one is not positive and finite.
    pub fn with_class_weights(mut self, class_weights: &[f64]) -> Result<Self> {
        self.class_weights =
            list_unless_ones("class_weights", class_weights, self.counts.classes())?;
        Ok(self)
    }

    /// The same problem with the labels (1−δ) e_k + δ 1/K.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless 0 ≤ δ < 1.
    pub fn with_label_smoothing(mut self, label_smoothing: f64) -> Result<Self> {
        if !(0.0..1.0).contains(&label_smoothing) {
            let expected = "at least 0 and below 1";
            return Err(Error::out_of_range("label_smoothing", label_smoothing, expected));
        }
        self.label_smoothing = label_smoothing;
        Ok(self)
    }

    /// The same problem with features of dimension `widths[0]`.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there is one width, [`Error::OutOfRange`] if it is 0.
    pub fn with_widths(mut self, widths: &[usize]) -> Result<Self> {
        self.widths = Some(Widths::new(widths, self.regularization.depth())?);
        Ok(self)
    }

    /// The class sizes.
    #[must_use]
    pub fn counts(&self) -> &ClassCounts {
        &self.counts
    }

    /// The decays and the bias.
    #[must_use]
    pub fn regularization(&self) -> &Regularization {
        &self.regularization
    }

    /// The class weights ω, or `None` if all are 1.
    #[must_use]
    pub fn class_weights(&self) -> Option<&[f64]> {
        self.class_weights.as_deref()
    }

    /// δ.
    #[must_use]
    pub fn label_smoothing(&self) -> f64 {
        self.label_smoothing
    }

    /// The dimension of the features, or `None` if it is unlimited.
    #[must_use]
    pub fn widths(&self) -> Option<&[usize]> {
        self.widths.as_ref().map(Widths::as_slice)
    }

    /// λ_W.
    pub(crate) fn weight_decay(&self) -> f64 {
        self.regularization.first_decay()
    }

    /// The classes by their size and weight.
    pub(crate) fn kinds(&self) -> Kinds<1> {
        Kinds::new(&self.counts, [self.class_weights()])
    }

    /// The same problem with both decays multiplied by a factor.
    pub(crate) fn with_scaled_decays(&self, factor: f64) -> Result<Self> {
        Ok(Self { regularization: self.regularization.scaled(factor)?, ..self.clone() })
    }

    /// κ = √(λ_W λ_H), without underflow on the way.
    pub(crate) fn root_of_decays(&self) -> f64 {
        self.weight_decay().sqrt() * self.regularization.feature_decay().sqrt()
    }

    /// Whether a bias is zero at the minimum, given how many classes live.
    pub(crate) fn bias_is_idle(&self, living: usize) -> bool {
        let one_weight = || self.kinds().kinds().len() == 1;
        let all = living == self.counts.classes();
        self.regularization.bias() == Bias::None
            || self.counts.is_balanced() && (all || one_weight())
    }
}

/// The class weights ω_k = c/√n_k that make the margins of all classes equal under cross-entropy on
/// [non-negative features](NonnegativeUfm), with c such that the weights of all samples have the mean 1.
///
/// The logits of all classes then have the same size; without weights α_k grows with n_k. Classifier and
/// features are a simplex ETF and an orthogonal frame up to the lengths ‖h_k‖² ∝ n_k^(−1/2), ‖v_k‖² ∝ n_k^(1/2).
///
/// ```
/// use neural_collapse::models::nonnegative::{NonnegativeUfm, margin_equalizing_weights};
/// use neural_collapse::{ClassCounts, Regularization};
///
/// let counts = ClassCounts::new(&[400, 100, 25])?;
/// let weights = margin_equalizing_weights(&counts);
/// assert!((weights[1] / weights[0] - 2.0).abs() < 1e-15);
/// let ufm = NonnegativeUfm::new(counts, Regularization::new(&[1e-3], 1e-4)?)?;
/// let minimum = ufm.with_class_weights(&weights)?.global_minimum()?;
/// assert!((minimum.margin(2).unwrap() / minimum.margin(0).unwrap() - 1.0).abs() < 1e-14);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[must_use]
pub fn margin_equalizing_weights(counts: &ClassCounts) -> Vec<f64> {
    let roots = counts.sizes().map(|group| group.class_count as f64 * (group.size as f64).sqrt());
    let factor = counts.samples() as f64 / roots.sum::<f64>();
    let weights = counts.runs().map(|run| (factor / (run.size as f64).sqrt(), run.class_count));
    weights.flat_map(|(weight, classes)| core::iter::repeat_n(weight, classes)).collect()
}
