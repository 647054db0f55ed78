//! Classes in front of a fixed simplex ETF.

use core::ops::RangeInclusive;

use crate::error::{Error, Result, check_positive};
use crate::geometry::class_matrix::ClassMatrix;
use crate::geometry::family::Subset;
use crate::models::fixed_head::response::FixedSimplexHead;
use crate::models::svm::Seli;
use crate::prediction::explicit::{Basis, ExplicitPoint, FittedVectors, check_matrices};
use crate::prediction::{ClassGeometry, Geometry, Prediction, SingularValue, Source, Verdict};
use crate::problem::counts::{ClassCounts, Run};
use crate::problem::regularization::Regularization;
use crate::problem::training_objective::TrainingObjective;

const PROOF: Source = Source::new(
    "the loss of each sample is strictly convex in its feature",
    "docs/closed-forms.md",
);

/// Classes of any sizes in front of a classifier that is a simplex ETF with ‖w_k‖² = E and is not trained:
///
/// ```math
/// min over H:   1/N Σ CE(W h_ki, (1−δ) e_k + δ 1/K) + λ_H/2 ‖H‖²
/// ```
///
/// Every sample minimizes on its own: whatever the class sizes, features are a simplex ETF aligned with the
/// classifier.
///
/// ```
/// use neural_collapse::models::fixed_head::FixedHeadUfm;
/// use neural_collapse::{ClassCounts, Prediction};
///
/// let counts = ClassCounts::new(&[500, 50, 5])?;
/// let minimum = FixedHeadUfm::new(counts, 1.0, 1e-5)?.global_minimum()?;
/// let cosine = minimum.class_means_gram()?.cosine(0, 2).unwrap();
/// assert!((cosine + 0.5).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Yang et al., *Inducing Neural Collapse in Imbalanced Learning: Do We Really Need a Learnable Classifier at
/// the End of Deep Neural Network?* (NeurIPS 2022).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "crate::models::stored::StoredFixedHead"))]
pub struct FixedHeadUfm {
    counts: ClassCounts,
    classifier_norm_squared: f64,
    feature_decay: f64,
    label_smoothing: f64,
}

impl FixedHeadUfm {
    /// The problem for a classifier with E = `classifier_norm_squared` and the decay λ_H = `feature_decay`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] with less than two classes or if a number is not positive and finite,
    /// [`Error::Unrepresentable`] if N λ_H/E is out of the range of `f64`.
    pub fn new(
        counts: ClassCounts,
        classifier_norm_squared: f64,
        feature_decay: f64,
    ) -> Result<Self> {
        check_positive("feature_decay", feature_decay)?;
        let ufm = Self { counts, classifier_norm_squared, feature_decay, label_smoothing: 0.0 };
        ufm.head()?;
        Ok(ufm)
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

    /// The head, with the decay N λ_H for each sample: for labels that are no classes.
    ///
    /// # Errors
    /// None in fact: the numbers have been checked.
    pub fn head(&self) -> Result<FixedSimplexHead> {
        let decay = self.feature_decay * self.counts.samples() as f64;
        FixedSimplexHead::new(self.counts.classes(), self.classifier_norm_squared, decay)
    }

    /// The global minimum.
    ///
    /// # Errors
    /// None in fact: the numbers have been checked.
    pub fn global_minimum(&self) -> Result<FixedHeadMinimum> {
        let head = self.head()?;
        let classes = head.classes();
        let smoothed = self.label_smoothing / classes as f64;
        let mut label = vec![smoothed; classes];
        label[0] += 1.0 - self.label_smoothing;
        let response = head.response(&label)?;
        let margin = response.logits[0] * classes as f64 / (classes as f64 - 1.0);
        Ok(FixedHeadMinimum { problem: self.clone(), head, margin, loss: response.loss })
    }
}

/// The global minimum of a [`FixedHeadUfm`], unique given the classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct FixedHeadMinimum {
    problem: FixedHeadUfm,
    head: FixedSimplexHead,
    /// α.
    margin: f64,
    loss: f64,
}

impl FixedHeadMinimum {
    /// The problem that this is the minimum of.
    #[must_use]
    pub fn problem(&self) -> &FixedHeadUfm {
        &self.problem
    }

