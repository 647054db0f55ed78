//! Balanced classes under the cross-entropy loss, with a head of any depth.
//!
//! Where the squared loss decides singular direction by singular direction, cross-entropy couples
//! them; what is known is known for logits with symmetries. `problem` says what is trained, `simplex`
//! solves the simplex ETF, `structure` lists the other structures, `reduced` minimizes over their
//! sizes, `point` derives everything else, `landscape` and `phases` compare.

mod block;
mod candidates;
mod catalog;
mod codes;
mod convex;
mod forms;
mod landscape;
mod lattice;
mod numerical;
mod phases;
mod point;
mod problem;
mod rank_bound;
mod reduced;
mod simplex;
mod smoothing;
mod solids;
mod spread;
mod structure;
mod verdict;

pub use block::{Block, BlockShape};
pub use codes::SphericalCode;
pub use landscape::{Landscape, SearchResult};
pub use phases::{Phase, phase_diagram, phase_diagram_with, searched_phase_diagram};
pub use point::CrossEntropyPoint;
pub use problem::{CrossEntropyUfm, LossMean};
pub use simplex::{SimplexMinimizer, SimplexPotential};
pub use solids::Solid;
pub use structure::{LogitStructure, NumericalStructure};
