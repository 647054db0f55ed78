//! Integer roots of ratios, accurate to the last bits.

use num_traits::Float;

use crate::numerics::double_double::DoubleDouble;

/// Cap on the Newton steps; three are needed at the most when `powf` has half of the digits right.
const MAX_STEPS: usize = 8;

/// The root (numerator/denominator)^(1/degree) of a ratio of positive numbers, within 1 ulp.
///
/// `powf` alone loses ln(ratio)/degree ulp, because it rounds 1/degree; one Newton step with the
/// residual of yⁿ·denominator − numerator in twice the precision restores them.
pub(crate) fn root_of_ratio<T: Float>(numerator: T, denominator: T, degree: u32) -> T {
    let ratio = numerator / denominator;
    if degree == 1 {
        return ratio;
    }
    let ratio_limit = T::epsilon() * T::epsilon() / T::min_positive_value();
    if ratio > ratio_limit || ratio < ratio_limit.recip() {
        return extreme_root(numerator, denominator, degree);
    }
    polish(ratio.powf(from_u32::<T>(degree).recip()), numerator, denominator, degree)
}

/// Newton's iteration for yⁿ = numerator/denominator from a start with a few digits right.
fn polish<T: Float>(start: T, numerator: T, denominator: T, degree: u32) -> T {
    let mut root = start;
    for _ in 0..MAX_STEPS {
        let step = newton_step(root, numerator, denominator, degree);
        root = root + root * step;
        if step.abs() * from_u32(degree) < T::epsilon().sqrt() {
            break;
        }
    }
    root
}

/// The root of a ratio of small integers, in twice the precision.
pub(crate) fn double_double_root<T: Float>(
    numerator: u32,
    denominator: u32,
    degree: u32,
) -> DoubleDouble<T> {
    let (numerator, denominator) = (from_u32::<T>(numerator), from_u32::<T>(denominator));
    let root = root_of_ratio(numerator, denominator, degree);
    let step = newton_step(root, numerator, denominator, degree);
    DoubleDouble::fast_sum(root, root * step)
}

/// (numerator − denominator·yⁿ)/(n·numerator), with the difference in twice the precision.
fn newton_step<T: Float>(root: T, numerator: T, denominator: T, degree: u32) -> T {
    let power = DoubleDouble::power(root, degree).times(denominator);
    (DoubleDouble::from(numerator) - power).value() / (from_u32::<T>(degree) * numerator)
}

/// [`root_of_ratio`] where the powers in [`polish`] would overflow or underflow.
#[cold]
fn extreme_root<T: Float>(numerator: T, denominator: T, degree: u32) -> T {
    let logarithm = numerator.ln() - denominator.ln();
    let exponent = logarithm / from_u32(degree);
    if from_u32::<T>(degree) > T::max_value().ln() {
        // The logarithm's rounding error is divided by a degree as large as the logarithm itself.
        let root = exponent.exp();
        return root + root * balanced_step(root, numerator, denominator, degree);
    }
    // Takes the power of two out n times, each time of whichever is farther from 1, so that neither leaves the range.
    let scale = power_near(exponent);
    let (mut scaled_numerator, mut scaled_denominator) = (numerator, denominator);
    for _ in 0..degree {
        if (scaled_numerator * scaled_denominator > T::one()) == (scale > T::one()) {
            scaled_numerator = scaled_numerator / scale;
        } else {
            scaled_denominator = scaled_denominator * scale;
        }
    }
    scale * root_of_ratio(scaled_numerator, scaled_denominator, degree)
}

/// [`newton_step`] for numbers so far apart that the power itself may overflow: both are scaled by one
/// power of two, which puts them on either side of 1, and the power is taken in two halves.
fn balanced_step<T: Float>(root: T, numerator: T, denominator: T, degree: u32) -> T {
    let middle = (numerator.log2() + denominator.log2()) / from_u32(2);
    let scale = power_of_two(-middle.round());
    let (numerator, denominator) = (numerator * scale, denominator * scale);
    let half = DoubleDouble::power(root, degree / 2).times(denominator);
    let power = half * DoubleDouble::power(root, degree - degree / 2);
    (DoubleDouble::from(numerator) - power).value() / (from_u32::<T>(degree) * numerator)
}

/// The power of two that is nearest to e^`exponent`.
fn power_near<T: Float>(exponent: T) -> T {
    power_of_two((exponent / from_u32::<T>(2).ln()).round())
}

/// 2 to the power of a small whole number, exactly for every binary type, which `exp2` need not be.
fn power_of_two<T: Float>(exponent: T) -> T {
    let Some(whole) = exponent.abs().to_u32() else { return exponent.exp2() };
    let magnitude: T = power(from_u32(2), whole);
    if exponent < T::zero() { magnitude.recip() } else { magnitude }
}

