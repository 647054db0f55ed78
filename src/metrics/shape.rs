//! The shape that the vectors of the classes make: equal lengths, equal angles, even spread.

use crate::error::Result;
use crate::measure::class_vectors::ClassVectors;
use crate::metrics::pairs::{Cosines, Energies, PairSums, add_up};
use crate::metrics::spread::{Moments, Spread};

/// Up to this many classes every pair is visited: it takes no time, and is as accurate as can be.
const FEW_CLASSES: usize = 1024;

/// The variance of cosines that a difference of squares gives has an absolute error of some ε(1/K + mean²);
/// below this multiple of it, it has less than six digits.
const FEW_DIGITS: f64 = 1e6 * f64::EPSILON;

/// Cosines that spread by more than this may be computed in `f32`: errors of 10⁻⁷ have either sign, so
/// in means over half a million pairs and more nothing is left of them.
const WIDE_SPREAD: f64 = 1e-3;

/// NC2, equal norms: mean and standard deviation of the lengths ‖v_k‖, whose quotient, the
/// [coefficient of variation](Spread::coefficient_of_variation), vanishes as the vectors become equally
/// long.
///
/// ```math
/// Stdₖ ‖v_k‖ / Avgₖ ‖v_k‖
/// ```
///
/// The vectors are the class means, centered in the source, or the rows of the classifier. The standard
/// deviation has the divisor K; codes that use `torch.std` report
/// [`sample_deviation`](Spread::sample_deviation)/mean.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::measure::ClassVectors;
/// use neural_collapse::metrics::norm_spread;
///
/// let means = dmatrix![3.0, 0.0; 4.0, 7.0]; // of lengths 5 and 7
/// let spread = norm_spread(&ClassVectors::columns(&means)?);
/// assert!((spread.coefficient_of_variation().unwrap() - 1.0 / 6.0).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Papyan, Han & Donoho, *Prevalence of neural collapse* (PNAS 2020), figure 2.
#[must_use]
pub fn norm_spread(vectors: &ClassVectors<'_>) -> Spread {
    // In the shared unit squares neither overflow nor vanish.
    let norms: Vec<f64> = vectors.squared_norms().iter().map(|square| square.sqrt()).collect();
    let mean = norms.iter().sum::<f64>() / norms.len() as f64;
    let mut sums = Moments::around(mean);
    norms.iter().for_each(|&norm| sums.add(norm));
    let Spread { mean, deviation, number } = sums.spread();
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
/// use neural_collapse::geometry::Frame;
/// use neural_collapse::measure::ClassVectors;
/// use neural_collapse::metrics::cosine_spread;
///
/// let frame = Frame::simplex(5)?;
/// let cosines = cosine_spread(&ClassVectors::columns(frame.vectors())?)?;
/// assert!((cosines.mean + 0.25).abs() < 1e-15 && cosines.deviation < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Papyan, Han & Donoho (PNAS 2020), figure 3: Std over i ≠ j, of centered class means and of
/// classifiers.
pub fn cosine_spread(vectors: &ClassVectors<'_>) -> Result<Spread> {
    vectors.check_pairs()?;
    let norms = vectors.positive_norms()?;
    Ok(structured_spread(vectors, &norms)
        .unwrap_or_else(|| visit_cosines(vectors, &norms).spread()))
}

/// Of all pairs of vectors: how far their cosines are from those of a simplex ETF.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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
/// # Single precision
/// With more than 1024 and more than d classes whose cosines deviate by more than 10⁻³, the cosines are computed in
/// `f32`, twice as fast: `cosines` are still those of [`cosine_spread`], `etf_deviation` has an absolute error
/// below 10⁻⁸ and `largest_etf_deviation` one below 10⁻⁶.
///
/// # Errors
/// As [`cosine_spread`].
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::measure::ClassVectors;
/// use neural_collapse::metrics::equiangularity;
///
/// // Orthogonal rows: every cosine is 0, not −1/2.
/// let classifier = dmatrix![2.0, 0.0, 0.0; 0.0, 1.0, 0.0; 0.0, 0.0, 3.0];
/// let found = equiangularity(&ClassVectors::rows(&classifier)?)?;
/// assert_eq!((found.cosines.mean, found.cosines.deviation), (0.0, 0.0));
/// assert_eq!((found.etf_deviation, found.largest_etf_deviation), (0.5, 0.5));
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Papyan, Han & Donoho (PNAS 2020), figure 4, of centered class means and of classifiers.
pub fn equiangularity(vectors: &ClassVectors<'_>) -> Result<Equiangularity> {
    let (pairs, found) = visit(vectors, |norms, pairs| pairs.cosines(vectors, norms))?;
    Ok(equiangularity_of(pairs, &found))
}

/// NC2, hyperspherical uniformity: mean and standard deviation of the logarithmic energy of all pairs of
/// directions u_k = v_k/‖v_k‖.
///
/// ```math
/// log 1/‖u_i − u_j‖,    i ≠ j
/// ```
///
/// The mean is smallest, −½ log(2K/(K−1)), for a simplex ETF, if K ≤ d + 1; the more evenly the directions
/// are spread over the sphere the smaller it is. It is +∞, and the deviation too, if two directions are
/// equal. Distances are computed from differences where 2 − 2cos would have lost their
/// digits. Every pair is visited, in O(K² d) operations and without a K×K matrix. As in [`equiangularity`], many
/// cosines that are not alike are computed in `f32`; mean and deviation then have absolute errors below 10⁻⁸.
///
/// # Errors
/// As [`cosine_spread`].
///
/// ```
/// use neural_collapse::geometry::Frame;
/// use neural_collapse::measure::ClassVectors;
/// use neural_collapse::metrics::log_energy;
///
/// let frame = Frame::simplex(3)?;
/// let energy = log_energy(&ClassVectors::columns(frame.vectors())?)?;
/// assert!((energy.mean + 0.5 * 3.0_f64.ln()).abs() < 1e-15 && energy.deviation < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Sources: Lu & Steinerberger, *Neural collapse under cross-entropy loss* (ACHA 2022); Liu et al.,
/// *Generalizing and decoupling neural collapse via hyperspherical uniformity gap* (ICLR 2023), the
/// kernel with s = 0.
pub fn log_energy(vectors: &ClassVectors<'_>) -> Result<Spread> {
    let (_, energies) = visit(vectors, |_, pairs| pairs.energies(vectors))?;
    Ok(energies.spread())
}

/// All that is told of the shape that a vector for each class makes; what is not defined is `None`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Shape {
    /// [`norm_spread`].
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::metrics::keys::norms"))]
    pub norm_spread: Spread,
    /// The cosines of [`equiangularity`].
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::metrics::keys::spread"))]
    pub cosine_spread: Option<Spread>,
    /// [`equiangularity`].
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::metrics::keys::angles"))]
    pub equiangularity: Option<Equiangularity>,
    /// [`log_energy`].
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::metrics::keys::spread"))]
    pub log_energy: Option<Spread>,
}

