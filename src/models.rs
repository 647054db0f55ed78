//! The models whose global minima are known or searched for, a folder for each loss.

pub mod cross_entropy;
pub mod layer_peeled;
pub mod low_rank;
pub mod nonnegative;
pub mod squared;
pub mod svm;
