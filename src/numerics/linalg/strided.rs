//! Where the numbers of a matrix lie in memory.

use std::ops::Range;

use nalgebra::{DMatrix, DMatrixView, Dyn, RealField};

/// A view of nalgebra with any strides.
pub(crate) type StridedView<'a, T> = DMatrixView<'a, T, Dyn, Dyn>;

/// A matrix whose columns, or whose rows, each lie in one piece at equal distances.
///
/// nalgebra's views with any strides do not hand out whole pieces, and number by number a copy takes several times as long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strided<'a, T> {
    pieces: Columns<'a, T>,
    /// Numbers in a piece.
    length: usize,
    /// Whether the pieces are rows.
    by_rows: bool,
}

/// Columns at equal distances in memory, each of which lies in one piece.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns<'a, T> {
    pub(crate) numbers: &'a [T],
    /// From the beginning of one column to that of the next.
    pub(crate) stride: usize,
    pub(crate) count: usize,
}

/// What products are made of.
pub(crate) trait Operand<T> {
    fn strided(&self) -> Strided<'_, T>;
}

impl<T: RealField + Copy> Operand<T> for DMatrix<T> {
    fn strided(&self) -> Strided<'_, T> {
        let (length, count) = self.shape();
        let pieces = Columns { numbers: self.as_slice(), stride: length, count };
        Strided { pieces, length, by_rows: false }
    }
}

impl<T: Copy> Operand<T> for Strided<'_, T> {
    fn strided(&self) -> Strided<'_, T> {
        *self
    }
}

/// The transpose of a matrix, where it lies.
pub(crate) fn transposed<T>(matrix: &impl Operand<T>) -> Strided<'_, T> {
    let matrix = matrix.strided();
    Strided { by_rows: !matrix.by_rows, ..matrix }
}

impl<'a, T> Columns<'a, T> {
    /// As a matrix whose columns have so many numbers.
    pub(crate) fn of_length(self, length: usize) -> Strided<'a, T> {
        Strided { pieces: self, length, by_rows: false }
    }

    fn part(self, first: usize, range: Range<usize>) -> Self {
        let start = (range.start * self.stride + first).min(self.numbers.len());
        Self { numbers: &self.numbers[start..], count: range.len(), ..self }
    }
}

impl<'a, T> Strided<'a, T> {
    pub(crate) fn shape(&self) -> (usize, usize) {
        match self.by_rows {
            true => (self.pieces.count, self.length),
            false => (self.length, self.pieces.count),
        }
    }

    pub(crate) fn nrows(&self) -> usize {
        self.shape().0
    }

    pub(crate) fn ncols(&self) -> usize {
        self.shape().1
    }

    pub(crate) fn is_by_rows(&self) -> bool {
        self.by_rows
    }

    /// From the beginning of one column, or row, to that of the next.
    pub(crate) fn stride(&self) -> usize {
        self.pieces.stride
    }

    /// The part in some rows and columns.
    pub(crate) fn part(self, rows: Range<usize>, columns: Range<usize>) -> Self {
        let (inside, pieces) = if self.by_rows { (columns, rows) } else { (rows, columns) };
        debug_assert!(inside.end <= self.length && pieces.end <= self.pieces.count);
        let length = inside.len();
        Self { pieces: self.pieces.part(inside.start, pieces), length, ..self }
    }

    pub(crate) fn rows(self, range: Range<usize>) -> Self {
        let columns = 0..self.ncols();
        self.part(range, columns)
    }

    pub(crate) fn columns(self, range: Range<usize>) -> Self {
        let rows = 0..self.nrows();
        self.part(rows, range)
    }

    /// The columns, or the rows, one after the other.
    pub(crate) fn pieces(self) -> impl Iterator<Item = &'a [T]> {
        let Self { pieces: Columns { numbers, stride, count }, length, .. } = self;
        (0..count).map(move |index| &numbers[index * stride..][..length])
    }
}

impl<'a, T: RealField + Copy> Strided<'a, T> {
    pub(crate) fn as_view(&self) -> StridedView<'a, T> {
        let (rows, columns) = self.shape();
        let stride = self.pieces.stride;
        let strides = match (rows * columns, self.by_rows) {
            // nalgebra asks for length + strides > rows · row stride + columns · column stride.
            (0, _) => (usize::from(rows == 0), usize::from(columns == 0)),
            (_, true) => (stride, 1),
            (_, false) => (1, stride),
        };
        StridedView::from_slice_with_strides_generic(
            self.pieces.numbers,
            Dyn(rows),
            Dyn(columns),
            Dyn(strides.0),
            Dyn(strides.1),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(rows: usize, columns: usize) -> DMatrix<f64> {
        DMatrix::from_fn(rows, columns, |i, j| (i * 100 + j) as f64)
    }

    #[test]
    fn parts_are_those_of_nalgebra() {
        let matrix = numbers(7, 11);
        let transpose = matrix.transpose();
        for (rows, columns) in [(0..7, 0..11), (2..5, 3..4), (7..7, 1..3), (1..6, 11..11)] {
            let expected = matrix.view((rows.start, columns.start), (rows.len(), columns.len()));
            let across = transposed(&transpose);
            for whole in [matrix.strided(), across, across.part(0..7, 0..11)] {
                assert_eq!(whole.part(rows.clone(), columns.clone()).as_view(), expected);
                let part = whole.columns(columns.clone());
                assert_eq!(part.rows(rows.clone()).as_view(), expected);
                let turned = transposed(&part);
                assert_eq!(turned.as_view(), part.as_view().transpose());
            }
        }
    }
}
