//! The standard errors of all metrics that depend on samples.

use std::collections::BTreeMap;

use nalgebra::DMatrix;

use crate::error::Result;
use crate::geometry::class_matrix::ClassMatrix;
use crate::metrics::all::defined;
use crate::metrics::errors::estimate::Estimate;
use crate::metrics::errors::metric::Metric;
use crate::metrics::errors::moved::Moved;
use crate::metrics::errors::nc1::Nc1Change;
use crate::metrics::errors::parts::{Part, SampleParts};
use crate::metrics::nc4::{DecisionShares, Nc4};
use crate::monitor::{Monitor, Steps};
use crate::problem::head::LinearHead;

/// Metrics with their standard errors, from the samples that the metrics were measured on.
///
/// The samples are independent within their classes, and the class sizes are given. [`SampleParts`] move the class means
/// and variances by as much as the parts of the samples differ; a metric is computed once for each of these moves
/// (NC1 to first order), and the squares of its changes add up to its variance. Shares of samples have the variance
/// Σ_k n_k p_k (1 − p_k)/N².
///
/// The network counts as given. On its own training set it has been fitted to the very samples, and is nearer to
/// collapse than their errors would let a given network be.
///
/// Errors are right for many samples per class (68 % of measurements are within one standard error of their mean from 30
/// samples on; the project's `docs/metrics.md` names two kinds that need more) and for metrics that are not at the edge of their range: a distance that is as small as its own noise
/// ([`Collapsed`](crate::metrics::levels::Collapsed)) has no normal distribution.
///
/// See [`Estimate::minus_independent`] for an example, and for differences between two networks.
///
/// Source: the infinitesimal jackknife of Jaeckel (1972) with parts instead of single samples; Efron & Tibshirani, *An
/// Introduction to the Bootstrap* (1993), chapters 11 and 21.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct StandardErrors {
    #[cfg_attr(feature = "serde", serde(flatten))]
    estimates: BTreeMap<Metric, Option<Estimate>>,
    #[cfg_attr(feature = "serde", serde(skip))]
    reasons: BTreeMap<Metric, &'static str>,
}

impl StandardErrors {
    /// Of NC1, and of NC3 of class means as they are and centered to the `target`, if there is one. `None` if all
    /// samples of a class are in one part, as if there is only one.
    ///
    /// # Errors
    /// [`Error::SecondPass`](crate::Error::SecondPass) if a class has not had as many samples as in the statistics,
    /// [`Error::Shape`](crate::Error::Shape) if head, target and statistics do not fit together.
    pub fn new(
        parts: &SampleParts,
        head: &LinearHead,
        target: Option<&ClassMatrix>,
    ) -> Result<Option<Self>> {
        Self::watched(parts, head, target, false, &())
    }

