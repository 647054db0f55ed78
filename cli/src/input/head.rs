//! The linear layers after the features, with the hyper-parameters that the metadata state.

use std::path::{Path, PathBuf};

use nalgebra::{DMatrix, DVector};
use neural_collapse::{Error, LinearHead};

use super::array::StoredArray;
use super::error::{InputError, Problem};
use super::keys::{OTHER_BIAS, OTHER_WEIGHTS, Reading};
use super::listing::{Listed, Name};
use super::matrix::{check_finite, check_finite_rows, to_rows};
use super::metadata::{completed, contradiction};
use super::open::open_container;
use super::samples::missing;
use crate::stated::StatedTraining;

/// The head of a measured network.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// The file with W₁.
    pub(crate) file: PathBuf,
    /// Names of W₁, …, W_M.
    pub(crate) keys: Vec<String>,
    /// Name of the bias.
    pub(crate) bias_key: Option<String>,
    /// The layers.
    pub(crate) linear: LinearHead,
    /// What flags, else files state of their training.
    pub(crate) stated: StatedTraining,
}

impl Head {
    /// Reads the layers `weights` of the files.
    pub(crate) fn read(
        files: &[Listed],
        names: &[Name],
        reading: &Reading,
        given: &StatedTraining,
    ) -> Result<Self, InputError> {
        let mut weights: Vec<DMatrix<f64>> = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            let inputs = weights.last().map(DMatrix::nrows);
            let purpose = format!("the weights of layer {}", index + 1);
            weights.push(read_everywhere(files, name, (&purpose, OTHER_WEIGHTS), |stored| {
                read_weight(stored, inputs, reading.transposed)
            })?);
        }
        let first = names.first().and_then(|name| files.iter().find(|file| name.is_in(file)));
        let file = first.map(|file| file.path.clone()).unwrap_or_default();
        let stated = read_training(files, &file, given)?;
        let keys = names.iter().map(|name| name.key.clone()).collect();
        let linear = LinearHead::new(weights, None).map_err(refused(&file))?;
        Ok(Self { file, keys, bias_key: None, linear, stated })
    }

    /// The same head with the bias `name` of the files.
    pub(crate) fn with_bias(mut self, files: &[Listed], name: &Name) -> Result<Self, InputError> {
        let outputs = self.linear.classes();
        let purpose = ("the bias of the last layer", OTHER_BIAS);
        let bias = read_everywhere(files, name, purpose, |stored| read_bias(stored, outputs))?;
        self.bias_key = Some(name.key.clone());
        self.changed(|linear| linear.with_bias(Some(bias)))
    }

    /// The head with two outputs that one output z stands for: ±z/2, whose difference it is.
    pub(crate) fn with_two_outputs(mut self) -> Result<Self, InputError> {
        self.stated.has_one_output = true;
        self.changed(|linear| linear.to_two_outputs())
    }

    /// The head with these outputs only.
    pub(crate) fn with_outputs(self, outputs: &[usize]) -> Result<Self, InputError> {
        self.changed(|linear| linear.with_outputs(outputs))
    }

    /// The cosine classifier with rows of length 1/temperature. Zeros stay as they are.
    pub(crate) fn normalized(self, temperature: f64) -> Result<Self, InputError> {
        if self.linear.depth() > 1 {
            let text = "--normalize is for a head of one layer: a cosine classifier normalizes what enters its last \
                        layer; name that with --weights and its inputs as the features";
            return Err(Problem::Impossible(text.into()).in_file(&self.file));
        }
        self.changed(|linear| linear.with_unit_rows(temperature))
    }

    fn changed(
        self,
        change: impl FnOnce(LinearHead) -> Result<LinearHead, Error>,
    ) -> Result<Self, InputError> {
        let linear = change(self.linear).map_err(refused(&self.file))?;
        Ok(Self { linear, ..self })
    }
}

/// What the library refuses of the layers in a file.
fn refused(file: &Path) -> impl FnOnce(Error) -> InputError {
    |error| Problem::Measurement(error).in_file(file)
}

