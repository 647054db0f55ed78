//! One name for the minima of all models, chosen by the training objective.

use crate::error::{Error, Result};
use crate::models::cross_entropy::{CrossEntropyUfm, Landscape};
use crate::models::layer_peeled::{LayerPeeled, LayerPeeledMinimum};
use crate::models::squared::{GlobalMinimum, Ufm};
use crate::models::svm::Seli;
use crate::prediction::Prediction;
use crate::problem::counts::ClassCounts;
use crate::problem::training_objective::{LossFunction, TrainingObjective};

/// The minimum of whichever model has the training objective asked for.
///
/// ```
/// use neural_collapse::models::AnyModel;
/// use neural_collapse::problem::{LossFunction, TrainingObjective};
/// use neural_collapse::{ClassCounts, Geometry, Regularization};
///
/// let regularization = Regularization::new(&[1e-3], 1e-3)?;
/// let objective = TrainingObjective::penalized(LossFunction::CrossEntropy, regularization);
/// let model = AnyModel::new(&objective, ClassCounts::balanced(4, 10)?, None)?;
/// assert_eq!(model.prediction().geometry(), Geometry::SimplexEtf);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum AnyModel {
    /// The global minimum under the squared loss.
    Squared(GlobalMinimum),
    /// The known points under cross-entropy.
    CrossEntropy(Landscape),
    /// The global minimum of the layer-peeled model.
    LayerPeeled(LayerPeeledMinimum),
    /// The support vector machine on free features.
    SupportVectors(Seli),
}

impl AnyModel {
    /// The minimum of a training objective, for `counts` samples in the classes and, if they are limited, the
    /// widths d₁, …, d_M.
    ///
    /// # Errors
    /// [`Error::NoClosedForm`] if no model has this objective for these classes and widths, and whatever the
    /// model reports.
    pub fn new(
        objective: &TrainingObjective,
        counts: ClassCounts,
        widths: Option<&[usize]>,
    ) -> Result<Self> {
        match objective {
            TrainingObjective::Penalized { loss_function, regularization, .. } => {
                match loss_function {
                    LossFunction::SquaredError => {
                        let ufm = Ufm::new(counts, regularization.clone())?;
                        let ufm = match widths {
                            Some(widths) => ufm.with_widths(widths)?,
                            None => ufm,
                        };
                        Ok(Self::Squared(ufm.global_minimum()?))
                    }
                    LossFunction::CrossEntropy => {
                        let Some(size) = counts.runs().next().filter(|_| counts.is_balanced())
                        else {
                            return unknown(
                                "the cross-entropy loss with classes of different sizes",
                            );
                        };
                        let (classes, size) = (counts.classes(), size.size);
                        let ufm = CrossEntropyUfm::new(classes, size, regularization.clone())?;
                        let ufm = match widths {
                            Some(widths) => ufm.with_widths(widths)?,
                            None => ufm,
                        };
                        Ok(Self::CrossEntropy(ufm.landscape()?))
                    }
                    _ => unknown("this loss function beside decays"),
                }
            }
            TrainingObjective::Budgeted {
                loss_function: LossFunction::CrossEntropy,
                weight_energy,
                feature_energy,
            } => {
                check_room(&counts, widths)?;
                let model = LayerPeeled::new(counts, *weight_energy, *feature_energy)?;
                Ok(Self::LayerPeeled(model.global_minimum()?))
            }
            TrainingObjective::SmallestNorms { loss_function: LossFunction::Margin } => {
                check_room(&counts, widths)?;
                Ok(Self::SupportVectors(Seli::new(counts)?))
            }
            _ => unknown("this loss function with these constraints"),
        }
    }

    /// The model as what all predictions are.
    #[must_use]
    pub fn prediction(&self) -> &dyn Prediction {
        match self {
            Self::Squared(minimum) => minimum,
            Self::CrossEntropy(landscape) => landscape,
            Self::LayerPeeled(minimum) => minimum,
            Self::SupportVectors(seli) => seli,
        }
    }
}

fn unknown<T>(problem: &'static str) -> Result<T> {
    Err(Error::NoClosedForm { problem })
}

/// The models without decays have rank K − 1 and know no widths below.
fn check_room(counts: &ClassCounts, widths: Option<&[usize]>) -> Result<()> {
    let least = counts.classes();
    match widths.unwrap_or_default().iter().all(|&width| width.saturating_add(1) >= least) {
        true => Ok(()),
        false => unknown("this model with a width below K − 1"),
    }
}
