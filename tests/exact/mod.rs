//! What the tests of accuracy share: the reference tables, errors in ulps, a double-double type, and
//! the table of measured errors in `docs/accuracy.md`.

#![allow(dead_code, reason = "shared by several test programs, none of which uses everything")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may stop")]
#![allow(unreachable_pub, reason = "each test program includes this module privately")]

pub mod double_double;
pub mod measured;
pub mod tables;
