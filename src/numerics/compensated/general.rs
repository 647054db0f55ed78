//! Sums by plain loops.

use super::two_sum::{Sums, add};
use crate::numerics::scalar::Scalar;

/// Adds a few samples to sums of as many numbers; the largest magnitude of theirs.
pub(super) fn add_few<T: Scalar, const N: usize>(
    sums: &mut Sums<'_>,
    samples: &[&[T]; N],
    _next: &[&[T]; N],
) -> T::Magnitude {
    let mut largest = T::Magnitude::default();
    let corrections = sums.corrections.iter_mut();
    for (index, (sum, correction)) in sums.rounded.iter_mut().zip(corrections).enumerate() {
        let mut group = 0.0;
        for sample in samples {
            largest = largest.max(sample[index].magnitude());
            match T::IS_SINGLE {
                true => group += sample[index].into(),
                false => add(sum, correction, sample[index].into()),
            }
        }
        if T::IS_SINGLE {
            add(sum, correction, group);
        }
    }
    largest
}
