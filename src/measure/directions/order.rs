//! Directions by how much the class means differ in them.

use nalgebra::DVector;

/// By how much class means differ in directions that are in the order of that.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// The singular values of B/`scale`, by falling size.
    values: DVector<f64>,
    /// Up to this they count as zero.
    absolute_cutoff: f64,
}

impl Order {
    pub(super) fn new(values: DVector<f64>, absolute_cutoff: f64) -> Self {
        Self { values, absolute_cutoff }
    }

    /// How many directions are kept, from the first one; `None` if none is.
    pub(crate) fn rank(&self, rank_cutoff: f64, largest_rank: Option<usize>) -> Option<usize> {
        let kept = rank(&self.values, rank_cutoff, self.absolute_cutoff);
        let rank = largest_rank.unwrap_or(kept).min(kept);
        (rank > 0).then_some(rank)
    }
}

/// How many values, by falling size, are above a share of the largest and above an absolute number.
pub(super) fn rank(values: &DVector<f64>, rank_cutoff: f64, absolute_cutoff: f64) -> usize {
    let cutoff = (rank_cutoff * values.amax()).max(absolute_cutoff);
    values.iter().take_while(|&&value| value > cutoff).count()
}
