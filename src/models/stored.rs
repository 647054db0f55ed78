//! How problems and minima are stored, with the feature `serde`.
//!
//! A problem is stored as what it was made of, and read through its constructors. A minimum is written as its problem
//! beside its [`Summary`](crate::prediction::Summary); where it follows from the problem alone, that is all that is read
//! of it, and solved again. What a search has found is written only: read numbers would have to be believed.

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::models::contrastive::{Kind, UnitFeatures};
use crate::models::convex::{ConvexUfm, Labels};
use crate::models::cross_entropy::{CrossEntropyUfm, LossMean};
use crate::models::fixed_head::FixedHeadUfm;
use crate::models::layer_peeled::LayerPeeled;
use crate::models::low_rank::LowRankProblem;
use crate::models::low_rank::objective::DataTerm;
use crate::models::multi_label::MultiLabelUfm;
use crate::models::nonnegative::NonnegativeUfm;
use crate::models::soft_labels::SparseLabels;
use crate::models::svm::Seli;
use crate::numerics::stored::StoredMatrix;
use crate::problem::counts::ClassCounts;
use crate::problem::regularization::Regularization;
use crate::problem::training_objective::LossFunction;

mod minima;

/// A problem with the widths that it was stored with, if any.
fn narrowed<P>(
    problem: P,
    widths: Option<Vec<usize>>,
    narrow: fn(P, &[usize]) -> Result<P>,
) -> Result<P> {
    match widths {
        Some(widths) => narrow(problem, &widths),
        None => Ok(problem),
    }
}

/// A problem with the class weights that it was stored with, if any.
fn weighted<P>(
    problem: P,
    weights: Option<Vec<f64>>,
    weight: fn(P, &[f64]) -> Result<P>,
) -> Result<P> {
    match weights {
        Some(weights) => weight(problem, &weights),
        None => Ok(problem),
    }
}

/// [`ConvexUfm`].
#[derive(Deserialize)]
#[serde(rename = "ConvexUfm", deny_unknown_fields)]
pub(crate) struct StoredConvex {
    loss_function: LossFunction,
    counts: ClassCounts,
    labels: StoredLabels,
    #[serde(default)]
    logit_offsets: Option<Vec<f64>>,
    regularization: Regularization,
    #[serde(default)]
    widths: Option<Vec<usize>>,
}

/// [`Labels`].
#[derive(Serialize, Deserialize)]
#[serde(rename = "Labels", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum StoredLabels {
    Classes { weights: Option<Vec<f64>>, smoothing: f64 },
    PyTorch { weights: Vec<f64>, smoothing: f64 },
    Soft(StoredMatrix),
    WeightedSoft { labels: StoredMatrix, weights: Vec<f64> },
}

impl From<Labels> for StoredLabels {
    fn from(labels: Labels) -> Self {
        match labels {
            Labels::Classes { weights, smoothing } => Self::Classes { weights, smoothing },
            Labels::PyTorch { code, .. } => {
                Self::PyTorch { weights: code.weight().to_vec(), smoothing: code.label_smoothing() }
            }
            Labels::Soft { labels, weights } if weights.is_empty() => {
                Self::Soft(StoredMatrix::from(&labels))
            }
            Labels::Soft { labels, weights } => {
                Self::WeightedSoft { labels: StoredMatrix::from(&labels), weights }
            }
        }
    }
}

impl TryFrom<StoredConvex> for ConvexUfm {
    type Error = Error;

    fn try_from(stored: StoredConvex) -> Result<Self> {
        let StoredConvex { loss_function, counts, labels, logit_offsets, regularization, widths } =
            stored;
        let problem = match labels {
            StoredLabels::Soft(labels) => Self::soft_labels(
                DMatrix::try_from(labels)?,
                &class_sizes(&counts),
                regularization,
            )?,
            StoredLabels::WeightedSoft { labels, weights } => {
                let (labels, samples) = (DMatrix::try_from(labels)?, class_sizes(&counts));
                Self::soft_labels(labels, &samples, regularization)?.with_label_weights(&weights)?
            }
            StoredLabels::PyTorch { weights, smoothing } => {
                Self::pytorch(counts, &weights, smoothing, regularization)?
            }
            StoredLabels::Classes { weights, smoothing } => {
                let problem = match loss_function {
                    LossFunction::SquaredError => Self::squared_error(counts, regularization)?,
                    _ => Self::cross_entropy(counts, regularization)?,
                };
                let problem = problem.with_label_smoothing(smoothing)?;
                weighted(problem, weights, Self::with_class_weights)?
            }
        };
        let problem = match logit_offsets {
            Some(offsets) => problem.with_logit_offsets(&offsets)?,
            None => problem,
        };
        narrowed(problem, widths, Self::with_widths)
    }
}

