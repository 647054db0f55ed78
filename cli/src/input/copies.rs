//! Files with the same bytes under different names, as a copy of a checkpoint is.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::error::{InputError, Problem};

/// Bytes that are compared at a time, and those at either end that decide which files are compared at all.
const BLOCK: usize = 1 << 16;

/// What copies have in common: the length, and the bytes at both ends.
type Ends = (u64, Vec<u8>, Vec<u8>);

/// Refuses a file that is a copy of another one, for its samples would count twice.
pub(super) fn refuse_copies<'a>(files: impl Iterator<Item = &'a Path>) -> Result<(), InputError> {
    let mut by_length: HashMap<u64, Vec<&Path>> = HashMap::new();
    for file in files {
        let length = file.metadata().map_err(|error| unreadable(error, file))?.len();
        by_length.entry(length).or_default().push(file);
    }
    let mut groups: Vec<_> = by_length.into_values().filter(|group| group.len() > 1).collect();
    groups.sort_unstable();
    groups.iter().try_for_each(|group| refuse_copies_among(group))
}

/// The same for files of one length.
fn refuse_copies_among(files: &[&Path]) -> Result<(), InputError> {
    let mut known: HashMap<Ends, PathBuf> = HashMap::new();
    for &file in files {
        let ends = ends(file).map_err(|error| unreadable(error, file))?;
        match known.get(&ends) {
            Some(other) if are_equal(file, other).map_err(|error| unreadable(error, file))? => {
                let other = other.clone();
                return Err(Problem::Copy { other }.in_file(file));
            }
            Some(_) => {}
            None => drop(known.insert(ends, file.into())),
        }
    }
    Ok(())
}

fn unreadable(error: io::Error, file: &Path) -> InputError {
    Problem::Unreadable(error).in_file(file)
}

fn ends(path: &Path) -> io::Result<Ends> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let first = block(&mut file)?;
    file.seek(SeekFrom::Start(length.saturating_sub(BLOCK as u64)))?;
    Ok((length, first, block(&mut file)?))
}

fn are_equal(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    loop {
        let (mine, theirs) = (block(&mut one)?, block(&mut other)?);
        if mine != theirs {
            return Ok(false);
        }
        if mine.is_empty() {
            return Ok(true);
        }
    }
}

/// The next bytes, fewer only at the end.
fn block(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(BLOCK as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
