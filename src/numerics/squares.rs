//! Inner products, sums of squares, and of squares that would over- or underflow.

use nalgebra::{DVectorView, Dim, Matrix, Storage};

use crate::error::{Error, Result};
use crate::numerics::scalar::Scalar;
use crate::numerics::simd::vectorized;

/// Sums of squares that are added up side by side.
const LANES: usize = 16;

/// Σ x², in several sums that the compiler can vectorize.
pub(crate) fn sum_of_squares<T: Scalar>(numbers: &[T]) -> f64 {
    vectorized(
        #[inline(always)]
        || lanes_of_squares(numbers),
    )
    .iter()
    .sum()
}

#[inline(always)]
fn lanes_of_squares<T: Scalar>(numbers: &[T]) -> [f64; LANES] {
    let mut sums = [0.0; LANES];
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    let add = |(sum, &number): (&mut f64, &T)| {
        let number: f64 = number.into();
        *sum += number * number;
    };
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(add);
    }
    sums.iter_mut().zip(rest).for_each(add);
    sums
}

/// Σ f(x, y) over pairs of numbers, in lanes; `f` has to be inlined.
#[inline(always)]
pub(crate) fn sum_of_pairs(a: &[f64], b: &[f64], f: impl Fn(f64, f64) -> f64) -> f64 {
    let mut sums = [0.0; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += f(a[lane], b[lane]);
        }
    }
    for (lane, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
        sums[lane] += f(a, b);
    }
    sums.iter().sum()
}

/// The inner product, summed in four lanes.
#[inline(always)]
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 4];
    let (fours, others) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = fours.remainder().iter().zip(others.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in fours.zip(others) {
        for (lane, (x, y)) in lanes.iter_mut().zip(x.iter().zip(y)) {
            *lane += x * y;
        }
    }
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest
}

/// Magnitudes between this and its inverse have squares that can be summed as they are.
const LARGE: f64 = 1e140;

/// 2⁷⁰⁰, by which others are multiplied or divided first.
const UNIT: f64 = 5.260_135_901_548_374e210;

/// Σ x² whose summands would over- or underflow as they are: sums of three magnitudes, each in a unit of its own.
///
/// Blue, *A portable Fortran program to find the Euclidean norm of a vector* (ACM TOMS 4, 1978), matrix by matrix.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "[f64; 3]", into = "[f64; 3]"))]
pub(crate) struct Squares {
    /// Times 2¹⁴⁰⁰.
    small: f64,
    medium: f64,
    /// Divided by 2¹⁴⁰⁰.
    large: f64,
}

impl Squares {
    /// The squares of the entries of one matrix.
    pub(crate) fn of<R: Dim, C: Dim, S: Storage<f64, R, C>>(matrix: &Matrix<f64, R, C, S>) -> Self {
        let mut squares = Self::default();
        squares.add(matrix);
        squares
    }

    /// The squares of some numbers.
    pub(crate) fn of_numbers(numbers: &[f64]) -> Self {
        let largest = vectorized(
            #[inline(always)]
            || numbers.iter().fold(0.0, |largest: f64, number| largest.max(number.abs())),
        );
        if (LARGE.recip()..=LARGE).contains(&largest) {
            return Self { medium: sum_of_squares(numbers), ..Self::default() };
        }
        Self::of(&DVectorView::from_slice(numbers, numbers.len()))
    }

    /// Adds the squares of the entries of a matrix.
    pub(crate) fn add<R: Dim, C: Dim, S: Storage<f64, R, C>>(
        &mut self,
        matrix: &Matrix<f64, R, C, S>,
    ) {
        let largest = matrix.amax();
        let scaled = |factor: f64| matrix.iter().map(|entry| (entry * factor).powi(2)).sum::<f64>();
        if largest > LARGE {
            self.large += scaled(UNIT.recip());
        } else if largest < LARGE.recip() {
            self.small += scaled(UNIT);
        } else {
            self.medium += matrix.norm_squared();
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.small += other.small;
        self.medium += other.medium;
        self.large += other.large;
    }

    /// `factor` · Σ x².
    pub(crate) fn times(&self, factor: f64) -> f64 {
        if self.small == 0.0 && self.large == 0.0 {
            return factor * self.medium;
        }
        let root = self.root();
        factor * root * root
    }

    /// `factor` · Σ x² where it is a floating-point number.
    ///
    /// # Errors
    /// [`Error::Unrepresentable`], naming the `quantity`, if it is too large.
    pub(crate) fn representable(&self, factor: f64, quantity: &'static str) -> Result<f64> {
        match self.times(factor) {
            value if value.is_finite() => Ok(value),
            _ => {
                let log10 = 2.0 * self.root().log10() + factor.log10();
                Err(Error::Unrepresentable { quantity, log10 })
            }
        }
    }

    /// √(Σ x²).
    pub(crate) fn root(&self) -> f64 {
        let Self { small, medium, large } = *self;
        if large != 0.0 {
            (large + medium / UNIT / UNIT).sqrt() * UNIT
        } else if medium != 0.0 {
            (medium + small / UNIT / UNIT).sqrt()
        } else {
            small.sqrt() / UNIT
        }
    }

    /// Whether all sums are numbers that sums of squares can be.
    pub(crate) fn is_finite(&self) -> bool {
        [self.small, self.medium, self.large].iter().all(|sum| sum.is_finite() && *sum >= 0.0)
    }
}

#[cfg(feature = "serde")]
impl From<Squares> for [f64; 3] {
    fn from(squares: Squares) -> Self {
        [squares.small, squares.medium, squares.large]
    }
}

#[cfg(feature = "serde")]
impl TryFrom<[f64; 3]> for Squares {
    type Error = &'static str;

