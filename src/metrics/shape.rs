//! The shape that the vectors of the classes make: equal lengths, equal angles, even spread.

use crate::class_vectors::ClassVectors;
use crate::error::Result;
use crate::metrics::spread::{Moments, Spread};

/// Up to this many classes every pair is visited: it takes no time, and is as accurate as can be.
const FEW_CLASSES: usize = 1024;

/// The variance of cosines that a difference of squares gives has an absolute error of some ε(1/K + 1/d);
/// below this multiple of it, it has less than six digits.
const FEW_DIGITS: f64 = 1e6 * f64::EPSILON;

/// Unit vectors closer than this, squared: 2 − 2cos has lost half of its digits.
const CLOSE: f64 = 1e-6;

/// NC2, equal norms: mean and standard deviation of the lengths ‖v_k‖, whose quotient, the
/// [coefficient of variation](Spread::coefficient_of_variation), vanishes as the vectors become equally
/// long.
///
/// ```math
/// Stdₖ ‖v_k‖ / Avgₖ ‖v_k‖
/// ```
///
/// The vectors are the class means, centred in the source, or the rows of the classifier. The standard
/// deviation has the divisor K; codes that use `torch.std` report
/// [`sample_deviation`](Spread::sample_deviation)/mean.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{ClassVectors, norm_spread};
///
/// let means = dmatrix![3.0, 0.0; 4.0, 7.0]; // of lengths 5 and 7
/// let spread = norm_spread(&ClassVectors::columns(&means)?);
/// assert!((spread.coefficient_of_variation() - 1.0 / 6.0).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Papyan, Han & Donoho, *Prevalence of neural collapse* (PNAS 2020), figure 2.
#[must_use]
pub fn norm_spread(vectors: &ClassVectors<'_>) -> Spread {
    // In the shared unit squares neither overflow nor vanish.
    let norms: Vec<f64> = vectors.squared_norms().iter().map(|square| square.sqrt()).collect();
    let Spread { mean, deviation, number } = Spread::of(&norms);
    Spread { mean: mean * vectors.unit(), deviation: deviation * vectors.unit(), number }
}

/// NC2, equal angles: mean and standard deviation of the cosines of all pairs of vectors.
///
/// ```math
/// cos(i, j) = ⟨v_i, v_j⟩ / (‖v_i‖ ‖v_j‖),    i ≠ j
/// ```
///
/// For a simplex ETF the mean is −1/(K−1) and the deviation 0. For many classes this takes O(K d²)
/// operations and O(d²) memory, as with U the matrix of unit vectors Σ cos = ‖U1‖² − K and
/// Σ cos² = ‖UUᵀ‖² − K over i ≠ j; where the deviation is so small that this loses digits, all pairs are
/// visited as in [`equiangularity`].
///
/// # Errors
/// [`Error::ZeroVector`](crate::Error::ZeroVector) if a vector is zero, as it has no direction;
/// [`Error::OutOfRange`](crate::Error::OutOfRange) if there are less than two classes.
///
/// ```
/// use neural_collapse::{ClassVectors, cosine_spread, simplex_etf};
///
/// let frame = simplex_etf(5)?;
/// let cosines = cosine_spread(&ClassVectors::columns(&frame)?)?;
/// assert!((cosines.mean + 0.25).abs() < 1e-15 && cosines.deviation < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Papyan, Han & Donoho (PNAS 2020), figure 3: Std over i ≠ j, of centred class means and of
/// classifiers.
pub fn cosine_spread(vectors: &ClassVectors<'_>) -> Result<Spread> {
    vectors.check_pairs()?;
    let norms = vectors.positive_norms()?;
    let many_classes = vectors.classes() > FEW_CLASSES.max(vectors.dimension());
    let structured = if many_classes { structured_spread(vectors, &norms) } else { None };
    Ok(structured.unwrap_or_else(|| visit_cosines(vectors, &norms).cosines.spread()))
}

