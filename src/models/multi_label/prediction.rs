//! The matrices of the minimum with several tags per sample.

use core::ops::RangeInclusive;

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::geometry::family::Subset;
use crate::models::multi_label::minimum::MultiLabelMinimum;
use crate::numerics::linalg::{check_memory, gram, transposed};
use crate::prediction::class_runs::written_out;
use crate::prediction::explicit::{Basis, Copies, ExplicitPoint, FittedVectors, check_matrices};
use crate::prediction::{
    ClassGeometry, Geometry, LabelGeometry, Prediction, SingularValue, Source, Verdict,
};
use crate::problem::counts::{ClassCounts, Run};
use crate::problem::regularization::Bias;
use crate::problem::training_objective::{LossFunction, TrainingObjective};

const PROOF: Source = Source::new(
    "the problem is convex in the logits and the same for all tags, and so is its only minimum",
    "Li et al. (ICML 2024) and docs/closed-forms.md",
);

/// Why there is no answer about classes.
const SEVERAL_TAGS: &str = "samples carry several tags and belong to no class";
/// Why there is no answer about the means of single tags.
const NO_SINGLE_TAGS: &str = "no sample carries one tag only";

impl MultiLabelMinimum {
    /// `value`·(I − 11ᵀ/K).
    fn scaled_simplex(&self, value: f64) -> ClassMatrix {
        ClassMatrix::scaled_simplex_etf(self.problem().classes(), value)
    }

    /// The number of samples of each set, in the order of the columns of the features.
    fn samples_of_sets(&self) -> Result<ClassCounts> {
        let sizes = self.problem().set_sizes().iter();
        ClassCounts::from_runs(sizes.map(|size| (size.samples, size.sets as usize)))
    }

    fn directions(&self, value: f64) -> Vec<SingularValue> {
        let rank = self.problem().classes() - 1;
        if value > 0.0 { vec![SingularValue::new(value, rank)] } else { Vec::new() }
    }

    /// The singular vectors of the logits of all samples, whose row for a set S of m tags is α_m Uᵀ1_S/s.
    fn fitted(&self, sets: usize) -> FittedVectors {
        let classes = self.problem().classes();
        let all = core::iter::once(0..classes).collect();
        let left = Subset::Contrasts(all).basis(classes);
        if self.logit_singular_value() == 0.0 {
            let left = left.columns(0, 0).into_owned();
            return FittedVectors { left, right: DMatrix::zeros(sets, 0), energies: Vec::new() };
        }
        let mut right = DMatrix::zeros(sets, left.ncols());
        for (mut row, (size, tags)) in right.row_iter_mut().zip(self.sized_sets()) {
            for &tag in &tags {
                row += left.row(tag);
            }
            row *= size / self.logit_singular_value();
        }
        let regularization = self.problem().regularization();
        let energy = self.logit_singular_value() * self.aspect() * regularization.first_decay();
        let energies = vec![energy; left.ncols()];
        FittedVectors { left, right, energies }
    }
}

impl MultiLabelMinimum {
    /// Features and outputs of every set of tags S of m tags: the outputs are the columns c_S = α_m (1_S − m/K), and the
    /// inner products of the features √(λ_W/λ_H) c_S·c_T/s. Picking all labels is cross-entropy with the soft labels 1_S/m
    /// and weights m.
    fn geometry_of_sets(&self) -> Result<LabelGeometry> {
        let (problem, classes) = (self.problem(), self.problem().classes());
        let sets = problem.set_sizes().iter().map(|size| size.sets).sum::<f64>();
        // A number that is too large becomes the largest one, which memory does not hold.
        let number = sets as usize;
        check_memory("sets", sets, number.checked_mul(number.max(classes)))?;
        let tag_sets: Vec<Vec<usize>> = problem.tag_sets().collect();
        let mut outputs = DMatrix::zeros(classes, number);
        for (mut column, (size, tags)) in outputs.column_iter_mut().zip(self.sized_sets()) {
            column.fill(-(tags.len() as f64) / classes as f64 * size);
            tags.iter().for_each(|&tag| column[tag] += size);
        }
        let features_gram = match self.logit_singular_value() {
            0.0 => DMatrix::zeros(number, number),
            value => gram(&transposed(&outputs)) / (value * self.aspect()),
        };
        let label = |tags: &Vec<usize>| {
            let mut label = vec![0.0; classes];
            tags.iter().for_each(|&tag| label[tag] = (tags.len() as f64).recip());
            label
        };
        Ok(LabelGeometry {
            counts: self.samples_of_sets()?,
            training_objective: TrainingObjective::SoftLabels {
                regularization: problem.regularization().clone(),
                labels: tag_sets.iter().map(label).collect(),
                weights: tag_sets.iter().map(|tags| tags.len() as f64).collect(),
            },
            tag_sets: Some(tag_sets),
            features_gram: ClassMatrix::dense(features_gram),
            outputs,
        })
    }
}

