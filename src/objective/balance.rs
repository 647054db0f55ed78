//! The balance between neighboring layers.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::measure::features::Features;
use crate::monitor::Monitor;
use crate::numerics::linalg::{Block, Operand, add_gram, transposed, zeros};
use crate::numerics::parallel;
use crate::numerics::scalar::{Scalar, largest_magnitude, to_f64};
use crate::numerics::simd::vectorized;
use crate::numerics::squares::sum_of_squares;
use crate::objective::check::check_depth;
use crate::problem::head::LinearHead;
use crate::problem::regularization::Regularization;

/// The residuals of the balance between neighboring layers, from the features up: the first is
///
/// ```math
/// ‖λ₁ W₁ᵀW₁ − λ_H HHᵀ‖ / max(‖λ₁ W₁ᵀW₁‖, ‖λ_H HHᵀ‖)
/// ```
///
/// and the others, for m = 1, …, M−1, are the same of λ_{m+1} W_{m+1}ᵀW_{m+1} and λₘ WₘWₘᵀ (Frobenius
/// norms; 0 if both matrices are zero).
///
/// All M of them vanish at every stationary point of the objective: Lemma D.2 of Dang et al. (ICML 2023),
/// where the transposes are misplaced in print. HHᵀ is d×d and takes N·d² multiplications.
///
/// # Errors
/// [`Error::Shape`] if `head` is for another dimension of features or `regularization` for another
/// number of layers, [`Error::OutOfRange`] if d² numbers do not fit in memory,
/// [`Error::Unrepresentable`] if a matrix has entries too large for floating-point numbers.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{Features, LinearHead, Regularization};
/// use neural_collapse::objective::balancedness;
///
/// let features = dmatrix![2.0, 0.0; 0.0, 0.0]; // HHᵀ = diag(4, 0)
/// let features = Features::from_sample_columns(&features)?;
/// let head = LinearHead::new(vec![dmatrix![2.0, 0.0], dmatrix![1.0]], None)?;
/// let residuals = balancedness(&features, &head, &Regularization::new(&[0.1, 0.2], 0.1)?)?;
/// assert_eq!(residuals[0], 0.0); // 0.1 · diag(4, 0) on both sides
/// assert_eq!(residuals[1], 0.5); // 0.2 · 1 and 0.1 · 4
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn balancedness<T: Scalar>(
    features: &Features<'_, T>,
    head: &LinearHead,
    regularization: &Regularization,
) -> Result<Vec<f64>> {
    balancedness_with(features, head, regularization, &())
}

/// [`balancedness`] under the eyes of a monitor, which may end it.
///
/// # Errors
/// As [`balancedness`], and [`Error::Cancelled`] if the monitor ends the work.
pub fn balancedness_with<T: Scalar>(
    features: &Features<'_, T>,
    head: &LinearHead,
    regularization: &Regularization,
    monitor: &dyn Monitor,
) -> Result<Vec<f64>> {
    head.check_shape("features", features.dimension(), head.classes())?;
    check_depth(head, regularization)?;
    residuals(features_gram(features, monitor)?, head, regularization)
}

/// The residuals for HHᵀ = `features_gram`, of which the lower triangle is read.
pub(super) fn residuals(
    features_gram: DMatrix<f64>,
    head: &LinearHead,
    regularization: &Regularization,
) -> Result<Vec<f64>> {
    let mut below = features_gram * regularization.feature_decay();
    let mut found = Vec::with_capacity(head.depth());
    let mut layers = head.weights().iter().zip(regularization.weight_decays()).peekable();
    while let Some((weight, &decay)) = layers.next() {
        let above = scaled_gram(&transposed(weight), decay);
        found.push(relative_distance(&above, &below)?);
        if layers.peek().is_some() {
            below = scaled_gram(weight, decay);
        }
    }
    Ok(found)
}

/// The lower triangle of A Aᵀ times a factor.
fn scaled_gram(matrix: &impl Operand<f64>, factor: f64) -> DMatrix<f64> {
    let size = matrix.strided().nrows();
    let mut gram = DMatrix::zeros(size, size);
    add_gram(&mut gram, matrix);
    gram *= factor;
    gram
}

/// The lower triangle of HHᵀ, d×d.
fn features_gram<T: Scalar>(
    features: &Features<'_, T>,
    monitor: &dyn Monitor,
) -> Result<DMatrix<f64>> {
    let mut gram = zeros("dimension", features.dimension(), features.dimension())?;
    let mut block = Block::new();
    for range in features.blocks() {
        let done = range.end as u64;
        features.fill_block(range, &mut block, |_, sample, out| to_f64(sample, out))?;
        add_gram(&mut gram, &block);
        monitor.report("products of features", done, Some(features.samples() as u64))?;
    }
    Ok(gram)
}

/// ‖A − B‖/max(‖A‖, ‖B‖) for symmetric matrices, of which the lower triangles are read; 0 if both are zero.
fn relative_distance(a: &DMatrix<f64>, b: &DMatrix<f64>) -> Result<f64> {
    // A column from the diagonal on.
    let from_diagonal = |index: usize| {
        [a, b].map(|matrix| &matrix.as_slice()[index * a.nrows()..][index..a.nrows()])
    };
    let sizes = parallel::map(
        a.ncols(),
        a.len(),
        || (),
        |(), index| from_diagonal(index).map(largest_magnitude).into_iter().max(),
    );
    let largest = sizes.into_iter().flatten().max().map_or(0.0, f64::from_bits);
    if largest == 0.0 {
        return Ok(0.0);
    }
    let columns = parallel::map(a.ncols(), a.len(), Vec::new, |scaled, index| {
        let [a, b] = from_diagonal(index);
        let diagonal = scaled_squares(&a[..1], &b[..1], largest, scaled);
        let below = scaled_squares(&a[1..], &b[1..], largest, scaled);
        std::array::from_fn::<_, 3, _>(|part| diagonal[part] + 2.0 * below[part])
    });
    let sum = |part: usize| columns.iter().map(|squares| squares[part]).sum::<f64>();
    let distance = (sum(2) / sum(0).max(sum(1))).sqrt();
    if distance.is_finite() {
        return Ok(distance);
    }
    let quantity = "a product of a weight or feature matrix with its transpose";
    Err(Error::Unrepresentable { quantity, log10: f64::INFINITY })
}

/// ‖a‖², ‖b‖² and ‖a − b‖² in squares of a unit; `scaled` is for numbers on the way.
fn scaled_squares(a: &[f64], b: &[f64], unit: f64, scaled: &mut Vec<f64>) -> [f64; 3] {
    let pairs = a.iter().zip(b).map(|(a, b)| (a / unit, b / unit));
    [
        squares(pairs.clone(), scaled, |(a, _)| a),
        squares(pairs.clone(), scaled, |(_, b)| b),
        squares(pairs, scaled, |(a, b)| a - b),
    ]
}

/// Σ number(x)².
fn squares<X>(
    entries: impl Iterator<Item = X>,
    numbers: &mut Vec<f64>,
    number: impl Fn(X) -> f64,
) -> f64 {
    numbers.clear();
    vectorized(
        #[inline(always)]
        || numbers.extend(entries.map(number)),
    );
    sum_of_squares(numbers)
}
