//! Measured features with their labels, and the sums over them that the metrics are made of.

pub use crate::numerics::parallel::{limit_threads, with_threads};
pub use crate::numerics::scalar::Scalar;
pub use center::Center;
pub use class_vectors::ClassVectors;
pub use deviations::within_class_covariance;
pub use energy::FeatureEnergy;
pub use features::Features;
pub use labeled_features::LabeledFeatures;
pub use pooled::PooledScatter;
pub use statistics::ClassStatistics;
pub use unit_length::normalize_samples;
pub use variances::{ClassVariances, VariancePart};

pub(crate) mod center;
pub(crate) mod class_means;
pub(crate) mod class_pairs;
pub(crate) mod class_sums;
pub(crate) mod class_vectors;
pub(crate) mod deviations;
pub(crate) mod directions;
pub(crate) mod energy;
pub(crate) mod features;
pub(crate) mod fingerprint;
mod groups;
pub(crate) mod labeled_features;
pub(crate) mod layers;
mod mean_spectrum;
pub(crate) mod pooled;
pub(crate) mod projected;
pub(crate) mod seen;
mod split_mean;
pub(crate) mod statistics;
#[cfg(feature = "serde")]
mod stored;
mod unit_length;
pub(crate) mod variances;
pub(crate) mod version;
#[cfg(feature = "serde")]
pub(crate) mod written;
