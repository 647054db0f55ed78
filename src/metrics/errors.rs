//! How far a measured number may be off because the samples are few: standard errors of the metrics.

mod directions;
mod estimate;
mod metric;
mod moved;
mod nc1;
mod nc5;
mod parts;
mod regression;
mod standard_errors;

pub use estimate::Estimate;
pub use metric::Metric;
pub use nc5::nc5_estimate;
pub use parts::{SamplePart, SampleParts};
pub use regression::{nrc1_estimate, nrc2_estimate, nrc3_estimate};
pub use standard_errors::StandardErrors;
