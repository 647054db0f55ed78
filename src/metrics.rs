//! How far a trained network has collapsed.

mod cdnv;
mod duality;
mod nc1;
mod nc2;
mod nc3;
mod nc4;
mod shape;
mod spread;
mod tag_average;

pub(crate) use cdnv::cdnv_of;
pub use cdnv::{Cdnv, cdnv};
pub use duality::{duality_cosines, self_duality};
pub use nc1::{Nc1, Nc1Options, nc1, nc1_trace_quotient};
pub use nc2::nc2;
pub use nc3::nc3;
pub use nc4::{DecisionCounts, DecisionShares, Nc4, nc4};
pub use shape::{Equiangularity, cosine_spread, equiangularity, log_energy, norm_spread};
pub use spread::Spread;
pub use tag_average::{TagAverage, tag_average_residuals};
