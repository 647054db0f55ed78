//! A whole audit in batches and in pieces.

use std::sync::Arc;

use crate::audit::frames::comparable;
use crate::audit::measurement::Measurement;
use crate::audit::refused::classes_of;
use crate::audit::resolution::{Resolution, ResolvedSums};
use crate::audit::split::split;
use crate::error::{Error, Result};
use crate::measure::center::Center;
use crate::measure::class_means::check_second_pass;
use crate::measure::energy::FeatureEnergy;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::statistics::ClassStatistics;
use crate::metrics::errors::{Metric, SampleParts};
use crate::metrics::{DecisionCounts, MetricSums, Nc1Options, Nc1Sums, Near};
use crate::monitor::Monitor;
use crate::numerics::scalar::Scalar;
use crate::numerics::squares::norm;
use crate::objective::ObjectiveSums;
use crate::objective::gradient::Workspace;
use crate::prediction::{Prediction, answered};
use crate::problem::head::LinearHead;
use crate::problem::training_objective::{LossFunction, TrainingObjective};

/// Chunks that are looked at together where no copy of their features is made.
const WITHOUT_COPIES: usize = 4;

/// From so many samples for each class on, it pays to make what tells decisions from deviations.
const SAMPLES_OF_A_CLASS: u64 = 64;

/// What an audit shall measure beyond NC1 to NC4.
///
/// ```
/// use neural_collapse::Regularization;
/// use neural_collapse::audit::AuditOptions;
/// use neural_collapse::problem::{LossFunction, TrainingObjective};
///
/// let regularization = Regularization::new(&[1e-3], 1e-3)?;
/// let objective = TrainingObjective::penalized(LossFunction::SquaredError, regularization);
/// let options = AuditOptions::default().with_objective(objective).with_all_metrics(true);
/// assert!(options.all_metrics);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "crate::audit::stored::StoredOptions"))]
#[non_exhaustive]
pub struct AuditOptions {
    /// What the network was trained with, for its loss, gradient and balance.
    pub objective: Option<TrainingObjective>,
    /// Whether every metric of the library is wanted.
    pub all_metrics: bool,
    /// Whether the samples are others than those of the statistics: a test set around the class means of its
    /// training set. Of them there is neither a loss nor a gradient nor a balance, whatever the objective: features of other
    /// samples are not trained.
    pub other_samples: bool,
    /// Whether standard errors are wanted, and what noise alone would leave. Not for other samples than those of the
    /// statistics, as then nothing tells the errors of the class means.
    pub standard_errors: bool,
    /// The conventions of NC1, such as its rank cut-off.
    pub nc1: Nc1Options,
    /// ‖H‖² of the samples of the statistics, as [`FeatureEnergy::total`] gives it after the first pass: with it NC1 is
    /// measured beside on the directions that stand out of the noise of the class means.
    pub features_squared: Option<f64>,
    /// The rank of Σ_B that a prediction has, as [`Prediction::class_mean_rank`](crate::Prediction::class_mean_rank)
    /// gives it: with it NC1 is measured beside on so many directions, those in which the class means differ most.
    pub predicted_rank: Option<usize>,
    /// Whether the balance of the layers is left out, which takes d² numbers and d² operations per sample.
    pub without_balance: bool,
}

