//! The deviations of samples from the means of their classes.

use std::ops::Range;
use std::sync::Arc;

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::measure::class_means::ClassMeans;
use crate::measure::features::ranges;
use crate::measure::groups::NEIGHBORS;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::seen::{Nobody, Observer, Seen};
use crate::measure::split_mean::SplitMean;
use crate::measure::statistics::ClassStatistics;
use crate::numerics::linalg::{
    Block, Entries, Factor, FewRows, Packed, TOGETHER, add_gram, mirror, reshape, whole_tiles,
    zeros,
};
use crate::numerics::parallel;
use crate::numerics::scalar::{Scalar, largest_magnitude};
use crate::numerics::simd::vectorized;
use crate::numerics::squares::sum_of_squares;

/// Samples whose squared deviations are kept before they are added up.
const PART: usize = 1 << 18;

/// Numbers of a block of deviations that stays in the second cache.
const BLOCK: usize = 1 << 17;

/// Samples whose means are subtracted at a time.
const COLUMNS: usize = 128;

/// Σ_W = 1/N ΣₖΣᵢ (h_ki − h_k)(h_ki − h_k)ᵀ, d×d: the covariance of the samples around the means of
/// their classes, which are taken from `statistics`.
///
/// The metrics do not need this matrix; it takes d² numbers and N·d² multiplications.
///
/// # Errors
/// [`Error::Shape`] if `statistics` are of another shape, [`Error::EmptyClass`] if a class has no
/// mean, [`Error::Empty`] without samples, [`Error::OutOfRange`] if d² numbers do not fit in memory.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{ClassStatistics, Features};
/// use neural_collapse::measure::within_class_covariance;
///
/// let rows = dmatrix![1.0, 0.0; 3.0, 0.0; 0.0, 5.0; 0.0, 5.0];
/// let data = Features::from_sample_rows(&rows)?.with_labels(&[0, 0, 1, 1], 2)?;
/// let statistics = ClassStatistics::new(&data)?;
/// assert_eq!(within_class_covariance(&data, &statistics)?, dmatrix![0.5, 0.0; 0.0, 0.0]);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// In batches: [`PooledScatter::within_class_covariance`](crate::measure::PooledScatter::within_class_covariance).
#[doc(alias = "Σ_W")]
#[doc(alias = "Sigma_W")]
pub fn within_class_covariance<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    statistics: &ClassStatistics,
) -> Result<DMatrix<f64>> {
    let deviations = Deviations::new(statistics.shared_means()?, 1.0);
    deviations.means.check_shape(data)?;
    let samples = data.features().samples();
    if samples == 0 {
        return Err(Error::Empty { argument: "features" });
    }
    let dimension = statistics.dimension();
    let mut sum = zeros("dimension", dimension, dimension)?;
    for chunk in data.chunks() {
        add_gram(&mut sum, &deviations.of(&chunk)?);
    }
    mirror(&mut sum);
    Ok(sum / samples as f64)
}

/// The deviations h_ki − h_k of samples from the means of their classes, divided by a scale.
#[derive(Debug, Clone)]
pub(crate) struct Deviations {
    means: Arc<ClassMeans>,
    scale: f64,
}

impl Deviations {
    pub(crate) fn new(means: Arc<ClassMeans>, scale: f64) -> Self {
        Self { means, scale }
    }

    pub(crate) fn means(&self) -> &ClassMeans {
        &self.means
    }

    pub(crate) fn scale(&self) -> f64 {
        self.scale
    }

    /// The deviations of the samples of a chunk, d×B.
    pub(crate) fn of<T: Scalar>(&self, chunk: &LabeledFeatures<'_, T>) -> Result<DMatrix<f64>> {
        chunk.columns(|index, sample, out| self.write(out, sample, chunk.labels()[index]))
    }

