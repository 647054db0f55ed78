//! The global minimum of the layer-peeled model.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::models::convex::SMALL_BUDGET;
use crate::models::convex::budget::BudgetSolution;
use crate::models::convex::data::{Column, Data, Fidelity};
use crate::models::layer_peeled::problem::LayerPeeled;
use crate::models::layer_peeled::two_sizes::TwoSizes;
use crate::monitor::Monitor;
use crate::numerics::linalg::{product, transposed};
use crate::prediction::ClassGeometry;
use crate::problem::counts::{ClassCounts, Run};
use crate::problem::regularization::Bias;

/// The global minimum of a [`LayerPeeled`] model: unique up to rotations of the feature space.
///
/// ```
/// use neural_collapse::{ClassCounts, LayerPeeled, Prediction};
///
/// // Balanced: ln(1 + (K−1) exp(−K/(K−1)·√(E_W E_H))).
/// let minimum = LayerPeeled::new(ClassCounts::balanced(5, 20)?, 4.0, 1.0)?.global_minimum()?;
/// assert!((minimum.loss() - (4.0 * (-2.5_f64).exp()).ln_1p()).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LayerPeeledMinimum {
    problem: LayerPeeled,
    /// √(E_W/E_H).
    pub(super) aspect: f64,
    /// The singular value of Z on the contrasts within each group of equal sizes.
    pub(super) within: Vec<f64>,
    /// The singular values of Z between the groups.
    pub(super) between: Vec<f64>,
    /// Their left and right singular vectors, an entry for each class of a group.
    pub(super) left: DMatrix<f64>,
    pub(super) right: DMatrix<f64>,
    pub(super) loss: f64,
    multiplier: f64,
    /// A lower bound of all values, if there is no closed form.
    pub(super) lower_bound: Option<f64>,
}

