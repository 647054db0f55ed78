//! The layer-peeled model.

use neural_collapse::models::AnyModel;
use neural_collapse::models::layer_peeled::LayerPeeledMinimum;
use pyo3::prelude::*;

use crate::loss::Loss;
use crate::prediction::Prediction;
use crate::problem::Given;

/// The global minimum of the layer-peeled model: cross-entropy under budgets for the norms.
///
/// 1/K Σ ‖w_k‖² ≤ `weight_energy`, 1/K Σ_k (1/n_k) Σ_i ‖h_ki‖² ≤ `feature_energy`.
///
/// Source: Fang, He, Long & Su (PNAS 2021).
#[pyclass(extends = Prediction, frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct LayerPeeled;

#[pymethods]
impl LayerPeeled {
    #[new]
    #[pyo3(signature = (counts, *, weight_energy, feature_energy))]
    fn new(
        py: Python<'_>,
        counts: &Bound<'_, PyAny>,
        weight_energy: f64,
        feature_energy: f64,
    ) -> PyResult<PyClassInitializer<Self>> {
        let given = Given {
            weight_energy: Some(weight_energy),
            feature_energy: Some(feature_energy),
            ..Given::default()
        };
        let recipe = given.recipe(py, Loss::LayerPeeled, counts)?;
        Ok(Prediction::build(py, recipe, None)?.initializer(Self))
    }

    /// Whether the classes of the smaller size have one point.
    #[getter]
    fn minority_collapsed(slf: &Bound<'_, Self>) -> Option<bool> {
        Some(slf.as_super().get().layer_peeled()?.minority_collapsed())
    }

    /// R: with more than R·n_B samples in each larger class beside smaller ones of n_B, the smaller classes have one point;
    /// None unless there are two sizes, or if there is no such ratio.
    #[getter]
    fn critical_ratio(slf: &Bound<'_, Self>) -> Option<f64> {
        slf.as_super().get().layer_peeled()?.problem().critical_ratio()
    }
}

impl Prediction {
    fn layer_peeled(&self) -> Option<&LayerPeeledMinimum> {
        match self.model().any()? {
            AnyModel::LayerPeeled(minimum) => Some(minimum),
            _ => None,
        }
    }
}
