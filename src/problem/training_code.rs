//! From what training code writes to the decays of the objective.

use crate::error::{Error, Result, check_positive};

/// How training code writes its data term, which decides what its rates are beside the objective of this crate,
/// 1/(2N) Σ ‖z − e_y‖² or 1/N Σ cross-entropy.
///
/// | data term in the code | objective = code × | λ_W of `weight_decay` w | λ_H of r/2 Σ ‖h‖² over a batch |
/// |---|---|---|---|
/// | `CrossEntropyLoss()` | 1 | w | r·B/N |
/// | `MSELoss()`, a mean over N·K numbers | K/2 | w·K/2 | r·(B/N)·K/2 |
/// | ½‖z − e_y‖², a mean over samples | 1 | w | r·B/N |
///
/// A mean over batches of B samples is the objective's mean over all N in expectation, while a *sum* over the
/// features of a batch sees each sample in one of N/B batches only: hence B/N. `weight_decay` of SGD and of Adam is the
/// gradient of w/2 ‖W‖². AdamW's decoupled decay is not the gradient of any penalty beside a data term, so that no
/// objective belongs to it.
///
/// ```
/// use neural_collapse::problem::{CodedFeaturePenalty, CodedLoss};
///
/// // The released code of Dang et al.: MSELoss, 4 classes of 50 samples, batches of 20, both rates 2e-3.
/// let loss = CodedLoss::MeanSquaredError;
/// assert_eq!(loss.weight_decay(2e-3, 4)?, 4e-3);
/// let penalty = CodedFeaturePenalty::SumOverBatch { rate: 2e-3, batch_size: 20, samples: 200 };
/// assert_eq!(loss.feature_decay(penalty, 4)?, 4e-4);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum CodedLoss {
    /// The cross-entropy, a mean over samples: `CrossEntropyLoss()`.
    CrossEntropy,
    /// The squared error, a mean over samples and outputs: `MSELoss()`.
    MeanSquaredError,
    /// Half the squared error, summed over outputs, a mean over samples: the objective's own data term.
    HalfSquaredError,
}

/// How training code writes a penalty of the features.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum CodedFeaturePenalty {
    /// rate/2 Σ ‖h‖², a sum over the samples of a batch.
    SumOverBatch {
        /// The rate.
        rate: f64,
        /// Samples B in a batch.
        batch_size: u64,
        /// Samples N in all.
        samples: u64,
    },
    /// rate/2 times the mean of ‖h‖² over samples, those of a batch or all of them.
    MeanOverSamples {
        /// The rate.
        rate: f64,
        /// Samples N in all.
        samples: u64,
    },
    /// rate/2 Σ ‖h‖², a sum over all samples at every step.
    SumOverSamples {
        /// The rate.
        rate: f64,
    },
}

impl CodedLoss {
    /// What the code's objective is multiplied with to be that of this crate, for K = `classes`.
    fn factor(self, classes: usize) -> Result<f64> {
        if classes == 0 {
            return Err(Error::out_of_range("classes", 0.0, "at least 1"));
        }
        Ok(match self {
            Self::CrossEntropy | Self::HalfSquaredError => 1.0,
            Self::MeanSquaredError => classes as f64 / 2.0,
        })
    }

    /// The decay λ of a parameter with the coupled `weight_decay` of SGD or Adam beside this loss; also that of a
    /// bias, λ_b.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `weight_decay` is not positive and finite or there is no class.
    pub fn weight_decay(self, weight_decay: f64, classes: usize) -> Result<f64> {
        check_positive("weight_decay", weight_decay)?;
        Ok(weight_decay * self.factor(classes)?)
    }

    /// The decay λ_H of a penalty of the features beside this loss.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if a rate is not positive and finite, there is no class or sample, or a batch is
    /// larger than the data set.
    pub fn feature_decay(self, penalty: CodedFeaturePenalty, classes: usize) -> Result<f64> {
        let (rate, share) = penalty.rate_and_share()?;
        check_positive("rate", rate)?;
        Ok(rate * share * self.factor(classes)?)
    }
}