impl Shape {
    /// The shape that the vectors of the classes make.
    #[must_use]
    pub fn of(vectors: &ClassVectors<'_>) -> Self {
        // All that can be wrong is a vector of zeros and a class alone.
        let of_pairs = angles_and_energy(vectors).ok();
        let angles = of_pairs.map(|of_pairs| of_pairs.0);
        Self {
            norm_spread: norm_spread(vectors),
            cosine_spread: angles.map(|angles| angles.cosines),
            equiangularity: angles,
            log_energy: of_pairs.map(|of_pairs| of_pairs.1),
        }
    }
}

/// [`equiangularity`] and [`log_energy`] in one pass over the pairs.
fn angles_and_energy(vectors: &ClassVectors<'_>) -> Result<(Equiangularity, Spread)> {
    let start =
        |norms: &[f64], pairs: Pairs| (pairs.cosines(vectors, norms), pairs.energies(vectors));
    let (pairs, (cosines, energies)) = visit(vectors, start)?;
    Ok((equiangularity_of(pairs, &cosines), energies.spread()))
}

/// Adds all pairs up, from where `start` begins for these lengths.
fn visit<A: PairSums>(
    vectors: &ClassVectors<'_>,
    start: impl FnOnce(&[f64], Pairs) -> A,
) -> Result<(Pairs, A)> {
    vectors.check_pairs()?;
    let norms = vectors.positive_norms()?;
    let pairs = Pairs::new(vectors, &norms);
    let start = start(&norms, pairs);
    Ok((pairs, add_up(vectors, &norms, pairs.are_single(), &start)))
}

fn equiangularity_of(pairs: Pairs, found: &Cosines) -> Equiangularity {
    let cosines = match pairs {
        Pairs::Double => found.spread(),
        Pairs::Single(spread) => spread,
    };
    Equiangularity {
        cosines,
        etf_deviation: found.etf_deviation(),
        largest_etf_deviation: found.largest_etf_deviation(),
    }
}

