//! Regression: a network with real-valued targets beside the minimum for them.

use std::collections::BTreeMap;

use nalgebra::{DMatrix, DVector};

use crate::audit::frames::comparable;
use crate::audit::regression_sums::{Fixed, RegressionPart, RegressionSums, check_targets};
use crate::error::{Error, Result};
use crate::measure::features::Features;
use crate::metrics::errors::{Estimate, nrc1_estimate, nrc2_estimate, nrc3_estimate};
use crate::metrics::{nc2, nrc1_with, nrc2_with, nrc3, predicted_gamma};
use crate::monitor::Monitor;
use crate::numerics::linalg::{product, transposed};
use crate::numerics::scalar::Scalar;
use crate::prediction::{Prediction, Summary};
use crate::problem::head::LinearHead;
use crate::problem::regularization::{Bias, Regularization};

/// A network for regression beside the global minimum for its targets.
///
/// Numbers that are not defined are `None`, with the reason in [`reasons`](Self::reasons).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RegressionAudit {
    /// [`nrc1`](crate::metrics::nrc1).
    pub nrc1: Option<f64>,
    /// [`nrc2`](crate::metrics::nrc2).
    pub nrc2: Option<f64>,
    /// [`nrc3`] with the predicted γ; for one layer and a free bias alone.
    pub nrc3: Option<f64>,
    /// γ, the predicted number of [`nrc3`].
    pub gamma: Option<f64>,
    /// For m = 1, …, M the distance of the Gram matrix of the last m layers to the predicted one, both of norm 1: what NRC3
    /// is at any depth and with any bias.
    pub gram_distances: Vec<Option<f64>>,
    /// ‖Z − Z*‖/‖Z*‖ for the outputs Z of all samples and the predicted ones.
    pub output_distance: Option<f64>,
    /// R² = 1 − Σ‖z − y‖²/Σ‖y − ȳ‖², the share of the targets' variance that is fitted.
    pub fit: Option<f64>,
    /// R² at the minimum.
    pub fit_predicted: Option<f64>,
    /// 1/(2N) ‖W_M⋯W₁H + b1ᵀ − Y‖² and the penalties.
    pub loss: f64,
    /// Its global minimum.
    pub loss_optimum: Option<f64>,
    /// Standard errors of `nrc1`, `nrc2`, `nrc3`, `fit`, `loss` and `loss_gap`, over other samples of the same distribution: of
    /// features and targets, and with the targets of the predicted loss. Layers and decays count as given. `None` where
    /// there is none, with the reason under `standard_errors.` and the name.
    pub standard_errors: BTreeMap<&'static str, Option<Estimate>>,
    /// The prediction.
    pub prediction: Option<Summary>,
    /// Why a number is missing, by its name.
    pub reasons: BTreeMap<&'static str, String>,
}

impl RegressionAudit {
    /// f − f*.
    #[must_use]
    pub fn loss_gap(&self) -> Option<f64> {
        Some(self.loss - self.loss_optimum?)
    }

    /// (f − f*)/f*.
    #[must_use]
    pub fn loss_gap_relative(&self) -> Option<f64> {
        let optimum = self.loss_optimum.filter(|&optimum| optimum > 0.0)?;
        Some(self.loss_gap()? / optimum)
    }
}

