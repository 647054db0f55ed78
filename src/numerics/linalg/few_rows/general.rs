//! Inner products with few rows by plain loops.

use super::centered::{Centered, Found, TOGETHER};
use crate::numerics::linalg::strided::Operand;
use crate::numerics::scalar::Scalar;
use crate::numerics::simd::Prefetch;

/// Rows at most.
pub(crate) const ROWS: usize = 9;

/// A matrix F of at most [`ROWS`] rows.
#[derive(Debug, Clone)]
pub(crate) struct FewRows<T> {
    /// The columns, each of [`ROWS`] numbers: zeros where F has none.
    columns: Vec<[T; ROWS]>,
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
        (matrix.nrows() <= ROWS).then(|| Self { columns: columns.collect() })
    }

    /// ‖F x‖² for centered vectors.
    pub(crate) fn squares(&self, centered: &Centered<'_, T>) -> Found<T> {
        let Centered { vectors, high, low, factor, next } = *centered;
        let prefetch = Prefetch::new();
        next.iter().for_each(|vector| prefetch.ask(vector, 0));
        let mut found = Found { squares: [0.0; TOGETHER], largest: T::zero() };
        for (square, vector) in found.squares.iter_mut().zip(vectors) {
            let mut sums = [T::zero(); ROWS];
            let means = high.iter().zip(low);
            for ((&number, (&high, &low)), column) in vector.iter().zip(means).zip(&self.columns) {
                found.largest = found.largest.max(number.abs());
                let centered = number - high - low;
                sums.iter_mut().zip(column).for_each(|(sum, &entry)| *sum += entry * centered);
            }
            *square = sums.iter().map(|&sum| (sum.into() * factor).powi(2)).sum();
        }
        found
    }
}
