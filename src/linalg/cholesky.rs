//! The inverse of a Cholesky factor, at the speed of matrix products.

use nalgebra::{Cholesky, DMatrix};

use super::product::{gram, product, transposed};

/// Matrices up to this size are not divided further.
const SMALL: usize = 48;

/// L⁻¹ for a positive definite matrix LLᵀ, of which only the lower triangle is read; `None` if it is
/// not positive definite.
///
/// With 2×2 blocks A, B, D: the factor of A, then L₂₁ = B L₁₁⁻ᵀ and the factor of D − L₂₁L₂₁ᵀ, each in
/// the same way.
pub(crate) fn inverse_cholesky(matrix: &DMatrix<f64>) -> Option<DMatrix<f64>> {
    let size = matrix.nrows();
    if size <= SMALL {
        let mut inverse = DMatrix::identity(size, size);
        let factor = Cholesky::new(matrix.clone_owned())?.unpack();
        return factor.solve_lower_triangular_mut(&mut inverse).then_some(inverse);
    }
    let (half, rest) = (size / 2, size - size / 2);
    let first = inverse_cholesky(&matrix.view((0, 0), (half, half)).into_owned())?;
    let below = product(&matrix.view((half, 0), (rest, half)), &transposed(&first));
    let complement = matrix.view((half, half), (rest, rest)) - gram(&below);
    let second = inverse_cholesky(&complement)?;
    let corner = -product(&product(&second, &below), &first);
    let mut inverse = DMatrix::zeros(size, size);
    inverse.view_mut((0, 0), (half, half)).copy_from(&first);
    inverse.view_mut((half, half), (rest, rest)).copy_from(&second);
    inverse.view_mut((half, 0), (rest, half)).copy_from(&corner);
    Some(inverse)
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
            let inverse = inverse_cholesky(&matrix).unwrap();
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
            assert!(inverse_cholesky(&matrix).is_none());
            matrix[(size - 1, size - 1)] = f64::NAN;
            assert!(inverse_cholesky(&matrix).is_none());
        }
    }
}
