//! The reduction of a symmetric matrix to tridiagonal form by reflections, a few columns at a time.
//!
//! A reflection H = I − τvvᵀ makes A − vwᵀ − wvᵀ of A, with w = u − ½τ(uᵀv)v for u = τAv. What the reflections of a few
//! columns change is kept as columns v and w and taken from the rest of the matrix by one product, on all cores: one
//! product of the matrix with a vector is left for each column. Q is made of the reflections by products, too.
//!
//! Dongarra, Hammarling & Sorensen, *Block reduction of matrices to condensed forms for eigenvalue computations*, Journal of
//! Computational and Applied Mathematics 27 (1989); Schreiber & Van Loan, *A storage-efficient WY representation for products
//! of Householder transformations*, SIAM Journal on Scientific and Statistical Computing 10 (1989).

use nalgebra::DMatrix;

use super::entries::Entries;
use super::packed::Packed;
use super::product::{AT_ONCE, gram, product};
use super::strided::{Columns, transposed};
use crate::numerics::parallel;
use crate::numerics::scalar::largest_magnitude;
use crate::numerics::simd::vectorized;
use crate::numerics::squares::sum_of_pairs;

/// Columns whose reflections are applied together.
const TOGETHER: usize = 32;

/// Columns of a result that are a piece of work.
const WIDTH: usize = 48;

/// Columns of the matrix that a vector is multiplied by while it is in the registers.
const SIDE_BY_SIDE: usize = 4;

/// Smaller entries, of a matrix whose largest is about 1, count as zero: they change no digit of the result, and their squares
/// could underflow.
const NEGLIGIBLE: f64 = f64::EPSILON * f64::EPSILON * f64::EPSILON;

/// A = Q T Qᵀ with a tridiagonal T.
#[derive(Debug)]
pub(super) struct Tridiagonal {
    /// Q.
    pub(super) vectors: DMatrix<f64>,
    pub(super) diagonal: Vec<f64>,
    /// The entries beside the diagonal.
    pub(super) beside: Vec<f64>,
}

impl Tridiagonal {
    /// Of a symmetric matrix with entries of the size of 1, of which the lower triangle is read.
    pub(super) fn new(mut matrix: DMatrix<f64>) -> Self {
        let size = matrix.nrows();
        let (mut diagonal, mut beside) = (Vec::with_capacity(size), Vec::with_capacity(size));
        let mut all = Vec::new();
        for first in (0..size).step_by(TOGETHER) {
            let mut columns = Reduced::new(&matrix, first);
            for _ in 0..TOGETHER.min(size - first) {
                let (own, below) = columns.next_column();
                diagonal.push(own);
                beside.extend(below);
            }
            let Reduced { vectors, changes, factors, .. } = columns;
            let done = factors.len();
            subtract_changes(&mut matrix, first + done, [&vectors, &changes]);
            all.push(Reflections { first: first + 1, vectors, factors });
        }
        matrix.fill_with_identity();
        all.iter().rev().for_each(|reflections| reflections.apply(&mut matrix));
        Self { vectors: matrix, diagonal, beside }
    }
}

/// Some columns of a matrix on the way to tridiagonal form.
struct Reduced<'a> {
    matrix: &'a DMatrix<f64>,
    first: usize,
    /// v of the reflections so far, and zeros; its first row is row `first` + 1 of the matrix.
    vectors: DMatrix<f64>,
    /// w.
    changes: DMatrix<f64>,
    /// τ.
    factors: Vec<f64>,
}

impl<'a> Reduced<'a> {
    fn new(matrix: &'a DMatrix<f64>, first: usize) -> Self {
        let left = matrix.nrows() - first;
        let (rows, columns) = (left - 1, left.min(TOGETHER));
        let [vectors, changes] = [(); 2].map(|()| DMatrix::zeros(rows, columns));
        Self { matrix, first, vectors, changes, factors: Vec::new() }
    }

    /// v and w of a reflection from a row on.
    fn reflection(&self, index: usize, row: usize) -> [&[f64]; 2] {
        let rows = self.vectors.nrows();
        [&self.vectors, &self.changes]
            .map(|matrix| &matrix.as_slice()[index * rows..][..rows][row..])
    }

