//! The inner products and cosines of all pairs of vectors, tile by tile.

use std::num::NonZeroUsize;
use std::ops::Range;

use nalgebra::DMatrix;

use crate::measure::class_vectors::ClassVectors;
use crate::numerics::linalg::{Block, Entries, Packed, transposed};
use crate::numerics::parallel;
use crate::numerics::scalar::{Scalar, to_f64};
use crate::numerics::simd::vectorized;

/// So many columns of a tile are multiplied at once, in whole [tiles of the product](crate::numerics::linalg::whole_tiles) on every
/// machine: their products stay in the cache until they are visited.
const WIDTH: usize = 120;

/// The inner products of the vectors of some classes with that of a class after them.
#[derive(Debug)]
pub(crate) struct Strip<'a> {
    /// The classes i …
    pub(crate) classes: Range<usize>,
    /// … that are all before this class j.
    pub(crate) other: usize,
    /// ⟨v_i, v_j⟩, or the cosines if these were asked for.
    pub(crate) products: &'a mut [f64],
}

/// What is computed of all pairs, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Wanted<'a> {
    /// Inner products in `f64`.
    InnerProducts,
    /// Cosines in `f64`, for vectors of these lengths.
    Cosines(&'a [f64]),
    /// Cosines in `f32`, for vectors of these lengths: twice as fast, with errors of some 10⁻⁷.
    SingleCosines(&'a [f64]),
}

/// Some columns of a tile of inner products and what they are made of.
struct Tile<T> {
    /// The classes of the rows, and their vectors.
    left: Option<(Range<usize>, Packed<T>)>,
    /// The vectors of the classes of the columns.
    right: Block<T>,
    /// Vectors before they are rounded.
    wide: Block<f64>,
    products: DMatrix<T>,
    /// A column of the products.
    strip: Vec<f64>,
}

impl ClassVectors<'_> {
    /// Folds all pairs of classes into copies of `start`, tile by tile, and puts these together.
    /// No more than a few tiles of inner products are in memory at a time.
    pub(crate) fn fold_pairs<A: Clone + Send + Sync>(
        &self,
        wanted: Wanted<'_>,
        start: &A,
        visit: impl Fn(&mut A, Strip<'_>) + Sync,
        merge: impl Fn(&mut A, A),
    ) -> A {
        let copy = |block: &mut Block<f64>, _: &mut _, classes: Range<usize>| {
            block.copy(&self.as_columns().columns(classes));
        };
        let folded = match wanted {
            Wanted::InnerProducts => self.fold_tiles(copy, start, visit),
            Wanted::Cosines(norms) => {
                let inverse: Vec<f64> = norms.iter().map(|norm| norm.recip()).collect();
                self.fold_tiles(copy, start, |folded, Strip { classes, other, products }| {
                    scale(products, inverse[other], &inverse[classes.clone()]);
                    visit(folded, Strip { classes, other, products });
                })
            }
            Wanted::SingleCosines(norms) => {
                let fill = |block: &mut Block<f32>,
                            wide: &mut Block<f64>,
                            classes: Range<usize>| {
                    wide.copy(&self.as_columns().columns(classes.clone()));
                    block.reshape(self.dimension(), classes.len());
                    for (index, (vector, norm)) in wide.columns().zip(&norms[classes]).enumerate() {
                        to_single(vector, norm.recip(), block.column_mut(index));
                    }
                };
                self.fold_tiles(fill, start, visit)
            }
        };
        let mut result = start.clone();
        folded.into_iter().for_each(|part| merge(&mut result, part));
        result
    }

    /// Folds the pairs of each tile into a copy of `start`; `fill` makes the columns of a block the
    /// vectors of classes, and may use another one for it.
    fn fold_tiles<T: Scalar, A: Clone + Send + Sync>(
        &self,
        fill: impl Fn(&mut Block<T>, &mut Block<f64>, Range<usize>) + Sync,
        start: &A,
        visit: impl Fn(&mut A, Strip<'_>) + Sync,
    ) -> Vec<A> {
        let blocks: Vec<_> = self.blocks().collect();
        // Tiles with the same rows come one after the other, so that these are packed once.
        let tiles: Vec<_> = (0..blocks.len())
            .flat_map(|left| (left..blocks.len()).map(move |right| (left, right)))
            .map(|(left, right)| (blocks[left].clone(), blocks[right].clone()))
            .collect();
        let classes = self.classes();
        let operations =
            classes.saturating_mul(classes.div_ceil(2)).saturating_mul(self.dimension());
        parallel::map(tiles.len(), operations, Tile::new, |tile, index| {
            let (left, right) = &tiles[index];
            let mut folded = start.clone();
            for first in right.clone().step_by(WIDTH) {
                let others = first..right.end.min(first + WIDTH);
                tile.fill(&fill, left, &others);
                tile.for_each_strip(left, others, |strip| visit(&mut folded, strip));
            }
            folded
        })
    }
}

impl<T: Scalar> Tile<T> {
    fn new() -> Self {
        Self {
            left: None,
            right: Block::new(),
            wide: Block::new(),
            products: DMatrix::zeros(0, 0),
            strip: Vec::new(),
        }
    }

    /// Calls `visit` with the products of each column with the rows before it.
    fn for_each_strip(
        &mut self,
        left: &Range<usize>,
        right: Range<usize>,
        mut visit: impl FnMut(Strip<'_>),
    ) {
        for (other, column) in right.zip(self.products.column_iter()) {
            let classes = left.start..left.end.min(other);
            self.strip.resize(classes.len(), 0.0);
            to_f64(&column.as_slice()[..classes.len()], &mut self.strip);
            visit(Strip { classes, other, products: &mut self.strip });
        }
    }

    /// Fills the tile with inner products.
    fn fill(
        &mut self,
        fill: impl Fn(&mut Block<T>, &mut Block<f64>, Range<usize>),
        left: &Range<usize>,
        right: &Range<usize>,
    ) {
        let packed = match self.left.take() {
            Some((classes, packed)) if classes == *left => packed,
            _ => {
                fill(&mut self.right, &mut self.wide, left.clone());
                let rows = transposed(&self.right);
                parallel::with_threads(NonZeroUsize::MIN, || Packed::new(&rows, |entry| entry))
            }
        };
        fill(&mut self.right, &mut self.wide, right.clone());
        packed.multiply(&self.right, Entries::All, &mut self.products);
        self.left = Some((left.clone(), packed));
    }
}

/// Multiplies numbers by a common factor and by one for each, one after the other: their product may overflow.
fn scale(numbers: &mut [f64], factor: f64, factors: &[f64]) {
    vectorized(
        #[inline(always)]
        || {
            for (number, other) in numbers.iter_mut().zip(factors) {
                *number = *number * factor * other;
            }
        },
    );
}

/// The numbers times a factor in `f32`.
fn to_single(numbers: &[f64], factor: f64, out: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || out.iter_mut().zip(numbers).for_each(|(out, number)| *out = (number * factor) as f32),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In columns or rows, over several blocks, and in numbers whose squares are out of range.
    #[test]
    fn pairs_are_those_of_all_vectors() {
        let columns = DMatrix::from_fn(3, 300, |i, j| ((i * 7 + j * j) as f64).sin()) * 1e-200;
        let rows = columns.transpose();
        for vectors in [ClassVectors::columns(&columns), ClassVectors::rows(&rows)] {
            let vectors = vectors.unwrap();
            assert_eq!((vectors.dimension(), vectors.classes()), (3, 300));
            let norms = vectors.positive_norms().unwrap();
            let scaled = &columns / vectors.unit();
            let product = |i: usize, j: usize| scaled.column(i).dot(&scaled.column(j));
            let cosine = |i: usize, j: usize| product(i, j) / norms[i] / norms[j];
            for (wanted, tolerance) in [
                (Wanted::InnerProducts, 1e-14),
                (Wanted::Cosines(&norms), 1e-14),
                (Wanted::SingleCosines(&norms), 1e-6),
            ] {
                let visit = |found: &mut Vec<_>, strip: Strip<'_>| {
                    let pairs = strip.classes.zip(strip.products.iter());
                    found.extend(pairs.map(|(class, number)| (strip.other, class, *number)));
                };
                let mut found = vectors.fold_pairs(wanted, &Vec::new(), visit, Extend::extend);
                found.sort_by_key(|&(other, class, _)| (other, class));
                let pairs = (0..300).flat_map(|other| (0..other).map(move |class| (other, class)));
                assert!(found.iter().map(|&(other, class, _)| (other, class)).eq(pairs));
                for (j, i, number) in found {
                    let expected = match wanted {
                        Wanted::InnerProducts => product(i, j),
                        _ => cosine(i, j),
                    };
                    assert!((number - expected).abs() < tolerance, "{i} {j}: {number} {expected}");
                }
            }
        }
    }
}
