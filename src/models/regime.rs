//! Where a scalar minimum lies.

/// Where the global minimum of a function of one size x ≥ 0 lies, such as a
/// [`Potential`](crate::models::squared::Potential).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Regime {
    /// At x = 0 only: the direction collapses.
    Zero,
    /// At the threshold, where both x = 0 and a positive x are global minimizers.
    Tie,
    /// At x > 0 only.
    Positive,
}
