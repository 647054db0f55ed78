//! A measured network beside its prediction.

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::measure::class_means::check_second_pass;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::statistics::ClassStatistics;
use crate::metrics::{DecisionCounts, Nc1, Nc1Options, Nc1Sums, Nc4, nc2, nc3};
use crate::models::squared::GlobalMinimum;
use crate::models::squared::Ufm;
use crate::numerics::scalar::Scalar;
use crate::objective::{Objective, ObjectiveSums};
use crate::prediction::Prediction;
use crate::problem::counts::ClassCounts;
use crate::problem::head::LinearHead;
use crate::problem::regularization::Regularization;

/// A class counts as collapsed if the squared norms of its classifier and of its mean are both below
/// this share of the largest ones: its vectors are shorter than a thousandth of the longest.
const COLLAPSED: f64 = 1e-6;

/// What was measured on a network, beside what the theory predicts for it.
///
/// ```
/// use neural_collapse::{Basis, ClassCounts, Features, Prediction, Regularization, Ufm, audit};
///
/// // The explicit global minimiser stands in for a trained network.
/// let penalties = Regularization::new(&[5e-4, 5e-4], 5e-4)?;
/// let ufm = Ufm::new(ClassCounts::new(&[6, 3, 3])?, penalties.clone())?.with_widths(&[8, 8])?;
/// let network = ufm.global_minimum()?.explicit(&Basis::Random(1))?;
///
/// let features = network.features()?;
/// let labels = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2];
/// let data = Features::from_sample_columns(&features)?.with_labels(&labels, 3)?;
/// let audit = audit(&data, network.head(), Some(&penalties))?;
/// assert!(audit.nc1.unwrap().value < 1e-25);
/// assert!(audit.nc2.iter().flatten().all(|&distance| distance < 1e-14));
/// assert!(audit.nc3.unwrap() < 1e-14);
/// assert!(audit.loss_gap().unwrap().abs() < 1e-15);
/// assert!(audit.objective.unwrap().gradient_norm < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Audit {
    /// NC1 with the paper's conventions; `None` if the class means are all equal.
    pub nc1: Option<Nc1>,
    /// NC2ₘ for m = 1, …, M, to the predicted Gram matrix of the last m layers. `None` where there is
    /// no prediction to compare with, or nothing but zeros.
    pub nc2: Vec<Option<f64>>,
    /// NC3 to the predicted outputs for the class means, which are not centred. `None` as in `nc2`.
    pub nc3: Option<f64>,
    /// NC4: agreement with the nearest class mean, and accuracies.
    pub nc4: Nc4,
    /// The objective with its gradient; `None` without penalties.
    pub objective: Option<Objective>,
    /// The residuals of the layers' balance, as [`balancedness`](crate::balancedness) gives them; `None` without penalties.
    pub balancedness: Option<Vec<f64>>,
    /// Measured and predicted norms of every class.
    pub classes: Vec<ClassAudit>,
    /// The predicted global minimum; `None` without penalties or where there is no closed form.
    pub prediction: Option<GlobalMinimum>,
    /// Why there is no prediction although the penalties are known: an [`Error::NoClosedForm`], or
    /// penalties so extreme that a number of it would be out of range.
    pub not_predictable: Option<Error>,
}

impl Audit {
    /// The measured loss less that of the global minimum; `None` without a prediction.
    #[must_use]
    pub fn loss_gap(&self) -> Option<f64> {
        Some(self.objective?.loss() - self.prediction.as_ref()?.loss())
    }
}

/// A measured number or fact beside the predicted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Compared<T> {
    /// What the network has.
    pub measured: T,
    /// What the theory predicts; `None` without a prediction or if minimisers differ in it.
    pub predicted: Option<T>,
}

/// One class of an [`Audit`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ClassAudit {
    /// Number of samples.
    pub count: u64,
    /// ‖w_k‖², w_k the k-th row of W_M.
    pub classifier_norm_squared: Compared<f64>,
    /// ‖h_k‖², h_k the class mean.
    pub feature_norm_squared: Compared<f64>,
    /// Whether the class has collapsed to zero. Measured: both squared norms are below 10⁻⁶ of the
    /// largest ones.
    pub collapsed: Compared<bool>,
}

