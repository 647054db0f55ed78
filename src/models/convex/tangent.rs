//! Coordinates along the singular vectors of a point, in which the nuclear norm is easy.
//!
//! With X = U_r Σ V_rᵀ, U = (U_r, U_⊥) and V = (V_r, V_⊥), the matrices of rank r near X are, to first order,
//! X + U a Vᵀ without the block a_⊥⊥. There the nuclear norm is smooth: its second derivative is
//!
//! ```text
//! Σ_{i<j≤r} (a_ij − a_ji)²/(σ_i + σ_j) + Σ_{i≤r<k} (a_ki² + a_ik² − 2 t_k a_ki a_ik)/σ_i,
//! ```
//!
//! the last term from the bend of the set of these matrices, with t_k ≤ 1 the singular values of −∇/κ on the
//! block ⊥⊥, in the basis that makes it diagonal. Where there are more columns than rows, what lies outside of
//! both U_⊥ and V is kept as rows of its own (`wide`), each with the curvature 1/σ_i.

use nalgebra::DMatrix;

use crate::numerics::linalg::{Operand, Svd, product, transposed};

/// The singular vectors and values of a point.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// U, R×R.
    pub(crate) left: DMatrix<f64>,
    /// V, J×R with J ≥ R.
    pub(crate) right: DMatrix<f64>,
    /// σ_1 ≥ … ≥ σ_r > 0.
    pub(crate) values: Vec<f64>,
    /// t_{r+1}, …, t_R; none where no step of Newton's method begins.
    pub(super) duals: Vec<f64>,
}

/// A step along the matrices of rank r.
#[derive(Debug, Clone)]
pub(super) struct Tangent {
    /// a, R×R, zero in the last block.
    pub(super) core: DMatrix<f64>,
    /// r×J, orthogonal to V; without entries for a square problem.
    pub(super) wide: DMatrix<f64>,
}

impl Tangent {
    pub(super) fn dot(&self, other: &Self) -> f64 {
        self.core.dot(&other.core) + self.wide.dot(&other.wide)
    }

    pub(super) fn norm(&self) -> f64 {
        self.core.norm().hypot(self.wide.norm())
    }

    /// Adds `factor` times another step.
    pub(super) fn add(&mut self, factor: f64, other: &Self) {
        axpy(&mut self.core, factor, &other.core);
        axpy(&mut self.wide, factor, &other.wide);
    }

    /// Multiplies by `factor` and adds another step.
    pub(super) fn scale_and_add(&mut self, factor: f64, other: &Self) {
        for (mine, theirs) in [(&mut self.core, &other.core), (&mut self.wide, &other.wide)] {
            for (mine, theirs) in mine.as_mut_slice().iter_mut().zip(theirs.as_slice()) {
                *mine = factor * *mine + theirs;
            }
        }
    }

    pub(super) fn zeros_like(other: &Self) -> Self {
        let zeros = |matrix: &DMatrix<f64>| DMatrix::zeros(matrix.nrows(), matrix.ncols());
        Self { core: zeros(&other.core), wide: zeros(&other.wide) }
    }

    pub(super) fn scale(&mut self, factor: f64) {
        self.core *= factor;
        self.wide *= factor;
    }
}

fn axpy(sum: &mut DMatrix<f64>, factor: f64, term: &DMatrix<f64>) {
    for (sum, term) in sum.as_mut_slice().iter_mut().zip(term.as_slice()) {
        *sum += factor * term;
    }
}

impl Frame {
    /// `size` times the first singular direction, with its singular value; `None` if that is zero.
    pub(super) fn rank_one(svd: Svd, size: f64) -> Option<(Self, f64)> {
        let first = svd.singular_values.iter().copied().next().filter(|&value| value > 0.0)?;
        // No step of Newton's method begins here, which would want the duals.
        Some((Self { left: svd.u, right: svd.v, values: vec![size], duals: Vec::new() }, first))
    }

    pub(crate) fn rank(&self) -> usize {
        self.values.len()
    }

    /// X.
    pub(super) fn matrix(&self) -> DMatrix<f64> {
        let rank = self.rank();
        let mut scaled = self.left.columns(0, rank).into_owned();
        for (mut column, value) in scaled.column_iter_mut().zip(&self.values) {
            column *= *value;
        }
        let right = self.right.columns(0, rank).into_owned();
        product(&scaled, &transposed(&right))
    }

    fn is_wide(&self) -> bool {
        self.right.nrows() > self.right.ncols()
    }

    /// The step as a matrix like X.
    pub(super) fn expand(&self, step: &Tangent) -> DMatrix<f64> {
        let (rank, size) = (self.rank(), self.left.ncols());
        let mut rows = DMatrix::zeros(size, self.right.nrows());
        let upper = product(&step.core.strided().rows(0..rank), &transposed(&self.right));
        rows.rows_mut(0, rank).copy_from(&upper);
        if self.is_wide() {
            let mut upper = rows.rows_mut(0, rank);
            upper += &step.wide;
        }
        let first = self.right.strided().columns(0..rank);
        let lower = product(&step.core.strided().part(rank..size, 0..rank), &transposed(&first));
        rows.rows_mut(rank, size - rank).copy_from(&lower);
        product(&self.left, &rows)
    }

