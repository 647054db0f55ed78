//! Cholesky factors and their inverses, at the speed of matrix products.

use std::ops::Range;

use nalgebra::{DMatrix, DMatrixViewMut, Dyn};

use super::product::{add_product, gram, product, times_in_place};
use super::strided::{Operand, transposed};

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
        let factor = nalgebra::Cholesky::new(matrix.clone_owned())?.unpack();
        matrix.fill_with_identity();
        return factor.solve_lower_triangular_mut(matrix).then_some(());
    }
    let (half, rest) = (size / 2, size - size / 2);
    invert(&mut matrix.view_mut((0, 0), (half, half)))?;
    let first = matrix.view((0, 0), (half, half)).into_owned();
    let below = product(&matrix.view((half, 0), (rest, half)).into_owned(), &transposed(&first));
    let mut complement = matrix.view_mut((half, half), (rest, rest));
    complement -= gram(&below);
    invert(&mut complement)?;
    let corner = product(&complement.into_owned(), &product(&below, &first));
    matrix.view_mut((half, 0), (rest, half)).copy_from(&-corner);
    matrix.view_mut((0, half), (half, rest)).fill(0.0);
    Some(())
}

/// Up to this condition number, two factorizations make columns orthonormal: the first one leaves 10⁻⁴.
pub(crate) const LARGEST_CONDITION: f64 = 1e6;

/// A matrix of no more rows than columns with the same inner products of its columns: BᵀB = AᵀA, for A with at least as many
/// rows as columns.
///
/// B = QᵀA for columns Q = A L₁⁻ᵀ L₂⁻ᵀ that two Cholesky factors make orthonormal, which is at the speed of matrix products
/// (Yamamoto et al., *Roundoff error analysis of the CholeskyQR2 algorithm*, ETNA 44, 2015). What rounding has taken out of
/// the space of A's columns enters BᵀB squared. Where the columns are not certain to be well enough conditioned, B = R of a QR
/// decomposition by reflections.
pub(crate) fn shortened(matrix: DMatrix<f64>) -> DMatrix<f64> {
    match columns_by_products(&matrix) {
        Some(columns) => product(&transposed(&columns), &matrix),
        None => matrix.qr().unpack_r(),
    }
}

fn columns_by_products(matrix: &DMatrix<f64>) -> Option<DMatrix<f64>> {
    let first = inverse_cholesky(gram(&transposed(matrix)))?;
    // Of Frobenius norms, which bound it.
    let condition = matrix.norm() * first.norm();
    if condition.is_nan() || condition > LARGEST_CONDITION {
        return None;
    }
    let mut columns = matrix.clone();
    times_in_place(&mut columns, &first.transpose());
    let second = inverse_cholesky(gram(&transposed(&columns)))?;
    times_in_place(&mut columns, &second.transpose());
    Some(columns)
}

/// Rows and columns that are factored at a time.
const BLOCK: usize = 256;

/// Up to this size, blocks cost more than they save.
const WITHOUT_BLOCKS: usize = 96;

/// The Cholesky factor L of a positive definite matrix LLᵀ, to solve equations with it.
pub(crate) enum Cholesky {
    Small(nalgebra::Cholesky<f64, Dyn>),
    Large(Blocks),
}

impl Cholesky {
    /// Of a matrix of which only the lower triangle is read, in its memory; `None` if it is not positive definite.
    pub(crate) fn new(matrix: DMatrix<f64>) -> Option<Self> {
        match matrix.nrows() {
            ..=WITHOUT_BLOCKS => nalgebra::Cholesky::new(matrix).map(Self::Small),
            _ => Blocks::new(matrix).map(Self::Large),
        }
    }

    /// The solution X of LLᵀX = B, in the memory of B.
    pub(crate) fn solve(&self, mut right: DMatrix<f64>) -> DMatrix<f64> {
        match self {
            Self::Small(factor) => factor.solve_mut(&mut right),
            Self::Large(blocks) => blocks.solve(&mut right),
        }
        right
    }
}

/// The factor of a large matrix.
pub(crate) struct Blocks {
    /// L below the blocks on its diagonal; what lies above is left over.
    factor: DMatrix<f64>,
    /// The inverses of these blocks.
    inverses: Vec<DMatrix<f64>>,
}

impl Blocks {
    fn new(mut matrix: DMatrix<f64>) -> Option<Self> {
        let size = matrix.nrows();
        let mut inverses = Vec::new();
        for block in blocks(size) {
            // L_jj L_jjᵀ and L_ij L_jjᵀ are what products of the blocks before leave.
            let (first, rest) = (block.start, block.start..size);
            let mut column = matrix.view((first, first), (rest.len(), block.len())).into_owned();
            let before = matrix.strided().columns(0..first);
            let right = before.rows(block.clone());
            add_product(&mut column, -1.0, &before.rows(rest), &transposed(&right));
            let inverse = inverse_cholesky(column.rows(0, block.len()).into_owned())?;
            let below =
                product(&column.strided().rows(block.len()..size - first), &transposed(&inverse));
            matrix.view_mut((block.end, first), below.shape()).copy_from(&below);
            inverses.push(inverse);
        }
        Some(Self { factor: matrix, inverses })
    }