impl AuditOptions {
    /// What a prediction asks to be measured: the objective that it is the minimum of, and NC1 on its rank.
    ///
    /// # Errors
    /// [`Error::NotAnswered`] if the samples of the prediction belong to no classes, naming the function that compares a
    /// network with it; and whatever the prediction reports.
    ///
    /// ```
    /// use neural_collapse::audit::AuditOptions;
    /// use neural_collapse::{ClassCounts, Regularization, Ufm};
    ///
    /// let ufm = Ufm::new(ClassCounts::balanced(4, 9)?, Regularization::new(&[1e-3], 1e-3)?)?;
    /// let options = AuditOptions::for_prediction(&ufm.global_minimum()?)?;
    /// assert_eq!(options.predicted_rank, Some(3));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn for_prediction(prediction: &dyn Prediction) -> Result<Self> {
        classes_of(prediction)?;
        let rank = answered(prediction.class_mean_rank())?;
        let options = Self::default().with_objective(prediction.training_objective());
        Ok(options.with_predicted_rank(rank))
    }

    /// With the rank of Σ_B that is predicted, if it is determined.
    #[must_use]
    pub fn with_predicted_rank(self, predicted_rank: Option<usize>) -> Self {
        Self { predicted_rank, ..self }
    }

    /// With other conventions of NC1.
    #[must_use]
    pub fn with_nc1(self, nc1: Nc1Options) -> Self {
        Self { nc1, ..self }
    }

    /// With standard errors, or without.
    #[must_use]
    pub fn with_standard_errors(self, standard_errors: bool) -> Self {
        Self { standard_errors, ..self }
    }

    /// With ‖H‖² of the samples of the statistics.
    #[must_use]
    pub fn with_features_squared(self, features_squared: f64) -> Self {
        Self { features_squared: Some(features_squared), ..self }
    }

    /// With the balance of the layers, or without.
    #[must_use]
    pub fn with_balance(self, balance: bool) -> Self {
        Self { without_balance: !balance, ..self }
    }

    /// With the objective that the network was trained with.
    #[must_use]
    pub fn with_objective(self, objective: TrainingObjective) -> Self {
        Self { objective: Some(objective), ..self }
    }

    /// With every metric of the library, or without.
    #[must_use]
    pub fn with_all_metrics(self, all_metrics: bool) -> Self {
        Self { all_metrics, ..self }
    }

    /// For other samples than those of the statistics, or for the same.
    #[must_use]
    pub fn with_other_samples(self, other_samples: bool) -> Self {
        Self { other_samples, ..self }
    }
}

/// An audit of samples that come in batches or in pieces: the second pass, after that of
/// [`ClassStatistics`].
///
/// Of every batch all that is wanted is computed while it is in the cache. The sums own what they need, so
/// that they can be kept, sent elsewhere and [merged](Self::merge): pieces of a data set may be added up
/// anywhere, each from sums made of the same statistics. They take some dK numbers, and d² more with decays, for
/// the balance of the first layer with the features.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::audit::AuditOptions;
/// use neural_collapse::{AuditSums, ClassStatistics, Features, LinearHead};
///
/// let shards = [([1.1_f32, 0.0, -1.0, 0.3], [0, 1]), ([0.9_f32, 0.0, -1.0, -0.3], [0, 1])];
/// let mut statistics = ClassStatistics::empty(2, 2)?;
/// for (numbers, labels) in &shards {
///     statistics.accumulate(&Features::from_row_major(numbers, 2, 2)?.with_labels(labels, 2)?)?;
/// }
/// let head = LinearHead::new(vec![dmatrix![1.0, 0.0; -1.0, 0.0]], None)?;
/// let empty = AuditSums::new(statistics, head, &AuditOptions::default())?;
/// let mut whole = empty.clone();
/// for (numbers, labels) in &shards {
///     let mut piece = empty.clone(); // on another machine, perhaps
///     piece.accumulate(&Features::from_row_major(numbers, 2, 2)?.with_labels(labels, 2)?)?;
///     whole.merge(&piece)?;
/// }
/// let measured = whole.measurement()?;
/// assert!((measured.nc1().unwrap().value - 0.02 / 4.0 / 2.0).abs() < 1e-8);
/// assert_eq!(measured.nc4().overall.agreement, 1.0);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct AuditSums<T: Scalar> {
    statistics: Arc<ClassStatistics>,
    head: Arc<LinearHead>,
    training_objective: Option<TrainingObjective>,
    pub(super) nc1: Nc1Sums<T>,
    pub(super) resolved: ResolvedSums<T>,
    pub(super) predicted: ResolvedSums<T>,
    pub(super) decisions: DecisionCounts,
    pub(super) energy: FeatureEnergy,
    pub(super) objective: Option<ObjectiveSums>,
    pub(super) metrics: Option<MetricSums<T>>,
    pub(super) parts: Option<SampleParts>,
    /// Whether the energy is that of all samples already.
    knows_energy: bool,
    /// What tells decisions from the deviations of NC1; `None` where lengths are not known, classes are many or samples few.
    near: Option<Arc<Near<T>>>,
    other_samples: bool,
}

