//! The support vector machine on unconstrained features: what is trained, checked once, and its numbers.

use crate::error::{Error, Result};
use crate::models::svm::spectrum::{Spectrum, reach};
use crate::prediction::{ClassGeometry, SingularValue};
use crate::problem::counts::ClassCounts;
use crate::problem::kinds::{Kinds, list_unless_ones};

/// The simplex-encoded-labels interpolation (SELI): the geometry of classifier and features at every
/// global minimum of the support vector machine on unconstrained features (UF-SVM),
///
/// ```math
/// min  ½‖W‖² + ½‖H‖²   such that   (w_y − w_c)·h_i ≥ 1   for every sample i of class y and c ≠ y
/// ```
///
/// over W ∈ ℝ^(K×d) and H ∈ ℝ^(d×N), d ≥ K − 1. Cross-entropy on unconstrained features leads to it
/// in the limit of vanishing weight decay.
///
/// With C = I − 11ᵀ/K, the outputs interpolate the centered labels, WH = CY =: Ẑ = VΛUᵀ, and
/// WWᵀ = VΛVᵀ, HᵀH = UΛUᵀ. As ẐẐᵀ = C diag(n) C, the Gram matrices by classes are
///
/// ```text
/// W Wᵀ = (C diag(n) C)^(1/2),   H̄ᵀH̄ = (C diag(n) C)^(−1/2) (pseudoinverse),   W H̄ = C.
/// ```
///
/// The multiplier of the margin of class c at a sample of class y is −h_c·h_y. It is never negative,
/// as it has to be, for any class sizes: (C diag(n) C)⁺ = D⁻¹ − D⁻¹11ᵀD⁻¹/(1ᵀD⁻¹1) with D = diag(n)
/// is the Laplacian of a graph with positive weights, and so is its square root. Class means of
/// different classes are therefore always at obtuse angles.
///
/// Equal class sizes share one singular value, so the cost depends on the number of distinct sizes.
///
/// # Margins and scales of the logits
///
/// Losses for imbalanced classes change the margins. With a scale δ_k for the logits of each class and a margin m_y
/// for its samples,
///
/// ```math
/// min  ½‖W‖² + ½‖H‖²   such that   δ_y w_y·h_i − δ_c w_c·h_i ≥ m_y   for every sample i of class y and c ≠ y,
/// ```
///
/// the logits are W H̄ = Π diag(m/δ) with Π = I − vvᵀ and the unit vector v ∝ 1/δ, and
///
/// ```text
/// W Wᵀ = (Π A Π)^(1/2),   H̄ᵀH̄ = diag(m/δ) (Π A Π)^(−1/2) diag(m/δ),   A = diag(n m²/δ²).
/// ```
///
/// As weight decay vanishes, cross-entropy leads to it
///
/// * with class-dependent temperatures (CDT: logits δ_c z_c): [`with_logit_scales`](Self::with_logit_scales)(δ);
/// * with label-dependent temperatures (LDT: all logits of a sample of class y times δ_y):
///   [`with_margins`](Self::with_margins)(1/δ); this is SELI for the real class sizes n_k m_k²;
/// * with logit adjustment (constants added to the logits): SELI itself, as constants do not matter beside growing
///   logits;
/// * with the vector-scaling loss (VS: scales and constants): like CDT.
///
/// ```
/// use neural_collapse::{ClassCounts, Prediction, Seli};
///
/// let seli = Seli::new(ClassCounts::from_runs([(1000, 5), (10, 5)])?)?;
/// let classifier = seli.trailing_gram(1)?;
/// assert!(classifier.cosine(0, 1).unwrap() < 0.0); // large classes: apart
/// assert!(classifier.cosine(8, 9).unwrap() > 0.0); // small ones: closer and closer together
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Thrampoulidis, Kini, Vakilian & Behnia, *Imbalance Trouble: Revisiting Neural-Collapse
/// Geometry* (NeurIPS 2022), Definition 2 and Theorem 1; for margins and scales Behnia, Kini, Vakilian &
/// Thrampoulidis, *On the Implicit Geometry of Cross-Entropy Parameterizations for Label-Imbalanced Data* (AISTATS
/// 2023). That it is the minimum for all margins and scales is proved in the project's `docs/closed-forms.md`.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "crate::models::stored::StoredSeli"))]
pub struct Seli {
    pub(super) counts: ClassCounts,
    margins: Option<Vec<f64>>,
    logit_scales: Option<Vec<f64>>,
    #[cfg_attr(feature = "serde", serde(skip_serializing))]
    pub(super) spectrum: Spectrum,
}

impl Seli {
    /// The geometry for classes of these sizes.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there are less than two classes.
    pub fn new(counts: ClassCounts) -> Result<Self> {
        if counts.classes() < 2 {
            return Err(Error::out_of_range("classes", counts.classes() as f64, "at least 2"));
        }
        let spectrum = Spectrum::new(Kinds::new(&counts, [None, None]))?;
        Ok(Self { counts, margins: None, logit_scales: None, spectrum })
    }