    fn solve(&self, right: &mut DMatrix<f64>) {
        let size = self.factor.nrows();
        let factor = self.factor.strided();
        for (block, inverse) in blocks(size).zip(&self.inverses) {
            let before = factor.part(block.clone(), 0..block.start);
            eliminate(right, block.clone(), &before, 0..block.start);
            solve_block(right, block, inverse);
        }
        for (block, inverse) in blocks(size).zip(&self.inverses).rev() {
            let below = factor.part(block.end..size, block.clone());
            eliminate(right, block.clone(), &transposed(&below), block.end..size);
            solve_block(right, block, &transposed(inverse));
        }
    }
}

fn blocks(size: usize) -> impl DoubleEndedIterator<Item = Range<usize>> + ExactSizeIterator {
    (0..size).step_by(BLOCK).map(move |first| first..size.min(first + BLOCK))
}

/// Subtracts from a block of rows what known ones contribute.
fn eliminate(
    right: &mut DMatrix<f64>,
    block: Range<usize>,
    factor: &impl Operand<f64>,
    known: Range<usize>,
) {
    let mut own = right.rows_range(block.clone()).into_owned();
    add_product(&mut own, -1.0, factor, &right.strided().rows(known));
    right.rows_range_mut(block).copy_from(&own);
}

fn solve_block(right: &mut DMatrix<f64>, block: Range<usize>, inverse: &impl Operand<f64>) {
    let solved = product(inverse, &right.strided().rows(block.clone()));
    right.rows_range_mut(block).copy_from(&solved);
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
    fn equations_are_solved() {
        for (size, columns) in [(0, 2), (1, 1), (96, 3), (97, 3), (256, 2), (257, 10), (600, 30)] {
            let root = DMatrix::from_fn(size, size, |i, j| ((i * i + 3 * j) as f64).sin())
                + DMatrix::identity(size, size) * 20.0;
            let matrix = gram(&root);
            let solution = DMatrix::from_fn(size, columns, |i, j| ((i * 5 + j) as f64).cos());
            let right = &matrix * &solution;
            // Only the lower triangle is read.
            let lower =
                DMatrix::from_fn(size, size, |i, j| if i < j { f64::NAN } else { matrix[(i, j)] });
            let found = Cholesky::new(lower).unwrap().solve(right);
            assert!((found - &solution).norm() <= 1e-12 * solution.norm(), "{size}");
        }
    }

    /// Eigenvalues from 1 down to 10⁻¹², over several blocks: the residual is that of rounding, whatever the condition.
    #[test]
    fn residuals_of_ill_conditioned_equations_are_those_of_rounding() {
        let size = 600;
        let root = DMatrix::from_fn(size, size, |i, j| ((i * i + 3 * j) as f64).sin());
        let basis = root.qr().q();
        let scales = |j: usize| 10_f64.powf(-6.0 * j as f64 / (size - 1) as f64);
        let scaled = DMatrix::from_fn(size, size, |i, j| basis[(i, j)] * scales(j));
        let matrix = gram(&scaled);
        let right = DMatrix::from_fn(size, 3, |i, j| ((i * 5 + j) as f64).cos());
        let residual = |solution: &DMatrix<f64>| {
            (&matrix * solution - &right).norm() / (matrix.norm() * solution.norm())
        };
        let found = residual(&Cholesky::new(matrix.clone()).unwrap().solve(right.clone()));
        let plain = residual(&nalgebra::Cholesky::new(matrix.clone()).unwrap().solve(&right));
        assert!(found < 1e-14 && found < 30.0 * plain, "{found} {plain}");
    }

    /// Whatever the condition: up to a thousand in the first way, beyond it or for columns that depend on each other in the
    /// second.
    #[test]
    fn shortened_columns_have_the_same_inner_products() {
        let (rows, columns) = (700, 60);
        let root = DMatrix::from_fn(rows, columns, |i, j| ((i * i + 3 * j * i + j) as f64).sin());
        for (condition, by_products) in [(1.0, true), (1e3, true), (1e7, false), (1e20, false)] {
            let mix = DMatrix::from_fn(columns, columns, |i, j| ((i * 5 + j * j) as f64).cos());
            let basis = mix.qr().q();
            let scale = |j: usize| 1.0 / f64::powf(condition, j as f64 / (columns - 1) as f64);
            let scaled = DMatrix::from_fn(columns, columns, |i, j| basis[(i, j)] * scale(i));
            let matrix = root.clone().qr().q() * scaled;
            assert_eq!(columns_by_products(&matrix).is_some(), by_products, "{condition}");
            let found = shortened(matrix.clone());
            assert_eq!(found.shape(), (columns, columns));
            let error = found.tr_mul(&found) - matrix.tr_mul(&matrix);
            assert!(error.amax() < 1e-14, "{condition}: {}", error.amax());
        }
        assert_eq!(shortened(DMatrix::zeros(9, 3)).shape(), (3, 3));
    }

    #[test]
    fn only_positive_definite_matrices_have_one() {
        for size in [3, 100, 300] {
            let mut matrix = DMatrix::identity(size, size);
            matrix[(size - 1, size - 1)] = -1.0;
            assert!(inverse_cholesky(matrix.clone()).is_none());
            assert!(Cholesky::new(matrix.clone()).is_none());
            matrix[(size - 1, size - 1)] = f64::NAN;
            assert!(inverse_cholesky(matrix.clone()).is_none());
            assert!(Cholesky::new(matrix.clone()).is_none());
        }
    }
}
