//! The formats of files, each of which is a [`Container`](super::container::Container).

pub(crate) mod foreign;
pub(crate) mod index;
pub(crate) mod npy;
mod npy_header;
pub(crate) mod npz;
pub(crate) mod safetensors;
pub(crate) mod torch;
