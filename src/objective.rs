//! The training objective of a measured network, and how far its gradient is from zero.

mod balance;
mod terms;

use crate::error::{Error, Result};
use crate::measure::deviations::WithinScatter;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::statistics::ClassStatistics;
use crate::numerics::linalg::gram;
use crate::numerics::scalar::{Scalar, to_f64};
use crate::problem::head::LinearHead;
use crate::problem::regularization::{Bias, Regularization};

pub use balance::balancedness;
use terms::{DataTerm, Terms};

/// The value of the objective with its terms, and the size of its gradient.
///
/// ```math
/// f = 1/(2N) ‖W_M⋯W₁ H + b 1ᵀ − Y‖² + Σₘ λₘ/2 ‖Wₘ‖² + λ_H/2 ‖H‖² + λ_b/2 ‖b‖²
/// ```
///
/// Problem (3) of Dang et al., *Neural Collapse in Deep Linear Networks* (ICML 2023): H are the
/// features as free variables, Y the one-hot labels, all norms Frobenius norms. With the
/// [cross-entropy](Self::cross_entropy) as the data term it is their problem (7).
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Objective {
    /// 1/(2N) ‖W_M⋯W₁ H + b 1ᵀ − Y‖², or the mean cross-entropy.
    pub data_term: f64,
    /// Σₘ λₘ/2 ‖Wₘ‖².
    pub weight_penalty: f64,
    /// λ_H/2 ‖H‖².
    pub feature_penalty: f64,
    /// λ_b/2 ‖b‖², 0 without a bias or if it is not regularised.
    pub bias_penalty: f64,
    /// Norm of the gradient with respect to W₁, …, W_M, H and b together.
    pub gradient_norm: f64,
}

impl Objective {
    /// Evaluates the objective on measured features, labels and weights.
    ///
    /// The samples are passed over once, in chunks; the gradient with respect to H is never stored.
    ///
    /// # Errors
    /// [`Error::Empty`] without samples, [`Error::Shape`] if `head` is for another dimension or number
    /// of classes, if `regularization` is for another number of layers, or if one of them has a bias
    /// and the other has not; [`Error::Unrepresentable`] if a term is too large for a floating-point
    /// number.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::{Features, LinearHead, Regularization};
    /// use neural_collapse::objective::Objective;
    ///
    /// // One class, one sample, W = h = √(1 − λ): the minimum for λ = λ_W = λ_H.
    /// let (decay, root) = (0.19, 0.9);
    /// let numbers = [root];
    /// let data = Features::from_row_major(&numbers, 1, 1)?.with_labels(&[0], 1)?;
    /// let head = LinearHead::new(vec![dmatrix![root]], None)?;
    /// let objective = Objective::new(&data, &head, &Regularization::new(&[decay], decay)?)?;
    /// assert!((objective.data_term - decay * decay / 2.0).abs() < 1e-15);
    /// assert!((objective.loss() - decay * (1.0 - decay / 2.0)).abs() < 1e-15);
    /// assert!(objective.gradient_norm < 1e-15);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn new<T: Scalar>(
        data: &LabeledFeatures<'_, T>,
        head: &LinearHead,
        regularization: &Regularization,
    ) -> Result<Self> {
        Self::evaluate(data, head, regularization, DataTerm::Squared)
    }

    /// The same with the mean cross-entropy 1/N Σᵢ (ln Σⱼ exp(z_ji) − z_(yᵢ)i) of the outputs
    /// Z = W_M⋯W₁ H + b 1ᵀ as the data term: problem (7) of Dang et al. (ICML 2023).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// ```
    /// use nalgebra::DMatrix;
    /// use neural_collapse::{Features, LinearHead, Regularization};
    /// use neural_collapse::objective::Objective;
    ///
    /// // Zero weights leave all classes equally likely.
    /// let data = Features::from_row_major(&[1.0, 2.0, 3.0], 3, 1)?.with_labels(&[0, 1, 2], 3)?;
    /// let head = LinearHead::new(vec![DMatrix::zeros(3, 1)], None)?;
    /// let penalties = Regularization::new(&[0.1], 0.1)?;
    /// let objective = Objective::cross_entropy(&data, &head, &penalties)?;
    /// assert!((objective.data_term - 3.0_f64.ln()).abs() < 1e-15);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn cross_entropy<T: Scalar>(
        data: &LabeledFeatures<'_, T>,
        head: &LinearHead,
        regularization: &Regularization,
    ) -> Result<Self> {
        Self::evaluate(data, head, regularization, DataTerm::CrossEntropy)
    }

    fn evaluate<T: Scalar>(
        data: &LabeledFeatures<'_, T>,
        head: &LinearHead,
        regularization: &Regularization,
        data_term: DataTerm,
    ) -> Result<Self> {
        let samples = data.features().samples() as u64;
        if samples == 0 {
            return Err(Error::Empty { argument: "features" });
        }
        check(data.features().dimension(), data.classes(), head, regularization)?;
        let mut terms = Terms::new(head, regularization, data_term, samples)?;
        data.chunks().try_for_each(|chunk| add_samples(&mut terms, &chunk))?;
        terms.objective()
    }

    /// f, the sum of the four terms.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.data_term + self.weight_penalty + self.feature_penalty + self.bias_penalty
    }
}

