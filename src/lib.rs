//! The closed-form geometry of neural collapse.

mod error;
mod features;
mod head;
mod linalg;
mod metrics;
mod regularization;
mod statistics;

pub use error::{Error, Result};
pub use features::{Features, LabeledFeatures, Scalar};
pub use head::LinearHead;
pub use metrics::{Nc1, Nc1Options, nc1};
pub use regularization::{Bias, Regularization};
pub use statistics::{Center, ClassStatistics, within_class_covariance};
