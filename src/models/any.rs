//! One name for the minima of all models, chosen by the training objective.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::models::contrastive::{UnitFeatures, UnitMinimum};
use crate::models::convex::{ConvexMinimum, ConvexUfm};
use crate::models::cross_entropy::{CrossEntropyUfm, Landscape, LossMean};
use crate::models::fixed_head::{FixedHeadMinimum, FixedHeadUfm};
use crate::models::layer_peeled::{LayerPeeled, LayerPeeledMinimum};
use crate::models::low_rank::{LowRankMinimum, LowRankProblem, Search};
use crate::models::nonnegative::{NonnegativeMinimum, NonnegativeUfm};
use crate::models::squared::{GlobalMinimum, Ufm};
use crate::models::svm::Seli;
use crate::monitor::Monitor;
use crate::prediction::Prediction;
use crate::problem::counts::ClassCounts;
use crate::problem::regularization::{Bias, Regularization};
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
    /// The known points under cross-entropy, balanced classes.
    CrossEntropy(Landscape),
    /// The global minimum of one layer for any class sizes and weights.
    Convex(ConvexMinimum),
    /// The global minimum under cross-entropy with non-negative features.
    Nonnegative(NonnegativeMinimum),
    /// The lowest point that a search found.
    LowRank(LowRankMinimum),
    /// The global minimum of the layer-peeled model.
    LayerPeeled(LayerPeeledMinimum),
    /// The support vector machine on free features.
    SupportVectors(Seli),
    /// The global minimum in front of a simplex ETF that is not trained.
    FixedHead(FixedHeadMinimum),
    /// The global minimum of features of length 1: contrastive losses and spherical cross-entropy.
    UnitVectors(UnitMinimum),
}

/// How much is spent on problems without a closed form.
#[derive(Clone, Copy)]
struct Effort<'a> {
    search: Option<&'a Search>,
    monitor: &'a dyn Monitor,
}

/// A problem of classes with decays.
struct Penalized<'a> {
    regularization: &'a Regularization,
    /// Of the loss of every sample, beside the class weights.
    factor: f64,
    class_weights: &'a [f64],
    label_smoothing: f64,
    logit_offsets: &'a [f64],
    counts: ClassCounts,
    widths: Option<&'a [usize]>,
}

impl AnyModel {
    /// The minimum of a training objective, for `counts` samples in the classes and, if they are limited, the
    /// widths d₁, …, d_M. Nothing is searched for numerically: see [`new_with`](Self::new_with).
    ///
    /// # Errors
    /// [`Error::NoClosedForm`] if no model has this objective for these classes and widths, and whatever the
    /// model reports.
    pub fn new(
        objective: &TrainingObjective,
        counts: ClassCounts,
        widths: Option<&[usize]>,
    ) -> Result<Self> {
        Self::new_with(objective, counts, widths, None, &())
    }

