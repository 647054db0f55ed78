//! The closed-form geometry of neural collapse.

mod error;
mod features;
mod head;
mod linalg;
mod regularization;
mod statistics;

pub use error::{Error, Result};
pub use features::{Features, LabeledFeatures, Scalar};
pub use head::LinearHead;
pub use regularization::{Bias, Regularization};
pub use statistics::{Center, ClassStatistics, within_class_covariance};
