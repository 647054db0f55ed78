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

#[cfg(test)]
mod tests {
    use nalgebra::dmatrix;

    use super::*;

    #[test]
    fn contrasts_of_a_group_sum_to_zero() {
        let counts = ClassCounts::new(&[3, 3, 8, 3, 3]).unwrap();
        // Nothing within the group of the largest class, and 2 (I − 11ᵀ/4) + 1 for the four others.
        let expected = dmatrix![
            2.5, 0.5, 4.0, 0.5, 0.5;
            0.5, 2.5, 4.0, 0.5, 0.5;
            7.0, 7.0, 5.0, 7.0, 7.0;
            0.5, 0.5, 4.0, 2.5, 0.5;
            0.5, 0.5, 4.0, 0.5, 2.5
        ];
        let found = ClassMatrix::from_contrasts(&counts, &[9.0, 2.0], dmatrix![5.0, 7.0; 4.0, 1.0]);
        assert_eq!(found.to_dense().unwrap(), expected);
        let etf = ClassMatrix::scaled_simplex_etf(4, 2.0);
        assert_eq!((etf.get(0, 0), etf.get(0, 1)), (Some(1.5), Some(-0.5)));
    }
}
