//! What can be wrong with a file of measurements.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use neural_collapse::Error;

use super::keys::NO_BIAS;
use crate::error::CliError;

/// A problem with a file of measurements.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub(crate) struct InputError {
    /// The file.
    pub(crate) file: PathBuf,
    /// What is wrong with it.
    pub(crate) problem: Box<Problem>,
}

/// What is wrong with a file, without its name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// The operating system cannot open or read the file.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),

    /// Neither the name nor the first bytes tell the format.
    #[error(
        "is in no format that is read: .safetensors, .npz, .npy, .pt or .pth of torch.save, or the *.index.json of a \
         sharded checkpoint; save it as one of these"
    )]
    UnknownFormat,

    /// A format that is known, but not read.
    #[error("is {what}; {remedy}")]
    Foreign {
        /// The format.
        what: &'static str,
        /// How to convert it.
        remedy: String,
    },

    /// The container is damaged.
    #[error("is not a valid {format} file: {reason}; copy or save it again")]
    BadContainer {
        /// The format, such as `.safetensors`.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },

    /// There is no array of this name.
    #[error("has no `{key}` ({purpose}); it has {available}{}", Remedy(*flag))]
    MissingKey {
        /// The name looked for.
        key: String,
        /// What it would have been used for.
        purpose: String,
        /// The names there are.
        available: KeyList,
        /// The flag that gives another name.
        flag: Option<&'static str>,
    },

    /// None of several files has an array of this name.
    #[error(
        "has no `{key}` ({purpose}), nor has any other file; all they have is {available}{}",
        Remedy(Some(flag))
    )]
    MissingEverywhere {
        /// The name looked for.
        key: String,
        /// What it would have been used for.
        purpose: String,
        /// The names there are in all files.
        available: KeyList,
        /// The flag that gives another name.
        flag: &'static str,
    },

    /// A file is there twice, under the same name or another.
    #[error("is given twice; its samples would count twice: give it once")]
    Repeated,

    /// A file is a copy of another one.
    #[error("has the same bytes as {}; its samples would count twice: give it once", other.display())]
    Copy {
        /// The other file.
        other: PathBuf,
    },

    /// The layers of the head cannot be told without guessing.
    #[error("{0}")]
    Head(String),

    /// A bias of a layer that is not the last one.
    #[error(
        "has `{key}`, which would be left out: in the model only the last layer has a bias; give --weights without \
         the layers up to this one and the features after it, or --bias-key none to leave all biases out"
    )]
    HiddenBias {
        /// Name of the array.
        key: String,
    },

    /// A vector that may be the bias, but is not used.
    #[error(
        "has `{key}`, as long as the {classes} outputs of the last layer, which would be left out{}; --bias-key \
         {key} takes it as the bias, --bias-key {} leaves it out",
        used.as_ref().map(|used| format!(" beside `{used}`")).unwrap_or_default(),
        used.as_deref().unwrap_or(NO_BIAS)
    )]
    UnusedBias {
        /// Name of the array.
        key: String,
        /// Outputs of the last layer.
        classes: usize,
        /// The bias that is used.
        used: Option<String>,
    },

    /// A file among several serves no purpose.
    #[error(
        "has neither `{weights}` nor `{features}`; it has {available}; leave the file out, or name what it has with \
         --weights, --features or --labels"
    )]
    NothingFound {
        /// Name of the weights of the first layer.
        weights: String,
        /// Name of the features.
        features: String,
        /// The names there are.
        available: KeyList,
    },

    /// Two files say different things of the same network.
    #[error("{what} is not the same as in {}; give the files of one network only", file.display())]
    Contradiction {
        /// What they differ in.
        what: String,
        /// The file that has the head.
        file: PathBuf,
    },

    /// An array is damaged.
    #[error("`{key}`: {reason}; {remedy}")]
    BadArray {
        /// Name of the array.
        key: String,
        /// What is wrong.
        reason: String,
        /// What to do about it.
        remedy: String,
    },

    /// An array has numbers of a type that does not serve.
    #[error(
        "`{key}` has the data type {found}, but {expected} is expected; convert it before it is saved"
    )]
    DataType {
        /// Name of the array.
        key: String,
        /// The type found.
        found: String,
        /// The types allowed.
        expected: &'static str,
    },

    /// An array has the wrong rank or sizes.
    #[error("`{key}` has shape {}, but {expected} is expected{}", display_shape(found), Remedy(*flag))]
    Shape {
        /// Name of the array.
        key: String,
        /// The shape found.
        found: Vec<usize>,
        /// The shape needed, and why.
        expected: String,
        /// The flag that gives another name.
        flag: Option<&'static str>,
    },

    /// A number is out of the range that features may have.
    #[error(
        "`{key}` is {value:e} at [{}, {}], but must be {expected}; save the numbers in another unit",
        place[0], place[1]
    )]
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
    #[error(
        "`{key}` is {value} at {position}, but only finite numbers are allowed; mend it or leave it out, and save the \
         others"
    )]
    NotFinite {
        /// Name of the array.
        key: String,
        /// The number.
        value: f64,
        /// Its place, such as `[3, 17]`.
        position: String,
    },

    /// A label is negative or beyond the last class.
    #[error("`{key}` is {label} at [{index}], but {expected} is expected{}", Remedy(remedy.as_deref()))]
    Label {
        /// Name of the array.
        key: String,
        /// The label.
        label: i128,
        /// Index of the sample.
        index: usize,
        /// The labels allowed.
        expected: String,
        /// The flag that helps.
        remedy: Option<String>,
    },

    /// Classes without samples.
    #[error(
        "{} no sample in `{key}`; the head has {outputs} outputs, one for each class; --present-classes leaves out \
         outputs without samples, --first-label 1 is for labels that count from 1",
        missing_classes(*class, *others)
    )]
    EmptyClasses {
        /// Name of the labels.
        key: String,
        /// The first class without samples.
        class: usize,
        /// How many more there are.
        others: usize,
        /// Outputs of the head.
        outputs: usize,
    },

    /// A number is out of the range that the library allows.
    #[error("{0}")]
    Measurement(Error),

    /// Something that one of the flags asks for is not possible.
    #[error("{0}")]
    Impossible(String),

    /// A metadata string cannot be understood.
    #[error(
        "the metadata `{name}` is `{found}`, but {expected} is expected; {flag} takes its place"
    )]
    Metadata {
        /// Name of the metadata entry.
        name: &'static str,
        /// Its text.
        found: String,
        /// What would be understood.
        expected: &'static str,
        /// The flag that says the same.
        flag: &'static str,
    },
}

