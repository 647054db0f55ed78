//! What the layer-peeled model predicts.

use core::ops::RangeInclusive;

use nalgebra::DMatrix;

use crate::error::Result;
use crate::geometry::class_matrix::ClassMatrix;
use crate::geometry::family::Subset;
use crate::models::convex::PROOF;
use crate::models::layer_peeled::minimum::LayerPeeledMinimum;
use crate::numerics::linalg::singular_values;
use crate::prediction::explicit::{Basis, ExplicitPoint, FittedVectors, check_matrices};
use crate::prediction::{ClassGeometry, Geometry, Prediction, SingularValue, Source, Verdict};
use crate::problem::counts::{ClassCounts, Run};
use crate::problem::regularization::Regularization;
use crate::problem::training_objective::{LossFunction, TrainingObjective};

const CLOSED_FORM: Source = Source::new(
    "the optimality conditions of the convex program, solved in closed form",
    "Fang et al. (PNAS 2021) and docs/other-models.md",
);

impl LayerPeeledMinimum {
    /// The decays that lead to the same balance between classifier and features: √(E_W/E_H) for the features, and
    /// its inverse for the classifier.
    fn equivalent_decays(&self) -> Result<Regularization> {
        Regularization::new(&[self.aspect.recip()], self.aspect)
    }

    /// Number of singular directions of Z.
    pub(super) fn rank(&self) -> usize {
        let between = self.between.iter().filter(|value| **value > 0.0).count();
        between + self.contrasts().map(|(_, _, multiplicity)| multiplicity).sum::<usize>()
    }

    /// Group, singular value and multiplicity of the contrasts that are not zero.
    fn contrasts(&self) -> impl Iterator<Item = (usize, f64, usize)> + '_ {
        let groups = self.problem().counts().sizes().zip(&self.within).enumerate();
        let contrasts = groups.map(|(index, (group, &q))| (index, q, group.class_count - 1));
        contrasts.filter(|&(_, q, multiplicity)| q > 0.0 && multiplicity > 0)
    }

    fn fitted_vectors(&self) -> FittedVectors {
        let counts = self.problem().counts();
        let classes = counts.classes();
        let of_classes: Vec<usize> = counts
            .runs()
            .flat_map(|run| core::iter::repeat_n(run.group, run.class_count))
            .collect();
        let (mut left, mut right) =
            (self.left.select_rows(&of_classes), self.right.select_rows(&of_classes));
        let mut energies = self.between.clone();
        for (group, q, multiplicity) in self.contrasts() {
            let basis = Subset::Contrasts(counts.members(group)).basis(classes);
            energies.extend(core::iter::repeat_n(q, multiplicity));
            let width = left.ncols();
            for matrix in [&mut left, &mut right] {
                let mut wider = matrix.clone().resize_horizontally(width + multiplicity, 0.0);
                wider.columns_mut(width, multiplicity).copy_from(&basis);
                *matrix = wider;
            }
        }
        FittedVectors { left, right, energies }
    }
}

/// Positive singular values by falling size.
fn sorted(values: impl Iterator<Item = SingularValue>) -> Vec<SingularValue> {
    let mut values: Vec<_> = values.filter(|value| value.value > 0.0).collect();
    values.sort_by(|a, b| b.value.total_cmp(&a.value));
    values
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
        if self.problem().counts().is_balanced() {
            Geometry::SimplexEtf
        } else if self.minority_collapsed() {
            Geometry::MinorityCollapse
        } else {
            Geometry::LayerPeeled
        }
    }

    fn verdict(&self) -> Verdict {
        match self.lower_bound {
            None => Verdict::Proved(CLOSED_FORM),
            Some(lower_bound) => Verdict::ProvedWithinGap { lower_bound, source: PROOF },
        }
    }

    fn loss(&self) -> f64 {
        self.loss
    }

    fn lower_bound(&self) -> Option<f64> {
        Some(self.lower_bound.unwrap_or(self.loss))
    }

    fn is_unique(&self) -> bool {
        true
    }

    fn class_runs(&self) -> Result<Vec<(Run, ClassGeometry)>> {
        Ok(self.problem().counts().runs().map(|run| (run, self.geometry_of(run))).collect())
    }

    fn bias(&self) -> Option<Vec<f64>> {
        None
    }

    /// Those of W: √(√(E_W/E_H) σ) for the singular values σ of Z.
    fn singular_values(&self, layers: RangeInclusive<usize>) -> Result<Vec<SingularValue>> {
        self.equivalent_decays()?.layer_indices(&layers)?;
        let single = |value: f64, multiplicity| {
            SingularValue::new((self.aspect * value).sqrt(), multiplicity)
        };
        let between = self.between.iter().map(|&value| single(value, 1));
        let within = self.contrasts().map(|(_, q, multiplicity)| single(q, multiplicity));
        Ok(sorted(between.chain(within)))
    }

    fn feature_singular_values(&self) -> Result<Vec<SingularValue>> {
        let sizes: Vec<f64> =
            self.problem().counts().sizes().map(|group| group.size as f64).collect();
        let within = self.contrasts().map(|(group, q, multiplicity)| {
            SingularValue::new((sizes[group] * q / self.aspect).sqrt(), multiplicity)
        });
        // H̄ diag(√n) between groups: a column for each group stands for all its classes.
        let groups = self.problem().counts().sizes();
        let roots: Vec<f64> =
            groups.map(|group| (group.size as f64 * group.class_count as f64).sqrt()).collect();
        let between = DMatrix::from_fn(self.between.len(), roots.len(), |index, group| {
            (self.between[index] / self.aspect).sqrt() * self.right[(group, index)] * roots[group]
        });
        let between = singular_values(&between)?;
        let between = between.iter().map(|&value| SingularValue::new(value, 1));
        Ok(sorted(between.chain(within)))
    }

    fn trailing_gram(&self, layers: usize) -> Result<ClassMatrix> {
        self.equivalent_decays()?.check_trailing(layers)?;
        Ok(self.matrix(self.aspect, &self.left, &self.left))
    }

    fn class_means_gram(&self) -> Result<ClassMatrix> {
        Ok(self.matrix(self.aspect.recip(), &self.right, &self.right))
    }

    fn class_outputs(&self) -> Result<ClassMatrix> {
        Ok(self.matrix(1.0, &self.left, &self.right))
    }

    fn explicit(&self, basis: &Basis) -> Result<ExplicitPoint> {
        let (classes, decays) = (self.classes(), self.equivalent_decays()?);
        check_matrices(&decays, None, (classes, classes, self.rank()))?;
        let counts = self.problem().counts().clone();
        self.fitted_vectors().assemble(&decays, None, basis, None, Some(counts))
    }
}
