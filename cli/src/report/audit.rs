//! The JSON object of `audit`.

use neural_collapse::audit::{ClassAudit, Compared};
use neural_collapse::metrics::AllMetrics;
use serde::Serialize;

use super::prediction::PredictionReport;
use crate::arguments::Loss;
use crate::audit::AuditedNetwork;
use crate::error::CliError;
use crate::model::Prediction;

/// The JSON object of `audit`. What cannot be computed is null.
#[derive(Debug, Serialize)]
pub(crate) struct AuditReport<'a> {
    /// What was minimised, if it is not the squared loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    loss_function: Option<&'static str>,
    /// Whether classes were matched with those of the predicted structure, if that is not the squared loss's.
    #[serde(skip_serializing_if = "Option::is_none")]
    relabelled: Option<bool>,
    /// NC1.
    nc1: Option<f64>,
    /// NC2_m for m = 1, …, M.
    nc2: &'a [Option<f64>],
    /// NC3.
    nc3: Option<f64>,
    /// NC4: the share of samples for which nearest class mean and largest output agree.
    nc4: f64,
    /// The loss f.
    loss: Option<f64>,
    /// The loss f* at the global minimum.
    loss_optimum: Option<f64>,
    /// f − f*.
    loss_gap: Option<f64>,
    /// Norm of the gradient of f.
    gradient_norm: Option<f64>,
    /// Relative residuals of the balance between W_m and the layer before it.
    balancedness: Option<&'a [f64]>,
    /// The classes, in the order of their labels.
    classes: Vec<ClassReport>,
    /// The JSON object of `predict`.
    prediction: Option<PredictionReport<'a>>,
    /// Every metric of the library, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<&'a AllMetrics>,
}

/// One class.
#[derive(Debug, Serialize)]
struct ClassReport {
    count: u64,
    classifier_norm_squared: Comparison<f64>,
    feature_norm_squared: Comparison<f64>,
    collapsed: Comparison<bool>,
}

/// A measured value beside the predicted one.
#[derive(Debug, Serialize)]
struct Comparison<T> {
    measured: T,
    predicted: Option<T>,
}

impl<T> From<Compared<T>> for Comparison<T> {
    fn from(compared: Compared<T>) -> Self {
        Self { measured: compared.measured, predicted: compared.predicted }
    }
}

impl From<&ClassAudit> for ClassReport {
    fn from(class: &ClassAudit) -> Self {
        Self {
            count: class.count,
            classifier_norm_squared: class.classifier_norm_squared.into(),
            feature_norm_squared: class.feature_norm_squared.into(),
            collapsed: class.collapsed.into(),
        }
    }
}

impl<'a> AuditReport<'a> {
    /// The report of `audit`.
    pub(crate) fn new(network: &'a AuditedNetwork) -> Result<Self, CliError> {
        let audit = &network.audit;
        let optimum =
            network.prediction.as_ref().and_then(|prediction| optimum(network, prediction));
        Ok(Self {
            loss_function: loss_name(network.loss_function),
            relabelled: (network.loss_function != Loss::Mse).then_some(network.relabelled),
            nc1: audit.nc1.map(|nc1| nc1.value),
            nc2: &audit.nc2,
            nc3: audit.nc3,
            nc4: audit.nc4.overall.agreement,
            loss: network.loss,
            loss_optimum: optimum,
            loss_gap: network.loss.zip(optimum).map(|(loss, optimum)| loss - optimum),
            gradient_norm: audit.objective.map(|objective| objective.gradient_norm),
            balancedness: audit.balancedness.as_deref(),
            classes: audit.classes.iter().map(ClassReport::from).collect(),
            prediction: network.prediction.as_ref().map(PredictionReport::new).transpose()?,
            metrics: network.metrics.as_ref(),
        })
    }
}

/// The predicted loss, unless it is one that a network does not have.
pub(super) fn optimum(network: &AuditedNetwork, prediction: &Prediction) -> Option<f64> {
    (network.loss_function != Loss::UfSvm).then(|| prediction.loss())
}

/// The name of a loss; the squared loss is not mentioned.
pub(super) fn loss_name(loss: Loss) -> Option<&'static str> {
    (loss != Loss::Mse).then(|| loss.name())
}
