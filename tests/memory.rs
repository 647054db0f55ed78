//! Ten million samples through accumulators that do not grow, and a prediction for a million class sizes.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::io::Write as _;

use neural_collapse::measure::PooledScatter;
use neural_collapse::metrics::{Nc1Options, Nc1Sums};
use neural_collapse::{ClassCounts, ClassStatistics, Features, Prediction, Regularization, Ufm};

const SAMPLES: usize = 10_000_000;
const BATCH: usize = 20_000;
const DIMENSION: usize = 4;
const CLASSES: usize = 10;

/// Batch `index` of a stream: the mean of class k has k at axis 0 and k² at axis 1, and samples deviate
/// by ±1/8 along axis 0.
fn batch(index: usize, numbers: &mut Vec<f32>, labels: &mut Vec<usize>) {
    numbers.clear();
    labels.clear();
    for sample in index * BATCH..(index + 1) * BATCH {
        let label = sample % CLASSES;
        let side = if (sample / CLASSES).is_multiple_of(2) { 0.125 } else { -0.125 };
        let k = label as f32;
        numbers.extend([k + side, k * k, 1.0, 2.0]);
        labels.push(label);
    }
}

/// Peak resident memory of the process in kB, on Linux.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Does `work` and fails if the peak memory grows by more than `limit` kB.
fn within(limit: u64, work: impl FnOnce()) {
    let before = peak_memory();
    work();
    match before.zip(peak_memory()) {
        Some((before, after)) => assert!(after - before < limit, "{} kB", after - before),
        // Not by `eprintln`, which is not shown where a test passes.
        None => {
            let note = "not measured: this system does not tell the peak memory";
            let mut stderr = std::io::stderr();
            writeln!(stderr, "{note}").unwrap();
        }
    }
}

// One test, as the peak is that of the process; the smaller comes first.
#[test]
fn memory_stays_small() {
    // All samples would take 160 MB.
    within(32_000, ten_million_samples);
    within(80_000, a_million_distinct_sizes);
}

fn a_million_distinct_sizes() {
    let counts = ClassCounts::from_runs((1..=1_000_000).map(|size| (size, 1))).unwrap();
    let regularization = Regularization::new(&[1e-9; 6], 1e-9).unwrap();
    let minimum = Ufm::new(counts, regularization).unwrap().global_minimum().unwrap();
    assert_eq!(minimum.directions().len(), 1_000_000);
    assert!(minimum.loss() < 0.5); // the loss of predicting nothing
}

fn ten_million_samples() {
    let (mut numbers, mut labels) = (Vec::new(), Vec::new());
    let mut for_each_batch = |visit: &mut dyn FnMut(&[f32], &[usize])| {
        for index in 0..SAMPLES / BATCH {
            batch(index, &mut numbers, &mut labels);
            visit(&numbers, &labels);
        }
    };
    let mut pooled = PooledScatter::empty(DIMENSION, CLASSES).unwrap();
    let mut statistics = ClassStatistics::empty(DIMENSION, CLASSES).unwrap();
    for_each_batch(&mut |numbers, labels| {
        let features = Features::from_row_major(numbers, labels.len(), DIMENSION).unwrap();
        let batch = features.with_labels(labels, CLASSES).unwrap();
        pooled.accumulate(&batch).unwrap();
        statistics.accumulate(&batch).unwrap();
    });
    let options = Nc1Options::default();
    let mut projected = Nc1Sums::new(&statistics, &options).unwrap();
    for_each_batch(&mut |numbers, labels| {
        let features = Features::from_row_major(numbers, labels.len(), DIMENSION).unwrap();
        projected.accumulate(&features.with_labels(labels, CLASSES).unwrap()).unwrap();
    });
    assert_eq!(statistics.samples(), SAMPLES as u64);

    // k and k² over k = 0, …, 9 have the variances 8.25 and 721.05 and the covariance 74.25.
    let expected = 0.125 * 0.125 * 721.05 / (8.25 * 721.05 - 74.25 * 74.25) / 10.0;
    for found in [pooled.nc1(&options).unwrap(), projected.nc1().unwrap()] {
        assert!((found.value / expected - 1.0).abs() < 1e-6, "{found:?}, expected {expected}");
        assert_eq!(found.rank, 2);
    }
}
