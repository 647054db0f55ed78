//! Inner products with few rows by the vector units of the machine.

use std::marker::PhantomData;

use pulp::{Arch, Simd, WithSimd};

use super::centered::{Centered, Found, ROWS, TOGETHER};
use crate::numerics::lanes::Lanes;
use crate::numerics::linalg::strided::Operand;
use crate::numerics::scalar::Scalar;
use crate::numerics::simd::{LINE, Prefetch};

/// A matrix F of at most [`ROWS`] rows.
#[derive(Debug, Clone)]
pub(crate) struct FewRows<T> {
    /// For each vector of columns its numbers in [`ROWS`] rows, zeros where F has none.
    numbers: Vec<T>,
    /// Of the first of them in `numbers`, where a cache line begins.
    start: usize,
    rows: usize,
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
        Some(Self { numbers, start, rows })
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// How many roundings a term of a product goes through at most, its own included: those of a lane and of adding up lanes.
    pub(crate) fn roundings(depth: usize) -> usize {
        let lanes = Arch::new().dispatch(LanesOf(PhantomData::<T>));
        depth.div_ceil(lanes) + lanes
    }

    /// F x for centered vectors.
    pub(crate) fn multiply(&self, centered: &Centered<'_, T>) -> Found {
        Arch::new().dispatch(Multiply { matrix: self, centered })
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

struct Multiply<'a, T> {
    matrix: &'a FewRows<T>,
    centered: &'a Centered<'a, T>,
}

impl<T: Scalar> WithSimd for Multiply<'_, T> {
    type Output = Found;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Found {
        let Centered { vectors, next, .. } = *self.centered;
        match (vectors, S::REGISTER_COUNT) {
            (&[first, second, third], 32..) => self.together(simd, [first, second, third], next),
            (&[first, second], 32..) => self.together(simd, [first, second], next),
            _ => self.one_by_one(simd),
        }
    }
}

impl<T: Scalar> Multiply<'_, T> {
    #[inline(always)]
    fn one_by_one<S: Simd>(&self, simd: S) -> Found {
        let Centered { vectors, next, .. } = *self.centered;
        let mut found = Found::NOTHING;
        for (n, vector) in vectors.iter().enumerate() {
            let one = self.together(simd, [vector], &next[n.min(next.len())..]);
            found.products[n] = one.products[0];
            found.squares[n] = one.squares[0];
            found.around[n] = one.around[0];
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
    ) -> Found {
        let Centered { high, low, factor, .. } = *self.centered;
        let (prefetch, zero) = (Prefetch::new(), T::repeated(simd, T::zero()));
        let (mut sums, mut squares) = ([[zero; ROWS]; N], [zero; N]);
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
                numbers[n] = T::subtract(simd, T::subtract(simd, own[n][i], highs[i]), lows[i]);
            }
            for r in 0..ROWS {
                for n in 0..N {
                    sums[n][r] = T::multiply_add(simd, matrix[i][r], numbers[n], sums[n][r]);
                }
            }
            for n in 0..N {
                squares[n] = T::multiply_add(simd, numbers[n], numbers[n], squares[n]);
            }
        }
        if let ([rows, ..], false) = (last_rows, last_high.is_empty()) {
            let (high, low) = (T::partial(simd, last_high), T::partial(simd, last_low));
            for n in 0..N {
                let own = T::partial(simd, last[n]);
                let numbers = T::subtract(simd, T::subtract(simd, own, high), low);
                squares[n] = T::multiply_add(simd, numbers, numbers, squares[n]);
                for r in 0..ROWS {
                    sums[n][r] = T::multiply_add(simd, rows[r], numbers, sums[n][r]);
                }
            }
        }
        // One by one: in a loop the compiler would keep the sums in memory from the beginning.
        const { assert!(N <= 3 && N <= TOGETHER) };
        let mut found = Found::NOTHING;
        write::<T, S>(simd, (&sums[0], squares[0]), factor, (&mut found, 0));
        if N > 1 {
            write::<T, S>(simd, (&sums[1], squares[1]), factor, (&mut found, 1));
        }
        if N > 2 {
            write::<T, S>(simd, (&sums[2], squares[2]), factor, (&mut found, 2));
        }
        found
    }
}

/// Writes the totals of sums and of squares of one vector.
#[inline(always)]
fn write<T: Scalar, S: Simd>(
    simd: S,
    (sums, squares): (&[T::Vector<S>; ROWS], T::Vector<S>),
    factor: f64,
    (found, index): (&mut Found, usize),
) {
    let mut square = 0.0;
    for (out, &sum) in found.products[index].iter_mut().zip(sums) {
        let product = T::total(simd, sum).into() * factor;
        square += product * product;
        *out = product;
    }
    found.squares[index] = square;
    found.around[index] = T::total(simd, squares).into() * factor * factor;
}