/// [`CrossEntropyUfm`].
#[derive(Deserialize)]
#[serde(rename = "CrossEntropyUfm", deny_unknown_fields)]
pub(crate) struct StoredCrossEntropy {
    /// All the same.
    counts: ClassCounts,
    regularization: Regularization,
    #[serde(default)]
    loss_mean: LossMean,
    #[serde(default)]
    label_smoothing: f64,
    #[serde(default)]
    widths: Option<Vec<usize>>,
}

impl TryFrom<StoredCrossEntropy> for CrossEntropyUfm {
    type Error = Error;

    fn try_from(stored: StoredCrossEntropy) -> Result<Self> {
        let counts = stored.counts;
        let samples =
            counts.count(0).filter(|_| counts.is_balanced()).ok_or(Error::NoClosedForm {
                problem: "cross-entropy with two and more layers and classes of different sizes",
            })?;
        let problem = Self::new(counts.classes(), samples, stored.regularization)?;
        let problem = problem.with_loss_mean(stored.loss_mean);
        let problem = problem.with_label_smoothing(stored.label_smoothing)?;
        narrowed(problem, stored.widths, Self::with_widths)
    }
}

/// [`LowRankProblem`].
#[derive(Deserialize)]
#[serde(rename = "LowRankProblem", deny_unknown_fields)]
pub(crate) struct StoredLowRank {
    data_term: DataTerm,
    counts: ClassCounts,
    regularization: Regularization,
    #[serde(default)]
    class_weights: Vec<f64>,
    #[serde(default)]
    label_smoothing: f64,
    #[serde(default)]
    widths: Option<Vec<usize>>,
}

impl TryFrom<StoredLowRank> for LowRankProblem {
    type Error = Error;

    fn try_from(stored: StoredLowRank) -> Result<Self> {
        let (counts, regularization) = (stored.counts, stored.regularization);
        let problem = match stored.data_term {
            DataTerm::CrossEntropy => Self::cross_entropy(counts, regularization)?,
            DataTerm::Squared => Self::squared(counts, regularization)?,
        };
        let problem = problem.with_label_smoothing(stored.label_smoothing)?;
        let weights = Some(stored.class_weights).filter(|weights| !weights.is_empty());
        let problem = weighted(problem, weights, Self::with_class_weights)?;
        narrowed(problem, stored.widths, Self::with_widths)
    }
}

/// [`NonnegativeUfm`].
#[derive(Deserialize)]
#[serde(rename = "NonnegativeUfm", deny_unknown_fields)]
pub(crate) struct StoredNonnegative {
    counts: ClassCounts,
    regularization: Regularization,
    #[serde(default)]
    class_weights: Option<Vec<f64>>,
    #[serde(default)]
    label_smoothing: f64,
    #[serde(default)]
    widths: Option<Vec<usize>>,
}

impl TryFrom<StoredNonnegative> for NonnegativeUfm {
    type Error = Error;

    fn try_from(stored: StoredNonnegative) -> Result<Self> {
        let problem = Self::new(stored.counts, stored.regularization)?;
        let problem = problem.with_label_smoothing(stored.label_smoothing)?;
        let problem = weighted(problem, stored.class_weights, Self::with_class_weights)?;
        narrowed(problem, stored.widths, Self::with_widths)
    }
}

/// [`LayerPeeled`].
#[derive(Deserialize)]
#[serde(rename = "LayerPeeled", deny_unknown_fields)]
pub(crate) struct StoredLayerPeeled {
    counts: ClassCounts,
    weight_energy: f64,
    feature_energy: f64,
}

impl TryFrom<StoredLayerPeeled> for LayerPeeled {
    type Error = Error;

    fn try_from(stored: StoredLayerPeeled) -> Result<Self> {
        Self::new(stored.counts, stored.weight_energy, stored.feature_energy)
    }
}

