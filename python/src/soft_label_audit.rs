//! A network that was trained with soft labels beside its prediction.

use neural_collapse::audit::{SoftLabelAudit as Measured, audit_soft_labels_with as measured};
use pyo3::prelude::*;
use pythonize::pythonize;

use crate::arrays::{Features, head, labels, of_rows};
use crate::error::bad_shape;
use crate::models::SoftLabels;
use crate::monitor::watched;

/// A network trained with soft labels, as it was measured and beside the minimum for its training: samples are grouped by
/// their soft label instead of their class. Made by :func:`audit_soft_labels`.
#[pyclass(frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct SoftLabelAudit(Measured);

#[pymethods]
impl SoftLabelAudit {
    /// NC1 of the samples with one soft label around their mean; None if all means are equal or no label has two samples.
    #[getter]
    fn nc1(&self) -> Option<f64> {
        self.0.nc1.map(|nc1| nc1.value)
    }

    /// NC2: the distance of WWᵀ to the predicted one; None where one is zero.
    #[getter]
    fn nc2(&self) -> Option<f64> {
        self.0.nc2
    }

    /// The distance of the Gram matrix of the means (J, J) to the predicted one; None where one is zero.
    #[getter]
    fn features(&self) -> Option<f64> {
        self.0.features
    }

    /// NC3: the distance of the outputs for the means to the predicted ones; None where one is zero.
    #[getter]
    fn nc3(&self) -> Option<f64> {
        self.0.nc3
    }

    /// The measured value of the training objective.
    #[getter]
    fn loss(&self) -> f64 {
        self.0.objective.loss()
    }

    /// The predicted value, f*.
    #[getter]
    fn loss_optimum(&self) -> f64 {
        self.0.loss_optimum
    }

    /// f − f*.
    #[getter]
    fn loss_gap(&self) -> f64 {
        self.0.loss_gap()
    }

    /// ‖∇f‖.
    #[getter]
    fn gradient_norm(&self) -> f64 {
        self.0.objective.gradient_norm
    }

    /// The residual of the balance of layer and features.
    #[getter]
    fn balancedness(&self) -> Vec<f64> {
        self.0.balancedness.clone()
    }

    /// Where training has come to, as of an :class:`Audit`.
    #[getter]
    fn verdict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, &self.0.verdict.kind)?)
    }

    /// The same in one sentence, with the numbers that decide it.
    #[getter]
    fn verdict_text(&self) -> &str {
        &self.0.verdict.text
    }

    /// All numbers as plain data.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let found = pythonize(py, &self.0)?;
        found.set_item("loss_gap", self.0.loss_gap())?;
        Ok(found)
    }

    fn __repr__(&self) -> String {
        let number = |number: Option<f64>| number.map_or("None".into(), |n| format!("{n:.4e}"));
        let [nc1, nc2, nc3] = [self.nc1(), self.0.nc2, self.0.nc3].map(number);
        let gap = self.0.loss_gap();
        format!("SoftLabelAudit(nc1={nc1}, nc2={nc2}, nc3={nc3}, loss_gap={gap:.4e})")
    }

    /// The audit as a table, for notebooks.
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("neuralcollapse._tables")?.call_method1("soft_labels", (slf,))
    }
}

/// Audit a network of one linear layer that was trained with soft labels.
///
/// `features` (N, d); `labels` (N,), for each sample the number of its soft label in `prediction`; `weights` (K, d); `bias`
/// (K,) or None; `prediction` a SoftLabels.
///
/// C-contiguous float32 and float64 features are not copied; `progress(stage, done, total)` is called meanwhile.
///
/// Returns a SoftLabelAudit. Raises ShapeError, EmptyClassError if a soft label has no sample, MismatchError if the prediction
/// is for other numbers of samples.
#[pyfunction]
#[pyo3(signature = (features, labels, weights, bias = None, *, prediction, progress = None))]
pub(crate) fn audit_soft_labels<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    bias: Option<&Bound<'py, PyAny>>,
    prediction: &Bound<'py, SoftLabels>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<SoftLabelAudit> {
    let (head, minimum) = (head(weights, bias)?, SoftLabels::minimum(prediction)?);
    let classes = minimum.problem().counts().classes();
    let (features, labels) = (Features::new(features)?, self::labels(labels)?);
    let labels = labels.as_slice()?;
    let (samples, _) = features.shape();
    if labels.len() != samples {
        return Err(bad_shape(py, "labels", labels.len(), samples, "one for each sample"));
    }
    let found = of_rows!(features, |rows| watched(py, progress, |monitor| {
        measured(&rows?.with_labels(labels, classes)?, &head, minimum, monitor)
    }));
    found.map(SoftLabelAudit)
}
