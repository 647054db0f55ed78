#![doc = include_str!("../README.md")]

mod audit;
mod bracket;
mod class_matrix;
mod collapse;
mod counts;
mod cross_entropy;
mod direction;
mod distance;
mod error;
mod explicit;
mod family;
mod features;
mod frame;
mod head;
mod layer_peeled;
mod linalg;
mod metrics;
mod minimum;
mod objective;
mod potential;
mod quasi_interpolation;
mod regularization;
mod relu;
mod root;
mod scale;
mod secular;
mod seli;
mod spectrum;
mod stationary;
mod statistics;
mod twofold;
mod ufm;

pub use audit::{Audit, ClassAudit, Compared, audit};
pub use class_matrix::ClassMatrix;
pub use collapse::critical_imbalance_ratio;
pub use counts::{ClassCounts, Run, SizeGroup};
pub use cross_entropy::{
    Block, BlockShape, CrossEntropyPoint, CrossEntropyUfm, Landscape, LogitStructure, LossMean,
    Phase, Proof, SimplexMinimizer, SimplexPotential, Verdict, phase_diagram,
};
pub use direction::Direction;
pub use error::{Error, Result};
pub use explicit::{Basis, ExplicitMinimizer};
pub use features::{Features, LabeledFeatures, Scalar};
pub use frame::{embed_frame, general_orthogonal_frame, orthogonal_frame, simplex_etf};
pub use head::LinearHead;
pub use layer_peeled::{LayerPeeled, LayerPeeledMinimum, layer_peeled_critical_ratio};
pub use metrics::{DecisionShares, Nc1, Nc1Options, Nc4, nc1, nc2, nc3, nc4};
pub use minimum::{ClassGeometry, Geometry, GlobalMinimum};
pub use objective::{Objective, balancedness};
pub use potential::{Minimizer, Potential, Regime, StationaryPoints};
pub use quasi_interpolation::QuasiInterpolation;
pub use regularization::{Bias, Regularization};
pub use seli::Seli;
pub use statistics::{Center, ClassStatistics, within_class_covariance};
pub use ufm::Ufm;
