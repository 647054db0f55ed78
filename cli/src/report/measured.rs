//! What was read from a file of measurements.

use serde::Serialize;

use crate::input::{FeatureValues, MeasuredNetwork};
use crate::tables::{Cell, plain_table};

/// The shapes and sizes of a measured network.
#[derive(Debug, Serialize)]
pub(crate) struct MeasuredReport {
    samples: usize,
    width: usize,
    classes: usize,
    precision: &'static str,
    /// Rows and columns of W₁, …, W_M.
    layers: Vec<(usize, usize)>,
    has_bias: bool,
    /// The penalties are known, so there can be a prediction.
    has_penalties: bool,
}

impl MeasuredReport {
    /// The shapes and sizes of `network`.
    pub(crate) fn new(network: &MeasuredNetwork) -> Self {
        let penalties = &network.penalties;
        Self {
            samples: network.labels.len(),
            width: network.features.width,
            classes: network.classes(),
            precision: match network.features.values {
                FeatureValues::F32(_) => "single precision",
                FeatureValues::F64(_) => "double precision",
            },
            layers: network.weights.iter().map(|weight| weight.shape()).collect(),
            has_bias: network.bias.is_some(),
            has_penalties: penalties.weight_decays.is_some() && penalties.feature_decay.is_some(),
        }
    }

    /// The shapes and sizes as a table.
    pub(crate) fn to_text(&self) -> String {
        let row = |name: &str, text: String| vec![Cell::Text(name.into()), Cell::Text(text)];
        let layers = self.layers.iter().map(|(rows, columns)| format!("{rows}×{columns}"));
        let features = format!("{}×{}, {}", self.samples, self.width, self.precision);
        let known = if self.has_penalties { "known" } else { "not known: no prediction" };
        let rows = [
            row("features", features),
            row("classes K", self.classes.to_string()),
            row("layers W₁,…,W_M", layers.collect::<Vec<_>>().join(", ")),
            row("bias of the last layer", if self.has_bias { "yes" } else { "no" }.into()),
            row("weight decays", known.into()),
        ];
        plain_table(&["network", ""], &rows)
    }
}
