//! The objective of samples that come in batches.

use nalgebra::{DMatrix, DVector, Dyn};

use crate::error::{Error, Result, check_shape};
use crate::measure::class_means::check_second_pass;
use crate::measure::deviations::Deviations;
use crate::measure::energy::FeatureEnergy;
use crate::measure::fingerprint::Fingerprint;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::statistics::ClassStatistics;
use crate::measure::version::Version;
use crate::numerics::linalg::{add_gram, from_triangle, lower_triangle, mirror, zeros};
use crate::numerics::scalar::Scalar;
use crate::numerics::squares::Squares;
use crate::objective::balance;
use crate::objective::constraint::Multiple;
use crate::objective::gradient::{Problem, SampleFindings, Totals, Workspace};
use crate::objective::least_squares::LeastSquaresSplit;
use crate::objective::value::Objective;
use crate::problem::head::LinearHead;
use crate::problem::regularization::{Bias, Regularization};
use crate::problem::training_objective::{LossFunction, TrainingObjective};

/// The [`Objective`] and, if it is wanted, the [`balancedness`](crate::objective::balancedness) of samples that come
/// in batches, once [`ClassStatistics`] have counted them.
///
/// Batches can come in any order, and pieces that were computed elsewhere for the same objective can be
/// [merged](Self::merge). It takes a few times dK numbers, with the balance also d².
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{ClassStatistics, Features, LinearHead, Regularization};
/// use neural_collapse::objective::{Objective, ObjectiveSums};
///
/// let numbers = [1.0, 0.1, 0.9, 0.0, -0.1, 1.0];
/// let data = Features::from_row_major(&numbers, 3, 2)?.with_labels(&[0, 0, 1], 2)?;
/// let head = LinearHead::new(vec![dmatrix![0.9, 0.0; 0.0, 0.8]], None)?;
/// let regularization = Regularization::new(&[1e-2], 1e-2)?;
///
/// let statistics = ClassStatistics::new(&data)?;
/// let mut sums = ObjectiveSums::squared_error(&statistics, &head, &regularization)?;
/// for (sample, label) in numbers.chunks(2).zip([0, 0, 1]) {
///     let batch = Features::from_row_major(sample, 1, 2)?;
///     sums.accumulate(&batch.with_labels(&[label], 2)?)?;
/// }
/// let expected = Objective::squared_error(&data, &head, &regularization)?;
/// assert!((sums.objective()?.loss() - expected.loss()).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ObjectiveSums {
    problem: Problem,
    /// Samples of each class in the statistics.
    counts: Vec<u64>,
    totals: Totals,
}

/// What [`ObjectiveSums`] have added up: about dK numbers, with the balance d²/2 more.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct ObjectivePart {
    version: Version<1>,
    /// Of the numbers of samples, the head and the objective that these sums are for.
    fingerprint: u64,
    #[cfg_attr(feature = "serde", serde(with = "crate::measure::written::finite"))]
    loss: f64,
    energy: FeatureEnergy,
    feature_gradient: Squares,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_nothing"))]
    left_out: Multiple,
    #[cfg_attr(feature = "serde", serde(with = "crate::measure::written::finite"))]
    mean_residual: Vec<f64>,
    /// 1/N RHᵀ, column by column.
    #[cfg_attr(feature = "serde", serde(with = "crate::measure::written::finite"))]
    residual_feature_product: Vec<f64>,
    /// The lower triangle, column by column.
    #[cfg_attr(feature = "serde", serde(with = "crate::measure::written::finite"))]
    features_gram: Option<Vec<f64>>,
}

impl ObjectiveSums {
    /// No samples yet, for [`Objective::new`]; `statistics` are those of all samples.
    ///
    /// # Errors
    /// As [`Objective::new`]; [`Error::Empty`] if the statistics are of no samples.
    pub fn new(
        statistics: &ClassStatistics,
        head: &LinearHead,
        objective: &TrainingObjective,
    ) -> Result<Self> {
        let shape = (statistics.dimension(), statistics.classes());
        Self::of_counts(shape, statistics.counts().to_vec(), head, objective)
    }

