//! What every model is given, checked once: class counts and targets, decays and bias, widths, the linear head.

pub(crate) mod coded_weights;
pub(crate) mod counts;
pub(crate) mod head;
mod head_forms;
mod head_spectrum;
mod imbalance;
pub(crate) mod kinds;
pub(crate) mod labels;
mod normal_form;
pub(crate) mod partial_regularization;
pub(crate) mod probabilities;
pub(crate) mod regularization;
pub(crate) mod target;
mod training_code;
pub(crate) mod training_objective;
pub(crate) mod widths;

pub use coded_weights::CodedClassWeights;
pub use counts::{ClassCounts, Run, SizeGroup};
pub use head::LinearHead;
pub use labels::Label;
pub use partial_regularization::PartialRegularization;
pub use regularization::{Bias, Regularization};
pub use training_code::{CodedFeaturePenalty, CodedLoss};
pub use training_objective::{LossFunction, TrainingObjective};
