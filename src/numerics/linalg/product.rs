//! Large matrix products on several threads.
//!
//! The left factor is [packed](super::packed) block by block, and columns of the result are shared out in pieces of
//! fixed width.

use std::num::NonZeroUsize;
use std::ops::Range;

use nalgebra::{DMatrix, RealField};

use super::entries::Entries;
use super::packed::{Block, Packed, whole_tiles};
use super::strided::{Operand, Strided, transposed};
use super::triangle::mirror;
use crate::numerics::lanes::Lanes;
use crate::numerics::parallel;

/// Columns of one piece at most: enough for the product to run at full speed.
const WIDTH: usize = 128;

/// Rows and columns of the left factor that are packed at a time: eight megabytes at most.
const BLOCK: (usize, usize) = (2048, 512);

/// Multiplications that the vector units make in the time of one operation.
pub(super) const AT_ONCE: usize = 16;

/// Products with a dimension below this are done by nalgebra itself.
const SMALL: usize = 8;

/// A B.
pub(crate) fn product<T: Lanes>(left: &impl Operand<T>, right: &impl Operand<T>) -> DMatrix<T> {
    let (rows, columns) = (left.strided().nrows(), right.strided().ncols());
    let mut result = DMatrix::zeros(rows, columns);
    add_product(&mut result, T::one(), left, right);
    result
}

/// `result` = A B on this thread.
pub(crate) fn multiply<T: Lanes>(
    result: &mut DMatrix<T>,
    left: &impl Operand<T>,
    right: &impl Operand<T>,
) {
    result.fill(T::zero());
    parallel::with_threads(NonZeroUsize::MIN, || {
        add_product(result, T::one(), left, right);
    });
}

/// Replaces A by A B for a square B, in blocks of rows, which make room for the result once they are packed.
pub(crate) fn times_in_place(matrix: &mut DMatrix<f64>, factor: &DMatrix<f64>) {
    /// Rows of a block.
    const ROWS: usize = 512;
    /// Numbers of B that a thread copies at a time.
    const COPIED: usize = 1 << 17;
    let (height, columns) = matrix.shape();
    if is_small([height, columns, columns]) {
        *matrix = product(matrix, factor);
        return;
    }
    let width = whole_tiles((COPIED / columns).min(piece_width(columns, WIDTH)));
    let mut packed = Packed::empty();
    for first in (0..height).step_by(ROWS) {
        let count = ROWS.min(height - first);
        packed.fill(&matrix.strided().rows(first..first + count), |entry| entry);
        let pieces = matrix.as_mut_slice().chunks_mut(height * width).enumerate();
        let operations = count.saturating_mul(columns).saturating_mul(columns) / AT_ONCE;
        parallel::for_each(pieces, operations, Block::new, |block, (index, piece)| {
            for column in piece.chunks_mut(height) {
                column[first..first + count].fill(0.0);
            }
            let own = index * width..index * width + piece.len() / height;
            block.copy(&factor.strided().columns(own));
            packed.add_products(block.as_columns(), Entries::All, &mut piece[first..], height);
        });
    }
}

/// A Aᵀ, of which half is computed.
pub(crate) fn gram(matrix: &impl Operand<f64>) -> DMatrix<f64> {
    let size = matrix.strided().nrows();
    let mut result = DMatrix::zeros(size, size);
    add_gram(&mut result, matrix);
    mirror(&mut result);
    result
}

/// A Aᵀ for an upper triangular A. Entry i, j has no terms before the larger of both: a sixth of the whole product is left.
pub(crate) fn gram_of_upper(matrix: &impl Operand<f64>) -> DMatrix<f64> {
    /// Columns of A that are taken together, with the rows that are not all zeros in them.
    const DEPTH: usize = 256;
    let matrix = matrix.strided();
    let size = matrix.nrows();
    let (mut result, mut packed) = (DMatrix::zeros(size, size), Packed::empty());
    for first in (0..size).step_by(DEPTH) {
        let end = size.min(first + DEPTH);
        let part = matrix.part(0..end, first..end);
        add_gram_in(&mut packed, &mut result, &part);
    }
    mirror(&mut result);
    result
}

