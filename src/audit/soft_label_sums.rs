//! An audit of soft labels in batches and in pieces.

use std::sync::Arc;

use crate::audit::part::both_fit;
use crate::error::{Error, Result, check_shape};
use crate::geometry::class_matrix::ClassMatrix;
use crate::measure::energy::FeatureEnergy;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::projected::Nc1Part;
use crate::measure::statistics::ClassStatistics;
use crate::measure::version::Version;
use crate::metrics::{Nc1Options, Nc1Sums};
use crate::numerics::scalar::Scalar;
use crate::objective::{ObjectivePart, ObjectiveSums};
use crate::prediction::{LabelGeometry, Prediction, Summary, answered};
use crate::problem::head::LinearHead;

/// An audit by soft labels of samples that come in batches or in pieces: the second pass, after that of
/// [`ClassStatistics`], in which a sample's class is the number of its label.
///
/// What it ends in is the same as that of [`audit_soft_labels`](crate::audit::audit_soft_labels). Pieces may be added up
/// anywhere, each from a clone of these sums or from sums made of the same statistics, head and prediction.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::audit::SoftLabelSums;
/// use neural_collapse::models::convex::ConvexUfm;
/// use neural_collapse::{ClassStatistics, Features, LinearHead, Regularization};
///
/// let labels = dmatrix![0.9, 0.1, 0.5; 0.1, 0.9, 0.5];
/// let ufm = ConvexUfm::soft_labels(labels, &[2, 1, 1], Regularization::new(&[1e-2], 2e-2)?)?;
/// let shards = [([1.1_f32, 0.0, -1.0, 0.3], [0, 1]), ([0.9_f32, 0.0, 0.1, -0.3], [0, 2])];
/// let mut statistics = ClassStatistics::empty(2, 3)?;
/// for (numbers, labels) in &shards {
///     statistics.accumulate(&Features::from_row_major(numbers, 2, 2)?.with_labels(labels, 3)?)?;
/// }
/// let head = LinearHead::new(vec![dmatrix![1.0, 0.0; -1.0, 0.0]], None)?;
/// let mut sums = SoftLabelSums::new(statistics, head, &ufm.global_minimum()?)?;
/// let empty = sums.clone();
/// for (numbers, labels) in &shards {
///     let mut piece = empty.clone(); // on another machine, perhaps
///     piece.accumulate(&Features::from_row_major(numbers, 2, 2)?.with_labels(labels, 3)?)?;
///     sums.merge(&piece)?;
/// }
/// assert!(sums.audit()?.loss_gap().unwrap() > 0.0);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SoftLabelSums<T: Scalar> {
    pub(super) statistics: Arc<ClassStatistics>,
    pub(super) head: Arc<LinearHead>,
    pub(super) predicted: Arc<Predicted>,
    pub(super) nc1: Nc1Sums<T>,
    pub(super) energy: FeatureEnergy,
    /// `None` for a constraint, which has no value.
    pub(super) objective: Option<ObjectiveSums>,
}

/// What a network is held against.
#[derive(Debug)]
pub(super) struct Predicted {
    pub(super) labels: LabelGeometry,
    /// That of the rows of W.
    pub(super) gram: ClassMatrix,
    pub(super) summary: Summary,
}

/// What [`SoftLabelSums`] have added up, without the statistics, the head and the prediction that all pieces share. With the
/// feature `serde` it can be serialized.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct SoftLabelPart {
    version: Version<1>,
    nc1: Nc1Part,
    energy: FeatureEnergy,
    objective: Option<ObjectivePart>,
}

