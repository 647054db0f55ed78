//! Samples with several tags under the pick-all-labels loss: a closed form where tags are balanced.
//!
//! `problem` says what is trained, `minimum` solves one scalar equation for it, `prediction` has the matrices.

mod minimum;
mod prediction;
mod problem;

pub use minimum::MultiLabelMinimum;
pub use problem::MultiLabelUfm;