    /// Subtracts the means of their classes from samples, d×B.
    pub(crate) fn subtract_from(&self, samples: &mut DMatrix<f64>, labels: &[usize]) {
        let (dimension, operations) = (samples.nrows().max(1), samples.len());
        let pieces = samples.as_mut_slice().chunks_mut(dimension * COLUMNS);
        parallel::for_each(
            pieces.zip(labels.chunks(COLUMNS)),
            operations,
            || (),
            |(), (samples, labels)| {
                for (sample, &label) in samples.chunks_mut(dimension).zip(labels) {
                    self.subtract_mean(sample, label);
                }
            },
        );
    }

    fn subtract_mean(&self, sample: &mut [f64], class: usize) {
        let (mean, factor) = (self.mean(class), self.scale.recip());
        vectorized(
            #[inline(always)]
            || {
                for (entry, mean) in sample.iter_mut().zip(mean) {
                    *entry = (*entry - mean) * factor;
                }
            },
        );
    }

    /// Calls `add` with the label and ‖F x‖² for every deviation x of a batch, in the order of the samples; F is
    /// `factor`, or the identity.
    pub(crate) fn for_each_square<T: Scalar>(
        &self,
        batch: &LabeledFeatures<'_, T>,
        factor: Option<&Factor<T>>,
        mut add: impl FnMut(usize, f64),
    ) -> Result<()> {
        let rows = factor.map_or(0, Factor::rows);
        let add = |label: usize, squares: &[f64]| add(label, squares[0]);
        self.for_each_square_of_first_rows(batch, factor, &[rows], None::<&Nobody>, add)?;
        Ok(())
    }

    /// The same for several F at once that are the first rows of one: as many as the rising `ranks` say. Also what an
    /// observer finds of the samples, in their order.
    pub(crate) fn for_each_square_of_first_rows<T: Scalar, O: Observer<T>>(
        &self,
        batch: &LabeledFeatures<'_, T>,
        factor: Option<&Factor<T>>,
        ranks: &[usize],
        observer: Option<&O>,
        mut add: impl FnMut(usize, &[f64]),
    ) -> Result<Option<Vec<O::Found>>> {
        self.means.check_shape(batch)?;
        let few_rows =
            factor.and_then(|factor| factor.few_rows.as_ref().filter(|_| ranks == [factor.rows()]));
        let few_rows = few_rows.filter(|_| SplitMean::<T>::can_be_scaled(self.scale));
        let rows = ranks.last().copied().unwrap_or_default();
        let each = ranks.len().max(1);
        let together = match few_rows {
            Some(_) => NEIGHBORS,
            None => block_samples(self.means.shape().0, rows),
        };
        let blocks: Vec<_> = ranges(batch.labels().len(), together).collect();
        let mut seen = observer.map(|_| vec![O::Found::default(); batch.labels().len()]);
        let operations = rows.saturating_add(2).saturating_mul(self.means.shape().0);
        for part in blocks.chunks(PART.div_ceil(together)) {
            let first = part.first().map_or(0, |range| range.start);
            let samples = part.iter().map(ExactSizeIterator::len).sum();
            let mut squares = vec![0.0; samples * each];
            let mut results = vec![Ok(()); part.len()];
            let seen = seen.as_mut().map(|seen| &mut seen[first..first + samples]);
            let seen = seen.into_iter().flat_map(|seen| seen.chunks_mut(together));
            let seen = seen.map(Some).chain(std::iter::repeat_with(|| None));
            let work = part.iter().cloned().zip(squares.chunks_mut(together * each)).zip(seen);
            let operations = operations.saturating_mul(samples);
            parallel::for_each(
                work.zip(&mut results),
                operations,
                || (Scratch::new(observer.is_some()), O::Scratch::default()),
                |(scratch, of_observer), (((range, squares), seen), result)| {
                    let labels = &batch.labels()[range.clone()];
                    *result = match few_rows {
                        Some(rows) => {
                            self.squares_in_few_rows(batch, range, rows, scratch, squares)
                        }
                        None => self.fill_block(batch, range, &mut scratch.deviations).map(|()| {
                            scratch.squares(factor.map(|factor| (&factor.packed, ranks)), squares);
                        }),
                    };
                    if let (Some((observer, seen)), Ok(())) = (observer.zip(seen), &*result) {
                        observer.see(&scratch.seen(labels), of_observer, seen);
                    }
                },
            );
            results.into_iter().collect::<Result<()>>()?;
            let labels = &batch.labels()[first..first + samples];
            let squares = squares.chunks(each);
            labels.iter().zip(squares).for_each(|(&label, squares)| add(label, squares));
        }
        Ok(seen)
    }

