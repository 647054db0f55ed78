//! The squared loss split at the head that is best for the measured features.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::measure::pooled::PooledScatter;
use crate::measure::statistics::ClassStatistics;
use crate::numerics::linalg::{Cholesky, add_gram, product};
use crate::objective::check::check;
use crate::problem::head::LinearHead;
use crate::problem::regularization::{Bias, Regularization};

/// The squared loss of one layer with its penalties, but for that of the features, as a sum of four parts, none of which is
/// negative.
///
/// Features and class sizes may be any. W_LS is the head that is best for these features, the ridge regression of the
/// one-hot labels on them; with a bias, features get one more entry 1 and heads one more column b. Then
///
/// ```math
/// 1/(2N) ‖WH − Y‖² + λ_W/2 ‖W‖² = ½ tr(W_LS Σ_W W_LSᵀ) + 1/(2N) Σₖ n_k ‖W_LS h_k − e_k‖²
///                                 + λ_W/2 ‖W_LS‖² + ½ tr((W − W_LS)(HHᵀ/N + λ_W I)(W − W_LS)ᵀ),
/// ```
///
/// with λ_b in the place of λ_W for the column of a bias. The first part vanishes with NC1, the second as the class means
/// become a frame that the labels can be read off, and the last where the head follows the features (NC3).
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::measure::PooledScatter;
/// use neural_collapse::objective::{LeastSquaresSplit, Objective};
/// use neural_collapse::{Features, LinearHead, Regularization};
///
/// let rows = dmatrix![1.1, 0.0; 0.9, 0.0; -1.0, 0.3; -1.0, -0.3];
/// let data = Features::from_sample_rows(&rows)?.with_labels(&[0, 0, 1, 1], 2)?;
/// let mut scatter = PooledScatter::empty(2, 2)?;
/// scatter.accumulate(&data)?;
/// let head = LinearHead::new(vec![dmatrix![0.7, 0.1; -0.4, 0.0]], None)?;
/// let regularization = Regularization::new(&[1e-2], 1e-3)?;
/// let split = LeastSquaresSplit::new(&scatter, &head, &regularization)?;
/// let whole = Objective::squared_error(&data, &head, &regularization)?;
/// assert!((split.loss() - (whole.data_term + whole.weight_penalty)).abs() < 1e-15);
/// // The best head has no last part.
/// let best = LeastSquaresSplit::new(&scatter, &split.best_head, &regularization)?;
/// assert!(best.head_distance < 1e-30 && best.loss() < split.loss());
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Han, Papyan & Donoho, *Neural collapse under MSE loss: proximity to and dynamics on the central path* (ICLR
/// 2022), theorem 1, here for any class sizes and any bias.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct LeastSquaresSplit {
    /// ½ tr(W_LS Σ_W W_LSᵀ): what the deviations within the classes cost the best head.
    pub within_classes: f64,
    /// 1/(2N) Σₖ n_k ‖W_LS h_k − e_k‖²: how far its outputs for the class means are from the labels.
    pub class_means: f64,
    /// λ_W/2 ‖W_LS‖², and λ_b/2 ‖b_LS‖² if the bias has a decay.
    pub penalty: f64,
    /// ½ tr((W − W_LS)(HHᵀ/N + λ_W I)(W − W_LS)ᵀ): how far the head is from the best one.
    pub head_distance: f64,
    /// W_LS, and the bias with it if the head has one.
    pub best_head: LinearHead,
}

impl LeastSquaresSplit {
    /// Splits the loss of a head of one layer on the samples of `scatter`.
    ///
    /// # Errors
    /// [`Error::Shape`] if head, scatter and penalties do not fit together or there are several layers,
    /// [`Error::EmptyClass`] for a class without samples, [`Error::NotAnswered`] if the decay is so small that W_LS is lost in
    /// rounding errors, [`Error::Unrepresentable`] if a part overflows.
    pub fn new(
        scatter: &PooledScatter,
        head: &LinearHead,
        regularization: &Regularization,
    ) -> Result<Self> {
        check(head, regularization)?;
        let statistics = scatter.statistics();
        head.check_shape("scatter", statistics.dimension(), statistics.classes())?;
        // A class without samples is named even if there are none at all.
        statistics.class_counts()?;
        Self::of_moments(statistics, scatter.within_class_covariance()?, head, regularization)
    }

