//! Measurement at the sizes of real networks: A is a CIFAR-10 ResNet-18, B CIFAR-100 and C ImageNet
//! with a ResNet-50's features.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark may fail by panicking")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use nalgebra::DMatrix;
use neural_collapse::measure::{ClassVectors, Scalar};
use neural_collapse::metrics::{
    Nc1Options, cdnv, cosine_spread, duality_cosines, equiangularity, log_energy, nc1,
    nc1_trace_quotient, nc2, nc3, nc4, norm_spread, self_duality,
};
use neural_collapse::objective::Objective;
use neural_collapse::{ClassMatrix, ClassStatistics, Features, LinearHead, Regularization, audit};
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
        let decays = Regularization::new(&[1e-4], 1e-4).unwrap();

        let options = Nc1Options::default();
        let etf = ClassMatrix::simplex_etf(classes).unwrap();
        let columns = ClassVectors::columns(&means).unwrap();
        let rows = ClassVectors::rows(&head.weights()[0]).unwrap();

        let mut group = criterion.benchmark_group(format!("{name}/{type_name}"));
        group.sample_size(10);
        group.bench_function("statistics", |b| {
            b.iter(|| ClassStatistics::new(black_box(&data)).unwrap())
        });
        group.bench_function("nc1", |b| b.iter(|| nc1(&data, &statistics, &options).unwrap()));
        group.bench_function("nc1_trace_quotient", |b| {
            b.iter(|| nc1_trace_quotient(&data, &statistics, options.center).unwrap())
        });
        group.bench_function("cdnv", |b| b.iter(|| cdnv(&data, &statistics).unwrap()));
        group.bench_function("nc4", |b| b.iter(|| nc4(&data, &statistics, &head).unwrap()));
        group.bench_function("objective", |b| {
            b.iter(|| Objective::squared_error(&data, &head, &decays).unwrap())
        });
        group.bench_function("audit", |b| b.iter(|| audit(&data, &head, Some(&decays)).unwrap()));
        group.bench_function("audit without penalties", |b| {
            b.iter(|| audit(&data, &head, None).unwrap())
        });
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

fn benches(criterion: &mut Criterion) {
    bench_type::<f32>(criterion, "f32");
    bench_type::<f64>(criterion, "f64");
}

criterion_group!(metrics, benches);
criterion_main!(metrics);
