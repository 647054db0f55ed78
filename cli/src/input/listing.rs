//! What is in the files: the names and shapes of all arrays, before any number is read.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::container::ListedArray;
use super::error::{InputError, KeyList, Problem};
use super::formats::index;
use super::keys::as_file;
use super::metadata_arrays::from_arrays;
use super::open::open_container;

/// A file and the arrays in it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    /// The file.
    pub(crate) path: PathBuf,
    /// Whether it was named itself, rather than by the index of a checkpoint.
    pub(crate) is_named: bool,
    /// Its arrays.
    pub(crate) arrays: Vec<ListedArray>,
    /// Its metadata.
    pub(crate) metadata: Vec<(String, String)>,
}

/// The name of an array, which may be one of a certain file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Name {
    /// The name.
    pub(crate) key: String,
    /// The file; any if there is none.
    pub(crate) file: Option<PathBuf>,
}

impl Name {
    /// An array of this name in any file.
    pub(crate) fn anywhere(key: impl Into<String>) -> Self {
        Self { key: key.into(), file: None }
    }

    /// Whether the array is in this file.
    pub(crate) fn is_in(&self, file: &Listed) -> bool {
        self.is_array(file, &self.key) && file.arrays.iter().any(|array| array.key == self.key)
    }

    /// Whether the array `key` of this file is the one that is meant.
    pub(crate) fn is_array(&self, file: &Listed, key: &str) -> bool {
        self.key == key && self.file.as_ref().is_none_or(|path| *path == file.path)
    }
}

/// Lists files; the index of a checkpoint stands for its files.
pub(crate) fn list(files: &[PathBuf]) -> Result<Vec<Listed>, InputError> {
    refuse_repetitions(files)?;
    let mut seen: HashSet<PathBuf> = files.iter().map(|file| place(file)).collect();
    let mut listed: Vec<Listed> = Vec::new();
    for path in files {
        if !index::is_index(path) {
            listed.push(list_file(path, true)?);
            continue;
        }
        for shard in index::shards(path).map_err(|problem| problem.in_file(path))? {
            // One that is named beside its index, or by two of them, is one file.
            if seen.insert(place(&shard)) {
                listed.push(list_file(&shard, false)?);
            }
        }
    }
    Ok(listed)
}

/// Finds the array that is named `key`, in a file of its own if need be, which then counts as one of `files`.
pub(crate) fn resolve(files: &mut Vec<Listed>, key: &str) -> Result<Name, InputError> {
    let name = Name::anywhere(key);
    let Some(path) = as_file(key).filter(|_| !files.iter().any(|file| name.is_in(file))) else {
        return Ok(name);
    };
    if !files.iter().any(|file| place(&file.path) == place(path)) {
        files.push(list_file(path, true)?);
    }
    let listed = files.iter().find(|file| place(&file.path) == place(path));
    let path = listed.map_or(path, |file| &file.path);
    match listed.map(|file| &file.arrays[..]).unwrap_or_default() {
        [only] => Ok(Name { key: only.key.clone(), file: Some(path.into()) }),
        several => Err(Problem::Impossible(format!(
            "has {}, not a single array; give it as FILE and the name of the array with the flag",
            KeyList(several.iter().map(|array| array.key.clone()).collect())
        ))
        .in_file(path)),
    }
}

/// Refuses a file that is there twice, for its samples would count twice.
fn refuse_repetitions(files: &[PathBuf]) -> Result<(), InputError> {
    let mut seen = HashSet::new();
    for file in files {
        if !seen.insert(place(file)) {
            return Err(Problem::Repeated.in_file(file));
        }
    }
    Ok(())
}

/// What is the same for all names of a file. What cannot be resolved cannot be opened either, and that is reported then.
fn place(file: &Path) -> PathBuf {
    file.canonicalize().unwrap_or_else(|_| file.to_path_buf())
}

fn list_file(path: &Path, is_named: bool) -> Result<Listed, InputError> {
    let mut container = open_container(path).map_err(|problem| problem.in_file(path))?;
    let arrays = container.list();
    let mut metadata = container.metadata();
    metadata.extend(from_arrays(container.as_mut(), &arrays));
    Ok(Listed { path: path.into(), is_named, arrays, metadata })
}

/// The names of all arrays, each once.
pub(crate) fn all_keys<'a>(files: impl IntoIterator<Item = &'a Listed>) -> KeyList {
    let keys = files.into_iter().flat_map(|file| &file.arrays).map(|array| array.key.clone());
    let mut keys: Vec<_> = keys.collect();
    keys.sort_unstable();
    keys.dedup();
    KeyList(keys)
}

impl Listed {
    /// The names of its arrays.
    pub(crate) fn keys(&self) -> KeyList {
        all_keys([self])
    }
}
