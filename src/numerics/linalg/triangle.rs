//! Symmetric matrices by their lower triangle, as they are stored.

use nalgebra::DMatrix;

/// The lower triangle of a square matrix, column by column.
pub(crate) fn lower_triangle(matrix: &DMatrix<f64>) -> Vec<f64> {
    let columns = matrix.column_iter().enumerate();
    columns.flat_map(|(j, column)| column.as_slice()[j..].to_vec()).collect()
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
