//! A measured network beside any prediction.
//!
//! [`audit`] does all at once for data in memory. In batches and in pieces it is three steps: class statistics
//! ([`ClassStatistics`]), sums of a second pass over the same samples
//! ([`AuditSums`]), and the comparison of what they [measured](AuditSums::measurement) with a
//! [`Prediction`] ([`Measurement::compare`]) or with none ([`Measurement::without_prediction`]).
//!
//! | samples | in memory | in batches and in pieces |
//! |---|---|---|
//! | belong to classes | [`audit`] | [`ClassStatistics`], [`AuditSums`] |
//! | the same, where only the product of the layers is known | [`audit_product`] | [`Measurement::compare_product`] |
//! | the same, without a prediction | [`audit_without_prediction`], [`measure`] | [`Measurement::without_prediction`] |
//! | carry soft labels, sets of tags or contexts | [`audit_soft_labels`] | [`ClassStatistics`], [`SoftLabelSums`] |
//! | have real-valued targets | [`audit_regression`] | [`RegressionStatistics`], [`RegressionSums`] |

mod aligned;
mod classes;
mod comparison;
mod difference;
mod frames;
mod layer_ratios;
mod measurement;
mod part;
mod predicted_regression;
mod rate;
mod reasons;
mod refused;
mod regression;
mod regression_sums;
mod resolution;
mod sampling;
mod soft_label_sums;
mod soft_labels;
mod split;
#[cfg(feature = "serde")]
mod stored;
mod structure;
mod sums;
mod training;
mod unpredicted;

pub use classes::{ClassAudit, Compared};
pub use comparison::Audit;
pub use difference::{AuditDifference, MetricDifference, Samples};
pub use frames::{FrameDistance, FrameDistances};
pub use layer_ratios::{LayerRatio, predicted_layer_ratios};
pub use measurement::Measurement;
pub use part::AuditPart;
pub use rate::{PredictedRates, fitted_rate, line_of_rate};
pub use regression::{RegressionAudit, audit_regression, audit_regression_with};
pub use regression_sums::{RegressionPart, RegressionStatistics, RegressionSums};
pub use soft_label_sums::{SoftLabelPart, SoftLabelSums};
pub use soft_labels::{SoftLabelAudit, audit_soft_labels, audit_soft_labels_with};
pub use structure::NetworkStructure;
pub use sums::{AuditOptions, AuditSums};
pub use training::{AT_MINIMUM, Arrival, STATIONARY, TrainingVerdict};

use crate::error::Result;
use crate::measure::energy::FeatureEnergy;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::statistics::ClassStatistics;
use crate::monitor::Monitor;
use crate::numerics::scalar::Scalar;
use crate::prediction::{Prediction, answered};
use crate::problem::head::LinearHead;
use crate::problem::training_objective::TrainingObjective;

/// Audits a network against a prediction: features and labels of its training set and its linear head.
///
/// The prediction carries the objective that the network was trained with, from which loss, gradient and balance
/// follow. A model of one layer without decays (the layer-peeled model, the support vector machine) is compared
/// with the product of all layers.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if head, features and prediction do not fit together,
/// [`Error::EmptyClass`](crate::Error::EmptyClass) if a class has no sample,
/// [`Error::DifferentCounts`](crate::Error::DifferentCounts) if the prediction is for other class counts,
/// [`Error::NotAnswered`](crate::Error::NotAnswered) if its samples belong to no classes, naming the function that compares a
/// network with it ([`audit_soft_labels`] or [`audit_regression`]), and
/// [`Error::Unrepresentable`](crate::Error::Unrepresentable) if a number overflows.
///
/// ```
/// use neural_collapse::{Basis, ClassCounts, Features, Prediction, Regularization, Ufm, audit};
///
/// let ufm = Ufm::new(ClassCounts::new(&[6, 3, 3])?, Regularization::uniform(2, 5e-4, 5e-4)?)?;
/// let minimum = ufm.with_widths(&[8, 8])?.global_minimum()?;
/// // An explicit global minimizer stands in for a trained network.
/// let network = minimum.explicit(&Basis::Standard)?;
/// let features = network.features()?;
/// let labels = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2];
/// let data = Features::from_sample_columns(&features)?.with_labels(&labels, 3)?;
///
/// let audit = audit(&data, network.head(), &minimum)?;
/// assert!(audit.measurement.nc1().unwrap().value < 1e-25);
/// assert!(audit.nc2.iter().flatten().all(|&distance| distance < 1e-14));
/// assert!(audit.nc3.unwrap() < 1e-14);
/// assert!(audit.loss_gap().unwrap().abs() < 1e-15);
/// assert_eq!(audit.verdict.kind, neural_collapse::audit::Arrival::GlobalMinimum);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: the measurements of Dang et al. (ICML 2023), appendix C, beside its theorems.
pub fn audit<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    head: &LinearHead,
    prediction: &dyn Prediction,
) -> Result<Audit> {
    audit_with(data, head, prediction, &())
}

