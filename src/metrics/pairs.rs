//! What the cosines of all pairs of vectors add up to.

use crate::measure::class_pairs::{Strip, Wanted};
use crate::measure::class_vectors::ClassVectors;
use crate::metrics::spread::{Moments, Spread};
use crate::numerics::logarithm::ln;
use crate::numerics::simd::vectorized;

/// Sums that are added up side by side.
const LANES: usize = 8;

/// So many numbers are computed before they are added up: each of the two is a simple loop.
const PIECE: usize = 128;

/// Unit vectors closer than this, squared: 2 − 2cos has lost a third of its digits.
const CLOSE: f64 = 1e-4;

/// The same for cosines in `f32`, of which all pairs but very few differ by more.
const CLOSE_IN_SINGLE: f64 = 0.1;

/// Sums over pairs of vectors.
pub(super) trait PairSums: Clone + Send + Sync {
    /// Adds the cosines of some pairs; `square` gives ‖u − v‖² of one of them from the differences of the entries.
    fn add(&mut self, cosines: &[f64], square: impl Fn(usize) -> f64);

    /// Adds the sums over other pairs.
    fn merge(&mut self, other: &Self);
}

/// Two kinds of sums in one pass over the pairs.
impl<A: PairSums, B: PairSums> PairSums for (A, B) {
    fn add(&mut self, cosines: &[f64], square: impl Fn(usize) -> f64) {
        self.0.add(cosines, &square);
        self.1.add(cosines, &square);
    }

    fn merge(&mut self, other: &Self) {
        self.0.merge(&other.0);
        self.1.merge(&other.1);
    }
}

/// Adds up all pairs of vectors of these lengths, with cosines in `f32` if they may be.
pub(super) fn add_up<A: PairSums>(
    vectors: &ClassVectors<'_>,
    norms: &[f64],
    single: bool,
    start: &A,
) -> A {
    let wanted = if single { Wanted::SingleCosines(norms) } else { Wanted::Cosines(norms) };
    vectors.fold_pairs(
        wanted,
        start,
        |sums, Strip { classes, other, products }| {
            let vector = |class: usize| (class, norms[class]);
            let square =
                |i: usize| vectors.squared_distance(vector(classes.start + i), vector(other));
            sums.add(products, square);
        },
        |sums, part| sums.merge(&part),
    )
}

/// Adds numbers to sums in lanes, each by `add`.
#[inline(always)]
fn add_in_lanes(sums: &mut [f64; LANES], numbers: &[f64], add: impl Fn(f64, f64) -> f64) {
    // In registers while they are added up.
    let mut lanes = *sums;
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &number) in lanes.iter_mut().zip(chunk) {
            *lane = add(*lane, number);
        }
    }
    for (lane, &number) in lanes.iter_mut().zip(rest) {
        *lane = add(*lane, number);
    }
    *sums = lanes;
}

/// What a function makes of some numbers, at most [`PIECE`].
#[inline(always)]
fn mapped<'a>(
    numbers: &[f64],
    out: &'a mut [f64; PIECE],
    function: impl Fn(f64) -> f64,
) -> &'a [f64] {
    let out = &mut out[..numbers.len()];
    for (out, &number) in out.iter_mut().zip(numbers) {
        *out = function(number);
    }
    out
}

/// Σ x and Σ x² in lanes, around a number close to the mean.
#[derive(Debug, Clone, Copy)]
struct LaneMoments {
    origin: f64,
    number: u64,
    sums: [f64; LANES],
    squares: [f64; LANES],
}

impl LaneMoments {
    fn around(origin: f64) -> Self {
        Self { origin, number: 0, sums: [0.0; LANES], squares: [0.0; LANES] }
    }

    /// Adds numbers less the origin. They are not counted: a pair that is close is added as 0 first and then rightly.
    #[inline(always)]
    fn add(&mut self, differences: &[f64]) {
        add_in_lanes(
            &mut self.sums,
            differences,
            #[inline(always)]
            |sum, x| sum + x,
        );
        add_in_lanes(
            &mut self.squares,
            differences,
            #[inline(always)]
            |sum, x| sum + x * x,
        );
    }

