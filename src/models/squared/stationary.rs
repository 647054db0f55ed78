//! The positive stationary points of g(x; b) = 1/(x^M + 1) + b x, by Newton's iteration.

use num_traits::Float;

use crate::numerics::double_double::DoubleDouble;
use crate::numerics::nth_root::{from_u32, power, root_of_ratio};

/// Cap on the Newton iterations. Up to the threshold at most 3 are taken; close to the fold, where each
/// step halves the distance until the two stationary points come apart, about 30.
const MAX_STEPS: usize = 64;

/// A stationary point x with x^M and the number of Newton steps that it took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Root<T> {
    pub(crate) x: T,
    pub(crate) power: T,
    pub(crate) steps: usize,
}

/// What [`Solver::accurate_step`] finds at an x.
struct Step<T> {
    /// The Newton step, relative to x.
    step: T,
    /// x^M.
    power: T,
    /// 1/(x^M + 1).
    unfitted: T,
    /// L′.
    slope: T,
}

/// Solves g′(x; b) = 0 for one depth M, that is F(x) = x·(x^M + 2 + x^(−M)) − M/b = 0.
///
/// F is convex, so that Newton's iteration from the right of its larger root falls towards that root
/// without ever passing it, and rises towards the smaller one from its left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Solver<T> {
    depth: u32,
    /// Errors of x^M below this are below the rounding error after one accurate step, which squares them.
    close: T,
    /// A relative Newton step below this leaves an error of x^M below `close`.
    last_step: T,
}

impl<T: Float> Solver<T> {
    pub(crate) fn new(depth: u32) -> Self {
        let close = T::epsilon().sqrt() / from_u32(2);
        Self { depth, close, last_step: close.sqrt() / from_u32(depth) }
    }

    /// The larger root for `b` below the threshold β_M, where it is the global minimizer.
    pub(crate) fn global(&self, b: T) -> Root<T> {
        if self.depth == 1 {
            return root_of_depth_one(b);
        }
        if is_tiny(b) {
            return self.larger_of_tiny_slope(b);
        }
        let m = from_u32::<T>(self.depth);
        let pull = m / b;
        let far = pull.powf((m + T::one()).recip());
        let (start, error) = near_start(m, far, far / pull);
        let steps = if error < self.close { 0 } else { MAX_STEPS };
        self.finish(self.fall(start, pull, steps), b)
    }

    /// The larger root for `b` below the fold.
    pub(crate) fn larger(&self, b: T) -> Root<T> {
        if self.depth == 1 {
            return root_of_depth_one(b);
        }
        if is_tiny(b) {
            return self.larger_of_tiny_slope(b);
        }
        let m = from_u32::<T>(self.depth);
        let pull = m / b;
        // To the right of the root, as F(x) > x^(M+1) − M/b.
        let start = pull.powf((m + T::one()).recip());
        let root = self.finish(self.fall(start, pull, MAX_STEPS), b);
        if root.power * T::epsilon() > T::one() { root } else { self.settle(root, b) }
    }

    /// The smaller root for M ≥ 2 and `b` below the fold.
    pub(crate) fn smaller(&self, b: T) -> Root<T> {
        // x^(M−1) = (b/M)(1 + x^M)²: without the last factor the start lies to the left of the root.
        let x = root_of_ratio(b, from_u32(self.depth), self.depth - 1);
        let start = Root { x, power: power(x, self.depth), steps: 0 };
        if start.power < T::epsilon() * T::epsilon() { start } else { self.settle(start, b) }
    }

    /// Newton's iteration in working precision from the right of the larger root, until one more
    /// accurate step is enough. A step upwards is a rounding error, so it ends the iteration too.
    fn fall(&self, start: T, pull: T, max_steps: usize) -> (T, usize) {
        let m = from_u32::<T>(self.depth);
        let mut x = start;
        for steps in 0..max_steps {
            let step = newton_step(m, pull / x, power(x, self.depth));
            x = x - x * step;
            if step < self.last_step {
                return (x, steps + 1);
            }
        }
        (x, max_steps)
    }

    /// One accurate step, for x and for x^M.
    fn finish(&self, (x, steps): (T, usize), b: T) -> Root<T> {
        let last = self.accurate_step(x, b);
        let change = from_u32::<T>(self.depth) * last.step;
        if change.abs() > self.close {
            return self.finish_from_afar((x, steps), last, b);
        }
        Root { x: x - x * last.step, power: last.power - last.power * change, steps: steps + 1 }
    }

