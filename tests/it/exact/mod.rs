//! What the tests of accuracy share: the reference tables, errors in ulps, a double-double type, and
//! the table of measured errors in `docs/accuracy.md`.

pub mod double_double;
pub mod measured;
pub mod tables;
