//! The squared loss with ReLUs between the layers.

use neural_collapse::models::squared;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::OrRaise;
use crate::models::Ufm;
use crate::prediction::point_as_dictionary;

/// A point of the model with ReLUs between the layers whose loss is below that of the linear model: its classes are the edges
/// of complete graphs. It minimizes nothing, but proves that the linear minimum is not optimal with ReLUs. Made by
/// `Ufm.relu_competitor`.
///
/// Source: the graphs of Súkeník, Mondelli & Lampert (NeurIPS 2024), with one layer of units.
#[pyclass(frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct ReluCompetitor(squared::ReluCompetitor);

#[pymethods]
impl ReluCompetitor {
    /// Its loss.
    #[getter]
    fn loss(&self) -> f64 {
        self.0.loss()
    }

    /// The loss of the minimum of linear layers.
    #[getter]
    fn linear_loss(&self) -> f64 {
        self.0.linear_loss()
    }

    /// The number r of vertices of a graph, whose r(r−1)/2 edges are classes.
    #[getter]
    fn vertices(&self) -> usize {
        self.0.vertices()
    }

    /// The number of vertices that a unit of the last hidden layer belongs to.
    #[getter]
    fn unit_size(&self) -> usize {
        self.0.unit_size()
    }

    /// The number of graphs; classes in none of them are orthogonal.
    #[getter]
    fn graphs(&self) -> usize {
        self.0.graphs()
    }

    /// The widths d_1, …, d_M that it needs.
    #[getter]
    fn widths(&self) -> Vec<usize> {
        self.0.widths()
    }

    /// Matrices that attain the loss with a ReLU behind every layer but the last: a dictionary with `weights` (a list of arrays,
    /// (outputs, inputs) each), `bias` (None) and `features` ((N, d), one sample per row, class after class).
    fn explicit<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        point_as_dictionary(py, &py.detach(|| self.0.explicit()).or_raise(py)?)
    }

    fn __repr__(&self) -> String {
        format!(
            "ReluCompetitor(loss={:.8e}, linear_loss={:.8e})",
            self.0.loss(),
            self.0.linear_loss()
        )
    }
}

#[pymethods]
impl Ufm {
    /// A point with a lower loss where ReLUs stand between the layers, if one is known: for balanced classes without a bias, at
    /// least two layers and widths with room for it; else None.
    fn relu_competitor(slf: &Bound<'_, Self>) -> Option<ReluCompetitor> {
        let minimum = slf.as_super().get().squared()?;
        slf.py().detach(|| minimum.relu_competitor()).map(ReluCompetitor)
    }

    /// How far it is proved that this minimum is also that of the problem with ReLUs between the layers: the pair of a keyword
    /// as of `proof` and a sentence as of `statement`.
    fn relu_proof(slf: &Bound<'_, Self>) -> PyResult<(&'static str, String)> {
        let minimum = Self::minimum(slf, "the minimum with ReLUs")?;
        let verdict = slf.py().detach(|| minimum.relu_verdict());
        Ok((verdict.keyword(), verdict.to_string()))
    }

    /// The minimizer whose features and hidden outputs are not negative, so that ReLUs change nothing: a dictionary with
    /// `weights`, `bias` and `features` as of `explicit`. Whether it is the minimum of the problem with ReLUs tells `relu_proof`.
    ///
    /// Raises NoClosedFormError with a bias or for targets without classes.
    ///
    /// Source: Tirer & Bruna (ICML 2022), for any depth and class sizes.
    fn nonnegative_minimizer<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let minimum = Self::minimum(slf, "the minimizer of features after a ReLU")?;
        let py = slf.py();
        point_as_dictionary(py, &py.detach(|| minimum.nonnegative_minimizer()).or_raise(py)?)
    }
}
