//! Numbers, means and covariances of the classes.

use std::sync::{Arc, OnceLock};

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result, check_shape};
use crate::measure::center::Center;
use crate::measure::class_means::ClassMeans;
use crate::measure::class_sums::ClassSums;
use crate::measure::labeled_features::LabeledFeatures;
use crate::numerics::linalg::zeroed;
use crate::numerics::parallel::{self, NEW_NUMBER};
use crate::numerics::scalar::Scalar;
use crate::numerics::simd::vectorized;
use crate::problem::counts::ClassCounts;

/// Number and sum of the samples of each class, from which all class means follow.
///
/// It can be fed batch by batch, in any order, and pieces computed elsewhere can be
/// [merged](Self::merge). Sums are compensated (every rounding error is carried along in a second
/// number), so the means are correct to the last digit or two however many samples there are, in
/// whatever order, and however large their common mean is. Up to eight samples in `f32` are added in `f64` first, which
/// is exact unless their numbers are 2²⁶ times apart. It takes 2dK numbers. Once something is measured
/// around the class means, these are another dK, which everything made from the same statistics shares.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{ClassStatistics, Features};
///
/// let rows = dmatrix![1.0, 0.0; 3.0, 0.0; 0.0, 5.0];
/// let data = Features::from_sample_rows(&rows)?.with_labels(&[0, 0, 1], 2)?;
/// let statistics = ClassStatistics::new(&data)?;
/// assert_eq!(statistics.counts(), [2, 1]);
/// assert_eq!(statistics.class_means()?, dmatrix![2.0, 0.0; 0.0, 5.0]); // one class per column
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ClassStatistics {
    counts: Vec<u64>,
    sums: ClassSums,
    /// What follows from the others, once it was asked for.
    means: OnceLock<Arc<ClassMeans>>,
}

impl PartialEq for ClassStatistics {
    fn eq(&self, other: &Self) -> bool {
        self.counts == other.counts && self.sums == other.sums
    }
}

impl ClassStatistics {
    /// The statistics of one set of samples.
    ///
    /// # Errors
    /// As [`empty`](Self::empty) and [`accumulate`](Self::accumulate).
    pub fn new<T: Scalar>(data: &LabeledFeatures<'_, T>) -> Result<Self> {
        let mut statistics = Self::empty(data.features().dimension(), data.classes())?;
        statistics.accumulate(data)?;
        Ok(statistics)
    }

    /// The statistics of no samples at all, to be fed batches of `dimension` features and `classes`
    /// classes.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if a number is 0 or 2dK numbers do not fit in memory.
    pub fn empty(dimension: usize, classes: usize) -> Result<Self> {
        for (argument, value) in [("dimension", dimension), ("classes", classes)] {
            if value == 0 {
                return Err(Error::out_of_range(argument, 0.0, "at least 1"));
            }
        }
        let sums = ClassSums::new(dimension, classes)?;
        Ok(Self::from_parts(vec![0; classes], sums))
    }