impl LayerPeeled {
    /// The global minimum.
    ///
    /// Balanced: a simplex ETF with ‖w_k‖² = E_W and ‖h_k‖² = E_H, aligned. Two sizes: by two nested
    /// scalar equations, each solved in a bracket with a bounded number of steps; the logits are then
    /// found with an absolute error of about 10⁻¹⁵. Other sizes: by the convex program with prices for the norm, until
    /// one spends the budget. Small budgets with a single largest class are solved as what they are in the limit, the
    /// budget times a fixed direction, and corrected from there, so that their digits do not suffer.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, LayerPeeled, Prediction};
    ///
    /// let counts = ClassCounts::new(&[100, 60, 30, 10, 10])?;
    /// let minimum = LayerPeeled::new(counts, 3.0, 2.0)?.global_minimum()?;
    /// let gap = minimum.loss() - minimum.lower_bound().unwrap();
    /// assert!(gap < 1e-9 * minimum.loss());
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unrepresentable`] if E_W E_H or E_W/E_H is out of the range of `f64`, or the loss is too small for it;
    /// [`Error::NoConvergence`] if no finite point was found.
    ///
    /// Source: Theorem 1 (balanced) and section "Imbalanced training" of Fang et al. (PNAS 2021).
    pub fn global_minimum(&self) -> Result<LayerPeeledMinimum> {
        self.global_minimum_with(&())
    }

    /// [`global_minimum`](Self::global_minimum) under the eyes of a monitor, which hears of each step of the convex
    /// program.
    ///
    /// # Errors
    /// As there, and [`Error::Cancelled`] if the monitor ends the work.
    pub fn global_minimum_with(&self, monitor: &dyn Monitor) -> Result<LayerPeeledMinimum> {
        let aspect = self.weight_energy().sqrt() / self.feature_energy().sqrt();
        for (quantity, value) in [
            ("the nuclear norm K√(E_W E_H)", self.nuclear_norm()),
            ("the ratio √(E_W/E_H)", aspect),
        ] {
            if !value.is_normal() {
                return Err(Error::Unrepresentable { quantity, log10: value.log10() });
            }
        }
        let problem = self.clone();
        match self.counts().groups() {
            [_] => Ok(LayerPeeledMinimum::balanced(problem, aspect)),
            // Two nested equations know the logits to absolute digits only, the contrasts apart.
            [large, small] if large.class_count > 1 || self.nuclear_norm() > SMALL_BUDGET => {
                let sizes = [large.size as f64, small.size as f64];
                let classes = [large.class_count as f64, small.class_count as f64];
                Ok(LayerPeeledMinimum::of_two_sizes(problem, aspect, sizes, classes))
            }
            _ => LayerPeeledMinimum::of_any_sizes(problem, aspect, monitor),
        }
    }
}

impl LayerPeeledMinimum {
    fn balanced(problem: LayerPeeled, aspect: f64) -> Self {
        let others = problem.counts().classes() as f64 - 1.0;
        let logit = problem.nuclear_norm() / others;
        let unlikely = (-logit).exp();
        Self {
            aspect,
            within: vec![logit],
            between: Vec::new(),
            left: DMatrix::zeros(1, 0),
            right: DMatrix::zeros(1, 0),
            loss: (others * unlikely).ln_1p(),
            multiplier: unlikely / (1.0 + others * unlikely),
            problem,
            lower_bound: None,
        }
    }

    fn of_two_sizes(problem: LayerPeeled, aspect: f64, sizes: [f64; 2], classes: [f64; 2]) -> Self {
        let log_ratio = ((sizes[0] - sizes[1]) / sizes[1]).ln_1p();
        let (reduced, delta) = TwoSizes { classes }.solve(problem.nuclear_norm(), log_ratio);
        let samples = problem.counts().samples() as f64;
        let loss = |group: usize| sizes[group] * classes[group] / samples * reduced.losses[group];
        let between = reduced.between_norm();
        let total = classes[0] + classes[1];
        let unit = |component: f64| if between > 0.0 { component / between } else { 0.0 };
        let left = [
            (classes[1] / (total * classes[0])).sqrt(),
            -(classes[0] / (total * classes[1])).sqrt(),
        ];
        let right = [
            unit(reduced.between[0]) / classes[0].sqrt(),
            -unit(reduced.between[1]) / classes[1].sqrt(),
        ];
        Self {
            problem,
            aspect,
            within: reduced.within.to_vec(),
            between: vec![between],
            left: DMatrix::from_column_slice(2, 1, &left),
            right: DMatrix::from_column_slice(2, 1, &right),
            loss: loss(0) + loss(1),
            multiplier: sizes[0] / samples * (-delta).exp(),
            lower_bound: None,
        }
    }

    /// By the convex program.
    fn of_any_sizes(problem: LayerPeeled, aspect: f64, monitor: &dyn Monitor) -> Result<Self> {
        let data = program(problem.counts());
        let solution = data.within_budget(problem.nuclear_norm(), monitor)?;
        Ok(Self::of_solution(problem, aspect, solution))
    }

    fn of_solution(problem: LayerPeeled, aspect: f64, solution: BudgetSolution) -> Self {
        let rank = solution.frame.rank();
        let mut left = solution.frame.left.columns(0, rank).into_owned();
        let mut right = solution.frame.right.columns(0, rank).into_owned();
        for matrix in [&mut left, &mut right] {
            for (mut row, group) in matrix.row_iter_mut().zip(problem.counts().sizes()) {
                row /= (group.class_count as f64).sqrt();
            }
        }
        Self {
            problem,
            aspect,
            within: solution.contrasts,
            between: solution.frame.values,
            left,
            right,
            loss: solution.loss,
            multiplier: solution.multiplier,
            lower_bound: Some(solution.lower_bound),
        }
    }

    /// The problem that this is the minimum of.
    #[must_use]
    pub fn problem(&self) -> &LayerPeeled {
        &self.problem
    }

    /// The multiplier ν of the constraint ‖Z‖_* ≤ K√(E_W E_H): by how much the loss falls for each
    /// unit that it is relaxed by.
    ///
    /// Classes of a size n_g share one classifier iff ν ≥ n_g/N.
    #[must_use]
    pub fn multiplier(&self) -> f64 {
        self.multiplier
    }

    /// Whether the classes of the smallest size, two or more and not of the largest size too, share one
    /// classifier: minority collapse.
    #[must_use]
    pub fn minority_collapsed(&self) -> bool {
        let minority = self.problem.counts().sizes().zip(&self.within).skip(1).last();
        minority.is_some_and(|(group, &within)| group.class_count > 1 && within == 0.0)
    }

    /// Left singular vectors · scale·Σ · right ones, an entry for each class.
    pub(super) fn matrix(
        &self,
        scale: f64,
        left: &DMatrix<f64>,
        right: &DMatrix<f64>,
    ) -> ClassMatrix {
        let within: Vec<f64> = self.within.iter().map(|q| scale * q).collect();
        let mut scaled = left.clone();
        for (mut column, value) in scaled.column_iter_mut().zip(&self.between) {
            column *= scale * value;
        }
        let between = product(&scaled, &transposed(right));
        ClassMatrix::from_contrasts(self.problem.counts(), &within, between)
    }

    /// The geometry of one class, or `None` if there is no such class.
    #[must_use]
    pub fn class(&self, class: usize) -> Option<ClassGeometry> {
        self.problem.counts().run_of(class).map(|run| self.geometry_of(run))
    }

    pub(super) fn geometry_of(&self, run: Run) -> ClassGeometry {
        let group = run.group;
        let members = self.problem.counts().groups()[group].class_count as f64;
        let within = self.within[group] * (members - 1.0) / members;
        let norm = |vectors: &DMatrix<f64>| {
            let row = vectors.row(group);
            let entries = self.between.iter().zip(&row);
            within + entries.map(|(value, entry)| value * entry * entry).sum::<f64>()
        };
        ClassGeometry {
            count: run.size,
            collapsed: Some(norm(&self.left) == 0.0),
            classifier_norm_squared: Some(self.aspect * norm(&self.left)),
            feature_norm_squared: Some(norm(&self.right) / self.aspect),
        }
    }
}

/// min Σ_k (n_k/N) CE(Z e_k, k), by groups of equal sizes.
fn program(counts: &ClassCounts) -> Data {
    let samples = counts.samples() as f64;
    let rows: Vec<f64> = counts.sizes().map(|group| group.class_count as f64).collect();
    let columns = counts.sizes().enumerate().map(|(anchor, group)| Column {
        weight: group.size as f64 / samples,
        members: group.class_count as f64,
        scale: 1.0,
        anchor,
        own: 1.0,
        deficit: 0.0,
    });
    let (size, columns) = (rows.len(), columns.collect());
    let labels = DMatrix::zeros(size, size);
    Data::new(Fidelity::CrossEntropy, rows, columns, labels, Bias::None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prediction::Prediction;

    fn model(runs: &[(u64, usize)], weight_energy: f64, feature_energy: f64) -> LayerPeeled {
        let counts = ClassCounts::from_runs(runs.iter().copied()).unwrap();
        LayerPeeled::new(counts, weight_energy, feature_energy).unwrap()
    }

    fn same(found: &LayerPeeledMinimum, closed: &LayerPeeledMinimum, tolerance: f64) {
        let context = format!("{:?}", closed.problem);
        let error = found.loss / closed.loss - 1.0;
        assert!(error.abs() < 1e-10, "{error:e}: {context}");
        assert!(found.lower_bound.is_none_or(|bound| bound <= closed.loss * (1.0 + 1e-13)));
        assert!((found.multiplier / closed.multiplier - 1.0).abs() < 1e-8, "{context}");
        let [found, closed] =
            [found, closed].map(|minimum| minimum.class_outputs().unwrap().to_dense());
        let (found, closed) = (found.unwrap(), closed.unwrap());
        let error = (&found - &closed).amax() / closed.amax();
        assert!(error < tolerance, "{error:e}: {context}{found}{closed}");
    }

    /// The convex program beside the closed forms that it does not know.
    #[test]
    fn any_sizes_are_as_one_and_two() {
        for runs in [
            &[(20, 3), (10, 3)][..],
            &[(50, 1), (10, 4)],
            &[(50, 4), (10, 1)],
            &[(7, 1), (3, 1)],
            &[(300, 2), (1, 4)],
        ] {
            for energy in [1e-3, 0.1, 0.5, 2.0, 10.0] {
                let counts = ClassCounts::from_runs(runs.iter().copied()).unwrap();
                let problem = LayerPeeled::new(counts, energy, 2.0 * energy).unwrap();
                let closed = problem.global_minimum().unwrap();
                let found =
                    LayerPeeledMinimum::of_any_sizes(problem.clone(), closed.aspect, &()).unwrap();
                same(&found, &closed, 1e-6);
            }
        }
        let problem = LayerPeeled::new(ClassCounts::balanced(6, 9).unwrap(), 2.0, 1.0).unwrap();
        let closed = problem.global_minimum().unwrap();
        let found = LayerPeeledMinimum::of_any_sizes(problem, closed.aspect, &()).unwrap();
        same(&found, &closed, 1e-9);
    }

    /// A single largest class with a small budget is left to the program, which keeps the digits.
    #[test]
    fn two_sizes_are_solved_in_closed_form_but_where_digits_would_suffer() {
        let (closed, program) = ("proved", "proved_within_gap");
        for (runs, energy, expected) in [
            (&[(20, 3), (10, 3)][..], 1.0, closed),
            (&[(20, 3), (10, 3)], 1e-6, closed),
            (&[(50, 1), (10, 4)], 1.0, closed),
            (&[(50, 1), (10, 4)], 1e-6, program),
            (&[(20, 6)], 1e-6, closed),
            (&[(20, 1), (10, 1), (5, 1)], 1.0, program),
        ] {
            let minimum = model(runs, energy, energy).global_minimum().unwrap();
            assert_eq!(minimum.verdict().keyword(), expected, "{runs:?}, {energy}");
        }
        let edge = model(&[(50, 1), (10, 1)], 2.5e-7, 1.0);
        assert_eq!(edge.nuclear_norm(), SMALL_BUDGET);
        assert_eq!(edge.global_minimum().unwrap().verdict().keyword(), program);
    }

    /// Each class has the geometry of its run.
    #[test]
    fn classes_are_asked_for_one_by_one() {
        let minimum = model(&[(1000, 2), (10, 3), (1000, 1)], 1.0, 2.0).global_minimum().unwrap();
        for (run, geometry) in minimum.class_runs().unwrap() {
            for class in run.classes() {
                assert_eq!(minimum.class(class), Some(geometry));
            }
        }
        assert_eq!(minimum.class(6), None);
        // The small classes share one classifier: two directions of the large ones, and one between both.
        let values = minimum.singular_values(1..=1).unwrap();
        let multiplicities: Vec<usize> = values.iter().map(|value| value.multiplicity).collect();
        assert_eq!(multiplicities.iter().sum::<usize>(), 3);
        assert_eq!(minimum.rank(), 3);
        // A small budget goes to the large classes alone.
        let small = model(&[(20, 3), (10, 3)], 1e-6, 1e-6).global_minimum().unwrap();
        assert_eq!((small.rank(), small.singular_values(1..=1).unwrap().len()), (2, 1));
        assert!(minimum.is_unique() && minimum.bias().is_none() && minimum.widths().is_none());
    }
}
