//! What is to be read, and how it is to be understood.

use std::path::{Path, PathBuf};

use crate::stated::StatedTraining;

/// All that a user says about the files of a network.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    /// The files of the data set and its head.
    pub(crate) files: Vec<PathBuf>,
    /// The files of the training set whose class means count, if not those of the data set itself.
    pub(crate) means: Vec<PathBuf>,
    /// The files of samples out of distribution.
    pub(crate) out_of_distribution: Vec<PathBuf>,
    /// The names of the arrays.
    pub(crate) keys: Keys,
    /// How they are to be understood.
    pub(crate) reading: Reading,
    /// The hyper-parameters given by flags.
    pub(crate) given: StatedTraining,
    /// A text file with a name for each class.
    pub(crate) label_names: Option<PathBuf>,
}

/// The names of the arrays in a file. Each may also be the name of a file with one array, as `features.npy`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys {
    /// Name of the features; `features` by default.
    pub(crate) features: Option<String>,
    /// Names of the features after the hidden layers before them, first to last.
    pub(crate) layers: Vec<String>,
    /// Name of the labels; `labels` by default.
    pub(crate) labels: Option<String>,
    /// Names of W₁, …, W_M; found by their shapes by default.
    pub(crate) weights: Option<Vec<String>>,
    /// Name of the bias, or `none`; that beside the weights by default.
    pub(crate) bias: Option<String>,
}

/// How the arrays are to be understood.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Reading {
    /// The label of the first class.
    pub(crate) first_label: i64,
    /// Labels of samples that are left out.
    pub(crate) ignored_labels: Vec<i64>,
    /// Outputs without samples are left out.
    pub(crate) present_classes: bool,
    /// Features and classifier are normalized: a cosine classifier, whose cosines are divided by this temperature.
    pub(crate) temperature: Option<f64>,
    /// Weights are stored as inputs × outputs.
    pub(crate) transposed: bool,
}

/// The flags that give other names to arrays, as messages end with them.
pub(crate) const OTHER_FEATURES: &str = "--features names others";
pub(crate) const OTHER_LABELS: &str = "--labels names others";
pub(crate) const OTHER_WEIGHTS: &str = "--weights names others";
pub(crate) const OTHER_BIAS: &str = "--bias-key names others";

/// What `--bias-key` says to leave vectors out.
pub(crate) const NO_BIAS: &str = "none";

impl Keys {
    /// Name of the features.
    pub(crate) fn features(&self) -> &str {
        self.features.as_deref().unwrap_or("features")
    }

    /// Name of the labels.
    pub(crate) fn labels(&self) -> &str {
        self.labels.as_deref().unwrap_or("labels")
    }
}

/// The file that a key names instead of an array in a file.
pub(crate) fn as_file(key: &str) -> Option<&Path> {
    let path = Path::new(key);
    let extension = path.extension()?.to_string_lossy().to_lowercase();
    ["npy", "pt", "pth"].contains(&extension.as_str()).then_some(path)
}
