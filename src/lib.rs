//! The closed-form geometry of neural collapse.

mod error;
mod features;
mod head;
mod linalg;
mod metrics;
mod objective;
mod regularization;
mod statistics;

pub use error::{Error, Result};
pub use features::{Features, LabeledFeatures, Scalar};
pub use head::LinearHead;
pub use metrics::{DecisionShares, Nc1, Nc1Options, Nc4, nc1, nc4};
pub use objective::{Objective, balancedness};
pub use regularization::{Bias, Regularization};
pub use statistics::{Center, ClassStatistics, within_class_covariance};
