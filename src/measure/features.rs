//! The features of the samples, borrowed as they lie in memory.

use std::ops::Range;

use nalgebra::{DMatrixView, Dyn, U1};

use crate::error::{Argument, Error, Place, Result};
use crate::numerics::linalg::{Block, StridedView, whole_tiles};
use crate::numerics::parallel;
use crate::numerics::scalar::{Scalar, is_representable, largest_magnitude};

/// Samples of one block at most: enough for matrix products to run at full speed.
const BLOCK_SAMPLES: usize = 128;

/// Numbers in one block, if samples are too long for [`BLOCK_SAMPLES`] of them.
const BLOCK_ENTRIES: usize = 1 << 20;

/// N samples of d features each, borrowed without a copy.
///
/// The numbers are not looked at until something is measured: whatever reads a sample checks it first, where it can
/// without a pass over the samples for that alone. Then [`Error::OutOfRange`] names the row and the column of a
/// number that is not finite, or so large that its square could not be summed (10¹⁴⁰ in `f64`, 10³⁸ in `f32`), and
/// what is fed in batches stays as it was before the batch.
///
/// The constructors say which way the matrix lies, because a square one would not show it:
///
/// | the numbers are in                                      | constructor                              |
/// |---------------------------------------------------------|------------------------------------------|
/// | the memory of a C-ordered N×d array (NumPy, PyTorch)    | [`from_row_major`](Self::from_row_major) |
/// | a nalgebra matrix N×d, one sample per row                 | [`from_sample_rows`](Self::from_sample_rows) |
/// | a nalgebra matrix d×N, one sample per column (the paper's H) | [`from_sample_columns`](Self::from_sample_columns) |
///
/// The first and the last are the fastest, as each sample is contiguous in memory.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::Features;
///
/// let numbers = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0]; // two samples: (1, 2, 3) and (4, 5, 6)
/// let features = Features::from_row_major(&numbers, 2, 3)?;
/// assert_eq!((features.samples(), features.dimension()), (2, 3));
///
/// let rows = dmatrix![1.0, 2.0, 3.0; 4.0, 5.0, 6.0];
/// let features = Features::from_sample_rows(&rows)?;
/// assert_eq!((features.samples(), features.dimension()), (2, 3));
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Features<'a, T: Scalar> {
    view: StridedView<'a, T>,
    sample_axis: Axis,
    /// Number of the first sample in the matrix of the caller, for error messages.
    first: usize,
}

/// What a sample is in the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    Row,
    Column,
}

impl<'a, T: Scalar> Features<'a, T> {
    /// The rows of an N×d matrix, or of a view of one with any strides.
    ///
    /// # Errors
    /// [`Error::Empty`] if there are no columns (no rows are allowed: an empty batch).
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::{ClassStatistics, Features};
    ///
    /// let rows = dmatrix![0.0, 1.0; f64::NAN, 2.0];
    /// let data = Features::from_sample_rows(&rows)?.with_labels(&[0, 0], 1)?;
    /// assert_eq!(
    ///     ClassStatistics::new(&data).unwrap_err().to_string(),
    ///     "`features` at sample 1, feature 0, is NaN, but must be finite and at most 1e140 in magnitude",
    /// );
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn from_sample_rows(samples: impl Into<StridedView<'a, T>>) -> Result<Self> {
        Self::new(samples.into(), Axis::Row)
    }

