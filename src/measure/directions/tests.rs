use super::*;
use nalgebra::{dmatrix, dvector};

/// Means in random directions of different importance, of classes of one and two samples.
fn means(dimension: usize, classes: usize, smallest: f64) -> ClassMeans {
    let number = |i: usize, j: usize| ((i * 37 + j * 101 + i * j) as f64).sin();
    let shrink = |i: usize| smallest.powf(i as f64 / dimension as f64);
    let means = DMatrix::from_fn(dimension, classes, |i, j| number(i, j) * shrink(i) + 3.0);
    let counts = (0..classes).map(|class| if class < classes.div_ceil(3) { 2 } else { 1 });
    ClassMeans::new(counts.collect(), means)
}

#[test]
fn every_way_gives_the_pseudo_inverse() {
    for (dimension, classes) in [(60, 9), (20, 21), (20, 20), (9, 60), (130, 100), (3, 2)] {
        for (smallest, tolerance) in [(1.0, 1e-11), (1e-2, 1e-10), (1e-4, 1e-8)] {
            for center in [Center::Samples, Center::Classes] {
                let means = means(dimension, classes, smallest);
                let differences = || Differences::new(&means, center).unwrap();
                let expected =
                    differences().directions_by_singular_values(1e-9, usize::MAX).unwrap();
                let expected = gram(&expected.unwrap());
                let found = differences().directions(1e-9).unwrap().unwrap();
                assert_eq!(found.ncols(), dimension.min(classes - 1));
                let error = (gram(&found) - &expected).norm() / expected.norm();
                assert!(error < tolerance, "{dimension} {classes} {smallest}: {error:e}");
            }
        }
    }
}

#[test]
fn leading_directions_of_a_gram_matrix_are_those_of_the_singular_values() {
    for (dimension, classes) in [(60, 9), (9, 60), (200, 150), (140, 300)] {
        let means = means(dimension, classes, 1e-2);
        let differences = Differences::new(&means, Center::Samples).unwrap();
        for most in [1, 5, 8] {
            let found = differences.directions_by_gram(1e-6, most).unwrap().unwrap();
            let expected = differences.directions_by_singular_values(1e-6, most);
            let expected = gram(&expected.unwrap().unwrap());
            let error = (gram(&found) - &expected).norm() / expected.norm();
            assert!(error < 1e-9, "{dimension} {classes} {most}: {error:e}");
        }
    }
    // Those that would lose too many digits are left to the singular values.
    let means = means(9, 60, 1e-9);
    let differences = Differences::new(&means, Center::Samples).unwrap();
    assert!(differences.directions_by_gram(1e-12, 8).unwrap().is_none());
    assert!(differences.leading_directions(1e-12, 8).unwrap().is_some());
}

#[test]
fn the_null_vector_is_left_out_without_a_trace() {
    let means = means(12, 7, 1.0);
    let centered = means.centered(Center::Samples);
    let null = null_vector(means.counts(), Center::Samples);
    assert!((&centered * &null).norm() < 1e-14);
    let rest = without_null_vector((&centered, &DVector::zeros(12)), 1.0, &null);
    assert_eq!(rest.shape(), (12, 6));
    assert!((gram(&rest) - gram(&centered)).norm() < 1e-13);
}

#[test]
fn the_largest_eigenvalue_is_estimated() {
    let matrix = dmatrix![2.0, 1.0; 1.0, 2.0];
    assert!((power_iteration(|vector| &matrix * vector, 2) - 3.0).abs() < 0.03);
}

/// The condition is that of the matrix, whatever its size: up to 100 one factorization is enough, above 10⁶ there is
/// none, nor where a cut-off is near.
#[test]
fn factors_are_accurate_up_to_a_condition() {
    for size in [0.01, 1.0, 100.0] {
        let factor = |smallest: f64, rank_cutoff: f64, absolute_cutoff: f64| {
            let matrix = DMatrix::from_diagonal(&dvector![1.0, 1.0, smallest]) * size;
            let gram = gram(&matrix);
            let absolute_cutoff = absolute_cutoff * size;
            let differences = Differences { scale: 1.0, matrix, absolute_cutoff };
            differences.inverse_factor(gram, rank_cutoff).map(|found| found.is_accurate())
        };
        assert_eq!(factor(1.0 / 90.0, 0.0, 0.0), Some(true));
        assert_eq!(factor(1.0 / 110.0, 0.0, 0.0), Some(false));
        assert_eq!(factor(2e-6, 0.0, 0.0), Some(false));
        assert_eq!(factor(1.2e-6, 0.0, 0.0), None);
        // ‖L⁻¹‖⁻¹ = 0.019992 is compared with the cut-off times the Frobenius norm √2.
        assert_eq!(factor(0.02, 0.0140, 0.0), Some(true));
        assert_eq!(factor(0.02, 0.0143, 0.0), None);
        assert_eq!(factor(0.02, 0.0, 0.0199), Some(true));
        assert_eq!(factor(0.02, 0.0, 0.0201), None);
    }
}

