//! Roots of products of many numbers, such as (N P)^(1/M), whose product may be far outside of the range of `f64`.

use crate::numerics::double_double::DoubleDouble;
use crate::numerics::nth_root::{from_u32, root_of_ratio};

/// The root of a product, too small or too large for an `f64`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct OutOfRange {
    /// Its decimal logarithm.
    pub(crate) log10: f64,
}

/// The root of degree `degree` ≥ 1 of the product of positive finite numbers, within 2 ulp.
///
/// 150 numbers of 1e-5 have the product 1e-750 and an ordinary 150th root: the product is therefore kept as a
/// mantissa in twice the precision and an exponent.
pub(crate) fn root_of_product(
    factors: impl IntoIterator<Item = f64>,
    degree: u32,
) -> Result<f64, OutOfRange> {
    let mut mantissa = DoubleDouble::from(1.0);
    let mut exponent = 0_i64;
    for factor in factors {
        let (factor_mantissa, factor_exponent) = split(factor);
        mantissa = mantissa.times(factor_mantissa);
        exponent += factor_exponent;
        if mantissa.value() >= 2.0 {
            mantissa = mantissa.times(0.5);
            exponent += 1;
        }
    }
    root_of_scaled(mantissa.value(), exponent, degree)
}

/// (mantissa·2^exponent)^(1/degree) for a mantissa in [1, 2).
fn root_of_scaled(mantissa: f64, exponent: i64, degree: u32) -> Result<f64, OutOfRange> {
    let (whole, rest) =
        (exponent.div_euclid(i64::from(degree)), exponent.rem_euclid(i64::from(degree)));
    let root = if rest < 512 {
        root_of_ratio(mantissa * power_of_two(rest), 1.0, degree)
    } else {
        // The exponent is below 1, so that its rounding error is below that of the result.
        ((mantissa.log2() + rest as f64) / from_u32::<f64>(degree)).exp2()
    };
    let scaled = i32::try_from(whole).ok().map(|whole| root * 2.0_f64.powi(whole));
    scaled.filter(|scaled| scaled.is_normal()).ok_or_else(|| OutOfRange {
        log10: (root.log2() + whole as f64) * core::f64::consts::LOG10_2,
    })
}

/// `value` = mantissa·2^exponent with a mantissa in [1, 2), for a positive finite value.
fn split(value: f64) -> (f64, i64) {
    const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    if value.is_subnormal() {
        let (mantissa, exponent) = split(value * power_of_two(64));
        return (mantissa, exponent - 64);
    }
    let bits = value.to_bits();
    let biased_exponent = (bits >> MANTISSA_BITS) as i64;
    let mantissa_bits = bits & ((1 << MANTISSA_BITS) - 1);
    (f64::from_bits(mantissa_bits | 1.0_f64.to_bits()), biased_exponent - 1023)
}

/// 2^exponent for 0 ≤ exponent < 1024.
fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << (f64::MANTISSA_DIGITS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_below_every_double_has_an_ordinary_root() {
        // 1e5·1e-5 makes the product (1e-5)^150 exactly.
        let factors = [1e-5; 151].into_iter().chain([1e5]);
        let got = root_of_product(factors, 150).unwrap();
        assert!((got / 1e-5 - 1.0).abs() < 4e-16, "{got:e}");
    }

    #[test]
    fn exact_powers_are_exact() {
        assert_eq!(root_of_product([0.25, 0.25, 0.25, 4.0], 2), Ok(0.25));
        let powers = [f64::from_bits(1), 2.0_f64.powi(100)];
        assert_eq!(root_of_product(powers, 1), Ok(2.0_f64.powi(-974)));
        assert_eq!(root_of_product([0.125; 2001].into_iter().chain([8.0]), 2000), Ok(0.125));
    }

    #[test]
    fn powers_of_whole_numbers_have_exact_roots() {
        for base in (3..100).map(f64::from) {
            for degree in (1..512).step_by(7) {
                let factors = core::iter::repeat_n(base, degree);
                assert_eq!(root_of_product(factors, degree as u32), Ok(base), "{degree}");
            }
        }
    }

    /// The least and the greatest normal double, and numbers just beyond them.
    #[test]
    fn roots_reach_to_the_ends_of_the_range() {
        let least = f64::MIN_POSITIVE;
        assert_eq!(root_of_product([least; 3], 3), Ok(least));
        assert_eq!(root_of_product([f64::MAX; 3], 3), Ok(f64::MAX));
        assert_eq!(root_of_product([5e-324, 2.0_f64.powi(52)], 1), Ok(least));
        let OutOfRange { log10 } = root_of_product([least, 0.5], 1).unwrap_err();
        assert!((log10 + 1023.0 * core::f64::consts::LOG10_2).abs() < 1e-12, "{log10}");
        let OutOfRange { log10 } = root_of_product([2.0_f64.powi(1023), 2.0], 1).unwrap_err();
        assert!((log10 - 1024.0 * core::f64::consts::LOG10_2).abs() < 1e-12, "{log10}");
    }

    #[test]
    fn a_root_out_of_range_tells_its_size() {
        let OutOfRange { log10 } = root_of_product([1e-200, 1e-200, 10.0], 1).unwrap_err();
        assert!((log10 + 399.0).abs() < 1e-9, "{log10}");
        assert!(root_of_product([1e300, 1e300, 10.0], 1).is_err());
    }

    #[test]
    fn roots_of_a_degree_beyond_the_exponents_of_doubles() {
        let near = |got: f64, expected: f64| (got / expected - 1.0).abs() <= 2.0 * f64::EPSILON;
        let small = 2.0_f64.powi(-1000);
        let root = root_of_product([small], 2000).unwrap();
        assert!(near(root, core::f64::consts::FRAC_1_SQRT_2), "{root}");
        // (3/2)^(1/2000)/√2 by mpmath.
        let root = root_of_product([1.5, small], 2000).unwrap();
        assert!(near(root, 0.707_250_149_282_485_5), "{root}");
        // 2^(−1/3): the exponent is −1 + 2000/3000.
        let root = root_of_product([small], 3000).unwrap();
        assert!(near(root, 0.793_700_525_984_099_7), "{root}");
    }
}
