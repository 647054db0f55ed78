//! The linear layers after the features, with the hyper-parameters that the metadata state.

use std::path::{Path, PathBuf};

use nalgebra::{DMatrix, DVector};

use super::archive::{Archive, StoredArray};
use super::error::Problem;
use super::matrix::{check_finite, check_finite_rows, to_rows};
use super::metadata::{complete_penalties, contradiction};
use super::network::Keys;
use crate::penalties::Penalties;

/// The head of a measured network, and the file that it is in.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// The file.
    pub(crate) file: PathBuf,
    /// Names of W₁, …, W_M.
    pub(crate) keys: Vec<String>,
    /// W₁, …, W_M, from the features to the output; a row for each output.
    pub(crate) weights: Vec<DMatrix<f64>>,
    /// The bias of the last layer.
    pub(crate) bias: Option<DVector<f64>>,
    /// The hyper-parameters given by flags, else by the files.
    pub(crate) penalties: Penalties,
    /// The file whose metadata completed the hyper-parameters.
    stated_in: PathBuf,
}

/// What the weights of the layer at `index` are.
pub(super) fn purpose(index: usize) -> String {
    format!("the weights of layer {}", index + 1)
}

impl Head {
    /// Reads the head in `file`.
    pub(super) fn read(
        archive: &mut dyn Archive,
        file: &Path,
        keys: &Keys,
        given: &Penalties,
    ) -> Result<Self, Problem> {
        let penalties = complete_penalties(archive, given)?;
        let names = keys.all_weights(archive);
        let weights = read_weights(archive, &names)?;
        let classes = weights.last().map_or(0, DMatrix::nrows);
        let bias_key = keys.bias(archive);
        refuse_other_biases(archive, &names, bias_key)?;
        let bias = bias_key.map(|key| read_bias(archive, key, classes)).transpose()?;
        let stated_in = file.to_path_buf();
        Ok(Self { file: file.into(), keys: names, weights, bias, penalties, stated_in })
    }

    /// The number of classes K.
    pub(crate) fn classes(&self) -> usize {
        self.weights.last().map_or(0, DMatrix::nrows)
    }

    /// Takes the metadata of another file, where they tell more, and refuses a file that has something of another
    /// head.
    pub(super) fn join(
        &mut self,
        archive: &mut dyn Archive,
        file: &Path,
        keys: &Keys,
        given: &Penalties,
    ) -> Result<(), Problem> {
        let stated = complete_penalties(archive, given)?;
        if let Some(name) = contradiction(&self.penalties, &stated) {
            let what = format!("the metadata `{name}`");
            return Err(Problem::Contradiction { what, file: self.stated_in.clone() });
        }
        let penalties = self.penalties.clone().or(stated);
        if penalties != self.penalties {
            (self.penalties, self.stated_in) = (penalties, file.into());
        }
        for key in archive.keys().iter().filter(|key| keys.names_a_layer(key)) {
            let Some(index) = self.keys.iter().position(|own| own == key) else {
                return Err(self.unmatched(key));
            };
            let weight = read_weight(archive.find(key, purpose(index))?, None)?;
            if weight != self.weights[index] {
                return Err(self.differs(format!("`{key}`")));
            }
        }
        self.check_bias(archive, keys)
    }

    fn check_bias(&self, archive: &mut dyn Archive, keys: &Keys) -> Result<(), Problem> {
        let Some(key) = keys.bias(archive).filter(|key| archive.has(key)) else {
            return Ok(());
        };
        match &self.bias {
            None => Err(self.unmatched(key)),
            Some(bias) if read_bias(archive, key, self.classes())? == *bias => Ok(()),
            Some(_) => Err(self.differs(format!("`{key}`"))),
        }
    }

    fn differs(&self, what: String) -> Problem {
        Problem::Contradiction { what, file: self.file.clone() }
    }

    fn unmatched(&self, key: &str) -> Problem {
        Problem::Unmatched { key: key.into(), file: self.file.clone() }
    }
}

/// Refuses biases beside the weights that are read, `classifier.1.bias` beside `classifier.1.weight`, which would
/// change the outputs but have no place in the model or go by another name there.
fn refuse_other_biases(
    archive: &dyn Archive,
    weights: &[String],
    bias: Option<&str>,
) -> Result<(), Problem> {
    let siblings =
        weights.iter().filter_map(|key| Some(format!("{}bias", key.strip_suffix("weight")?)));
    for key in siblings {
        if archive.has(&key) && bias != Some(&key) {
            return Err(Problem::IgnoredBias { key });
        }
    }
    Ok(())
}

fn read_weights(archive: &mut dyn Archive, keys: &[String]) -> Result<Vec<DMatrix<f64>>, Problem> {
    let mut weights: Vec<DMatrix<f64>> = Vec::with_capacity(keys.len());
    for (index, key) in keys.iter().enumerate() {
        let inputs = weights.last().map(DMatrix::nrows);
        weights.push(read_weight(archive.find(key, purpose(index))?, inputs)?);
    }
    Ok(weights)
}

/// Reads a weight matrix that takes `inputs` numbers, if that is known.
fn read_weight(stored: StoredArray<'_>, inputs: Option<usize>) -> Result<DMatrix<f64>, Problem> {
    let [rows, columns] = stored.matrix_shape("outputs × inputs")?;
    if let Some(inputs) = inputs
        && inputs != columns
    {
        return Err(
            stored.wrong_shape(format!("{rows}×{inputs} after a layer of {inputs} outputs"))
        );
    }
    let (key, layout) = (stored.key.clone(), stored.layout);
    let values = to_rows(stored.into_floats()?, [rows, columns], layout);
    check_finite_rows(&key, &values, 0, columns)?;
    Ok(DMatrix::from_row_slice(rows, columns, &values))
}

fn read_bias(
    archive: &mut dyn Archive,
    key: &str,
    classes: usize,
) -> Result<DVector<f64>, Problem> {
    let stored = archive.find(key, "the bias of the last layer")?;
    if stored.shape != [classes] {
        return Err(stored.wrong_shape(format!("({classes}) for the outputs of the last layer")));
    }
    let values = stored.into_floats()?;
    check_finite(key, &values, |index| format!("[{index}]"))?;
    Ok(DVector::from_vec(values))
}
