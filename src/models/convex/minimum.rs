//! The global minimum of a one-layer problem, with how near to it the point found is.

use core::ops::{Range, RangeInclusive};

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::geometry::family::Subset;
use crate::models::convex::problem::{ConvexUfm, Labels};
use crate::models::convex::solver::{Solution, solve};
use crate::monitor::Monitor;
use crate::numerics::linalg::{product, transposed};
use crate::prediction::explicit::{Basis, Copies, ExplicitPoint, FittedVectors, check_matrices};
use crate::prediction::{
    ClassGeometry, Geometry, LabelGeometry, Prediction, SingularValue, Source, Verdict,
};
use crate::problem::counts::{ClassCounts, Run};
use crate::problem::kinds::Kinds;
use crate::problem::regularization::Bias;
use crate::problem::training_objective::{LossFunction, TrainingObjective};

/// Why the lower bound holds.
pub(crate) const PROOF: Source =
    Source::new("convex duality bounds every value from below", "docs/convex.md");

/// The global minimum of a [`ConvexUfm`]: unique up to rotations of the feature space (and, with a bias without a
/// penalty under cross-entropy, up to a number added to all its entries, which here sum to zero).
#[derive(Debug, Clone, PartialEq)]
pub struct ConvexMinimum {
    problem: ConvexUfm,
    kinds: Option<Kinds<2>>,
    /// The singular vectors of X = Z diag(√n) that are constant on kinds: an entry for each class of a kind,
    /// and for each column of a kind.
    left: DMatrix<f64>,
    right: DMatrix<f64>,
    /// Their singular values, by falling size.
    between: Vec<f64>,
    /// q of each kind: the singular value of Z on its contrasts.
    contrasts: Vec<f64>,
    /// b for a class of each row.
    bias: Option<Vec<f64>>,
    loss: f64,
    lower_bound: f64,
    steps: u64,
}

impl ConvexUfm {
    /// The global minimum.
    ///
    /// The relative gap between [`loss`](crate::Prediction::loss) and
    /// [`lower_bound`](crate::Prediction::lower_bound) is 10⁻¹² where double precision allows it, and always part of
    /// the answer. The number of distinct sizes and weights decides how long it takes, not that of the classes.
    ///
    /// # Errors
    /// [`Error::NoClosedForm`] if the features have less dimensions than the minimum's rank,
    /// [`Error::Unrepresentable`] if a scale of the problem is out of the range of `f64`,
    /// [`Error::NoConvergence`] if no finite point was found, [`Error::OutOfRange`] if the kinds of classes are too
    /// many for memory.
    pub fn global_minimum(&self) -> Result<ConvexMinimum> {
        self.global_minimum_with(&())
    }

    /// [`global_minimum`](Self::global_minimum) under the eyes of a monitor, which hears of each step of the method.
    ///
    /// # Errors
    /// As there, and [`Error::Cancelled`] if the monitor ends the work.
    pub fn global_minimum_with(&self, monitor: &dyn Monitor) -> Result<ConvexMinimum> {
        ConvexMinimum::new(self.clone(), monitor)
    }
}

impl ConvexMinimum {
    pub(super) fn new(problem: ConvexUfm, monitor: &dyn Monitor) -> Result<Self> {
        let price = problem.price();
        if !price.is_normal() {
            let quantity = "the price √(λ_W λ_H) of the norm";
            return Err(Error::Unrepresentable { quantity, log10: price.log10() });
        }
        let data = problem.data();
        let Some(solution) = solve(&data, price, None, monitor)? else {
            return Err(Error::NoConvergence { algorithm: "convex program", iterations: 0 });
        };
        let minimum = Self::of_solution(problem, &data.row_members(), solution);
        minimum.check_range()?;
        minimum.check_width()?;
        Ok(minimum)
    }

    fn of_solution(problem: ConvexUfm, members: &[f64], solution: Solution) -> Self {
        let kinds = problem.kinds();
        let rank = solution.frame.rank();
        let columns =
            kinds.as_ref().map_or(problem.counts().classes(), |kinds| kinds.kinds().len());
        let mut left = solution.frame.left.columns(0, rank).into_owned();
        let mut right = solution.frame.right.view((0, 0), (columns, rank)).into_owned();
        divide_rows(&mut left, members.iter().map(|members| members.sqrt()));
        if kinds.is_some() {
            divide_rows(&mut right, members.iter().map(|members| members.sqrt()));
        }
        let mut contrasts = solution.contrasts();
        contrasts.truncate(columns);
        let bias = (problem.regularization().bias() != Bias::None)
            .then(|| centered(&problem, solution.state.bias, members));
        Self {
            problem,
            kinds,
            left,
            right,
            between: solution.frame.values,
            contrasts,
            bias,
            loss: solution.objective,
            lower_bound: solution.lower_bound,
            steps: solution.steps,
        }
    }