/// Audits a network for regression: features, targets Y (K×N) with a column for each sample, the linear layers behind the
/// features, and their decays. The features are not copied.
///
/// In batches and in pieces: [`RegressionSums`].
///
/// The prediction is the global minimum of [`Ufm::from_target`](crate::Ufm::from_target) for the widths of the head, at any depth, without a bias or
/// with one that is not penalized; with a penalized bias, or where the prediction is a family, what it does not tell is
/// `None`.
///
/// # Errors
/// [`Error::Shape`] if features, targets, head and decays do not fit together, or there is a bias in the head and none in
/// the decays or the other way round, [`Error::OutOfRange`] if a number is not finite or a feature too large,
/// [`Error::Empty`] without samples, [`Error::Unrepresentable`] if the loss overflows.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::audit::audit_regression;
/// use neural_collapse::{Basis, Features, Prediction, Regularization, Ufm};
///
/// let targets = dmatrix![1.0, -2.0, 0.5, 3.0, -1.0; 0.3, 1.0, -1.0, 0.2, 0.4];
/// let regularization = Regularization::new(&[1e-2, 1e-2], 1e-2)?;
/// let ufm = Ufm::from_target(targets.clone(), regularization.clone())?.with_widths(&[4, 3])?;
/// // An explicit global minimizer stands in for a trained network.
/// let network = ufm.global_minimum()?.explicit(&Basis::Standard)?;
/// let features = network.features()?;
/// let features = Features::from_sample_columns(&features)?;
/// let audit = audit_regression(&features, &targets, network.head(), &regularization)?;
/// assert!(audit.loss_gap().unwrap().abs() < 1e-15);
/// assert!(audit.gram_distances.iter().flatten().all(|&distance| distance < 1e-14));
/// assert!(audit.nrc2.unwrap() < 1e-15 && audit.output_distance.unwrap() < 1e-14);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: the measurements of Andriopoulos et al. (NeurIPS 2024), beside the minimum of `docs/theory.md` for any target.
pub fn audit_regression<T: Scalar>(
    features: &Features<'_, T>,
    targets: &DMatrix<f64>,
    head: &LinearHead,
    regularization: &Regularization,
) -> Result<RegressionAudit> {
    audit_regression_with(features, targets, head, regularization, &())
}

/// [`audit_regression`] under the eyes of a monitor, which may end it.
///
/// # Errors
/// As [`audit_regression`], and [`Error::Cancelled`] if the monitor ends the work.
pub fn audit_regression_with<T: Scalar>(
    features: &Features<'_, T>,
    targets: &DMatrix<f64>,
    head: &LinearHead,
    regularization: &Regularization,
    monitor: &dyn Monitor,
) -> Result<RegressionAudit> {
    head.check_shape("features", features.dimension(), head.classes())?;
    check_targets(targets, (head.classes(), features.samples()))?;
    if features.samples() == 0 {
        return Err(Error::Empty { argument: "features" });
    }
    let mut sums = RegressionSums::of_targets(targets.clone(), head.clone(), regularization)?;
    let labels = vec![0; features.samples()];
    let mut first = 0;
    features.with_labels(&labels, 1)?.watched_chunks("outputs", monitor, |chunk| {
        let samples = chunk.labels().len();
        sums.add(chunk, &targets.columns(first, samples).into_owned())?;
        first += samples;
        Ok(())
    })?;
    let mut audit = sums.compared()?;
    let principal = head.classes().min(features.dimension());
    let nrc1_error = comparable(nrc1_estimate(features, principal, monitor))?.flatten();
    let nrc2_error = comparable(nrc2_estimate(features, head, monitor))?.flatten();
    audit.nrc1 = match &nrc1_error {
        Some(found) => Some(found.value),
        None => comparable(nrc1_with(features, principal, monitor))?,
    };
    audit.nrc2 = match &nrc2_error {
        Some(found) => Some(found.value),
        None => comparable(nrc2_with(features, head, monitor))?,
    };
    audit.standard_errors.extend([("nrc1", nrc1_error), ("nrc2", nrc2_error)]);
    audit.give_reasons();
    Ok(audit)
}

impl RegressionSums {
    /// The network beside the prediction.
    ///
    /// # Errors
    /// [`Error::Shape`] if there were not as many samples as in the statistics, [`Error::Unrepresentable`] if the loss
    /// overflows.
    pub fn audit(&self) -> Result<RegressionAudit> {
        let mut audit = self.compared()?;
        [audit.nrc1, audit.nrc2] = self.shares_outside();
        for key in ["standard_errors.nrc1", "standard_errors.nrc2"] {
            let reason = "it takes a third pass over the samples, which `audit_regression` makes";
            audit.reasons.insert(key, reason.into());
        }
        audit.give_reasons();
        Ok(audit)
    }

