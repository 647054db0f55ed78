//! The measured network: features, labels and the linear layers after the features.

use std::path::Path;

use clap::ValueEnum;
use nalgebra::{DMatrix, DVector};
use neural_collapse::Bias;

use super::archive::{Archive, Layout, StoredArray, open_archive};
use super::element::Floats;
use super::error::{InputError, KeyList, Problem};
use crate::arguments::Loss;
use crate::penalties::{BIAS_SYNTAX, Penalties, parse_bias};

/// The names of the arrays in a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys {
    /// Name of the features; `features` by default.
    pub(crate) features: Option<String>,
    /// Name of the labels; `labels` by default.
    pub(crate) labels: Option<String>,
    /// Names of W₁, …, W_M; `classifier.1.weight`, `classifier.2.weight`, … by default.
    pub(crate) weights: Option<Vec<String>>,
    /// Name of the bias; `classifier.bias`, if it is there, by default.
    pub(crate) bias: Option<String>,
}

/// What was measured of a trained network. The shapes fit together, every number is finite and every label
/// is below the number of classes.
#[derive(Debug, Clone)]
pub(crate) struct MeasuredNetwork {
    /// The features of all samples.
    pub(crate) features: Features,
    /// The class of each sample, from 0.
    pub(crate) labels: Vec<usize>,
    /// W₁, …, W_M, from the features to the output; a row for each output.
    pub(crate) weights: Vec<DMatrix<f64>>,
    /// The bias of the last layer.
    pub(crate) bias: Option<DVector<f64>>,
    /// The hyper-parameters given by flags, else by the file.
    pub(crate) penalties: Penalties,
}

/// The features of N samples, one sample after the other: nalgebra's d×N matrix, column by column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Features {
    /// Number of samples N.
    pub(crate) samples: usize,
    /// Length d of a feature vector.
    pub(crate) width: usize,
    /// The N·d numbers.
    pub(crate) values: FeatureValues,
}

/// The numbers of the features, in the precision of the file.
pub(crate) type FeatureValues = Floats;

/// Reads the network in the file `path`. What `given` leaves open is looked up in the metadata of the file.
pub(crate) fn read_network(
    path: &Path,
    keys: &Keys,
    given: &Penalties,
) -> Result<MeasuredNetwork, InputError> {
    open_archive(path)
        .and_then(|mut archive| assemble(archive.as_mut(), keys, given))
        .map_err(|problem| problem.in_file(path))
}

pub(super) fn assemble(
    archive: &mut dyn Archive,
    keys: &Keys,
    given: &Penalties,
) -> Result<MeasuredNetwork, Problem> {
    let features_key = keys.features.as_deref().unwrap_or("features");
    let labels_key = keys.labels.as_deref().unwrap_or("labels");
    let weight_keys = keys.weights.clone().unwrap_or_else(|| default_weight_keys(archive));
    // The small things first, so that a mistake in them is found before the features are read.
    let penalties = complete_penalties(archive, given)?;
    let weights = read_weights(archive, &weight_keys)?;
    let classes = weights.last().map_or(0, DMatrix::nrows);
    let bias = read_bias(archive, keys.bias.as_deref(), classes)?;
    let features = read_features(archive, features_key)?;
    check_first_layer(&weights, &weight_keys, &features, features_key)?;
    let labels = read_labels(archive, labels_key, features.samples, features_key, classes)?;
    Ok(MeasuredNetwork { features, labels, weights, bias, penalties })
}

/// `classifier.1.weight`, … as far as they are there without a gap, but at least the first.
fn default_weight_keys(archive: &dyn Archive) -> Vec<String> {
    let present = archive.keys();
    let layers = present.iter().filter_map(|key| layer_number(key)).max().unwrap_or(1);
    // A gap is reported as a missing key, unless the numbering is not ours at all.
    let layers = layers.min(present.len()).max(1);
    (1..=layers).map(|layer| format!("classifier.{layer}.weight")).collect()
}

fn layer_number(key: &str) -> Option<usize> {
    key.strip_prefix("classifier.")?.strip_suffix(".weight")?.parse().ok()
}

