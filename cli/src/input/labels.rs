//! Labels as people store them, and the classes that they mean.

use std::path::{Path, PathBuf};

use super::array::{Layout, NotWhole, StoredArray};
use super::error::{InputError, Problem};
use super::keys::{OTHER_LABELS, Reading};
use super::open::open_container;

/// What the labels are.
pub(crate) const LABELS: &str = "the class of each sample, from 0";

/// Numbers that are decoded at a time.
const CHUNK: usize = 1 << 16;

/// Labels as they are stored, or the columns of one-hot rows.
#[derive(Debug, Clone)]
pub(crate) struct Labels {
    /// The file.
    pub(crate) file: PathBuf,
    /// Name of the array.
    pub(crate) key: String,
    /// The row of the first one.
    pub(crate) first: usize,
    /// The labels.
    pub(crate) codes: Vec<i64>,
    /// Columns of one-hot rows.
    pub(crate) columns: Option<usize>,
}

/// What labels mean.
#[derive(Debug, Clone)]
pub(crate) struct Classes {
    /// The label of class 0.
    first_label: i64,
    /// Labels of samples that are left out.
    ignored: Vec<i64>,
    /// Number of classes.
    classes: usize,
}

/// The classes of the samples of a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Assigned {
    /// The class of each sample that counts.
    pub(crate) classes: Vec<usize>,
    /// Which rows count; all if there is no list.
    pub(crate) counts: Option<Vec<bool>>,
}

impl Labels {
    /// Reads the array `key` of the file `file`.
    pub(crate) fn read(file: &Path, key: &str) -> Result<Self, InputError> {
        let read = || {
            let mut container = open_container(file)?;
            let mut stored = container.find(key, LABELS)?;
            stored.refuse_objects()?;
            let (codes, columns) = match *stored.shape {
                [samples] => (read_column(&mut stored, samples)?, None),
                [samples, ref ones @ ..] if ones.iter().all(|&size| size == 1) => {
                    (read_column(&mut stored, samples)?, None)
                }
                [samples, columns] if columns > 1 => {
                    (read_one_hot(&mut stored, [samples, columns])?, Some(columns))
                }
                _ => {
                    return Err(stored.wrong_shape(
                        "(samples), samples×1, or one-hot rows of samples × classes",
                    ));
                }
            };
            stored.check_end()?;
            Ok((codes, columns))
        };
        let (codes, columns) =
            read().map_err(|problem: Problem| problem.or_another(OTHER_LABELS).in_file(file))?;
        Ok(Self { file: file.into(), key: key.into(), first: 0, codes, columns })
    }

    /// Takes the first `samples` labels away.
    pub(crate) fn split_off_first(&mut self, samples: usize) -> Self {
        let rest = self.codes.split_off(samples.min(self.codes.len()));
        let codes = std::mem::replace(&mut self.codes, rest);
        let first = self.first;
        self.first += codes.len();
        Self { file: self.file.clone(), key: self.key.clone(), first, codes, columns: self.columns }
    }

    /// The number of classes that the labels speak of.
    pub(crate) fn classes(&self, reading: &Reading) -> usize {
        if let Some(columns) = self.columns {
            return columns;
        }
        let kept = self.codes.iter().filter(|code| !reading.ignored_labels.contains(code));
        let last = kept.max().and_then(|last| last.checked_sub(reading.first_label));
        last.and_then(|last| usize::try_from(last).ok()).map_or(0, |last| last.saturating_add(1))
    }
}

/// A label for each sample.
fn read_column(stored: &mut StoredArray<'_>, samples: usize) -> Result<Vec<i64>, Problem> {
    let (mut codes, mut chunk) = (Vec::new(), Vec::new());
    while codes.len() < samples {
        chunk.clear();
        let first = codes.len();
        let read = stored.read_codes(CHUNK.min(samples - first), &mut chunk)?;
        read.map_err(|not_whole| fraction(&stored.key, first, not_whole))?;
        for &label in &chunk {
            codes.push(i64::try_from(label).map_err(|_| Problem::Label {
                key: stored.key.clone(),
                label,
                index: codes.len(),
                expected: "a class".into(),
                remedy: Some(OTHER_LABELS.into()),
            })?);
        }
    }
    Ok(codes)
}