    fn check_range(&self) -> Result<()> {
        let largest = self.singular_values_of_logits();
        let largest = largest.first().map_or(0.0, |largest| largest.value);
        let decays = [self.problem.weight_decay(), self.problem.regularization().feature_decay()];
        let energy = largest * self.problem.price();
        if !self.loss.is_finite() || decays.iter().any(|decay| !(energy / decay).is_finite()) {
            let quantity = "a squared singular value of the weights or features";
            return Err(Error::Unrepresentable { quantity, log10: f64::INFINITY });
        }
        Ok(())
    }

    fn check_width(&self) -> Result<()> {
        let width = self.problem.widths().and_then(|widths| widths.first().copied());
        if width.is_some_and(|width| width < self.rank()) {
            return Err(Error::NoClosedForm {
                problem: "features of less dimensions than the rank of the convex program's minimum",
            });
        }
        Ok(())
    }

    /// The problem that this is the minimum of.
    #[must_use]
    pub fn problem(&self) -> &ConvexUfm {
        &self.problem
    }

    /// By how much the loss can at most be above the minimum: loss − lower bound. It is rigorous but for the
    /// rounding of single operations, which the bound makes an allowance for.
    #[must_use]
    pub fn gap(&self) -> f64 {
        self.loss - self.lower_bound
    }

