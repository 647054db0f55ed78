//! Samples out of distribution beside those of the network.

use std::collections::BTreeMap;

use neural_collapse::audit::Measurement;
use neural_collapse::measure::ClassVectors;
use neural_collapse::metrics::errors::{SampleParts, nc5_estimate};
use neural_collapse::metrics::{Detection, Nc1Options, Neco, nc5, nci_scores};
use neural_collapse::{ClassStatistics, Error, Features};
use serde::Serialize;

use crate::error::CliError;
use crate::input::DataSet;
use crate::progress::Progress;

/// What tells samples out of distribution; null where class means do not allow it.
#[derive(Debug, Serialize)]
pub(crate) struct OutOfDistribution {
    /// The mean |cosine| between class means and the mean of the samples out of distribution.
    pub(crate) nc5: Option<f64>,
    /// Its standard error.
    pub(crate) nc5_standard_error: Option<f64>,
    /// The NECO score, on the directions in which class means differ.
    pub(crate) neco: Option<Detection>,
    /// The NCI score without the length of features, α = 0.
    pub(crate) nci: Option<Detection>,
}

type Reasons = BTreeMap<&'static str, String>;

impl OutOfDistribution {
    /// Measures the samples of `outside` beside those of `known`.
    pub(crate) fn new(
        (known, outside): (&DataSet, &DataSet),
        measurement: &Measurement,
        reasons: &mut Reasons,
        progress: &Progress,
    ) -> Result<Self, CliError> {
        progress.start_passes((known.samples() + 2 * outside.samples()) as u64);
        progress.start_pass("out of distribution");
        let sets = (known, outside);
        Self::measure(sets, measurement, reasons, progress)
    }

    fn measure(
        (known, outside): (&DataSet, &DataSet),
        measurement: &Measurement,
        reasons: &mut Reasons,
        progress: &Progress,
    ) -> Result<Self, CliError> {
        let name = outside.name();
        let in_file = || CliError::in_file(&name);
        let statistics = measurement.statistics();
        let mut mean = ClassStatistics::empty(outside.width(), 1).map_err(in_file())?;
        outside.for_each_batch(|batch| {
            progress.advance(batch.samples.labels().len() as u64);
            mean.accumulate(&batch.samples)
        })?;
        let mut parts = SampleParts::new(&mean, &Nc1Options::default()).map_err(in_file())?;
        let mean = mean.class_means().map_err(in_file())?.column(0).into_owned();
        let nc5 =
            ClassVectors::columns(measurement.class_means()).and_then(|means| nc5(&means, &mean));
        let neco = Neco::of_class_means(statistics).map_err(|error| error.to_string());
        let neco = or_reason("neco", neco, reasons);
        let (mut neco_scores, mut nci) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
        for (index, data) in [known, outside].into_iter().enumerate() {
            data.for_each_batch(|batch| {
                let samples: &Features<'_, f64> = batch.samples.features();
                progress.advance(samples.samples() as u64);
                if let Some(neco) = &neco {
                    neco_scores[index].extend(neco.scores(samples)?);
                }
                nci[index].extend(nci_scores(samples, statistics, measurement.head(), 0.0)?);
                match index {
                    0 => Ok(()),
                    _ => parts.accumulate(&batch.samples),
                }
            })?;
        }
        let detection = |[known, outside]: [Vec<Option<f64>>; 2]| {
            Detection::of_scores(&known, &outside).map_err(in_file())
        };
        let error = match measurement.sample_parts() {
            Some(known) => nc5_estimate(known, &parts).map_err(in_file())?,
            None => None,
        };
        if error.is_none() {
            let reason = "standard errors were not asked for, NC5 has no value, or a class has a single sample";
            reasons.insert("nc5_standard_error", reason.into());
        }
        Ok(Self {
            nc5_standard_error: error.map(|found| found.standard_error),
            nc5: or_reason("nc5", nc5.map_err(|error: Error| error.to_string()), reasons),
            neco: neco.map(|_| detection(neco_scores)).transpose()?,
            nci: Some(detection(nci)?),
        })
    }
}

/// A number, or why there is none.
fn or_reason<V>(key: &'static str, found: Result<V, String>, reasons: &mut Reasons) -> Option<V> {
    found.map_err(|reason| reasons.insert(key, reason)).ok()
}
