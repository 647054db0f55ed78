//! The rate at which a metric falls in training.

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
    let number = logarithms.len() as f64;
    let mean = |part: fn(&(f64, f64)) -> f64| logarithms.iter().map(part).sum::<f64>() / number;
    let (time, logarithm) = (mean(|point| point.0), mean(|point| point.1));
    let (mut covariance, mut variance) = (0.0, 0.0);
    for point in &logarithms {
        covariance += (point.0 - time) * (point.1 - logarithm);
        variance += (point.0 - time).powi(2);
    }
    (variance > 0.0).then(|| -covariance / variance).filter(|rate| rate.is_finite())
}
