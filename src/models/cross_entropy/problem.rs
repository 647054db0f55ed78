//! The unconstrained features model with the cross-entropy loss: what is trained, checked once.

use crate::error::{Error, Result};
use crate::models::cross_entropy::landscape::Landscape;
use crate::models::cross_entropy::point::CrossEntropyPoint;
use crate::models::cross_entropy::reduced::Penalty;
use crate::models::cross_entropy::simplex::SimplexPotential;
use crate::models::cross_entropy::structure::LogitStructure;
use crate::problem::counts::ClassCounts;
use crate::problem::regularization::{Bias, Regularization};
use crate::problem::widths::Widths;

/// What the sum of the losses of all N samples is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
/// min  c/N Σ CE(W_M ⋯ W₁ h_ki + b, k) + Σₘ λₘ/2 ‖Wₘ‖² + λ_H/2 ‖H‖² + λ_b/2 ‖b‖²,   c = 1 or 1/2
/// ```
///
/// Features of one class coincide at every global minimum. With logits Z for the K class means, the
/// objective is c·F, with
///
/// ```math
/// F(Z, b) = 1/K Σ_k CE(Z_k + b, k) + (M+1)/2 · u · Σ_i σ_i(Z)^(2/(M+1)) + λ_b/(2c) ‖b‖²,
/// u = (n λ_H λ₁ ⋯ λ_M)^(1/(M+1)) / c,
/// ```
///
/// so that K, M, u and the bias decide everything. The simplex ETF is a critical point of it, by
/// Theorem A.1 the only candidate for a global minimum; that is true for one layer or two classes,
/// but not in general: [`landscape`](Self::landscape) compares it with structures of lower rank.
///
/// ```
/// use neural_collapse::{Bias, CrossEntropyUfm, Regularization};
///
/// let penalties = Regularization::new(&[5e-4], 1e-5)?.with_bias(Bias::Unregularized)?;
/// let ufm = CrossEntropyUfm::new(10, 600, penalties)?.with_widths(&[512])?;
/// let etf = ufm.simplex_etf()?;
/// // α = ln((1 − (K−1)κ)/κ) with κ = √(n λ_W λ_H), Zhu et al. (NeurIPS 2021).
/// let kappa = (600.0_f64 * 5e-4 * 1e-5).sqrt();
/// assert!((etf.margin() - ((1.0 - 9.0 * kappa) / kappa).ln()).abs() < 1e-14);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: problem (7) and Theorem A.1 of Dang et al. (ICML 2023).
#[derive(Debug, Clone, PartialEq)]
pub struct CrossEntropyUfm {
    counts: ClassCounts,
    samples_per_class: u64,
    penalties: Regularization,
    loss_mean: LossMean,
    widths: Option<Vec<usize>>,
    mean_decay: f64,
}

impl CrossEntropyUfm {
    /// A problem with `classes` ≥ 2 classes of `samples_per_class` samples each, with the mean loss
    /// 1/N and unlimited widths.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there are less than two classes, [`Error::EmptyClass`] without
    /// samples, [`Error::Unrepresentable`] if (n λ_H Πλₘ)^(1/(M+1)) is out of the range of `f64`.
    pub fn new(classes: usize, samples_per_class: u64, penalties: Regularization) -> Result<Self> {
        if classes < 2 {
            return Err(Error::out_of_range("classes", classes as f64, "at least 2"));
        }
        let counts = ClassCounts::balanced(classes, samples_per_class)?;
        let mean_decay = penalties.mean_decay(samples_per_class as f64)?;
        let loss_mean = LossMean::default();
        Ok(Self { counts, samples_per_class, penalties, loss_mean, widths: None, mean_decay })
    }

    /// The same problem with another mean of the losses.
    #[must_use]
    pub fn with_loss_mean(mut self, loss_mean: LossMean) -> Self {
        self.loss_mean = loss_mean;
        self
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
        self.penalties.depth()
    }

    /// The penalties of the objective.
    #[must_use]
    pub fn penalties(&self) -> &Regularization {
        &self.penalties
    }

    /// What the sum of the losses is divided by.
    #[must_use]
    pub fn loss_mean(&self) -> LossMean {
        self.loss_mean
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

    /// The penalties as F sees them: the bias with λ_b/c.
    pub(crate) fn penalty(&self) -> Penalty {
        let bias = match self.penalties.bias() {
            Bias::Regularized(decay) => Bias::Regularized(decay / self.loss_mean.factor()),
            bias => bias,
        };
        Penalty { depth: self.depth(), strength: self.strength(), bias }
    }

    /// The scalar problem of the simplex ETF for this K and M.
    ///
    /// # Errors
    /// None in fact: K and M have been checked.
    pub fn simplex_potential(&self) -> Result<SimplexPotential> {
        SimplexPotential::new(self.classes(), self.depth())
    }

    /// The best point with logits α(I − 11ᵀ/K): a simplex ETF, or zero where that is better.
    ///
    /// It is a critical point for every λ_b ≥ 0, and the global minimum of Theorem A.1.
    ///
    /// # Errors
    /// [`Error::Unrepresentable`] if a squared singular value is out of the range of `f64`.
    pub fn simplex_etf(&self) -> Result<CrossEntropyPoint> {
        let minimizer = self.simplex_potential()?.minimizer_unchecked(self.strength());
        if minimizer.alpha() == 0.0 {
            return CrossEntropyPoint::new(self.clone(), LogitStructure::Collapsed, Vec::new());
        }
        let sizes = vec![minimizer.alpha()];
        CrossEntropyPoint::new(self.clone(), LogitStructure::SimplexEtf, sizes)
    }

    /// The simplex ETF beside zero and every other structure known for these K, M and bias.
    ///
    /// # Errors
    /// As [`simplex_etf`](Self::simplex_etf).
    pub fn landscape(&self) -> Result<Landscape> {
        Landscape::new(self)
    }
}