    fn merge(&mut self, other: &Self) {
        self.number += other.number;
        add_in_lanes(&mut self.sums, &other.sums, |sum, other| sum + other);
        add_in_lanes(&mut self.squares, &other.squares, |sum, other| sum + other);
    }

    fn spread(&self) -> Spread {
        let [sum, squares] = [self.sums, self.squares].map(|lanes| lanes.iter().sum());
        Moments::new(self.origin, self.number, sum, squares).spread()
    }
}

/// Mean and deviation of the cosines, and how far they are from those of a simplex ETF.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cosines {
    moments: LaneMoments,
    /// −1/(K−1).
    etf: f64,
    /// Σ |cos + 1/(K−1)|, and the largest.
    deviations: [f64; LANES],
    largest: [f64; LANES],
}

impl Cosines {
    /// `origin` is a number close to the mean.
    pub(super) fn around(origin: f64, classes: usize) -> Self {
        let (etf, zeros) = (-1.0 / (classes as f64 - 1.0), [0.0; LANES]);
        Self { moments: LaneMoments::around(origin), etf, deviations: zeros, largest: zeros }
    }

    pub(super) fn spread(&self) -> Spread {
        self.moments.spread()
    }

    /// The mean of |cos + 1/(K−1)|.
    pub(super) fn etf_deviation(&self) -> f64 {
        self.deviations.iter().sum::<f64>() / self.moments.number as f64
    }

    /// The largest |cos + 1/(K−1)|.
    pub(super) fn largest_etf_deviation(&self) -> f64 {
        self.largest.into_iter().fold(0.0, f64::max)
    }
}

impl PairSums for Cosines {
    fn add(&mut self, cosines: &[f64], _: impl Fn(usize) -> f64) {
        self.moments.number += cosines.len() as u64;
        let Self { moments, etf, deviations, largest } = self;
        let (origin, etf) = (moments.origin, *etf);
        vectorized(
            #[inline(always)]
            || {
                for piece in cosines.chunks(PIECE) {
                    let mut out = [0.0; PIECE];
                    moments.add(mapped(
                        piece,
                        &mut out,
                        #[inline(always)]
                        |cosine| cosine - origin,
                    ));
                    let found = mapped(
                        piece,
                        &mut out,
                        #[inline(always)]
                        |cosine| (cosine - etf).abs(),
                    );
                    add_in_lanes(
                        deviations,
                        found,
                        #[inline(always)]
                        |sum, x| sum + x,
                    );
                    add_in_lanes(largest, found, f64::max);
                }
            },
        );
    }

    fn merge(&mut self, other: &Self) {
        self.moments.merge(&other.moments);
        add_in_lanes(&mut self.deviations, &other.deviations, |sum, other| sum + other);
        add_in_lanes(&mut self.largest, &other.largest, f64::max);
    }
}

/// Mean and deviation of log 1/‖u − v‖ over the pairs of unit vectors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Energies {
    moments: LaneMoments,
    /// From which ‖u − v‖² on 2 − 2cos is accurate enough.
    close: f64,
}

impl Energies {
    /// Of K vectors, with cosines in `f32` or in `f64`.
    pub(super) fn new(classes: usize, single: bool) -> Self {
        let classes = classes as f64;
        let of_simplex_etf = energy_of((2.0 * classes / (classes - 1.0)).ln());
        let close = if single { CLOSE_IN_SINGLE } else { CLOSE };
        Self { moments: LaneMoments::around(of_simplex_etf), close }
    }

    pub(super) fn spread(&self) -> Spread {
        self.moments.spread()
    }

    /// Adds the pairs that are not close; whether there are close ones.
    fn add_distant(&mut self, cosines: &[f64]) -> bool {
        let Self { moments, close } = self;
        let (origin, close) = (moments.origin, *close);
        let mut closest = [f64::INFINITY; LANES];
        vectorized(
            #[inline(always)]
            || {
                for piece in cosines.chunks(PIECE) {
                    let (mut squares, mut out) = ([0.0; PIECE], [0.0; PIECE]);
                    let squares = mapped(piece, &mut squares, square_of);
                    add_in_lanes(&mut closest, squares, f64::min);
                    moments.add(mapped(
                        squares,
                        &mut out,
                        #[inline(always)]
                        |square| {
                            // Both are computed: without a branch the loop is compiled for the vector units.
                            let difference = energy_of(ln(square)) - origin;
                            if square < close { 0.0 } else { difference }
                        },
                    ));
                }
            },
        );
        closest.iter().any(|&square| square < close)
    }
}

