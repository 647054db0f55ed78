//! What can be wrong with a file of measurements.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A problem with a file of measurements.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub(crate) struct InputError {
    /// The file.
    pub(crate) file: PathBuf,
    /// What is wrong with it.
    pub(crate) problem: Problem,
}

/// What is wrong with a file, without its name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// The operating system cannot open or read the file.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),

    /// Neither the name nor the first bytes tell the format.
    #[error("is neither a .safetensors nor a .npz file")]
    UnknownFormat,

    /// The container is damaged.
    #[error("is not a valid {format} file: {reason}")]
    BadContainer {
        /// The format: `.safetensors` or `.npz`.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },

    /// There is no array of this name.
    #[error("has no `{key}` ({purpose}); it has {available}")]
    MissingKey {
        /// The name looked for.
        key: String,
        /// What it would have been used for.
        purpose: String,
        /// The names there are.
        available: KeyList,
    },

    /// None of several files has an array of this name.
    #[error("has no `{key}` ({purpose}), nor has any other file; all they have is {available}")]
    MissingEverywhere {
        /// The name looked for.
        key: String,
        /// What it would have been used for.
        purpose: String,
        /// The names there are in all files.
        available: KeyList,
    },

    /// A file is there twice, under the same name or another.
    #[error("is given twice")]
    Repeated,

    /// A bias that would be left out.
    #[error(
        "has `{key}`, which would be left out: in the model only the last layer has a bias, \
         `classifier.bias` or what --bias-key names"
    )]
    IgnoredBias {
        /// Name of the array.
        key: String,
    },

    /// A file among several serves no purpose.
    #[error("has neither `{weights}` nor `{features}`; it has {available}")]
    NothingFound {
        /// Name of the weights of the first layer.
        weights: String,
        /// Name of the features.
        features: String,
        /// The names there are.
        available: KeyList,
    },

    /// Two files say different things of the same network.
    #[error("{what} is not the same as in {}", file.display())]
    Contradiction {
        /// What they differ in.
        what: String,
        /// The file that has the head.
        file: PathBuf,
    },

    /// A file has a part of the head that the head in another file has not.
    #[error("has `{key}`, but {}, which has the other weights, has not", file.display())]
    Unmatched {
        /// Name of the array.
        key: String,
        /// The file that has the head.
        file: PathBuf,
    },

    /// An array is damaged.
    #[error("`{key}`: {reason}")]
    BadArray {
        /// Name of the array.
        key: String,
        /// What is wrong.
        reason: String,
    },

    /// An array has numbers of a type that does not serve.
    #[error("`{key}` has the data type {found}, but {expected} is expected")]
    DataType {
        /// Name of the array.
        key: String,
        /// The type found.
        found: String,
        /// The types allowed.
        expected: &'static str,
    },

    /// An array has the wrong rank or sizes.
    #[error("`{key}` has shape {}, but {expected} is expected", display_shape(found))]
    Shape {
        /// Name of the array.
        key: String,
        /// The shape found.
        found: Vec<usize>,
        /// The shape needed, and why.
        expected: String,
    },

    /// A number is out of the range that features may have.
    #[error("`{key}` is {value:e} at [{}, {}], but must be {expected}", place[0], place[1])]
    Refused {
        /// Name of the array.
        key: String,
        /// The number.
        value: f64,
        /// Its row and column.
        place: [usize; 2],
        /// What is allowed.
        expected: &'static str,
    },

    /// A number is NaN or infinite.
    #[error("`{key}` is {value} at {position}, but only finite numbers are allowed")]
    NotFinite {
        /// Name of the array.
        key: String,
        /// The number.
        value: f64,
        /// Its place, such as `[3, 17]`.
        position: String,
    },

    /// A label is negative or beyond the last class.
    #[error("`{key}` is {label} at [{index}], but {expected} is expected")]
    Label {
        /// Name of the array.
        key: String,
        /// The label.
        label: i128,
        /// Index of the sample.
        index: usize,
        /// The labels allowed.
        expected: String,
    },

    /// A metadata string cannot be understood.
    #[error("the metadata `{name}` is `{found}`, but {expected} is expected")]
    Metadata {
        /// Name of the metadata entry.
        name: &'static str,
        /// Its text.
        found: String,
        /// What would be understood.
        expected: &'static str,
    },
}

impl Problem {
    /// Adds the name of the file.
    pub(crate) fn in_file(self, file: &Path) -> InputError {
        InputError { file: file.to_path_buf(), problem: self }
    }

    /// A [`Problem::BadArray`] at `key`.
    pub(crate) fn bad_array(key: &str, reason: impl Into<String>) -> Self {
        Self::BadArray { key: key.into(), reason: reason.into() }
    }
}

/// The names of the arrays in a file, for an error message.
#[derive(Debug)]
pub(crate) struct KeyList(pub(crate) Vec<String>);

impl KeyList {
    /// More names than these are only counted.
    const SHOWN: usize = 16;
}

impl fmt::Display for KeyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return write!(f, "no arrays at all");
        }
        let names: Vec<_> = self.0.iter().take(Self::SHOWN).map(|key| format!("`{key}`")).collect();
        write!(f, "{}", names.join(", "))?;
        match self.0.len().saturating_sub(Self::SHOWN) {
            0 => Ok(()),
            hidden => write!(f, " and {hidden} more"),
        }
    }
}

/// `3×4`, or `(3)` for a vector.
fn display_shape(shape: &[usize]) -> String {
    match shape {
        [] => "() (a single number)".into(),
        [length] => format!("({length})"),
        _ => shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×"),
    }
}
