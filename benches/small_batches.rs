//! Batches as they come in training, where what is done once for a call counts: 32 to 256 samples, beside a sum of
//! the same numbers.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark may fail by panicking")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nalgebra::DMatrix;
use neural_collapse::metrics::{Nc1Options, nc1, nc4};
use neural_collapse::{
    ClassCounts, ClassStatistics, Features, LinearHead, Regularization, Ufm, audit,
};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

const DIMENSION: usize = 64;
const CLASSES: usize = 10;

fn batches(criterion: &mut Criterion) {
    for samples in [32, 64, 128, 256] {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let numbers: Vec<f32> =
            (0..samples * DIMENSION).map(|_| rng.random_range(-1.0..1.0)).collect();
        let labels: Vec<usize> = (0..samples).map(|sample| sample % CLASSES).collect();
        let features = Features::from_row_major(&numbers, samples, DIMENSION).unwrap();
        let data = features.with_labels(&labels, CLASSES).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let weights = DMatrix::from_fn(CLASSES, DIMENSION, |_, _| rng.random_range(-1.0..1.0));
        let head = LinearHead::new(vec![weights], None).unwrap();
        let counts = ClassCounts::new(statistics.counts()).unwrap();
        let regularization = Regularization::new(&[1e-3], 1e-3).unwrap();
        let prediction = Ufm::new(counts, regularization).unwrap().global_minimum().unwrap();

        let mut group = criterion.benchmark_group(format!("{samples} samples"));
        group.throughput(Throughput::Elements(samples as u64));
        group.bench_function("sum, for comparison", |b| {
            b.iter(|| black_box(&numbers).iter().map(|&number| f64::from(number)).sum::<f64>());
        });
        group.bench_function("statistics", |b| {
            b.iter(|| ClassStatistics::new(black_box(&data)).unwrap());
        });
        // As a running average over the batches of an epoch does.
        group.bench_function("statistics added", |b| {
            let mut sums = ClassStatistics::empty(DIMENSION, CLASSES).unwrap();
            b.iter(|| sums.accumulate(black_box(&data)).unwrap());
        });
        group.bench_function("nc1", |b| {
            b.iter(|| nc1(black_box(&data), &statistics, &Nc1Options::default()).unwrap());
        });
        group.bench_function("nc4", |b| b.iter(|| nc4(&data, &statistics, &head).unwrap()));
        group.bench_function("audit", |b| b.iter(|| audit(&data, &head, &prediction).unwrap()));
        group.finish();
    }
}

criterion_group!(small_batches, batches);
criterion_main!(small_batches);
