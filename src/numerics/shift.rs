//! Vectors around a center in single precision, and their lengths, in one pass.

#[cfg(any(test, not(feature = "simd")))]
mod general;
mod split;
#[cfg(feature = "simd")]
mod vectors;

use crate::numerics::scalar::{Scalar, largest_magnitude};
use crate::numerics::simd::vectorized;
use crate::numerics::squares::sum_of_squares;
#[cfg(not(feature = "simd"))]
use general::subtract;
pub(crate) use split::Found;
use split::Split;
#[cfg(feature = "simd")]
use vectors::subtract;

/// Scales by which what is smallest in `f32` stays small.
const SCALES: std::ops::Range<f64> = 1e-6..1e6;

/// A center c and a factor s: of a vector h it makes (h − c)·s in `f32`.
#[derive(Debug, Clone)]
pub(crate) struct Shift {
    whole: Vec<f64>,
    scale: f64,
    /// The center as the sum of two numbers in `f32` each.
    split: Split,
    /// Whether the scale is one for numbers in `f32`.
    is_split: bool,
}

impl Shift {
    /// Errors of what is written, relative to x, in halves of an ulp of `f32`: of both differences and of the product.
    pub(crate) const ROUNDINGS: usize = 3;

    /// Errors relative to the length of the center: of vectors in `f32` those of the sum of two numbers.
    pub(crate) const OF_CENTER: f64 =
        2.0 * (f32::EPSILON as f64 / 2.0) * (f32::EPSILON as f64 / 2.0);

    pub(crate) fn new(whole: &[f64], scale: f64) -> Self {
        let high: Vec<f32> = whole.iter().map(|&entry| entry as f32).collect();
        let low = whole.iter().zip(&high).map(|(&entry, &high)| (entry - f64::from(high)) as f32);
        let split = Split { low: low.collect(), high, scale: scale as f32 };
        Self { whole: whole.to_vec(), scale, split, is_split: SCALES.contains(&scale) }
    }

    /// Writes x = (h − c)·s. The difference is taken in `f64`, or in two steps in `f32`, of which the first is exact where h
    /// is close to c.
    pub(crate) fn write<T: Scalar>(&self, vector: &[T], out: &mut [f32]) -> Found<T::Magnitude> {
        let single = T::as_single(vector).filter(|_| self.is_split);
        if let Some(single) = single {
            let Found { square, around, largest } = subtract(single, &self.split, out);
            if around.is_finite() {
                return Found { square, around, largest: T::rounded(largest.into()).magnitude() };
            }
        }
        let (center, scale) = (&self.whole, self.scale);
        vectorized(
            #[inline(always)]
            || {
                for ((out, &entry), center) in out.iter_mut().zip(vector).zip(center) {
                    let entry: f64 = entry.into();
                    *out = ((entry - center) * scale) as f32;
                }
            },
        );
        let (square, around) = (sum_of_squares(vector), sum_of_squares(out));
        Found { square, around, largest: largest_magnitude(vector) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written and found is what the definition says, for whole and broken vectors of the machine.
    #[test]
    fn differences_are_those_of_the_definition() {
        for depth in [1, 7, 16, 17, 40, 100] {
            let center: Vec<f64> = (0..depth).map(|j| 3.0 + (j as f64).cos() / 3.0).collect();
            // Close to the center, and far from it.
            let number = |j: usize| match j % 5 {
                4 => -0.3 / (j + 1) as f64,
                _ => center[j] + ((j * 7) as f64).sin() * 1e-3,
            };
            let single: Vec<f32> = (0..depth).map(|j| number(j) as f32).collect();
            let double: Vec<f64> = single.iter().map(|&entry| f64::from(entry)).collect();
            for scale in [4.0, 0.3, 1e-20] {
                let own = Shift::new(&center, scale);
                let expected: Vec<f64> = double
                    .iter()
                    .zip(&center)
                    .map(|(entry, center)| (entry - center) * scale)
                    .collect();
                let (mut first, mut second) = (vec![9.0; depth], vec![9.0; depth]);
                let found = (own.write(&single, &mut first), own.write(&double, &mut second));
                for (written, expected) in first.iter().chain(&second).zip(expected.iter().cycle())
                {
                    let error = (f64::from(*written) - expected).abs();
                    let relative = Shift::ROUNDINGS as f64 * f64::from(f32::EPSILON) / 2.0;
                    assert!(error <= relative * expected.abs() + 4.0 * Shift::OF_CENTER * scale);
                }
                let sums = |numbers: &[f64]| numbers.iter().map(|entry| entry * entry).sum::<f64>();
                let largest =
                    single.iter().fold(0.0_f32, |largest, entry| largest.max(entry.abs()));
                assert_eq!(found.0.largest, largest.to_bits());
                assert_eq!(found.1.largest, f64::from(largest).to_bits());
                for (square, around) in
                    [(found.0.square, found.0.around), (found.1.square, found.1.around)]
                {
                    assert!((square / sums(&double) - 1.0).abs() < 1e-14);
                    assert!((around / sums(&expected) - 1.0).abs() < 1e-6);
                }
            }
        }
    }

    #[cfg(feature = "simd")]
    #[test]
    fn vectors_and_plain_loops_write_the_same() {
        for depth in [1, 8, 16, 33, 70] {
            let center: Vec<f64> = (0..depth).map(|j| (j as f64).cos() * 1e3).collect();
            let vector: Vec<f32> = (0..depth).map(|j| ((j * 3) as f32).sin()).collect();
            let split = Shift::new(&center, 0.5).split;
            let (mut own, mut plain) = (vec![0.0; depth], vec![0.0; depth]);
            let found = vectors::subtract(&vector, &split, &mut own);
            let expected = general::subtract(&vector, &split, &mut plain);
            assert_eq!((own, found.largest), (plain, expected.largest));
            for (own, plain) in [(found.square, expected.square), (found.around, expected.around)] {
                assert!((own - plain).abs() <= 1e-14 * plain);
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_seen() {
        for (place, bad) in
            [(0, f32::NAN), (17, f32::INFINITY), (39, f32::NEG_INFINITY), (39, f32::NAN)]
        {
            let mut vector = [1.0; 40];
            vector[place] = bad;
            let found = Shift::new(&[0.0; 40], 1.0).write(&vector, &mut [0.0; 40]);
            assert!(found.largest > f32::LARGEST.magnitude());
        }
        let found = Shift::new(&[-1e38; 3], 1e5).write(&[1e38_f32; 3], &mut [0.0; 3]);
        assert_eq!((found.around, found.largest), (f64::INFINITY, 1e38_f32.to_bits()));
    }
}
