//! Sums by the vector units of the machine: the same operations as in plain loops, in the same order.

use pulp::{Arch, Simd, WithSimd};

use super::two_sum::{Sums, add};
use crate::numerics::lanes::Lanes;
use crate::numerics::scalar::Scalar;
use crate::numerics::simd::Prefetch;

/// Vectors of sums that are in registers at a time: as many numbers in `f32` fill one vector.
const VECTORS: usize = 2;

/// Maxima that are found side by side, so that none has to wait for the last one.
const MAXIMA: usize = 4;

/// Adds a few samples to sums of as many numbers, and asks for the beginnings of `next`; the largest magnitude of theirs.
pub(super) fn add_few<T: Scalar, const N: usize>(
    sums: &mut Sums<'_>,
    samples: &[&[T]; N],
    next: &[&[T]; N],
) -> T::Magnitude {
    let few = Few { sums, samples, next };
    let largest = Arch::new().dispatch(few);
    T::rounded(largest).magnitude()
}

struct Few<'a, 's, T, const N: usize> {
    sums: &'a mut Sums<'s>,
    samples: &'a [&'a [T]; N],
    next: &'a [&'a [T]; N],
}

impl<T: Scalar, const N: usize> WithSimd for Few<'_, '_, T, N> {
    /// The largest magnitude, NaN if there is none.
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let prefetch = Prefetch::new();
        let zero = f64::repeated(simd, 0.0);
        let mut largest = [T::repeated(simd, T::zero()); MAXIMA];
        let mut finite = zero;
        let (lanes, length) = (f64::lanes::<S>(), self.sums.rounded.len());
        let step = VECTORS * lanes;
        let whole = length / step * step;
        let (rounded, last_rounded) = self.sums.rounded.split_at_mut(whole);
        let (corrections, last_corrections) = self.sums.corrections.split_at_mut(whole);
        let rounded = f64::split_mut::<S>(rounded).0.as_chunks_mut::<VECTORS>().0;
        let corrections = f64::split_mut::<S>(corrections).0.as_chunks_mut::<VECTORS>().0;
        // Loops instead of closures, which would not be compiled for the vector units.
        let mut own = *self.samples;
        for numbers in &mut own {
            *numbers = &numbers[..whole];
        }
        for (index, (sums, corrections)) in rounded.iter_mut().zip(corrections).enumerate() {
            let place = index * step;
            for next in self.next {
                prefetch.ask_for_beginning(next, place..place + step);
            }
            let (mut own_sums, mut own_corrections) = (*sums, *corrections);
            let mut groups = [zero; VECTORS];
            for n in 0..N {
                let numbers = &own[n][place..][..step];
                for &vector in T::split::<S>(numbers).0 {
                    let magnitudes = T::magnitudes(simd, vector);
                    largest[n % MAXIMA] = T::larger(simd, magnitudes, largest[n % MAXIMA]);
                }
                for v in 0..VECTORS {
                    let numbers = T::widened(simd, &numbers[v * lanes..][..lanes]);
                    if T::IS_SINGLE {
                        groups[v] =
                            if n == 0 { numbers } else { simd.add_f64s(groups[v], numbers) };
                    } else {
                        two_sum(simd, &mut own_sums[v], &mut own_corrections[v], numbers);
                    }
                }
            }
            for v in 0..VECTORS {
                if T::IS_SINGLE {
                    two_sum(simd, &mut own_sums[v], &mut own_corrections[v], groups[v]);
                }
                // What is not a number stays so in a sum, but not always in a maximum.
                finite = f64::multiply_add(simd, own_sums[v], zero, finite);
            }
            (*sums, *corrections) = (own_sums, own_corrections);
        }
        let mut all = largest[0];
        for largest in largest {
            all = T::larger(simd, largest, all);
        }
        let mut found = T::largest(simd, all).into() + f64::total(simd, finite);
        let last = last_rounded.iter_mut().zip(last_corrections);
        for (index, (sum, correction)) in (whole..).zip(last) {
            let mut group = 0.0;
            for sample in self.samples {
                let number: f64 = sample[index].into();
                found = if number.abs() <= found { found } else { number.abs() + 0.0 * found };
                match T::IS_SINGLE {
                    true => group += number,
                    false => add(sum, correction, number),
                }
            }
            if T::IS_SINGLE {
                add(sum, correction, group);
            }
        }
        found
    }
}

/// [`add`] for vectors.
#[inline(always)]
fn two_sum<S: Simd>(simd: S, sum: &mut S::f64s, correction: &mut S::f64s, term: S::f64s) {
    let rounded = simd.add_f64s(*sum, term);
    let added = simd.sub_f64s(rounded, *sum);
    let lost = simd.sub_f64s(*sum, simd.sub_f64s(rounded, added));
    let lost = simd.add_f64s(lost, simd.sub_f64s(term, added));
    *correction = simd.add_f64s(*correction, lost);
    *sum = rounded;
}
