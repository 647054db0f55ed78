//! NC0: the rows of the classifier sum to zero.

use crate::error::{Result, check_not_negative, check_positive};
use crate::problem::head::LinearHead;

/// NC0: how far the rows of the classifier W_M (K×d) are from summing to zero,
///
/// ```math
/// NC0 = ‖1ᵀW_M‖²/K.
/// ```
///
/// It is 0 at every stationary point of the cross-entropy with weight decay, balanced or not. Under gradient descent
/// it falls by [`nc0_factor`] in each step, whatever the features do.
///
/// # Errors
/// [`Error::Unrepresentable`](crate::Error::Unrepresentable) if it overflows.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::LinearHead;
/// use neural_collapse::metrics::nc0;
///
/// let head = LinearHead::new(vec![dmatrix![1.0, 2.0; -1.0, 2.0]], None)?;
/// assert_eq!(nc0(&head)?, 8.0);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: the gradient of the cross-entropy with respect to the outputs sums to zero over the classes; section
/// "Dynamics" of the project's `docs/theory.md`.
#[doc(alias = "NC0")]
pub fn nc0(head: &LinearHead) -> Result<f64> {
    let Some(last) = head.weights().last() else { return Ok(0.0) };
    let value = last.row_sum().norm_squared() / last.nrows() as f64;
    if value.is_finite() {
        return Ok(value);
    }
    let log10 = 2.0 * last.amax().log10();
    Err(crate::Error::Unrepresentable { quantity: "NC0", log10 })
}

/// The factor (1 − ηλ)² of [`nc0`] in a step of gradient descent on the cross-entropy, for the step size
/// η = `step` and the decay λ = `weight_decay` of the last layer.
///
/// It is exact: labels may be smoothed, the layers below may be of any kind, batches of any choice. Momentum, the
/// decays of Adam, and a last layer without decay have other factors, so that a measured factor tells them apart.
///
/// # Errors
/// [`Error::OutOfRange`](crate::Error::OutOfRange) if the step is not positive and finite, or the decay negative or
/// not finite.
///
/// ```
/// use neural_collapse::metrics::nc0_factor;
///
/// assert_eq!(nc0_factor(0.5, 0.5)?, 0.5625);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: as [`nc0`].
pub fn nc0_factor(step: f64, weight_decay: f64) -> Result<f64> {
    check_positive("step", step)?;
    check_not_negative("weight_decay", weight_decay)?;
    Ok((1.0 - step * weight_decay).powi(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use nalgebra::dmatrix;

    #[test]
    fn squares_out_of_range_are_told_by_their_size() {
        let head = LinearHead::new(vec![dmatrix![1e200, 0.0; 0.0, 1.0]], None).unwrap();
        assert_eq!(nc0(&head), Err(Error::Unrepresentable { quantity: "NC0", log10: 400.0 }));
    }
}