/// The [`Objective`] and, if it is wanted, the [`balancedness`] of samples that come in batches, once
/// [`ClassStatistics`] have counted them. It takes a few times dK numbers, with the balance also d² and 2dK more.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{ClassStatistics, Features, LinearHead, Regularization};
/// use neural_collapse::objective::{Objective, ObjectiveSums};
///
/// let numbers = [1.0, 0.1, 0.9, 0.0, -0.1, 1.0];
/// let data = Features::from_row_major(&numbers, 3, 2)?.with_labels(&[0, 0, 1], 2)?;
/// let head = LinearHead::new(vec![dmatrix![0.9, 0.0; 0.0, 0.8]], None)?;
/// let penalties = Regularization::new(&[1e-2], 1e-2)?;
///
/// let statistics = ClassStatistics::new(&data)?;
/// let mut sums = ObjectiveSums::new(&statistics, &head, &penalties)?;
/// for (sample, label) in numbers.chunks(2).zip([0, 0, 1]) {
///     let batch = Features::from_row_major(sample, 1, 2)?;
///     sums.accumulate(&batch.with_labels(&[label], 2)?)?;
/// }
/// let expected = Objective::new(&data, &head, &penalties)?;
/// assert!((sums.objective()?.loss() - expected.loss()).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ObjectiveSums<'a> {
    statistics: &'a ClassStatistics,
    head: &'a LinearHead,
    regularization: &'a Regularization,
    terms: Terms<'a>,
    /// For HHᵀ, if the balance is wanted.
    within: Option<WithinScatter>,
    /// Samples of each class so far.
    counts: Vec<u64>,
}

impl<'a> ObjectiveSums<'a> {
    /// No samples yet, for [`Objective::new`]; `statistics` are those of all samples.
    ///
    /// # Errors
    /// [`Error::Shape`] as for [`Objective::new`], [`Error::Empty`] if the statistics are of no samples.
    pub fn new(
        statistics: &'a ClassStatistics,
        head: &'a LinearHead,
        regularization: &'a Regularization,
    ) -> Result<Self> {
        Self::build(statistics, head, regularization, DataTerm::Squared)
    }

    /// No samples yet, for [`Objective::cross_entropy`].
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn cross_entropy(
        statistics: &'a ClassStatistics,
        head: &'a LinearHead,
        regularization: &'a Regularization,
    ) -> Result<Self> {
        Self::build(statistics, head, regularization, DataTerm::CrossEntropy)
    }

    /// The same with what the balance of the first layer with the features needs: d² numbers, and d²
    /// operations for every sample.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if d² numbers do not fit in memory.
    pub fn with_balancedness(mut self) -> Result<Self> {
        self.within = Some(WithinScatter::new(self.statistics.means_or_zeros())?);
        Ok(self)
    }