/// `base` to the power `exponent`, by repeated squaring.
pub(crate) fn power<T: Float>(base: T, exponent: u32) -> T {
    let (mut result, mut square, mut rest) = (T::one(), base, exponent);
    loop {
        if rest & 1 == 1 {
            result = result * square;
        }
        rest >>= 1;
        if rest == 0 {
            return result;
        }
        square = square * square;
    }
}

/// `n` as a `T`; every `Float` represents or rounds every `u32`.
pub(crate) fn from_u32<T: Float>(n: u32) -> T {
    T::from(n).unwrap_or_else(T::infinity)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Within one ulp of roots by mpmath, of ratios in the range of doubles and out of it.
    #[test]
    fn roots_have_all_digits() {
        for (numerator, denominator, degree, expected) in [
            (2.0, 1.0, 2, core::f64::consts::SQRT_2),
            (10.0, 3.0, 5, 1.272_259_636_539_392_2),
            (0.1, 7.0, 11, 0.679_616_343_895_604_4),
            (3.0, 1e300, 7, 1.625_613_593_056_498_4e-43),
            (1e300, 1e-300, 7, 5.179_474_679_231_211e85),
            (1e-300, 1e300, 3, 1e-200),
            (7e307, 3e-308, 700, 7.570_021_442_998_107),
            (1e-300, 7e300, 711, 0.142_866_214_881_743_54),
            (1e300, 3e-300, 5000, 1.317_967_119_764_929),
            (1e-5, 3.0, 100_000, 0.999_873_892_574_673_6),
            (2.0, 3.0, 1_000_000, 0.999_999_594_534_974_1),
        ] {
            let found: f64 = root_of_ratio(numerator, denominator, degree);
            let error = (found / expected - 1.0).abs();
            assert!(error <= f64::EPSILON, "{numerator:e}/{denominator:e}, {degree}: {found:e}");
        }
    }

    /// x for (d x)ⁿ/dⁿ, as long as both are exact, in either precision.
    #[test]
    fn roots_of_powers_are_exact() {
        for degree in 1..=10 {
            for (x, d) in [(2_i32, 1_i32), (3, 2), (5, 4), (7, 3), (1, 6), (10, 9)] {
                let [numerator, denominator] = [x, d].map(|base| f64::from(base).powi(degree));
                let (root, degree) = (f64::from(x) / f64::from(d), degree as u32);
                assert_eq!(root_of_ratio(numerator, denominator, degree), root, "{x} {d} {degree}");
                if numerator.max(denominator) < 16_777_216.0 {
                    let found = root_of_ratio(numerator as f32, denominator as f32, degree);
                    assert_eq!(found, x as f32 / d as f32, "{x} {d} {degree}");
                }
                let [x, d] = [x, d].map(|base| base as u32);
                assert_eq!(
                    [x, d].map(|base| power(f64::from(base), degree)),
                    [numerator, denominator]
                );
            }
        }
    }

    /// The power of a root is 3/7 to twice as many digits.
    #[test]
    fn double_roots_have_twice_the_digits() {
        for degree in [2, 3, 5, 12] {
            let root = double_double_root::<f64>(3, 7, degree);
            let power = (1..degree).fold(root, |power, _| power * root);
            let rest = (power.times(7.0) - DoubleDouble::from(3.0)).value();
            assert!(rest.abs() < 1e-29, "{degree}: {rest:e}");
        }
        assert_eq!(
            [power_of_two(-3.0), power_of_two(0.0), power_of_two(10.0)],
            [0.125, 1.0, 1024.0]
        );
    }

    /// One step from 1.2 towards the fifth root of 10/3, and the same where both are scaled.
    #[test]
    fn a_newton_step_has_no_scale() {
        let start = 1.2_f64;
        let step = newton_step(start, 10.0, 3.0, 5);
        // (10 − 3 · 1.2⁵)/(5 · 10)
        assert!((step - 0.050_700_8).abs() < 1e-15, "{step}");
        let root = 1.272_259_636_539_392_2;
        assert!((polish(start, 10.0, 3.0, 5) - root).abs() <= f64::EPSILON);
        // Scaled by 2⁻ᵐ with m the mean of both logarithms, the step is the same.
        let (scale, root) = (2.0_f64.powi(300), 1.2_f64);
        assert!((balanced_step(root, 10.0 * scale, 3.0 * scale, 5) - step).abs() < 1e-15);
        let (numerator, denominator) = (10.0 * scale, 3.0 / scale);
        let step = balanced_step(2.0_f64.powi(120) * root, numerator, denominator, 5);
        assert!((step - 0.050_700_8).abs() < 1e-15, "{step}");
    }
}
