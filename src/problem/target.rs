//! What the outputs shall be: one-hot vectors of classes, or any matrix.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::numerics::linalg::check_finite;
use crate::problem::counts::ClassCounts;

/// The targets Y ∈ ℝ^(K×N).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "stored::Stored", into = "stored::Stored"))]
pub(crate) enum Target {
    /// One-hot vectors.
    Classes(ClassCounts),
    /// Any matrix that is not empty and has finite entries, one sample per column.
    Matrix(DMatrix<f64>),
}

impl Target {
    /// An arbitrary matrix, checked.
    pub(crate) fn matrix(target: DMatrix<f64>) -> Result<Self> {
        if target.is_empty() {
            return Err(Error::Empty { argument: "target" });
        }
        check_finite("target", &target)?;
        Ok(Self::Matrix(target))
    }

    /// The class counts, or `None` for an arbitrary matrix.
    pub(crate) fn counts(&self) -> Option<&ClassCounts> {
        match self {
            Self::Classes(counts) => Some(counts),
            Self::Matrix(_) => None,
        }
    }

    /// Number of outputs K.
    pub(crate) fn outputs(&self) -> usize {
        match self {
            Self::Classes(counts) => counts.classes(),
            Self::Matrix(target) => target.nrows(),
        }
    }

    /// Number of samples N.
    pub(crate) fn samples(&self) -> u64 {
        match self {
            Self::Classes(counts) => counts.samples(),
            Self::Matrix(target) => target.ncols() as u64,
        }
    }

    /// Number of columns of Y that may differ: K for classes, all of an arbitrary matrix.
    pub(crate) fn distinct_samples(&self) -> usize {
        match self {
            Self::Classes(counts) => counts.classes(),
            Self::Matrix(target) => target.ncols(),
        }
    }
}

/// How targets are stored: what is read passes through the constructors.
#[cfg(feature = "serde")]
mod stored {
    use nalgebra::DMatrix;

    use super::Target;
    use crate::error::{Error, Result};
    use crate::problem::counts::ClassCounts;

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename = "Target", rename_all = "snake_case", deny_unknown_fields)]
    pub(super) enum Stored {
        Counts(ClassCounts),
        /// Entries column by column, one sample per column.
        Matrix {
            outputs: usize,
            samples: usize,
            entries: Vec<f64>,
        },
    }

    impl From<Target> for Stored {
        fn from(target: Target) -> Self {
            match target {
                Target::Classes(counts) => Self::Counts(counts),
                Target::Matrix(matrix) => Self::Matrix {
                    outputs: matrix.nrows(),
                    samples: matrix.ncols(),
                    entries: matrix.as_slice().to_vec(),
                },
            }
        }
    }

    impl TryFrom<Stored> for Target {
        type Error = Error;

        fn try_from(stored: Stored) -> Result<Self> {
            match stored {
                Stored::Counts(counts) => Ok(Self::Classes(counts)),
                Stored::Matrix { outputs, samples, entries } => {
                    let found = entries.len();
                    if outputs.checked_mul(samples) != Some(found) {
                        let expected = outputs.saturating_mul(samples);
                        let reason = "for the outputs and samples beside it";
                        return Err(Error::length("entries", found, expected, reason));
                    }
                    Self::matrix(DMatrix::from_vec(outputs, samples, entries))
                }
            }
        }
    }
}