    /// From class means and Σ_W, for a head and decays that fit them.
    pub(crate) fn of_moments(
        statistics: &ClassStatistics,
        within: DMatrix<f64>,
        head: &LinearHead,
        regularization: &Regularization,
    ) -> Result<Self> {
        let [weight] = head.weights() else {
            return Err(Error::length("weights", head.depth(), 1, "the split is one of one layer"));
        };
        let moments = Moments::new(statistics, within, regularization)?;
        let best = moments.best_head()?;
        let found = moments.split(&best, &with_bias(weight, head))?;
        match found.loss().is_finite() {
            true => Ok(found),
            false => {
                let quantity = "a part of the squared loss";
                Err(Error::Unrepresentable { quantity, log10: f64::INFINITY })
            }
        }
    }

    /// The sum of the four parts: the squared loss and the penalties of layer and bias.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.within_classes + self.class_means + self.penalty + self.head_distance
    }
}

/// Second moments of the features, with one more entry of 1 for a bias.
struct Moments {
    has_bias: bool,
    /// n_k/N.
    shares: Vec<f64>,
    /// H̄.
    means: DMatrix<f64>,
    /// Σ_W.
    within: DMatrix<f64>,
    /// The decay of each entry of a row of the head.
    decays: Vec<f64>,
}

impl Moments {
    fn new(
        statistics: &ClassStatistics,
        mut within: DMatrix<f64>,
        regularization: &Regularization,
    ) -> Result<Self> {
        let dimension = statistics.dimension();
        let samples = statistics.samples() as f64;
        let shares: Vec<f64> =
            statistics.counts().iter().map(|&count| count as f64 / samples).collect();
        let mut means = statistics.class_means()?;
        let mut decays = vec![regularization.first_decay(); dimension];
        let bias_decay = match regularization.bias() {
            Bias::None => None,
            Bias::Unregularized => Some(0.0),
            Bias::Regularized(decay) => Some(decay),
        };
        if let Some(decay) = bias_decay {
            means = means.insert_row(dimension, 1.0);
            within = within.insert_row(dimension, 0.0).insert_column(dimension, 0.0);
            decays.push(decay);
        }
        Ok(Self { has_bias: bias_decay.is_some(), shares, means, within, decays })
    }

    /// W_LS = [n_k/N e_k h_kᵀ] (HHᵀ/N + decays)⁻¹.
    fn best_head(&self) -> Result<DMatrix<f64>> {
        let mut penalized = self.within.clone();
        add_gram(&mut penalized, &self.weighted_means(f64::sqrt));
        for (index, decay) in self.decays.iter().enumerate() {
            penalized[(index, index)] += decay;
        }
        let factor = Cholesky::new(penalized).ok_or(Error::NotAnswered {
            question: "the best head for the features",
            reason: "the weight decay is below the rounding errors of the features' second moments",
        })?;
        Ok(factor.solve(self.weighted_means(|share| share)).transpose())
    }

    /// The class means times a function of their shares.
    fn weighted_means(&self, factor: fn(f64) -> f64) -> DMatrix<f64> {
        let mut means = self.means.clone();
        let columns = means.column_iter_mut().zip(&self.shares);
        columns.for_each(|(mut mean, &share)| mean *= factor(share));
        means
    }

    /// Twice what a head pays for deviations, for `outputs` of the class means, and for decays.
    fn square(&self, head: &DMatrix<f64>, outputs: &DMatrix<f64>) -> [f64; 3] {
        let columns = outputs.column_iter().zip(&self.shares);
        let decays = head.column_iter().zip(&self.decays);
        [
            product(head, &self.within).dot(head),
            columns.map(|(column, share)| share * column.norm_squared()).sum(),
            decays.map(|(column, decay)| decay * column.norm_squared()).sum(),
        ]
    }

    fn split(&self, best: &DMatrix<f64>, head: &DMatrix<f64>) -> Result<LeastSquaresSplit> {
        let mut residuals = product(best, &self.means);
        for class in 0..residuals.ncols() {
            residuals[(class, class)] -= 1.0;
        }
        let difference = head - best;
        let [within, errors, decays] = self.square(best, &residuals);
        let distance = self.square(&difference, &product(&difference, &self.means));
        let (weights, bias) = match self.has_bias {
            true => {
                let last = best.ncols() - 1;
                (best.columns(0, last).into_owned(), Some(best.column(last).into_owned()))
            }
            false => (best.clone(), None),
        };
        Ok(LeastSquaresSplit {
            within_classes: within / 2.0,
            class_means: errors / 2.0,
            penalty: decays / 2.0,
            head_distance: distance.iter().sum::<f64>() / 2.0,
            best_head: LinearHead::new(vec![weights], bias)?,
        })
    }
}

/// The layer with the bias as one more column, if there is one.
fn with_bias(weight: &DMatrix<f64>, head: &LinearHead) -> DMatrix<f64> {
    let Some(bias) = head.bias() else { return weight.clone() };
    let mut extended = weight.clone().insert_column(weight.ncols(), 0.0);
    extended.set_column(weight.ncols(), bias);
    extended
}
