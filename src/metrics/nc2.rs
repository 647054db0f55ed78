//! NC2: the classifier takes the shape of the frame.

use crate::error::Result;
use crate::geometry::class_matrix::ClassMatrix;
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
