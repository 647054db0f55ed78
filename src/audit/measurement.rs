//! What is measured on a network, whatever is predicted for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use nalgebra::DMatrix;

use crate::audit::frames::{FrameDistances, Measured};
use crate::error::Result;
use crate::geometry::class_matrix::ClassMatrix;
use crate::measure::statistics::ClassStatistics;
use crate::metrics::errors::SampleParts;
use crate::metrics::{AllMetrics, Nc1, Nc4};
use crate::numerics::squares::norm;
use crate::objective::{LeastSquaresSplit, Objective};
use crate::problem::counts::ClassCounts;
use crate::problem::head::LinearHead;
use crate::problem::regularization::{Bias, Regularization};
use crate::problem::training_objective::{LossFunction, TrainingObjective};

/// A network as it was measured: what [`AuditSums`](crate::AuditSums) end in, before it is laid beside a prediction.
///
/// It is [compared](Self::compare) with any [`Prediction`](crate::Prediction), or shown
/// [without one](Self::without_prediction).
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    pub(super) statistics: Arc<ClassStatistics>,
    pub(super) head: Arc<LinearHead>,
    pub(super) training_objective: Option<TrainingObjective>,
    /// Whether the samples are others than those of the statistics.
    pub(super) is_of_other_samples: bool,
    pub(super) counts: ClassCounts,
    pub(super) class_means: DMatrix<f64>,
    pub(super) centered_means: DMatrix<f64>,
    pub(super) class_mean_norms: Vec<f64>,
    pub(super) nc1: Option<Nc1>,
    pub(super) nc1_resolved: Option<Nc1>,
    pub(super) nc1_predicted_rank: Option<Nc1>,
    pub(super) nc4: Nc4,
    pub(super) objective: Option<Objective>,
    pub(super) balancedness: Option<Vec<f64>>,
    pub(super) feature_energy: Option<f64>,
    pub(super) features_squared: f64,
    pub(super) metrics: Option<AllMetrics>,
    /// Or why there is none.
    pub(super) split: Result<LeastSquaresSplit, String>,
    pub(super) parts: Option<Arc<SampleParts>>,
}

impl Measurement {
    /// The head.
    #[must_use]
    pub fn head(&self) -> &LinearHead {
        &self.head
    }

    /// Counts and means of the classes.
    #[must_use]
    pub fn statistics(&self) -> &ClassStatistics {
        &self.statistics
    }

    /// The number of samples of every class.
    #[must_use]
    pub fn counts(&self) -> &ClassCounts {
        &self.counts
    }

    /// The objective that the network was trained with, if it was given.
    #[must_use]
    pub fn training_objective(&self) -> Option<&TrainingObjective> {
        self.training_objective.as_ref()
    }

    /// The class means H̄, d₁×K.
    #[must_use]
    pub fn class_means(&self) -> &DMatrix<f64> {
        &self.class_means
    }

    /// The class means less the mean of all samples, d₁×K.
    #[must_use]
    pub fn centered_means(&self) -> &DMatrix<f64> {
        &self.centered_means
    }

    /// The norms ‖h_k‖ of the class means.
    #[must_use]
    pub fn class_mean_norms(&self) -> &[f64] {
        &self.class_mean_norms
    }

    /// The norms ‖w_k‖ of the rows of W_M.
    #[must_use]
    pub fn classifier_norms(&self) -> Vec<f64> {
        classifier_norms(&self.head)
    }

    /// NC1 with the paper's conventions; `None` if the class means are all equal, or no class has two samples.
    #[must_use]
    pub fn nc1(&self) -> Option<Nc1> {
        self.nc1
    }

    /// NC1 on the directions alone in which class means differ by more than the noise of means of few samples: those
    /// whose eigenvalue of Σ_B is above tr Σ_W · 1/K Σ 1/n_k, the expected size of tr Σ_B if all class means were equal.
    /// In the others Σ_B⁺ inverts noise, and NC1 stays of order 1 however small it is. `None` if no direction is
    /// resolved, and if [`features_squared`](crate::audit::AuditOptions::features_squared) was not given.
    #[must_use]
    pub fn nc1_resolved(&self) -> Option<Nc1> {
        self.nc1_resolved
    }

