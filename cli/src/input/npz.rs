//! Reading `.npz` files: zip archives, stored or deflated, of `.npy` files.

use std::io::Read;

use zip::ZipArchive;

use super::archive::{Archive, Source, StoredArray, checked_count};
use super::error::Problem;
use super::npy::NpyHeader;

/// An open `.npz` file.
pub(crate) struct NpzArchive<S> {
    archive: ZipArchive<S>,
}

impl<S: Source> NpzArchive<S> {
    /// Reads the table of contents.
    pub(crate) fn new(source: S) -> Result<Self, Problem> {
        ZipArchive::new(source).map(|archive| Self { archive }).map_err(|error| {
            Problem::BadContainer { format: ".npz", reason: format!("bad zip archive: {error}") }
        })
    }
}

impl<S: Source> Archive for NpzArchive<S> {
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

    fn metadata(&self, _name: &str) -> Option<&str> {
        None
    }
}

/// The array in an entry of `length` bytes.
fn stored_array<'a>(
    key: &str,
    length: u64,
    mut bytes: Box<dyn Read + 'a>,
) -> Result<StoredArray<'a>, Problem> {
    let header = NpyHeader::read(&mut bytes)
        .map_err(|error| Problem::bad_array(key, format!("bad .npy header: {error}")))?;
    check_length(key, &header, length)?;
    Ok(StoredArray {
        key: key.into(),
        element: header.element,
        element_name: header.description,
        byte_order: header.byte_order,
        shape: header.shape,
        layout: header.layout,
        bytes,
    })
}

/// Compares the size that the shape announces with that of the entry, before memory is reserved for it.
fn check_length(key: &str, header: &NpyHeader, length: u64) -> Result<(), Problem> {
    let Some(element) = header.element else {
        return Ok(()); // an unknown type is reported as such when the numbers are read
    };
    let found = length.saturating_sub(header.length);
    let announced = checked_count(&header.shape)
        .and_then(|count| count.checked_mul(element.size()))
        .map(|size| size as u64);
    match announced {
        Some(announced) if announced == found => Ok(()),
        Some(announced) => Err(Problem::bad_array(
            key,
            format!("its shape announces {announced} bytes of data, {found} follow"),
        )),
        None => Err(Problem::bad_array(key, format!("its shape {:?} is absurd", header.shape))),
    }
}
