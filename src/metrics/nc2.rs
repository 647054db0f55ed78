//! NC2: the classifier takes the shape of the frame.

use crate::error::Result;
use crate::geometry::class_matrix::ClassMatrix;
use crate::geometry::class_product::ClassProduct;
use crate::problem::head::LinearHead;

/// NC2ₘ: the normalized distance of the Gram matrix of the last m = `layers` layers to a target,
///
/// ```math
/// NC2ₘ = ‖ LLᵀ/‖LLᵀ‖ − Θ/‖Θ‖ ‖,    L = W_M⋯W_(M−m+1)    (Frobenius norms).
/// ```
///
/// L is K×d. The target Θ (K×K) is I for NC2ᴼᶠ, I − 11ᵀ/K for NC2ᴱᵀᶠ and diag(x_k^m) for NC2ᴳᴼᶠ, x_k the minimizer of
/// the [`Potential`](crate::Potential) in the direction of class k: take
/// [`ClassMatrix::orthogonal_frame`], [`ClassMatrix::simplex_etf`] or, in general, the prediction
/// [`Prediction::trailing_gram`](crate::Prediction::trailing_gram) for the same m. Of a family,
/// the nearest member counts.
///
/// # Errors
/// [`Error::OutOfRange`](crate::Error::OutOfRange) unless 1 ≤ m ≤ M,
/// [`Error::Shape`](crate::Error::Shape) if the target is for another number of classes,
/// [`Error::ZeroNorm`](crate::Error::ZeroNorm) if L or the target is zero.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{ClassMatrix, LinearHead};
/// use neural_collapse::metrics::nc2;
///
/// let head = LinearHead::new(vec![dmatrix![3.0, 0.0; 0.0, 3.0]], None)?;
/// assert!(nc2(&head, 1, &ClassMatrix::orthogonal_frame(2)?)? < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Dang et al. (ICML 2023), C.1.1 for OF and ETF, C.2.1 for GOF at m = M. For GOF at other m and
/// in the spectral geometry the target is the Gram matrix that the theory predicts there.
pub fn nc2(head: &LinearHead, layers: usize, target: &ClassMatrix) -> Result<f64> {
    target.distance_to_gram(&*head.borrowed_product(layers)?)
}

/// LLᵀ for L = W_M⋯W_(M−m+1), what [`nc2`] measures of the last m = `layers` layers: its
/// [`distance`](ClassProduct::distance) to each of several targets is NC2ₘ, and what does not depend on the target is
/// computed once.
///
/// # Errors
/// [`Error::OutOfRange`](crate::Error::OutOfRange) unless 1 ≤ m ≤ M,
/// [`Error::Unrepresentable`](crate::Error::Unrepresentable) if an entry of L is too large for a floating-point number,
/// [`Error::ZeroNorm`](crate::Error::ZeroNorm) if L is zero.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{ClassMatrix, LinearHead};
/// use neural_collapse::metrics::{nc2, trailing_gram};
///
/// let head = LinearHead::new(vec![dmatrix![3.0, 1.0; 0.0, 3.0]], None)?;
/// let gram = trailing_gram(&head, 1)?;
/// for target in [ClassMatrix::orthogonal_frame(2)?, ClassMatrix::simplex_etf(2)?] {
///     assert_eq!(gram.distance(&target)?, nc2(&head, 1, &target)?);
/// }
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn trailing_gram(head: &LinearHead, layers: usize) -> Result<ClassProduct<'_>> {
    ClassProduct::of(head.borrowed_product(layers)?, None)
}
