//! Both ways beside the definition.

use nalgebra::DMatrix;

use super::centered::{Centered, Found};
use super::general;
use crate::numerics::scalar::Scalar;

/// What both ways find, whichever there are.
fn found<T: Scalar>(matrix: &DMatrix<f64>, centered: &Centered<'_, T>) -> Vec<Found<T>> {
    let general = general::FewRows::new(matrix, T::rounded).unwrap().squares(centered);
    #[cfg(feature = "simd")]
    let vectors = super::vectors::FewRows::new(matrix, T::rounded).unwrap().squares(centered);
    #[cfg(feature = "simd")]
    return vec![general, vectors];
    #[cfg(not(feature = "simd"))]
    vec![general]
}

/// For whole and broken vectors of the machine, one and two of them.
fn check<T: Scalar>(tolerance: f64) {
    for depth in [1, 3, 7, 8, 16, 17, 33, 100] {
        let mean = |j: usize| 3.0 + (j as f64).cos() / 3.0;
        let high: Vec<T> = (0..depth).map(|j| T::rounded(mean(j))).collect();
        let low: Vec<T> = (0..depth).map(|j| T::rounded(mean(j) - high[j].into())).collect();
        let vector = |n: usize| -> Vec<T> {
            (0..depth).map(|j| T::rounded(mean(j) + ((j + n) as f64).sin() / 8.0)).collect()
        };
        let (first, second, third, factor) = (vector(1), vector(5), vector(9), 4.0);
        for rows in [0, 1, 4, 9] {
            let matrix = DMatrix::from_fn(rows, depth, |i, j| ((i * 7 + j * 3) as f64).sin());
            let expected = |vector: &[T]| {
                let entry = |j: usize| (vector[j].into() - mean(j)) * 4.0;
                let product = |i| (0..depth).map(|j| matrix[(i, j)] * entry(j)).sum::<f64>();
                (0..rows).map(|i| product(i).powi(2)).sum::<f64>()
            };
            let all = [&first[..], &second[..], &third[..]];
            for vectors in (0..=all.len()).map(|count| &all[..count]) {
                let next = &[&second[..]][..];
                let centered = Centered { vectors, high: &high, low: &low, factor, next };
                for found in found(&matrix, &centered) {
                    for (vector, square) in vectors.iter().zip(found.squares) {
                        let (expected, error) = (expected(vector), tolerance * depth as f64);
                        assert!(
                            (square - expected).abs() <= error * (1.0 + expected),
                            "{depth} {rows}"
                        );
                    }
                    let numbers = vectors.iter().flat_map(|vector| vector.iter());
                    let largest = numbers.fold(T::zero(), |a, &b| a.max(b.abs()));
                    assert_eq!(found.largest, largest);
                }
            }
        }
    }
}

#[test]
fn squares_are_those_of_the_definition() {
    check::<f64>(1e-15);
    check::<f32>(1e-6);
}

#[test]
fn many_rows_are_left_to_the_product() {
    let matrix = DMatrix::<f64>::zeros(general::ROWS + 1, 3);
    assert!(general::FewRows::<f64>::new(&matrix, |x| x).is_none());
    assert!(super::Factor::<f64>::new(&matrix, |x| x).few_rows.is_none());
    let matrix = DMatrix::<f64>::zeros(general::ROWS, 3);
    assert!(super::Factor::<f64>::new(&matrix, |x| x).few_rows.is_some());
}

#[test]
fn what_is_not_finite_is_seen_in_a_square() {
    let (matrix, zeros) = (DMatrix::zeros(2, 40), [0.0; 40]);
    for (place, bad) in [(0, f64::NAN), (17, f64::INFINITY), (39, f64::NAN)] {
        let mut vector = zeros;
        vector[place] = bad;
        let (vectors, high, low) = (&[&zeros[..], &vector[..]][..], &zeros[..], &zeros[..]);
        let centered = Centered { vectors, high, low, factor: 1.0, next: &[] };
        for found in found(&matrix, &centered) {
            assert!(found.squares[0] == 0.0 && found.squares[1].is_nan());
        }
    }
}