impl<T: Scalar> AuditSums<T> {
    /// No samples yet; `statistics` are those of all samples.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if head, statistics and decays do not fit together, [`Error::EmptyClass`](crate::Error::EmptyClass) if a class
    /// has no sample, [`Error::Unrepresentable`](crate::Error::Unrepresentable) if a product of layers overflows.
    pub fn new(
        statistics: impl Into<Arc<ClassStatistics>>,
        head: impl Into<Arc<LinearHead>>,
        options: &AuditOptions,
    ) -> Result<Self> {
        let (statistics, head) = (statistics.into(), head.into());
        let (objective, other) = (options.objective.as_ref(), options.other_samples);
        // First, as it checks that head and decays fit together.
        let sums = objective.filter(|_| !other).map(|objective| {
            objective_sums(&statistics, &head, objective, !options.without_balance)
        });
        let wants_errors = options.standard_errors && !other;
        let resolved = Resolution::of_noise(&statistics, &options.nc1, options.features_squared)?;
        let predicted = Resolution::of_rank(&statistics, &options.nc1, options.predicted_rank);
        let fewer = [&resolved, &predicted].into_iter().filter_map(Resolution::some);
        let nc1 = Nc1Sums::for_others(&statistics, &options.nc1, fewer)?;
        let [resolved, predicted] = [resolved, predicted]
            .map(|fewer| fewer.try_map(|options| nc1.beside(&statistics, &options).map(Box::new)));
        let (resolved, predicted) = (resolved?, predicted?);
        let decisions = DecisionCounts::new(&statistics, &head)?;
        let metrics = options
            .all_metrics
            .then(|| MetricSums::beside(&statistics, &head, &nc1, decisions.clone()));
        let metrics = metrics.transpose()?;
        let mut parts =
            wants_errors.then(|| SampleParts::new(&statistics, &options.nc1)).transpose()?;
        for (metric, directions) in
            [(Metric::Nc1Resolved, &resolved), (Metric::Nc1PredictedRank, &predicted)]
        {
            parts = parts.map(|parts| directions.with_parts(parts, metric)).transpose()?;
        }
        if options.all_metrics {
            parts = parts.map(|parts| parts.with_all_nc1(&head)).transpose()?;
        }
        Ok(Self {
            objective: sums.transpose()?.flatten(),
            nc1: of_other(nc1, Nc1Sums::of_other_samples, other),
            resolved: of_other(resolved, ResolvedSums::of_other_samples, other),
            predicted: of_other(predicted, ResolvedSums::of_other_samples, other),
            decisions: of_other(decisions, DecisionCounts::of_other_samples, other),
            energy: FeatureEnergy::empty(statistics.dimension(), statistics.classes())?,
            metrics: metrics.map(|metrics| of_other(metrics, MetricSums::of_other_samples, other)),
            parts,
            knows_energy: false,
            near: None,
            other_samples: options.other_samples,
            training_objective: options.objective.clone(),
            statistics,
            head,
        })
    }

    /// For samples of which the lengths are known already, so that decisions need not find them; an objective adds up its own.
    pub(super) fn with_energy(self, energy: FeatureEnergy) -> Result<Self> {
        if self.objective.is_some() {
            return Ok(self);
        }
        let samples = energy.counts().iter().sum::<u64>();
        let are_many = samples >= self.head.classes() as u64 * SAMPLES_OF_A_CLASS;
        let near = if are_many { self.decisions.near(&self.nc1)?.map(Arc::new) } else { None };
        Ok(Self { energy, knows_energy: true, near, ..self })
    }