fn open<'a>(
    archive: &'a mut dyn Archive,
    key: &str,
    purpose: impl Into<String>,
) -> Result<StoredArray<'a>, Problem> {
    if !archive.keys().iter().any(|present| present == key) {
        let available = KeyList(archive.keys());
        return Err(Problem::MissingKey { key: key.into(), purpose: purpose.into(), available });
    }
    // Present as it is listed: `None` would mean that an archive contradicts itself.
    archive.open(key).unwrap_or_else(|| Err(Problem::bad_array(key, "it cannot be found")))
}

fn read_features(archive: &mut dyn Archive, key: &str) -> Result<Features, Problem> {
    let stored = open(archive, key, "the features, a row for each sample")?;
    let [samples, width] = matrix_shape(&stored, "samples × width")?;
    let layout = stored.layout;
    let values = match stored.into_floats()? {
        Floats::F32(values) => Floats::F32(to_rows(values, samples, width, layout)),
        Floats::F64(values) => Floats::F64(to_rows(values, samples, width, layout)),
    };
    match &values {
        Floats::F32(values) => check_finite(key, values, &[samples, width])?,
        Floats::F64(values) => check_finite(key, values, &[samples, width])?,
    }
    Ok(Features { samples, width, values })
}

fn read_weights(archive: &mut dyn Archive, keys: &[String]) -> Result<Vec<DMatrix<f64>>, Problem> {
    let mut weights: Vec<DMatrix<f64>> = Vec::with_capacity(keys.len());
    for (index, key) in keys.iter().enumerate() {
        let purpose = format!("the weights of layer {}", index + 1);
        let inputs = weights.last().map(DMatrix::nrows);
        weights.push(read_weight(open(archive, key, purpose)?, inputs)?);
    }
    Ok(weights)
}

/// Reads a weight matrix that takes `inputs` numbers, if that is known.
fn read_weight(stored: StoredArray<'_>, inputs: Option<usize>) -> Result<DMatrix<f64>, Problem> {
    let [rows, columns] = matrix_shape(&stored, "outputs × inputs")?;
    if let Some(inputs) = inputs
        && inputs != columns
    {
        return Err(
            stored.wrong_shape(format!("{rows}×{inputs} after a layer of {inputs} outputs"))
        );
    }
    let (key, layout) = (stored.key.clone(), stored.layout);
    let values = into_doubles(stored.into_floats()?);
    let values = to_rows(values, rows, columns, layout);
    check_finite(&key, &values, &[rows, columns])?;
    Ok(DMatrix::from_row_slice(rows, columns, &values))
}

fn check_first_layer(
    weights: &[DMatrix<f64>],
    weight_keys: &[String],
    features: &Features,
    features_key: &str,
) -> Result<(), Problem> {
    let (Some(first), Some(key)) = (weights.first(), weight_keys.first()) else {
        return Ok(());
    };
    if first.ncols() == features.width {
        return Ok(());
    }
    let (rows, width) = (first.nrows(), features.width);
    Err(Problem::Shape {
        key: key.clone(),
        found: vec![rows, first.ncols()],
        expected: format!("{rows}×{width} for the width of `{features_key}`"),
    })
}

fn read_bias(
    archive: &mut dyn Archive,
    key: Option<&str>,
    classes: usize,
) -> Result<Option<DVector<f64>>, Problem> {
    const DEFAULT: &str = "classifier.bias";
    if key.is_none() && !archive.keys().iter().any(|present| present == DEFAULT) {
        return Ok(None);
    }
    let stored = open(archive, key.unwrap_or(DEFAULT), "the bias of the last layer")?;
    if stored.shape != [classes] {
        return Err(stored.wrong_shape(format!("({classes}) for the outputs of the last layer")));
    }
    let key = stored.key.clone();
    let values = into_doubles(stored.into_floats()?);
    check_finite(&key, &values, &[classes])?;
    Ok(Some(DVector::from_vec(values)))
}

fn read_labels(
    archive: &mut dyn Archive,
    key: &str,
    samples: usize,
    features_key: &str,
    classes: usize,
) -> Result<Vec<usize>, Problem> {
    let stored = open(archive, key, "the class of each sample, from 0")?;
    if stored.shape != [samples] {
        return Err(stored.wrong_shape(format!("({samples}) for the rows of `{features_key}`")));
    }
    let labels = stored.into_integers()?.into_iter().enumerate();
    let checked = labels.map(|(index, label)| match usize::try_from(label) {
        Ok(class) if class < classes => Ok(class),
        _ => Err(Problem::Label {
            key: key.into(),
            label,
            index,
            expected: format!("a class from 0 to {}", classes - 1),
        }),
    });
    checked.collect()
}