    /// All but NRC1, NRC2 and the reasons for what is missing.
    fn compared(&self) -> Result<RegressionAudit> {
        self.check_complete()?;
        let Fixed { head, regularization, targets, predicted, .. } = &*self.fixed;
        let [errors, totals, features, best, best_features] =
            [0, 1, 2, 3, 4].map(|index| self.of_samples(index));
        let mut audit = RegressionAudit {
            nrc1: None,
            nrc2: None,
            nrc3: None,
            gamma: None,
            gram_distances: vec![None; head.depth()],
            output_distance: None,
            fit: fit(&errors, &totals),
            fit_predicted: None,
            loss: loss(&errors, &features, head, regularization)?,
            loss_optimum: None,
            standard_errors: BTreeMap::from([("fit", fit_estimate(&errors, &totals))]),
            prediction: None,
            reasons: BTreeMap::new(),
        };
        audit.predict_gamma(targets, head, regularization)?;
        let decay = regularization.feature_decay();
        let mut losses = contributions(&errors, &features, decay);
        let estimate = Estimate::of_influences(audit.loss, losses.clone());
        audit.standard_errors.insert("loss", estimate);
        let predicted = match predicted {
            Ok(predicted) => predicted,
            Err(reason) => {
                for key in [
                    "gram_distances",
                    "output_distance",
                    "fit_predicted",
                    "loss_optimum",
                    "loss_gap",
                    "loss_gap_relative",
                    "prediction",
                ] {
                    audit.reasons.insert(key, reason.clone());
                }
                return Ok(audit);
            }
        };
        let minimum = &predicted.minimum;
        let distance = |layers: usize| {
            comparable(nc2(head, layers, &Prediction::trailing_gram(minimum, layers)?))
        };
        audit.gram_distances = (1..=head.depth()).map(distance).collect::<Result<_>>()?;
        audit.loss_optimum = Some(minimum.loss());
        if minimum.is_unique() {
            let RegressionPart { distance, size, .. } = self.part;
            audit.output_distance = (size > 0.0).then(|| (distance / size).sqrt());
            audit.fit_predicted = fit(&best, &totals);
            // The minimum changes with a target as its own term of it does, as layers are at their best.
            let best = contributions(&best, &best_features, decay);
            losses.iter_mut().zip(best).for_each(|(loss, best)| *loss -= best);
            let gap = audit.loss - minimum.loss();
            audit.standard_errors.insert("loss_gap", Estimate::of_influences(gap, losses));
        }
        audit.prediction = Some(Summary::new(minimum)?);
        Ok(audit)
    }
}

impl RegressionAudit {
    /// NRC3 with the predicted γ.
    fn predict_gamma(
        &mut self,
        targets: &DMatrix<f64>,
        head: &LinearHead,
        regularization: &Regularization,
    ) -> Result<()> {
        let decays = (regularization.weight_decays(), regularization.bias());
        let ([decay], Bias::Unregularized) = decays else { return Ok(()) };
        let gamma = predicted_gamma(targets.ncols() as u64, *decay, regularization.feature_decay());
        self.gamma = Some(gamma);
        self.nrc3 = comparable(nrc3(head, &covariance(targets), gamma))?;
        let estimate = comparable(nrc3_estimate(targets, head, gamma))?.flatten();
        self.standard_errors.insert("nrc3", estimate);
        Ok(())
    }

