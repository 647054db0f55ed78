//! Models with features of length 1.

use crate::error::{Error, Result, check_positive};
use crate::problem::counts::ClassCounts;

/// Features of length 1, and losses of their inner products divided by a temperature τ.
///
/// ```math
/// supervised contrastive:   Σ_i mean over p ≠ i of the class of i of  −ln( e^(h_i·h_p/τ) / Σ_{a≠i} e^(h_i·h_a/τ) )
/// spherical cross-entropy:  1/N Σ_i CE(W h_i/τ, y_i) with classifiers of length 1
/// ```
///
/// Samples that are alone in their class have no partner: they are left out of the first sum, but not of the
/// denominators.
///
/// Minima, with N samples in K classes, n_k in class k:
///
/// * supervised contrastive, **non-negative features** (as after a ReLU), any class sizes: orthogonal class means and
///   Σ n_k ln(n_k − 1 + (N − n_k) e^(−1/τ));
/// * supervised contrastive, equal class sizes: a simplex ETF and N ln(n − 1 + (N − n) e^(−K/((K−1)τ)));
/// * spherical cross-entropy, equal class sizes: an aligned simplex ETF and ln(1 + (K−1) e^(−K/((K−1)τ))).
///
/// ```
/// use neural_collapse::models::contrastive::UnitFeatures;
/// use neural_collapse::{ClassCounts, Prediction};
///
/// let model = UnitFeatures::supervised_contrastive(ClassCounts::new(&[50, 20, 5])?, 0.1)?;
/// let minimum = model.with_nonnegative_features()?.global_minimum()?;
/// assert_eq!(minimum.class_means_gram()?.cosine(0, 1), Some(0.0));
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Graf et al., *Dissecting Supervised Contrastive Learning* (ICML 2021); Kini, Vakilian, Behnia, Gill &
/// Thrampoulidis, *Symmetric Neural-Collapse Representations with Supervised Contrastive Loss: The Impact of ReLU and
/// Batching* (ICLR 2024); Yaras et al., *Neural Collapse with Normalized Features* (NeurIPS 2022). Proofs of these
/// forms are in the project's `docs/closed-forms.md`.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "crate::models::stored::StoredUnitFeatures"))]
pub struct UnitFeatures {
    counts: ClassCounts,
    temperature: f64,
    kind: Kind,
}

/// Which loss, and with which features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub(crate) enum Kind {
    Contrastive,
    NonnegativeContrastive,
    SphericalCrossEntropy,
}

impl UnitFeatures {
    /// The supervised contrastive loss with the temperature τ.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] with less than two classes or if the temperature is not positive and finite.
    pub fn supervised_contrastive(counts: ClassCounts, temperature: f64) -> Result<Self> {
        Self::new(counts, temperature, Kind::Contrastive)
    }

    /// Cross-entropy of the cosines between features and classifiers, divided by the temperature τ.
    ///
    /// # Errors
    /// As [`supervised_contrastive`](Self::supervised_contrastive).
    pub fn spherical_cross_entropy(counts: ClassCounts, temperature: f64) -> Result<Self> {
        Self::new(counts, temperature, Kind::SphericalCrossEntropy)
    }

    fn new(counts: ClassCounts, temperature: f64, kind: Kind) -> Result<Self> {
        if counts.classes() < 2 {
            return Err(Error::out_of_range("classes", counts.classes() as f64, "at least 2"));
        }
        check_positive("temperature", temperature)?;
        Ok(Self { counts, temperature, kind })
    }

    /// The same model with features that are not negative.
    ///
    /// # Errors
    /// [`Error::NoClosedForm`] for the spherical cross-entropy.
    pub fn with_nonnegative_features(mut self) -> Result<Self> {
        if self.kind == Kind::SphericalCrossEntropy {
            let problem = "spherical cross-entropy with non-negative features";
            return Err(Error::NoClosedForm { problem });
        }
        self.kind = Kind::NonnegativeContrastive;
        Ok(self)
    }

    /// The class sizes.
    #[must_use]
    pub fn counts(&self) -> &ClassCounts {
        &self.counts
    }

    /// τ.
    #[must_use]
    pub fn temperature(&self) -> f64 {
        self.temperature
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The global minimum.
    ///
    /// # Errors
    /// [`Error::NoClosedForm`] for different class sizes without non-negative features, and for the contrastive loss if
    /// every sample is alone in its class.
    pub fn global_minimum(&self) -> Result<UnitMinimum> {
        let balanced = self.counts.is_balanced();
        if !balanced && self.kind != Kind::NonnegativeContrastive {
            let problem = "unit features of either sign and classes of different sizes";
            return Err(Error::NoClosedForm { problem });
        }
        if self.kind != Kind::SphericalCrossEntropy
            && self.counts.sizes().all(|group| group.size < 2)
        {
            let problem = "the contrastive loss without two samples of one class";
            return Err(Error::NoClosedForm { problem });
        }
        Ok(UnitMinimum { problem: self.clone(), loss: self.loss() })
    }

    fn loss(&self) -> f64 {
        let classes = self.counts.classes() as f64;
        let etf = classes / (classes - 1.0);
        match self.kind {
            Kind::SphericalCrossEntropy => {
                ((classes - 1.0) * (-etf / self.temperature).exp()).ln_1p()
            }
            Kind::Contrastive => self.contrastive_loss(etf),
            Kind::NonnegativeContrastive => self.contrastive_loss(1.0),
        }
    }

    /// Σ n_k ln(n_k − 1 + (N − n_k) e^(−gap/τ)), where inner products within classes exceed those between by `gap`.
    fn contrastive_loss(&self, gap: f64) -> f64 {
        let unlikely = (-gap / self.temperature).exp();
        let samples = self.counts.samples() as f64;
        let groups = self.counts.sizes().filter(|group| group.size > 1);
        let losses = groups.map(|group| {
            let (size, partners) = (group.size as f64, (group.size - 1) as f64);
            let others = (samples - size) / partners * unlikely;
            group.class_count as f64 * size * (partners.ln() + others.ln_1p())
        });
        losses.sum()
    }
}

/// The global minimum of [`UnitFeatures`], unique up to rotations, or for non-negative features up to the choice of
/// orthogonal unit vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitMinimum {
    problem: UnitFeatures,
    pub(crate) loss: f64,
}

impl UnitMinimum {
    /// The problem.
    #[must_use]
    pub fn problem(&self) -> &UnitFeatures {
        &self.problem
    }
}
