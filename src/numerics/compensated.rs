//! Sums that carry along what rounding loses.

use crate::numerics::scalar::Scalar;
use crate::numerics::simd::{LINE, Prefetch, vectorized};

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
    vectorized(
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers of 53 digits, whose sums have more: for whole and broken chunks and for samples by four and by one.
    #[test]
    fn corrections_hold_what_sums_lose() {
        for (dimension, count) in [(1, 1), (16, 4), (19, 6), (40, 9)] {
            let number = |sample: usize, j: usize| {
                let size = 2.0_f64.powi(((sample * 5 + j * 3) % 54) as i32);
                (size * ((sample + 2 * j) as f64).sin()).round()
            };
            let samples: Vec<Vec<f64>> =
                (0..count).map(|s| (0..dimension).map(|j| number(s, j)).collect()).collect();
            let samples: Vec<&[f64]> = samples.iter().map(Vec::as_slice).collect();
            let (mut sums, mut corrections) = (vec![3.0; dimension], vec![0.0; dimension]);
            let largest = add_samples(&mut sums, &mut corrections, &samples, &samples[..1]);
            let all = samples.iter().flat_map(|sample| sample.iter());
            let expected = all.fold(0.0, |largest: f64, number| largest.max(number.abs()));
            assert_eq!(largest, expected.to_bits());
            let whole = |sum: f64, correction: f64| sum as i128 + correction as i128;
            for j in 0..dimension {
                let exact = 3 + samples.iter().map(|sample| sample[j] as i128).sum::<i128>();
                assert_eq!(whole(sums[j], corrections[j]), exact, "{dimension} {count} {j}");
            }
            let (mut twice, mut rests) = (sums.clone(), corrections.clone());
            add_sums(&mut twice, &mut rests, &sums, &corrections);
            for j in 0..dimension {
                assert_eq!(whole(twice[j], rests[j]), 2 * whole(sums[j], corrections[j]));
            }
        }
    }

    #[test]
    fn either_term_may_lose_digits() {
        let large = 2.0_f64.powi(53);
        for (first, second, lost) in
            [(large, 1.5, -0.5), (1.5, large, -0.5), (-large, 1.5, -0.5), (1.5, 1.0, 0.0)]
        {
            let (mut sum, mut correction) = (first, 0.25);
            add(&mut sum, &mut correction, second);
            assert_eq!((sum, correction), (first + second, 0.25 + lost));
        }
    }

    /// (1 + c)/3: a third is between two doubles 2⁻⁵⁴ apart, a third of one above the lower; 2⁻⁵³/3 more is above the
    /// upper one by as much.
    #[test]
    fn quotients_are_rounded_once() {
        let (third, next) = (1.0 / 3.0, f64::from_bits((1.0_f64 / 3.0).to_bits() + 1));
        assert_eq!(quotient(1.0, 0.0, 3.0), third);
        assert_eq!(quotient(1.0, 0.5 * f64::EPSILON, 3.0), next);
        for value in [0.1, -0.7, 1e-300, 12345.678] {
            for count in [3_u32, 10, 49, 1000] {
                let (mut sum, mut correction) = (0.0, 0.0);
                (0..count).for_each(|_| add(&mut sum, &mut correction, value));
                assert_eq!(quotient(sum, correction, f64::from(count)), value, "{value} {count}");
            }
        }
    }
}
