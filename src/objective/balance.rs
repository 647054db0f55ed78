//! The balance between neighbouring layers.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::measure::features::Features;
use crate::monitor::Monitor;
use crate::numerics::linalg::{Block, add_gram, gram, transposed, zeros};
use crate::numerics::scalar::{Scalar, to_f64};
use crate::objective::check::check_depth;
use crate::problem::head::LinearHead;
use crate::problem::regularization::Regularization;

/// The residuals of the balance between neighbouring layers, from the features up: the first is
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

/// The residuals for HHᵀ = `features_gram`.
pub(super) fn residuals(
    features_gram: DMatrix<f64>,
    head: &LinearHead,
    regularization: &Regularization,
) -> Result<Vec<f64>> {
    let mut below = features_gram * regularization.feature_decay();
    let mut found = Vec::with_capacity(head.depth());
    for (weight, &decay) in head.weights().iter().zip(regularization.weight_decays()) {
        let above = gram(&transposed(weight)) * decay;
        found.push(relative_distance(&above, &below)?);
        below = gram(weight) * decay;
    }
    Ok(found)
}

/// HHᵀ, d×d.
fn features_gram<T: Scalar>(
    features: &Features<'_, T>,
    monitor: &dyn Monitor,
) -> Result<DMatrix<f64>> {
    let mut gram = zeros("dimension²", features.dimension(), features.dimension())?;
    let mut block = Block::new();
    for range in features.blocks() {
        let done = range.end as u64;
        features.fill_block(range, &mut block, |_, sample, out| to_f64(sample, out))?;
        add_gram(&mut gram, &block.as_view());
        monitor.report("products of features", done, Some(features.samples() as u64))?;
    }
    gram.fill_upper_triangle_with_lower_triangle();
    Ok(gram)
}

/// ‖A − B‖/max(‖A‖, ‖B‖), 0 if both are zero.
fn relative_distance(a: &DMatrix<f64>, b: &DMatrix<f64>) -> Result<f64> {
    let largest = a.amax().max(b.amax());
    if largest == 0.0 {
        return Ok(0.0);
    }
    let scaled = |matrix: &DMatrix<f64>| norm(matrix.iter().map(|entry| entry / largest));
    let difference = norm(a.iter().zip(b).map(|(a, b)| a / largest - b / largest));
    let distance = difference / scaled(a).max(scaled(b));
    if distance.is_finite() {
        return Ok(distance);
    }
    let quantity = "a product of a weight or feature matrix with its transpose";
    Err(Error::Unrepresentable { quantity, log10: f64::INFINITY })
}

fn norm(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.map(|number| number * number).sum::<f64>().sqrt()
}
