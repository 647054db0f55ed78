//! How accumulators are stored, with the feature `serde`.
//!
//! Each is stored as named fields with a version; what is read is checked for its version, for sizes that
//! fit together and for numbers that an accumulator can hold.

use nalgebra::DMatrix;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::measure::pooled::PooledScatter;
use crate::measure::scatter::ProjectedSums;
use crate::measure::statistics::ClassStatistics;
use crate::numerics::double_double::DoubleDouble;

/// The version that is written and the only one that is read.
const VERSION: u32 = 1;

/// [`ClassStatistics`]; matrices are stored column by column, so class by class.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredStatistics {
    version: u32,
    dimension: usize,
    counts: Vec<u64>,
    sums: Vec<f64>,
    corrections: Vec<f64>,
}

/// [`PooledScatter`]; of the symmetric matrix the lower triangle, column by column.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPooled {
    version: u32,
    statistics: ClassStatistics,
    scatter: Vec<f64>,
    squares: Vec<f64>,
}

/// [`ProjectedSums`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSums {
    version: u32,
    fingerprint: u64,
    counts: Vec<u64>,
    squares: Vec<[f64; 2]>,
    projected: [f64; 2],
}

impl Serialize for ClassStatistics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (sums, corrections) = self.parts();
        let stored = StoredStatistics {
            version: VERSION,
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
        check_version(stored.version)?;
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
        let empty = stored.counts.iter().position(|&count| count == 0);
        if empty.is_some_and(|class| sums.column(class).amax() > 0.0) {
            return Err(de::Error::custom("`sums` of a class without samples must be zero"));
        }
        Ok(Self::from_parts(stored.counts, sums, corrections))
    }
}

impl Serialize for PooledScatter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let columns = self.scatter.column_iter().enumerate();
        let stored = StoredPooled {
            version: VERSION,
            statistics: self.statistics.clone(),
            scatter: columns.flat_map(|(j, column)| column.as_slice()[j..].to_vec()).collect(),
            squares: self.squares.clone(),
        };
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PooledScatter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let StoredPooled { version, statistics, scatter: triangle, squares } =
            StoredPooled::deserialize(deserializer)?;
        check_version(version)?;
        let dimension = statistics.dimension();
        let length = dimension.checked_mul(dimension).map(|square| (square + dimension) / 2);
        check_length("scatter", triangle.len(), length)?;
        check_length("squares", squares.len(), Some(statistics.classes()))?;
        check_finite("scatter", &triangle)?;
        check_finite("squares", &squares)?;
        if squares.iter().any(|&square| square < 0.0) {
            return Err(de::Error::custom("`squares` must not be negative"));
        }
        let mut scatter = DMatrix::zeros(dimension, dimension);
        let mut entries = triangle.into_iter();
        for j in 0..dimension {
            let column = scatter.column_mut(j);
            let below = column.into_iter().skip(j);
            below.zip(&mut entries).for_each(|(place, entry)| *place = entry);
        }
        scatter.fill_upper_triangle_with_lower_triangle();
        Ok(Self { statistics, scatter, squares })
    }
}

impl Serialize for ProjectedSums {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stored = StoredSums {
            version: VERSION,
            fingerprint: self.fingerprint,
            counts: self.counts.clone(),
            squares: self.squares.iter().map(|square| square.parts()).collect(),
            projected: self.projected.parts(),
        };
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ProjectedSums {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = StoredSums::deserialize(deserializer)?;
        check_version(stored.version)?;
        check_length("squares", stored.squares.len(), Some(stored.counts.len()))?;
        check_finite("squares", stored.squares.as_flattened())?;
        check_finite("projected", &stored.projected)?;
        let twofold = |[high, low]: [f64; 2]| DoubleDouble::sum(high, low);
        Ok(Self {
            fingerprint: stored.fingerprint,
            counts: stored.counts,
            squares: stored.squares.into_iter().map(twofold).collect(),
            projected: twofold(stored.projected),
        })
    }
}

fn check_version<E: de::Error>(version: u32) -> Result<(), E> {
    if version == VERSION {
        return Ok(());
    }
    Err(E::custom(format!(
        "version {version} was written by another release; this reads {VERSION}"
    )))
}

fn check_length<E: de::Error>(name: &str, found: usize, expected: Option<usize>) -> Result<(), E> {
    if Some(found) == expected {
        return Ok(());
    }
    let expected = expected.map_or("more than fits".into(), |length| length.to_string());
    Err(E::custom(format!("`{name}` has {found} numbers, but must have {expected}")))
}

fn check_finite<E: de::Error>(name: &str, numbers: &[f64]) -> Result<(), E> {
    match numbers.iter().find(|number| !number.is_finite()) {
        None => Ok(()),
        Some(number) => Err(E::custom(format!("`{name}` has {number}, but must be finite"))),
    }
}
