//! The matrices of models with features of length 1.

use core::ops::RangeInclusive;

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::geometry::family::Subset;
use crate::models::contrastive::unit::{Kind, UnitMinimum};
use crate::numerics::linalg::check_memory;
use crate::prediction::explicit::{Basis, ExplicitPoint, FittedVectors, check_matrices};
use crate::prediction::nonnegative::nonnegative_vectors;
use crate::prediction::{ClassGeometry, Geometry, Prediction, SingularValue, Source, Verdict};
use crate::problem::counts::{ClassCounts, Run};
use crate::problem::regularization::Regularization;
use crate::problem::training_objective::{LossFunction, TrainingObjective};

const CONTRASTIVE: Source = Source::new(
    "it attains a convexity bound",
    "Graf et al. (ICML 2021), Theorem 2, and docs/closed-forms.md",
);
const NONNEGATIVE: Source = Source::new(
    "it attains a bound of every sample's loss",
    "Kini et al. (ICLR 2024), Theorem 1, and docs/closed-forms.md",
);
const SPHERICAL: Source = Source::new(
    "it attains a convexity bound",
    "Yaras et al. (NeurIPS 2022), Theorem 3.1, and docs/closed-forms.md",
);

/// Why there is no answer about a classifier.
const NO_CLASSIFIER: &str = "the contrastive loss has no classifier";
/// Why there is no answer about features that no loss sees.
const ALONE: &str =
    "two samples that are alone in their classes are not compared by any term of the loss";

impl UnitMinimum {
    fn kind(&self) -> Kind {
        self.problem().kind()
    }

    fn size(&self) -> usize {
        self.problem().counts().classes()
    }

    /// Whether two classes of one sample each may lie at any angle.
    fn has_free_pairs(&self) -> bool {
        let alone = self.problem().counts().sizes().filter(|group| group.size == 1);
        self.kind() == Kind::NonnegativeContrastive
            && alone.map(|group| group.class_count).sum::<usize>() > 1
    }

    fn classifier(&self, question: &'static str) -> Result<Regularization> {
        if self.kind() == Kind::SphericalCrossEntropy {
            return Regularization::new(&[1.0], 1.0);
        }
        Err(Error::NotAnswered { question, reason: NO_CLASSIFIER })
    }

    /// K/(K−1)·(I − 11ᵀ/K), vectors of length 1.
    fn unit_simplex(&self) -> ClassMatrix {
        let classes = self.size() as f64;
        ClassMatrix::scaled_simplex_etf(self.size(), classes / (classes - 1.0))
    }

    /// The singular vectors of a simplex ETF of unit vectors, with the energy K/(K−1).
    fn fitted(&self) -> FittedVectors {
        let (size, classes) = (self.size(), self.size() as f64);
        let left = Subset::Contrasts(core::iter::once(0..size).collect()).basis(size);
        FittedVectors {
            right: left.clone(),
            left,
            energies: vec![classes / (classes - 1.0); size - 1],
        }
    }

    /// The class means as the columns of a K×K matrix, in the directions of `basis`: also of the contrastive loss, which
    /// has no classifier.
    ///
    /// ```
    /// use neural_collapse::models::contrastive::UnitFeatures;
    /// use neural_collapse::{Basis, ClassCounts};
    ///
    /// let model = UnitFeatures::supervised_contrastive(ClassCounts::balanced(4, 10)?, 0.1)?;
    /// let means = model.global_minimum()?.class_means(&Basis::Random(3))?;
    /// assert!((means.column(0).dot(&means.column(1)) + 1.0 / 3.0).abs() < 1e-14);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Prediction::explicit`]; a given basis has to be non-negative if features are.
    pub fn class_means(&self, basis: &Basis) -> Result<DMatrix<f64>> {
        let size = self.size();
        check_memory("classes", size as f64, size.checked_mul(size))?;
        if self.kind() == Kind::NonnegativeContrastive {
            return nonnegative_vectors(basis, size, size);
        }
        let norms = Regularization::new(&[1.0], 1.0)?;
        check_matrices(&norms, None, (size, size, size - 1))?;
        let point = self.fitted().assemble(&norms, None, basis, None, None)?;
        Ok(point.distinct_features().clone())
    }
}

impl Prediction for UnitMinimum {
    fn training_objective(&self) -> TrainingObjective {
        TrainingObjective::UnitVectors {
            loss_function: match self.kind() {
                Kind::SphericalCrossEntropy => LossFunction::CrossEntropy,
                _ => LossFunction::SupervisedContrastive,
            },
            temperature: self.problem().temperature(),
            nonnegative_features: self.kind() == Kind::NonnegativeContrastive,
        }
    }

    fn counts(&self) -> Option<&ClassCounts> {
        Some(self.problem().counts())
    }

    fn classes(&self) -> usize {
        self.size()
    }

    /// 0 for the contrastive loss, which has no classifier.
    fn depth(&self) -> usize {
        usize::from(self.kind() == Kind::SphericalCrossEntropy)
    }

    fn widths(&self) -> Option<&[usize]> {
        None
    }

    fn geometry(&self) -> Geometry {
        match self.kind() {
            Kind::NonnegativeContrastive => Geometry::OrthogonalFrame,
            _ => Geometry::SimplexEtf,
        }
    }

    fn verdict(&self) -> Verdict {
        Verdict::Proved(match self.kind() {
            Kind::Contrastive => CONTRASTIVE,
            Kind::NonnegativeContrastive => NONNEGATIVE,
            Kind::SphericalCrossEntropy => SPHERICAL,
        })
    }

