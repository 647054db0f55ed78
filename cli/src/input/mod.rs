//! Reading measured networks from `.safetensors` and `.npz` files.
//!
//! The bytes come from anywhere, so nothing here trusts them: a size is compared with the size of the file
//! before memory is reserved for it, and every mistake is an [`InputError`] that names the file, the key,
//! what was found and what was expected.

mod archive;
mod element;
mod error;
mod network;
mod npy;
mod npz;
mod safetensors;
#[cfg(test)]
mod tests;

pub(crate) use error::InputError;
pub(crate) use network::{FeatureValues, Keys, MeasuredNetwork, read_network};