    /// Steps of the method.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The rank of the logits without the bias: as many dimensions do the features need.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.singular_values_of_logits().iter().map(|value| value.multiplicity).sum()
    }

    /// The logits Z = W H̄ without the bias, a column for each class or soft label (K×J).
    ///
    /// For many classes [`class_outputs`](Prediction::class_outputs) has them without K² numbers.
    #[must_use]
    pub fn outputs(&self) -> DMatrix<f64> {
        match self.class_outputs().ok().and_then(|outputs| outputs.to_dense()) {
            Some(outputs) => outputs,
            None => self.between_matrix(Side::Left, Side::Right, |value| value),
        }
    }

    /// The Gram matrix HᵀH of the features, one of each class or soft label (J×J).
    #[must_use]
    pub fn features_gram(&self) -> DMatrix<f64> {
        match self.class_means_gram().ok().and_then(|gram| gram.to_dense()) {
            Some(gram) => gram,
            None => {
                let aspect = self.aspect();
                self.between_matrix(Side::Right, Side::Right, |value| value / aspect)
            }
        }
    }

    /// √(λ_H/λ_W), by which WWᵀ exceeds (XXᵀ)^(1/2).
    fn aspect(&self) -> f64 {
        self.problem.regularization().feature_decay().sqrt() / self.problem.weight_decay().sqrt()
    }

    /// √n of each kind.
    fn scales(&self) -> Vec<f64> {
        match &self.kinds {
            Some(kinds) => kinds.kinds().iter().map(|kind| (kind.size as f64).sqrt()).collect(),
            None => {
                let runs = self.problem.counts().runs();
                runs.flat_map(|run| core::iter::repeat_n((run.size as f64).sqrt(), run.class_count))
                    .collect()
            }
        }
    }

    /// Σ f(σ) u vᵀ over the singular values between kinds, with the columns of logits or features not yet
    /// divided by √n where they are on the right.
    fn between_matrix(&self, left: Side, right: Side, value: impl Fn(f64) -> f64) -> DMatrix<f64> {
        let mut scaled = self.side(left);
        for (mut column, &size) in scaled.column_iter_mut().zip(&self.between) {
            column *= value(size);
        }
        product(&scaled, &transposed(&self.side(right)))
    }

    /// U, or diag(√n)⁻¹V.
    fn side(&self, side: Side) -> DMatrix<f64> {
        match side {
            Side::Left => self.left.clone(),
            Side::Right => {
                let mut right = self.right.clone();
                divide_rows(&mut right, self.scales().into_iter());
                right
            }
        }
    }

    /// A matrix over classes: `within` on the contrasts of each kind, and the given constants between kinds.
    fn class_matrix(
        &self,
        question: &'static str,
        within: impl Fn(f64, f64) -> f64,
        between: impl FnOnce() -> DMatrix<f64>,
    ) -> Result<ClassMatrix> {
        let Some(kinds) = &self.kinds else {
            return Err(Error::NotAnswered { question, reason: "soft labels have no classes" });
        };
        let scales = self.scales();
        // A class alone has a contrast of zero.
        let contrasts = self.contrasts.iter().zip(scales);
        let diagonal: Vec<f64> = contrasts.map(|(&q, scale)| within(q, scale)).collect();
        let mut between = between();
        for (index, (value, kind)) in diagonal.iter().zip(kinds.kinds()).enumerate() {
            if let Some(entry) = between.get_mut((index, index)) {
                *entry -= value / kind.classes as f64;
            }
        }
        Ok(ClassMatrix::from_kinds(kinds, diagonal, Some(between)))
    }

    /// The singular values of X = Z diag(√n), by falling size.
    fn singular_values_of_logits(&self) -> Vec<SingularValue> {
        let between = self.between.iter().map(|&value| SingularValue::new(value, 1));
        let kinds = self.kinds.iter().flat_map(Kinds::kinds);
        let within = kinds.zip(&self.contrasts).zip(self.scales());
        let within =
            within.map(|((kind, q), scale)| SingularValue::new(q * scale, kind.classes - 1));
        // A class alone has a contrast of zero.
        let positive = |value: &SingularValue| value.value > 0.0;
        let mut values: Vec<_> = between.chain(within).filter(positive).collect();
        values.sort_by(|a, b| b.value.total_cmp(&a.value));
        values
    }

    fn singular_values_for(&self, decay: f64) -> Vec<SingularValue> {
        let price = self.problem.price();
        let value = |single: SingularValue| {
            SingularValue::new((price * single.value / decay).sqrt(), single.multiplicity)
        };
        self.singular_values_of_logits().into_iter().map(value).collect()
    }

    fn geometry_of_class(&self, size: u64, kind: usize, kinds: &Kinds<2>) -> ClassGeometry {
        let members = kinds.kinds()[kind].classes as f64;
        let root = (size as f64).sqrt();
        let q = self.contrasts[kind];
        let within = q * root * (members - 1.0) / members;
        let norm = |vectors: &DMatrix<f64>| {
            let entries = vectors.row(kind);
            let squares =
                entries.iter().zip(&self.between).map(|(entry, value)| entry * entry * value);
            within + squares.sum::<f64>()
        };
        let (classifier, features) = (norm(&self.left), norm(&self.right));
        ClassGeometry {
            count: size,
            collapsed: Some(classifier == 0.0 && features == 0.0),
            classifier_norm_squared: Some(self.aspect() * classifier),
            feature_norm_squared: Some(features / self.aspect() / size as f64),
        }
    }

    /// All singular vectors, those within kinds included.
    fn fitted_vectors(&self) -> FittedVectors {
        let (left, right) = (self.side(Side::Left), self.side(Side::Right));
        let price = self.problem.price();
        let mut energies: Vec<f64> = self.between.iter().map(|value| price * value).collect();
        let Some(kinds) = &self.kinds else { return FittedVectors { left, right, energies } };
        let classes = kinds.classes();
        let of_classes = kinds.of_classes();
        let rows = |vectors: &DMatrix<f64>| vectors.select_rows(&of_classes);
        let (mut left, mut right) = (rows(&left), rows(&right));
        let contrasts = self.contrasts.iter().zip(self.scales());
        for (members, (&q, scale)) in self.members(kinds).into_iter().zip(contrasts) {
            if q > 0.0 {
                let basis = Subset::Contrasts(members).basis(classes);
                energies.extend(core::iter::repeat_n(price * q * scale, basis.ncols()));
                left = beside(&left, &basis);
                right = beside(&right, &(basis / scale));
            }
        }
        FittedVectors { left, right, energies }
    }

    fn members(&self, kinds: &Kinds<2>) -> Vec<Vec<Range<usize>>> {
        let mut members = vec![Vec::new(); kinds.kinds().len()];
        for (run, kind) in kinds.runs(self.problem.counts()) {
            members[kind].push(run.classes());
        }
        members
    }
}

/// The singular vectors of which side.
#[derive(Debug, Clone, Copy)]
enum Side {
    Left,
    Right,
}

fn divide_rows(matrix: &mut DMatrix<f64>, divisors: impl Iterator<Item = f64>) {
    for (mut row, divisor) in matrix.row_iter_mut().zip(divisors) {
        row /= divisor;
    }
}

/// Two matrices side by side.
fn beside(left: &DMatrix<f64>, right: &DMatrix<f64>) -> DMatrix<f64> {
    let mut both = left.clone().resize_horizontally(left.ncols() + right.ncols(), 0.0);
    both.columns_mut(left.ncols(), right.ncols()).copy_from(right);
    both
}

/// Takes the mean out of a bias that the loss determines but for a common number.
fn centered(problem: &ConvexUfm, mut bias: Vec<f64>, members: &[f64]) -> Vec<f64> {
    if problem.loss_function() != LossFunction::SquaredError {
        let sum: f64 = bias.iter().zip(members).map(|(b, members)| b * members).sum();
        let mean = sum / members.iter().sum::<f64>();
        bias.iter_mut().for_each(|b| *b -= mean);
    }
    bias
}

impl Prediction for ConvexMinimum {
    fn training_objective(&self) -> TrainingObjective {
        self.problem.training_objective()
    }

