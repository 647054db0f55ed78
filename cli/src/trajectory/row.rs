//! The numbers of one checkpoint.

use neural_collapse::metrics::nc0;
use neural_collapse::models::AnyModel;
use serde::{Deserialize, Serialize};

use super::files::Checkpoint;
use crate::audit::AuditedNetwork;
use crate::error::CliError;

/// The numbers of one checkpoint; null where a number is not determined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) file: String,
    pub(crate) epoch: Option<f64>,
    pub(crate) nc0: Option<f64>,
    pub(crate) nc1: Option<f64>,
    pub(crate) nc1_resolved: Option<f64>,
    pub(crate) nc1_trace_quotient: Option<f64>,
    pub(crate) cdnv: Option<f64>,
    pub(crate) nc2: Vec<Option<f64>>,
    pub(crate) nc3: Option<f64>,
    pub(crate) nc3_centered: Option<f64>,
    pub(crate) self_duality: Option<f64>,
    pub(crate) nc4: Option<f64>,
    pub(crate) accuracy: Option<f64>,
    pub(crate) loss: Option<f64>,
    pub(crate) loss_optimum: Option<f64>,
    pub(crate) loss_gap_relative: Option<f64>,
    pub(crate) gradient_norm: Option<f64>,
    pub(crate) weight_distance: Option<f64>,
    pub(crate) feature_distance: Option<f64>,
    pub(crate) largest_singular_value: Option<f64>,
    pub(crate) smallest_singular_value: Option<f64>,
    pub(crate) verdict: String,
    pub(crate) fingerprint: String,
}

impl Row {
    /// The numbers of an audited checkpoint.
    pub(crate) fn new(network: &AuditedNetwork, checkpoint: &Checkpoint) -> Result<Self, CliError> {
        let audit = &network.audit;
        let measurement = &audit.measurement;
        let metrics = measurement.metrics();
        let nearest = match &network.model {
            Some(AnyModel::Squared(minimum)) => {
                minimum.nearest_distance(measurement.class_means(), measurement.head()).ok()
            }
            _ => None,
        };
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        let head = measurement.head();
        let spectrum = head.singular_values(1..=head.depth())?;
        Ok(Self {
            file: checkpoint.file.display().to_string(),
            epoch: network.facts.epoch.or(checkpoint.epoch_in_name),
            nc0: Some(nc0(measurement.head())?),
            nc1: measurement.nc1().map(|nc1| nc1.value),
            nc1_resolved: measurement.nc1_resolved().map(|nc1| nc1.value),
            nc1_trace_quotient: finite(
                metrics.and_then(|metrics| metrics.nc1_trace_quotient.center_samples),
            ),
            cdnv: finite(metrics.and_then(|metrics| metrics.cdnv?.mean)),
            nc2: audit.nc2.clone(),
            nc3: audit.nc3,
            nc3_centered: audit.nc3_centered,
            self_duality: finite(metrics.and_then(|metrics| metrics.self_duality)),
            nc4: Some(measurement.nc4().overall.agreement),
            accuracy: Some(measurement.accuracy()),
            loss: audit.loss,
            loss_optimum: audit.loss_optimum(),
            loss_gap_relative: audit.loss_gap_relative(),
            gradient_norm: audit.gradient_norm(),
            weight_distance: nearest.map(|distance| distance.0),
            feature_distance: nearest.map(|distance| distance.1),
            largest_singular_value: spectrum.first().copied(),
            // With fewer features than classes the others are zero.
            smallest_singular_value: Some(
                spectrum.get(head.classes().saturating_sub(1)).copied().unwrap_or(0.0),
            ),
            verdict: audit.verdict.text.clone(),
            fingerprint: checkpoint.fingerprint.clone(),
        })
    }

    /// All numbers with their names, in the order of columns.
    pub(crate) fn numbers(&self) -> Vec<(String, Option<f64>)> {
        let mut numbers: Vec<(String, Option<f64>)> = Vec::new();
        let mut add = |name: &str, value| numbers.push((name.into(), value));
        add("epoch", self.epoch);
        add("nc0", self.nc0);
        add("nc1", self.nc1);
        add("nc1_resolved", self.nc1_resolved);
        add("nc1_trace_quotient", self.nc1_trace_quotient);
        add("cdnv", self.cdnv);
        for (index, &value) in self.nc2.iter().enumerate() {
            add(&format!("nc2_{}", index + 1), value);
        }
        add("nc3", self.nc3);
        add("nc3_centered", self.nc3_centered);
        add("self_duality", self.self_duality);
        add("nc4", self.nc4);
        add("accuracy", self.accuracy);
        add("loss", self.loss);
        add("loss_optimum", self.loss_optimum);
        add("loss_gap_relative", self.loss_gap_relative);
        add("gradient_norm", self.gradient_norm);
        add("weight_distance", self.weight_distance);
        add("feature_distance", self.feature_distance);
        add("largest_singular_value", self.largest_singular_value);
        add("smallest_singular_value", self.smallest_singular_value);
        numbers
    }
}