    /// Makes all entries of the next column below the diagonal zero but the first one. Returns the entry on the diagonal and that
    /// one, `None` if there are none.
    fn next_column(&mut self) -> (f64, Option<f64>) {
        let done = self.factors.len();
        let (column, size) = (self.first + done, self.matrix.nrows());
        let mut entries = self.matrix.as_slice()[column * size..][column..size].to_vec();
        // What the reflections of the columns before make of them.
        for before in 0..done {
            let [v, w] = self.reflection(before, done - 1);
            add_multiples(&mut entries, (-w[0], v), (-v[0], w));
        }
        let diagonal = entries[0];
        let own = &mut entries[1..];
        let Some((beside, factor)) = reflection(own) else {
            self.factors.push(0.0);
            return (diagonal, None);
        };
        let mut change = vec![0.0; own.len()];
        add_symmetric_product(self.matrix, column + 1, own, &mut change);
        for before in 0..done {
            let [v, w] = self.reflection(before, done);
            let [of_v, of_w] = [v, w].map(|column| inner_product(own, column));
            add_multiples(&mut change, (-of_w, v), (-of_v, w));
        }
        let half = factor * factor / 2.0 * inner_product(own, &change);
        for (change, v) in change.iter_mut().zip(&*own) {
            *change = factor * *change - half * v;
        }
        let rows = self.vectors.nrows();
        for (matrix, column) in [(&mut self.vectors, &*own), (&mut self.changes, &change)] {
            matrix.as_mut_slice()[done * rows..][done..rows].copy_from_slice(column);
        }
        self.factors.push(factor);
        (diagonal, Some(beside))
    }
}

/// The reflection I − τvvᵀ that leaves nothing of some numbers but the first one: that number and τ; v, whose first entry is 1,
/// takes the place of the numbers. `None` if there are none.
fn reflection(numbers: &mut [f64]) -> Option<(f64, f64)> {
    let (&mut first, others) = numbers.split_first_mut()?;
    let largest = f64::from_bits(largest_magnitude(others));
    let (left, factor) = if largest < NEGLIGIBLE {
        others.fill(0.0);
        (first, 0.0)
    } else {
        let left = -(first * first + inner_product(others, others)).sqrt().copysign(first);
        others.iter_mut().for_each(|number| *number /= first - left);
        (left, (left - first) / left)
    };
    numbers[0] = 1.0;
    Some((left, factor))
}

/// Takes V Wᵀ + W Vᵀ, their last rows, from the lower triangle of the rows and columns from `first` on.
fn subtract_changes(matrix: &mut DMatrix<f64>, first: usize, [v, w]: [&DMatrix<f64>; 2]) {
    let size = matrix.nrows();
    let (rows, depth) = (size - first, 2 * v.ncols());
    if rows == 0 {
        return;
    }
    let joined = |one: &DMatrix<f64>, other: &DMatrix<f64>| {
        let mut both = DMatrix::zeros(rows, depth);
        let last = one.nrows() - rows;
        both.columns_mut(0, depth / 2).copy_from(&one.rows_range(last..));
        both.columns_mut(depth / 2, depth / 2).copy_from(&other.rows_range(last..));
        both
    };
    let left = Packed::new(&joined(v, w), |entry: f64| -entry);
    let right = joined(w, v).transpose();
    let pieces = matrix.as_mut_slice()[first * size..].chunks_mut(size * WIDTH).enumerate();
    let operations = rows.saturating_mul(rows).saturating_mul(depth) / (2 * AT_ONCE);
    parallel::for_each(
        pieces,
        operations,
        || (),
        |(), (index, piece)| {
            let own = index * WIDTH;
            let numbers = &right.as_slice()[own * depth..];
            let columns = Columns { numbers, stride: depth, count: piece.len() / size };
            left.add_products(
                columns,
                Entries::FromDiagonal(own as isize),
                &mut piece[first..],
                size,
            );
        },
    );
}

/// Reflections H₁H₂… of neighboring columns, I − τvvᵀ each. Of each v the entries from row `first` on are a column of `vectors`.
struct Reflections {
    first: usize,
    vectors: DMatrix<f64>,
    factors: Vec<f64>,
}

impl Reflections {
    /// Multiplies a matrix, whose rows and columns before `first` are those of the identity, from the left by their product
    /// I − V F Vᵀ.
    fn apply(&self, matrix: &mut DMatrix<f64>) {
        let (first, size) = (self.first, matrix.nrows());
        let (rows, count) = self.vectors.shape();
        if rows == 0 {
            return;
        }
        let forward = product(&self.factor(), &transposed(&self.vectors));
        let forward = Packed::new(&forward, |entry: f64| entry);
        let backward = Packed::new(&self.vectors, |entry: f64| -entry);
        let pieces = matrix.as_mut_slice()[first * size..].chunks_mut(size * WIDTH);
        let operations = rows.saturating_mul(rows).saturating_mul(2 * count) / AT_ONCE;
        parallel::for_each(pieces, operations, Vec::new, |products, piece| {
            let width = piece.len() / size;
            products.clear();
            products.resize(count * width, 0.0);
            let columns = Columns { numbers: &piece[first..], stride: size, count: width };
            forward.add_products(columns, Entries::All, products, count);
            let columns = Columns { numbers: products, stride: count, count: width };
            backward.add_products(columns, Entries::All, &mut piece[first..], size);
        });
    }

