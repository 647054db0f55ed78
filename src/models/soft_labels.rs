//! Sparse soft labels, as of next-token prediction, in the limit of vanishing weight decay.
//!
//! `problem` says what is trained, `certificate` decides whether the centered supports are the minimum,
//! `minimum` and `prediction` hold their numbers and matrices; `smallest` finds the minimum where they are not.

mod certificate;
mod factors;
mod minimum;
mod prediction;
mod problem;
mod smallest;
mod subgradient;

pub use certificate::{Certificate, Exactness};
pub use minimum::CenteredSupports;
pub use problem::SparseLabels;
pub use smallest::SmallestLogits;
