//! Matrix decompositions, the only place where nalgebra's are called.
//!
//! Its algorithms never return on NaN, lose their thresholds at extreme scales, leave eigenvalues
//! unsorted and get singular vectors wrong (see [`bidiagonal`]); here every matrix is checked, scaled
//! by a power of two (which is exact), decomposed with a cap on the iterations and sorted in
//! descending order.

mod bidiagonal;
mod cholesky;
mod convert;
mod entries;
mod few_rows;
mod packed;
mod product;
mod reflections;
mod reshape;
mod rotation;
mod strided;
mod transposition;
mod triangle;
mod tridiagonal;

use nalgebra::{DMatrix, DVector, Dim, IsContiguous, Matrix, Storage};

use crate::error::{Argument, Error, Result};
use crate::numerics::magnitude::largest;
use bidiagonal::{Iteration, Vectors};
pub(crate) use cholesky::{Cholesky, LARGEST_CONDITION, inverse_cholesky, shortened};
pub(crate) use convert::convert;
pub(crate) use entries::Entries;
pub(crate) use few_rows::{Centered, Factor, FewRows, TOGETHER};
pub(crate) use packed::{Block, Packed, whole_tiles};
pub(crate) use product::{
    add_gram, add_gram_in, add_product, add_product_in, gram, gram_of_upper, multiply, product,
    times_in_place,
};
pub(crate) use reshape::{reshape, zeroed};
pub(crate) use strided::{Columns, Operand, Strided, StridedView, transposed};
pub(crate) use triangle::{from_triangle, lower_triangle, mirror};

/// A = U diag(σ) Vᵀ with r = min(rows, columns) singular values; `()` in place of what is not wanted.
#[derive(Debug, Clone)]
pub(crate) struct Svd<U = DMatrix<f64>, V = DMatrix<f64>> {
    /// U, rows × r, orthonormal columns.
    pub(crate) u: U,
    /// σ₁ ≥ … ≥ σᵣ ≥ 0, accurate to a few ulp of σ₁.
    pub(crate) singular_values: DVector<f64>,
    /// V, columns × r, orthonormal columns.
    pub(crate) v: V,
}

/// A = Q diag(μ) Qᵀ.
#[derive(Debug, Clone)]
pub(crate) struct SymmetricEigen {
    /// μ₁ ≥ … ≥ μₙ, accurate to a few ulp of the largest |μ|.
    pub(crate) values: DVector<f64>,
    /// Q, a column an eigenvector.
    pub(crate) vectors: DMatrix<f64>,
}

/// The thin singular value decomposition of a matrix of any shape.
pub(crate) fn svd_thin(matrix: &DMatrix<f64>) -> Result<Svd> {
    svd(matrix)
}

/// [`svd_thin`] without V: a third cheaper for a square matrix.
pub(crate) fn left_svd(matrix: &DMatrix<f64>) -> Result<Svd<DMatrix<f64>, ()>> {
    svd(matrix)
}

/// The singular values alone, by falling size: several times cheaper than with vectors.
pub(crate) fn singular_values(matrix: &DMatrix<f64>) -> Result<DVector<f64>> {
    let svd: Svd<(), ()> = svd(matrix)?;
    Ok(svd.singular_values)
}

/// The thin decomposition: of R if the matrix is tall and QR its QR decomposition.
fn svd<U: Vectors, V: Vectors>(matrix: &DMatrix<f64>) -> Result<Svd<U, V>> {
    if matrix.nrows() < matrix.ncols() {
        let Svd { u, singular_values, v } = tall_svd(&matrix.transpose())?;
        return Ok(Svd { u: v, singular_values, v: u });
    }
    tall_svd(matrix)
}

fn tall_svd<U: Vectors, V: Vectors>(matrix: &DMatrix<f64>) -> Result<Svd<U, V>> {
    let (scaled, scale) = scaled(matrix)?;
    let mut svd = if scaled.is_square() || scaled.is_empty() {
        square_svd(scaled)?
    } else {
        let qr = scaled.qr();
        let svd: Svd<U, V> = square_svd(qr.r())?;
        Svd { u: svd.u.map(|u| qr.q() * u), ..svd }
    };
    svd.singular_values = unscaled(svd.singular_values, scale)?;
    Ok(svd)
}

