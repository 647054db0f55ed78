//! Newton's step along the matrices of the point's rank, by preconditioned conjugate gradients.

use nalgebra::DMatrix;

use crate::error::Result;
use crate::models::convex::curvature::Curvature;
use crate::models::convex::tangent::{Frame, Tangent};

/// Cap on the conjugate gradients of one step.
const MAX_ITERATIONS: usize = 1000;

/// The relative accuracy that the last step aims at.
const FINAL_ACCURACY: f64 = 1e-13;

/// What is added to the curvature far from the minimum, in units of the largest one and of the square of the
/// distance: it keeps steps short along what is nearly flat, and vanishes fast enough not to slow the end.
const DAMPING: f64 = 10.0;

/// A curve X + x·first + x²·second along which the rank stays the same, to second order.
pub(super) struct Step {
    pub(super) first: DMatrix<f64>,
    pub(super) second: DMatrix<f64>,
}

impl Step {
    /// The point at x = `length`.
    pub(super) fn from(&self, start: &DMatrix<f64>, length: f64) -> DMatrix<f64> {
        start + &self.first * length + &self.second * (length * length)
    }
}

/// The relative accuracy of a step at this distance, the mean slope along the singular vectors in units of the price.
fn accuracy(distance: f64) -> f64 {
    distance.max(FINAL_ACCURACY / distance).min(0.1)
}

/// What is added to the curvature, in units of the largest one.
fn damping(distance: f64) -> f64 {
    DAMPING * distance.min(1.0).powi(2)
}

/// The step from the point of `frame`, with its gradient and curvature, both divided by the price.
///
/// The equation is solved the more accurately the nearer the minimum is, so that the method converges
/// quadratically, but not more than the digits of the result are worth. `None` if there is nothing to move.
pub(super) fn newton_step(
    frame: &Frame,
    gradient: &DMatrix<f64>,
    curvature: &Curvature<'_>,
    price: f64,
    report: &dyn Fn() -> Result<()>,
) -> Result<Option<Step>> {
    let mut residual = frame.project(gradient);
    residual.scale(price.recip());
    frame.add_norm_gradient(&mut residual);
    residual.scale(-1.0);
    let start = residual.norm();
    let distance = start / (frame.rank() as f64).sqrt();
    if !(distance > 0.0 && distance.is_finite()) {
        return Ok(None);
    }
    let goal = start * accuracy(distance);
    let damping = damping(distance) * (curvature.largest_here() / price);
    let mut diagonal = curvature.diagonal() / price;
    diagonal.add_scalar_mut(damping);
    let preconditioner = frame.preconditioner(&diagonal);
    let apply = |step: &Tangent| {
        let mut moved = frame.expand(step);
        curvature.apply(&mut moved);
        let mut image = frame.project(&moved);
        image.scale(price.recip());
        frame.add_norm_curvature(step, &mut image);
        image.add(damping, step);
        image
    };
    let mut solution = Tangent::zeros_like(&residual);
    let mut search = preconditioner.apply(&residual);
    let mut product = residual.dot(&search);
    for _ in 0..MAX_ITERATIONS {
        report()?;
        let image = apply(&search);
        let bend = search.dot(&image);
        if !(bend > 0.0 && bend.is_finite() && product > 0.0) {
            break;
        }
        let length = product / bend;
        solution.add(length, &search);
        residual.add(-length, &image);
        if residual.norm() <= goal {
            break;
        }
        let next = preconditioner.apply(&residual);
        let next_product = residual.dot(&next);
        search.scale_and_add(next_product / product, &next);
        product = next_product;
    }
    for (index, value) in frame.values.iter().enumerate() {
        // A singular value does not become negative: it stays zero from there on.
        let entry = &mut solution.core[(index, index)];
        *entry = entry.max(-value);
    }
    let step = Step { first: frame.expand(&solution), second: frame.bend(&solution) };
    let mut entries = step.first.iter().chain(&step.second);
    Ok(entries.all(|entry| entry.is_finite()).then_some(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_and_damping_follow_the_distance() {
        assert_eq!([0.5, 0.0625, 1e-10].map(accuracy), [0.1, 0.0625, 1e-13 / 1e-10]);
        assert_eq!([3.0, 0.5].map(damping), [10.0, 2.5]);
    }
}
