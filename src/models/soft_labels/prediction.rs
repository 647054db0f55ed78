//! The centered supports as a prediction.

use core::ops::RangeInclusive;

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::models::soft_labels::certificate::Exactness;
use crate::models::soft_labels::minimum::CenteredSupports;
use crate::numerics::linalg::check_memory;
use crate::prediction::explicit::{Basis, Copies, ExplicitPoint, FittedVectors, check_matrices};
use crate::prediction::{ClassGeometry, Geometry, Prediction, SingularValue, Source, Verdict};
use crate::problem::counts::{ClassCounts, Run};
use crate::problem::regularization::Regularization;
use crate::problem::training_objective::{LossFunction, TrainingObjective};

const DOCUMENT: &str = "docs/closed-forms.md";
const POLAR: Source = Source::new("the polar factor is not positive off the supports", DOCUMENT);
const SUBGRADIENT: Source =
    Source::new("a subgradient of the norm is not positive off the supports", DOCUMENT);
const IMPROVABLE: Source =
    Source::new("the norm falls in a direction that keeps the margins", DOCUMENT);

/// Why there is no answer about classes.
const CONTEXTS: &str =
    "samples belong to contexts, not to classes; see CenteredSupports::context_gram";

impl CenteredSupports {
    /// ½‖W‖² + ½‖H‖² as penalties.
    fn norms() -> Result<Regularization> {
        Regularization::new(&[1.0], 1.0)
    }

    fn roots(&self) -> Vec<SingularValue> {
        let values = self.decomposition.singular_values.iter();
        values.map(|value| SingularValue::new(value.sqrt(), 1)).collect()
    }
}

impl Prediction for CenteredSupports {
    fn training_objective(&self) -> TrainingObjective {
        TrainingObjective::SmallestNorms { loss_function: LossFunction::SupportMargin }
    }

    fn counts(&self) -> Option<&ClassCounts> {
        None
    }

    fn classes(&self) -> usize {
        self.problem().classes()
    }

    fn depth(&self) -> usize {
        1
    }

    fn widths(&self) -> Option<&[usize]> {
        None
    }

    fn geometry(&self) -> Geometry {
        if self.decomposition.singular_values.is_empty() {
            return Geometry::Collapsed;
        }
        Geometry::Structure("centered supports".into())
    }

    fn verdict(&self) -> Verdict {
        match self.certificate().exactness {
            Exactness::Polar => Verdict::Proved(POLAR),
            Exactness::Subgradient => Verdict::Proved(SUBGRADIENT),
            Exactness::Improvable => Verdict::Refuted(IMPROVABLE),
            Exactness::Undecided => {
                Verdict::BestKnown { found_by: "centering the supports of the labels".into() }
            }
        }
    }

    /// ‖S̃ D^½‖_*, the smallest ½‖W‖² + ½‖H‖² with these logits.
    fn loss(&self) -> f64 {
        self.decomposition.norm()
    }

    fn lower_bound(&self) -> Option<f64> {
        let certificate = self.certificate();
        Some(if certificate.is_exact() { self.loss() } else { certificate.lower_bound })
    }

    /// True where the subgradient found is negative everywhere off the supports, so that every minimum has margins of
    /// 1; false where that is not proved.
    fn is_unique(&self) -> bool {
        let certificate = self.certificate();
        certificate.is_exact() && certificate.largest_of_subgradient < 0.0
    }

    /// False: training reaches a multiple that grows without bound.
    fn has_scale(&self) -> bool {
        false
    }

    fn class_runs(&self) -> Result<Vec<(Run, ClassGeometry)>> {
        Err(Error::NotAnswered { question: "the geometry by classes", reason: CONTEXTS })
    }

    fn bias(&self) -> Option<Vec<f64>> {
        None
    }

    fn singular_values(&self, layers: RangeInclusive<usize>) -> Result<Vec<SingularValue>> {
        Self::norms()?.layer_indices(&layers)?;
        Ok(self.roots())
    }

    fn feature_singular_values(&self) -> Result<Vec<SingularValue>> {
        Ok(self.roots())
    }

    /// UΣUᵀ, the square root of S̃ D S̃ᵀ.
    fn trailing_gram(&self, layers: usize) -> Result<ClassMatrix> {
        Self::norms()?.check_trailing(layers)?;
        let (u, classes) = (&self.decomposition.u, self.problem().classes());
        check_memory("classes", classes as f64, classes.checked_mul(classes))?;
        let values = DVector::from_row_slice(&self.decomposition.singular_values);
        Ok(ClassMatrix::dense(u * DMatrix::from_diagonal(&values) * u.transpose()))
    }

    fn class_means_gram(&self) -> Result<ClassMatrix> {
        Err(Error::NotAnswered { question: "the class means' Gram matrix", reason: CONTEXTS })
    }

    fn class_outputs(&self) -> Result<ClassMatrix> {
        Err(Error::NotAnswered { question: "the outputs for the class means", reason: CONTEXTS })
    }

    /// The distinct features are those of the contexts, in their order.
    fn explicit(&self, basis: &Basis) -> Result<ExplicitPoint> {
        let norms = Self::norms()?;
        let (classes, contexts) = (self.problem().classes(), self.problem().supports().len());
        let energies = self.decomposition.singular_values.clone();
        check_matrices(&norms, None, (classes, contexts, energies.len()))?;
        let (left, right) = (self.decomposition.u.clone(), self.right_vectors());
        let copies = Copies::Kinds(self.problem().samples().clone());
        let fitted = FittedVectors { left, right, energies };
        fitted.assemble_with(&norms, None, basis, None, copies)
    }
}
