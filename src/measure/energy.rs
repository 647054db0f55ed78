//! The mean squared length of the features of each class.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result, check_shape};
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::projected::add_counts;
use crate::measure::statistics::ClassStatistics;
use crate::measure::version::Version;
use crate::numerics::double_double::DoubleDouble;
use crate::numerics::parallel;
use crate::numerics::scalar::Scalar;
use crate::numerics::squares::sum_of_squares;

/// The squared lengths Σᵢ ‖h_ki‖² of the features of each class, in one pass.
///
/// Their mean over the classes is the energy that the layer-peeled model gives a budget E_H to. Batches can come in
/// any order, and pieces can be [merged](Self::merge) and, with the feature `serde`, stored.
///
/// ```
/// use neural_collapse::Features;
/// use neural_collapse::measure::FeatureEnergy;
///
/// let features = Features::from_row_major(&[3.0, 4.0, 0.0, 1.0, 1.0, 0.0], 3, 2)?;
/// let energy = FeatureEnergy::new(&features.with_labels(&[0, 1, 1], 2)?)?;
/// assert_eq!(energy.class_energies()?, [25.0, 1.0]);
/// assert_eq!(energy.mean()?, 13.0);
/// assert_eq!(energy.total(), 27.0); // ‖H‖²
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Fang, He, Long & Su, *Exploring deep neural networks via layer-peeled model* (PNAS 2021), (3).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, try_from = "StoredEnergy"))]
pub struct FeatureEnergy {
    version: Version<1>,
    dimension: usize,
    counts: Vec<u64>,
    /// Σᵢ ‖h_ki‖² of each class.
    #[cfg_attr(feature = "serde", serde(with = "crate::measure::written::twofolds"))]
    squares: Vec<DoubleDouble<f64>>,
}

/// [`FeatureEnergy`] as it is read, before it is known whether the parts fit together.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredEnergy {
    version: Version<1>,
    dimension: usize,
    counts: Vec<u64>,
    #[serde(with = "crate::measure::written::twofolds")]
    squares: Vec<DoubleDouble<f64>>,
}

#[cfg(feature = "serde")]
impl TryFrom<StoredEnergy> for FeatureEnergy {
    type Error = Error;

    fn try_from(stored: StoredEnergy) -> Result<Self> {
        let StoredEnergy { version, dimension, counts, squares } = stored;
        if dimension == 0 || counts.is_empty() {
            return Err(Error::Empty { argument: "counts" });
        }
        if squares.len() != counts.len() {
            let reason = "one for each class";
            return Err(Error::length("squares", squares.len(), counts.len(), reason));
        }
        Ok(Self { version, dimension, counts, squares })
    }
}

impl FeatureEnergy {
    /// That of one set of samples.
    ///
    /// # Errors
    /// As [`accumulate`](Self::accumulate).
    pub fn new<T: Scalar>(data: &LabeledFeatures<'_, T>) -> Result<Self> {
        let mut energy = Self::empty(data.features().dimension(), data.classes())?;
        energy.accumulate(data)?;
        Ok(energy)
    }

    /// That of no samples at all, to be fed batches.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if a number is 0.
    pub fn empty(dimension: usize, classes: usize) -> Result<Self> {
        for (argument, value) in [("dimension", dimension), ("classes", classes)] {
            if value == 0 {
                return Err(Error::out_of_range(argument, 0.0, "at least 1"));
            }
        }
        let squares = vec![DoubleDouble::from(0.0); classes];
        Ok(Self { version: Version, dimension, counts: vec![0; classes], squares })
    }

