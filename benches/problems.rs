//! Whole predictions and audits, of many classes and of real files.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark may fail by panicking")]

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use nalgebra::DMatrix;
use neural_collapse::{
    Bias, ClassCounts, Features, LinearHead, Prediction, Regularization, Ufm, audit,
};
use safetensors::SafeTensors;

fn predict(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("predict");
    group.sample_size(10);
    let regularization = Regularization::new(&[1e-9; 6], 1e-9).unwrap();
    let million: Vec<u64> = (1..=1_000_000).collect();
    group.bench_function("10⁶ distinct sizes, M = 6", |bencher| {
        bencher.iter(|| {
            let counts = ClassCounts::new(black_box(&million)).unwrap();
            Ufm::new(counts, regularization.clone()).unwrap().global_minimum().unwrap().loss()
        });
    });
    group.bench_function("10⁷ equal classes, M = 6", |bencher| {
        bencher.iter(|| {
            let counts = ClassCounts::balanced(black_box(10_000_000), 100).unwrap();
            Ufm::new(counts, regularization.clone()).unwrap().global_minimum().unwrap().loss()
        });
    });
    // The secular equation takes a number of operations that is quadratic in that of the sizes.
    let biased = regularization.with_bias(Bias::Unregularized).unwrap();
    group.bench_function("10³ distinct sizes and a bias, M = 6", |bencher| {
        bencher.iter(|| {
            let counts = ClassCounts::new(black_box(&million[..1000])).unwrap();
            Ufm::new(counts, biased.clone()).unwrap().global_minimum().unwrap().loss()
        });
    });
    group.finish();
}

/// The numbers of a tensor of doubles, with its shape.
fn doubles(file: &SafeTensors<'_>, key: &str) -> (Vec<f64>, [usize; 2]) {
    let tensor = file.tensor(key).unwrap();
    let numbers = tensor.data().as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes));
    (numbers.collect(), [tensor.shape()[0], tensor.shape()[1]])
}

/// The largest file of trained weights, without reading it.
fn audit_of_file(criterion: &mut Criterion) {
    let name = "minority_collapse_m1.safetensors";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name);
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (features, [samples, dimension]) = doubles(&file, "features");
    let (weight, [classes, _]) = doubles(&file, "classifier.1.weight");
    let labels = file.tensor("labels").unwrap();
    let labels = labels.data().as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes));
    let labels: Vec<usize> = labels.map(|label| usize::try_from(label).unwrap()).collect();
    let weight = DMatrix::from_row_slice(classes, dimension, &weight);
    let head = LinearHead::new(vec![weight], None).unwrap();
    let regularization = Regularization::new(&[3e-3], 3e-3).unwrap();
    let mut counts = vec![0; classes];
    labels.iter().for_each(|&label| counts[label] += 1);
    let counts = ClassCounts::new(&counts).unwrap();
    let prediction = Ufm::new(counts, regularization).unwrap().global_minimum().unwrap();
    criterion.bench_function(&format!("audit/{name}"), |bencher| {
        bencher.iter(|| {
            let data = Features::from_row_major(black_box(&features), samples, dimension).unwrap();
            audit(&data.with_labels(&labels, classes).unwrap(), &head, &prediction).unwrap()
        });
    });
}

criterion_group!(problems, predict, audit_of_file);
criterion_main!(problems);
