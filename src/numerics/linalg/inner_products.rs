//! Inner products of the columns of two matrices, AᵀB.
//!
//! A general matrix product copies its operands into another order first. These are read along their columns as
//! they lie in memory.

/// The matrix product of nalgebra.
#[cfg(not(feature = "simd"))]
pub(crate) use fallback::{
    inner_products as inner_products_f32, inner_products as inner_products_f64,
};

#[cfg(not(feature = "simd"))]
mod fallback {
    use nalgebra::DMatrix;

    use crate::numerics::linalg::{multiply, transposed};
    use crate::numerics::scalar::Scalar;

    pub(crate) fn inner_products<T: Scalar>(
        left: &DMatrix<T>,
        right: &DMatrix<T>,
        products: &mut DMatrix<T>,
    ) {
        multiply(&mut products.as_view_mut(), &transposed(left), right);
    }
}

#[cfg(feature = "simd")]
pub(crate) use vectors::{inner_products_f32, inner_products_f64};

#[cfg(feature = "simd")]
mod vectors {
    use nalgebra::DMatrix;
    use pulp::{Arch, Simd, WithSimd};

    /// Bytes of a piece of a column: eight of these fit into the nearest cache.
    const PIECE: usize = 2048;

    /// The same for both types, which have methods of different names.
    macro_rules! inner_products {
        ($name:ident, $kernel:ident, $type:ty, $vector:ident, $split:ident, $splat:ident, $load:ident,
         $multiply_add:ident, $sum:ident) => {
            /// `products` = AᵀB.
            pub(crate) fn $name(
                left: &DMatrix<$type>,
                right: &DMatrix<$type>,
                products: &mut DMatrix<$type>,
            ) {
                let (size, rows) = (left.nrows(), left.ncols());
                products.fill(0.0);
                if size == 0 || products.is_empty() {
                    return;
                }
                let piece = PIECE / size_of::<$type>();
                for start in (0..size).step_by(piece) {
                    let end = size.min(start + piece);
                    Arch::new().dispatch($kernel {
                        left: left.as_slice(),
                        right: right.as_slice(),
                        products: products.as_mut_slice(),
                        size,
                        rows,
                        piece: (start, end),
                    });
                }
            }

            /// Adds what a piece of all columns contributes.
            struct $kernel<'a> {
                left: &'a [$type],
                right: &'a [$type],
                products: &'a mut [$type],
                /// Length of a column.
                size: usize,
                /// Number of columns of A.
                rows: usize,
                piece: (usize, usize),
            }

            impl WithSimd for $kernel<'_> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: Simd>(mut self, simd: S) {
                    // As many sums as there are registers for.
                    match S::REGISTER_COUNT {
                        32.. => self.columns::<S, 4>(simd),
                        _ => self.columns::<S, 2>(simd),
                    }
                }
            }

            impl $kernel<'_> {
                #[inline(always)]
                fn columns<S: Simd, const C: usize>(&mut self, simd: S) {
                    let columns = self.right.len() / self.size;
                    let mut row = 0;
                    while row + 4 <= self.rows {
                        self.strip::<S, 4, C>(simd, row, columns);
                        row += 4;
                    }
                    while row < self.rows {
                        self.strip::<S, 1, C>(simd, row, columns);
                        row += 1;
                    }
                }

                /// R columns of A with all columns of B.
                #[inline(always)]
                fn strip<S: Simd, const R: usize, const C: usize>(
                    &mut self,
                    simd: S,
                    row: usize,
                    columns: usize,
                ) {
                    let mut column = 0;
                    while column + C <= columns {
                        self.tile::<S, R, C>(simd, row, column);
                        column += C;
                    }
                    while column < columns {
                        self.tile::<S, R, 1>(simd, row, column);
                        column += 1;
                    }
                }

                /// R columns of A with C columns of B.
                #[inline(always)]
                fn tile<S: Simd, const R: usize, const C: usize>(
                    &mut self,
                    simd: S,
                    row: usize,
                    column: usize,
                ) {
                    // Loops instead of closures, which would not be compiled for the vector units.
                    let (mut lefts, mut rights) = ([&[][..]; R], [&[][..]; C]);
                    let (mut left_rests, mut right_rests) = ([&[][..]; R], [&[][..]; C]);
                    for r in 0..R {
                        let vector = part(self.left, self.size, row + r, self.piece);
                        (lefts[r], left_rests[r]) = S::$split(vector);
                    }
                    for c in 0..C {
                        let vector = part(self.right, self.size, column + c, self.piece);
                        (rights[c], right_rests[c]) = S::$split(vector);
                    }
                    let length = lefts[0].len();
                    for r in 0..R {
                        lefts[r] = &lefts[r][..length];
                    }
                    for c in 0..C {
                        rights[c] = &rights[c][..length];
                    }
                    let mut sums = [[simd.$splat(0.0); R]; C];
                    for i in 0..length {
                        for c in 0..C {
                            for r in 0..R {
                                sums[c][r] =
                                    simd.$multiply_add(lefts[r][i], rights[c][i], sums[c][r]);
                            }
                        }
                    }
                    for c in 0..C {
                        let right = simd.$load(right_rests[c]);
                        for r in 0..R {
                            let sum =
                                simd.$multiply_add(simd.$load(left_rests[r]), right, sums[c][r]);
                            self.products[(column + c) * self.rows + row + r] += simd.$sum(sum);
                        }
                    }
                }
            }
        };
    }

    #[inline(always)]
    fn part<T>(columns: &[T], size: usize, index: usize, piece: (usize, usize)) -> &[T] {
        &columns[index * size + piece.0..index * size + piece.1]
    }

    inner_products!(
        inner_products_f32,
        KernelF32,
        f32,
        f32s,
        as_simd_f32s,
        splat_f32s,
        partial_load_f32s,
        mul_add_e_f32s,
        reduce_sum_f32s
    );
    inner_products!(
        inner_products_f64,
        KernelF64,
        f64,
        f64s,
        as_simd_f64s,
        splat_f64s,
        partial_load_f64s,
        mul_add_e_f64s,
        reduce_sum_f64s
    );
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use crate::numerics::scalar::Scalar;

    fn check<T: Scalar>(tolerance: f64) {
        let number = |i: usize, j: usize| T::rounded(((i * 7 + j * 13) as f64).sin());
        let sizes = [
            (1, 1, 1),
            (3, 2, 2),
            (16, 4, 4),
            (100, 9, 7),
            (513, 5, 4),
            (2000, 13, 11),
            (90, 33, 8),
            (0, 2, 3),
        ];
        for (size, rows, columns) in sizes.into_iter().chain([(40, 0, 3), (40, 3, 0)]) {
            let left = DMatrix::from_fn(size, rows, number);
            let right = DMatrix::from_fn(size, columns, |i, j| number(j + 1, i));
            let mut products = DMatrix::from_element(rows, columns, T::one());
            T::inner_products(&left, &right, &mut products);
            let (left, right) = (left.map(Into::into), right.map(Into::into));
            let expected: DMatrix<f64> = left.transpose() * right;
            assert_eq!(products.shape(), (rows, columns));
            let error = products.map(Into::<f64>::into) - expected;
            assert!(error.amax() <= tolerance * (size as f64).sqrt(), "{size}×{rows}×{columns}");
        }
    }

    #[test]
    fn products_are_those_of_nalgebra() {
        check::<f64>(1e-14);
        check::<f32>(1e-5);
    }
}
