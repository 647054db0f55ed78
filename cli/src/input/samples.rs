//! Which features and labels belong together, over all files.

use std::path::Path;

use super::error::{InputError, Problem};
use super::keys::{OTHER_FEATURES, OTHER_LABELS, Reading};
use super::labels::{Assigned, Classes, LABELS, Labels};
use super::listing::{Listed, Name, all_keys};
use super::shard::{FEATURES, FeatureFile, Shard};

/// The features and labels of the samples in one file.
#[derive(Debug)]
pub(crate) struct Samples {
    features: FeatureFile,
    labels: Labels,
}

/// Where the features and the labels are.
#[derive(Debug, Clone)]
pub(crate) struct SampleNames {
    /// Name of the features.
    pub(crate) features: Name,
    /// Name of the labels.
    pub(crate) labels: Name,
}

impl SampleNames {
    /// Whether an array of a file has features or labels.
    pub(crate) fn include(&self, file: &Listed, key: &str) -> bool {
        self.features.is_array(file, key) || self.labels.is_array(file, key)
    }

    /// Whether a file has features or labels.
    pub(crate) fn are_in(&self, file: &Listed) -> bool {
        self.features.is_in(file) || self.labels.is_in(file)
    }

    /// The samples in `files`, in the order of the files with features.
    ///
    /// Features without labels in their file take those of files that have only labels: one of them for each, in the
    /// order of the files, or one for all.
    pub(crate) fn find(&self, files: &[Listed]) -> Result<Vec<Samples>, InputError> {
        let with_features = || files.iter().filter(|file| self.features.is_in(file));
        let with_labels = || files.iter().filter(|file| self.labels.is_in(file));
        if with_features().next().is_none() {
            return Err(missing(files, &self.features.key, FEATURES, OTHER_FEATURES));
        }
        let alone: Vec<_> = with_features().filter(|file| !self.labels.is_in(file)).collect();
        let labels: Vec<_> = with_labels().filter(|file| !self.features.is_in(file)).collect();
        let mut others = self.labels_of(&alone, &labels, files)?.into_iter();
        let mut samples = Vec::new();
        for file in with_features() {
            let features = FeatureFile::open(&file.path, &self.features.key)?;
            let labels = match self.labels.is_in(file) {
                true => Some(Labels::read(&file.path, &self.labels.key)?),
                false => others.next(),
            };
            if let Some(labels) = labels {
                check_length(&features, &labels)?;
                samples.push(Samples { features, labels });
            }
        }
        check_widths(&samples)?;
        Ok(samples)
    }

    /// The labels of files that have features but no labels.
    fn labels_of(
        &self,
        features: &[&Listed],
        labels: &[&Listed],
        files: &[Listed],
    ) -> Result<Vec<Labels>, InputError> {
        let read = |file: &&Listed| Labels::read(&file.path, &self.labels.key);
        match (features, labels) {
            ([], []) => Ok(Vec::new()),
            ([], [labels, ..]) => {
                Err(missing_in(labels, &self.features.key, FEATURES, OTHER_FEATURES))
            }
            ([features, ..], []) if files.len() == 1 || files.iter().any(|file| self.labels.is_in(file)) => {
                Err(missing_in(features, &self.labels.key, LABELS, OTHER_LABELS))
            }
            (_, []) => Err(missing(files, &self.labels.key, LABELS, OTHER_LABELS)),
            _ if features.len() == labels.len() => labels.iter().map(read).collect(),
            (_, [labels]) => {
                let mut rest = read(labels)?;
                let mut parts = Vec::new();
                for (index, file) in features.iter().enumerate() {
                    let samples =
                        FeatureFile::open(&file.path, &self.features.key)?.stored.samples;
                    // What is left over is found in the last part.
                    let is_last = index + 1 == features.len();
                    let count = if is_last { rest.codes.len() } else { samples };
                    parts.push(rest.split_off_first(count));
                }
                Ok(parts)
            }
            (_, [labels, ..]) => Err(Problem::Impossible(format!(
                "has labels without features; {} files with labels for {} with features cannot be matched: give one \
                 for each, in the same order, or all labels in one file",
                labels_count(files, self),
                features.len(),
            ))
            .in_file(&labels.path)),
        }
    }
}

