//! One vector for each class: class means or the rows of a classifier.

use std::borrow::Cow;
use std::ops::Range;

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::numerics::linalg::{
    Block, Operand, Packed, Strided, add_gram_in, check_finite, convert, mirror, power_of_two,
    transposed,
};
use crate::numerics::magnitude::is_comfortable;
use crate::numerics::parallel;
use crate::numerics::simd::vectorized;

/// Classes of one tile of pairs, twice as many as are multiplied at once: few, so that all threads have tiles …
const TILE: usize = 240;

/// … or many, which is faster where there are [`MANY_CLASSES`].
const LARGE_TILE: usize = 960;
const MANY_CLASSES: usize = 8192;

/// Vectors that are copied at a time to lie next to each other.
const COPIED: usize = 128;

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

    /// What `work` makes of the vectors of each class, here and of others of the same shape, each in its shared unit.
    pub(crate) fn map_beside<R: Send>(
        &self,
        other: &Self,
        work: impl Fn(usize, &[f64], &[f64]) -> R + Sync,
    ) -> Vec<R> {
        let classes = self.classes();
        let copies = || (Block::new(), Block::new());
        let operations = classes.saturating_mul(self.dimension());
        let found =
            parallel::map(classes.div_ceil(COPIED), operations, copies, |(own, others), index| {
                let range = index * COPIED..classes.min((index + 1) * COPIED);
                own.copy(&self.as_columns().columns(range.clone()));
                others.copy(&other.as_columns().columns(range.clone()));
                let pairs = range.zip(own.columns().zip(others.columns()));
                pairs.map(|(class, (own, other))| work(class, own, other)).collect::<Vec<_>>()
            });
        found.into_iter().flatten().collect()
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
        let mut packed = Packed::empty();
        for range in self.blocks() {
            add_gram_in(&mut packed, &mut sum, &self.directions(range, norms));
        }
        mirror(&mut sum);
        sum
    }

    /// Some of the vectors, divided by their lengths, as the columns of a matrix.
    pub(crate) fn directions(&self, classes: Range<usize>, norms: &[f64]) -> DMatrix<f64> {
        let mut block = DMatrix::zeros(self.dimension(), classes.len());
        let dimension = self.dimension();
        convert(
            self.as_columns().columns(classes.clone()),
            block.as_mut_slice(),
            dimension,
            |entry| entry,
        );
        for (column, norm) in block.as_mut_slice().chunks_mut(dimension).zip(&norms[classes]) {
            vectorized(
                #[inline(always)]
                || column.iter_mut().for_each(|entry| *entry /= norm),
            );
        }
        block
    }

    /// ‖a/s − b/t‖² for the vectors a and b of two classes, from the differences of their entries.
    pub(crate) fn squared_distance(&self, (i, s): (usize, f64), (j, t): (usize, f64)) -> f64 {
        let columns = self.as_columns().as_view();
        let (left, right) = (columns.column(i), columns.column(j));
        left.iter().zip(right.iter()).map(|(a, b)| (a / s - b / t).powi(2)).sum()
    }

    /// The vectors as columns, d×K.
    pub(crate) fn as_columns(&self) -> Strided<'_, f64> {
        match self.axis {
            Axis::Column => self.matrix.strided(),
            Axis::Row => transposed(&*self.matrix),
        }
    }
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
    fn directions_and_distances_are_those_of_the_vectors() {
        let columns = DMatrix::from_fn(3, 300, |i, j| ((i * 7 + j * j) as f64).sin()) * 1e-200;
        let rows = columns.transpose();
        for vectors in [ClassVectors::columns(&columns), ClassVectors::rows(&rows)] {
            let vectors = vectors.unwrap();
            assert_eq!((vectors.dimension(), vectors.classes()), (3, 300));
            let norms = vectors.positive_norms().unwrap();
            let scaled = &columns / vectors.unit();
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
        for classes in [1, TILE - 1, TILE, TILE + 1, 600, 9000] {
            let matrix = DMatrix::from_element(1, classes, 1.0);
            let vectors = ClassVectors::columns(&matrix).unwrap();
            assert!(vectors.blocks().flatten().eq(0..classes));
        }
    }
}
