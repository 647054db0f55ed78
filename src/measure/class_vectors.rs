//! One vector for each class: class means or the rows of a classifier.

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::ops::Range;

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::numerics::linalg::{
    Block, Entries, Operand, Packed, Strided, check_finite, gram, power_of_two, transposed,
};
use crate::numerics::magnitude::is_comfortable;
use crate::numerics::parallel;
use crate::numerics::scalar::{Scalar, to_f64};
use crate::numerics::simd::vectorized;

/// Classes of one tile of pairs: few, so that all threads have tiles …
const TILE: usize = 256;

/// … or many, which is faster where there are [`MANY_CLASSES`].
const LARGE_TILE: usize = 1024;
const MANY_CLASSES: usize = 8192;

/// So many columns of a tile are multiplied at once: their products stay in the cache until they are visited.
const WIDTH: usize = 128;

/// One vector for each of K classes, borrowed: the class means or the rows of a classifier, on which the
/// angles and lengths of neural collapse are measured.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::measure::ClassVectors;
///
/// let classifier = dmatrix![1.0, 2.0, 3.0; 4.0, 5.0, 6.0]; // K×d: one class per row
/// assert_eq!(ClassVectors::rows(&classifier)?.classes(), 2);
/// let means = classifier.transpose(); // d×K: one class per column
/// assert_eq!(ClassVectors::columns(&means)?.dimension(), 3);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Whether class means are centered is up to the caller:
/// [`ClassStatistics::class_means`](crate::ClassStatistics::class_means) are not,
/// [`ClassStatistics::centered_means`](crate::ClassStatistics::centered_means) are.
#[derive(Debug, Clone)]
pub struct ClassVectors<'a> {
    /// Borrowed, or divided by `unit` if the numbers are very large or small.
    matrix: Cow<'a, DMatrix<f64>>,
    axis: Axis,
    unit: f64,
    /// ‖v_k‖² in squares of `unit`.
    squared_norms: Vec<f64>,
}

/// What the vector of a class is in the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    Row,
    Column,
}

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
    products: DMatrix<T>,
    /// A column of the products.
    strip: Vec<f64>,
}

impl<'a> ClassVectors<'a> {
    /// The columns of a d×K matrix: class means.
    ///
    /// # Errors
    /// [`Error::Empty`] if the matrix has no entries, [`Error::OutOfRange`] if one is not finite.
    pub fn columns(matrix: &'a DMatrix<f64>) -> Result<Self> {
        Self::new(matrix, Axis::Column)
    }

    /// The rows of a K×d matrix: a classifier in PyTorch's layout.
    ///
    /// # Errors
    /// As [`columns`](Self::columns).
    pub fn rows(matrix: &'a DMatrix<f64>) -> Result<Self> {
        Self::new(matrix, Axis::Row)
    }

    fn new(matrix: &'a DMatrix<f64>, axis: Axis) -> Result<Self> {
        if matrix.is_empty() {
            return Err(Error::Empty { argument: "vectors" });
        }
        check_finite("vectors", matrix)?;
        let largest = matrix.amax();
        let comfortable = largest == 0.0 || is_comfortable(largest);
        let unit = if comfortable { 1.0 } else { power_of_two(matrix) };
        let matrix =
            if comfortable { Cow::Borrowed(matrix) } else { Cow::Owned(matrix.clone() / unit) };
        let mut vectors = Self { matrix, axis, unit, squared_norms: Vec::new() };
        vectors.squared_norms = match axis {
            Axis::Column => vectors.matrix.column_iter().map(|v| v.norm_squared()).collect(),
            // Column by column, as the entries lie in memory.
            Axis::Row => {
                let mut sums = vec![0.0; vectors.matrix.nrows()];
                for column in vectors.matrix.column_iter() {
                    sums.iter_mut()
                        .zip(column.iter())
                        .for_each(|(sum, entry)| *sum += entry * entry);
                }
                sums
            }
        };
        Ok(vectors)
    }

