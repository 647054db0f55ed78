//! Subgradients of the nuclear norm at the scaled centered supports that are not positive off the supports.

use nalgebra::DMatrix;

use crate::error::Result;
use crate::models::soft_labels::certificate::{Certificate, Exactness};
use crate::models::soft_labels::factors::Factors;
use crate::models::soft_labels::problem::SparseLabels;
use crate::monitor::Monitor;
use crate::numerics::linalg::{Svd, left_svd, svd_thin, symmetric_eigen};

/// Cap on the steps of the search.
const MAX_STEPS: u64 = 5000;
/// Steps between two tests of whether the norm falls in the direction of the violation.
const TEST_EVERY: u64 = 25;
/// Lengths of such a test, relative to the size of the matrix, and the relative fall that counts.
const LENGTHS: [f64; 5] = [1.0, 0.1, 1e-2, 1e-3, 1e-4];
const FALL: f64 = 1e-12;

/// The scaled supports X = S̃ D^½ with their decomposition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decomposition {
    pub(crate) x: DMatrix<f64>,
    pub(crate) factors: Factors,
    /// Whether entry (c, j) is off the support of j.
    off: DMatrix<bool>,
}

impl Decomposition {
    pub(crate) fn new(problem: &SparseLabels) -> Result<Self> {
        let x = problem.scaled_supports();
        let rank = rank(&problem.plain_supports())?;
        let factors = Factors::new(&x, rank)?;
        let mut off = DMatrix::from_element(x.nrows(), x.ncols(), true);
        for (mut column, distinct) in off.column_iter_mut().zip(&problem.distinct) {
            distinct.support.iter().for_each(|&token| column[token] = false);
        }
        Ok(Self { x, factors, off })
    }

    /// ‖X‖_*.
    pub(crate) fn norm(&self) -> f64 {
        self.factors.norm()
    }

    /// What the entries of the polar factor may be wrong by: the rounding errors of a decomposition, times the
    /// condition of the factor.
    fn rounding(&self) -> f64 {
        let values = &self.factors.values;
        let (Some(largest), Some(smallest)) = (values.first(), values.last()) else {
            return 0.0;
        };
        let size = (self.x.nrows() + self.x.ncols()) as f64;
        size * f64::EPSILON * largest / smallest
    }

    /// The largest entry off the supports, −1 if there is none.
    fn largest_off(&self, matrix: &DMatrix<f64>) -> f64 {
        let entries = matrix.iter().zip(self.off.iter()).filter(|(_, off)| **off);
        entries.map(|(entry, _)| *entry).fold(-1.0, f64::max)
    }

    /// The positive entries off the supports, zero elsewhere.
    fn violation(&self, matrix: &DMatrix<f64>) -> DMatrix<f64> {
        matrix.zip_map(&self.off, |entry, off| if off { entry.max(0.0) } else { 0.0 })
    }

    /// A lower bound of the minimum from a matrix B near a subgradient: B is made non-positive off the supports,
    /// its columns are made to sum to zero and its norm to be 1 at most. Then ‖L D^½‖_* ≥ ⟨B, L D^½⟩, which for
    /// every feasible L is Σ_j √n_j Σ_{c off} (−B_cj) at least, because its margins are.
    pub(super) fn lower_bound(&self, problem: &SparseLabels, matrix: &DMatrix<f64>) -> Result<f64> {
        let mut repaired = matrix - self.violation(matrix);
        for (mut column, distinct) in repaired.column_iter_mut().zip(&problem.distinct) {
            let mean = column.sum() / distinct.support.len() as f64;
            distinct.support.iter().for_each(|&token| column[token] -= mean);
        }
        let norm = left_svd(&repaired)?.singular_values.iter().copied().fold(0.0, f64::max);
        let mut bound = 0.0;
        for ((column, off), distinct) in
            repaired.column_iter().zip(self.off.column_iter()).zip(&problem.distinct)
        {
            let entries = column.iter().zip(off.iter()).filter(|(_, off)| **off);
            bound -= distinct.samples.sqrt() * entries.map(|(entry, _)| entry).sum::<f64>();
        }
        // A norm within rounding of 1 is 1 or less.
        let size = (self.x.nrows() + self.x.ncols()) as f64;
        Ok(bound / norm.max(1.0) * (1.0 - size * f64::EPSILON))
    }

