//! The matrix product of nalgebra, which is that of the crate `matrixmultiply`.

use nalgebra::{DMatrix, DMatrixView, DMatrixViewMut, Dyn, RealField};

use super::operand::{Columns, Numbers, Operand};

/// A matrix to multiply columns by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Packed<T>(DMatrix<T>);

impl<T: RealField + Copy> Packed<T> {
    /// A matrix of no rows, to be filled.
    pub(crate) fn empty() -> Self {
        Self(DMatrix::zeros(0, 0))
    }

    /// Becomes what `number` makes of the entries of a matrix.
    pub(crate) fn fill<U: RealField + Copy>(
        &mut self,
        matrix: &Operand<U, impl Numbers<U>>,
        number: impl Fn(U) -> T + Sync,
    ) {
        self.0 = matrix.map(number);
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.0.nrows()
    }

    /// Adds the products with columns to those of `result`, which are `stride` numbers apart; rows before `first_row`
    /// may be left out.
    pub(crate) fn add_products(
        &self,
        columns: Columns<'_, T>,
        first_row: usize,
        result: &mut [T],
        stride: usize,
    ) {
        let (rows, depth) = self.0.shape();
        if rows <= first_row || depth == 0 || columns.count == 0 {
            return;
        }
        let strides = (Dyn(1), Dyn(columns.stride));
        let shape = (Dyn(depth), Dyn(columns.count));
        let right: DMatrixView<'_, T, Dyn, Dyn> = DMatrixView::from_slice_with_strides_generic(
            columns.numbers,
            shape.0,
            shape.1,
            strides.0,
            strides.1,
        );
        let mut result = DMatrixViewMut::from_slice_with_strides_generic(
            &mut result[first_row..],
            Dyn(rows - first_row),
            shape.1,
            Dyn(1),
            Dyn(stride),
        );
        result.gemm(T::one(), &self.0.rows_range(first_row..), &right, T::one());
    }
}