    /// Those of [`new`](Self::new) and of all other metrics of class means and variances: CDNV, quotient of traces,
    /// duality, norms, angles and energy.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_all_metrics(
        parts: &SampleParts,
        head: &LinearHead,
        target: Option<&ClassMatrix>,
    ) -> Result<Option<Self>> {
        Self::watched(parts, head, target, true, &())
    }

    /// Those of [`of_all_metrics`](Self::of_all_metrics) for `all`, else of [`new`](Self::new), under the eyes of a monitor.
    pub(crate) fn watched(
        parts: &SampleParts,
        head: &LinearHead,
        target: Option<&ClassMatrix>,
        all: bool,
        monitor: &dyn Monitor,
    ) -> Result<Option<Self>> {
        let (dimension, classes) = parts.means().shape();
        head.check_shape("statistics", dimension, classes)?;
        let measure = |moved: &Moved| moved.values(parts, head, target, all);
        let Some(estimates) = estimates(parts, measure, monitor)? else { return Ok(None) };
        let errors = Self { estimates, reasons: BTreeMap::new() }.with_nc1(parts)?;
        let largest = |moved: &Moved| moved.largest(parts);
        if all { errors.without_ties(parts, largest, monitor).map(Some) } else { Ok(Some(errors)) }
    }

    /// Those of features without a head, as [`LayerMetrics`](crate::metrics::layers::LayerMetrics) has them: NC1, quotient of
    /// traces, CDNV, and NC2 of the centered class means to a simplex ETF. `None` as for [`new`](Self::new).
    ///
    /// # Errors
    /// [`Error::SecondPass`](crate::Error::SecondPass) if a class has not had as many samples as in the statistics.
    pub fn of_features(parts: &SampleParts) -> Result<Option<Self>> {
        let simplex = ClassMatrix::simplex_etf(parts.means().classes())?;
        let measure = |moved: &Moved| {
            let distance = defined(simplex.distance_to_gram(&moved.centered.transpose()))?;
            let mut values = BTreeMap::from([(Metric::Nc2ClassMeans, distance)]);
            moved.insert_variances(parts, &mut values)?;
            Ok(values)
        };
        let Some(estimates) = estimates(parts, measure, &())? else { return Ok(None) };
        let errors = Self { estimates, reasons: BTreeMap::new() }.with_nc1(parts)?;
        errors.without_ties(parts, |moved| moved.largest_cdnv(parts), &()).map(Some)
    }

    /// Takes away the errors of the largest of all pairs where others come near enough to take its place: the largest of
    /// nearly equal numbers is biased, and has no normal distribution.
    ///
    /// Errors of the class means of their full size √P E_p and −√P E_p, for some of the P parts, cancel in what is
    /// linear; where pairs change places they raise the largest either way.
    fn without_ties(
        mut self,
        parts: &SampleParts,
        measure: impl Fn(&Moved) -> Result<BTreeMap<Metric, Option<f64>>>,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        const PARTS: usize = 8;
        const LARGEST_BIAS: f64 = 0.25;
        let (Some(moves), Some(corrections)) = (parts.moves()?, parts.corrections()?) else {
            return Ok(self);
        };
        let size = (moves.len() as f64).sqrt();
        let still = measure(&Moved::nowhere(parts))?;
        let mut sums: BTreeMap<Metric, f64> = BTreeMap::new();
        let every = (moves.len() / PARTS).max(1);
        let steps =
            Steps::new(monitor, "largest of all pairs", 2 * moves.len().div_ceil(every).min(PARTS));
        for (part, moves) in moves.iter().enumerate().step_by(every).take(PARTS) {
            for factor in [size, -size] {
                steps.step()?;
                let moved = Moved::by(parts, part, moves, &corrections, factor);
                for (metric, value) in measure(&moved)? {
                    let change = value.zip(still[&metric]).map(|(moved, still)| moved - still);
                    *sums.entry(metric).or_default() += change.unwrap_or(f64::NAN);
                }
            }
        }
        for (metric, sum) in sums {
            let Some(Some(estimate)) = self.estimates.get_mut(&metric).map(|found| found.as_mut())
            else {
                continue;
            };
            let bias = sum / (2 * PARTS.min(moves.len())) as f64;
            let is_linear = bias.abs() <= LARGEST_BIAS * estimate.standard_error;
            if !is_linear {
                self.estimates.insert(metric, None);
                self.reasons.insert(metric, TIES);
            }
        }
        Ok(self)
    }

    /// NC1 changes to first order, which needs no second pass over the samples.
    fn with_nc1(mut self, parts: &SampleParts) -> Result<Self> {
        let (Some(moves), Some(corrections)) = (parts.moves()?, parts.corrections()?) else {
            return Ok(self);
        };
        for (place, directions) in parts.directions().iter().enumerate() {
            let nc1 = Nc1Change::new(parts, place)?.map(|nc1| {
                let change =
                    |(part, moves): (usize, &DMatrix<f64>)| nc1.with(part, moves, &corrections);
                Estimate::of_moves(nc1.value, moves.iter().enumerate().map(change).collect())
            });
            self.estimates.insert(directions.metric, nc1.filter(Estimate::is_finite));
        }
        Ok(self)
    }

    /// With NC1 under another name too, as on directions that are all of them.
    pub(crate) fn with_nc1_named(mut self, metric: Metric) -> Self {
        if let Some(nc1) = self.estimates.get(&Metric::Nc1).cloned() {
            self.estimates.entry(metric).or_insert(nc1);
        }
        self
    }

    /// With the loss, where the parts have what samples contribute to the data term: its `value`, the decay of the
    /// features, and the predicted loss.
    ///
    /// Layers and decays count as given, so that f = Σ (ℓ_i + λ_H/2 ‖h_i‖²) + const. is a sum over the samples.
    pub(crate) fn with_loss(
        mut self,
        parts: &SampleParts,
        (value, feature_decay): (f64, f64),
        optimum: Option<f64>,
    ) -> Result<Self> {
        let Some(moves) = loss_moves(parts, feature_decay)? else { return Ok(self) };
        let estimate = |value: f64, factor: f64| {
            let moves = moves.iter().map(|change| change * factor).collect();
            Some(Estimate::of_moves(value, moves)).filter(Estimate::is_finite)
        };
        self.estimates.insert(Metric::Loss, estimate(value, 1.0));
        if let Some(optimum) = optimum {
            self.estimates.insert(Metric::LossGap, estimate(value - optimum, 1.0));
            let relative = estimate((value - optimum) / optimum, optimum.recip());
            self.estimates.insert(Metric::LossGapRelative, relative.filter(|_| optimum > 0.0));
        }
        Ok(self)
    }

    /// With NC2 of the class means: the distance of H̄ᵀH̄ to a `target`, with the samples that [`new`](Self::new) was given.
    ///
    /// # Errors
    /// [`Error::SecondPass`](crate::Error::SecondPass) if a class has not had as many samples as in the statistics,
    /// [`Error::Shape`](crate::Error::Shape) if the target is for another number of classes.
    pub fn with_nc2_class_means(self, parts: &SampleParts, target: &ClassMatrix) -> Result<Self> {
        self.with_watched_nc2_class_means(parts, target, &())
    }

    /// The same under the eyes of a monitor.
    pub(crate) fn with_watched_nc2_class_means(
        mut self,
        parts: &SampleParts,
        target: &ClassMatrix,
        monitor: &dyn Monitor,
    ) -> Result<Self> {
        let measure = |moved: &Moved| {
            let distance = defined(target.distance_to_gram(&moved.means.transpose()))?;
            Ok(BTreeMap::from([(Metric::Nc2ClassMeans, distance)]))
        };
        self.estimates.extend(estimates(parts, measure, monitor)?.unwrap_or_default());
        Ok(self)
    }

    /// With NC4 and the accuracies.
    #[must_use]
    pub fn with_decisions(mut self, decisions: &Nc4, counts: &[u64]) -> Self {
        for metric in [Metric::Nc4, Metric::Accuracy, Metric::NearestMeanAccuracy] {
            self = self.with_share(metric, decisions, counts);
        }
        self
    }

    /// With one of these shares.
    pub(crate) fn with_share(mut self, metric: Metric, decisions: &Nc4, counts: &[u64]) -> Self {
        let share = |shares: &DecisionShares| match metric {
            Metric::Nc4 => shares.agreement,
            Metric::Accuracy => shares.head_accuracy,
            _ => shares.nearest_mean_accuracy,
        };
        let samples: f64 = counts.iter().map(|&count| count as f64).sum();
        let classes = decisions.classes.iter().flatten().zip(counts);
        let variance: f64 = classes
            .map(|(shares, &count)| count as f64 * share(shares) * (1.0 - share(shares)))
            .sum();
        let (value, error) = (share(&decisions.overall), variance.sqrt() / samples);
        self.estimates.insert(metric, Some(Estimate::new(value, error)));
        self
    }

    /// A metric with its standard error; `None` if it was not asked for or is not defined.
    #[must_use]
    pub fn get(&self, metric: Metric) -> Option<&Estimate> {
        self.estimates.get(&metric)?.as_ref()
    }

    /// Why a metric that is defined has no standard error.
    #[must_use]
    pub fn reason(&self, metric: Metric) -> Option<&'static str> {
        self.reasons.get(&metric).copied()
    }

    pub(crate) fn reasons(&self) -> impl Iterator<Item = (Metric, &'static str)> {
        self.reasons.iter().map(|(&metric, &reason)| (metric, reason))
    }

    /// With an estimate that was made otherwise.
    pub(crate) fn with_estimate(mut self, metric: Metric, estimate: Option<Estimate>) -> Self {
        self.estimates.insert(metric, estimate);
        self
    }

    /// All metrics that were asked for; `None` where one is not defined.
    pub fn iter(&self) -> impl Iterator<Item = (Metric, Option<&Estimate>)> {
        self.estimates.iter().map(|(&metric, estimate)| (metric, estimate.as_ref()))
    }
}