/// Of all pairs of vectors: how far their cosines are from those of a simplex ETF.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Equiangularity {
    /// Mean and standard deviation of the cosines, as [`cosine_spread`] gives them.
    pub cosines: Spread,
    /// Mean of |cos(i, j) + 1/(K−1)| over i ≠ j.
    pub etf_deviation: f64,
    /// Largest |cos(i, j) + 1/(K−1)|.
    pub largest_etf_deviation: f64,
}

/// NC2, equal and largest possible angles: how far the cosines of all pairs of vectors are from −1/(K−1),
/// which is what those of a simplex ETF are.
///
/// ```math
/// Avg |cos(i, j) + 1/(K−1)|,    i ≠ j
/// ```
///
/// Every pair is visited, in O(K² d) operations, but not more than a few blocks of cosines are in
/// memory at a time. Where mean and standard deviation are enough, [`cosine_spread`] is faster.
///
/// # Errors
/// As [`cosine_spread`].
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{ClassVectors, equiangularity};
///
/// // Orthogonal rows: every cosine is 0, not −1/2.
/// let classifier = dmatrix![2.0, 0.0, 0.0; 0.0, 1.0, 0.0; 0.0, 0.0, 3.0];
/// let found = equiangularity(&ClassVectors::rows(&classifier)?)?;
/// assert_eq!((found.cosines.mean, found.cosines.deviation), (0.0, 0.0));
/// assert_eq!((found.etf_deviation, found.largest_etf_deviation), (0.5, 0.5));
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Papyan, Han & Donoho (PNAS 2020), figure 4, of centred class means and of classifiers.
pub fn equiangularity(vectors: &ClassVectors<'_>) -> Result<Equiangularity> {
    vectors.check_pairs()?;
    let found = visit_cosines(vectors, &vectors.positive_norms()?);
    let cosines = found.cosines.spread();
    Ok(Equiangularity {
        cosines,
        etf_deviation: found.deviations / cosines.number as f64,
        largest_etf_deviation: found.largest,
    })
}

/// NC2, hyperspherical uniformity: mean and standard deviation of the logarithmic energy of all pairs of
/// directions u_k = v_k/‖v_k‖.
///
/// ```math
/// log 1/‖u_i − u_j‖,    i ≠ j
/// ```
///
/// The mean is smallest, −½ log(2K/(K−1)), for a simplex ETF, if K ≤ d + 1; the more evenly the directions
/// are spread over the sphere the smaller it is. It is +∞, with a deviation of NaN, if two directions are
/// equal. Distances are computed from differences where 2 − 2cos would have lost their
/// digits. Every pair is visited, in O(K² d) operations and without a K×K matrix.
///
/// # Errors
/// As [`cosine_spread`].
///
/// ```
/// use neural_collapse::{ClassVectors, log_energy, simplex_etf};
///
/// let frame = simplex_etf(3)?;
/// let energy = log_energy(&ClassVectors::columns(&frame)?)?;
/// assert!((energy.mean + 0.5 * 3.0_f64.ln()).abs() < 1e-15 && energy.deviation < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Sources: Lu & Steinerberger, *Neural collapse under cross-entropy loss* (ACHA 2022); Liu et al.,
/// *Generalizing and decoupling neural collapse via hyperspherical uniformity gap* (ICLR 2023), the
/// kernel with s = 0.
pub fn log_energy(vectors: &ClassVectors<'_>) -> Result<Spread> {
    vectors.check_pairs()?;
    let norms = vectors.positive_norms()?;
    let classes = vectors.classes() as f64;
    let start = Moments::around(-0.5 * (2.0 * classes / (classes - 1.0)).ln());
    let energies = vectors.fold_pairs(
        &start,
        |energies, pair| {
            let (s, t) = (norms[pair.i], norms[pair.j]);
            let square = 2.0 - 2.0 * pair.product / (s * t);
            let square = match square < CLOSE {
                true => vectors.squared_distance((pair.i, s), (pair.j, t)),
                false => square,
            };
            energies.add(-0.5 * square.ln());
        },
        |energies, part| energies.merge(&part),
    );
    Ok(energies.spread())
}

