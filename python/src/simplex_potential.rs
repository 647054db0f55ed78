//! The scalar function behind the simplex ETF under cross-entropy.

use neural_collapse::models::cross_entropy;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pythonize::pythonize;

use crate::error::OrRaise;

/// The loss of simplex ETFs under cross-entropy, for K = `classes` equal classes and M = `depth` layers, as a function of α, by
/// which the logit of the right class exceeds every other one, at the strength u = (n λ_H Π λ_m)^(1/(M+1)) of the penalties.
///
/// Labels are smoothed by δ = `label_smoothing`. Raises ArgumentError for less than two classes, no layer or a smoothing
/// outside of 0 ≤ δ < 1.
///
/// Source: the project's docs/cross-entropy.md.
#[pyclass(frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct SimplexPotential(cross_entropy::SimplexPotential);

#[pymethods]
impl SimplexPotential {
    #[new]
    #[pyo3(signature = (classes, depth, label_smoothing = 0.0))]
    fn new(py: Python<'_>, classes: usize, depth: usize, label_smoothing: f64) -> PyResult<Self> {
        let plain = cross_entropy::SimplexPotential::new(classes, depth);
        plain.and_then(|plain| plain.with_label_smoothing(label_smoothing)).map(Self).or_raise(py)
    }

    /// δ.
    #[getter]
    fn label_smoothing(&self) -> f64 {
        self.0.label_smoothing()
    }

    /// The strength u up to which the simplex ETF is not worse than zero weights.
    #[getter]
    fn threshold(&self) -> f64 {
        self.0.threshold()
    }

    /// The largest strength u with a local minimum beside α = 0.
    #[getter]
    fn fold(&self) -> f64 {
        self.0.fold()
    }

    /// The strength u from which on zero is the global minimum over all logits, by proof.
    #[getter]
    fn proved_collapse(&self) -> f64 {
        self.0.proved_collapse()
    }

    /// The strength u up to which the simplex ETF is the global minimum over all logits and biases, by proof.
    #[getter]
    fn proved_simplex(&self) -> f64 {
        self.0.proved_simplex()
    }

    /// The loss at α ≥ 0 and u > 0.
    fn value(&self, py: Python<'_>, alpha: f64, strength: f64) -> PyResult<f64> {
        self.0.value(alpha, strength).or_raise(py)
    }

    /// Its derivative in α > 0.
    fn derivative(&self, py: Python<'_>, alpha: f64, strength: f64) -> PyResult<f64> {
        self.0.derivative(alpha, strength).or_raise(py)
    }

    /// The global minimizer: a dictionary with alpha and regime, "zero", "tie" or "positive".
    fn minimizer<'py>(&self, py: Python<'py>, strength: f64) -> PyResult<Bound<'py, PyDict>> {
        let minimizer = self.0.minimizer(strength).or_raise(py)?;
        let found = PyDict::new(py);
        found.set_item("alpha", minimizer.alpha())?;
        found.set_item("regime", pythonize(py, &minimizer.regime())?)?;
        Ok(found)
    }

    /// The α > 0 of the local minimum; None where there is none.
    fn local_minimum(&self, py: Python<'_>, strength: f64) -> PyResult<Option<f64>> {
        self.0.local_minimum(strength).or_raise(py)
    }

    fn __repr__(&self) -> String {
        format!("SimplexPotential(threshold={}, fold={})", self.0.threshold(), self.0.fold())
    }
}
