//! Cross-entropy with decays.

use neural_collapse::models::AnyModel;
use neural_collapse::models::convex::ConvexUfm;
use neural_collapse::models::nonnegative::{
    NonnegativeMinimum, margin_equalizing_weights as equalizing,
};
use neural_collapse::{Error, Landscape};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::arrays::list_to_numpy;
use crate::error::{OrRaise, exception};
use crate::loss::Loss;
use crate::prediction::Prediction;
use crate::problem::{Given, counts};

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

    /// n*: two classes of one size n and weight `class_weight` merge, get the same classifier and the same mean, if n is at most
    /// that. For one layer.
    ///
    /// Raises NotAnsweredError for several layers and non-negative features, ArgumentError for a weight that is not positive.
    ///
    /// Source: the project's docs/convex.md.
    #[pyo3(signature = (class_weight = 1.0))]
    fn merging_count(slf: &Bound<'_, Self>, class_weight: f64) -> PyResult<f64> {
        let problem = Self::one_layer(slf, "the size at which classes merge")?;
        problem.merging_count(class_weight).or_raise(slf.py())
    }

    /// The difference of the predicted probabilities of the class of this index and another one of its size and weight, were
    /// there one, at a sample of the class; None if there is no class of this index. For one layer. Raises NotAnsweredError as `merging_count`.
    fn probability_gap(slf: &Bound<'_, Self>, index: usize) -> PyResult<Option<f64>> {
        Ok(Self::one_layer(slf, "the gap of probabilities")?.probability_gap(index))
    }

    /// The factor on all decays from which on everything is zero: for one layer that, for several layers of equal classes the
    /// one up to which the simplex ETF is not worse than zero, before and beyond which points of lower rank may be better.
    ///
    /// Raises NotAnsweredError for other problems, NoClosedFormError for a penalized bias.
    fn collapse_factor(slf: &Bound<'_, Self>) -> PyResult<f64> {
        let landscape = slf.as_super().get().landscape();
        if let Some(landscape) = landscape.filter(|landscape| landscape.problem().depth() > 1) {
            return Ok(landscape.problem().simplex_collapse_factor());
        }
        Self::one_layer(slf, "the collapse of everything")?.collapse_factor().or_raise(slf.py())
    }

    /// The size that a class of weight `class_weight` must exceed to live, for non-negative features: others have features of
    /// zero. Raises NotAnsweredError for other problems.
    ///
    /// Source: Dang et al. (ICML 2024), with weights in the project's docs/closed-forms.md.
    #[pyo3(signature = (class_weight = 1.0))]
    fn smallest_surviving_count(slf: &Bound<'_, Self>, class_weight: f64) -> PyResult<f64> {
        let minimum = Self::nonnegative(slf, "the size at which classes die")?;
        minimum.problem().smallest_surviving_count(class_weight).or_raise(slf.py())
    }

    /// The largest factor on all decays at which no class is dead, for non-negative features. Raises NotAnsweredError for other
    /// problems.
    fn largest_decay_factor(slf: &Bound<'_, Self>) -> PyResult<f64> {
        Ok(Self::nonnegative(slf, "the death of classes")?.problem().largest_decay_factor())
    }

    /// α_k, by which the logit of the right class exceeds every other one, shape (K,), for non-negative features: 0 for a dead
    /// class. Raises NotAnsweredError for other problems.
    fn margins<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let minimum = Self::nonnegative(slf, "the margins of the classes")?;
        let classes = minimum.problem().counts().classes();
        let margins: Vec<f64> = (0..classes).filter_map(|class| minimum.margin(class)).collect();
        Ok(list_to_numpy(slf.py(), &margins))
    }
}

impl CrossEntropy {
    /// The problem of one layer, or the exception that says that it is another one.
    fn one_layer(slf: &Bound<'_, Self>, question: &'static str) -> PyResult<ConvexUfm> {
        match slf.as_super().get().model().any() {
            Some(AnyModel::Convex(minimum)) => Ok(minimum.problem().clone()),
            Some(AnyModel::CrossEntropy(landscape)) if landscape.problem().depth() == 1 => {
                landscape.problem().to_convex().or_raise(slf.py())
            }
            _ => {
                let reason = "it is known for one layer on free features";
                Err(exception(slf.py(), &Error::NotAnswered { question, reason }))
            }
        }
    }

    fn nonnegative<'a>(
        slf: &'a Bound<'_, Self>,
        question: &'static str,
    ) -> PyResult<&'a NonnegativeMinimum> {
        match slf.as_super().get().model().any() {
            Some(AnyModel::Nonnegative(minimum)) => Ok(minimum),
            _ => {
                let reason = "it is known for non-negative features";
                Err(exception(slf.py(), &Error::NotAnswered { question, reason }))
            }
        }
    }
}

/// The class weights ω_k ∝ 1/√n_k, with the mean 1 over the samples, that make the margins of all classes equal under
/// cross-entropy on non-negative features, shape (K,).
///
/// `counts` as of :func:`predict`. Source: the project's docs/closed-forms.md.
#[pyfunction]
pub(crate) fn margin_equalizing_weights<'py>(
    counts: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let weights = equalizing(&self::counts(counts)?);
    Ok(list_to_numpy(counts.py(), &weights))
}