    /// Adds a batch of samples; one without samples changes nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] if the batch has another dimension or number of classes,
    /// [`Error::OutOfRange`] naming a number that is not finite or too large; the sums are then as
    /// they were.
    pub fn accumulate<T: Scalar>(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<()> {
        let found = (batch.features().dimension(), batch.classes());
        self.check_shape("batch", found)?;
        let features = batch.features();
        let blocks: Vec<_> = features.blocks().collect();
        let operations = features.samples().saturating_mul(self.dimension);
        let squares = parallel::map(
            blocks.len(),
            operations,
            || (),
            |(), block| {
                let mut squares = Vec::with_capacity(blocks[block].len());
                features.for_each_sample(blocks[block].clone(), |_, sample| {
                    squares.push(sum_of_squares(sample));
                })?;
                Ok(squares)
            },
        );
        let squares = squares.into_iter().collect::<Result<Vec<_>>>()?;
        self.add(batch.labels(), squares.into_iter().flatten());
        Ok(())
    }

    /// Adds the samples of a batch here and to class statistics, in one pass over them.
    ///
    /// # Errors
    /// [`Error::Shape`] if the batch or the statistics are of another dimension or number of classes,
    /// [`Error::OutOfRange`] naming a number that is not finite or too large; both are then as they were.
    ///
    /// ```
    /// use neural_collapse::{ClassStatistics, Features};
    /// use neural_collapse::measure::FeatureEnergy;
    ///
    /// let batch = Features::from_row_major(&[3.0, 4.0, 0.0, 1.0], 2, 2)?.with_labels(&[0, 1], 2)?;
    /// let mut statistics = ClassStatistics::empty(2, 2)?;
    /// let mut energy = FeatureEnergy::empty(2, 2)?;
    /// energy.accumulate_with(&mut statistics, &batch)?;
    /// assert_eq!((energy.total(), statistics.samples()), (26.0, 2));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn accumulate_with<T: Scalar>(
        &mut self,
        statistics: &mut ClassStatistics,
        batch: &LabeledFeatures<'_, T>,
    ) -> Result<()> {
        self.check_shape("statistics", (statistics.dimension(), statistics.classes()))?;
        // Whole numbers that threads can write to: the bits of the squares.
        let squares: Vec<AtomicU64> = batch.labels().iter().map(|_| AtomicU64::new(0)).collect();
        statistics.accumulate_and(batch, |index, sample| {
            squares[index].store(sum_of_squares(sample).to_bits(), Ordering::Relaxed);
        })?;
        let squares = squares.into_iter().map(|bits| f64::from_bits(bits.into_inner()));
        self.add(batch.labels(), squares);
        Ok(())
    }

    /// Adds samples of which the squared lengths are known.
    pub(crate) fn add(&mut self, labels: &[usize], squares: impl IntoIterator<Item = f64>) {
        for (&label, square) in labels.iter().zip(squares) {
            self.counts[label] = self.counts[label].saturating_add(1);
            self.squares[label] = self.squares[label].plus(square);
        }
    }

