//! An audit as an object of plain numbers: what the program prints as JSON, key by key.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::audit::classes::ClassAudit;
use crate::audit::comparison::Audit;
use crate::audit::frames::FrameDistances;
use crate::audit::layer_ratios::LayerRatio;
use crate::audit::structure::NetworkStructure;
use crate::audit::training::TrainingVerdict;
use crate::metrics::errors::StandardErrors;
use crate::metrics::levels::Levels;
use crate::metrics::{AllMetrics, Nc1};
use crate::objective::LeastSquaresSplit;
use crate::prediction::Geometry;

/// The keys of the object. Numbers that are missing are null, and `reasons` says why.
#[derive(Serialize)]
struct AuditObject<'a> {
    nc1: Option<f64>,
    nc1_rank: Option<usize>,
    nc1_predicted_rank: Option<Nc1>,
    nc1_resolved: Option<Nc1>,
    nc2: &'a [Option<f64>],
    nc2_target: Option<&'a Geometry>,
    nc2_class_means: Option<f64>,
    nc3: Option<f64>,
    nc3_centered: Option<f64>,
    nc3_target: Option<&'a Geometry>,
    nc4: f64,
    accuracy: f64,
    loss: Option<f64>,
    loss_optimum: Option<f64>,
    loss_gap: Option<f64>,
    loss_gap_relative: Option<f64>,
    gradient_norm: Option<f64>,
    balancedness: Option<&'a [f64]>,
    least_squares_split: Option<SplitObject>,
    // The key is a contract, whatever the spelling elsewhere.
    #[serde(rename = "relabelled")]
    relabeled: bool,
    distances: Option<&'a FrameDistances>,
    levels: &'a Levels,
    standard_errors: Option<&'a StandardErrors>,
    no_prediction: Option<&'a str>,
    verdict: &'a TrainingVerdict,
    structure: Option<&'a NetworkStructure>,
    reasons: &'a BTreeMap<&'static str, String>,
    classes: &'a [ClassAudit],
    #[serde(skip_serializing_if = "is_empty")]
    nc1_layer_ratios: &'a [LayerRatio],
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<&'a AllMetrics>,
}

/// The parts of the squared loss without the best head, K×d numbers, which the program does not print.
#[derive(Serialize)]
struct SplitObject {
    within_classes: f64,
    class_means: f64,
    penalty: f64,
    head_distance: f64,
}

impl SplitObject {
    fn new(split: &LeastSquaresSplit) -> Self {
        let LeastSquaresSplit { within_classes, class_means, penalty, head_distance, .. } = *split;
        Self { within_classes, class_means, penalty, head_distance }
    }
}

fn is_empty(ratios: &&[LayerRatio]) -> bool {
    ratios.is_empty()
}

impl Serialize for Audit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let measurement = &self.measurement;
        AuditObject {
            nc1: measurement.nc1().map(|nc1| nc1.value),
            nc1_rank: measurement.nc1().map(|nc1| nc1.rank),
            nc1_predicted_rank: measurement.nc1_predicted_rank(),
            nc1_resolved: measurement.nc1_resolved(),
            nc2: &self.nc2,
            nc2_target: self.nc2_target.as_ref(),
            nc2_class_means: self.nc2_class_means,
            nc3: self.nc3,
            nc3_centered: self.nc3_centered,
            nc3_target: self.nc3_target.as_ref(),
            nc4: measurement.nc4().overall.agreement,
            accuracy: measurement.accuracy(),
            loss: self.loss,
            loss_optimum: self.loss_optimum(),
            loss_gap: self.loss_gap(),
            loss_gap_relative: self.loss_gap_relative(),
            gradient_norm: self.gradient_norm(),
            balancedness: measurement.balancedness(),
            least_squares_split: measurement.least_squares_split().map(SplitObject::new),
            relabeled: self.matching.as_ref().is_some_and(|order| !order.is_sorted()),
            distances: self.distances.as_ref(),
            levels: &self.levels,
            standard_errors: self.standard_errors.as_ref(),
            no_prediction: self.no_prediction.as_deref(),
            verdict: &self.verdict,
            structure: self.structure.as_ref(),
            reasons: &self.reasons,
            classes: &self.classes,
            nc1_layer_ratios: &self.nc1_layer_ratios,
            metrics: measurement.metrics(),
        }
        .serialize(serializer)
    }
}