/// Audits a network: features and labels of its training set, its linear head, and the penalties it was
/// trained with.
///
/// Without `penalties` there is no prediction, except that for balanced classes the frame does not
/// depend on them: NC2 and NC3 are then measured to the orthogonal frame without a bias and to the
/// simplex ETF with one.
///
/// # Errors
/// [`Error::Shape`] if head, features and penalties do not fit together, [`Error::EmptyClass`] if a
/// class has no sample, [`Error::Empty`] without samples, and [`Error::Unrepresentable`] if a number
/// overflows.
///
/// Source: the measurements of Dang et al. (ICML 2023), appendix C, beside its theorems.
pub fn audit<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    head: &LinearHead,
    penalties: Option<&Regularization>,
) -> Result<Audit> {
    let statistics = ClassStatistics::new(data)?;
    let mut sums = AuditSums::new(&statistics, head, penalties)?;
    sums.add(data)?;
    sums.audit()
}

/// An [`audit`] of samples that come in batches, such as those of a file that does not fit into memory: the
/// second pass, after that of [`ClassStatistics`].
///
/// Of every batch all metrics are computed while it is in the cache. It takes 2dK numbers, and d² more with
/// penalties, for the balance of the first layer with the features.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{AuditSums, ClassStatistics, Features, LinearHead};
///
/// let shards = [([1.1_f32, 0.0, -1.0, 0.3], [0, 1]), ([0.9_f32, 0.0, -1.0, -0.3], [0, 1])];
/// let mut statistics = ClassStatistics::empty(2, 2)?;
/// for (numbers, labels) in &shards {
///     statistics.accumulate(&Features::from_row_major(numbers, 2, 2)?.with_labels(labels, 2)?)?;
/// }
/// let head = LinearHead::new(vec![dmatrix![1.0, 0.0; -1.0, 0.0]], None)?;
/// let mut sums = AuditSums::new(&statistics, &head, None)?;
/// for (numbers, labels) in &shards {
///     sums.accumulate(&Features::from_row_major(numbers, 2, 2)?.with_labels(labels, 2)?)?;
/// }
/// let audit = sums.audit()?;
/// assert!((audit.nc1.unwrap().value - 0.02 / 4.0 / 2.0).abs() < 1e-8);
/// assert_eq!(audit.nc4.overall.agreement, 1.0);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct AuditSums<'a, T: Scalar> {
    statistics: &'a ClassStatistics,
    head: &'a LinearHead,
    penalties: Option<&'a Regularization>,
    scatter: Nc1Sums<T>,
    decisions: DecisionCounts,
    objective: Option<ObjectiveSums>,
}

impl<'a, T: Scalar> AuditSums<'a, T> {
    /// No samples yet; `statistics` are those of all samples.
    ///
    /// # Errors
    /// As [`audit`].
    pub fn new(
        statistics: &'a ClassStatistics,
        head: &'a LinearHead,
        penalties: Option<&'a Regularization>,
    ) -> Result<Self> {
        // First, as it checks that head and penalties fit together.
        let objective = penalties.map(|penalties| {
            ObjectiveSums::squared_error(statistics, head, penalties)?.with_balancedness()
        });
        let objective = objective.transpose()?;
        Ok(Self {
            statistics,
            head,
            penalties,
            objective,
            decisions: DecisionCounts::new(statistics, head)?,
            scatter: Nc1Sums::new(statistics, &Nc1Options::default())?,
        })
    }

