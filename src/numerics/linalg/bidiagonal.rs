//! Singular values and vectors of a square matrix by Golub and Reinsch's iteration.
//!
//! nalgebra 0.35 has this iteration too, but its last step, for 2×2 blocks, divides by the smaller
//! singular value: whenever vectors are asked for and the matrix is close to losing rank, even the
//! *largest* singular value it returns can be wrong by tens of percent (a 5×5 matrix of ones gets
//! 5.73 for 5; nalgebra issue 1172). So only its reduction to bidiagonal form is used.
//!
//! Golub & Reinsch, *Singular value decomposition and least squares solutions*, Numerische
//! Mathematik 14 (1970), in the form of LINPACK's `dsvdc`, which never divides by what may vanish.

use nalgebra::{DMatrix, linalg::Bidiagonal};

use super::rotation::Rotation;

/// The singular vectors of one side: a matrix with a column for each, or `()` if they are not wanted.
pub(crate) trait Vectors: Sized {
    /// What is computed only if it is wanted.
    fn new(vectors: impl FnOnce() -> DMatrix<f64>) -> Self;

    /// Others computed from these.
    fn map(self, change: impl FnOnce(DMatrix<f64>) -> DMatrix<f64>) -> Self;

    /// The matrix to change in place.
    fn as_mut(&mut self) -> Option<&mut DMatrix<f64>>;
}

impl Vectors for DMatrix<f64> {
    fn new(vectors: impl FnOnce() -> Self) -> Self {
        vectors()
    }

    fn map(self, change: impl FnOnce(Self) -> Self) -> Self {
        change(self)
    }

    fn as_mut(&mut self) -> Option<&mut DMatrix<f64>> {
        Some(self)
    }
}

impl Vectors for () {
    fn new(_: impl FnOnce() -> DMatrix<f64>) -> Self {}

    fn map(self, _: impl FnOnce(DMatrix<f64>) -> DMatrix<f64>) -> Self {}

    fn as_mut(&mut self) -> Option<&mut DMatrix<f64>> {
        None
    }
}

/// An upper bidiagonal matrix on its way to diagonal form; U B Vᵀ stays the same all the time.
pub(super) struct Iteration<U, V> {
    /// Diagonal of B; at the end the singular values, unsorted.
    pub(super) diagonal: Vec<f64>,
    /// Entries right of the diagonal, and a last zero that stays zero.
    above: Vec<f64>,
    /// U.
    pub(super) u: U,
    /// V.
    pub(super) v: V,
}

/// What the active block, rows start..end, needs next.
enum Step {
    /// The last singular value has converged.
    Converged,
    /// The last diagonal entry is zero: rotate the entry above it away, upwards.
    ChaseUp { start: usize },
    /// A diagonal entry is zero: rotate the entry beside it away, downwards.
    ChaseDown { zero: usize },
    /// No entry is zero: one implicitly shifted QR step.
    Qr { start: usize },
}

impl<U: Vectors, V: Vectors> Iteration<U, V> {
    /// Reduces a square matrix, not empty, to bidiagonal form.
    pub(super) fn new(matrix: DMatrix<f64>) -> Self {
        let reduced = Bidiagonal::new(matrix);
        let mut above = reduced.off_diagonal().as_slice().to_vec();
        above.push(0.0);
        let (u, v) = (U::new(|| reduced.u()), V::new(|| reduced.v_t().transpose()));
        Self { diagonal: reduced.diagonal().as_slice().to_vec(), above, u, v }
    }

    /// Iterates to diagonal form; `false` if `cap` QR steps were not enough.
    pub(super) fn run(&mut self, cap: usize) -> bool {
        let mut end = self.diagonal.len();
        let mut steps = 0;
        while end > 0 {
            match self.next_step(end) {
                Step::Converged => end -= 1,
                Step::ChaseUp { start } => self.chase_up(start, end),
                Step::ChaseDown { zero } => self.chase_down(zero, end),
                Step::Qr { .. } if steps == cap => return false,
                Step::Qr { start } => {
                    self.qr_step(start, end);
                    steps += 1;
                }
            }
        }
        self.make_positive();
        true
    }

    /// Sets what is negligible to zero and finds the lowest block that does not split.
    fn next_step(&mut self, end: usize) -> Step {
        let last = end - 1;
        let start = (1..end).rev().find(|&i| self.splits_above(i)).unwrap_or(0);
        if start == last {
            return Step::Converged;
        }
        match (start..end).rev().find(|&i| self.vanishes(i, start, last)) {
            Some(zero) if zero == last => Step::ChaseUp { start },
            Some(zero) => Step::ChaseDown { zero },
            None => Step::Qr { start },
        }
    }

