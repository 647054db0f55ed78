//! A classifier that is not trained.

use neural_collapse::models::AnyModel;
use neural_collapse::models::fixed_head::FixedHeadMinimum;
use pyo3::prelude::*;
use pythonize::pythonize;

use crate::arrays::vector;
use crate::error::{OrRaise, bad_argument};
use crate::loss::Loss;
use crate::prediction::Prediction;
use crate::problem::Given;

/// The global minimum of the features in front of a simplex ETF that is not trained, under cross-entropy.
///
/// f = 1/N Σ CE(W h, (1−δ) e_y + δ 1/K) + λ_H/2 ‖H‖²
///
/// Parameters: `counts`, the samples of each class; `classifier_norm_squared` E = ‖w_k‖²; `feature_decay` λ_H;
/// `label_smoothing` δ. Whatever the class sizes, the class means are a simplex ETF.
///
/// Source: Yang et al., Inducing Neural Collapse in Imbalanced Learning (NeurIPS 2022).
#[pyclass(extends = Prediction, frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct FixedHead;

#[pymethods]
impl FixedHead {
    #[new]
    #[pyo3(signature = (counts, *, classifier_norm_squared, feature_decay, label_smoothing = 0.0))]
    fn new(
        py: Python<'_>,
        counts: &Bound<'_, PyAny>,
        classifier_norm_squared: f64,
        feature_decay: f64,
        label_smoothing: f64,
    ) -> PyResult<PyClassInitializer<Self>> {
        let given = Given {
            classifier_norm_squared: Some(classifier_norm_squared),
            feature_decay: Some(feature_decay),
            label_smoothing,
            ..Given::default()
        };
        let recipe = given.recipe(py, Loss::FixedEtf, counts)?;
        Ok(Prediction::build(py, recipe, None)?.initializer(Self))
    }

    /// α, by which the logit of the right class exceeds every other one: 1/(e^α + K − 1) = (δ + μα)/K with
    /// μ = N λ_H (K−1)/(EK).
    #[getter]
    fn margin(slf: &Bound<'_, Self>) -> PyResult<f64> {
        Ok(Self::minimum(slf)?.margin())
    }

    /// The optimal feature for a soft label, K probabilities, by what it does: a dictionary with logits, probabilities,
    /// feature_norm_squared and loss.
    ///
    /// Source: Fisher et al. (ICLR 2024) for mixtures of labels; the project's docs/closed-forms.md.
    fn response<'py>(
        slf: &Bound<'py, Self>,
        label: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, label) = (slf.py(), vector(label, "label")?);
        let head = Self::minimum(slf)?.problem().head().or_raise(py)?;
        Ok(pythonize(py, &head.response(&label).or_raise(py)?)?)
    }
}

impl FixedHead {
    fn minimum<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a FixedHeadMinimum> {
        match slf.as_super().get().model().any() {
            Some(AnyModel::FixedHead(minimum)) => Ok(minimum),
            _ => Err(bad_argument(slf.py(), "self", "another model", "one of a fixed head")),
        }
    }
}
