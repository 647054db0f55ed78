//! NC3: classifier and class means are dual to each other.

use std::borrow::Cow;

use nalgebra::DMatrix;

use crate::error::Result;
use crate::geometry::class_matrix::ClassMatrix;
use crate::geometry::class_product::ClassProduct;
use crate::problem::head::LinearHead;

/// NC3: the normalized distance of the outputs for the class means to a target,
///
/// ```math
/// NC3 = ‖ W_M⋯W₁H̄/‖W_M⋯W₁H̄‖ − Θ/‖Θ‖ ‖    (Frobenius norms).
/// ```
///
/// `class_means` is H̄, d×K: not centered in the paper's formula
/// ([`ClassStatistics::class_means`](crate::ClassStatistics::class_means)), centered in its authors' code for
/// balanced classes
/// ([`ClassStatistics::centered_means`](crate::ClassStatistics::centered_means)). The target Θ is I for
/// NC3ᴼᶠ, I − 11ᵀ/K for NC3ᴱᵀᶠ and diag(x_k^M/(x_k^M + 1)) for NC3ᴳᴼᶠ, x_k as in [`nc2`](crate::metrics::nc2): take
/// [`ClassMatrix::orthogonal_frame`], [`ClassMatrix::simplex_etf`] or, in general, the prediction
/// [`Prediction::class_outputs`](crate::Prediction::class_outputs). Of a family, the nearest
/// member counts.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if the head, the means and the target do not fit together,
/// [`Error::ZeroNorm`](crate::Error::ZeroNorm) if the outputs or the target are zero.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{ClassMatrix, LinearHead};
/// use neural_collapse::metrics::nc3;
///
/// let head = LinearHead::new(vec![dmatrix![1.0, 0.0; 0.0, 2.0]], None)?;
/// let means = dmatrix![2.0, 0.0; 0.0, 1.0];
/// assert!(nc3(&means, &head, &ClassMatrix::orthogonal_frame(2)?)? < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Dang et al. (ICML 2023), C.1.1 and C.2.1.
pub fn nc3(class_means: &DMatrix<f64>, head: &LinearHead, target: &ClassMatrix) -> Result<f64> {
    target.distance_to_product(&*head.borrowed_product(head.depth())?, class_means)
}

/// W_M⋯W₁H̄, what [`nc3`] measures: its [`distance`](ClassProduct::distance) to each of several targets is NC3, and what does
/// not depend on the target is computed once.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if head and means do not fit together,
/// [`Error::Unrepresentable`](crate::Error::Unrepresentable) if an entry of the product of the layers is too large for a
/// floating-point number, [`Error::ZeroNorm`](crate::Error::ZeroNorm) if it is zero or the means are.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{ClassMatrix, LinearHead};
/// use neural_collapse::metrics::{class_outputs, nc3};
///
/// let head = LinearHead::new(vec![dmatrix![1.0, 0.5; 0.0, 2.0]], None)?;
/// let means = dmatrix![2.0, 0.0; 0.0, 1.0];
/// let outputs = class_outputs(&means, &head)?;
/// for target in [ClassMatrix::orthogonal_frame(2)?, ClassMatrix::simplex_etf(2)?] {
///     assert_eq!(outputs.distance(&target)?, nc3(&means, &head, &target)?);
/// }
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn class_outputs<'a>(
    class_means: &'a DMatrix<f64>,
    head: &'a LinearHead,
) -> Result<ClassProduct<'a>> {
    let product = head.borrowed_product(head.depth())?;
    ClassProduct::of(product, Some(Cow::Borrowed(class_means)))
}