    /// Whether the entry above diagonal entry `i` is negligible beside its two neighbors.
    fn splits_above(&mut self, i: usize) -> bool {
        let neighbors = self.diagonal[i - 1].abs() + self.diagonal[i].abs();
        let splits = self.above[i - 1].abs() <= f64::EPSILON * neighbors + f64::MIN_POSITIVE;
        if splits {
            self.above[i - 1] = 0.0;
        }
        splits
    }

    /// Whether diagonal entry `i` is negligible beside the entries next to it in the block.
    fn vanishes(&mut self, i: usize, start: usize, last: usize) -> bool {
        let right = if i == last { 0.0 } else { self.above[i].abs() };
        let over = if i == start { 0.0 } else { self.above[i - 1].abs() };
        let vanishes = self.diagonal[i].abs() <= f64::EPSILON * (right + over) + f64::MIN_POSITIVE;
        if vanishes {
            self.diagonal[i] = 0.0;
        }
        vanishes
    }

    fn chase_up(&mut self, start: usize, end: usize) {
        let last = end - 1;
        let mut bulge = std::mem::take(&mut self.above[last - 1]);
        for i in (start..last).rev() {
            let rotation = Rotation::new(self.diagonal[i], bulge);
            self.diagonal[i] = rotation.radius;
            if i > start {
                bulge = -rotation.sine * self.above[i - 1];
                self.above[i - 1] *= rotation.cosine;
            }
            rotation.apply(&mut self.v, i, last);
        }
    }

    fn chase_down(&mut self, zero: usize, end: usize) {
        let mut bulge = std::mem::take(&mut self.above[zero]);
        for i in zero + 1..end {
            let rotation = Rotation::new(self.diagonal[i], bulge);
            self.diagonal[i] = rotation.radius;
            bulge = -rotation.sine * self.above[i];
            self.above[i] *= rotation.cosine;
            rotation.apply(&mut self.u, i, zero);
        }
    }

    fn qr_step(&mut self, start: usize, end: usize) {
        let last = end - 1;
        let (mut x, mut y) = self.shifted_first_column(start, last);
        for i in start..last {
            let right = Rotation::new(x, y);
            if i > start {
                self.above[i - 1] = right.radius;
            }
            (x, self.above[i]) = right.turn(self.diagonal[i], self.above[i]);
            (y, self.diagonal[i + 1]) = right.turn(0.0, self.diagonal[i + 1]);
            right.apply(&mut self.v, i, i + 1);

            let left = Rotation::new(x, y);
            self.diagonal[i] = left.radius;
            (x, self.diagonal[i + 1]) = left.turn(self.above[i], self.diagonal[i + 1]);
            (y, self.above[i + 1]) = left.turn(0.0, self.above[i + 1]);
            left.apply(&mut self.u, i, i + 1);
        }
        self.above[last - 1] = x;
    }

    /// First column of BᵀB − shift·I, with the eigenvalue of the last 2×2 block of BBᵀ that is closest to
    /// the last entry as the shift; everything relative to the largest entry involved.
    fn shifted_first_column(&self, start: usize, last: usize) -> (f64, f64) {
        let entries = [
            self.diagonal[last],
            self.diagonal[last - 1],
            self.above[last - 1],
            self.diagonal[start],
            self.above[start],
        ];
        let scale = entries.iter().fold(0.0, |scale: f64, entry| scale.max(entry.abs()));
        let [d, c, e, first, beside] = entries.map(|entry| entry / scale);
        let half = ((c + d) * (c - d) + e * e) / 2.0;
        let product = (d * e) * (d * e);
        let root = (half * half + product).sqrt().copysign(half);
        let shift = if product == 0.0 { 0.0 } else { product / (half + root) };
        ((first + d) * (first - d) + shift, first * beside)
    }

    fn make_positive(&mut self) {
        for (i, value) in self.diagonal.iter_mut().enumerate() {
            if *value < 0.0 {
                *value = -*value;
                if let Some(vectors) = self.v.as_mut() {
                    vectors.column_mut(i).neg_mut();
                }
            }
        }
    }
}

