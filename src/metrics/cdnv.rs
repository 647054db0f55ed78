//! Class-distance normalised variance.

use nalgebra::DMatrix;

use crate::error::Result;
use crate::measure::center::{Center, centre};
use crate::measure::class_vectors::{ClassVectors, Precision};
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::scatter::Wanted;
use crate::measure::statistics::ClassStatistics;
use crate::metrics::Nc1Options;
use crate::metrics::nc1::scatter_of;
use crate::numerics::scalar::Scalar;

/// Below this share of ‖a‖² + ‖b‖², ‖a − b‖² is computed from the differences of the entries, as
/// ‖a‖² + ‖b‖² − 2⟨a, b⟩ has lost a quarter of its digits.
const CLOSE: f64 = 1e-4;

/// Class-distance normalised variances of all pairs of classes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Cdnv {
    /// Mean over the pairs of classes whose means differ; NaN if no pair's do.
    pub mean: f64,
    /// The largest of these.
    pub largest: f64,
    /// Number of pairs of classes with equal means, as under minority collapse, which are left out.
    pub coincident_pairs: u64,
}

/// CDNV: the variances of two classes beside the distance of their means, averaged over all pairs.
///
/// ```math
/// V(i, j) = (σ_i² + σ_j²) / (2 ‖h_i − h_j‖²),    σ_k² = 1/n_k Σᵢ ‖h_ki − h_k‖²,    i ≠ j
/// ```
///
/// Unlike [`nc1`](crate::nc1) it treats classes and not directions alike, and needs no inverse. Pairs of
/// classes with exactly equal means are counted apart; means that merely should be equal give huge
/// values, which [`largest`](Cdnv::largest) shows. Every pair is visited, in O(K² d) operations and
/// without a K×K matrix. `statistics` are usually those of `data`.
///
/// # Errors
/// [`Error::EmptyClass`](crate::Error::EmptyClass) if a class has no samples,
/// [`Error::OutOfRange`](crate::Error::OutOfRange) if there are less than two classes,
/// [`Error::Empty`](crate::Error::Empty) without samples, [`Error::Shape`](crate::Error::Shape) if
/// `statistics` are of another shape.
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
/// assert!((cdnv.mean - 0.1 / 8.0).abs() < 1e-15);
/// assert_eq!(cdnv.coincident_pairs, 0);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Galanti, György & Hutter, *On the role of neural collapse in transfer learning* (ICLR 2022).
pub fn cdnv<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    statistics: &ClassStatistics,
) -> Result<Cdnv> {
    scatter_of(data, statistics, &Nc1Options::default(), Wanted::Variances)?.cdnv()
}

/// The CDNV of class variances and means (d×K) in the same unit.
pub(crate) fn cdnv_of(variances: &[f64], mut means: DMatrix<f64>) -> Result<Cdnv> {
    // Distances do not change, and without a common mean their digits are not lost.
    centre(&mut means, &vec![1; variances.len()], Center::Classes);
    let vectors = ClassVectors::columns(&means)?;
    vectors.check_pairs()?;
    let norms = vectors.squared_norms();
    let sums = vectors.fold_pairs(
        Precision::Double,
        &Sums::default(),
        |sums, strip| {
            let j = strip.other;
            for (i, product) in strip.classes.zip(strip.products) {
                let total = norms[i] + norms[j];
                let mut square = total - 2.0 * product;
                if square < CLOSE * total {
                    square = vectors.squared_distance((i, 1.0), (j, 1.0));
                }
                sums.add((variances[i] + variances[j]) / 2.0, square);
            }
        },
        |sums, part| sums.merge(&part),
    );
    let unit = vectors.unit() * vectors.unit();
    Ok(Cdnv {
        mean: sums.sum / sums.pairs as f64 / unit,
        largest: sums.largest / unit,
        coincident_pairs: sums.coincident,
    })
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
