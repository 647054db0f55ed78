//! Minimization of smooth functions by L-BFGS.

use core::ops::ControlFlow;
use std::collections::VecDeque;

use crate::numerics::squares::dot;

/// Pairs of steps and gradient differences that are remembered.
const MEMORY: usize = 12;
/// Sufficient decrease and curvature: the constants of the weak Wolfe conditions.
const DECREASE: f64 = 1e-4;
const CURVATURE: f64 = 0.9;
/// Cap on the evaluations of one line search.
const MOST_TRIALS: usize = 40;
/// A rise of this relative size is a rounding error.
const ROUNDING: f64 = 1e-14;

/// Evaluates a function at a point and writes its gradient.
pub(crate) trait Smooth {
    /// The value; `gradient` has the length of `point` and is overwritten.
    fn evaluate(&mut self, point: &[f64], gradient: &mut [f64]) -> f64;
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    /// Largest number of iterations.
    pub(crate) iterations: usize,
    /// Largest entry of the gradient at a stationary point.
    pub(crate) gradient: f64,
    /// Relative decrease over ten iterations that is not worth going on.
    pub(crate) decrease: f64,
}

/// A point with its value and gradient.
#[derive(Debug, Clone)]
pub(crate) struct Descent {
    pub(crate) point: Vec<f64>,
    pub(crate) gradient: Vec<f64>,
    pub(crate) value: f64,
}

/// Descends from a point. The result is never above the start.
pub(crate) fn descend(function: &mut impl Smooth, start: Vec<f64>, stop: &Stop) -> Descent {
    let mut gradient = vec![0.0; start.len()];
    let value = function.evaluate(&start, &mut gradient);
    let mut here = Descent { point: start, gradient, value };
    let mut memory = Memory::default();
    let mut checkpoint = here.value;
    for iteration in 1..=stop.iterations {
        if !here.value.is_finite() || largest(&here.gradient) <= stop.gradient {
            break;
        }
        let direction = memory.direction(&here.gradient);
        let ControlFlow::Continue(there) =
            line_search(function, &here, &direction, memory.is_empty())
        else {
            // A direction from old curvature may fail where the plain gradient does not.
            if memory.is_empty() {
                break;
            }
            memory = Memory::default();
            continue;
        };
        memory.remember(&here, &there);
        here = there;
        if iteration % 10 == 0 {
            if checkpoint - here.value <= stop.decrease * here.value.abs() {
                break;
            }
            checkpoint = here.value;
        }
    }
    here
}

/// Steps, gradient differences and their inner products, the newest last.
#[derive(Default)]
struct Memory {
    pairs: VecDeque<(Vec<f64>, Vec<f64>, f64)>,
}

impl Memory {
    fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    fn remember(&mut self, here: &Descent, there: &Descent) {
        let step = difference(&there.point, &here.point);
        let change = difference(&there.gradient, &here.gradient);
        let product = dot(&step, &change);
        if product <= f64::EPSILON * dot(&change, &change).sqrt() * dot(&step, &step).sqrt() {
            return;
        }
        if self.pairs.len() == MEMORY {
            self.pairs.pop_front();
        }
        self.pairs.push_back((step, change, product));
    }

    /// Minus the inverse Hessian that the pairs suggest, times the gradient.
    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut factors = Vec::with_capacity(self.pairs.len());
        for (step, change, product) in self.pairs.iter().rev() {
            let factor = dot(step, &direction) / product;
            add_scaled(&mut direction, -factor, change);
            factors.push(factor);
        }
        if let Some((_, change, product)) = self.pairs.back() {
            let scale = product / dot(change, change);
            direction.iter_mut().for_each(|d| *d *= scale);
        }
        for ((step, change, product), factor) in self.pairs.iter().zip(factors.into_iter().rev()) {
            let correction = factor - dot(change, &direction) / product;
            add_scaled(&mut direction, correction, step);
        }
        direction
    }
}