    /// ‖F x‖² for the deviations of a range of samples, while these are read.
    fn squares_in_few_rows<T: Scalar>(
        &self,
        data: &LabeledFeatures<'_, T>,
        range: Range<usize>,
        rows: &FewRows<T>,
        scratch: &mut Scratch<T>,
        squares: &mut [f64],
    ) -> Result<()> {
        let first = range.start;
        scratch.observe(rows.rows(), range.len());
        let Scratch { mean, products, around, is_observed, .. } = scratch;
        let squared_scale = self.scale * self.scale;
        data.for_each_group_by_class::<TOGETHER>(range, |class, group| {
            mean.split(class, self.mean(class));
            let found = rows.multiply(&mean.subtracted(group, self.scale));
            for (index, square) in group.indices.iter().zip(found.squares) {
                squares[index - first] = square;
            }
            if *is_observed {
                for (n, index) in group.indices.iter().enumerate() {
                    let column = &mut products.as_mut_slice()[(index - first) * rows.rows()..];
                    let entries = column.iter_mut().zip(found.products[n]);
                    entries.take(rows.rows()).for_each(|(out, entry)| *out = T::rounded(entry));
                    around[index - first] = found.around[n];
                }
            }
            let is_in_range = |square: &f64| mean.is_in_range(square * squared_scale);
            let are_finite = found.squares.iter().all(|square| square.is_finite());
            match are_finite && found.around.iter().all(is_in_range) {
                true => T::Magnitude::default(),
                // Perhaps a number that is not finite, or the square of one.
                false => largest_of(group.samples),
            }
        })
    }

    /// Fills the columns of a d×B block with the deviations of a range of samples, subtracted in `f64`
    /// and then rounded, so that small deviations keep all their digits.
    fn fill_block<T: Scalar>(
        &self,
        data: &LabeledFeatures<'_, T>,
        range: Range<usize>,
        block: &mut Block<T>,
    ) -> Result<()> {
        let first = range.start;
        block.reshape(self.means.shape().0, range.len());
        data.for_each_sample_by_class(range, |index, sample| {
            self.write(block.column_mut(index - first), sample, data.labels()[index]);
        })
    }

    /// Writes the deviation of a sample of a class.
    fn write<T: Scalar, U: Scalar>(&self, out: &mut [U], sample: &[T], class: usize) {
        let (mean, factor) = (self.mean(class), self.scale.recip());
        vectorized(
            #[inline(always)]
            || subtract(out, sample, mean, factor),
        );
    }

    /// The mean of a class.
    fn mean(&self, class: usize) -> &[f64] {
        let dimension = self.means.shape().0;
        &self.means.matrix().as_slice()[class * dimension..][..dimension]
    }
}

/// Samples of a block: more of them for a factor of many rows, which each block reads from farther away.
fn block_samples(dimension: usize, rows: usize) -> usize {
    let samples = (BLOCK / dimension).max(rows / 8);
    whole_tiles(samples.clamp(16, COLUMNS))
}

/// The largest magnitude in some samples.
fn largest_of<T: Scalar>(samples: &[&[T]]) -> T::Magnitude {
    samples.iter().map(|sample| largest_magnitude(sample)).max().unwrap_or_default()
}

