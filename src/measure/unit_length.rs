//! Samples of length 1, whose outputs are cosines.

use crate::numerics::scalar::Scalar;
use crate::numerics::unit_length::divide_by_norm;

/// Divides each sample of `dimension` numbers by its norm, so that the outputs of a cosine classifier
/// ([`LinearHead::with_unit_rows`](crate::LinearHead::with_unit_rows)) are cosines divided by its temperature. Samples
/// of zeros stay as they are, and so do all without a dimension.
///
/// ```
/// use neural_collapse::measure::normalize_samples;
///
/// let mut samples = [3.0_f32, -4.0, 0.0, 0.0, 0.0, 2.0];
/// normalize_samples(&mut samples, 2);
/// assert_eq!(samples, [0.6, -0.8, 0.0, 0.0, 0.0, 1.0]);
/// ```
///
/// Source: the normalized features of Yaras et al. (NeurIPS 2022).
pub fn normalize_samples<T: Scalar>(numbers: &mut [T], dimension: usize) {
    if dimension > 0 {
        numbers.chunks_mut(dimension).for_each(|sample| divide_by_norm(sample, 1.0));
    }
}
