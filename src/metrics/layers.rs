//! Collapse layer by layer: the features after several layers of one network, on the same samples.

mod cross_scatter;
mod separation;
mod sums;

pub use separation::{SeparationErrors, SeparationLaw};
pub use sums::{LayerMetrics, LayerPart, LayerSums, Layers};