impl<T: Scalar> SoftLabelSums<T> {
    /// No samples yet; `statistics` are those of all samples, by the number of their label. Several layers are multiplied where
    /// the prediction is of their product alone, as those of contexts.
    ///
    /// # Errors
    /// [`Error::NotAnswered`] if the samples of the prediction belong to classes or have targets of their own, naming the
    /// function for them; [`Error::Shape`] if head, statistics and prediction do not fit together, [`Error::EmptyClass`] if a
    /// label has no sample, [`Error::DifferentCounts`] if the prediction is for other numbers of samples.
    pub fn new(
        statistics: impl Into<Arc<ClassStatistics>>,
        head: impl Into<Arc<LinearHead>>,
        prediction: &dyn Prediction,
    ) -> Result<Self> {
        let (statistics, mut head) = (statistics.into(), head.into());
        let labels = labels_of(prediction)?;
        if head.depth() != 1 {
            if !labels.training_objective.is_of_one_layer() {
                let reason = "as the model has one layer, whose penalty is not that of several";
                return Err(Error::length("weights", head.depth(), 1, reason));
            }
            head = Arc::new(head.to_one_layer()?);
        }
        let expected = labels.counts.classes();
        if statistics.classes() != expected {
            let reason = "one for each label of the prediction";
            return Err(Error::length("labels", statistics.classes(), expected, reason));
        }
        statistics.class_counts()?.check_predicted(&labels.counts)?;
        let found = (head.classes(), head.feature_dimension());
        let expected = (prediction.classes(), statistics.dimension());
        check_shape("weights", found, expected, "outputs × features")?;
        let objective = match labels.training_objective.is_constraint() {
            true => None,
            false => {
                let sums = ObjectiveSums::new(&statistics, &head, &labels.training_objective)?;
                Some(sums.with_balancedness()?)
            }
        };
        let (gram, summary) = (prediction.trailing_gram(1)?, Summary::new(prediction)?);
        Ok(Self {
            nc1: Nc1Sums::new(&statistics, &Nc1Options::default())?,
            energy: FeatureEnergy::empty(statistics.dimension(), statistics.classes())?,
            objective,
            predicted: Arc::new(Predicted { labels, gram, summary }),
            statistics,
            head,
        })
    }

    /// Adds the samples of a batch; one without samples changes nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] if the batch has another dimension or number of labels, [`Error::OutOfRange`] naming a number that is
    /// not finite or too large; the sums are then as they were.
    pub fn accumulate(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<()> {
        let (dimension, labels) = (batch.features().dimension(), batch.classes());
        self.statistics.check_shape("features", dimension, labels)?;
        batch.features().check()?;
        for chunk in batch.chunks() {
            self.nc1.accumulate(&chunk)?;
            self.energy.accumulate(&chunk)?;
            if let Some(objective) = &mut self.objective {
                objective.accumulate(&chunk)?;
            }
        }
        Ok(())
    }

    /// Adds the samples of other sums, made of the same statistics, head and prediction.
    ///
    /// # Errors
    /// As [`merge_part`](Self::merge_part).
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.merge_part(&other.part())
    }

    /// What has been added up so far: what the workers of a cluster send back.
    #[must_use]
    pub fn part(&self) -> SoftLabelPart {
        SoftLabelPart {
            version: Version,
            nc1: self.nc1.part(),
            energy: self.energy.clone(),
            objective: self.objective.as_ref().map(ObjectiveSums::part),
        }
    }

    /// Adds what others have added up.
    ///
    /// # Errors
    /// [`Error::DifferentFirstPass`] if that is from other statistics, another head or objective; the sums are then as they
    /// were.
    pub fn merge_part(&mut self, other: &SoftLabelPart) -> Result<()> {
        let fits = both_fit(&self.objective, &other.objective, ObjectiveSums::fits);
        if !fits || !self.nc1.fits(&other.nc1) {
            return Err(Error::DifferentFirstPass);
        }
        let mut energy = self.energy.clone();
        energy.merge(&other.energy).map_err(|_| Error::DifferentFirstPass)?;
        if let (Some(own), Some(other)) = (&mut self.objective, &other.objective) {
            own.merge_part(other)?;
        }
        self.nc1.merge_part(&other.nc1)?;
        self.energy = energy;
        Ok(())
    }
}

/// What a prediction says label by label, or what to use instead.
fn labels_of(prediction: &dyn Prediction) -> Result<LabelGeometry> {
    let reason = match prediction.counts() {
        Some(_) => "the labels of the prediction are classes; `audit` compares a network with it",
        None => {
            "every sample of the prediction has a target of its own; `audit_regression` compares a network with it"
        }
    };
    let question = "an audit by soft labels";
    answered(prediction.label_geometry())?.ok_or(Error::NotAnswered { question, reason })
}