    /// The same classes with the margin m_y for the samples of class y.
    ///
    /// ```
    /// use neural_collapse::models::svm::simplex_margins;
    /// use neural_collapse::{ClassCounts, ClassMatrix, Prediction, Seli};
    ///
    /// // Margins ∝ n^(−1/2) make the classifier a simplex ETF.
    /// let counts = ClassCounts::new(&[900, 100, 25])?;
    /// let margins = simplex_margins(&counts);
    /// let gram = Seli::new(counts)?.with_margins(&margins)?.trailing_gram(1)?;
    /// assert!(ClassMatrix::simplex_etf(3)?.distance(&gram.to_dense().unwrap())? < 1e-14);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] unless there are K margins, [`Error::OutOfRange`] if one is not positive and finite,
    /// [`Error::Unrepresentable`] if n m²/δ² of a class is out of the range of `f64`.
    pub fn with_margins(self, margins: &[f64]) -> Result<Self> {
        let margins = list_unless_ones("margins", margins, self.counts.classes())?;
        Self { margins, ..self }.decomposed()
    }

    /// The same classes with the scale δ_k for the logits of class k.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, Prediction, Seli};
    ///
    /// // Class-dependent temperatures δ_k ∝ √n_k.
    /// let seli = Seli::new(ClassCounts::new(&[100, 100, 25])?)?.with_logit_scales(&[1.0, 1.0, 0.5])?;
    /// let outputs = seli.class_outputs()?;
    /// // δ_y z_y − δ_c z_c = 1 for all y and c ≠ y.
    /// assert!((outputs.get(0, 0).unwrap() - 0.5 * outputs.get(2, 0).unwrap() - 1.0).abs() < 1e-14);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] unless there are K scales, [`Error::OutOfRange`] if one is not positive and finite,
    /// [`Error::Unrepresentable`] if n m²/δ² or 1/δ² of a class is out of the range of `f64`.
    pub fn with_logit_scales(self, logit_scales: &[f64]) -> Result<Self> {
        let logit_scales = list_unless_ones("logit_scales", logit_scales, self.counts.classes())?;
        Self { logit_scales, ..self }.decomposed()
    }

    fn decomposed(mut self) -> Result<Self> {
        let lists = [self.margins.as_deref(), self.logit_scales.as_deref()];
        self.spectrum = Spectrum::new(Kinds::new(&self.counts, lists))?;
        Ok(self)
    }

    /// The margins m, or `None` if all are 1.
    #[must_use]
    pub fn margins(&self) -> Option<&[f64]> {
        self.margins.as_deref()
    }

    /// The logit scales δ, or `None` if all are 1.
    #[must_use]
    pub fn logit_scales(&self) -> Option<&[f64]> {
        self.logit_scales.as_deref()
    }

    /// The K − 1 positive singular values of the logits Ẑ = WH of all samples, by falling value: √n_g·m_g/δ_g for the
    /// vectors within a group of equal classes, and one between any two neighboring groups.
    ///
    /// Those of W and H are their square roots, and the loss is their sum.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, Seli};
    ///
    /// let values = Seli::new(ClassCounts::from_runs([(9, 2), (4, 3)])?)?.logit_singular_values();
    /// let values: Vec<_> = values.iter().map(|own| (own.value, own.multiplicity)).collect();
    /// assert_eq!(values, [(3.0, 1), (7.0_f64.sqrt(), 1), (2.0, 2)]);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn logit_singular_values(&self) -> Vec<SingularValue> {
        self.spectrum.singular_values().collect()
    }

    /// The geometry of one class, or `None` if there is no such class.
    #[must_use]
    pub fn class(&self, class: usize) -> Option<ClassGeometry> {
        let kind = self.spectrum.kinds().kind_of(class)?;
        self.counts.count(class).map(|count| self.class_geometry(count, kind))
    }

    pub(super) fn class_geometry(&self, count: u64, kind: usize) -> ClassGeometry {
        let reach = reach(&self.spectrum.kinds().kinds()[kind]);
        let inverse = self.spectrum.diagonal(|value| value.sqrt().recip(), kind);
        ClassGeometry {
            count,
            collapsed: Some(false),
            classifier_norm_squared: Some(self.spectrum.diagonal(f64::sqrt, kind)),
            feature_norm_squared: Some(reach * inverse * reach),
        }
    }
}

/// The margins m_k = √(N/(K n_k)) that make the classifier of the support vector machine a simplex ETF, whatever the
/// class sizes; the class means are one too, up to their lengths ‖h_k‖ ∝ 1/√n_k. Equal sizes have margins of 1.
///
/// They are reached by label-dependent temperatures 1/m_k.
///
/// ```
/// use neural_collapse::ClassCounts;
/// use neural_collapse::models::svm::simplex_margins;
///
/// let margins = simplex_margins(&ClassCounts::new(&[90, 10])?);
/// assert!((margins[1] / margins[0] - 3.0).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: SELI is a simplex ETF for equal sizes, and margins count as the sizes n_k m_k².
#[must_use]
pub fn simplex_margins(counts: &ClassCounts) -> Vec<f64> {
    let mean = counts.samples() as f64 / counts.classes() as f64;
    let margins = counts.runs().map(|run| ((mean / run.size as f64).sqrt(), run.class_count));
    margins.flat_map(|(margin, classes)| core::iter::repeat_n(margin, classes)).collect()
}
