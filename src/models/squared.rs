//! The squared loss: its global minimum in closed form, direction by direction of the effective target.

pub use collapse::critical_imbalance_ratio;
pub use collapse_order::CollapseFactor;
pub use curvature::{Curvature, Eigenvalue};
pub use direction::Direction;
pub use dynamics::LogisticLaw;
pub use minimum::GlobalMinimum;
pub use potential::{Minimizer, Potential, StationaryPoints, beta, minimize_g, tau};
pub use quasi_interpolation::QuasiInterpolation;
pub use relu_competitor::ReluCompetitor;
pub use target_vectors::TargetVector;
pub use ufm::Ufm;

mod classes;
mod collapse;
mod collapse_order;
mod curvature;
mod direction;
mod dynamics;
mod explicit;
mod minimum;
mod nearness;
mod potential;
mod prediction;
mod quasi_interpolation;
mod relu;
mod relu_competitor;
mod size_curve;
mod spectral;
mod spectrum;
mod stationary;
mod target_vectors;
mod ufm;
