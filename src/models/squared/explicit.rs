//! Explicit global minimisers of the squared loss.

use nalgebra::{DMatrix, DVector};

use crate::error::Result;
use crate::models::squared::direction::Direction;
use crate::models::squared::minimum::GlobalMinimum;
use crate::models::squared::spectrum::Subspace;
use crate::models::squared::ufm::{Target, Ufm};
use crate::prediction::explicit::{Basis, ExplicitPoint, FittedVectors, check_matrices};

impl GlobalMinimum {
    /// A global minimiser, with the layers' widths as in the problem, or K where they are unlimited.
    ///
    /// Wₘ = V_(m+1) diag(√(t/λₘ)) Vₘᵀ and H = V₁ diag(√(t/λ_H)) V_Tᵀ, where the energies t and the
    /// right singular vectors V_T of the target are given, V_(M+1) are its left singular vectors and
    /// V₁, …, V_M are the orthonormal vectors of `basis`. Of a family, the member is taken that fits the
    /// first vectors of each direction, as many as possible.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::OutOfRange`] if a given basis does not have the right size or is
    /// not orthonormal to 10⁻¹⁰; [`Error::OutOfRange`] if the matrices do not fit into memory.
    ///
    /// Source: the singular value decompositions in Dang et al. (ICML 2023), Lemma D.2 and appendix D.3.
    pub fn minimizer(&self, basis: &Basis) -> Result<ExplicitPoint> {
        let problem = self.problem();
        // The rank is no larger than any of the dimensions.
        let dimensions = (problem.classes(), distinct_samples(problem), problem.rank_limit());
        check_matrices(problem.penalties(), problem.widths(), dimensions)?;
        fitted_vectors(self).assemble(
            problem.penalties(),
            problem.widths(),
            basis,
            self.bias_of_largest_member().map(DVector::from_vec),
            problem.counts().cloned(),
        )
    }
}

/// The singular vectors of all directions that are fitted.
fn fitted_vectors(minimum: &GlobalMinimum) -> FittedVectors {
    let (mut left, mut right, mut energies) = (Vec::new(), Vec::new(), Vec::new());
    for direction in minimum.directions() {
        let rank = *direction.rank().end();
        if rank > 0 {
            let vectors = singular_vectors(minimum.problem(), direction);
            left.push(vectors.0.columns(0, rank).into_owned());
            right.push(vectors.1.columns(0, rank).into_owned());
            energies.extend(core::iter::repeat_n(direction.energy(), rank));
        }
    }
    let problem = minimum.problem();
    FittedVectors {
        left: side_by_side(problem.classes(), &left),
        right: side_by_side(distinct_samples(problem), &right),
        energies,
    }
}

/// The number of samples that differ: the classes, or all of an arbitrary target.
fn distinct_samples(problem: &Ufm) -> usize {
    match problem.target() {
        Target::Classes(counts) => counts.classes(),
        Target::Matrix(target) => target.ncols(),
    }
}

/// The left and right singular vectors of a direction. For classes, the entry of a right one for a
/// sample of class k is σ u_k/n_k.
fn singular_vectors(problem: &Ufm, direction: &Direction) -> (DMatrix<f64>, DMatrix<f64>) {
    let counts = match (problem.target(), direction.subspace()) {
        (Target::Classes(counts), _) => counts,
        (Target::Matrix(_), Subspace::Columns { left, right }) => {
            return (left.clone(), right.clone());
        }
        (Target::Matrix(target), _) => {
            return (DMatrix::zeros(target.nrows(), 0), DMatrix::zeros(target.ncols(), 0));
        }
    };
    let left = direction.subspace().left_vectors(counts);
    let mut right = &left * direction.target_squared().sqrt();
    for run in counts.runs() {
        let mut rows = right.rows_mut(run.first_class, run.classes);
        rows /= run.size as f64;
    }
    (left, right)
}

/// Matrices of `rows` rows, joined to one.
fn side_by_side(rows: usize, parts: &[DMatrix<f64>]) -> DMatrix<f64> {
    let entries: Vec<f64> = parts.iter().flat_map(|part| part.iter().copied()).collect();
    DMatrix::from_vec(rows, entries.len() / rows, entries)
}
