//! Cross-entropy on non-negative features, as after a ReLU: a closed form for any class sizes.
//!
//! `problem` says what is trained, `minimum` holds the numbers of the global minimum, `prediction` its matrices, and `death`
//! says when classes die.

mod death;
mod minimum;
mod prediction;
mod problem;

pub use minimum::NonnegativeMinimum;
pub use problem::{NonnegativeUfm, margin_equalizing_weights};
