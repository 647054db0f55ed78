//! Sums that carry along what rounding loses.

use crate::numerics::scalar::Scalar;
use crate::numerics::simd::vectorised;

/// Adds a sample to the first of some sums with their corrections.
pub(crate) fn add_sample<T: Scalar>(sums: &mut [f64], corrections: &mut [f64], sample: &[T]) {
    vectorised(
        #[inline(always)]
        || {
            let sums = sums.iter_mut().zip(corrections).zip(sample);
            sums.for_each(|((sum, correction), &feature)| add(sum, correction, feature.into()));
        },
    );
}

/// Adds sums with their corrections to others.
pub(crate) fn add_sums(sums: &mut [f64], corrections: &mut [f64], terms: &[f64], rests: &[f64]) {
    add_sample(sums, corrections, terms);
    corrections.iter_mut().zip(rests).for_each(|(correction, rest)| *correction += rest);
}

/// Adds a term to a sum and what rounding loses to the correction (Knuth's two-sum).
#[inline(always)]
fn add(sum: &mut f64, correction: &mut f64, term: f64) {
    let rounded = *sum + term;
    let added = rounded - *sum;
    *correction += (*sum - (rounded - added)) + (term - added);
    *sum = rounded;
}

/// (sum + correction)/count, correctly rounded but for rare ties, so that the mean of equal samples
/// is equal to them.
pub(crate) fn quotient(sum: f64, correction: f64, count: f64) -> f64 {
    let estimate = sum / count;
    let remainder = estimate.mul_add(-count, sum) + correction;
    estimate + remainder / count
}
