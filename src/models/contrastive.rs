//! Features of length 1: supervised contrastive losses, spherical cross-entropy, and codes of more classes than
//! dimensions.

mod codes;
mod prediction;
mod unit;

pub use codes::{CodeBound, one_vs_rest_bound, one_vs_rest_distance};
#[cfg(feature = "serde")]
pub(crate) use unit::Kind;
pub use unit::{UnitFeatures, UnitMinimum};
