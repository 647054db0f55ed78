//! The samples in one file: classes in memory, features read in blocks of rows.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::SystemTime;

use neural_collapse::error::Place;
use neural_collapse::measure::normalize_samples;
use neural_collapse::{Error, Features, LabeledFeatures};

use super::array::{Layout, StoredArray};
use super::error::{InputError, Problem};
use super::keys::OTHER_FEATURES;
use super::labels::Assigned;
use super::matrix::{check_finite_rows, to_rows};
use super::open::open_container;

/// What the features are.
pub(crate) const FEATURES: &str = "the features, one sample per row";

/// The features in one file.
#[derive(Debug, Clone)]
pub(crate) struct FeatureFile {
    /// The file.
    pub(crate) file: PathBuf,
    /// Name of the features.
    pub(crate) key: String,
    /// What was said of the features when the file was opened first.
    pub(crate) stored: StoredFeatures,
    /// Length of the file and the time of its last change then.
    stamp: (u64, Option<SystemTime>),
}

/// The samples in one file.
#[derive(Debug, Clone)]
pub(crate) struct Shard {
    /// Their features.
    pub(crate) features: FeatureFile,
    /// Their classes.
    pub(crate) labels: Assigned,
    /// Whether each feature vector is divided by its norm.
    pub(crate) is_normalized: bool,
}

/// Features in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredFeatures {
    /// Rows.
    pub(crate) samples: usize,
    /// Columns.
    pub(crate) width: usize,
    layout: Layout,
}

/// Some of the samples of a file.
pub(crate) struct Batch<'a> {
    /// The features of the samples, one sample after the other.
    pub(crate) numbers: &'a [f64],
    /// The same for the library, with the class of each sample.
    pub(crate) samples: LabeledFeatures<'a, f64>,
}

impl StoredFeatures {
    fn new(stored: &StoredArray<'_>) -> Result<Self, Problem> {
        // Objects have a shape of their own, which is not what is wrong with them.
        stored.refuse_objects()?;
        let [samples, width] = match *stored.shape {
            // What is left of a matrix without rows in some programs.
            [0] => [0, 0],
            [_, _, ..] => stored.matrix_shape("samples × width, pooled or flattened")?,
            _ => stored.matrix_shape("samples × width")?,
        };
        if samples > 0 && width == 0 {
            return Err(stored.wrong_shape("a matrix (samples × width) that is not empty"));
        }
        stored.count()?;
        stored.check_floats()?;
        Ok(Self { samples, width, layout: stored.layout })
    }

    /// The number of samples in blocks of `bytes` in memory.
    fn block_samples(&self, bytes: usize) -> usize {
        match self.layout {
            Layout::RowMajor => (bytes / size_of::<f64>() / self.width.max(1)).max(1),
            // The numbers of one sample are all over the array.
            Layout::ColumnMajor => self.samples.max(1),
        }
    }
}

impl FeatureFile {
    /// Finds out what features there are in the array `key` of `file`.
    pub(crate) fn open(file: &Path, key: &str) -> Result<Self, InputError> {
        let open = || {
            let stamp = stamp(file)?;
            let stored = StoredFeatures::new(&open_container(file)?.find(key, FEATURES)?)?;
            Ok(Self { file: file.into(), key: key.into(), stored, stamp })
        };
        open().map_err(|problem: Problem| problem.or_another(OTHER_FEATURES).in_file(file))
    }

