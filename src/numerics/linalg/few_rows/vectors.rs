//! Inner products with few rows by the vector units of the machine.

use std::marker::PhantomData;

use pulp::{Arch, Simd, WithSimd};

use super::centered::{Centered, Found, ROWS, TOGETHER};
use crate::numerics::lanes::Lanes;
use crate::numerics::linalg::strided::Operand;
use crate::numerics::scalar::Scalar;
use crate::numerics::simd::{LINE, Prefetch};

/// Bytes of the matrix that meet all vectors before the next bytes do, where it meets them one by one and is larger than twice
/// that: they stay in the nearest cache.
const NEAREST: usize = 9 << 10;

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
        match S::REGISTER_COUNT {
            32.. => self.multiply::<S, 3>(simd),
            _ => self.multiply::<S, 1>(simd),
        }
    }
}

impl<T: Scalar> Multiply<'_, T> {
    /// `MOST` vectors at a time. Asks for those that are wanted next meanwhile.
    #[inline(always)]
    fn multiply<S: Simd, const MOST: usize>(&self, simd: S) -> Found {
        let Centered { vectors, high, low, factor, next } = *self.centered;
        let zero = T::repeated(simd, T::zero());
        let mut sums = [Sums { products: [zero; ROWS], square: zero }; TOGETHER];
        let lanes = T::lanes::<S>();
        let whole = high.len() / lanes;
        let rows = T::split::<S>(&self.matrix.numbers[self.matrix.start..]).0.as_chunks::<ROWS>().0;
        for start in (0..whole).step_by(piece_length(rows, MOST)) {
            let end = whole.min(start + piece_length(rows, MOST));
            let columns = start * lanes..end * lanes;
            let piece = Piece {
                high: &high[columns.clone()],
                low: &low[columns.clone()],
                rows: &rows[start..end],
                from: columns.start,
            };
            piece.multiply_all::<S, MOST>(simd, vectors, next, &mut sums);
        }
        let rest = whole * lanes;
        if let (Some(rows), true) = (rows.get(whole), rest < high.len()) {
            let (high, low) = (T::partial(simd, &high[rest..]), T::partial(simd, &low[rest..]));
            for (vector, sums) in vectors.iter().zip(&mut sums) {
                let own = T::partial(simd, &vector[rest..]);
                let number = T::subtract(simd, T::subtract(simd, own, high), low);
                sums.add::<S, T>(simd, number, rows);
            }
        }
        let mut found = Found::NOTHING;
        for (n, sums) in sums.iter().enumerate().take(vectors.len()) {
            sums.write::<S, T>(simd, factor, (&mut found, n));
        }
        found
    }
}

/// Vectors of columns that meet all that is multiplied before the next ones do, where `most` are multiplied at a time.
fn piece_length<V>(rows: &[[V; ROWS]], most: usize) -> usize {
    match most {
        1 if size_of_val(rows) > 2 * NEAREST => NEAREST / size_of::<[V; ROWS]>(),
        _ => rows.len().max(1),
    }
}

/// What was found of a vector, lane by lane.
#[derive(Clone, Copy)]
struct Sums<V> {
    products: [V; ROWS],
    square: V,
}

impl<V: Copy> Sums<V> {
    /// Adds those of some numbers of the vector with as many columns.
    #[inline(always)]
    fn add<S: Simd, T: Lanes<Vector<S> = V>>(&mut self, simd: S, numbers: V, rows: &[V; ROWS]) {
        for (sum, &row) in self.products.iter_mut().zip(rows) {
            *sum = T::multiply_add(simd, row, numbers, *sum);
        }
        self.square = T::multiply_add(simd, numbers, numbers, self.square);
    }

    /// Writes the totals of the vector.
    #[inline(always)]
    fn write<S: Simd, T: Scalar + Lanes<Vector<S> = V>>(
        &self,
        simd: S,
        factor: f64,
        (found, index): (&mut Found, usize),
    ) {
        for (out, &sum) in found.products[index].iter_mut().zip(&self.products) {
            *out = T::total(simd, sum).into() * factor;
            found.squares[index] += *out * *out;
        }
        found.around[index] = T::total(simd, self.square).into() * factor * factor;
    }
}

