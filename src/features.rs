//! The features of the samples, borrowed as they lie in memory, and their labels.

use std::ops::Range;

use nalgebra::{DMatrix, DMatrixView, Dyn, RealField, U1};

use crate::error::{Error, Result};
use crate::linalg::StridedView;
use crate::parallel;
use crate::simd::vectorised;

/// Samples of one block: enough for matrix products to run at full speed.
const BLOCK_SAMPLES: usize = 128;

/// Maxima that are found side by side.
const LANES: usize = 32;

/// Numbers in one block, if samples are too long for [`BLOCK_SAMPLES`] of them.
const BLOCK_ENTRIES: usize = 1 << 20;

/// The numbers of which features consist: `f32` or `f64`.
///
/// Sums are always carried in `f64`; large matrix products are done in the type of the features.
pub trait Scalar: RealField + Copy + Into<f64> + sealed::Sealed {
    /// The largest magnitude of a feature: the sum of 10²⁰ squares of it is still a number.
    #[doc(hidden)]
    const LARGEST: Self;

    /// The closest number of this type.
    #[doc(hidden)]
    fn rounded(value: f64) -> Self;
}

impl Scalar for f32 {
    const LARGEST: Self = Self::MAX;

    fn rounded(value: f64) -> Self {
        value as f32
    }
}

impl Scalar for f64 {
    const LARGEST: Self = 1e140;

    fn rounded(value: f64) -> Self {
        value
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// N samples of d features each, borrowed without a copy.
///
/// The constructors say which way the matrix lies, because a square one would not show it:
///
/// | the numbers are in                                      | constructor                              |
/// |---------------------------------------------------------|------------------------------------------|
/// | the memory of a C-ordered N×d array (NumPy, PyTorch)    | [`from_row_major`](Self::from_row_major) |
/// | a nalgebra matrix N×d, a row a sample                   | [`from_sample_rows`](Self::from_sample_rows) |
/// | a nalgebra matrix d×N, a column a sample (the paper's H) | [`from_sample_columns`](Self::from_sample_columns) |
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
    largest: f64,
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
    /// [`Error::Empty`] if there are no columns (no rows are allowed: an empty batch),
    /// [`Error::OutOfRange`] naming the row and column of a number that is not finite or exceeds
    /// 10¹⁴⁰ in magnitude, so that its square could not be summed.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::Features;
    ///
    /// let error = Features::from_sample_rows(&dmatrix![0.0, 1.0; f64::NAN, 2.0]).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "`features[(1, 0)]` is NaN, but must be finite and at most 1e140 in magnitude",
    /// );
    /// ```
    pub fn from_sample_rows(samples: impl Into<StridedView<'a, T>>) -> Result<Self> {
        Self::new(samples.into(), Axis::Row, by_row_and_column)
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
        Self::new(samples.into(), Axis::Column, by_row_and_column)
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
    /// assert_eq!(error.to_string(), "`numbers` has shape 3, but must have shape 2·2 = 4");
    /// ```
    pub fn from_row_major(numbers: &'a [T], samples: usize, dimension: usize) -> Result<Self> {
        let length = samples.checked_mul(dimension);
        if length != Some(numbers.len()) {
            let product = length.map_or("more than fits".into(), |length| length.to_string());
            return Err(Error::Shape {
                argument: "numbers".into(),
                found: numbers.len().to_string(),
                expected: format!("{samples}·{dimension} = {product}"),
            });
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
        // The caller's N×d array is the transpose of the view.
        Self::new(view, Axis::Column, |row, column| by_row_and_column(column, row))
    }

    fn new(view: StridedView<'a, T>, sample_axis: Axis, name: EntryName) -> Result<Self> {
        let features = Self { view, sample_axis, largest: largest(&view, name)? };
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

    /// The same features with the class of each sample, one of 0, …, K−1 for K = `classes`.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not as many labels as samples, [`Error::LabelOutOfRange`] if a
    /// label is not below `classes`, [`Error::OutOfRange`] if there are no classes.
    ///
    /// ```
    /// use neural_collapse::Features;
    ///
    /// let features = Features::from_row_major(&[1.0, 2.0, 3.0], 3, 1)?;
    /// let error = features.with_labels(&[0, 1, 2], 2).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "`labels[2]` is 2, but there are 2 classes, numbered from 0",
    /// );
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn with_labels(
        self,
        labels: &'a [usize],
        classes: usize,
    ) -> Result<LabeledFeatures<'a, T>> {
        if labels.len() != self.samples() {
            return Err(Error::Shape {
                argument: "labels".into(),
                found: labels.len().to_string(),
                expected: format!("{}, one for each sample", self.samples()),
            });
        }
        if classes == 0 {
            return Err(Error::out_of_range("classes", 0.0, "at least 1"));
        }
        match labels.iter().enumerate().find(|&(_, &label)| label >= classes) {
            Some((index, &label)) => Err(Error::LabelOutOfRange { index, label, classes }),
            None => Ok(LabeledFeatures { features: self, labels, classes }),
        }
    }

    /// The largest magnitude of a feature, 0 for an empty batch.
    pub(crate) fn largest(&self) -> f64 {
        self.largest
    }

    /// Calls `visit` with the index and the features of each of the given samples in turn.
    pub(crate) fn for_each_sample(
        &self,
        samples: impl IntoIterator<Item = usize>,
        mut visit: impl FnMut(usize, &[T]),
    ) {
        if let (Axis::Column, Some(columns)) = (self.sample_axis, contiguous_columns(&self.view)) {
            let samples = samples.into_iter();
            samples.for_each(|index| visit(index, columns.column(index).as_slice()));
            return;
        }
        let mut copy = Vec::with_capacity(self.dimension());
        for index in samples {
            copy.clear();
            match self.sample_axis {
                Axis::Row => copy.extend(self.view.row(index).iter()),
                Axis::Column => copy.extend(self.view.column(index).iter()),
            }
            visit(index, &copy);
        }
    }

    /// The ranges of samples of blocks that fit into a cache; they depend on the shape alone.
    pub(crate) fn blocks(&self) -> impl ExactSizeIterator<Item = Range<usize>> + Send + use<T> {
        let (samples, size) = (self.samples(), self.block_samples());
        (0..samples.div_ceil(size)).map(move |block| block * size..samples.min((block + 1) * size))
    }

    /// Fills the columns of a d×B block with what `write` computes from each sample of a range.
    pub(crate) fn fill_block<U: Scalar>(
        &self,
        range: Range<usize>,
        block: &mut DMatrix<U>,
        write: impl Fn(usize, &[T], &mut [U]),
    ) {
        if block.ncols() != range.len() {
            *block = DMatrix::zeros(self.dimension(), range.len());
        }
        let first = range.start;
        self.for_each_sample(range, |index, sample| {
            write(index, sample, block.column_mut(index - first).as_mut_slice());
        });
    }

    /// Calls `visit` with the range of samples and the d×B matrix of each block of them in turn, whose
    /// columns `write` has computed from the index and the features of a sample.
    pub(crate) fn for_each_block<U: Scalar>(
        &self,
        write: impl Fn(usize, &[T], &mut [U]),
        mut visit: impl FnMut(Range<usize>, &DMatrix<U>),
    ) {
        let mut block = DMatrix::zeros(0, 0);
        for range in self.blocks() {
            self.fill_block(range.clone(), &mut block, &write);
            visit(range, &block);
        }
    }

    fn block_samples(&self) -> usize {
        (BLOCK_ENTRIES / self.dimension()).clamp(1, BLOCK_SAMPLES)
    }
}

/// Features with the class of each sample, made by [`Features::with_labels`].
///
/// Everything in it has been checked, so the metrics need not check it again.
#[derive(Debug, Clone, Copy)]
pub struct LabeledFeatures<'a, T: Scalar> {
    features: Features<'a, T>,
    labels: &'a [usize],
    classes: usize,
}

impl<'a, T: Scalar> LabeledFeatures<'a, T> {
    /// The features.
    #[must_use]
    pub fn features(&self) -> &Features<'a, T> {
        &self.features
    }

    /// The class of each sample.
    #[must_use]
    pub fn labels(&self) -> &'a [usize] {
        self.labels
    }