/// The metrics of means and variances, with the changes that the parts of the samples make; `None` if all samples of a class
/// are in one part.
fn estimates(
    parts: &SampleParts,
    measure: impl Fn(&Moved) -> Result<BTreeMap<Metric, Option<f64>>>,
    monitor: &dyn Monitor,
) -> Result<Option<BTreeMap<Metric, Option<Estimate>>>> {
    let Some(moves) = parts.moves()? else { return Ok(None) };
    let Some(corrections) = parts.corrections()? else { return Ok(None) };
    let still = measure(&Moved::nowhere(parts))?;
    let mut changes: BTreeMap<Metric, Option<Vec<f64>>> =
        still.keys().map(|&metric| (metric, Some(Vec::new()))).collect();
    let steps = Steps::new(monitor, "standard errors", moves.len());
    for (part, moves) in moves.iter().enumerate() {
        steps.step()?;
        let moved = measure(&Moved::by(parts, part, moves, &corrections, 1.0))?;
        for (metric, changes) in &mut changes {
            let change = moved[metric].zip(still[metric]).map(|(moved, still)| moved - still);
            *changes = changes.take().zip(change).map(|(mut list, change)| {
                list.push(change);
                list
            });
        }
    }
    let estimate = |(metric, changes): (Metric, Option<Vec<f64>>)| {
        let known = still[&metric].zip(changes);
        let found = known.map(|(value, changes)| Estimate::of_moves(value, changes));
        // Squares of numbers at the ends of the range.
        (metric, found.filter(Estimate::is_finite))
    };
    Ok(Some(changes.into_iter().map(estimate).collect()))
}

