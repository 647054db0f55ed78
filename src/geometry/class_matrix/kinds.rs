//! Class matrices that are the same for classes of the same kind.

use nalgebra::DMatrix;

use super::{ClassMatrix, Grouped, Partition};
use crate::problem::kinds::Kinds;

impl ClassMatrix {
    /// `diagonal[g]` on the diagonal for classes of kind g, plus `coupling[(g, h)]` for each class of kind g
    /// and each of kind h.
    pub(crate) fn from_kinds<const P: usize>(
        kinds: &Kinds<P>,
        diagonal: Vec<f64>,
        coupling: Option<DMatrix<f64>>,
    ) -> Self {
        let partition = Partition { runs: kinds.starts(), classes: kinds.classes() };
        Self::unique(Grouped { partition, diagonal, coupling })
    }
}