    /// F, which is upper triangular: a reflection more adds the column −τ F Vᵀv with τ below it.
    fn factor(&self) -> DMatrix<f64> {
        let count = self.factors.len();
        let products = gram(&transposed(&self.vectors));
        let mut factor = DMatrix::zeros(count, count);
        for (index, &own) in self.factors.iter().enumerate() {
            let before =
                factor.view((0, 0), (index, index)) * products.view((0, index), (index, 1));
            factor.view_mut((0, index), (index, 1)).copy_from(&(before * -own));
            factor[(index, index)] = own;
        }
        factor
    }
}

/// `out` += A x for the symmetric matrix of the rows and columns from `first` on, of which the lower triangle is read.
fn add_symmetric_product(matrix: &DMatrix<f64>, first: usize, x: &[f64], out: &mut [f64]) {
    let size = matrix.nrows();
    vectorized(
        #[inline(always)]
        || {
            let columns = matrix.as_slice()[first * size..].chunks(size * SIDE_BY_SIDE);
            for (start, columns) in (0..x.len()).step_by(SIDE_BY_SIDE).zip(columns) {
                let end = x.len().min(start + SIDE_BY_SIDE);
                let (own, below) = out[start..].split_at_mut(end - start);
                let mut entries = [&[][..]; SIDE_BY_SIDE];
                for (index, column) in columns.chunks(size).enumerate() {
                    let column = &column[first + start..];
                    own[index] += column[index] * x[start + index];
                    for row in index + 1..own.len() {
                        own[row] += column[row] * x[start + index];
                        own[index] += column[row] * x[start + row];
                    }
                    entries[index] = &column[own.len()..];
                }
                if !below.is_empty() {
                    let factors = std::array::from_fn(|index| x[start + index]);
                    let sums = multiply_below(entries, &factors, &x[end..], below);
                    own.iter_mut().zip(sums).for_each(|(own, sum)| *own += sum);
                }
            }
        },
    );
}

/// Adds columns times factors to `out` and returns their inner products with x, all of which have the same length.
#[inline(always)]
fn multiply_below(
    columns: [&[f64]; SIDE_BY_SIDE],
    factors: &[f64; SIDE_BY_SIDE],
    x: &[f64],
    out: &mut [f64],
) -> [f64; SIDE_BY_SIDE] {
    const LANES: usize = 4;
    let mut sums = [[0.0; LANES]; SIDE_BY_SIDE];
    let ((x, x_rest), (out, out_rest)) = (x.as_chunks::<LANES>(), out.as_chunks_mut::<LANES>());
    let columns = columns.map(|column| column.as_chunks::<LANES>());
    let whole = columns.map(|(whole, _)| &whole[..x.len()]);
    for (i, (x, out)) in x.iter().zip(out).enumerate() {
        for c in 0..SIDE_BY_SIDE {
            for lane in 0..LANES {
                out[lane] += factors[c] * whole[c][i][lane];
                sums[c][lane] += whole[c][i][lane] * x[lane];
            }
        }
    }
    for (i, (x, out)) in x_rest.iter().zip(out_rest).enumerate() {
        for c in 0..SIDE_BY_SIDE {
            *out += factors[c] * columns[c].1[i];
            sums[c][i] += columns[c].1[i] * x;
        }
    }
    sums.map(|sums| (sums[0] + sums[1]) + (sums[2] + sums[3]))
}

/// xᵀy.
fn inner_product(x: &[f64], y: &[f64]) -> f64 {
    vectorized(
        #[inline(always)]
        || sum_of_pairs(x, y, |x, y| x * y),
    )
}

