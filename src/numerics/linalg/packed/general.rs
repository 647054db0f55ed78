//! The matrix product of nalgebra, which is that of the crate `matrixmultiply`.

use nalgebra::{DMatrix, DMatrixViewMut, Dyn, RealField};

use crate::numerics::linalg::entries::Entries;
use crate::numerics::linalg::strided::{Columns, Operand};

/// A matrix to multiply columns by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Packed<T>(DMatrix<T>);

/// As many columns, up to `most` but one tile at least, as are multiplied in whole tiles.
#[cfg(not(feature = "simd"))]
pub(crate) fn whole_tiles(most: usize) -> usize {
    /// Columns of a tile: of fewer than six, nalgebra multiplies each alone.
    const COLUMNS: usize = 8;
    (most / COLUMNS).max(1) * COLUMNS
}

impl<T: RealField + Copy> Packed<T> {
    /// A matrix of no rows, to be filled.
    pub(crate) fn empty() -> Self {
        Self(DMatrix::zeros(0, 0))
    }

    /// A matrix whose rows are all multiplied in the same way, as they always are.
    #[cfg(not(feature = "simd"))]
    pub(crate) fn of_equal_rows(matrix: &impl Operand<T>) -> Self {
        Self(matrix.strided().as_view().into_owned())
    }

    /// Becomes what `number` makes of the entries of a matrix.
    pub(crate) fn fill<U: RealField + Copy>(
        &mut self,
        matrix: &impl Operand<U>,
        number: impl Fn(U) -> T + Sync,
    ) {
        self.0 = matrix.strided().as_view().map(number);
    }

    /// How many roundings a term of a product goes through at most, its own included.
    #[cfg(not(feature = "simd"))]
    pub(crate) fn roundings(depth: usize) -> usize {
        depth + 1
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.0.nrows()
    }

    /// Adds the products with columns to those of `result`, which are `stride` numbers apart.
    pub(crate) fn add_products(
        &self,
        columns: Columns<'_, T>,
        wanted: Entries,
        result: &mut [T],
        stride: usize,
    ) {
        let (rows, depth) = self.0.shape();
        let range = match wanted {
            Entries::All => 0..rows,
            Entries::FromDiagonal(first) => usize::try_from(first).unwrap_or(0)..rows,
            Entries::FirstRows(count) => 0..rows.min(count),
        };
        if range.is_empty() || depth == 0 || columns.count == 0 {
            return;
        }
        let right = columns.of_length(depth).as_view();
        let mut result = DMatrixViewMut::from_slice_with_strides_generic(
            &mut result[range.start..],
            Dyn(range.len()),
            Dyn(columns.count),
            Dyn(1),
            Dyn(stride),
        );
        result.gemm(T::one(), &self.0.rows_range(range), &right, T::one());
    }
}
