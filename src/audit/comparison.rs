//! What was measured, beside what a model predicts.

use std::collections::BTreeMap;

use nalgebra::DMatrix;

use crate::audit::classes::{ClassAudit, predict_classes};
use crate::audit::frames::{FrameDistances, comparable};
use crate::audit::layer_ratios::LayerRatio;
use crate::audit::measurement::Measurement;
use crate::audit::refused::{check_layers, classes_of};
use crate::audit::sampling::{Targets, in_order};
use crate::audit::structure::{NetworkStructure, without_means};
use crate::audit::training::{Arrival, Evidence, Ranks, TrainingVerdict};
use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::metrics::errors::StandardErrors;
use crate::metrics::levels::Levels;
use crate::metrics::{nc2, nc3};
use crate::monitor::Monitor;
use crate::prediction::{Geometry, Prediction, Summary, answered};
use crate::problem::head::LinearHead;
use crate::problem::training_objective::{LossFunction, TrainingObjective};

/// Two class means whose cosine is above this share a direction.
const SHARED_DIRECTION: f64 = 0.999;

/// Why loss and gradient are missing where they are not those that are predicted.
pub(super) const OTHER_OBJECTIVE: &str =
    "another objective was measured than that which the prediction minimizes";

/// A network beside the prediction of one model, or beside none.
///
/// Distances are those of NC2 and NC3 to the predicted matrices, or to the nearest member of their family;
/// `None` where there is nothing but zeros to compare, with the reason in [`reasons`](Self::reasons).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Audit {
    /// All that needs no prediction.
    pub measurement: Measurement,
    /// NC2ₘ for m = 1, …, M: the distance of the Gram matrix of the last m layers; the last alone where only the
    /// [product](Measurement::compare_product) of the layers is known.
    pub nc2: Vec<Option<f64>>,
    /// What NC2 is measured to.
    pub nc2_target: Option<Geometry>,
    /// NC3: the distance of the outputs W_M⋯W₁H̄ for the class means as they are (the paper's).
    pub nc3: Option<f64>,
    /// The same for the centered class means, W_M⋯W₁(H̄ − h_G1ᵀ), as in the papers' codes.
    pub nc3_centered: Option<f64>,
    /// The distance of the Gram matrix H̄ᵀH̄ of the class means to the predicted one; `None` without a prediction of it.
    pub nc2_class_means: Option<f64>,
    /// NC1 after each layer beside that of the features; empty unless all metrics were asked for.
    pub nc1_layer_ratios: Vec<LayerRatio>,
    /// What NC3 is measured to.
    pub nc3_target: Option<Geometry>,
    /// The distances to the frames that need no prediction; `None` beside one.
    pub distances: Option<FrameDistances>,
    /// What the metrics are without structure, and what noise alone leaves of them.
    pub levels: Levels,
    /// Standard errors of the metrics; `None` if they were not asked for or a class has one sample.
    pub standard_errors: Option<StandardErrors>,
    /// Measured and predicted norms of every class.
    pub classes: Vec<ClassAudit>,
    /// The measured value of what the model minimizes.
    pub loss: Option<f64>,
    /// The prediction.
    pub prediction: Option<Summary>,
    /// Why there is no prediction.
    pub no_prediction: Option<String>,
    /// Which measured class stands for each class of the prediction, where that had to be found out.
    pub matching: Option<Vec<usize>>,
    /// Where training has come to.
    pub verdict: TrainingVerdict,
    /// What the network looks like where it is better than the best point that was known; `None` elsewhere.
    pub structure: Option<NetworkStructure>,
    /// Why a number is missing, by its name.
    pub reasons: BTreeMap<&'static str, String>,
}

impl Audit {
    /// The measured loss less the predicted one, f − f*; `None` without a prediction of it.
    #[must_use]
    pub fn loss_gap(&self) -> Option<f64> {
        Some(self.loss? - self.loss_optimum()?)
    }

    /// (f − f*)/f*.
    #[must_use]
    pub fn loss_gap_relative(&self) -> Option<f64> {
        let optimum = self.loss_optimum().filter(|&optimum| optimum > 0.0)?;
        Some(self.loss_gap()? / optimum)
    }

    /// f*, where the model predicts a loss that can be measured.
    #[must_use]
    pub fn loss_optimum(&self) -> Option<f64> {
        optimum(self.prediction.as_ref()?)
    }

