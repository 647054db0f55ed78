//! The closed-form geometry of neural collapse.

mod error;
mod head;
mod linalg;
mod potential;
mod regularization;
mod root;
mod twofold;

pub use error::{Error, Result};
pub use head::LinearHead;
pub use potential::{Minimizer, Potential, Regime, StationaryPoints};
pub use regularization::{Bias, Regularization};
