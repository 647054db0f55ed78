//! Newton's method for the last digits of a minimum, and whether it is one.

use nalgebra::{DMatrix, DVector};

use crate::models::low_rank::objective::Terms;
use crate::numerics::lbfgs::{Descent, Smooth, largest};
use crate::numerics::linalg::solve_positive_definite;

/// Parameters for which a Hessian is not too large.
const MOST_PARAMETERS: usize = 1200;
/// Steps of Newton's method; three are usual, and many only where a valley is nearly flat.
const MOST_STEPS: usize = 30;
/// Curvature that counts as none, relative to the largest entry of the Hessian: rotations of equal
/// singular values, and a common shift of a free bias, change nothing.
const FLAT: f64 = 1e-8;

/// Sharpens a point. The second result is whether no direction has negative curvature, `None` if there are
/// too many parameters to tell.
pub(crate) fn polish(terms: &mut Terms<'_>, mut here: Descent) -> (Descent, Option<bool>) {
    if here.point.is_empty() || here.point.len() > MOST_PARAMETERS {
        return (here, None);
    }
    let mut is_minimum = None;
    for _ in 0..MOST_STEPS {
        let hessian = hessian(terms, &here.point);
        let damping = FLAT * hessian.amax();
        let gradient = DVector::from_column_slice(&here.gradient);
        let raised = &hessian + DMatrix::identity(hessian.nrows(), hessian.ncols()) * damping;
        let Some(step) = solve_positive_definite(raised, &gradient) else {
            return (here, Some(false));
        };
        is_minimum = Some(true);
        let point: Vec<f64> = here.point.iter().zip(step.iter()).map(|(x, s)| x - s).collect();
        let mut gradient = vec![0.0; point.len()];
        let value = terms.evaluate(&point, &mut gradient);
        let risen = value - here.value > 1e-13 * here.value.abs();
        if value.is_nan() || risen || largest(&gradient) >= 0.5 * largest(&here.gradient) {
            break;
        }
        here = Descent { point, gradient, value };
    }
    (here, is_minimum)
}

/// The Hessian by central differences of the gradient.
fn hessian(terms: &mut Terms<'_>, point: &[f64]) -> DMatrix<f64> {
    let length = point.len();
    let step = 1e-5 * largest(point).max(1e-3);
    let mut moved = point.to_vec();
    let (mut above, mut below) = (vec![0.0; length], vec![0.0; length]);
    let mut hessian = DMatrix::zeros(length, length);
    for (index, &at) in point.iter().enumerate() {
        moved[index] = at + step;
        terms.evaluate(&moved, &mut above);
        moved[index] = at - step;
        terms.evaluate(&moved, &mut below);
        moved[index] = at;
        let entries = above.iter().zip(&below).map(|(a, b)| (a - b) / (2.0 * step));
        hessian.column_mut(index).iter_mut().zip(entries).for_each(|(entry, new)| *entry = new);
    }
    (&hessian + hessian.transpose()) / 2.0
}
