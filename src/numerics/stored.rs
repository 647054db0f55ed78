//! How matrices are stored, with the feature `serde`.

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A matrix with its entries column by column.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename = "Matrix", deny_unknown_fields)]
pub(crate) struct StoredMatrix {
    rows: usize,
    columns: usize,
    entries: Vec<f64>,
}

/// Writes a matrix, for `serialize_with`.
pub(crate) fn write<S: serde::Serializer>(
    matrix: &DMatrix<f64>,
    serializer: S,
) -> core::result::Result<S::Ok, S::Error> {
    StoredMatrix::from(matrix).serialize(serializer)
}

impl From<&DMatrix<f64>> for StoredMatrix {
    fn from(matrix: &DMatrix<f64>) -> Self {
        let (rows, columns) = matrix.shape();
        Self { rows, columns, entries: matrix.as_slice().to_vec() }
    }
}

impl TryFrom<StoredMatrix> for DMatrix<f64> {
    type Error = Error;

    fn try_from(stored: StoredMatrix) -> Result<Self> {
        let StoredMatrix { rows, columns, entries } = stored;
        if rows.checked_mul(columns) != Some(entries.len()) {
            let (found, expected) = (entries.len(), rows.saturating_mul(columns));
            return Err(Error::length("entries", found, expected, "for the rows and columns"));
        }
        Ok(Self::from_vec(rows, columns, entries))
    }
}