    /// ‖∇f‖ with respect to all layers, the bias and the features, as far as constraints allow these to follow it
    /// ([`Objective::gradient_norm`](crate::objective::Objective::gradient_norm)); `None` without an objective, and where that is
    /// not what training brings to zero.
    #[must_use]
    pub fn gradient_norm(&self) -> Option<f64> {
        let objective = self.measurement.objective()?;
        self.no_gradient().is_none().then_some(objective.gradient_norm)
    }

    /// Why the gradient of the measured objective says nothing of the training.
    pub(super) fn no_gradient(&self) -> Option<&'static str> {
        let predicted = self.prediction.as_ref().map(|summary| &summary.training_objective);
        if predicted.is_some_and(|predicted| !self.measurement.is_of(predicted)) {
            return Some(OTHER_OBJECTIVE);
        }
        let measured = self.measurement.training_objective()?;
        matches!(measured, TrainingObjective::DataTerm { .. })
            .then_some("the decays are not known, and that of the data term alone need not vanish")
    }
}

impl Measurement {
    /// The network beside a prediction.
    ///
    /// If the classes of the prediction are not interchangeable, the measured classes are matched with them
    /// first. A model of one layer without decays is compared with the product of all layers.
    ///
    /// # Errors
    /// [`Error::Shape`] if the prediction is for another number of classes or layers, [`Error::DifferentCounts`] if it is for
    /// other class counts, [`Error::NotAnswered`] if its samples belong to no classes, naming the function that compares a
    /// network with it, [`Error::Unrepresentable`] if a number overflows.
    pub fn compare(self, prediction: &dyn Prediction) -> Result<Audit> {
        self.compare_with(prediction, &())
    }

    /// [`compare`](Self::compare) under the eyes of a monitor, which may end it: levels and standard errors of all metrics of
    /// many classes take long.
    ///
    /// # Errors
    /// As [`compare`](Self::compare), and [`Error::Cancelled`] if the monitor ends the work.
    pub fn compare_with(self, prediction: &dyn Prediction, monitor: &dyn Monitor) -> Result<Audit> {
        self.check_counts(prediction)?;
        check_layers(prediction, self.head())?;
        let one_layer = prediction.training_objective().is_of_one_layer();
        self.beside(prediction, (one_layer, false), monitor)
    }