    /// The columns of a d×N matrix, or of a view of one with any strides.
    ///
    /// # Errors
    /// As [`from_sample_rows`](Self::from_sample_rows), with rows and columns exchanged.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::Features;
    ///
    /// let features = dmatrix![1.0, 4.0, 7.0; 2.0, 5.0, 8.0; 3.0, 6.0, 9.0];
    /// let first_two = features.columns(0, 2);
    /// assert_eq!(Features::from_sample_columns(&first_two)?.samples(), 2);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn from_sample_columns(samples: impl Into<StridedView<'a, T>>) -> Result<Self> {
        Self::new(samples.into(), Axis::Column)
    }

    /// `samples` times `dimension` numbers, one sample after the other: the memory of a C-ordered
    /// N×d array.
    ///
    /// # Errors
    /// [`Error::Shape`] if `numbers` is not of length `samples` · `dimension`, and as
    /// [`from_sample_rows`](Self::from_sample_rows).
    ///
    /// ```
    /// use neural_collapse::Features;
    ///
    /// let error = Features::from_row_major(&[1.0, 2.0, 3.0], 2, 2).unwrap_err();
    /// assert_eq!(error.to_string(), "`numbers` has shape 3, but must have shape 4, the product of samples and dimension");
    /// ```
    pub fn from_row_major(numbers: &'a [T], samples: usize, dimension: usize) -> Result<Self> {
        let Some(length) = samples.checked_mul(dimension) else {
            let expected = "at most usize::MAX in the product with the dimension";
            return Err(Error::out_of_range("samples", samples as f64, expected));
        };
        if length != numbers.len() {
            let reason = "the product of samples and dimension";
            return Err(Error::length("numbers", numbers.len(), length, reason));
        }
        if dimension > isize::MAX as usize {
            return Err(Error::out_of_range("dimension", dimension as f64, "at most isize::MAX"));
        }
        // Row-major N×d is column-major d×N.
        let (rows, columns) = (Dyn(dimension), Dyn(samples));
        let (row_stride, column_stride) = (Dyn(1), Dyn(dimension));
        let view = StridedView::from_slice_with_strides_generic(
            numbers,
            rows,
            columns,
            row_stride,
            column_stride,
        );
        Self::new(view, Axis::Column)
    }

    fn new(view: StridedView<'a, T>, sample_axis: Axis) -> Result<Self> {
        let features = Self { view, sample_axis, first: 0 };
        if features.dimension() == 0 {
            return Err(Error::Empty { argument: "features" });
        }
        Ok(features)
    }

    /// Number of samples N.
    #[must_use]
    pub fn samples(&self) -> usize {
        match self.sample_axis {
            Axis::Row => self.view.nrows(),
            Axis::Column => self.view.ncols(),
        }
    }

    /// Number of features of a sample, d.
    #[must_use]
    pub fn dimension(&self) -> usize {
        match self.sample_axis {
            Axis::Row => self.view.ncols(),
            Axis::Column => self.view.nrows(),
        }
    }

    /// Some of the samples, by the same names in error messages.
    pub(crate) fn range(&self, range: Range<usize>) -> Features<'_, T> {
        let first = self.first + range.start;
        let view = match self.sample_axis {
            Axis::Row => self.view.rows_range(range),
            Axis::Column => self.view.columns_range(range),
        };
        Features { view, first, ..*self }
    }

    /// Checks the numbers of all samples.
    pub(crate) fn check(&self) -> Result<()> {
        let blocks: Vec<_> = self.blocks().collect();
        let operations = self.view.len() / 4;
        let check = |(): &mut (), block: usize| self.check_samples(blocks[block].clone());
        parallel::map(blocks.len(), operations, || (), check).into_iter().collect()
    }

    /// Checks the numbers of some samples.
    pub(crate) fn check_samples(&self, samples: impl IntoIterator<Item = usize>) -> Result<()> {
        self.for_each_sample(samples, |_, _| ())
    }

    /// Calls `visit` with the index and the features of each of the given samples in turn, after
    /// checking its numbers; a sample that is refused ends it.
    pub(crate) fn for_each_sample(
        &self,
        samples: impl IntoIterator<Item = usize>,
        mut visit: impl FnMut(usize, &[T]),
    ) -> Result<()> {
        let mut result = Ok(());
        self.visit_while(samples, |index, sample| {
            if is_representable(sample) {
                visit(index, sample);
            } else {
                result = Err(self.first_bad_number(index, sample));
            }
            result.is_ok()
        });
        result
    }

    /// The same for samples that have been [checked](Self::check).
    pub(crate) fn for_each_checked_sample(
        &self,
        samples: impl IntoIterator<Item = usize>,
        mut visit: impl FnMut(usize, &[T]),
    ) {
        self.visit_while(samples, |index, sample| {
            visit(index, sample);
            true
        });
    }

    fn visit_while(
        &self,
        samples: impl IntoIterator<Item = usize>,
        mut visit: impl FnMut(usize, &[T]) -> bool,
    ) {
        let mut samples = samples.into_iter();
        if let Some(columns) = self.contiguous_columns() {
            samples.all(|index| visit(index, columns.column(index).as_slice()));
            return;
        }
        let mut copy = Vec::with_capacity(self.dimension());
        samples.all(|index| {
            copy.clear();
            match self.sample_axis {
                Axis::Row => copy.extend(self.view.row(index).iter()),
                Axis::Column => copy.extend(self.view.column(index).iter()),
            }
            visit(index, &copy)
        });
    }

    #[cold]
    fn first_bad_number(&self, index: usize, sample: &[T]) -> Error {
        let good = sample.iter().take_while(|number| number.abs() <= T::LARGEST).count();
        let value = sample.get(good).map_or(f64::NAN, |&number| number.into());
        let place = Place::Sample { sample: self.first + index, feature: good };
        Error::out_of_range(Argument { name: "features", place }, value, T::EXPECTED)
    }

    /// The ranges of samples of blocks that fit into a cache; they depend on the shape and the machine alone.
    pub(crate) fn blocks(&self) -> impl ExactSizeIterator<Item = Range<usize>> + Send + use<T> {
        ranges(self.samples(), self.block_samples())
    }

    /// Fills the columns of a d×B block with what `write` computes from each sample of a range.
    pub(crate) fn fill_block<U: Scalar>(
        &self,
        range: Range<usize>,
        block: &mut Block<U>,
        mut write: impl FnMut(usize, &[T], &mut [U]),
    ) -> Result<()> {
        self.fill_block_seen(range, block, |index, sample, out| {
            write(index, sample, out);
            largest_magnitude(sample)
        })
    }

    /// The same where `write` returns the largest magnitude that it has seen, so that samples need not be read once more for
    /// a check.
    pub(crate) fn fill_block_seen<U: Scalar>(
        &self,
        range: Range<usize>,
        block: &mut Block<U>,
        mut write: impl FnMut(usize, &[T], &mut [U]) -> T::Magnitude,
    ) -> Result<()> {
        block.reshape(self.dimension(), range.len());
        let (first, mut result) = (range.start, Ok(()));
        self.visit_while(range, |index, sample| {
            if write(index, sample, block.column_mut(index - first)) > T::LARGEST.magnitude() {
                result = Err(self.first_bad_number(index, sample));
            }
            result.is_ok()
        });
        result
    }

    /// The samples as columns with the fact in their type that they are contiguous, if they are.
    pub(crate) fn contiguous_columns(&self) -> Option<DMatrixView<'_, T, U1, Dyn>> {
        let contiguous = self.sample_axis == Axis::Column && self.view.strides().0 == 1;
        contiguous.then(|| (&self.view).into())
    }

    fn block_samples(&self) -> usize {
        let most = (BLOCK_ENTRIES / self.dimension()).clamp(1, BLOCK_SAMPLES);
        // Of the longest samples fewer than a tile has, as they must fit in memory.
        whole_tiles(most).min(most)
    }
}

