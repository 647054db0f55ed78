//! The deviations of samples from the means of their classes.

use std::ops::Range;
use std::sync::Arc;

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::measure::class_means::ClassMeans;
use crate::measure::features::ranges;
use crate::measure::groups::NEIGHBORS;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::split_mean::SplitMean;
use crate::measure::statistics::ClassStatistics;
use crate::numerics::linalg::{
    Block, Entries, Factor, FewRows, Packed, TOGETHER, add_gram, mirror, zeros,
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
        self.for_each_square_of_first_rows(batch, factor, &[rows], |label, squares| {
            add(label, squares[0]);
        })
    }

    /// The same for several F at once that are the first rows of one: as many as the rising `ranks` say.
    pub(crate) fn for_each_square_of_first_rows<T: Scalar>(
        &self,
        batch: &LabeledFeatures<'_, T>,
        factor: Option<&Factor<T>>,
        ranks: &[usize],
        mut add: impl FnMut(usize, &[f64]),
    ) -> Result<()> {
        self.means.check_shape(batch)?;
        let few_rows =
            factor.and_then(|factor| factor.few_rows.as_ref().filter(|_| ranks == [factor.rows()]));
        let few_rows = few_rows.filter(|_| SplitMean::<T>::can_be_scaled(self.scale));
        let rows = ranks.last().copied().unwrap_or_default();
        let each = ranks.len().max(1);
        let blocks: Vec<_> = match few_rows {
            Some(_) => ranges(batch.labels().len(), NEIGHBORS).collect(),
            None => {
                ranges(batch.labels().len(), block_samples(self.means.shape().0, rows)).collect()
            }
        };
        let Some(size) = blocks.first().map(ExactSizeIterator::len) else { return Ok(()) };
        let operations = rows.saturating_add(2).saturating_mul(self.means.shape().0);
        for part in blocks.chunks(PART.div_ceil(size)) {
            let samples = part.iter().map(ExactSizeIterator::len).sum();
            let mut squares = vec![0.0; samples * each];
            let mut results = vec![Ok(()); part.len()];
            let work = part.iter().cloned().zip(squares.chunks_mut(size * each)).zip(&mut results);
            let operations = operations.saturating_mul(samples);
            parallel::for_each(work, operations, Scratch::new, |scratch, block| {
                let ((range, squares), result) = block;
                *result = match few_rows {
                    Some(rows) => self.squares_in_few_rows(batch, range, rows, scratch, squares),
                    None => self.fill_block(batch, range, &mut scratch.deviations).map(|()| {
                        scratch.squares(factor.map(|factor| (&factor.packed, ranks)), squares);
                    }),
                };
            });
            results.into_iter().collect::<Result<()>>()?;
            let first = part.first().map_or(0, |range| range.start);
            let labels = &batch.labels()[first..first + samples];
            let squares = squares.chunks(each);
            labels.iter().zip(squares).for_each(|(&label, squares)| add(label, squares));
        }
        Ok(())
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
        let (first, mean) = (range.start, &mut scratch.mean);
        data.for_each_group_by_class::<TOGETHER>(range, |class, group| {
            mean.split(class, self.mean(class));
            let found = rows.squares(&mean.subtracted(group, self.scale));
            for (index, square) in group.indices.iter().zip(found.squares) {
                squares[index - first] = square;
            }
            match found.squares.iter().all(|square| square.is_finite()) {
                true => found.largest.magnitude(),
                // A number that is not finite, or the square of one.
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
    samples.clamp(16, COLUMNS).next_multiple_of(16)
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
    mean: SplitMean<T>,
}

impl<T: Scalar> Scratch<T> {
    fn new() -> Self {
        Self { deviations: Block::new(), products: DMatrix::zeros(0, 0), mean: SplitMean::new() }
    }

    /// ‖F x‖² for each deviation x of the block, for each F that are some of the first rows of a factor.
    fn squares(&mut self, factor: Option<(&Packed<T>, &[usize])>, squares: &mut [f64]) {
        let Some((factor, ranks)) = factor else {
            let columns = squares.iter_mut().zip(self.deviations.columns());
            return columns.for_each(|(square, column)| *square = sum_of_squares(column));
        };
        let rows = ranks.last().copied().unwrap_or_default();
        factor.multiply(&self.deviations, Entries::FirstRows(rows), &mut self.products);
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
        assert_eq!(found, [64, 128, 128, 16, 128]);
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
}
