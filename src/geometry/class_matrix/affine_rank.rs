//! In how many directions the vectors of a Gram matrix differ.

use nalgebra::{DMatrix, DVector};

use crate::error::Result;
use crate::geometry::class_matrix::ClassMatrix;
use crate::geometry::family::Family;
use crate::geometry::structure::{Grouped, Structure};
use crate::numerics::linalg::symmetric_eigen;

/// Eigenvalues below this share of the largest count as zero: the square of NC1's cut-off for singular values.
const NEGLIGIBLE: f64 = 1e-12;

impl ClassMatrix {
    /// The number of directions in which the vectors v_k differ if this is their Gram matrix: the rank of
    /// \[v_k − v_G\] for any mean v_G of them, which is that of Σ_B for class means. K − 1 for orthogonal frames and
    /// simplex ETFs.
    ///
    /// It is the rank of the matrix on the vectors that sum to zero; eigenvalues below 10⁻¹² of the largest count as
    /// zero. For a family it is the rank of all members but exceptional ones, and `None` if their number of directions
    /// is not determined.
    ///
    /// # Errors
    /// [`Error::NoConvergence`](crate::Error::NoConvergence) if the eigenvalues could not be found.
    ///
    /// ```
    /// use neural_collapse::ClassMatrix;
    ///
    /// assert_eq!(ClassMatrix::simplex_etf(5)?.affine_rank()?, Some(4));
    /// // Three orthogonal vectors span a plane through their tips; with a collapsed class, space.
    /// assert_eq!(ClassMatrix::diagonal(&[1.0, 2.0, 3.0])?.affine_rank()?, Some(2));
    /// assert_eq!(ClassMatrix::diagonal(&[1.0, 2.0, 3.0, 0.0])?.affine_rank()?, Some(3));
    /// assert_eq!(ClassMatrix::low_rank_simplex_etf(5, 2)?.affine_rank()?, Some(2));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn affine_rank(&self) -> Result<Option<usize>> {
        let base = self.base.affine_rank()?;
        Ok(match &self.family {
            None => Some(base),
            Some(Family::Projector { ranks, .. }) if ranks.start() == ranks.end() => {
                Some((base + ranks.end()).min(self.classes().saturating_sub(1)))
            }
            Some(Family::Projector { .. } | Family::Optional(_)) => None,
        })
    }
}

impl Structure {
    fn affine_rank(&self) -> Result<usize> {
        match self {
            Self::Grouped(grouped) => grouped.affine_rank(),
            Self::Dense(matrix) => {
                let ones = DVector::from_element(matrix.nrows(), 1.0);
                Ok(rank(&spectrum_across(matrix, &ones)?, matrix.trace()))
            }
        }
    }
}

impl Grouped {
    /// Contrasts within a group of m classes have the eigenvalue q, m − 1 times; the others are those of a matrix with
    /// a row for each group.
    fn affine_rank(&self) -> Result<usize> {
        let mut members = vec![0_usize; self.diagonal().len()];
        for group in self.class_groups() {
            if let Some(members) = members.get_mut(group) {
                *members += 1;
            }
        }
        let Some(coupling) = self.coupling() else {
            return Ok(diagonal_rank(self.diagonal(), &members));
        };
        let roots: Vec<f64> = members.iter().map(|&members| (members as f64).sqrt()).collect();
        let between = DMatrix::from_fn(roots.len(), roots.len(), |g, h| {
            let on_diagonal = if g == h { self.diagonal()[g] } else { 0.0 };
            on_diagonal + roots[g] * coupling[(g, h)] * roots[h]
        });
        let mut spectrum = spectrum_across(&between, &DVector::from_vec(roots))?;
        let mut trace = between.trace();
        for (&q, &members) in self.diagonal().iter().zip(&members) {
            spectrum.push((q, members.saturating_sub(1)));
            trace += q * members.saturating_sub(1) as f64;
        }
        Ok(rank(&spectrum, trace))
    }
}

/// Orthogonal vectors differ in one direction less than there are, unless some are zero.
fn diagonal_rank(squares: &[f64], members: &[usize]) -> usize {
    let spectrum: Vec<_> = squares.iter().copied().zip(members.iter().copied()).collect();
    let classes: usize = members.iter().sum();
    rank(&spectrum, 0.0).min(classes.saturating_sub(1))
}

/// The eigenvalues of a symmetric matrix on the vectors that are orthogonal to `normal`, once each.
fn spectrum_across(matrix: &DMatrix<f64>, normal: &DVector<f64>) -> Result<Vec<(f64, usize)>> {
    let unit = normal.normalize();
    let image = matrix * &unit;
    let mean = unit.dot(&image);
    // (I − uuᵀ) A (I − uuᵀ)
    let across = matrix - &unit * image.transpose() - &image * unit.transpose()
        + &unit * unit.transpose() * mean;
    let eigen = symmetric_eigen(&across)?;
    // The eigenvalue of u itself is zero.
    Ok(eigen.values.iter().map(|&value| (value, 1)).collect())
}