/// A step along a direction that decreases the value and flattens the slope enough; `Break` if there is none.
fn line_search(
    function: &mut impl Smooth,
    here: &Descent,
    direction: &[f64],
    first: bool,
) -> ControlFlow<(), Descent> {
    let slope = dot(direction, &here.gradient);
    if slope.is_nan() || slope >= 0.0 {
        return ControlFlow::Break(());
    }
    let (mut low, mut high) = (0.0, f64::INFINITY);
    let mut step = if first { first_step(here, direction) } else { 1.0 };
    let mut best: Option<Descent> = None;
    for _ in 0..MOST_TRIALS {
        let point: Vec<f64> = here.point.iter().zip(direction).map(|(x, d)| x + step * d).collect();
        let mut gradient = vec![0.0; point.len()];
        let value = function.evaluate(&point, &mut gradient);
        let there = Descent { point, gradient, value };
        let new_slope = dot(direction, &there.gradient);
        // Close to a minimum the values are all rounding errors, and the slope alone is to be trusted.
        let level = here.value + ROUNDING * here.value.abs();
        let flat = there.value <= level && new_slope <= (2.0 * DECREASE - 1.0) * slope;
        let lower = there.value <= here.value + DECREASE * step * slope || flat;
        if !lower || !there.value.is_finite() {
            let curvature = 2.0 * (there.value - here.value - step * slope);
            let parabola = -slope * step * step / curvature;
            high = step;
            step = if low == 0.0 && parabola.is_finite() {
                parabola.clamp(0.1 * step, 0.5 * step)
            } else {
                f64::midpoint(low, high)
            };
        } else if new_slope < CURVATURE * slope {
            low = step;
            step = if high.is_finite() { f64::midpoint(low, high) } else { 2.5 * step };
            best = Some(there);
        } else {
            return ControlFlow::Continue(there);
        }
    }
    best.filter(|there| there.value < here.value)
        .map_or(ControlFlow::Break(()), ControlFlow::Continue)
}

/// A first step that moves no coordinate by more than a tenth of the largest one.
fn first_step(here: &Descent, direction: &[f64]) -> f64 {
    0.1 * largest(&here.point).max(1e-3) / largest(direction)
}

/// The largest absolute entry.
pub(crate) fn largest(numbers: &[f64]) -> f64 {
    numbers.iter().fold(0.0, |largest: f64, number| largest.max(number.abs()))
}