    /// The features, which must be those that were found when the file was opened first.
    fn check<'a>(&self, array: StoredArray<'a>) -> Result<StoredArray<'a>, Problem> {
        match StoredFeatures::new(&array)? == self.stored {
            true => Ok(array),
            false => Err(self.has_changed()),
        }
    }

    fn has_changed(&self) -> Problem {
        Problem::unfit_array(
            &self.key,
            "it has changed while it was read",
            "run again once it is whole",
        )
    }

    /// Reads `samples` rows from the row `first` on into the memory of another block.
    fn read_block(
        &self,
        array: &mut StoredArray<'_>,
        first: usize,
        samples: usize,
        mut memory: Vec<f64>,
    ) -> Result<Vec<f64>, Problem> {
        let width = self.stored.width;
        memory.clear();
        array.read_floats(samples * width, &mut memory)?;
        if first + samples == self.stored.samples {
            array.check_end()?;
        }
        let numbers = to_rows(memory, [samples, width], self.stored.layout);
        check_finite_rows(&self.key, &numbers, first, width)?;
        Ok(numbers)
    }

    /// Reads all rows, `size` at a time. `take` gives back memory for another block, or `None` to end it.
    fn read(
        &self,
        size: usize,
        mut take: impl FnMut(Block) -> Result<Option<Vec<f64>>, InputError>,
    ) -> Result<(), InputError> {
        let in_file = |problem: Problem| problem.in_file(&self.file);
        let mut container = open_container(&self.file).map_err(in_file)?;
        let array = container.find(&self.key, FEATURES).and_then(|array| self.check(array));
        let (mut array, mut memory) = (array.map_err(in_file)?, Vec::new());
        for first in (0..self.stored.samples).step_by(size) {
            let samples = size.min(self.stored.samples - first);
            let numbers = self.read_block(&mut array, first, samples, memory).map_err(in_file)?;
            memory = match take(Block { first, numbers })? {
                Some(memory) => memory,
                None => return Ok(()),
            };
        }
        // Since the file was opened first, the pass over it included.
        match stamp(&self.file).map_err(|error| in_file(error.into()))? == self.stamp {
            true => Ok(()),
            false => Err(in_file(self.has_changed())),
        }
    }

    /// The same by another thread, which reads a block while the one before is shown. The memory of two blocks goes round.
    fn read_ahead(
        &self,
        size: usize,
        show: &mut dyn FnMut(Block) -> Result<Vec<f64>, InputError>,
    ) -> Result<(), InputError> {
        thread::scope(|scope| {
            let (sender, blocks) = mpsc::sync_channel(0);
            let (returned, spare) = mpsc::channel();
            let run = move || {
                self.read(size, |block| {
                    let is_wanted = sender.send(block).is_ok();
                    Ok(is_wanted.then(|| spare.try_recv().unwrap_or_default()))
                })
            };
            let Ok(reader) = thread::Builder::new().spawn_scoped(scope, run) else {
                // Without another thread this one does both.
                return self.read(size, |block| show(block).map(Some));
            };
            let shown = blocks.iter().try_for_each(|block| {
                // The reader may have ended.
                let _ = returned.send(show(block)?);
                Ok(())
            });
            // Whoever still sends a block learns that nobody wants it.
            drop(blocks);
            let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            shown.and(read)
        })
    }

    /// An error of the library about a batch whose samples are these `rows`, with the file and, for a refused
    /// number, its key, row and column in it.
    fn refused(&self, error: Error, rows: &Rows<'_>) -> InputError {
        let problem = match error {
            Error::OutOfRange { argument, value, expected } => match argument.place {
                Place::Sample { sample, feature } => {
                    let place = [rows.of_sample(sample), feature];
                    Problem::Refused { key: self.key.clone(), value, place, expected }
                }
                _ => Problem::Measurement(error),
            },
            _ => Problem::Measurement(error),
        };
        problem.in_file(&self.file)
    }
}

/// Rows of the file, before those that do not count are left out.
struct Block {
    /// The first row in the file.
    first: usize,
    numbers: Vec<f64>,
}

/// The rows of a block.
struct Rows<'a> {
    /// The first row in the file.
    first: usize,
    /// Which of them count; all if there is no list.
    counts: Option<&'a [bool]>,
}

impl Rows<'_> {
    /// The row of the sample that is the `sample`th that counts.
    fn of_sample(&self, sample: usize) -> usize {
        let Some(counts) = self.counts else { return self.first.saturating_add(sample) };
        let mut counting = (self.first..).zip(counts).filter(|(_, counts)| **counts);
        counting.nth(sample).map_or(self.first, |(row, _)| row)
    }

    /// Moves the rows that count to the front, and drops the others.
    fn keep(&self, numbers: &mut Vec<f64>, width: usize) {
        let Some(counts) = self.counts else { return };
        let mut kept = 0;
        for row in counts.iter().enumerate().filter(|(_, counts)| **counts).map(|(row, _)| row) {
            numbers.copy_within(row * width..(row + 1) * width, kept * width);
            kept += 1;
        }
        numbers.truncate(kept * width);
    }
}

impl Shard {
    /// Reads the features block by block, and shows each block to `visit`, while the next one is read by another thread.
    pub(super) fn for_each_batch(
        &self,
        classes: usize,
        block_bytes: usize,
        visit: &mut dyn FnMut(&Batch<'_>) -> Result<(), Error>,
    ) -> Result<(), InputError> {
        let (file, width) = (&self.features, self.features.stored.width);
        let (size, mut labels) = (file.stored.block_samples(block_bytes), &self.labels.classes[..]);
        let mut show = |Block { first, mut numbers }: Block| {
            let counts = self.labels.counts.as_ref();
            let end = first + numbers.len() / width;
            let rows = Rows { first, counts: counts.and_then(|rows| rows.get(first..end)) };
            rows.keep(&mut numbers, width);
            let (these, others) = labels.split_at(numbers.len() / width);
            labels = others;
            if self.is_normalized {
                normalize_samples(&mut numbers, width);
            }
            self.visit(&numbers, these, classes, visit)
                .map_err(|error| file.refused(error, &rows))?;
            Ok(numbers)
        };
        if file.stored.samples <= size {
            return file.read(size, |block| show(block).map(Some));
        }
        file.read_ahead(size, &mut show)
    }

    fn visit(
        &self,
        numbers: &[f64],
        labels: &[usize],
        classes: usize,
        visit: &mut dyn FnMut(&Batch<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if labels.is_empty() {
            return Ok(());
        }
        let features = Features::from_row_major(numbers, labels.len(), self.features.stored.width)?;
        let samples = features.with_labels(labels, classes)?;
        visit(&Batch { numbers, samples })
    }
}

/// Length of a file and the time of its last change, where the system knows it.
fn stamp(file: &Path) -> io::Result<(u64, Option<SystemTime>)> {
    let metadata = file.metadata()?;
    Ok((metadata.len(), metadata.modified().ok()))
}
