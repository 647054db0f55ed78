//! The variance of each class around its mean, summed in a second pass.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::measure::center::Center;
use crate::measure::class_means::Visited;
use crate::measure::deviations::Deviations;
use crate::measure::fingerprint::Fingerprint;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::layers::FirstLayers;
use crate::measure::projected::add_counts;
use crate::measure::statistics::ClassStatistics;
use crate::measure::version::Version;
use crate::numerics::double_double::DoubleDouble;
use crate::numerics::linalg::{Factor, power_of_two, product};
use crate::numerics::scalar::Scalar;
use crate::problem::head::LinearHead;

/// The variances σ_k² = 1/n_k Σᵢ ‖h_ki − h_k‖² of the classes, summed in a second pass over samples once the class
/// means h_k are known.
///
/// The first pass is that of [`ClassStatistics`]. Batches can come in any order, and pieces that were computed
/// elsewhere with equal first passes can be [merged](Self::merge). From the variances follow
/// [`trace_quotient`](Self::trace_quotient) and [`cdnv`](Self::cdnv). It shares the class means with all else that is
/// made from the same statistics, and takes 2K numbers of its own.
///
/// ```
/// use neural_collapse::{ClassStatistics, Features};
/// use neural_collapse::measure::{Center, ClassVariances};
///
/// let (first, second) = ([1.1_f32, 0.0, -1.0, 0.3], [0.9_f32, 0.0, -1.0, -0.3]);
/// let batch = |numbers| Features::from_row_major(numbers, 2, 2)?.with_labels(&[0, 1], 2);
/// let mut statistics = ClassStatistics::empty(2, 2)?;
/// for numbers in [&first, &second] {
///     statistics.accumulate(&batch(numbers)?)?;
/// }
/// let mut variances = ClassVariances::new(&statistics)?;
/// for numbers in [&first, &second] {
///     variances.accumulate(&batch(numbers)?)?;
/// }
/// assert!((variances.class_variances()?[1].unwrap() - 0.09).abs() < 1e-8);
/// assert!((variances.trace_quotient(Center::Samples)? - 0.2 / 4.0).abs() < 1e-8);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ClassVariances<T: Scalar> {
    deviations: Deviations,
    /// The layers after which is measured.
    layers: Option<Layers<T>>,
    visited: Visited,
    counts: Vec<u64>,
    /// Σ ‖h − h_k‖² of each class, in squares of the scale of the deviations and the unit of the layers.
    squares: Vec<DoubleDouble<f64>>,
}

#[derive(Debug, Clone)]
struct Layers<T: Scalar> {
    matrix: DMatrix<f64>,
    /// The same to multiply samples by.
    product: Factor<T>,
    unit: f64,
    fingerprint: Fingerprint,
}

/// What [`ClassVariances`] have added up: a few numbers for each class.
///
/// This is what the workers of a cluster send back: each makes its own accumulator from the same statistics, feeds
/// it its samples and returns [`part`](ClassVariances::part); wherever the result is wanted,
/// [`merge_part`](ClassVariances::merge_part) puts them together. With the feature `serde` they can be serialized.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct VariancePart {
    version: Version<1>,
    /// Of the class means and layers that these sums are for.
    fingerprint: u64,
    /// Samples of each class.
    counts: Vec<u64>,
    /// Σ ‖h − h_k‖² of each class.
    #[cfg_attr(feature = "serde", serde(with = "crate::measure::written::twofolds"))]
    squares: Vec<DoubleDouble<f64>>,
}

/// Variances and the means that they are held against, in one unit.
#[derive(Debug)]
pub(crate) struct VariancesAndMeans {
    /// tr Σ_W, in squares of `unit`.
    pub(crate) within: f64,
    /// σ_k², in squares of `unit`; `None` for a class without samples.
    pub(crate) variances: Vec<Option<f64>>,
    /// A power of two.
    pub(crate) unit: f64,
    /// The class means as they are, d×K.
    pub(crate) means: DMatrix<f64>,
    /// Samples of the class means.
    pub(crate) counts: Vec<u64>,
}