/// [`Seli`].
#[derive(Deserialize)]
#[serde(rename = "Seli", deny_unknown_fields)]
pub(crate) struct StoredSeli {
    counts: ClassCounts,
    #[serde(default)]
    margins: Option<Vec<f64>>,
    #[serde(default)]
    logit_scales: Option<Vec<f64>>,
}

impl TryFrom<StoredSeli> for Seli {
    type Error = Error;

    fn try_from(stored: StoredSeli) -> Result<Self> {
        let problem = weighted(Self::new(stored.counts)?, stored.margins, Self::with_margins)?;
        weighted(problem, stored.logit_scales, Self::with_logit_scales)
    }
}

/// [`MultiLabelUfm`].
#[derive(Serialize, Deserialize)]
#[serde(rename = "MultiLabelUfm", deny_unknown_fields)]
pub(crate) struct StoredMultiLabel {
    classes: usize,
    /// (m, n_m).
    samples_per_set: Vec<(usize, u64)>,
    regularization: Regularization,
    #[serde(default)]
    widths: Option<Vec<usize>>,
}

impl From<MultiLabelUfm> for StoredMultiLabel {
    fn from(problem: MultiLabelUfm) -> Self {
        Self {
            classes: problem.classes(),
            samples_per_set: problem.samples_per_set().collect(),
            regularization: problem.regularization().clone(),
            widths: problem.widths().map(<[usize]>::to_vec),
        }
    }
}

impl TryFrom<StoredMultiLabel> for MultiLabelUfm {
    type Error = Error;

    fn try_from(stored: StoredMultiLabel) -> Result<Self> {
        let problem = Self::new(stored.classes, &stored.samples_per_set, stored.regularization)?;
        narrowed(problem, stored.widths, Self::with_widths)
    }
}

/// [`SparseLabels`].
#[derive(Serialize, Deserialize)]
#[serde(rename = "SparseLabels", deny_unknown_fields)]
pub(crate) struct StoredSparseLabels {
    classes: usize,
    supports: Vec<Vec<usize>>,
    samples: Vec<u64>,
}

impl From<SparseLabels> for StoredSparseLabels {
    fn from(problem: SparseLabels) -> Self {
        Self {
            classes: problem.classes(),
            supports: problem.supports().to_vec(),
            samples: class_sizes(problem.samples()),
        }
    }
}

impl TryFrom<StoredSparseLabels> for SparseLabels {
    type Error = Error;

    fn try_from(stored: StoredSparseLabels) -> Result<Self> {
        Self::new(stored.classes, &stored.supports, &stored.samples)
    }
}

/// [`FixedHeadUfm`].
#[derive(Deserialize)]
#[serde(rename = "FixedHeadUfm", deny_unknown_fields)]
pub(crate) struct StoredFixedHead {
    counts: ClassCounts,
    classifier_norm_squared: f64,
    feature_decay: f64,
    #[serde(default)]
    label_smoothing: f64,
}

impl TryFrom<StoredFixedHead> for FixedHeadUfm {
    type Error = Error;

    fn try_from(stored: StoredFixedHead) -> Result<Self> {
        Self::new(stored.counts, stored.classifier_norm_squared, stored.feature_decay)?
            .with_label_smoothing(stored.label_smoothing)
    }
}

/// [`UnitFeatures`].
#[derive(Deserialize)]
#[serde(rename = "UnitFeatures", deny_unknown_fields)]
pub(crate) struct StoredUnitFeatures {
    counts: ClassCounts,
    temperature: f64,
    kind: Kind,
}

impl TryFrom<StoredUnitFeatures> for UnitFeatures {
    type Error = Error;

    fn try_from(stored: StoredUnitFeatures) -> Result<Self> {
        let StoredUnitFeatures { counts, temperature, kind } = stored;
        match kind {
            Kind::Contrastive => Self::supervised_contrastive(counts, temperature),
            Kind::NonnegativeContrastive => {
                Self::supervised_contrastive(counts, temperature)?.with_nonnegative_features()
            }
            Kind::SphericalCrossEntropy => Self::spherical_cross_entropy(counts, temperature),
        }
    }
}

/// n₁, …, n_K.
fn class_sizes(counts: &ClassCounts) -> Vec<u64> {
    counts.runs().flat_map(|run| core::iter::repeat_n(run.size, run.classes().len())).collect()
}
