//! Large matrix products on several threads.
//!
//! nalgebra hands products to the `matrixmultiply` crate, which uses the vector units but one thread.
//! Here columns of the result are shared out in pieces of fixed width.

use std::ops::Range;

use nalgebra::{DMatrix, DMatrixView, DMatrixViewMut, Dyn, Matrix, RealField, Storage, U1};

use crate::numerics::parallel;

/// Columns of one piece: enough for the product to run at full speed.
const WIDTH: usize = 192;

/// A matrix view with any strides.
pub(crate) type StridedView<'a, T> = DMatrixView<'a, T, Dyn, Dyn>;

/// Products with a dimension below this are done by nalgebra itself, the others by `matrixmultiply`.
pub(crate) const SMALL: usize = 8;

/// A matrix or a view.
type Operand<T, S> = Matrix<T, Dyn, Dyn, S>;

/// Where the numbers of a matrix or of a view are.
pub(crate) trait Numbers<T: RealField + Copy>: Storage<T, Dyn, Dyn> + Sync {}
impl<T: RealField + Copy, S: Storage<T, Dyn, Dyn> + Sync> Numbers<T> for S {}

/// The transpose of a matrix, as a view.
pub(crate) fn transposed<T: RealField + Copy>(matrix: &DMatrix<T>) -> StridedView<'_, T> {
    let (rows, columns) = matrix.shape();
    // Without entries the other stride must be zero, for nalgebra to believe that all of them are there.
    let strides = match (rows, columns) {
        (0, _) => (Dyn(0), Dyn(1)),
        (_, 0) => (Dyn(1), Dyn(0)),
        _ => (Dyn(rows), Dyn(1)),
    };
    StridedView::from_slice_with_strides_generic(
        matrix.as_slice(),
        Dyn(columns),
        Dyn(rows),
        strides.0,
        strides.1,
    )
}

/// `result` = A B on this thread.
pub(crate) fn multiply<T: RealField + Copy>(
    result: &mut DMatrixViewMut<'_, T, U1, Dyn>,
    left: &Operand<T, impl Numbers<T>>,
    right: &Operand<T, impl Numbers<T>>,
) {
    gemm(result, T::one(), left, right, T::zero());
}

/// `result` = α A B + β `result` on this thread.
///
/// nalgebra 0.35 writes out of bounds where it multiplies a small A itself and the rows of A are not
/// next to each other in memory (its `axcpy` takes the length of the memory for that of a column), so
/// such a matrix is copied first.
fn gemm<T: RealField + Copy>(
    result: &mut DMatrixViewMut<'_, T, U1, Dyn>,
    alpha: T,
    left: &Operand<T, impl Numbers<T>>,
    right: &Operand<T, impl Numbers<T>>,
    beta: T,
) {
    let small = [left.nrows(), left.ncols(), right.ncols()].into_iter().any(|size| size < SMALL);
    if left.ncols() == 0 {
        *result *= beta;
    } else if small && left.strides().0 != 1 {
        result.gemm(alpha, &left.clone_owned(), right, beta);
    } else {
        result.gemm(alpha, left, right, beta);
    }
}

/// A B.
pub(crate) fn product<T: RealField + Copy>(
    left: &Operand<T, impl Numbers<T>>,
    right: &Operand<T, impl Numbers<T>>,
) -> DMatrix<T> {
    let mut result = DMatrix::zeros(left.nrows(), right.ncols());
    for_each_piece(&mut result, left.ncols(), |columns, mut piece| {
        multiply(&mut piece, left, &right.columns_range(columns));
    });
    result
}

/// `result` += `factor` · A B.
pub(crate) fn add_product(
    result: &mut DMatrix<f64>,
    factor: f64,
    left: &Operand<f64, impl Numbers<f64>>,
    right: &Operand<f64, impl Numbers<f64>>,
) {
    for_each_piece(result, left.ncols(), |columns, mut piece| {
        gemm(&mut piece, factor, left, &right.columns_range(columns), 1.0);
    });
}

