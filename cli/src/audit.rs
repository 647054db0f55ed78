//! From a measured network to its audit.

use std::path::Path;

use neural_collapse::{Audit, Error, Features, LinearHead, Regularization, Scalar, audit};

use crate::error::CliError;
use crate::input::{FeatureValues, MeasuredNetwork};

/// The audit of a network, with what a reader must know of the network to understand it.
#[derive(Debug)]
pub(crate) struct AuditedNetwork {
    /// Number of samples N.
    pub(crate) samples: usize,
    /// The linear layers.
    pub(crate) head: LinearHead,
    /// The penalties it was trained with, if they are known.
    pub(crate) penalties: Option<Regularization>,
    /// The bias counts as not penalised because nothing tells how it is.
    pub(crate) bias_is_assumed: bool,
    /// What was measured, beside what is predicted.
    pub(crate) audit: Audit,
    /// Why there is no prediction, in words.
    pub(crate) no_prediction: Option<String>,
}

impl AuditedNetwork {
    /// Audits `network`, the content of `file`.
    pub(crate) fn new(network: MeasuredNetwork, file: &Path) -> Result<Self, CliError> {
        let MeasuredNetwork { features, labels, weights, bias, penalties: given } = network;
        let head = LinearHead::new(weights, bias).map_err(CliError::in_file(file))?;
        let penalties = given.of_head(&head)?;
        let samples = features.samples;
        let shape = [samples, features.width];
        let audit = match &features.values {
            FeatureValues::F32(values) => {
                measure(values, shape, &labels, &head, penalties.as_ref())
            }
            FeatureValues::F64(values) => {
                measure(values, shape, &labels, &head, penalties.as_ref())
            }
        };
        let audit = audit.map_err(CliError::in_file(file))?;
        let no_prediction = match &penalties {
            Some(_) => audit.not_predictable.as_ref().map(ToString::to_string),
            None => given.missing().map(String::from),
        };
        let bias_is_assumed = given.bias.is_none() && head.bias().is_some();
        Ok(Self { samples, head, penalties, bias_is_assumed, audit, no_prediction })
    }
}

/// Calls the library on features in the precision of the file, without a copy.
fn measure<T: Scalar>(
    values: &[T],
    [samples, width]: [usize; 2],
    labels: &[usize],
    head: &LinearHead,
    penalties: Option<&Regularization>,
) -> Result<Audit, Error> {
    let data = Features::from_row_major(values, samples, width)?;
    audit(&data.with_labels(labels, head.classes())?, head, penalties)
}
