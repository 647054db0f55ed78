//! What a numerical search of a prediction has found.

use neural_collapse::models::AnyModel;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::prediction::Prediction;

#[pymethods]
impl Prediction {
    /// The numerical search that was made for it, if any: a dictionary with loss, the lowest that it found, starts, and hits, how
    /// many of these ended there. Where nothing but the search knows the minimum also its rank, the largest entry of the
    /// gradient, is_local_minimum (None if it is too large to tell), automorphisms, how many exchanges of like classes leave the
    /// outputs as they are (None if they could not be found), and orbits, one number for each class.
    #[getter]
    fn search<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let found = PyDict::new(py);
        match self.model().any() {
            Some(AnyModel::CrossEntropy(landscape)) => {
                let Some(search) = landscape.search() else { return Ok(None) };
                found.set_item("loss", search.loss)?;
                found.set_item("hits", search.hits)?;
                found.set_item("starts", search.starts)?;
            }
            Some(AnyModel::LowRank(minimum)) => {
                let (hits, starts) = minimum.hits();
                found.set_item("loss", neural_collapse::Prediction::loss(minimum))?;
                found.set_item("hits", hits)?;
                found.set_item("starts", starts)?;
                found.set_item("rank", minimum.rank())?;
                found.set_item("gradient", minimum.gradient())?;
                found.set_item("is_local_minimum", minimum.is_local_minimum())?;
                found.set_item("automorphisms", minimum.automorphisms())?;
                found.set_item("orbits", minimum.orbits())?;
            }
            _ => return Ok(None),
        }
        Ok(Some(found))
    }
}
