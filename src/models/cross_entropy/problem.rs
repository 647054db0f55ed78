//! The unconstrained features model with the cross-entropy loss: what is trained, checked once.

use crate::error::{Error, Result};
use crate::problem::coded_weights::check_smoothing;
use crate::problem::counts::ClassCounts;
use crate::problem::regularization::Regularization;
use crate::problem::widths::Widths;

/// What the sum of the losses of all N samples is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum LossMean {
    /// N: problem (7) of Dang et al. (ICML 2023), and the mean of every training library.
    #[default]
    Samples,
    /// 2N, as the squared loss of problem (3).
    TwiceSamples,
}

impl LossMean {
    /// The factor c of the mean loss: 1 or 1/2.
    pub(crate) fn factor(self) -> f64 {
        match self {
            Self::Samples => 1.0,
            Self::TwiceSamples => 0.5,
        }
    }
}

/// A deep linear head on unconstrained features, trained with the cross-entropy loss on K classes of n
/// samples each:
///
/// ```math
/// min  c/N Σ CE(W_M ⋯ W₁ h_ki + b, y_k) + Σₘ λₘ/2 ‖Wₘ‖² + λ_H/2 ‖H‖² + λ_b/2 ‖b‖²,   c = 1 or 1/2
/// ```
///
/// with y_k = (1 − δ) e_k + δ/K 1, δ = 0 unless labels are [smoothed](Self::with_label_smoothing).
/// Features of one class coincide at every global minimum. With logits Z for the K class means, the
/// objective is c·F, with
///
/// ```math
/// F(Z, b) = 1/K Σ_k CE(Z_k + b, y_k) + (M+1)/2 · u · Σ_i σ_i(Z)^(2/(M+1)) + λ_b/(2c) ‖b‖²,
/// u = (n λ_H λ₁ ⋯ λ_M)^(1/(M+1)) / c,
/// ```
///
/// so that K, M, u, δ and the bias decide everything. The simplex ETF is a critical point of it, by
/// Theorem A.1 the only candidate for a global minimum; that is true for one layer or two classes,
/// but not in general: [`landscape`](Self::landscape) compares it with structures of lower rank.
///
/// ```
/// use neural_collapse::{Bias, CrossEntropyUfm, Regularization};
///
/// let regularization = Regularization::new(&[5e-4], 1e-5)?.with_bias(Bias::Unregularized)?;
/// let ufm = CrossEntropyUfm::new(10, 600, regularization)?.with_widths(&[512])?;
/// let etf = ufm.simplex_etf()?;
/// // α = ln((1 − (K−1)κ)/κ) with κ = √(n λ_W λ_H), Zhu et al. (NeurIPS 2021).
/// let kappa = (600.0_f64 * 5e-4 * 1e-5).sqrt();
/// assert!((etf.margin() - ((1.0 - 9.0 * kappa) / kappa).ln()).abs() < 1e-14);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: problem (7) and Theorem A.1 of Dang et al. (ICML 2023).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "crate::models::stored::StoredCrossEntropy"))]
pub struct CrossEntropyUfm {
    counts: ClassCounts,
    #[cfg_attr(feature = "serde", serde(skip_serializing))]
    samples_per_class: u64,
    regularization: Regularization,
    loss_mean: LossMean,
    label_smoothing: f64,
    widths: Option<Vec<usize>>,
    #[cfg_attr(feature = "serde", serde(skip_serializing))]
    mean_decay: f64,
}

impl CrossEntropyUfm {
    /// A problem with `classes` ≥ 2 classes of `samples_per_class` samples each, with the mean loss
    /// 1/N and unlimited widths.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there are less than two classes, [`Error::EmptyClass`] without
    /// samples, [`Error::Unrepresentable`] if (n λ_H Πλₘ)^(1/(M+1)) is out of the range of `f64`.
    pub fn new(
        classes: usize,
        samples_per_class: u64,
        regularization: Regularization,
    ) -> Result<Self> {
        if classes < 2 {
            return Err(Error::out_of_range("classes", classes as f64, "at least 2"));
        }
        let counts = ClassCounts::balanced(classes, samples_per_class)?;
        let mean_decay = regularization.mean_decay(samples_per_class as f64)?;
        let loss_mean = LossMean::default();
        Ok(Self {
            counts,
            samples_per_class,
            regularization,
            loss_mean,
            label_smoothing: 0.0,
            widths: None,
            mean_decay,
        })
    }

    /// The same problem with another mean of the losses.
    #[must_use]
    pub fn with_loss_mean(mut self, loss_mean: LossMean) -> Self {
        self.loss_mean = loss_mean;
        self
    }

