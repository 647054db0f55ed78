//! Symmetric matrices by their lower triangle, as they are stored.

use nalgebra::DMatrix;

/// The lower triangle of a square matrix, column by column.
pub(crate) fn lower_triangle(matrix: &DMatrix<f64>) -> Vec<f64> {
    let columns = matrix.column_iter().enumerate();
    columns.flat_map(|(j, column)| column.as_slice()[j..].to_vec()).collect()
}

/// Copies the lower triangle to the upper one, block by block: whole rows would miss the cache at each number.
pub(crate) fn mirror(matrix: &mut DMatrix<f64>) {
    const SIZE: usize = 32;
    let count = matrix.nrows();
    for first_column in (0..count).step_by(SIZE) {
        for first_row in (first_column..count).step_by(SIZE) {
            for column in first_column..count.min(first_column + SIZE) {
                for row in first_row.max(column + 1)..count.min(first_row + SIZE) {
                    matrix[(column, row)] = matrix[(row, column)];
                }
            }
        }
    }
}

/// The matrix with this lower triangle and zeros above.
pub(crate) fn from_triangle(size: usize, triangle: &[f64]) -> DMatrix<f64> {
    let mut matrix = DMatrix::zeros(size, size);
    let mut entries = triangle.iter();
    for (j, mut column) in matrix.column_iter_mut().enumerate() {
        column.iter_mut().skip(j).zip(&mut entries).for_each(|(place, entry)| *place = *entry);
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrored_matrices_are_symmetric() {
        for size in [0, 1, 31, 32, 33, 70] {
            let number = |i: usize, j: usize| (i * 100 + j) as f64;
            let mut matrix = DMatrix::from_fn(size, size, number);
            mirror(&mut matrix);
            let expected = DMatrix::from_fn(size, size, |i, j| number(i.max(j), i.min(j)));
            assert_eq!(matrix, expected);
        }
    }
}