/// Some columns of the matrix, and of the center.
struct Piece<'a, T, V> {
    high: &'a [T],
    low: &'a [T],
    rows: &'a [[V; ROWS]],
    /// The first of these columns.
    from: usize,
}

impl<T: Scalar, V: Copy> Piece<'_, T, V> {
    /// Adds what is found of all vectors, `MOST` at a time.
    #[inline(always)]
    fn multiply_all<S: Simd, const MOST: usize>(
        &self,
        simd: S,
        vectors: &[&[T]],
        next: &[&[T]],
        sums: &mut [Sums<V>],
    ) where
        T: Lanes<Vector<S> = V>,
    {
        for first in (0..vectors.len()).step_by(MOST) {
            let (vectors, sums) = (&vectors[first..], &mut sums[first..]);
            let next = next.get(first..).unwrap_or_default();
            match vectors.len().min(MOST) {
                3 => self.multiply::<S, 3>(simd, vectors, next, sums),
                2 => self.multiply::<S, 2>(simd, vectors, next, sums),
                _ => self.multiply::<S, 1>(simd, vectors, next, sums),
            }
        }
    }

    /// Adds what is found of the first N vectors.
    #[inline(always)]
    fn multiply<S: Simd, const N: usize>(
        &self,
        simd: S,
        vectors: &[&[T]],
        next: &[&[T]],
        sums: &mut [Sums<V>],
    ) where
        T: Lanes<Vector<S> = V>,
    {
        let prefetch = Prefetch::new();
        let (highs, lows) = (T::split::<S>(self.high).0, T::split::<S>(self.low).0);
        let (lows, rows) = (&lows[..highs.len()], &self.rows[..highs.len()]);
        // Loops instead of closures, which would not be compiled for the vector units.
        let (mut own, mut following) = ([&[][..]; N], [&[][..]; N]);
        for n in 0..N {
            own[n] = &T::split::<S>(&vectors[n][self.from..]).0[..highs.len()];
            following[n] = &next.get(n).unwrap_or(&vectors[n])[self.from..];
        }
        let zero = T::repeated(simd, T::zero());
        let (mut products, mut squares) = ([[zero; ROWS]; N], [zero; N]);
        for n in 0..N {
            (products[n], squares[n]) = (sums[n].products, sums[n].square);
        }
        for i in 0..highs.len() {
            let mut numbers = [zero; N];
            for n in 0..N {
                ask_vector::<T, S>(prefetch, following[n], i);
                numbers[n] = T::subtract(simd, T::subtract(simd, own[n][i], highs[i]), lows[i]);
            }
            for r in 0..ROWS {
                for n in 0..N {
                    products[n][r] = T::multiply_add(simd, rows[i][r], numbers[n], products[n][r]);
                }
            }
            for n in 0..N {
                squares[n] = T::multiply_add(simd, numbers[n], numbers[n], squares[n]);
            }
        }
        for n in 0..N {
            sums[n] = Sums { products: products[n], square: squares[n] };
        }
    }
}

#[cfg(test)]
impl<T: Scalar> FewRows<T> {
    /// One vector at a time, and three, of which a machine does one.
    pub(super) fn multiply_both_ways(&self, centered: &Centered<'_, T>) -> [Found; 2] {
        Arch::new().dispatch(BothWays(Multiply { matrix: self, centered }))
    }
}

#[cfg(test)]
struct BothWays<'a, T>(Multiply<'a, T>);

#[cfg(test)]
impl<T: Scalar> WithSimd for BothWays<'_, T> {
    type Output = [Found; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [Found; 2] {
        [self.0.multiply::<S, 1>(simd), self.0.multiply::<S, 3>(simd)]
    }
}
