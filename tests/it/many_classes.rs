//! Metrics of so many classes and samples that they are visited in pieces, by their definitions.

use nalgebra::DMatrix;
use neural_collapse::geometry::Frame;
use neural_collapse::measure::ClassVectors;
use neural_collapse::metrics::{Spread, cosine_spread, equiangularity, log_energy};
use neural_collapse::objective::balancedness_with;
use neural_collapse::{Features, LinearHead, Progress, Regularization};

fn vectors(dimension: usize, classes: usize) -> DMatrix<f64> {
    DMatrix::from_fn(dimension, classes, |i, k| {
        (1.0 + k as f64 % 7.0) * (0.4 + ((i * 31 + k * 17) as f64 * 12.9898).sin())
    })
}

#[test]
fn cosines_and_energies_are_those_of_all_pairs() {
    for (dimension, classes) in [(2, 3), (5, 300), (40, 701)] {
        let columns = vectors(dimension, classes);
        let units: Vec<_> = columns.column_iter().map(|column| column.normalize()).collect();
        let etf = -1.0 / (classes as f64 - 1.0);
        let (mut cosines, mut energies) = (Vec::new(), 0.0);
        for i in 0..classes {
            for j in 0..i {
                cosines.push(units[i].dot(&units[j]));
                energies -= (&units[i] - &units[j]).norm().ln();
            }
        }
        let pairs = cosines.len() as f64;
        let mean = cosines.iter().sum::<f64>() / pairs;
        let variance = cosines.iter().map(|cosine| (cosine - mean).powi(2)).sum::<f64>() / pairs;
        let found = ClassVectors::columns(&columns).unwrap();
        let spread = cosine_spread(&found).unwrap();
        assert!((spread.mean - mean).abs() < 1e-12, "{classes}: {} {mean}", spread.mean);
        assert!((spread.deviation - variance.sqrt()).abs() < 1e-12, "{classes}");
        assert_eq!(spread.number as usize, cosines.len());
        let angles = equiangularity(&found).unwrap();
        let deviations = cosines.iter().map(|cosine| (cosine - etf).abs());
        let largest = deviations.clone().fold(0.0, f64::max);
        assert!(
            (angles.etf_deviation - deviations.sum::<f64>() / pairs).abs() < 1e-12,
            "{classes}"
        );
        assert!((angles.largest_etf_deviation - largest).abs() < 1e-12, "{classes}");
        let energy = log_energy(&found).unwrap().mean;
        assert!((energy - energies / pairs).abs() < 1e-10, "{classes}: {energy}");
    }
}

#[test]
fn deviations_of_one_number() {
    let one = Spread::of(&[3.0]).unwrap();
    assert_eq!((one.deviation, one.sample_deviation(), one.number), (0.0, None, 1));
    let two = Spread::of(&[3.0, 5.0]).unwrap();
    assert_eq!((two.mean, two.deviation), (4.0, 1.0));
    assert!((two.sample_deviation().unwrap() - 2.0_f64.sqrt()).abs() < 1e-15);
    assert_eq!(two.coefficient_of_variation(), Some(0.25));
    assert_eq!(Spread::of(&[-1.0, 1.0]).unwrap().coefficient_of_variation(), None);
    assert!(Spread::of(&[]).is_none());
}

/// A monitor hears how many samples have been added, up to all of them.
#[test]
fn monitors_hear_of_every_sample() {
    let rows = DMatrix::from_fn(4000, 40, |i, j| ((i * 7 + j * 13) % 11) as f64);
    let features = Features::from_sample_rows(&rows).unwrap();
    let heard = std::sync::Mutex::new(Vec::new());
    let monitor = |progress: Progress| {
        heard.lock().unwrap().push((progress.done, progress.total));
        std::ops::ControlFlow::Continue(())
    };
    let head = LinearHead::new(vec![DMatrix::identity(3, 40)], None).unwrap();
    let regularization = Regularization::new(&[1e-3], 1e-3).unwrap();
    balancedness_with(&features, &head, &regularization, &monitor).unwrap();
    let heard = heard.into_inner().unwrap();
    assert!(heard.len() > 1 && heard.iter().all(|(_, total)| *total == Some(4000)), "{heard:?}");
    assert!(heard.windows(2).all(|pair| pair[0].0 < pair[1].0) && heard.last().unwrap().0 == 4000);
}

/// Why NC1 is missing: nothing can vary within classes of one sample, and nothing differs between equal means.
#[test]
fn a_missing_nc1_has_its_reason() {
    for (labels, numbers, words) in [
        (vec![0, 1], vec![1.0, 2.0, 3.0, 5.0], "no class has two samples"),
        (vec![0, 0, 1, 1], vec![1.0, 0.0, 3.0, 0.0, 0.0, 0.0, 4.0, 0.0], "are all equal"),
    ] {
        let features = Features::from_row_major(&numbers, labels.len(), 2).unwrap();
        let data = features.with_labels(&labels, 2).unwrap();
        let head = LinearHead::new(vec![DMatrix::identity(2, 2)], None).unwrap();
        let measured = neural_collapse::audit::measure(&data, &head).unwrap();
        let found = measured.without_prediction("nobody knows").unwrap();
        assert!(found.measurement.nc1().is_none());
        assert!(found.reasons["nc1"].contains(words), "{}", found.reasons["nc1"]);
    }
}

#[test]
fn norms_of_every_magnitude() {
    for size in [1e-200, 1.0, 1e200] {
        let matrix = DMatrix::from_row_slice(2, 3, &[3.0, 0.0, 5.0, 4.0, 0.0, -12.0]) * size;
        let columns = ClassVectors::columns(&matrix).unwrap();
        let near = |found: &[f64], expected: &[f64]| {
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() <= 1e-14 * expected, "{found} {expected}");
            }
        };
        near(&columns.norms(), &[5.0 * size, 0.0, 13.0 * size]);
        near(&columns.relative_norms(), &[5.0 / 13.0, 0.0, 1.0]);
        let rows = ClassVectors::rows(&matrix).unwrap();
        near(&rows.norms(), &[34.0_f64.sqrt() * size, 160.0_f64.sqrt() * size]);
        assert_eq!((columns.classes(), columns.dimension()), (3, 2));
        assert_eq!((rows.classes(), rows.dimension()), (2, 3));
    }
}

/// Energies that differ by 10⁻⁹ of each other have the digits of these differences.
#[test]
fn small_deviations_of_energies_keep_their_digits() {
    for classes in [3, 40, 200] {
        let frame = Frame::simplex(classes).unwrap().into_vectors();
        let moved = &frame + vectors(classes, classes) * 1e-9;
        let units: Vec<_> = moved.column_iter().map(|column| column.normalize()).collect();
        let pairs = (0..classes).flat_map(|j| (0..j).map(move |i| (i, j)));
        let middle = (2.0 * classes as f64 / (classes as f64 - 1.0)).sqrt();
        // −ln of a length near the middle.
        let energies: Vec<f64> = pairs
            .map(|(i, j)| -(((&units[i] - &units[j]).norm() - middle) / middle).ln_1p())
            .collect();
        let expected = Spread::of(&energies).unwrap();
        let found = log_energy(&ClassVectors::columns(&moved).unwrap()).unwrap();
        assert!((found.mean - expected.mean + middle.ln()).abs() < 1e-14);
        assert!((found.deviation / expected.deviation - 1.0).abs() < 1e-5, "{classes}: {found:?}");
    }
}