#[test]
fn singular_values_above_the_cutoffs_are_kept() {
    let rank = |rank_cutoff: f64, absolute_cutoff: f64| {
        let matrix = DMatrix::zeros(0, 0);
        let differences = Differences { scale: 1.0, matrix, absolute_cutoff };
        differences.rank(&dvector![2.0, 1.0, 0.5, 0.25], rank_cutoff)
    };
    assert_eq!([0.51, 0.5, 0.49, 0.25, 0.1].map(|cutoff| rank(cutoff, 0.0)), [1, 1, 2, 2, 4]);
    assert_eq!([2.0, 1.5, 0.5, 0.3].map(|cutoff| rank(0.0, cutoff)), [0, 1, 2, 3]);
}

/// Up to a turn, B is `matrix` times `scale`, with layers too; what rounding of the means amounts to goes with their norm.
#[test]
fn differences_have_a_unit() {
    let layers = DMatrix::from_fn(4, 5, |i, j| ((i * 5 + j) as f64).cos());
    for size in [1e-200, 1.0, 1e100] {
        let means = means(5, 16, 1.0);
        let means = ClassMeans::new(means.counts().to_vec(), means.matrix() * size);
        let check = |differences: Differences, layers: &DMatrix<f64>| {
            let (centered, root) = (layers * means.centered(Center::Classes) / size, 4.0);
            let scale = differences.scale / size;
            let found = gram(&(differences.matrix * scale));
            assert!((found - gram(&centered) / root / root).norm() < 1e-12);
            let cutoff = differences.absolute_cutoff * scale;
            let norm = (layers * means.matrix() / size).norm();
            assert!((cutoff / (ROUNDING * norm / root) - 1.0).abs() < 1e-12, "{cutoff}");
            assert_eq!(differences.scale, power_of_two(&(centered * size)) / root);
        };
        let identity = DMatrix::identity(5, 5);
        check(Differences::new(&means, Center::Classes).unwrap(), &identity);
        check(Differences::after_layers(&means, Center::Classes, &layers).unwrap(), &layers);
    }
}

#[test]
fn means_that_differ_by_next_to_nothing_do_not_differ() {
    let differ = |difference: f64| {
        let means = ClassMeans::new(vec![1; 4], DMatrix::zeros(1, 4));
        let (columns, origin) = (dmatrix![difference, 0.0, 0.0, 0.0], dvector![0.0]);
        Differences::of(&means, Center::Classes, (&columns, &origin), 0.0).is_some()
    };
    // 10⁻²⁹⁰ times the root of the number of classes.
    assert_eq!([0.0, 1.9e-290, 2e-290, 2.1e-290].map(differ), [false, false, true, true]);
}

fn diagonal(entries: [f64; 2], absolute_cutoff: f64) -> Differences {
    let matrix = DMatrix::from_diagonal(&DVector::from(entries.to_vec()));
    Differences { scale: 1.0, matrix, absolute_cutoff }
}

/// The eigenvalues of a Gram matrix are enough for singular values above a thousandth of the largest one.
#[test]
fn small_singular_values_are_not_taken_from_a_gram_matrix() {
    let rank = |entries: [f64; 2], rank_cutoff: f64, most: usize| {
        let found = diagonal(entries, 0.0).directions_by_gram(rank_cutoff, most).unwrap();
        found.map(|directions| directions.ncols())
    };
    assert_eq!(rank([100.0, 1.0], 0.0, 2), Some(2));
    assert_eq!(rank([100.0, 0.01], 0.0, 2), None);
    assert_eq!(rank([100.0, 0.01], 0.0, 1), Some(1));
    // The square of the second one is zero, which is no matter if it does not count.
    assert_eq!(rank([1.0, 1e-200], 0.0, 2), None);
    assert_eq!(rank([1.0, 1e-200], SMALLEST_SHARE, 2), Some(1));
}

#[test]
fn without_a_singular_value_above_the_cutoff_there_is_no_direction() {
    let none = diagonal([1.0, 1.0], 2.0);
    for rank_cutoff in [0.0, 0.5] {
        assert!(none.directions_by_gram(rank_cutoff, 2).unwrap().is_none());
        assert!(none.directions_by_singular_values(rank_cutoff, 2).unwrap().is_none());
    }
}

#[test]
fn the_smaller_gram_matrix_is_taken() {
    for (dimension, classes, side) in [(9, 61, 9), (60, 10, 9)] {
        let means = means(dimension, classes, 1.0);
        let differences = Differences::new(&means, Center::Classes).unwrap();
        assert_eq!(differences.smaller_gram().0.shape(), (side, side));
    }
}

/// Two by two, four classes lie on either side of zero: σ₁ of \[h_k − h_G\]/2 is their distance from it.
#[test]
fn the_largest_difference_at_every_size() {
    for size in [3e-200, 3.0, 3e200] {
        let means = dmatrix![size, -size, size, -size; 0.0, 0.0, 0.0, 0.0];
        let found = largest_difference(&ClassMeans::new(vec![1; 4], means), Center::Classes);
        assert!((found / size - 1.0).abs() < 1e-14, "{found}");
    }
}

/// Only the shares of the classes count, to the last bit.
#[test]
fn the_null_vector_does_not_depend_on_the_number_of_samples() {
    let null = |count: u64| null_vector(&[count; 3], Center::Samples);
    assert_eq!(null(3), null(1));
    assert_eq!(null(u64::MAX), null(1));
}
