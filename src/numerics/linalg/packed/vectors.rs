//! The product by the vector units of the machine.
//!
//! A tile of the result is computed in the registers: V vectors of neighboring rows times C columns. For each number of
//! a column there is one multiplication by V vectors of the matrix, which lie one after the other in memory. A few rows
//! that are left at the end would leave most of a vector empty: their products with the columns are inner ones instead,
//! along the columns.

use std::marker::PhantomData;
use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::numerics::lanes::Lanes;
use crate::numerics::linalg::convert::convert;
use crate::numerics::linalg::entries::Entries;
use crate::numerics::linalg::strided::{Columns, Operand, transposed};
use crate::numerics::parallel;
use crate::numerics::simd::Prefetch;

/// Numbers of a column that are worked off at a time: C such pieces of columns stay in the nearest cache.
const DEPTH: usize = 512;

/// Columns that meet one panel of the matrix while it is in the second cache, at most.
const WIDTH: usize = 128;

/// Bytes to which panels are aligned: a vector at most.
const ALIGNMENT: usize = 64;

/// Rows of which inner products are computed at a time.
const LAST: usize = 4;

/// Columns that they are computed with at a time.
const PAIR: usize = 2;

/// Operations that take as long as copying a number.
const MOVED: usize = 4;

/// A matrix to multiply columns by: pieces of [`DEPTH`] columns, of these panels of as many rows as a tile has, and of
/// these the columns, filled up to whole vectors. The [last](Tile::last) rows follow as they are, filled up
/// to a multiple of [`LAST`].
#[derive(Debug, Clone)]
pub(crate) struct Packed<T> {
    rows: usize,
    depth: usize,
    tile: Tile,
    numbers: Vec<T>,
    /// Of the first panel in `numbers`.
    start: usize,
}

/// The shape of a tile.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tile {
    /// Numbers in a vector.
    lanes: usize,
    vectors: usize,
    columns: usize,
    /// Whether the last rows may be computed in another way.
    has_last: bool,
}

impl Tile {
    /// How many of so many rows are left at the end, if they are so few that inner products take less time than a
    /// vector that is mostly empty.
    fn last(self, rows: usize) -> usize {
        let left = rows % self.lanes;
        if self.has_last && left.next_multiple_of(LAST) <= self.lanes / 2 { left } else { 0 }
    }
}

/// As many columns, up to `most` but one tile at least, as are multiplied in whole tiles: those that are left take as long as a
/// tile, or longer.
pub(crate) fn whole_tiles(most: usize) -> usize {
    let columns = Arch::new().dispatch(TileOf(PhantomData::<f64>)).columns;
    (most / columns).max(1) * columns
}

/// Neighboring rows of the matrix, for some of its columns.
struct Panel {
    rows: Range<usize>,
    depth: Range<usize>,
    vectors: usize,
    /// Where it begins, counted from the first one.
    start: usize,
    length: usize,
}

/// Panels of equal height one after the other, to be filled. Of a matrix that lies column by column each column is read
/// for all of them: for one only, a few numbers of it, each would be looked up in the memory anew.
struct Group<'a, T> {
    rows: Range<usize>,
    depth: Range<usize>,
    height: usize,
    numbers: &'a mut [T],
}

impl<T: Lanes> Packed<T> {
    /// A matrix of no rows, to be filled.
    pub(crate) fn empty() -> Self {
        let tile = Arch::new().dispatch(TileOf(PhantomData::<T>));
        Self { rows: 0, depth: 0, tile, numbers: Vec::new(), start: 0 }
    }

    /// A matrix whose rows are all multiplied in the same way: the products of one do not depend on those beside it.
    pub(crate) fn of_equal_rows(matrix: &impl Operand<T>) -> Self {
        let mut packed = Self::empty();
        packed.tile.has_last = false;
        packed.fill(matrix, |entry| entry);
        packed
    }

