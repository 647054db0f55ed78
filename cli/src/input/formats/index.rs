//! The index of a checkpoint in several files, as Hugging Face writes it: `*.index.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::super::error::Problem;

/// The longest index that is read; that of a model with a million tensors is shorter.
const MAX_LENGTH: u64 = 100_000_000;

/// What is read of an index.
#[derive(Deserialize)]
struct Index {
    /// The file of each tensor.
    weight_map: BTreeMap<String, String>,
}

/// Whether `path` is named as an index.
pub(crate) fn is_index(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

/// The files of the checkpoint, beside the index, each once and sorted.
pub(crate) fn shards(path: &Path) -> Result<Vec<PathBuf>, Problem> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_LENGTH).read_to_end(&mut text)?;
    let index: Index = serde_json::from_slice(&text).map_err(|error| Problem::BadContainer {
        format: "*.index.json",
        reason: format!(
            "{error}; the index of a sharded checkpoint maps tensors to files in `weight_map`"
        ),
    })?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    names.into_iter().map(|name| beside(path, &name)).collect()
}

/// The file of this name in the folder of the index. An index that comes from anywhere may not name other places.
fn beside(path: &Path, name: &str) -> Result<PathBuf, Problem> {
    let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if !inside || name.is_empty() {
        return Err(Problem::BadContainer {
            format: "*.index.json",
            reason: format!("`{name}` is not a file beside it"),
        });
    }
    Ok(path.with_file_name("").join(name))
}