    /// No samples yet, for [`Objective::squared_error`].
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn squared_error(
        statistics: &ClassStatistics,
        head: &LinearHead,
        regularization: &Regularization,
    ) -> Result<Self> {
        let loss_function = LossFunction::SquaredError;
        let objective = TrainingObjective::penalized(loss_function, regularization.clone());
        Self::new(statistics, head, &objective)
    }

    /// No samples yet, for [`Objective::cross_entropy`].
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn cross_entropy(
        statistics: &ClassStatistics,
        head: &LinearHead,
        regularization: &Regularization,
    ) -> Result<Self> {
        let loss_function = LossFunction::CrossEntropy;
        let objective = TrainingObjective::penalized(loss_function, regularization.clone());
        Self::new(statistics, head, &objective)
    }

    /// For features of a shape, d and the number of labels, and so many samples of each label.
    pub(super) fn of_counts(
        (dimension, labels): (usize, usize),
        counts: Vec<u64>,
        head: &LinearHead,
        objective: &TrainingObjective,
    ) -> Result<Self> {
        let expected = (head.feature_dimension(), objective.labels(head.classes()));
        let reason = "features × labels of head and objective";
        check_shape("features", (dimension, labels), expected, reason)?;
        let problem = Problem::new(head, objective, &counts)?;
        Ok(Self { problem, counts, totals: Totals::new(dimension, head.classes(), labels)? })
    }

    /// The same with what the balance of the first layer with the features needs: d² numbers, and d²
    /// operations for every sample.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if d² numbers do not fit in memory, [`Error::NotAnswered`] without penalties, as
    /// budgets balance nothing.
    pub fn with_balancedness(mut self) -> Result<Self> {
        self.decays()?;
        let dimension = self.problem.head.feature_dimension();
        self.totals.features_gram = Some(zeros("dimension", dimension, dimension)?);
        Ok(self)
    }

    /// The same from Σ_W around the class means of `statistics`, which [`least_squares_split`](Self::least_squares_split) needs
    /// too: HHᵀ = N Σ_W + Σ n_k h_k h_kᵀ, a sum in which nothing cancels.
    pub(crate) fn with_scatter(self, statistics: &ClassStatistics) -> Result<Self> {
        let mut sums = self.with_balancedness()?;
        sums.problem.deviations = Some(Deviations::new(statistics.shared_means()?, 1.0));
        Ok(sums)
    }

    fn decays(&self) -> Result<&Regularization> {
        self.problem.regularization.as_ref().ok_or(Error::NotAnswered {
            question: "the balance of the layers",
            reason: "layers are balanced by their decays, and there are none",
        })
    }

    /// Adds the samples of a batch; one without samples changes nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] if the batch has another dimension or number of classes,
    /// [`Error::OutOfRange`] naming a number that is not finite or too large; the sums are then as
    /// they were.
    pub fn accumulate<T: Scalar>(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<()> {
        let expected = (self.problem.head.feature_dimension(), self.problem.labels);
        let found = (batch.features().dimension(), batch.classes());
        check_shape("features", found, expected, "features × classes of the statistics")?;
        batch.features().check()?;
        let mut workspace = Workspace::new();
        batch.chunks().try_for_each(|chunk| self.add_whole(&chunk, &mut workspace).map(drop))
    }

    /// Adds a chunk of the right shape, and returns what was found of each sample.
    pub(super) fn add_whole<T: Scalar>(
        &mut self,
        chunk: &LabeledFeatures<'_, T>,
        workspace: &mut Workspace,
    ) -> Result<SampleFindings> {
        let found = self.add(chunk, workspace)?;
        self.totals.energy.accumulate(chunk)?;
        Ok(found)
    }

    /// The same for who adds the [energy](Self::add_energy) of the samples, too.
    pub(crate) fn add<T: Scalar>(
        &mut self,
        chunk: &LabeledFeatures<'_, T>,
        workspace: &mut Workspace,
    ) -> Result<SampleFindings> {
        self.problem.add(&mut self.totals, chunk, workspace)
    }

    /// Adds the squared lengths of samples of these classes.
    pub(crate) fn add_energy(&mut self, labels: &[usize], squares: impl Iterator<Item = f64>) {
        self.totals.energy.add(labels, squares);
    }

    /// Adds the samples of others. The order and the grouping of merges change the result by
    /// no more than rounding errors.
    ///
    /// # Errors
    /// As [`merge_part`](Self::merge_part).
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if other.fingerprint() != self.fingerprint() {
            return Err(Error::DifferentFirstPass);
        }
        self.totals.merge(&other.totals)
    }