    /// Becomes what `number` makes of the entries of a matrix.
    pub(crate) fn fill<U: Lanes>(
        &mut self,
        matrix: &impl Operand<U>,
        number: impl Fn(U) -> T + Sync,
    ) {
        let matrix = matrix.strided();
        let (rows, depth) = matrix.shape();
        let tile = self.tile;
        let last = tile.last(rows);
        let before = (rows - last).next_multiple_of(tile.lanes) * depth;
        let length = before + last.next_multiple_of(LAST) * depth;
        // What is left of another matrix in the rows that fill up vectors meets no row of a result.
        let mut numbers = std::mem::take(&mut self.numbers);
        let room = length + ALIGNMENT / size_of::<T>();
        if numbers.len() < room {
            // Memory that is zero as the system hands it out, page by page on the threads that write to it.
            numbers = vec![T::zero(); room];
        }
        let start = numbers.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT / size_of::<T>());
        (self.rows, self.depth, self.start) = (rows, depth, start);
        let operations = rows.saturating_mul(depth).saturating_mul(MOVED);
        let groups = self.groups(&mut numbers[start..]);
        parallel::for_each(
            groups.into_iter(),
            operations,
            || (),
            |(), Group { rows, depth, height, numbers }| {
                convert(matrix.part(rows, depth), numbers, height, &number);
            },
        );
        if last > 0 {
            let rows = matrix.rows(rows - last..rows);
            convert(transposed(&rows), &mut numbers[start + before..], depth, &number);
        }
        self.numbers = numbers;
    }

    /// Panels that are filled together, with their numbers.
    fn groups<'a>(&self, numbers: &'a mut [T]) -> Vec<Group<'a, T>> {
        /// Rows of a group: few enough for all threads to have some.
        const ROWS: usize = 64;
        let (mut rest, mut groups) = (numbers, Vec::new());
        let panels: Vec<Panel> = self.panels().collect();
        let are_alike =
            |one: &Panel, next: &Panel| (&one.depth, one.vectors) == (&next.depth, next.vectors);
        let count = ROWS.div_ceil(self.tile.lanes * self.tile.vectors);
        for group in panels.chunk_by(are_alike).flat_map(|alike| alike.chunks(count)) {
            let length = group.iter().map(|panel| panel.length).sum();
            let (own, others) = std::mem::take(&mut rest).split_at_mut(length);
            rest = others;
            let rows = group[0].rows.start..group[group.len() - 1].rows.end;
            let height = group[0].vectors * self.tile.lanes;
            groups.push(Group { rows, depth: group[0].depth.clone(), height, numbers: own });
        }
        groups
    }

    /// How many roundings a term of a product goes through at most, its own included: in a tile those of the sum over a piece
    /// of a column and of the pieces, in an inner product those of a lane, of which there are two times [`LAST`] at least, and of
    /// the lanes.
    pub(crate) fn roundings(depth: usize) -> usize {
        let in_tile = depth.min(DEPTH) + depth.div_ceil(DEPTH);
        let of_last = depth.div_ceil(2 * LAST) + ALIGNMENT / size_of::<T>();
        in_tile.max(of_last) + 1
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds the products with columns to those of `result`, which are `stride` numbers apart.
    pub(crate) fn add_products(
        &self,
        columns: Columns<'_, T>,
        wanted: Entries,
        result: &mut [T],
        stride: usize,
    ) {
        let width = whole_tiles(WIDTH);
        for first in (0..columns.count).step_by(width) {
            let count = width.min(columns.count - first);
            let part =
                Columns { numbers: &columns.numbers[first * columns.stride..], count, ..columns };
            let result = &mut result[first * stride..];
            Arch::new().dispatch(Product {
                packed: self,
                columns: part,
                wanted: wanted.after(first),
                result,
                stride,
                prefetch: Prefetch::new(),
            });
        }
    }

    /// All panels, in their order.
    fn panels(&self) -> impl Iterator<Item = Panel> + Send + use<T> {
        let (depth, Tile { lanes, vectors, .. }) = (self.depth, self.tile);
        let rows = self.rows - self.tile.last(self.rows);
        let height = lanes * vectors;
        let padded = rows.next_multiple_of(lanes);
        let blocks = (0..depth).step_by(DEPTH).map(move |first| first..depth.min(first + DEPTH));
        blocks.flat_map(move |depth| {
            (0..padded).step_by(height).map(move |row| {
                let vectors = (padded - row).min(height) / lanes;
                let start = depth.start * padded + row * depth.len();
                let length = vectors * lanes * depth.len();
                let rows = row..rows.min(row + height);
                Panel { rows, depth: depth.clone(), vectors, start, length }
            })
        })
    }
}

/// Asks for the tile of the machine.
struct TileOf<T>(PhantomData<T>);

impl<T: Lanes> WithSimd for TileOf<T> {
    type Output = Tile;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Tile {
        // As many sums as there are registers for, and a few more for what is multiplied.
        let (vectors, columns) = if S::REGISTER_COUNT < 32 { (2, 6) } else { (3, 8) };
        Tile { lanes: T::lanes::<S>(), vectors, columns, has_last: true }
    }
}

/// Adds the products with a few columns.
struct Product<'a, T> {
    packed: &'a Packed<T>,
    columns: Columns<'a, T>,
    wanted: Entries,
    result: &'a mut [T],
    stride: usize,
    prefetch: Prefetch,
}

impl<T: Lanes> WithSimd for Product<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        match TileOf(PhantomData::<T>).with_simd(simd).columns {
            8 => self.add::<S, 8>(simd),
            _ => self.add::<S, 6>(simd),
        }
    }
}

