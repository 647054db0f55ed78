//! What becomes of a problem at other decays, class sizes and depths: phase diagrams, and the collapse of minorities.
//!
//! [`PhaseDiagram`] says at which factors on all decays classes collapse or merge, against the ratio of the largest to the
//! smallest class, or which structure has the lowest loss at which strength and depth. [`MinorityCollapse`] has the norms of
//! classes against that ratio. Both are data, such as a picture is drawn from.
//!
//! Class sizes are changed as follows. Of two sizes the smaller stays and the larger changes, as in the
//! [critical ratio](crate::models::squared::critical_imbalance_ratio); of other sizes the number of samples stays, and balanced
//! classes become a long tail ([`ClassCounts::with_imbalance`](crate::ClassCounts::with_imbalance)) or, where classes merge, two
//! halves of which the smaller stays. Sizes are not rounded to whole samples: every sample is taken c times with the decay
//! λ_H/c, which changes neither the mean loss nor the penalty c · λ_H/(2c) ‖h‖² nor anything else at the minimum, so that sizes
//! are multiples of 1/c. Ratios go from 1 to 100, or to twice that of the problem, as long as every class has a sample.

mod minority;
mod phases;
mod stretching;

pub use minority::{ClassNorms, MinorityCollapse};
pub use phases::{DepthPhases, MergingLimit, PhaseDiagram, SurvivalLimit};