/// By how much the loss changes with each part of the samples; `None` if all samples of a class are in one part.
fn loss_moves(parts: &SampleParts, feature_decay: f64) -> Result<Option<Vec<f64>>> {
    let Some(corrections) = parts.corrections()? else { return Ok(None) };
    let (means, scale) = (parts.means(), parts.scale());
    let dimension = means.shape().0;
    // ℓ_i + λ_H/2 (‖x‖² + 2⟨h_k, x⟩) for the deviations x = h_i − h_k, added up.
    let sum = |part: &Part, class: usize| {
        let mean = means.matrix().column(class);
        let deviations = &part.sums[class * dimension..][..dimension];
        let along: f64 = mean.iter().zip(deviations).map(|(mean, x)| mean * (x * scale)).sum();
        let squares = part.squares[class] * scale * scale;
        part.losses[class] + feature_decay / 2.0 * (squares + 2.0 * along)
    };
    let mut moves = vec![0.0; parts.parts()];
    for (class, correction) in corrections.iter().enumerate() {
        let sums: Vec<f64> = parts.sums().iter().map(|part| sum(part, class)).collect();
        let mean = sums.iter().sum::<f64>() / means.counts()[class] as f64;
        for ((change, sum), part) in moves.iter_mut().zip(sums).zip(parts.sums()) {
            *change += correction * (sum - part.counts[class] as f64 * mean);
        }
    }
    Ok(Some(moves))
}