    /// U_⊥ a_⊥r Σ⁻¹ a_r⊥ V_⊥ᵀ, by which matrices of rank r bend away from a step.
    pub(super) fn bend(&self, step: &Tangent) -> DMatrix<f64> {
        let (rank, size) = (self.rank(), self.left.ncols());
        let mut below = step.core.view((rank, 0), (size - rank, rank)).into_owned();
        for (mut column, value) in below.column_iter_mut().zip(&self.values) {
            column /= *value;
        }
        let beside = step.core.strided().part(0..rank, rank..size);
        let last = self.right.strided().columns(rank..size);
        let mut beside = product(&beside, &transposed(&last));
        if self.is_wide() {
            beside += &step.wide;
        }
        product(&product(&self.left.strided().columns(rank..size), &below), &beside)
    }

    /// The part of a matrix like X along the steps.
    pub(super) fn project(&self, matrix: &DMatrix<f64>) -> Tangent {
        let (rank, size) = (self.rank(), self.left.ncols());
        let rows = product(&transposed(&self.left), matrix);
        let mut core = DMatrix::zeros(size, size);
        let upper = product(&rows.strided().rows(0..rank), &self.right);
        core.rows_mut(0, rank).copy_from(&upper);
        let lower =
            product(&rows.strided().rows(rank..size), &self.right.strided().columns(0..rank));
        core.view_mut((rank, 0), (size - rank, rank)).copy_from(&lower);
        let wide = if self.is_wide() {
            rows.rows(0, rank) - product(&upper, &transposed(&self.right))
        } else {
            DMatrix::zeros(0, 0)
        };
        Tangent { core, wide }
    }

    /// Adds the gradient of the nuclear norm.
    pub(super) fn add_norm_gradient(&self, gradient: &mut Tangent) {
        for index in 0..self.rank() {
            gradient.core[(index, index)] += 1.0;
        }
    }

    /// Adds the second derivative of the nuclear norm along a step.
    pub(super) fn add_norm_curvature(&self, step: &Tangent, sum: &mut Tangent) {
        let (rank, size) = (self.rank(), self.left.ncols());
        for (j, &value) in self.values.iter().enumerate() {
            for i in 0..rank {
                let difference = step.core[(i, j)] - step.core[(j, i)];
                sum.core[(i, j)] += difference / (self.values[i] + value);
            }
            for (k, dual) in (rank..size).zip(&self.duals) {
                let (below, beside) = (step.core[(k, j)], step.core[(j, k)]);
                sum.core[(k, j)] += (below - dual * beside) / value;
                sum.core[(j, k)] += (beside - dual * below) / value;
            }
        }
        for (mut sum, step) in sum.wide.column_iter_mut().zip(step.wide.column_iter()) {
            for ((sum, step), value) in sum.iter_mut().zip(&step).zip(&self.values) {
                *sum += step / value;
            }
        }
    }

    /// A stand-in for the curvature that is easily inverted: the diagonal of the data term's in these
    /// coordinates, and the norm's as it is, which couples (i, j) with (j, i) only.
    pub(super) fn preconditioner(&self, diagonal: &DMatrix<f64>) -> Preconditioner<'_> {
        let squares = |matrix: &DMatrix<f64>| matrix.map(|entry| entry * entry);
        let rows = product(&transposed(&squares(&self.left)), diagonal);
        let core = product(&rows, &squares(&self.right));
        let columns = rows.ncols() as f64;
        let means = (0..self.rank()).map(|row| rows.row(row).sum() / columns).collect();
        Preconditioner { frame: self, core, means }
    }
}

/// The inverse of an easier curvature.
pub(super) struct Preconditioner<'a> {
    frame: &'a Frame,
    core: DMatrix<f64>,
    means: Vec<f64>,
}

impl Preconditioner<'_> {
    pub(super) fn apply(&self, right: &Tangent) -> Tangent {
        let mut solution = Tangent::zeros_like(right);
        let (rank, size) = (self.frame.rank(), self.core.nrows());
        for (j, &value) in self.frame.values.iter().enumerate() {
            for i in 0..=j {
                let stiffness = (self.frame.values[i] + value).recip();
                self.solve_pair((i, j), [stiffness, stiffness], right, &mut solution);
            }
            for (k, dual) in (rank..size).zip(&self.frame.duals) {
                let stiffness = value.recip();
                self.solve_pair((k, j), [stiffness, stiffness * dual], right, &mut solution);
            }
        }
        let columns = solution.wide.column_iter_mut().zip(right.wide.column_iter());
        for (mut solution, right) in columns {
            for (index, entry) in solution.iter_mut().enumerate() {
                *entry = right[index] / (self.means[index] + self.frame.values[index].recip());
            }
        }
        solution
    }

    /// Solves (h₁ + s) x − c y = f, (h₂ + s) y − c x = g for the entries (i, j) and (j, i).
    fn solve_pair(
        &self,
        (i, j): (usize, usize),
        [stiffness, coupling]: [f64; 2],
        right: &Tangent,
        solution: &mut Tangent,
    ) {
        if i == j {
            solution.core[(i, j)] = right.core[(i, j)] / self.core[(i, j)].max(f64::MIN_POSITIVE);
            return;
        }
        let (first, second) = (self.core[(i, j)], self.core[(j, i)]);
        // (h₁ + s)(h₂ + s) − c², without cancellation.
        let determinant = first * second
            + stiffness * (first + second)
            + (stiffness - coupling) * (stiffness + coupling);
        let determinant = determinant.max(f64::MIN_POSITIVE);
        let (f, g) = (right.core[(i, j)], right.core[(j, i)]);
        solution.core[(i, j)] = ((second + stiffness) * f + coupling * g) / determinant;
        solution.core[(j, i)] = ((first + stiffness) * g + coupling * f) / determinant;
    }
}