/// Replaces A by A B for a square B, in blocks of rows, so that no second A is needed.
pub(crate) fn times_in_place(matrix: &mut DMatrix<f64>, factor: &DMatrix<f64>) {
    const ROWS: usize = 512;
    for first in (0..matrix.nrows()).step_by(ROWS) {
        let count = ROWS.min(matrix.nrows() - first);
        let block = product(&matrix.rows(first, count), factor);
        matrix.rows_mut(first, count).copy_from(&block);
    }
}

/// A Aᵀ, of which half is computed.
pub(crate) fn gram(matrix: &Operand<f64, impl Numbers<f64>>) -> DMatrix<f64> {
    let size = matrix.nrows();
    let mut result = DMatrix::zeros(size, size);
    for_each_piece(&mut result, matrix.ncols(), |columns, mut piece| {
        let right = matrix.rows_range(columns.clone()).transpose();
        let left = matrix.rows_range(columns.start..);
        multiply(&mut piece.rows_range_mut(columns.start..), &left, &right);
    });
    result.fill_upper_triangle_with_lower_triangle();
    result
}

/// `sum` += A Aᵀ, of which only the lower triangle is computed.
pub(crate) fn add_gram(sum: &mut DMatrix<f64>, matrix: &DMatrix<f64>) {
    let transpose = transposed(matrix);
    for_each_piece(sum, matrix.ncols(), |columns, mut piece| {
        let right = transpose.columns_range(columns.clone());
        let left = matrix.rows_range(columns.start..);
        gemm(&mut piece.rows_range_mut(columns.start..), 1.0, &left, &right, 1.0);
    });
}

/// Calls `work` with pieces of neighbouring columns; `depth` multiplications are needed for an entry.
fn for_each_piece<T: RealField + Copy>(
    result: &mut DMatrix<T>,
    depth: usize,
    work: impl Fn(Range<usize>, DMatrixViewMut<'_, T, U1, Dyn>) + Sync,
) {
    let (rows, columns) = result.shape();
    if result.is_empty() {
        return;
    }
    let operations = rows.saturating_mul(columns).saturating_mul(depth);
    // At least a few pieces, so that all threads have something to do.
    let width = columns.div_ceil(4).min(WIDTH);
    let pieces = result.as_mut_slice().chunks_mut(rows * width).enumerate();
    parallel::for_each(
        pieces,
        operations,
        || (),
        |(), (index, piece)| {
            let first = index * width;
            let count = piece.len() / rows;
            work(first..first + count, DMatrixViewMut::from_slice(piece, rows, count));
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(rows: usize, columns: usize) -> DMatrix<f64> {
        DMatrix::from_fn(rows, columns, |i, j| ((i * 7 + j * 13) as f64).sin())
    }

    #[test]
    fn products_are_those_of_nalgebra() {
        for (rows, depth, columns) in [(1, 1, 1), (40, 30, 500), (300, 7, 3), (0, 4, 2)] {
            let (left, right) = (numbers(rows, depth), numbers(depth, columns));
            assert!((product(&left, &right) - &left * &right).norm() < 1e-12);
            let expected = &left * left.transpose();
            assert!((gram(&left) - expected).norm() < 1e-12);
            let expected = right.transpose() * left.transpose();
            assert!((product(&transposed(&right), &transposed(&left)) - expected).norm() < 1e-12);
            assert!((gram(&transposed(&right)) - right.transpose() * &right).norm() < 1e-12);
        }
        for (rows, depth, columns) in [(30, 20, 50), (64, 10, 11), (9, 9, 193), (300, 2, 1)] {
            let (left, right) = (numbers(rows, depth), numbers(depth, columns));
            let (mut sum, transpose) = (numbers(rows, columns), left.transpose());
            let expected = &sum + &left * &right * 0.75;
            add_product(&mut sum, 0.5, &left, &right);
            add_product(&mut sum, 0.25, &transposed(&transpose), &right);
            assert!((sum - expected).norm() < 1e-12);
        }
        let (left, mut sum) = (numbers(300, 40), numbers(300, 300));
        let expected = (&sum + &left * left.transpose()).lower_triangle();
        add_gram(&mut sum, &left);
        assert!((sum.lower_triangle() - expected).norm() < 1e-11);
        assert_eq!(product(&numbers(5, 0), &numbers(0, 9)), DMatrix::zeros(5, 9));
        assert_eq!(gram(&numbers(5, 0)), DMatrix::zeros(5, 5));
    }
}
