//! Reading `.npy` data: in a file of its own, or in an entry of a `.npz` file.

use std::io::{Read, SeekFrom};

use super::super::array::{StoredArray, checked_count};
use super::super::container::{Container, Source};
use super::super::error::Problem;
use super::npy_header::NpyHeader;

/// An open `.npy` file: one array, named after the file.
pub(crate) struct NpyFile<S> {
    source: S,
    length: u64,
    key: String,
}

impl<S: Source> NpyFile<S> {
    /// Finds out how long the file is.
    pub(crate) fn new(mut source: S, key: String) -> Result<Self, Problem> {
        let length = source.seek(SeekFrom::End(0))?;
        Ok(Self { source, length, key })
    }
}

impl<S: Source> Container for NpyFile<S> {
    fn keys(&self) -> Vec<String> {
        vec![self.key.clone()]
    }

    fn open(&mut self, key: &str) -> Option<Result<StoredArray<'_>, Problem>> {
        if key != self.key {
            return None;
        }
        if let Err(error) = self.source.rewind() {
            return Some(Err(error.into()));
        }
        Some(stored_array(key, self.length, Box::new(&mut self.source)))
    }
}

/// The array in `length` bytes.
pub(super) fn stored_array<'a>(
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

/// Compares the size that the shape announces with that of the file, before memory is reserved for it.
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
