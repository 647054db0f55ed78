//! Matrices that are filled again and again.

use nalgebra::{DMatrix, RealField};

/// A matrix to be written, of zeros as the system hands memory out, page by page on the threads that write to it:
/// nalgebra's own is written at once, on this one. (What is read first, as sums are, is better off with that: a page
/// that is read is handed out twice.)
pub(crate) fn zeroed<T: RealField + Copy>(rows: usize, columns: usize) -> DMatrix<T> {
    DMatrix::from_vec(rows, columns, vec![T::zero(); rows * columns])
}

/// Gives a matrix another shape in the memory that it has; its entries are whatever they were.
pub(crate) fn reshape<T: RealField + Copy>(
    matrix: &mut DMatrix<T>,
    (rows, columns): (usize, usize),
) {
    let none = DMatrix::from_vec(0, 0, Vec::new());
    let mut numbers: Vec<T> = std::mem::replace(matrix, none).data.into();
    numbers.resize(rows * columns, T::zero());
    *matrix = DMatrix::from_vec(rows, columns, numbers);
}
