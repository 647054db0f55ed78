//! What every model is given, checked once: class counts, decays and bias, the linear head.

pub(crate) mod counts;
pub(crate) mod head;
pub(crate) mod kinds;
pub(crate) mod regularization;
pub(crate) mod training_objective;

pub use counts::{ClassCounts, Run, SizeGroup};
pub use head::LinearHead;
pub use regularization::{Bias, Regularization};
pub use training_objective::{LossFunction, TrainingObjective};
