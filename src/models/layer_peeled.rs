//! The layer-peeled model: cross-entropy with constraints on the norms, and its minority collapse.
//!
//! `problem` says what is trained, `minimum` holds the numbers of the global minimum, `two_sizes` its equations for classes
//! of two sizes, `prediction` its matrices, and `critical` says at which imbalance the minority collapses.

mod critical;
mod minimum;
mod prediction;
mod problem;
mod two_sizes;

pub use critical::layer_peeled_critical_ratio;
pub use minimum::LayerPeeledMinimum;
pub use problem::LayerPeeled;