impl Prediction for MultiLabelMinimum {
    fn training_objective(&self) -> TrainingObjective {
        TrainingObjective::Penalized {
            loss_function: LossFunction::PickAllLabels,
            factor: 1.0,
            regularization: self.problem().regularization().clone(),
        }
    }

    fn counts(&self) -> Option<&ClassCounts> {
        None
    }

    fn label_geometry(&self) -> Result<LabelGeometry> {
        self.geometry_of_sets()
    }

    fn classes(&self) -> usize {
        self.problem().classes()
    }

    fn depth(&self) -> usize {
        1
    }

    fn widths(&self) -> Option<&[usize]> {
        self.problem().widths()
    }

    fn geometry(&self) -> Geometry {
        match self.logit_singular_value() {
            0.0 => Geometry::Collapsed,
            _ => Geometry::SimplexEtf,
        }
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
        Err(Error::NotAnswered { question: "the geometry by classes", reason: SEVERAL_TAGS })
    }

    fn bias(&self) -> Option<Vec<f64>> {
        written_out(&self.bias_runs()?)
    }

    fn bias_runs(&self) -> Option<Vec<(usize, f64)>> {
        let bias = self.problem().regularization().bias() != Bias::None;
        bias.then(|| vec![(self.problem().classes(), 0.0)])
    }

    fn singular_values(&self, layers: RangeInclusive<usize>) -> Result<Vec<SingularValue>> {
        self.problem().regularization().layer_indices(&layers)?;
        Ok(self.directions((self.logit_singular_value() * self.aspect()).sqrt()))
    }

    fn feature_singular_values(&self) -> Result<Vec<SingularValue>> {
        Ok(self.directions((self.logit_singular_value() / self.aspect()).sqrt()))
    }

    fn trailing_gram(&self, layers: usize) -> Result<ClassMatrix> {
        self.problem().regularization().check_trailing(layers)?;
        Ok(self.scaled_simplex(self.logit_singular_value() * self.aspect()))
    }

    /// That of the means of the samples with one tag; [`feature_product`](MultiLabelMinimum::feature_product) has
    /// those of all sets.
    fn class_means_gram(&self) -> Result<ClassMatrix> {
        let question = "the class means' Gram matrix";
        let square = self.feature_product(1, 1, 1);
        let square = square.ok_or(Error::NotAnswered { question, reason: NO_SINGLE_TAGS })?;
        let classes = self.problem().classes() as f64;
        Ok(self.scaled_simplex(square * classes / (classes - 1.0)))
    }

    /// Those for the means of the samples with one tag.
    fn class_outputs(&self) -> Result<ClassMatrix> {
        let question = "the outputs for the class means";
        let size = self.logit_size(1);
        let size = size.ok_or(Error::NotAnswered { question, reason: NO_SINGLE_TAGS })?;
        Ok(self.scaled_simplex(size))
    }

    /// The distinct features are those of the [`tag_sets`](crate::models::multi_label::MultiLabelUfm::tag_sets), in
    /// their order.
    fn explicit(&self, basis: &Basis) -> Result<ExplicitPoint> {
        let (regularization, widths) = (self.problem().regularization(), self.problem().widths());
        let classes = self.problem().classes();
        let sets: f64 = self.problem().set_sizes().iter().map(|size| size.sets).sum();
        // A number that is too large becomes the largest one, which memory does not hold.
        check_matrices(regularization, widths, (classes, sets as usize, classes - 1))?;
        let bias = self.bias().map(DVector::from_vec);
        let copies = Copies::Kinds(self.samples_of_sets()?);
        self.fitted(sets as usize).assemble_with(regularization, widths, basis, bias, copies)
    }
}
