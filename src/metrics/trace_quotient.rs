//! The quotient of the variances within and between the classes.

use crate::error::{Error, Result};
use crate::measure::center::{Center, subtract_center};
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::pooled::PooledScatter;
use crate::measure::statistics::ClassStatistics;
use crate::measure::variances::{ClassVariances, VariancesAndMeans};
use crate::numerics::linalg::power_of_two;
use crate::numerics::scalar::Scalar;

/// NC1 as a quotient of traces, tr Σ_W / tr Σ_B: a variant that needs no inverse, in which each direction
/// counts as much as there is variance in it.
///
/// Σ_W and Σ_B are those of [`nc1`](crate::metrics::nc1): Σ_B is divided by K and centered as `center` says.
///
/// # Errors
/// As [`nc1`](crate::metrics::nc1), with [`Error::ZeroNorm`] only if all class means are exactly equal.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{ClassStatistics, Features};
/// use neural_collapse::measure::Center;
/// use neural_collapse::metrics::nc1_trace_quotient;
///
/// // The deviations of 0.3 across the means count as those of 0.1 along them.
/// let rows = dmatrix![1.1, 0.0; 0.9, 0.0; -1.0, 0.3; -1.0, -0.3];
/// let data = Features::from_sample_rows(&rows)?.with_labels(&[0, 0, 1, 1], 2)?;
/// let quotient = nc1_trace_quotient(&data, &ClassStatistics::new(&data)?, Center::Samples)?;
/// assert!((quotient - (0.1_f64.powi(2) + 0.3_f64.powi(2)) / 2.0).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Sources: Tirer & Bruna, *Extended unconstrained features model for exploring deep neural collapse*
/// (ICML 2022); Hui, Belkin & Nakkiran, *Limitations of neural collapse for understanding generalization
/// in deep learning* (2022).
pub fn nc1_trace_quotient<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    statistics: &ClassStatistics,
    center: Center,
) -> Result<f64> {
    statistics.check_shape("features", data.features().dimension(), data.classes())?;
    let mut variances = ClassVariances::new(statistics)?.of_other_samples();
    variances.accumulate(data)?;
    variances.trace_quotient(center)
}

impl<T: Scalar> ClassVariances<T> {
    /// tr Σ_W / tr Σ_B: see [`nc1_trace_quotient`].
    ///
    /// # Errors
    /// [`Error::ZeroNorm`] if all class means are equal, [`Error::Empty`] without samples,
    /// [`Error::SecondPass`] if a class has not had as many samples as in the statistics,
    /// [`Error::Unrepresentable`] if deviations are too large beside what the class means differ by.
    pub fn trace_quotient(&self, center: Center) -> Result<f64> {
        trace_quotient(self.with_means()?, center)
    }
}

impl PooledScatter {
    /// tr Σ_W / tr Σ_B: see [`nc1_trace_quotient`].
    ///
    /// # Errors
    /// As [`nc1_trace_quotient`].
    pub fn trace_quotient(&self, center: Center) -> Result<f64> {
        trace_quotient(self.with_means()?, center)
    }
}

/// The quotient of class variances and means.
pub(crate) fn trace_quotient(measured: VariancesAndMeans, center: Center) -> Result<f64> {
    let VariancesAndMeans { within, unit, mut means, counts, .. } = measured;
    subtract_center(&mut means, &counts, center);
    let size = power_of_two(&means);
    means /= size;
    let between = means.norm_squared() / counts.len() as f64;
    if between == 0.0 {
        return Err(Error::ZeroNorm { argument: "differences between the class means" });
    }
    let factor = unit / size;
    match within / between * factor * factor {
        quotient if quotient.is_finite() => Ok(quotient),
        _ => Err(Error::Unrepresentable { quantity: "tr Σ_W / tr Σ_B", log10: f64::INFINITY }),
    }
}
