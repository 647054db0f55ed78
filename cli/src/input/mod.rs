//! Reading measured networks from the files that people have.
//!
//! The bytes come from anywhere, so nothing here trusts them: a size is compared with the size of the file
//! before memory is reserved for it, nothing in a file is executed, and every mistake is an [`InputError`] that names
//! the file, the key, what was found, what was expected and what to do.
//!
//! Features are never in memory whole: a [`DataSet`] reads them in blocks of rows, once for every pass over
//! the samples. Mapping the files into memory would need unsafe code, which this project does without.
//!
//! From the bytes up, each may use those before it: `error`, `element`, `array`, `container` → `formats` → `open`, `copies` →
//! `metadata`, `listing` → `labels`, `shard`, `samples` → `names`, `chain`, `find_head`, `head` → `data_set`, `present`
//! → `network`.

mod array;
mod chain;
mod container;
mod copies;
mod data_set;
mod element;
mod error;
mod find_head;
mod formats;
mod head;
mod keys;
mod label_names;
mod labels;
mod listing;
mod lockstep;
mod matrix;
mod metadata;
mod metadata_arrays;
mod names;
mod network;
mod open;
mod present;
mod regression;
mod samples;
mod shard;
#[cfg(test)]
mod tests;

pub(crate) use data_set::DataSet;
pub(crate) use keys::{Keys, Reading, Request};
pub(crate) use lockstep::for_each_batch_of_layers;
pub(crate) use network::{Facts, MeasuredNetwork, read_network};
pub(crate) use regression::read_regression;
pub(crate) use shard::Batch;