    fn try_from([small, medium, large]: [f64; 3]) -> Result<Self, Self::Error> {
        let squares = Self { small, medium, large };
        squares
            .is_finite()
            .then_some(squares)
            .ok_or("sums of squares must be finite and not negative")
    }
}

/// The length of a vector whose squares may be out of range.
pub(crate) fn norm(vector: &[f64]) -> f64 {
    let largest = vector.iter().fold(0.0, |largest: f64, entry| largest.max(entry.abs()));
    if largest == 0.0 {
        return 0.0;
    }
    largest * vector.iter().map(|entry| (entry / largest).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::dmatrix;

    #[test]
    fn inner_products_of_every_length() {
        for length in 0..12_usize {
            let numbers: Vec<f64> = (1..=length).map(|n| n as f64).collect();
            let expected = length * (length + 1) * (2 * length + 1) / 6;
            assert_eq!(dot(&numbers, &numbers), expected as f64);
        }
    }

    #[test]
    fn squares_of_every_magnitude() {
        for scale in [1e-320, 1e-300, 1e-170, 1e-141, 1e-139, 1.0, 1e139, 1e141, 1e170, 1e307] {
            let squares = Squares::of(&(dmatrix![3.0, 4.0] * scale));
            assert!(
                (squares.root() / (5.0 * scale) - 1.0).abs() < 1e-3_f64.min(1e-321 / scale + 1e-15)
            );
        }
        assert_eq!(Squares::of(&dmatrix![3.0, 4.0]).times(0.5), 12.5);
        for scale in [1e-200, 1.0, 1e200] {
            let mut squares = Squares::of(&(dmatrix![3.0, 4.0] * scale));
            squares.merge(&Squares::of(&(dmatrix![12.0] * scale)));
            assert!((squares.root() / (13.0 * scale) - 1.0).abs() < 1e-14);
        }
        assert_eq!(Squares::default().root(), 0.0);
        // A square that is out of range, times a factor that brings it back.
        let squares = Squares::of(&dmatrix![1e200]);
        assert!((squares.times(1e-300) / 1e100 - 1.0).abs() < 1e-15);
        assert_eq!(squares.times(1.0), f64::INFINITY);
    }

    #[test]
    fn sums_of_different_magnitudes() {
        let mut squares = Squares::of(&dmatrix![3e150]);
        squares.merge(&Squares::of(&dmatrix![4.0]));
        squares.add(&dmatrix![1e-160]);
        assert!((squares.root() / 3e150 - 1.0).abs() < 1e-15);
        let mut close = Squares::of(&dmatrix![3e140]);
        close.merge(&Squares::of(&dmatrix![4e139]));
        assert!((close.root() / (9.16_f64).sqrt() / 1e140 - 1.0).abs() < 1e-15);
        assert!(!Squares::of(&dmatrix![f64::NAN]).is_finite());
        assert!(!Squares::of(&dmatrix![f64::INFINITY]).is_finite());
    }

    /// On either side of the limits, where both sums count to the last digit.
    #[test]
    fn neighboring_magnitudes_add_up() {
        for (small, large) in [(0.9e-140, 1.2e-140), (0.9e140, 1.2e140)] {
            let mut squares = Squares::of(&dmatrix![4.0 * small]);
            squares.add(&dmatrix![2.5 * small]);
            for _ in 0..3 {
                squares.add(&dmatrix![small / 1.5]);
                squares.merge(&Squares::of(&dmatrix![large]));
            }
            let ratio: f64 = large / small;
            let expected = small * (16.0 + 6.25 + 3.0 / 2.25 + 3.0 * ratio.powi(2)).sqrt();
            assert!((squares.root() / expected - 1.0).abs() < 1e-14, "{squares:?}");
        }
    }

    #[test]
    fn squares_of_every_length() {
        for length in 0..40_u32 {
            let numbers: Vec<f64> = (1..=length).map(f64::from).collect();
            let narrow: Vec<f32> = (1..=length as u16).map(f32::from).collect();
            let expected = f64::from(length * (length + 1) * (2 * length + 1) / 6);
            assert_eq!((sum_of_squares(&numbers), sum_of_squares(&narrow)), (expected, expected));
            assert_eq!(Squares::of_numbers(&numbers).times(1.0), expected);
            for scale in [1e-200, 1.0, 1e200] {
                let numbers: Vec<f64> = numbers.iter().map(|number| number * scale).collect();
                let roots = [Squares::of_numbers(&numbers).root(), norm(&numbers)];
                let expected = expected.sqrt() * scale;
                assert!(roots.iter().all(|root| (root - expected).abs() <= 1e-15 * expected));
            }
        }
        // Sums that were made without a unit are as they are.
        let medium = Squares { medium: 3.3, ..Squares::default() };
        assert_eq!(medium.times(0.7), 0.7 * 3.3);
    }

    #[cfg(feature = "serde")]
    #[test]
    fn stored_sums_are_checked() {
        let sums = [1.0, 0.0, 3.0];
        let squares = Squares::try_from(sums).unwrap();
        assert_eq!(squares, Squares { small: 1.0, medium: 0.0, large: 3.0 });
        assert_eq!(<[f64; 3]>::from(squares), sums);
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            for place in 0..3 {
                let mut sums = sums;
                sums[place] = bad;
                assert!(Squares::try_from(sums).is_err(), "{sums:?}");
            }
        }
    }
}
