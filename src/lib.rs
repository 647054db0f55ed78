//! The closed-form geometry of neural collapse.

mod error;
mod head;
mod linalg;
mod regularization;

pub use error::{Error, Result};
pub use head::LinearHead;
pub use regularization::{Bias, Regularization};
