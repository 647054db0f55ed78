//! Networks for regression.

use neural_collapse::audit::{RegressionAudit as Measured, audit_regression_with as measured};
use neural_collapse::metrics;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pythonize::pythonize;

use crate::arrays::{Features, head, matrix, of_rows, rows_as_columns};
use crate::error::OrRaise;
use crate::monitor::watched;
use crate::problem::{Given, bias_of_head};

/// NRC1: the features (N, d), less their mean, lie in their first `outputs` principal directions; between 0 and 1.
///
/// C-contiguous float32 and float64 arrays are not copied; it takes the smaller of d² and N² numbers.
/// `progress(stage, done, total)` is called meanwhile. Raises ArgumentError if all samples are equal, or `outputs` is 0 or more
/// than d.
///
/// Source: Andriopoulos et al. (NeurIPS 2024).
#[pyfunction]
#[pyo3(signature = (features, outputs, *, progress = None))]
pub(crate) fn nrc1<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    outputs: usize,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<f64> {
    let features = Features::new(features)?;
    of_rows!(features, |rows| watched(py, progress, |monitor| {
        metrics::nrc1_with(&rows?, outputs, monitor)
    }))
}

/// NRC2: the features (N, d), less their mean, lie in the row space of the layers; between 0 and 1.
///
/// `weights` is (outputs, d) or a list of layers. C-contiguous float32 and float64 features are not copied;
/// `progress(stage, done, total)` is called meanwhile. Raises ShapeError if the layers take other features, ArgumentError if all
/// samples are equal or the layers are zero.
///
/// Source: Andriopoulos et al. (NeurIPS 2024), for one layer.
#[pyfunction]
#[pyo3(signature = (features, weights, *, progress = None))]
pub(crate) fn nrc2<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<f64> {
    let (features, head) = (Features::new(features)?, head(weights, None)?);
    of_rows!(features, |rows| watched(py, progress, |monitor| {
        metrics::nrc2_with(&rows?, &head, monitor)
    }))
}

/// NRC3 = ‖WWᵀ/‖WWᵀ‖ − T/‖T‖‖² with T = [Σ^½ − √γ I]₊, for one layer (K, d) and the covariance Σ (K, K) of the targets.
///
/// `gamma` of known decays is :func:`predicted_gamma`. Source: Andriopoulos et al. (NeurIPS 2024), theorem 4.1.
#[pyfunction]
pub(crate) fn nrc3(
    py: Python<'_>,
    weights: &Bound<'_, PyAny>,
    covariance: &Bound<'_, PyAny>,
    gamma: f64,
) -> PyResult<f64> {
    let (head, covariance) = (head(weights, None)?, matrix(covariance, "covariance")?);
    py.detach(|| metrics::nrc3(&head, &covariance, gamma)).or_raise(py)
}

/// γ = N λ_W λ_H, for the penalties λ_W/2 ‖W‖² + λ_H/2 ‖H‖² of all N samples.
#[pyfunction]
pub(crate) fn predicted_gamma(samples: u64, weight_decay: f64, feature_decay: f64) -> f64 {
    metrics::predicted_gamma(samples, weight_decay, feature_decay)
}

/// A network for regression with the squared loss, as it was measured and beside the global minimum for its targets and
/// decays. Made by :func:`audit_regression`.
///
/// A number that cannot be computed is None, and `reasons` says why.
#[pyclass(frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct RegressionAudit(Measured);

#[pymethods]
impl RegressionAudit {
    /// NRC1: how far features are from as many directions as there are outputs.
    #[getter]
    fn nrc1(&self) -> Option<f64> {
        self.0.nrc1
    }

    /// NRC2: how far features are from the row space of the layers.
    #[getter]
    fn nrc2(&self) -> Option<f64> {
        self.0.nrc2
    }

    /// NRC3 for the γ of the decays, for one layer.
    #[getter]
    fn nrc3(&self) -> Option<f64> {
        self.0.nrc3
    }

    /// γ = N λ_W λ_H.
    #[getter]
    fn gamma(&self) -> Option<f64> {
        self.0.gamma
    }

