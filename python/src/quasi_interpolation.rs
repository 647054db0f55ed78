//! Outputs that miss their targets by the same small gap for every class.

use neural_collapse::GlobalMinimum;
use neural_collapse::models::squared;
use pyo3::prelude::*;

use crate::error::OrRaise;
use crate::geometry::ClassMatrix;
use crate::models::Ufm;

/// Symmetric quasi-interpolation: for every sample the output is 1 − ε on its class and ε/(K−1) on each other one, ε = `gap`
/// from 0 to 1 − 1/K.
///
/// The global minimum of the squared loss with balanced classes and an unregularized bias is of this kind
/// (`Ufm.quasi_interpolation`). Raises ArgumentError for less than two classes or another gap.
///
/// Source: Rangamani & Banburski-Fahey (ICASSP 2022).
#[pyclass(frozen, eq, module = "neuralcollapse")]
#[derive(Debug, PartialEq)]
pub(crate) struct QuasiInterpolation(squared::QuasiInterpolation);

#[pymethods]
impl QuasiInterpolation {
    #[new]
    fn new(py: Python<'_>, classes: usize, gap: f64) -> PyResult<Self> {
        squared::QuasiInterpolation::new(classes, gap).map(Self).or_raise(py)
    }

    /// Number of classes K.
    #[getter]
    fn classes(&self) -> usize {
        self.0.classes()
    }

    /// ε.
    #[getter]
    fn gap(&self) -> f64 {
        self.0.gap()
    }

    /// 1 − ε − ε/(K−1): by how much the output on the class exceeds every other one.
    #[getter]
    fn margin(&self) -> f64 {
        self.0.margin()
    }

    /// The outputs, bias included, K×K.
    fn class_outputs(&self) -> ClassMatrix {
        ClassMatrix(self.0.class_outputs())
    }

    /// The weight decay of all of `depth` layers and the features that leaves this gap at the global minimum of the squared
    /// loss, for `samples` samples in balanced classes.
    ///
    /// Raises ArgumentError if the gap is 0 or above (1 − 1/K)/M, which no global minimum leaves.
    fn decay(&self, py: Python<'_>, depth: usize, samples: u64) -> PyResult<f64> {
        self.0.decay(depth, samples).or_raise(py)
    }

    fn __repr__(&self) -> String {
        format!("QuasiInterpolation(classes={}, gap={})", self.0.classes(), self.0.gap())
    }
}

#[pymethods]
impl Ufm {
    /// The gap that this minimum leaves, for balanced classes and an unregularized bias; None for others.
    #[getter]
    fn quasi_interpolation(slf: &Bound<'_, Self>) -> Option<QuasiInterpolation> {
        let minimum = slf.as_super().get().squared()?;
        GlobalMinimum::quasi_interpolation(minimum).map(QuasiInterpolation)
    }
}
