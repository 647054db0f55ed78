//! Frames, the structured Gram matrices of classes, families of them, and distances.

pub use class_matrix::ClassMatrix;
pub use frame::Frame;

pub(crate) mod class_matrix;
pub(crate) mod distance;
pub(crate) mod family;
pub(crate) mod frame;
mod matching;
#[cfg(feature = "serde")]
mod stored;
pub(crate) mod structure;
