//! Measured features with their labels, and the sums over them that the metrics are made of.

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
