//! Rotations in a plane, and many of them applied to the rows of a matrix on all cores.

use nalgebra::DMatrix;

use crate::numerics::parallel;
use crate::numerics::simd::vectorized;

/// The plane rotation that turns (x, y) to (radius, 0).
#[derive(Debug, Clone, Copy)]
pub(super) struct Rotation {
    pub(super) cosine: f64,
    pub(super) sine: f64,
    pub(super) radius: f64,
}

impl Rotation {
    pub(super) fn new(x: f64, y: f64) -> Self {
        let radius = x.hypot(y);
        if radius == 0.0 {
            return Self { cosine: 1.0, sine: 0.0, radius };
        }
        Self { cosine: x / radius, sine: y / radius, radius }
    }

    #[inline(always)]
    pub(super) fn turn(&self, x: f64, y: f64) -> (f64, f64) {
        (self.cosine * x + self.sine * y, self.cosine * y - self.sine * x)
    }
}

/// Rows of a band: as many numbers of a column are turned side by side.
const BAND: usize = 32;

/// Rotations that are collected before they are applied: a megabyte of them.
const TOGETHER: usize = 1 << 15;

/// A matrix whose neighboring columns are turned, in bands of rows: one after the other meets all rotations while it is in the
/// cache.
#[derive(Debug)]
pub(super) struct Turned {
    rows: usize,
    /// Of each band the columns.
    bands: Vec<Vec<[f64; BAND]>>,
    /// The first of two neighboring columns, and by what they are turned.
    rotations: Vec<(usize, Rotation)>,
}

impl Turned {
    pub(super) fn new(matrix: &DMatrix<f64>) -> Self {
        let rows = matrix.nrows();
        let band = |first: usize| {
            let own = first..rows.min(first + BAND);
            let column = |entries: &[f64]| {
                let mut numbers = [0.0; BAND];
                numbers[..own.len()].copy_from_slice(&entries[own.clone()]);
                numbers
            };
            matrix.as_slice().chunks(rows.max(1)).map(column).collect()
        };
        let bands = (0..rows).step_by(BAND).map(band).collect();
        Self { rows, bands, rotations: Vec::new() }
    }

    /// Turns a column and the one after it.
    pub(super) fn turn(&mut self, first: usize, rotation: Rotation) {
        self.rotations.push((first, rotation));
        if self.rotations.len() == TOGETHER {
            self.apply();
        }
    }

    fn apply(&mut self) {
        let rotations = std::mem::take(&mut self.rotations);
        let operations = rotations.len().saturating_mul(self.rows).saturating_mul(2);
        parallel::for_each(
            self.bands.iter_mut(),
            operations,
            || (),
            |(), band| {
                vectorized(
                    #[inline(always)]
                    || turn_band(band, &rotations),
                );
            },
        );
    }

    /// The matrix with its columns in another order.
    pub(super) fn into_columns(mut self, order: &[usize]) -> DMatrix<f64> {
        self.apply();
        let mut matrix = DMatrix::zeros(self.rows, order.len());
        for (band, first) in self.bands.iter().zip((0..self.rows).step_by(BAND)) {
            for (column, out) in order.iter().zip(matrix.as_mut_slice().chunks_mut(self.rows)) {
                let out = &mut out[first..self.rows.min(first + BAND)];
                out.copy_from_slice(&band[*column][..out.len()]);
            }
        }
        matrix
    }
}

/// Of rotations that follow each other the column between two of them stays in the registers.
#[inline(always)]
fn turn_band(band: &mut [[f64; BAND]], rotations: &[(usize, Rotation)]) {
    for run in rotations.chunk_by(|one, next| next.0 == one.0 + 1) {
        let first = run[0].0;
        let mut carried = band[first];
        let columns = &mut band[first..first + run.len() + 1];
        for (index, (_, rotation)) in run.iter().enumerate() {
            let next = columns[index + 1];
            let mut turned = [0.0; BAND];
            for row in 0..BAND {
                (turned[row], carried[row]) = rotation.turn(carried[row], next[row]);
            }
            columns[index] = turned;
        }
        columns[run.len()] = carried;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More rotations than are collected, whole bands and a broken one.
    #[test]
    fn columns_are_turned_one_after_the_other() {
        for (rows, columns, count) in [(70, 5, 40), (3, 3, TOGETHER + 10), (32, 2, 0), (0, 0, 0)] {
            let matrix = DMatrix::from_fn(rows, columns, |i, j| ((i * 7 + j * 3) as f64).sin());
            let (mut turned, mut expected) = (Turned::new(&matrix), matrix.clone());
            for n in 0..count {
                let rotation = Rotation::new((n as f64).cos(), (n as f64).sin() + 0.3);
                let first = n % (columns - 1);
                turned.turn(first, rotation);
                for row in 0..rows {
                    let (x, y) = (expected[(row, first)], expected[(row, first + 1)]);
                    (expected[(row, first)], expected[(row, first + 1)]) = rotation.turn(x, y);
                }
            }
            let order: Vec<usize> = (0..columns).rev().collect();
            assert_eq!(turned.into_columns(&order), expected.select_columns(&order));
        }
    }
}
