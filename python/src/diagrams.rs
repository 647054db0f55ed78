//! What becomes of a prediction at other decays, class sizes and depths.

use neural_collapse::models::cross_entropy::{
    Phase, phase_diagram_with as known_phases, searched_phase_diagram,
};
use neural_collapse::models::diagrams::{MinorityCollapse, PhaseDiagram};
use neural_collapse::models::low_rank::Search;
use neural_collapse::{Error, GlobalMinimum};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use pythonize::pythonize;

use crate::error::exception;
use crate::models::Ufm;
use crate::monitor::watched;
use crate::prediction::Prediction;
use crate::problem::bias_named;

#[pymethods]
impl Prediction {
    /// Where the minimum changes its structure, as data for a picture: a dictionary whose `kind` says of what.
    ///
    /// * "survival" (squared loss): `limits`, dictionaries of `surviving`, the directions that survive above it, and `points`,
    ///   pairs of imbalance (largest class / smallest class) and factor on all decays;
    /// * "merging" (one layer, cross-entropy): `limits`, dictionaries of `class`, `count`, `is_smaller` and `points`, above
    ///   which classes of one size and weight share one vector, and `zero`, the points above which everything is zero;
    /// * "structures" (cross-entropy of equal classes with several layers): `depths`, dictionaries of `depth` and `phases`
    ///   (see :func:`phase_diagram`), beside the own `depth` and `strength`.
    ///
    /// The first two have the own `imbalance`, which is at the factor 1. `progress(stage, done, total)` is called meanwhile.
    ///
    /// Raises NotAnsweredError for models that have none, NoClosedFormError where the limits are not known.
    ///
    /// Source: Theorem 4.4 of Dang et al. (ICML 2023); the project's docs/convex.md and docs/cross-entropy.md.
    #[pyo3(signature = (progress = None))]
    fn phase_diagram<'py>(
        &self,
        py: Python<'py>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let model = self.model().any().ok_or_else(|| {
            let (question, reason) = ("the phase diagram", "there is none for this model");
            exception(py, &Error::NotAnswered { question, reason })
        })?;
        let diagram = watched(py, progress, |monitor| PhaseDiagram::new(model, monitor))?;
        let found = PyDict::new(py);
        match diagram {
            PhaseDiagram::Survival { limits, imbalance } => {
                found.set_item("kind", "survival")?;
                found.set_item("limits", pythonize(py, &limits)?)?;
                found.set_item("imbalance", imbalance)?;
            }
            PhaseDiagram::Merging { limits, zero, imbalance } => {
                found.set_item("kind", "merging")?;
                found.set_item("limits", pythonize(py, &limits)?)?;
                found.set_item("zero", zero)?;
                found.set_item("imbalance", imbalance)?;
            }
            PhaseDiagram::Structures { depths, depth, strength } => {
                let columns = PyList::empty(py);
                for column in depths {
                    let row = PyDict::new(py);
                    row.set_item("depth", column.depth)?;
                    row.set_item("phases", rows_of(py, &column.phases)?)?;
                    columns.append(row)?;
                }
                found.set_item("kind", "structures")?;
                found.set_item("depths", columns)?;
                found.set_item("depth", depth)?;
                found.set_item("strength", strength)?;
            }
            _ => {
                let (question, reason) = ("the phase diagram", "it is of a kind of its own");
                return Err(exception(py, &Error::NotAnswered { question, reason }));
            }
        }
        Ok(found)
    }
}

#[pymethods]
impl Ufm {
    /// How the norms of classes fall to zero as others get larger, as data for a picture: a dictionary with `classes`, at most
    /// `most` dictionaries of `class`, `count` and `points` (pairs of imbalance, largest class / smallest class, and ‖w_k‖²),
    /// and `critical`, the imbalances at which one of these classes collapses.
    ///
    /// Of two class sizes the smaller stays as it is; of others the number of samples does. Raises NotAnsweredError beside a
    /// bias and for targets without classes. `progress(stage, done, total)` is called meanwhile.
    ///
    /// Source: Theorem 4.4 of Dang et al. (ICML 2023).
    #[pyo3(signature = (most = 6, progress = None))]
    fn minority_collapse<'py>(
        slf: &Bound<'py, Self>,
        most: usize,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let minimum = Self::minimum(slf, "the collapse of minorities")?;
        let collapse =
            watched(py, progress, |monitor| MinorityCollapse::new(minimum, most, monitor))?;
        Ok(pythonize(py, &collapse)?)
    }

    /// ρ*: with more than ρ* times as many samples in the larger classes the smaller ones collapse, their size and the decays
    /// as they are. None unless there are two class sizes and no bias.
    ///
    /// Source: Theorem 4.4 of Dang et al. (ICML 2023).
    #[getter]
    fn critical_imbalance_ratio(slf: &Bound<'_, Self>) -> Option<f64> {
        let own = slf.as_super().get();
        own.squared().and_then(GlobalMinimum::critical_imbalance_ratio)
    }
}

/// The structures with the lowest known loss under cross-entropy, for `classes` equal classes and `depth` layers, from weak to
/// strong penalties: a list of dictionaries with `structure`, the strengths u = (n λ_H Π λ_m)^(1/(M+1)) `from` and `to` which
/// it has the lowest loss, and `decay_products`, the pair of n λ_H Π λ_m there.
///
/// Parameters: `bias` None, "unregularized" or its decay, `label_smoothing` δ. With `starts` a numerical search of so many
/// starts is made at every strength beside the closed forms, from `seed`, which finds more structures and takes longer.
/// `progress(stage, done, total)` is called meanwhile.
///
/// Raises ArgumentError for less than two classes, no layer, or a smoothing outside of 0 ≤ δ < 1.
///
/// Source: the project's docs/cross-entropy.md.
#[pyfunction]
#[pyo3(signature = (classes, depth, *, bias = None, label_smoothing = 0.0, starts = None, seed = 0, progress = None))]
#[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
pub(crate) fn phase_diagram<'py>(
    py: Python<'py>,
    classes: usize,
    depth: usize,
    bias: Option<&Bound<'py, PyAny>>,
    label_smoothing: f64,
    starts: Option<usize>,
    seed: u64,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyList>> {
    let bias = bias_named(py, bias)?;
    let phases = watched(py, progress, |monitor| match starts {
        None => known_phases(classes, depth, bias, label_smoothing, monitor),
        Some(starts) => {
            let search = Search::default().with_seed(seed).with_starts(starts);
            searched_phase_diagram(classes, depth, bias, label_smoothing, &search, monitor)
        }
    })?;
    rows_of(py, &phases)
}

fn rows_of<'py>(py: Python<'py>, phases: &[Phase]) -> PyResult<Bound<'py, PyList>> {
    let rows = PyList::empty(py);
    for phase in phases {
        let row = PyDict::new(py);
        row.set_item("structure", phase.structure.to_string())?;
        row.set_item("from", phase.from)?;
        row.set_item("to", phase.to)?;
        row.set_item("decay_products", phase.decay_products())?;
        rows.append(row)?;
    }
    Ok(rows)
}
