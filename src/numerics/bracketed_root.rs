//! The point where an increasing function changes its sign.

/// Cap on the evaluations. Bisection alone needs at most some 1100 to separate two doubles, but only
/// 60 for the last digits of a number of the size of its bracket; interpolation takes about ten.
const MAX_STEPS: usize = 200;

/// The zero in (low, high) of a function that is negative at `low` and positive at `high`, or the end
/// at which it is not so.
///
/// Chandrupatla's method (Adv. Eng. Software 28, 1997): inverse quadratic interpolation where the three
/// last points allow it, bisection where they do not. The bracket is kept, and it ends when the bracket
/// is as small as the spacing of doubles. Values that are infinite or NaN lead to bisection.
pub(crate) fn sign_change(low: f64, high: f64, mut function: impl FnMut(f64) -> f64) -> f64 {
    let (mut newest, mut other) = (point(high, &mut function), point(low, &mut function));
    if other.value >= 0.0 {
        return low;
    }
    if newest.value <= 0.0 {
        return high;
    }
    let mut fraction = 0.5;
    for _ in 0..MAX_STEPS {
        let next = point(newest.at + fraction * (other.at - newest.at), &mut function);
        let previous;
        if (next.value > 0.0) == (newest.value > 0.0) {
            previous = newest;
        } else {
            previous = other;
            other = newest;
        }
        newest = next;
        let best = if newest.value.abs() < other.value.abs() { newest } else { other };
        let tolerance = f64::EPSILON * best.at.abs() / (other.at - newest.at).abs();
        if best.value == 0.0 || tolerance >= 0.5 || newest.at == other.at {
            return best.at;
        }
        let interpolated = interpolate(newest, other, previous).unwrap_or(0.5);
        fraction = interpolated.clamp(tolerance, 1.0 - tolerance);
    }
    newest.at
}

#[derive(Clone, Copy)]
struct Point {
    at: f64,
    value: f64,
}

fn point(at: f64, function: &mut impl FnMut(f64) -> f64) -> Point {
    Point { at, value: function(at) }
}

/// Where inverse quadratic interpolation puts the zero, as a share of the way from a to b, if it is
/// monotone between them.
fn interpolate(a: Point, b: Point, c: Point) -> Option<f64> {
    let xi = (a.at - b.at) / (c.at - b.at);
    let phi = (a.value - b.value) / (c.value - b.value);
    let monotone = phi * phi < xi && (1.0 - phi) * (1.0 - phi) < 1.0 - xi;
    let share = a.value / (b.value - a.value) * c.value / (b.value - c.value)
        + (c.at - a.at) / (b.at - a.at) * a.value / (c.value - a.value) * b.value
            / (c.value - b.value);
    (monotone && share.is_finite()).then_some(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_found_to_the_last_bits() {
        type Case = (f64, f64, fn(f64) -> f64, f64);
        let cases: [Case; 6] = [
            (0.0, 2.0, |x| x * x - 2.0, 2.0_f64.sqrt()),
            (-10.0, 1000.0, |x| x.exp() - 1e10, 1e10_f64.ln()),
            (0.0, 1.0, |x| x.powi(9) - 1e-30, 1e-30_f64.powf(1.0 / 9.0)),
            (0.0, 1.0, |x| if x < 0.3 { f64::NEG_INFINITY } else { 1.0 }, 0.3),
            (0.0, 1e9, |x| (x - 1.0).cbrt(), 1.0),
            (-1.0, 3.0, |x| if x < 1e-3 { -1e-3 } else { x }, 1e-3),
        ];
        for (index, (low, high, function, expected)) in cases.into_iter().enumerate() {
            let (mut evaluations, mut closest) = (0, f64::INFINITY);
            let found = sign_change(low, high, |x| {
                evaluations += 1;
                closest = closest.min(function(x).abs());
                function(x)
            });
            assert_eq!(function(found).abs(), closest, "case {index}");
            assert!((found / expected - 1.0).abs() < 1e-15, "case {index}: {found:e}");
            assert!(evaluations < 120, "case {index}: {evaluations} evaluations");
        }
    }

    #[test]
    fn without_a_sign_change_it_is_the_end_nearest_to_one() {
        assert_eq!(sign_change(1.0, 2.0, |x| x), 1.0);
        assert_eq!(sign_change(1.0, 2.0, |x| -x), 2.0);
    }

    /// Where x is a quadratic function of the value, interpolation hits the zero.
    #[test]
    fn quadratic_inverses_are_interpolated_exactly() {
        let on_curve = |value: f64| Point { at: 1.0 + 2.0 * value + 0.3 * value * value, value };
        for values in [[-0.2, 0.5, -0.9], [0.3, -0.4, 0.8], [0.1, -1.0, 1.0]] {
            let [newest, other, previous] = values.map(on_curve);
            let share = interpolate(newest, other, previous).unwrap();
            let found = newest.at + share * (other.at - newest.at);
            assert!((found - 1.0).abs() < 1e-14, "{values:?}: {found}");
        }
    }

    /// With φ = 0.6 the newest point has to be between the shares φ² and 1 − (1 − φ)² of the way.
    #[test]
    fn points_far_from_a_line_are_not_interpolated() {
        let (other, previous) = (Point { at: 1.0, value: 1.0 }, Point { at: 0.0, value: -1.0 });
        let is_interpolated = |share: f64| {
            interpolate(Point { at: 1.0 - share, value: -0.2 }, other, previous).is_some()
        };
        assert_eq!(
            [0.35, 0.37, 0.6, 0.83, 0.85].map(is_interpolated),
            [false, true, true, true, false]
        );
    }
}
