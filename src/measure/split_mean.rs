//! A class mean that is subtracted in the type of the features.

use crate::measure::groups::Group;
use crate::numerics::linalg::Centered;
use crate::numerics::scalar::Scalar;
use crate::numerics::simd::vectorized;

/// A class mean as the sum of two numbers of the type of the features each: in `f32` with 48 bits.
///
/// (x − high) − low has an error of no more than an ulp of the difference and 2⁻⁴⁸ of the mean: where x is close to the
/// mean, x − high is exact.
#[derive(Debug)]
pub(crate) struct SplitMean<T> {
    class: Option<usize>,
    high: Vec<T>,
    low: Vec<T>,
    /// Samples whose squared distance from it is below this are in range.
    reach: f64,
}

impl<T: Scalar> SplitMean<T> {
    pub(crate) fn new() -> Self {
        Self { class: None, high: Vec::new(), low: Vec::new(), reach: 0.0 }
    }

    /// Whether deviations of this size, in `T`, are far from over- and underflow.
    pub(crate) fn can_be_scaled(scale: f64) -> bool {
        let limit = T::LARGEST.into().sqrt().sqrt();
        (limit.recip()..limit).contains(&scale)
    }

    /// Takes the mean of a class, if it is not there yet.
    pub(crate) fn split(&mut self, class: usize, mean: &[f64]) {
        if self.class == Some(class) {
            return;
        }
        self.class = Some(class);
        self.high.resize(mean.len(), T::zero());
        self.low.resize(mean.len(), T::zero());
        vectorized(
            #[inline(always)]
            || {
                for ((high, low), &mean) in self.high.iter_mut().zip(&mut self.low).zip(mean) {
                    *high = T::rounded(mean);
                    *low = T::rounded(mean - (*high).into());
                }
            },
        );
        let largest = self.high.iter().fold(T::zero(), |largest, high| largest.max(high.abs()));
        self.reach = (T::LARGEST.into() / 2.0 - largest.into()).max(0.0).powi(2);
    }

    /// Whether samples of this squared distance from the mean are surely in range.
    pub(crate) fn is_in_range(&self, square: f64) -> bool {
        square < self.reach
    }

    /// The samples of a group less this mean, divided by a scale.
    pub(crate) fn subtracted<'a>(&'a self, group: &Group<'a, T>, scale: f64) -> Centered<'a, T> {
        Centered {
            vectors: group.samples,
            high: &self.high,
            low: &self.low,
            factor: scale.recip(),
            next: group.next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Squares of numbers in the unit, and of the numbers in it, have to be in range: up to the fourth root of the largest.
    #[test]
    fn scales_are_taken_up_to_the_fourth_root_of_the_largest() {
        assert_eq!(
            [1e-36, 1e-34, 1e34, 1e36].map(SplitMean::<f64>::can_be_scaled),
            [false, true, true, false]
        );
        assert_eq!(
            [3e-10, 4e-10, 3e9, 4e9].map(SplitMean::<f32>::can_be_scaled),
            [false, true, true, false]
        );
    }
}
