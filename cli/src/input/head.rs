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
    /// The hyper-parameters given by flags, else by the file.
    pub(crate) penalties: Penalties,
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
        let bias = keys.bias(archive).map(|key| read_bias(archive, key, classes)).transpose()?;
        Ok(Self { file: file.into(), keys: names, weights, bias, penalties })
    }

    /// The number of classes K.
    pub(crate) fn classes(&self) -> usize {
        self.weights.last().map_or(0, DMatrix::nrows)
    }

    /// Refuses another file that has something of another head.
    pub(super) fn check_agreement(
        &self,
        archive: &mut dyn Archive,
        keys: &Keys,
        given: &Penalties,
    ) -> Result<(), Problem> {
        let stated = complete_penalties(archive, given)?;
        if let Some(name) = contradiction(&self.penalties, &stated) {
            return Err(self.differs(format!("the metadata `{name}`")));
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