    fn give_reasons(&mut self) {
        let has_no_relative_gap = self.loss_gap_relative().is_none();
        let mut missing = |key, is_missing: bool, reason: &str| {
            if is_missing {
                self.reasons.entry(key).or_insert_with(|| reason.into());
            }
        };
        missing("nrc1", self.nrc1.is_none(), "all features are equal");
        missing("nrc2", self.nrc2.is_none(), "all features are equal, or the layers are zero");
        let only = "it is defined for one layer with a bias that is not penalized";
        missing("gamma", self.gamma.is_none(), only);
        let reason =
            if self.gamma.is_none() { only } else { "the layer or its prediction is zero" };
        missing("nrc3", self.nrc3.is_none(), reason);
        let zero = "layers or their prediction are zero";
        missing("gram_distances", self.gram_distances.iter().any(Option::is_none), zero);
        let family = "the prediction is a family of minimizers, or zero";
        missing("output_distance", self.output_distance.is_none(), family);
        missing("fit_predicted", self.fit_predicted.is_none(), family);
        missing("fit", self.fit.is_none(), "all targets are equal");
        missing("loss_gap_relative", has_no_relative_gap, "the predicted loss is not above zero");
        missing(
            "standard_errors.gram_distances",
            true,
            "the predicted layers move with all targets",
        );
        missing(
            "standard_errors.output_distance",
            true,
            "the predicted outputs move with all targets",
        );
        let errors = [
            (
                "nrc1",
                "standard_errors.nrc1",
                "it is open which principal directions count, or NRC1 has no value",
            ),
            ("nrc2", "standard_errors.nrc2", "NRC2 has no value"),
            ("nrc3", "standard_errors.nrc3", "NRC3 has no value, or no derivative"),
            ("fit", "standard_errors.fit", "the fit has no value"),
            ("loss", "standard_errors.loss", "there is one sample"),
            ("loss_gap", "standard_errors.loss_gap", "there is no prediction with one minimum"),
        ];
        for (name, key, reason) in errors {
            let estimate = self.standard_errors.entry(name).or_default();
            missing(key, estimate.is_none(), reason);
        }
    }
}

/// 1/(2N) ‖W_M⋯W₁H + b1ᵀ − Y‖² and the penalties, from ‖z − y‖² and ‖h‖² of every sample.
fn loss(
    errors: &[f64],
    features_squared: &[f64],
    head: &LinearHead,
    regularization: &Regularization,
) -> Result<f64> {
    let layers = head.weights().iter().zip(regularization.weight_decays());
    let weights: f64 = layers.map(|(weight, decay)| decay * weight.norm_squared()).sum();
    let bias = match (regularization.bias(), head.bias()) {
        (Bias::Regularized(decay), Some(bias)) => decay * bias.norm_squared(),
        _ => 0.0,
    };
    let features = regularization.feature_decay() * features_squared.iter().sum::<f64>();
    let misfit = errors.iter().sum::<f64>() / errors.len() as f64;
    let loss = (misfit + weights + bias + features) / 2.0;
    match loss.is_finite() {
        true => Ok(loss),
        false => Err(Error::Unrepresentable { quantity: "the loss", log10: f64::INFINITY }),
    }
}

/// Rows less their mean.
fn centered(targets: &DMatrix<f64>) -> DMatrix<f64> {
    let mean: DVector<f64> = targets.column_mean();
    let mut centered = targets.clone();
    centered.column_iter_mut().for_each(|mut column| column -= &mean);
    centered
}

fn covariance(targets: &DMatrix<f64>) -> DMatrix<f64> {
    let centered = centered(targets);
    product(&centered, &transposed(&centered)) / targets.ncols() as f64
}

/// R² from ‖z − y‖² and ‖y − ȳ‖² of every sample; `None` if the targets do not vary.
fn fit(errors: &[f64], totals: &[f64]) -> Option<f64> {
    let fit = 1.0 - errors.iter().sum::<f64>() / totals.iter().sum::<f64>();
    fit.is_finite().then_some(fit)
}