    /// The same where the square of the step cannot be left out, because the rounding error of x times
    /// M is no longer small or `powf` is worse than that of `f32` and `f64`: the last step is of third
    /// order.
    #[cold]
    fn finish_from_afar(&self, (mut x, mut steps): (T, usize), first: Step<T>, b: T) -> Root<T> {
        let (m, two, three) = (from_u32::<T>(self.depth), from_u32::<T>(2), from_u32::<T>(3));
        let mut last = first;
        let close = T::epsilon().cbrt() / from_u32(4);
        // Where x is the number nearest to the root, the step is half a unit in its last place.
        let nearest = T::epsilon() * (two / three);
        while last.step.abs() > nearest.max(close / m) && steps < MAX_STEPS {
            x = x - x * last.step;
            steps += 1;
            last = self.accurate_step(x, b);
        }
        let Step { step, power, unfitted, slope } = last;
        // L″/2 = M² q/(q+1)². The change is that of −ln x.
        let half_curvature = m * unfitted * m * (T::one() - unfitted);
        let bend = slope / two - half_curvature / slope;
        let change = step - step * step * bend;
        // exp to the third order, of it and of its M-fold: in `f32` that of a deep head can be a hundredth.
        let of_power = m * change;
        let power_share = of_power - of_power * of_power / two * (T::one() - of_power / three);
        Root {
            x: x - x * (change - change * change / two),
            power: power - power * power_share,
            steps: steps + 1,
        }
    }

    /// Newton's iteration with accurate residuals until it stands still, for roots that may be
    /// nearly double. The power stays that of the start.
    fn settle(&self, start: Root<T>, b: T) -> Root<T> {
        let mut root = start;
        for _ in 0..MAX_STEPS {
            let step = self.accurate_step(root.x, b).step;
            root.x = root.x - root.x * step;
            root.steps += 1;
            if step.abs() <= T::epsilon() {
                break;
            }
        }
        root
    }

    /// One Newton step, relative to x, with the residual in twice the precision.
    ///
    /// With L(y) = ln(b x(q+1)²/(M q)), y = ln x and q = x^M, it is (e^L − 1)/L′.
    fn accurate_step(&self, x: T, b: T) -> Step<T> {
        let m = from_u32::<T>(self.depth);
        let q = DoubleDouble::power(x, self.depth);
        let q_plus_one = q.plus(T::one());
        let pulled = q.times(m);
        let unfitted = q_plus_one.value().recip();
        let slope = m + T::one() - (m + m) * unfitted;
        let scale = (pulled.value() * slope).recip();
        // b x (q+1)² − M q; the products are ordered so that none overflows before the whole does.
        let fitted = DoubleDouble::product(b, x) * q_plus_one * q_plus_one;
        Step { step: (fitted - pulled).value() * scale, power: q.value(), unfitted, slope }
    }

    /// The larger root where x^(−M) vanishes beside 1 and x^(M+1) = M/b remains.
    #[cold]
    fn larger_of_tiny_slope(&self, b: T) -> Root<T> {
        let m = from_u32::<T>(self.depth);
        // For M = 2³² − 1 the root of degree M is the one of degree M + 1 to the last bit.
        let x = root_of_ratio(m, b, self.depth.saturating_add(1));
        // x^M = (M/b)/x, in an order that overflows only where x^M does.
        Root { x, power: m / x / b, steps: 0 }
    }
}

/// Whether M/b or the residuals of Newton's iteration could overflow.
fn is_tiny<T: Float>(b: T) -> bool {
    b < T::min_positive_value() / (T::epsilon() * T::epsilon())
}

