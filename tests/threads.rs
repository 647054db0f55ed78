//! The same input gives the same bits, whatever the number of threads.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::num::NonZeroUsize;

use nalgebra::DMatrix;
use neural_collapse::{
    Audit, ClassStatistics, ClassVectors, Features, LinearHead, Nc1Options, PooledScatter,
    ProjectedScatter, Regularization, Scalar, audit, cosine_spread, equiangularity, limit_threads,
    log_energy,
};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

const SAMPLES: usize = 3000;
const DIMENSION: usize = 70;
const CLASSES: usize = 40;

/// All that is measured, as it is printed: equal text means equal bits.
fn measured<T: Scalar>(numbers: &[T], labels: &[usize], head: &LinearHead) -> String {
    let features = Features::from_row_major(numbers, SAMPLES, DIMENSION).unwrap();
    let data = features.with_labels(labels, CLASSES).unwrap();
    let statistics = ClassStatistics::new(&data).unwrap();
    let mut projected = ProjectedScatter::new(&statistics, &Nc1Options::default()).unwrap();
    projected.accumulate(&data).unwrap();
    let mut pooled = PooledScatter::empty(DIMENSION, CLASSES).unwrap();
    pooled.accumulate(&data).unwrap();
    let means = statistics.class_means().unwrap();
    let vectors = ClassVectors::columns(&means).unwrap();
    let penalties = Regularization::new(&[1e-3], 1e-3).unwrap();
    let audit: Audit = audit(&data, head, Some(&penalties)).unwrap();
    let scatters = (projected.nc1(), projected.cdnv(), pooled.nc1(&Nc1Options::default()));
    let shape = (cosine_spread(&vectors), equiangularity(&vectors), log_energy(&vectors));
    format!("{:?} {:?} {:?} {:?} {:?}", audit.nc1, audit.nc4, audit.objective, scatters, shape)
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let means = DMatrix::from_fn(DIMENSION, CLASSES, |_, _| rng.random_range(-1.0..1.0));
    let labels: Vec<usize> = (0..SAMPLES).map(|i| i * i % CLASSES).collect();
    let labels: Vec<usize> =
        labels.into_iter().enumerate().map(|(i, l)| if i < CLASSES { i } else { l }).collect();
    let numbers: Vec<f64> = labels
        .iter()
        .flat_map(|&label| means.column(label).iter().copied().collect::<Vec<_>>())
        .map(|mean| mean + 0.1 * rng.random_range(-1.0..1.0))
        .collect();
    let narrow: Vec<f32> = numbers.iter().map(|&number| number as f32).collect();
    let head = LinearHead::new(vec![means.transpose()], None).unwrap();
    let mut results = Vec::new();
    for limit in [1, 2, 3, 8] {
        limit_threads(NonZeroUsize::new(limit));
        results.push((measured(&numbers, &labels, &head), measured(&narrow, &labels, &head)));
    }
    limit_threads(None);
    assert!(results.iter().all(|result| *result == results[0]));
}
