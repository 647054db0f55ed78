//! An audit of regression in batches and in pieces.

use std::sync::Arc;

use nalgebra::{DMatrix, DVector};

use crate::audit::predicted_regression::PredictedRegression;
use crate::error::{Error, Result, check_shape};
use crate::measure::deviations::Deviations;
use crate::measure::features::Features;
use crate::measure::fingerprint::Fingerprint;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::pooled::PooledScatter;
use crate::measure::version::Version;
use crate::metrics::{Outside, row_space};
use crate::numerics::linalg::{check_finite, product, symmetric_eigen};
use crate::numerics::scalar::{Scalar, to_f64};
use crate::problem::head::LinearHead;
use crate::problem::regularization::{Bias, Regularization};

/// The first pass over the samples of a regression: mean and covariance of the features, and the targets.
///
/// It takes d² numbers and K for each sample. Pieces computed elsewhere can be [merged](Self::merge), and with the feature
/// `serde` stored; [`RegressionSums`] are the second pass.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, try_from = "StoredRegression"))]
pub struct RegressionStatistics {
    version: Version<1>,
    scatter: PooledScatter,
    outputs: usize,
    /// Sample by sample.
    targets: Vec<f64>,
}

/// [`RegressionStatistics`] as they are read, before it is known whether the parts fit together.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRegression {
    version: Version<1>,
    scatter: PooledScatter,
    outputs: usize,
    #[serde(with = "crate::measure::written::finite")]
    targets: Vec<f64>,
}

#[cfg(feature = "serde")]
impl TryFrom<StoredRegression> for RegressionStatistics {
    type Error = Error;

    fn try_from(stored: StoredRegression) -> Result<Self> {
        let StoredRegression { version, scatter, outputs, targets } = stored;
        if outputs == 0 {
            return Err(Error::out_of_range("outputs", 0.0, "at least 1"));
        }
        let classes = scatter.statistics().classes();
        if classes != 1 {
            let reason =
                "as the samples of a regression belong to no classes and are counted together";
            return Err(Error::length("counts", classes, 1, reason));
        }
        let samples = scatter.statistics().samples();
        let expected = usize::try_from(samples).unwrap_or(usize::MAX).saturating_mul(outputs);
        if targets.len() != expected {
            let reason = "outputs × samples";
            return Err(Error::length("targets", targets.len(), expected, reason));
        }
        Ok(Self { version, scatter, outputs, targets })
    }
}

impl RegressionStatistics {
    /// No samples yet, of d = `dimension` features and K = `outputs`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if a number is 0 or d² numbers do not fit in memory.
    pub fn empty(dimension: usize, outputs: usize) -> Result<Self> {
        if outputs == 0 {
            return Err(Error::out_of_range("outputs", 0.0, "at least 1"));
        }
        let scatter = PooledScatter::empty(dimension, 1)?;
        Ok(Self { version: Version, scatter, outputs, targets: Vec::new() })
    }

    /// Adds a batch of samples with their targets (K×B), a column for each.
    ///
    /// # Errors
    /// [`Error::Shape`] if features or targets have another shape, [`Error::OutOfRange`] naming a number that is not finite or
    /// too large; the statistics are then as they were.
    pub fn accumulate<T: Scalar>(
        &mut self,
        features: &Features<'_, T>,
        targets: &DMatrix<f64>,
    ) -> Result<()> {
        check_targets(targets, (self.outputs, features.samples()))?;
        let labels = vec![0; features.samples()];
        self.scatter.accumulate(&features.with_labels(&labels, 1)?)?;
        self.targets.extend_from_slice(targets.as_slice());
        Ok(())
    }

    /// Adds the samples of others.
    ///
    /// # Errors
    /// [`Error::Shape`] if they have other numbers of features or outputs.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.outputs != other.outputs {
            let reason = "the outputs of the statistics";
            return Err(Error::length("targets", other.outputs, self.outputs, reason));
        }
        self.scatter.merge(&other.scatter)?;
        self.targets.extend_from_slice(&other.targets);
        Ok(())
    }

    /// Number of samples N.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.scatter.statistics().samples()
    }
}