    fn build(
        statistics: &'a ClassStatistics,
        head: &'a LinearHead,
        regularization: &'a Regularization,
        data_term: DataTerm,
    ) -> Result<Self> {
        check(statistics.dimension(), statistics.classes(), head, regularization)?;
        let samples = statistics.samples();
        if samples == 0 {
            return Err(Error::Empty { argument: "features" });
        }
        let terms = Terms::new(head, regularization, data_term, samples)?;
        let counts = vec![0; statistics.classes()];
        Ok(Self { statistics, head, regularization, terms, within: None, counts })
    }

    /// Adds the samples of a batch; one without samples changes nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] if the batch has another dimension or number of classes,
    /// [`Error::OutOfRange`] naming a number that is not finite or too large; the sums are then as
    /// they were.
    pub fn accumulate<T: Scalar>(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<()> {
        let (dimension, classes) = (batch.features().dimension(), batch.classes());
        self.statistics.check_shape("features", dimension, classes)?;
        batch.features().check()?;
        batch.chunks().try_for_each(|chunk| self.add(&chunk))
    }

    /// Adds a chunk of the right shape.
    pub(crate) fn add<T: Scalar>(&mut self, chunk: &LabeledFeatures<'_, T>) -> Result<()> {
        add_samples(&mut self.terms, chunk)?;
        if let Some(within) = &mut self.within {
            within.accumulate(chunk)?;
        }
        chunk.labels().iter().for_each(|&label| self.counts[label] += 1);
        Ok(())
    }

    /// The objective.
    ///
    /// # Errors
    /// [`Error::Shape`] if a class had not as many samples as in the statistics,
    /// [`Error::Unrepresentable`] if a term is too large for a floating-point number.
    pub fn objective(&self) -> Result<Objective> {
        self.statistics.check_second_pass(&self.counts)?;
        self.terms.objective()
    }

    /// The residuals of the layers' balance: see [`balancedness`]. `None` unless it was asked for
    /// [from the start](Self::with_balancedness).
    ///
    /// # Errors
    /// [`Error::Shape`] if a class had not as many samples as in the statistics,
    /// [`Error::Unrepresentable`] if a matrix has entries too large for floating-point numbers.
    pub fn balancedness(&self) -> Result<Option<Vec<f64>>> {
        let Some(within) = &self.within else { return Ok(None) };
        self.statistics.check_second_pass(&self.counts)?;
        let mut means = within.class_means().clone();
        for (mut mean, &count) in means.column_iter_mut().zip(self.statistics.counts()) {
            mean *= (count as f64).sqrt();
        }
        let mut features_gram = within.matrix();
        features_gram += gram(&means);
        balance::residuals(features_gram, self.head, self.regularization).map(Some)
    }
}

/// Adds a chunk of samples.
fn add_samples<T: Scalar>(terms: &mut Terms<'_>, chunk: &LabeledFeatures<'_, T>) -> Result<()> {
    let block = chunk.columns(|_, sample, out| to_f64(sample, out))?;
    terms.add(&block, chunk.labels());
    Ok(())
}

fn check(
    dimension: usize,
    classes: usize,
    head: &LinearHead,
    regularization: &Regularization,
) -> Result<()> {
    head.check_shape("features", dimension, classes)?;
    check_depth(head, regularization)?;
    let size = |has_bias: bool| if has_bias { head.classes() } else { 0 };
    let (found, wanted) = (head.bias().is_some(), regularization.bias() != Bias::None);
    if found == wanted {
        return Ok(());
    }
    let reason = match wanted {
        true => "as the penalties are those of a head with a bias",
        false => "as the penalties are those of a head without a bias",
    };
    Err(Error::length("bias", size(found), size(wanted), reason))
}

fn check_depth(head: &LinearHead, regularization: &Regularization) -> Result<()> {
    if head.depth() == regularization.depth() {
        return Ok(());
    }
    let reason = "one for each layer of the head";
    Err(Error::length("weight_decays", regularization.depth(), head.depth(), reason))
}