/// `sum` += A Aᵀ, of which only the lower triangle is computed; a `sum` of more rows and columns has A Aᵀ as its corner.
pub(crate) fn add_gram(sum: &mut DMatrix<f64>, matrix: &impl Operand<f64>) {
    add_gram_in(&mut Packed::empty(), sum, matrix);
}

/// The same in memory that several sums use one after the other.
pub(crate) fn add_gram_in(
    packed: &mut Packed<f64>,
    sum: &mut DMatrix<f64>,
    matrix: &impl Operand<f64>,
) {
    let matrix = matrix.strided();
    let rows = matrix.nrows();
    if is_small([rows, matrix.ncols(), rows]) {
        let mut product = DMatrix::zeros(rows, rows);
        gemm(&mut product, 1.0, matrix, transposed(&matrix));
        let mut corner = sum.view_mut((0, 0), (rows, rows));
        corner += product;
        return;
    }
    add_blocks(
        packed,
        (sum, rows),
        1.0,
        matrix,
        Entries::FromDiagonal(0),
        |depth, columns, copy| {
            copy.copy_transpose(&matrix.part(columns, depth));
        },
    );
}

/// `result` += `factor` · A B.
pub(crate) fn add_product<T: Lanes>(
    result: &mut DMatrix<T>,
    factor: T,
    left: &impl Operand<T>,
    right: &impl Operand<T>,
) {
    add_product_in(&mut Packed::empty(), result, factor, (left, right));
}

/// The same in memory that several sums use one after the other.
pub(crate) fn add_product_in<T: Lanes>(
    packed: &mut Packed<T>,
    result: &mut DMatrix<T>,
    factor: T,
    (left, right): (&impl Operand<T>, &impl Operand<T>),
) {
    let (left, right) = (left.strided(), right.strided());
    debug_assert_eq!(left.ncols(), right.nrows());
    debug_assert_eq!(result.shape(), (left.nrows(), right.ncols()));
    if is_small([left.nrows(), left.ncols(), right.ncols()]) {
        return gemm(result, factor, left, right);
    }
    let columns = right.ncols();
    add_blocks(packed, (result, columns), factor, left, Entries::All, |depth, columns, copy| {
        copy.copy(&right.part(depth, columns));
    });
}

fn is_small(sizes: [usize; 3]) -> bool {
    sizes.into_iter().any(|size| size < SMALL)
}

/// `result` += α A B by nalgebra.
///
/// nalgebra 0.35 writes out of bounds where it multiplies a small A itself and the rows of A are not
/// next to each other in memory (its `axcpy` takes the length of the memory for that of a column), so
/// such a matrix is copied first.
fn gemm<T: RealField + Copy>(
    result: &mut DMatrix<T>,
    alpha: T,
    left: Strided<'_, T>,
    right: Strided<'_, T>,
) {
    if left.ncols() == 0 {
        return;
    }
    let (left, right) = (left.as_view(), right.as_view());
    match left.strides().0 {
        1 => result.gemm(alpha, &left, &right, T::one()),
        _ => result.gemm(alpha, &left.clone_owned(), &right, T::one()),
    }
}

/// Columns of a piece, `most` or what is close to it in whole tiles: a few pieces where there are columns for them, so that all
/// threads have something to do.
fn piece_width(columns: usize, most: usize) -> usize {
    whole_tiles(columns.div_ceil(4).min(most) + whole_tiles(1) / 2)
}

