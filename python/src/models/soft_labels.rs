//! Labels that are probabilities.

use neural_collapse::Prediction as _;
use neural_collapse::models::AnyModel;
use neural_collapse::models::convex::{ConvexMinimum, ConvexUfm};
use neural_collapse::models::soft_labels::{self, CenteredSupports};
use numpy::PyArray2;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pythonize::pythonize;

use crate::arrays::{columns_to_numpy, rows_as_columns, to_numpy};
use crate::error::{OrRaise, bad_argument};
use crate::geometry::ClassMatrix;
use crate::monitor::watched;
use crate::prediction::Prediction;
use crate::problem::{Given, samples};
use crate::recipe::{Model, Recipe};

/// The global minimum of one linear layer on free features under cross-entropy with soft labels, as of distillation or
/// several annotators.
///
/// f = 1/N Σ_j ω_j n_j CE(W h_j + b, y_j) + λ_W/2 ‖W‖² + λ_H/2 ‖H‖² + λ_b/2 ‖b‖²
///
/// Parameters: `labels` y (J, K), one soft label a row; `samples` n (J,), how many samples have each; `label_weights` ω (J,),
/// by default 1 (a sample with m tags under the pick-all-labels loss has the label 1/m on its tags and the weight m);
/// `weight_decay`, `feature_decay`, `bias` and `widths` as of :class:`Ufm`; `progress(stage, done, total)`. :func:`audit_soft_labels`
/// measures a network beside it.
///
/// Source: the project's docs/convex.md, after Hong & Ling (arXiv 2309.09725).
#[pyclass(extends = Prediction, frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct SoftLabels;

#[pymethods]
impl SoftLabels {
    #[new]
    #[pyo3(signature = (
        labels, samples, *, weight_decay, feature_decay, bias = None, widths = None, label_weights = None, progress = None
    ))]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        py: Python<'_>,
        labels: &Bound<'_, PyAny>,
        samples: &Bound<'_, PyAny>,
        weight_decay: &Bound<'_, PyAny>,
        feature_decay: f64,
        bias: Option<&Bound<'_, PyAny>>,
        widths: Option<Vec<usize>>,
        label_weights: Option<Vec<f64>>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let (weight_decay, feature_decay) = (Some(weight_decay), Some(feature_decay));
        let given = Given { weight_decay, feature_decay, bias, ..Given::default() };
        let (labels, samples) =
            (rows_as_columns(labels, "labels")?, self::samples(samples, "samples")?);
        let regularization = given.regularization(py)?;
        let mut ufm = ConvexUfm::soft_labels(labels, &samples, regularization).or_raise(py)?;
        if let Some(weights) = &label_weights {
            ufm = ufm.with_label_weights(weights).or_raise(py)?;
        }
        if let Some(widths) = &widths {
            ufm = ufm.with_widths(widths).or_raise(py)?;
        }
        let recipe = Recipe::Convex(ufm);
        Ok(Prediction::build(py, recipe, progress)?.initializer(Self))
    }

    /// The outputs W h_j without the bias, shape (J, K), one soft label a row.
    #[getter]
    fn outputs<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyArray2<f64>>> {
        columns_to_numpy(slf.py(), Self::minimum(slf)?.outputs())
    }

    /// The inner products of the features of all soft labels, shape (J, J).
    #[getter]
    fn features_gram<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyArray2<f64>>> {
        to_numpy(slf.py(), &Self::minimum(slf)?.features_gram())
    }
}

impl SoftLabels {
    pub(crate) fn minimum<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a ConvexMinimum> {
        match slf.as_super().get().model().any() {
            Some(AnyModel::Convex(minimum)) => Ok(minimum),
            _ => Err(bad_argument(slf.py(), "self", "another model", "one of soft labels")),
        }
    }
}