impl CodedFeaturePenalty {
    /// The rate, and how often a step sees a sample.
    fn rate_and_share(self) -> Result<(f64, f64)> {
        let count = |argument, value: u64| match value {
            0 => Err(Error::out_of_range(argument, 0.0, "at least 1")),
            value => Ok(value as f64),
        };
        Ok(match self {
            Self::SumOverBatch { rate, batch_size, samples } => {
                let share = count("batch_size", batch_size)? / count("samples", samples)?;
                if share > 1.0 {
                    let expected = "at most the number of samples";
                    return Err(Error::out_of_range("batch_size", batch_size as f64, expected));
                }
                (rate, share)
            }
            Self::MeanOverSamples { rate, samples } => (rate, count("samples", samples)?.recip()),
            Self::SumOverSamples { rate } => (rate, 1.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One epoch of batches, written as training code does, is a constant times the objective of this crate.
    #[test]
    fn an_epoch_of_batches_is_the_objective() {
        let (classes, samples, batch_size) = (3_usize, 12_u64, 4_u64);
        let (rate, decay) = (0.3, 0.7);
        let number = |index: u64| (index as f64 * 0.37).sin();
        let (weight_square, norms) = (2.5, |sample: u64| number(sample).powi(2));
        let squared_error = |sample: u64| 1.0 + number(sample + 100);
        let k = classes as f64;
        let batches = samples / batch_size;
        let coded: f64 = (0..batches)
            .map(|batch| {
                let own = || batch * batch_size..(batch + 1) * batch_size;
                let mse = own().map(squared_error).sum::<f64>() / (batch_size as f64 * k);
                let features = rate / 2.0 * own().map(norms).sum::<f64>();
                mse + decay / 2.0 * weight_square + features
            })
            .sum::<f64>()
            / batches as f64;
        let loss = CodedLoss::MeanSquaredError;
        let weight_decay = loss.weight_decay(decay, classes).unwrap();
        let penalty = CodedFeaturePenalty::SumOverBatch { rate, batch_size, samples };
        let feature_decay = loss.feature_decay(penalty, classes).unwrap();
        let objective = (0..samples).map(squared_error).sum::<f64>() / (2.0 * samples as f64)
            + weight_decay / 2.0 * weight_square
            + feature_decay / 2.0 * (0..samples).map(norms).sum::<f64>();
        assert!((objective - k / 2.0 * coded).abs() < 1e-14 * objective);
        let mean = CodedFeaturePenalty::MeanOverSamples { rate, samples };
        let sum = CodedFeaturePenalty::SumOverSamples { rate };
        let ce = CodedLoss::CrossEntropy;
        assert_eq!(ce.feature_decay(mean, 3).unwrap(), rate / 12.0);
        assert_eq!(ce.feature_decay(sum, 3).unwrap(), rate);
        let one_batch = CodedFeaturePenalty::SumOverBatch { rate, batch_size: samples, samples };
        assert_eq!(ce.feature_decay(one_batch, 3).unwrap(), rate);
        assert_eq!(ce.weight_decay(decay, 3).unwrap(), decay);
    }

    #[test]
    fn bad_rates_are_named() {
        let loss = CodedLoss::CrossEntropy;
        assert!(loss.weight_decay(0.0, 3).is_err() && loss.weight_decay(1.0, 0).is_err());
        for (batch_size, samples) in [(0, 5), (5, 0), (6, 5)] {
            let penalty = CodedFeaturePenalty::SumOverBatch { rate: 1.0, batch_size, samples };
            assert!(loss.feature_decay(penalty, 3).is_err());
        }
        let nan = CodedFeaturePenalty::SumOverSamples { rate: f64::NAN };
        assert!(loss.feature_decay(nan, 3).is_err());
    }
}