/// (sample − mean) · factor.
#[inline(always)]
fn subtract<T: Scalar, U: Scalar>(out: &mut [U], sample: &[T], mean: &[f64], factor: f64) {
    for ((out, &feature), mean) in out.iter_mut().zip(sample).zip(mean) {
        *out = U::rounded((feature.into() - mean) * factor);
    }
}

/// A block of deviations and what they are multiplied to.
struct Scratch<T: Scalar> {
    deviations: Block<T>,
    products: DMatrix<T>,
    /// ‖x‖² of each deviation, if somebody wants to know.
    around: Vec<f64>,
    is_observed: bool,
    mean: SplitMean<T>,
}

impl<T: Scalar> Scratch<T> {
    fn new(is_observed: bool) -> Self {
        Self {
            deviations: Block::new(),
            products: DMatrix::zeros(0, 0),
            around: Vec::new(),
            is_observed,
            mean: SplitMean::new(),
        }
    }

    /// Makes room for what an observer sees, if there is one.
    fn observe(&mut self, rows: usize, samples: usize) {
        if self.is_observed {
            reshape(&mut self.products, (rows, samples));
            self.around.resize(samples, 0.0);
        }
    }

    /// What an observer sees.
    fn seen<'a>(&'a self, labels: &'a [usize]) -> Seen<'a, T> {
        Seen { labels, projected: &self.products, around: &self.around }
    }

