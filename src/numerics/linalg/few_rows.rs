//! Few-dimensional projections, computed while the vectors are read.
//!
//! A matrix with a handful of rows is too small to keep a [product](super::packed) busy: writing the vectors down and
//! reading them again takes longer than to multiply them. Here a vector is read once, and its inner products with all
//! rows are added up in registers.

use super::packed::Packed;
use super::strided::Operand;
use crate::numerics::scalar::Scalar;

pub(crate) use centered::{Centered, TOGETHER};
#[cfg(not(feature = "simd"))]
pub(crate) use general::FewRows;
#[cfg(feature = "simd")]
pub(crate) use vectors::FewRows;

mod centered;
#[cfg(any(test, not(feature = "simd")))]
mod general;
#[cfg(test)]
mod tests;
#[cfg(feature = "simd")]
mod vectors;

/// A matrix F that vectors are multiplied by.
#[derive(Debug, Clone)]
pub(crate) struct Factor<T> {
    /// The matrix for any vectors.
    pub(crate) packed: Packed<T>,
    /// The same for centered ones, if it has few rows.
    pub(crate) few_rows: Option<FewRows<T>>,
}

impl<T: Scalar> Factor<T> {
    /// What `number` makes of the entries of a matrix.
    pub(crate) fn new<U: Scalar>(matrix: &impl Operand<U>, number: impl Fn(U) -> T + Sync) -> Self {
        let few_rows = FewRows::new(matrix, &number);
        Self { packed: Packed::new(matrix, number), few_rows }
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.packed.rows()
    }
}
