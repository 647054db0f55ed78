//! The logarithm of many numbers.

/// The bits of √½, 1 and the mantissa's ones.
const ROOT_OF_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
const ONE: u64 = 1.0_f64.to_bits();
const MANTISSA: u64 = (1 << 52) - 1;

/// 2⁵² as a number, and as the bits whose last digits are those of an integer.
const INTEGER: f64 = (1_u64 << 52) as f64;

/// ln 2 as a number of 32 bits, whose product with an exponent is exact, and the rest.
const LN_2: (f64, f64) = (0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10);

/// 1/3, 1/5, …: the series of the inverse hyperbolic tangent. The first term that is left out is below 2⁻⁵⁵.
const SERIES: [f64; 9] = {
    let (mut series, mut divisor) = ([0.0; 9], 3.0);
    let mut term = 0;
    while term < series.len() {
        series[term] = 1.0 / divisor;
        (term, divisor) = (term + 1, divisor + 2.0);
    }
    series
};

/// ln x for a positive normal number, with a relative error below 2⁻⁵¹. Of others, infinity and NaN among them, it makes a
/// finite number without a meaning.
///
/// Unlike `f64::ln` it can be compiled for the vector units: there is no branch and no call. x = 2ᵉ m with √½ ≤ m < √2,
/// and ln m = 2 artanh s = 2 (s + s³/3 + s⁵/5 + …) for s = (m − 1)/(m + 1), |s| < 0.172.
#[inline(always)]
pub(crate) fn ln(x: f64) -> f64 {
    let shifted = x.to_bits().wrapping_add(ONE - ROOT_OF_HALF);
    // An integer to a number without an instruction that old vector units lack.
    let exponent = f64::from_bits(shifted >> 52 | INTEGER.to_bits()) - (INTEGER + 1023.0);
    let mantissa = f64::from_bits((shifted & MANTISSA) + ROOT_OF_HALF);
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let mut series = 0.0;
    for coefficient in SERIES.iter().rev() {
        series = (series + coefficient) * square;
    }
    exponent * LN_2.0 + (2.0 * s + (2.0 * s * series + exponent * LN_2.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_the_standard_library() {
        let numbers = (0..40_000).map(|i| 1.0 + (f64::from(i) - 20_000.0) * 3e-5);
        let powers = (-1022..1024).map(|e| 1.37 * 2.0_f64.powi(e).max(f64::MIN_POSITIVE));
        let near_one = (1..60).flat_map(|e| [1.0 + 0.5_f64.powi(e), 1.0 - 0.5_f64.powi(e)]);
        let edges = [f64::MIN_POSITIVE, f64::MAX, f64::from_bits(ROOT_OF_HALF), 2.0_f64.sqrt()];
        for x in numbers.chain(powers).chain(near_one).chain(edges).filter(|&x| x > 0.0) {
            let (found, expected) = (ln(x), x.ln());
            let error = (found - expected).abs();
            assert!(error <= 2.0 * f64::EPSILON * expected.abs(), "{x:e}: {found} {expected}");
        }
        assert_eq!(ln(1.0).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn the_two_parts_of_ln_2_are_exact() {
        assert_eq!(LN_2.0 + LN_2.1, std::f64::consts::LN_2);
        assert_eq!(LN_2.0.to_bits() & 0xf_ffff, 0);
    }
}
