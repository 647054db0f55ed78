//! Roots such as (N P)^(1/M) of the decays of a problem, whose product P may be far below the smallest `f64`.

use crate::error::{Error, Result};
use crate::numerics::double_double::Twofold;
use crate::numerics::nth_root::{from_u32, root_of_ratio};
use crate::problem::regularization::Regularization;

/// The unit of energy (N P)^(1/M) of the squared loss, with P = λ_H Πλₘ, within 2 ulp.
pub(crate) fn energy_unit(samples: f64, penalties: &Regularization) -> Result<f64> {
    if samples.is_infinite() {
        let quantity = "the effective number of samples N(1 + λ_b)/λ_b";
        return Err(Error::Unrepresentable { quantity, log10: f64::INFINITY });
    }
    let unit = root_of_decays(samples, penalties, penalties.depth());
    unit.map_err(|log10| Error::Unrepresentable {
        quantity: "the energy scale (N λ_H Πλₘ)^(1/M)",
        log10,
    })
}

/// The mean decay (n P)^(1/(M+1)) of the M layers and the features, which is what the cross-entropy
/// loss depends on, within 2 ulp.
pub(crate) fn mean_decay(samples: f64, penalties: &Regularization) -> Result<f64> {
    let mean = root_of_decays(samples, penalties, penalties.depth().saturating_add(1));
    mean.map_err(|log10| Error::Unrepresentable {
        quantity: "the mean decay (n λ_H Πλₘ)^(1/(M+1))",
        log10,
    })
}

/// (samples·P)^(1/degree), or its decimal logarithm if it is out of range.
///
/// M = 150 layers with λ = 1e-5 have P = 1e-755 and an ordinary M-th root of about 1e-5: the product
/// is therefore kept as a mantissa in twice the precision and an exponent.
fn root_of_decays(
    samples: f64,
    penalties: &Regularization,
    degree: usize,
) -> core::result::Result<f64, f64> {
    let mut mantissa = Twofold::from(1.0);
    let mut exponent = 0_i64;
    let decays = penalties.weight_decays().iter().copied();
    for factor in decays.chain([penalties.feature_decay(), samples]) {
        let (factor_mantissa, factor_exponent) = split(factor);
        mantissa = mantissa.times(factor_mantissa);
        exponent += factor_exponent;
        if mantissa.value() >= 2.0 {
            mantissa = mantissa.times(0.5);
            exponent += 1;
        }
    }
    root_of_product(mantissa.value(), exponent, degree)
}

/// (mantissa·2^exponent)^(1/degree) for a mantissa in [1, 2), or its decimal logarithm.
fn root_of_product(mantissa: f64, exponent: i64, degree: usize) -> core::result::Result<f64, f64> {
    let degree = u32::try_from(degree).unwrap_or(u32::MAX);
    let (whole, rest) =
        (exponent.div_euclid(i64::from(degree)), exponent.rem_euclid(i64::from(degree)));
    let root = if rest < 512 {
        root_of_ratio(mantissa * power_of_two(rest), 1.0, degree)
    } else {
        // The exponent is below 1, so that its rounding error is below that of the result.
        ((mantissa.log2() + rest as f64) / from_u32::<f64>(degree)).exp2()
    };
    let scaled = i32::try_from(whole).map_or(f64::NAN, |whole| times_power_of_two(root, whole));
    if scaled.is_normal() {
        return Ok(scaled);
    }
    Err((root.log2() + whole as f64) * core::f64::consts::LOG10_2)
}

/// `value` = mantissa·2^exponent with a mantissa in [1, 2), for a positive finite value.
fn split(value: f64) -> (f64, i64) {
    const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    if value < f64::MIN_POSITIVE {
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

/// `value`·2^exponent, in two steps so that neither factor is out of range while the result is in it.
fn times_power_of_two(value: f64, exponent: i32) -> f64 {
    let half = exponent / 2;
    value * 2.0_f64.powi(half) * 2.0_f64.powi(exponent - half)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(samples: f64, decays: &[f64], feature_decay: f64) -> Result<f64> {
        energy_unit(samples, &Regularization::new(decays, feature_decay).unwrap())
    }

    #[test]
    fn a_product_below_every_double_has_an_ordinary_root() {
        // N = 1e5 makes N P = (1e-5)^150 exactly.
        let got = unit(1e5, &[1e-5; 150], 1e-5).unwrap();
        assert!((got / 1e-5 - 1.0).abs() < 4e-16, "{got:e}");
    }

    #[test]
    fn exact_powers_are_exact() {
        assert_eq!(unit(4.0, &[0.25, 0.25], 0.25).unwrap(), 0.25);
        assert_eq!(
            unit(1.0, &[2.0_f64.powi(-1074)], 2.0_f64.powi(100)).unwrap(),
            2.0_f64.powi(-974)
        );
        assert_eq!(unit(2.0, &[0.125; 2000], 0.5).unwrap(), 0.125);
    }

    #[test]
    fn a_vanishing_bias_decay_is_an_error_and_not_an_endless_recursion() {
        use crate::{Bias, ClassCounts, Ufm};
        let penalties = Regularization::new(&[1e-3], 1e-3).unwrap();
        let penalties = penalties.with_bias(Bias::Regularized(5e-324)).unwrap();
        let ufm = Ufm::new(ClassCounts::balanced(3, 5).unwrap(), penalties).unwrap();
        assert!(matches!(ufm.global_minimum(), Err(Error::Unrepresentable { .. })));
    }

    #[test]
    fn an_unrepresentable_scale_is_an_error() {
        let error = unit(10.0, &[1e-200], 1e-200).unwrap_err();
        let Error::Unrepresentable { log10, .. } = error else { panic!("{error}") };
        assert!((log10 + 399.0).abs() < 1e-9, "{log10}");
        assert!(unit(10.0, &[1e300], 1e300).is_err());
    }
}