    /// The product of the layers beside a prediction of any depth: what can be compared where the layers of a deep head are
    /// not known one by one, as those of exported networks that multiply them.
    ///
    /// NC1, NC4, NC3, the class means and the Gram matrix of the product, the last entry of [`nc2`](Audit::nc2), are those of
    /// [`compare`](Self::compare). The other entries of NC2 and the loss, whose penalties are of each layer, are `None`.
    ///
    /// # Errors
    /// As [`compare`](Self::compare), but for the number of layers.
    ///
    /// ```
    /// use neural_collapse::audit::audit_product;
    /// use neural_collapse::{Basis, ClassCounts, Features, Prediction, Regularization, Ufm};
    ///
    /// let ufm = Ufm::new(ClassCounts::new(&[4, 2])?, Regularization::uniform(3, 1e-3, 1e-3)?)?;
    /// let minimum = ufm.with_widths(&[5, 4, 3])?.global_minimum()?;
    /// let network = minimum.explicit(&Basis::Random(1))?; // stands in for a trained network
    /// let features = network.features()?;
    /// let data = Features::from_sample_columns(&features)?.with_labels(&[0, 0, 0, 0, 1, 1], 2)?;
    /// let product = network.head().to_one_layer()?;
    /// let audit = audit_product(&data, &product, &minimum)?;
    /// assert!(audit.nc3.unwrap() < 1e-14 && audit.nc2[2].unwrap() < 1e-14);
    /// assert_eq!((audit.nc2[0], audit.loss), (None, None));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn compare_product(self, prediction: &dyn Prediction) -> Result<Audit> {
        self.check_counts(prediction)?;
        self.beside(prediction, (true, prediction.depth() > 1), &())
    }

    /// The network, or the product of its layers, beside a prediction; `lacks_layers` if the prediction has more of them.
    fn beside(
        self,
        prediction: &dyn Prediction,
        (is_product, lacks_layers): (bool, bool),
        monitor: &dyn Monitor,
    ) -> Result<Audit> {
        let one_layer = is_product.then(|| self.head().to_one_layer()).transpose()?;
        let head = one_layer.as_ref().unwrap_or(self.head());
        let outputs = answered(prediction.class_outputs())?;
        let matching = match outputs.as_ref() {
            Some(target) if prediction.has_arbitrary_order() => {
                let measured = head.product()? * self.class_means();
                let kinds = prediction.training_objective().class_kinds(self.counts());
                Some(target.matching_within_kinds(&measured, &kinds)?)
            }
            _ => None,
        };
        let measured = Ordered::new(&self, head, matching.as_deref())?;
        let mut reasons = BTreeMap::new();
        let known = match lacks_layers {
            true => prediction.depth()..=prediction.depth(),
            false => 1..=head.depth(),
        };
        let grams: Vec<_> = known
            .map(|layers| answered(prediction.trailing_gram(layers)))
            .collect::<Result<_>>()?;
        let nc2 = measured.nc2(&grams)?;
        let (nc3, nc3_centered) = measured.nc3(outputs.as_ref())?;
        let class_means_gram = answered(prediction.class_means_gram())?;
        let nc2_class_means = match &class_means_gram {
            Some(target) => comparable(target.distance_to_gram(&measured.class_means.transpose()))?,
            None => None,
        };
        let mut classes = self.classes(head)?;
        let product = grams.last().filter(|_| lacks_layers);
        predict_classes(&mut classes, prediction, matching.as_deref(), product)?;
        let summary = Summary::new(prediction)?;
        let losses = self.losses(&summary.training_objective, optimum(&summary));
        let losses = losses.filter(|_| !lacks_layers);
        let loss = losses.map(|losses| losses.measured);
        if outputs.is_none() {
            for key in ["nc3", "nc3_centered"] {
                reasons.insert(key, "the model does not say what the outputs must be".into());
            }
        }
        self.measured_reasons(&mut reasons);
        let targets = Targets {
            grams,
            outputs: in_order(outputs.as_ref(), matching.as_deref()),
            class_means: in_order(class_means_gram.as_ref(), matching.as_deref()),
        };
        let (levels, standard_errors) =
            self.sampling(head, &targets, losses, &mut reasons, monitor)?;
        let rank = answered(prediction.class_mean_rank())?;
        let mut verdict = self.training_verdict(Some((&summary, loss)), outputs.as_ref(), rank);
        let structure = match verdict.kind {
            Arrival::BelowBestKnown => Some(self.structure(head, &summary.training_objective)?),
            _ => None,
        };
        verdict.text.extend(structure.iter().map(|found| format!("; {}", found.text())));
        let audit = Audit {
            nc2,
            nc2_target: Some(prediction.geometry()),
            nc3,
            nc3_centered,
            nc2_class_means,
            nc1_layer_ratios: self.layer_ratios(Some(prediction))?,
            nc3_target: Some(prediction.geometry()),
            distances: None,
            levels,
            standard_errors,
            classes,
            loss,
            prediction: Some(summary),
            no_prediction: None,
            matching,
            verdict,
            structure,
            reasons,
            measurement: self,
        };
        let audit = audit
            .with_loss_reasons()
            .with_distance_reasons()
            .with_gradient_reason()
            .with_layer_reason();
        Ok(if lacks_layers { audit.of_product() } else { audit })
    }

    fn check_counts(&self, prediction: &dyn Prediction) -> Result<()> {
        let expected = classes_of(prediction)?;
        let (found, classes) = (self.counts().classes(), expected.classes());
        if found != classes {
            let reason = "the number of classes of the prediction";
            return Err(Error::length("classes", found, classes, reason));
        }
        self.counts().check_predicted(expected)
    }

    fn structure(
        &self,
        head: &LinearHead,
        objective: &TrainingObjective,
    ) -> Result<NetworkStructure> {
        let outputs = head.product()? * self.class_means();
        let outputs = match objective.loss_function() {
            LossFunction::CrossEntropy => without_means(outputs),
            _ => outputs,
        };
        NetworkStructure::of(&outputs, head.bias(), self.counts())
    }

    pub(super) fn training_verdict(
        &self,
        prediction: Option<(&Summary, Option<f64>)>,
        outputs: Option<&ClassMatrix>,
        predicted_rank: Option<usize>,
    ) -> TrainingVerdict {
        let losses = prediction.and_then(|(summary, loss)| {
            Some((loss?, optimum(summary).filter(|&optimum| optimum > 0.0)?))
        });
        let is_own = prediction.is_none_or(|(summary, _)| self.is_of(&summary.training_objective));
        TrainingVerdict::of(&Evidence {
            // That of another objective says nothing of the prediction.
            relative_gradient: self.relative_gradient().filter(|_| is_own),
            losses,
            prediction: prediction.map(|(summary, _)| &summary.verdict),
            ranks: self.nc1.zip(predicted_rank).map(|(nc1, predicted)| Ranks {
                measured: nc1.rank,
                resolved: self.nc1_resolved.map_or(nc1.rank, |resolved| resolved.rank),
                predicted,
            }),
            shared_directions: self.shared_directions(SHARED_DIRECTION, outputs),
        })
    }
}

