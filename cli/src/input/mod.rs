//! Reading measured networks from `.safetensors` and `.npz` files.
//!
//! The bytes come from anywhere, so nothing here trusts them: a size is compared with the size of the file
//! before memory is reserved for it, and every mistake is an [`InputError`] that names the file, the key,
//! what was found and what was expected.
//!
//! Features are never in memory whole: a [`DataSet`] reads them in blocks of rows, once for every pass over
//! the samples. Mapping the files into memory would need unsafe code, which this project does without.

mod archive;
mod data_set;
mod element;
mod error;
mod head;
mod matrix;
mod metadata;
mod network;
mod npy;
mod npz;
mod safetensors;
mod shard;
#[cfg(test)]
mod tests;

pub(crate) use data_set::DataSet;
pub(crate) use element::{Float, Precision};
pub(crate) use error::InputError;
pub(crate) use head::Head;
pub(crate) use network::{Keys, MeasuredNetwork, read_network};
pub(crate) use shard::Batch;