impl<T: Lanes> Product<'_, T> {
    #[inline(always)]
    fn add<S: Simd, const C: usize>(&mut self, simd: S) {
        let columns = self.columns.count;
        for panel in self.packed.panels() {
            // No tile is left half empty for the diagonal.
            let count = self.wanted.columns(&panel.rows, columns).next_multiple_of(C);
            let count = count.min(columns);
            match panel.vectors {
                3 => self.strip::<S, 3, C>(simd, &panel, count),
                2 => self.strip::<S, 2, C>(simd, &panel, count),
                _ => self.strip::<S, 1, C>(simd, &panel, count),
            }
        }
        self.last_rows(simd);
    }

    /// Those that no panel has.
    #[inline(always)]
    fn last_rows<S: Simd>(&mut self, simd: S) {
        let Packed { rows, depth, tile, start, .. } = *self.packed;
        let first = rows - tile.last(rows);
        let start = start + first.next_multiple_of(tile.lanes) * depth;
        let mut numbers = &self.packed.numbers[start..];
        if self.wanted.columns(&(first..rows), self.columns.count) == 0 {
            return;
        }
        for first in (first..rows).step_by(LAST) {
            for from in (0..depth).step_by(DEPTH) {
                let part = from..depth.min(from + DEPTH);
                for column in (0..self.columns.count).step_by(PAIR) {
                    self.inner_products(simd, (numbers, part.clone()), first, column);
                }
            }
            numbers = &numbers[LAST * depth..];
        }
    }

    /// Those of [`LAST`] rows, for some numbers of each, with [`PAIR`] columns or with the last one twice.
    #[inline(always)]
    fn inner_products<S: Simd>(
        &mut self,
        simd: S,
        (rows, part): (&[T], Range<usize>),
        first_row: usize,
        first: usize,
    ) {
        let Packed { depth, rows: height, .. } = *self.packed;
        let count = PAIR.min(self.columns.count - first);
        let (mut own, mut own_rest) = ([&[][..]; LAST], [&[][..]; LAST]);
        for r in 0..LAST {
            (own[r], own_rest[r]) = T::split::<S>(&rows[r * depth..][part.clone()]);
        }
        let (mut columns, mut rest) = ([&[][..]; PAIR], [&[][..]; PAIR]);
        for c in 0..PAIR {
            let column = &self.columns.numbers[(first + c.min(count - 1)) * self.columns.stride..];
            (columns[c], rest[c]) = T::split::<S>(&column[part.clone()]);
        }
        let mut sums = [[T::repeated(simd, T::zero()); LAST]; PAIR];
        for i in 0..columns[0].len() {
            for c in 0..PAIR {
                for r in 0..LAST {
                    sums[c][r] = T::multiply_add(simd, own[r][i], columns[c][i], sums[c][r]);
                }
            }
        }
        let mut totals = [[T::zero(); LAST]; PAIR];
        for c in 0..PAIR {
            let column = T::partial(simd, rest[c]);
            for r in 0..LAST {
                let row = T::partial(simd, own_rest[r]);
                totals[c][r] = T::total(simd, T::multiply_add(simd, row, column, sums[c][r]));
            }
        }
        for (c, totals) in totals.into_iter().enumerate().take(count) {
            let start = (first + c) * self.stride + first_row;
            let result = &mut self.result[start..][..LAST.min(height - first_row)];
            result.iter_mut().zip(totals).for_each(|(entry, total)| *entry += total);
        }
    }

    /// One panel with the first columns.
    #[inline(always)]
    fn strip<S: Simd, const V: usize, const C: usize>(
        &mut self,
        simd: S,
        panel: &Panel,
        count: usize,
    ) {
        let mut column = 0;
        while column + 2 < count {
            // What is left when there are no C columns more is computed with the last one several times.
            self.tile::<S, V, C>(simd, panel, column, C.min(count - column));
            column += C;
        }
        while column < count {
            self.tile::<S, V, 1>(simd, panel, column, 1);
            column += 1;
        }
    }

    /// One panel with C columns, of which `count` count.
    #[inline(always)]
    fn tile<S: Simd, const V: usize, const C: usize>(
        &mut self,
        simd: S,
        panel: &Panel,
        first: usize,
        count: usize,
    ) {
        let numbers = &self.packed.numbers[self.packed.start + panel.start..][..panel.length];
        let matrix = T::split::<S>(numbers).0.as_chunks::<V>().0;
        // Loops instead of closures, which would not be compiled for the vector units.
        let mut columns = [&[][..]; C];
        for (c, column) in columns.iter_mut().enumerate() {
            let start = (first + c.min(count - 1)) * self.columns.stride + panel.depth.start;
            *column = &self.columns.numbers[start..][..matrix.len()];
        }
        // What the products are added to is in no cache when many columns are far apart: each vector, and the line that the last
        // one reaches into where they begin in the middle of one.
        for c in 0..count {
            let start = (first + c) * self.stride + panel.rows.start;
            for vector in 0..V {
                self.prefetch.ask(&self.result[start..], vector * T::lanes::<S>());
            }
            self.prefetch.ask(&self.result[start..], V * T::lanes::<S>() - 1);
        }
        let mut sums = [[T::repeated(simd, T::zero()); V]; C];
        for i in 0..matrix.len() {
            for c in 0..C {
                let number = T::repeated(simd, columns[c][i]);
                for v in 0..V {
                    sums[c][v] = T::multiply_add(simd, matrix[i][v], number, sums[c][v]);
                }
            }
        }
        for (c, sums) in sums.into_iter().enumerate().take(count) {
            let start = (first + c) * self.stride + panel.rows.start;
            let mut rest = &mut self.result[start..][..panel.rows.len()];
            for sum in sums {
                let (own, others) = rest.split_at_mut(rest.len().min(T::lanes::<S>()));
                T::add_to(simd, own, sum);
                rest = others;
            }
        }
    }
}