/// The sizes of a matrix with at least one row and column.
fn matrix_shape(stored: &StoredArray<'_>, meaning: &str) -> Result<[usize; 2], Problem> {
    match *stored.shape {
        [rows, columns] if rows > 0 && columns > 0 => Ok([rows, columns]),
        [_, _] => Err(stored.wrong_shape(format!("a matrix ({meaning}) that is not empty"))),
        _ => Err(stored.wrong_shape(format!("a matrix ({meaning})"))),
    }
}

fn into_doubles(floats: Floats) -> Vec<f64> {
    match floats {
        Floats::F32(values) => values.into_iter().map(f64::from).collect(),
        Floats::F64(values) => values,
    }
}

/// Brings the numbers of a matrix into the order row after row.
fn to_rows<T: Copy>(values: Vec<T>, rows: usize, columns: usize, layout: Layout) -> Vec<T> {
    match layout {
        Layout::RowMajor => values,
        Layout::ColumnMajor => {
            let row = |row: usize| values.iter().skip(row).step_by(rows).copied();
            let mut sorted = Vec::with_capacity(rows * columns);
            (0..rows).for_each(|index| sorted.extend(row(index)));
            sorted
        }
    }
}

fn check_finite<T: Copy + Into<f64>>(
    key: &str,
    values: &[T],
    shape: &[usize],
) -> Result<(), Problem> {
    let Some(index) = values.iter().position(|&value| !value.into().is_finite()) else {
        return Ok(());
    };
    let position = match shape {
        [_, columns] => format!("[{}, {}]", index / columns, index % columns),
        _ => format!("[{index}]"),
    };
    Err(Problem::NotFinite { key: key.into(), value: values[index].into(), position })
}

/// `given`, completed by the metadata strings `lambda_w`, `lambda_h`, `bias` and `loss_function`. Those that a flag replaces
/// are not looked at, so that a flag can also overrule an unreadable one.
fn complete_penalties(archive: &dyn Archive, given: &Penalties) -> Result<Penalties, Problem> {
    let mut penalties = given.clone();
    if penalties.weight_decays.is_none() {
        let expected = "a JSON list of positive weight decays, such as `[5e-4, 5e-4]`,";
        penalties.weight_decays = metadata(archive, "lambda_w", expected, parse_decays)?;
    }
    if penalties.feature_decay.is_none() {
        let parse = |text: &str| text.trim().parse().ok().filter(is_decay);
        penalties.feature_decay = metadata(archive, "lambda_h", "a positive number", parse)?;
    }
    if penalties.bias.is_none() {
        let parse = |text: &str| parse_bias(text).filter(is_bias);
        penalties.bias = metadata(archive, "bias", BIAS_SYNTAX, parse)?;
    }
    if penalties.loss.is_none() {
        let parse = |text: &str| Loss::from_str(text, true).ok();
        penalties.loss = metadata(archive, "loss_function", "`mse` or `cross_entropy`", parse)?;
    }
    Ok(penalties)
}

/// A JSON list of weight decays, or one for all layers.
fn parse_decays(text: &str) -> Option<Vec<f64>> {
    let list = serde_json::from_str(text).ok();
    let list: Vec<_> = list.or_else(|| serde_json::from_str(text).ok().map(|decay| vec![decay]))?;
    list.iter().all(is_decay).then_some(list)
}

fn is_decay(decay: &f64) -> bool {
    *decay > 0.0 && decay.is_finite()
}

fn is_bias(bias: &Bias) -> bool {
    !matches!(bias, Bias::Regularized(decay) if !is_decay(decay))
}

fn metadata<T>(
    archive: &dyn Archive,
    name: &'static str,
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Problem> {
    let Some(text) = archive.metadata(name) else {
        return Ok(None);
    };
    match parse(text) {
        Some(value) => Ok(Some(value)),
        None => Err(Problem::Metadata { name, found: text.into(), expected }),
    }
}
