//! How training comes near a minimum: rates, the law of growth, and the nearest minimizer.

use neural_collapse::audit::{
    PredictedRates, fitted_rate as rate_of, line_of_rate as points_of_rate,
};
use neural_collapse::models::squared::{GlobalMinimum, LogisticLaw as Law};
use neural_collapse::{Error, Prediction as _};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pythonize::pythonize;

use crate::arrays::{head, list_to_numpy, rows_as_columns, to_numpy, vector};
use crate::audit::Audit;
use crate::error::{OrRaise, bad_shape, exception};
use crate::models::Ufm;
use crate::prediction::Prediction;

type Numbers<'py> = Bound<'py, PyArray1<f64>>;

/// The law by which a squared singular value grows under gradient flow, for one layer without a bias and equal decays λ:
/// s²(t) = s∞²/(1 + (s∞²/s_0² − 1) e^(−ρt)) with s∞² = σ − Nλ and ρ = 2 s∞²/N. Made by `Ufm.logistic_law`.
///
/// A step of gradient descent takes the time η. It holds exactly for a start in the singular directions of the target.
///
/// Source: Saxe, McClelland & Ganguli (ICLR 2014) with weight decay; the project's docs/theory.md, "Dynamics".
#[pyclass(frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct LogisticLaw(Law);

#[pymethods]
impl LogisticLaw {
    /// s∞², where it is positive what s² grows to; otherwise s² falls to 0.
    #[getter]
    fn limit(&self) -> f64 {
        self.0.limit()
    }

    /// ρ: s² grows as e^(ρt) at first and comes near its limit as e^(−ρt) at last.
    #[getter]
    fn rate(&self) -> f64 {
        self.0.rate()
    }

    /// s² at each of the times t ≥ 0, shape (n,). Raises ArgumentError for a time that is negative or not finite.
    fn squared_singular_values<'py>(
        &self,
        py: Python<'py>,
        times: &Bound<'py, PyAny>,
    ) -> PyResult<Numbers<'py>> {
        let times = vector(times, "times")?.into_iter();
        let values = times.map(|time| self.0.squared_singular_value(time));
        Ok(list_to_numpy(py, &values.collect::<Result<Vec<_>, Error>>().or_raise(py)?))
    }

    fn __repr__(&self) -> String {
        format!("LogisticLaw(limit={}, rate={})", self.0.limit(), self.0.rate())
    }
}

#[pymethods]
impl Ufm {
    /// The logistic law of growth in the direction of this number (see `directions`) from s_0² = `squared_start` on.
    ///
    /// Raises NotAnsweredError but for one layer without a bias and with equal decays, ArgumentError if there is no such
    /// direction or the start is not positive.
    fn logistic_law(
        slf: &Bound<'_, Self>,
        direction: usize,
        squared_start: f64,
    ) -> PyResult<LogisticLaw> {
        let minimum = Self::minimum(slf, "the law of growth")?;
        minimum.logistic_law(direction, squared_start).map(LogisticLaw).or_raise(slf.py())
    }

    /// The global minimizer that is nearest to a network of one layer: a dictionary with `weights` (K, d) and `class_means`
    /// (K, d), in the coordinates of the network. Minimizers differ by rotations of the features, of which the nearest one is
    /// found in closed form (Procrustes), distances weighted by the decays.
    ///
    /// `weights` (K, d), `class_means` (K, d), one class per row. The prediction has to be made with `widths=[d]`. Raises
    /// NotAnsweredError for several layers, ShapeError for other widths.
    fn nearest_minimizer<'py>(
        slf: &Bound<'py, Self>,
        weights: &Bound<'py, PyAny>,
        class_means: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let py = slf.py();
        let minimum = Self::minimum(slf, "the nearest minimizer")?;
        let (head, means) = (head(weights, None)?, rows_as_columns(class_means, "class_means")?);
        let nearest = py.detach(|| minimum.explicit(&minimum.nearest_basis(&means, &head)?));
        let nearest = nearest.or_raise(py)?;
        let found = PyDict::new(py);
        let layer = nearest.head().product().or_raise(py)?;
        found.set_item("weights", to_numpy(py, &layer)?)?;
        let means = nearest.distinct_features().transpose();
        found.set_item("class_means", to_numpy(py, &means)?)?;
        Ok(found)
    }

    /// The distances of a network of one layer to that minimizer, relative to its norms: the pair
    /// (‖W − W*‖/‖W*‖, ‖H̄ − H̄*‖/‖H̄*‖). Arguments and errors as of `nearest_minimizer`.
    fn nearest_distance(
        slf: &Bound<'_, Self>,
        weights: &Bound<'_, PyAny>,
        class_means: &Bound<'_, PyAny>,
    ) -> PyResult<(f64, f64)> {
        let minimum = Self::minimum(slf, "the nearest minimizer")?;
        let (head, means) = (head(weights, None)?, rows_as_columns(class_means, "class_means")?);
        slf.py().detach(|| minimum.nearest_distance(&means, &head)).or_raise(slf.py())
    }

    /// √(2N (f − f*)): how far the outputs of any network with this loss are at most from those of the minimum, for one layer
    /// without a bias. Raises NotAnsweredError for others.
    fn output_distance_bound(slf: &Bound<'_, Self>, loss: f64) -> PyResult<f64> {
        let minimum = Self::minimum(slf, "the distance of the outputs")?;
        minimum.output_distance_bound(loss).or_raise(slf.py())
    }
}

