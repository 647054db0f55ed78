//! NC5, NECO and NCI.

use nalgebra::{DMatrix, DVector};
use neural_collapse::measure::{ClassVectors, PooledScatter};
use neural_collapse::metrics::{Detection, Neco, nc5, nci_scores};
use neural_collapse::{ClassStatistics, Error, Features, LinearHead};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, StandardNormal};

fn normal(rows: usize, columns: usize, seed: u64) -> DMatrix<f64> {
    let mut rng = SmallRng::seed_from_u64(seed);
    DMatrix::from_fn(rows, columns, |_, _| StandardNormal.sample(&mut rng))
}

const LABELS: [usize; 40] = {
    let mut labels = [0; 40];
    let mut sample = 0;
    while sample < 40 {
        labels[sample] = sample % 3;
        sample += 1;
    }
    labels
};

/// Features (samples in rows) of three classes in seven dimensions.
fn known() -> DMatrix<f64> {
    let (means, noise) = (normal(3, 7, 1) * 2.0, normal(40, 7, 2) * 0.3);
    DMatrix::from_fn(40, 7, |sample, feature| {
        means[(LABELS[sample], feature)] + noise[(sample, feature)] + 1.0
    })
}

#[test]
fn scores_are_those_of_their_definitions() {
    let (known, others) = (known(), normal(25, 7, 3));
    let data = Features::from_sample_rows(&known).unwrap().with_labels(&LABELS, 3).unwrap();
    let statistics = ClassStatistics::new(&data).unwrap();
    let mean = known.row_mean();
    let mut centered = known.clone();
    centered.row_iter_mut().for_each(|mut row| row -= &mean);
    let vectors = centered.svd(false, true).v_t.unwrap();
    let mut scatter = PooledScatter::empty(7, 3).unwrap();
    scatter.accumulate(&data).unwrap();
    let samples = Features::from_sample_rows(&others).unwrap();
    for rank in [1, 2, 7] {
        let neco = Neco::new(&scatter, rank).unwrap();
        assert_eq!(neco.rank(), rank);
        let found = neco.scores(&samples).unwrap();
        for (row, found) in others.row_iter().zip(found) {
            let deviation = row - &mean;
            let inside = vectors.rows(0, rank) * deviation.transpose();
            assert!((found.unwrap() - inside.norm() / deviation.norm()).abs() < 1e-12);
        }
    }
    let head = LinearHead::new(
        vec![normal(4, 7, 4), normal(3, 4, 5)],
        Some(normal(3, 1, 6).column(0).into()),
    );
    let head = head.unwrap();
    let found = nci_scores(&samples, &statistics, &head, 0.25).unwrap();
    let weights = &head.weights()[1] * &head.weights()[0];
    for (row, found) in others.row_iter().zip(found) {
        let feature = row.transpose();
        let outputs = &weights * &feature + head.bias().unwrap();
        let decided = outputs.argmax().0;
        let deviation = &feature - mean.transpose();
        let projected = weights.row(decided).dot(&deviation.transpose()) / deviation.norm();
        assert!((found.unwrap() - projected - 0.25 * feature.lp_norm(1)).abs() < 1e-12);
    }
}

