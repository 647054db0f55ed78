//! Inner products with few rows by plain loops.

use super::centered::{Centered, Found, ROWS};
use crate::numerics::linalg::strided::Operand;
use crate::numerics::scalar::Scalar;
use crate::numerics::simd::Prefetch;

/// A matrix F of at most [`ROWS`] rows.
#[derive(Debug, Clone)]
pub(crate) struct FewRows<T> {
    /// The columns, each of [`ROWS`] numbers: zeros where F has none.
    columns: Vec<[T; ROWS]>,
    rows: usize,
}

impl<T: Scalar> FewRows<T> {
    /// What `number` makes of the entries of a matrix; `None` if it has too many rows.
    pub(crate) fn new<U: Scalar>(
        matrix: &impl Operand<U>,
        number: impl Fn(U) -> T,
    ) -> Option<Self> {
        let column = |entries: &mut dyn Iterator<Item = T>| {
            std::array::from_fn(|_| entries.next().unwrap_or_else(T::zero))
        };
        let matrix = matrix.strided().as_view();
        let columns = matrix.column_iter();
        let columns =
            columns.map(|entries| column(&mut entries.iter().map(|&entry| number(entry))));
        (matrix.nrows() <= ROWS).then(|| Self { columns: columns.collect(), rows: matrix.nrows() })
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// How many roundings a term of a product goes through at most, its own included.
    #[cfg(not(feature = "simd"))]
    pub(crate) fn roundings(depth: usize) -> usize {
        depth + 1
    }

    /// F x for centered vectors.
    pub(crate) fn multiply(&self, centered: &Centered<'_, T>) -> Found {
        let Centered { vectors, high, low, factor, next } = *centered;
        let prefetch = Prefetch::new();
        next.iter().for_each(|vector| prefetch.ask(vector, 0));
        let mut found = Found::NOTHING;
        for (n, vector) in vectors.iter().enumerate() {
            let (mut sums, mut square) = ([T::zero(); ROWS], T::zero());
            let means = high.iter().zip(low);
            for ((&number, (&high, &low)), column) in vector.iter().zip(means).zip(&self.columns) {
                let centered = number - high - low;
                square += centered * centered;
                sums.iter_mut().zip(column).for_each(|(sum, &entry)| *sum += entry * centered);
            }
            found.products[n] = sums.map(|sum| sum.into() * factor);
            found.squares[n] = found.products[n].iter().map(|product| product * product).sum();
            found.around[n] = square.into() * factor * factor;
        }
        found
    }
}