    /// What has been added up so far: what the workers of a cluster send back. With the feature `serde` it can be
    /// serialized.
    #[must_use]
    pub fn part(&self) -> ObjectivePart {
        let totals = &self.totals;
        ObjectivePart {
            version: Version,
            fingerprint: self.fingerprint(),
            loss: totals.loss,
            energy: totals.energy.clone(),
            feature_gradient: totals.feature_gradient,
            left_out: totals.left_out,
            mean_residual: totals.mean_residual.as_slice().to_vec(),
            residual_feature_product: totals
                .feature_residual_product
                .transpose()
                .as_slice()
                .to_vec(),
            features_gram: totals.features_gram.as_ref().map(lower_triangle),
        }
    }

    /// Adds what others have added up.
    ///
    /// # Errors
    /// [`Error::DifferentFirstPass`] if that is for other numbers of samples, another head or objective, or with
    /// the balance where this is without it.
    pub fn merge_part(&mut self, other: &ObjectivePart) -> Result<()> {
        if !self.fits(other) {
            return Err(Error::DifferentFirstPass);
        }
        let (dimension, classes) = self.totals.feature_residual_product.shape();
        let gram = other.features_gram.as_deref().map(|gram| from_triangle(dimension, gram));
        // Column by column of K×d is row by row of d×K.
        let feature_residual_product =
            DMatrix::from_row_slice(dimension, classes, &other.residual_feature_product);
        self.totals.merge(&Totals {
            loss: other.loss,
            energy: other.energy.clone(),
            feature_gradient: other.feature_gradient,
            left_out: other.left_out,
            mean_residual: DVector::from_column_slice(&other.mean_residual),
            feature_residual_product,
            features_gram: gram,
        })
    }

    /// Whether a part is of the same numbers of samples, head and objective.
    pub(crate) fn fits(&self, other: &ObjectivePart) -> bool {
        let (dimension, classes) = self.totals.feature_residual_product.shape();
        let triangle = self.totals.features_gram.as_ref().map(|_| dimension * (dimension + 1) / 2);
        other.fingerprint == self.fingerprint()
            && other.mean_residual.len() == classes
            && other.residual_feature_product.len() == classes * dimension
            && other.features_gram.as_ref().map(Vec::len) == triangle
    }

    fn fingerprint(&self) -> u64 {
        let Problem { head, data_term, factor, regularization, .. } = &self.problem;
        let constraint = self.problem.constraint_words();
        let center = if self.problem.deviations.is_some() { 2 } else { 1 };
        let has_gram = if self.totals.features_gram.is_some() { center } else { 0 };
        let words = data_term.words().into_iter().chain([factor.to_bits(), has_gram]);
        let words = words.chain(constraint);
        let fingerprint = Fingerprint::new().words(self.counts.iter().copied()).words(words);
        let fingerprint =
            fingerprint.layers(head.weights()).numbers(head.bias().into_iter().flatten());
        let Some(decays) = regularization else { return fingerprint.value() };
        let bias = match decays.bias() {
            Bias::None => [0, 0],
            Bias::Unregularized => [1, 0],
            Bias::Regularized(decay) => [2, decay.to_bits()],
        };
        let decays = decays.weight_decays().iter().copied().chain([decays.feature_decay()]);
        fingerprint.words(bias).words(decays.map(f64::to_bits)).value()
    }

