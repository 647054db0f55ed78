//! Files that are written whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use crate::error::CliError;

/// Writes `content` into the file `path`, in place of what it had.
///
/// The bytes go into a new file beside it, which takes its name once all of them are there: a run that is interrupted
/// leaves an existing file as it was.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> Result<(), CliError> {
    replace(path, content)
        .map_err(|error| CliError::Unwritable { name: path.display().to_string(), error })
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let target = target(path)?;
    // A terminal or a pipe cannot be replaced, and need not be.
    if fs::metadata(&target).is_ok_and(|found| !found.is_file()) {
        return fs::write(&target, content);
    }
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = beside(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    if let Ok(found) = fs::metadata(&target) {
        fs::set_permissions(file.path(), found.permissions())?;
    }
    file.persist(&target)?;
    Ok(())
}

/// The file itself where `path` is a link to one.
fn target(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.into()),
        found => found,
    }
}

/// A new file that whoever may read new files may read.
fn beside(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(".neural-collapse-").suffix(".part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Less what the process masks out.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.txt");
        write_file(&path, b"one").unwrap();
        write_file(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        let missing = folder.path().join("missing/result.txt");
        let error = write_file(&missing, b"three").unwrap_err().one_line();
        assert!(error.contains("missing") && error.contains("cannot be written"), "{error}");
        let error = write_file(folder.path(), b"three").unwrap_err().one_line();
        assert!(error.contains("cannot be written"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn links_and_permissions_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("result.txt"), folder.path().join("link.txt"));
        fs::write(&path, b"one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&path, &link).unwrap();
        write_file(&link, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        write_file(Path::new("/dev/null"), b"three").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
