//! Products beside those of nalgebra, for each way in which they are made.

use nalgebra::{DMatrix, RealField};

use super::{Block, Columns, Entries, LINE, Lanes, Packed, general, transposed, whole_tiles};

/// Sizes on both sides of every border: vectors, tiles, groups of them, pieces of columns, blocks of columns.
const SIZES: [(usize, usize, usize); 18] = [
    (1, 1, 1),
    (3, 2, 2),
    (16, 4, 4),
    (9, 100, 7),
    (5, 513, 4),
    (13, 1100, 11),
    (33, 90, 8),
    (48, 30, 130),
    (49, 512, 129),
    (100, 64, 257),
    (23, 40, 3),
    (51, 1030, 9),
    (72, 700, 131),
    (200, 20, 180),
    (450, 520, 3),
    (2, 0, 3),
    (0, 40, 3),
    (3, 40, 0),
];

fn number<T: From<f32>>(i: usize, j: usize) -> T {
    T::from(((i * 7 + j * 13) as f32).sin())
}

fn check<T: RealField + Copy + From<f32> + Into<f64>>(
    epsilon: f64,
    add: impl Fn(&DMatrix<T>, T, &DMatrix<T>, Entries, &mut DMatrix<T>),
) {
    for (rows, depth, columns) in SIZES {
        let left = DMatrix::from_fn(rows, depth, number::<T>);
        let right = DMatrix::from_fn(depth, columns, |i, j| number::<T>(j + 1, i));
        let diagonals = [0, rows / 3, rows].map(|row| row as isize);
        let below = diagonals.into_iter().chain([-5]).map(Entries::FromDiagonal);
        let parts = below.chain([0, rows / 2, rows].map(Entries::FirstRows));
        for wanted in parts.chain([Entries::All]) {
            let mut result = DMatrix::from_element(rows, columns, T::one());
            add(&left, T::from(2.0), &right, wanted, &mut result);
            let (left, right) = (left.map(Into::into), right.map(Into::into));
            let expected: DMatrix<f64> = (&left * &right * 2.0).add_scalar(1.0);
            // Rounding errors of sums of so many terms, which add up as a random walk does.
            let walk = epsilon * (depth as f64 + 1.0).sqrt();
            let bounds = (left.abs() * right.abs() * 2.0).add_scalar(1.0) * walk;
            let error = (result.map(Into::<f64>::into) - expected).abs();
            for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
                let counts = match wanted {
                    Entries::All => true,
                    Entries::FromDiagonal(first) => i as isize >= j as isize + first,
                    Entries::FirstRows(count) => i < count,
                };
                let is_right = error[(i, j)] <= bounds[(i, j)];
                assert!(is_right || !counts, "{rows}×{depth}×{columns} {wanted:?}: {i}, {j}");
            }
        }
    }
}

/// The columns of a matrix.
fn columns_of<T>(matrix: &DMatrix<T>) -> Columns<'_, T> {
    Columns { numbers: matrix.as_slice(), stride: matrix.nrows(), count: matrix.ncols() }
}

#[test]
fn products_are_those_of_nalgebra() {
    check::<f64>(f64::EPSILON, |left, factor, right, wanted, result| {
        let rows = left.nrows();
        let packed = Packed::new(left, |entry| factor * entry);
        assert_eq!(packed.rows(), rows);
        packed.add_products(columns_of(right), wanted, result.as_mut_slice(), rows);
    });
    check::<f32>(f32::EPSILON.into(), |left, factor, right, wanted, result| {
        let rows = left.nrows();
        Packed::new(left, |entry| factor * entry).add_products(
            columns_of(right),
            wanted,
            result.as_mut_slice(),
            rows,
        );
    });
}

/// Of a factor that lies row by row.
#[test]
fn so_are_those_of_a_transpose() {
    fn check_transpose<T: Lanes + From<f32> + Into<f64>>(epsilon: f64) {
        check::<T>(epsilon, |left, factor, right, wanted, result| {
            let (rows, transpose) = (left.nrows(), left.transpose());
            let packed = Packed::new(&transposed(&transpose), |entry| factor * entry);
            packed.add_products(columns_of(right), wanted, result.as_mut_slice(), rows);
        });
    }
    check_transpose::<f64>(f64::EPSILON);
    check_transpose::<f32>(f32::EPSILON.into());
}

