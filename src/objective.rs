//! The training objective of a measured network, and how far its gradient is from zero.

mod balance;
mod terms;

use nalgebra::DMatrix;

use crate::deviations::WithinScatter;
use crate::error::{Error, Result};
use crate::features::{LabeledFeatures, Scalar, to_f64};
use crate::head::LinearHead;
use crate::linalg::gram;
use crate::regularization::{Bias, Regularization};
use crate::statistics::ClassStatistics;

pub use balance::balancedness;
use terms::{DataTerm, Terms};

/// Class means whose residuals are computed at a time.
const CLASS_BLOCK: usize = 256;

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
    /// The samples are passed over twice: for the class means h_k, and for C = ΣₖΣᵢ δδᵀ (d×d) of the
    /// deviations δ from these. With residuals R h_k + b − e_k of the means and Rδ of the deviations all
    /// terms are sums of squares, which do not cancel.
    ///
    /// # Errors
    /// [`Error::Empty`] without samples, [`Error::Shape`] if `head` is for another dimension or number
    /// of classes, if `regularization` is for another number of layers, or if one of them has a bias
    /// and the other has not; [`Error::Unrepresentable`] if a term is too large for a floating-point
    /// number.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::{Features, LinearHead, Objective, Regularization};
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
        let statistics = ClassStatistics::new(data)?;
        let mut sums = ObjectiveSums::new(&statistics, head, regularization)?;
        sums.accumulate(data)?;
        sums.objective()
    }

    /// The same with the mean cross-entropy 1/N Σᵢ (ln Σⱼ exp(z_ji) − z_(yᵢ)i) of the outputs
    /// Z = W_M⋯W₁ H + b 1ᵀ as the data term: problem (7) of Dang et al. (ICML 2023).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// ```
    /// use nalgebra::DMatrix;
    /// use neural_collapse::{Features, LinearHead, Objective, Regularization};
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
        check(data.features().dimension(), data.classes(), head, regularization)?;
        let samples = data.features().samples() as u64;
        if samples == 0 {
            return Err(Error::Empty { argument: "features" });
        }
        let mut terms = Terms::new(head, regularization, DataTerm::CrossEntropy, samples)?;
        add_samples(&mut terms, data)?;
        terms.objective()
    }

    /// f, the sum of the four terms.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.data_term + self.weight_penalty + self.feature_penalty + self.bias_penalty
    }
}

/// The [`Objective`] and the [`balancedness`] of samples that come in batches, in a second pass after that of
/// [`ClassStatistics`]. It takes d² + 2dK numbers.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{
///     ClassStatistics, Features, LinearHead, Objective, ObjectiveSums, Regularization,
/// };
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
    within: WithinScatter,
    /// Samples of the second pass.
    samples: u64,
    /// The terms of the samples seen so far, where the class means and the scatter do not tell them.
    cross_entropy: Option<Terms<'a>>,
}

impl<'a> ObjectiveSums<'a> {
    /// No samples yet, for [`Objective::new`]; `statistics` are those of all samples.
    ///
    /// # Errors
    /// [`Error::Shape`] as for [`Objective::new`], [`Error::Empty`] if the statistics are of no samples,
    /// [`Error::OutOfRange`] if d² numbers do not fit in memory.
    pub fn new(
        statistics: &'a ClassStatistics,
        head: &'a LinearHead,
        regularization: &'a Regularization,
    ) -> Result<Self> {
        check(statistics.dimension(), statistics.classes(), head, regularization)?;
        if statistics.samples() == 0 {
            return Err(Error::Empty { argument: "features" });
        }
        let within = WithinScatter::new(statistics.means_or_zeros())?;
        Ok(Self { statistics, head, regularization, within, samples: 0, cross_entropy: None })
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
        let sums = Self::new(statistics, head, regularization)?;
        let samples = statistics.samples();
        let terms = Terms::new(head, regularization, DataTerm::CrossEntropy, samples)?;
        Ok(Self { cross_entropy: Some(terms), ..sums })
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
        self.within.accumulate(batch)?;
        if let Some(terms) = &mut self.cross_entropy {
            add_samples(terms, batch)?;
        }
        self.samples = self.samples.saturating_add(batch.features().samples() as u64);
        Ok(())
    }

    /// The objective.
    ///
    /// # Errors
    /// [`Error::Shape`] if there were not as many samples as in the first pass,
    /// [`Error::Unrepresentable`] if a term is too large for a floating-point number.
    pub fn objective(&self) -> Result<Objective> {
        self.check_samples()?;
        if let Some(terms) = &self.cross_entropy {
            return terms.objective();
        }
        let (head, samples) = (self.head, self.statistics.samples());
        let mut terms = Terms::new(head, self.regularization, DataTerm::Squared, samples)?;
        let classes: Vec<usize> = (0..head.classes()).collect();
        for classes in classes.chunks(CLASS_BLOCK) {
            let counts = |&class: &usize| self.statistics.counts()[class] as f64;
            let weights: Vec<f64> = classes.iter().map(counts).collect();
            terms.add(&self.within.class_means().select_columns(classes), classes, &weights);
        }
        terms.add_scatter(&self.within.matrix());
        terms.objective()
    }

    /// The residuals of the layers' balance: see [`balancedness`].
    ///
    /// # Errors
    /// [`Error::Shape`] if there were not as many samples as in the first pass,
    /// [`Error::Unrepresentable`] if a matrix has entries too large for floating-point numbers.
    pub fn balancedness(&self) -> Result<Vec<f64>> {
        self.check_samples()?;
        let mut means = self.within.class_means().clone();
        for (mut mean, &count) in means.column_iter_mut().zip(self.statistics.counts()) {
            mean *= (count as f64).sqrt();
        }
        let features_gram = gram(&means) + self.within.matrix();
        balance::residuals(&features_gram, self.head, self.regularization)
    }

    fn check_samples(&self) -> Result<()> {
        if self.samples == self.statistics.samples() {
            return Ok(());
        }
        Err(Error::Shape {
            argument: "features".into(),
            found: format!("{} samples", self.samples),
            expected: format!("{} samples, as in the first pass", self.statistics.samples()),
        })
    }
}

/// Adds samples one by one.
fn add_samples<T: Scalar>(terms: &mut Terms<'_>, data: &LabeledFeatures<'_, T>) -> Result<()> {
    let mut block = DMatrix::zeros(0, 0);
    for range in data.features().blocks() {
        let write = |_: usize, sample: &[T], out: &mut [f64]| to_f64(sample, out);
        data.features().fill_block(range.clone(), &mut block, write)?;
        terms.add(&block, &data.labels()[range.clone()], &vec![1.0; range.len()]);
    }
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
    let size = |has_bias: bool| format!("{}×1", if has_bias { head.classes() } else { 0 });
    let (found, wanted) = (head.bias().is_some(), regularization.bias() != Bias::None);
    if found == wanted {
        return Ok(());
    }
    let why = if wanted { "with a bias" } else { "without a bias" };
    Err(Error::Shape {
        argument: "bias".into(),
        found: size(found),
        expected: format!("{}, for the penalties are those of a head {why}", size(wanted)),
    })
}

fn check_depth(head: &LinearHead, regularization: &Regularization) -> Result<()> {
    if head.depth() == regularization.depth() {
        return Ok(());
    }
    Err(Error::Shape {
        argument: "weight_decays".into(),
        found: regularization.depth().to_string(),
        expected: format!("{}, one for each layer of the head", head.depth()),
    })
}