/// R² with its standard error.
fn fit_estimate(errors: &[f64], totals: &[f64]) -> Option<Estimate> {
    let mean = |squares: &[f64]| squares.iter().sum::<f64>() / squares.len() as f64;
    let (error, total) = (mean(errors), mean(totals));
    let influences = errors.iter().zip(totals);
    let influences = influences.map(|(own, all)| (error / total * all - own) / total).collect();
    Estimate::of_influences(1.0 - error / total, influences)
}

/// What each sample contributes to the loss, ½ ‖z − y‖² + N λ_H/2 ‖h‖², of which the mean counts.
fn contributions(errors: &[f64], features_squared: &[f64], decay: f64) -> Vec<f64> {
    let factor = decay * errors.len() as f64;
    let terms = errors.iter().zip(features_squared);
    terms.map(|(misfit, feature)| (misfit + factor * feature) / 2.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{dmatrix, dvector};

    fn audited(head: &LinearHead, decays: &[f64], bias: Bias) -> Result<RegressionAudit> {
        let (features, targets) = (dmatrix![1.0, 2.0, -1.0], dmatrix![1.0, 4.0, 0.0]);
        let regularization = Regularization::new(decays, 0.25)?.with_bias(bias)?;
        audit_regression(
            &Features::from_sample_columns(&features)?,
            &targets,
            head,
            &regularization,
        )
    }

    /// Outputs 5, 8 and −1 beside 1, 4 and 0, with the squares 9, 4 and 6 of layer, bias and features.
    #[test]
    fn the_loss_has_all_its_terms() {
        let head = LinearHead::new(vec![dmatrix![3.0]], Some(dvector![2.0])).unwrap();
        for (bias, penalty) in [(Bias::Regularized(0.75), 3.0), (Bias::Unregularized, 0.0)] {
            let found = audited(&head, &[0.5], bias).unwrap();
            let loss = (33.0 / 3.0 + 0.5 * 9.0 + penalty + 0.25 * 6.0) / 2.0;
            assert!((found.loss - loss).abs() < 1e-14, "{found:?}");
            // 1 − 33/(26/3) for the mean 5/3 of the targets.
            assert!((found.fit.unwrap() - (1.0 - 99.0 / 26.0)).abs() < 1e-14);
        }
    }

    /// A penalized bias beside targets of any mean has no closed form, and all that would follow from one says so.
    #[test]
    fn what_is_not_predicted_has_its_reason() {
        let head = LinearHead::new(vec![dmatrix![3.0]], Some(dvector![2.0])).unwrap();
        let found = audited(&head, &[0.5], Bias::Regularized(0.75)).unwrap();
        assert_eq!(
            (&found.prediction, found.loss_gap(), found.loss_gap_relative()),
            (&None, None, None)
        );
        for key in ["prediction", "loss_gap", "loss_gap_relative"] {
            assert_eq!(found.reasons[key], found.reasons["loss_optimum"], "{key}");
        }
    }

    /// Beyond the largest decays nothing is predicted but zeros, which have no direction.
    #[test]
    fn zeros_are_no_prediction_to_compare_with() {
        let head = LinearHead::new(vec![dmatrix![3.0]], None).unwrap();
        let found = audited(&head, &[1e6], Bias::None).unwrap();
        assert_eq!((found.output_distance, &found.gram_distances[..]), (None, &[None][..]));
        assert!(found.reasons.contains_key("output_distance"), "{found:?}");
        // Outputs of zero: 1 − 17/(26/3).
        assert!((found.fit_predicted.unwrap() - (1.0 - 51.0 / 26.0)).abs() < 1e-14, "{found:?}");
        let deep = LinearHead::new(vec![dmatrix![3.0], dmatrix![1.0]], None).unwrap();
        let error = audited(&deep, &[0.5], Bias::None).unwrap_err().to_string();
        assert!(error.starts_with("`weight_decays` has shape 1, but must have shape 2"), "{error}");
    }
}
