//! What all file formats have in common: named arrays, and perhaps named strings.

use std::io::{Read, Seek};

use super::array::{StoredArray, without_ones};
use super::error::{KeyList, Problem};

/// A file of named arrays.
pub(crate) trait Container {
    /// The names of the arrays, sorted.
    fn keys(&self) -> Vec<String>;

    /// The array of this name; `None` if there is none.
    fn open(&mut self, key: &str) -> Option<Result<StoredArray<'_>, Problem>>;

    /// The metadata: names with their texts, sorted.
    fn metadata(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// What is known of an array without its numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ListedArray {
    /// Its name.
    pub(crate) key: String,
    /// Its sizes, without those of 1 after the first two.
    pub(crate) shape: Vec<usize>,
    /// Whether its header can be read.
    pub(crate) is_readable: bool,
    /// Whether it has Python objects instead of numbers.
    pub(crate) has_objects: bool,
    /// Whether it has numbers, floating-point or whole ones, that can be read.
    pub(crate) has_numbers: bool,
    /// Whether its numbers are floating-point ones.
    pub(crate) has_floats: bool,
}

impl dyn Container + '_ {
    /// All arrays. What is wrong with one that is not readable is an error only where it is used.
    pub(crate) fn list(&mut self) -> Vec<ListedArray> {
        let keys = self.keys().into_iter();
        keys.map(|key| {
            let array = self.open(&key).and_then(Result::ok);
            let is_readable = array.is_some();
            let has_floats = array.as_ref().is_some_and(StoredArray::is_of_floats);
            let has_numbers = array.as_ref().is_some_and(StoredArray::has_numbers);
            let has_objects = array.as_ref().is_some_and(StoredArray::has_objects);
            let shape = array.map_or(Vec::new(), |array| without_ones(&array.shape).to_vec());
            ListedArray { key, shape, is_readable, has_objects, has_numbers, has_floats }
        })
        .collect()
    }

    /// The array of this name; the names there are if it is missing.
    pub(crate) fn find(
        &mut self,
        key: &str,
        purpose: impl Into<String>,
    ) -> Result<StoredArray<'_>, Problem> {
        let available = self.keys();
        if !available.iter().any(|present| present == key) {
            return Err(Problem::MissingKey {
                key: key.into(),
                purpose: purpose.into(),
                available: KeyList(available),
                flag: None,
            });
        }
        // Present as it is listed: `None` would mean that a file contradicts itself.
        self.open(key).unwrap_or_else(|| Err(Problem::bad_array(key, "it cannot be found")))
    }
}

/// Where the bytes of a file come from: the file, or memory in tests.
pub(crate) trait Source: Read + Seek {}

impl<S: Read + Seek> Source for S {}
