//! The support vector machine on free features.

use neural_collapse::models::svm;
use pyo3::prelude::*;

use crate::loss::Loss;
use crate::prediction::Prediction;
use crate::problem::{Given, counts};

/// The simplex-encoded-label interpolation: the support vector machine on free features, to which cross-entropy leads as
/// the decays vanish.
///
/// Parameters: `counts`, the samples of each class; `margins` m (K,) and `logit_scales` δ (K,) of the constraints
/// δ_y z_y − δ_k z_k ≥ m_y of CDT, LDT and VS losses, all 1 if they are not given.
///
/// Source: Thrampoulidis, Kini, Vakilian & Behnia (NeurIPS 2022); Behnia et al. (AISTATS 2023) for margins and scales.
#[pyclass(extends = Prediction, frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct Seli;

#[pymethods]
impl Seli {
    #[new]
    #[pyo3(signature = (counts, *, margins = None, logit_scales = None))]
    fn new(
        py: Python<'_>,
        counts: &Bound<'_, PyAny>,
        margins: Option<&Bound<'_, PyAny>>,
        logit_scales: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let given = Given { margins, logit_scales, ..Given::default() };
        let recipe = given.recipe(py, Loss::SupportVectors, counts)?;
        Ok(Prediction::build(py, recipe, None)?.initializer(Self))
    }
}

/// The margins (K,) with which :class:`Seli` is a simplex ETF for these class counts.
///
/// Source: SELI is a simplex ETF for equal sizes, and margins count as the sizes n_k m_k².
#[pyfunction]
pub(crate) fn simplex_margins(counts: &Bound<'_, PyAny>) -> PyResult<Vec<f64>> {
    Ok(svm::simplex_margins(&self::counts(counts)?))
}