    /// α, by which the logit of the right class exceeds every other one: 1/(e^α + K − 1) = (δ + μα)/K with
    /// μ = N λ_H (K−1)/(EK).
    #[must_use]
    pub fn margin(&self) -> f64 {
        self.margin
    }

    /// α²(K−1)/(EK): the Gram matrix of the features is this times I − 11ᵀ/K.
    fn feature_square(&self) -> f64 {
        self.margin * self.margin * self.head.inverse_square()
    }

    /// The classifier and the features as layers of a network with these decays have the energy 1 in every direction.
    fn regularization(&self) -> Result<Regularization> {
        Regularization::new(&[self.head.inverse_square()], 1.0)
    }
}

impl Prediction for FixedHeadMinimum {
    fn training_objective(&self) -> TrainingObjective {
        TrainingObjective::FixedSimplexHead {
            classifier_norm_squared: self.problem.classifier_norm_squared,
            feature_decay: self.problem.feature_decay,
            label_smoothing: self.problem.label_smoothing,
        }
    }

    fn counts(&self) -> Option<&ClassCounts> {
        Some(&self.problem.counts)
    }

    fn classes(&self) -> usize {
        self.head.classes()
    }

    fn depth(&self) -> usize {
        1
    }

    fn widths(&self) -> Option<&[usize]> {
        None
    }

    fn geometry(&self) -> Geometry {
        Geometry::SimplexEtf
    }

    fn verdict(&self) -> Verdict {
        Verdict::Proved(PROOF)
    }

    fn loss(&self) -> f64 {
        self.loss
    }

    fn is_unique(&self) -> bool {
        true
    }

    fn class_runs(&self) -> Result<Vec<(Run, ClassGeometry)>> {
        let classes = self.head.classes() as f64;
        let features = self.feature_square() * (classes - 1.0) / classes;
        let geometry = |run: Run| ClassGeometry {
            count: run.size,
            collapsed: Some(false),
            classifier_norm_squared: Some(self.problem.classifier_norm_squared),
            feature_norm_squared: Some(features),
        };
        Ok(self.problem.counts.runs().map(|run| (run, geometry(run))).collect())
    }

    fn bias(&self) -> Option<Vec<f64>> {
        None
    }

    fn singular_values(&self, layers: RangeInclusive<usize>) -> Result<Vec<SingularValue>> {
        self.regularization()?.layer_indices(&layers)?;
        let value = self.head.inverse_square().sqrt().recip();
        Ok(vec![SingularValue::new(value, self.head.classes() - 1)])
    }

    /// Those of SELI's logits for these class sizes, scaled.
    fn feature_singular_values(&self) -> Result<Vec<SingularValue>> {
        let scale = self.feature_square().sqrt();
        let seli = Seli::new(self.problem.counts.clone())?;
        let values = seli.logit_singular_values().into_iter();
        Ok(values.map(|own| SingularValue::new(own.value * scale, own.multiplicity)).collect())
    }

    fn trailing_gram(&self, layers: usize) -> Result<ClassMatrix> {
        self.regularization()?.check_trailing(layers)?;
        let value = self.head.inverse_square().recip();
        Ok(ClassMatrix::scaled_simplex_etf(self.head.classes(), value))
    }

    fn class_means_gram(&self) -> Result<ClassMatrix> {
        Ok(ClassMatrix::scaled_simplex_etf(self.head.classes(), self.feature_square()))
    }

    fn class_outputs(&self) -> Result<ClassMatrix> {
        Ok(ClassMatrix::scaled_simplex_etf(self.head.classes(), self.margin))
    }

    fn explicit(&self, basis: &Basis) -> Result<ExplicitPoint> {
        let (regularization, classes) = (self.regularization()?, self.head.classes());
        let rank = classes - 1;
        check_matrices(&regularization, None, (classes, classes, rank))?;
        let all = core::iter::once(0..classes).collect();
        let left = Subset::Contrasts(all).basis(classes);
        let right = &left * self.feature_square().sqrt();
        let fitted = FittedVectors { left, right, energies: vec![1.0; rank] };
        fitted.assemble(&regularization, None, basis, None, Some(self.problem.counts.clone()))
    }
}
