//! Collapse in regression: NRC1 to NRC3.

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result, check_not_negative, check_shape};
use crate::geometry::class_matrix::ClassMatrix;
use crate::measure::features::Features;
use crate::metrics::common_mean::CommonMean;
use crate::monitor::Monitor;
use crate::numerics::linalg::{
    SymmetricEigen, check_finite, gram, left_svd, product, symmetric_eigen, transposed,
};
use crate::numerics::scalar::Scalar;
use crate::problem::head::LinearHead;

/// Singular values of the layers below this share of the largest one count as zero.
const CUTOFF: f64 = 1e-6;

/// NRC1: the features lie in the subspace of their first n principal directions, n = `outputs` being the number of
/// outputs,
///
/// ```math
/// NRC1 = 1/N Σᵢ ‖(I − P) uᵢ‖²,    uᵢ = (hᵢ − h̄)/‖hᵢ − h̄‖,
/// ```
///
/// between 0 and 1. Samples at the mean h̄ have no direction and are left out. Features that vary alike in all d directions
/// have 1 − n/d. The features are not copied; it takes the smaller of d² and N² numbers.
///
/// # Errors
/// [`Error::Empty`] without samples, [`Error::OutOfRange`] if a number is not finite or too large, `outputs` is 0 or more
/// than d, or the numbers do not fit in memory, [`Error::ZeroNorm`] if all samples are equal.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::Features;
/// use neural_collapse::metrics::nrc1;
///
/// let features = dmatrix![2.0, -2.0, 1.0, -1.0; 0.0, 0.0, 0.0, 0.0; 0.0, 0.0, 1.0, -1.0];
/// let features = Features::from_sample_columns(&features)?;
/// assert!(nrc1(&features, 2)? < 1e-15);
/// assert!(nrc1(&features, 1)? > 0.1);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Andriopoulos et al., *The Prevalence of Neural Collapse in Neural Multivariate Regression* (NeurIPS 2024).
pub fn nrc1<T: Scalar>(features: &Features<'_, T>, outputs: usize) -> Result<f64> {
    nrc1_with(features, outputs, &())
}

/// [`nrc1`] under the eyes of a monitor, which may end it.
///
/// # Errors
/// As [`nrc1`], and [`Error::Cancelled`] if the monitor ends the work.
pub fn nrc1_with<T: Scalar>(
    features: &Features<'_, T>,
    outputs: usize,
    monitor: &dyn Monitor,
) -> Result<f64> {
    check_outputs(features, outputs)?;
    let labels = vec![0; features.samples()];
    let deviations = CommonMean::new(features, &labels, monitor)?;
    deviations.share_outside(&deviations.principal_directions(outputs, monitor)?, monitor)
}

/// NRC2: the features lie in the row space of the layers W = W_M⋯W₁,
///
/// ```math
/// NRC2 = 1/N Σᵢ ‖(I − P) uᵢ‖²,    uᵢ = (hᵢ − h̄)/‖hᵢ − h̄‖,    P onto the rows of W
/// ```
///
/// between 0 and 1; `features` and samples at the mean as in [`nrc1`].
///
/// # Errors
/// As [`nrc1`], and [`Error::Shape`] if the features are not those that the head takes, [`Error::ZeroNorm`] if W is zero.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{Features, LinearHead};
/// use neural_collapse::metrics::nrc2;
///
/// let features = dmatrix![2.0, -2.0; 2.0, -2.0];
/// let features = Features::from_sample_columns(&features)?;
/// let head = LinearHead::new(vec![dmatrix![3.0, 0.0]], None)?;
/// assert!((nrc2(&features, &head)? - 0.5).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Andriopoulos et al. (NeurIPS 2024), for one layer.
pub fn nrc2<T: Scalar>(features: &Features<'_, T>, head: &LinearHead) -> Result<f64> {
    nrc2_with(features, head, &())
}

/// [`nrc2`] under the eyes of a monitor, which may end it.
///
/// # Errors
/// As [`nrc2`], and [`Error::Cancelled`] if the monitor ends the work.
pub fn nrc2_with<T: Scalar>(
    features: &Features<'_, T>,
    head: &LinearHead,
    monitor: &dyn Monitor,
) -> Result<f64> {
    head.check_shape("features", features.dimension(), head.classes())?;
    let labels = vec![0; features.samples()];
    let deviations = CommonMean::new(features, &labels, monitor)?;
    deviations.share_outside(&row_space(head)?, monitor)
}

