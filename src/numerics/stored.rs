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

/// Reads a matrix, for `deserialize_with`.
pub(crate) fn read<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> core::result::Result<DMatrix<f64>, D::Error> {
    StoredMatrix::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
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

/// Lists of matrices, for `with`.
pub(crate) mod matrices {
    use super::{DMatrix, Deserialize, Serialize, StoredMatrix};

    pub(crate) fn serialize<S: serde::Serializer>(
        matrices: &[DMatrix<f64>],
        serializer: S,
    ) -> core::result::Result<S::Ok, S::Error> {
        matrices.iter().map(StoredMatrix::from).collect::<Vec<_>>().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> core::result::Result<Vec<DMatrix<f64>>, D::Error> {
        let stored = Vec::<StoredMatrix>::deserialize(deserializer)?;
        let matrices = stored.into_iter().map(DMatrix::try_from).collect::<Result<_, _>>();
        matrices.map_err(serde::de::Error::custom)
    }
}

/// Numbers that may be infinite, for `with`: infinity, which JSON has no number for, is none.
pub(crate) mod unbounded {
    use super::{Deserialize, Serialize};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is that of serde")]
    pub(crate) fn serialize<S: serde::Serializer>(
        number: &f64,
        serializer: S,
    ) -> core::result::Result<S::Ok, S::Error> {
        (*number != f64::INFINITY).then_some(*number).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> core::result::Result<f64, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
    }
}
