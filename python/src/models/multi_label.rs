//! Several tags per sample.

use neural_collapse::models::multi_label::{MultiLabelMinimum, MultiLabelUfm};
use pyo3::prelude::*;

use crate::error::{OrRaise, bad_argument};
use crate::prediction::Prediction;
use crate::problem::Given;
use crate::recipe::{Model, Recipe};

/// The global minimum for samples of several tags under the pick-all-labels loss, one linear layer on free features.
///
/// f = 1/N Σ_S Σ_i Σ_{k∈S} CE(W h_Si + b, k) + λ_W/2 ‖W‖² + λ_H/2 ‖H‖² + λ_b/2 ‖b‖²
///
/// Parameters: `tags`, their number K; `samples_per_set`, a dictionary from every number m of tags that occurs to the number
/// n_m of samples that each set of m tags has; `weight_decay` λ_W, `feature_decay` λ_H, `bias` None, "unregularized" or
/// λ_b; `width`, the dimension d ≥ K − 1 of the features if it is limited. :func:`tag_average_residuals` measures what is
/// predicted: features of several tags are multiples of the average of theirs.
///
/// Source: Li et al., Neural Collapse in Multi-label Learning with Pick-all-label Loss (ICML 2024); the sizes in the
/// project's docs/closed-forms.md.
#[pyclass(extends = Prediction, frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct MultiLabel;

#[pymethods]
impl MultiLabel {
    #[new]
    #[pyo3(signature = (tags, samples_per_set, *, weight_decay, feature_decay, bias = None, width = None))]
    fn new(
        py: Python<'_>,
        tags: usize,
        samples_per_set: std::collections::BTreeMap<usize, u64>,
        weight_decay: &Bound<'_, PyAny>,
        feature_decay: f64,
        bias: Option<&Bound<'_, PyAny>>,
        width: Option<usize>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let (weight_decay, feature_decay) = (Some(weight_decay), Some(feature_decay));
        let given = Given { weight_decay, feature_decay, bias, ..Given::default() };
        let samples: Vec<(usize, u64)> = samples_per_set.into_iter().collect();
        let ufm =
            MultiLabelUfm::new(tags, &samples, given.regularization(py)?).and_then(
                |ufm| match width {
                    Some(width) => ufm.with_widths(&[width]),
                    None => Ok(ufm),
                },
            );
        let recipe = Recipe::MultiLabel(ufm.or_raise(py)?);
        Ok(Prediction::build(py, recipe, None)?.initializer(Self))
    }

    /// α_m, by which the logits of a sample's m = `tags` tags exceed all others; None if no sample has so many.
    fn logit_size(slf: &Bound<'_, Self>, tags: usize) -> PyResult<Option<f64>> {
        Ok(Self::minimum(slf)?.logit_size(tags))
    }

    /// s, the singular value of the logits of all samples, K − 1 times.
    #[getter]
    fn logit_singular_value(slf: &Bound<'_, Self>) -> PyResult<f64> {
        Ok(Self::minimum(slf)?.logit_singular_value())
    }

    /// The inner product of the features of a set of `tags` tags and one of `others` that have `overlap` in common; None if
    /// no sample has so many, or sets cannot overlap so.
    fn feature_product(
        slf: &Bound<'_, Self>,
        tags: usize,
        others: usize,
        overlap: usize,
    ) -> PyResult<Option<f64>> {
        Ok(Self::minimum(slf)?.feature_product(tags, others, overlap))
    }

    /// All sets of tags, numbered as by the `labels` of `explicit()`.
    fn tag_sets(slf: &Bound<'_, Self>) -> PyResult<Vec<Vec<usize>>> {
        Ok(Self::minimum(slf)?.problem().tag_sets().collect())
    }
}

impl MultiLabel {
    fn minimum<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a MultiLabelMinimum> {
        match slf.as_super().get().model() {
            Model::MultiLabel(minimum) => Ok(minimum),
            _ => Err(bad_argument(slf.py(), "self", "another model", "one of several tags")),
        }
    }
}
