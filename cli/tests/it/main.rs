//! The program as its users run it: all integration tests in one program, so that they are linked once.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

mod against;
mod audit;
mod cases;
mod command_line;
mod export;
mod input;
mod invariance;
mod json_keys;
mod layers;
mod loss;
mod losses;
mod metrics;
mod out_of_distribution;
mod pictures;
#[cfg(target_os = "linux")]
mod progress;
mod readme;
mod shards;
mod support;
mod unit_vectors;
