//! The smallest logits of sparse soft labels, whether or not the centered supports are they: a minimum with bounds.

use nalgebra::{DMatrix, DVectorViewMut};

use crate::error::Result;
use crate::geometry::class_matrix::ClassMatrix;
use crate::models::convex::margins::Projection;
use crate::models::convex::multipliers::MarginProgram;
use crate::models::soft_labels::factors::Factors;
use crate::models::soft_labels::problem::SparseLabels;
use crate::models::soft_labels::subgradient::Decomposition;
use crate::monitor::Monitor;
use crate::numerics::linalg::left_svd;

/// Cap on the rounds.
const MAX_ROUNDS: u64 = 40;
/// Relative gap between norm and bound at which the work is done.
const GAP: f64 = 1e-11;

/// Logits L of the support vector machine of [`SparseLabels`], min ‖L D^½‖_* with equal logits on each support and margins
/// of at least 1 to all others, with a lower bound of all such norms.
///
/// Where the centered supports are the minimum these are they. With L D^½ = UΣVᵀ it has W Wᵀ = UΣUᵀ and the features
/// h_j √n_j = column j of R Σ^½ Vᵀ for a rotation R. As a [`Prediction`](crate::Prediction) it answers for the
/// classifier, *proved within the gap*; [`context_gram`](Self::context_gram) has the features.
#[derive(Debug, Clone, PartialEq)]
pub struct SmallestLogits {
    problem: SparseLabels,
    factors: Factors,
    logits: DMatrix<f64>,
    /// At most the norm; up to the rounding of a singular value decomposition.
    pub(super) lower_bound: f64,
    rounds: u64,
}

impl SmallestLogits {
    /// The problem.
    #[must_use]
    pub fn problem(&self) -> &SparseLabels {
        &self.problem
    }

    /// L, K×J: its columns sum to zero, and are zero for contexts whose support is everything.
    #[must_use]
    pub fn logits(&self) -> &DMatrix<f64> {
        &self.logits
    }

    /// How far the norm can be above the minimum.
    #[must_use]
    pub fn gap(&self) -> f64 {
        self.factors.norm() - self.lower_bound
    }

    /// Convex programs that were solved; 0 where the centered supports are the minimum by their polar factor.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.rounds
    }

    /// The inner products h_i·h_j of the features of all J contexts, zero for contexts whose support is everything.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) if the J² numbers do not fit into memory.
    pub fn context_gram(&self) -> Result<ClassMatrix> {
        self.factors.context_gram(&self.problem)
    }

    pub(crate) fn factors(&self) -> &Factors {
        &self.factors
    }
}

impl SparseLabels {
    /// The logits of smallest norm, whether or not the centered supports are they
    /// ([`global_minimum`](Self::global_minimum) tells).
    ///
    /// By the method of multipliers: each round puts the squared distance to the constraints, which is more and more
    /// expensive, into the place of the loss of a convex program, and solves it as
    /// [`ConvexUfm`](crate::models::convex::ConvexUfm) is solved. What a round ends at is made feasible, and its
    /// multipliers are repaired to prove a lower bound. It ends at a relative gap of 10⁻¹¹, after some seven
    /// rounds, or where the gap does not fall any more, with the best norm and the best bound that were
    /// seen: see [`gap`](SmallestLogits::gap).
    ///
    /// ```
    /// use neural_collapse::Prediction;
    /// use neural_collapse::models::soft_labels::SparseLabels;
    ///
    /// let supports = [vec![0, 1, 2], vec![0, 3], vec![1, 3], vec![2, 4]];
    /// let labels = SparseLabels::new(5, &supports, &[9, 1, 1, 4])?;
    /// let (centered, smallest) = (labels.global_minimum()?, labels.smallest_logits()?);
    /// assert!(smallest.loss() <= centered.loss() && smallest.gap() < 1e-10 * smallest.loss());
    /// // Equal logits on the support, at least 1 less elsewhere.
    /// let column = smallest.logits().column(1);
    /// assert!((column[0] - column[3]).abs() < 1e-12 && column[0] - column[1] > 1.0 - 1e-12);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoConvergence`](crate::Error::NoConvergence) if a singular value decomposition fails.
    pub fn smallest_logits(&self) -> Result<SmallestLogits> {
        self.smallest_logits_with(&())
    }

