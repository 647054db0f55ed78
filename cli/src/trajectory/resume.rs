//! Rows in a file, which a later run goes on with.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::row::Row;
use super::table::{csv, from_csv};
use crate::error::CliError;
use crate::written_file::write_file;

/// A file of rows, as CSV or as JSON lines.
pub(crate) struct Store {
    path: PathBuf,
    is_csv: bool,
    found: Vec<Row>,
}

impl Store {
    /// The rows that a former run has left in a file, if there is one.
    ///
    /// A file that has anything else in it is refused, so that nothing is lost.
    pub(crate) fn open(path: &Path) -> Result<Self, CliError> {
        let is_csv = path.extension().is_some_and(|extension| extension == "csv");
        let name = || path.display().to_string();
        let found = match fs::read_to_string(path) {
            Ok(text) => {
                let rows = if is_csv { from_csv(&text) } else { from_json_lines(&text) };
                rows.ok_or_else(|| CliError::Argument {
                    name: name(),
                    reason: "it has no rows of a trajectory; give another file or remove it".into(),
                })?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(CliError::Unreadable { name: name(), error }),
        };
        Ok(Self { path: path.into(), is_csv, found })
    }

    /// The row that was measured of the same file in the same way.
    pub(crate) fn row(&self, fingerprint: &str) -> Option<&Row> {
        self.found.iter().find(|row| row.fingerprint == fingerprint)
    }

    /// Writes the rows so far among those that were found: a row takes the place of another one of its file.
    pub(crate) fn write(&self, rows: &[Row]) -> Result<(), CliError> {
        let is_old = |found: &&Row| !rows.iter().any(|row| row.file == found.file);
        let mut all: Vec<Row> = self.found.iter().filter(is_old).chain(rows).cloned().collect();
        all.sort_by(|a, b| alphanumeric_sort::compare_str(&a.file, &b.file));
        let text = if self.is_csv { csv(&all)? } else { json_lines(&all)? };
        write_file(&self.path, text.as_bytes())
    }
}

/// One JSON object a line.
pub(crate) fn json_lines(rows: &[Row]) -> Result<String, CliError> {
    let mut text = String::new();
    for row in rows {
        text += &serde_json::to_string(row).map_err(io::Error::from)?;
        text.push('\n');
    }
    Ok(text)
}

fn from_json_lines(text: &str) -> Option<Vec<Row>> {
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).ok())
        .collect()
}
