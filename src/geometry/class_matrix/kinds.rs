//! Class matrices that are the same for classes of the same kind.

use nalgebra::DMatrix;

use crate::geometry::class_matrix::ClassMatrix;
use crate::geometry::structure::Grouped;
use crate::problem::kinds::Kinds;

impl ClassMatrix {
    /// `diagonal[g]` on the diagonal for classes of kind g, plus `coupling[(g, h)]` for each class of kind g
    /// and each of kind h.
    pub(crate) fn from_kinds<const P: usize>(
        kinds: &Kinds<P>,
        diagonal: Vec<f64>,
        coupling: Option<DMatrix<f64>>,
    ) -> Self {
        Self::unique(Grouped::of_runs(kinds.starts(), kinds.classes(), diagonal, coupling))
    }
}