/// A smaller one in the memory of a larger one.
#[test]
fn what_was_packed_before_is_forgotten() {
    let mut packed = Packed::empty();
    for (rows, depth) in [(70, 600), (51, 33), (9, 40), (3, 20)] {
        let left = DMatrix::from_fn(rows, depth, number::<f32>);
        let right = DMatrix::from_fn(depth, 5, number::<f32>);
        packed.fill(&left, |entry| if rows == 70 { f32::NAN } else { entry });
        let (mut found, mut expected) = (DMatrix::zeros(rows, 5), DMatrix::zeros(rows, 5));
        packed.add_products(columns_of(&right), Entries::All, found.as_mut_slice(), rows);
        let fresh = Packed::new(&left, |entry| entry);
        fresh.add_products(columns_of(&right), Entries::All, expected.as_mut_slice(), rows);
        assert!(if rows == 70 { found.iter().all(|x| x.is_nan()) } else { found == expected });
    }
}

/// What builds without the feature `simd` use.
#[test]
fn so_are_those_without_vector_units() {
    check::<f64>(f64::EPSILON, |left, factor, right, wanted, result| {
        let rows = left.nrows();
        let mut packed = general::Packed::empty();
        packed.fill(left, |entry| factor * entry);
        assert_eq!(packed.rows(), rows);
        packed.add_products(columns_of(right), wanted, result.as_mut_slice(), rows);
    });
}

/// Only the columns asked for and only their rows are written, wherever they lie.
#[test]
fn numbers_between_the_columns_are_left_alone() {
    let left = DMatrix::from_fn(21, 10, number::<f64>);
    let right = DMatrix::from_fn(12, 5, number::<f64>);
    let mut result = vec![7.0; 25 * 5];
    let part = Columns { numbers: &right.as_slice()[1..], stride: 12, count: 5 };
    Packed::new(&left, |entry| entry).add_products(part, Entries::All, &mut result, 25);
    let expected = &left * right.rows(1, 10);
    for (j, column) in result.chunks(25).enumerate() {
        for (i, &entry) in column.iter().enumerate() {
            let product = if i < 21 { expected[(i, j)] } else { 0.0 };
            assert!((entry - 7.0 - product).abs() < 1e-14, "{i} {j}");
        }
    }
}

/// A column is the same whichever others are computed with it: nalgebra's products do not keep that.
#[cfg(feature = "simd")]
#[test]
fn columns_do_not_depend_on_their_neighbors() {
    let left = DMatrix::from_fn(101, 700, number::<f32>);
    let right = DMatrix::from_fn(700, 150, number::<f32>);
    let mut whole = DMatrix::zeros(101, 150);
    Packed::new(&left, |entry| entry).add_products(
        columns_of(&right),
        Entries::All,
        whole.as_mut_slice(),
        101,
    );
    for (column, count) in [(3, 1), (20, 9), (147, 3)] {
        let part = right.columns(column, count).into_owned();
        let mut result = DMatrix::zeros(101, count);
        let packed = Packed::new(&left, |entry| entry);
        packed.add_products(columns_of(&part), Entries::All, result.as_mut_slice(), 101);
        assert_eq!(result, whole.columns(column, count).into_owned());
    }
}

/// As few as have room for the rows, for numbers of either size.
#[test]
fn columns_are_an_odd_number_of_cache_lines_apart() {
    let mut block = (Block::<f64>::new(), Block::<f32>::new());
    for rows in 1..100 {
        block.0.reshape(rows, 3);
        block.1.reshape(rows, 3);
        for (stride, size) in [(block.0.stride(), 8), (block.1.stride(), 4)] {
            let lines = stride * size / LINE;
            assert!(stride * size % LINE == 0 && lines % 2 == 1, "{rows}: {stride}");
            assert!((stride - rows) * size < 2 * LINE, "{rows}: {stride}");
        }
        assert_eq!((block.0.column(2).len(), block.1.columns().count()), (rows, 3));
    }
}