/// a + factor·b, in place.
#[inline(always)]
pub(crate) fn add_scaled(a: &mut [f64], factor: f64, b: &[f64]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += factor * b;
    }
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evaluations of the two functions.
    const VALLEYS: usize = 70;
    const BOWL: usize = 48;

    /// Rosenbrock's function in pairs of coordinates.
    struct Valleys;

    impl Smooth for Valleys {
        fn evaluate(&mut self, point: &[f64], gradient: &mut [f64]) -> f64 {
            let mut value = 0.0;
            for (x, g) in point.chunks_exact(2).zip(gradient.chunks_exact_mut(2)) {
                let (across, along) = (x[1] - x[0] * x[0], 1.0 - x[0]);
                value += 100.0 * across * across + along * along;
                g[0] = -400.0 * across * x[0] - 2.0 * along;
                g[1] = 200.0 * across;
            }
            value
        }
    }

    #[test]
    fn valleys_are_followed_to_their_end() {
        let stop = Stop { iterations: 500, gradient: 1e-12, decrease: 0.0 };
        let end = descend(&mut Valleys, vec![-1.2, 1.0, 0.3, -2.0], &stop);
        assert!(end.point.iter().all(|x| (x - 1.0).abs() < 1e-11), "{end:?}");
    }

    /// A function that counts how often it is evaluated.
    struct Counted<F>(F, usize);

    impl<F: Smooth> Smooth for Counted<F> {
        fn evaluate(&mut self, point: &[f64], gradient: &mut [f64]) -> f64 {
            self.1 += 1;
            self.0.evaluate(point, gradient)
        }
    }

    /// ½ Σ c_i x_i² with very different curvatures.
    struct Bowl([f64; 6]);

    impl Smooth for Bowl {
        fn evaluate(&mut self, point: &[f64], gradient: &mut [f64]) -> f64 {
            let terms = point.iter().zip(&self.0).zip(gradient);
            let terms = terms.map(|((x, c), g)| {
                *g = c * x;
                c * x * x / 2.0
            });
            terms.sum()
        }
    }

    #[test]
    fn few_evaluations_are_needed() {
        let stop = Stop { iterations: 500, gradient: 1e-12, decrease: 0.0 };
        let mut valleys = Counted(Valleys, 0);
        descend(&mut valleys, vec![-1.2, 1.0, 0.3, -2.0], &stop);
        let mut bowl = Counted(Bowl([1.0, 3.0, 20.0, 100.0, 400.0, 1000.0]), 0);
        let end = descend(&mut bowl, vec![1.0; 6], &stop);
        assert!(end.point.iter().all(|x| x.abs() < 1e-12));
        assert!(valleys.1 <= VALLEYS && bowl.1 <= BOWL, "{} {}", valleys.1, bowl.1);
    }

    /// The inverse Hessian that pairs suggest maps the newest change of the gradient to its step, and once the pairs span
    /// a quadratic function's space along conjugate directions, it is the inverse.
    #[test]
    fn pairs_are_remembered() {
        let curvatures = [2.0, 0.5, 7.0];
        let mut memory = Memory::default();
        let descent = |point: [f64; 3]| {
            let gradient = point.iter().zip(curvatures).map(|(x, c)| c * x).collect();
            Descent { point: point.to_vec(), gradient, value: 0.0 }
        };
        let zero = descent([0.0; 3]);
        assert_eq!(memory.direction(&[1.0, 2.0, 3.0]), [-1.0, -2.0, -3.0]);
        memory.remember(&zero, &zero);
        assert!(memory.is_empty());
        for there in [[1.0, 0.0, 0.0], [0.0, -2.0, 0.0], [0.0, 0.0, 3.0]] {
            memory.remember(&zero, &descent(there));
        }
        let direction = memory.direction(&[2.0, 1.0, 7.0]);
        assert!(direction.iter().zip([1.0, 2.0, 1.0]).all(|(d, x)| (d + x).abs() < 1e-14));
        for number in 0..2 * MEMORY {
            let step = [1.0, 0.3 * number as f64, 0.7];
            memory.remember(&zero, &descent(step));
            let direction = memory.direction(&descent(step).gradient);
            assert!(direction.iter().zip(step).all(|(d, x)| (d + x).abs() < 1e-13));
        }
        assert_eq!(memory.pairs.len(), MEMORY);
        // A change without curvature is not remembered.
        let bent = Descent { gradient: vec![-1.0, 0.0, 0.0], ..descent([1.0, 0.0, 0.0]) };
        memory.remember(&zero, &bent);
        assert!(memory.pairs.back().unwrap().0[1] != 0.0);
    }

    /// A step satisfies both conditions, whether the first trial is too long or too short.
    #[test]
    fn line_searches_end_where_wolfe_says() {
        let mut valleys = Valleys;
        for start in [vec![-1.2, 1.0], vec![3.0, 1.0], vec![0.1, 0.0]] {
            let mut gradient = vec![0.0; 2];
            let value = valleys.evaluate(&start, &mut gradient);
            let here = Descent { point: start, gradient, value };
            for length in [1e-9, 1e-6, 1e-4, 1.0, 1e5] {
                let direction: Vec<f64> = here.gradient.iter().map(|g| -length * g).collect();
                let found = line_search(&mut valleys, &here, &direction, false);
                let ControlFlow::Continue(there) = found else { panic!("{length}") };
                let slope = dot(&direction, &here.gradient);
                let step = (there.point[0] - here.point[0]) / direction[0];
                assert!(there.value <= here.value + DECREASE * step * slope, "{length}");
                assert!(dot(&direction, &there.gradient) >= CURVATURE * slope, "{length}");
            }
            let uphill = here.gradient.clone();
            assert!(line_search(&mut valleys, &here, &uphill, false).is_break());
            assert!(
                (first_step(&here, &uphill) * largest(&uphill) - 0.1 * largest(&here.point)).abs()
                    < 1e-15
            );
        }
    }

    /// Values and slopes at the points that a search along a line may try.
    struct Tried(&'static [(f64, f64, f64)]);

    impl Smooth for Tried {
        fn evaluate(&mut self, point: &[f64], gradient: &mut [f64]) -> f64 {
            let found = self.0.iter().find(|(at, ..)| (at - point[0]).abs() < 1e-9);
            let &(_, value, slope) = found.unwrap_or_else(|| panic!("{}", point[0]));
            gradient[0] = slope;
            value
        }
    }

    /// From 0 with the slope −1: the constants are 10⁻⁴ of the fall and nine tenths of the slope.
    #[test]
    fn line_searches_try_what_their_conditions_say() {
        let cases: [(f64, &'static [_], f64); 11] = [
            (0.0, &[(1.0, -1e-3, -0.89)], 1.0),
            (0.0, &[(1.0, -1e-3, -0.9)], 1.0),
            // Down by more than 10⁻⁴ of the step, at the lowest point of the parabola through the first trial.
            (0.0, &[(1.0, 1.0, 5.0), (0.25, -0.25 * 1.1e-4, 2.0)], 0.25),
            (0.0, &[(1.0, 1.0, 5.0), (0.25, -0.25 * 0.9e-4, 2.0), (0.125, -1.0, 0.0)], 0.125),
            (0.0, &[(1.0, 99.0, 5.0), (0.1, -1.0, 0.0)], 0.1),
            (0.0, &[(1.0, f64::NAN, 5.0), (0.5, -1.0, 0.0)], 0.5),
            (0.0, &[(1.0, f64::NEG_INFINITY, 0.0), (0.1, -1.0, 0.0)], 0.1),
            // Too steep twice, then too high: half-way between the last of either.
            (
                0.0,
                &[(1.0, -1.0, -0.91), (2.5, -2.0, -0.91), (6.25, 9.0, 1.0), (4.375, -3.0, 0.0)],
                4.375,
            ),
            // Level but for rounding, and the slope is turned: 10⁻¹⁴ of 100, and 1 − 2 · 10⁻⁴.
            (100.0, &[(1.0, 100.0 + 9e-13, 0.9997)], 1.0),
            (100.0, &[(1.0, 100.0 + 9e-13, 0.9999), (0.5, 99.0, 0.0)], 0.5),
            (100.0, &[(1.0, 100.0 + 2e-12, 0.9997), (0.5, 99.0, 0.0)], 0.5),
        ];
        for (value, tried, expected) in cases {
            let here = Descent { point: vec![0.0], gradient: vec![-1.0], value };
            let found = line_search(&mut Tried(tried), &here, &[1.0], false);
            let ControlFlow::Continue(there) = found else { panic!("{tried:?}") };
            assert!((there.point[0] - expected).abs() < 1e-9, "{there:?}");
        }
    }

    /// After so many iterations, at a small gradient, or when ten iterations gain less than a share of the value.
    #[test]
    fn descents_stop_when_they_are_told() {
        let start = vec![-1.2, 1.0, 0.3, -2.0];
        let end = |iterations, gradient, decrease| {
            descend(&mut Valleys, start.clone(), &Stop { iterations, gradient, decrease })
        };
        let [none, ten, eleven] = [0, 10, 11].map(|iterations| end(iterations, 0.0, 0.0));
        assert!(none.point == start && none.value > ten.value && ten.value > eleven.value);
        let small = end(500, 1e-3, 0.0);
        assert!((1e-9..=1e-3).contains(&largest(&small.gradient)), "{small:?}");
        let gained = (none.value - ten.value) / ten.value;
        assert_eq!(end(500, 0.0, gained * 1.001).point, ten.point);
        assert!(end(500, 0.0, gained * 0.999).value < eleven.value);
    }

    /// −x times the value, with the slope −1 whatever it is.
    struct Slope(f64);

    impl Smooth for Slope {
        fn evaluate(&mut self, point: &[f64], gradient: &mut [f64]) -> f64 {
            gradient[0] = -1.0;
            -self.0 * point[0]
        }
    }

    #[test]
    fn the_last_trial_is_taken_where_none_is_flat() {
        let here = Descent { point: vec![0.0], gradient: vec![-1.0], value: 0.0 };
        let found = line_search(&mut Slope(1.0), &here, &[1.0], false);
        let ControlFlow::Continue(there) = found else { panic!("no step") };
        assert!((there.point[0] / 2.5_f64.powi(MOST_TRIALS as i32 - 1) - 1.0).abs() < 1e-12);
        // One that is not lower than the start is none.
        assert!(line_search(&mut Slope(0.0), &here, &[1.0], false).is_break());
    }
}
