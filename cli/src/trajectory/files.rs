//! Checkpoints in their order.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::error::CliError;

/// A file of a trajectory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Checkpoint {
    /// The file.
    pub(crate) file: PathBuf,
    /// The epoch that its name tells.
    pub(crate) epoch_in_name: Option<f64>,
    /// What tells this file, as it is now and measured as it is asked for, from others.
    pub(crate) fingerprint: String,
}

/// The files in natural order, in which `epoch_9` comes before `epoch_10`. `settings` are the flags that decide about
/// the numbers.
pub(crate) fn checkpoints(files: &[PathBuf], settings: &str) -> Result<Vec<Checkpoint>, CliError> {
    let mut files = files.to_vec();
    alphanumeric_sort::sort_path_slice(&mut files);
    files.dedup();
    files.into_iter().map(|file| checkpoint(file, settings)).collect()
}

fn checkpoint(file: PathBuf, settings: &str) -> Result<Checkpoint, CliError> {
    let unreadable = |error| CliError::Unreadable { name: file.display().to_string(), error };
    let metadata = file.metadata().map_err(unreadable)?;
    let changed = metadata.modified().ok();
    let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let mut hasher = DefaultHasher::new();
    (&file, metadata.len(), changed, settings, env!("CARGO_PKG_VERSION")).hash(&mut hasher);
    let fingerprint = format!("{:016x}", hasher.finish());
    Ok(Checkpoint { epoch_in_name: last_number(&file), file, fingerprint })
}

/// The last whole number in the name of a file, without its folder and extension.
fn last_number(file: &Path) -> Option<f64> {
    let name = file.file_stem()?.to_string_lossy().into_owned();
    let is_digit = |character: char| character.is_ascii_digit();
    name.split(|character| !is_digit(character)).rfind(|part| !part.is_empty())?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_by_their_value() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<PathBuf> = ["e_10.npz", "e_9.npz", "e_100.npz", "e_9.npz"]
            .map(|name| folder.path().join(name))
            .into();
        files.iter().for_each(|file| std::fs::write(file, "x").unwrap());
        let epochs = |settings| -> Vec<Option<f64>> {
            let found = checkpoints(&files, settings).unwrap();
            found.iter().map(|checkpoint| checkpoint.epoch_in_name).collect()
        };
        assert_eq!(epochs(""), [Some(9.0), Some(10.0), Some(100.0)]);
        let one = |settings| checkpoints(&files[..1], settings).unwrap()[0].fingerprint.clone();
        assert!(one("") == one("") && one("") != one("--bias none"));
    }

    #[test]
    fn the_epoch_is_the_last_number_of_the_name() {
        let epoch = |name: &str| last_number(Path::new(name));
        assert_eq!(epoch("run2/epoch_0040.safetensors"), Some(40.0));
        assert_eq!(epoch("seed3-epoch12.npz"), Some(12.0));
        assert_eq!(epoch("2/final.npz"), None);
    }
}