    /// [`new`](Self::new) under the eyes of a monitor, which hears of each step of a convex program and each start of a
    /// search.
    ///
    /// With `search` there is a numerical search where no minimum is proved: under cross-entropy with two and more layers
    /// beside the closed forms, and alone for classes of different sizes or weights, narrow widths, and the squared loss
    /// with a penalized bias.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`Error::Cancelled`] if the monitor ends the work.
    ///
    /// ```
    /// use neural_collapse::models::{AnyModel, low_rank::Search};
    /// use neural_collapse::problem::{LossFunction, TrainingObjective};
    /// use neural_collapse::{ClassCounts, Regularization};
    ///
    /// // Two layers and classes of different sizes: no closed form is known.
    /// let regularization = Regularization::new(&[1e-2; 2], 1e-2)?;
    /// let objective = TrainingObjective::penalized(LossFunction::CrossEntropy, regularization);
    /// let counts = ClassCounts::new(&[6, 4, 2])?;
    /// assert!(AnyModel::new(&objective, counts.clone(), None).is_err());
    /// let search = Search::default().with_starts(2);
    /// let model = AnyModel::new_with(&objective, counts, None, Some(&search), &())?;
    /// assert!(model.prediction().loss() > 0.0);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn new_with(
        objective: &TrainingObjective,
        counts: ClassCounts,
        widths: Option<&[usize]>,
        search: Option<&Search>,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        let effort = Effort { search, monitor };
        match objective {
            TrainingObjective::Penalized { loss_function, factor, regularization } => {
                let problem = Penalized {
                    regularization,
                    factor: *factor,
                    class_weights: &[],
                    label_smoothing: 0.0,
                    logit_offsets: &[],
                    counts,
                    widths,
                };
                match loss_function {
                    LossFunction::SquaredError => problem.squared(effort),
                    LossFunction::CrossEntropy => problem.cross_entropy(effort),
                    _ => unknown("this loss function beside decays"),
                }
            }
            TrainingObjective::WeightedCrossEntropy {
                regularization,
                class_weights,
                label_smoothing,
                logit_offsets,
                nonnegative_features,
            } => {
                let problem = Penalized {
                    regularization,
                    factor: 1.0,
                    class_weights,
                    label_smoothing: *label_smoothing,
                    logit_offsets,
                    counts,
                    widths,
                };
                match nonnegative_features {
                    true => problem.nonnegative(),
                    false => problem.cross_entropy(effort),
                }
            }
            TrainingObjective::WeightedSquaredError {
                regularization,
                class_weights,
                label_smoothing,
            } => {
                let problem = Penalized {
                    regularization,
                    factor: 1.0,
                    class_weights,
                    label_smoothing: *label_smoothing,
                    logit_offsets: &[],
                    counts,
                    widths,
                };
                problem.squared(effort)
            }
            TrainingObjective::Budgeted {
                loss_function: LossFunction::CrossEntropy,
                weight_energy,
                feature_energy,
            } => {
                check_room(&counts, widths)?;
                let model = LayerPeeled::new(counts, *weight_energy, *feature_energy)?;
                Ok(Self::LayerPeeled(model.global_minimum_with(monitor)?))
            }
            TrainingObjective::SmallestNorms { loss_function: LossFunction::Margin } => {
                check_room(&counts, widths)?;
                Ok(Self::SupportVectors(Seli::new(counts)?))
            }
            TrainingObjective::ScaledMargins { margins, logit_scales } => {
                check_room(&counts, widths)?;
                let seli = Seli::new(counts)?;
                let seli = match margins.as_slice() {
                    [] => seli,
                    margins => seli.with_margins(margins)?,
                };
                Ok(Self::SupportVectors(match logit_scales.as_slice() {
                    [] => seli,
                    logit_scales => seli.with_logit_scales(logit_scales)?,
                }))
            }
            TrainingObjective::FixedSimplexHead {
                classifier_norm_squared,
                feature_decay,
                label_smoothing,
            } => {
                check_room(&counts, widths)?;
                let model = FixedHeadUfm::new(counts, *classifier_norm_squared, *feature_decay)?;
                let model = model.with_label_smoothing(*label_smoothing)?;
                Ok(Self::FixedHead(model.global_minimum()?))
            }
            TrainingObjective::UnitVectors { loss_function, temperature, nonnegative_features } => {
                check_room(&counts, widths)?;
                let model = match loss_function {
                    LossFunction::CrossEntropy => {
                        UnitFeatures::spherical_cross_entropy(counts, *temperature)?
                    }
                    LossFunction::SupervisedContrastive => {
                        UnitFeatures::supervised_contrastive(counts, *temperature)?
                    }
                    _ => return unknown("this loss function of unit vectors"),
                };
                let model = match nonnegative_features {
                    true => model.with_nonnegative_features()?,
                    false => model,
                };
                Ok(Self::UnitVectors(model.global_minimum()?))
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
            Self::Convex(minimum) => minimum,
            Self::Nonnegative(minimum) => minimum,
            Self::LowRank(minimum) => minimum,
            Self::LayerPeeled(minimum) => minimum,
            Self::SupportVectors(seli) => seli,
            Self::FixedHead(minimum) => minimum,
            Self::UnitVectors(minimum) => minimum,
        }
    }
}

