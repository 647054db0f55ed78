//! The decays of the objective from what training code states.

use neural_collapse::problem::{CodedFeaturePenalty, CodedLoss};
use neural_collapse::{Bias, Error};

use crate::error::CliError;
use crate::loss::Loss;

/// How the decays are meant: those of the objective, or the rates of training code.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Rates {
    /// The loss of the code that the decays are rates beside.
    pub(crate) beside: Option<CodedLoss>,
    /// The number of samples that the code's penalty of features is a sum over.
    pub(crate) batch_size: Option<u64>,
}

impl Rates {
    /// Refuses rates beside another loss than that which is minimized.
    pub(crate) fn check(self, loss: Loss) -> Result<(), CliError> {
        let reason = match (self.beside, loss) {
            (Some(CodedLoss::CrossEntropy), Loss::Mse) => {
                "the rates are beside a cross-entropy, but the loss is the squared error; --loss ce says otherwise"
            }
            (Some(CodedLoss::MeanSquaredError | CodedLoss::HalfSquaredError), loss)
                if loss != Loss::Mse =>
            {
                "the rates are beside a squared error, but the loss is another one; --loss mse says otherwise"
            }
            _ => return Ok(()),
        };
        Err(CliError::Argument { name: "--decays-beside".into(), reason: reason.into() })
    }

    /// The decay of a parameter.
    pub(crate) fn weight_decay(self, rate: f64, classes: usize) -> Result<f64, Error> {
        match self.beside {
            Some(loss) => loss.weight_decay(rate, classes),
            None => Ok(rate),
        }
    }

    /// The treatment of the bias, with the decay of the objective.
    pub(crate) fn bias(self, bias: Bias, classes: usize) -> Result<Bias, Error> {
        match bias {
            Bias::Regularized(rate) => self.weight_decay(rate, classes).map(Bias::Regularized),
            Bias::None | Bias::Unregularized => Ok(bias),
        }
    }

    /// The decay of the features.
    pub(crate) fn feature_decay(
        self,
        rate: f64,
        samples: u64,
        classes: usize,
    ) -> Result<f64, Error> {
        let penalty = match self.batch_size {
            Some(batch_size) => CodedFeaturePenalty::SumOverBatch { rate, batch_size, samples },
            None => CodedFeaturePenalty::SumOverSamples { rate },
        };
        match self.beside {
            None if self.batch_size.is_none() => Ok(rate),
            beside => beside.unwrap_or(CodedLoss::HalfSquaredError).feature_decay(penalty, classes),
        }
    }
}