impl Ufm {
    /// The minimum in closed form, or the exception that says that there is none.
    pub(crate) fn minimum<'a>(
        slf: &'a Bound<'_, Self>,
        question: &'static str,
    ) -> PyResult<&'a GlobalMinimum> {
        let reason = "it is known where the minimum has a closed form only";
        let missing = || exception(slf.py(), &Error::NotAnswered { question, reason });
        slf.as_super().get().squared().ok_or_else(missing)
    }
}

#[pymethods]
impl Prediction {
    /// Rates ρ of e^(−ρt) at which plain gradient descent with coupled weight decay comes near this minimum, for features that
    /// are free: a dictionary with `nc1` (squared loss), `nc0` (cross-entropy), `largest_step`, at which gradient descent is
    /// stable, and `reasons`. What is not known is None.
    ///
    /// `step` is the sum of the step sizes in the unit of time, such as an epoch; without it the rates are None. Momentum, Adam
    /// and schedules have other rates.
    ///
    /// Source: the project's docs/theory.md, "Dynamics" and "The Hessian at the minimum".
    #[pyo3(signature = (step = None))]
    fn rates<'py>(&self, py: Python<'py>, step: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let model = self.model().any().ok_or_else(|| {
            let reason = "they are not known for this model";
            exception(py, &Error::NotAnswered { question: "the rates of training", reason })
        })?;
        Ok(pythonize(py, &py.detach(|| PredictedRates::new(model, step)).or_raise(py)?)?)
    }
}

#[pymethods]
impl Audit {
    /// The distances to the nearest global minimizer, relative to its norms: the pair (‖W − W*‖/‖W*‖, ‖H̄ − H̄*‖/‖H̄*‖);
    /// None where it is not known, which is but for the squared loss and one layer.
    #[getter]
    fn nearest_distance(&self, py: Python<'_>) -> Option<(f64, f64)> {
        let measured = self.measurement();
        let minimum = self.minimum()?.squared()?;
        py.detach(|| minimum.nearest_distance(measured.class_means(), measured.head())).ok()
    }
}

/// The rate ρ of the exponential e^(−ρt) that fits the positive values of a series best, by least squares of the logarithms:
/// `times` (n,), `values` (n,). None for fewer than two different times with positive values.
#[pyfunction]
pub(crate) fn fitted_rate(
    py: Python<'_>,
    times: &Bound<'_, PyAny>,
    values: &Bound<'_, PyAny>,
) -> PyResult<Option<f64>> {
    Ok(rate_of(&series(py, times, values)?))
}

/// The line that falls at a rate and ends where a series does, in its last point: times (m,) and values (m,), without those
/// above all values of the series. `times` (n,), `values` (n,).
#[pyfunction]
pub(crate) fn line_of_rate<'py>(
    py: Python<'py>,
    times: &Bound<'py, PyAny>,
    values: &Bound<'py, PyAny>,
    rate: f64,
) -> PyResult<(Numbers<'py>, Numbers<'py>)> {
    let line = points_of_rate(&series(py, times, values)?, rate);
    let (times, values): (Vec<f64>, Vec<f64>) = line.into_iter().unzip();
    Ok((list_to_numpy(py, &times), list_to_numpy(py, &values)))
}

fn series(
    py: Python<'_>,
    times: &Bound<'_, PyAny>,
    values: &Bound<'_, PyAny>,
) -> PyResult<Vec<(f64, f64)>> {
    let (times, values) = (vector(times, "times")?, vector(values, "values")?);
    if times.len() != values.len() {
        return Err(bad_shape(py, "values", values.len(), times.len(), "one for each time"));
    }
    Ok(times.into_iter().zip(values).collect())
}