/// The eigenvalues and eigenvectors of a symmetric matrix, of which only the lower triangle is read.
pub(crate) fn symmetric_eigen(matrix: &DMatrix<f64>) -> Result<SymmetricEigen> {
    let found = matrix.shape();
    if found.0 != found.1 {
        return Err(Error::shape("matrix", found, (found.0, found.0), "to have eigenvalues"));
    }
    let (scaled, scale) = scaled(matrix)?;
    let size = scaled.nrows();
    if size == 0 {
        return Ok(SymmetricEigen { values: DVector::zeros(0), vectors: scaled });
    }
    let (mut iteration, cap) = (tridiagonal::Iteration::new(scaled), iteration_cap(size));
    if !iteration.run(cap) {
        let algorithm = "symmetric eigendecomposition";
        return Err(Error::NoConvergence { algorithm, iterations: cap });
    }
    let order = descending(&iteration.diagonal);
    let values = unscaled(select(&iteration.diagonal, &order), scale)?;
    Ok(SymmetricEigen { values, vectors: iteration.vectors.into_columns(&order) })
}

/// The solution x of A x = b; `None` unless the symmetric A is positive definite.
pub(crate) fn solve_positive_definite(
    matrix: DMatrix<f64>,
    right: &DVector<f64>,
) -> Option<DVector<f64>> {
    let finite = matrix.iter().chain(right.iter()).all(|entry| entry.is_finite());
    Some(nalgebra::Cholesky::new(finite.then_some(matrix)?)?.solve(right))
}

/// Refuses a matrix with an entry that is not finite.
pub(crate) fn check_finite<R: Dim, C: Dim, S: Storage<f64, R, C> + IsContiguous>(
    name: &'static str,
    matrix: &Matrix<f64, R, C, S>,
) -> Result<()> {
    check_finite_at(matrix, |row, column| Argument::entry(name, row, column))
}

/// Refuses a matrix with an entry that is not finite; `place` names the entry.
pub(crate) fn check_finite_at<R: Dim, C: Dim, S: Storage<f64, R, C> + IsContiguous>(
    matrix: &Matrix<f64, R, C, S>,
    place: impl Fn(usize, usize) -> Argument,
) -> Result<()> {
    if largest(matrix.as_slice()).is_finite() {
        return Ok(());
    }
    match matrix.iter().enumerate().find(|(_, entry)| !entry.is_finite()) {
        None => Ok(()),
        Some((index, &entry)) => {
            let (row, column) = (index % matrix.nrows(), index / matrix.nrows());
            Err(Error::out_of_range(place(row, column), entry, "finite"))
        }
    }
}

/// Refuses matrices of so many `entries` altogether (`None`: more than a `usize` can hold) that they cannot
/// be allocated, which would end the program.
pub(crate) fn check_memory(
    argument: &'static str,
    value: f64,
    entries: Option<usize>,
) -> Result<()> {
    let fits = |entries| Vec::<f64>::new().try_reserve_exact(entries).is_ok();
    if entries.is_some_and(fits) {
        return Ok(());
    }
    Err(Error::out_of_range(argument, value, "few enough for memory"))
}

/// The largest power of two that is at most the largest |entry|, or 1 for a matrix of zeros.
pub(crate) fn power_of_two(matrix: &DMatrix<f64>) -> f64 {
    power_of_two_below(largest(matrix.as_slice()))
}

/// The largest power of two that is at most a magnitude, or 1 for zero.
pub(crate) fn power_of_two_below(largest: f64) -> f64 {
    if largest == 0.0 { 1.0 } else { largest.log2().floor().min(1023.0).exp2() }
}