    /// Number of classes K.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }
}

/// What an error calls the entry in a row and column of the view.
type EntryName = fn(usize, usize) -> String;

fn by_row_and_column(row: usize, column: usize) -> String {
    format!("features[({row}, {column})]")
}

/// The largest magnitude of a matrix, after checking that squares can be summed.
fn largest<T: Scalar>(view: &StridedView<'_, T>, name: EntryName) -> Result<f64> {
    let column_largest = |column: usize| match contiguous_columns(view) {
        Some(contiguous) => largest_of(contiguous.column(column).as_slice()),
        None => largest_of(view.column(column).into_owned().as_slice()),
    };
    let columns_per_piece = (BLOCK_ENTRIES / view.nrows().max(1)).clamp(1, view.ncols().max(1));
    let pieces = view.ncols().div_ceil(columns_per_piece);
    let piece_largest = |(): &mut (), piece: usize| {
        let columns = piece * columns_per_piece..view.ncols().min((piece + 1) * columns_per_piece);
        columns.into_iter().try_fold(T::zero(), |largest, column| {
            let found = column_largest(column).ok_or(column)?;
            Ok(if found > largest { found } else { largest })
        })
    };
    let mut largest = T::zero();
    for found in parallel::map(pieces, view.len() / 4, || (), piece_largest) {
        let found = found.map_err(|column| first_too_large(view, column, name))?;
        largest = if found > largest { found } else { largest };
    }
    Ok(largest.into())
}