    /// NC1 on as many directions as the prediction's class means differ in, those in which the measured ones differ most;
    /// on fewer if these have a lower rank. Where a geometry has a rank below K − 1, NC1 on all directions is that of
    /// noise in the others. `None` if no prediction was known before the second pass
    /// ([`predicted_rank`](crate::audit::AuditOptions::predicted_rank)), or its rank is zero.
    #[must_use]
    pub fn nc1_predicted_rank(&self) -> Option<Nc1> {
        self.nc1_predicted_rank
    }

    /// NC4: agreement with the nearest class mean, and accuracies.
    #[must_use]
    pub fn nc4(&self) -> &Nc4 {
        &self.nc4
    }

    /// The share of samples whose largest output, the bias counted, is their label's.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        self.nc4.overall.head_accuracy
    }

    /// The training objective with its gradient; `None` if it was not given or has no data term, and of
    /// [other samples](crate::audit::AuditOptions::other_samples) than those of the statistics.
    #[must_use]
    pub fn objective(&self) -> Option<Objective> {
        self.objective
    }

    /// The residuals of the layers' balance ([`balancedness`](crate::objective::balancedness)); `None` without
    /// decays.
    #[must_use]
    pub fn balancedness(&self) -> Option<&[f64]> {
        self.balancedness.as_deref()
    }

    /// The squared loss of one layer with known decays, split at the head that is best for these features; `None` for other
    /// losses and without the balance of the layers, with the reason in [`Audit::reasons`](crate::Audit::reasons).
    #[must_use]
    pub fn least_squares_split(&self) -> Option<&LeastSquaresSplit> {
        self.split.as_ref().ok()
    }

    /// 1/K Σ_k (1/n_k) Σ_i ‖h_ki‖², the measured budget E_H of the layer-peeled model; `None` if a class has no
    /// sample.
    #[must_use]
    pub fn feature_energy(&self) -> Option<f64> {
        self.feature_energy
    }

    /// 1/K ‖W_M⋯W₁‖², the measured budget E_W of the layer-peeled model ([`LinearHead::weight_energy`]).
    ///
    /// # Errors
    /// [`Error::Unrepresentable`](crate::Error::Unrepresentable) if the product or its squared norm overflows.
    pub fn weight_energy(&self) -> Result<f64> {
        self.head.weight_energy()
    }

    /// All other metrics, if they were asked for.
    #[must_use]
    pub fn metrics(&self) -> Option<&AllMetrics> {
        self.metrics.as_ref()
    }

    /// The parts of the samples that standard errors are from; `None` if they were not asked for.
    #[must_use]
    pub fn sample_parts(&self) -> Option<&SampleParts> {
        self.parts.as_deref()
    }

    /// The distances to the frames that need no prediction: orthogonal frame and simplex ETF, and SELI if the
    /// classes have different sizes.
    ///
    /// # Errors
    /// [`Error::Unrepresentable`](crate::Error::Unrepresentable) if a number overflows.
    pub fn frame_distances(&self) -> Result<FrameDistances> {
        let measured = Measured {
            head: &self.head,
            class_means: &self.class_means,
            centered_means: &self.centered_means,
        };
        measured.frame_distances(&self.counts)
    }

    /// Whether what was measured is what a model minimizes, however both are written.
    pub(super) fn is_of(&self, objective: &TrainingObjective) -> bool {
        let measured = self.training_objective.as_ref();
        measured.is_some_and(|measured| measured.is_same_as(objective, self.head.classes()))
    }

    /// The measured value of what a model minimizes; `None` if something else was measured.
    pub(super) fn loss_of(&self, objective: &TrainingObjective) -> Option<f64> {
        self.objective.filter(|_| self.is_of(objective)).map(|measured| measured.loss())
    }

    /// What [`loss_of`](Self::loss_of) is made of, for its standard error.
    pub(super) fn losses(
        &self,
        objective: &TrainingObjective,
        optimum: Option<f64>,
    ) -> Option<Losses> {
        let measured = self.loss_of(objective)?;
        let feature_decay = objective.feature_decay().unwrap_or(0.0);
        Some(Losses { measured, feature_decay, optimum })
    }

    /// ‖∇f‖ relative to the norm of the gradient of the penalties alone, (λ₁W₁, …, λ_M W_M, λ_H H, λ_b b): near 1
    /// at random, and 0 at every stationary point. `None` where nothing has a penalty.
    #[must_use]
    pub fn relative_gradient(&self) -> Option<f64> {
        let objective = self.objective?;
        let trained = self.training_objective.as_ref()?;
        let penalties = match trained.regularization() {
            Some(decays) => penalty_gradient(&self.head, decays, self.features_squared),
            None => trained.feature_decay()? * self.features_squared.sqrt(),
        };
        (penalties > 0.0).then(|| objective.gradient_norm / penalties)
    }

    /// Why no objective was evaluated.
    fn no_objective(&self) -> &'static str {
        if self.is_of_other_samples {
            return "these are other samples than those that the network was trained with, of whose features the objective is";
        }
        match &self.training_objective {
            Some(objective) if objective.is_constraint() => {
                "the objective is the smallest norms under constraints, which have no value for a network"
            }
            Some(objective) if objective.loss_function() == LossFunction::SupervisedContrastive => {
                "the supervised contrastive loss is a sum over all pairs of samples, which a pass over single samples \
                 does not give"
            }
            _ => "no objective with decays is known for these samples",
        }
    }

    /// Why numbers are missing that need no prediction.
    pub(super) fn measured_reasons(&self, reasons: &mut BTreeMap<&'static str, String>) {
        if self.nc1.is_none() {
            let reason = match self.statistics.counts().iter().all(|&count| count < 2) {
                true => "no class has two samples, so that nothing can vary within a class",
                false => "the class means are all equal",
            };
            reasons.insert("nc1", reason.into());
        }
        if let Err(reason) = &self.split {
            reasons.insert("least_squares_split", reason.clone());
        }
        let of_nc1 = reasons.get("nc1").cloned();
        let mut missing = |key, is_missing: bool, reason: &str| {
            if is_missing {
                reasons.insert(key, of_nc1.clone().unwrap_or_else(|| reason.into()));
            }
        };
        missing(
            "nc1_resolved",
            self.nc1_resolved.is_none(),
            "no difference between class means stands out of their noise, or the lengths of the features were not known \
             before the second pass",
        );
        missing(
            "nc1_predicted_rank",
            self.nc1_predicted_rank.is_none(),
            "there is no prediction, or the rank of its class means is zero or not determined",
        );
        if self.objective.is_none() {
            let reason = self.no_objective();
            for key in ["loss", "gradient_norm", "balancedness"] {
                reasons.insert(key, reason.into());
            }
        } else if self.balancedness.is_none() {
            let reason = "it was not asked for, or the objective has none of plain decays";
            reasons.insert("balancedness", reason.into());
        }
    }

    /// Pairs of classes, neither collapsed, whose means have a cosine above `limit` where the prediction has not.
    pub(super) fn shared_directions(&self, limit: f64, outputs: Option<&ClassMatrix>) -> usize {
        const MOST_CLASSES: usize = 512;
        // In a family of low rank, classes may share a direction or not.
        let is_open = outputs.is_some_and(|outputs| !outputs.is_unique());
        if is_open || self.counts.classes() > MOST_CLASSES {
            return 0;
        }
        let largest = self.class_mean_norms.iter().copied().fold(0.0, f64::max);
        let alive = |class: usize| self.class_mean_norms[class] > 1e-3 * largest;
        let is_shared = |i: usize, j: usize| {
            let cosine = self.class_means.column(i).dot(&self.class_means.column(j))
                / (self.class_mean_norms[i] * self.class_mean_norms[j]);
            let predicted = outputs.and_then(|outputs| outputs.cosine(i, j)).unwrap_or(0.0);
            cosine > limit && predicted < limit
        };
        let pairs = (0..self.counts.classes()).flat_map(|j| (0..j).map(move |i| (i, j)));
        pairs.filter(|&(i, j)| alive(i) && alive(j) && is_shared(i, j)).count()
    }
}

