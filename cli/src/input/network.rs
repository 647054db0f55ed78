//! The measured network: features and labels in one file or several, and the linear layers after the features.

use std::path::{Path, PathBuf};

use super::container::ListedArray;
use super::copies::refuse_copies;
use super::data_set::DataSet;
use super::error::{InputError, Problem};
use super::find_head::{
    Wanted, find_bias, find_weights, given_bias, given_weights, nothing_found, refuse_no_layers,
};
use super::head::Head;
use super::keys::{Keys, OTHER_FEATURES, OTHER_LABELS, OTHER_WEIGHTS, Request};
use super::label_names;
use super::labels::{Assigned, Classes};
use super::listing::{Listed, Name, list, resolve};
use super::metadata::{EPOCH, LEARNING_RATE, UnknownEntry, number, unknown};
use super::names::Numbered;
use super::present::Present;
use super::samples::{SampleNames, Samples};
use super::shard::{FeatureFile, Shard};

/// What was measured of a trained network. The shapes fit together, every number of the head is finite, every label
/// is below the number of classes and every class has a sample; the features are still in the files.
#[derive(Debug)]
pub(crate) struct MeasuredNetwork {
    /// The features and the class of each sample.
    pub(crate) data: DataSet,
    /// The training set around whose class means the samples are measured, if it is another one.
    pub(crate) means: Option<DataSet>,
    /// Samples out of distribution, all of one class that means nothing.
    pub(crate) outside: Option<DataSet>,
    /// The features of the same samples after hidden layers, with their names.
    pub(crate) layers: Vec<(String, DataSet)>,
    /// The linear layers after the features, and how they were trained.
    pub(crate) head: Head,
    /// A name for each class.
    pub(crate) label_names: Option<Vec<String>>,
    /// How the files were understood.
    pub(crate) facts: Facts,
}

/// How the files were understood: what a reader of the numbers has to know to trust them.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Facts {
    /// Names of W₁, …, W_M.
    pub(crate) weights: Vec<String>,
    /// Whether they were found, rather than named.
    pub(crate) weights_were_found: bool,
    /// Name of the bias.
    pub(crate) bias: Option<String>,
    /// Name of the features.
    pub(crate) features: String,
    /// Name of the labels.
    pub(crate) labels: String,
    /// What is not said in the files but follows from a convention, in words.
    pub(crate) assumptions: Vec<String>,
    /// Entries of the metadata that are not understood, with their files.
    pub(crate) unknown_metadata: Vec<(PathBuf, UnknownEntry)>,
    /// Outputs that are left out, as no sample has them as its class.
    pub(crate) left_out_outputs: Vec<usize>,
    /// Samples that are left out, as their labels are to be ignored.
    pub(crate) ignored_samples: usize,
    /// The epoch that the metadata tell.
    pub(crate) epoch: Option<f64>,
    /// The step size of gradient descent that the metadata tell.
    pub(crate) learning_rate: Option<f64>,
}

