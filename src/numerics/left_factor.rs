//! A matrix that many blocks of columns are multiplied by.

use nalgebra::DMatrix;

use crate::numerics::linalg::{multiply, product, transposed};
use crate::numerics::scalar::Scalar;

/// Up to so many rows, a general matrix product takes longer to copy the columns into its own order than to
/// multiply.
const FEW: usize = 32;

/// A matrix to multiply blocks of columns by, stored in the way that is fastest.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum LeftFactor<T: Scalar> {
    /// The transpose, whose columns are multiplied with those of the blocks one by one.
    FewRows(DMatrix<T>),
    /// The matrix itself.
    ManyRows(DMatrix<T>),
}

impl<T: Scalar> LeftFactor<T> {
    /// The transpose of a matrix, rounded.
    pub(crate) fn transpose_of(matrix: &DMatrix<f64>) -> Self {
        match matrix.ncols() {
            ..=FEW => Self::FewRows(matrix.map(T::rounded)),
            _ => Self::ManyRows(DMatrix::from_fn(matrix.ncols(), matrix.nrows(), |i, j| {
                T::rounded(matrix[(j, i)])
            })),
        }
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::FewRows(transpose) => transpose.ncols(),
            Self::ManyRows(matrix) => matrix.nrows(),
        }
    }

    /// `products` = this matrix times `block`, on this thread.
    pub(crate) fn multiply(&self, block: &DMatrix<T>, products: &mut DMatrix<T>) {
        if products.shape() != (self.rows(), block.ncols()) {
            *products = DMatrix::zeros(self.rows(), block.ncols());
        }
        match self {
            Self::FewRows(transpose) => T::inner_products(transpose, block, products),
            Self::ManyRows(matrix) => multiply(&mut products.as_view_mut(), matrix, block),
        }
    }

    /// This matrix times `block`, in `f64`.
    pub(crate) fn times(&self, block: &DMatrix<f64>) -> DMatrix<f64> {
        match self {
            Self::FewRows(transpose) => product(&transposed(&transpose.map(Into::into)), block),
            Self::ManyRows(matrix) => product(&matrix.map(Into::into), block),
        }
    }
}
