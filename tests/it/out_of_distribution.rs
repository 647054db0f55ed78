//! NC5, NECO and NCI.

use nalgebra::{DMatrix, DVector};
use neural_collapse::measure::{ClassVectors, PooledScatter};
use neural_collapse::metrics::{Neco, nc5, nci_scores};
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