    /// Adds the samples of a batch; one without samples changes nothing.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the batch has another dimension or number of classes,
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) naming a number that is not finite or too large; the sums are then as
    /// they were.
    pub fn accumulate(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<()> {
        let (dimension, classes) = (batch.features().dimension(), batch.classes());
        self.statistics.check_shape("features", dimension, classes)?;
        batch.features().check()?;
        self.accumulate_watched(batch, &())
    }

    /// The same for samples that the statistics are of, which have been checked.
    pub(crate) fn accumulate_watched(
        &mut self,
        data: &LabeledFeatures<'_, T>,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        let mut workspace = Workspace::new();
        // Where no copy of the features is made, fewer chunks: for each of them threads start anew.
        let copies = self.objective.is_some() || self.metrics.is_some() || self.parts.is_some();
        let together = if copies { 1 } else { WITHOUT_COPIES };
        data.watched_chunks_of(together, "deviations", monitor, |chunk| {
            self.add(chunk, &mut workspace)
        })
    }

    /// Adds a chunk of the right shape whose numbers were looked at.
    fn add(&mut self, chunk: &LabeledFeatures<'_, T>, workspace: &mut Workspace) -> Result<()> {
        let fewer: Vec<&Nc1Sums<T>> = [&self.resolved, &self.predicted]
            .into_iter()
            .filter_map(Resolution::some)
            .map(Box::as_ref)
            .collect();
        let (nc1, seen) = self.nc1.find(chunk, &fewer, self.near.as_deref())?;
        self.nc1.add(chunk, &nc1)?;
        self.resolved.add(chunk, &nc1)?;
        self.predicted.add(chunk, &nc1)?;
        let objective = self.objective.as_mut();
        let found = objective.map(|objective| objective.add(chunk, workspace)).transpose()?;
        let of_head = found.as_ref().map(|found| &found.decisions[..]);
        let decisions = self.decisions.decide(chunk, of_head, seen)?;
        self.decisions.count(chunk.labels(), &decisions);
        // What leaves many samples open does so in every chunk.
        if decisions.iter().any(|decision| decision.square.is_some()) {
            self.near = None;
        }
        let squares = decisions.iter().filter_map(|decision| decision.square);
        match &mut self.objective {
            Some(objective) => objective.add_energy(chunk.labels(), squares),
            None if self.knows_energy => {}
            None => self.energy.add(chunk.labels(), squares),
        }
        if let Some(metrics) = &mut self.metrics {
            metrics.add(chunk, &nc1, &decisions)?;
        }
        if let Some(parts) = &mut self.parts {
            parts.accumulate_with_losses(chunk, found.as_ref().map(|found| &found.losses[..]))?;
        }
        Ok(())
    }

    /// Adds the samples of other sums, made of the same statistics, head and options.
    ///
    /// # Errors
    /// [`Error::DifferentFirstPass`](crate::Error::DifferentFirstPass) if they were not.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.merge_part(&other.part())
    }

    /// What was measured.
    ///
    /// # Errors
    /// [`Error::SecondPass`](crate::Error::SecondPass) if a class had not as many samples as in the statistics,
    /// [`Error::Unrepresentable`](crate::Error::Unrepresentable) if a number overflows.
    pub fn measurement(&self) -> Result<Measurement> {
        let objective = self.objective.as_ref();
        let energy = match objective {
            Some(objective) => objective.feature_energy()?,
            None => &self.energy,
        };
        if !self.other_samples {
            check_second_pass(self.statistics.counts(), energy.counts())?;
        }
        let class_means = self.statistics.class_means()?;
        let repeated = self.statistics.counts().iter().any(|&count| count > 1);
        let nc1 = if repeated { comparable(self.nc1.nc1())? } else { None };
        let on = |directions: &ResolvedSums<T>| match repeated {
            true => Ok(comparable(directions.nc1(nc1))?.flatten()),
            false => Ok::<_, Error>(None),
        };
        let nc4 = self.decisions.nc4()?;
        Ok(Measurement {
            counts: self.statistics.class_counts()?,
            centered_means: self.statistics.centered_means(Center::Samples)?,
            class_mean_norms: class_means.column_iter().map(|mean| norm(mean.as_slice())).collect(),
            class_means,
            nc1_resolved: on(&self.resolved)?,
            nc1_predicted_rank: on(&self.predicted)?,
            nc1,
            nc4,
            objective: objective.map(ObjectiveSums::objective).transpose()?,
            balancedness: objective.map_or(Ok(None), ObjectiveSums::balancedness)?,
            feature_energy: class_energy(energy),
            features_squared: energy.total(),
            parts: self.parts.clone().map(Arc::new),
            metrics: self.metrics.as_ref().map(MetricSums::metrics).transpose()?,
            split: split(objective, &self.statistics, &self.head, self.training_objective.as_ref()),
            training_objective: self.training_objective.clone(),
            is_of_other_samples: self.other_samples,
            statistics: Arc::clone(&self.statistics),
            head: Arc::clone(&self.head),
        })
    }
}

/// The sums as they are, or for other samples than those of the statistics.
fn of_other<S>(sums: S, convert: fn(S) -> S, other_samples: bool) -> S {
    if other_samples { convert(sums) } else { sums }
}

/// The mean energy of the features, if every class has samples.
fn class_energy(energy: &FeatureEnergy) -> Option<f64> {
    energy.mean().ok()
}