/// Collapsed classes: scores of 1 for known samples, √(r/d) for others.
#[test]
fn known_samples_score_higher() {
    let means = normal(3, 30, 7);
    let rows = DMatrix::from_fn(40, 30, |sample, feature| means[(LABELS[sample], feature)]);
    let data = Features::from_sample_rows(&rows).unwrap().with_labels(&LABELS, 3).unwrap();
    let neco = Neco::of_class_means(&ClassStatistics::new(&data).unwrap()).unwrap();
    assert_eq!(neco.rank(), 2);
    let scores = neco.scores(&Features::from_sample_rows(&rows).unwrap()).unwrap();
    assert!(scores.iter().all(|score| score.unwrap() > 1.0 - 1e-12));
    let mut others = normal(4000, 30, 8);
    others.row_iter_mut().for_each(|mut row| row += rows.row_mean());
    let scores = neco.scores(&Features::from_sample_rows(&others).unwrap()).unwrap();
    let square: f64 = scores.iter().map(|score| score.unwrap().powi(2)).sum::<f64>() / 4000.0;
    assert!((square - 2.0 / 30.0).abs() < 0.004, "{square}");
    // The mean itself has no direction.
    let mean = DMatrix::from_element(1, 30, 0.0);
    let zero = DMatrix::from_fn(
        40,
        30,
        |sample, feature| {
            if feature == 0 { [1.0, -1.0][sample % 2] } else { 0.0 }
        },
    );
    let halves: Vec<usize> = (0..40).map(|sample| sample % 2).collect();
    let data = Features::from_sample_rows(&zero).unwrap().with_labels(&halves, 2).unwrap();
    let neco = Neco::of_class_means(&ClassStatistics::new(&data).unwrap()).unwrap();
    assert_eq!(neco.scores(&Features::from_sample_rows(&mean).unwrap()).unwrap(), [None]);
}

#[test]
fn random_directions_have_the_nc5_of_chance() {
    let dimension = 200;
    let means = normal(dimension, 500, 9);
    let found =
        nc5(&ClassVectors::columns(&means).unwrap(), &normal(dimension, 1, 10).column(0).into());
    let expected = (2.0 / (std::f64::consts::PI * dimension as f64)).sqrt();
    assert!((found.unwrap() / expected - 1.0).abs() < 0.1);
}

#[test]
fn what_does_not_fit_is_refused() {
    let means = normal(3, 2, 1);
    let vectors = ClassVectors::columns(&means).unwrap();
    assert!(matches!(nc5(&vectors, &DVector::zeros(3)), Err(Error::ZeroNorm { .. })));
    assert!(matches!(nc5(&vectors, &DVector::zeros(4)), Err(Error::Shape { .. })));
    let zero = DMatrix::zeros(3, 2);
    let zero = ClassVectors::columns(&zero).unwrap();
    let ones = DVector::from_element(3, 1.0);
    assert!(matches!(nc5(&zero, &ones), Err(Error::ZeroVector { .. })));
    let equal = DMatrix::from_element(4, 3, 1.5);
    let data = Features::from_sample_rows(&equal).unwrap().with_labels(&[0, 0, 1, 1], 2).unwrap();
    let statistics = ClassStatistics::new(&data).unwrap();
    assert!(matches!(Neco::of_class_means(&statistics), Err(Error::ZeroNorm { .. })));
    let head = LinearHead::new(vec![normal(2, 3, 1)], None).unwrap();
    let narrow = normal(5, 2, 1);
    let narrow = Features::from_sample_rows(&narrow).unwrap();
    assert!(nci_scores(&narrow, &statistics, &head, 0.0).is_err());
    let samples = Features::from_sample_rows(&equal).unwrap();
    assert!(nci_scores(&samples, &statistics, &head, -1.0).is_err());
    assert_eq!(nci_scores(&samples, &statistics, &head, 0.0).unwrap(), [None; 4]);
    let mut scatter = PooledScatter::empty(3, 2).unwrap();
    scatter.accumulate(&data).unwrap();
    assert!(Neco::new(&scatter, 0).is_err() && Neco::new(&scatter, 4).is_err());
}