    /// [`smallest_logits`](Self::smallest_logits) with somebody who watches.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled) if the monitor ends the work; else as there.
    pub fn smallest_logits_with(&self, monitor: &dyn Monitor) -> Result<SmallestLogits> {
        let decomposition = Decomposition::new(self)?;
        let mut best = Best::new(self, &decomposition)?;
        let samples: Vec<f64> = self.distinct.iter().map(|distinct| distinct.samples).collect();
        let supports = self.distinct.iter().map(|distinct| distinct.support.clone()).collect();
        // The size of a singular value: the norm and the distance are then of one size.
        let unit = best.norm / decomposition.factors.values.len().max(1) as f64;
        let mut program = MarginProgram::new(decomposition.x.clone(), supports, &samples, unit)?;
        let mut rounds = 0;
        let mut idle = 0;
        while !best.is_enough() && rounds < MAX_ROUNDS && idle < 2 {
            monitor.report("smallest logits", rounds, None)?;
            let gap = best.gap();
            let (mut point, subgradient) = program.round(monitor)?;
            rounds += 1;
            best.bound = best.bound.max(decomposition.lower_bound(self, &subgradient)?);
            self.make_feasible(&mut point);
            best.see(&point)?;
            idle = if best.gap() < 0.5 * gap { 0 } else { idle + 1 };
        }
        let factors = best.factors(decomposition)?;
        Ok(SmallestLogits {
            problem: self.clone(),
            logits: self.of_all_contexts(&best.scaled),
            lower_bound: best.bound.min(factors.norm()),
            factors,
            rounds,
        })
    }

    /// The nearest matrix with one value on each support and values smaller by √n_j at least elsewhere, without the
    /// means of its columns, which lengthen it.
    fn make_feasible(&self, matrix: &mut DMatrix<f64>) {
        for (mut column, distinct) in matrix.column_iter_mut().zip(&self.distinct) {
            project(&mut column, &distinct.support, distinct.samples.sqrt());
            let mean = column.mean();
            column.add_scalar_mut(-mean);
        }
    }

    /// The columns of the distinct supports less √n_j, for every context.
    fn of_all_contexts(&self, scaled: &DMatrix<f64>) -> DMatrix<f64> {
        let mut logits = DMatrix::zeros(scaled.nrows(), self.of_contexts.len());
        for (mut column, distinct) in logits.column_iter_mut().zip(&self.of_contexts) {
            let own = distinct.and_then(|index| Some((index, self.distinct.get(index)?)));
            if let Some((index, distinct)) = own {
                column.copy_from(&(scaled.column(index) / distinct.samples.sqrt()));
            }
        }
        logits
    }
}

/// The shortest feasible matrix and the highest bound so far.
struct Best {
    scaled: DMatrix<f64>,
    norm: f64,
    bound: f64,
    /// Whether these are still the centered supports.
    is_centered: bool,
}

impl Best {
    /// The centered supports, with what their polar factor proves.
    fn new(problem: &SparseLabels, decomposition: &Decomposition) -> Result<Self> {
        Ok(Self {
            scaled: decomposition.x.clone(),
            norm: decomposition.norm(),
            bound: decomposition.lower_bound(problem, &decomposition.factors.polar())?,
            is_centered: true,
        })
    }

    fn gap(&self) -> f64 {
        self.norm - self.bound
    }

    fn is_enough(&self) -> bool {
        self.gap() <= GAP * self.norm
    }

