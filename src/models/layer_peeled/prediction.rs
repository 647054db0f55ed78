//! The layer-peeled model answers all questions of a prediction.

use core::ops::RangeInclusive;

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::models::layer_peeled::LayerPeeledMinimum;
use crate::numerics::linalg::{Svd, check_memory, svd_thin};
use crate::prediction::explicit::{Basis, ExplicitPoint, FittedVectors, check_matrices};
use crate::prediction::{ClassGeometry, Geometry, Prediction, SingularValue, Source, Verdict};
use crate::problem::counts::{ClassCounts, Run};
use crate::problem::regularization::Regularization;
use crate::problem::training_objective::{LossFunction, TrainingObjective};

const BALANCED: Source =
    Source::new("the simplex ETF is the global minimum", "Theorem 1 of Fang et al., PNAS 2021");

const TWO_SIZES: Source = Source::new(
    "a convex problem in the logits, solved for two class sizes by symmetry",
    "the model of Fang et al., PNAS 2021; docs/other-models.md",
);

/// Singular values below this share of the largest are rounding errors.
const NEGLIGIBLE: f64 = 1e-13;

impl LayerPeeledMinimum {
    /// The decays under which both factors of Z = UΣVᵀ get their share: λ_W = √(E_H/E_W) and its inverse.
    fn shares(&self) -> Result<Regularization> {
        Regularization::new(&[self.aspect.recip()], self.aspect)
    }

    /// Z = UΣVᵀ, without the singular values that are zero.
    fn decomposed(&self) -> Result<FittedVectors> {
        let classes = self.problem().counts().classes();
        check_memory("classes", classes as f64, classes.checked_mul(classes))?;
        let outputs = self.class_outputs().to_dense();
        let outputs = outputs.unwrap_or_else(|| DMatrix::zeros(classes, classes));
        let Svd { u, singular_values, v } = svd_thin(&outputs)?;
        let largest = singular_values.iter().copied().next().unwrap_or(0.0);
        let rank = singular_values.iter().filter(|&&value| value > NEGLIGIBLE * largest).count();
        Ok(FittedVectors {
            left: u.columns(0, rank).into_owned(),
            right: v.columns(0, rank).into_owned(),
            energies: singular_values.iter().copied().take(rank).collect(),
        })
    }

    /// √(factor σ) for every singular value σ of Z.
    fn roots(&self, factor: f64) -> Result<Vec<SingularValue>> {
        let energies = self.decomposed()?.energies;
        Ok(energies.iter().map(|value| SingularValue::new((factor * value).sqrt(), 1)).collect())
    }
}

impl Prediction for LayerPeeledMinimum {
    fn training_objective(&self) -> TrainingObjective {
        TrainingObjective::Budgeted {
            loss_function: LossFunction::CrossEntropy,
            weight_energy: self.problem().weight_energy(),
            feature_energy: self.problem().feature_energy(),
        }
    }

    fn counts(&self) -> Option<&ClassCounts> {
        Some(self.problem().counts())
    }

    fn classes(&self) -> usize {
        self.problem().counts().classes()
    }

    fn depth(&self) -> usize {
        1
    }

    fn widths(&self) -> Option<&[usize]> {
        None
    }

    fn geometry(&self) -> Geometry {
        match (self.minority_collapsed(), self.problem().counts().is_balanced()) {
            (true, _) => Geometry::MinorityCollapse,
            (false, true) => Geometry::SimplexEtf,
            (false, false) => Geometry::LayerPeeled,
        }
    }

    fn verdict(&self) -> Verdict {
        Verdict::Proved(match self.problem().counts().is_balanced() {
            true => BALANCED,
            false => TWO_SIZES,
        })
    }

    fn loss(&self) -> f64 {
        self.loss()
    }

    fn is_unique(&self) -> bool {
        true
    }

    fn class_runs(&self) -> Result<Vec<(Run, ClassGeometry)>> {
        Ok(self.class_runs().collect())
    }

    fn bias(&self) -> Option<Vec<f64>> {
        None
    }

    fn singular_values(&self, layers: RangeInclusive<usize>) -> Result<Vec<SingularValue>> {
        self.shares()?.layer_indices(&layers)?;
        self.roots(self.aspect)
    }

    fn feature_singular_values(&self) -> Result<Vec<SingularValue>> {
        let fitted = self.decomposed()?;
        // Column k of H̄ stands for n_k columns of H.
        let mut features = fitted.right.transpose();
        for (mut row, energy) in features.row_iter_mut().zip(&fitted.energies) {
            row *= (energy / self.aspect).sqrt();
        }
        for run in self.problem().counts().runs() {
            let mut columns = features.columns_range_mut(run.classes());
            columns *= (run.size as f64).sqrt();
        }
        let values = svd_thin(&features)?.singular_values;
        Ok(values.iter().map(|&value| SingularValue::new(value, 1)).collect())
    }

    fn trailing_gram(&self, layers: usize) -> Result<ClassMatrix> {
        match layers {
            1 => Ok(self.classifier_gram()),
            _ => Err(Error::out_of_range("layers", layers as f64, "between 1 and the depth")),
        }
    }

    fn class_means_gram(&self) -> Result<ClassMatrix> {
        Ok(self.class_means_gram())
    }

    fn class_outputs(&self) -> Result<ClassMatrix> {
        Ok(self.class_outputs())
    }

    fn explicit(&self, basis: &Basis) -> Result<ExplicitPoint> {
        let (shares, counts) = (self.shares()?, self.problem().counts());
        let classes = counts.classes();
        check_matrices(&shares, None, (classes, classes, classes - 1))?;
        self.decomposed()?.assemble(&shares, None, basis, None, Some(counts.clone()))
    }
}