fn labels_count(files: &[Listed], names: &SampleNames) -> usize {
    files.iter().filter(|file| names.labels.is_in(file) && !names.features.is_in(file)).count()
}

impl Samples {
    /// Number of rows, all of them.
    pub(crate) fn rows(&self) -> usize {
        self.features.stored.samples
    }

    /// Length of a feature vector.
    pub(crate) fn width(&self) -> usize {
        self.features.stored.width
    }

    /// The file with the features.
    pub(crate) fn file(&self) -> &Path {
        &self.features.file
    }

    /// Shape of the features.
    pub(crate) fn shape(&self) -> Vec<usize> {
        vec![self.rows(), self.width()]
    }

    /// The number of classes that the labels speak of.
    pub(crate) fn classes(&self, reading: &Reading) -> usize {
        self.labels.classes(reading)
    }

    /// Columns of one-hot labels, with the file and the name of the labels.
    pub(crate) fn columns(&self) -> Option<(usize, &Labels)> {
        Some((self.labels.columns?, &self.labels))
    }

    /// The samples with their classes.
    pub(crate) fn assign(
        self,
        classes: &Classes,
        is_normalized: bool,
    ) -> Result<Shard, InputError> {
        let labels: Assigned = classes.assign(self.labels)?;
        Ok(Shard { features: self.features, labels, is_normalized })
    }
}

/// None of the files has an array of this name.
pub(crate) fn missing(
    files: &[Listed],
    key: &str,
    purpose: &str,
    flag: &'static str,
) -> InputError {
    match files {
        [file] => missing_in(file, key, purpose, flag),
        _ => {
            let available = all_keys(files);
            let (key, purpose) = (key.into(), purpose.into());
            Problem::MissingEverywhere { key, purpose, available, flag }
                .in_file(files.first().map_or(Path::new(""), |file| &file.path))
        }
    }
}

fn missing_in(file: &Listed, key: &str, purpose: &str, flag: &'static str) -> InputError {
    let (key, purpose, available) = (key.into(), purpose.into(), file.keys());
    Problem::MissingKey { key, purpose, available, flag: Some(flag) }.in_file(&file.path)
}

fn check_length(features: &FeatureFile, labels: &Labels) -> Result<(), InputError> {
    let (samples, found) = (features.stored.samples, labels.codes.len());
    if samples == found {
        return Ok(());
    }
    let place = match labels.file == features.file {
        true => String::new(),
        false => format!(" in {}", features.file.display()),
    };
    let shape = labels.columns.map_or(vec![found], |columns| vec![found, columns]);
    let rows = match labels.first {
        0 => String::new(),
        first => format!(" from row {first} on"),
    };
    let problem = Problem::Shape {
        key: labels.key.clone(),
        found: shape,
        expected: format!("({samples}){rows} for the rows of `{}`{place}", features.key),
        flag: Some(OTHER_LABELS),
    };
    Err(problem.in_file(&labels.file))
}

/// Features of several files are equally wide, but for those of files without samples.
fn check_widths(samples: &[Samples]) -> Result<(), InputError> {
    let mut full = samples.iter().filter(|samples| samples.rows() > 0);
    let Some(first) = full.next() else { return Ok(()) };
    match full.find(|samples| samples.width() != first.width()) {
        None => Ok(()),
        Some(other) => Err(Problem::Shape {
            key: other.features.key.clone(),
            found: other.shape(),
            expected: format!(
                "{}×{} as in {}",
                other.rows(),
                first.width(),
                first.file().display()
            ),
            flag: Some(OTHER_FEATURES),
        }
        .in_file(other.file())),
    }
}
