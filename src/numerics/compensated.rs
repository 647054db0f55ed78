//! Sums that carry along what rounding loses.

use crate::numerics::scalar::Scalar;
#[cfg(not(feature = "simd"))]
use general::add_few;
use two_sum::Sums;
#[cfg(feature = "simd")]
use vectors::add_few;

#[cfg(any(test, not(feature = "simd")))]
mod general;
mod two_sum;
#[cfg(feature = "simd")]
mod vectors;

/// Samples that share one pass over the sums.
pub(crate) const TOGETHER: usize = 8;

/// Adds samples to sums with their corrections, and returns their largest magnitude. Meanwhile it asks for the
/// beginnings of those in `next`.
///
/// What rounding loses of a sum is in its correction. Numbers in `f32` that share a pass are first added to each other in
/// `f64`: that is exact unless one is 2²⁶ times as large as another, and never loses more than 7·2⁻⁵³ of the sum of their
/// magnitudes.
pub(crate) fn add_samples<T: Scalar>(
    sums: &mut [f64],
    corrections: &mut [f64],
    samples: &[&[T]],
    next: &[&[T]],
) -> T::Magnitude {
    let mut sums = Sums { rounded: sums, corrections };
    let mut next = next.iter();
    // Where nothing is wanted next, what is there already.
    let mut wanted = |sample| next.next().copied().unwrap_or(sample);
    // Loops of a known length do not end in a branch that the processor has to guess.
    let (eights, rest) = samples.as_chunks::<TOGETHER>();
    let (twos, rest) = rest.as_chunks::<2>();
    let mut largest = T::Magnitude::default();
    for eight in eights {
        largest = largest.max(add_few(&mut sums, eight, &eight.map(&mut wanted)));
    }
    for two in twos {
        largest = largest.max(add_few(&mut sums, two, &two.map(&mut wanted)));
    }
    for &one in rest {
        largest = largest.max(add_few(&mut sums, &[one], &[wanted(one)]));
    }
    largest
}

/// Adds sums with their corrections to others.
pub(crate) fn add_sums(sums: &mut [f64], corrections: &mut [f64], terms: &[f64], rests: &[f64]) {
    add_samples(sums, corrections, &[terms], &[]);
    corrections.iter_mut().zip(rests).for_each(|(correction, rest)| *correction += rest);
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
    use super::two_sum::add;
    use super::*;

    /// Whole numbers of 53 digits, whose sums have more: for whole and broken vectors and for samples by eight, two and one.
    #[test]
    fn corrections_hold_what_sums_lose() {
        for (dimension, count) in [(1, 1), (16, 8), (19, 6), (40, 11)] {
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

    fn both_ways<T: Scalar, const N: usize>(samples: &[Vec<T>; N]) {
        let dimension = samples[0].len();
        let samples: [&[T]; N] = std::array::from_fn(|n| &samples[n][..]);
        let start: Vec<f64> = (0..dimension).map(|j| (j as f64).cos() * 1e9).collect();
        let [(mut sums, mut corrections), (mut plain_sums, mut plain_corrections)] =
            [0, 1].map(|_| (start.clone(), vec![0.1; dimension]));
        let mut plain = Sums { rounded: &mut plain_sums, corrections: &mut plain_corrections };
        let largest = general::add_few(&mut plain, &samples, &samples);
        let mut own = Sums { rounded: &mut sums, corrections: &mut corrections };
        assert!(add_few(&mut own, &samples, &samples) == largest);
        assert_eq!((sums, corrections), (plain_sums, plain_corrections));
    }

    /// Not only are both right: the machine changes no bit.
    #[test]
    fn vectors_and_plain_loops_give_the_same_bits() {
        for dimension in [1, 7, 8, 16, 17, 40, 65] {
            let number =
                |n: usize, j: usize| ((n * 7 + j * 3) as f64).sin() * 10_f64.powi((j % 9) as i32);
            both_ways::<f64, 8>(&std::array::from_fn(|n| {
                (0..dimension).map(|j| number(n, j)).collect()
            }));
            both_ways::<f32, 8>(&std::array::from_fn(|n| {
                (0..dimension).map(|j| number(n, j) as f32).collect()
            }));
            both_ways::<f32, 2>(&std::array::from_fn(|n| {
                (0..dimension).map(|j| number(n, j) as f32).collect()
            }));
            both_ways::<f32, 1>(&[(0..dimension).map(|j| number(0, j) as f32).collect()]);
            both_ways::<f64, 1>(&[(0..dimension).map(|j| number(0, j)).collect()]);
        }
    }

    /// What is found where one number of a few samples, in whole vectors or after them, is another than all others.
    fn largest_beside<T: Scalar>(number: f64, check: impl Fn(T::Magnitude, T)) {
        for place in 0..39 {
            for sample in 0..8 {
                let mut samples = vec![vec![T::one(); 39]; 8];
                samples[sample][place] = T::rounded(number);
                let samples: Vec<&[T]> = samples.iter().map(Vec::as_slice).collect();
                let (mut sums, mut corrections) = (vec![0.0; 39], vec![0.0; 39]);
                let largest = add_samples(&mut sums, &mut corrections, &samples, &[]);
                check(largest, T::rounded(number));
            }
        }
    }

    #[test]
    fn the_largest_number_is_found_wherever_it_is() {
        largest_beside::<f32>(-2.5, |found, number| assert!(found == number.magnitude()));
        largest_beside::<f64>(-2.5, |found, number| assert!(found == number.magnitude()));
    }

    #[test]
    fn what_is_no_number_is_the_largest() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            largest_beside::<f32>(bad, |found, _| assert!(found >= f32::INFINITY.magnitude()));
            largest_beside::<f64>(bad, |found, _| assert!(found >= f64::INFINITY.magnitude()));
        }
    }

    /// The largest and the smallest of eight may be 2²⁶ apart.
    #[test]
    fn eight_numbers_in_single_precision_are_added_exactly() {
        let numbers = [1.0_f32, 67_108_864.0, -3.0, 5.5, 33_554_430.0, -0.125, 7.0, 16_777_215.0];
        let samples = numbers.map(|number| [number; 3]);
        let samples: Vec<&[f32]> = samples.iter().map(|sample| &sample[..]).collect();
        let (mut sums, mut corrections) = ([0.1; 3], [0.0; 3]);
        add_samples(&mut sums, &mut corrections, &samples, &[]);
        let exact = 1.0 + 67_108_864.0 - 3.0 + 5.5 + 33_554_430.0 - 0.125 + 7.0 + 16_777_215.0;
        let mut expected = (0.1, 0.0);
        add(&mut expected.0, &mut expected.1, exact);
        assert_eq!((sums[0], corrections[0]), expected);
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