    /// Takes a feasible matrix if it is shorter.
    fn see(&mut self, feasible: &DMatrix<f64>) -> Result<()> {
        let norm = left_svd(feasible)?.singular_values.sum();
        if norm < self.norm {
            (self.scaled, self.norm) = (feasible.clone(), norm);
            self.is_centered = false;
        }
        Ok(())
    }

    /// Its singular vectors, without those of singular values that rounding makes.
    fn factors(&self, decomposition: Decomposition) -> Result<Factors> {
        if self.is_centered {
            return Ok(decomposition.factors);
        }
        without_rounding(&self.scaled)
    }
}

/// The singular vectors of a matrix, without those of singular values that rounding makes.
fn without_rounding(matrix: &DMatrix<f64>) -> Result<Factors> {
    let values = left_svd(matrix)?.singular_values;
    let largest = values.iter().copied().fold(0.0, f64::max);
    let size = (matrix.nrows() + matrix.ncols()) as f64;
    let least = 4.0 * size * f64::EPSILON * largest;
    Factors::new(matrix, values.iter().filter(|&&value| value > least).count())
}

/// Moves a column to the nearest with one level on the support and less by the margin at least elsewhere.
fn project(column: &mut DVectorViewMut<'_, f64>, support: &[usize], margin: f64) {
    let mut inside = vec![false; column.len()];
    support.iter().for_each(|&token| inside[token] = true);
    let entries: Vec<f64> = column.iter().copied().collect();
    let level = Projection::new(&entries, support, margin).level;
    for (entry, inside) in column.iter_mut().zip(inside) {
        *entry = if inside { level } else { entry.min(level - margin) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prediction::Prediction;

    /// Singular values below some roundings of the largest are left out, at every size and shape, and no others.
    #[test]
    fn singular_values_that_rounding_makes_are_left_out() {
        for (rows, columns) in [(5, 5), (4, 9), (9, 4)] {
            let rounding = 4.0 * (rows + columns) as f64 * f64::EPSILON;
            for size in [1e-100, 0.3, 1e100] {
                for (share, rank) in [(0.0, 2), (0.5, 2), (2.0, 3), (1e6, 3)] {
                    let mut matrix = DMatrix::zeros(rows, columns);
                    matrix[(1, 2)] = 2.0 * size;
                    matrix[(3, 0)] = size;
                    matrix[(2, 1)] = share * rounding * 2.0 * size;
                    let factors = without_rounding(&matrix).unwrap();
                    assert_eq!(factors.values.len(), rank, "{rows}×{columns}, {size:e}, {share}");
                }
            }
        }
        assert_eq!(without_rounding(&DMatrix::zeros(3, 4)).unwrap().values.len(), 0);
    }

    /// Seven rounds, whatever the unit of the samples is; none where the polar factor proves the centered supports, and an
    /// end where the gap does not fall any more.
    #[test]
    fn rounds_are_few() {
        let four = [vec![0, 1, 2], vec![0, 3], vec![1, 3], vec![2, 4]];
        let three = [vec![0, 1], vec![0, 2], vec![0]];
        for (supports, samples, steps) in [
            (&[vec![0], vec![1], vec![2, 3]][..], &[10, 4, 7][..], 0),
            (&four, &[9, 1, 1, 4], 7),
            (&four, &[90_000, 10_000, 10_000, 40_000], 7),
            (&three, &[3, 8, 2], 7),
            (&four, &[9, 1, 100_000_000_000, 4], 3),
        ] {
            let problem = SparseLabels::new(5, supports, samples).unwrap();
            let found = problem.smallest_logits().unwrap();
            assert_eq!(found.steps(), steps, "{samples:?}: {:e}", found.gap() / found.loss());
            let gap = found.gap() / found.loss();
            assert_eq!(gap < 1e-11, steps != 3, "{gap:e}");
            assert!(found.gap() >= 0.0 && found.lower_bound() == Some(found.loss() - found.gap()));
            assert!(!found.is_unique());
        }
    }
}
