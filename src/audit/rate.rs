//! The rates at which metrics fall in training: fitted ones, and those that are predicted.

use std::collections::BTreeMap;

use crate::error::{Error, Result, check_positive};
use crate::metrics::nc0_factor;
use crate::models::AnyModel;
use crate::problem::training_objective::LossFunction;

/// The rate ρ of the exponential e^(−ρ t) that fits the positive values of a series (t, value) best, by least squares of
/// the logarithms; `None` for fewer than two different times with positive values.
///
/// What is predicted for NC1 under gradient flow is
/// [`Curvature::nc1_rate`](crate::models::squared::Curvature::nc1_rate), in the units of the step size.
///
/// ```
/// use neural_collapse::audit::fitted_rate;
///
/// let series: Vec<(f64, f64)> = (0..9).map(|t| (f64::from(t), 3.0 * (-0.25 * f64::from(t)).exp())).collect();
/// assert!((fitted_rate(&series).unwrap() - 0.25).abs() < 1e-14);
/// assert_eq!(fitted_rate(&series[..1]), None);
/// ```
#[must_use]
pub fn fitted_rate(series: &[(f64, f64)]) -> Option<f64> {
    let logarithms: Vec<(f64, f64)> = series
        .iter()
        .filter(|(time, value)| *value > 0.0 && value.is_finite() && time.is_finite())
        .map(|&(time, value)| (time, value.ln()))
        .collect();
    let first = logarithms.first()?.0;
    if logarithms.iter().all(|point| point.0 == first) {
        return None;
    }
    let number = logarithms.len() as f64;
    let mean = |part: fn(&(f64, f64)) -> f64| logarithms.iter().map(part).sum::<f64>() / number;
    let (time, logarithm) = (mean(|point| point.0), mean(|point| point.1));
    let (mut covariance, mut variance) = (0.0, 0.0);
    for point in &logarithms {
        covariance += (point.0 - time) * (point.1 - logarithm);
        variance += (point.0 - time).powi(2);
    }
    Some(-covariance / variance).filter(|rate| rate.is_finite())
}

/// The line v e^(ρ (t' − t)) over the times t of a series (t, value) that falls at a rate ρ and ends where the series does, in
/// its last point (t', v); without the points that are above all values of the series. Empty for an empty series.
///
/// ```
/// use neural_collapse::audit::line_of_rate;
///
/// let line = line_of_rate(&[(0.0, 9.0), (1.0, 3.0), (2.0, 1.0)], 2.0_f64.ln());
/// assert_eq!(line.len(), 3);
/// assert!((line[0].1 - 4.0).abs() < 1e-14 && line[2].1 == 1.0);
/// ```
#[must_use]
pub fn line_of_rate(series: &[(f64, f64)], rate: f64) -> Vec<(f64, f64)> {
    let Some(&(end, value)) = series.last() else { return Vec::new() };
    let highest = series.iter().map(|point| point.1).fold(0.0, f64::max);
    let line = series.iter().map(|&(time, _)| (time, value * (rate * (end - time)).exp()));
    line.filter(|point| point.1 <= highest).collect()
}

/// Rates ρ of e^(−ρt) at which plain gradient descent with coupled weight decay comes near a minimum, for features that are
/// free. Momentum, Adam and schedules have other ones.
///
/// ```
/// use neural_collapse::audit::PredictedRates;
/// use neural_collapse::models::AnyModel;
/// use neural_collapse::{ClassCounts, Regularization, Ufm};
///
/// let ufm = Ufm::new(ClassCounts::balanced(4, 25)?, Regularization::new(&[1e-3], 1e-3)?)?;
/// let minimum = ufm.global_minimum()?;
/// let rates = PredictedRates::new(&AnyModel::Squared(minimum.clone()), Some(0.5))?;
/// assert_eq!(rates.nc1.unwrap(), minimum.curvature()?.nc1_rate().unwrap() * 0.5);
/// assert_eq!(rates.nc0, None); // that of cross-entropy
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PredictedRates {
    /// Of NC1 ([`Curvature::nc1_rate`](crate::models::squared::Curvature::nc1_rate)), for the squared loss.
    pub nc1: Option<f64>,
    /// Of NC0, −ln of [`nc0_factor`], for cross-entropy.
    pub nc0: Option<f64>,
    /// The largest step size at which gradient descent is stable at the minimum
    /// ([`Curvature::largest_step`](crate::models::squared::Curvature::largest_step)), for the squared loss.
    pub largest_step: Option<f64>,
    /// Why `curvature` is not known.
    pub reasons: BTreeMap<&'static str, String>,
}

impl PredictedRates {
    /// Those at a minimum, in units of a time in which the step sizes sum to `step`, such as an epoch; without a step they
    /// are `None`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the step is not positive and finite.
    pub fn new(model: &AnyModel, step: Option<f64>) -> Result<Self> {
        step.map_or(Ok(()), |step| check_positive("step", step))?;
        let mut rates = Self::default();
        match model {
            AnyModel::Squared(minimum) => match minimum.curvature() {
                Ok(curvature) => {
                    rates.largest_step = Some(curvature.largest_step());
                    rates.nc1 = curvature.nc1_rate().zip(step).map(|(rate, step)| rate * step);
                }
                Err(error @ (Error::NotAnswered { .. } | Error::NoConvergence { .. })) => {
                    rates.reasons.insert("curvature", error.to_string());
                }
                Err(error) => return Err(error),
            },
            _ => {
                let reason = "it is known for the squared loss only";
                rates.reasons.insert("curvature", reason.into());
            }
        }
        let objective = model.prediction().training_objective();
        let decay =
            objective.regularization().and_then(|known| known.weight_decays().last().copied());
        if let (LossFunction::CrossEntropy, Some(decay), Some(step)) =
            (objective.loss_function(), decay, step)
        {
            rates.nc0 = Some(-nc0_factor(step, decay)?.ln());
        }
        Ok(rates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_logarithm_does_not_count() {
        let value = |time: f64| 3.0 * (-0.25 * time).exp();
        let infinite = f64::INFINITY;
        let series = [
            (0.0, value(0.0)),
            (1.0, 0.0),
            (2.0, value(2.0)),
            (3.0, f64::NAN),
            (4.0, -1.0),
            (5.0, infinite),
            (infinite, 1.0),
            (7.0, value(7.0)),
        ];
        assert!((fitted_rate(&series).unwrap() - 0.25).abs() < 1e-14);
        // The mean of three times 0.1 is not 0.1.
        assert_eq!(fitted_rate(&[(0.1, 2.0), (0.1, 3.0), (0.1, 5.0)]), None);
        assert_eq!(fitted_rate(&[]), None);
    }

    /// 16 is above all values, and 4 and 1 are not.
    #[test]
    fn lines_of_rates_end_where_the_series_does() {
        let line = line_of_rate(&[(0.0, 3.0), (1.0, 9.0), (2.0, 1.0)], 4.0_f64.ln());
        assert_eq!(line.iter().map(|point| point.0).collect::<Vec<_>>(), [1.0, 2.0]);
        assert!((line[0].1 - 4.0).abs() < 1e-14 && line[1].1 == 1.0);
    }
}