    /// ‖F x‖² for each deviation x of the block, for each F that are some of the first rows of a factor.
    fn squares(&mut self, factor: Option<(&Packed<T>, &[usize])>, squares: &mut [f64]) {
        let Some((factor, ranks)) = factor else {
            let columns = squares.iter_mut().zip(self.deviations.columns());
            return columns.for_each(|(square, column)| *square = sum_of_squares(column));
        };
        let rows = ranks.last().copied().unwrap_or_default();
        factor.multiply(&self.deviations, Entries::FirstRows(rows), &mut self.products);
        if self.is_observed {
            self.around.clear();
            self.around.extend(self.deviations.columns().map(sum_of_squares));
        }
        let columns = self.products.column_iter();
        for (squares, column) in squares.chunks_mut(ranks.len().max(1)).zip(columns) {
            let (mut sum, mut first) = (0.0, 0);
            for (square, &rank) in squares.iter_mut().zip(ranks) {
                sum += sum_of_squares(&column.as_slice()[first..rank]);
                (*square, first) = (sum, rank);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::features::Features;
    use nalgebra::dmatrix;

    #[test]
    fn blocks_have_more_samples_for_a_large_factor() {
        let sizes = [(2048, 99), (2048, 999), (10, 5), (1 << 20, 5), (2048, usize::MAX)];
        let found = sizes.map(|(dimension, rows)| block_samples(dimension, rows));
        assert_eq!(found, [64, 124, 128, 16, 128].map(whole_tiles));
    }

    /// Sample by sample or in place, over several pieces and with a scale.
    #[test]
    fn means_are_subtracted_from_every_sample() {
        let mut samples = DMatrix::from_fn(3, 300, |i, j| ((i * 7 + j * 3) as f64).sin());
        let labels: Vec<usize> = (0..300).map(|index| index % 2).collect();
        let means = dmatrix![1.0, 4.0; 2.0, 5.0; 3.0, 6.0];
        let expected = DMatrix::from_fn(3, 300, |i, j| (samples[(i, j)] - means[(i, j % 2)]) / 2.0);
        let deviations = Deviations::new(Arc::new(ClassMeans::new(vec![150; 2], means)), 2.0);
        let features = samples.clone();
        let features = Features::from_sample_columns(&features).unwrap();
        assert_eq!(deviations.of(&features.with_labels(&labels, 2).unwrap()).unwrap(), expected);
        deviations.subtract_from(&mut samples, &labels);
        assert_eq!(samples, expected);
    }

    /// Also where a number is multiplied by zero, far from the mean or close to it.
    #[test]
    fn numbers_out_of_range_are_seen_beside_few_rows() {
        check_range(f32::INFINITY);
        check_range(f64::INFINITY);
    }

    fn check_range<T: Scalar>(infinity: T) {
        let factor = Factor::<T>::new(&dmatrix![1.0, 0.0, 0.0], T::rounded);
        let (largest, unit) = (T::LARGEST, T::rounded(0.1));
        for share in [0.0, 0.3, 0.9] {
            let mean: f64 = share * largest.into();
            let means = DMatrix::from_fn(3, 2, |i, _| if i == 1 { mean } else { 0.0 });
            let deviations = Deviations::new(Arc::new(ClassMeans::new(vec![2; 2], means)), 1.0);
            for (number, is_good) in [
                (largest, true),
                (-largest, true),
                (largest + largest * unit, false),
                (-largest - largest * unit, false),
                (infinity, false),
            ] {
                let samples = DMatrix::from_fn(3, 4, |i, j| match (i, j) {
                    (1, 2) => number,
                    (1, _) => T::rounded(mean),
                    _ => T::rounded((i + j) as f64),
                });
                let features = Features::from_sample_columns(&samples).unwrap();
                let data = features.with_labels(&[0, 1, 0, 1], 2).unwrap();
                let mut squares = Vec::new();
                let add = |_, square| squares.push(square);
                let found = deviations.for_each_square(&data, Some(&factor), add);
                assert_eq!(found.is_ok(), is_good, "{mean:e} {number}");
                assert!(!is_good || squares == [0.0, 1.0, 4.0, 9.0]);
            }
        }
    }

    /// What an observer sees is what the definition says, with few rows and with more.
    #[test]
    fn an_observer_sees_projections_and_lengths() {
        /// All that is seen of a sample.
        struct Copying;

        impl Observer<f64> for Copying {
            type Found = (usize, [f64; 2]);
            type Scratch = ();

            fn see(&self, seen: &Seen<'_, f64>, (): &mut (), found: &mut [Self::Found]) {
                for (n, found) in found.iter_mut().enumerate() {
                    *found = (seen.labels[n], [seen.projected.column(n).norm(), seen.around[n]]);
                }
            }
        }

        let labels: Vec<usize> = (0..700).map(|index| index * 7 / 2 % 3).collect();
        let number = |i: usize, j: usize| ((i * 7 + j * 3) as f64).sin();
        let samples = DMatrix::from_fn(40, 700, number);
        let means = DMatrix::from_fn(40, 3, |i, j| number(i + 1, j));
        let scale = 2.0;
        let deviations =
            Deviations::new(Arc::new(ClassMeans::new(vec![1; 3], means.clone())), scale);
        let features = Features::from_sample_columns(&samples).unwrap();
        let data = features.with_labels(&labels, 3).unwrap();
        for rows in [2, 20] {
            let matrix = DMatrix::from_fn(rows, 40, |i, j| number(i, j + 5));
            let factor = Factor::<f64>::new(&matrix, |entry: f64| entry);
            let mut squares = Vec::new();
            let add = |_, own: &[f64]| squares.push(own[0]);
            let seen = deviations
                .for_each_square_of_first_rows(&data, Some(&factor), &[rows], Some(&Copying), add)
                .unwrap()
                .unwrap();
            for (index, (label, found)) in seen.into_iter().enumerate() {
                let deviation = (samples.column(index) - means.column(labels[index])) / scale;
                let projected = (&matrix * &deviation).norm();
                assert_eq!(label, labels[index]);
                for (found, expected) in
                    found.into_iter().zip([projected, deviation.norm_squared()])
                {
                    assert!((found - expected).abs() <= 1e-12 * (1.0 + expected), "{index}");
                }
                assert!(
                    (squares[index] - projected * projected).abs() <= 1e-11 * (1.0 + projected)
                );
            }
        }
    }
}