/// How the cosines of all pairs are computed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Pairs {
    /// In `f64`.
    Double,
    /// In `f32`: there are many, and they are far from equal. Their spread is known.
    Single(Spread),
}

impl Pairs {
    fn new(vectors: &ClassVectors<'_>, norms: &[f64]) -> Self {
        match structured_spread(vectors, norms) {
            Some(spread) if spread.deviation > WIDE_SPREAD => Self::Single(spread),
            _ => Self::Double,
        }
    }

    fn are_single(self) -> bool {
        matches!(self, Self::Single(_))
    }

    /// No cosines yet.
    fn cosines(self, vectors: &ClassVectors<'_>, norms: &[f64]) -> Cosines {
        let mean = match self {
            Self::Double => mean_cosine(vectors, norms),
            Self::Single(spread) => spread.mean,
        };
        Cosines::around(mean, vectors.classes())
    }

    /// No energies yet.
    fn energies(self, vectors: &ClassVectors<'_>) -> Energies {
        Energies::new(vectors.classes(), self.are_single())
    }
}

/// Sums over all pairs, in `f64`.
fn visit_cosines(vectors: &ClassVectors<'_>, norms: &[f64]) -> Cosines {
    add_up(vectors, norms, false, &Pairs::Double.cosines(vectors, norms))
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

/// Mean and deviation from ‖U1‖ and ‖UUᵀ‖ for many classes, unless the deviation loses too many digits.
fn structured_spread(vectors: &ClassVectors<'_>, norms: &[f64]) -> Option<Spread> {
    let many_classes = vectors.classes() > FEW_CLASSES.max(vectors.dimension());
    if many_classes { spread_from_gram(vectors, norms) } else { None }
}

fn spread_from_gram(vectors: &ClassVectors<'_>, norms: &[f64]) -> Option<Spread> {
    let classes = vectors.classes() as f64;
    let ordered_pairs = classes * (classes - 1.0);
    let mean = mean_cosine(vectors, norms);
    let squares = vectors.direction_gram(norms).norm_squared() - classes;
    let variance = squares / ordered_pairs - mean * mean;
    let accurate = variance > FEW_DIGITS * (classes.recip() + mean * mean);
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
        let direct = visit_cosines(&vectors, &norms).spread();
        let found = spread_from_gram(&vectors, &norms).unwrap();
        assert!((found.mean - direct.mean).abs() < 1e-13);
        assert!((found.deviation - direct.deviation).abs() < 1e-10);
        assert_eq!(found.number, direct.number);
        assert_eq!(cosine_spread(&vectors).unwrap(), found);
    }

    /// log 1/‖u − v‖ of all pairs, from differences.
    fn energy(vectors: &ClassVectors<'_>, norms: &[f64]) -> Spread {
        let pairs = (0..norms.len()).flat_map(|j| (0..j).map(move |i| (i, j)));
        let energies =
            pairs.map(|(i, j)| -0.5 * vectors.squared_distance((i, norms[i]), (j, norms[j])).ln());
        Spread::of(&energies.collect::<Vec<_>>()).unwrap()
    }

    /// On either side of the seam the numbers are those of all pairs in `f64`, up to what is documented.
    #[test]
    fn single_precision_has_the_documented_errors() {
        for (classes, dimension, single) in
            [(1024, 40, false), (1025, 40, true), (1300, 40, true), (1100, 1100, false)]
        {
            let matrix = vectors(classes, dimension);
            let vectors = ClassVectors::rows(&matrix).unwrap();
            let norms = vectors.positive_norms().unwrap();
            let pairs = Pairs::new(&vectors, &norms);
            assert_eq!(matches!(pairs, Pairs::Single(_)), single, "{classes} {dimension}");
            let expected = visit_cosines(&vectors, &norms);
            let found = equiangularity(&vectors).unwrap();
            let allowed = |error: f64| if single { error } else { 0.0 };
            assert!((found.cosines.mean - expected.spread().mean).abs() <= allowed(1e-13));
            let deviation = found.cosines.deviation - expected.spread().deviation;
            assert!(deviation.abs() <= allowed(1e-10));
            let error = found.etf_deviation - expected.etf_deviation();
            assert!(error.abs() <= allowed(1e-8));
            let error = found.largest_etf_deviation - expected.largest_etf_deviation();
            assert!(error.abs() <= allowed(1e-6));
            assert_eq!(found.cosines, cosine_spread(&vectors).unwrap());
            let (found, expected) = (log_energy(&vectors).unwrap(), energy(&vectors, &norms));
            let allowed = if single { 1e-8 } else { 1e-12 };
            assert!((found.mean - expected.mean).abs() < allowed);
            assert!((found.deviation - expected.deviation).abs() < allowed);
        }
    }

    /// Beside a vector that is much longer the inverse of two lengths overflows.
    #[test]
    fn short_vectors_have_directions_too() {
        // Squares of powers of two are exact down to the smallest number.
        let (short, longer) = (2.0_f64.powi(-520), 2.0_f64.powi(-510));
        let matrix = nalgebra::dmatrix![1.0, 0.0; short, 0.0; 0.0, short; 0.0, longer];
        let shape = Shape::of(&ClassVectors::rows(&matrix).unwrap());
        let found = shape.equiangularity.unwrap();
        // Two pairs of equal directions, four at right angles.
        assert!((found.cosines.mean - 1.0 / 3.0).abs() < 1e-15, "{found:?}");
        assert!((found.largest_etf_deviation - 4.0 / 3.0).abs() < 1e-15, "{found:?}");
        assert_eq!(shape.log_energy.unwrap().mean, f64::INFINITY);
    }

    /// One pass for all, over rows or columns, gives what each function does by itself.
    #[test]
    fn a_shape_is_what_its_parts_are() {
        for (classes, dimension) in [(2, 3), (30, 7), (1300, 40)] {
            let matrix = vectors(classes, dimension);
            let (rows, transposed) = (ClassVectors::rows(&matrix).unwrap(), matrix.transpose());
            let shape = Shape::of(&rows);
            assert_eq!(shape.norm_spread, norm_spread(&rows));
            assert_eq!(shape.equiangularity, Some(equiangularity(&rows).unwrap()));
            assert_eq!(shape.cosine_spread, Some(cosine_spread(&rows).unwrap()));
            assert_eq!(shape.log_energy, Some(log_energy(&rows).unwrap()));
            let of_columns = Shape::of(&ClassVectors::columns(&transposed).unwrap());
            let means = [shape, of_columns].map(|shape| shape.log_energy.unwrap().mean);
            assert!((means[0] - means[1]).abs() < 1e-13, "{means:?}");
        }
    }

    /// Cosines that are nearly equal stay in `f64` however many they are.
    #[test]
    fn narrow_spreads_are_not_computed_in_single_precision() {
        let matrix = DMatrix::from_fn(1100, 30, |i, j| {
            f64::from(u8::from(j == 0)) + 1e-3 * ((i * 30 + j) as f64 * 1.3).sin()
        });
        let vectors = ClassVectors::rows(&matrix).unwrap();
        let norms = vectors.positive_norms().unwrap();
        assert_eq!(Pairs::new(&vectors, &norms), Pairs::Double);
    }

    /// The deviations of an ETF and of equal vectors are below what a difference of squares can resolve.
    #[test]
    fn small_deviations_are_computed_from_the_pairs() {
        let etf = crate::geometry::Frame::simplex(40).unwrap().into_vectors();
        let equal = DMatrix::from_element(40, 40, 1.0);
        for (exact, resolved) in [(etf, 2e-6), (equal, 6e-3)] {
            for quarters in 4..49 {
                let size = 10.0_f64.powf(-0.25 * f64::from(quarters));
                let matrix = &exact + vectors(40, 40) * size;
                let vectors = ClassVectors::rows(&matrix).unwrap();
                let norms = vectors.positive_norms().unwrap();
                let direct = visit_cosines(&vectors, &norms).spread();
                if let Some(found) = spread_from_gram(&vectors, &norms) {
                    let ratio = found.deviation / direct.deviation;
                    assert!((ratio - 1.0).abs() < 1e-5, "{size}: {ratio}");
                } else {
                    assert!(size < resolved, "{size}");
                }
            }
        }
    }

    /// Lengths 5 and 7 of vectors at any magnitude.
    #[test]
    fn lengths_are_in_the_unit_of_the_vectors() {
        for scale in [2.0_f64.powi(-900), 1.0, 2.0_f64.powi(900)] {
            let matrix = nalgebra::dmatrix![3.0, 4.0; 0.0, 7.0] * scale;
            let found = norm_spread(&ClassVectors::rows(&matrix).unwrap());
            assert_eq!((found.mean / scale, found.deviation / scale, found.number), (6.0, 1.0, 2));
        }
    }
}