    /// Adds the samples of another one.
    ///
    /// # Errors
    /// [`Error::Shape`] if `other` has another dimension or number of classes.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.check_shape("other", (other.dimension, other.counts.len()))?;
        add_counts(&mut self.counts, &other.counts);
        for (square, &other) in self.squares.iter_mut().zip(&other.squares) {
            *square = *square + other;
        }
        Ok(())
    }

    fn check_shape(&self, argument: &'static str, found: (usize, usize)) -> Result<()> {
        let expected = (self.dimension, self.counts.len());
        check_shape(argument, found, expected, "features × classes of the sums")
    }

    /// Number of samples of each class.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// 1/n_k Σᵢ ‖h_ki‖² of every class.
    ///
    /// # Errors
    /// [`Error::EmptyClass`] for the first class without a sample.
    pub fn class_energies(&self) -> Result<Vec<f64>> {
        let classes = self.squares.iter().zip(&self.counts).enumerate();
        let energy = |(class, (square, &count)): (usize, (&DoubleDouble<f64>, &u64))| match count {
            0 => Err(Error::EmptyClass { argument: "labels", class }),
            count => Ok(square.value() / count as f64),
        };
        classes.map(energy).collect()
    }

    /// 1/K Σₖ 1/n_k Σᵢ ‖h_ki‖², the mean over the classes of their means: the E_H that a network uses up.
    ///
    /// # Errors
    /// As [`class_energies`](Self::class_energies).
    pub fn mean(&self) -> Result<f64> {
        let energies = self.class_energies()?;
        Ok(energies.iter().sum::<f64>() / energies.len() as f64)
    }

    /// ‖H‖² = Σₖ Σᵢ ‖h_ki‖².
    #[must_use]
    pub fn total(&self) -> f64 {
        let zero = DoubleDouble::from(0.0);
        self.squares.iter().fold(zero, |total, &square| total + square).value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::features::Features;

    fn energy(numbers: &[f64], labels: &[usize]) -> FeatureEnergy {
        let features = Features::from_row_major(numbers, labels.len(), 2).unwrap();
        FeatureEnergy::new(&features.with_labels(labels, 2).unwrap()).unwrap()
    }

    #[test]
    fn energies_are_means_of_squares_and_add_up() {
        let mut sum = energy(&[1.0, 2.0, 0.0, 3.0, 2.0, 0.0], &[0, 0, 1]);
        assert_eq!(sum.class_energies(), Ok(vec![7.0, 4.0]));
        assert_eq!((sum.mean(), sum.total()), (Ok(5.5), 18.0));
        sum.merge(&energy(&[2.0, 2.0], &[1])).unwrap();
        assert_eq!((sum.counts(), sum.total()), (&[2, 2][..], 26.0));
        assert!(sum.merge(&FeatureEnergy::empty(3, 2).unwrap()).is_err());
        assert!(sum.merge(&FeatureEnergy::empty(2, 3).unwrap()).is_err());
        assert!(FeatureEnergy::empty(0, 2).is_err() && FeatureEnergy::empty(2, 0).is_err());
        let none = energy(&[1.0, 1.0], &[0]).class_energies();
        assert_eq!(none, Err(Error::EmptyClass { argument: "labels", class: 1 }));
    }

    /// Several pieces of samples, one piece of classes, and a number that is refused.
    #[test]
    fn squares_beside_statistics_are_those_alone() {
        for (samples, classes) in [(900, 2), (100, 40)] {
            let mut numbers: Vec<f32> = (0..samples * 3).map(|i| (i as f32).sin()).collect();
            let labels: Vec<usize> = (0..samples).map(|i| i * 7 % classes).collect();
            let mut statistics = ClassStatistics::empty(3, classes).unwrap();
            let mut energy = FeatureEnergy::empty(3, classes).unwrap();
            let batch = |numbers: &[f32], add: &mut dyn FnMut(&LabeledFeatures<'_, f32>)| {
                let features = Features::from_row_major(numbers, samples, 3).unwrap();
                add(&features.with_labels(&labels, classes).unwrap());
            };
            batch(&numbers, &mut |batch| {
                energy.accumulate_with(&mut statistics, batch).unwrap();
                assert_eq!(energy, FeatureEnergy::new(batch).unwrap());
                assert_eq!(statistics, ClassStatistics::new(batch).unwrap());
                let mut others = ClassStatistics::empty(2, classes).unwrap();
                assert!(energy.accumulate_with(&mut others, batch).is_err());
                assert_eq!(
                    (energy.total(), others.samples()),
                    (FeatureEnergy::new(batch).unwrap().total(), 0)
                );
            });
            numbers[5] = f32::NAN;
            let before = (energy.clone(), statistics.clone());
            batch(&numbers, &mut |batch| {
                assert!(energy.accumulate_with(&mut statistics, batch).is_err());
            });
            assert_eq!((energy, statistics), before);
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn what_does_not_fit_is_not_read() {
        let text = serde_json::to_string(&energy(&[1.0, 2.0, 0.0, 3.0], &[0, 1])).unwrap();
        assert_eq!(
            text,
            r#"{"version":1,"dimension":2,"counts":[1,1],"squares":[[5.0,0.0],[9.0,0.0]]}"#
        );
        let read = |text: &str| serde_json::from_str::<FeatureEnergy>(text);
        assert_eq!(read(&text).unwrap(), energy(&[1.0, 2.0, 0.0, 3.0], &[0, 1]));
        let empty = r#"{"version":1,"dimension":2,"counts":[],"squares":[]}"#;
        let no_features = text.replace("\"dimension\":2", "\"dimension\":0");
        let short = text.replace(",[9.0,0.0]", "");
        for bad in [empty, &no_features, &short] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
