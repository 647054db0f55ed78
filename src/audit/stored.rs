//! An audit as an object of plain numbers: what the program prints as JSON, key by key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

use crate::audit::classes::ClassAudit;
use crate::audit::comparison::Audit;
use crate::audit::frames::FrameDistances;
use crate::audit::layer_ratios::LayerRatio;
use crate::audit::measurement::Measurement;
use crate::audit::structure::NetworkStructure;
use crate::audit::sums::AuditOptions;
use crate::audit::training::TrainingVerdict;
use crate::error::{Error, check_not_negative};
use crate::metrics::errors::StandardErrors;
use crate::metrics::levels::Levels;
use crate::metrics::{AllMetrics, Nc1, Nc1Options, Nc4};
use crate::objective::{LeastSquaresSplit, Objective};
use crate::prediction::{Geometry, Summary};
use crate::problem::counts::ClassCounts;
use crate::problem::training_objective::TrainingObjective;

/// The keys of the object.
#[derive(Serialize)]
struct AuditObject<'a> {
    #[serde(flatten)]
    numbers: Numbers<'a>,
    training_objective: Option<&'a TrainingObjective>,
    prediction: Option<&'a Summary>,
}

/// All of them but the prediction. Numbers that are missing are null, and `reasons` says why.
#[derive(Serialize)]
struct Numbers<'a> {
    counts: &'a ClassCounts,
    nc1: Option<f64>,
    nc1_rank: Option<usize>,
    nc1_predicted_rank: Option<Nc1>,
    nc1_resolved: Option<Nc1>,
    nc2: &'a [Option<f64>],
    nc2_target: Option<&'a Geometry>,
    nc2_class_means: Option<f64>,
    nc3: Option<f64>,
    nc3_centered: Option<f64>,
    nc3_target: Option<&'a Geometry>,
    nc4: f64,
    accuracy: f64,
    loss: Option<f64>,
    loss_optimum: Option<f64>,
    loss_gap: Option<f64>,
    loss_gap_relative: Option<f64>,
    objective: Option<Objective>,
    gradient_norm: Option<f64>,
    balancedness: Option<&'a [f64]>,
    least_squares_split: Option<SplitObject>,
    // The key is a contract, whatever the spelling elsewhere.
    #[serde(rename = "relabelled")]
    relabeled: bool,
    matching: Option<&'a [usize]>,
    distances: Option<&'a FrameDistances>,
    levels: &'a Levels,
    standard_errors: Option<&'a StandardErrors>,
    no_prediction: Option<&'a str>,
    verdict: &'a TrainingVerdict,
    structure: Option<&'a NetworkStructure>,
    reasons: &'a BTreeMap<&'static str, String>,
    classes: &'a [ClassAudit],
    #[serde(skip_serializing_if = "is_empty")]
    nc1_layer_ratios: &'a [LayerRatio],
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<&'a AllMetrics>,
}

/// The parts of the squared loss without the best head, K×d numbers, which the program does not print.
#[derive(Serialize)]
struct SplitObject {
    within_classes: f64,
    class_means: f64,
    penalty: f64,
    head_distance: f64,
}

impl SplitObject {
    fn new(split: &LeastSquaresSplit) -> Self {
        let LeastSquaresSplit { within_classes, class_means, penalty, head_distance, .. } = *split;
        Self { within_classes, class_means, penalty, head_distance }
    }
}

fn is_empty(ratios: &&[LayerRatio]) -> bool {
    ratios.is_empty()
}

