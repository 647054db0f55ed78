//! Copies of matrices column by column, also of such as lie in memory row by row.

use super::strided::Strided;
use super::transposition::Transposition;
use crate::numerics::lanes::{Lanes, SIDE};
use crate::numerics::simd::{Prefetch, vectorized};

/// Numbers that are copied at a time, and rows of which squares are transposed and written side by side: a line of the cache
/// where numbers have eight bytes.
const TILE: usize = 2 * SIDE;

/// Columns that the memory is asked for ahead of the one that is copied: of a few rows of each the processor does not see
/// where the next one begins.
const AHEAD: usize = 8;

/// Numbers from one column to that which is asked for meanwhile.
fn ahead<U>(matrix: &Strided<'_, U>) -> usize {
    AHEAD * matrix.stride()
}

/// Writes what `number` makes of the entries of a matrix to panels of `height` rows, one after the other, and of each the
/// columns one after the other; what the last panel has beyond the rows is left as it is.
pub(crate) fn convert<T: Lanes, U: Copy>(
    matrix: Strided<'_, U>,
    out: &mut [T],
    height: usize,
    number: impl Fn(U) -> T,
) {
    let length = height * matrix.ncols();
    if length == 0 {
        return;
    }
    if !matrix.is_by_rows() {
        return vectorized(
            #[inline(always)]
            || {
                let prefetch = Prefetch::new();
                let ahead = ahead(&matrix);
                for (index, column) in matrix.pieces().enumerate() {
                    for (rows, panel) in column.chunks(height).zip(out.chunks_mut(length)) {
                        let own = &mut panel[index * height..];
                        write_column(rows, own, &number, (prefetch, ahead));
                    }
                }
            },
        );
    }
    Transposition::within(
        #[inline(always)]
        |transposition| {
            for (first, panel) in (0..matrix.nrows()).step_by(height).zip(out.chunks_mut(length)) {
                let rows = matrix.rows(first..matrix.nrows().min(first + height));
                write_panel(rows, panel, height, &number, transposition);
            }
        },
    );
}

/// Writes a matrix that lies row by row to columns that are `stride` numbers apart.
#[inline(always)]
fn write_panel<T: Lanes, U: Copy>(
    matrix: Strided<'_, U>,
    out: &mut [T],
    stride: usize,
    number: impl Fn(U) -> T,
    transposition: Transposition,
) {
    let mut rows = matrix.pieces();
    for first in (0..matrix.nrows()).step_by(TILE) {
        let out = &mut out[first..];
        if first + TILE <= matrix.nrows() {
            let tile = std::array::from_fn(|_| rows.next().unwrap_or_default());
            write_rows(tile, out, stride, &number, transposition);
            continue;
        }
        for (row, entries) in rows.by_ref().enumerate() {
            write_row(entries, &mut out[row..], stride, &number);
        }
    }
}

#[inline(always)]
fn write_column<T: Lanes, U: Copy>(
    entries: &[U],
    out: &mut [T],
    number: impl Fn(U) -> T,
    (prefetch, ahead): (Prefetch, usize),
) {
    let (tiles, rest) = entries.as_chunks::<TILE>();
    let (own, out) = out.split_at_mut(tiles.len() * TILE);
    for (out, tile) in own.as_chunks_mut::<TILE>().0.iter_mut().zip(tiles) {
        prefetch.ask(tile, ahead);
        // Read before they are written, as the compiler does not see that they are others.
        let mut numbers = [T::zero(); TILE];
        for i in 0..TILE {
            numbers[i] = number(tile[i]);
        }
        *out = numbers;
    }
    for (out, &entry) in out.iter_mut().zip(rest) {
        *out = number(entry);
    }
}

/// Writes a row to the same numbers of columns.
#[inline(always)]
fn write_row<T, U: Copy>(entries: &[U], out: &mut [T], stride: usize, number: impl Fn(U) -> T) {
    let out = out.iter_mut().step_by(stride);
    for (out, &entry) in out.zip(entries) {
        *out = number(entry);
    }
}

/// Writes rows to the same numbers of columns that are `stride` numbers apart.
#[inline(always)]
fn write_rows<T: Lanes, U: Copy>(
    rows: [&[U]; TILE],
    out: &mut [T],
    stride: usize,
    number: impl Fn(U) -> T,
    transposition: Transposition,
) {
    let pieces = rows.map(|row| row.as_chunks::<SIDE>());
    let whole = pieces[0].0.len();
    for tile in 0..whole {
        let mut halves = [[[T::zero(); SIDE]; SIDE]; 2];
        for half in 0..2 {
            for row in 0..SIDE {
                let entries = &pieces[half * SIDE + row].0[tile];
                for column in 0..SIDE {
                    halves[half][row][column] = number(entries[column]);
                }
            }
        }
        let columns = [transposition.of(&halves[0]), transposition.of(&halves[1])];
        for column in 0..SIDE {
            let out = &mut out[(tile * SIDE + column) * stride..][..TILE];
            out[..SIDE].copy_from_slice(&columns[0][column]);
            out[SIDE..].copy_from_slice(&columns[1][column]);
        }
    }
    for column in whole * SIDE..rows[0].len() {
        let out = &mut out[column * stride..][..TILE];
        for row in 0..TILE {
            out[row] = number(rows[row][column]);
        }
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use super::*;
    use crate::numerics::linalg::strided::{Operand, transposed};

    fn check<T: Lanes>(matrix: Strided<'_, f64>, height: usize, number: impl Fn(f64) -> T) {
        let (rows, columns) = matrix.shape();
        let untouched = number(-1.0);
        // A few more than are written to.
        let mut out = vec![untouched; rows.next_multiple_of(height) * columns + 3];
        convert(matrix, &mut out, height, &number);
        let entries = matrix.as_view();
        for (place, &found) in out.iter().enumerate() {
            let length = (height * columns).max(1);
            let (panel, place) = (place / length, place % length);
            let (row, column) = (panel * height + place % height, place / height);
            let expected = entries.get((row, column)).map_or(untouched, |&entry| number(entry));
            assert_eq!(found, expected, "{rows}×{columns} by {height}: {row}, {column}");
        }
    }

    /// Whole tiles, what is left of them, and nothing, in one panel and in several.
    #[test]
    fn numbers_are_written_column_by_column() {
        for (rows, columns) in [(16, 24), (19, 13), (8, 3), (3, 8), (57, 21), (0, 4), (4, 0)] {
            let matrix = DMatrix::from_fn(rows, columns, |i, j| (i * 100 + j) as f64);
            let transpose = matrix.transpose();
            for height in [6, 8, 24, 59] {
                for strided in [matrix.strided(), transposed(&transpose)] {
                    check(strided, height, |entry| entry as f32 / 2.0);
                    check(strided, height, |entry| entry / 2.0);
                }
            }
        }
    }
}
