//! Measurement at the sizes of real networks: A is a CIFAR-10 ResNet-18, B CIFAR-100 and C ImageNet
//! with a ResNet-50's features.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark may fail by panicking")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use nalgebra::DMatrix;
use neural_collapse::audit::measure;
use neural_collapse::measure::{ClassVectors, Scalar};
use neural_collapse::metrics::{
    Nc1Options, Nc1Sums, all_metrics, cdnv, cosine_spread, duality_cosines, equiangularity,
    log_energy, nc1, nc1_trace_quotient, nc2, nc3, nc4, norm_spread, self_duality,
};
use neural_collapse::objective::Objective;
use neural_collapse::{
    ClassCounts, ClassMatrix, ClassStatistics, Features, LinearHead, Regularization, Ufm, audit,
};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

/// Name, samples N, dimension d, classes K.
const SIZES: [(&str, usize, usize, usize); 3] =
    [("A", 50_000, 512, 10), ("B", 10_000, 2048, 100), ("C", 20_000, 2048, 1000)];

/// Features close to collapse, one sample after the other.
fn collapsed<T: Scalar>(samples: usize, dimension: usize, classes: usize) -> (Vec<T>, Vec<usize>) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let means = DMatrix::from_fn(dimension, classes, |_, _| rng.random_range(-1.0..1.0));
    let labels: Vec<usize> = (0..samples).map(|sample| sample % classes).collect();
    let numbers = labels
        .iter()
        .flat_map(|&label| means.column(label).iter().copied().collect::<Vec<f64>>())
        .map(|mean| T::rounded(mean + 0.1 * rng.random_range(-1.0..1.0)))
        .collect();
    (numbers, labels)
}

fn bench_type<T: Scalar>(criterion: &mut Criterion, type_name: &str) {
    for (name, samples, dimension, classes) in SIZES {
        let (numbers, labels) = collapsed::<T>(samples, dimension, classes);
        let features = Features::from_row_major(&numbers, samples, dimension).unwrap();
        let data = features.with_labels(&labels, classes).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let means = statistics.class_means().unwrap();
        let head = LinearHead::new(vec![means.transpose()], None).unwrap();
        let regularization = Regularization::new(&[1e-4], 1e-4).unwrap();

        let options = Nc1Options::default();
        let etf = ClassMatrix::simplex_etf(classes).unwrap();
        let columns = ClassVectors::columns(&means).unwrap();
        let rows = ClassVectors::rows(&head.weights()[0]).unwrap();

        let mut group = criterion.benchmark_group(format!("{name}/{type_name}"));
        group.sample_size(10);
        group.bench_function("statistics", |b| {
            b.iter(|| ClassStatistics::new(black_box(&data)).unwrap());
        });
        group.bench_function("nc1", |b| b.iter(|| nc1(&data, &statistics, &options).unwrap()));
        group.bench_function("nc1_trace_quotient", |b| {
            b.iter(|| nc1_trace_quotient(&data, &statistics, options.center).unwrap());
        });
        group.bench_function("cdnv", |b| b.iter(|| cdnv(&data, &statistics).unwrap()));
        group.bench_function("nc4", |b| b.iter(|| nc4(&data, &statistics, &head).unwrap()));
        group.bench_function("objective", |b| {
            b.iter(|| Objective::squared_error(&data, &head, &regularization).unwrap());
        });
        let counts = ClassCounts::new(statistics.counts()).unwrap();
        let prediction =
            Ufm::new(counts, regularization.clone()).unwrap().global_minimum().unwrap();
        group.bench_function("audit", |b| b.iter(|| audit(&data, &head, &prediction).unwrap()));
        group.bench_function("measure", |b| b.iter(|| measure(&data, &head).unwrap()));
        if type_name == "f64" {
            // These do not see the features.
            group.bench_function("nc2", |b| b.iter(|| nc2(&head, 1, &etf).unwrap()));
            group.bench_function("nc3", |b| b.iter(|| nc3(&means, &head, &etf).unwrap()));
            group.bench_function("norm_spread", |b| b.iter(|| norm_spread(&columns)));
            group.bench_function("cosine_spread", |b| b.iter(|| cosine_spread(&columns).unwrap()));
            group.bench_function("equiangularity", |b| b.iter(|| equiangularity(&rows).unwrap()));
            group.bench_function("log_energy", |b| b.iter(|| log_energy(&columns).unwrap()));
            group.bench_function("self_duality", |b| b.iter(|| self_duality(&columns, &rows)));
            group
                .bench_function("duality_cosines", |b| b.iter(|| duality_cosines(&columns, &rows)));
        }
        group.finish();
    }
}

/// Batches as a training loop has them: what is done once a call must not cost more than the samples.
fn bench_small(criterion: &mut Criterion) {
    let (samples, dimension, classes) = (32, 512, 10);
    let (numbers, labels) = collapsed::<f32>(samples, dimension, classes);
    let features = Features::from_row_major(&numbers, samples, dimension).unwrap();
    let data = features.with_labels(&labels, classes).unwrap();
    let statistics = ClassStatistics::new(&data).unwrap();
    let means = statistics.class_means().unwrap();
    let head = LinearHead::new(vec![means.transpose()], None).unwrap();
    let options = Nc1Options::default();
    let mut group = criterion.benchmark_group("batch of 32");
    group.bench_function("statistics", |b| {
        b.iter(|| ClassStatistics::new(black_box(&data)).unwrap());
    });
    group.bench_function("nc1", |b| b.iter(|| nc1(&data, &statistics, &options).unwrap()));
    group.bench_function("nc4", |b| b.iter(|| nc4(&data, &statistics, &head).unwrap()));
    group.bench_function("all metrics", |b| {
        b.iter(|| all_metrics(&data, &statistics, &head).unwrap());
    });
    group.finish();
}

/// Few directions leave the vector units rows to fill, many do not fit into the nearest cache.
fn bench_projection<T: Scalar>(criterion: &mut Criterion, type_name: &str) {
    let (samples, dimension) = (4096, 512);
    let mut group = criterion.benchmark_group(format!("projection/{type_name}"));
    for directions in [4, 9, 32, 64, 999] {
        let classes = directions + 1;
        let (numbers, labels) = collapsed::<T>(samples, dimension, classes);
        let features = Features::from_row_major(&numbers, samples, dimension).unwrap();
        let data = features.with_labels(&labels, classes).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let sums = Nc1Sums::<T>::new(&statistics, &Nc1Options::default()).unwrap();
        group.bench_function(format!("{directions} directions"), |b| {
            b.iter(|| sums.clone().accumulate(&data).unwrap());
        });
    }
    group.finish();
}

/// What other times are divided by to be compared between machines: see `benches/compare`.
fn bench_reference(criterion: &mut Criterion) {
    let matrix = DMatrix::from_fn(256, 256, |i, j| ((i * 7 + j * 13) as f64).sin());
    criterion.benchmark_group("reference").bench_function("product of 256×256 matrices", |b| {
        b.iter(|| black_box(&matrix) * black_box(&matrix));
    });
}

fn benches(criterion: &mut Criterion) {
    bench_reference(criterion);
    bench_small(criterion);
    bench_projection::<f32>(criterion, "f32");
    bench_projection::<f64>(criterion, "f64");
    bench_type::<f32>(criterion, "f32");
    bench_type::<f64>(criterion, "f64");
}

criterion_group!(metrics, benches);
criterion_main!(metrics);
