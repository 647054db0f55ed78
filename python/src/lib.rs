//! The compiled part of the Python package `neuralcollapse`.
//!
//! It converts arrays and errors, lets other Python threads run while the library works, and has no mathematics of its
//! own.

mod arrays;
mod audit;
mod error;
mod first_pass;
mod geometry;
mod metrics;
mod models;
mod monitor;
mod passes;
mod potential;
mod prediction;
mod problem;
mod stored;
mod sums;

use pyo3::prelude::*;

/// The compiled part of `neuralcollapse`.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use crate::audit::Audit;
    #[pymodule_export]
    use crate::first_pass::FirstPass;
    #[pymodule_export]
    use crate::geometry::{ClassMatrix, general_orthogonal_frame, orthogonal_frame, simplex_etf};
    #[pymodule_export]
    use crate::metrics::{
        all_metrics, cdnv, duality_cosines, nc1, nc1_trace_quotient, nc2, nc3, nc4, self_duality,
    };
    #[pymodule_export]
    use crate::models::{CrossEntropy, LayerPeeled, Seli, Ufm, predict};
    #[pymodule_export]
    use crate::passes::limit_threads;
    #[pymodule_export]
    use crate::potential::{Potential, critical_imbalance_ratio};
    #[pymodule_export]
    use crate::prediction::Prediction;
    #[pymodule_export]
    use crate::sums::{AuditPart, AuditSums};
}