/// The first rows and `columns` of `result` += `factor` · A B, where `copy` makes a block the given rows and columns of B.
fn add_blocks<T: Lanes>(
    packed: &mut Packed<T>,
    (result, columns): (&mut DMatrix<T>, usize),
    factor: T,
    left: Strided<'_, T>,
    wanted: Entries,
    copy: impl Fn(Range<usize>, Range<usize>, &mut Block<T>) + Sync,
) {
    let height = result.nrows();
    let result = &mut result.as_mut_slice()[..height * columns];
    // Half as many where a piece begins at the diagonal, as the first ones have more to do than the last.
    let most = if wanted == Entries::All { WIDTH } else { WIDTH / 2 };
    let width = piece_width(columns, most);
    for first in (0..left.nrows()).step_by(BLOCK.0) {
        let rows = first..left.nrows().min(first + BLOCK.0);
        for start in (0..left.ncols()).step_by(BLOCK.1) {
            let depth = start..left.ncols().min(start + BLOCK.1);
            packed.fill(&left.part(rows.clone(), depth.clone()), |entry| factor * entry);
            let packed = &*packed;
            let pieces = result.chunks_mut(height * width).enumerate();
            let operations =
                rows.len().saturating_mul(columns).saturating_mul(depth.len()) / AT_ONCE;
            parallel::for_each(pieces, operations, Block::new, |block, (index, piece)| {
                let own = index * width..index * width + piece.len() / height;
                let wanted = match wanted {
                    Entries::FromDiagonal(_) if own.start >= rows.end => return,
                    Entries::FromDiagonal(diagonal) => {
                        Entries::FromDiagonal(diagonal + own.start as isize - first as isize)
                    }
                    others => others,
                };
                let piece = &mut piece[first..];
                copy(depth.clone(), own, block);
                packed.add_products(block.as_columns(), wanted, piece, height);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(rows: usize, columns: usize) -> DMatrix<f64> {
        DMatrix::from_fn(rows, columns, |i, j| ((i * 7 + j * 13) as f64).sin())
    }

    fn check(found: &DMatrix<f64>, expected: &DMatrix<f64>) {
        assert!((found - expected).amax() <= 1e-14 * expected.amax());
    }

    #[test]
    fn products_are_those_of_nalgebra() {
        let sizes =
            [(1, 1, 1), (40, 30, 500), (300, 7, 3), (2100, 9, 30), (20, 1200, 140), (0, 4, 2)];
        for (rows, depth, columns) in sizes {
            let (left, right) = (numbers(rows, depth), numbers(depth, columns));
            check(&product(&left, &right), &(&left * &right));
            check(&gram(&left), &(&left * left.transpose()));
            let expected = right.transpose() * left.transpose();
            check(&product(&transposed(&right), &transposed(&left)), &expected);
            check(&gram(&transposed(&right)), &(right.transpose() * &right));
        }
        for (rows, depth, columns) in [(30, 20, 50), (64, 10, 11), (9, 9, 193), (300, 2, 1)] {
            let (left, right) = (numbers(rows, depth), numbers(depth, columns));
            let (mut sum, transpose) = (numbers(rows, columns), left.transpose());
            let expected = &sum + &left * &right * 0.75;
            add_product(&mut sum, 0.5, &left, &right);
            add_product(&mut sum, 0.25, &transposed(&transpose), &right);
            check(&sum, &expected);
        }
        let (left, mut sum) = (numbers(300, 40), numbers(300, 300));
        let expected = (&sum + &left * left.transpose()).lower_triangle();
        add_gram(&mut sum, &left);
        check(&sum.lower_triangle(), &expected);
        for size in [1, 9, 255, 257, 530] {
            let upper = numbers(size, size).upper_triangle();
            check(&gram_of_upper(&upper), &(&upper * upper.transpose()));
        }
        assert_eq!(product(&numbers(5, 0), &numbers(0, 9)), DMatrix::zeros(5, 9));
        assert_eq!(gram(&numbers(5, 0)), DMatrix::zeros(5, 5));
        for (rows, columns) in [(0, 0), (0, 3), (3, 0)] {
            assert_eq!(transposed(&numbers(rows, columns)).shape(), (columns, rows));
        }
    }

    /// Of small numbers in eighths, which no order of the sums rounds.
    #[test]
    fn products_in_place_are_products() {
        for (rows, columns) in [(1300, 3), (1300, 41), (513, 150), (5, 9), (0, 9), (600, 8)] {
            let number = |i: usize, j: usize| ((i * 3 + j * 5) % 17) as f64 / 8.0 - 1.0;
            let matrix = DMatrix::from_fn(rows, columns, number);
            let factor = DMatrix::from_fn(columns, columns, |i, j| number(j + 1, i));
            let mut changed = matrix.clone();
            times_in_place(&mut changed, &factor);
            assert_eq!(changed, &matrix * &factor, "{rows}×{columns}");
        }
    }
}
