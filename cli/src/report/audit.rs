//! An audit as JSON.

use neural_collapse::Audit;
use serde::{Serialize, Serializer};

use super::prediction::PredictionReport;
use crate::against::Against;
use crate::audit::AuditedNetwork;
use crate::error::CliError;
use crate::input::Facts;
use crate::layers::MeasuredLayers;
use crate::loss::Loss;
use crate::outside::OutOfDistribution;

/// The JSON object of `audit`: the library's, with what is known of files and training around it.
#[derive(Debug, Serialize)]
pub(crate) struct AuditReport<'a> {
    schema_version: u32,
    loss_function: Option<&'static str>,
    loss_function_assumed: bool,
    head: HeadReport<'a>,
    feature_decay_inferred: Option<f64>,
    weight_decays_inferred: Option<&'a [Option<f64>]>,
    assumptions: &'a [String],
    unknown_metadata: Vec<UnknownReport<'a>>,
    // Its prediction is described as by `predict`.
    #[serde(flatten, serialize_with = "numbers")]
    audit: &'a Audit,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<&'a MeasuredLayers>,
    #[serde(flatten)]
    outside: Option<&'a OutOfDistribution>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<&'a Against>,
    prediction: Option<PredictionReport>,
}

fn numbers<S: Serializer>(audit: &&Audit, serializer: S) -> Result<S::Ok, S::Error> {
    audit.numbers().serialize(serializer)
}

/// An entry of the metadata that is not understood.
#[derive(Debug, Serialize)]
struct UnknownReport<'a> {
    file: String,
    name: &'a str,
    meant: Option<&'static str>,
}

/// Where the head was found.
#[derive(Debug, Serialize)]
struct HeadReport<'a> {
    weights: &'a [String],
    bias: Option<&'a str>,
}

impl<'a> AuditReport<'a> {
    pub(crate) fn new(
        network: &'a AuditedNetwork,
        against: Option<&'a Against>,
    ) -> Result<Self, CliError> {
        let AuditedNetwork { audit, layers, outside, model, training, facts, .. } = network;
        Ok(Self {
            schema_version: super::SCHEMA_VERSION,
            loss_function: training.loss.map(Loss::name),
            loss_function_assumed: training.loss_is_assumed,
            head: HeadReport { weights: &facts.weights, bias: facts.bias.as_deref() },
            feature_decay_inferred: training.inferred_feature_decay,
            weight_decays_inferred: training.inferred_weight_decays.as_deref(),
            assumptions: &facts.assumptions,
            unknown_metadata: unknown_metadata(facts),
            prediction: model.as_ref().map(PredictionReport::new).transpose()?,
            audit,
            layers: layers.as_ref(),
            outside: outside.as_ref(),
            against,
        })
    }
}

fn unknown_metadata(facts: &Facts) -> Vec<UnknownReport<'_>> {
    let entries = facts.unknown_metadata.iter().map(|(file, entry)| UnknownReport {
        file: file.display().to_string(),
        name: &entry.name,
        meant: entry.meant,
    });
    entries.collect()
}