/// `out` += αa + βb.
fn add_multiples(out: &mut [f64], (alpha, a): (f64, &[f64]), (beta, b): (f64, &[f64])) {
    vectorized(
        #[inline(always)]
        || {
            for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                *out += alpha * a + beta * b;
            }
        },
    );
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Holds A against Q T Qᵀ, for an orthogonal Q.
    fn check(matrix: &DMatrix<f64>, what: &str) {
        let size = matrix.nrows();
        let mut lower = matrix.clone();
        // Only the lower triangle is read.
        for column in 1..size {
            lower.view_mut((0, column), (column, 1)).fill(f64::NAN);
        }
        let Tridiagonal { vectors, diagonal, beside } = Tridiagonal::new(lower);
        assert_eq!((diagonal.len(), beside.len()), (size, size.saturating_sub(1)));
        let mut middle = DMatrix::zeros(size, size);
        (0..size).for_each(|i| middle[(i, i)] = diagonal[i]);
        for (i, &entry) in beside.iter().enumerate() {
            (middle[(i, i + 1)], middle[(i + 1, i)]) = (entry, entry);
        }
        let tolerance = 1e-15 * (size as f64 + 10.0);
        let residual = (&vectors * middle * vectors.transpose() - matrix).norm();
        assert!(residual <= tolerance * matrix.norm(), "{what} {size}: {residual:e}");
        let defect = (vectors.tr_mul(&vectors) - DMatrix::identity(size, size)).norm();
        assert!(defect <= tolerance, "{what} {size}: {defect:e}");
    }

    /// Full, with entries of both signs.
    pub(in crate::numerics::linalg) fn symmetric(size: usize) -> DMatrix<f64> {
        let half = DMatrix::from_fn(size, size, |i, j| ((i * i + 3 * j * j + i * j) as f64).sin());
        &half + half.transpose()
    }

    /// On both sides of every border: columns that are read side by side, reflections applied together, pieces of work.
    #[test]
    fn matrices_of_every_size_are_reduced() {
        for size in (0..=70).chain([79, 80, 81, 95, 96, 97, 98, 128, 129, 150]) {
            check(&symmetric(size), "dense");
        }
    }

    #[test]
    fn degenerate_matrices_are_reduced() {
        for size in [1, 2, 5, 33, 34, 70] {
            let number = |i: usize| i as f64;
            let dense = symmetric(size);
            check(&DMatrix::zeros(size, size), "zeros");
            check(&DMatrix::identity(size, size), "identity");
            check(&DMatrix::from_element(size, size, 1.0), "ones");
            let blocks = |i: usize, j: usize| f64::from(u8::from(i / 3 == j / 3));
            check(&DMatrix::from_fn(size, size, blocks), "blocks");
            let graded = |i: usize, j: usize| dense[(i, j)] * 0.1_f64.powi((i + j) as i32);
            check(&DMatrix::from_fn(size, size, graded), "graded");
            let arrow = |i: usize, j: usize| if i == 0 || j == 0 { number(i + j) } else { 0.0 };
            check(&DMatrix::from_fn(size, size, arrow), "arrow");
            // Some squares are subnormal or zero.
            for tiny in [1e-30, 1e-100, 1e-158, 1e-162, 1e-300] {
                let mut matrix = &dense * tiny;
                matrix[(0, 0)] = 1.0;
                check(&matrix, "tiny");
            }
        }
    }

    /// Large enough for several threads.
    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let reduced = |threads| {
            let threads = std::num::NonZeroUsize::new(threads).unwrap();
            parallel::with_threads(threads, || Tridiagonal::new(symmetric(600)))
        };
        let (one, three) = (reduced(1), reduced(3));
        assert!(one.vectors == three.vectors);
        assert!(one.diagonal == three.diagonal && one.beside == three.beside);
    }

    /// What is left beside the diagonal: a number that is all there is, with its sign, or a length with the other one.
    #[test]
    fn reflections_leave_one_number() {
        for (mut numbers, left, factor) in [
            (vec![-3.0], -3.0, 0.0),
            (vec![2.0, 0.0, 0.0], 2.0, 0.0),
            (vec![2.0, 1e-60], 2.0, 0.0),
            (vec![3.0, 0.0, 4.0], -5.0, 1.6),
            (vec![-3.0, 4.0], 5.0, 1.6),
            (vec![0.0, 4.0], -4.0, 1.0),
            (vec![0.0, 2.0_f64.powi(-140)], -(2.0_f64.powi(-140)), 1.0),
        ] {
            let before = numbers.clone();
            assert_eq!(reflection(&mut numbers), Some((left, factor)));
            let along: f64 = before.iter().zip(&numbers).map(|(x, v)| x * v).sum();
            for (index, (x, v)) in before.iter().zip(&numbers).enumerate() {
                let expected = if index == 0 { left } else { 0.0 };
                assert!((x - factor * along * v - expected).abs() < 1e-15, "{before:?}");
            }
        }
        assert_eq!(reflection(&mut []), None);
    }

    #[test]
    fn symmetric_products_are_those_of_nalgebra() {
        for (size, first) in [(1, 0), (7, 3), (8, 8), (20, 0), (23, 2), (64, 1)] {
            let matrix = symmetric(size);
            let rows = size - first;
            let x: Vec<f64> = (0..rows).map(|i| (i as f64).cos()).collect();
            let mut found = vec![1.0; rows];
            add_symmetric_product(&matrix, first, &x, &mut found);
            let part = matrix.view((first, first), (rows, rows));
            let expected = (part * nalgebra::DVector::from_vec(x)).add_scalar(1.0);
            let error = (nalgebra::DVector::from_vec(found) - expected).amax();
            assert!(error < 1e-14 * (rows + 1) as f64, "{size} {first}: {error:e}");
        }
    }
}
