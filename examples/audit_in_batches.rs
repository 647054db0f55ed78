//! Audits a data set that does not fit into memory: two passes over its batches, in pieces that could be computed on
//! different machines and are merged.

#![allow(clippy::print_stdout, reason = "an example shows its results")]

use neural_collapse::audit::AuditOptions;
use neural_collapse::{
    AuditSums, ClassCounts, ClassStatistics, Features, LabeledFeatures, LinearHead, Regularization,
    Result, Ufm,
};

const CLASSES: usize = 3;
const DIMENSION: usize = 4;

/// A batch as it could come from a file: the features of `samples` samples, row by row, and their labels.
fn batch(number: usize, samples: usize) -> (Vec<f32>, Vec<usize>) {
    let labels: Vec<usize> = (0..samples).map(|sample| (sample + number) % CLASSES).collect();
    let noise = |sample: usize, entry: usize| ((sample * 7 + entry * 3 + number) as f32).sin();
    let entry = |sample: usize, entry: usize| {
        let mean = if labels[sample] == entry { 2.0 } else { 0.0 };
        mean + 0.01 * noise(sample, entry)
    };
    let rows = (0..samples).flat_map(|sample| (0..DIMENSION).map(move |column| (sample, column)));
    (rows.map(|(sample, column)| entry(sample, column)).collect(), labels)
}

fn with_batch<R>(
    number: usize,
    mut work: impl FnMut(&LabeledFeatures<'_, f32>) -> Result<R>,
) -> Result<R> {
    let (features, labels) = batch(number, 30);
    let rows = Features::from_row_major(&features, labels.len(), DIMENSION)?;
    work(&rows.with_labels(&labels, CLASSES)?)
}

fn main() -> Result<()> {
    let workers = [[0, 1, 2], [3, 4, 5]];

    // First pass: counts and means. Each worker has its own statistics, which are merged.
    let mut statistics = ClassStatistics::empty(DIMENSION, CLASSES)?;
    for batches in workers {
        let mut own = ClassStatistics::empty(DIMENSION, CLASSES)?;
        for number in batches {
            with_batch(number, |batch| own.accumulate(batch))?;
        }
        statistics.merge(&own)?;
    }

    // What was trained, and what is predicted for it.
    let weights: Vec<f32> = (0..CLASSES * DIMENSION)
        .map(|entry| if entry % DIMENSION == entry / DIMENSION { 0.45 } else { 0.0 })
        .collect();
    let head = LinearHead::from_row_major(&[(&weights, CLASSES, DIMENSION)], None)?;
    let counts = ClassCounts::new(statistics.counts())?;
    let prediction = Ufm::new(counts, Regularization::new(&[1e-2], 1e-3)?)?.global_minimum()?;

    // Second pass: everything else.
    let options = AuditOptions::for_prediction(&prediction)?;
    let empty = AuditSums::new(statistics, head, &options)?;
    let mut sums = empty.clone();
    for batches in workers {
        let mut own = empty.clone();
        for number in batches {
            with_batch(number, |batch| own.accumulate(batch))?;
        }
        sums.merge(&own)?;
    }
    let audit = sums.measurement()?.compare(&prediction)?;
    println!("NC1  {:.3e}", audit.measurement.nc1().map_or(f64::NAN, |nc1| nc1.value));
    println!("NC3  {:.3e}", audit.nc3.unwrap_or(f64::NAN));
    println!("{}", audit.verdict.text);
    Ok(())
}