/// Rows with a single 1, whose place is the label.
fn read_one_hot(
    stored: &mut StoredArray<'_>,
    [samples, columns]: [usize; 2],
) -> Result<Vec<i64>, Problem> {
    const NONE: i64 = -1;
    let count = stored.count()?;
    let (mut codes, mut chunk, mut read) = (Vec::new(), Vec::new(), 0);
    while read < count {
        chunk.clear();
        let is_whole = stored.read_codes(CHUNK.min(count - read), &mut chunk)?.is_ok();
        for (index, &entry) in (read..).zip(&chunk) {
            let (row, column) = match stored.layout {
                Layout::RowMajor => (index / columns, index % columns),
                Layout::ColumnMajor => (index % samples, index / samples),
            };
            // Rows are added as they come: a header may announce any number of them.
            if row == codes.len() {
                codes.push(NONE);
            }
            match (entry, codes.get_mut(row)) {
                (0, _) => {}
                (1, Some(code)) if *code == NONE => *code = column as i64,
                _ => return Err(not_one_hot(&stored.key, row, columns)),
            }
        }
        if !is_whole {
            let row = (read + chunk.len()) / columns;
            return Err(not_one_hot(&stored.key, row, columns));
        }
        read += chunk.len();
    }
    match codes.iter().position(|&code| code == NONE) {
        Some(row) => Err(not_one_hot(&stored.key, row, columns)),
        None => Ok(codes),
    }
}

fn not_one_hot(key: &str, row: usize, columns: usize) -> Problem {
    let reason = format!(
        "row {row} of its {columns} columns is not one-hot, a single 1 beside zeros; soft labels are not covered by \
         any model here"
    );
    Problem::unfit_array(
        key,
        reason,
        "save the class of each sample, or name other labels with --labels",
    )
}

fn fraction(key: &str, first: usize, not_whole: NotWhole) -> Problem {
    let (value, index) = (not_whole.value, first + not_whole.index);
    let reason = format!(
        "it is {value:?} at [{index}], but whole numbers, one-hot rows or truth values are expected"
    );
    Problem::unfit_array(key, reason, OTHER_LABELS)
}

impl Classes {
    /// `classes` classes, which labels mean as `reading` says.
    pub(crate) fn new(classes: usize, reading: &Reading) -> Self {
        Self { first_label: reading.first_label, ignored: reading.ignored_labels.clone(), classes }
    }

    /// The classes of `labels`.
    pub(crate) fn assign(&self, labels: Labels) -> Result<Assigned, InputError> {
        let is_one_hot = labels.columns.is_some();
        let first_label = if is_one_hot { 0 } else { self.first_label };
        let is_ignored = |code: &i64| !is_one_hot && self.ignored.contains(code);
        let counts: Option<Vec<bool>> = labels
            .codes
            .iter()
            .any(is_ignored)
            .then(|| labels.codes.iter().map(|code| !is_ignored(code)).collect());
        let class = |(index, &code): (usize, &i64)| {
            let class = code.checked_sub(first_label).and_then(|class| usize::try_from(class).ok());
            class
                .filter(|&class| class < self.classes)
                .ok_or_else(|| self.refused(&labels, index).in_file(&labels.file))
        };
        let kept = labels.codes.iter().enumerate().filter(|(_, code)| !is_ignored(code));
        let classes = kept.map(class).collect::<Result<Vec<_>, _>>()?;
        Ok(Assigned { classes, counts })
    }

    fn refused(&self, labels: &Labels, index: usize) -> Problem {
        let label = labels.codes.get(index).copied().unwrap_or_default();
        let last = self.first_label.saturating_add_unsigned(self.classes as u64).saturating_sub(1);
        let lowest = labels.codes.iter().filter(|code| !self.ignored.contains(code)).min();
        let mut kept = labels.codes.iter().filter(|code| !self.ignored.contains(code));
        let remedy = if self.classes == 2 && kept.all(|code| [-1, 1].contains(code)) {
            Some("labels -1 and 1 are read as 0 and 1 if they are saved as (labels + 1) / 2".into())
        } else if label < self.first_label {
            Some(format!("--ignore-label {label} leaves such samples out"))
        } else if lowest == Some(&(self.first_label.saturating_add(1))) {
            let first = self.first_label.saturating_add(1);
            Some(format!("--first-label {first} is for labels that count from {first}"))
        } else {
            Some(format!(
                "the head has {} outputs; --labels names others, --weights another head",
                self.classes
            ))
        };
        Problem::Label {
            key: labels.key.clone(),
            label: label.into(),
            index: labels.first.saturating_add(index),
            expected: format!("a class from {} to {last}", self.first_label),
            remedy,
        }
    }
}