    /// Distances of the Gram matrices of the last m = 1, …, M layers to the predicted ones.
    #[getter]
    fn gram_distances(&self) -> Vec<Option<f64>> {
        self.0.gram_distances.clone()
    }

    /// The distance of the outputs to the predicted ones.
    #[getter]
    fn output_distance(&self) -> Option<f64> {
        self.0.output_distance
    }

    /// R², the share of the variance of the targets that the outputs explain.
    #[getter]
    fn fit(&self) -> Option<f64> {
        self.0.fit
    }

    /// The predicted R².
    #[getter]
    fn fit_predicted(&self) -> Option<f64> {
        self.0.fit_predicted
    }

    /// The measured value of the training objective.
    #[getter]
    fn loss(&self) -> f64 {
        self.0.loss
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

    /// Standard errors of nrc1, nrc2, nrc3, fit, loss and loss_gap over other samples of the same distribution.
    #[getter]
    fn standard_errors<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, &self.0.standard_errors)?)
    }

    /// For each number that is None, why.
    #[getter]
    fn reasons<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let reasons = PyDict::new(py);
        for (key, reason) in &self.0.reasons {
            reasons.set_item(key, reason)?;
        }
        Ok(reasons)
    }

    /// All numbers as plain data, with the keys of the program's `audit --targets --json`.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let found = pythonize(py, &self.0)?;
        found.set_item("loss_gap", self.0.loss_gap())?;
        found.set_item("loss_gap_relative", self.0.loss_gap_relative())?;
        Ok(found)
    }

    fn __repr__(&self) -> String {
        let number = |number: Option<f64>| number.map_or("None".into(), |n| format!("{n:.4e}"));
        let [nrc1, nrc2, nrc3, gap] =
            [self.0.nrc1, self.0.nrc2, self.0.nrc3, self.0.loss_gap()].map(number);
        format!("RegressionAudit(nrc1={nrc1}, nrc2={nrc2}, nrc3={nrc3}, loss_gap={gap})")
    }

    /// The audit as a table, for notebooks.
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("neuralcollapse._tables")?.call_method1("regression", (slf,))
    }
}

/// Audit a network for regression beside the global minimum for its targets: squared loss 1/(2N) ‖W_M⋯W_1 H + b 1ᵀ − Y‖²
/// with decays.
///
/// `features` (N, d), `targets` (N, outputs), `weights` (outputs, d) or a list of layers, `bias` (outputs,) or None with
/// `bias_decay` (None or 0 for one without a penalty).
///
/// C-contiguous float32 and float64 features are not copied; `progress(stage, done, total)` is called meanwhile.
///
/// Returns a RegressionAudit. Raises ShapeError, ArgumentError, RangeError.
///
/// Source: Andriopoulos et al. (NeurIPS 2024), beside the minimum of the project's docs/theory.md for any target.
#[pyfunction]
#[pyo3(signature = (features, targets, weights, bias = None, *, weight_decay, feature_decay, bias_decay = None, progress = None))]
#[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub(crate) fn audit_regression<'py>(
    py: Python<'py>,
    features: &Bound<'py, PyAny>,
    targets: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    bias: Option<&Bound<'py, PyAny>>,
    weight_decay: &Bound<'py, PyAny>,
    feature_decay: f64,
    bias_decay: Option<f64>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<RegressionAudit> {
    let (features, targets) = (Features::new(features)?, rows_as_columns(targets, "targets")?);
    let head = head(weights, bias)?;
    let treated = bias_of_head(py, &head, bias_decay)?;
    let given = Given {
        depth: Some(head.depth()),
        weight_decay: Some(weight_decay),
        feature_decay: Some(feature_decay),
        bias: treated.as_ref(),
        ..Given::default()
    };
    let regularization = given.regularization(py)?;
    let found = of_rows!(features, |rows| watched(py, progress, |monitor| {
        measured(&rows?, &targets, &head, &regularization, monitor)
    }));
    found.map(RegressionAudit)
}
