//! The widths of the linear layers.

use crate::error::{Argument, Error, Result};

/// The widths d₁, …, d_M, checked: one for the inputs of each layer, and none is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub(crate) struct Widths(Vec<usize>);

impl Widths {
    /// The widths of `depth` layers.
    pub(crate) fn new(widths: &[usize], depth: usize) -> Result<Self> {
        if widths.len() != depth {
            let reason = "one width for the inputs of each layer";
            return Err(Error::length("widths", widths.len(), depth, reason));
        }
        if let Some(layer) = widths.iter().position(|&width| width == 0) {
            return Err(Error::out_of_range(Argument::at("widths", layer), 0.0, "at least 1"));
        }
        Ok(Self(widths.to_vec()))
    }

    /// d₁, …, d_M.
    pub(crate) fn as_slice(&self) -> &[usize] {
        &self.0
    }
}