/// A head and its class means in the order of the classes of a prediction.
struct Ordered {
    head: LinearHead,
    class_means: DMatrix<f64>,
    centered_means: DMatrix<f64>,
}

impl Ordered {
    fn new(measurement: &Measurement, head: &LinearHead, order: Option<&[usize]>) -> Result<Self> {
        let means = |means: &DMatrix<f64>| match order {
            Some(order) => means.select_columns(order),
            None => means.clone(),
        };
        Ok(Self {
            head: match order {
                Some(order) => head.with_order(order)?,
                None => head.clone(),
            },
            class_means: means(measurement.class_means()),
            centered_means: means(measurement.centered_means()),
        })
    }

    /// NC2 of the last 1, 2, … layers.
    fn nc2(&self, grams: &[Option<ClassMatrix>]) -> Result<Vec<Option<f64>>> {
        let distance = |(index, target): (usize, &Option<ClassMatrix>)| match target {
            Some(target) => comparable(nc2(&self.head, index + 1, target)),
            None => Ok(None),
        };
        grams.iter().enumerate().map(distance).collect()
    }

    /// NC3 of the class means as they are, and of the centered ones.
    fn nc3(&self, outputs: Option<&ClassMatrix>) -> Result<(Option<f64>, Option<f64>)> {
        let Some(target) = outputs else { return Ok((None, None)) };
        let distance = |means| comparable(nc3(means, &self.head, target));
        Ok((distance(&self.class_means)?, distance(&self.centered_means)?))
    }
}