    fn loss(&self) -> f64 {
        self.loss
    }

    fn is_unique(&self) -> bool {
        !self.has_free_pairs()
    }

    fn class_runs(&self) -> Result<Vec<(Run, ClassGeometry)>> {
        let classifier = (self.kind() == Kind::SphericalCrossEntropy).then_some(1.0);
        let geometry = |run: Run| ClassGeometry {
            count: run.size,
            collapsed: Some(false),
            classifier_norm_squared: classifier,
            feature_norm_squared: Some(1.0),
        };
        Ok(self.problem().counts().runs().map(|run| (run, geometry(run))).collect())
    }

    fn bias(&self) -> Option<Vec<f64>> {
        None
    }

    fn singular_values(&self, layers: RangeInclusive<usize>) -> Result<Vec<SingularValue>> {
        self.classifier("the singular values")?.layer_indices(&layers)?;
        let classes = self.size() as f64;
        Ok(vec![SingularValue::new((classes / (classes - 1.0)).sqrt(), self.size() - 1)])
    }

    fn feature_singular_values(&self) -> Result<Vec<SingularValue>> {
        let sizes = self.problem().counts().sizes();
        if self.has_free_pairs() {
            let question = "the singular values of the features";
            return Err(Error::NotAnswered { question, reason: ALONE });
        }
        if self.kind() == Kind::NonnegativeContrastive {
            let values = sizes.map(|g| SingularValue::new((g.size as f64).sqrt(), g.class_count));
            return Ok(values.collect());
        }
        let classes = self.size() as f64;
        let value = |size: u64| (size as f64 * classes / (classes - 1.0)).sqrt();
        Ok(sizes.map(|g| SingularValue::new(value(g.size), g.class_count - 1)).collect())
    }

    fn trailing_gram(&self, layers: usize) -> Result<ClassMatrix> {
        self.classifier("the classifier's Gram matrix")?.check_trailing(layers)?;
        Ok(self.unit_simplex())
    }

    fn class_means_gram(&self) -> Result<ClassMatrix> {
        if self.has_free_pairs() {
            let question = "the class means' Gram matrix";
            return Err(Error::NotAnswered { question, reason: ALONE });
        }
        match self.kind() {
            Kind::NonnegativeContrastive => ClassMatrix::orthogonal_frame(self.size()),
            _ => Ok(self.unit_simplex()),
        }
    }

    /// The cosines between classifiers and class means, before they are divided by the temperature.
    fn class_outputs(&self) -> Result<ClassMatrix> {
        self.classifier("the outputs for the class means")?;
        Ok(self.unit_simplex())
    }

    /// # Errors
    /// [`Error::NotAnswered`] for the contrastive loss, whose features [`UnitMinimum::class_means`] has.
    fn explicit(&self, basis: &Basis) -> Result<ExplicitPoint> {
        let norms = self.classifier("a classifier that attains the loss")?;
        check_matrices(&norms, None, (self.size(), self.size(), self.size() - 1))?;
        let counts = Some(self.problem().counts().clone());
        self.fitted().assemble(&norms, None, basis, None, counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::contrastive::unit::UnitFeatures;

    /// What each loss has: layers, a classifier, and a minimum that is the only one.
    #[test]
    fn answers_are_those_of_the_loss() {
        let counts = |sizes: &[u64]| ClassCounts::new(sizes).unwrap();
        let contrastive = |sizes| UnitFeatures::supervised_contrastive(counts(sizes), 0.3).unwrap();
        let nonnegative = |sizes| contrastive(sizes).with_nonnegative_features().unwrap();
        let spherical = UnitFeatures::spherical_cross_entropy(counts(&[1, 1, 1]), 0.3).unwrap();
        let (simplex, orthogonal) = (Geometry::SimplexEtf, Geometry::OrthogonalFrame);
        for (model, depth, geometry, source, is_unique) in [
            (contrastive(&[4, 4, 4]), 0, simplex.clone(), CONTRASTIVE, true),
            (nonnegative(&[4, 1, 3]), 0, orthogonal.clone(), NONNEGATIVE, true),
            (nonnegative(&[4, 1, 1]), 0, orthogonal, NONNEGATIVE, false),
            (spherical, 1, simplex, SPHERICAL, true),
        ] {
            let minimum = model.global_minimum().unwrap();
            assert_eq!((minimum.depth(), minimum.geometry()), (depth, geometry));
            assert_eq!(minimum.verdict(), Verdict::Proved(source.clone()));
            assert_eq!(minimum.is_unique(), is_unique);
            assert_eq!(minimum.feature_singular_values().is_ok(), is_unique);
            let loss_function = match depth {
                0 => LossFunction::SupervisedContrastive,
                _ => LossFunction::CrossEntropy,
            };
            let objective = TrainingObjective::UnitVectors {
                loss_function,
                temperature: 0.3,
                nonnegative_features: source == NONNEGATIVE,
            };
            assert_eq!(minimum.training_objective(), objective);
            for (_, class) in minimum.class_runs().unwrap() {
                let norms = (class.classifier_norm_squared, class.feature_norm_squared);
                assert_eq!(norms, ((depth == 1).then_some(1.0), Some(1.0)));
            }
            assert!(minimum.bias().is_none() && minimum.widths().is_none());
        }
    }
}
