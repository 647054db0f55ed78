//! Inner products with few rows by the vector units of the machine.

use std::marker::PhantomData;

use pulp::{Arch, Simd, WithSimd};

use super::centered::{Centered, Found, TOGETHER};
use crate::numerics::lanes::Lanes;
use crate::numerics::linalg::strided::Operand;
use crate::numerics::scalar::Scalar;
use crate::numerics::simd::{LINE, Prefetch};

/// Rows at most: of 32 registers there is one for each inner product of [three](TOGETHER) vectors with them.
const ROWS: usize = 9;

/// A matrix F of at most [`ROWS`] rows.
#[derive(Debug, Clone)]
pub(crate) struct FewRows<T> {
    /// For each vector of columns its numbers in [`ROWS`] rows, zeros where F has none.
    numbers: Vec<T>,
    /// Of the first of them in `numbers`, where a cache line begins.
    start: usize,
}

impl<T: Scalar> FewRows<T> {
    /// What `number` makes of the entries of a matrix; `None` if it has too many rows.
    pub(crate) fn new<U: Scalar>(
        matrix: &impl Operand<U>,
        number: impl Fn(U) -> T,
    ) -> Option<Self> {
        let matrix = matrix.strided().as_view();
        let (rows, depth) = matrix.shape();
        if rows > ROWS {
            return None;
        }
        let lanes = Arch::new().dispatch(LanesOf(PhantomData::<T>));
        let (length, line) = (ROWS * depth.next_multiple_of(lanes), LINE / size_of::<T>());
        let mut numbers = vec![T::zero(); length + line];
        let start = numbers.as_ptr().align_offset(LINE).min(line);
        for (column, entries) in matrix.column_iter().enumerate() {
            let place = start + column / lanes * lanes * ROWS + column % lanes;
            let out = numbers[place..].iter_mut().step_by(lanes);
            out.zip(entries.iter()).for_each(|(out, &entry)| *out = number(entry));
        }
        Some(Self { numbers, start })
    }

    /// ‖F x‖² for centered vectors.
    pub(crate) fn squares(&self, centered: &Centered<'_, T>) -> Found<T> {
        Arch::new().dispatch(Squares { matrix: self, centered })
    }
}

/// Asks for the lanes of the machine.
struct LanesOf<T>(PhantomData<T>);

impl<T: Lanes> WithSimd for LanesOf<T> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        T::lanes::<S>()
    }
}

/// Asks for the vector at an index.
#[inline(always)]
fn ask_vector<T: Lanes, S: Simd>(prefetch: Prefetch, numbers: &[T], index: usize) {
    prefetch.ask(numbers, index * T::lanes::<S>());
}

struct Squares<'a, T> {
    matrix: &'a FewRows<T>,
    centered: &'a Centered<'a, T>,
}

impl<T: Scalar> WithSimd for Squares<'_, T> {
    type Output = Found<T>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Found<T> {
        let Centered { vectors, next, .. } = *self.centered;
        match (vectors, S::REGISTER_COUNT) {
            (&[first, second, third], 32..) => self.together(simd, [first, second, third], next),
            (&[first, second], 32..) => self.together(simd, [first, second], next),
            _ => self.one_by_one(simd),
        }
    }
}

impl<T: Scalar> Squares<'_, T> {
    #[inline(always)]
    fn one_by_one<S: Simd>(&self, simd: S) -> Found<T> {
        let Centered { vectors, next, .. } = *self.centered;
        let mut found = Found { squares: [0.0; TOGETHER], largest: T::zero() };
        for (n, vector) in vectors.iter().enumerate() {
            let one = self.together(simd, [vector], &next[n.min(next.len())..]);
            found.squares[n] = one.squares[0];
            found.largest = found.largest.max(one.largest);
        }
        found
    }

    /// Asks for the vectors in `next` meanwhile.
    #[inline(always)]
    fn together<S: Simd, const N: usize>(
        &self,
        simd: S,
        vectors: [&[T]; N],
        next: &[&[T]],
    ) -> Found<T> {
        let Centered { high, low, factor, .. } = *self.centered;
        let (prefetch, zero) = (Prefetch::new(), T::repeated(simd, T::zero()));
        let (mut sums, mut largest) = ([[zero; ROWS]; N], zero);
        let ((highs, last_high), (lows, last_low)) = (T::split::<S>(high), T::split::<S>(low));
        let lows = &lows[..highs.len()];
        let matrix = T::split::<S>(&self.matrix.numbers[self.matrix.start..]).0;
        let (matrix, last_rows) = matrix.as_chunks::<ROWS>().0.split_at(highs.len());
        // Loops instead of closures, which would not be compiled for the vector units.
        let (mut own, mut last, mut following) = ([&[][..]; N], [&[][..]; N], vectors);
        for n in 0..N {
            (own[n], last[n]) = T::split::<S>(vectors[n]);
            own[n] = &own[n][..highs.len()];
        }
        for (following, next) in following.iter_mut().zip(next) {
            *following = next;
        }
        for i in 0..highs.len() {
            let mut numbers = [zero; N];
            for vector in following {
                ask_vector::<T, S>(prefetch, vector, i);
            }
            for n in 0..N {
                largest = T::larger(simd, T::magnitudes(simd, own[n][i]), largest);
                numbers[n] = T::subtract(simd, T::subtract(simd, own[n][i], highs[i]), lows[i]);
            }
            for r in 0..ROWS {
                for n in 0..N {
                    sums[n][r] = T::multiply_add(simd, matrix[i][r], numbers[n], sums[n][r]);
                }
            }
        }
        if let ([rows, ..], false) = (last_rows, last_high.is_empty()) {
            let (high, low) = (T::partial(simd, last_high), T::partial(simd, last_low));
            for n in 0..N {
                let own = T::partial(simd, last[n]);
                largest = T::larger(simd, T::magnitudes(simd, own), largest);
                let numbers = T::subtract(simd, T::subtract(simd, own, high), low);
                for r in 0..ROWS {
                    sums[n][r] = T::multiply_add(simd, rows[r], numbers, sums[n][r]);
                }
            }
        }
        // One by one: in a loop the compiler would keep the sums in memory from the beginning.
        const { assert!(N <= 3 && N <= TOGETHER) };
        let mut squares = [0.0; TOGETHER];
        squares[0] = squared_norm::<T, S>(simd, &sums[0], factor);
        if N > 1 {
            squares[1] = squared_norm::<T, S>(simd, &sums[1], factor);
        }
        if N > 2 {
            squares[2] = squared_norm::<T, S>(simd, &sums[2], factor);
        }
        Found { squares, largest: T::largest(simd, largest) }
    }
}

/// Σ (total · factor)² for the totals of some vectors.
#[inline(always)]
fn squared_norm<T: Scalar, S: Simd>(simd: S, sums: &[T::Vector<S>; ROWS], factor: f64) -> f64 {
    let mut square = 0.0;
    for &sum in sums {
        let product = T::total(simd, sum).into() * factor;
        square += product * product;
    }
    square
}
