//! Class-distance normalized variance.

use crate::error::{Error, Result};
use crate::measure::center::{Center, subtract_center};
use crate::measure::class_pairs::Wanted;
use crate::measure::class_vectors::ClassVectors;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::pooled::PooledScatter;
use crate::measure::statistics::ClassStatistics;
use crate::measure::variances::{ClassVariances, VariancesAndMeans};
use crate::numerics::linalg::power_of_two;
use crate::numerics::scalar::Scalar;

/// Below this share of ‖a‖² + ‖b‖², ‖a − b‖² is computed from the differences of the entries, as
/// ‖a‖² + ‖b‖² − 2⟨a, b⟩ has lost a quarter of its digits.
const CLOSE: f64 = 1e-4;

/// Class-distance normalized variances of all pairs of classes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Cdnv {
    /// Mean over the pairs of classes whose means differ; `None` if no pair's do.
    pub mean: Option<f64>,
    /// The largest of these.
    pub largest: Option<f64>,
    /// Number of pairs of classes with equal means, as under minority collapse, which are left out.
    pub coincident_pairs: u64,
}

/// CDNV: the variances of two classes beside the distance of their means, averaged over all pairs.
///
/// ```math
/// V(i, j) = (σ_i² + σ_j²) / (2 ‖h_i − h_j‖²),    σ_k² = 1/n_k Σᵢ ‖h_ki − h_k‖²,    i ≠ j
/// ```
///
/// Unlike [`nc1`](crate::metrics::nc1) it gives every pair of classes, not every direction, the same weight, and it
/// needs no inverse. Pairs of classes with exactly equal means are counted apart; means that merely should be equal
/// give huge values, which [`largest`](Cdnv::largest) shows. Every pair is visited, in O(K² d) operations and
/// without a K×K matrix. `statistics` are usually those of `data`.
///
/// # Errors
/// [`Error::EmptyClass`] if a class has no samples, [`Error::OutOfRange`] if there are less than two classes,
/// [`Error::Empty`] without samples, [`Error::Shape`] if `statistics` are of another shape,
/// [`Error::Unrepresentable`] if variances are too large beside the distances.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{ClassStatistics, Features};
/// use neural_collapse::metrics::cdnv;
///
/// // Variances 0.01 and 0.09, means at a distance of 2.
/// let rows = dmatrix![1.1, 0.0; 0.9, 0.0; -1.0, 0.3; -1.0, -0.3];
/// let data = Features::from_sample_rows(&rows)?.with_labels(&[0, 0, 1, 1], 2)?;
/// let cdnv = cdnv(&data, &ClassStatistics::new(&data)?)?;
/// assert!((cdnv.mean.unwrap() - 0.1 / 8.0).abs() < 1e-15);
/// assert_eq!(cdnv.coincident_pairs, 0);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Galanti, György & Hutter, *On the role of neural collapse in transfer learning* (ICLR 2022).
pub fn cdnv<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    statistics: &ClassStatistics,
) -> Result<Cdnv> {
    statistics.check_shape("features", data.features().dimension(), data.classes())?;
    let mut variances = ClassVariances::new(statistics)?.of_other_samples();
    variances.accumulate(data)?;
    variances.cdnv()
}

impl<T: Scalar> ClassVariances<T> {
    /// Class-distance normalized variances: see [`cdnv`].
    ///
    /// # Errors
    /// As [`cdnv`], and [`Error::SecondPass`] if a class has not had as many samples as in the statistics.
    pub fn cdnv(&self) -> Result<Cdnv> {
        cdnv_of(self.with_means()?)
    }
}

impl PooledScatter {
    /// Class-distance normalized variances: see [`cdnv`].
    ///
    /// # Errors
    /// As [`cdnv`].
    pub fn cdnv(&self) -> Result<Cdnv> {
        cdnv_of(self.with_means()?)
    }
}

/// CDNV of class variances and means.
pub(crate) fn cdnv_of(measured: VariancesAndMeans) -> Result<Cdnv> {
    let VariancesAndMeans { variances, unit, mut means, .. } = measured;
    let argument = "the second pass";
    let variance = |(class, variance): (usize, Option<f64>)| {
        variance.ok_or(Error::EmptyClass { argument, class })
    };
    let mut variances: Vec<f64> =
        variances.into_iter().enumerate().map(variance).collect::<Result<_>>()?;
    // Distances do not change, and without a common mean their digits are not lost.
    subtract_center(&mut means, &vec![1; variances.len()], Center::Classes);
    let common = power_of_two(&means).max(unit);
    means /= common;
    let factor = unit / common;
    variances.iter_mut().for_each(|variance| *variance = *variance * factor * factor);
    let vectors = ClassVectors::columns(&means)?;
    vectors.check_pairs()?;
    let norms = vectors.squared_norms();
    let sums = vectors.fold_pairs(
        Wanted::InnerProducts,
        &Sums::default(),
        |sums, strip| {
            let j = strip.other;
            for (i, product) in strip.classes.zip(&*strip.products) {
                let total = norms[i] + norms[j];
                let mut square = total - 2.0 * product;
                if are_close(square, total) {
                    square = vectors.squared_distance((i, 1.0), (j, 1.0));
                }
                sums.add((variances[i] + variances[j]) / 2.0, square);
            }
        },
        |sums, part| sums.merge(&part),
    );
    let (unit, mean) = (vectors.unit(), sums.sum / sums.pairs as f64);
    let [mean, largest] = [mean, sums.largest].map(|value| value / unit / unit);
    if sums.pairs == 0 {
        return Ok(Cdnv { mean: None, largest: None, coincident_pairs: sums.coincident });
    }
    // The sum is out of range before the largest is.
    if !(mean.is_finite() && largest.is_finite()) {
        let quantity = "the class-distance normalized variance";
        return Err(Error::Unrepresentable { quantity, log10: f64::INFINITY });
    }
    Ok(Cdnv { mean: Some(mean), largest: Some(largest), coincident_pairs: sums.coincident })
}

