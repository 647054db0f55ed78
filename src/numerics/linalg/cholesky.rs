//! The inverse of a Cholesky factor, at the speed of matrix products.

use nalgebra::{Cholesky, DMatrix, DMatrixViewMut};

use super::product::{gram, product, transposed};

/// Matrices up to this size are not divided further.
const SMALL: usize = 48;

/// L⁻¹ for a positive definite matrix LLᵀ, of which only the lower triangle is read; `None` if it is
/// not positive definite. It takes the place of the matrix.
pub(crate) fn inverse_cholesky(mut matrix: DMatrix<f64>) -> Option<DMatrix<f64>> {
    let size = matrix.nrows();
    invert(&mut matrix.view_mut((0, 0), (size, size)))?;
    Some(matrix)
}

/// With 2×2 blocks A, B, D: the factor of A, then L₂₁ = B L₁₁⁻ᵀ and the factor of D − L₂₁L₂₁ᵀ, each in
/// the same way.
fn invert(matrix: &mut DMatrixViewMut<'_, f64>) -> Option<()> {
    let size = matrix.nrows();
    if size <= SMALL {
        let factor = Cholesky::new(matrix.clone_owned())?.unpack();
        matrix.fill_with_identity();
        return factor.solve_lower_triangular_mut(matrix).then_some(());
    }
    let (half, rest) = (size / 2, size - size / 2);
    invert(&mut matrix.view_mut((0, 0), (half, half)))?;
    let first = matrix.view((0, 0), (half, half)).into_owned();
    let below = product(&matrix.view((half, 0), (rest, half)), &transposed(&first));
    let mut complement = matrix.view_mut((half, half), (rest, rest));
    complement -= gram(&below);
    invert(&mut complement)?;
    let corner = product(&complement.into_owned(), &product(&below, &first));
    matrix.view_mut((half, 0), (rest, half)).copy_from(&-corner);
    matrix.view_mut((0, half), (half, rest)).fill(0.0);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverse_of_the_factor() {
        for size in [0, 1, 5, 48, 49, 200] {
            let root = DMatrix::from_fn(size, size, |i, j| ((i * i + 3 * j) as f64).sin())
                + DMatrix::identity(size, size) * 20.0;
            let matrix = gram(&root);
            let inverse = inverse_cholesky(matrix.clone()).unwrap();
            let residual = &inverse * matrix * inverse.transpose() - DMatrix::identity(size, size);
            assert!(residual.norm() < 1e-12 * (size as f64 + 1.0));
            assert!((0..size).all(|j| (0..j).all(|i| inverse[(i, j)] == 0.0)));
        }
    }

    #[test]
    fn only_positive_definite_matrices_have_one() {
        for size in [3, 100] {
            let mut matrix = DMatrix::identity(size, size);
            matrix[(size - 1, size - 1)] = -1.0;
            assert!(inverse_cholesky(matrix.clone()).is_none());
            matrix[(size - 1, size - 1)] = f64::NAN;
            assert!(inverse_cholesky(matrix.clone()).is_none());
        }
    }
}
