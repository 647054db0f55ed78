//! What a page shows of single samples.

use neural_collapse::audit::Measurement;
use neural_collapse::metrics::{Confused, Confusion};

use crate::error::CliError;
use crate::input::DataSet;

/// Samples drawn as points.
const POINTS: usize = 400;

/// Some of the samples, and the decisions for all of them.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Evenly spaced samples.
    pub(crate) samples: Vec<Vec<f64>>,
    /// The decisions of head and nearest class mean.
    pub(crate) confusion: Vec<Confused>,
}

impl Seen {
    /// Passes once more over the samples of a network that was measured.
    pub(crate) fn of(data: &DataSet, measurement: &Measurement) -> Result<Self, CliError> {
        let name = data.name();
        let mut confusion = Confusion::new(measurement.statistics(), measurement.head())
            .map_err(CliError::in_file(&name))?;
        let samples = pass(data, &mut confusion)?;
        let entries = confusion.entries().map_err(CliError::in_file(&name))?;
        Ok(Self { samples, confusion: entries.collect() })
    }
}

/// Counts the decisions for all samples; some of these.
fn pass(data: &DataSet, confusion: &mut Confusion) -> Result<Vec<Vec<f64>>, CliError> {
    let step = data.samples().div_ceil(POINTS).max(1);
    let width = data.width();
    let (mut first, mut samples) = (0, Vec::new());
    data.for_each_batch(|batch| {
        let count = batch.samples.labels().len();
        for (index, numbers) in batch.numbers.chunks_exact(width.max(1)).enumerate() {
            if (first + index) % step == 0 {
                samples.push(numbers.to_vec());
            }
        }
        first += count;
        confusion.accumulate(&batch.samples)
    })?;
    Ok(samples)
}