/// A measured loss and what is known of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Losses {
    pub(super) measured: f64,
    /// λ_H, the decay of the features in it.
    pub(super) feature_decay: f64,
    /// What is predicted.
    pub(super) optimum: Option<f64>,
}

/// By what a measured head is larger than the predicted one: of vectors of length 1 outputs are cosines divided by the
/// temperature, and so are the rows of the head.
pub(super) fn head_size(objective: &TrainingObjective) -> f64 {
    match objective {
        TrainingObjective::UnitVectors {
            loss_function: LossFunction::CrossEntropy,
            temperature,
            ..
        } => temperature.recip(),
        _ => 1.0,
    }
}

/// The norms of the rows of W_M.
pub(super) fn classifier_norms(head: &LinearHead) -> Vec<f64> {
    head.last_layer().row_iter().map(|row| norm(row.transpose().as_slice())).collect()
}

/// The norm of the gradient of the penalties alone, (λ₁W₁, …, λ_M W_M, λ_H H, λ_b b).
pub(super) fn penalty_gradient(
    head: &LinearHead,
    regularization: &Regularization,
    features_squared: f64,
) -> f64 {
    let layers = head.weights().iter().zip(regularization.weight_decays());
    let weights = layers.map(|(weight, decay)| decay * norm(weight.as_slice()));
    let features = regularization.feature_decay() * features_squared.sqrt();
    let bias = match (regularization.bias(), head.bias()) {
        (Bias::Regularized(decay), Some(bias)) => decay * norm(bias.as_slice()),
        _ => 0.0,
    };
    norm(&weights.chain([features, bias]).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AuditOptions, measure, measure_with};
    use crate::measure::features::Features;
    use crate::models::fixed_head::FixedHeadUfm;
    use crate::prediction::Prediction;
    use nalgebra::dmatrix;

    /// One sample for each column.
    fn measured(features: &DMatrix<f64>, labels: &[usize], classes: usize) -> Measurement {
        let head =
            LinearHead::new(vec![DMatrix::from_element(classes, features.nrows(), 1.0)], None);
        let data = Features::from_sample_columns(features).unwrap();
        measure(&data.with_labels(labels, classes).unwrap(), &head.unwrap()).unwrap()
    }

    #[test]
    fn shared_directions_are_those_that_no_prediction_has() {
        // The norms are 1, 2, 1, 0.0021, and 0.002, which has collapsed beside 2.
        let means = dmatrix![1.0, 1.2, 0.0, 0.0, 0.0; 0.0, 1.6, 1.0, 0.0021, 0.002];
        let found = measured(&means, &[0, 1, 2, 3, 4], 5);
        // The cosines are 0.6 of the first two, 0.8 of the second and two others, and 1 of those.
        let shared = |limit| found.shared_directions(limit, None);
        assert_eq!([shared(0.5), shared(0.7), shared(0.9), shared(1.0)], [4, 3, 1, 0]);
        let mut outputs = DMatrix::identity(5, 5);
        for (i, j) in [(0, 1), (1, 0)] {
            outputs[(i, j)] = 0.55;
        }
        let outputs = ClassMatrix::from_dense(outputs).unwrap();
        assert_eq!(found.shared_directions(0.5, Some(&outputs)), 3);
        assert_eq!(found.shared_directions(0.55, Some(&outputs)), 3);
        assert_eq!(found.shared_directions(0.58, Some(&outputs)), 4);
        let family = ClassMatrix::low_rank_orthogonal_frame(5, 2).unwrap();
        assert_eq!(found.shared_directions(0.5, Some(&family)), 0);
    }

    #[test]
    fn shared_directions_are_looked_for_up_to_512_classes() {
        for (classes, expected) in [(512, 512 * 511 / 2), (513, 0)] {
            let labels: Vec<usize> = (0..classes).collect();
            let found = measured(&DMatrix::from_element(1, classes, 1.0), &labels, classes);
            assert_eq!(found.shared_directions(0.999, None), expected);
        }
    }

    #[test]
    fn missing_numbers_have_their_reasons() {
        let reasons = |features: DMatrix<f64>| {
            let mut reasons = BTreeMap::new();
            measured(&features, &[0, 0, 1, 1][..features.ncols()], 2)
                .measured_reasons(&mut reasons);
            reasons
        };
        let equal = reasons(dmatrix![1.0, 3.0, 4.0, 0.0]);
        for key in ["nc1", "nc1_resolved", "nc1_predicted_rank"] {
            assert_eq!(equal[key], "the class means are all equal");
        }
        let different = reasons(dmatrix![1.0, 3.0, 5.0, 6.0]);
        assert!(!different.contains_key("nc1") && !different.contains_key("nc1_resolved"));
        assert!(different["nc1_predicted_rank"].starts_with("there is no prediction"));
        for key in ["loss", "gradient_norm", "balancedness"] {
            assert!(different[key].starts_with("no objective with decays"), "{}", different[key]);
        }
        // Differences between the means of the size of the noise, which is not told apart.
        let noise = reasons(dmatrix![1.0, 3.0, 1.5, 3.5]);
        assert!(!noise.contains_key("nc1"));
        assert!(noise["nc1_resolved"].starts_with("no difference between class means stands out"));
    }

    /// Of single samples nothing is known that varies within a class.
    #[test]
    fn single_samples_have_no_nc1() {
        let found = measured(&dmatrix![1.0, 3.0], &[0, 1], 2);
        let mut reasons = BTreeMap::new();
        found.measured_reasons(&mut reasons);
        assert!(reasons["nc1"].starts_with("no class has two samples"), "{reasons:?}");
        assert_eq!((found.nc1(), found.nc1_resolved()), (None, None));
    }

    fn trained(features: &DMatrix<f64>, size: f64, objective: &TrainingObjective) -> Measurement {
        let head = LinearHead::new(vec![DMatrix::from_element(2, features.nrows(), size)], None);
        let data = Features::from_sample_columns(features).unwrap();
        let data = data.with_labels(&[0, 0, 1, 1], 2).unwrap();
        let options = AuditOptions::default().with_objective(objective.clone());
        measure_with(&data, &head.unwrap(), &options, &()).unwrap()
    }

    /// Where all is zero no penalty has a gradient that another could be compared with.
    #[test]
    fn gradients_are_relative_to_those_of_the_penalties() {
        let regularization = Regularization::new(&[0.5], 0.25).unwrap();
        let objective = TrainingObjective::penalized(LossFunction::SquaredError, regularization);
        let zeros = trained(&DMatrix::zeros(1, 4), 0.0, &objective);
        assert_eq!(zeros.relative_gradient(), None);
        let found = trained(&dmatrix![1.0, 1.0, -1.0, -1.0], 2.0, &objective);
        // λ₁‖W‖ = √2 and λ_H‖H‖ = ½.
        let expected = found.objective().unwrap().gradient_norm / 1.5;
        assert!((found.relative_gradient().unwrap() / expected - 1.0).abs() < 1e-14);
    }

    /// Of other samples, and of an objective without a value, that is why there is no loss.
    #[test]
    fn what_was_not_evaluated_has_its_own_reason() {
        let reason = |objective, other_samples| {
            let features = dmatrix![1.0, 2.0, -1.0, -2.0];
            let data = Features::from_sample_columns(&features).unwrap();
            let data = data.with_labels(&[0, 0, 1, 1], 2).unwrap();
            let head = LinearHead::new(vec![dmatrix![1.0; -1.0]], None).unwrap();
            let options = AuditOptions::default().with_objective(objective);
            let options = options.with_other_samples(other_samples);
            let found = measure_with(&data, &head, &options, &()).unwrap();
            assert_eq!(found.objective(), None);
            let mut reasons = BTreeMap::new();
            found.measured_reasons(&mut reasons);
            assert_eq!(reasons["loss"], reasons["gradient_norm"]);
            reasons.remove("loss").unwrap()
        };
        let decays = Regularization::new(&[1e-3], 1e-3).unwrap();
        let squared = TrainingObjective::penalized(LossFunction::SquaredError, decays);
        assert!(reason(squared, true).starts_with("these are other samples"));
        let margin = TrainingObjective::SmallestNorms { loss_function: LossFunction::Margin };
        assert!(reason(margin, false).contains("under constraints"));
        let of_pairs = TrainingObjective::UnitVectors {
            loss_function: LossFunction::SupervisedContrastive,
            temperature: 0.5,
            nonnegative_features: false,
        };
        assert!(reason(of_pairs, false).contains("pairs of samples"));
    }

    /// The decay of the features is part of the loss behind a fixed head, though the objective has no decays of layers.
    #[test]
    fn losses_of_fixed_heads_have_the_decay_of_their_features() {
        let ufm = FixedHeadUfm::new(ClassCounts::balanced(2, 2).unwrap(), 2.0, 0.01).unwrap();
        let objective = ufm.global_minimum().unwrap().training_objective();
        let found = trained(&dmatrix![1.0, 1.0, -1.0, -1.0], 2.0, &objective);
        let losses = found.losses(&objective, Some(0.5)).unwrap();
        assert_eq!((losses.feature_decay, losses.optimum), (0.01, Some(0.5)));
        assert_eq!(losses.measured, found.objective().unwrap().data_term + 0.005 * 4.0);
    }
}