/// An audit of regression whose samples come in batches or in pieces: the second pass, after that of
/// [`RegressionStatistics`].
///
/// What it ends in is that of [`audit_regression`](crate::audit::audit_regression), but for the standard errors of NRC1 and
/// NRC2, which take a third pass. It keeps five numbers for each sample, from which the other standard errors follow.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::audit::{RegressionStatistics, RegressionSums};
/// use neural_collapse::{Features, LinearHead, Regularization};
///
/// let shards = [
///     (dmatrix![1.0, -1.0; 0.2, 0.1], dmatrix![2.0, -1.8]),
///     (dmatrix![0.5, 2.0; -0.3, 0.1], dmatrix![0.8, 4.1]),
/// ];
/// let mut statistics = RegressionStatistics::empty(2, 1)?;
/// for (features, targets) in &shards {
///     statistics.accumulate(&Features::from_sample_columns(features)?, targets)?;
/// }
/// let head = LinearHead::new(vec![dmatrix![1.9, 0.0]], None)?;
/// let mut sums = RegressionSums::new(&statistics, head, &Regularization::new(&[1e-2], 1e-2)?)?;
/// let empty = sums.clone();
/// for (features, targets) in &shards {
///     let mut piece = empty.clone(); // on another machine, perhaps
///     piece.accumulate(&Features::from_sample_columns(features)?, targets)?;
///     sums.merge(&piece)?;
/// }
/// let audit = sums.audit()?;
/// assert!(audit.fit.unwrap() > 0.9 && audit.loss_gap().unwrap() > 0.0);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct RegressionSums {
    pub(super) fixed: Arc<Fixed>,
    pub(super) part: RegressionPart,
}

/// What all pieces share.
#[derive(Debug)]
pub(super) struct Fixed {
    pub(super) head: LinearHead,
    pub(super) regularization: Regularization,
    /// All targets, K×N.
    pub(super) targets: DMatrix<f64>,
    /// ȳ.
    pub(super) mean: DVector<f64>,
    layers: DMatrix<f64>,
    /// Or why there is none.
    pub(super) predicted: Result<PredictedRegression, String>,
    shares: Option<Shares>,
    fingerprint: u64,
}

/// Where deviations of the features shall lie: in the first principal directions, and in the row space of the layers.
#[derive(Debug)]
struct Shares {
    deviations: Deviations,
    /// The second is missing for layers of zeros.
    bases: [Option<DMatrix<f64>>; 2],
}

/// What [`RegressionSums`] have added up: five numbers for each sample. With the feature `serde` it can be serialized.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct RegressionPart {
    version: Version<1>,
    fingerprint: u64,
    /// In their order: ‖z − y‖², ‖y − ȳ‖², ‖h‖², and of the prediction ‖z* − y‖², ‖h*‖².
    #[cfg_attr(feature = "serde", serde(with = "crate::measure::written::finite"))]
    samples: Vec<[f64; 5]>,
    /// Σ ‖z − z*‖².
    #[cfg_attr(feature = "serde", serde(with = "crate::measure::written::finite"))]
    pub(super) distance: f64,
    /// Σ ‖z*‖².
    #[cfg_attr(feature = "serde", serde(with = "crate::measure::written::finite"))]
    pub(super) size: f64,
    /// Of NRC1 and NRC2.
    pub(super) outside: [Outside; 2],
}

