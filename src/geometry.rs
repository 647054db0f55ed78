//! Frames, the structured Gram matrices of classes, families of them, and distances.

pub use class_groups::{ClassGroups, GroupedPair, class_pairs, cosines};
pub use class_matrix::ClassMatrix;
pub use class_product::ClassProduct;
pub use frame::Frame;
pub use projection::Projection;

mod alignment;
mod class_groups;
pub(crate) mod class_matrix;
pub(crate) mod class_product;
pub(crate) mod family;
pub(crate) mod frame;
mod matching;
mod projection;
#[cfg(feature = "serde")]
mod stored;
pub(crate) mod structure;
