//! Support vector machines on unconstrained features, for any class sizes, margins and scales of the logits.
//!
//! They are what cross-entropy and its variants for imbalanced classes lead to as weight decay vanishes. `seli`
//! says what is trained, `spectrum` decomposes it, `prediction` has the matrices.

mod prediction;
mod seli;
mod spectrum;

pub use seli::{Seli, simplex_margins};

#[cfg(test)]
mod tests;