/// What a visit to all pairs adds up.
#[derive(Debug, Clone, Copy)]
struct Cosines {
    cosines: Moments,
    /// Σ |cos + 1/(K−1)|.
    deviations: f64,
    largest: f64,
}

fn visit_cosines(vectors: &ClassVectors<'_>, norms: &[f64]) -> Cosines {
    let inverse: Vec<f64> = norms.iter().map(|norm| norm.recip()).collect();
    let etf = -1.0 / (vectors.classes() as f64 - 1.0);
    let mean = mean_cosine(vectors, norms);
    let start = Cosines { cosines: Moments::around(mean), deviations: 0.0, largest: 0.0 };
    vectors.fold_pairs(
        &start,
        |sums, pair| {
            let cosine = pair.product * inverse[pair.i] * inverse[pair.j];
            let deviation = (cosine - etf).abs();
            sums.cosines.add(cosine);
            sums.deviations += deviation;
            sums.largest = sums.largest.max(deviation);
        },
        |sums, part| {
            sums.cosines.merge(&part.cosines);
            sums.deviations += part.deviations;
            sums.largest = sums.largest.max(part.largest);
        },
    )
}

/// (‖Σ u‖² − K)/(K(K−1)).
fn mean_cosine(vectors: &ClassVectors<'_>, norms: &[f64]) -> f64 {
    let classes = vectors.classes() as f64;
    let mut sum = nalgebra::DVector::zeros(vectors.dimension());
    for range in vectors.blocks() {
        sum += vectors.directions(range, norms).column_sum();
    }
    (sum.norm_squared() - classes) / (classes * (classes - 1.0))
}

/// Mean and deviation from ‖U1‖ and ‖UUᵀ‖, unless the deviation loses too many digits.
fn structured_spread(vectors: &ClassVectors<'_>, norms: &[f64]) -> Option<Spread> {
    let (classes, dimension) = (vectors.classes() as f64, vectors.dimension() as f64);
    let ordered_pairs = classes * (classes - 1.0);
    let mean = mean_cosine(vectors, norms);
    let squares = vectors.direction_gram(norms).norm_squared() - classes;
    let variance = squares / ordered_pairs - mean * mean;
    let accurate = variance > FEW_DIGITS * (classes.recip() + dimension.recip());
    let number = (vectors.classes() as u64) * (vectors.classes() as u64 - 1) / 2;
    accurate.then(|| Spread { mean, deviation: variance.sqrt(), number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::DMatrix;

    fn vectors(classes: usize, dimension: usize) -> DMatrix<f64> {
        DMatrix::from_fn(classes, dimension, |i, j| ((i * dimension + j) as f64 * 1.3).sin() + 0.2)
    }

    #[test]
    fn the_structured_way_agrees_with_all_pairs() {
        let matrix = vectors(1500, 6);
        let vectors = ClassVectors::rows(&matrix).unwrap();
        let norms = vectors.positive_norms().unwrap();
        let direct = visit_cosines(&vectors, &norms).cosines.spread();
        let found = structured_spread(&vectors, &norms).unwrap();
        assert!((found.mean - direct.mean).abs() < 1e-13);
        assert!((found.deviation - direct.deviation).abs() < 1e-10);
        assert_eq!(found.number, direct.number);
        assert_eq!(cosine_spread(&vectors).unwrap(), found);
    }

    /// The deviation of an ETF is below what a difference of squares can resolve.
    #[test]
    fn small_deviations_are_computed_from_the_pairs() {
        let exact = crate::simplex_etf(40).unwrap();
        for size in [1e-1, 1e-3, 1e-5, 1e-7, 1e-9, 1e-12] {
            let matrix = &exact + self::vectors(40, 40) * size;
            let vectors = ClassVectors::rows(&matrix).unwrap();
            let norms = vectors.positive_norms().unwrap();
            let direct = visit_cosines(&vectors, &norms).cosines.spread();
            if let Some(found) = structured_spread(&vectors, &norms) {
                assert!((found.deviation / direct.deviation - 1.0).abs() < 1e-5, "{size}");
            } else {
                assert!(size < 1e-4);
            }
        }
    }
}