    /// Adds the samples of a batch; one without samples changes nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] if the batch has another dimension or number of classes,
    /// [`Error::OutOfRange`] naming a number that is not finite or too large; the sums are then as
    /// they were.
    pub fn accumulate(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<()> {
        let (dimension, classes) = (batch.features().dimension(), batch.classes());
        self.statistics.check_shape("features", dimension, classes)?;
        batch.features().check()?;
        self.add(batch)
    }

    /// Adds a batch of the right shape. One that is refused leaves its first chunks.
    fn add(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<()> {
        for chunk in batch.chunks() {
            self.scatter.accumulate(&chunk)?;
            self.decisions.accumulate(&chunk)?;
            if let Some(objective) = &mut self.objective {
                objective.add(&chunk)?;
            }
        }
        Ok(())
    }

    /// What was measured, beside what is predicted.
    ///
    /// # Errors
    /// As [`audit`], and [`Error::Shape`] if a class had not as many samples as in the first pass.
    pub fn audit(&self) -> Result<Audit> {
        let Self { statistics, head, penalties, .. } = *self;
        check_second_pass(statistics.counts(), self.scatter.counts())?;
        let nc4 = self.decisions.nc4()?;
        let counts = ClassCounts::new(statistics.counts())?;
        let (prediction, not_predictable) = match penalties.map(|p| predict(&counts, head, p)) {
            None => (None, None),
            Some(Ok(prediction)) => (Some(prediction), None),
            Some(Err(error @ (Error::NoClosedForm { .. } | Error::Unrepresentable { .. }))) => {
                (None, Some(error))
            }
            Some(Err(error)) => return Err(error),
        };
        let targets = Targets::new(&counts, head, prediction.as_ref(), penalties.is_some())?;
        let class_means = statistics.class_means()?;
        let objective = self.objective.as_ref();
        Ok(Audit {
            nc1: comparable(self.scatter.nc1())?,
            nc2: (1..=head.depth())
                .map(|layers| match targets.gram(layers)? {
                    Some(target) => comparable(nc2(head, layers, &target)),
                    None => Ok(None),
                })
                .collect::<Result<_>>()?,
            nc3: match &targets.outputs {
                Some(target) => comparable(nc3(&class_means, head, target))?,
                None => None,
            },
            nc4,
            objective: objective.map(ObjectiveSums::objective).transpose()?,
            balancedness: objective.map_or(Ok(None), ObjectiveSums::balancedness)?,
            classes: audit_classes(head, &class_means, &counts, prediction.as_ref()),
            prediction,
            not_predictable,
        })
    }
}

/// The global minimum of the problem that the network was trained on.
fn predict(
    counts: &ClassCounts,
    head: &LinearHead,
    penalties: &Regularization,
) -> Result<GlobalMinimum> {
    Ufm::new(counts.clone(), penalties.clone())?.with_widths(&head.widths())?.global_minimum()
}

/// `None` where there is nothing but zeros to measure, or the target is out of range.
fn comparable<T>(metric: Result<T>) -> Result<Option<T>> {
    match metric {
        Ok(value) => Ok(Some(value)),
        Err(Error::ZeroNorm { .. } | Error::Unrepresentable { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What NC2 and NC3 are measured to.
struct Targets<'a> {
    prediction: Option<&'a GlobalMinimum>,
    /// The frame of balanced classes, where there are no penalties to predict from.
    frame: Option<ClassMatrix>,
    outputs: Option<ClassMatrix>,
}

impl<'a> Targets<'a> {
    fn new(
        counts: &ClassCounts,
        head: &LinearHead,
        prediction: Option<&'a GlobalMinimum>,
        penalties_known: bool,
    ) -> Result<Self> {
        let wide = head.widths().iter().all(|&width| width >= counts.classes());
        let frame = if !penalties_known && counts.is_balanced() && wide {
            Some(match head.bias() {
                None => ClassMatrix::orthogonal_frame(counts.classes())?,
                Some(_) => ClassMatrix::simplex_etf(counts.classes())?,
            })
        } else {
            None
        };
        let outputs = prediction
            .and_then(|prediction| prediction.class_outputs().ok())
            .or_else(|| frame.clone());
        Ok(Self { prediction, frame, outputs })
    }

    fn gram(&self, layers: usize) -> Result<Option<ClassMatrix>> {
        match self.prediction {
            Some(prediction) => prediction.trailing_gram(layers).map(Some),
            None => Ok(self.frame.clone()),
        }
    }
}

fn audit_classes(
    head: &LinearHead,
    class_means: &nalgebra::DMatrix<f64>,
    counts: &ClassCounts,
    prediction: Option<&GlobalMinimum>,
) -> Vec<ClassAudit> {
    let classifier: Vec<f64> = match head.weights().last() {
        Some(weight) => weight.row_iter().map(|row| row.norm_squared()).collect(),
        None => Vec::new(),
    };
    let features: Vec<f64> = class_means.column_iter().map(|mean| mean.norm_squared()).collect();
    let limit = |norms: &[f64]| COLLAPSED * norms.iter().copied().fold(0.0, f64::max);
    let limits = (limit(&classifier), limit(&features));
    let predicted = |class: usize| prediction.and_then(|prediction| prediction.class(class));
    let sizes = counts.runs().flat_map(|run| core::iter::repeat_n(run.size, run.class_count));
    let norms = classifier.iter().zip(&features).zip(sizes).enumerate();
    norms
        .map(|(class, ((&classifier, &feature), count))| {
            let predicted = predicted(class);
            ClassAudit {
                count,
                classifier_norm_squared: Compared {
                    measured: classifier,
                    predicted: predicted.and_then(|class| class.classifier_norm_squared),
                },
                feature_norm_squared: Compared {
                    measured: feature,
                    predicted: predicted.and_then(|class| class.feature_norm_squared),
                },
                collapsed: Compared {
                    measured: classifier <= limits.0 && feature <= limits.1,
                    predicted: predicted.and_then(|class| class.collapsed),
                },
            }
        })
        .collect()
}
