//! The samples in one file: labels in memory, features read in blocks of rows.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use neural_collapse::error::Place;
use neural_collapse::{Error, Features, LabeledFeatures};

use super::archive::{Archive, Layout, StoredArray, open_archive};
use super::element::{Float, Precision};
use super::error::Problem;
use super::head::Head;
use super::matrix::{check_finite_rows, to_rows};
use super::network::Keys;
use crate::error::CliError;

/// What the features are.
pub(super) const FEATURES: &str = "the features, a row for each sample";

/// Labels that are decoded at a time.
const LABEL_CHUNK: usize = 1 << 16;

/// The samples in one file.
#[derive(Debug, Clone)]
pub(crate) struct Shard {
    /// The file.
    pub(crate) file: PathBuf,
    /// Name of the features.
    key: String,
    /// What was said of the features when the file was opened first.
    stored: StoredFeatures,
    /// Length of the file and the time of its last change then.
    stamp: (u64, Option<SystemTime>),
    /// The class of each sample, from 0.
    pub(crate) labels: Vec<usize>,
}

/// Features in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredFeatures {
    samples: usize,
    pub(super) width: usize,
    pub(super) precision: Precision,
    layout: Layout,
}

/// Some of the samples of a file.
pub(crate) struct Batch<'a, T: Float> {
    /// The features of the samples, one sample after the other.
    #[cfg_attr(not(test), expect(dead_code, reason = "what tests compare"))]
    pub(crate) numbers: &'a [T],
    /// The same for the library, with the class of each sample.
    pub(crate) samples: LabeledFeatures<'a, T>,
}

impl StoredFeatures {
    fn new(stored: &StoredArray<'_>) -> Result<Self, Problem> {
        let [samples, width] = stored.matrix_shape("samples × width")?;
        stored.count()?;
        Ok(Self { samples, width, precision: stored.precision()?, layout: stored.layout })
    }

    /// The number of samples in blocks of `bytes` in memory.
    fn block_samples<T>(&self, bytes: usize) -> usize {
        match self.layout {
            Layout::RowMajor => (bytes / size_of::<T>() / self.width).clamp(1, self.samples),
            // The numbers of one sample are all over the array.
            Layout::ColumnMajor => self.samples,
        }
    }
}

impl Shard {
    /// Reads the labels in `file`, and what features there are.
    pub(super) fn read(
        archive: &mut dyn Archive,
        file: &Path,
        keys: &Keys,
        head: &Head,
    ) -> Result<Self, Problem> {
        let (key, stamp) = (keys.features(), stamp(file)?);
        let stored = StoredFeatures::new(&archive.find(key, FEATURES)?)?;
        check_width(key, file, &stored, head)?;
        let labels = read_labels(archive, keys, stored.samples, head.classes())?;
        Ok(Self { file: file.into(), key: key.into(), stored, stamp, labels })
    }

    /// What features there are.
    pub(super) fn features(&self) -> &StoredFeatures {
        &self.stored
    }

