//! How far a trained network has collapsed.

mod nc1;
mod nc2;
mod nc3;
mod nc4;

pub use nc1::{Nc1, Nc1Options, nc1};
pub use nc2::nc2;
pub use nc3::nc3;
pub use nc4::{DecisionShares, Nc4, nc4};
