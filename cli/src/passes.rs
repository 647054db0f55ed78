//! The two passes over the samples: class means, then everything that is measured around them.

use neural_collapse::measure::FeatureEnergy;
use neural_collapse::metrics::{AllMetrics, MetricSums};
use neural_collapse::objective::{Objective, ObjectiveSums};
use neural_collapse::{Audit, AuditSums, Bias, ClassStatistics, Error, LinearHead, Regularization};

use crate::arguments::Loss;
use crate::error::CliError;
use crate::input::{Batch, DataSet, Float};
use crate::progress::Progress;

/// What is to be measured of a network.
pub(crate) struct Plan<'a> {
    /// What was minimised.
    pub(crate) loss: Loss,
    /// The layers of the network.
    pub(crate) network: &'a LinearHead,
    /// Those of the model, which may have one layer only: their product.
    pub(crate) model: &'a LinearHead,
    /// The penalties of the model, if they are known.
    pub(crate) penalties: Option<&'a Regularization>,
    /// Whether every metric of the library is wanted.
    pub(crate) all_metrics: bool,
}

/// What the second pass tells.
pub(crate) struct Measured {
    /// The audit of the model's layers; without penalties for another loss than the squared one.
    pub(crate) audit: Audit,
    /// The objective with cross-entropy.
    pub(crate) cross_entropy: Option<Objective>,
    /// The balance of the layers trained with cross-entropy and weight decay.
    pub(crate) balancedness: Option<Vec<f64>>,
    /// The mean over the classes of the mean squared norm of their features.
    pub(crate) feature_energy: Option<f64>,
    /// Every metric of the library.
    pub(crate) metrics: Option<AllMetrics>,
}

/// The first pass: number and mean of the samples of each class.
pub(crate) fn class_statistics<T: Float>(
    data: &DataSet,
    progress: &Progress,
) -> Result<ClassStatistics, CliError> {
    progress.start_pass("class means");
    let mut statistics = ClassStatistics::empty(data.width(), data.classes())
        .map_err(CliError::in_file(&data.name()))?;
    pass::<T>(data, progress, |batch| statistics.accumulate(&batch.samples))?;
    Ok(statistics)
}

impl Plan<'_> {
    /// The second pass.
    pub(crate) fn measure<T: Float>(
        &self,
        data: &DataSet,
        statistics: &ClassStatistics,
        progress: &Progress,
    ) -> Result<Measured, CliError> {
        progress.start_pass("deviations");
        let name = data.name();
        let penalties = self.cross_entropy_penalties().map_err(CliError::in_file(&name))?;
        let mut sums = Sums::<T>::new(self, statistics, penalties.as_ref())
            .map_err(CliError::in_file(&name))?;
        pass(data, progress, |batch| sums.accumulate(batch))?;
        progress.end_passes("metrics");
        sums.measured().map_err(CliError::in_file(&name))
    }

    /// The penalties beside the cross-entropy. The layer-peeled model has none: they are asked for, but do not
    /// matter to the cross-entropy alone.
    fn cross_entropy_penalties(&self) -> Result<Option<Regularization>, Error> {
        match self.loss {
            Loss::Mse | Loss::UfSvm => Ok(None),
            Loss::Ce => Ok(self.penalties.cloned()),
            Loss::LayerPeeled => {
                let head = self.model;
                let bias = if head.bias().is_some() { Bias::Unregularized } else { Bias::None };
                let decays = vec![1.0; head.depth()];
                Regularization::new(&decays, 1.0)?.with_bias(bias).map(Some)
            }
        }
    }
}

/// What the second pass adds up, all of it while a block is in memory.
struct Sums<'a, T: Float> {
    audit: AuditSums<'a, T>,
    cross_entropy: Option<ObjectiveSums>,
    feature_energy: Option<FeatureEnergy>,
    metrics: Option<MetricSums<T>>,
}

impl<'a, T: Float> Sums<'a, T> {
    fn new(
        plan: &Plan<'a>,
        statistics: &'a ClassStatistics,
        cross_entropy: Option<&'a Regularization>,
    ) -> Result<Self, Error> {
        let head = plan.model;
        let squared = plan.penalties.filter(|_| plan.loss == Loss::Mse);
        let energy = || FeatureEnergy::empty(statistics.dimension(), statistics.classes());
        Ok(Self {
            audit: AuditSums::new(statistics, head, squared)?,
            cross_entropy: cross_entropy
                .map(|penalties| {
                    let sums = ObjectiveSums::cross_entropy(statistics, head, penalties)?;
                    match plan.loss {
                        Loss::Ce => sums.with_balancedness(),
                        _ => Ok(sums),
                    }
                })
                .transpose()?,
            feature_energy: (plan.loss == Loss::LayerPeeled).then(energy).transpose()?,
            metrics: plan
                .all_metrics
                .then(|| MetricSums::new(statistics, plan.network))
                .transpose()?,
        })
    }

    fn accumulate(&mut self, batch: &Batch<'_, T>) -> Result<(), Error> {
        self.audit.accumulate(&batch.samples)?;
        if let Some(sums) = &mut self.cross_entropy {
            sums.accumulate(&batch.samples)?;
        }
        if let Some(energy) = &mut self.feature_energy {
            energy.accumulate(&batch.samples)?;
        }
        if let Some(sums) = &mut self.metrics {
            sums.accumulate(&batch.samples)?;
        }
        Ok(())
    }

    fn measured(self) -> Result<Measured, Error> {
        let audit = self.audit.audit()?;
        let cross_entropy = self.cross_entropy.as_ref();
        Ok(Measured {
            cross_entropy: cross_entropy.map(ObjectiveSums::objective).transpose()?,
            balancedness: cross_entropy.map_or(Ok(None), ObjectiveSums::balancedness)?,
            feature_energy: self.feature_energy.map(|energy| energy.mean()).transpose()?,
            metrics: self.metrics.map(|sums| sums.metrics()).transpose()?,
            audit,
        })
    }
}

/// Passes once over the samples.
fn pass<T: Float>(
    data: &DataSet,
    progress: &Progress,
    mut accumulate: impl FnMut(&Batch<'_, T>) -> Result<(), Error>,
) -> Result<(), CliError> {
    Ok(data.for_each_batch(|batch| {
        accumulate(batch)?;
        progress.advance(batch.samples.labels().len() as u64);
        Ok(())
    })?)
}