/// A start close to the larger root up to the threshold, and a bound on its relative error times M
/// (where that is small), from x₀ = (M/b)^(1/(M+1)), where the root of F would be without the terms 2 + x^(−M), and
/// u₀ = x₀^(−M).
///
/// With u = x^(−M), F(x) = 0 is x = x₀(1 + u)^(−s) for s = 2/(M+1), and u = u₀(1 + u)^(2−s). The start
/// puts the Padé approximant [1/1] of u/u₀ = 1 + (2−s)u₀ + (2−s)(5−3s)/2·u₀² + … into that of
/// (1 + u)^(−s). Both err on the side of a larger x, so the start lies to the right of the root:
/// by 4 % at the threshold of two layers, where it is worst, 4·10⁻⁴ at that of six. The error times M
/// is u₀³/6 + 4u₀⁴ at most.
fn near_start<T: Float>(m: T, far: T, u: T) -> (T, T) {
    let two = from_u32::<T>(2);
    let s = two / (m + T::one());
    let (below, above) = ((T::one() - s) / two, (T::one() + s) / two);
    let numerator = u - below * u * u;
    let denominator = T::one() - (below + two - s) * u;
    let start = far * ((denominator + below * numerator) / (denominator + above * numerator));
    (start, u * u * u / from_u32(4))
}

/// One Newton step for F(x) = 0, relative to x, from M, (M/b)/x and x^M.
fn newton_step<T: Float>(m: T, pull: T, q: T) -> T {
    let two = from_u32::<T>(2);
    let inverse = q.recip();
    let residual = q + two + inverse - pull;
    residual / ((m + T::one()) * q + two - (m - T::one()) * inverse)
}

/// x = 1/√b − 1 = (1 − b)/(b + √b) for M = 1, without cancellation and with √b to twice the precision.
fn root_of_depth_one<T: Float>(b: T) -> Root<T> {
    let x = if is_tiny(b) {
        // Beside 1/√b the 1 vanishes, and an even power of two keeps the residual of √b normal.
        let scale = T::epsilon().powi(-2);
        let (root, root_error) = accurate_square_root(b * scale * scale);
        DoubleDouble::from(T::one()).over(DoubleDouble::fast_sum(root, root_error)) * scale
    } else {
        let (root, root_error) = accurate_square_root(b);
        let numerator = DoubleDouble::from(T::one()).plus(-b);
        numerator.over(DoubleDouble::sum(root, b).plus(root_error))
    };
    Root { x, power: x, steps: 0 }
}

