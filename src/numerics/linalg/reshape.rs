//! Matrices that are filled again and again.

use nalgebra::{DMatrix, RealField};

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