    /// Whether ‖·‖_* falls if X moves against the violation, which keeps it feasible.
    fn falls(&self, violation: &DMatrix<f64>) -> Result<bool> {
        let (norm, scale) = (self.norm(), self.x.norm() / violation.norm());
        for length in LENGTHS {
            let mut moved = &self.x - violation * (scale * length);
            // Its columns may sum to anything; without their means it is shorter still.
            moved.column_iter_mut().for_each(|mut column| {
                let mean = column.mean();
                column.add_scalar_mut(-mean);
            });
            if left_svd(&moved)?.singular_values.sum() < norm * (1.0 - FALL) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tries the polar factor, and searches for another subgradient where there is one.
    pub(crate) fn certify(
        &self,
        problem: &SparseLabels,
        monitor: &dyn Monitor,
    ) -> Result<Certificate> {
        let rank = self.factors.values.len();
        let polar = self.factors.polar();
        let largest = self.largest_off(&polar);
        let mut certificate = Certificate {
            exactness: Exactness::Polar,
            rank,
            largest_of_polar_factor: largest,
            largest_of_subgradient: largest,
            norm_of_rest: 0.0,
            lower_bound: self.lower_bound(problem, &polar)?,
        };
        if largest <= self.rounding() {
            return Ok(certificate);
        }
        if rank == (self.x.nrows() - 1).min(self.x.ncols()) {
            certificate.exactness = Exactness::Improvable;
            return Ok(certificate);
        }
        let found = self.search(&polar, monitor)?;
        let bound = self.lower_bound(problem, &found.subgradient)?;
        certificate.exactness = found.exactness;
        certificate.largest_of_subgradient = self.largest_off(&found.subgradient);
        certificate.norm_of_rest = found.norm;
        certificate.lower_bound = certificate.lower_bound.max(bound);
        Ok(certificate)
    }

    /// Minimizes ½‖violation(UVᵀ + U_⊥ A V_⊥ᵀ)‖² over ‖A‖ ≤ 1 by projected gradients with momentum, which is dropped
    /// where it leads uphill. If the least violation R is not zero, the norm falls from X in the direction −R, by
    /// ‖R‖² to first order.
    fn search(&self, polar: &DMatrix<f64>, monitor: &dyn Monitor) -> Result<Found> {
        let (left, right) =
            (complement(&self.factors.left, true)?, complement(&self.factors.right, false)?);
        let subgradient = |a: &DMatrix<f64>| polar + &left * a * right.transpose();
        let mut a = DMatrix::zeros(left.ncols(), right.ncols());
        let (mut ahead, mut momentum) = (a.clone(), 1.0_f64);
        for step in 0..MAX_STEPS {
            let current = subgradient(&a);
            let violation = self.violation(&current);
            let largest = self.largest_off(&current);
            if largest <= self.rounding() {
                return Found::new(Exactness::Subgradient, current, &a);
            }
            if step % TEST_EVERY == TEST_EVERY - 1 {
                monitor.report("subgradients", step, Some(MAX_STEPS))?;
                if self.falls(&violation)? {
                    return Found::new(Exactness::Improvable, current, &a);
                }
            }
            let slope = left.transpose() * self.violation(&subgradient(&ahead)) * &right;
            let next = into_unit_ball(&ahead - &slope)?;
            if (&ahead - &next).dot(&(&next - &a)) > 0.0 {
                momentum = 1.0;
            }
            let grown = next_momentum(momentum);
            ahead = &next + (&next - &a) * ((momentum - 1.0) / grown);
            (a, momentum) = (next, grown);
        }
        Found::new(Exactness::Undecided, subgradient(&a), &a)
    }
}

/// t with t² − t = m², the fastest growth that accelerated gradients allow.
fn next_momentum(momentum: f64) -> f64 {
    f64::midpoint(1.0, (4.0 * momentum * momentum + 1.0).sqrt())
}

/// Where the search ended.
struct Found {
    exactness: Exactness,
    subgradient: DMatrix<f64>,
    /// ‖A‖.
    norm: f64,
}

impl Found {
    fn new(exactness: Exactness, subgradient: DMatrix<f64>, a: &DMatrix<f64>) -> Result<Self> {
        let norm = left_svd(a)?.singular_values.iter().copied().fold(0.0, f64::max);
        Ok(Self { exactness, subgradient, norm })
    }
}

/// The nearest matrix of spectral norm 1 at most.
fn into_unit_ball(matrix: DMatrix<f64>) -> Result<DMatrix<f64>> {
    let Svd { mut u, singular_values, v } = svd_thin(&matrix)?;
    if singular_values.iter().all(|&value| value <= 1.0) {
        return Ok(matrix);
    }
    for (mut column, value) in u.column_iter_mut().zip(singular_values.iter()) {
        column *= value.min(1.0);
    }
    Ok(u * v.transpose())
}

/// Orthonormal vectors that are orthogonal to the given ones, and to 1 if asked for.
fn complement(vectors: &DMatrix<f64>, centered: bool) -> Result<DMatrix<f64>> {
    let size = vectors.nrows();
    let mut projector = DMatrix::identity(size, size) - vectors * vectors.transpose();
    if centered {
        projector.add_scalar_mut(-(size as f64).recip());
    }
    let dimension = size - vectors.ncols() - usize::from(centered);
    Ok(symmetric_eigen(&projector)?.vectors.columns(0, dimension).into_owned())
}

/// The rank of a matrix whose positive singular values are not tiny.
fn rank(matrix: &DMatrix<f64>) -> Result<usize> {
    let values = left_svd(matrix)?.singular_values;
    let largest = values.iter().copied().fold(0.0, f64::max);
    let size = (matrix.nrows() + matrix.ncols()) as f64;
    let cutoff = 4.0 * size * f64::EPSILON * largest;
    Ok(values.iter().filter(|&&value| value > cutoff).count())
}

#[cfg(test)]
mod tests {
    use core::ops::ControlFlow;
    use std::sync::Mutex;

    use super::*;
    use crate::monitor::Progress;

    #[test]
    fn momentum_grows_as_fast_as_it_may() {
        for momentum in [1.0, 1.7, 12.0] {
            let next: f64 = next_momentum(momentum);
            assert!((next * next - next - momentum * momentum).abs() < 1e-13 * next * next);
        }
    }

    /// Whether the norm falls does not depend on how long the violation is.
    #[test]
    fn a_fall_is_found_at_any_length() {
        let supports = [vec![0, 1, 2], vec![0, 3], vec![1, 3], vec![2, 4]];
        let problem = SparseLabels::new(5, &supports, &[9, 1, 1, 4]).unwrap();
        let decomposition = Decomposition::new(&problem).unwrap();
        let certificate = decomposition.certify(&problem, &()).unwrap();
        assert_eq!(certificate.exactness, Exactness::Improvable);
        let violation = decomposition.violation(&decomposition.factors.polar());
        for length in [1e-9, 1.0, 1e9] {
            assert!(decomposition.falls(&(&violation * length)).unwrap(), "{length}");
            assert!(!decomposition.falls(&(&violation * -length)).unwrap(), "{length}");
        }
    }

    /// The parts of the search: a basis of what is left, the nearest matrix within the ball, and the rank.
    #[test]
    fn parts_are_what_they_are_called() {
        let vectors = DMatrix::from_fn(6, 2, |i, j| [1.0, -1.0, 0.0][(i + 2 * j) % 3] / 2.0);
        for (centered, left) in [(false, 4), (true, 3)] {
            let basis = complement(&vectors, centered).unwrap();
            assert_eq!(basis.shape(), (6, left));
            assert!((basis.transpose() * &basis - DMatrix::identity(left, left)).amax() < 1e-14);
            assert!((basis.transpose() * &vectors).amax() < 1e-14);
            assert!(!centered || basis.row_sum().amax() < 1e-14);
        }
        let matrix = DMatrix::from_row_slice(2, 2, &[3.0, 0.0, 0.0, -0.5]);
        let expected = DMatrix::from_row_slice(2, 2, &[1.0, 0.0, 0.0, -0.5]);
        assert!((into_unit_ball(matrix.clone()).unwrap() - expected).amax() < 1e-15);
        assert_eq!(into_unit_ball(&matrix / 3.0).unwrap(), &matrix / 3.0);
        assert_eq!(rank(&matrix).unwrap(), 2);
        let tiny = |value: f64| rank(&DMatrix::from_row_slice(2, 2, &[3.0, 0.0, 0.0, value]));
        // Four roundings for each row and column, of the largest.
        assert_eq!(tiny(3.1 * 16.0 * f64::EPSILON).unwrap(), 2);
        assert_eq!(tiny(2.9 * 16.0 * f64::EPSILON).unwrap(), 1);
    }

    fn decomposed(
        classes: usize,
        supports: &[Vec<usize>],
        samples: &[u64],
    ) -> (SparseLabels, Decomposition) {
        let problem = SparseLabels::new(classes, supports, samples).unwrap();
        let decomposition = Decomposition::new(&problem).unwrap();
        (problem, decomposition)
    }

    #[test]
    fn rounding_is_that_of_the_shape_and_the_condition() {
        let supports = [vec![0, 1, 2], vec![0, 3], vec![1, 3]];
        let (problem, decomposition) = decomposed(5, &supports, &[900, 1, 4]);
        let values = problem.scaled_supports().singular_values();
        let expected = 8.0 * f64::EPSILON * values.max() / values.min();
        assert!((decomposition.rounding() / expected - 1.0).abs() < 1e-12);
        assert_eq!(decomposed(2, &[vec![0, 1]], &[3]).1.rounding(), 0.0);
    }

    /// What is positive off the supports counts as zero, columns get the sum zero on the supports, and a norm above 1 is
    /// divided by.
    #[test]
    fn bounds_are_those_of_the_repaired_matrix() {
        let (problem, decomposition) = decomposed(4, &[vec![0, 1], vec![2]], &[1, 4]);
        let entries = [0.3, 0.1, -0.5, 0.25, -0.25, -0.25, 1.0, -0.125];
        let matrix = DMatrix::from_column_slice(4, 2, &entries);
        let repaired: [f64; 8] = [0.35, 0.15, -0.5, 0.0, -0.25, -0.25, 0.625, -0.125];
        let norm = DMatrix::from_column_slice(4, 2, &repaired).singular_values().max();
        assert!(norm < 1.0);
        let exact: f64 = 0.5 + 2.0 * 0.625;
        let bound = |factor: f64| decomposition.lower_bound(&problem, &(&matrix * factor)).unwrap();
        assert_eq!(bound(1.0), exact * (1.0 - 6.0 * f64::EPSILON));
        assert!((bound(8.0) / (exact / norm) - 1.0).abs() < 1e-14);
    }

    /// A step as long as the matrix is too long for a direction that is mostly across it, a shorter one is not; what all
    /// tokens have in common changes nothing.
    #[test]
    fn a_fall_is_found_by_short_steps_too() {
        let (_, decomposition) = decomposed(5, &[vec![0, 1], vec![2], vec![0, 3]], &[9, 1, 4]);
        let x = &decomposition.x;
        let across = complement(&decomposition.factors.left, true).unwrap().column(0).into_owned();
        let across = &across * decomposition.factors.right.column(2).transpose() * x.norm();
        for share in [0.3, 0.03, 0.003] {
            assert!(decomposition.falls(&(&across + x * share)).unwrap(), "{share}");
        }
        assert!(!decomposition.falls(&across).unwrap());
        let common = DMatrix::from_fn(5, 3, |_, j| 1.0 + j as f64);
        assert!(!decomposition.falls(&common).unwrap());
        assert!(decomposition.falls(&(common + x * 1e-6)).unwrap());
    }

    /// Without room for another subgradient nothing is searched for.
    #[test]
    fn the_rank_tells_whether_there_is_a_choice() {
        let stop = |_: Progress| ControlFlow::Break(());
        let few = [vec![0, 1, 2], vec![0, 3], vec![1, 3], vec![2, 4]];
        let more = [&few[..], &[vec![0], vec![0, 1], vec![1, 2, 3], vec![0, 3, 4]]].concat();
        for (supports, samples) in
            [(&few[..], &[9, 1, 1, 4][..]), (&more, &[9, 1, 1, 4, 2, 1, 7, 1])]
        {
            let (problem, decomposition) = decomposed(5, supports, samples);
            let certificate = decomposition.certify(&problem, &stop).unwrap();
            assert_eq!((certificate.exactness, certificate.rank), (Exactness::Improvable, 4));
            assert_eq!(certificate.norm_of_rest, 0.0);
        }
    }

    /// The answer is there after some steps, of which each 25th is told of: without momentum they are many more.
    #[test]
    fn searches_take_few_steps() {
        for (classes, supports, samples, exactness, heard) in [
            (
                8,
                [
                    &[0][..],
                    &[1, 2, 4, 5, 6, 7],
                    &[0, 1, 5, 7],
                    &[2, 5, 6, 7],
                    &[3],
                    &[2, 3, 5, 6, 7],
                ],
                [10, 12, 7, 1, 14, 1],
                Exactness::Subgradient,
                &[24, 49, 74][..],
            ),
            (
                7,
                [&[0, 1, 2, 4], &[2, 4, 6], &[0, 1, 4, 5], &[1, 3, 6], &[4, 5], &[1, 3, 4, 5, 6]],
                [16, 13, 16, 7, 19, 3],
                Exactness::Improvable,
                &[24, 49],
            ),
        ] {
            let (problem, decomposition) =
                decomposed(classes, &supports.map(<[_]>::to_vec), &samples);
            let steps = Mutex::new(Vec::new());
            let watch = |step: Progress| {
                steps.lock().unwrap().push(step.done);
                ControlFlow::Continue(())
            };
            let certificate = decomposition.certify(&problem, &watch).unwrap();
            assert_eq!((certificate.exactness, &steps.lock().unwrap()[..]), (exactness, heard));
        }
    }
}
