//! Both ways beside the definition.

use nalgebra::DMatrix;

use super::centered::{Centered, Found, ROWS, TOGETHER};
use super::{FewRows, general};
use crate::numerics::scalar::Scalar;

/// What both ways find, whichever there are.
fn found<T: Scalar>(matrix: &DMatrix<f64>, centered: &Centered<'_, T>) -> Vec<Found> {
    let general = general::FewRows::new(matrix, T::rounded).unwrap();
    let own = FewRows::new(matrix, T::rounded).unwrap();
    assert_eq!((general.rows(), own.rows()), (matrix.nrows(), matrix.nrows()));
    let found = vec![general.multiply(centered), own.multiply(centered)];
    // The same bits, NaN among them.
    #[cfg(feature = "simd")]
    for other in own.multiply_both_ways(centered) {
        assert_eq!(format!("{other:?}"), format!("{:?}", found[1]));
    }
    found
}

/// For whole and broken vectors of the machine, a part of the matrix and several, up to six vectors.
fn check<T: Scalar>(tolerance: f64) {
    for depth in [1, 3, 7, 8, 16, 17, 33, 100, 600] {
        let mean = |j: usize| 3.0 + (j as f64).cos() / 3.0;
        let high: Vec<T> = (0..depth).map(|j| T::rounded(mean(j))).collect();
        let low: Vec<T> = (0..depth).map(|j| T::rounded(mean(j) - high[j].into())).collect();
        let vector = |n: usize| -> Vec<T> {
            (0..depth).map(|j| T::rounded(mean(j) + ((j + n) as f64).sin() / 8.0)).collect()
        };
        let (all, factor): ([_; TOGETHER], _) = (std::array::from_fn(|n| vector(4 * n + 1)), 4.0);
        for rows in [0, 1, 4, 9] {
            let matrix = DMatrix::from_fn(rows, depth, |i, j| ((i * 7 + j * 3) as f64).sin());
            let entry = |vector: &[T], j: usize| (vector[j].into() - mean(j)) * 4.0;
            let expected = |vector: &[T], row: usize| match row < rows {
                true => (0..depth).map(|j| matrix[(row, j)] * entry(vector, j)).sum::<f64>(),
                false => 0.0,
            };
            let around = |vector: &[T]| (0..depth).map(|j| entry(vector, j).powi(2)).sum::<f64>();
            let all = all.each_ref().map(Vec::as_slice);
            for vectors in (0..=all.len()).map(|count| &all[..count]) {
                let next = &all[1..2];
                let centered = Centered { vectors, high: &high, low: &low, factor, next };
                for found in found(&matrix, &centered) {
                    let error = tolerance * depth as f64;
                    for (n, vector) in vectors.iter().enumerate() {
                        for (row, product) in found.products[n].into_iter().enumerate() {
                            let error = (product - expected(vector, row)).abs() / error;
                            assert!(error <= 1.0, "{depth} {rows} {row}: {error}");
                        }
                        let expected: f64 =
                            (0..rows).map(|row| expected(vector, row).powi(2)).sum();
                        assert!((found.squares[n] - expected).abs() <= error * (1.0 + expected));
                        let (own, around) = (found.around[n], around(vector));
                        assert!((own - around).abs() <= error * (1.0 + around), "{depth} {own}");
                    }
                    for n in vectors.len()..found.around.len() {
                        assert_eq!((found.products[n], found.around[n]), ([0.0; ROWS], 0.0));
                    }
                }
            }
        }
    }
}

#[test]
fn products_are_those_of_the_definition() {
    check::<f64>(1e-15);
    check::<f32>(1e-6);
}

#[test]
fn many_rows_are_left_to_the_product() {
    let matrix = DMatrix::<f64>::zeros(ROWS + 1, 3);
    assert!(general::FewRows::<f64>::new(&matrix, |x| x).is_none());
    assert!(super::Factor::<f64>::new(&matrix, |x| x).few_rows.is_none());
    let matrix = DMatrix::<f64>::zeros(ROWS, 3);
    assert!(super::Factor::<f64>::new(&matrix, |x| x).few_rows.is_some());
}

#[test]
fn what_is_not_finite_is_seen_in_a_product() {
    let (matrix, zeros) = (DMatrix::zeros(2, 40), [0.0; 40]);
    for (place, bad) in [(0, f64::NAN), (17, f64::INFINITY), (39, f64::NAN)] {
        let mut vector = zeros;
        vector[place] = bad;
        let (vectors, high, low) = (&[&zeros[..], &vector[..]][..], &zeros[..], &zeros[..]);
        let centered = Centered { vectors, high, low, factor: 1.0, next: &[] };
        for found in found(&matrix, &centered) {
            assert!(found.squares[0] == 0.0 && found.products[1].iter().all(|x| x.is_nan()));
        }
    }
}

/// As for those of [`Packed`](crate::numerics::linalg::Packed): one, and then less than half of the last digit, which is lost
/// each time.
#[test]
fn sums_have_no_more_roundings_than_is_said() {
    let unit = f64::from(f32::EPSILON) / 2.0;
    for depth in [1, 16, 17, 300, 1500] {
        let lost = 0.49 * f32::EPSILON;
        let numbers: Vec<f32> = (0..depth).map(|j| if j == 0 { 1.0 } else { lost }).collect();
        let ones = FewRows::<f32>::new(&DMatrix::from_element(1, depth, 1.0), |x: f64| x as f32);
        let zeros = vec![0.0; depth];
        let (vectors, high, low) = (&[&numbers[..]][..], &zeros[..], &zeros[..]);
        let centered = Centered { vectors, high, low, factor: 1.0, next: &[] };
        let exact: f64 = numbers.iter().map(|&x| f64::from(x)).sum();
        let error = (ones.unwrap().multiply(&centered).products[0][0] - exact).abs();
        let allowed = FewRows::<f32>::roundings(depth) as f64 * unit * exact;
        assert!(error <= allowed, "{depth}: {error:e} {allowed:e}");
        assert!(depth < 1000 || error > 0.5 * allowed, "{depth}: {error:e} {allowed:e}");
    }
}
