//! What class means are centered at.

use nalgebra::{DMatrix, DVector};

use crate::numerics::simd::vectorized;

/// What the class means are centered at.
///
/// With as many samples in every class both are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Center {
    /// h_G, the mean over all samples: large classes count more. Dang et al. (ICML 2023, C.1.1) and
    /// Papyan, Han & Donoho (PNAS 2020) define it so.
    #[default]
    Samples,
    /// The mean of the class means, as published codes compute it.
    Classes,
}

/// Subtracts their center from class means.
pub(crate) fn subtract_center(means: &mut DMatrix<f64>, counts: &[u64], center: Center) {
    let origin = center_of(means, counts, center);
    means.column_iter_mut().for_each(|mut mean| mean -= &origin);
}

/// Summed relative to the first mean, so that a large common mean costs no digits.
pub(crate) fn center_of(means: &DMatrix<f64>, counts: &[u64], center: Center) -> DVector<f64> {
    let first = means.column(0);
    let total = counts.iter().map(|&count| count as f64).sum::<f64>();
    let mut origin = first.into_owned();
    // Slices, for the compiler vectorizes no loop over the columns of a matrix.
    let (first, out) = (first.as_slice(), origin.as_mut_slice());
    for (mean, &count) in means.as_slice().chunks(first.len().max(1)).zip(counts) {
        let weight = match center {
            Center::Samples => count as f64 / total,
            Center::Classes => 1.0 / counts.len() as f64,
        };
        vectorized(
            #[inline(always)]
            || {
                for ((origin, mean), first) in out.iter_mut().zip(mean).zip(first) {
                    *origin += (mean - first) * weight;
                }
            },
        );
    }
    origin
}