impl<T: Scalar> ClassVariances<T> {
    /// No samples yet; their class means are those of `statistics`, which has to be complete.
    ///
    /// # Errors
    /// [`Error::EmptyClass`] if a class has no mean.
    pub fn new(statistics: &ClassStatistics) -> Result<Self> {
        Self::build(statistics, None)
    }

    /// Like [`new`](Self::new), for the features W_m⋯W₁h after the first m = `layers` layers of a deep
    /// head. Statistics and batches are those of the features h that the head takes.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Shape`] if the head is for another dimension of features or
    /// number of classes, [`Error::OutOfRange`] unless 1 ≤ m ≤ M.
    pub fn after_layers(
        statistics: &ClassStatistics,
        head: &LinearHead,
        layers: usize,
    ) -> Result<Self> {
        head.check_shape("statistics", statistics.dimension(), statistics.classes())?;
        let FirstLayers { matrix, unit, fingerprint } = FirstLayers::new(head, layers)?;
        let product = Factor::new(&matrix, T::rounded);
        Self::build(statistics, Some(Layers { matrix, product, unit, fingerprint }))
    }

    fn build(statistics: &ClassStatistics, layers: Option<Layers<T>>) -> Result<Self> {
        let means = statistics.shared_means()?;
        let scale = power_of_two(&means.centered(Center::Samples)).max(f64::MIN_POSITIVE);
        let squares = vec![DoubleDouble::from(0.0); means.classes()];
        let counts = vec![0; means.classes()];
        let deviations = Deviations::new(means, scale);
        Ok(Self { deviations, layers, visited: Visited::default(), counts, squares })
    }

    /// The same for samples that are not those of the statistics, such as a test set around the class means of a
    /// training set. Without this, results before all samples are there are refused.
    #[must_use]
    pub fn of_other_samples(mut self) -> Self {
        self.visited = Visited::OtherSamples;
        self
    }

    /// Adds the samples of a batch; one without samples changes nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] if the batch has another dimension or number of classes,
    /// [`Error::OutOfRange`] naming a number that is not finite or too large; the sums are then as
    /// they were.
    pub fn accumulate(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<()> {
        let mut counts = vec![0; self.counts.len()];
        let mut squares = vec![DoubleDouble::from(0.0); self.counts.len()];
        let layers = self.layers.as_ref().map(|layers| &layers.product);
        self.deviations.for_each_square(batch, layers, |label, square| {
            counts[label] += 1;
            squares[label] = squares[label].plus(square);
        })?;
        self.add(&counts, &squares);
        Ok(())
    }

    fn add(&mut self, counts: &[u64], squares: &[DoubleDouble<f64>]) {
        add_counts(&mut self.counts, counts);
        for (square, &other) in self.squares.iter_mut().zip(squares) {
            *square = *square + other;
        }
    }

    /// Adds the samples of others. The order and the grouping of merges change the result by
    /// no more than rounding errors.
    ///
    /// # Errors
    /// As [`merge_part`](Self::merge_part).
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.merge_part(&other.part())
    }

    /// What has been added up so far.
    #[must_use]
    pub fn part(&self) -> VariancePart {
        let (counts, squares) = (self.counts.clone(), self.squares.clone());
        VariancePart { version: Version, fingerprint: self.fingerprint(), counts, squares }
    }

