//! By the vector units of the machine.

use pulp::{Arch, Simd, WithSimd};

use super::split::{Found, Split};
use crate::numerics::lanes::Lanes;
use crate::numerics::simd::Prefetch;

/// How many numbers ahead are asked for: those of the next vectors, where these follow each other in memory.
const AHEAD: usize = 2048;

/// Writes ((h − high) − low)·scale.
pub(super) fn subtract(vector: &[f32], split: &Split, out: &mut [f32]) -> Found<f32> {
    Arch::new().dispatch(Subtract { vector, split, out })
}

struct Subtract<'a> {
    vector: &'a [f32],
    split: &'a Split,
    out: &'a mut [f32],
}

impl WithSimd for Subtract<'_> {
    type Output = Found<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Found<f32> {
        let Split { high, low, scale } = self.split;
        let lanes = f32::lanes::<S>();
        let whole = self.vector.len() / lanes * lanes;
        let (vector, last) = self.vector.split_at(whole);
        let (out, last_out) = self.out.split_at_mut(whole);
        let ((highs, last_high), (lows, last_low)) = (f32::split::<S>(high), f32::split::<S>(low));
        let own = f32::split::<S>(vector).0;
        let (highs, lows) = (&highs[..own.len()], &lows[..own.len()]);
        let (scale, none) = (f32::repeated(simd, *scale), f32::repeated(simd, 0.0));
        let (zero, prefetch) = (f64::repeated(simd, 0.0), Prefetch::new());
        let (mut squares, mut around, mut largest) = ([zero; 2], [zero; 2], none);
        // Loops instead of closures, which would not be compiled for the vector units.
        for i in 0..own.len() {
            let place = i * lanes..(i + 1) * lanes;
            let (numbers, out) = (&vector[place.clone()], &mut out[place.clone()]);
            prefetch.ask(vector, place.start + AHEAD);
            largest = f32::larger(simd, f32::magnitudes(simd, own[i]), largest);
            let around_high = f32::subtract(simd, own[i], highs[i]);
            let difference = f32::subtract(simd, around_high, lows[i]);
            let scaled = f32::multiply_add(simd, difference, scale, none);
            f32::split_mut::<S>(out).0[0] = scaled;
            add_squares(simd, &mut squares, numbers);
            add_squares(simd, &mut around, out);
        }
        if !last.is_empty() {
            let numbers = f32::partial(simd, last);
            largest = f32::larger(simd, f32::magnitudes(simd, numbers), largest);
            let (high, low) = (f32::partial(simd, last_high), f32::partial(simd, last_low));
            let difference = f32::subtract(simd, f32::subtract(simd, numbers, high), low);
            simd.partial_store_f32s(last_out, f32::multiply_add(simd, difference, scale, none));
        }
        let squares_of = |numbers: &[f32]| -> f64 {
            numbers.iter().map(|&entry| f64::from(entry) * f64::from(entry)).sum()
        };
        let total = |[first, second]: [S::f64s; 2]| f64::total(simd, simd.add_f64s(first, second));
        Found {
            square: total(squares) + squares_of(last),
            around: total(around) + squares_of(last_out),
            largest: f32::largest(simd, largest),
        }
    }
}

/// Adds the squares of numbers that fill a vector in `f32`, and two in `f64`.
#[inline(always)]
fn add_squares<S: Simd>(simd: S, sums: &mut [S::f64s; 2], numbers: &[f32]) {
    let (first, second) = numbers.split_at(numbers.len() / 2);
    let (first, second) = (f32::widened(simd, first), f32::widened(simd, second));
    sums[0] = f64::multiply_add(simd, first, first, sums[0]);
    sums[1] = f64::multiply_add(simd, second, second, sums[1]);
}
