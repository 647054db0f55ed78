//! The models whose global minima are known or searched for, a folder for each loss.

pub use regime::Regime;

mod any;
pub mod contrastive;
pub mod convex;
pub mod cross_entropy;
pub mod diagrams;
pub mod fixed_head;
pub mod layer_peeled;
pub mod low_rank;
pub mod multi_label;
pub mod nonnegative;
pub(crate) mod regime;
pub mod soft_labels;
pub mod squared;
#[cfg(feature = "serde")]
mod stored;
pub mod svm;

pub use any::AnyModel;