impl RegressionSums {
    /// No samples yet; `statistics` are those of all samples.
    ///
    /// # Errors
    /// [`Error::Shape`] if statistics, head and decays do not fit together, or there is a bias in the head and none in the
    /// decays or the other way round, [`Error::Empty`] without samples, [`Error::Unrepresentable`] if a product of layers
    /// overflows.
    pub fn new(
        statistics: &RegressionStatistics,
        head: LinearHead,
        regularization: &Regularization,
    ) -> Result<Self> {
        let of_features = statistics.scatter.statistics();
        head.check_shape("statistics", of_features.dimension(), statistics.outputs)?;
        if statistics.samples() == 0 {
            return Err(Error::Empty { argument: "statistics" });
        }
        let number = head.classes().min(head.feature_dimension());
        let principal = symmetric_eigen(&statistics.scatter.scatter)?.vectors;
        let rows = match row_space(&head) {
            Err(Error::ZeroNorm { .. }) => None,
            found => Some(found?),
        };
        let shares = Shares {
            deviations: Deviations::new(of_features.shared_means()?, 1.0),
            bases: [Some(principal.columns_range(..number).into_owned()), rows],
        };
        let samples = statistics.targets.len() / statistics.outputs;
        let targets = DMatrix::from_column_slice(statistics.outputs, samples, &statistics.targets);
        Self::build(targets, head, regularization, Some(shares))
    }

    /// The same without NRC1 and NRC2, for all targets (K×N).
    pub(super) fn of_targets(
        targets: DMatrix<f64>,
        head: LinearHead,
        regularization: &Regularization,
    ) -> Result<Self> {
        Self::build(targets, head, regularization, None)
    }

    fn build(
        targets: DMatrix<f64>,
        head: LinearHead,
        regularization: &Regularization,
        shares: Option<Shares>,
    ) -> Result<Self> {
        check_training(&head, regularization)?;
        let decays = regularization.weight_decays().iter();
        let (kind, decay) = match regularization.bias() {
            Bias::None => (0, 0.0),
            Bias::Unregularized => (1, 0.0),
            Bias::Regularized(decay) => (2, decay),
        };
        let means = shares.as_ref().map_or(0, |shares| shares.deviations.means().fingerprint());
        let fingerprint = Fingerprint::new()
            .words([kind, means])
            .numbers(decays.chain([&regularization.feature_decay(), &decay]))
            .layers(head.weights())
            .numbers(head.bias().into_iter().flatten())
            .numbers(&targets)
            .value();
        let fixed = Fixed {
            layers: head.product()?,
            mean: targets.column_mean(),
            predicted: PredictedRegression::new(&targets, &head, regularization)?,
            regularization: regularization.clone(),
            head,
            targets,
            shares,
            fingerprint,
        };
        let part = RegressionPart {
            version: Version,
            fingerprint,
            samples: Vec::new(),
            distance: 0.0,
            size: 0.0,
            outside: [Outside::default(); 2],
        };
        Ok(Self { fixed: Arc::new(fixed), part })
    }

    /// Adds the samples of a batch with their targets (K×B), a column for each.
    ///
    /// # Errors
    /// [`Error::Shape`] if features or targets have another shape, [`Error::OutOfRange`] naming a number that is not finite or
    /// too large; the sums are then as they were.
    pub fn accumulate<T: Scalar>(
        &mut self,
        features: &Features<'_, T>,
        targets: &DMatrix<f64>,
    ) -> Result<()> {
        let head = &self.fixed.head;
        head.check_shape("features", features.dimension(), head.classes())?;
        check_targets(targets, (head.classes(), features.samples()))?;
        features.check()?;
        let labels = vec![0; features.samples()];
        let mut first = 0;
        for chunk in features.with_labels(&labels, 1)?.chunks() {
            let samples = chunk.labels().len();
            self.add(&chunk, &targets.columns(first, samples).into_owned())?;
            first += samples;
        }
        Ok(())
    }

