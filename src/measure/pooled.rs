//! The pooled within-class scatter matrix, in one pass and mergeable.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::measure::deviations::Deviations;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::statistics::ClassStatistics;
use crate::measure::variances::VariancesAndMeans;
use crate::numerics::linalg::{add_gram, mirror, power_of_two, zeros};
use crate::numerics::scalar::Scalar;

/// Class statistics with the within-class scatter Σ (h − h_k)(h − h_k)ᵀ pooled over the classes, in one
/// pass over the samples.
///
/// For features that cannot be passed over twice, such as the tokens of a language model. Batches can
/// come in any order, and pieces that were computed anywhere can be [merged](Self::merge): means and
/// scatter are updated by the formulas of Chan, Golub & LeVeque, which subtract nothing large, so deep
/// collapse keeps its digits. It takes d² + 2dK numbers and d² operations per sample; batches of
/// a hundred samples and more are fastest. [`Nc1Sums`](crate::metrics::Nc1Sums) and
/// [`ClassVariances`](crate::measure::ClassVariances) take two passes, but no d×d matrix. From it follow
/// [`nc1`](Self::nc1), [`trace_quotient`](Self::trace_quotient) and [`cdnv`](Self::cdnv).
///
/// Squares are summed in a unit at the size of the largest deviation, so they neither over- nor underflow.
///
/// ```
/// use neural_collapse::Features;
/// use neural_collapse::measure::{Center, PooledScatter};
/// use neural_collapse::metrics::Nc1Options;
///
/// let mut scatter = PooledScatter::empty(2, 2)?;
/// for numbers in [[1.1_f32, 0.0, -1.0, 0.3], [0.9, 0.0, -1.0, -0.3]] {
///     let batch = Features::from_row_major(&numbers, 2, 2)?;
///     scatter.accumulate(&batch.with_labels(&[0, 1], 2)?)?;
/// }
/// assert!((scatter.nc1(&Nc1Options::default())?.value - 0.02 / 4.0 / 2.0).abs() < 1e-8);
/// assert!((scatter.trace_quotient(Center::Samples)? - 0.2 / 4.0).abs() < 1e-8);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Chan, Golub & LeVeque, *Algorithms for computing the sample variance* (The American
/// Statistician 37, 1983), (2.1).
#[derive(Debug, Clone, PartialEq)]
pub struct PooledScatter {
    pub(crate) statistics: ClassStatistics,
    /// A power of two at the size of the largest deviation; the smallest as long as there is none.
    pub(crate) unit: f64,
    /// Σ (h − h_k)(h − h_k)ᵀ, in squares of the unit.
    pub(crate) scatter: DMatrix<f64>,
    /// Σ ‖h − h_k‖² of each class, in squares of the unit.
    pub(crate) squares: Vec<f64>,
}

impl PooledScatter {
    /// The scatter of no samples at all.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if a number is 0 or d² + 2dK numbers do not fit in memory.
    pub fn empty(dimension: usize, classes: usize) -> Result<Self> {
        let statistics = ClassStatistics::empty(dimension, classes)?;
        let scatter = zeros("dimension", dimension, dimension)?;
        let squares = vec![0.0; classes];
        Ok(Self { statistics, unit: f64::MIN_POSITIVE, scatter, squares })
    }

    /// Adds a batch of samples; one without samples changes nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] if the batch has another dimension or number of classes,
    /// [`Error::OutOfRange`] naming a number that is not finite or too large; the scatter is then as
    /// it was.
    pub fn accumulate<T: Scalar>(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<()> {
        let dimension = batch.features().dimension();
        self.statistics.check_shape("batch", dimension, batch.classes())?;
        if batch.features().samples() == 0 {
            return Ok(());
        }
        // Only the classes that are there, as a batch may have far fewer than the data set.
        let mut present = batch.labels().to_vec();
        present.sort_unstable();
        present.dedup();
        let position = |label: &usize| present.partition_point(|class| class < label);
        let labels: Vec<usize> = batch.labels().iter().map(position).collect();
        let compact = batch.features().with_labels(&labels, present.len())?;
        let statistics = ClassStatistics::new(&compact)?;
        self.absorb(&statistics, &present);
        self.add_deviations(&compact, &statistics, &present)
    }

    /// Adds the samples of another scatter. The order and the grouping of merges change the result by
    /// no more than rounding errors.
    ///
    /// # Errors
    /// [`Error::Shape`] if `other` has another dimension or number of classes.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let (dimension, classes) = (other.statistics.dimension(), other.statistics.classes());
        self.statistics.check_shape("other", dimension, classes)?;
        let all: Vec<usize> = (0..classes).collect();
        self.absorb(&other.statistics, &all);
        self.raise_unit(other.unit);
        let factor = other.unit / self.unit;
        for (entry, other) in self.scatter.iter_mut().zip(&other.scatter) {
            *entry += other * factor * factor;
        }
        for (square, other) in self.squares.iter_mut().zip(&other.squares) {
            *square += other * factor * factor;
        }
        Ok(())
    }

