//! Arithmetic that keeps the last bits, roots, linear algebra, threads and vector units. Nothing here knows
//! of neural collapse.

pub(crate) mod bracketed_root;
pub(crate) mod compensated;
pub(crate) mod decay_roots;
pub(crate) mod double_double;
pub(crate) mod lanes;
pub(crate) mod last_true;
pub(crate) mod lbfgs;
pub(crate) mod linalg;
pub(crate) mod logarithm;
pub(crate) mod magnitude;
pub(crate) mod nth_root;
pub(crate) mod parallel;
pub(crate) mod scalar;
pub(crate) mod secular;
pub(crate) mod shift;
pub(crate) mod simd;
pub(crate) mod squares;
#[cfg(feature = "serde")]
pub(crate) mod stored;
pub(crate) mod unit_length;
pub(crate) mod wright_omega;
