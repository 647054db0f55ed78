//! The compiled part of the Python package `neuralcollapse`.
//!
//! It converts arrays and errors, lets other Python threads run while the library works, and has no mathematics of its
//! own.

mod arrays;
mod audit;
mod diagrams;
mod error;
mod first_pass;
mod geometry;
mod layers;
mod loss;
mod metrics;
mod models;
mod monitor;
mod objective;
mod out_of_distribution;
mod passes;
mod pictures;
mod potential;
mod prediction;
mod problem;
mod quasi_interpolation;
mod recipe;
mod regression;
mod relu;
mod samples;
mod search;
mod simplex_potential;
mod soft_label_audit;
mod stored;
mod sums;
mod training;
mod vectors;

use pyo3::prelude::*;

/// The compiled part of `neuralcollapse`.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use crate::audit::Audit;
    #[pymodule_export]
    use crate::diagrams::phase_diagram;
    #[pymodule_export]
    use crate::first_pass::FirstPass;
    #[pymodule_export]
    use crate::geometry::{ClassMatrix, general_orthogonal_frame, orthogonal_frame, simplex_etf};
    #[pymodule_export]
    use crate::layers::{layers, separation_law};
    #[pymodule_export]
    use crate::metrics::{
        all_metrics, cdnv, confusion, nc1, nc1_trace_quotient, nc4, within_class_covariance,
    };
    #[pymodule_export]
    use crate::models::{
        CrossEntropy, FixedHead, LayerPeeled, MultiLabel, Seli, SoftLabels, SparseLabels,
        SphericalCrossEntropy, SupervisedContrastive, Ufm, margin_equalizing_weights,
        one_vs_rest_bound, one_vs_rest_distance, predict, simplex_margins,
    };
    #[pymodule_export]
    use crate::objective::{
        balancedness, decay_of_code, feature_decay_of_code, infer_decays, least_squares_split,
        objective,
    };
    #[pymodule_export]
    use crate::out_of_distribution::{Neco, detection, nc5, nc5_standard_error, nci_scores};
    #[pymodule_export]
    use crate::passes::limit_threads;
    #[pymodule_export]
    use crate::pictures::{class_groups, plane};
    #[pymodule_export]
    use crate::potential::{Potential, critical_imbalance_ratio};
    #[pymodule_export]
    use crate::prediction::Prediction;
    #[pymodule_export]
    use crate::problem::with_imbalance;
    #[pymodule_export]
    use crate::quasi_interpolation::QuasiInterpolation;
    #[pymodule_export]
    use crate::regression::{RegressionAudit, audit_regression, nrc1, nrc2, nrc3, predicted_gamma};
    #[pymodule_export]
    use crate::relu::ReluCompetitor;
    #[pymodule_export]
    use crate::simplex_potential::SimplexPotential;
    #[pymodule_export]
    use crate::soft_label_audit::{SoftLabelAudit, audit_soft_labels};
    #[pymodule_export]
    use crate::sums::{AuditPart, AuditSums};
    #[pymodule_export]
    use crate::training::{LogisticLaw, fitted_rate, line_of_rate};
    #[pymodule_export]
    use crate::vectors::{
        duality_cosines, nc0, nc0_factor, nc2, nc3, self_duality, shape, tag_average_residuals,
        unstructured_levels,
    };
}