    /// Makes the unit as large as another one.
    fn raise_unit(&mut self, unit: f64) {
        if unit > self.unit {
            let factor = self.unit / unit;
            self.unit = unit;
            self.scatter *= factor;
            self.scatter *= factor;
            self.squares.iter_mut().for_each(|square| *square = *square * factor * factor);
        }
    }

    /// Adds counts and sums of some classes, and what the means of both parts differ by:
    /// n m/(n + m) (h_k − g_k)(h_k − g_k)ᵀ for parts of n and m samples.
    fn absorb(&mut self, other: &ClassStatistics, classes: &[usize]) {
        const COLUMNS: usize = 256;
        for (part, classes) in classes.chunks(COLUMNS).enumerate() {
            let mut differences = DMatrix::zeros(self.statistics.dimension(), classes.len());
            let columns = differences.column_iter_mut().zip(classes);
            for ((mut difference, &class), theirs) in columns.zip(part * COLUMNS..) {
                let counts = (self.statistics.counts()[class], other.counts()[theirs]);
                if counts.0 == 0 || counts.1 == 0 {
                    continue;
                }
                let counts = (counts.0 as f64, counts.1 as f64);
                let weight = (counts.0 / (counts.0 + counts.1) * counts.1).sqrt();
                let means = self.statistics.mean(class).zip(other.mean(theirs));
                for (entry, (own, theirs)) in difference.iter_mut().zip(means) {
                    *entry = (own - theirs) * weight;
                }
            }
            self.add_columns(differences, classes.iter().copied());
        }
        mirror(&mut self.scatter);
        self.statistics.merge_classes(other, classes);
    }

    /// Adds the deviations of a batch from its own means.
    fn add_deviations<T: Scalar>(
        &mut self,
        batch: &LabeledFeatures<'_, T>,
        statistics: &ClassStatistics,
        classes: &[usize],
    ) -> Result<()> {
        let deviations = Deviations::new(statistics.shared_means()?, 1.0);
        for chunk in batch.chunks() {
            let labels = chunk.labels().iter().map(|&label| classes[label]);
            self.add_columns(deviations.of(&chunk)?, labels);
        }
        mirror(&mut self.scatter);
        Ok(())
    }

    /// Adds x xᵀ to the lower triangle and ‖x‖² to a class for every column x.
    fn add_columns(&mut self, mut columns: DMatrix<f64>, classes: impl Iterator<Item = usize>) {
        if columns.amax() == 0.0 {
            return;
        }
        self.raise_unit(power_of_two(&columns));
        columns /= self.unit;
        for (class, column) in classes.zip(columns.column_iter()) {
            self.squares[class] += column.norm_squared();
        }
        add_gram(&mut self.scatter, &columns);
    }

    /// Counts and class means.
    #[must_use]
    pub fn statistics(&self) -> &ClassStatistics {
        &self.statistics
    }

    /// Σ_W = 1/N ΣΣ (h_ki − h_k)(h_ki − h_k)ᵀ, d×d.
    ///
    /// # Errors
    /// [`Error::Empty`] without samples.
    #[doc(alias = "Σ_W")]
    #[doc(alias = "Sigma_W")]
    pub fn within_class_covariance(&self) -> Result<DMatrix<f64>> {
        Ok(&self.scatter / self.samples()? * self.unit * self.unit)
    }

