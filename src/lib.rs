//! The closed-form geometry of neural collapse.

mod error;
mod linalg;
mod regularization;

pub use error::{Error, Result};
pub use regularization::{Bias, Regularization};
