//! The JSON object of `audit`.

use neural_collapse::{Audit, ClassAudit, Compared, Objective};
use serde::Serialize;

use super::prediction::PredictionReport;
use crate::error::CliError;

/// The JSON object of `audit`. What cannot be computed is null.
#[derive(Debug, Serialize)]
pub(crate) struct AuditReport<'a> {
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
    pub(crate) fn new(audit: &'a Audit) -> Result<Self, CliError> {
        let prediction = audit.prediction.as_ref();
        Ok(Self {
            nc1: audit.nc1.map(|nc1| nc1.value),
            nc2: &audit.nc2,
            nc3: audit.nc3,
            nc4: audit.nc4.overall.agreement,
            loss: audit.objective.as_ref().map(Objective::loss),
            loss_optimum: prediction.map(|prediction| prediction.loss()),
            loss_gap: audit.loss_gap(),
            gradient_norm: audit.objective.map(|objective| objective.gradient_norm),
            balancedness: audit.balancedness.as_deref(),
            classes: audit.classes.iter().map(ClassReport::from).collect(),
            prediction: prediction.map(PredictionReport::new).transpose()?,
        })
    }
}
