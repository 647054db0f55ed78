//! What must hold for every input whatever: no panic, no NaN, no answer that contradicts itself. The
//! proptest run (`tests/it/robustness.rs`) and the fuzz targets (`fuzz/`) check the same functions.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a property fails by panicking")]
#![allow(unreachable_pub, reason = "each program includes this module privately")]

pub mod measured;
pub mod problem;
pub mod scalar;
pub mod spectrum;

/// Room for a few rounding errors.
const FEW_ULP: f64 = 8.0 * f64::EPSILON;