    /// The objective.
    ///
    /// # Errors
    /// [`Error::SecondPass`] if a class had not as many samples as in the statistics,
    /// [`Error::Unrepresentable`] if a term is too large for a floating-point number.
    pub fn objective(&self) -> Result<Objective> {
        self.check_complete()?;
        self.problem.objective(&self.totals)
    }

    /// The residuals of the layers' balance: see [`balancedness`](crate::objective::balancedness). `None` unless it
    /// was asked for [from the start](Self::with_balancedness).
    ///
    /// # Errors
    /// [`Error::SecondPass`] if a class had not as many samples as in the statistics,
    /// [`Error::Unrepresentable`] if a matrix has entries too large for floating-point numbers.
    pub fn balancedness(&self) -> Result<Option<Vec<f64>>> {
        let Some(mut gram) = self.totals.features_gram.clone() else { return Ok(None) };
        self.check_complete()?;
        if let Some(deviations) = &self.problem.deviations {
            let mut means = deviations.means().matrix().clone();
            for (mut mean, &count) in means.column_iter_mut().zip(&self.counts) {
                mean *= (count as f64).sqrt();
            }
            add_gram(&mut gram, &means);
        }
        balance::residuals(gram, &self.problem.head, self.decays()?).map(Some)
    }

    /// The parts of the squared loss; `None` without the [scatter](Self::with_scatter).
    pub(crate) fn least_squares_split(
        &self,
        statistics: &ClassStatistics,
    ) -> Result<Option<LeastSquaresSplit>> {
        let (Some(scatter), Some(_)) = (&self.totals.features_gram, &self.problem.deviations)
        else {
            return Ok(None);
        };
        self.check_complete()?;
        let mut within = scatter / statistics.samples() as f64;
        mirror(&mut within);
        LeastSquaresSplit::of_moments(statistics, within, &self.problem.head, self.decays()?)
            .map(Some)
    }

    /// ‖W₁‖², …, ‖W_M‖².
    ///
    /// # Errors
    /// [`Error::Unrepresentable`] if one is too large for a floating-point number.
    pub fn weight_norms_squared(&self) -> Result<Vec<f64>> {
        let square = |weight| {
            Squares::of::<Dyn, Dyn, _>(weight).representable(1.0, "the squared norm of a layer")
        };
        self.problem.head.weights().iter().map(square).collect()
    }

    /// The squared lengths of the features of each class: ‖H‖² in all
    /// ([`total`](FeatureEnergy::total)), and the budget that they use up ([`mean`](FeatureEnergy::mean)).
    ///
    /// # Errors
    /// [`Error::SecondPass`] if a class had not as many samples as in the statistics.
    pub fn feature_energy(&self) -> Result<&FeatureEnergy> {
        self.check_complete()?;
        Ok(&self.totals.energy)
    }

    fn check_complete(&self) -> Result<()> {
        check_second_pass(&self.counts, self.totals.energy.counts())
    }
}