/// An orthonormal basis of the column space of a tall matrix of full rank: Q of its QR decomposition
/// with a positive diagonal in R, which makes it uniform if the entries are independent normal ones.
pub(crate) fn orthonormal_columns(matrix: DMatrix<f64>) -> DMatrix<f64> {
    if matrix.is_empty() {
        return matrix;
    }
    let qr = matrix.qr();
    let (mut q, r) = (qr.q(), qr.unpack_r());
    for (mut column, pivot) in q.column_iter_mut().zip(r.diagonal().iter()) {
        column *= 1.0_f64.copysign(*pivot);
    }
    q
}

/// The matrix divided by a power of two, so that its largest entry is about 1, and that power.
fn scaled(matrix: &DMatrix<f64>) -> Result<(DMatrix<f64>, f64)> {
    check_finite("matrix", matrix)?;
    let scale = power_of_two(matrix);
    Ok((matrix / scale, scale))
}

/// A matrix of zeros, or an error where allocating it would abort.
pub(crate) fn zeros(argument: &'static str, rows: usize, columns: usize) -> Result<DMatrix<f64>> {
    check_memory(argument, rows as f64 * columns as f64, rows.checked_mul(columns))?;
    Ok(DMatrix::zeros(rows, columns))
}

/// Undoes the scaling of singular values or eigenvalues.
fn unscaled(values: DVector<f64>, scale: f64) -> Result<DVector<f64>> {
    let scaled = &values * scale;
    match scaled.iter().position(|value| !value.is_finite()) {
        None => Ok(scaled),
        Some(index) => Err(Error::Unrepresentable {
            quantity: "a singular value or eigenvalue",
            log10: values[index].abs().log10() + scale.log10(),
        }),
    }
}

/// The decomposition of a square scaled matrix, or of one without columns.
fn square_svd<U: Vectors, V: Vectors>(matrix: DMatrix<f64>) -> Result<Svd<U, V>> {
    let size = matrix.ncols();
    if size == 0 {
        let (u, v) = (U::new(|| matrix), V::new(|| DMatrix::zeros(0, 0)));
        return Ok(Svd { u, singular_values: DVector::zeros(0), v });
    }
    let mut iteration = Iteration::<U, V>::new(matrix);
    let cap = iteration_cap(size);
    if !iteration.run(cap) {
        let algorithm = "singular value decomposition";
        return Err(Error::NoConvergence { algorithm, iterations: cap });
    }
    let order = descending(&iteration.diagonal);
    Ok(Svd {
        u: iteration.u.map(|u| u.select_columns(&order)),
        singular_values: select(&iteration.diagonal, &order),
        v: iteration.v.map(|v| v.select_columns(&order)),
    })
}

/// The order that sorts numbers from the largest to the smallest.
fn descending(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[j].total_cmp(&values[i]));
    order
}

fn select(values: &[f64], order: &[usize]) -> DVector<f64> {
    DVector::from_iterator(order.len(), order.iter().map(|&index| values[index]))
}

