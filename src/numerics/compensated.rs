//! Sums that carry along what rounding loses.

use crate::numerics::scalar::Scalar;
use crate::numerics::simd::{LINE, Prefetch, vectorised};

/// Numbers that are added up in registers.
const CHUNK: usize = 16;

/// Samples that share one pass over the sums.
pub(crate) const TOGETHER: usize = 4;

/// Adds samples, one after the other, to sums with their corrections, and returns their largest magnitude. Meanwhile it
/// asks for the numbers of those in `next`.
pub(crate) fn add_samples<T: Scalar>(
    sums: &mut [f64],
    corrections: &mut [f64],
    samples: &[&[T]],
    next: &[&[T]],
) -> T::Magnitude {
    let prefetch = Prefetch::new();
    // Loops of a known length do not end in a branch that the processor has to guess.
    let (fours, rest) = samples.as_chunks::<TOGETHER>();
    let mut next = next;
    let mut largest = T::Magnitude::default();
    for four in fours {
        largest =
            largest.max(add_few(sums, corrections, four, std::mem::take(&mut next), prefetch));
    }
    for one in rest {
        largest =
            largest.max(add_few(sums, corrections, &[*one], std::mem::take(&mut next), prefetch));
    }
    largest
}

fn add_few<T: Scalar, const N: usize>(
    sums: &mut [f64],
    corrections: &mut [f64],
    samples: &[&[T]; N],
    next: &[&[T]],
    prefetch: Prefetch,
) -> T::Magnitude {
    vectorised(
        #[inline(always)]
        || {
            let mut largest = [T::Magnitude::default(); CHUNK];
            let (sums, last_sums) = sums.as_chunks_mut::<CHUNK>();
            let (corrections, last_corrections) = corrections.as_chunks_mut::<CHUNK>();
            let chunks = samples.map(|sample| sample.as_chunks::<CHUNK>().0);
            for ((index, sums), corrections) in sums.iter_mut().enumerate().zip(corrections) {
                let (mut own_sums, mut own_corrections) = (*sums, *corrections);
                for chunks in chunks {
                    let features = &chunks[index];
                    for i in 0..CHUNK {
                        largest[i] = largest[i].max(features[i].magnitude());
                        add(&mut own_sums[i], &mut own_corrections[i], features[i].into());
                    }
                }
                (*sums, *corrections) = (own_sums, own_corrections);
                for sample in next {
                    for place in (index * CHUNK..(index + 1) * CHUNK).step_by(LINE / size_of::<T>())
                    {
                        prefetch.ask(sample, place);
                    }
                }
            }
            for sample in samples {
                let rest = sample.as_chunks::<CHUNK>().1;
                let rest = last_sums.iter_mut().zip(&mut *last_corrections).zip(rest);
                for ((sum, correction), &feature) in rest {
                    largest[0] = largest[0].max(feature.magnitude());
                    add(sum, correction, feature.into());
                }
            }
            largest.into_iter().max().unwrap_or_default()
        },
    )
}

/// Adds sums with their corrections to others.
pub(crate) fn add_sums(sums: &mut [f64], corrections: &mut [f64], terms: &[f64], rests: &[f64]) {
    add_samples(sums, corrections, &[terms], &[]);
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
#[inline(always)]
pub(crate) fn quotient(sum: f64, correction: f64, count: f64) -> f64 {
    let estimate = sum / count;
    let remainder = estimate.mul_add(-count, sum) + correction;
    estimate + remainder / count
}
