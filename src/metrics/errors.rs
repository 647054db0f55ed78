//! How far a measured number may be off because the samples are few: standard errors of the metrics.

mod estimate;
mod nc1;
mod parts;
mod standard_errors;

pub use estimate::Estimate;
pub use parts::{SamplePart, SampleParts};
pub use standard_errors::{Metric, StandardErrors};