/// Two or three iterations find a singular value; LAPACK gives up at a similar cap.
fn iteration_cap(size: usize) -> usize {
    100 + 30 * size
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

    fn random(rows: usize, columns: usize) -> DMatrix<f64> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64((rows * 1000 + columns) as u64);
        DMatrix::from_fn(rows, columns, |_, _| rng.random_range(-1.0..1.0))
    }

    fn check_svd(matrix: &DMatrix<f64>) {
        let Svd { u, singular_values: values, v } = svd_thin(matrix).unwrap();
        let rank = matrix.nrows().min(matrix.ncols());
        assert_eq!((u.shape(), v.shape()), ((matrix.nrows(), rank), (matrix.ncols(), rank)));
        assert!(values.as_slice().is_sorted_by(|a, b| a >= b) && values.iter().all(|&s| s >= 0.0));
        let tolerance = 1e-14 * (rank + 10) as f64;
        let largest = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let residual = (matrix - &u * DMatrix::from_diagonal(&values) * v.transpose()) / largest;
        assert!(residual.amax() < tolerance, "{:?}: {}", matrix.shape(), residual.amax());
        for basis in [&u, &v] {
            let defect = basis.transpose() * basis - DMatrix::identity(rank, rank);
            assert!(defect.amax() < tolerance, "{:?}: {}", matrix.shape(), defect.amax());
        }
        assert_eq!(singular_values(matrix).unwrap(), values);
        let left = left_svd(matrix).unwrap();
        assert_eq!((left.u, left.singular_values), (u, values));
    }

    #[test]
    fn caps_leave_thirty_iterations_for_each_value() {
        assert_eq!((iteration_cap(1), iteration_cap(250)), (130, 7600));
    }

    #[test]
    fn svd_of_every_shape() {
        for (rows, columns) in [(1, 1), (5, 5), (40, 7), (7, 40), (128, 128), (300, 256), (3, 1)] {
            check_svd(&random(rows, columns));
        }
    }

    /// Of many of these nalgebra 0.35 returns wrong singular values.
    #[test]
    fn svd_of_degenerate_matrices() {
        for n in 1..=24 {
            let number = |i: usize| i as f64;
            check_svd(&DMatrix::from_element(n, n, 1.0));
            check_svd(&DMatrix::from_element(n + 3, n, 1.0));
            check_svd(&DMatrix::identity(n, n).add_scalar(-1.0 / n as f64));
            check_svd(&DMatrix::from_fn(n, n, |i, j| number(usize::from(i < j))));
            check_svd(&DMatrix::from_fn(n, n, |i, j| number(usize::from(i + 1 == j))));
            check_svd(&DMatrix::from_fn(n, n, |i, j| number(i * j % 3)));
            check_svd(&DMatrix::from_fn(n, n, |i, j| number(usize::from(i / 3 == j / 3))));
            check_svd(&DMatrix::from_fn(n, n, |i, j| if j < 3 { number(i + j) } else { 0.0 }));
            check_svd(&DMatrix::from_fn(n, n, |i, j| 1.0 / number(i + j + 1)));
            check_svd(&DMatrix::from_fn(
                n,
                n,
                |i, j| if i == j { 10_f64.powi(-(i as i32)) } else { 0.0 },
            ));
        }
        check_svd(&(random(130, 2) * random(2, 128)));
        let zero = svd_thin(&DMatrix::zeros(4, 3)).unwrap();
        assert_eq!(zero.singular_values, DVector::zeros(3));
        for (rows, columns) in [(0, 0), (0, 3), (3, 0)] {
            let empty = svd_thin(&DMatrix::zeros(rows, columns)).unwrap();
            assert_eq!((empty.u.shape(), empty.v.shape()), ((rows, 0), (columns, 0)));
            assert_eq!(left_svd(&DMatrix::zeros(rows, columns)).unwrap().singular_values.len(), 0);
        }
    }

    #[test]
    fn eigenvectors_of_degenerate_matrices() {
        for n in (1..=24).chain([65, 97]) {
            for matrix in [
                DMatrix::from_element(n, n, 1.0),
                DMatrix::identity(n, n).add_scalar(-1.0 / n as f64),
                DMatrix::from_fn(n, n, |i, j| f64::from(u8::from(i / 3 == j / 3))),
                DMatrix::from_fn(n, n, |i, j| 1.0 / (i + j + 1) as f64),
                DMatrix::zeros(n, n),
            ] {
                let SymmetricEigen { values, vectors } = symmetric_eigen(&matrix).unwrap();
                let residual = &matrix * &vectors - &vectors * DMatrix::from_diagonal(&values);
                assert!(residual.amax() < 1e-14 * (n as f64 + 10.0));
                let defect = vectors.transpose() * &vectors - DMatrix::identity(n, n);
                assert!(defect.amax() < 1e-14 * (n as f64 + 10.0));
            }
        }
    }

    #[test]
    fn extreme_scales_do_not_matter() {
        let matrix = random(20, 10);
        let values = left_svd(&matrix).unwrap().singular_values;
        for exponent in [-1000.0, -600.0, 600.0, 1000.0] {
            let scale = f64::exp2(exponent);
            let scaled = svd_thin(&(&matrix * scale)).unwrap();
            assert!((scaled.singular_values / scale - &values).amax() < 1e-14);
        }
    }

    #[test]
    fn eigenvalues_are_sorted_and_exact() {
        let half = random(150, 128);
        let matrix = half.transpose() * &half - DMatrix::identity(128, 128) * 30.0;
        let SymmetricEigen { values, vectors } = symmetric_eigen(&matrix).unwrap();
        assert!(values.as_slice().is_sorted_by(|a, b| a >= b));
        let residual = matrix * &vectors - &vectors * DMatrix::from_diagonal(&values);
        assert!(residual.amax() < 1e-12 * values.amax());
        assert_eq!(symmetric_eigen(&DMatrix::zeros(0, 0)).unwrap().values.len(), 0);
        assert!(symmetric_eigen(&DMatrix::zeros(2, 3)).is_err());
    }

    #[test]
    fn what_is_not_finite_is_refused() {
        for bad in [f64::NAN, f64::INFINITY] {
            let mut matrix = random(3, 3);
            matrix[(2, 1)] = bad;
            let error = svd_thin(&matrix).unwrap_err().to_string();
            assert!(error.contains("matrix["), "{error}");
            assert!(left_svd(&matrix).is_err() && symmetric_eigen(&matrix).is_err());
        }
        let overflow = left_svd(&DMatrix::from_element(4, 4, 1e308)).map(|svd| svd.singular_values);
        assert!(matches!(overflow, Err(Error::Unrepresentable { .. })));
    }

    #[test]
    fn what_is_refused_is_named() {
        let mut matrix = DMatrix::zeros(2, 3);
        matrix[(1, 2)] = f64::NEG_INFINITY;
        let expected = Error::out_of_range(Argument::entry("m", 1, 2), f64::NEG_INFINITY, "finite");
        assert_eq!(check_finite("m", &matrix).unwrap_err().to_string(), expected.to_string());
        for entries in [None, Some(usize::MAX), Some(usize::MAX / 8)] {
            let error = check_memory("classes", 1e19, entries).unwrap_err();
            assert!(matches!(error, Error::OutOfRange { value: 1e19, .. }), "{error}");
        }
        assert!(check_memory("classes", 5.0, Some(25)).is_ok());
        assert_eq!(zeros("width", 2, 3).unwrap(), DMatrix::zeros(2, 3));
        let error = zeros("width", 1 << 40, 1 << 30).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { value, .. } if value == 2.0_f64.powi(70)));
        let error = singular_values(&DMatrix::from_element(4, 4, 1e308)).unwrap_err();
        let Error::Unrepresentable { log10, .. } = error else { panic!("{error}") };
        assert!((log10 - 308.0 - 4.0_f64.log10()).abs() < 1e-12, "{log10}");
    }

    #[test]
    fn powers_of_two_are_below() {
        for (magnitude, power) in [
            (0.0, 1.0),
            (1.0, 1.0),
            (7.9, 4.0),
            (8.0, 8.0),
            (0.3, 0.25),
            (5e-324, 5e-324),
            (f64::MAX, 2.0_f64.powi(1023)),
        ] {
            assert_eq!(power_of_two_below(magnitude), power);
            assert_eq!(power_of_two(&DMatrix::from_row_slice(1, 2, &[-magnitude, 0.0])), power);
        }
    }

    #[test]
    fn bases_follow_the_columns() {
        let matrix = random(7, 4);
        let basis = orthonormal_columns(matrix.clone());
        assert!((basis.transpose() * &basis - DMatrix::identity(4, 4)).amax() < 1e-14);
        let triangle = basis.transpose() * &matrix;
        assert!((&basis * &triangle - matrix).amax() < 1e-14);
        assert!((&triangle - triangle.upper_triangle()).amax() < 1e-14);
        assert!(triangle.diagonal().iter().all(|&pivot| pivot > 0.0));
    }
}
