//! How problems are stored, with the feature `serde`. What is read passes through the constructors, so
//! that nothing invalid comes in this way either.

use nalgebra::DMatrix;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::models::squared::minimum::GlobalMinimum;
use crate::models::squared::potential::Potential;
use crate::models::squared::ufm::{Target, Ufm};
use crate::problem::counts::ClassCounts;
use crate::problem::regularization::{Bias, Regularization};

/// Runs of (size, number of classes).
impl Serialize for ClassCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.runs().map(|run| (run.size, run.classes)))
    }
}

impl<'de> Deserialize<'de> for ClassCounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let runs = Vec::<(u64, usize)>::deserialize(deserializer)?;
        Self::from_runs(runs).map_err(de::Error::custom)
    }
}

/// [`Regularization`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPenalties {
    weight_decays: Vec<f64>,
    feature_decay: f64,
    #[serde(default)]
    bias: Bias,
}

impl Serialize for Regularization {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stored = StoredPenalties {
            weight_decays: self.weight_decays().to_vec(),
            feature_decay: self.feature_decay(),
            bias: self.bias(),
        };
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Regularization {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let StoredPenalties { weight_decays, feature_decay, bias } =
            StoredPenalties::deserialize(deserializer)?;
        Self::new(&weight_decays, feature_decay)
            .and_then(|penalties| penalties.with_bias(bias))
            .map_err(de::Error::custom)
    }
}

/// The targets of a [`Ufm`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredTarget {
    Counts(ClassCounts),
    /// Entries column by column, a column a sample.
    Matrix {
        outputs: usize,
        samples: usize,
        entries: Vec<f64>,
    },
}

/// [`Ufm`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredProblem {
    target: StoredTarget,
    penalties: Regularization,
    #[serde(default)]
    widths: Option<Vec<usize>>,
}

impl Serialize for Ufm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let target = match self.target() {
            Target::Classes(counts) => StoredTarget::Counts(counts.clone()),
            Target::Matrix(matrix) => StoredTarget::Matrix {
                outputs: matrix.nrows(),
                samples: matrix.ncols(),
                entries: matrix.as_slice().to_vec(),
            },
        };
        let penalties = self.penalties().clone();
        StoredProblem { target, penalties, widths: self.widths().map(<[usize]>::to_vec) }
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Ufm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let StoredProblem { target, penalties, widths } = StoredProblem::deserialize(deserializer)?;
        let ufm = match target {
            StoredTarget::Counts(counts) => Self::new(counts, penalties),
            StoredTarget::Matrix { outputs, samples, entries } => {
                if outputs.checked_mul(samples) != Some(entries.len()) {
                    let found = entries.len();
                    let text = format!("{found} `entries` are no {outputs}×{samples} matrix");
                    return Err(de::Error::custom(text));
                }
                Self::from_target(DMatrix::from_vec(outputs, samples, entries), penalties)
            }
        };
        let ufm = match widths {
            Some(widths) => ufm.and_then(|ufm| ufm.with_widths(&widths)),
            None => ufm,
        };
        ufm.map_err(de::Error::custom)
    }
}

/// Stored as the problem, and solved again when it is read: that takes no longer than reading the numbers.
impl Serialize for GlobalMinimum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.problem().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for GlobalMinimum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ufm::deserialize(deserializer)?.global_minimum().map_err(de::Error::custom)
    }
}

/// Stored as the depth.
impl<T: num_traits::Float> Serialize for Potential<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.depth())
    }
}

impl<'de, T: num_traits::Float> Deserialize<'de> for Potential<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u32::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