    fn counts(&self) -> Option<&ClassCounts> {
        self.kinds.is_some().then(|| self.problem.counts())
    }

    fn label_geometry(&self) -> Result<LabelGeometry> {
        self.geometry_of_labels()
    }

    fn classes(&self) -> usize {
        self.problem.classes()
    }

    fn depth(&self) -> usize {
        1
    }

    fn widths(&self) -> Option<&[usize]> {
        self.problem.widths()
    }

    fn geometry(&self) -> Geometry {
        let one_kind = self.kinds.as_ref().is_some_and(|kinds| kinds.kinds().len() == 1);
        match self.between.len() {
            0 if self.rank() == 0 => Geometry::Collapsed,
            0 if one_kind => Geometry::SimplexEtf,
            _ => Geometry::Convex,
        }
    }

    fn verdict(&self) -> Verdict {
        Verdict::ProvedWithinGap { lower_bound: self.lower_bound, source: PROOF }
    }

    fn loss(&self) -> f64 {
        self.loss
    }

    fn lower_bound(&self) -> Option<f64> {
        Some(self.lower_bound)
    }

    fn is_unique(&self) -> bool {
        true
    }

    /// Classes of one size with different weights are not alike.
    fn is_symmetric(&self) -> bool {
        let sizes = self.problem.counts().sizes().len();
        self.kinds.as_ref().is_some_and(|kinds| kinds.kinds().len() == sizes)
    }

    /// Weights tell which class is which.
    fn has_arbitrary_order(&self) -> bool {
        false
    }

    fn class_runs(&self) -> Result<Vec<(Run, ClassGeometry)>> {
        let Some(kinds) = &self.kinds else {
            let (question, reason) = ("the runs of classes", "soft labels have no classes");
            return Err(Error::NotAnswered { question, reason });
        };
        let runs = kinds.runs(self.problem.counts());
        Ok(runs.map(|(run, kind)| (run, self.geometry_of_class(run.size, kind, kinds))).collect())
    }

    fn bias(&self) -> Option<Vec<f64>> {
        let bias = self.bias.as_ref()?;
        match &self.kinds {
            Some(kinds) => {
                kinds.of_classes().into_iter().map(|kind| bias.get(kind).copied()).collect()
            }
            None => Some(bias.clone()),
        }
    }

    fn singular_values(&self, layers: RangeInclusive<usize>) -> Result<Vec<SingularValue>> {
        self.problem.regularization().layer_indices(&layers)?;
        Ok(self.singular_values_for(self.problem.weight_decay()))
    }

    fn feature_singular_values(&self) -> Result<Vec<SingularValue>> {
        Ok(self.singular_values_for(self.problem.regularization().feature_decay()))
    }

    /// √(λ_H/λ_W) (XXᵀ)^(1/2) with X = Z diag(√n).
    fn trailing_gram(&self, layers: usize) -> Result<ClassMatrix> {
        self.problem.regularization().check_trailing(layers)?;
        let aspect = self.aspect();
        let between = || self.between_matrix(Side::Left, Side::Left, |value| aspect * value);
        if self.kinds.is_none() {
            return Ok(ClassMatrix::dense(between()));
        }
        self.class_matrix("the classifier's Gram matrix", |q, scale| aspect * q * scale, between)
    }

    /// √(λ_W/λ_H) diag(n)^(−1/2) (XᵀX)^(1/2) diag(n)^(−1/2).
    fn class_means_gram(&self) -> Result<ClassMatrix> {
        let aspect = self.aspect();
        let between = || self.between_matrix(Side::Right, Side::Right, |value| value / aspect);
        self.class_matrix("the class means' Gram matrix", |q, scale| q / scale / aspect, between)
    }

    /// Z.
    fn class_outputs(&self) -> Result<ClassMatrix> {
        let between = || self.between_matrix(Side::Left, Side::Right, |value| value);
        self.class_matrix("the outputs for the class means", |q, _| q, between)
    }

    fn explicit(&self, basis: &Basis) -> Result<ExplicitPoint> {
        let problem = &self.problem;
        let columns = problem.counts().classes();
        let sizes = (problem.classes(), columns, self.rank());
        check_matrices(problem.regularization(), problem.widths(), sizes)?;
        let copies = match problem.labels() {
            Labels::Soft { .. } => Copies::Kinds(problem.counts().clone()),
            Labels::Classes { .. } | Labels::PyTorch { .. } => {
                Copies::Classes(problem.counts().clone())
            }
        };
        let bias = self.bias().map(DVector::from_vec);
        let vectors = self.fitted_vectors();
        vectors.assemble_with(problem.regularization(), problem.widths(), basis, bias, copies)
    }
}

#[cfg(test)]
mod tests;
