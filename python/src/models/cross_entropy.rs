//! Cross-entropy with decays.

use neural_collapse::Landscape;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::loss::Loss;
use crate::prediction::Prediction;
use crate::problem::Given;

/// The lowest known point under cross-entropy with weight decay, on free features.
///
/// f = 1/N Σ ω_y CE(z, (1−δ) e_y + δ 1/K) + Σ λ_m/2 ‖W_m‖² + λ_H/2 ‖H‖² + λ_b/2 ‖b‖²
///
/// Parameters as those of :class:`Ufm`; `class_weights` ω (K,), `label_smoothing` δ, `logit_offsets` ι (K,), which are
/// added to the outputs z, `nonnegative_features` as after a ReLU; `pytorch_weight` (K,) instead of `class_weights` is the
/// `weight` of torch.nn.CrossEntropyLoss, which weights the entries of smoothed labels and divides by Σ ω_y instead of N.
/// With several layers beside equal classes, and alone for others, a numerical search of `starts` starts at each rank is
/// made (25 up to 20 classes, else none); `proof` says what is proved. `progress(stage, done, total)` is called meanwhile.
///
/// Source: the project's docs/cross-entropy.md and docs/convex.md; Zhu et al. (NeurIPS 2021) for one layer.
#[pyclass(extends = Prediction, frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct CrossEntropy;

#[pymethods]
impl CrossEntropy {
    #[new]
    #[pyo3(signature = (
        counts, *, weight_decay, feature_decay, depth = None, bias = None, widths = None, class_weights = None,
        label_smoothing = 0.0, logit_offsets = None, nonnegative_features = false, pytorch_weight = None, starts = None,
        seed = 0, progress = None
    ))]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        py: Python<'_>,
        counts: &Bound<'_, PyAny>,
        weight_decay: &Bound<'_, PyAny>,
        feature_decay: f64,
        depth: Option<usize>,
        bias: Option<&Bound<'_, PyAny>>,
        widths: Option<Vec<usize>>,
        class_weights: Option<&Bound<'_, PyAny>>,
        label_smoothing: f64,
        logit_offsets: Option<&Bound<'_, PyAny>>,
        nonnegative_features: bool,
        pytorch_weight: Option<&Bound<'_, PyAny>>,
        starts: Option<usize>,
        seed: u64,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let given = Given {
            depth,
            weight_decay: Some(weight_decay),
            feature_decay: Some(feature_decay),
            bias,
            widths,
            class_weights,
            label_smoothing,
            logit_offsets,
            nonnegative_features,
            pytorch_weight,
            starts,
            seed,
            ..Given::default()
        };
        let recipe = given.recipe(py, Loss::CrossEntropy, counts)?;
        Ok(Prediction::build(py, recipe, progress)?.initializer(Self))
    }

    /// u = (n λ_H Π λ_m)^(1/(M+1)), the strength of the penalties for equal classes; None for others.
    #[getter]
    fn strength(slf: &Bound<'_, Self>) -> Option<f64> {
        Some(slf.as_super().get().landscape()?.problem().strength())
    }

    /// The loss of the simplex ETF, for equal classes; None for others.
    #[getter]
    fn simplex_etf_loss(slf: &Bound<'_, Self>) -> Option<f64> {
        let landscape = slf.as_super().get().landscape()?;
        Some(neural_collapse::Prediction::loss(landscape.simplex_etf()))
    }

    /// The known stationary points for equal classes by rising loss, one dictionary each: structure, rank, loss, margin (how
    /// far the right logit exceeds the largest other one); empty for other classes.
    #[getter]
    fn points<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let points = PyList::empty(slf.py());
        let landscape = slf.as_super().get().landscape();
        for point in landscape.map(Landscape::points).unwrap_or_default() {
            let row = PyDict::new(slf.py());
            row.set_item("structure", neural_collapse::Prediction::geometry(point).to_string())?;
            row.set_item("rank", point.rank())?;
            row.set_item("loss", neural_collapse::Prediction::loss(point))?;
            row.set_item("margin", point.margin())?;
            points.append(row)?;
        }
        Ok(points)
    }
}
