//! The training objective of a measured network, and how far its gradient is from zero.

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result};
use crate::features::{Features, LabeledFeatures, Scalar};
use crate::head::LinearHead;
use crate::linalg::{self, add_product, zeros};
use crate::regularization::{Bias, Regularization};

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
    /// The samples are passed over once, in blocks; the gradient with respect to H is never stored.
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
        Self::evaluate(data, head, regularization, DataTerm::CrossEntropy)
    }

    fn evaluate<T: Scalar>(
        data: &LabeledFeatures<'_, T>,
        head: &LinearHead,
        regularization: &Regularization,
        data_term: DataTerm,
    ) -> Result<Self> {
        check(data, head, regularization)?;
        let sums = Sums::new(data, head, regularization, data_term)?;
        let squared = |matrix: &DMatrix<f64>| matrix.norm_squared();
        let decays = regularization.weight_decays();
        let objective = Self {
            data_term: sums.loss / data_term.divisor(data.features().samples() as f64),
            weight_penalty: head
                .weights()
                .iter()
                .zip(decays)
                .map(|(weight, decay)| decay / 2.0 * squared(weight))
                .sum(),
            feature_penalty: regularization.feature_decay() / 2.0 * sums.features_squared,
            bias_penalty: bias_decay(regularization) / 2.0
                * head.bias().map_or(0.0, DVector::norm_squared),
            gradient_norm: (sums.feature_gradient_squared
                + bias_gradient_squared(head, regularization, &sums)
                + weight_gradients_squared(head, regularization, &sums))
            .sqrt(),
        };
        objective.representable()
    }

    /// f, the sum of the four terms.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.data_term + self.weight_penalty + self.feature_penalty + self.bias_penalty
    }

    fn representable(self) -> Result<Self> {
        let total = self.loss() + self.gradient_norm;
        if total.is_finite() {
            return Ok(self);
        }
        let quantity = "the objective or its gradient";
        Err(Error::Unrepresentable { quantity, log10: f64::INFINITY })
    }
}

/// The residuals of the balance between neighbouring layers, from the features up: the first is
///
/// ```math
/// ‖λ₁ W₁ᵀW₁ − λ_H HHᵀ‖ / max(‖λ₁ W₁ᵀW₁‖, ‖λ_H HHᵀ‖)
/// ```
///
/// and the others, for m = 1, …, M−1, are the same of λ_{m+1} W_{m+1}ᵀW_{m+1} and λₘ WₘWₘᵀ (Frobenius
/// norms; 0 if both matrices are zero).
///
/// All M of them vanish at every stationary point of the objective: Lemma D.2 of Dang et al. (ICML 2023),
/// where the transposes are misplaced in print. HHᵀ is d×d and takes N·d² multiplications.
///
/// # Errors
/// [`Error::Shape`] if `head` is for another dimension of features or `regularization` for another
/// number of layers, [`Error::OutOfRange`] if d² numbers do not fit in memory,
/// [`Error::Unrepresentable`] if a matrix has entries too large for floating-point numbers.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{Features, LinearHead, Regularization, balancedness};
///
/// let features = dmatrix![2.0, 0.0; 0.0, 0.0]; // HHᵀ = diag(4, 0)
/// let features = Features::from_sample_columns(&features)?;
/// let head = LinearHead::new(vec![dmatrix![2.0, 0.0], dmatrix![1.0]], None)?;
/// let residuals = balancedness(&features, &head, &Regularization::new(&[0.1, 0.2], 0.1)?)?;
/// assert_eq!(residuals[0], 0.0); // 0.1 · diag(4, 0) on both sides
/// assert_eq!(residuals[1], 0.5); // 0.2 · 1 and 0.1 · 4
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn balancedness<T: Scalar>(
    features: &Features<'_, T>,
    head: &LinearHead,
    regularization: &Regularization,
) -> Result<Vec<f64>> {
    head.check_shape("features", features.dimension(), head.classes())?;
    check_depth(head, regularization)?;
    let mut below = features_gram(features)? * regularization.feature_decay();
    let mut residuals = Vec::with_capacity(head.depth());
    for (weight, &decay) in head.weights().iter().zip(regularization.weight_decays()) {
        let above = weight.transpose() * weight * decay;
        residuals.push(relative_distance(&above, &below)?);
        below = weight * weight.transpose() * decay;
    }
    Ok(residuals)
}

