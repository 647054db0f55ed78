//! The models whose global minima are known or searched for, a folder for each loss.

pub(crate) mod cross_entropy;
pub(crate) mod explicit;
pub(crate) mod layer_peeled;
pub(crate) mod squared;
pub(crate) mod svm;
