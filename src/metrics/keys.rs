//! How the metrics are written: the keys of the program's JSON.

use serde::{Serialize, Serializer};

use crate::metrics::shape::Equiangularity;
use crate::metrics::spread::Spread;

#[derive(Serialize)]
struct WrittenSpread {
    mean: f64,
    deviation: f64,
}

#[derive(Serialize)]
struct WrittenNorms {
    mean: f64,
    deviation: f64,
    coefficient_of_variation: Option<f64>,
}

#[derive(Serialize)]
struct WrittenAngles {
    etf_deviation: f64,
    largest_etf_deviation: f64,
}

/// Mean and deviation.
pub(crate) fn spread<S: Serializer>(
    spread: &Option<Spread>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let written =
        |spread: &Spread| WrittenSpread { mean: spread.mean, deviation: spread.deviation };
    spread.as_ref().map(written).serialize(serializer)
}

/// Mean, deviation and their quotient.
pub(crate) fn norms<S: Serializer>(norms: &Spread, serializer: S) -> Result<S::Ok, S::Error> {
    let Spread { mean, deviation, .. } = *norms;
    let coefficient_of_variation = norms.coefficient_of_variation();
    WrittenNorms { mean, deviation, coefficient_of_variation }.serialize(serializer)
}

/// Without the spread of the cosines, which is written apart.
pub(crate) fn angles<S: Serializer>(
    angles: &Option<Equiangularity>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let written = |angles: &Equiangularity| WrittenAngles {
        etf_deviation: angles.etf_deviation,
        largest_etf_deviation: angles.largest_etf_deviation,
    };
    angles.as_ref().map(written).serialize(serializer)
}