/// f*, where the model predicts a loss that can be measured.
fn optimum(summary: &Summary) -> Option<f64> {
    (!summary.training_objective.is_constraint()).then_some(summary.loss)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AuditOptions, measure_with};
    use crate::measure::features::Features;
    use crate::models::contrastive::UnitFeatures;
    use crate::models::squared::Ufm;
    use crate::problem::counts::ClassCounts;
    use crate::problem::regularization::Regularization;

    /// Two samples at each unit vector, and outputs of I + 5, measured with an objective.
    fn measured(layers: usize, objective: &TrainingObjective) -> Measurement {
        let features = DMatrix::<f64>::identity(3, 3).select_columns(&[0, 1, 2, 0, 1, 2]);
        let data = Features::from_sample_columns(&features).unwrap();
        let data = data.with_labels(&[0, 1, 2, 0, 1, 2], 3).unwrap();
        let mut weights = vec![DMatrix::identity(3, 3); layers];
        weights[layers - 1].add_scalar_mut(5.0);
        let head = LinearHead::new(weights, None).unwrap();
        let options = AuditOptions::default().with_objective(objective.clone());
        measure_with(&data, &head, &options, &()).unwrap()
    }

    /// Outputs are cosines divided by the temperature ¼, and so are the rows of the head.
    #[test]
    fn vectors_of_length_one_have_a_loss_and_a_gradient() {
        let counts = ClassCounts::balanced(3, 2).unwrap();
        let spherical = UnitFeatures::spherical_cross_entropy(counts.clone(), 0.25).unwrap();
        let spherical = spherical.global_minimum().unwrap();
        let objective = spherical.training_objective();
        let mut found = measured(1, &objective).compare(&spherical).unwrap();
        let own = found.measurement.objective().unwrap();
        assert_eq!(
            (found.loss, found.gradient_norm()),
            (Some(own.loss()), Some(own.gradient_norm))
        );
        assert!(own.gradient_norm > 0.0 && found.matching.is_none());
        let predicted = found.classes[0].classifier_norm_squared.predicted.unwrap();
        assert!((predicted - 16.0).abs() < 1e-14, "{predicted}");
        assert!(found.loss_gap_relative().unwrap() > 0.0);
        found.prediction.as_mut().unwrap().loss = 0.0;
        assert_eq!((found.loss_gap(), found.loss_gap_relative()), (found.loss, None));
        let prediction = found.prediction.as_ref().map(|summary| (summary, found.loss));
        let verdict = found.measurement.training_verdict(prediction, None, None);
        assert!(verdict.text.ends_with("nothing can be said"), "{}", verdict.text);
        // A contrastive loss has no layers, so that it takes any.
        let contrastive = UnitFeatures::supervised_contrastive(counts, 0.25).unwrap();
        let contrastive = contrastive.global_minimum().unwrap();
        for layers in [1, 2] {
            let of_pairs = contrastive.training_objective();
            let found = measured(layers, &of_pairs).compare(&contrastive).unwrap();
            assert_eq!(found.loss, None);
        }
        let plain = measured(2, &data_term());
        assert!(matches!(plain.compare(&spherical), Err(Error::Shape { .. })));
    }

    fn data_term() -> TrainingObjective {
        TrainingObjective::DataTerm { loss_function: LossFunction::CrossEntropy }
    }

    /// Loss and gradient stand beside a prediction where they are those of its objective.
    #[test]
    fn what_was_measured_is_what_is_predicted() {
        let decays = |decay| Regularization::new(&[decay], decay).unwrap();
        let counts = ClassCounts::balanced(3, 2).unwrap();
        let ufm = Ufm::new(counts, decays(1e-3)).unwrap().global_minimum().unwrap();
        let squared =
            |decay| TrainingObjective::penalized(LossFunction::SquaredError, decays(decay));
        let weighted = |class_weights: &[f64], label_smoothing| {
            let (regularization, class_weights) = (decays(1e-3), class_weights.to_vec());
            TrainingObjective::WeightedSquaredError {
                regularization,
                class_weights,
                label_smoothing,
            }
        };
        let halved = TrainingObjective::Penalized {
            loss_function: LossFunction::SquaredError,
            factor: 0.5,
            regularization: decays(1e-3),
        };
        for (objective, is_same) in [
            (squared(1e-3), true),
            (weighted(&[1.0; 3], 0.0), true),
            (squared(2e-3), false),
            (weighted(&[1.0, 1.0, 2.0], 0.0), false),
            (weighted(&[], 0.1), false),
            (halved, false),
            (data_term(), false),
        ] {
            let found = measured(1, &objective).compare(&ufm).unwrap();
            let gap = found.loss_gap_relative();
            let numbers = [found.loss, found.loss_gap(), gap, found.gradient_norm()];
            assert!(numbers.iter().all(|number| number.is_some() == is_same), "{objective:?}");
            for key in ["loss", "loss_gap", "loss_gap_relative", "gradient_norm"] {
                let reason = found.reasons.get(key).map(String::as_str);
                assert_eq!(reason, (!is_same).then_some(OTHER_OBJECTIVE), "{key}: {objective:?}");
            }
            let kind = if is_same { Arrival::NotStationary } else { Arrival::Unknown };
            assert_eq!(found.verdict.kind, kind, "{objective:?}: {}", found.verdict.text);
        }
        let alone = measured(1, &data_term()).without_prediction("").unwrap();
        assert!(alone.loss.is_some() && alone.gradient_norm().is_none());
        assert!(alone.reasons["gradient_norm"].contains("decays"), "{:?}", alone.reasons);
    }

    /// The cross-entropy does not feel the mean of the outputs for a class.
    #[test]
    fn means_of_outputs_are_no_structure_of_the_cross_entropy() {
        let measured = measured(1, &data_term());
        for (loss_function, rank) in
            [(LossFunction::CrossEntropy, 2), (LossFunction::SquaredError, 3)]
        {
            let regularization = Regularization::new(&[1e-3], 1e-3).unwrap();
            let objective = TrainingObjective::penalized(loss_function, regularization);
            assert_eq!(measured.structure(measured.head(), &objective).unwrap().rank, rank);
        }
    }
}