    /// Adds a batch of samples; one without samples changes nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] if the batch has another dimension or number of classes,
    /// [`Error::OutOfRange`] naming a number that is not finite or too large; the statistics are
    /// then as they were.
    ///
    /// ```
    /// use neural_collapse::{ClassStatistics, Features};
    ///
    /// let mut statistics = ClassStatistics::empty(2, 3)?;
    /// for (numbers, label) in [([1.0_f32, 2.0], 0), ([3.0, 4.0], 2)] {
    ///     let batch = Features::from_row_major(&numbers, 1, 2)?;
    ///     statistics.accumulate(&batch.with_labels(&[label], 3)?)?;
    /// }
    /// assert_eq!(statistics.counts(), [1, 0, 1]);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn accumulate<T: Scalar>(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<()> {
        self.accumulate_and(batch, |_, _| ())
    }

    /// The same, and hands each sample on while it is in the nearest cache.
    pub(crate) fn accumulate_and<T: Scalar>(
        &mut self,
        batch: &LabeledFeatures<'_, T>,
        hand_on: impl Fn(usize, &[T]) + Sync,
    ) -> Result<()> {
        self.check_shape("batch", batch.features().dimension(), batch.classes())?;
        let are_empty = self.samples() == 0;
        self.sums.accumulate(batch, are_empty, hand_on)?;
        self.count(batch.labels());
        Ok(())
    }

    fn count(&mut self, labels: &[usize]) {
        self.means = OnceLock::new();
        for &label in labels {
            self.counts[label] = self.counts[label].saturating_add(1);
        }
    }

    /// Adds the samples of other statistics. The order and the grouping of merges change the means
    /// by no more than a rounding error.
    ///
    /// # Errors
    /// [`Error::Shape`] if `other` has another dimension or number of classes.
    ///
    /// ```
    /// use neural_collapse::{ClassStatistics, Features};
    ///
    /// let first = Features::from_row_major(&[1.0], 1, 1)?.with_labels(&[0], 1)?;
    /// let second = Features::from_row_major(&[2.0, 6.0], 2, 1)?.with_labels(&[0, 0], 1)?;
    /// let mut statistics = ClassStatistics::new(&first)?;
    /// statistics.merge(&ClassStatistics::new(&second)?)?;
    /// assert_eq!(statistics.class_means()?[0], 3.0);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.check_shape("other", other.dimension(), other.classes())?;
        let classes: Vec<usize> = (0..self.classes()).collect();
        self.merge_classes(other, &classes);
        Ok(())
    }

    /// Adds the first, second, … class of other statistics to the given ones of these.
    pub(crate) fn merge_classes(&mut self, other: &Self, classes: &[usize]) {
        self.means = OnceLock::new();
        for (&class, &count) in classes.iter().zip(&other.counts) {
            self.counts[class] = self.counts[class].saturating_add(count);
        }
        self.sums.merge_classes(&other.sums, classes);
    }

    /// Number of features d.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.sums.shape().0
    }

    /// Number of classes K.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.counts.len()
    }

    /// Number of samples n_k of each class.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Number of samples N.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.counts.iter().fold(0, |total, &count| total.saturating_add(count))
    }

    /// The sizes of the classes, as predictions take them.
    ///
    /// # Errors
    /// [`Error::EmptyClass`] for the first class without a sample, [`Error::OutOfRange`] if a class has more
    /// than 2⁵³.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, ClassStatistics, Features};
    ///
    /// let data = Features::from_row_major(&[1.0, 2.0, 6.0], 3, 1)?.with_labels(&[0, 0, 1], 2)?;
    /// assert_eq!(ClassStatistics::new(&data)?.class_counts()?, ClassCounts::new(&[2, 1])?);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn class_counts(&self) -> Result<ClassCounts> {
        self.check_classes()?;
        ClassCounts::new(&self.counts)
    }

    /// The class means h_k = 1/n_k Σᵢ h_ki, a d×K matrix with one class per column: the paper's H̄.
    ///
    /// # Errors
    /// [`Error::EmptyClass`] for the first class without a sample.
    pub fn class_means(&self) -> Result<DMatrix<f64>> {
        self.check_classes()?;
        let known = self.means.get().map(|means| means.matrix().clone());
        Ok(known.unwrap_or_else(|| self.compute_means()))
    }

    /// The class means with their counts, computed once and shared.
    pub(crate) fn shared_means(&self) -> Result<Arc<ClassMeans>> {
        self.check_classes()?;
        let means = || Arc::new(ClassMeans::new(self.counts.clone(), self.compute_means()));
        Ok(self.means.get_or_init(means).clone())
    }

    /// Refuses to give means where a class has none.
    fn check_classes(&self) -> Result<()> {
        match self.counts.iter().position(|&count| count == 0) {
            Some(class) => Err(Error::EmptyClass { argument: "labels", class }),
            None => Ok(()),
        }
    }

    fn compute_means(&self) -> DMatrix<f64> {
        let mut means = zeroed(self.dimension(), self.classes());
        let operations = NEW_NUMBER.saturating_mul(means.len());
        let columns = means.as_mut_slice().chunks_mut(self.dimension()).enumerate();
        parallel::for_each(
            columns,
            operations,
            || (),
            |(), (class, column)| {
                vectorized(
                    #[inline(always)]
                    || {
                        column
                            .iter_mut()
                            .zip(self.mean(class))
                            .for_each(|(entry, mean)| *entry = mean);
                    },
                );
            },
        );
        means
    }

    /// The mean of a class that has samples.
    #[inline(always)]
    pub(crate) fn mean(&self, class: usize) -> impl Iterator<Item = f64> {
        self.sums.mean(class, self.counts[class])
    }

    /// What the class means are centered at: h_G = 1/N Σₖ n_k h_k or 1/K Σₖ h_k.
    ///
    /// # Errors
    /// [`Error::EmptyClass`] for the first class without a sample.
    ///
    /// ```
    /// use neural_collapse::{ClassStatistics, Features};
    /// use neural_collapse::measure::Center;
    ///
    /// let data = Features::from_row_major(&[0.0, 0.0, 3.0], 3, 1)?.with_labels(&[0, 0, 1], 2)?;
    /// let statistics = ClassStatistics::new(&data)?;
    /// assert_eq!(statistics.center(Center::Samples)?[0], 1.0);
    /// assert_eq!(statistics.center(Center::Classes)?[0], 1.5);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn center(&self, center: Center) -> Result<DVector<f64>> {
        Ok(self.shared_means()?.center(center))
    }

    /// The class means less their center, h_k − h_G: d×K.
    ///
    /// # Errors
    /// [`Error::EmptyClass`] for the first class without a sample.
    pub fn centered_means(&self, center: Center) -> Result<DMatrix<f64>> {
        Ok(self.shared_means()?.centered(center))
    }

    /// Σ_B = 1/K Σₖ (h_k − h_G)(h_k − h_G)ᵀ, d×d.
    ///
    /// The metrics do not need this matrix; it takes d² numbers.
    ///
    /// # Errors
    /// [`Error::EmptyClass`] for the first class without a sample.
    #[doc(alias = "Σ_B")]
    #[doc(alias = "Sigma_B")]
    pub fn between_class_covariance(&self, center: Center) -> Result<DMatrix<f64>> {
        let means = self.centered_means(center)?;
        Ok(&means * means.transpose() / self.classes() as f64)
    }

    /// The sums that the means are made of.
    #[cfg(feature = "serde")]
    pub(crate) fn sums(&self) -> &ClassSums {
        &self.sums
    }

    /// The statistics of parts that fit together.
    pub(crate) fn from_parts(counts: Vec<u64>, sums: ClassSums) -> Self {
        Self { counts, sums, means: OnceLock::new() }
    }

    /// Refuses statistics or batches of another shape.
    pub(crate) fn check_shape(
        &self,
        argument: &'static str,
        dimension: usize,
        classes: usize,
    ) -> Result<()> {
        check_shape(
            argument,
            (dimension, classes),
            (self.dimension(), self.classes()),
            "features × classes of the statistics",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::deviations::within_class_covariance;
    use crate::measure::features::Features;
    use nalgebra::dmatrix;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    fn statistics(numbers: &[f64], labels: &[usize], dimension: usize) -> ClassStatistics {
        let features = Features::from_row_major(numbers, labels.len(), dimension).unwrap();
        ClassStatistics::new(&features.with_labels(labels, 3).unwrap()).unwrap()
    }

    fn relative_distance(a: &DMatrix<f64>, b: &DMatrix<f64>) -> f64 {
        (a - b).amax() / a.amax().max(f64::MIN_POSITIVE)
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        /// Any split into batches, merged in any order, gives the same means.
        #[test]
        fn merging_is_associative_and_commutative(
            samples in prop::collection::vec((prop::array::uniform2(-1e3..1e3), 0_usize..3, 0_usize..4), 3..60),
            offset in prop::sample::select(vec![0.0, 1e4, 1e12]),
            order in Just([0_usize, 1, 2, 3]).prop_shuffle(),
        ) {
            let part = |piece: Option<usize>| {
                let chosen = samples.iter().filter(|sample| piece.is_none_or(|p| p == sample.2));
                let (numbers, labels): (Vec<_>, Vec<_>) =
                    chosen.map(|sample| (sample.0.map(|x| x + offset), sample.1)).unzip();
                statistics(&numbers.concat(), &labels, 2)
            };
            let whole = part(None);
            let mut forwards = ClassStatistics::empty(2, 3).unwrap();
            for piece in order {
                forwards.merge(&part(Some(piece))).unwrap();
            }
            let (mut left, mut right) = (part(Some(order[3])), part(Some(order[1])));
            left.merge(&part(Some(order[2]))).unwrap();
            right.merge(&part(Some(order[0]))).unwrap();
            left.merge(&right).unwrap();
            for merged in [&forwards, &left] {
                prop_assert_eq!(merged.counts(), whole.counts());
                if let Ok(means) = whole.class_means() {
                    prop_assert!(relative_distance(&means, &merged.class_means().unwrap()) < 1e-15);
                    let centered = whole.centered_means(Center::Samples).unwrap();
                    let other = merged.centered_means(Center::Samples).unwrap();
                    prop_assert!((centered - other).amax() < 1e-15 * (offset + 1e3));
                }
            }
        }
    }

    #[test]
    fn sums_do_not_lose_digits() {
        // 10⁶ times 0.1 on top of 10¹⁶, where one unit in the last place is 2.
        let mut numbers = vec![0.1; 1_000_000];
        numbers.extend([1e16, -1e16]);
        let labels = vec![0; numbers.len()];
        let features = Features::from_row_major(&numbers, labels.len(), 1).unwrap();
        let statistics = ClassStatistics::new(&features.with_labels(&labels, 1).unwrap()).unwrap();
        let mean = statistics.class_means().unwrap()[0];
        assert!((mean - 1e5 / 1_000_002.0).abs() < 1e-16, "{mean}");
    }

    #[test]
    fn equal_samples_have_themselves_as_mean() {
        for count in 1..200 {
            let samples = vec![0.1 + count as f64 / 7.0; count];
            let features = Features::from_row_major(&samples, count, 1).unwrap();
            let labels = vec![0; count];
            let data = features.with_labels(&labels, 1).unwrap();
            let mean = ClassStatistics::new(&data).unwrap().class_means().unwrap();
            assert_eq!(mean, dmatrix![samples[0]]);
        }
    }

    #[test]
    fn means_of_f32_with_a_large_common_mean() {
        let sample = |i: usize| 1e4 + (i % 7) as f32 * 1e-3;
        let numbers: Vec<f32> = (0..70_000).map(sample).collect();
        let features = Features::from_row_major(&numbers, 70_000, 1).unwrap();
        let labels = vec![0; 70_000];
        let statistics = ClassStatistics::new(&features.with_labels(&labels, 1).unwrap()).unwrap();
        let exact = (0..7).map(|i| f64::from(sample(i)) - 1e4).sum::<f64>() / 7.0 + 1e4;
        assert!((statistics.class_means().unwrap()[0] - exact).abs() < 4e-12);
    }

    #[test]
    fn empty_classes_and_wrong_shapes_are_errors() {
        let mut statistics = statistics(&[1.0, 2.0], &[0, 2], 1);
        let error = Error::EmptyClass { argument: "labels", class: 1 };
        assert_eq!(statistics.class_means(), Err(error.clone()));
        assert_eq!(statistics.center(Center::Classes), Err(error.clone()));
        assert_eq!(statistics.between_class_covariance(Center::Samples), Err(error));
        assert!(statistics.merge(&ClassStatistics::empty(2, 3).unwrap()).is_err());
        assert!(statistics.merge(&ClassStatistics::empty(1, 4).unwrap()).is_err());
        assert!(ClassStatistics::empty(0, 3).is_err() && ClassStatistics::empty(3, 0).is_err());
        assert!(ClassStatistics::empty(usize::MAX, usize::MAX).is_err());
        assert!(ClassStatistics::empty(1, usize::MAX).is_err());
        for _ in 0..70 {
            let same = statistics.clone();
            statistics.merge(&same).unwrap();
        }
    }

    #[test]
    fn empty_batches_change_nothing() {
        let before = statistics(&[1.0, 2.0, 4.0], &[0, 1, 2], 1);
        let mut after = before.clone();
        let none = Features::<f32>::from_row_major(&[], 0, 1).unwrap();
        after.accumulate(&none.with_labels::<usize>(&[], 3).unwrap()).unwrap();
        after.merge(&ClassStatistics::empty(1, 3).unwrap()).unwrap();
        assert_eq!(before, after);
        // Other sums or other counts are other statistics.
        assert_ne!(before, statistics(&[1.0, 2.0, 5.0], &[0, 1, 2], 1));
        assert_ne!(before, statistics(&[1.0, 2.0, 2.0, 2.0], &[0, 1, 2, 2], 1));
        let none = none.with_labels::<usize>(&[], 3).unwrap();
        assert!(within_class_covariance(&none, &before).is_err());
    }

    #[test]
    fn covariances_add_up_to_the_total() {
        let rows = dmatrix![1.0, 5.0; 2.0, 7.0; 4.0, 1.0; 0.0, 0.0; 3.0, -2.0; 9.0, 1.0];
        let labels = [0, 1, 2, 0, 1, 2];
        let data = Features::from_sample_rows(&rows).unwrap().with_labels(&labels, 3).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let mean = rows.row_mean();
        let mut centered = rows.clone();
        centered.row_iter_mut().for_each(|mut row| row -= &mean);
        let total = centered.transpose() * &centered / 6.0;
        let between = statistics.between_class_covariance(Center::Samples).unwrap();
        let within = within_class_covariance(&data, &statistics).unwrap();
        assert!((total - between - within).amax() < 1e-14);
    }
}