impl Penalized<'_> {
    fn squared(self, effort: Effort<'_>) -> Result<AnyModel> {
        let penalized_bias = matches!(self.regularization.bias(), Bias::Regularized(_));
        if self.is_plain() && (!penalized_bias || self.counts.is_balanced()) {
            let ufm = Ufm::new(self.counts, self.regularization.clone())?;
            let ufm = match self.widths {
                Some(widths) => ufm.with_widths(widths)?,
                None => ufm,
            };
            return Ok(AnyModel::Squared(ufm.global_minimum()?));
        }
        if self.regularization.depth() == 1 {
            let ufm = ConvexUfm::squared_error(self.counts.clone(), self.regularization.clone())?;
            match self.convex(ufm, effort) {
                Err(Error::NoClosedForm { .. }) if effort.search.is_some() => {}
                result => return result,
            }
        }
        let Some(search) = effort.search else {
            return unknown(match self.is_plain() {
                true => "a penalized bias with classes of different sizes and several layers",
                false => "class weights or smoothing beside the squared loss and several layers",
            });
        };
        let problem = LowRankProblem::squared(self.counts.clone(), self.regularization.clone())?;
        self.low_rank(problem, search, effort.monitor)
    }

    fn cross_entropy(self, effort: Effort<'_>) -> Result<AnyModel> {
        if let (Some(mean), true) = (self.loss_mean(), self.is_wide()) {
            return self.landscape(mean, effort);
        }
        if self.regularization.depth() == 1 {
            let ufm = ConvexUfm::cross_entropy(self.counts.clone(), self.regularization.clone())?;
            match self.convex(ufm, effort) {
                // The minimum of the convex program has a larger rank than the widths leave room for.
                Err(Error::NoClosedForm { .. }) => {}
                result => return result,
            }
        }
        if self.has_offsets() {
            return unknown("logit offsets with several layers or a width below K − 1");
        }
        let Some(search) = effort.search else {
            return unknown(match self.is_wide() {
                true => {
                    "cross-entropy with several layers and class weights or classes of different sizes"
                }
                false => {
                    "the cross-entropy loss with a width below K − 1, the rank of a simplex ETF"
                }
            });
        };
        let problem =
            LowRankProblem::cross_entropy(self.counts.clone(), self.regularization.clone())?;
        self.low_rank(problem, search, effort.monitor)
    }

    fn convex(&self, ufm: ConvexUfm, effort: Effort<'_>) -> Result<AnyModel> {
        let ufm = match &*self.weights() {
            [] => ufm,
            weights => ufm.with_class_weights(weights)?,
        };
        let ufm = ufm.with_label_smoothing(self.label_smoothing)?;
        let ufm = match self.logit_offsets {
            [] => ufm,
            offsets => ufm.with_logit_offsets(offsets)?,
        };
        let ufm = match self.widths {
            Some(widths) => ufm.with_widths(widths)?,
            None => ufm,
        };
        Ok(AnyModel::Convex(ufm.global_minimum_with(effort.monitor)?))
    }

    fn low_rank(
        &self,
        problem: LowRankProblem,
        search: &Search,
        monitor: &dyn Monitor,
    ) -> Result<AnyModel> {
        let problem = match &*self.weights() {
            [] => problem,
            weights => problem.with_class_weights(weights)?,
        };
        let problem = problem.with_label_smoothing(self.label_smoothing)?;
        let problem = match self.widths {
            Some(widths) => problem.with_widths(widths)?,
            None => problem,
        };
        Ok(AnyModel::LowRank(problem.minimize(search, monitor)?))
    }

    fn landscape(self, mean: LossMean, effort: Effort<'_>) -> Result<AnyModel> {
        let size = self.counts.largest();
        let ufm = CrossEntropyUfm::new(self.counts.classes(), size, self.regularization.clone())?;
        let ufm = ufm.with_loss_mean(mean).with_label_smoothing(self.label_smoothing)?;
        let ufm = match self.widths {
            Some(widths) => ufm.with_widths(widths)?,
            None => ufm,
        };
        Ok(AnyModel::CrossEntropy(match effort.search {
            Some(search) => ufm.searched_landscape(search, effort.monitor)?,
            None => ufm.landscape()?,
        }))
    }

    fn nonnegative(self) -> Result<AnyModel> {
        if self.regularization.depth() > 1 {
            return unknown("non-negative features under several layers");
        }
        if self.has_offsets() {
            return unknown("logit offsets beside non-negative features");
        }
        let ufm = NonnegativeUfm::new(self.counts, self.regularization.clone())?;
        let ufm = match self.class_weights {
            [] => ufm,
            weights => ufm.with_class_weights(weights)?,
        };
        let ufm = ufm.with_label_smoothing(self.label_smoothing)?;
        let ufm = match self.widths {
            Some(widths) => ufm.with_widths(widths)?,
            None => ufm,
        };
        Ok(AnyModel::Nonnegative(ufm.global_minimum()?))
    }

    /// Whether neither weights nor smoothing change the loss.
    fn is_plain(&self) -> bool {
        self.label_smoothing == 0.0 && self.common_weight() == Some(1.0)
    }

    /// The weights of all classes, none if they are 1.
    fn weights(&self) -> Cow<'_, [f64]> {
        if self.factor == 1.0 {
            return self.class_weights.into();
        }
        let classes = self.counts.classes();
        (0..classes)
            .map(|class| self.factor * self.class_weights.get(class).unwrap_or(&1.0))
            .collect()
    }

    /// What the loss of every sample is multiplied by, if that is one number.
    fn common_weight(&self) -> Option<f64> {
        let first = self.class_weights.first().copied().unwrap_or(1.0);
        self.class_weights.iter().all(|&weight| weight == first).then_some(self.factor * first)
    }

    /// Whether constants are added to the logits that are not all alike.
    fn has_offsets(&self) -> bool {
        self.logit_offsets.iter().any(|offset| self.logit_offsets.first() != Some(offset))
    }

    /// What the sum of the losses is divided by in the landscape of this problem; `None` unless all classes count
    /// alike, by such a number.
    fn loss_mean(&self) -> Option<LossMean> {
        if self.has_offsets() || !self.counts.is_balanced() {
            return None;
        }
        match self.common_weight()? {
            1.0 => Some(LossMean::Samples),
            0.5 => Some(LossMean::TwiceSamples),
            _ => None,
        }
    }

    /// Whether the widths leave room for the rank K − 1.
    fn is_wide(&self) -> bool {
        check_room(&self.counts, self.widths).is_ok()
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

#[cfg(test)]
mod tests;