    /// Adds what others have added up.
    ///
    /// # Errors
    /// [`Error::DifferentFirstPass`] if that is for other class means or layers.
    ///
    /// ```
    /// use neural_collapse::{ClassStatistics, Error, Features};
    /// use neural_collapse::measure::ClassVariances;
    ///
    /// let variances = |numbers: &[f64; 2]| {
    ///     let data = Features::from_row_major(numbers, 2, 1)?.with_labels(&[0, 1], 2)?;
    ///     ClassVariances::<f64>::new(&ClassStatistics::new(&data)?)
    /// };
    /// let mut first = variances(&[1.0, 2.0])?;
    /// assert!(first.merge_part(&variances(&[1.0, 2.0])?.part()).is_ok());
    /// let other_means = variances(&[1.0, 3.0])?;
    /// assert_eq!(first.merge_part(&other_means.part()), Err(Error::DifferentFirstPass));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn merge_part(&mut self, other: &VariancePart) -> Result<()> {
        if !self.fits(other) {
            return Err(Error::DifferentFirstPass);
        }
        self.add(&other.counts, &other.squares);
        Ok(())
    }

    /// Whether a part is of the same first pass and layers.
    pub(crate) fn fits(&self, other: &VariancePart) -> bool {
        let lengths = (other.counts.len(), other.squares.len());
        let same_lengths = lengths == (self.counts.len(), self.squares.len());
        same_lengths && other.fingerprint == self.fingerprint()
    }

    fn fingerprint(&self) -> u64 {
        let layers = self.layers.as_ref().map_or(Fingerprint::new(), |layers| layers.fingerprint);
        let scale = self.deviations.scale().to_bits();
        layers.words([self.deviations.means().fingerprint(), scale]).value()
    }

    /// Number of samples of each class in the second pass.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// σ_k of every class, `None` for one without samples: also where σ_k² is out of the range of `f64`. What is below 10⁻¹⁶²
    /// times the differences between class means counts as 0.
    ///
    /// # Errors
    /// [`Error::Empty`] without samples, [`Error::SecondPass`] if a class has not had as many samples as in the
    /// statistics, [`Error::Unrepresentable`] if deviations are too large beside what the class means differ by.
    ///
    /// ```
    /// use neural_collapse::{ClassStatistics, Features};
    /// use neural_collapse::measure::ClassVariances;
    ///
    /// let data = Features::from_row_major(&[3e-170, 5e-170, 9e-170], 3, 1)?.with_labels(&[0, 0, 1], 2)?;
    /// let mut variances = ClassVariances::new(&ClassStatistics::new(&data)?)?;
    /// variances.accumulate(&data)?;
    /// let deviation = variances.class_deviations()?[0].unwrap();
    /// assert!((deviation / 1e-170 - 1.0).abs() < 1e-14);
    /// assert_eq!(variances.class_variances()?[0], Some(0.0));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn class_deviations(&self) -> Result<Vec<Option<f64>>> {
        let unit = self.layers.as_ref().map_or(1.0, |layers| layers.unit);
        let deviation = |square: Option<f64>| {
            let deviation = square.map(|square| square.sqrt() * self.unit() * unit);
            if deviation.is_none_or(f64::is_finite) { Ok(deviation) } else { Err(too_large()) }
        };
        self.variances()?.into_iter().map(deviation).collect()
    }

    /// σ_k² of every class, `None` for one without samples; 0 below 10⁻³²⁴
    /// ([`class_deviations`](Self::class_deviations) are not).
    ///
    /// # Errors
    /// [`Error::Empty`] without samples, [`Error::SecondPass`] if a class has not had as many samples as in the
    /// statistics, [`Error::Unrepresentable`] if deviations are too large beside what the class means differ by.
    pub fn class_variances(&self) -> Result<Vec<Option<f64>>> {
        let unit = self.unit() * self.layers.as_ref().map_or(1.0, |layers| layers.unit);
        let variance = |square: Option<f64>| match square.map(|square| square * unit * unit) {
            Some(variance) if !variance.is_finite() => Err(too_large()),
            variance => Ok(variance),
        };
        self.variances()?.into_iter().map(variance).collect()
    }

    /// Of the deviations that were squared.
    fn unit(&self) -> f64 {
        self.deviations.scale()
    }

    /// In squares of the unit, and of that of the layers.
    fn variances(&self) -> Result<Vec<Option<f64>>> {
        self.visited.check(self.deviations.means().counts(), &self.counts)?;
        let sums = self.squares.iter().zip(&self.counts);
        let variance = |(sum, &count): (&DoubleDouble<f64>, &u64)| match sum.value() {
            square if square.is_finite() => Ok((count > 0).then(|| square / count as f64)),
            _ => Err(too_large()),
        };
        sums.map(variance).collect()
    }

    /// What the metrics need.
    pub(crate) fn with_means(&self) -> Result<VariancesAndMeans> {
        let variances = self.variances()?;
        let total: f64 = self.squares.iter().map(|sum| sum.value()).sum();
        let samples = self.counts.iter().fold(0, |total: u64, &count| total.saturating_add(count));
        let means = self.deviations.means();
        Ok(VariancesAndMeans {
            within: total / samples as f64,
            variances,
            unit: self.unit(),
            means: match &self.layers {
                Some(layers) => product(&layers.matrix, means.matrix()),
                None => means.matrix().clone(),
            },
            counts: means.counts().to_vec(),
        })
    }
}

