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
/// Multiples of it that are tried where a step fails.
const DAMPINGS: [f64; 3] = [30.0, 1e3, 3e4];

/// Sharpens a point. The second result is whether no direction has negative curvature, `None` if there are
/// too many parameters to tell.
pub(crate) fn polish(terms: &mut Terms<'_>, mut here: Descent) -> (Descent, Option<bool>) {
    if here.point.is_empty() || here.point.len() > MOST_PARAMETERS {
        return (here, None);
    }
    let mut is_minimum = None;
    for _ in 0..MOST_STEPS {
        let hessian = hessian(terms, &here.point);
        let flat = FLAT * hessian.amax();
        let Some(step) = newton_step(&hessian, &here, flat) else {
            return (here, Some(false));
        };
        is_minimum = Some(true);
        // In a valley that bends a whole step may lead out of it.
        let damped =
            DAMPINGS.iter().filter_map(|damping| newton_step(&hessian, &here, damping * flat));
        let mut steps = core::iter::once(step).chain(damped);
        let Some(there) = steps.find_map(|step| taken(terms, &here, &step)) else { break };
        here = there;
    }
    (here, is_minimum)
}

/// Newton's step for a Hessian that is raised a little; `None` if a direction has negative curvature.
fn newton_step(hessian: &DMatrix<f64>, here: &Descent, damping: f64) -> Option<DVector<f64>> {
    let raised = hessian + DMatrix::identity(hessian.nrows(), hessian.ncols()) * damping;
    solve_positive_definite(raised, &DVector::from_column_slice(&here.gradient))
}

/// The point after a step, if the gradient is much smaller there and the value no higher.
fn taken(terms: &mut Terms<'_>, here: &Descent, step: &DVector<f64>) -> Option<Descent> {
    let point: Vec<f64> = here.point.iter().zip(step.iter()).map(|(x, s)| x - s).collect();
    let mut gradient = vec![0.0; point.len()];
    let value = terms.evaluate(&point, &mut gradient);
    let risen = value - here.value > 1e-13 * here.value.abs();
    let smaller = largest(&gradient) < 0.5 * largest(&here.gradient);
    (!value.is_nan() && !risen && smaller).then_some(Descent { point, gradient, value })
}

/// The Hessian by differences of the gradient of fourth order: with logits of 30 and many layers the third derivatives
/// are so large that those of second order would make negative curvature of a flat direction.
fn hessian(terms: &mut Terms<'_>, point: &[f64]) -> DMatrix<f64> {
    let length = point.len();
    let step = 1e-5 * largest(point).max(1e-3);
    let mut moved = point.to_vec();
    let mut gradients = [const { Vec::new() }; 4];
    gradients.fill(vec![0.0; length]);
    let mut hessian = DMatrix::zeros(length, length);
    for (index, &at) in point.iter().enumerate() {
        for (gradient, steps) in gradients.iter_mut().zip([1.0, -1.0, 2.0, -2.0]) {
            moved[index] = at + steps * step;
            terms.evaluate(&moved, gradient);
        }
        moved[index] = at;
        let [above, below, far_above, far_below] = &gradients;
        for (row, entry) in hessian.column_mut(index).iter_mut().enumerate() {
            let near = above[row] - below[row];
            let far = far_above[row] - far_below[row];
            *entry = (8.0 * near - far) / (12.0 * step);
        }
    }
    (&hessian + hessian.transpose()) / 2.0
}