/// [`audit`] under the eyes of a monitor, which may end it.
///
/// # Errors
/// As [`audit`], and [`Error::Cancelled`](crate::Error::Cancelled) if the monitor ends the work.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use neural_collapse::audit::audit_with;
/// use neural_collapse::{Basis, ClassCounts, Error, Features, Prediction, Progress, Regularization, Ufm};
///
/// let minimum = Ufm::new(ClassCounts::new(&[2, 1])?, Regularization::new(&[1e-2], 1e-2)?)?.global_minimum()?;
/// let network = minimum.explicit(&Basis::Standard)?;
/// let features = network.features()?;
/// let data = Features::from_sample_columns(&features)?.with_labels(&[0, 0, 1], 2)?;
/// let hasty = |progress: Progress| match progress.stage {
///     "deviations" => ControlFlow::Break(()),
///     _ => ControlFlow::Continue(()),
/// };
/// assert_eq!(audit_with(&data, network.head(), &minimum, &hasty), Err(Error::Cancelled));
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn audit_with<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    head: &LinearHead,
    prediction: &dyn Prediction,
    monitor: &dyn Monitor,
) -> Result<Audit> {
    let options = AuditOptions::for_prediction(prediction)?;
    refused::check_layers(prediction, head)?;
    measure_with(data, head, &options, monitor)?.compare_with(prediction, monitor)
}

/// Audits a network of which only the product W_M⋯W₁ of its linear layers is known against a prediction of any depth
/// ([`Measurement::compare_product`]): `head` is the product, or has layers that are multiplied. Loss and gradient are those of
/// the product beside a prediction of one layer, and missing beside one of several.
///
/// # Errors
/// As [`audit`], but for the number of layers.
///
/// ```
/// use neural_collapse::audit::{Arrival, audit_product};
/// use neural_collapse::{Basis, ClassCounts, Features, Prediction, Regularization, Ufm};
///
/// let minimum = Ufm::new(ClassCounts::new(&[4, 2])?, Regularization::new(&[1e-2], 1e-2)?)?.global_minimum()?;
/// let network = minimum.explicit(&Basis::Standard)?; // stands in for a trained network
/// let features = network.features()?;
/// let data = Features::from_sample_columns(&features)?.with_labels(&[0, 0, 0, 0, 1, 1], 2)?;
/// let audit = audit_product(&data, network.head(), &minimum)?;
/// assert!(audit.loss_gap().unwrap().abs() < 1e-15);
/// assert_eq!(audit.verdict.kind, Arrival::GlobalMinimum);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn audit_product<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    head: &LinearHead,
    prediction: &dyn Prediction,
) -> Result<Audit> {
    let options = AuditOptions::for_prediction(prediction)?;
    let measured = match prediction.depth() {
        0 | 1 => measure_with(data, &head.to_one_layer()?, &options, &()),
        // Penalties of several layers are not those of their product.
        _ => measure_with(data, head, &AuditOptions { objective: None, ..options }, &()),
    };
    measured?.compare_product(prediction)
}

/// Audits a network without any prediction, for a `reason`: NC1, NC4, and distances to the frames that need none.
///
/// In pieces: [`Measurement::without_prediction`].
///
/// # Errors
/// As [`audit`].
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::audit::audit_without_prediction;
/// use neural_collapse::{Features, LinearHead};
///
/// let features = [1.9_f32, 0.1, 2.1, -0.1, 0.0, 1.9, 0.0, 2.1]; // four samples in two dimensions
/// let data = Features::from_row_major(&features, 4, 2)?.with_labels(&[0, 0, 1, 1], 2)?;
/// let head = LinearHead::new(vec![dmatrix![0.5, 0.0; 0.0, 0.5]], None)?;
/// let audit = audit_without_prediction(&data, &head, "the decays are not known")?;
/// // Without a bias the frame depends on the loss: the squared one leads to the orthogonal frame.
/// assert_eq!(audit.nc3, None);
/// assert!(audit.distances.unwrap().orthogonal_frame.unwrap().nc3.unwrap() < 1e-6);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn audit_without_prediction<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    head: &LinearHead,
    reason: impl Into<String>,
) -> Result<Audit> {
    measure(data, head)?.without_prediction(reason)
}