fn too_large() -> Error {
    Error::Unrepresentable { quantity: "the variance of a class", log10: f64::INFINITY }
}

impl<T: Scalar> PartialEq for ClassVariances<T> {
    fn eq(&self, other: &Self) -> bool {
        self.part() == other.part()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::features::Features;
    use nalgebra::dmatrix;

    fn data<'a>(rows: &'a DMatrix<f64>, labels: &'a [usize]) -> LabeledFeatures<'a, f64> {
        Features::from_sample_rows(rows).unwrap().with_labels(labels, 2).unwrap()
    }

    /// With features and a layer far from size 1: the variances of what is behind the layer.
    #[test]
    fn variances_after_layers_are_those_of_the_outputs() {
        let rows = dmatrix![1.0, 2.0; 3.0, -1.0; 7.0, 5.0; 4.0, 4.0] * 1024.0;
        let layer = dmatrix![3.0, 1.0; -2.0, 0.5] * 64.0;
        let labels = [0, 0, 1, 1];
        let behind = &rows * layer.transpose();
        let mut direct =
            ClassVariances::new(&ClassStatistics::new(&data(&behind, &labels)).unwrap()).unwrap();
        direct.accumulate(&data(&behind, &labels)).unwrap();
        let head = LinearHead::new(vec![layer], None).unwrap();
        let statistics = ClassStatistics::new(&data(&rows, &labels)).unwrap();
        let mut after = ClassVariances::after_layers(&statistics, &head, 1).unwrap();
        after.accumulate(&data(&rows, &labels)).unwrap();
        let pairs =
            direct.class_variances().unwrap().into_iter().zip(after.class_variances().unwrap());
        for (expected, found) in pairs {
            assert!((found.unwrap() / expected.unwrap() - 1.0).abs() < 1e-14);
        }
        assert!(after == after.clone() && after != direct);
    }

    #[test]
    fn a_class_without_other_samples_has_no_variance() {
        let rows = dmatrix![1.0; 3.0; 7.0];
        let statistics = ClassStatistics::new(&data(&rows, &[0, 0, 1])).unwrap();
        let mut variances = ClassVariances::new(&statistics).unwrap().of_other_samples();
        variances.accumulate(&data(&dmatrix![2.0; 5.0], &[0, 0])).unwrap();
        // Around the mean 2: (0² + 3²)/2, and twice as many of the same.
        assert_eq!(variances.class_variances(), Ok(vec![Some(4.5), None]));
        assert_eq!(variances.counts(), [2, 0]);
        variances.merge(&variances.clone()).unwrap();
        assert_eq!(variances.class_variances(), Ok(vec![Some(4.5), None]));
        assert_eq!(variances.counts(), [4, 0]);
    }

    #[test]
    fn variances_that_are_out_of_range_are_refused() {
        // Beside what the means differ by, 10⁻²⁰⁰, the squares of deviations are infinite.
        let rows = dmatrix![1e139; -1e139; 1e-200];
        let statistics = ClassStatistics::new(&data(&rows, &[0, 0, 1])).unwrap();
        let mut variances = ClassVariances::new(&statistics).unwrap();
        variances.accumulate(&data(&rows, &[0, 0, 1])).unwrap();
        assert_eq!(variances.class_variances(), Err(too_large()));
        assert!(variances.with_means().is_err());
        // Here they are finite in their unit only.
        let rows = dmatrix![1e100; 3e100; 7e100];
        let statistics = ClassStatistics::new(&data(&rows, &[0, 0, 1])).unwrap();
        let head = LinearHead::new(vec![dmatrix![1e100; 1e100]], None).unwrap();
        let mut variances = ClassVariances::after_layers(&statistics, &head, 1).unwrap();
        variances.accumulate(&data(&rows, &[0, 0, 1])).unwrap();
        assert_eq!(variances.class_variances(), Err(too_large()));
        assert!(variances.with_means().unwrap().within.is_finite());
    }
}