    /// Number of classes K.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.squared_norms.len()
    }

    /// Length d of the vectors.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.as_columns().nrows()
    }

    /// The lengths ‖v_k‖ of the vectors.
    #[must_use]
    pub fn norms(&self) -> Vec<f64> {
        self.squared_norms.iter().map(|square| square.sqrt() * self.unit).collect()
    }

    /// Their squares ‖v_k‖².
    ///
    /// # Errors
    /// [`Error::Unrepresentable`] if one is too large for a floating-point number; one that is too small is 0.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::measure::ClassVectors;
    ///
    /// let classifier = dmatrix![3.0, 4.0; 0.0, 1.0];
    /// assert_eq!(ClassVectors::rows(&classifier)?.norms_squared()?, [25.0, 1.0]);
    /// assert!(ClassVectors::rows(&(classifier * 1e200))?.norms_squared().is_err());
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn norms_squared(&self) -> Result<Vec<f64>> {
        let square = |&scaled: &f64| match scaled * self.unit * self.unit {
            square if square.is_finite() => Ok(square),
            _ => {
                let log10 = scaled.log10() + 2.0 * self.unit.log10();
                Err(Error::Unrepresentable { quantity: "a squared norm", log10 })
            }
        };
        self.squared_norms.iter().map(square).collect()
    }

    /// The lengths relative to the largest one, at any magnitude; zeros if all vectors are zero. A class whose
    /// classifier and mean are short beside the others has collapsed.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::measure::ClassVectors;
    ///
    /// // The squares of these are zero, but the vectors are not.
    /// let classifier = dmatrix![3.0, 4.0; 0.0, 1.0] * 1e-170;
    /// assert_eq!(ClassVectors::rows(&classifier)?.relative_norms(), [1.0, 0.2]);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn relative_norms(&self) -> Vec<f64> {
        let largest = self.squared_norms.iter().copied().fold(0.0, f64::max).sqrt();
        let divisor = if largest == 0.0 { 1.0 } else { largest };
        self.squared_norms.iter().map(|square| square.sqrt() / divisor).collect()
    }

    /// The unit that all vectors share, a power of two.
    pub(crate) fn unit(&self) -> f64 {
        self.unit
    }

    /// ‖v_k‖² in squares of a unit that all vectors share.
    pub(crate) fn squared_norms(&self) -> &[f64] {
        &self.squared_norms
    }

    /// The lengths in the shared unit, all of which are positive: [`Error::ZeroVector`] otherwise.
    pub(crate) fn positive_norms(&self) -> Result<Vec<f64>> {
        match self.squared_norms.iter().position(|&square| square == 0.0) {
            Some(class) => Err(Error::ZeroVector { argument: "vectors", class }),
            None => Ok(self.squared_norms.iter().map(|square| square.sqrt()).collect()),
        }
    }

    /// [`Error::OutOfRange`] if there is no pair of classes.
    pub(crate) fn check_pairs(&self) -> Result<()> {
        if self.classes() < 2 {
            return Err(Error::out_of_range("classes", self.classes() as f64, "at least 2"));
        }
        Ok(())
    }

    /// Some of the vectors, in the shared unit, as the columns of a matrix.
    pub(crate) fn block(&self, classes: Range<usize>) -> DMatrix<f64> {
        match self.axis {
            Axis::Column => self.matrix.columns_range(classes).into_owned(),
            Axis::Row => self.matrix.rows_range(classes).transpose(),
        }
    }

    /// The ranges of classes of blocks of moderate size.
    pub(crate) fn blocks(&self) -> impl ExactSizeIterator<Item = Range<usize>> + use<> {
        let classes = self.classes();
        let tile = if classes < MANY_CLASSES { TILE } else { LARGE_TILE };
        (0..classes.div_ceil(tile)).map(move |i| i * tile..classes.min((i + 1) * tile))
    }

    /// Σ a aᵀ over the vectors a = v_k/‖v_k‖: d×d.
    pub(crate) fn direction_gram(&self, norms: &[f64]) -> DMatrix<f64> {
        let mut sum = DMatrix::zeros(self.dimension(), self.dimension());
        for range in self.blocks() {
            sum += gram(&self.directions(range, norms));
        }
        sum
    }

    /// Some of the vectors, divided by their lengths, as the columns of a matrix.
    pub(crate) fn directions(&self, classes: Range<usize>, norms: &[f64]) -> DMatrix<f64> {
        let mut block = self.block(classes.clone());
        for (mut column, norm) in block.column_iter_mut().zip(&norms[classes]) {
            column /= *norm;
        }
        block
    }

    /// [`directions`](Self::directions) in `f32`.
    fn fill_single(&self, block: &mut Block<f32>, classes: Range<usize>, norms: &[f64]) {
        block.reshape(self.dimension(), classes.len());
        let factors = norms[classes.clone()].iter().map(|norm| norm.recip()).enumerate();
        match self.axis {
            Axis::Column => factors.for_each(|(index, factor)| {
                let vector = self.matrix.column(classes.start + index);
                to_single(vector.as_slice(), factor, block.column_mut(index));
            }),
            // Column by column, as the entries lie in memory.
            Axis::Row => {
                let factors: Vec<_> = factors.collect();
                for (i, column) in self.matrix.column_iter().enumerate() {
                    let numbers = &column.as_slice()[classes.clone()];
                    for (number, &(index, factor)) in numbers.iter().zip(&factors) {
                        block.column_mut(index)[i] = (number * factor) as f32;
                    }
                }
            }
        }
    }

    /// ‖a/s − b/t‖² for the vectors a and b of two classes, from the differences of their entries.
    pub(crate) fn squared_distance(&self, (i, s): (usize, f64), (j, t): (usize, f64)) -> f64 {
        let columns = self.as_columns().as_view();
        let (left, right) = (columns.column(i), columns.column(j));
        left.iter().zip(right.iter()).map(|(a, b)| (a / s - b / t).powi(2)).sum()
    }

    /// Folds all pairs of classes into copies of `start`, tile by tile, and puts these together.
    /// No more than a few tiles of inner products are in memory at a time.
    pub(crate) fn fold_pairs<A: Clone + Send + Sync>(
        &self,
        wanted: Wanted<'_>,
        start: &A,
        visit: impl Fn(&mut A, Strip<'_>) + Sync,
        merge: impl Fn(&mut A, A),
    ) -> A {
        let copy = |block: &mut Block<f64>, classes: Range<usize>| {
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
                let fill = |block: &mut Block<f32>, classes: Range<usize>| {
                    self.fill_single(block, classes, norms);
                };
                self.fold_tiles(fill, start, visit)
            }
        };
        let mut result = start.clone();
        folded.into_iter().for_each(|part| merge(&mut result, part));
        result
    }

    /// Folds the pairs of each tile into a copy of `start`; `fill` makes the columns of a block the vectors of classes.
    fn fold_tiles<T: Scalar, A: Clone + Send + Sync>(
        &self,
        fill: impl Fn(&mut Block<T>, Range<usize>) + Sync,
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

    /// The vectors as columns, d×K.
    pub(crate) fn as_columns(&self) -> Strided<'_, f64> {
        match self.axis {
            Axis::Column => self.matrix.strided(),
            Axis::Row => transposed(&*self.matrix),
        }
    }
}

