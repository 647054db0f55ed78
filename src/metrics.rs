//! How far a trained network has collapsed.

mod nc1;

pub use nc1::{Nc1, Nc1Options, nc1};
