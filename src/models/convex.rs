//! One layer with any class sizes, class weights or soft labels: convex programs, solved with a certificate.

pub use minimum::ConvexMinimum;
pub use problem::ConvexUfm;

pub(crate) use budget::SMALL_BUDGET;
pub(crate) use minimum::PROOF;
#[cfg(feature = "serde")]
pub(crate) use problem::Labels;

pub(crate) mod budget;
mod certificate;
mod column;
mod curvature;
pub(crate) mod data;
mod facts;
mod label_geometry;
pub(crate) mod margins;
mod minimum;
pub(crate) mod multipliers;
mod newton;
mod objective;
mod problem;
mod program;
mod solver;
mod state;
mod tangent;
#[cfg(test)]
mod tests;
