#![doc = include_str!("../README.md")]

mod audit;
mod bracket;
mod center;
mod class_matrix;
mod class_vectors;
mod collapse;
mod compensated;
mod counts;
mod cross_entropy;
mod deviations;
mod direction;
mod distance;
mod error;
mod explicit;
mod family;
mod features;
mod frame;
mod head;
mod labeled_features;
mod layer_peeled;
mod linalg;
mod metrics;
mod minimum;
mod objective;
mod parallel;
mod pooled;
mod potential;
mod projector;
mod quasi_interpolation;
mod regularization;
mod relu;
mod root;
mod scalar;
mod scale;
mod scatter;
mod secular;
mod seli;
mod simd;
mod spectrum;
mod stationary;
mod statistics;
#[cfg(feature = "serde")]
mod stored;
#[cfg(feature = "serde")]
mod stored_problem;
mod twofold;
mod ufm;

pub use audit::{Audit, AuditSums, ClassAudit, Compared, audit};
pub use center::Center;
pub use class_matrix::ClassMatrix;
pub use class_vectors::ClassVectors;
pub use collapse::critical_imbalance_ratio;
pub use counts::{ClassCounts, Run, SizeGroup};
pub use cross_entropy::{
    Block, BlockShape, CrossEntropyPoint, CrossEntropyUfm, Landscape, LogitStructure, LossMean,
    Phase, Proof, SimplexMinimizer, SimplexPotential, Verdict, phase_diagram,
};
pub use deviations::within_class_covariance;
pub use direction::Direction;
pub use error::{Error, Result};
pub use explicit::{Basis, ExplicitMinimizer};
pub use features::Features;
pub use frame::{embed_frame, general_orthogonal_frame, orthogonal_frame, simplex_etf};
pub use head::LinearHead;
pub use labeled_features::LabeledFeatures;
pub use layer_peeled::{LayerPeeled, LayerPeeledMinimum, layer_peeled_critical_ratio};
pub use metrics::{
    Cdnv, DecisionCounts, DecisionShares, Equiangularity, Nc1, Nc1Options, Nc4, Spread, cdnv,
    cosine_spread, duality_cosines, equiangularity, log_energy, nc1, nc1_trace_quotient, nc2, nc3,
    nc4, norm_spread, self_duality,
};
pub use minimum::{ClassGeometry, Geometry, GlobalMinimum};
pub use objective::{Objective, ObjectiveSums, balancedness};
pub use parallel::limit_threads;
pub use pooled::PooledScatter;
pub use potential::{Minimizer, Potential, Regime, StationaryPoints};
pub use quasi_interpolation::QuasiInterpolation;
pub use regularization::{Bias, Regularization};
pub use scalar::Scalar;
pub use scatter::{ProjectedScatter, ProjectedSums};
pub use seli::Seli;
pub use statistics::ClassStatistics;
pub use ufm::Ufm;