const TIES: &str = "another pair of classes is so near the largest that errors of the class means exchange them, and the \
                    largest of nearly equal numbers has no normal distribution";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::features::Features;
    use crate::measure::statistics::ClassStatistics;
    use crate::metrics::nc1::Nc1Options;

    const PARTS: usize = 20;

    /// Samples of three classes far from 0, and their losses.
    fn samples() -> (DMatrix<f64>, Vec<usize>, Vec<f64>) {
        let rows = DMatrix::from_fn(130, 3, |i, j| {
            300.0 * ((7 * i * i + j) as f64 * 0.37).sin() + ((i % 3) * (j + 1)) as f64 * 1e3
        });
        let labels = (0..130).map(|i| i % 3).collect();
        (rows, labels, (0..130).map(|i| (f64::from(i) * 1.7).cos().powi(2) * 1e5).collect())
    }

    fn parts() -> SampleParts {
        let (rows, labels, losses) = samples();
        let data = Features::from_sample_rows(&rows).unwrap().with_labels(&labels, 3).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let parts = SampleParts::new(&statistics, &Nc1Options::default()).unwrap();
        let mut parts = parts.with_most_parts(PARTS);
        parts.accumulate_with_losses(&data, Some(&losses)).unwrap();
        parts
    }

    /// What is bent has a bias: of x + b x² at ± the moves of eight of the parts, times the root of their number.
    #[test]
    fn what_is_bent_more_than_a_quarter_of_its_error_has_none() {
        let parts = parts();
        let still = Moved::nowhere(&parts).means.sum();
        let along: Vec<f64> = parts
            .moves()
            .unwrap()
            .unwrap()
            .iter()
            .map(|moves| moves.sum() * parts.scale())
            .collect();
        let eight = (0..8).map(|index| along[2 * index].powi(2) * PARTS as f64);
        let bias = eight.sum::<f64>() / 8.0;
        let metrics = [Metric::Cdnv, Metric::CdnvLargest, Metric::Nc3];
        let measure = |moved: &Moved| {
            let x = moved.means.sum() - still;
            let values = [x, x + x * x, x - x * x];
            Ok(metrics.into_iter().zip(values.map(Some)).collect())
        };
        for (share, is_kept) in [(0.2499, true), (0.2501, false)] {
            let estimate = Estimate::new(1.0, bias / share);
            let estimates = metrics.map(|metric| (metric, Some(estimate.clone()))).into();
            let errors = StandardErrors { estimates, reasons: BTreeMap::new() };
            let found = errors.without_ties(&parts, measure, &()).unwrap();
            assert_eq!(found.get(metrics[0]), Some(&estimate));
            for metric in &metrics[1..] {
                assert_eq!(found.get(*metric), is_kept.then_some(&estimate), "{share}");
                assert_eq!(found.reason(*metric), (!is_kept).then_some(TIES));
            }
        }
    }

    /// The same from the samples: l_i + λ/2 ‖h_i‖² less its mean over the class, added up over each part.
    #[test]
    fn losses_move_with_their_parts() {
        let (rows, labels, losses) = samples();
        let decay = 0.3;
        let terms: Vec<f64> = losses
            .iter()
            .enumerate()
            .map(|(i, loss)| loss + decay / 2.0 * rows.row(i).norm_squared())
            .collect();
        let mut expected = vec![0.0; PARTS];
        for class in 0..3 {
            let own: Vec<f64> =
                (0..130).filter(|&i| labels[i] == class).map(|i| terms[i]).collect();
            let (n, mean) = (own.len() as f64, own.iter().sum::<f64>() / own.len() as f64);
            let number = |part: usize| own.iter().skip(part).step_by(PARTS).count() as f64;
            let rest = 1.0 - (0..PARTS).map(|part| (number(part) / n).powi(2)).sum::<f64>();
            for (part, expected) in expected.iter_mut().enumerate() {
                let sum: f64 = own.iter().skip(part).step_by(PARTS).map(|term| term - mean).sum();
                *expected += sum / rest.sqrt();
            }
        }
        let found = loss_moves(&parts(), decay).unwrap().unwrap();
        let size = expected.iter().fold(0.0, |size: f64, x| size.max(x.abs()));
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-9 * size, "{found} {expected}");
        }
    }
}