/// No tile is computed that has no wanted entry.
#[cfg(feature = "simd")]
#[test]
fn what_is_not_wanted_is_left_alone() {
    /// Rows and columns of a tile at most.
    const TILE: (isize, isize) = (48, 8);
    let left = DMatrix::from_element(200, 20, 1.0_f32);
    let right = DMatrix::from_element(20, 180, 1.0_f32);
    let packed = Packed::new(&left, |entry| entry);
    for wanted in
        [-150, 0, 90].map(Entries::FromDiagonal).into_iter().chain([Entries::FirstRows(10)])
    {
        let mut result = DMatrix::zeros(200, 180);
        packed.add_products(columns_of(&right), wanted, result.as_mut_slice(), 200);
        for (i, j) in (0..200).flat_map(|i| (0..180).map(move |j| (i, j))) {
            let (is_wanted, is_far) = match wanted {
                Entries::FromDiagonal(first) => {
                    let above = j as isize + first - i as isize;
                    (above <= 0, above >= TILE.0 + TILE.1)
                }
                _ => (i < 10, i as isize >= 10 + TILE.0),
            };
            let found: f32 = result[(i, j)];
            assert!(if is_wanted { found == 20.0 } else { !is_far || found == 0.0 }, "{i} {j}");
        }
    }
}

/// The same bits, whatever stands beside a row.
#[test]
fn equal_rows_have_equal_products() {
    let left = DMatrix::from_fn(10, 700, number::<f64>);
    let both = DMatrix::from_fn(20, 700, |i, j| number(i % 10, j));
    let right = DMatrix::from_fn(700, 13, number::<f64>);
    let products = |left: &DMatrix<f64>| {
        let mut result = DMatrix::zeros(left.nrows(), 13);
        let rows = left.nrows();
        let packed = Packed::of_equal_rows(left);
        packed.add_products(columns_of(&right), Entries::All, result.as_mut_slice(), rows);
        result
    };
    let (alone, beside) = (products(&left), products(&both));
    assert_eq!(alone, beside.rows(0, 10));
    assert_eq!(alone, beside.rows(10, 10));
}

/// Tiles have six or eight columns, so that 120 are whole tiles on every machine.
#[test]
fn whole_tiles_have_no_more_columns_than_is_said() {
    let tile = whole_tiles(0);
    assert!([6, 8].contains(&tile));
    assert_eq!(whole_tiles(120), 120);
    for most in 1..300 {
        assert_eq!(whole_tiles(most), tile.max(most / tile * tile));
    }
}

/// One and then less than half of the last digit, which is lost each time it is added: what is lost comes close to what so
/// many roundings may take, and no more is lost.
#[test]
fn sums_have_no_more_roundings_than_is_said() {
    for depth in [1, 300, 512, 700, 1500] {
        for rows in [1, 3, 16, 33, 50] {
            let left = DMatrix::from_element(rows, depth, 1.0_f32);
            let lost = 0.49 * f32::EPSILON;
            let right = DMatrix::from_fn(depth, 2, |i, _| if i == 0 { 1.0 } else { lost });
            let mut result = DMatrix::zeros(rows, 2);
            let packed = Packed::new(&left, |entry| entry);
            packed.add_products(columns_of(&right), Entries::All, result.as_mut_slice(), rows);
            let exact: f64 = right.column(0).iter().map(|&entry| f64::from(entry)).sum();
            let unit = f64::from(f32::EPSILON) / 2.0;
            let allowed = Packed::<f32>::roundings(depth) as f64 * unit * exact;
            let error =
                result.iter().map(|&sum| (f64::from(sum) - exact).abs()).fold(0.0, f64::max);
            assert!(error <= allowed, "{depth} {rows}: {error:e} {allowed:e}");
            // Whole vectors add one number after the other.
            let is_close = !cfg!(feature = "simd") || rows < 16 || depth < 300;
            assert!(
                is_close || error > 0.7 * allowed.min(512.0 * unit),
                "{depth} {rows}: {error:e}"
            );
        }
    }
}
