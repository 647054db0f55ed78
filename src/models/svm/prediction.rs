//! The support vector machine answers all questions of a prediction.

use core::ops::RangeInclusive;

use nalgebra::DMatrix;

use crate::error::Result;
use crate::geometry::class_matrix::ClassMatrix;
use crate::models::svm::seli::Seli;
use crate::models::svm::spectrum::{Side, reach};
use crate::prediction::explicit::{Basis, ExplicitPoint, FittedVectors, check_matrices};
use crate::prediction::{ClassGeometry, Geometry, Prediction, SingularValue, Source, Verdict};
use crate::problem::counts::{ClassCounts, Run};
use crate::problem::regularization::Regularization;
use crate::problem::training_objective::{LossFunction, TrainingObjective};

const PLAIN: Source =
    Source::new("SELI is the only minimum", "Thrampoulidis et al. (NeurIPS 2022), Theorem 1");

const GENERALIZED: Source =
    Source::new("all multipliers of the margins are positive", "docs/closed-forms.md");

impl Seli {
    fn is_plain(&self) -> bool {
        self.margins().is_none() && self.logit_scales().is_none()
    }

    /// ½‖W‖² + ½‖H‖² as penalties.
    fn norms() -> Result<Regularization> {
        Regularization::new(&[1.0], 1.0)
    }

    fn roots(&self) -> Vec<SingularValue> {
        let values = self.spectrum.singular_values();
        values.map(|s| SingularValue::new(s.value.sqrt(), s.multiplicity)).collect()
    }

    /// U and the right singular vectors of X, whose entry for a sample of class k is (m_k/δ_k) u_k/σ.
    fn fitted(&self) -> FittedVectors {
        let (left, values) = self.spectrum.eigenvectors();
        let kinds = self.spectrum.kinds();
        let reaches: Vec<f64> = kinds.kinds().iter().map(reach).collect();
        let of_classes = kinds.of_classes();
        let right = DMatrix::from_fn(left.nrows(), left.ncols(), |class, column| {
            reaches[of_classes[class]] * left[(class, column)] / values[column].sqrt()
        });
        FittedVectors { left, right, energies: values.into_iter().map(f64::sqrt).collect() }
    }
}

impl Prediction for Seli {
    fn training_objective(&self) -> TrainingObjective {
        if self.is_plain() {
            return TrainingObjective::SmallestNorms { loss_function: LossFunction::Margin };
        }
        let list = |numbers: Option<&[f64]>| numbers.unwrap_or_default().to_vec();
        TrainingObjective::ScaledMargins {
            margins: list(self.margins()),
            logit_scales: list(self.logit_scales()),
        }
    }

    fn counts(&self) -> Option<&ClassCounts> {
        Some(&self.counts)
    }

    fn classes(&self) -> usize {
        self.counts.classes()
    }

    fn depth(&self) -> usize {
        1
    }

    fn widths(&self) -> Option<&[usize]> {
        None
    }

    fn geometry(&self) -> Geometry {
        match (self.is_plain(), self.counts.is_balanced()) {
            (true, true) => Geometry::SimplexEtf,
            (true, false) => Geometry::SimplexEncodedLabels,
            (false, _) => Geometry::Structure("SELI with margins and scales".into()),
        }
    }

    fn verdict(&self) -> Verdict {
        Verdict::Proved(if self.is_plain() { PLAIN } else { GENERALIZED })
    }

    /// The nuclear norm of Ẑ.
    fn loss(&self) -> f64 {
        self.spectrum.singular_values().map(|own| own.value * own.multiplicity as f64).sum()
    }

    fn is_unique(&self) -> bool {
        true
    }

    /// False: training reaches a multiple that grows without bound.
    fn has_scale(&self) -> bool {
        false
    }

    /// Classes of one size with different margins or scales are not alike.
    fn is_symmetric(&self) -> bool {
        self.spectrum.kinds().kinds().len() == self.counts.sizes().len()
    }

    /// Margins and scales tell which class is which.
    fn has_arbitrary_order(&self) -> bool {
        false
    }

    fn class_runs(&self) -> Result<Vec<(Run, ClassGeometry)>> {
        let runs = self.spectrum.kinds().runs(&self.counts);
        Ok(runs.map(|(run, kind)| (run, self.class_geometry(run.size, kind))).collect())
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

    /// W Wᵀ = (Π A Π)^(1/2).
    fn trailing_gram(&self, layers: usize) -> Result<ClassMatrix> {
        Self::norms()?.check_trailing(layers)?;
        Ok(self.spectrum.function(f64::sqrt, Side::Plain, Side::Plain))
    }

    /// H̄ᵀH̄ = diag(m/δ) (Π A Π)^(−1/2) diag(m/δ); without margins and scales the pseudoinverse of W Wᵀ.
    fn class_means_gram(&self) -> Result<ClassMatrix> {
        Ok(self.spectrum.function(|value| value.sqrt().recip(), Side::Reaches, Side::Reaches))
    }

    /// W H̄ = Π diag(m/δ), whatever the class sizes.
    fn class_outputs(&self) -> Result<ClassMatrix> {
        Ok(self.spectrum.function(|_| 1.0, Side::Plain, Side::Reaches))
    }

    fn explicit(&self, basis: &Basis) -> Result<ExplicitPoint> {
        let (norms, classes) = (Self::norms()?, self.counts.classes());
        check_matrices(&norms, None, (classes, classes, classes - 1))?;
        self.fitted().assemble(&norms, None, basis, None, Some(self.counts.clone()))
    }
}
