//! Reading `.npz` files: zip archives, stored or deflated, of `.npy` files.

use zip::ZipArchive;

use super::super::array::StoredArray;
use super::super::container::{Container, Source};
use super::super::error::Problem;
use super::npy::stored_array;

/// An open `.npz` file.
pub(crate) struct NpzArchive<S> {
    archive: ZipArchive<S>,
}

impl<S: Source> NpzArchive<S> {
    /// The arrays in a zip archive.
    pub(crate) fn new(archive: ZipArchive<S>) -> Self {
        Self { archive }
    }
}

impl<S: Source> Container for NpzArchive<S> {
    fn keys(&self) -> Vec<String> {
        let names = self.archive.file_names_raw().map(String::from_utf8_lossy);
        let mut keys: Vec<_> =
            names.filter_map(|name| name.strip_suffix(".npy").map(String::from)).collect();
        keys.sort_unstable();
        keys
    }

    fn open(&mut self, key: &str) -> Option<Result<StoredArray<'_>, Problem>> {
        let index = self.archive.index_for_name_raw(format!("{key}.npy").as_bytes())?;
        Some(match self.archive.by_index(index) {
            Ok(entry) => {
                let length = entry.size();
                stored_array(key, length, Box::new(entry))
            }
            Err(error) => Err(Problem::bad_array(key, format!("bad zip entry: {error}"))),
        })
    }
}
