//! Class matrices from what they do within the groups of equal class sizes and between them.

use nalgebra::DMatrix;

use crate::geometry::class_matrix::ClassMatrix;
use crate::geometry::structure::Grouped;
use crate::problem::counts::ClassCounts;

impl ClassMatrix {
    /// q_g times the projector on the contrasts of each group of equal sizes (the vectors on its
    /// classes that sum to zero), plus c_gh for each class of group g and each of group h.
    ///
    /// `within` and `between` have an entry for each of the groups; a group of one class has no
    /// contrasts.
    pub(crate) fn from_contrasts(
        counts: &ClassCounts,
        within: &[f64],
        mut between: DMatrix<f64>,
    ) -> Self {
        let mut diagonal = within.to_vec();
        for (index, (group, q)) in counts.sizes().zip(&mut diagonal).enumerate() {
            if group.class_count == 1 {
                *q = 0.0;
            }
            between[(index, index)] -= *q / group.class_count as f64;
        }
        Self::unique(Grouped::by_size(counts, diagonal, Some(between)))
    }

    /// `value`·(I − 11ᵀ/K) for `classes` ≥ 1.
    pub(crate) fn scaled_simplex_etf(classes: usize, value: f64) -> Self {
        Self::unique(Grouped::single(classes, value, -value / classes as f64))
    }
}