/// NRC3: the Gram matrix of the weights has the shape that the covariance Σ of the targets gives,
///
/// ```math
/// NRC3 = ‖ WWᵀ/‖WWᵀ‖ − T/‖T‖ ‖²,    T = [Σ^½ − √γ I]₊    (Frobenius norms),
/// ```
///
/// for a head of one layer, with Σ^½ the *symmetric* root and negative eigenvalues of T as 0. The source fits γ by searching
/// for the smallest value; for a network with known decays it is [`predicted_gamma`].
///
/// # Errors
/// [`Error::Shape`] unless the head has one layer and `covariance` is K×K, [`Error::OutOfRange`] if an entry is not finite
/// or `gamma` is negative or not finite, [`Error::ZeroNorm`] if W or T is zero.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::LinearHead;
/// use neural_collapse::metrics::nrc3;
///
/// // Σ^½ = diag(3, 2) and √γ = 1 leave diag(2, 1).
/// let head = LinearHead::new(vec![dmatrix![2.0_f64.sqrt(), 0.0; 0.0, 1.0]], None)?;
/// assert!(nrc3(&head, &dmatrix![9.0, 0.0; 0.0, 4.0], 1.0)? < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Andriopoulos et al. (NeurIPS 2024), Theorem 4.1.
pub fn nrc3(head: &LinearHead, covariance: &DMatrix<f64>, gamma: f64) -> Result<f64> {
    let weight = one_layer(head)?;
    let outputs = weight.nrows();
    check_shape("covariance", covariance.shape(), (outputs, outputs), "outputs × outputs")?;
    check_finite("covariance", covariance)?;
    check_not_negative("gamma", gamma)?;
    Target::new(covariance, gamma)?.distance_squared(weight)
}

/// T = [Σ^½ − √γ I]₊ with what its derivative needs.
pub(crate) struct Target {
    eigen: SymmetricEigen,
    root_of_gamma: f64,
    /// Eigenvalues of T.
    kept: DVector<f64>,
    matrix: DMatrix<f64>,
}

impl Target {
    pub(crate) fn new(covariance: &DMatrix<f64>, gamma: f64) -> Result<Self> {
        let (eigen, root_of_gamma) = (symmetric_eigen(covariance)?, gamma.sqrt());
        let kept = eigen.values.map(|value| (value.max(0.0).sqrt() - root_of_gamma).max(0.0));
        let mut scaled = eigen.vectors.clone();
        for (mut column, factor) in scaled.column_iter_mut().zip(kept.iter()) {
            column *= *factor;
        }
        let matrix = product(&scaled, &transposed(&eigen.vectors));
        Ok(Self { eigen, root_of_gamma, kept, matrix })
    }

    /// NRC3.
    pub(crate) fn distance_squared(&self, weight: &DMatrix<f64>) -> Result<f64> {
        let target = ClassMatrix::from_dense(self.matrix.clone())?;
        Ok(target.distance_to_gram(weight)?.powi(2))
    }

    /// The derivative of NRC3 = 2 − 2⟨A, T⟩/‖T‖ with respect to Σ, A = WWᵀ/‖WWᵀ‖; `None` where it has none.
    ///
    /// T is the function φ(λ) = (√λ − √γ)₊ of Σ, so that with eigenvectors Q the derivative with respect to T comes back as
    /// Q (φ\[λ_i, λ_j\] ∘ QᵀBQ) Qᵀ, φ\[λ_i, λ_j\] the quotients of differences (Daleckii & Krein).
    pub(crate) fn gradient(&self, weight: &DMatrix<f64>) -> Option<DMatrix<f64>> {
        let (measured, size) = (gram(weight), self.matrix.norm());
        let measured = &measured / measured.norm();
        let product_of_both = measured.dot(&self.matrix);
        let by_target = (&self.matrix * (product_of_both / size.powi(3)) - measured / size) * 2.0;
        let vectors = &self.eigen.vectors;
        let mut inner = product(&transposed(vectors), &product(&by_target, vectors));
        let (values, kept) = (&self.eigen.values, &self.kept);
        for (i, j) in (0..values.len()).flat_map(|i| (0..values.len()).map(move |j| (i, j))) {
            let difference = values[i] - values[j];
            inner[(i, j)] *= match difference.abs() > 1e-9 * values.amax() {
                true => (kept[i] - kept[j]) / difference,
                false if kept[i] > 0.0 => 0.5 / (kept[i] + self.root_of_gamma),
                false => 0.0,
            };
        }
        let gradient = product(vectors, &product(&inner, &transposed(vectors)));
        gradient.iter().all(|entry| entry.is_finite()).then_some(gradient)
    }
}

