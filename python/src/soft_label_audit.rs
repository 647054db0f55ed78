//! A network that was trained with soft labels beside its prediction.

use std::collections::BTreeMap;

use neural_collapse::Error;
use neural_collapse::audit::{SoftLabelAudit as Measured, audit_soft_labels_with as measured};
use pyo3::prelude::*;
use pythonize::pythonize;

use crate::arrays::{Features, head, labels, of_rows};
use crate::error::{bad_shape, exception};
use crate::monitor::watched;
use crate::prediction::Prediction;

/// A network trained with labels that are no classes (soft labels, sets of tags, contexts), as it was measured and beside the
/// minimum for its training: samples are grouped by their label instead of their class. Made by :func:`audit_soft_labels`.
///
/// A number that cannot be computed is None, and `reasons` says why.
#[pyclass(frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct SoftLabelAudit(Measured);

#[pymethods]
impl SoftLabelAudit {
    /// NC1 of the samples with one label around their mean; None if all means are equal or no label has two samples.
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

    /// For each number of `tags` how far the means of that many are from multiples of the average over them (`residual`,
    /// `factor`, over so many `sets`); None unless labels are sets of tags, single ones among them.
    #[getter]
    fn tag_averages<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, &self.0.tag_averages)?)
    }

    /// The measured value of the training objective; None for contexts, whose model has none.
    #[getter]
    fn loss(&self) -> Option<f64> {
        Some(self.0.objective?.loss())
    }

    /// The predicted value: f* where that is proved to be the global minimum.
    #[getter]
    fn loss_optimum(&self) -> Option<f64> {
        self.0.loss_optimum
    }

    /// `loss` less `loss_optimum`.
    #[getter]
    fn loss_gap(&self) -> Option<f64> {
        self.0.loss_gap()
    }

    /// `loss_gap` divided by `loss_optimum`.
    #[getter]
    fn loss_gap_relative(&self) -> Option<f64> {
        self.0.loss_gap_relative()
    }

    /// ‖∇f‖.
    #[getter]
    fn gradient_norm(&self) -> Option<f64> {
        Some(self.0.objective?.gradient_norm)
    }

    /// The residual of the balance of layer and features.
    #[getter]
    fn balancedness(&self) -> Option<Vec<f64>> {
        self.0.balancedness.clone()
    }

    /// For each number that is None, why.
    #[getter]
    fn reasons(&self) -> BTreeMap<&'static str, String> {
        self.0.reasons.clone()
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
        found.set_item("loss_gap_relative", self.0.loss_gap_relative())?;
        Ok(found)
    }

    fn __repr__(&self) -> String {
        let number = |number: Option<f64>| number.map_or("None".into(), |n| format!("{n:.4e}"));
        let [nc1, nc2, nc3, gap] =
            [self.nc1(), self.0.nc2, self.0.nc3, self.0.loss_gap()].map(number);
        format!("SoftLabelAudit(nc1={nc1}, nc2={nc2}, nc3={nc3}, loss_gap={gap})")
    }

    /// The audit as a table, for notebooks.
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("neuralcollapse._tables")?.call_method1("soft_labels", (slf,))
    }
}

/// Audit a network of one linear layer that was trained with labels that are no classes.
///
/// `features` (N, d); `labels` (N,), for each sample the number of its label in `prediction`; `weights` (K, d); `bias` (K,) or
/// None; `prediction` a :class:`SoftLabels`, :class:`MultiLabel` (labels are sets of tags, in the order of its `tag_sets`) or
/// :class:`SparseLabels` (labels are contexts, of which directions alone are compared).
///
/// C-contiguous float32 and float64 features are not copied; `progress(stage, done, total)` is called meanwhile.
///
/// Returns a SoftLabelAudit. Raises ShapeError, EmptyClassError if a label has no sample, MismatchError if the prediction is for
/// other numbers of samples, NotAnsweredError if it is for classes or for targets of single samples.
#[pyfunction]
#[pyo3(signature = (features, labels, weights, bias = None, *, prediction, progress = None))]
pub(crate) fn audit_soft_labels<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    bias: Option<&Bound<'py, PyAny>>,
    prediction: &Bound<'py, Prediction>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<SoftLabelAudit> {
    let (head, minimum) = (head(weights, bias)?, prediction.get().minimum());
    let kinds = match minimum.label_geometry() {
        Ok(labels) => labels.counts.classes(),
        // Where samples belong to classes, the audit says what to use instead.
        Err(Error::NotAnswered { .. }) => minimum.classes(),
        Err(error) => return Err(exception(py, &error)),
    };
    let (features, labels) = (Features::new(features)?, self::labels(labels)?);
    let labels = labels.as_slice()?;
    let (samples, _) = features.shape();
    if labels.len() != samples {
        return Err(bad_shape(py, "labels", labels.len(), samples, "one for each sample"));
    }
    let found = of_rows!(features, |rows| watched(py, progress, |monitor| {
        measured(&rows?.with_labels(labels, kinds)?, &head, minimum, monitor)
    }));
    found.map(SoftLabelAudit)
}