/// The sums of an objective that can be evaluated sample by sample: a margin or a loss of pairs cannot.
fn objective_sums(
    statistics: &ClassStatistics,
    head: &LinearHead,
    objective: &TrainingObjective,
    balance: bool,
) -> Result<Option<ObjectiveSums>> {
    let is_of_pairs = objective.loss_function() == LossFunction::SupervisedContrastive;
    if objective.is_constraint() || is_of_pairs {
        return Ok(None);
    }
    let sums = ObjectiveSums::new(statistics, head, objective)?;
    let is_balanced = match objective {
        // At the edge of the constraint the gradient in the features need not vanish, and the balance not hold.
        TrainingObjective::WeightedCrossEntropy { nonnegative_features, .. } => {
            !nonnegative_features
        }
        _ => objective.regularization().is_some(),
    };
    match balance && is_balanced {
        true => sums.with_scatter(statistics).map(Some),
        false => Ok(Some(sums)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::measure_with;
    use crate::measure::features::Features;
    use crate::problem::regularization::Regularization;
    use nalgebra::{DMatrix, dmatrix};

    /// At the edge of a constraint the gradient in the features need not vanish, and layers need not be balanced.
    #[test]
    fn constrained_features_have_no_balance() {
        let features = dmatrix![1.0, 0.5, 0.0, 0.2; 0.0, 0.1, 2.0, 1.0];
        let data = Features::from_sample_columns(&features).unwrap();
        let data = data.with_labels(&[0, 0, 1, 1], 2).unwrap();
        for nonnegative_features in [false, true] {
            let objective = TrainingObjective::WeightedCrossEntropy {
                regularization: Regularization::new(&[1e-3], 1e-3).unwrap(),
                class_weights: vec![2.0, 1.0],
                label_smoothing: 0.0,
                logit_offsets: Vec::new(),
                nonnegative_features,
            };
            let head = LinearHead::new(vec![dmatrix![1.0, 0.0; 0.0, 1.0]], None).unwrap();
            let options = AuditOptions::default().with_objective(objective);
            let found = measure_with(&data, &head, &options, &()).unwrap();
            assert!(found.objective().is_some());
            assert_eq!(found.balancedness().is_some(), !nonnegative_features);
        }
    }

    /// Samples in memory, whose decisions follow from projections, beside those in batches, which know less of each other.
    #[test]
    fn samples_in_memory_are_measured_as_in_batches() {
        for (classes, dimension) in [(4, 20), (12, 64)] {
            let labels: Vec<usize> = (0..64 * classes).map(|sample| sample % classes).collect();
            let number = |i: usize, j: usize| ((i * i * 7 + j * 13 + i * j) as f64).sin();
            let features = DMatrix::from_fn(dimension, labels.len(), |i, j| {
                (number(i, labels[j]) + 0.5 * number(j + 9, i)) as f32
            });
            let weights = DMatrix::from_fn(classes, dimension, |k, i| number(i, k));
            let head = LinearHead::new(vec![weights], None).unwrap();
            let data = Features::from_sample_columns(&features).unwrap();
            let data = data.with_labels(&labels, classes).unwrap();
            let options = AuditOptions::default();
            let found = measure_with(&data, &head, &options, &()).unwrap();

            let statistics = ClassStatistics::new(&data).unwrap();
            let energy = FeatureEnergy::new(&data).unwrap();
            let sums = AuditSums::<f32>::new(statistics.clone(), head.clone(), &options).unwrap();
            // Nearly all decisions are certain, so that projections are not given up.
            let mut sums = sums.with_energy(energy).unwrap();
            sums.accumulate(&data).unwrap();
            assert!(sums.near.is_some());
            let squares = found.features_squared;
            let options = options.with_features_squared(squares);
            let mut sums = AuditSums::<f32>::new(statistics, head, &options).unwrap();
            for batch in 0..8 {
                let size = labels.len() / 8;
                sums.accumulate(&data.part(batch * size..(batch + 1) * size)).unwrap();
            }
            let expected = sums.measurement().unwrap();
            assert_eq!(found.nc4(), expected.nc4());
            let [found, expected] = [found, expected]
                .map(|measured| (measured.features_squared, measured.nc1().unwrap().value));
            assert!((found.0 / expected.0 - 1.0).abs() < 1e-14);
            assert!((found.1 / expected.1 - 1.0).abs() < 1e-9);
        }
    }
}