    /// The same problem with smoothed labels: the target of class k is (1 − δ) e_k + δ/K 1.
    ///
    /// With the logits centered, 1ᵀZ = 0, this adds δ·tr(Z)/K to F. The probabilities that minimize the loss
    /// are no longer 0 and 1, so that no logit grows without bound as the penalties vanish; and the simplex ETF
    /// is the global minimum at every depth once they are small enough
    /// ([`SimplexPotential::proved_simplex`](super::SimplexPotential::proved_simplex)).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless 0 ≤ δ < 1.
    ///
    /// ```
    /// use neural_collapse::{CrossEntropyUfm, Prediction, Regularization};
    ///
    /// // With hard labels an octahedron has a lower loss here; with δ = 0.1 it is the simplex ETF.
    /// let ufm = CrossEntropyUfm::new(6, 10, Regularization::new(&[1e-4; 2], 1e-4)?)?;
    /// assert_eq!(ufm.landscape()?.geometry().to_string(), "3 × pair");
    /// let smoothed = ufm.with_label_smoothing(0.1)?;
    /// assert_eq!(smoothed.landscape()?.geometry().to_string(), "simplex ETF");
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// Source: the model of Zhou et al. (NeurIPS 2022) and Guo et al. (arXiv 2402.03979); the theorem is proved
    /// in the project's `docs/cross-entropy.md`.
    pub fn with_label_smoothing(mut self, smoothing: f64) -> Result<Self> {
        check_smoothing(smoothing)?;
        self.label_smoothing = smoothing;
        Ok(self)
    }

    /// The same problem with the widths d₁, …, d_M: `widths[m − 1]` is the number of inputs of Wₘ,
    /// and `widths[0]` the dimension of the features.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there are M widths, [`Error::OutOfRange`] if one is 0, and
    /// [`Error::NoClosedForm`] if one is below K − 1, as then the simplex ETF does not fit and nothing
    /// is known in closed form.
    pub fn with_widths(mut self, widths: &[usize]) -> Result<Self> {
        Widths::new(widths, self.depth())?;
        if widths.iter().any(|&width| width + 1 < self.classes()) {
            return Err(Error::NoClosedForm {
                problem: "the cross-entropy loss with a width below K − 1, the rank of a simplex ETF",
            });
        }
        self.widths = Some(widths.to_vec());
        Ok(self)
    }

    /// Number of classes K.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.counts.classes()
    }

    /// Number of samples n of each class.
    #[must_use]
    pub fn samples_per_class(&self) -> u64 {
        self.samples_per_class
    }

    /// The class counts.
    #[must_use]
    pub fn counts(&self) -> &ClassCounts {
        &self.counts
    }

    /// Number of linear layers M.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.regularization.depth()
    }

    /// The penalties of the objective.
    #[must_use]
    pub fn regularization(&self) -> &Regularization {
        &self.regularization
    }

    /// What the sum of the losses is divided by.
    #[must_use]
    pub fn loss_mean(&self) -> LossMean {
        self.loss_mean
    }

    /// δ, 0 for hard labels.
    #[must_use]
    pub fn label_smoothing(&self) -> f64 {
        self.label_smoothing
    }

    /// The widths d₁, …, d_M, or `None` if they are unlimited.
    #[must_use]
    pub fn widths(&self) -> Option<&[usize]> {
        self.widths.as_deref()
    }

    /// The strength u = (n λ_H Πλₘ)^(1/(M+1))/c of the penalties, c = 1 or 1/2 the factor of the mean loss.
    ///
    /// ```
    /// use neural_collapse::{CrossEntropyUfm, Regularization};
    ///
    /// // P is far below the smallest f64, its root is not.
    /// let ufm = CrossEntropyUfm::new(10, 1, Regularization::new(&[1e-5; 150], 1e-5)?)?;
    /// assert!((ufm.strength() / 1e-5 - 1.0).abs() < 1e-15);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn strength(&self) -> f64 {
        self.mean_decay / self.loss_mean.factor()
    }

    /// c·u.
    pub(crate) fn mean_decay(&self) -> f64 {
        self.mean_decay
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::regularization::Bias;

    impl CrossEntropyUfm {
        /// One sample per class and equal decays, so that the strength is the decay.
        pub(in crate::models::cross_entropy) fn with_strength(
            classes: usize,
            depth: usize,
            bias: Bias,
            strength: f64,
        ) -> Self {
            let regularization = Regularization::uniform(depth, strength, strength).unwrap();
            Self::new(classes, 1, regularization.with_bias(bias).unwrap()).unwrap()
        }
    }
}