/// Reads a matrix as it is stored.
pub(crate) fn read_matrix(
    files: &[Listed],
    name: &Name,
    purpose: (&str, &'static str),
) -> Result<DMatrix<f64>, InputError> {
    read_everywhere(files, name, purpose, |stored| read_weight(stored, None, false))
}

/// Reads an array in the first file that has it; where others have it too, it has to be the same.
fn read_everywhere<T: PartialEq>(
    files: &[Listed],
    name: &Name,
    (purpose, flag): (&str, &'static str),
    read: impl Fn(StoredArray<'_>) -> Result<T, Problem>,
) -> Result<T, InputError> {
    let read_in = |file: &Listed| {
        open_container(&file.path)
            .and_then(|mut container| read(container.find(&name.key, purpose)?))
            .map_err(|problem| problem.or_another(flag).in_file(&file.path))
    };
    let mut having = files.iter().filter(|file| name.is_in(file));
    let first = having.next().ok_or_else(|| missing(files, &name.key, purpose, flag))?;
    let array = read_in(first)?;
    for other in having.filter(|other| other.path != first.path) {
        if read_in(other)? != array {
            let (what, file) = (format!("`{}`", name.key), first.path.clone());
            return Err(Problem::Contradiction { what, file }.in_file(&other.path));
        }
    }
    Ok(array)
}

/// Reads a weight matrix that takes `inputs` numbers, if that is known.
fn read_weight(
    stored: StoredArray<'_>,
    inputs: Option<usize>,
    transposed: bool,
) -> Result<DMatrix<f64>, Problem> {
    stored.refuse_objects()?;
    let meaning = if transposed { "inputs × outputs" } else { "outputs × inputs" };
    let [rows, columns] = stored.full_matrix_shape(meaning)?;
    let (found, outputs) = if transposed { (rows, columns) } else { (columns, rows) };
    if let Some(inputs) = inputs
        && inputs != found
    {
        let shape = if transposed { [inputs, outputs] } else { [outputs, inputs] };
        return Err(stored
            .wrong_shape(format!("{}×{} after a layer of {inputs} outputs", shape[0], shape[1])));
    }
    let (key, layout) = (stored.key.clone(), stored.layout);
    let values = to_rows(stored.into_floats()?, [rows, columns], layout);
    check_finite_rows(&key, &values, 0, columns)?;
    let weight = DMatrix::from_row_slice(rows, columns, &values);
    Ok(if transposed { weight.transpose() } else { weight })
}

fn read_bias(stored: StoredArray<'_>, outputs: usize) -> Result<DVector<f64>, Problem> {
    stored.refuse_objects()?;
    let fits = [&[outputs][..], &[1, outputs], &[outputs, 1]].contains(&&stored.shape[..]);
    if !fits {
        return Err(stored.wrong_shape(format!("({outputs}) for the outputs of the last layer")));
    }
    let key = stored.key.clone();
    let values = stored.into_floats()?;
    check_finite(&key, &values, |index| format!("[{index}]"))?;
    Ok(DVector::from_vec(values))
}

/// What the flags leave open is looked up in the metadata of the file of the head, then in those of the others, which
/// may tell more but nothing else.
fn read_training(
    files: &[Listed],
    head: &PathBuf,
    given: &StatedTraining,
) -> Result<StatedTraining, InputError> {
    let (mut stated, mut stated_in) = (given.clone(), head.clone());
    let (own, others): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.path == *head);
    for file in own.into_iter().chain(others) {
        let more = completed(&file.metadata, given);
        let more = more.map_err(|problem| problem.in_file(&file.path))?;
        if let Some(name) = contradiction(&stated, &more, given) {
            let what = format!("the metadata `{name}`");
            let problem = Problem::Contradiction { what, file: stated_in };
            return Err(problem.in_file(&file.path));
        }
        let more = stated.clone().or(more);
        if more != stated {
            (stated, stated_in) = (more, file.path.clone());
        }
    }
    Ok(stated)
}