/// Reads a network, all but its features.
///
/// A single file has to have everything. Of several, each may have the features, the labels, both, or any part of the
/// head. What flags leave open is looked up in the metadata of the file that has W₁, then in those of the others.
pub(crate) fn read_network(request: &Request) -> Result<MeasuredNetwork, InputError> {
    let files = Files::list(request)?;
    let samples = files.names.find(&files.data)?;
    let means = match files.means.is_empty() {
        true => Vec::new(),
        false => files.names_of_means().find(&files.means)?,
    };
    for samples in [&samples, &means] {
        refuse_copies(samples.iter().filter(|samples| samples.rows() > 0).map(Samples::file))?;
    }
    let width = common_width(&files, &samples, &means)?;
    let (mut head, mut facts) = read_head(&files, request, width, samples.iter().chain(&means))?;
    check_columns(samples.iter().chain(&means), head.linear.classes())?;
    let classes = Classes::new(head.linear.classes(), &request.reading);
    let is_normalized = request.reading.temperature.is_some();
    let assign = |samples: Vec<Samples>| {
        let shards = samples.into_iter().map(|samples| samples.assign(&classes, is_normalized));
        shards.collect::<Result<Vec<_>, _>>()
    };
    let (rows, names) = (samples.iter().map(Samples::rows).sum::<usize>(), &files.names);
    let mut present =
        Present::new(head.linear.classes(), &names.labels.key, request.reading.present_classes);
    let means = (!means.is_empty()).then(|| assign(means)).transpose()?;
    let means = means.map(|means| present.count(means)).transpose()?;
    let data = present.count(assign(samples)?)?;
    let layers = files.layers(assign, &mut present)?;
    let outside = files.outside(width.1, is_normalized)?;
    facts.ignored_samples = rows - data.samples();
    facts.left_out_outputs = present.left_out();
    let label_names = request.label_names.as_ref();
    let label_names =
        label_names.map(|path| label_names::read(path, head.linear.classes())).transpose()?;
    let label_names = label_names.map(|names| present.select(names));
    if !facts.left_out_outputs.is_empty() {
        head = head.with_outputs(present.outputs())?;
    }
    Ok(MeasuredNetwork { data, means, outside, layers, head, label_names, facts })
}

/// All files, and what is where in them.
struct Files {
    data: Vec<Listed>,
    means: Vec<Listed>,
    outside: Vec<Listed>,
    names: SampleNames,
    layers: Vec<Name>,
    weights: Option<Vec<Name>>,
    bias: Option<Name>,
}

impl Files {
    fn list(request: &Request) -> Result<Self, InputError> {
        let mut data = list(&request.files)?;
        let keys = &request.keys;
        let numbered = numbered_layers(&data, keys);
        let (features, layers) = match numbered.split_last() {
            Some((last, others)) => (last.as_str(), others),
            None => (keys.features(), &keys.layers[..]),
        };
        let features = resolve(&mut data, features)?;
        let layers = layers.iter().map(|key| resolve(&mut data, key)).collect::<Result<_, _>>()?;
        let labels = resolve(&mut data, keys.labels())?;
        let weights = given_weights(&mut data, keys)?;
        let bias = given_bias(&mut data, keys)?;
        let names = SampleNames { features, labels };
        let (means, outside) = (list(&request.means)?, list(&request.out_of_distribution)?);
        Ok(Self { data, means, outside, names, layers, weights, bias })
    }

    /// The names of features and labels in the files of the training set, where files have other names.
    fn names_of_means(&self) -> SampleNames {
        let anywhere = |name: &Name, default: &str| match name.file {
            None => name.clone(),
            Some(_) => Name::anywhere(default),
        };
        SampleNames {
            features: anywhere(&self.names.features, "features"),
            labels: anywhere(&self.names.labels, "labels"),
        }
    }

    /// The features of the samples after hidden layers.
    fn layers(
        &self,
        assign: impl Fn(Vec<Samples>) -> Result<Vec<Shard>, InputError>,
        present: &mut Present<'_>,
    ) -> Result<Vec<(String, DataSet)>, InputError> {
        let read = |name: &Name| {
            let names = SampleNames { features: name.clone(), labels: self.names.labels.clone() };
            let data = present.count(assign(names.find(&self.data)?)?)?;
            Ok((name.key.clone(), data))
        };
        self.layers.iter().map(read).collect()
    }

