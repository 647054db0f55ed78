//! How a loss treats classes, labels and features.

use neural_collapse::Regularization;
use neural_collapse::problem::{LossFunction, TrainingObjective};

use crate::error::CliError;
use crate::loss::Loss;

/// How the loss treats classes, labels and features, beyond the plain one.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct LabelTreatment {
    /// The label smoothing δ.
    pub(crate) label_smoothing: Option<f64>,
    /// The weights ω of the classes.
    pub(crate) class_weights: Option<Vec<f64>>,
    /// Whether features are non-negative, as after a ReLU.
    pub(crate) nonnegative_features: bool,
    /// The margins m of the support vector machine.
    pub(crate) margins: Option<Vec<f64>>,
    /// Its scales δ of the logits.
    pub(crate) logit_scales: Option<Vec<f64>>,
}

impl LabelTreatment {
    /// The objective of a loss with decays.
    pub(crate) fn objective(
        &self,
        loss: Loss,
        regularization: Regularization,
    ) -> TrainingObjective {
        let class_weights = self.class_weights.clone().unwrap_or_default();
        let label_smoothing = self.label_smoothing.unwrap_or(0.0);
        match loss {
            Loss::Ce if self.has_labels() || self.nonnegative_features => {
                TrainingObjective::WeightedCrossEntropy {
                    regularization,
                    class_weights,
                    label_smoothing,
                    logit_offsets: Vec::new(),
                    nonnegative_features: self.nonnegative_features,
                }
            }
            Loss::Mse if self.has_labels() => TrainingObjective::WeightedSquaredError {
                regularization,
                class_weights,
                label_smoothing,
            },
            _ => TrainingObjective::penalized(loss.function(), regularization),
        }
    }

    /// The objective of the support vector machine.
    pub(crate) fn margins(&self) -> TrainingObjective {
        if !self.has_margins() {
            return TrainingObjective::SmallestNorms { loss_function: LossFunction::Margin };
        }
        TrainingObjective::ScaledMargins {
            margins: self.margins.clone().unwrap_or_default(),
            logit_scales: self.logit_scales.clone().unwrap_or_default(),
        }
    }

    /// What was asked for that does not belong to a loss, in words.
    pub(crate) fn uncovered(&self, loss: Option<Loss>) -> Option<&'static str> {
        let is = |losses: &[Loss]| loss.is_some_and(|loss| losses.contains(&loss));
        let smooths = loss == Some(Loss::FixedEtf) && all_ones(self.class_weights.as_deref());
        if self.has_labels() && !is(&[Loss::Ce, Loss::Mse]) && !smooths {
            return Some(
                "class weights and label smoothing are covered beside cross-entropy and the squared error only \
                 (--loss ce, --loss mse)",
            );
        }
        if self.nonnegative_features && !is(&[Loss::Ce, Loss::Supcon]) {
            return Some("non-negative features are covered beside cross-entropy only (--loss ce)");
        }
        if self.has_margins() && !is(&[Loss::UfSvm]) {
            return Some(
                "margins and scales of the logits are those of the support vector machine (--loss uf-svm)",
            );
        }
        None
    }

    /// Refuses lists that have not a number for each class.
    pub(crate) fn check(&self, classes: usize) -> Result<(), CliError> {
        let lists = [
            (
                "the class weights (--class-weights or the metadata `class_weights`)",
                &self.class_weights,
            ),
            ("--margins", &self.margins),
            ("--logit-scales", &self.logit_scales),
        ];
        for (name, list) in lists {
            let found = list.as_ref().map_or(classes, Vec::len);
            if found != classes {
                let reason = format!("{found} numbers for {classes} classes");
                return Err(CliError::Argument { name: name.into(), reason });
            }
        }
        Ok(())
    }

    /// Whether weights or smoothing change the loss of a sample.
    pub(crate) fn has_labels(&self) -> bool {
        self.label_smoothing.unwrap_or(0.0) != 0.0 || !all_ones(self.class_weights.as_deref())
    }

    pub(crate) fn has_margins(&self) -> bool {
        !all_ones(self.margins.as_deref()) || !all_ones(self.logit_scales.as_deref())
    }

    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            label_smoothing: self.label_smoothing.or(others.label_smoothing),
            class_weights: self.class_weights.or(others.class_weights),
            nonnegative_features: self.nonnegative_features || others.nonnegative_features,
            margins: self.margins.or(others.margins),
            logit_scales: self.logit_scales.or(others.logit_scales),
        }
    }
}

/// Whether a list, if there is one, says no more than none would.
fn all_ones(list: Option<&[f64]>) -> bool {
    list.unwrap_or_default().iter().all(|&number| number == 1.0)
}
