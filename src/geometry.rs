//! Frames, the structured Gram matrices of classes, families of them, and distances.

pub use class_matrix::ClassMatrix;
pub use frame::Frame;

pub(crate) mod class_matrix;
pub(crate) mod distance;
pub(crate) mod family;
pub(crate) mod frame;
pub(crate) mod structure;