/// The one layer of a head.
pub(crate) fn one_layer(head: &LinearHead) -> Result<&DMatrix<f64>> {
    let [weight] = head.weights() else {
        let reason = "NRC3 is defined for one layer";
        return Err(Error::length("weights", head.depth(), 1, reason));
    };
    Ok(weight)
}

/// Refuses a number of outputs that has not as many features.
pub(crate) fn check_outputs<T: Scalar>(features: &Features<'_, T>, outputs: usize) -> Result<()> {
    if outputs == 0 || outputs > features.dimension() {
        let expected = "between 1 and the number of features";
        return Err(Error::out_of_range("outputs", outputs as f64, expected));
    }
    Ok(())
}

/// An orthonormal basis of the rows of the product of the layers.
pub(crate) fn row_space(head: &LinearHead) -> Result<DMatrix<f64>> {
    let svd = left_svd(&head.product()?.transpose())?;
    let cutoff = CUTOFF * svd.singular_values.max();
    let rank = svd.singular_values.iter().filter(|&&value| value > cutoff).count();
    match rank {
        0 => Err(Error::ZeroNorm { argument: "the product of the layers" }),
        _ => Ok(svd.u.columns_range(..rank).into_owned()),
    }
}

/// γ = N λ_W λ_H, the number that [`nrc3`] takes for the minimum of
///
/// ```math
/// 1/(2N) ‖W H + b1ᵀ − Y‖² + λ_W/2 ‖W‖² + λ_H/2 ‖H‖²
/// ```
///
/// with N samples: there WWᵀ = √(N λ_H/λ_W) [Σ^½ − √γ I]₊, Σ the covariance of the targets Y around their mean (with the
/// divisor N).
///
/// ```
/// use neural_collapse::metrics::predicted_gamma;
///
/// assert!((predicted_gamma(1000, 5e-3, 1e-5) - 5e-5).abs() < 1e-18);
/// ```
///
/// Source: the spectral reduction of the project's `docs/theory.md` for one layer.
#[must_use]
pub fn predicted_gamma(samples: u64, weight_decay: f64, feature_decay: f64) -> f64 {
    samples as f64 * weight_decay * feature_decay
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gradient in every direction of symmetric matrices, by differences, where Σ has equal eigenvalues on either side of
    /// γ = ¼.
    #[test]
    fn gradients_are_those_of_numerical_derivatives() {
        let matrix = |seed: usize| {
            DMatrix::from_fn(5, 5, |i, j| ((i * i + 3 * i * j + 7 * j + seed) as f64).sin())
        };
        let (weight, turn) = (matrix(1), matrix(2).qr().q());
        let values = DVector::from_vec(vec![4.0, 4.0, 1.0, 0.1, 0.1]);
        let covariance = &turn * DMatrix::from_diagonal(&values) * turn.transpose();
        let at = |covariance: &DMatrix<f64>| Target::new(covariance, 0.25).unwrap();
        let gradient = at(&covariance).gradient(&weight).unwrap();
        for (i, j) in (0..5).flat_map(|i| (0..=i).map(move |j| (i, j))) {
            let mut step = DMatrix::zeros(5, 5);
            (step[(i, j)], step[(j, i)]) = (1e-5, 1e-5);
            let value = |matrix: DMatrix<f64>| at(&matrix).distance_squared(&weight).unwrap();
            let change = value(&covariance + &step) - value(&covariance - &step);
            let found = gradient.dot(&step) / 1e-5;
            assert!((found - change / 2e-5).abs() < 1e-7, "{i} {j}: {found} {change}");
        }
    }
}