    /// The features of samples out of distribution, of this width.
    fn outside(&self, width: usize, is_normalized: bool) -> Result<Option<DataSet>, InputError> {
        let name = self.names_of_means().features;
        let read = |file: &Listed| {
            let key = match &file.arrays[..] {
                [only] => &only.key,
                _ => &name.key,
            };
            let features = FeatureFile::open(&file.path, key)?;
            let (samples, found) = (features.stored.samples, features.stored.width);
            if samples == 0 {
                let text = format!("has no samples: `{key}` has no rows; {OTHER_FEATURES}");
                return Err(Problem::Impossible(text).in_file(&file.path));
            }
            if found != width {
                let expected = format!("{samples}×{width} as the features of the network");
                let (key, found) = (key.clone(), vec![samples, found]);
                let flag = Some(OTHER_FEATURES);
                return Err(Problem::Shape { key, found, expected, flag }.in_file(&file.path));
            }
            let labels = Assigned { classes: vec![0; samples], counts: None };
            Ok(Shard { features, labels, is_normalized })
        };
        let shards = self.outside.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok((!shards.is_empty()).then(|| DataSet::new(shards, &self.names.labels.key, 1)))
    }

    fn all(&self) -> Vec<Listed> {
        let others =
            self.means.iter().filter(|means| self.data.iter().all(|file| file.path != means.path));
        self.data.iter().chain(others).cloned().collect()
    }
}

/// The length of the feature vectors of both data sets.
fn common_width(
    files: &Files,
    samples: &[Samples],
    means: &[Samples],
) -> Result<(usize, usize), InputError> {
    let full = |samples: &[Samples]| samples.iter().position(|samples| samples.rows() > 0);
    let path = files.data.first().map_or(Path::new(""), |file| &file.path);
    let Some(first) = full(samples) else {
        let text =
            format!("has no samples: `{}` has no rows; {OTHER_FEATURES}", files.names.features.key);
        return Err(Problem::Impossible(text).in_file(path));
    };
    let width = samples.get(first).map_or(0, Samples::width);
    match full(means).and_then(|index| means.get(index)) {
        Some(other) if other.width() != width => Err(Problem::Shape {
            key: files.names.features.key.clone(),
            found: other.shape(),
            expected: format!("{}×{width} as in {}", other.rows(), path.display()),
            flag: Some(OTHER_FEATURES),
        }
        .in_file(other.file())),
        _ => Ok((first, width)),
    }
}

/// The head with all that `request` says of it, and what is known so far.
fn read_head<'a>(
    files: &Files,
    request: &Request,
    (first, width): (usize, usize),
    mut samples: impl Iterator<Item = &'a Samples> + Clone,
) -> Result<(Head, Facts), InputError> {
    let (all, reading) = (files.all(), &request.reading);
    let classes = samples.clone().map(|samples| samples.classes(reading)).max().unwrap_or(0);
    let wanted = Wanted { samples: &files.names, width, classes };
    let weights = match &files.weights {
        Some(weights) => weights.clone(),
        None => find_weights(&all, wanted, reading)?,
    };
    refuse_no_layers(&all, &weights)?;
    let mut head = Head::read(&all, &weights, reading, &request.given)?;
    if let Some(samples) = samples.nth(first) {
        check_width(&head, samples, &files.names)?;
    }
    let given = (files.bias.clone(), &request.keys);
    let bias = find_bias(&all, &weights, head.linear.classes(), given, &files.names)?;
    if let Some(bias) = &bias {
        head = head.with_bias(&all, bias)?;
    }
    refuse_useless_files(&all, &weights, bias.as_ref(), files)?;
    let mut facts = Facts {
        weights: head.keys.clone(),
        weights_were_found: files.weights.is_none(),
        bias: head.bias_key.clone(),
        features: files.names.features.key.clone(),
        labels: files.names.labels.key.clone(),
        ..Facts::default()
    };
    for file in &all {
        facts.epoch = facts.epoch.or(number(&file.metadata, EPOCH));
        facts.learning_rate = facts.learning_rate.or(number(&file.metadata, LEARNING_RATE));
        let entries = unknown(&file.metadata).into_iter();
        facts.unknown_metadata.extend(entries.map(|entry| (file.path.clone(), entry)));
    }
    if let Some(temperature) = reading.temperature {
        head = head.normalized(temperature)?;
    }
    if head.linear.classes() == 1 {
        head = head.with_two_outputs()?;
        facts.assumptions.push(
            "the one output z is read as the two outputs ±z/2, with twice the weight decay of the last layer".into(),
        );
    }
    Ok((head, facts))
}

