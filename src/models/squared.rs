//! The squared loss: its global minimum in closed form, direction by direction of the effective target.

pub use collapse::critical_imbalance_ratio;
pub use direction::Direction;
pub use minimum::GlobalMinimum;
pub use potential::{Minimizer, Potential, Regime, StationaryPoints};
pub use quasi_interpolation::QuasiInterpolation;
pub use ufm::Ufm;

pub(crate) mod collapse;
pub(crate) mod direction;
mod explicit;
pub(crate) mod minimum;
pub(crate) mod potential;
pub(crate) mod quasi_interpolation;
mod relu;
pub(crate) mod spectrum;
mod stationary;
#[cfg(feature = "serde")]
mod stored;
pub(crate) mod ufm;
