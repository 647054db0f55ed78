//! A matrix that columns are multiplied by, in the order in which the product reads it.
//!
//! All large products of the library are made here. With the feature `simd` this is a kernel for the vector units of
//! the machine, AVX-512 included, without `unsafe` through `pulp`: a general product arranges both operands anew at
//! each call, here the left one is arranged once for all the columns that it meets, and these are read where they
//! are. Without the feature the product is nalgebra's.

use nalgebra::DMatrix;

use super::convert::convert;
use super::entries::Entries;
use super::reshape::reshape;
use super::strided::{Columns, Operand, Strided, transposed};
use crate::numerics::lanes::Lanes;
use crate::numerics::simd::LINE;

#[cfg(not(feature = "simd"))]
pub(crate) use general::{Packed, whole_tiles};
#[cfg(feature = "simd")]
pub(crate) use vectors::{Packed, whole_tiles};

#[cfg(any(test, not(feature = "simd")))]
mod general;
#[cfg(test)]
mod tests;
#[cfg(feature = "simd")]
mod vectors;

/// A block of columns to be multiplied.
///
/// Its columns are an odd number of cache lines apart: those at a power of two would all fall into the same few places
/// of a cache.
#[derive(Debug, Clone)]
pub(crate) struct Block<T> {
    numbers: Vec<T>,
    shape: (usize, usize),
}

impl<T: Lanes> Block<T> {
    pub(crate) fn new() -> Self {
        Self { numbers: Vec::new(), shape: (0, 0) }
    }

    /// Takes another shape; the entries are whatever they were.
    pub(crate) fn reshape(&mut self, rows: usize, columns: usize) {
        self.shape = (rows, columns);
        let room = self.stride() * columns;
        if self.numbers.len() < room {
            self.numbers = vec![T::zero(); room];
        }
    }

    pub(crate) fn column(&self, index: usize) -> &[T] {
        &self.numbers[index * self.stride()..][..self.shape.0]
    }

    pub(crate) fn column_mut(&mut self, index: usize) -> &mut [T] {
        let start = index * self.stride();
        &mut self.numbers[start..][..self.shape.0]
    }

    pub(crate) fn columns(&self) -> impl Iterator<Item = &[T]> {
        (0..self.shape.1).map(|index| self.column(index))
    }

    /// Becomes a copy of a matrix.
    pub(crate) fn copy(&mut self, matrix: &impl Operand<T>) {
        let matrix = matrix.strided();
        self.reshape(matrix.nrows(), matrix.ncols());
        let stride = self.stride();
        convert(matrix, &mut self.numbers, stride, |entry| entry);
    }

    /// Becomes a copy of the transpose of a matrix.
    pub(crate) fn copy_transpose(&mut self, matrix: &impl Operand<T>) {
        self.copy(&transposed(matrix));
    }

    /// From the beginning of one column to that of the next.
    fn stride(&self) -> usize {
        let lines = (self.shape.0 * size_of::<T>()).div_ceil(LINE);
        (lines | 1) * LINE / size_of::<T>()
    }

    /// What the product reads.
    pub(crate) fn as_columns(&self) -> Columns<'_, T> {
        Columns { numbers: &self.numbers, stride: self.stride(), count: self.shape.1 }
    }
}

impl<T: Lanes> Operand<T> for Block<T> {
    fn strided(&self) -> Strided<'_, T> {
        self.as_columns().of_length(self.shape.0)
    }
}

impl<T: Lanes> Packed<T> {
    /// What `number` makes of the entries of a matrix.
    pub(crate) fn new<U: Lanes>(matrix: &impl Operand<U>, number: impl Fn(U) -> T + Sync) -> Self {
        let mut packed = Self::empty();
        packed.fill(matrix, number);
        packed
    }

    /// `products` = this matrix times others, on this thread; entries that are not wanted may be zero.
    pub(crate) fn multiply(&self, right: &Block<T>, wanted: Entries, products: &mut DMatrix<T>) {
        let shape = (self.rows(), right.shape.1);
        reshape(products, shape);
        // The compiler knows how to clear a slice at once, unlike a matrix.
        products.as_mut_slice().fill(T::zero());
        self.add_products(right.as_columns(), wanted, products.as_mut_slice(), shape.0);
    }
}
