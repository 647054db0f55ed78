//! The audit of a network for regression.

use neural_collapse::audit::{RegressionAudit, audit_regression_with};
use neural_collapse::{Error, Features, LinearHead, Regularization};
use serde::Serialize;

use crate::error::CliError;
use crate::input::{Request, read_regression};
use crate::loss::Loss;
use crate::progress::Progress;
use crate::report::{SCHEMA_VERSION, print};
use crate::stated::StatedTraining;
use crate::tables::{Cell, plain_table, wrap};

/// The JSON object of `audit --targets`.
#[derive(Debug, Serialize)]
struct RegressionReport {
    schema_version: u32,
    loss_function: &'static str,
    samples: usize,
    outputs: usize,
    #[serde(flatten)]
    audit: RegressionAudit,
    loss_gap: Option<f64>,
    loss_gap_relative: Option<f64>,
}

/// Audits a network whose targets are the array `targets`, and prints what is found.
pub(crate) fn audit_targets(request: &Request, targets: &str, json: bool) -> Result<(), CliError> {
    let report = measure(request, targets, &Progress::start("reading"))?;
    print(json, &report, || report.to_text())?;
    Ok(())
}

/// Everything up to the printing, and with it the progress, has come to its end when this returns.
fn measure(
    request: &Request,
    targets: &str,
    progress: &Progress,
) -> Result<RegressionReport, CliError> {
    let network = read_regression(request, targets)?;
    let file = network.head.file.display().to_string();
    let in_file = |error: Error| CliError::in_file(&file)(error);
    let (head, stated) = (&network.head.linear, &network.head.stated);
    let (samples, outputs) = (network.features.ncols(), head.classes());
    check(stated)?;
    let regularization = regularization(stated, head, samples as u64)?;
    let features = Features::from_sample_columns(&network.features).map_err(in_file)?;
    let targets = &network.targets;
    let audit = audit_regression_with(&features, targets, head, &regularization, progress);
    let audit = audit.map_err(in_file)?;
    Ok(RegressionReport {
        schema_version: SCHEMA_VERSION,
        loss_function: "mse",
        samples,
        outputs,
        loss_gap: audit.loss_gap(),
        loss_gap_relative: audit.loss_gap_relative(),
        audit,
    })
}

/// Refuses what the metadata say of another training than that with the plain squared loss.
fn check(stated: &StatedTraining) -> Result<(), CliError> {
    stated.rates.check(Loss::Mse)?;
    let is_other = stated.loss.is_some_and(|loss| loss != Loss::Mse);
    if is_other || stated.labels.has_labels() || stated.labels.nonnegative_features {
        let reason = "regression is covered with the plain squared loss, but the metadata `loss_function`, \
                      `class_weights`, `label_smoothing` or `nonnegative_features` tell of another one";
        return Err(CliError::Argument { name: "--targets".into(), reason: reason.into() });
    }
    Ok(())
}

/// The regularization, all decays of which have to be given.
fn regularization(
    stated: &StatedTraining,
    head: &LinearHead,
    samples: u64,
) -> Result<Regularization, CliError> {
    let known = stated.regularization(head, samples)?.known();
    known.ok_or_else(|| CliError::Argument {
        name: "--targets".into(),
        reason: "the decays have to be known: --weight-decay and --feature-decay as numbers, or the metadata `lambda_w` \
                 and `lambda_h`"
            .into(),
    })
}

impl RegressionReport {
    fn to_text(&self) -> String {
        let audit = &self.audit;
        let error = |key| {
            let estimate = audit.standard_errors.get(key).and_then(Option::as_ref);
            Cell::Residual(estimate.map(|found| found.standard_error))
        };
        let row = |name: &str, cell, key| vec![Cell::Text(name.into()), cell, error(key)];
        let residual = |name: &str, value| row(name, Cell::Residual(value), "");
        let number = |name: &str, value| row(name, Cell::Number(value), "");
        let mut rows = vec![
            row("samples N", Cell::Count(self.samples as u64), ""),
            row("outputs K", Cell::Count(self.outputs as u64), ""),
            row("NRC1", Cell::Residual(audit.nrc1), "nrc1"),
            row("NRC2", Cell::Residual(audit.nrc2), "nrc2"),
            row("NRC3", Cell::Residual(audit.nrc3), "nrc3"),
            number("γ, predicted", audit.gamma),
        ];
        for (index, &distance) in audit.gram_distances.iter().enumerate() {
            rows.push(residual(&format!("NC2, m = {}", index + 1), distance));
        }
        rows.extend([
            residual("distance of the outputs", audit.output_distance),
            row("fit R²", Cell::Number(audit.fit), "fit"),
            number("predicted R²", audit.fit_predicted),
            row("loss f", Cell::Number(Some(audit.loss)), "loss"),
            number("predicted loss f*", audit.loss_optimum),
            row("loss gap f − f*", Cell::Residual(self.loss_gap), "loss_gap"),
        ]);
        let mut parts = vec![plain_table(&["regression", "", "±"], &rows)];
        // That a column has no error is seen, and why it has none stands in the JSON.
        let reasons = audit.reasons.iter().filter(|(key, _)| !key.starts_with("standard_errors."));
        parts.extend(reasons.map(|(key, reason)| wrap(&format!("No {key}: {reason}."))));
        parts.push(wrap(LEGEND));
        parts.join("\n\n")
    }
}

const LEGEND: &str = "\
NRC1: share of the features outside of their first K principal directions; NRC2: outside of the rows of the layers; NRC3: \
squared distance of WWᵀ to [Σ^½ − √γ I]₊, Σ the covariance of the targets; NC2: distance of the Gram matrix of the last m \
layers to the predicted one; distance of the outputs: relative to the predicted outputs; ± : standard error over other samples of the same distribution.";
