//! A double-double number, to run the library's own code with twice the digits.
//!
//! It is `twofloat::TwoFloat` with three things put right that the generic code depends on (version
//! 0.8.4): `epsilon()` is 2⁻¹⁰⁴ instead of the smallest normal `f64`; the smallest positive number is
//! one whose low word is still normal; and a quotient has all its digits, where `TwoFloat` computes
//! `1 − y·(1/y)` without a fused multiply-add, so that its quotients are right to 2⁻⁵³ only
//! (1/3 has a low word of zero).

use core::cmp::Ordering;
use core::num::FpCategory;
use core::ops::{Add, Div, Mul, Neg, Rem, Sub};

use num_traits::{Float, Num, NumCast, One, ToPrimitive, Zero};
use twofloat::TwoFloat;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DoubleDouble(TwoFloat);

impl DoubleDouble {
    /// The exact value of a number in decimal, to 30 digits.
    pub fn parse(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let exponent = exponent.parse::<i32>().unwrap() - i32::try_from(fraction.len()).unwrap();
        let (high, low) = digits.split_at(digits.len() / 2);
        let number =
            |text: &str| Self::from_u64(if text.is_empty() { 0 } else { text.parse().unwrap() });
        let value = number(high) * ten_to(i32::try_from(low.len()).unwrap()) + number(low);
        // In two steps, neither of which leaves the range.
        let half = exponent / 2;
        value.times_ten_to(half).times_ten_to(exponent - half)
    }

    fn times_ten_to(self, exponent: i32) -> Self {
        if exponent < 0 { self / ten_to(-exponent) } else { self * ten_to(exponent) }
    }

    pub fn from_f64(value: f64) -> Self {
        Self(value.into())
    }

    pub fn from_u64(value: u64) -> Self {
        Self::from_f64((value >> 32) as f64 * 4_294_967_296.0)
            + Self::from_f64((value & 0xFFFF_FFFF) as f64)
    }

    /// The nearest `f64`.
    pub fn nearest(self) -> f64 {
        self.0.hi()
    }

    /// |self − reference|/|reference|.
    pub fn relative_error(self, reference: Self) -> f64 {
        ((self - reference).nearest() / reference.nearest()).abs()
    }

    /// `self` to the power `exponent`.
    pub fn power(self, exponent: u32) -> Self {
        (0..u32::BITS).rev().fold(Self::one(), |power, bit| {
            let square = power * power;
            if exponent >> bit & 1 == 1 { square * self } else { square }
        })
    }
}

fn ten_to(exponent: i32) -> DoubleDouble {
    DoubleDouble::from_f64(10.0).power(exponent.unsigned_abs())
}