fn are_close(square: f64, total: f64) -> bool {
    square < CLOSE * total
}

#[derive(Debug, Clone, Default)]
struct Sums {
    pairs: u64,
    coincident: u64,
    sum: f64,
    largest: f64,
}

impl Sums {
    fn add(&mut self, variance: f64, squared_distance: f64) {
        if squared_distance > 0.0 {
            let quotient = variance / squared_distance;
            self.pairs += 1;
            self.sum += quotient;
            self.largest = self.largest.max(quotient);
        } else {
            self.coincident += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.pairs += other.pairs;
        self.coincident += other.coincident;
        self.sum += other.sum;
        self.largest = self.largest.max(other.largest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::features::Features;
    use nalgebra::DMatrix;

    /// Of classes with two samples each, at ± a deviation from their means in the first feature.
    fn measured(means: &DMatrix<f64>, deviation: f64) -> Result<Cdnv> {
        let columns = DMatrix::from_fn(means.nrows(), 2 * means.ncols(), |i, sample| {
            let sign = if sample % 2 == 0 { 1.0 } else { -1.0 };
            means[(i, sample / 2)] + if i == 0 { sign * deviation } else { 0.0 }
        });
        let labels: Vec<usize> = (0..columns.ncols()).map(|sample| sample / 2).collect();
        let data = Features::from_sample_columns(&columns)?.with_labels(&labels, means.ncols())?;
        cdnv(&data, &ClassStatistics::new(&data)?)
    }

    /// Two means whose distance loses seven digits beside their squares, and is not small beside 10⁻⁴.
    #[test]
    fn close_means_keep_their_digits() {
        let step = 2.0_f64.powi(-14);
        let entry = |i: usize, class: usize| match class {
            0 => (i as f64).sin(),
            1 => (i as f64).sin() + step,
            _ => -1.0,
        };
        // Sums with the step are exact, and products are not.
        let grid = 2.0_f64.powi(-44);
        let means = DMatrix::from_fn(1000, 3, |i, class| (entry(i, class) / grid).round() * grid);
        let found = measured(&means, 0.25).unwrap();
        let expected = 0.0625 / (1000.0 * step * step);
        assert!((found.largest.unwrap() / expected - 1.0).abs() < 1e-12, "{found:?}");
    }

    /// Means at ±2⁻²¹ and deviations of 1: V = 1/(2⁻²⁰)². What no number can hold is refused.
    #[test]
    fn deviations_may_be_larger_than_distances() {
        let distant =
            |half: f64| measured(&DMatrix::from_row_slice(2, 2, &[0.0, 0.0, half, -half]), 1.0);
        let found = distant(2.0_f64.powi(-21)).unwrap();
        assert_eq!((found.mean, found.largest), (Some(2.0_f64.powi(40)), Some(2.0_f64.powi(40))));
        assert!(matches!(distant(1e-160), Err(Error::Unrepresentable { .. })));
        // Two quotients are 1e308, the third is less: their mean is in range, but not their sum.
        let means = DMatrix::from_row_slice(2, 4, &[0.0, 0.0, 0.0, 1.0, 0.0, 1e-154, 2e-154, 0.0]);
        assert!(matches!(measured(&means, 1.0), Err(Error::Unrepresentable { .. })));
    }

    #[test]
    fn sums_of_pairs_add_up() {
        let (mut sums, mut other) = (Sums::default(), Sums::default());
        [(1.0, 2.0), (1.0, 0.0)].iter().for_each(|&(variance, square)| sums.add(variance, square));
        for (variance, square) in [(6.0, 2.0), (0.0, 0.0), (5.0, 0.0), (2.0, 1.0)] {
            other.add(variance, square);
        }
        sums.merge(&other);
        assert_eq!((sums.pairs, sums.coincident, sums.sum, sums.largest), (3, 3, 5.5, 3.0));
    }
}