/// Ranges of `size` numbers below `count`.
pub(crate) fn ranges(
    count: usize,
    size: usize,
) -> impl ExactSizeIterator<Item = Range<usize>> + Send {
    (0..count.div_ceil(size)).map(move |index| index * size..count.min((index + 1) * size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{DMatrix, dmatrix};

    /// The index is that of the caller's N×d array, whichever way it is stored.
    #[test]
    fn a_bad_number_is_named_by_sample_and_feature() {
        let numbers = [0.0, 0.0, f64::NAN, 0.0, 0.0, 0.0];
        let rows = DMatrix::from_row_slice(2, 3, &numbers);
        let row_major = Features::from_row_major(&numbers, 2, 3).unwrap().check().unwrap_err();
        let sample_rows = Features::from_sample_rows(&rows).unwrap().check().unwrap_err();
        assert!(
            row_major.to_string().starts_with("`features` at sample 0, feature 2, is NaN"),
            "{row_major}"
        );
        assert_eq!(row_major.to_string(), sample_rows.to_string());
    }

    fn collected<T: Scalar>(features: &Features<'_, T>) -> Vec<Vec<T>> {
        let mut samples = Vec::new();
        let result = features.for_each_sample(0..features.samples(), |index, sample| {
            assert_eq!(index, samples.len());
            samples.push(sample.to_vec());
        });
        result.unwrap();
        samples
    }

    #[test]
    fn every_layout_gives_the_same_samples() {
        let (samples, dimension) = (700, 3);
        let rows = DMatrix::from_fn(samples, dimension, |i, j| (10 * i + j) as f64);
        let columns = rows.transpose();
        let expected: Vec<Vec<f64>> =
            columns.column_iter().map(|column| column.as_slice().to_vec()).collect();
        let wide = DMatrix::from_fn(2 * samples, 2 * dimension, |i, j| {
            if i % 2 + j % 2 == 0 { rows[(i / 2, j / 2)] } else { f64::NAN }
        });
        let strided = wide.view_with_steps((0, 0), (samples, dimension), (1, 1));
        let transposed = wide.transpose();
        let strided_columns = transposed.view_with_steps((0, 0), (dimension, samples), (1, 1));
        for features in [
            Features::from_sample_rows(&rows).unwrap(),
            Features::from_sample_columns(&columns).unwrap(),
            Features::from_row_major(columns.as_slice(), samples, dimension).unwrap(),
            Features::from_sample_rows(strided).unwrap(),
            Features::from_sample_columns(strided_columns).unwrap(),
        ] {
            assert_eq!((features.samples(), features.dimension()), (samples, dimension));
            assert_eq!(collected(&features), expected);
            assert!(features.check().is_ok());
        }
    }

    #[test]
    fn blocks_cover_the_samples_once() {
        let block = Features::from_row_major(&[0.0; 2000], 1000, 2).unwrap().block_samples();
        for samples in [0, 1, 2 * block - 1, 2 * block, 2 * block + 1, 1000] {
            let numbers: Vec<f32> = (0..2 * samples).map(|i| i as f32).collect();
            let features = Features::from_row_major(&numbers, samples, 2).unwrap();
            let write = |index, sample: &[f32], out: &mut [f64]| {
                out[0] = index as f64;
                out[1] = sample[1].into();
            };
            let (mut seen, mut block) = (Vec::new(), Block::new());
            for range in features.blocks() {
                features.fill_block(range.clone(), &mut block, write).unwrap();
                assert_eq!(range.len(), block.columns().count());
                seen.extend(block.columns().map(|column| (column[0], column[1])));
            }
            let expected = (0..samples).map(|i| (i as f64, (2 * i + 1) as f64));
            assert_eq!(seen, expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn bad_features_are_named() {
        assert!(matches!(
            Features::<f64>::from_row_major(&[], 4, 0),
            Err(Error::Empty { argument: "features" })
        ));
        let none = |samples, dimension| Features::<f64>::from_row_major(&[], samples, dimension);
        let longest = isize::MAX as usize;
        assert!(none(0, longest).is_ok());
        let error = Error::out_of_range("dimension", 63.0_f64.exp2(), "at most isize::MAX");
        assert_eq!(none(0, longest + 1).unwrap_err(), error);
        let expected = "at most usize::MAX in the product with the dimension";
        let error = Error::out_of_range("samples", 64.0_f64.exp2(), expected);
        assert_eq!(none(usize::MAX, 2).unwrap_err(), error);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.1e38] {
            let mut matrix = DMatrix::from_element(40, 3, 1.0_f32);
            matrix[(37, 2)] = bad;
            let features = Features::from_sample_rows(&matrix).unwrap();
            let error = features.check().unwrap_err().to_string();
            assert!(error.starts_with("`features` at sample 37, feature 2, is "), "{error}");
            assert!(error.ends_with("but must be finite and at most 1e38 in magnitude"), "{error}");
        }
        assert!(Features::from_sample_rows(&dmatrix![1e38_f32]).unwrap().check().is_ok());
        assert!(Features::from_sample_rows(&dmatrix![1e140]).unwrap().check().is_ok());
        assert!(Features::from_sample_rows(&dmatrix![-2e140]).unwrap().check().is_err());
    }
}