/// HHᵀ, d×d.
fn features_gram<T: Scalar>(features: &Features<'_, T>) -> Result<DMatrix<f64>> {
    let mut gram = zeros("dimension²", features.dimension(), features.dimension())?;
    features.for_each_block(to_f64, |_, block| gram += linalg::gram(block));
    Ok(gram)
}

/// ‖A − B‖/max(‖A‖, ‖B‖), 0 if both are zero.
fn relative_distance(a: &DMatrix<f64>, b: &DMatrix<f64>) -> Result<f64> {
    let largest = a.amax().max(b.amax());
    if largest == 0.0 {
        return Ok(0.0);
    }
    let (a, b) = (a / largest, b / largest);
    let distance = (&a - &b).norm() / a.norm().max(b.norm());
    if distance.is_finite() {
        return Ok(distance);
    }
    let quantity = "a product of a weight or feature matrix with its transpose";
    Err(Error::Unrepresentable { quantity, log10: f64::INFINITY })
}

/// Copies a sample, for [`Features::for_each_block`].
fn to_f64<T: Scalar>(_: usize, sample: &[T], out: &mut [f64]) {
    out.iter_mut().zip(sample).for_each(|(out, &feature)| *out = feature.into());
}

fn check<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    head: &LinearHead,
    regularization: &Regularization,
) -> Result<()> {
    if data.features().samples() == 0 {
        return Err(Error::Empty { argument: "features" });
    }
    head.check_shape("features", data.features().dimension(), data.classes())?;
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

fn bias_decay(regularization: &Regularization) -> f64 {
    match regularization.bias() {
        Bias::Regularized(decay) => decay,
        Bias::None | Bias::Unregularized => 0.0,
    }
}

/// How outputs are held against labels.
#[derive(Debug, Clone, Copy)]
enum DataTerm {
    Squared,
    CrossEntropy,
}

impl DataTerm {
    /// What the sum of [`residuals`](Self::residuals) over N samples is divided by.
    fn divisor(self, samples: f64) -> f64 {
        match self {
            Self::Squared => 2.0 * samples,
            Self::CrossEntropy => samples,
        }
    }

    /// Turns the outputs of a block of samples into R, N times the derivative of the data term by
    /// them, and returns the sum of their losses.
    fn residuals(self, outputs: &mut DMatrix<f64>, labels: &[usize]) -> f64 {
        match self {
            Self::Squared => {
                subtract_labels(outputs, labels);
                outputs.norm_squared()
            }
            Self::CrossEntropy => {
                let columns = outputs.column_iter_mut().zip(labels);
                let losses: f64 =
                    columns.map(|(mut column, &label)| softmax(column.as_mut_slice(), label)).sum();
                subtract_labels(outputs, labels);
                losses
            }
        }
    }
}

fn subtract_labels(outputs: &mut DMatrix<f64>, labels: &[usize]) {
    for (mut column, &label) in outputs.column_iter_mut().zip(labels) {
        column[label] -= 1.0;
    }
}

/// Turns outputs into probabilities and returns −ln of that of the label.
fn softmax(outputs: &mut [f64], label: usize) -> f64 {
    let largest = outputs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let gap = largest - outputs[label];
    outputs.iter_mut().for_each(|output| *output = (*output - largest).exp());
    let total: f64 = outputs.iter().sum();
    // Summed without the label where that is the largest: its loss may be far below ε.
    let wrong = outputs.iter().enumerate().filter(|&(class, _)| class != label);
    let loss = match gap > 0.0 {
        true => gap + total.ln(),
        false => wrong.map(|(_, weight)| weight).sum::<f64>().ln_1p(),
    };
    outputs.iter_mut().for_each(|output| *output /= total);
    loss
}

/// What one pass over the samples gives, with R = W_M⋯W₁H + b1ᵀ − Y; with cross-entropy, R has the
/// probabilities in place of the outputs.
struct Sums {
    /// ‖R‖², or the sum of all cross-entropies.
    loss: f64,
    /// ‖H‖².
    features_squared: f64,
    /// ‖1/N (W_M⋯W₁)ᵀR + λ_H H‖².
    feature_gradient_squared: f64,
    /// 1/N R1, K.
    mean_residual: DVector<f64>,
    /// 1/N RHᵀ, K×d.
    residual_feature_product: DMatrix<f64>,
}

impl Sums {
    fn new<T: Scalar>(
        data: &LabeledFeatures<'_, T>,
        head: &LinearHead,
        regularization: &Regularization,
        data_term: DataTerm,
    ) -> Result<Self> {
        let (classes, dimension) = (head.classes(), head.feature_dimension());
        let samples = data.features().samples() as f64;
        let product = head.product()?;
        let pull_back = product.transpose() / samples;
        let mut sums = Self {
            loss: 0.0,
            features_squared: 0.0,
            feature_gradient_squared: 0.0,
            mean_residual: DVector::zeros(classes),
            residual_feature_product: DMatrix::zeros(classes, dimension),
        };
        data.features().for_each_block(to_f64, |range, block| {
            let mut residuals = outputs(&product, head.bias(), block);
            let loss = data_term.residuals(&mut residuals, &data.labels()[range]);
            let mut gradient = block * regularization.feature_decay();
            add_product(&mut gradient, 1.0, &pull_back, &residuals);
            sums.loss += loss;
            sums.features_squared += block.norm_squared();
            sums.feature_gradient_squared += gradient.norm_squared();
            sums.mean_residual += residuals.column_sum() / samples;
            let weight = 1.0 / samples;
            let sum = &mut sums.residual_feature_product;
            add_product(sum, weight, &residuals, &block.transpose());
        });
        Ok(sums)
    }
}

/// W_M⋯W₁H + b1ᵀ of a block of samples.
fn outputs(
    product: &DMatrix<f64>,
    bias: Option<&DVector<f64>>,
    block: &DMatrix<f64>,
) -> DMatrix<f64> {
    let mut outputs = linalg::product(product, block);
    if let Some(bias) = bias {
        outputs.column_iter_mut().for_each(|mut output| output += bias);
    }
    outputs
}

/// ‖1/N R1 + λ_b b‖², 0 without a bias.
fn bias_gradient_squared(head: &LinearHead, regularization: &Regularization, sums: &Sums) -> f64 {
    head.bias().map_or(0.0, |bias| {
        (&sums.mean_residual + bias * bias_decay(regularization)).norm_squared()
    })
}

/// Σₘ ‖(W_M⋯W_{m+1})ᵀ (1/N RHᵀ) (W_{m−1}⋯W₁)ᵀ + λₘWₘ‖².
fn weight_gradients_squared(
    head: &LinearHead,
    regularization: &Regularization,
    sums: &Sums,
) -> f64 {
    // 1/N RHᵀ(W_{m−1}⋯W₁)ᵀ for every m, from the features up.
    let mut from_below = vec![sums.residual_feature_product.clone()];
    for weight in head.weights().iter().take(head.depth() - 1) {
        let next = from_below.last().map(|product| product * weight.transpose());
        from_below.extend(next);
    }
    let mut above = DMatrix::identity(head.classes(), head.classes());
    let mut squared = 0.0;
    let layers = head.weights().iter().zip(regularization.weight_decays()).zip(&from_below);
    for ((weight, &decay), from_below) in layers.rev() {
        squared += (above.transpose() * from_below + weight * decay).norm_squared();
        above *= weight;
    }
    squared
}
