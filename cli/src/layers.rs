//! Collapse layer by layer: two passes over the features after every layer.

use neural_collapse::metrics::layers::{LayerSums, Layers};
use neural_collapse::{ClassStatistics, Error};
use serde::Serialize;

use crate::error::CliError;
use crate::input::{DataSet, for_each_batch_of_layers};
use crate::progress::Progress;

/// The metrics of all layers, the features of the head last.
#[derive(Debug, Serialize)]
pub(crate) struct MeasuredLayers {
    /// The names of the features.
    pub(crate) names: Vec<String>,
    /// What was measured.
    #[serde(flatten)]
    pub(crate) found: Layers,
}

impl MeasuredLayers {
    /// Measures hidden layers, and after them the features that the head takes; `None` without hidden layers.
    pub(crate) fn new(
        hidden: Vec<(String, DataSet)>,
        features: &DataSet,
        progress: &Progress,
    ) -> Result<Option<Self>, CliError> {
        if hidden.is_empty() {
            return Ok(None);
        }
        let sets: Vec<&DataSet> = hidden.iter().map(|(_, data)| data).chain([features]).collect();
        if let Some((name, data)) =
            hidden.iter().find(|(_, data)| data.samples() != features.samples())
        {
            let (found, expected) = (data.samples(), features.samples());
            let reason =
                format!("it has {found} samples, but the features of the head have {expected}");
            return Err(CliError::Argument { name: format!("the layer `{name}`"), reason });
        }
        let found = measure(&sets, progress)?;
        let mut names: Vec<String> = hidden.iter().map(|(name, _)| name.clone()).collect();
        names.push(features.key().into());
        Ok(Some(Self { names, found }))
    }
}

fn measure(sets: &[&DataSet], progress: &Progress) -> Result<Layers, CliError> {
    let samples: usize = sets.iter().map(|data| data.samples()).sum();
    progress.start_passes(samples as u64 * 2);
    progress.start_pass("layers");
    let mut statistics = Vec::new();
    for data in sets {
        let name = data.name();
        let in_file = || CliError::in_file(&name);
        let mut sums = ClassStatistics::empty(data.width(), data.classes()).map_err(in_file())?;
        data.for_each_batch(|batch| {
            progress.advance(batch.samples.labels().len() as u64);
            sums.accumulate(&batch.samples)
        })?;
        statistics.push(sums);
    }
    let name = sets.first().map_or(String::new(), |data| data.name());
    let in_file = |error: Error| CliError::in_file(&name)(error);
    let mut sums = LayerSums::<f64>::new(&statistics).map_err(in_file)?;
    for_each_batch_of_layers(sets, |batch| {
        let samples = batch.iter().map(|layer| layer.labels().len()).sum::<usize>();
        progress.advance(samples as u64);
        sums.accumulate(batch)
    })?
    .map_err(in_file)?;
    sums.layers().map_err(in_file)
}
