//! Magnitudes whose products are in range.

/// Products of numbers between this and its inverse are far from over- and underflow.
const COMFORTABLE: f64 = 1e70;

/// Whether products of numbers of this size are far from over- and underflow.
pub(crate) fn is_comfortable(size: f64) -> bool {
    (COMFORTABLE.recip()..COMFORTABLE).contains(&size)
}
