//! The types of numbers of which features consist.

use nalgebra::RealField;

use crate::numerics::lanes::Lanes;
use crate::numerics::simd::vectorized;

/// The numbers of which features consist: `f32` or `f64`.
///
/// Sums are always carried in `f64`; large matrix products are done in the type of the features.
pub trait Scalar: RealField + Copy + Into<f64> + Lanes + sealed::Sealed {
    /// The largest magnitude of a feature: differences are still numbers of this type, and the sum of
    /// 10²⁰ squares is a number in `f64`.
    #[doc(hidden)]
    const LARGEST: Self;

    /// Whether sums of a few numbers are, but for extremes, exact in `f64`.
    #[doc(hidden)]
    const IS_SINGLE: bool;

    /// What is expected of a feature.
    #[doc(hidden)]
    const EXPECTED: &'static str;

    /// Integers that are ordered as magnitudes are; what is not a number comes last.
    #[doc(hidden)]
    type Magnitude: Ord + Copy + Default;

    #[doc(hidden)]
    fn magnitude(self) -> Self::Magnitude;

    /// The closest number of this type.
    #[doc(hidden)]
    fn rounded(value: f64) -> Self;

    /// The numbers themselves, if they are of this type.
    #[doc(hidden)]
    fn as_single(numbers: &[Self]) -> Option<&[f32]>;
}

impl Scalar for f32 {
    const LARGEST: Self = 1e38;
    const IS_SINGLE: bool = true;
    const EXPECTED: &'static str = "finite and at most 1e38 in magnitude";
    type Magnitude = u32;

    #[inline(always)]
    fn magnitude(self) -> u32 {
        self.abs().to_bits()
    }

    #[inline(always)]
    fn rounded(value: f64) -> Self {
        value as Self
    }

    #[inline(always)]
    fn as_single(numbers: &[Self]) -> Option<&[f32]> {
        Some(numbers)
    }
}

impl Scalar for f64 {
    const LARGEST: Self = 1e140;
    const IS_SINGLE: bool = false;
    const EXPECTED: &'static str = "finite and at most 1e140 in magnitude";
    type Magnitude = u64;

    #[inline(always)]
    fn magnitude(self) -> u64 {
        self.abs().to_bits()
    }

    #[inline(always)]
    fn rounded(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn as_single(_: &[Self]) -> Option<&[f32]> {
        None
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// Copies a sample.
pub(crate) fn to_f64<T: Scalar>(sample: &[T], out: &mut [f64]) {
    vectorized(
        #[inline(always)]
        || out.iter_mut().zip(sample).for_each(|(out, &feature)| *out = feature.into()),
    );
}

/// Whether no number exceeds the limit or is NaN.
pub(crate) fn is_representable<T: Scalar>(numbers: &[T]) -> bool {
    largest_magnitude(numbers) <= T::LARGEST.magnitude()
}

/// The largest magnitude of some numbers. Integers are compared, for the compiler can vectorize that.
pub(crate) fn largest_magnitude<T: Scalar>(numbers: &[T]) -> T::Magnitude {
    vectorized(
        #[inline(always)]
        || numbers.iter().map(|number| number.magnitude()).fold(T::Magnitude::default(), Ord::max),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Scalar>(small: T, nan: T) {
        let largest = T::LARGEST;
        assert!(is_representable::<T>(&[]) && is_representable(&[small, -largest, largest]));
        for bad in [largest + largest, -largest - largest, nan, T::one() / T::zero()] {
            assert!(!is_representable(&[small, bad, small]), "{bad}");
        }
        assert!(largest_magnitude(&[small, -largest, small]) == largest.magnitude());
        let (sample, mut out) = ([small; 5], [0.0; 5]);
        to_f64(&sample, &mut out);
        assert_eq!(out, [small.into(); 5]);
        assert!(T::rounded(small.into()) == small);
    }

    #[test]
    fn limits_are_those_of_either_type() {
        check::<f32>(-0.3, f32::NAN);
        check::<f64>(-0.3, f64::NAN);
    }
}
