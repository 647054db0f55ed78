//! Explicit global minimizers of the squared loss.

use nalgebra::{DMatrix, DVector};

use crate::error::Result;
use crate::models::squared::direction::Direction;
use crate::models::squared::minimum::GlobalMinimum;
use crate::models::squared::spectrum::{Spectrum, Subspace};
use crate::prediction::class_runs::written_out;
use crate::prediction::explicit::{Basis, ExplicitPoint, FittedVectors, check_matrices};
use crate::problem::counts::ClassCounts;

impl GlobalMinimum {
    /// A global minimizer, with the layers' widths as in the problem, or K where they are unlimited.
    ///
    /// Wₘ = V_(m+1) diag(√(t/λₘ)) Vₘᵀ and H = V₁ diag(√(t/λ_H)) V_Tᵀ, where the energies t and the
    /// right singular vectors V_T of the target are given, V_(M+1) are its left singular vectors and
    /// V₁, …, V_M are the orthonormal vectors of `basis`. Of a family, the member is taken that fits the
    /// first vectors of each direction, as many as possible.
    ///
    /// Source: the singular value decompositions in Dang et al. (ICML 2023), Lemma D.2 and appendix D.3.
    pub(crate) fn explicit_point(&self, basis: &Basis) -> Result<ExplicitPoint> {
        let problem = self.problem();
        let samples = problem.target().distinct_samples();
        // The rank is no larger than any of the dimensions.
        let dimensions = (problem.classes(), samples, problem.rank_limit());
        check_matrices(problem.regularization(), problem.widths(), dimensions)?;
        self.fitted_vectors().assemble(
            problem.regularization(),
            problem.widths(),
            basis,
            self.bias_runs_of_largest_member()
                .and_then(|runs| written_out(&runs))
                .map(DVector::from_vec),
            problem.counts().cloned(),
        )
    }

    /// The singular vectors of all directions that are fitted.
    pub(crate) fn fitted_vectors(&self) -> FittedVectors {
        let (mut left, mut right, mut energies) = (Vec::new(), Vec::new(), Vec::new());
        let mut keep = |direction: &Direction, vectors: (DMatrix<f64>, DMatrix<f64>), rank| {
            left.push(vectors.0.columns(0, rank).into_owned());
            right.push(vectors.1.columns(0, rank).into_owned());
            energies.extend(core::iter::repeat_n(direction.energy(), rank));
        };
        if let Spectrum::Classes(spectrum) = self.spectrum() {
            for (direction, subspace) in self.class_directions(spectrum, 0..spectrum.len()) {
                let rank = *direction.rank().end();
                if rank > 0 {
                    keep(&direction, class_vectors(&spectrum.counts, &direction, &subspace), rank);
                }
            }
        }
        for (direction, columns) in self.matrix_directions() {
            let vectors = (columns.left.clone(), columns.right.clone());
            keep(&direction, vectors, *direction.rank().end());
        }
        let target = self.problem().target();
        FittedVectors {
            left: side_by_side(target.outputs(), &left),
            right: side_by_side(target.distinct_samples(), &right),
            energies,
        }
    }
}

/// The left and right singular vectors of a direction of one-hot targets: a row of the right ones is that of
/// each sample of a class.
fn class_vectors(
    counts: &ClassCounts,
    direction: &Direction,
    subspace: &Subspace,
) -> (DMatrix<f64>, DMatrix<f64>) {
    let left = subspace.left_vectors(counts);
    let mut right = &left * direction.target_squared().sqrt();
    for run in counts.runs() {
        let mut rows = right.rows_mut(run.first_class, run.class_count);
        rows /= run.size as f64;
    }
    (left, right)
}

/// Matrices of `rows` rows, joined to one.
fn side_by_side(rows: usize, parts: &[DMatrix<f64>]) -> DMatrix<f64> {
    let entries: Vec<f64> = parts.iter().flat_map(|part| part.iter().copied()).collect();
    DMatrix::from_vec(rows, entries.len() / rows, entries)
}