    /// Reads the features block by block, and shows each block to `visit`.
    pub(super) fn for_each_batch<T: Float>(
        &self,
        classes: usize,
        block_bytes: usize,
        visit: &mut dyn FnMut(&Batch<'_, T>) -> Result<(), Error>,
    ) -> Result<(), CliError> {
        let in_file = |problem: Problem| CliError::from(problem.in_file(&self.file));
        let mut archive = open_archive(&self.file).map_err(in_file)?;
        let mut array = self.reopen(archive.as_mut()).map_err(in_file)?;
        let size = self.stored.block_samples::<T>(block_bytes);
        let mut numbers: Vec<T> = Vec::new();
        for (index, labels) in self.labels.chunks(size).enumerate() {
            let first = index * size;
            let is_last = first + labels.len() == self.labels.len();
            numbers = self
                .read_block(&mut array, first, labels.len(), is_last, numbers)
                .map_err(in_file)?;
            self.visit(&numbers, first, labels, classes, visit)
                .map_err(|error| self.refused(error))?;
        }
        // Since the file was opened first, the pass over it included.
        match stamp(&self.file).map_err(|error| in_file(error.into()))? == self.stamp {
            true => Ok(()),
            false => Err(in_file(self.has_changed())),
        }
    }

    /// The features, which must be those that were found when the file was opened first.
    fn reopen<'a>(&self, archive: &'a mut dyn Archive) -> Result<StoredArray<'a>, Problem> {
        let array = archive.find(&self.key, FEATURES)?;
        match StoredFeatures::new(&array)? == self.stored {
            true => Ok(array),
            false => Err(self.has_changed()),
        }
    }

    fn has_changed(&self) -> Problem {
        Problem::bad_array(&self.key, "it has changed while it was read")
    }

    /// Reads `samples` rows from the row `first` on into the memory of another block.
    fn read_block<T: Float>(
        &self,
        array: &mut StoredArray<'_>,
        first: usize,
        samples: usize,
        is_last: bool,
        mut memory: Vec<T>,
    ) -> Result<Vec<T>, Problem> {
        let width = self.stored.width;
        memory.clear();
        array.read_floats(samples * width, &mut memory)?;
        if is_last {
            array.check_end()?;
        }
        let numbers = to_rows(memory, [samples, width], self.stored.layout);
        check_finite_rows(&self.key, &numbers, first, width)?;
        Ok(numbers)
    }

    fn visit<T: Float>(
        &self,
        numbers: &[T],
        first: usize,
        labels: &[usize],
        classes: usize,
        visit: &mut dyn FnMut(&Batch<'_, T>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let width = self.stored.width;
        let features = Features::from_row_major(numbers, labels.len(), width)?;
        let samples = features.with_labels(labels, classes)?;
        visit(&Batch { numbers, samples }).map_err(|error| error.counted_from(first))
    }

    /// An error of the library, with the file and, for a refused number, its key, row and column in it.
    fn refused(&self, error: Error) -> CliError {
        match error {
            Error::OutOfRange { argument, value, expected } => match argument.place {
                Place::Sample { sample, feature } => {
                    let place = [sample, feature];
                    let problem =
                        Problem::Refused { key: self.key.clone(), value, place, expected };
                    problem.in_file(&self.file).into()
                }
                _ => CliError::in_file(&self.file.display().to_string())(error),
            },
            _ => CliError::in_file(&self.file.display().to_string())(error),
        }
    }
}

/// Length of a file and the time of its last change, where the system knows it.
fn stamp(file: &Path) -> io::Result<(u64, Option<SystemTime>)> {
    let metadata = file.metadata()?;
    Ok((metadata.len(), metadata.modified().ok()))
}

/// Compares the width of the features with that of the head: the head is to blame if it is in the same file.
fn check_width(
    key: &str,
    file: &Path,
    features: &StoredFeatures,
    head: &Head,
) -> Result<(), Problem> {
    let (Some(first), Some(first_key)) = (head.weights.first(), head.keys.first()) else {
        return Ok(());
    };
    let (rows, inputs, width) = (first.nrows(), first.ncols(), features.width);
    if inputs == width {
        return Ok(());
    }
    Err(match file == head.file {
        true => Problem::Shape {
            key: first_key.clone(),
            found: vec![rows, inputs],
            expected: format!("{rows}×{width} for the width of `{key}`"),
        },
        false => Problem::Shape {
            key: key.into(),
            found: vec![features.samples, width],
            expected: format!(
                "{}×{inputs} for `{first_key}` in {}",
                features.samples,
                head.file.display()
            ),
        },
    })
}

fn read_labels(
    archive: &mut dyn Archive,
    keys: &Keys,
    samples: usize,
    classes: usize,
) -> Result<Vec<usize>, Problem> {
    let key = keys.labels();
    let mut stored = archive.find(key, "the class of each sample, from 0")?;
    if stored.shape != [samples] {
        let expected = format!("({samples}) for the rows of `{}`", keys.features());
        return Err(stored.wrong_shape(expected));
    }
    let (mut labels, mut chunk) = (Vec::new(), Vec::new());
    while labels.len() < samples {
        chunk.clear();
        stored.read_integers(LABEL_CHUNK.min(samples - labels.len()), &mut chunk)?;
        for &label in &chunk {
            labels.push(check_label(key, label, labels.len(), classes)?);
        }
    }
    stored.check_end()?;
    Ok(labels)
}

fn check_label(key: &str, label: i128, index: usize, classes: usize) -> Result<usize, Problem> {
    match usize::try_from(label) {
        Ok(class) if class < classes => Ok(class),
        _ => Err(Problem::Label {
            key: key.into(),
            label,
            index,
            expected: format!("a class from 0 to {}", classes - 1),
        }),
    }
}