/// The support vector machine of sparse soft labels, as of next tokens, with the centered supports as its outputs: where
/// training leads as the decays vanish, if `proof` is "proved", and an upper bound elsewhere.
///
/// Parameters: `tokens`, their number K; `supports`, for each context the tokens that follow it; `samples` (J,), how many
/// samples each context has; `progress(stage, done, total)`.
///
/// Source: Zhao et al., Implicit Geometry of Next-token Prediction (COLM 2024); the certificate in the project's
/// docs/closed-forms.md.
#[pyclass(extends = Prediction, frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct SparseLabels;

#[pymethods]
impl SparseLabels {
    #[new]
    #[pyo3(signature = (tokens, supports, samples, *, progress = None))]
    fn new(
        py: Python<'_>,
        tokens: usize,
        supports: Vec<Vec<usize>>,
        samples: &Bound<'_, PyAny>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let samples = self::samples(samples, "samples")?;
        let labels = soft_labels::SparseLabels::new(tokens, &supports, &samples).or_raise(py)?;
        let recipe = Recipe::SparseLabels(labels);
        Ok(Prediction::build(py, recipe, progress)?.initializer(Self))
    }

    /// The same for soft labels (J, K), one context a row, of which only matters where they are zero.
    #[staticmethod]
    #[pyo3(signature = (labels, samples, *, progress = None))]
    fn from_labels(
        py: Python<'_>,
        labels: &Bound<'_, PyAny>,
        samples: &Bound<'_, PyAny>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<Self>> {
        let (labels, samples) =
            (rows_as_columns(labels, "labels")?, self::samples(samples, "samples")?);
        let labels = soft_labels::SparseLabels::from_labels(&labels, &samples).or_raise(py)?;
        let recipe = Recipe::SparseLabels(labels);
        Py::new(py, Prediction::build(py, recipe, progress)?.initializer(Self))
    }

    /// The tokens that follow each context, rising.
    #[getter]
    fn supports(slf: &Bound<'_, Self>) -> PyResult<Vec<Vec<usize>>> {
        Ok(Self::minimum(slf)?.problem().supports().to_vec())
    }

    /// The outputs, shape (J, K), one context a row: 1 on the support, less their mean.
    #[getter]
    fn centered_supports<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let supports = Self::minimum(slf)?.problem().centered_supports();
        columns_to_numpy(slf.py(), supports.or_raise(slf.py())?)
    }

    /// Whether these outputs are the minimum, and what proves it: a dictionary with exactness, rank,
    /// largest_of_polar_factor, largest_of_subgradient, norm_of_rest and lower_bound.
    #[getter]
    fn certificate<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(slf.py(), Self::minimum(slf)?.certificate())?)
    }

    /// The inner products of the features of all contexts.
    fn context_gram(slf: &Bound<'_, Self>) -> PyResult<ClassMatrix> {
        Self::minimum(slf)?.context_gram().map(ClassMatrix).or_raise(slf.py())
    }

    /// The outputs of smallest norm, whether or not the centered supports are they: a dictionary with logits (J, K), norm,
    /// lower_bound and gap. `progress(stage, done, total)` is called meanwhile.
    #[pyo3(signature = (progress = None))]
    fn smallest_logits<'py>(
        slf: &Bound<'py, Self>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (py, problem) = (slf.py(), Self::minimum(slf)?.problem());
        let smallest = watched(py, progress, |monitor| problem.smallest_logits_with(monitor))?;
        let found = PyDict::new(py);
        found.set_item("logits", columns_to_numpy(py, smallest.logits().clone())?)?;
        found.set_item("norm", smallest.loss())?;
        found.set_item("lower_bound", smallest.lower_bound())?;
        found.set_item("gap", smallest.gap())?;
        Ok(found)
    }
}

impl SparseLabels {
    fn minimum<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a CenteredSupports> {
        match slf.as_super().get().model() {
            Model::SparseLabels(minimum) => Ok(minimum),
            _ => Err(bad_argument(slf.py(), "self", "another model", "one of sparse labels")),
        }
    }
}
