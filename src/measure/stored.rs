//! How accumulators are stored, with the feature `serde`.
//!
//! Each is stored as named fields with a version; what is read is checked for its version, for sizes that
//! fit together and for numbers that an accumulator can hold.

use nalgebra::DMatrix;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::measure::class_sums::ClassSums;
use crate::measure::pooled::PooledScatter;
use crate::measure::statistics::ClassStatistics;
use crate::measure::version::Version;
use crate::measure::written::{check_finite, check_length};
use crate::numerics::linalg::{from_triangle, lower_triangle, mirror};

/// [`ClassStatistics`]; matrices are stored column by column, so class by class.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredStatistics {
    version: Version<1>,
    dimension: usize,
    counts: Vec<u64>,
    sums: Vec<f64>,
    corrections: Vec<f64>,
}

/// [`PooledScatter`]; of the symmetric matrix the lower triangle, column by column.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPooled {
    version: Version<1>,
    statistics: ClassStatistics,
    /// A power of two.
    unit: f64,
    scatter: Vec<f64>,
    squares: Vec<f64>,
}

impl Serialize for ClassStatistics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (sums, corrections) = self.sums().parts();
        let stored = StoredStatistics {
            version: Version,
            dimension: self.dimension(),
            counts: self.counts().to_vec(),
            sums: sums.as_slice().to_vec(),
            corrections: corrections.as_slice().to_vec(),
        };
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ClassStatistics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = StoredStatistics::deserialize(deserializer)?;
        let (dimension, classes) = (stored.dimension, stored.counts.len());
        if dimension == 0 || classes == 0 {
            return Err(de::Error::custom("`dimension` and `counts` must not be empty"));
        }
        let length = dimension.checked_mul(classes);
        check_length("sums", stored.sums.len(), length)?;
        check_length("corrections", stored.corrections.len(), length)?;
        check_finite("sums", &stored.sums)?;
        check_finite("corrections", &stored.corrections)?;
        let matrix = |numbers| DMatrix::from_vec(dimension, classes, numbers);
        let (sums, corrections) = (matrix(stored.sums), matrix(stored.corrections));
        let are_zero =
            |class: usize| [&sums, &corrections].iter().all(|m| m.column(class).amax() == 0.0);
        if stored.counts.iter().enumerate().any(|(class, &count)| count == 0 && !are_zero(class)) {
            return Err(de::Error::custom("`sums` of a class without samples must be zero"));
        }
        Ok(Self::from_parts(stored.counts, ClassSums::from_parts(sums, corrections)))
    }
}

impl Serialize for PooledScatter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stored = StoredPooled {
            version: Version,
            statistics: self.statistics.clone(),
            unit: self.unit,
            scatter: lower_triangle(&self.scatter),
            squares: self.squares.clone(),
        };
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PooledScatter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let StoredPooled { statistics, unit, scatter: triangle, squares, .. } =
            StoredPooled::deserialize(deserializer)?;
        let dimension = statistics.dimension();
        let length = dimension.checked_mul(dimension).map(|square| (square + dimension) / 2);
        check_length("scatter", triangle.len(), length)?;
        check_length("squares", squares.len(), Some(statistics.classes()))?;
        check_finite("scatter", &triangle)?;
        check_finite("squares", &squares)?;
        if squares.iter().any(|&square| square < 0.0) {
            return Err(de::Error::custom("`squares` must not be negative"));
        }
        let digits = unit.to_bits() & ((1 << (f64::MANTISSA_DIGITS - 1)) - 1);
        if !(unit.is_normal() && unit.is_sign_positive() && digits == 0) {
            return Err(de::Error::custom(format!("`unit` is {unit}, but must be a power of two")));
        }
        let mut scatter = from_triangle(dimension, &triangle);
        mirror(&mut scatter);
        Ok(Self { statistics, unit, scatter, squares })
    }
}