/// √b and what its rounding left out.
fn accurate_square_root<T: Float>(b: T) -> (T, T) {
    let root = b.sqrt();
    (root, (DoubleDouble::from(b) - DoubleDouble::product(root, root)).value() / (root + root))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::squared::Potential;

    /// Starts that are worse give the same roots, after more steps: this is what is promised of them.
    #[test]
    fn starts_lie_to_the_right_within_their_bound() {
        for depth in [2, 3, 4, 6, 10, 100, 100_000] {
            let solver = Solver::<f64>::new(depth);
            let m = f64::from(depth);
            for share in [1e-6, 1e-3, 0.1, 0.5, 0.9, 1.0] {
                let b = share * Potential::<f64>::new(depth).unwrap().slope_threshold();
                let pull = m / b;
                let far = pull.powf((m + 1.0).recip());
                let u = far / pull;
                let (start, bound) = near_start(m, far, u);
                let root = solver.global(b).x;
                let error = (start / root - 1.0) * m;
                let rounding = 8.0 * f64::EPSILON * m;
                assert!(error >= -rounding, "M = {depth}, {share} β: {error:e}");
                let worst = u.powi(3) / 6.0 + 4.0 * u.powi(4) + rounding;
                assert!(error <= worst, "M = {depth}, {share} β: {error:e} > {worst:e}");
                assert_eq!(bound, u.powi(3) / 4.0);
            }
        }
    }

    /// From wherever it begins, the last step of third order ends at the root, after few steps before it.
    #[test]
    fn roots_are_reached_from_afar() {
        for depth in [2, 5, 100, 100_000] {
            let (solver, m) = (Solver::<f64>::new(depth), f64::from(depth));
            let b = 0.7 * Potential::<f64>::new(depth).unwrap().slope_threshold();
            let root = solver.global(b);
            for (error, steps) in [(1e-1, 4), (1e-3, 2), (3e-6, 2), (1e-6, 1), (-1e-6, 1), (0.0, 1)]
            {
                let x = root.x * (1.0 + error / m);
                let found = solver.finish_from_afar((x, 0), solver.accurate_step(x, b), b);
                let ratios = [found.x / root.x - 1.0, found.power / root.power - 1.0];
                let is_root = ratios.iter().all(|ratio| ratio.abs() <= 8.0 * f64::EPSILON);
                assert!(is_root, "M = {depth}, {error}: {ratios:?}");
                assert_eq!(found.steps, steps, "M = {depth}, {error}");
            }
        }
    }

    /// Few steps, and as many as are said: of the larger root from near and from far, and of the smaller one.
    #[test]
    fn steps_are_counted() {
        for (depth, share, in_f64, in_f32) in [
            (2, 1e-9, [1, 3, 1], [1, 3, 0]),
            (2, 0.1, [2, 5, 3], [1, 4, 2]),
            (2, 1.0, [4, 7, 5], [3, 6, 4]),
            (3, 0.9, [4, 6, 4], [3, 5, 3]),
            (10, 1.0, [3, 6, 5], [2, 5, 4]),
            (1000, 1.0, [1, 4, 4], [1, 3, 2]),
        ] {
            let b = share * Potential::<f64>::new(depth).unwrap().slope_threshold();
            let solver = Solver::<f64>::new(depth);
            let found = [solver.global(b), solver.larger(b), solver.smaller(b)];
            assert_eq!(found.map(|root| root.steps), in_f64, "M = {depth}, {share} β");
            let (solver, b) = (Solver::<f32>::new(depth), b as f32);
            let found = [solver.global(b), solver.larger(b), solver.smaller(b)];
            assert_eq!(found.map(|root| root.steps), in_f32, "M = {depth}, {share} β");
        }
    }

    #[test]
    fn newton_steps_square_the_error() {
        for depth in [2, 3, 5, 20] {
            let (solver, m) = (Solver::<f64>::new(depth), f64::from(depth));
            let b = 0.5 * Potential::<f64>::new(depth).unwrap().slope_threshold();
            let root = solver.global(b).x;
            for error in [1e-3, 1e-5] {
                let x = root * (1.0 + error);
                let left = (x - x * newton_step(m, m / b / x, power(x, depth))) / root - 1.0;
                assert!(
                    (0.0..=m * error * error).contains(&(left + 1e-14)),
                    "M = {depth}: {left:e}"
                );
            }
        }
    }

    /// Up to these limits the square of an error is below a quarter of an ulp, of x^M and after a Newton step.
    #[test]
    fn limits_are_square_roots_of_rounding_errors() {
        let (double, single) = (Solver::<f64>::new(3), Solver::<f32>::new(3));
        assert_eq!(double.close, 2_f64.powi(-27));
        assert!((single.close.powi(2) / f32::EPSILON - 0.25).abs() < 1e-6);
        let reached = (3.0 * double.last_step).powi(2) / double.close;
        assert!((reached - 1.0).abs() < 1e-15, "{reached}");
    }

    /// In single precision M times an error of x is up to a hundredth. Where x^M is large, an error h of what the last step
    /// finds means x^M/(1 + h), of which it leaves out h³/3.
    #[test]
    fn powers_of_deep_heads_have_the_third_order() {
        let (depth, epsilon) = (1 << 17, f64::from(f32::EPSILON));
        let solver = Solver::<f32>::new(depth);
        let mut largest = 0.0;
        for b in (400..900).map(|i| i as f32 / 1000.0) {
            let exact = Solver::<f64>::new(depth).global(f64::from(b));
            let nearest = exact.x as f32;
            for x in [nearest, nearest.next_up(), nearest.next_down()] {
                let last = solver.accurate_step(x, b);
                let h = f64::from(depth) * f64::from(last.step);
                let found = solver.finish_from_afar((x, 0), last, b);
                let error = f64::from(found.power) / exact.power - 1.0;
                if found.steps == 1 {
                    largest = f64::max(largest, h.abs());
                    let left_out = h.powi(3) / 3.0;
                    assert!((error - left_out).abs() < epsilon, "{x}, {b}: {error:e}");
                }
                assert!(error.abs() < 4.0 * epsilon, "{x}, {b}: {error:e}");
            }
        }
        assert!((0.0100..0.0105).contains(&largest), "{largest}");
    }

    /// x = 1/√b − 1 rounded once, also where the square of √b has no digits to spare.
    #[test]
    fn roots_of_one_layer_are_rounded_once() {
        let tiny = (1..300).map(f32::from_bits);
        let usual = (1..1000).map(|i| i as f32 / 1024.0);
        for b in tiny.chain(usual) {
            let wide = f64::from(b);
            let expected = (1.0 - wide) / (wide + wide.sqrt());
            assert_eq!(root_of_depth_one(b).x, expected as f32, "b = {b:e}");
        }
    }
}