impl Rotation {
    /// Turns two singular vectors.
    fn apply(&self, vectors: &mut impl Vectors, first: usize, second: usize) {
        let Some(matrix) = vectors.as_mut() else { return };
        let rows = matrix.nrows();
        let (low, high) = (first.min(second), first.max(second));
        let (head, tail) = matrix.as_mut_slice().split_at_mut(high * rows);
        let (low, high) = (&mut head[low * rows..][..rows], &mut tail[..rows]);
        let (xs, ys) = if first < second { (low, high) } else { (high, low) };
        for (x, y) in xs.iter_mut().zip(ys) {
            (*x, *y) = self.turn(*x, *y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// QR steps for each singular value.
    const STEPS: usize = 2;

    #[test]
    fn an_entry_vanishes_beside_the_sum_of_its_neighbors_in_the_block() {
        let vanishes = |diagonal: f64, [over, right]: [f64; 2], [start, last]: [usize; 2]| {
            let diagonal = vec![1.0, diagonal * f64::EPSILON, 1.0];
            let above = vec![over, right, 0.0];
            let mut iteration = Iteration { diagonal, above, u: (), v: () };
            let vanishes = iteration.vanishes(1, start, last);
            assert_eq!(vanishes, iteration.diagonal[1] == 0.0);
            vanishes
        };
        assert!(vanishes(4.5, [2.0, -3.0], [0, 2]));
        assert!(!vanishes(5.5, [2.0, -3.0], [0, 2]));
        // Entries outside of the block are no neighbors.
        assert!(!vanishes(2.5, [2.0, 3.0], [0, 1]) && vanishes(1.5, [2.0, 3.0], [0, 1]));
        assert!(!vanishes(3.5, [2.0, 3.0], [1, 2]) && vanishes(2.5, [2.0, 3.0], [1, 2]));
    }

    /// With shifts that are eigenvalues the last entry above the diagonal falls with its third power: about two steps are
    /// needed for each singular value, wherever the block begins. Without, or with wrong ones, there would be many more.
    #[test]
    fn shifts_make_steps_few() {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        };
        for size in [2, 3, 8, 40] {
            let dense = DMatrix::from_fn(size, size, |_, _| random());
            // Singular values of very different sizes.
            let graded =
                DMatrix::from_fn(size, size, |i, j| dense[(i, j)] * 0.5_f64.powi(i as i32));
            for matrix in [&dense * 1e150, dense, graded] {
                let mut iteration = Iteration::<(), ()>::new(matrix.clone());
                assert!(iteration.run(STEPS * size), "{size}");
                let norm = iteration.diagonal.iter().map(|value| value * value).sum::<f64>().sqrt();
                assert!((norm / matrix.norm() - 1.0).abs() < 1e-14);
            }
        }
    }

    /// The shift is the eigenvalue of the last 2×2 block of BBᵀ that is closest to its last entry.
    #[test]
    fn the_first_column_has_the_closest_eigenvalue() {
        for (c, e, d) in [(2.0, 0.5, 1.0), (1.0, -0.7, 3.0), (1.0, 2.0, 1.0), (4.0, 3.0, 0.1)] {
            let (first, beside, before) = (1.7, -0.4, 0.9);
            let (diagonal, above) = (vec![first, 1.1, c, d], vec![beside, before, e, 0.0]);
            let iteration = Iteration { diagonal, above, u: (), v: () };
            let (x, y) = iteration.shifted_first_column(0, 3);
            let (own, off, last) = (c * c + e * e, d * e, d * d);
            let middle = (own + last) / 2.0;
            let root = f64::hypot((own - last) / 2.0, off);
            let near = [middle - root, middle + root];
            let near =
                near.into_iter().min_by(|a, b| (a - last).abs().total_cmp(&(b - last).abs()));
            let expected = (first * first - near.unwrap()) / (first * beside);
            assert!((x / y - expected).abs() < 1e-13 * expected.abs(), "{}: {expected}", x / y);
        }
    }

    /// A cap below the number of steps that are needed ends the search.
    #[test]
    fn steps_are_counted() {
        let matrix = DMatrix::from_fn(12, 12, |i, j| ((i * i + 3 * j * j + i * j) as f64).sin());
        let run = |cap| Iteration::<(), ()>::new(matrix.clone()).run(cap);
        let needed = (0..100).find(|&cap| run(cap)).unwrap();
        assert!((12..=24).contains(&needed), "{needed}");
        assert!(!run(needed - 1) && run(needed) && run(needed + 1));
    }
}