impl<T: Scalar> Tile<T> {
    fn new() -> Self {
        let products = DMatrix::zeros(0, 0);
        Self { left: None, right: Block::new(), products, strip: Vec::new() }
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
        fill: impl Fn(&mut Block<T>, Range<usize>),
        left: &Range<usize>,
        right: &Range<usize>,
    ) {
        let packed = match self.left.take() {
            Some((classes, packed)) if classes == *left => packed,
            _ => {
                fill(&mut self.right, left.clone());
                let rows = transposed(&self.right);
                parallel::with_threads(NonZeroUsize::MIN, || Packed::new(&rows, |entry| entry))
            }
        };
        fill(&mut self.right, right.clone());
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
    use nalgebra::dmatrix;

    #[test]
    fn a_squared_norm_out_of_range_has_its_magnitude() {
        let rows = dmatrix![3.0, 4.0; 0.0, 1.0] * 1e200;
        let found = ClassVectors::rows(&rows).unwrap().norms_squared();
        let Err(Error::Unrepresentable { log10, .. }) = found else { panic!("{found:?}") };
        assert!((log10 - (400.0 + 25.0_f64.log10())).abs() < 1e-12, "{log10}");
    }

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
            let directions =
                DMatrix::from_fn(3, 300, |i, j| scaled[(i, j)] / scaled.column(j).norm());
            let gram = vectors.direction_gram(&norms);
            assert!((gram - &directions * directions.transpose()).norm() < 1e-12);
            let difference = scaled.column(299) / 2.0 - scaled.column(256) / 3.0;
            let found = vectors.squared_distance((299, 2.0), (256, 3.0));
            assert!((found - difference.norm_squared()).abs() < 1e-15);
        }
    }

    #[test]
    fn pairs_need_two_classes() {
        let is_pair = |rows: &DMatrix<f64>| ClassVectors::rows(rows).unwrap().check_pairs().is_ok();
        assert_eq!([&dmatrix![1.0], &dmatrix![1.0; 2.0]].map(is_pair), [false, true]);
    }

    #[test]
    fn blocks_cover_the_classes_once() {
        for classes in [1, 255, 256, 257, 600, 9000] {
            let matrix = DMatrix::from_element(1, classes, 1.0);
            let vectors = ClassVectors::columns(&matrix).unwrap();
            assert!(vectors.blocks().flatten().eq(0..classes));
        }
    }
}
