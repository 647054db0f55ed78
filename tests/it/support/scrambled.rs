//! Matrices of numbers without order, the same on every machine to the last few digits.

use nalgebra::DMatrix;

/// Numbers between −1 and 1.
pub fn scrambled(rows: usize, columns: usize, seed: f64) -> DMatrix<f64> {
    let number =
        |i: usize, j: usize| ((i * columns + j) as f64 * 12.9898 + seed).sin() * 43_758.545;
    DMatrix::from_fn(rows, columns, |i, j| 2.0 * (number(i, j) - number(i, j).floor()) - 1.0)
}
