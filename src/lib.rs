#![doc = include_str!("../README.md")]

pub mod audit;
pub mod error;
pub mod geometry;
pub mod measure;
pub mod metrics;
pub mod models;
mod monitor;
mod numerics;
pub mod objective;
pub mod prediction;
pub mod problem;

#[doc(inline)]
pub use audit::{Audit, AuditSums, audit};
#[doc(inline)]
pub use error::{Error, Result};
#[doc(inline)]
pub use geometry::ClassMatrix;
#[doc(inline)]
pub use measure::{ClassStatistics, Features, LabeledFeatures};
#[doc(inline)]
pub use models::cross_entropy::{CrossEntropyUfm, Landscape};
#[doc(inline)]
pub use models::layer_peeled::LayerPeeled;
#[doc(inline)]
pub use models::squared::{GlobalMinimum, Potential, Ufm};
#[doc(inline)]
pub use models::svm::Seli;
pub use monitor::{Monitor, Progress};
#[doc(inline)]
pub use prediction::{Basis, ExplicitPoint, Geometry, Prediction, Verdict};
#[doc(inline)]
pub use problem::{Bias, ClassCounts, LinearHead, Regularization};
