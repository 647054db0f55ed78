//! Measured features with their labels, and the sums over them that the metrics are made of.

pub use crate::numerics::parallel::{limit_threads, with_threads};
pub use crate::numerics::scalar::Scalar;
pub use center::Center;
pub use class_vectors::ClassVectors;
pub use deviations::within_class_covariance;
pub use features::Features;
pub use labeled_features::LabeledFeatures;
pub use pooled::PooledScatter;
pub use scatter::{ProjectedScatter, ProjectedSums};
pub use statistics::ClassStatistics;

pub(crate) mod center;
pub(crate) mod class_vectors;
pub(crate) mod deviations;
pub(crate) mod features;
pub(crate) mod labeled_features;
pub(crate) mod pooled;
pub(crate) mod projector;
pub(crate) mod scatter;
pub(crate) mod statistics;
#[cfg(feature = "serde")]
mod stored;
