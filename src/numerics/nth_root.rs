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
    // Take out the power of two nearest to the root; half of it goes to either side of the ratio,
    // which keeps numerator and denominator normal.
    let scale = power_of_two((exponent / from_u32::<T>(2).ln()).round());
    let scaled_numerator = numerator / power(scale, degree / 2);
    let scaled_denominator = denominator * power(scale, degree - degree / 2);
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
