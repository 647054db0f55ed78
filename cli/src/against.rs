//! A network beside another one, or beside itself at another epoch.

use neural_collapse::audit::{AuditDifference, Samples};
use serde::Serialize;

use crate::arguments::AuditArguments;
use crate::audit::AuditedNetwork;
use crate::error::CliError;
use crate::input::read_network;
use crate::progress::Progress;

/// What a network differs from another one by, with errors.
#[derive(Debug, Serialize)]
pub(crate) struct Against {
    /// The files of the other one.
    pub(crate) files: Vec<String>,
    /// By metric.
    #[serde(flatten)]
    pub(crate) difference: AuditDifference,
    /// What was not said, and would have changed the errors.
    #[serde(skip)]
    pub(crate) hint: Option<&'static str>,
}

impl Against {
    /// Measures the other network as this one was.
    pub(crate) fn new(
        audited: &AuditedNetwork,
        arguments: &AuditArguments,
        progress: &Progress,
    ) -> Result<Self, CliError> {
        let mut request = arguments.request();
        request.files.clone_from(&arguments.against);
        let other = AuditedNetwork::new(read_network(&request)?, arguments, progress)?;
        let files = arguments.against.iter().map(|file| file.display().to_string());
        let files: Vec<String> = files.collect();
        let have_labels = audited.labels == other.labels;
        if arguments.same_samples && !have_labels {
            let reason = "they have other labels, or in another order, so that their samples cannot be those of \
                          --same-samples";
            return Err(CliError::Argument { name: files.join(", "), reason: reason.into() });
        }
        let samples = match arguments.same_samples {
            true => Samples::Same,
            false => Samples::Independent,
        };
        let difference = audited.audit.minus(&other.audit, samples);
        let difference = difference.map_err(CliError::in_file(&files.join(", ")))?;
        let hint = (have_labels && !arguments.same_samples).then_some(SAME_LABELS);
        Ok(Self { files, difference, hint })
    }
}

const SAME_LABELS: &str = "Both have the same labels in the same order. If they are the same samples, --same-samples gives \
                           the smaller errors of their difference.";