/// Compares the width of the features with that of the head: the head is to blame if it is in the same file.
fn check_width(head: &Head, samples: &Samples, names: &SampleNames) -> Result<(), InputError> {
    let (Some(first), Some(key)) = (head.linear.weights().first(), head.keys.first()) else {
        return Ok(());
    };
    let (rows, inputs, width) = (first.nrows(), first.ncols(), samples.width());
    let features = &names.features.key;
    if inputs == width {
        return Ok(());
    }
    if samples.file() == head.file {
        let expected = match rows == width {
            true => format!(
                "{inputs}×{width}, outputs × inputs, for the width of `{features}` (--transposed reads inputs × \
                 outputs)"
            ),
            false => format!("{rows}×{width} for the width of `{features}`"),
        };
        let (key, found, flag) = (key.clone(), vec![rows, inputs], Some(OTHER_WEIGHTS));
        return Err(Problem::Shape { key, found, expected, flag }.in_file(&head.file));
    }
    let expected = format!("{}×{inputs} for `{key}` in {}", samples.rows(), head.file.display());
    let (key, found, flag) = (features.clone(), samples.shape(), Some(OTHER_FEATURES));
    Err(Problem::Shape { key, found, expected, flag }.in_file(samples.file()))
}

/// One-hot labels have a column for each output.
fn check_columns<'a>(
    mut samples: impl Iterator<Item = &'a Samples>,
    outputs: usize,
) -> Result<(), InputError> {
    let wrong =
        samples.find_map(|samples| samples.columns().filter(|(columns, _)| *columns != outputs));
    let Some((columns, labels)) = wrong else { return Ok(()) };
    let rows = labels.codes.len();
    let expected = format!("{rows}×{outputs}, a column for each output of the head,");
    let (key, found, flag) = (labels.key.clone(), vec![rows, columns], Some(OTHER_LABELS));
    Err(Problem::Shape { key, found, expected, flag }.in_file(&labels.file))
}

/// Refuses a file that was named but serves no purpose: it may be another one than was meant.
fn refuse_useless_files(
    files: &[Listed],
    weights: &[Name],
    bias: Option<&Name>,
    Files { names: samples, layers, .. }: &Files,
) -> Result<(), InputError> {
    let is_useless = |file: &&Listed| {
        let is_metadata =
            |array: &ListedArray| file.metadata.iter().any(|(name, _)| *name == array.key);
        file.is_named
            && !file.arrays.iter().all(is_metadata)
            && !samples.are_in(file)
            && !weights.iter().chain(bias).chain(layers).any(|name| name.is_in(file))
    };
    match files.iter().find(is_useless) {
        None => Ok(()),
        Some(file) => Err(nothing_found(file, weights, samples)),
    }
}

/// `features.1`, `features.2`, … where there are no `features` and none were named.
fn numbered_layers(files: &[Listed], keys: &Keys) -> Vec<String> {
    let default = keys.features();
    if keys.features.is_some() || files.iter().any(|file| Name::anywhere(default).is_in(file)) {
        return Vec::new();
    }
    let number = |key: &str| match Numbered::parse(key) {
        Some(Numbered { prefix, number, suffix: "" }) => {
            (prefix.strip_suffix(['.', '/']) == Some(default)).then_some(number)
        }
        _ => None,
    };
    let arrays = files.iter().flat_map(|file| &file.arrays);
    let mut layers: Vec<_> =
        arrays.filter_map(|array| Some((number(&array.key)?, array.key.clone()))).collect();
    layers.sort_unstable();
    layers.dedup();
    layers.into_iter().map(|(_, key)| key).collect()
}
