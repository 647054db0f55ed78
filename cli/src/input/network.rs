//! The measured network: features and labels in one file or several, and the linear layers after the features.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::archive::{Archive, open_archive};
use super::data_set::DataSet;
use super::error::{InputError, KeyList, Problem};
use super::head::{self, Head};
use super::shard::{self, Shard};
use crate::penalties::Penalties;

/// The names of the arrays in a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys {
    /// Name of the features; `features` by default.
    pub(crate) features: Option<String>,
    /// Name of the labels; `labels` by default.
    pub(crate) labels: Option<String>,
    /// Names of W₁, …, W_M; `classifier.1.weight`, `classifier.2.weight`, … by default.
    pub(crate) weights: Option<Vec<String>>,
    /// Name of the bias; `classifier.bias`, if it is there, by default.
    pub(crate) bias: Option<String>,
}

/// What was measured of a trained network. The shapes fit together, every number of the head is finite and every
/// label is below the number of classes; the features are still in the files.
#[derive(Debug)]
pub(crate) struct MeasuredNetwork {
    /// The features and the class of each sample.
    pub(crate) data: DataSet,
    /// The linear layers after the features, and how they were trained.
    pub(crate) head: Head,
}

/// Reads the network in `files`, all but the features. What `given` leaves open is looked up in the metadata of
/// the file that has the head, then in those of the others.
///
/// A single file has to have everything. Of several, each may have the head, some of the samples or both; the head
/// is that of the first file that has one, and no other file may contradict it.
pub(crate) fn read_network(
    files: &[PathBuf],
    keys: &Keys,
    given: &Penalties,
) -> Result<MeasuredNetwork, InputError> {
    refuse_repetitions(files)?;
    let mut head = find_head(files, keys, given)?;
    let mut shards = Vec::new();
    for file in files {
        let shard = open_archive(file)
            .and_then(|mut archive| {
                if *file != head.file {
                    head.join(archive.as_mut(), file, keys, given)?;
                }
                read_shard(archive.as_mut(), file, files.len(), keys, &head)
            })
            .map_err(|problem| problem.in_file(file))?;
        shards.extend(shard);
    }
    if shards.is_empty() {
        return Err(nowhere(files, keys.features(), shard::FEATURES));
    }
    Ok(MeasuredNetwork { data: DataSet::new(shards, keys.labels(), head.classes()), head })
}

/// Refuses a file that is there twice, for its samples would count twice.
fn refuse_repetitions(files: &[PathBuf]) -> Result<(), InputError> {
    let mut seen = HashSet::new();
    for file in files {
        // What cannot be resolved cannot be opened either, and that is reported then.
        if !seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())) {
            return Err(Problem::Repeated.in_file(file));
        }
    }
    Ok(())
}

/// The head in the first file that has one.
fn find_head(files: &[PathBuf], keys: &Keys, given: &Penalties) -> Result<Head, InputError> {
    for file in files {
        let found = open_archive(file).and_then(|mut archive| {
            let wanted = files.len() == 1 || archive.has(&keys.first_weight());
            wanted.then(|| Head::read(archive.as_mut(), file, keys, given)).transpose()
        });
        if let Some(head) = found.map_err(|problem| problem.in_file(file))? {
            return Ok(head);
        }
    }
    Err(nowhere(files, &keys.first_weight(), &head::purpose(0)))
}

/// The samples in one of `files` files, if there are any.
fn read_shard(
    archive: &mut dyn Archive,
    file: &Path,
    files: usize,
    keys: &Keys,
    head: &Head,
) -> Result<Option<Shard>, Problem> {
    if files == 1 || archive.has(keys.features()) || archive.has(keys.labels()) {
        return Shard::read(archive, file, keys, head).map(Some);
    }
    match archive.has(&keys.first_weight()) {
        true => Ok(None),
        false => Err(Problem::NothingFound {
            weights: keys.first_weight(),
            features: keys.features().into(),
            available: KeyList(archive.keys()),
        }),
    }
}

/// None of the files has an array of this name.
fn nowhere(files: &[PathBuf], key: &str, purpose: &str) -> InputError {
    let archives = files.iter().filter_map(|file| open_archive(file).ok());
    let available: BTreeSet<String> = archives.flat_map(|archive| archive.keys()).collect();
    let available = KeyList(available.into_iter().collect());
    let problem =
        Problem::MissingEverywhere { key: key.into(), purpose: purpose.into(), available };
    problem.in_file(files.first().map_or(Path::new(""), PathBuf::as_path))
}

impl Keys {
    /// Name of the features.
    pub(super) fn features(&self) -> &str {
        self.features.as_deref().unwrap_or("features")
    }

    /// Name of the labels.
    pub(super) fn labels(&self) -> &str {
        self.labels.as_deref().unwrap_or("labels")
    }

    /// Name of W₁.
    pub(super) fn first_weight(&self) -> String {
        let given = self.weights.as_ref().and_then(|keys| keys.first());
        given.cloned().unwrap_or_else(|| default_weight(1))
    }

    /// Names of all layers: those given, else `classifier.1.weight`, … as far as they are there without a gap, but
    /// at least the first.
    pub(super) fn all_weights(&self, archive: &dyn Archive) -> Vec<String> {
        if let Some(keys) = &self.weights {
            return keys.clone();
        }
        let present = archive.keys();
        let layers = present.iter().filter_map(|key| layer_number(key)).max().unwrap_or(1);
        // A gap is reported as a missing key, unless the numbering is not ours at all.
        let layers = layers.min(present.len()).max(1);
        (1..=layers).map(default_weight).collect()
    }

    /// Name of the bias in this file: that given, else the default if it is there.
    pub(super) fn bias<'a>(&'a self, archive: &dyn Archive) -> Option<&'a str> {
        const DEFAULT: &str = "classifier.bias";
        self.bias.as_deref().or_else(|| archive.has(DEFAULT).then_some(DEFAULT))
    }

    /// Whether the name is one that a layer may have.
    pub(super) fn names_a_layer(&self, key: &str) -> bool {
        match &self.weights {
            Some(keys) => keys.iter().any(|given| given == key),
            None => {
                layer_number(key).is_some_and(|layer| layer > 0 && default_weight(layer) == key)
            }
        }
    }
}

fn default_weight(layer: usize) -> String {
    format!("classifier.{layer}.weight")
}

fn layer_number(key: &str) -> Option<usize> {
    key.strip_prefix("classifier.")?.strip_suffix(".weight")?.parse().ok()
}
