#![doc = include_str!("../README.md")]

mod audit;
pub mod error;
mod geometry;
pub mod measure;
mod metrics;
mod models;
mod monitor;
mod numerics;
mod objective;
mod problem;

pub use audit::{Audit, AuditSums, ClassAudit, Compared, audit};
#[doc(inline)]
pub use error::{Error, Result};
pub use geometry::class_matrix::ClassMatrix;
pub use geometry::frame::{embed_frame, general_orthogonal_frame, orthogonal_frame, simplex_etf};
pub use measure::center::Center;
pub use measure::class_vectors::ClassVectors;
pub use measure::deviations::within_class_covariance;
pub use measure::features::Features;
pub use measure::labeled_features::LabeledFeatures;
pub use measure::pooled::PooledScatter;
pub use measure::scatter::{ProjectedScatter, ProjectedSums};
pub use measure::statistics::ClassStatistics;
pub use metrics::{
    Cdnv, DecisionCounts, DecisionShares, Equiangularity, Nc1, Nc1Options, Nc4, Spread, cdnv,
    cosine_spread, duality_cosines, equiangularity, log_energy, nc1, nc1_trace_quotient, nc2, nc3,
    nc4, norm_spread, self_duality,
};
pub use models::cross_entropy::{
    Block, BlockShape, CrossEntropyPoint, CrossEntropyUfm, Landscape, LogitStructure, LossMean,
    Phase, Proof, SimplexMinimizer, SimplexPotential, Verdict, phase_diagram,
};
pub use models::explicit::{Basis, ExplicitMinimizer};
pub use models::layer_peeled::{LayerPeeled, LayerPeeledMinimum, layer_peeled_critical_ratio};
pub use models::squared::collapse::critical_imbalance_ratio;
pub use models::squared::direction::Direction;
pub use models::squared::minimum::{ClassGeometry, Geometry, GlobalMinimum};
pub use models::squared::potential::{Minimizer, Potential, Regime, StationaryPoints};
pub use models::squared::quasi_interpolation::QuasiInterpolation;
pub use models::squared::ufm::Ufm;
pub use models::svm::Seli;
pub use monitor::{Monitor, Progress};
pub use numerics::parallel::limit_threads;
pub use numerics::scalar::Scalar;
pub use objective::{Objective, ObjectiveSums, balancedness};
pub use problem::counts::{ClassCounts, Run, SizeGroup};
pub use problem::head::LinearHead;
pub use problem::regularization::{Bias, Regularization};
