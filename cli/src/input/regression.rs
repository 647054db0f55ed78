//! A network for regression: features, real-valued targets and the linear layers between them, all in memory.

use nalgebra::DMatrix;

use super::error::{InputError, Problem};
use super::find_head::{find_bias, given_bias, given_weights, refuse_no_layers};
use super::head::{Head, read_matrix};
use super::keys::{OTHER_FEATURES, Request};
use super::listing::{Name, list, resolve};
use super::samples::SampleNames;

/// What was measured of a network for regression.
#[derive(Debug)]
pub(crate) struct RegressionNetwork {
    /// H, a column for each sample.
    pub(crate) features: DMatrix<f64>,
    /// Y, a column for each sample.
    pub(crate) targets: DMatrix<f64>,
    /// The linear layers, and how they were trained.
    pub(crate) head: Head,
}

/// Reads the network of a request whose targets are the array `targets`; the layers have to be named, as nothing tells
/// them from other matrices.
pub(crate) fn read_regression(
    request: &Request,
    targets: &str,
) -> Result<RegressionNetwork, InputError> {
    let (mut files, keys) = (list(&request.files)?, &request.keys);
    let features = resolve(&mut files, keys.features())?;
    let targets = resolve(&mut files, targets)?;
    let weights = given_weights(&mut files, keys)?;
    let bias = given_bias(&mut files, keys)?;
    let Some(weights) = weights else {
        let path = files.first().map(|file| file.path.clone()).unwrap_or_default();
        let text = "with --targets the linear layers have to be named: --weights KEY,…";
        return Err(Problem::Impossible(text.into()).in_file(&path));
    };
    refuse_no_layers(&files, &weights)?;
    let mut head = Head::read(&files, &weights, &request.reading, &request.given)?;
    let read = |name: &Name, purpose: &str, flag| {
        read_matrix(&files, name, (purpose, flag)).map(|rows| rows.transpose())
    };
    let network = (
        read(&features, "the features, one sample per row", OTHER_FEATURES)?,
        read(&targets, "the targets, one sample per row", "--targets names others")?,
    );
    let names = SampleNames { features, labels: targets };
    if let Some(bias) = find_bias(&files, &weights, head.linear.classes(), (bias, keys), &names)? {
        head = head.with_bias(&files, &bias)?;
    }
    Ok(RegressionNetwork { features: network.0, targets: network.1, head })
}