impl PairSums for Energies {
    fn add(&mut self, cosines: &[f64], square: impl Fn(usize) -> f64) {
        self.moments.number += cosines.len() as u64;
        if !self.add_distant(cosines) {
            return;
        }
        for (index, cosine) in cosines.iter().enumerate() {
            if square_of(*cosine) < self.close {
                self.moments.add(&[energy_of(square(index).ln()) - self.moments.origin]);
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        self.moments.merge(&other.moments);
    }
}

/// ‖u − v‖² of unit vectors.
#[inline(always)]
fn square_of(cosine: f64) -> f64 {
    2.0 - 2.0 * cosine
}

/// log 1/‖u − v‖ from log ‖u − v‖².
#[inline(always)]
fn energy_of(logarithm: f64) -> f64 {
    -0.5 * logarithm
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The origin is near the mean, but need not be it.
    #[test]
    fn any_origin_gives_the_mean_and_deviation() {
        let cosines: Vec<f64> = (0..19).map(|i| (f64::from(i) * 0.7).sin() / 2.0).collect();
        let mean = cosines.iter().sum::<f64>() / 19.0;
        let variance = cosines.iter().map(|cosine| (cosine - mean).powi(2)).sum::<f64>() / 19.0;
        for origin in [mean, 0.3, -1.0] {
            let mut sums = Cosines::around(origin, 5);
            sums.add(&cosines, |_| 0.0);
            let spread = sums.spread();
            assert!((spread.mean - mean).abs() < 1e-15, "{spread:?}, {mean}");
            assert!((spread.deviation - variance.sqrt()).abs() < 1e-15, "{spread:?}");
        }
    }

    /// Those whose cosine says too little have their distance asked for, the others not.
    #[test]
    fn close_pairs_are_measured_by_their_distance() {
        let squares: Vec<f64> = (0..21).map(|i| f64::from(i % 7) * 0.05 + 0.01).collect();
        let cosines: Vec<f64> = squares.iter().map(|square| 1.0 - square / 2.0).collect();
        for (single, limit) in [(true, CLOSE_IN_SINGLE), (false, CLOSE)] {
            let is_close = |i: usize| 2.0 - 2.0 * cosines[i] < limit;
            let mut energies = Energies::new(21, single);
            energies.add(&cosines, |i| {
                assert!(is_close(i));
                squares[i] * 4.0
            });
            let factor = |i: usize| if is_close(i) { 4.0 } else { 1.0 };
            let expected: Vec<f64> =
                (0..21).map(|i| -0.5 * (squares[i] * factor(i)).ln()).collect();
            let (found, expected) = (energies.spread(), Spread::of(&expected).unwrap());
            assert!((found.mean - expected.mean).abs() < 1e-14, "{found:?} {expected:?}");
            assert!((found.deviation - expected.deviation).abs() < 1e-14);
        }
    }

    /// The sums of two pieces are those of the whole, one kind beside the other.
    #[test]
    fn pieces_add_up() {
        let cosines: Vec<f64> = (0..300).map(|i| (f64::from(i) * 0.7).sin() * 0.999_99).collect();
        let square = |i: usize| 2.0 - 2.0 * (i as f64 * 0.7).sin() * 0.999_99;
        let empty = (Cosines::around(0.1, 25), Energies::new(25, false));
        let (mut whole, mut first, mut second) = (empty, empty, empty);
        whole.add(&cosines, square);
        first.add(&cosines[..130], square);
        second.add(&cosines[130..], |i| square(i + 130));
        first.merge(&second);
        for (found, expected) in
            [(first.0.spread(), whole.0.spread()), (first.1.spread(), whole.1.spread())]
        {
            assert_eq!(found.number, expected.number);
            assert!((found.mean - expected.mean).abs() < 1e-14, "{found:?} {expected:?}");
            assert!((found.deviation - expected.deviation).abs() < 1e-14);
        }
        assert!((first.0.etf_deviation() - whole.0.etf_deviation()).abs() < 1e-14);
        assert_eq!(first.0.largest_etf_deviation(), whole.0.largest_etf_deviation());
    }
}