    /// Adds a chunk whose numbers were looked at.
    pub(super) fn add<T: Scalar>(
        &mut self,
        chunk: &LabeledFeatures<'_, T>,
        targets: &DMatrix<f64>,
    ) -> Result<()> {
        let Fixed { head, layers, mean, predicted, shares, .. } = &*self.fixed;
        let features = chunk.columns(|_, sample, out| to_f64(sample, out))?;
        let mut outputs = product(layers, &features);
        if let Some(bias) = head.bias() {
            outputs.column_iter_mut().for_each(|mut column| column += bias);
        }
        let best = match predicted {
            Ok(predicted) => predicted.features_and_outputs(targets),
            Err(_) => None,
        };
        for (sample, target) in targets.column_iter().enumerate() {
            let output = outputs.column(sample);
            let mut numbers = [
                (output - target).norm_squared(),
                (target - mean).norm_squared(),
                features.column(sample).norm_squared(),
                0.0,
                0.0,
            ];
            if let Some((best_features, best_outputs)) = &best {
                let best = best_outputs.column(sample);
                numbers[3] = (best - target).norm_squared();
                numbers[4] = best_features.column(sample).norm_squared();
                self.part.distance += (output - best).norm_squared();
                self.part.size += best.norm_squared();
            }
            self.part.samples.push(numbers);
        }
        let Some(Shares { deviations, bases }) = shares else { return Ok(()) };
        let deviations = deviations.of(chunk)?;
        for (outside, basis) in self.part.outside.iter_mut().zip(bases) {
            if let Some(basis) = basis {
                outside.add(deviations.clone(), basis);
            }
        }
        Ok(())
    }

    /// Adds the samples of other sums, made of the same statistics, head and decays.
    ///
    /// # Errors
    /// As [`merge_part`](Self::merge_part).
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.merge_part(&other.part)
    }

    /// What has been added up so far: what the workers of a cluster send back.
    #[must_use]
    pub fn part(&self) -> RegressionPart {
        self.part.clone()
    }

    /// Adds what others have added up. The order changes the result by no more than rounding errors.
    ///
    /// # Errors
    /// [`Error::DifferentFirstPass`] if that is from other statistics, another head or decays.
    pub fn merge_part(&mut self, other: &RegressionPart) -> Result<()> {
        if other.fingerprint != self.fixed.fingerprint {
            return Err(Error::DifferentFirstPass);
        }
        self.part.samples.extend_from_slice(&other.samples);
        self.part.distance += other.distance;
        self.part.size += other.size;
        for (own, other) in self.part.outside.iter_mut().zip(&other.outside) {
            own.merge(other);
        }
        Ok(())
    }

    /// One of the numbers of every sample, once all samples are there.
    pub(super) fn of_samples(&self, index: usize) -> Vec<f64> {
        self.part.samples.iter().filter_map(|numbers| numbers.get(index).copied()).collect()
    }

    /// Refuses a second pass over other samples than those of the first.
    pub(super) fn check_complete(&self) -> Result<()> {
        let (found, expected) = (self.part.samples.len(), self.fixed.targets.ncols());
        match found == expected {
            true => Ok(()),
            false => {
                let reason = "as many as in the first pass over the samples";
                Err(Error::length("samples", found, expected, reason))
            }
        }
    }

    /// NRC1 and NRC2, where they are defined and were measured.
    pub(super) fn shares_outside(&self) -> [Option<f64>; 2] {
        self.part.outside.map(|outside| outside.mean())
    }
}

/// Refuses targets of another shape, and numbers that are not finite.
pub(super) fn check_targets(targets: &DMatrix<f64>, expected: (usize, usize)) -> Result<()> {
    check_shape("targets", targets.shape(), expected, "outputs × samples")?;
    check_finite("targets", targets)
}

/// Refuses decays for another head.
fn check_training(head: &LinearHead, regularization: &Regularization) -> Result<()> {
    if head.depth() != regularization.depth() {
        let reason = "one for each layer of the head";
        return Err(Error::length("weight_decays", regularization.depth(), head.depth(), reason));
    }
    let (found, expected) =
        (usize::from(head.bias().is_some()), usize::from(regularization.bias() != Bias::None));
    if found != expected {
        let reason = "a bias of the head where the training has one";
        return Err(Error::length("bias", found, expected, reason));
    }
    Ok(())
}