impl Add for DoubleDouble {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for DoubleDouble {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Mul for DoubleDouble {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self(self.0 * other.0)
    }
}

impl Div for DoubleDouble {
    type Output = Self;
    /// Long division, with three digits of 53 bits.
    fn div(self, other: Self) -> Self {
        let first = self.0.hi() / other.0.hi();
        let rest = self.0 - other.0 * first;
        let second = rest.hi() / other.0.hi();
        let rest = rest - other.0 * second;
        Self(TwoFloat::new_add(first, second) + rest.hi() / other.0.hi())
    }
}

impl Rem for DoubleDouble {
    type Output = Self;
    fn rem(self, other: Self) -> Self {
        Self(self.0 % other.0)
    }
}

impl Neg for DoubleDouble {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl PartialOrd for DoubleDouble {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.0.partial_cmp(&other.0)
    }
}

impl Zero for DoubleDouble {
    fn zero() -> Self {
        Self::from_f64(0.0)
    }
    fn is_zero(&self) -> bool {
        self.0.hi() == 0.0
    }
}

impl One for DoubleDouble {
    fn one() -> Self {
        Self::from_f64(1.0)
    }
}

impl Num for DoubleDouble {
    type FromStrRadixErr = ();
    fn from_str_radix(_: &str, _: u32) -> Result<Self, ()> {
        Err(())
    }
}

impl ToPrimitive for DoubleDouble {
    fn to_i64(&self) -> Option<i64> {
        self.0.to_i64()
    }
    fn to_u64(&self) -> Option<u64> {
        self.0.to_u64()
    }
    fn to_f64(&self) -> Option<f64> {
        Some(self.nearest())
    }
}

impl From<DoubleDouble> for f64 {
    fn from(number: DoubleDouble) -> Self {
        number.nearest()
    }
}

impl NumCast for DoubleDouble {
    fn from<N: ToPrimitive>(number: N) -> Option<Self> {
        <TwoFloat as NumCast>::from(number).map(Self)
    }
}

/// Functions that `TwoFloat` has as they should be.
macro_rules! forward {
    ($($name:ident($($argument:ident),*)),* $(,)?) => {
        $(fn $name(self, $($argument: Self),*) -> Self {
            Self(Float::$name(self.0, $($argument.0),*))
        })*
    };
}

impl Float for DoubleDouble {
    fn epsilon() -> Self {
        Self::from_f64(2.0_f64.powi(-104))
    }
    fn min_positive_value() -> Self {
        Self::from_f64(f64::MIN_POSITIVE * 2.0_f64.powi(53))
    }
    fn recip(self) -> Self {
        Self::one() / self
    }
    fn nan() -> Self {
        Self(TwoFloat::NAN)
    }
    fn infinity() -> Self {
        Self(TwoFloat::INFINITY)
    }
    fn neg_infinity() -> Self {
        Self(TwoFloat::NEG_INFINITY)
    }
    fn neg_zero() -> Self {
        Self::from_f64(-0.0)
    }
    fn min_value() -> Self {
        Self(TwoFloat::MIN)
    }
    fn max_value() -> Self {
        Self(TwoFloat::MAX)
    }
    fn is_nan(self) -> bool {
        self.0.hi().is_nan()
    }
    fn is_infinite(self) -> bool {
        self.0.hi().is_infinite()
    }
    fn is_finite(self) -> bool {
        self.0.hi().is_finite()
    }
    fn is_normal(self) -> bool {
        self.0.hi().is_normal()
    }
    fn classify(self) -> FpCategory {
        self.0.hi().classify()
    }
    fn is_sign_positive(self) -> bool {
        self.0.hi().is_sign_positive()
    }
    fn is_sign_negative(self) -> bool {
        self.0.hi().is_sign_negative()
    }
    fn powi(self, exponent: i32) -> Self {
        let power = self.power(exponent.unsigned_abs());
        if exponent < 0 { power.recip() } else { power }
    }
    fn mul_add(self, factor: Self, summand: Self) -> Self {
        self * factor + summand
    }
    fn sin_cos(self) -> (Self, Self) {
        (self.sin(), self.cos())
    }
    fn integer_decode(self) -> (u64, i16, i8) {
        Float::integer_decode(self.nearest())
    }
    forward!(
        floor(),
        ceil(),
        round(),
        trunc(),
        fract(),
        abs(),
        signum(),
        powf(n),
        sqrt(),
        exp(),
        exp2(),
        ln(),
        log(base),
        log2(),
        log10(),
        max(other),
        min(other),
        abs_sub(other),
        cbrt(),
        hypot(other),
        sin(),
        cos(),
        tan(),
        asin(),
        acos(),
        atan(),
        atan2(other),
        exp_m1(),
        ln_1p(),
        sinh(),
        cosh(),
        tanh(),
        asinh(),
        acosh(),
        atanh(),
    );
}

#[test]
fn the_type_has_the_digits_that_it_is_used_for() {
    let third = DoubleDouble::one() / DoubleDouble::from_f64(3.0);
    let parsed = DoubleDouble::parse("3.3333333333333333333333333333333333e-1");
    assert!(third.relative_error(parsed) < 1e-31, "{third:?}, {parsed:?}");
    let quotient = DoubleDouble::parse("2.0e-200") / DoubleDouble::parse("7.0e-100");
    let parsed = DoubleDouble::parse("2.8571428571428571428571428571428571e-101");
    assert!(quotient.relative_error(parsed) < 1e-29, "{quotient:?}, {parsed:?}");
    let product = parsed * DoubleDouble::parse("7.0e100");
    assert!(product.relative_error(DoubleDouble::parse("2.0")) < 1e-29, "{product:?}");
}