impl Audit {
    /// All numbers of the audit but those of its [`prediction`](Self::prediction), as they are serialized: for a program that
    /// describes the prediction itself.
    ///
    /// ```
    /// use neural_collapse::{Basis, ClassCounts, Features, Prediction, Regularization, Ufm, audit};
    ///
    /// let minimum = Ufm::new(ClassCounts::new(&[2, 1])?, Regularization::new(&[0.1], 0.1)?)?.global_minimum()?;
    /// let network = minimum.explicit(&Basis::Standard)?;
    /// let features = network.features()?;
    /// let data = Features::from_sample_columns(&features)?.with_labels(&[0, 0, 1], 2)?;
    /// let audit = audit(&data, network.head(), &minimum)?;
    /// let numbers = serde_json::to_value(audit.numbers()).unwrap();
    /// assert_eq!(numbers["accuracy"], 1.0);
    /// assert!(numbers.get("prediction").is_none());
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn numbers(&self) -> impl Serialize + '_ {
        self.object()
    }

    fn object(&self) -> Numbers<'_> {
        let measurement = &self.measurement;
        Numbers {
            counts: measurement.counts(),
            nc1: measurement.nc1().map(|nc1| nc1.value),
            nc1_rank: measurement.nc1().map(|nc1| nc1.rank),
            nc1_predicted_rank: measurement.nc1_predicted_rank(),
            nc1_resolved: measurement.nc1_resolved(),
            nc2: &self.nc2,
            nc2_target: self.nc2_target.as_ref(),
            nc2_class_means: self.nc2_class_means,
            nc3: self.nc3,
            nc3_centered: self.nc3_centered,
            nc3_target: self.nc3_target.as_ref(),
            nc4: measurement.nc4().overall.agreement,
            accuracy: measurement.accuracy(),
            loss: self.loss,
            loss_optimum: self.loss_optimum(),
            loss_gap: self.loss_gap(),
            loss_gap_relative: self.loss_gap_relative(),
            objective: measurement.objective(),
            gradient_norm: self.gradient_norm(),
            balancedness: measurement.balancedness(),
            least_squares_split: measurement.least_squares_split().map(SplitObject::new),
            relabeled: self.matching.as_ref().is_some_and(|order| !order.is_sorted()),
            matching: self.matching.as_deref(),
            distances: self.distances.as_ref(),
            levels: &self.levels,
            standard_errors: self.standard_errors.as_ref(),
            no_prediction: self.no_prediction.as_deref(),
            verdict: &self.verdict,
            structure: self.structure.as_ref(),
            reasons: &self.reasons,
            classes: &self.classes,
            nc1_layer_ratios: &self.nc1_layer_ratios,
            metrics: measurement.metrics(),
        }
    }
}

impl Serialize for Audit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        AuditObject {
            numbers: self.object(),
            training_objective: self.measurement.training_objective(),
            prediction: self.prediction.as_ref(),
        }
        .serialize(serializer)
    }
}

/// What a measurement is written as, beside its head and its class statistics, which can be written by themselves.
#[derive(Serialize)]
struct MeasurementObject<'a> {
    counts: &'a ClassCounts,
    training_objective: Option<&'a TrainingObjective>,
    class_mean_norms: &'a [f64],
    nc1: Option<Nc1>,
    nc1_predicted_rank: Option<Nc1>,
    nc1_resolved: Option<Nc1>,
    nc4: &'a Nc4,
    objective: Option<Objective>,
    balancedness: Option<&'a [f64]>,
    least_squares_split: Option<SplitObject>,
    feature_energy: Option<f64>,
    features_squared: f64,
    metrics: Option<&'a AllMetrics>,
}

impl Serialize for Measurement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        MeasurementObject {
            counts: self.counts(),
            training_objective: self.training_objective(),
            class_mean_norms: self.class_mean_norms(),
            nc1: self.nc1(),
            nc1_predicted_rank: self.nc1_predicted_rank(),
            nc1_resolved: self.nc1_resolved(),
            nc4: self.nc4(),
            objective: self.objective(),
            balancedness: self.balancedness(),
            least_squares_split: self.least_squares_split().map(SplitObject::new),
            feature_energy: self.feature_energy(),
            features_squared: self.features_squared,
            metrics: self.metrics(),
        }
        .serialize(serializer)
    }
}

/// [`AuditOptions`] as they are read, before their numbers are looked at.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename = "AuditOptions")]
pub(super) struct StoredOptions {
    objective: Option<TrainingObjective>,
    all_metrics: bool,
    other_samples: bool,
    standard_errors: bool,
    nc1: Nc1Options,
    features_squared: Option<f64>,
    predicted_rank: Option<usize>,
    without_balance: bool,
}

impl TryFrom<StoredOptions> for AuditOptions {
    type Error = Error;

    fn try_from(stored: StoredOptions) -> crate::error::Result<Self> {
        if let Some(squared) = stored.features_squared {
            check_not_negative("features_squared", squared)?;
        }
        check_not_negative("rank_cutoff", stored.nc1.rank_cutoff)?;
        Ok(Self {
            objective: stored.objective,
            all_metrics: stored.all_metrics,
            other_samples: stored.other_samples,
            standard_errors: stored.standard_errors,
            nc1: stored.nc1,
            features_squared: stored.features_squared,
            predicted_rank: stored.predicted_rank,
            without_balance: stored.without_balance,
        })
    }
}
