//! Opening a file of any format.
//!
//! The first bytes tell the format, for files are often named after what wrote them.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use zip::ZipArchive;

use super::container::{Container, Source};
use super::error::Problem;
use super::formats::foreign;
use super::formats::npy::NpyFile;
use super::formats::npz::NpzArchive;
use super::formats::safetensors::SafetensorsArchive;
use super::formats::torch::{self, TorchArchive};

/// Opens the file `path`.
pub(crate) fn open_container(path: &Path) -> Result<Box<dyn Container>, Problem> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
    }
    open_source(BufReader::new(file), path)
}

/// Opens `source`, the content of the file `path`.
fn open_source<'a>(
    mut source: impl Source + 'a,
    path: &Path,
) -> Result<Box<dyn Container + 'a>, Problem> {
    let start = first_bytes(&mut source)?;
    if let Some(problem) = foreign::recognize(&start, path) {
        return Err(problem);
    }
    match start[..] {
        [b'P', b'K', 3 | 5, ..] => open_zip(source, path),
        [b'\x93', b'N', b'U', b'M', b'P', b'Y', ..] => {
            Ok(Box::new(NpyFile::new(source, stem(path))?))
        }
        [_, _, _, _, _, _, _, _, b'{', ..] => Ok(Box::new(SafetensorsArchive::new(source)?)),
        // A damaged file is reported as what it is called.
        _ => match extension(path).as_str() {
            "safetensors" => Ok(Box::new(SafetensorsArchive::new(source)?)),
            "npz" => open_zip(source, path),
            "npy" => Ok(Box::new(NpyFile::new(source, stem(path))?)),
            _ => Err(Problem::UnknownFormat),
        },
    }
}

/// Zip archives: of NumPy, of `torch.save`, or of others.
fn open_zip<'a>(source: impl Source + 'a, path: &Path) -> Result<Box<dyn Container + 'a>, Problem> {
    let format = if extension(path) == "npz" { ".npz" } else { "zip" };
    let archive = ZipArchive::new(source).map_err(|error| Problem::BadContainer {
        format,
        reason: format!("bad zip archive: {error}"),
    })?;
    let names: Vec<_> = archive.file_names_raw().map(String::from_utf8_lossy).collect();
    if let Some(problem) = foreign::recognize_zip(&names) {
        return Err(problem);
    }
    match torch::folder(&names) {
        Some(folder) => Ok(Box::new(TorchArchive::new(archive, &folder, stem(path))?)),
        None => Ok(Box::new(NpzArchive::new(archive))),
    }
}

/// The first bytes, fewer where the file is shorter.
fn first_bytes(source: &mut impl Source) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    source.by_ref().take(foreign::START).read_to_end(&mut start)?;
    source.rewind()?;
    Ok(start)
}

fn extension(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// The name of an array that has none but its file's.
fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}