/// The view with the fact in its type that columns are contiguous, if they are.
fn contiguous_columns<'v, T: Scalar>(
    view: &'v StridedView<'_, T>,
) -> Option<DMatrixView<'v, T, U1, Dyn>> {
    (view.strides().0 == 1).then(|| view.into())
}

fn first_too_large<T: Scalar>(view: &StridedView<'_, T>, column: usize, name: EntryName) -> Error {
    let numbers = view.column(column);
    let row = numbers.iter().take_while(|number| number.abs() <= T::LARGEST).count();
    let value = numbers.iter().nth(row).map_or(f64::NAN, |&number| number.into());
    let expected = "finite and at most 1e140 in magnitude";
    Error::out_of_range(name(row, column), value, expected)
}

/// The largest magnitude, or nothing if one exceeds the limit or is NaN; no branch in the loop, so
/// that the compiler can vectorise it.
fn largest_of<T: Scalar>(numbers: &[T]) -> Option<T> {
    let (largest, representable) = vectorised(
        #[inline(always)]
        || lanes_of_largest(numbers),
    );
    representable.then(|| largest.into_iter().fold(T::zero(), RealField::max))
}

#[inline(always)]
fn lanes_of_largest<T: Scalar>(numbers: &[T]) -> ([T; LANES], bool) {
    let mut largest = [T::zero(); LANES];
    let mut representable = true;
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    let mut visit = |lane: &mut T, number: T| {
        let magnitude = number.abs();
        representable &= magnitude <= T::LARGEST;
        *lane = if magnitude > *lane { magnitude } else { *lane };
    };
    for chunk in chunks {
        largest.iter_mut().zip(chunk).for_each(|(lane, &number)| visit(lane, number));
    }
    largest.iter_mut().zip(rest).for_each(|(lane, &number)| visit(lane, number));
    (largest, representable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::dmatrix;

    /// The index is that of the caller's N×d array, whichever way it is stored.
    #[test]
    fn a_bad_number_is_named_by_sample_and_feature() {
        let numbers = [0.0, 0.0, f64::NAN, 0.0, 0.0, 0.0];
        let rows = DMatrix::from_row_slice(2, 3, &numbers);
        let row_major = Features::from_row_major(&numbers, 2, 3).unwrap_err();
        let sample_rows = Features::from_sample_rows(&rows).unwrap_err();
        assert!(row_major.to_string().starts_with("`features[(0, 2)]` is NaN"), "{row_major}");
        assert_eq!(row_major.to_string(), sample_rows.to_string());
    }

    fn collected<T: Scalar>(features: &Features<'_, T>) -> Vec<Vec<T>> {
        let mut samples = Vec::new();
        features.for_each_sample(0..features.samples(), |index, sample| {
            assert_eq!(index, samples.len());
            samples.push(sample.to_vec());
        });
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
            assert!((features.largest() - 6992.0).abs() < 1e-9);
        }
    }

    #[test]
    fn blocks_cover_the_samples_once() {
        for samples in [0, 1, 255, 256, 257, 1000] {
            let numbers: Vec<f32> = (0..2 * samples).map(|i| i as f32).collect();
            let features = Features::from_row_major(&numbers, samples, 2).unwrap();
            let mut seen = Vec::new();
            let write = |index, sample: &[f32], out: &mut [f64]| {
                out[0] = index as f64;
                out[1] = sample[1].into();
            };
            features.for_each_block(write, |range, block| {
                assert_eq!(range.len(), block.ncols());
                seen.extend(block.column_iter().map(|column| (column[0], column[1])));
            });
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
        assert!(Features::<f64>::from_row_major(&[], 0, usize::MAX).is_err());
        assert!(Features::<f64>::from_row_major(&[], usize::MAX, usize::MAX).is_err());
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut matrix = DMatrix::from_element(40, 3, 1.0_f32);
            matrix[(37, 2)] = bad;
            let error = Features::from_sample_rows(&matrix).unwrap_err().to_string();
            assert!(error.starts_with("`features[(37, 2)]` is "), "{error}");
            assert!(Features::from_row_major(matrix.as_slice(), 40, 3).is_err());
        }
        assert!(Features::from_sample_rows(&dmatrix![f32::MAX]).is_ok());
        assert!(Features::from_sample_rows(&dmatrix![-2e140]).is_err());
    }

    #[test]
    fn labels_must_fit() {
        let features = Features::from_row_major(&[1.0, 2.0], 2, 1).unwrap();
        assert!(features.with_labels(&[0, 1], 2).is_ok());
        assert!(features.with_labels(&[0], 2).is_err());
        assert!(features.with_labels(&[0, 0], 0).is_err());
        let empty = Features::<f64>::from_row_major(&[], 0, 1).unwrap();
        assert!(empty.with_labels(&[], 0).is_err());
        assert!(empty.with_labels(&[], 1).is_ok());
    }
}
