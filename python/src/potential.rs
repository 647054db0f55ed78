//! The scalar functions behind the squared loss.

use neural_collapse::{Regularization, models::squared};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrays::{list_to_numpy, vector};
use crate::error::OrRaise;

/// g(x; b) = 1/(x^M + 1) + b x on x ≥ 0 with b = M a/σ², whose minimizer decides whether a direction survives.
///
/// Source: Dang et al. (ICML 2023), appendix D.2.1.
#[pyclass(frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct Potential(neural_collapse::Potential<f64>);

#[pymethods]
impl Potential {
    #[new]
    fn new(py: Python<'_>, depth: u32) -> PyResult<Self> {
        neural_collapse::Potential::new(depth).map(Self).or_raise(py)
    }

    /// The depth M.
    #[getter]
    fn depth(&self) -> u32 {
        self.0.depth()
    }

    /// τ_M: a direction survives if its ratio a/σ² is below it.
    #[getter]
    fn threshold(&self) -> f64 {
        self.0.threshold()
    }

    /// β_M = M τ_M: the minimizer is positive for slopes b below it.
    #[getter]
    fn slope_threshold(&self) -> f64 {
        self.0.slope_threshold()
    }

    /// The largest slope b for which g has stationary points beside 0.
    #[getter]
    fn fold(&self) -> f64 {
        self.0.fold()
    }

    /// g(x; b).
    fn value(&self, py: Python<'_>, x: f64, b: f64) -> PyResult<f64> {
        self.0.value(x, b).or_raise(py)
    }

    /// g(x; b) for an array of x; numbers outside of x ≥ 0 give NaN.
    fn values<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        b: f64,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let x = vector(x, "x")?;
        let values: Vec<f64> = x.into_iter().map(|x| self.0.value_or_nan(x, b)).collect();
        Ok(list_to_numpy(py, &values))
    }

    /// g′(x; b).
    fn derivative(&self, py: Python<'_>, x: f64, b: f64) -> PyResult<f64> {
        self.0.derivative(x, b).or_raise(py)
    }

    /// The global minimizer: a dictionary with x, value and fitted_share x^M/(x^M + 1).
    fn minimizer<'py>(&self, py: Python<'py>, b: f64) -> PyResult<Bound<'py, PyDict>> {
        let minimizer = self.0.minimizer(b).or_raise(py)?;
        let found = PyDict::new(py);
        found.set_item("x", minimizer.x())?;
        found.set_item("value", minimizer.value())?;
        found.set_item("fitted_share", minimizer.fitted_share())?;
        Ok(found)
    }

    /// The positive stationary points beside the minimum at 0: a dictionary with local_minimum and local_maximum (None for
    /// M = 1); None for slopes beyond the fold.
    fn stationary_points<'py>(
        &self,
        py: Python<'py>,
        b: f64,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(points) = self.0.stationary_points(b).or_raise(py)? else { return Ok(None) };
        let found = PyDict::new(py);
        found.set_item("local_minimum", points.local_minimum)?;
        found.set_item("local_maximum", points.local_maximum)?;
        Ok(Some(found))
    }

    fn __repr__(&self) -> String {
        format!("Potential(depth={}, threshold={})", self.0.depth(), self.0.threshold())
    }
}

/// ρ*: with more than ρ*·n_B samples in each of `majority_classes` classes beside `minority_classes` of
/// n_B = `minority_size`, the minority collapses to zero.
///
/// Source: Theorem 4.4 of Dang et al. (ICML 2023).
#[pyfunction]
#[pyo3(signature = (majority_classes, minority_classes, minority_size, *, weight_decay, feature_decay, depth = 1))]
pub(crate) fn critical_imbalance_ratio(
    py: Python<'_>,
    majority_classes: u64,
    minority_classes: u64,
    minority_size: u64,
    weight_decay: f64,
    feature_decay: f64,
    depth: usize,
) -> PyResult<f64> {
    let regularization =
        Regularization::uniform(depth, weight_decay, feature_decay).or_raise(py)?;
    squared::critical_imbalance_ratio(
        majority_classes,
        minority_classes,
        minority_size,
        &regularization,
    )
    .or_raise(py)
}