/// How many eigenvalues count, of a matrix of this trace, to which rounding errors are proportional.
fn rank(spectrum: &[(f64, usize)], trace: f64) -> usize {
    let present = spectrum.iter().filter(|(_, multiplicity)| *multiplicity > 0);
    let largest = present.clone().map(|(value, _)| *value).fold(0.0, f64::max);
    let cutoff = (NEGLIGIBLE * largest).max(8.0 * f64::EPSILON * trace);
    present.filter(|(value, _)| *value > cutoff).map(|(_, multiplicity)| multiplicity).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::family::Subset;
    use crate::models::squared::Ufm;
    use crate::numerics::linalg::singular_values;
    use crate::prediction::{Basis, Prediction};
    use crate::problem::counts::ClassCounts;
    use crate::problem::regularization::{Bias, Regularization};

    fn rank_of_columns(means: &DMatrix<f64>) -> usize {
        let mean = means.column_mean();
        let centered =
            DMatrix::from_fn(means.nrows(), means.ncols(), |i, j| means[(i, j)] - mean[i]);
        let values = singular_values(&centered).unwrap();
        values.iter().filter(|&&value| value > 1e-6 * values[0]).count()
    }

    /// The rank of explicit class means, whose Gram matrices have every structure.
    #[test]
    fn it_is_the_rank_of_centered_class_means() {
        for (counts, bias, width, decay) in [
            (vec![20, 20, 20, 20], Bias::None, 9, 1e-3),
            (vec![20, 20, 20, 20], Bias::Unregularized, 9, 1e-3),
            (vec![20, 20, 20, 20], Bias::Regularized(0.1), 9, 1e-3),
            (vec![20, 20, 20, 20], Bias::None, 3, 1e-3),
            (vec![20, 20, 20, 20], Bias::Regularized(0.1), 2, 1e-3),
            (vec![90, 30, 30, 5, 1], Bias::None, 9, 1e-3),
            (vec![90, 30, 30, 5, 1], Bias::None, 9, 3e-2),
            (vec![90, 30, 30, 5, 1], Bias::None, 2, 1e-3),
            (vec![90, 30, 30, 5, 1], Bias::Unregularized, 9, 1e-3),
            (vec![90, 30, 30, 5, 1], Bias::Unregularized, 9, 3e-2),
            (vec![90, 30, 30, 5, 1], Bias::Unregularized, 3, 1e-3),
        ] {
            let regularization =
                Regularization::new(&[decay], decay).unwrap().with_bias(bias).unwrap();
            let ufm = Ufm::new(ClassCounts::new(&counts).unwrap(), regularization).unwrap();
            let minimum = ufm.with_widths(&[width]).unwrap().global_minimum().unwrap();
            let explicit = minimum.explicit(&Basis::Standard).unwrap();
            let expected = rank_of_columns(explicit.class_means().unwrap());
            let gram = minimum.class_means_gram().unwrap();
            assert_eq!(
                gram.affine_rank().unwrap(),
                Some(expected),
                "{counts:?} {bias:?} {width} {decay}"
            );
            if let Some(dense) = gram.to_dense() {
                let dense = ClassMatrix::dense(dense);
                assert_eq!(dense.affine_rank().unwrap(), Some(expected), "{counts:?} {bias:?}");
            }
        }
    }

    /// Above 10⁻¹² of the largest eigenvalue that there is, and above 8 ε of the trace.
    #[test]
    fn eigenvalues_count_beside_the_largest_and_the_trace() {
        for (spectrum, trace, expected) in [
            (&[(5.0, 2), (6e-12, 3), (4e-12, 4)][..], 0.0, 5),
            (&[(0.0, 3)], 0.0, 0),
            (&[(5.0, 0), (1e-13, 1)], 0.0, 1),
            (&[(5.0, 1), (2e-7, 3), (1.7e-7, 1)], 1e8, 4),
        ] {
            assert_eq!(rank(spectrum, trace), expected, "{spectrum:?}");
        }
        // 1999 contrasts of 100, one direction between the groups, and contrasts that rounding errors of the trace hide.
        let grouped = |small| {
            let (runs, coupling) = (vec![(0, 0), (2000, 1)], DMatrix::zeros(2, 2));
            Grouped::of_runs(runs, 2003, vec![100.0, small], Some(coupling)).affine_rank().unwrap()
        };
        assert_eq!((grouped(3e-10), grouped(4e-10)), (2000, 2002));
    }

    #[test]
    fn ranks_of_families_are_those_of_members() {
        let family = |ranks| {
            let subset = Subset::Span(vec![0..2, 2..4]);
            let family = Family::Projector { subset, value: 1.0, ranks };
            ClassMatrix::diagonal(&[0.0, 0.0, 0.0, 0.0, 1.0, 1.0])
                .unwrap()
                .with_family(Some(family))
        };
        let ranks = [2..=2, 4..=4, 1..=2].map(|ranks| family(ranks).affine_rank().unwrap());
        assert_eq!(ranks, [Some(4), Some(5), None]);
    }

    /// Two groups of three and four vectors with one mean, which differ within the groups alone; and with two means.
    #[test]
    fn groups_with_one_mean_differ_in_no_direction() {
        let counts = ClassCounts::new(&[5, 5, 5, 2, 2, 2, 2]).unwrap();
        for (other, expected) in [(0.7, 5), (0.8, 6)] {
            let means = DMatrix::from_row_slice(2, 2, &[0.7, 0.7, 0.7, other]);
            let gram = ClassMatrix::from_contrasts(&counts, &[2.0, 3.0], means);
            let dense = ClassMatrix::dense(gram.to_dense().unwrap());
            assert_eq!(gram.affine_rank().unwrap(), Some(expected));
            assert_eq!(dense.affine_rank().unwrap(), Some(expected));
        }
    }
}
