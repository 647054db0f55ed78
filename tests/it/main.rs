//! All integration tests of the library in one program, so that they are linked once.
//!
//! `tests/memory.rs` stays apart: it measures the peak memory of its process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "in a test a broken invariant is a failure, and what was measured is shown"
)]
#![allow(
    unreachable_pub,
    reason = "modules shared with the fuzz targets are written as a library is"
)]

mod accuracy;
mod accuracy_cross_entropy;
mod accuracy_losses;
mod api;
mod architecture;
mod audit;
mod audit_calls;
mod bad_input;
mod cancelled;
mod constrained;
mod contrastive;
mod conventions;
mod convex;
mod cross_entropy;
mod curvature;
mod dynamics;
mod errata;
mod errors;
mod errors_by_simulation;
mod exact;
mod extreme_input;
mod fixed_head;
mod generalized_seli;
mod label_audits;
mod landscape_bounds;
mod landscape_limits;
mod landscape_search;
mod landscape_sweep;
mod landscape_tables;
mod layer_metrics;
mod layer_peeled;
mod levels;
mod many_classes;
mod matching;
mod matrices;
mod metamorphic;
mod metrics;
mod multi_label;
mod nonnegative;
mod objective;
mod one_output;
mod optimizer;
mod out_of_distribution;
mod parts;
mod peers;
mod pictured;
mod potential;
mod prediction;
mod properties;
mod published_forms;
mod regression;
mod relu;
mod robustness;
mod sampling_errors;
mod seli;
mod soft_labels;
#[cfg(feature = "serde")]
mod stored_problems;
#[cfg(feature = "serde")]
mod stored_refusals;
#[cfg(feature = "serde")]
mod stored_types;
mod streaming;
mod support;
mod theorems;
mod threads;
mod thresholds;
mod traps;
mod verdicts;
mod what_was_given;
