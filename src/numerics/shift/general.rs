//! By plain loops.

use super::split::{Found, Split};

/// Writes ((h − high) − low)·scale.
pub(super) fn subtract(vector: &[f32], split: &Split, out: &mut [f32]) -> Found<f32> {
    let mut found = Found { square: 0.0, around: 0.0, largest: 0.0 };
    let center = split.high.iter().zip(&split.low);
    for ((out, &entry), (high, low)) in out.iter_mut().zip(vector).zip(center) {
        *out = ((entry - high) - low) * split.scale;
        found.square += f64::from(entry) * f64::from(entry);
        found.around += f64::from(*out) * f64::from(*out);
        found.largest = f32::max(found.largest, entry.abs());
    }
    found
}
