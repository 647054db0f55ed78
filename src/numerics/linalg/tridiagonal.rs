//! Eigenvalues and eigenvectors of a symmetric matrix by the QR iteration with implicit shifts.
//!
//! A large matrix is reduced to tridiagonal form by [reflections](super::reflections) that are mostly matrix products, a small
//! one by nalgebra. Rotations are collected and [applied](Turned) on all cores to what fits into a cache.
//!
//! Golub & Van Loan, *Matrix computations*, section 8.3.

use nalgebra::{DMatrix, linalg::SymmetricTridiagonal};

use super::reflections::Tridiagonal;
use super::rotation::{Rotation, Turned};

/// Up to this size, products cost more than they save.
const WITHOUT_PRODUCTS: usize = 64;

/// A symmetric tridiagonal matrix T on its way to diagonal form; Q T Qᵀ stays the same all the time.
pub(super) struct Iteration {
    /// At the end the eigenvalues, unsorted.
    pub(super) diagonal: Vec<f64>,
    beside: Vec<f64>,
    /// Q.
    pub(super) vectors: Turned,
}

impl Iteration {
    /// Reduces a symmetric matrix, not empty and with entries of the size of 1, of which the lower triangle is read.
    pub(super) fn new(matrix: DMatrix<f64>) -> Self {
        if matrix.nrows() > WITHOUT_PRODUCTS {
            let Tridiagonal { vectors, diagonal, beside } = Tridiagonal::new(matrix);
            return Self { diagonal, beside, vectors: Turned::new(&vectors) };
        }
        let (vectors, diagonal, beside) = SymmetricTridiagonal::new(matrix).unpack();
        let [diagonal, beside] = [diagonal, beside].map(|entries| entries.as_slice().to_vec());
        Self { diagonal, beside, vectors: Turned::new(&vectors) }
    }

    /// Iterates to diagonal form; `false` if `cap` QR steps were not enough.
    pub(super) fn run(&mut self, cap: usize) -> bool {
        let (mut end, mut steps) = (self.diagonal.len(), 0);
        while end > 1 {
            // The lowest block that does not split.
            let start = (1..end).rev().find(|&i| self.splits_above(i)).unwrap_or(0);
            if start == end - 1 {
                end -= 1;
                continue;
            }
            if steps == cap {
                return false;
            }
            self.qr_step(start, end - 1);
            steps += 1;
        }
        true
    }

    /// Whether the entry beside diagonal entries `i` − 1 and `i` is negligible, relative to these or to 1, which is the size of
    /// the largest ones.
    fn splits_above(&self, i: usize) -> bool {
        let neighbors = self.diagonal[i - 1].abs() + self.diagonal[i].abs();
        self.beside[i - 1].abs() <= f64::EPSILON * neighbors + f64::EPSILON.powi(2)
    }

    fn qr_step(&mut self, start: usize, last: usize) {
        let (mut x, mut y) = (self.diagonal[start] - self.shift(last), self.beside[start]);
        for i in start..last {
            let rotation = Rotation::new(x, y);
            let Rotation { cosine, sine, radius } = rotation;
            if i > start {
                self.beside[i - 1] = radius;
            }
            let (difference, beside) = (self.diagonal[i + 1] - self.diagonal[i], self.beside[i]);
            let moved = sine * (2.0 * cosine * beside + sine * difference);
            self.diagonal[i] += moved;
            self.diagonal[i + 1] -= moved;
            self.beside[i] =
                cosine * sine * difference + (cosine - sine) * (cosine + sine) * beside;
            if i + 1 < last {
                (x, y) = (self.beside[i], sine * self.beside[i + 1]);
                self.beside[i + 1] *= cosine;
            }
            self.vectors.turn(i, rotation);
        }
    }

    /// The eigenvalue of the last 2×2 block that is closest to its last entry (Wilkinson).
    fn shift(&self, last: usize) -> f64 {
        let beside = self.beside[last - 1];
        let half = (self.diagonal[last - 1] - self.diagonal[last]) / 2.0;
        if beside == 0.0 {
            return self.diagonal[last];
        }
        let root = half.hypot(beside).copysign(half);
        self.diagonal[last] - beside * (beside / (half + root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::linalg::reflections::tests::symmetric;

    /// QR steps for each eigenvalue.
    const STEPS: usize = 3;

    /// With shifts that are eigenvalues the last entry beside the diagonal falls with its third power: two to three steps
    /// are needed for each eigenvalue, also where these are of very different sizes. Without, or with wrong ones, there would be
    /// many more.
    #[test]
    fn shifts_make_steps_few() {
        for size in [1, 2, 3, 8, 40, 150] {
            let dense = symmetric(size);
            let graded =
                DMatrix::from_fn(size, size, |i, j| dense[(i, j)] * 0.7_f64.powi((i + j) as i32));
            for matrix in [dense, graded] {
                let mut iteration = Iteration::new(matrix.clone());
                assert!(iteration.run(STEPS * size), "{size}");
                let order: Vec<usize> = (0..size).collect();
                let values = nalgebra::DVector::from_vec(iteration.diagonal);
                let vectors = iteration.vectors.into_columns(&order);
                let residual = &matrix * &vectors - &vectors * DMatrix::from_diagonal(&values);
                assert!(residual.amax() <= 1e-14 * matrix.norm(), "{size}");
                let defect = vectors.tr_mul(&vectors) - DMatrix::identity(size, size);
                assert!(defect.amax() < 1e-14 * (10 + size) as f64, "{size}");
            }
        }
    }

    /// What is far below an ulp of the largest entry takes no steps: zeros on the diagonal and less and less beside it.
    #[test]
    fn what_is_negligible_takes_no_steps() {
        let size = 60;
        let beside = |i: usize, j: usize| 10_f64.powi(-5 * i.min(j) as i32);
        let matrix =
            DMatrix::from_fn(
                size,
                size,
                |i, j| if i.abs_diff(j) == 1 { beside(i, j) } else { 0.0 },
            );
        let mut iteration = Iteration::new(matrix);
        assert!(iteration.run(STEPS * size));
        let largest = iteration.diagonal.iter().copied().fold(0.0, f64::max);
        assert!((largest - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_shift_is_the_closest_eigenvalue() {
        for (before, beside, last) in
            [(2.0, 0.5, 1.0), (1.0, -0.7, 3.0), (1.0, 2.0, 1.0), (4.0, 1e-9, -2.0), (1.0, 0.0, 3.0)]
        {
            let iteration = Iteration {
                diagonal: vec![7.0, before, last],
                beside: vec![0.3, beside],
                vectors: Turned::new(&DMatrix::zeros(0, 0)),
            };
            let middle: f64 = f64::midpoint(before, last);
            let root = f64::hypot((before - last) / 2.0, beside);
            let near = [middle - root, middle + root];
            let distance = |value: f64| (value - last).abs();
            let closest = near.into_iter().map(distance).fold(f64::INFINITY, f64::min);
            let shift = iteration.shift(2);
            assert!(near.iter().any(|value| (value - shift).abs() < 1e-14), "{before} {beside}");
            assert!((distance(shift) - closest).abs() < 1e-14, "{before} {beside} {last}");
        }
    }

    /// A cap below the number of steps that are needed ends the search.
    #[test]
    fn steps_are_counted() {
        let run = |cap| Iteration::new(symmetric(12)).run(cap);
        let needed = (0..100).find(|&cap| run(cap)).unwrap();
        assert!((6..=24).contains(&needed), "{needed}");
        assert!(!run(needed - 1) && run(needed) && run(needed + 1));
    }
}
