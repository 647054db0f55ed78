//! An independent numerical check of the theory: the training objective written out in full, a
//! minimizer of it that knows no closed form, a brute-force oracle of its global minimum, and random
//! problems.
//!
//! Nothing here uses the formulas of the library, only its plain input types, so that a mistake in
//! the library cannot hide by being made twice.

pub mod bases;
pub mod cross_entropy;
pub mod kernels;
pub mod lbfgs;
pub mod objective;
pub mod samples;
pub mod scrambled;
pub mod sent;
pub mod soft;
pub mod starts;
pub mod strategies;
pub mod theory;
