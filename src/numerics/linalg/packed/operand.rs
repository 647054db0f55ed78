//! Where the operands of a product lie in memory.

use nalgebra::{DMatrixViewMut, Dyn, Matrix, RealField, Storage};

/// A matrix or a view.
pub(crate) type Operand<T, S> = Matrix<T, Dyn, Dyn, S>;

/// Where the numbers of a matrix or of a view are.
pub(crate) trait Numbers<T: RealField + Copy>: Storage<T, Dyn, Dyn> + Sync {}
impl<T: RealField + Copy, S: Storage<T, Dyn, Dyn> + Sync> Numbers<T> for S {}

/// Columns at equal distances in memory, each of which lies in one piece.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns<'a, T> {
    pub(crate) numbers: &'a [T],
    /// From the beginning of one column to that of the next.
    pub(crate) stride: usize,
    pub(crate) count: usize,
}

/// Writes what `number` makes of the entries of a matrix to memory with other strides, in the order in which they are
/// read.
pub(crate) fn convert<T: RealField + Copy, U: RealField + Copy>(
    matrix: &Operand<U, impl Numbers<U>>,
    out: &mut [T],
    (row_stride, column_stride): (usize, usize),
    number: impl Fn(U) -> T,
) {
    let (rows, columns) = matrix.shape();
    if matrix.is_empty() {
        return;
    }
    let (shape, strides) = ((Dyn(rows), Dyn(columns)), (Dyn(row_stride), Dyn(column_stride)));
    let mut out = DMatrixViewMut::from_slice_with_strides_generic(
        out, shape.0, shape.1, strides.0, strides.1,
    );
    // nalgebra goes through matrices column by column.
    if matrix.strides().0 <= matrix.strides().1 {
        return out.zip_apply(matrix, |out, entry| *out = number(entry));
    }
    for (mut out, row) in out.row_iter_mut().zip(matrix.row_iter()) {
        out.zip_apply(&row, |out, entry| *out = number(entry));
    }
}