/// The rank of Σ_B at a prediction, for [`AuditOptions::predicted_rank`]; `None` where it has no answer.
///
/// # Errors
/// Whatever the prediction reports.
///
/// ```
/// use neural_collapse::audit::predicted_rank;
/// use neural_collapse::{ClassCounts, Regularization, Ufm};
///
/// // The smallest class collapses: three orthogonal means and one at zero differ in three directions.
/// let ufm = Ufm::new(ClassCounts::new(&[2000, 495, 495, 10])?, Regularization::new(&[3e-3], 3e-3)?)?;
/// assert_eq!(predicted_rank(&ufm.global_minimum()?)?, Some(3));
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn predicted_rank(prediction: &dyn Prediction) -> Result<Option<usize>> {
    answered(prediction.class_mean_rank())
}

/// Measures a network without any prediction: NC1, NC4 and accuracies, and distances to frames on demand.
///
/// # Errors
/// As [`audit`].
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::audit::measure;
/// use neural_collapse::{Features, LinearHead};
///
/// let features = [1.9_f32, 0.1, 2.1, -0.1, 0.0, 1.9, 0.0, 2.1]; // four samples in two dimensions
/// let data = Features::from_row_major(&features, 4, 2)?.with_labels(&[0, 0, 1, 1], 2)?;
/// let head = LinearHead::new(vec![dmatrix![0.5, 0.0; 0.0, 0.5]], None)?;
/// let measured = measure(&data, &head)?;
/// assert!(measured.nc1().unwrap().value < 0.01);
/// assert_eq!(measured.accuracy(), 1.0);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn measure<T: Scalar>(data: &LabeledFeatures<'_, T>, head: &LinearHead) -> Result<Measurement> {
    measure_with(data, head, &AuditOptions::default(), &())
}

/// [`measure`] with what the options ask for, under the eyes of a monitor, which may end it.
///
/// The lengths of the features ([`features_squared`](AuditOptions::features_squared)) are found in the first pass, and the
/// layers are multiplied for the objective of a model of one layer.
///
/// # Errors
/// As [`AuditSums::new`], and [`Error::Cancelled`](crate::Error::Cancelled) if the monitor ends the work.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use nalgebra::dmatrix;
/// use neural_collapse::audit::{AuditOptions, measure_with};
/// use neural_collapse::{Features, LinearHead, Progress};
///
/// let features = [1.9_f32, 0.1, 2.1, -0.1, 0.0, 1.9, 0.0, 2.1]; // four samples in two dimensions
/// let data = Features::from_row_major(&features, 4, 2)?.with_labels(&[0, 0, 1, 1], 2)?;
/// let head = LinearHead::new(vec![dmatrix![0.5, 0.0; 0.0, 0.5]], None)?;
/// let options = AuditOptions::default().with_all_metrics(true);
/// let patient = |progress: Progress| match progress.stage {
///     "class means" | "deviations" => ControlFlow::Continue(()),
///     _ => ControlFlow::Break(()),
/// };
/// let measured = measure_with(&data, &head, &options, &patient)?;
/// assert!(measured.metrics().unwrap().cdnv.is_some());
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn measure_with<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    head: &LinearHead,
    options: &AuditOptions,
    monitor: &dyn Monitor,
) -> Result<Measurement> {
    let needs_one_layer =
        options.objective.as_ref().is_some_and(TrainingObjective::is_of_one_layer);
    let one_layer = needs_one_layer.then(|| head.to_one_layer()).transpose()?;
    let head = one_layer.unwrap_or_else(|| head.clone());
    // All at once, so that the means do not depend on the cuts between chunks.
    let (dimension, classes) = (data.features().dimension(), data.classes());
    let mut statistics = ClassStatistics::empty(dimension, classes)?;
    let mut energy = FeatureEnergy::empty(dimension, classes)?;
    energy.accumulate_with(&mut statistics, data)?;
    monitor.report("class means", statistics.samples(), Some(statistics.samples()))?;
    let options = options.clone().with_features_squared(energy.total());
    let mut sums = AuditSums::new(statistics, head, &options)?.with_energy(energy)?;
    sums.accumulate_watched(data, monitor)?;
    sums.measurement()
}