    /// σ_k of every class, `None` for one without samples: also where σ_k² is out of the range of `f64`.
    ///
    /// ```
    /// use neural_collapse::Features;
    /// use neural_collapse::measure::PooledScatter;
    ///
    /// let mut scatter = PooledScatter::empty(1, 2)?;
    /// let rows = Features::from_row_major(&[3e-170, 5e-170, 9e-170], 3, 1)?;
    /// scatter.accumulate(&rows.with_labels(&[0, 0, 1], 2)?)?;
    /// assert!((scatter.class_deviations()[0].unwrap() / 1e-170 - 1.0).abs() < 1e-14);
    /// assert_eq!(scatter.class_variances()[0], Some(0.0));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn class_deviations(&self) -> Vec<Option<f64>> {
        self.variances().map(|found| found.map(|square| square.sqrt() * self.unit)).collect()
    }

    /// σ_k² = 1/n_k Σᵢ ‖h_ki − h_k‖² of every class, `None` for one without samples; infinite or 0 where it is out of the
    /// range of `f64` ([`class_deviations`](Self::class_deviations) are not).
    #[must_use]
    pub fn class_variances(&self) -> Vec<Option<f64>> {
        let variance = |variance: f64| variance * self.unit * self.unit;
        self.variances().map(|found| found.map(variance)).collect()
    }

    fn variances(&self) -> impl Iterator<Item = Option<f64>> {
        let squares = self.squares.iter().zip(self.statistics.counts());
        squares.map(|(square, &count)| (count > 0).then(|| square / count as f64))
    }

    /// What the metrics need.
    pub(crate) fn with_means(&self) -> Result<VariancesAndMeans> {
        Ok(VariancesAndMeans {
            within: self.squares.iter().sum::<f64>() / self.samples()?,
            variances: self.variances().collect(),
            unit: self.unit,
            means: self.statistics.class_means()?,
            counts: self.statistics.counts().to_vec(),
        })
    }

    /// Number of samples N; [`Error::Empty`] without any.
    pub(crate) fn samples(&self) -> Result<f64> {
        match self.statistics.samples() {
            0 => Err(Error::Empty { argument: "features" }),
            samples => Ok(samples as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::features::Features;

    /// Batches of −s and s, whose variance is s², merged from small to large and the other way round.
    #[test]
    fn batches_of_every_size_have_one_unit() {
        let batch = |size: f64| {
            let numbers = [-size, size];
            let features = Features::from_row_major(&numbers, 2, 1).unwrap();
            let mut scatter = PooledScatter::empty(1, 1).unwrap();
            scatter.accumulate(&features.with_labels(&[0, 0], 1).unwrap()).unwrap();
            scatter
        };
        let expected = (49.0 + 0.25 + 9.0) / 3.0;
        for sizes in [[0.5, 3.0, 7.0], [7.0, 3.0, 0.5], [3.0, 7.0, 0.5]] {
            let mut merged = PooledScatter::empty(1, 1).unwrap();
            sizes.iter().for_each(|&size| merged.merge(&batch(size)).unwrap());
            assert_eq!(merged.unit, 4.0);
            let found =
                [merged.class_variances()[0], Some(merged.within_class_covariance().unwrap()[0])];
            assert!(found.iter().all(|found| (found.unwrap() / expected - 1.0).abs() < 1e-15));
        }
    }

    /// Class k has the samples k − 1 and k + 1, one in each batch; the last one has none.
    #[test]
    fn many_classes_come_together_from_batches() {
        let (classes, labels) = (301, (0..300).collect::<Vec<usize>>());
        let mut scatter = PooledScatter::empty(1, classes).unwrap();
        for shift in [-1.0, 1.0] {
            let numbers: Vec<f64> = labels.iter().map(|&class| class as f64 + shift).collect();
            let features = Features::from_row_major(&numbers, labels.len(), 1).unwrap();
            scatter.accumulate(&features.with_labels(&labels, classes).unwrap()).unwrap();
        }
        let variances = scatter.class_variances();
        assert_eq!(variances[300], None);
        assert!(variances[..300].iter().all(|found| (found.unwrap() - 1.0).abs() < 1e-15));
        assert!((scatter.within_class_covariance().unwrap()[0] - 1.0).abs() < 1e-14);
    }
}
