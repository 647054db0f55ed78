//! The closed-form geometry of neural collapse.

mod class_matrix;
mod collapse;
mod counts;
mod direction;
mod distance;
mod error;
mod explicit;
mod family;
mod frame;
mod head;
mod linalg;
mod minimum;
mod potential;
mod regularization;
mod root;
mod scale;
mod secular;
mod spectrum;
mod stationary;
mod twofold;
mod ufm;

pub use class_matrix::ClassMatrix;
pub use collapse::critical_imbalance_ratio;
pub use counts::{ClassCounts, Run, SizeGroup};
pub use direction::Direction;
pub use error::{Error, Result};
pub use explicit::{Basis, ExplicitMinimizer};
pub use frame::{embed_frame, general_orthogonal_frame, orthogonal_frame, simplex_etf};
pub use head::LinearHead;
pub use minimum::{ClassGeometry, Geometry, GlobalMinimum};
pub use potential::{Minimizer, Potential, Regime, StationaryPoints};
pub use regularization::{Bias, Regularization};
pub use ufm::Ufm;
