//! The training objective of a measured network, and how far its gradient is from zero.

mod balance;
mod check;
mod constraint;
mod data_term;
mod evaluate;
pub(crate) mod gradient;
mod least_squares;
mod sums;
mod value;

pub use balance::{balancedness, balancedness_with};
pub use least_squares::LeastSquaresSplit;
pub use sums::{ObjectivePart, ObjectiveSums};
pub use value::Objective;
