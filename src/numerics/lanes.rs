//! Numbers of which a vector unit holds several.

use nalgebra::RealField;

#[cfg(feature = "simd")]
use pulp::Simd;
#[cfg(all(feature = "simd", target_arch = "x86_64"))]
use pulp::{cast, x86::V3};

/// Rows and columns that are transposed at a time.
pub(crate) const SIDE: usize = 4;

/// As many numbers of as many rows, or of as many columns.
pub(crate) type Square<T> = [[T; SIDE]; SIDE];

/// The columns of some rows, number by number.
#[inline(always)]
pub(crate) fn transposed<T: Copy>(rows: &Square<T>) -> Square<T> {
    let mut columns = *rows;
    for (i, row) in rows.iter().enumerate() {
        for (column, &number) in columns.iter_mut().zip(row) {
            column[i] = number;
        }
    }
    columns
}

/// `f32` or `f64` in the vector units that `pulp` knows.
#[cfg(feature = "simd")]
pub trait Lanes: RealField + Copy {
    /// As many as fit into a register.
    type Vector<S: Simd>: Copy;

    /// Whole vectors, and the numbers that are left.
    fn split<S: Simd>(numbers: &[Self]) -> (&[Self::Vector<S>], &[Self]);

    /// The same, to be changed.
    fn split_mut<S: Simd>(numbers: &mut [Self]) -> (&mut [Self::Vector<S>], &mut [Self]);

    /// As many numbers in `f64` as fit into a register.
    fn widened<S: Simd>(simd: S, numbers: &[Self]) -> S::f64s;

    /// A vector of equal numbers.
    fn repeated<S: Simd>(simd: S, number: Self) -> Self::Vector<S>;

    /// a·b + c.
    fn multiply_add<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;

    /// a − b.
    fn subtract<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;

    /// |a|.
    fn magnitudes<S: Simd>(simd: S, a: Self::Vector<S>) -> Self::Vector<S>;

    /// The larger of a and b, which is not NaN, in each lane; where a is NaN, either.
    fn larger<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;

    /// Fewer numbers than a vector has, and zeros.
    fn partial<S: Simd>(simd: S, numbers: &[Self]) -> Self::Vector<S>;

    /// The sum of the lanes.
    fn total<S: Simd>(simd: S, a: Self::Vector<S>) -> Self;

    /// The largest of the lanes.
    fn largest<S: Simd>(simd: S, a: Self::Vector<S>) -> Self;

    /// Adds the first lanes of a vector to no more numbers than it has.
    fn add_to<S: Simd>(simd: S, numbers: &mut [Self], vector: Self::Vector<S>);

    /// The columns of some rows; number by number in `f32`, of which no large matrix is transposed.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn transposed(_: V3, rows: &Square<Self>) -> Square<Self> {
        transposed(rows)
    }

    /// Numbers in a vector.
    #[inline(always)]
    fn lanes<S: Simd>() -> usize {
        size_of::<Self::Vector<S>>() / size_of::<Self>()
    }
}

/// `f32` or `f64`, one at a time.
#[cfg(not(feature = "simd"))]
pub trait Lanes: RealField + Copy {}

#[cfg(not(feature = "simd"))]
impl Lanes for f32 {}

#[cfg(not(feature = "simd"))]
impl Lanes for f64 {}

#[cfg(feature = "simd")]
impl Lanes for f32 {
    type Vector<S: Simd> = S::f32s;

    #[inline(always)]
    fn split<S: Simd>(numbers: &[Self]) -> (&[S::f32s], &[Self]) {
        S::as_simd_f32s(numbers)
    }

    #[inline(always)]
    fn split_mut<S: Simd>(numbers: &mut [Self]) -> (&mut [S::f32s], &mut [Self]) {
        S::as_mut_simd_f32s(numbers)
    }

    #[inline(always)]
    fn widened<S: Simd>(simd: S, numbers: &[Self]) -> S::f64s {
        /// Lanes at most.
        const LANES: usize = 8;
        let mut wide = [0.0; LANES];
        for (wide, &number) in wide.iter_mut().zip(numbers) {
            *wide = f64::from(number);
        }
        match S::as_simd_f64s(&wide) {
            ([first, ..], _) => *first,
            _ => simd.splat_f64s(0.0),
        }
    }

    #[inline(always)]
    fn repeated<S: Simd>(simd: S, number: Self) -> S::f32s {
        simd.splat_f32s(number)
    }