impl Problem {
    /// Adds the name of the file.
    pub(crate) fn in_file(self, file: &Path) -> InputError {
        InputError { file: file.to_path_buf(), problem: Box::new(self) }
    }

    /// A [`Problem::BadArray`] at `key` that is damaged.
    pub(crate) fn bad_array(key: &str, reason: impl Into<String>) -> Self {
        Self::unfit_array(key, reason, "copy or save it again")
    }

    /// A [`Problem::BadArray`] at `key` with what to do about it.
    pub(crate) fn unfit_array(
        key: &str,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::BadArray { key: key.into(), reason: reason.into(), remedy: remedy.into() }
    }

    /// Names the flag that gives another array in the place of one of a wrong shape.
    pub(crate) fn or_another(mut self, other: &'static str) -> Self {
        if let Self::Shape { flag, .. } = &mut self {
            *flag = Some(other);
        }
        self
    }
}

impl From<InputError> for CliError {
    fn from(error: InputError) -> Self {
        Self::Input(Box::new(error))
    }
}

/// What to do about it, at the end of a message.
struct Remedy<'a>(Option<&'a str>);

impl fmt::Display for Remedy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}

fn missing_classes(class: usize, others: usize) -> String {
    match others {
        0 => format!("class {class} has"),
        _ => format!("class {class} and {others} more have"),
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
pub(crate) fn display_shape(shape: &[usize]) -> String {
    match shape {
        [] => "() (a single number)".into(),
        [length] => format!("({length})"),
        _ => shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×"),
    }
}
