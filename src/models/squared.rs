//! The squared loss: its global minimum in closed form, direction by direction of the effective target.

pub(crate) mod collapse;
pub(crate) mod direction;
pub(crate) mod minimum;
pub(crate) mod potential;
pub(crate) mod quasi_interpolation;
mod relu;
pub(crate) mod spectrum;
mod stationary;
#[cfg(feature = "serde")]
mod stored;
pub(crate) mod ufm;
