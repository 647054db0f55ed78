//! The same input gives the same bits, whatever the number of threads.

use std::num::NonZeroUsize;

use nalgebra::DMatrix;
use neural_collapse::measure::{
    ClassVariances, ClassVectors, FeatureEnergy, PooledScatter, Scalar, limit_threads, with_threads,
};
use neural_collapse::metrics::{
    Nc1Options, Nc1Sums, Shape, cosine_spread, equiangularity, log_energy,
};
use neural_collapse::{
    ClassCounts, ClassStatistics, Features, LinearHead, Regularization, Ufm, audit,
};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

const SAMPLES: usize = 3000;
const DIMENSION: usize = 70;

/// Few classes, more than are summed by sample, and so many that each is summed apart.
const CLASSES: [usize; 3] = [9, 40, 250];

/// All that is measured, as it is printed: equal text means equal bits.
fn measured<T: Scalar>(numbers: &[T], labels: &[usize], head: &LinearHead) -> String {
    let classes = head.classes();
    let features = Features::from_row_major(numbers, SAMPLES, DIMENSION).unwrap();
    let data = features.with_labels(labels, classes).unwrap();
    let statistics = ClassStatistics::new(&data).unwrap();
    let mut projected = Nc1Sums::new(&statistics, &Nc1Options::default()).unwrap();
    projected.accumulate(&data).unwrap();
    let mut pooled = PooledScatter::empty(DIMENSION, classes).unwrap();
    pooled.accumulate(&data).unwrap();
    let means = statistics.class_means().unwrap();
    let vectors = ClassVectors::columns(&means).unwrap();
    let regularization = Regularization::new(&[1e-3], 1e-3).unwrap();
    let counts = ClassCounts::new(statistics.counts()).unwrap();
    let prediction = Ufm::new(counts, regularization).unwrap().global_minimum().unwrap();
    let audit = audit(&data, head, &prediction).unwrap().measurement;
    let mut variances = ClassVariances::new(&statistics).unwrap();
    variances.accumulate(&data).unwrap();
    let scatters = (projected.nc1(), variances.cdnv(), pooled.nc1(&Nc1Options::default()));
    let shape = (cosine_spread(&vectors), equiangularity(&vectors), log_energy(&vectors));
    let energy = FeatureEnergy::new(&data).unwrap().class_energies();
    let split = audit.least_squares_split();
    let sums = (audit.objective(), audit.balancedness(), split, energy);
    format!("{:?} {:?} {:?} {:?} {:?}", audit.nc1(), audit.nc4(), sums, scatters, shape)
}

/// So many classes that their pairs are shared out, in `f64` and in `f32`.
#[test]
fn pairs_do_not_depend_on_the_number_of_threads() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
    for classes in [700, 1300] {
        let means = DMatrix::from_fn(40, classes, |_, _| rng.random_range(-1.0..1.0));
        let rows = means.transpose();
        let results = [1, 2, 3, 8].map(|limit| {
            with_threads(NonZeroUsize::new(limit).unwrap(), || {
                let of_columns = Shape::of(&ClassVectors::columns(&means).unwrap());
                let of_rows = Shape::of(&ClassVectors::rows(&rows).unwrap());
                format!("{of_columns:?} {of_rows:?}")
            })
        });
        assert!(results.iter().all(|result| *result == results[0]), "{classes} classes");
    }
}

/// So many features that the factor of their second moments is made block by block.
#[test]
fn splits_of_the_loss_do_not_depend_on_the_number_of_threads() {
    let (samples, dimension, classes) = (900, 600, 12);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
    let rows = DMatrix::from_fn(samples, dimension, |_, _| rng.random_range(-1.0..1.0));
    let labels: Vec<usize> = (0..samples).map(|sample| sample % classes).collect();
    let weights = DMatrix::from_fn(classes, dimension, |_, _| rng.random_range(-0.1..0.1));
    let head = LinearHead::new(vec![weights], None).unwrap();
    let features = Features::from_sample_rows(&rows).unwrap();
    let data = features.with_labels(&labels, classes).unwrap();
    let counts = ClassCounts::of_labels(&labels, classes).unwrap();
    let regularization = Regularization::new(&[1e-3], 1e-3).unwrap();
    let prediction = Ufm::new(counts, regularization).unwrap().global_minimum().unwrap();
    let results = [1, 2, 3, 8].map(|limit| {
        with_threads(NonZeroUsize::new(limit).unwrap(), || {
            let measurement = audit(&data, &head, &prediction).unwrap().measurement;
            assert!(measurement.least_squares_split().is_some());
            format!("{:?} {:?}", measurement.least_squares_split(), measurement.balancedness())
        })
    });
    assert!(results.iter().all(|result| *result == results[0]));
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for classes in CLASSES {
        let (numbers, labels, head) = network(classes);
        let narrow: Vec<f32> = numbers.iter().map(|&number| number as f32).collect();
        let mut results = Vec::new();
        for limit in [1, 2, 3, 8] {
            limit_threads(NonZeroUsize::new(limit));
            results.push((measured(&numbers, &labels, &head), measured(&narrow, &labels, &head)));
        }
        limit_threads(None);
        assert!(results.iter().all(|result| *result == results[0]), "{classes} classes");
    }
}

/// Features one sample after the other, labels and a head.
fn network(classes: usize) -> (Vec<f64>, Vec<usize>, LinearHead) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let means = DMatrix::from_fn(DIMENSION, classes, |_, _| rng.random_range(-1.0..1.0));
    let label = |i: usize| if i < classes { i } else { i * i % classes };
    let labels: Vec<usize> = (0..SAMPLES).map(label).collect();
    let numbers = labels
        .iter()
        .flat_map(|&label| means.column(label).iter().copied().collect::<Vec<_>>())
        .map(|mean| mean + 0.1 * rng.random_range(-1.0..1.0))
        .collect();
    (numbers, labels, LinearHead::new(vec![means.transpose()], None).unwrap())
}
