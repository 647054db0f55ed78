//! Unevaluated sums of two floating-point numbers, for the residuals that decide the last bits.
//!
//! The error-free transformations are Knuth's two-sum and the fused-multiply-add product (Muller et
//! al., *Handbook of Floating-Point Arithmetic*, 2nd ed., sections 4.3 and 4.4). With a `T` that does
//! not round as IEEE 754 does (such as a double-double type) the low parts lose their meaning but
//! stay of the size of a rounding error, so the results keep the accuracy of `T`.

use num_traits::Float;

/// The number `high + low` with |low| ≤ ulp(high)/2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct DoubleDouble<T> {
    high: T,
    low: T,
}

impl<T: Float> DoubleDouble<T> {
    /// `high + low`, for |low| < |high|.
    pub(crate) fn fast_sum(high: T, low: T) -> Self {
        let sum = high + low;
        Self { high: sum, low: low - (sum - high) }
    }

    /// Exactly `a + b`.
    pub(crate) fn sum(a: T, b: T) -> Self {
        let sum = a + b;
        let part = sum - a;
        Self { high: sum, low: (a - (sum - part)) + (b - part) }
    }

    /// Exactly `a · b`, if the product neither overflows nor comes near the subnormal numbers.
    pub(crate) fn product(a: T, b: T) -> Self {
        let product = a * b;
        Self { high: product, low: a.mul_add(b, -product) }
    }

    /// `base` to the power `exponent` ≥ 1, with a relative error of about `exponent`·ε².
    pub(crate) fn power(base: T, exponent: u32) -> Self {
        let mut result = Self::from(base);
        // From the bit below the leading one down: each step doubles the exponent reached so far.
        for bit in (0..exponent.ilog2()).rev() {
            result = result.square();
            if exponent >> bit & 1 == 1 {
                result = result.times(base);
            }
        }
        result
    }

    /// The parts as they are, the larger one first.
    #[cfg(feature = "serde")]
    pub(crate) fn parts(self) -> [T; 2] {
        [self.high, self.low]
    }

    /// The number rounded to a `T`.
    pub(crate) fn value(self) -> T {
        self.high
    }

    pub(crate) fn plus(self, other: T) -> Self {
        let sum = Self::sum(self.high, other);
        Self::fast_sum(sum.high, sum.low + self.low)
    }

    pub(crate) fn times(self, factor: T) -> Self {
        let product = Self::product(self.high, factor);
        Self::fast_sum(product.high, product.low + self.low * factor)
    }

    /// self/`divisor`, rounded once.
    pub(crate) fn over(self, divisor: Self) -> T {
        let quotient = self.high / divisor.high;
        quotient + (self - divisor.times(quotient)).high / divisor.high
    }

    fn square(self) -> Self {
        let square = Self::product(self.high, self.high);
        let cross = self.high * self.low;
        Self::fast_sum(square.high, square.low + (cross + cross))
    }
}

impl<T: Float> From<T> for DoubleDouble<T> {
    fn from(value: T) -> Self {
        Self { high: value, low: T::zero() }
    }
}

impl<T: Float> core::ops::Add for DoubleDouble<T> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let high = Self::sum(self.high, other.high);
        Self::fast_sum(high.high, high.low + (self.low + other.low))
    }
}

impl<T: Float> core::ops::Mul for DoubleDouble<T> {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let product = Self::product(self.high, other.high);
        let cross = self.high * other.low + self.low * other.high;
        Self::fast_sum(product.high, product.low + cross)
    }
}

impl<T: Float> core::ops::Sub for DoubleDouble<T> {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        let high = Self::sum(self.high, -other.high);
        Self::fast_sum(high.high, high.low + (self.low - other.low))
    }
}

#[cfg(test)]
mod tests {
    use super::DoubleDouble;

    #[test]
    fn a_power_carries_what_a_double_cannot() {
        // (1 + ε)³ = 1 + 3ε + 3ε² + ε³: the low part must hold 3ε².
        let epsilon = f64::EPSILON;
        let cube = DoubleDouble::power(1.0 + epsilon, 3);
        assert_eq!(cube.value(), 1.0 + 3.0 * epsilon);
        let rest = (cube - DoubleDouble::from(1.0 + 3.0 * epsilon)).value();
        assert!((rest / (3.0 * epsilon * epsilon) - 1.0).abs() < 1e-10, "{rest:e}");
    }

    #[test]
    fn differences_of_products_are_exact() {
        let (a, b) = (1.0 + 2.0_f64.powi(-30), 1.0 - 2.0_f64.powi(-30));
        let gap = DoubleDouble::from(1.0) - DoubleDouble::product(a, b);
        assert_eq!(gap.value(), 2.0_f64.powi(-60));
    }

    /// The whole number that a pair of whole numbers stands for.
    fn whole(number: DoubleDouble<f64>) -> i128 {
        number.high as i128 + number.low as i128
    }

    fn two(exponent: u32) -> f64 {
        f64::from(2).powi(exponent as i32)
    }

    #[test]
    fn sums_and_products_of_two_numbers_are_exact() {
        for (a, b) in [(two(60), 3.0), (-7.0, two(55)), (two(53), 1.5 * two(1)), (5.0, -two(70))] {
            assert_eq!(whole(DoubleDouble::sum(a, b)), a as i128 + b as i128, "{a} {b}");
            assert_eq!(DoubleDouble::sum(a, b).value(), a + b);
        }
        assert_eq!(whole(DoubleDouble::fast_sum(-two(60), 3.0)), 3 - (1 << 60));
        let (a, b) = (two(53) - 1.0, two(52) + 12345.0);
        assert_eq!(whole(DoubleDouble::product(a, b)), a as i128 * b as i128);
    }

    #[test]
    fn pairs_are_calculated_with_as_with_whole_numbers() {
        let x = DoubleDouble::sum((two(53) - 1.0) * two(28), 12345.0);
        let y = DoubleDouble::sum(two(60) + two(8), 77.0);
        let (a, b) = (whole(x), whole(y));
        assert_eq!((whole(x + y), whole(y + x)), (a + b, a + b));
        assert_eq!((whole(x - y), whole(y - x)), (a - b, b - a));
        assert_eq!(whole(x.plus(two(60) + two(8))), a + (1 << 60) + (1 << 8));
        assert_eq!((whole(x.times(1025.0)), whole(y.times(-3.0))), (1025 * a, -3 * b));
        // The product of the lower parts is left out.
        let (x, y) =
            (DoubleDouble::sum(5.0 * two(70), 96.0), DoubleDouble::sum(7.0 * two(50), 11.0));
        assert_eq!(whole(x * y), whole(x) * whole(y) - 96 * 11);
    }

    #[test]
    fn powers_are_those_of_whole_numbers() {
        let base = two(20) + 1.0;
        for exponent in 1..=5 {
            assert_eq!(whole(DoubleDouble::power(base, exponent)), (base as i128).pow(exponent));
        }
        // 106 of 121 digits.
        let error = whole(DoubleDouble::power(base, 6)) - (base as i128).pow(6);
        assert!(error.abs() <= 1 << 16, "{error}");
    }

    #[test]
    fn quotients_are_rounded_once() {
        for k in 0..50_i32 {
            let quotient = 1.0 + (f64::from(k) * 1.7).sin().abs();
            let divisor = DoubleDouble::sum(3.0 + f64::from(k).cos(), f64::from(k) * 1e-18);
            assert_eq!(divisor.times(quotient).over(divisor), quotient, "{k}");
        }
    }
}