    #[inline(always)]
    fn multiply_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
        simd.mul_add_e_f32s(a, b, c)
    }

    #[inline(always)]
    fn subtract<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
        simd.sub_f32s(a, b)
    }

    #[inline(always)]
    fn magnitudes<S: Simd>(simd: S, a: S::f32s) -> S::f32s {
        simd.abs_f32s(a)
    }

    #[inline(always)]
    fn larger<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
        simd.max_f32s(a, b)
    }

    #[inline(always)]
    fn partial<S: Simd>(simd: S, numbers: &[Self]) -> S::f32s {
        simd.partial_load_f32s(numbers)
    }

    #[inline(always)]
    fn total<S: Simd>(simd: S, a: S::f32s) -> Self {
        simd.reduce_sum_f32s(a)
    }

    #[inline(always)]
    fn largest<S: Simd>(simd: S, a: S::f32s) -> Self {
        simd.reduce_max_f32s(a)
    }

    #[inline(always)]
    fn add_to<S: Simd>(simd: S, numbers: &mut [Self], vector: S::f32s) {
        match S::as_mut_simd_f32s(numbers) {
            ([whole], []) => *whole = simd.add_f32s(*whole, vector),
            _ => {
                let sum = simd.add_f32s(simd.partial_load_f32s(numbers), vector);
                simd.partial_store_f32s(numbers, sum);
            }
        }
    }
}

#[cfg(feature = "simd")]
impl Lanes for f64 {
    type Vector<S: Simd> = S::f64s;

    #[inline(always)]
    fn split<S: Simd>(numbers: &[Self]) -> (&[S::f64s], &[Self]) {
        S::as_simd_f64s(numbers)
    }

    #[inline(always)]
    fn split_mut<S: Simd>(numbers: &mut [Self]) -> (&mut [S::f64s], &mut [Self]) {
        S::as_mut_simd_f64s(numbers)
    }

    #[inline(always)]
    fn widened<S: Simd>(simd: S, numbers: &[Self]) -> S::f64s {
        match Self::split::<S>(numbers) {
            ([first, ..], _) => *first,
            _ => simd.splat_f64s(0.0),
        }
    }

    #[inline(always)]
    fn repeated<S: Simd>(simd: S, number: Self) -> S::f64s {
        simd.splat_f64s(number)
    }

    #[inline(always)]
    fn multiply_add<S: Simd>(simd: S, a: S::f64s, b: S::f64s, c: S::f64s) -> S::f64s {
        simd.mul_add_e_f64s(a, b, c)
    }

    #[inline(always)]
    fn subtract<S: Simd>(simd: S, a: S::f64s, b: S::f64s) -> S::f64s {
        simd.sub_f64s(a, b)
    }

    #[inline(always)]
    fn magnitudes<S: Simd>(simd: S, a: S::f64s) -> S::f64s {
        simd.abs_f64s(a)
    }

    #[inline(always)]
    fn larger<S: Simd>(simd: S, a: S::f64s, b: S::f64s) -> S::f64s {
        simd.max_f64s(a, b)
    }

    #[inline(always)]
    fn partial<S: Simd>(simd: S, numbers: &[Self]) -> S::f64s {
        simd.partial_load_f64s(numbers)
    }

    #[inline(always)]
    fn total<S: Simd>(simd: S, a: S::f64s) -> Self {
        simd.reduce_sum_f64s(a)
    }

    #[inline(always)]
    fn largest<S: Simd>(simd: S, a: S::f64s) -> Self {
        simd.reduce_max_f64s(a)
    }

    #[inline(always)]
    fn add_to<S: Simd>(simd: S, numbers: &mut [Self], vector: S::f64s) {
        match S::as_mut_simd_f64s(numbers) {
            ([whole], []) => *whole = simd.add_f64s(*whole, vector),
            _ => {
                let sum = simd.add_f64s(simd.partial_load_f64s(numbers), vector);
                simd.partial_store_f64s(numbers, sum);
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn transposed(V3 { avx, .. }: V3, &[a, b, c, d]: &Square<Self>) -> Square<Self> {
        // Closures would not be compiled for the vector units.
        let (a, b, c, d) = (cast(a), cast(b), cast(c), cast(d));
        // a₀ b₀ a₂ b₂, a₁ b₁ a₃ b₃, and the same of c and d.
        let (ab_even, ab_odd) = (avx._mm256_unpacklo_pd(a, b), avx._mm256_unpackhi_pd(a, b));
        let (cd_even, cd_odd) = (avx._mm256_unpacklo_pd(c, d), avx._mm256_unpackhi_pd(c, d));
        [
            cast(avx._mm256_permute2f128_pd::<0x20>(ab_even, cd_even)),
            cast(avx._mm256_permute2f128_pd::<0x20>(ab_odd, cd_odd)),
            cast(avx._mm256_permute2f128_pd::<0x31>(ab_even, cd_even)),
            cast(avx._mm256_permute2f128_pd::<0x31>(ab_odd, cd_odd)),
        ]
    }
}
