//! Newton's method for the last digits of a minimum, and whether it is one.

use nalgebra::{DMatrix, DVector};

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
/// too many parameters, or values that are no numbers, to tell.
pub(crate) fn polish(function: &mut impl Smooth, mut here: Descent) -> (Descent, Option<bool>) {
    if here.point.is_empty() || here.point.len() > MOST_PARAMETERS {
        return (here, None);
    }
    let mut is_minimum = None;
    for _ in 0..MOST_STEPS {
        let hessian = hessian(function, &here.point);
        if hessian.iter().any(|entry| entry.is_nan()) {
            break;
        }
        let flat = FLAT * hessian.amax();
        let Some(step) = newton_step(&hessian, &here, flat) else {
            return (here, Some(false));
        };
        is_minimum = Some(true);
        // In a valley that bends a whole step may lead out of it.
        let damped =
            DAMPINGS.iter().filter_map(|damping| newton_step(&hessian, &here, damping * flat));
        let mut steps = core::iter::once(step).chain(damped);
        let Some(there) = steps.find_map(|step| taken(function, &here, &step)) else { break };
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
fn taken(function: &mut impl Smooth, here: &Descent, step: &DVector<f64>) -> Option<Descent> {
    let point: Vec<f64> = here.point.iter().zip(step.iter()).map(|(x, s)| x - s).collect();
    let mut gradient = vec![0.0; point.len()];
    let value = function.evaluate(&point, &mut gradient);
    let risen = value - here.value > 1e-13 * here.value.abs();
    let smaller = largest(&gradient) < 0.5 * largest(&here.gradient);
    (!value.is_nan() && !risen && smaller).then_some(Descent { point, gradient, value })
}

/// The Hessian by differences of the gradient of fourth order: with logits of 30 and many layers the third derivatives
/// are so large that those of second order would make negative curvature of a flat direction.
fn hessian(function: &mut impl Smooth, point: &[f64]) -> DMatrix<f64> {
    let length = point.len();
    let step = 1e-5 * largest(point).max(1e-3);
    let mut moved = point.to_vec();
    let mut gradients = [const { Vec::new() }; 4];
    gradients.fill(vec![0.0; length]);
    let mut hessian = DMatrix::zeros(length, length);
    for (index, &at) in point.iter().enumerate() {
        for (gradient, steps) in gradients.iter_mut().zip([1.0, -1.0, 2.0, -2.0]) {
            moved[index] = at + steps * step;
            function.evaluate(&moved, gradient);
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

#[cfg(test)]
mod tests {
    use nalgebra::{dmatrix, dvector};

    use super::*;
    use crate::models::low_rank::objective::{DataTerm, Objective, Terms};
    use crate::numerics::lbfgs::{Stop, descend};
    use crate::problem::regularization::Bias;

    fn objective(data_term: DataTerm, depth: usize, bias: Bias) -> Objective {
        Objective {
            data_term,
            classes: 3,
            weights: vec![0.2, 0.5, 0.3],
            scales: vec![0.7, 1.1, 1.6],
            sharpness: 1.0,
            depth,
            strength: 0.05,
            bias,
        }
    }

    fn descent(terms: &mut Terms<'_>, point: &[f64]) -> Descent {
        let mut gradient = vec![0.0; point.len()];
        let value = terms.evaluate(point, &mut gradient);
        Descent { point: point.to_vec(), gradient, value }
    }

    /// F = Σ w_k ½‖c d_k/ν_k − e_k‖² + u/2 (‖c‖² + ‖d‖²) is a polynomial of fourth degree, for which the differences are exact.
    #[test]
    fn the_hessian_of_one_term_is_that_of_its_polynomial() {
        let objective = objective(DataTerm::Squared, 1, Bias::None);
        let point = [0.9, -0.4, 0.3, 0.8, 0.5, -1.2];
        let (c, d) = point.split_at(3);
        let (w, nu, u) = (&objective.weights, &objective.scales, objective.strength);
        let same = |i: usize, j: usize| f64::from(u8::from(i == j));
        let of_right: f64 = (0..3).map(|k| w[k] * (d[k] / nu[k]).powi(2)).sum();
        let of_left: f64 = c.iter().map(|c| c * c).sum();
        let mixed = |i: usize, k: usize| w[k] / nu[k] * (2.0 * c[i] * d[k] / nu[k] - same(i, k));
        let expected = DMatrix::from_fn(6, 6, |i, j| match (i < 3, j < 3) {
            (true, true) => same(i, j) * (of_right + u),
            (true, false) => mixed(i, j - 3),
            (false, true) => mixed(j, i - 3),
            (false, false) => same(i, j) * (w[i - 3] * of_left / nu[i - 3].powi(2) + u),
        });
        let found = hessian(&mut Terms::new(&objective, 1), &point);
        assert!((found - expected * objective.unit()).amax() < 1e-8);
    }

    /// Numbers of any size have a step that suits them: along a line the Hessian is the second difference.
    #[test]
    fn the_hessian_is_that_of_small_and_large_numbers() {
        for (size, strength) in [(2e-3, 1e-6), (1.0, 0.05), (30.0, 0.05)] {
            let objective = Objective { strength, ..objective(DataTerm::Squared, 2, Bias::None) };
            let mut terms = Terms::new(&objective, 1);
            let point = [0.9, -0.4, 0.3, 0.8, 0.5, -1.0].map(|entry: f64| entry * size);
            let along = [0.3, 0.7, -0.2, 0.5, -0.4, 0.6];
            let found = hessian(&mut terms, &point) * DVector::from_column_slice(&along);
            let mut slope = |shift: f64| {
                let moved: Vec<f64> =
                    point.iter().zip(along).map(|(x, v)| x + shift * size * v).collect();
                DVector::from_vec(descent(&mut terms, &moved).gradient)
            };
            // Of fourth order as well, with errors of 10⁻⁸ and less.
            let (near, far) = (slope(0.01) - slope(-0.01), slope(0.02) - slope(-0.02));
            let expected = (near * 8.0 - far) / (0.12 * size);
            assert!((&found - &expected).amax() < 1e-6 * expected.amax(), "{size}");
        }
    }

    #[test]
    fn steps_are_those_of_newton() {
        let here = Descent { point: vec![0.0; 2], gradient: vec![2.0, 12.0], value: 0.0 };
        let hessian = dmatrix![2.0, 0.0; 0.0, 4.0];
        for (damping, expected) in [(0.0, dvector![1.0, 3.0]), (2.0, dvector![0.5, 2.0])] {
            let step = newton_step(&hessian, &here, damping).unwrap();
            assert!((step - expected).amax() < 1e-14);
        }
        assert_eq!(newton_step(&-hessian, &here, 2.0), None);
    }

    /// A step is taken if it halves the gradient at least and the value does not rise by more than rounding.
    #[test]
    fn steps_are_taken_that_lead_down() {
        let heavy = Objective {
            weights: vec![200.0, 500.0, 300.0],
            strength: 50.0,
            ..objective(DataTerm::Squared, 1, Bias::None)
        };
        let mut terms = Terms::new(&heavy, 0);
        assert_eq!(polish(&mut terms, descent(&mut Terms::new(&heavy, 0), &[])).1, None);
        terms = Terms::new(&heavy, 1);
        let near = Stop { iterations: 100, gradient: 1.0, decrease: 0.0 };
        let here = descend(&mut terms, vec![0.1, 0.9, 0.2, -0.1, 1.0, 0.3], &near);
        let step = newton_step(&hessian(&mut terms, &here.point), &here, 0.0).unwrap();
        let there = taken(&mut terms, &here, &step).unwrap();
        assert!(there.value < here.value && there.value > 100.0, "{}", there.value);
        let known = descent(&mut terms, &there.point);
        assert_eq!((&there.gradient, there.value), (&known.gradient, known.value));
        let mut from = |value: f64, gradient: f64| {
            let gradient = vec![gradient * largest(&there.gradient); 6];
            let here = Descent { point: here.point.clone(), gradient, value };
            taken(&mut terms, &here, &step).is_some()
        };
        let value = there.value;
        assert!(from(value * (1.0 - 5e-14), 2.01) && !from(value * (1.0 - 2e-13), 2.01));
        assert!(from(2.0 * value, 1e9) && !from(2.0 * value, 2.0) && !from(value, 1.0));
    }

    /// Two equal singular values can be turned for nothing. A gradient in that direction asks for a step along the tangent of
    /// a circle, which is too long unless it is damped the most; the rest is found from there.
    #[test]
    fn steps_in_a_bent_valley_are_damped() {
        let balanced = Objective {
            weights: vec![1000.0; 3],
            scales: vec![1.0; 3],
            strength: 100.0,
            ..objective(DataTerm::CrossEntropy, 1, Bias::Unregularized)
        };
        let mut terms = Terms::new(&balanced, 2);
        let axes = [
            [2.0, -1.0, -1.0].map(|x| x / 6.0_f64.sqrt()),
            [0.0, 0.5, -0.5].map(|x| x * 2.0_f64.sqrt()),
        ];
        let point = axes.iter().chain(&axes).flatten().copied().chain([0.0; 3]);
        let fine = Stop { iterations: 1000, gradient: 1e-9, decrease: 0.0 };
        let least = descend(&mut terms, point.collect(), &fine);
        let (least, is_minimum) = polish(&mut terms, least);
        assert!(is_minimum == Some(true));
        let turn: Vec<f64> = (0..15)
            .map(|i| match (i / 3) % 2 {
                _ if i >= 12 => 0.0,
                0 => axes[1][i % 3],
                _ => -axes[0][i % 3],
            })
            .collect();
        let hessian = hessian(&mut terms, &least.point);
        let flat = FLAT * hessian.amax();
        let curved = hessian * DVector::from_column_slice(&turn);
        assert!(curved.amax() < 0.1 * flat);
        let slope = 1e-4 * 3e4 * flat;
        let gradient = turn.iter().zip(&least.gradient).map(|(t, g)| g + slope * t).collect();
        let (end, is_minimum) = polish(&mut terms, Descent { gradient, ..least.clone() });
        assert!(is_minimum == Some(true) && largest(&end.gradient) < 1e-12);
        let moved = end.point.iter().zip(&least.point).zip(&turn).map(|((a, b), t)| (a - b) * t);
        let along = moved.sum::<f64>() / 4.0;
        assert!((along / 1e-4 + 1.0).abs() < 1e-3, "{along}");
    }

    /// √x has no slope left of zero, which is no negative curvature.
    #[test]
    fn what_has_no_curvature_is_not_judged() {
        struct Root;
        impl Smooth for Root {
            fn evaluate(&mut self, point: &[f64], gradient: &mut [f64]) -> f64 {
                gradient[0] = 0.5 / point[0].sqrt();
                point[0].sqrt()
            }
        }
        for (point, expected) in [(1e-9, None), (1.0, Some(false))] {
            let here = Descent { point: vec![point], gradient: vec![1.0], value: 1.0 };
            let (there, is_minimum) = polish(&mut Root, here);
            assert!(there.point == [point] && is_minimum == expected);
        }
    }

    /// More parameters than a Hessian is made of are left as they are.
    #[test]
    fn very_many_parameters_are_not_polished() {
        let objective = objective(DataTerm::CrossEntropy, 1, Bias::None);
        let mut terms = Terms::new(&objective, 201);
        let here = descent(&mut terms, &vec![0.1; 1206]);
        let (there, is_minimum) = polish(&mut terms, here.clone());
        assert!(there.point == here.point && is_minimum.is_none());
    }
}