/// Values of docs/metrics.md: collapsed samples of frames, and samples without structure.
#[test]
fn perfect_and_random_features_have_the_documented_values() {
    let k = 5;
    let share = (1.0 - 1.0 / k as f64).sqrt();
    let (etf, of) = (DMatrix::identity(k, k).add_scalar(-0.2), DMatrix::identity(k, k));
    for (frame, norm, alignment) in [(&etf, share, 1.0), (&of, 1.0, share)] {
        let labels: Vec<usize> = (0..k).collect();
        let features = Features::from_sample_rows(frame).unwrap();
        let statistics = ClassStatistics::new(&features.with_labels(&labels, k).unwrap()).unwrap();
        let neco = Neco::of_class_means(&statistics).unwrap();
        let head = LinearHead::new(vec![frame * 3.0], None).unwrap();
        let nci = nci_scores(&features, &statistics, &head, 0.0).unwrap();
        for (neco, nci) in neco.scores(&features).unwrap().into_iter().zip(nci) {
            assert!((neco.unwrap() - 1.0).abs() < 1e-12);
            assert!((nci.unwrap() - 3.0 * norm * alignment).abs() < 1e-12);
        }
    }
    let (classes, dimension, draws) = (20, 200, 60);
    let mut sums = [0.0; 3];
    for draw in 0..draws {
        let known = normal(10 * classes, dimension, 100 + draw);
        let labels: Vec<usize> = (0..10 * classes).map(|sample| sample % classes).collect();
        let data = Features::from_sample_rows(&known).unwrap();
        let data = data.with_labels(&labels, classes).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let others = normal(30, dimension, 1000 + draw);
        let outside = Features::from_sample_rows(&others).unwrap();
        let means = statistics.class_means().unwrap();
        let mean = others.row_mean().transpose();
        let head = LinearHead::new(vec![normal(classes, dimension, 2000 + draw)], None).unwrap();
        let average = |scores: Vec<Option<f64>>| scores.iter().flatten().sum::<f64>() / 30.0;
        let neco = Neco::of_class_means(&statistics).unwrap().scores(&outside).unwrap();
        let found = [
            nc5(&ClassVectors::columns(&means).unwrap(), &mean).unwrap(),
            average(neco),
            average(nci_scores(&outside, &statistics, &head, 0.0).unwrap()),
        ];
        sums.iter_mut().zip(found).for_each(|(sum, value)| *sum += value / draws as f64);
    }
    let (k, d) = (classes as f64, dimension as f64);
    // The mean of the largest of 20 standard normal numbers is that of the tables of order statistics.
    let expected = [(2.0 / (core::f64::consts::PI * d)).sqrt(), ((k - 1.0) / d).sqrt(), 1.867_475];
    for (found, expected) in sums.into_iter().zip(expected) {
        assert!((found / expected - 1.0).abs() < 0.03, "{found}, documented {expected}");
    }
}

/// The AUROC against all pairs, with even scores and samples that have none.
#[test]
fn detection_counts_pairs() {
    let scores = |count: usize, seed: u64, shift: f64| -> Vec<Option<f64>> {
        let numbers = normal(count, 1, seed);
        // Rounded, so that many are even.
        let score = |number: &f64| (2.0 * (number + shift)).round() / 2.0;
        numbers.iter().map(|number| (*number > -1.5).then(|| score(number))).collect()
    };
    let (known, outside) = (scores(60, 1, 0.7), scores(45, 2, 0.0));
    let (mut in_order, mut pairs) = (0.0, 0.0);
    for one in known.iter().flatten() {
        for other in outside.iter().flatten() {
            pairs += 1.0;
            in_order += if one > other {
                1.0
            } else if one == other {
                0.5
            } else {
                0.0
            };
        }
    }
    let found = Detection::of_scores(&known, &outside).unwrap();
    assert!((found.auroc.unwrap() - in_order / pairs).abs() < 1e-14);
    let reversed = Detection::of_scores(&outside, &known).unwrap();
    assert!((found.auroc.unwrap() + reversed.auroc.unwrap() - 1.0).abs() < 1e-14);
    assert_eq!(found.known_mean, reversed.outside_mean);
    let nothing = Detection::of_scores(&known, &[None]).unwrap();
    assert!(nothing.auroc.is_none() && nothing.outside_mean.is_none());
    let bad = Detection::of_scores(&known, &[Some(1.0), Some(f64::NAN)]);
    assert!(matches!(bad, Err(Error::OutOfRange { .. })), "{bad:?}");
}