/// Without a constraint, nothing is left out.
#[cfg(feature = "serde")]
fn is_nothing(left_out: &Multiple) -> bool {
    *left_out == Multiple::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::features::Features;
    use crate::measure::pooled::PooledScatter;
    use nalgebra::{dmatrix, dvector};

    /// The losses of samples are their shares of the data term, whose factor they have.
    #[test]
    fn losses_of_samples_add_up_to_the_data_term() {
        let rows = dmatrix![1.0, 0.5; 2.0, -1.0; 0.0, 1.0];
        let features = Features::from_sample_rows(&rows).unwrap();
        let data: LabeledFeatures<'_, f64> = features.with_labels(&[0, 1, 1], 2).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let head = LinearHead::new(vec![dmatrix![1.0, 2.0; 3.0, 4.0]], None).unwrap();
        for loss_function in [LossFunction::SquaredError, LossFunction::CrossEntropy] {
            let regularization = Regularization::new(&[0.1], 0.2).unwrap();
            let objective =
                TrainingObjective::Penalized { loss_function, factor: 0.25, regularization };
            let mut sums = ObjectiveSums::new(&statistics, &head, &objective).unwrap();
            let found = sums.add_whole(&data, &mut Workspace::new()).unwrap();
            assert_eq!(found.decisions, [Some(1); 3]);
            let (sum, whole) = (found.losses.iter().sum::<f64>(), sums.objective().unwrap());
            assert!((sum / whole.data_term - 1.0).abs() < 1e-14, "{sum}");
        }
    }

    /// Around class means the same balance is found, and the split is that of the scatter; merged as in one pass.
    #[test]
    fn sums_of_deviations_and_merged_ones_are_those_of_all_samples() {
        let rows = dmatrix![1.0, 0.5; 2.0, -1.0; 0.0, 1.0; 3.0, 2.0; -1.0, 0.5];
        let features = Features::from_sample_rows(&rows).unwrap();
        let data: LabeledFeatures<'_, f64> = features.with_labels(&[0, 1, 1, 0, 0], 2).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let head = LinearHead::new(vec![dmatrix![1.0, 2.0; 3.0, 4.0]], None).unwrap();
        let regularization = Regularization::new(&[0.1], 0.2).unwrap();
        let empty = ObjectiveSums::squared_error(&statistics, &head, &regularization).unwrap();
        let around_zero = empty.clone().with_balancedness().unwrap();
        let around_means = empty.with_scatter(&statistics).unwrap();
        let mut found = Vec::new();
        for empty in [around_zero, around_means] {
            let (mut whole, mut merged) = (empty.clone(), empty.clone());
            whole.accumulate(&data).unwrap();
            for range in [0..2, 2..5] {
                let mut piece = empty.clone();
                piece.accumulate(&data.part(range)).unwrap();
                merged.merge(&piece).unwrap();
            }
            for sums in [whole, merged] {
                let gradient = sums.objective().unwrap().gradient_norm;
                found.push([sums.balancedness().unwrap().unwrap()[0], gradient]);
                if let Some(split) = sums.least_squares_split(&statistics).unwrap() {
                    let mut scatter = PooledScatter::empty(2, 2).unwrap();
                    scatter.accumulate(&data).unwrap();
                    let expected =
                        LeastSquaresSplit::new(&scatter, &head, &regularization).unwrap();
                    assert!((split.within_classes / expected.within_classes - 1.0).abs() < 1e-13);
                }
            }
        }
        let pairs = found.iter().flat_map(|numbers| numbers.iter().zip(&found[0]));
        pairs.for_each(|(found, expected)| assert!((found / expected - 1.0).abs() < 1e-13));
    }

    /// Each part has one thing that is another's.
    #[test]
    fn parts_of_another_shape_or_pass_are_refused() {
        let rows = dmatrix![1.0, 0.5; 2.0, -1.0; 0.0, 1.0];
        let features = Features::from_sample_rows(&rows).unwrap();
        let data = features.with_labels(&[0, 1, 1], 2).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let head = LinearHead::new(vec![dmatrix![1.0, 2.0; 3.0, 4.0]], Some(dvector![1.0, 2.0]));
        let regularization = Regularization::new(&[0.1], 0.2).unwrap();
        let regularization = regularization.with_bias(Bias::Regularized(0.3)).unwrap();
        let sums =
            ObjectiveSums::squared_error(&statistics, &head.unwrap(), &regularization).unwrap();
        let mut sums = sums.with_balancedness().unwrap();
        sums.accumulate(&data).unwrap();
        let changed = |change: fn(&mut ObjectivePart)| {
            let mut part = sums.part();
            change(&mut part);
            sums.fits(&part)
        };
        assert!(changed(|_| ()));
        assert!(!changed(|part| part.fingerprint += 1));
        assert!(!changed(|part| part.mean_residual.truncate(1)));
        assert!(!changed(|part| part.residual_feature_product.truncate(3)));
        assert!(!changed(|part| part.features_gram = None));
        assert!(!changed(|part| part.features_gram = Some(vec![0.0; 4])));
    }
}
