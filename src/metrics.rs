//! How far a trained network has collapsed.

mod all;
mod cdnv;
mod common_mean;
mod confusion;
mod decisions;
mod detection;
mod duality;
pub mod errors;
#[cfg(feature = "serde")]
mod keys;
pub mod layers;
pub mod levels;
mod nc0;
mod nc1;
mod nc1_sums;
mod nc2;
mod nc3;
mod nc4;
mod out_of_distribution;
mod pairs;
mod regression;
mod shape;
mod spread;
mod tag_average;
mod trace_quotient;

pub use crate::measure::projected::Nc1Part;
pub use all::{AllMetrics, ByCenter, MetricPart, MetricSums, all_metrics};
pub use cdnv::{Cdnv, cdnv};
pub(crate) use common_mean::Outside;
pub use confusion::{Confused, Confusion, ConfusionPart};
pub(crate) use decisions::Near;
pub use detection::{Detection, DetectionErrors};
pub use duality::{duality_cosines, self_duality};
pub use nc0::{nc0, nc0_factor};
pub use nc1::{Nc1, Nc1Options};
pub use nc1_sums::{Nc1Sums, nc1};
pub use nc2::{nc2, trailing_gram};
pub use nc3::{class_outputs, nc3};
pub use nc4::{DecisionCounts, DecisionPart, DecisionShares, Nc4, nc4};
pub use out_of_distribution::{Neco, nc5, nci_scores};
pub(crate) use regression::row_space;
pub use regression::{nrc1, nrc1_with, nrc2, nrc2_with, nrc3, predicted_gamma};
pub use shape::{Equiangularity, Shape, cosine_spread, equiangularity, log_energy, norm_spread};
pub use spread::Spread;
pub use tag_average::{TagAverage, tag_average_residuals};
pub use trace_quotient::nc1_trace_quotient;
