//! What a model predicts, as Python objects.

use std::sync::Arc;

use neural_collapse::models::AnyModel;
use neural_collapse::models::cross_entropy::Landscape;
use neural_collapse::problem::TrainingObjective;
use neural_collapse::{Basis, Bias, ClassCounts, ExplicitPoint, GlobalMinimum};
use numpy::{PyArray1, PyArray2};
use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use pythonize::pythonize;

use crate::arrays::{columns_to_numpy, list_to_numpy, to_numpy};
use crate::error::OrRaise;
use crate::geometry::ClassMatrix;
use crate::loss::Loss;
use crate::models;
use crate::monitor::watched;
use crate::recipe::{Model, Recipe};
use crate::stored::{Stored, pickled};

/// The point that training should reach, with everything that can be measured there.
///
/// Made by :func:`predict` or by one of the classes :class:`Ufm`, :class:`CrossEntropy`, :class:`LayerPeeled`,
/// :class:`Seli`, :class:`FixedHead`, :class:`SphericalCrossEntropy`, :class:`SupervisedContrastive`,
/// :class:`SoftLabels`, :class:`MultiLabel` and :class:`SparseLabels`. Layers are numbered from the features to the output,
/// W_1, …, W_M; h_k is the mean of the features of class k. All numbers are dimensionless. What differs between the members
/// of a family of global minimizers is None.
#[pyclass(subclass, frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct Prediction {
    recipe: Recipe,
    model: Arc<Model>,
}

impl Prediction {
    /// The model, for comparing measurements with it.
    pub(crate) fn minimum(&self) -> &dyn neural_collapse::Prediction {
        self.model.prediction()
    }

    /// The model itself, for what not all models answer.
    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    pub(crate) fn objective(&self) -> TrainingObjective {
        self.minimum().training_objective()
    }

    pub(crate) fn squared(&self) -> Option<&GlobalMinimum> {
        self.model.squared()
    }

    pub(crate) fn landscape(&self) -> Option<&Landscape> {
        match self.model.any()? {
            AnyModel::CrossEntropy(landscape) => Some(landscape),
            _ => None,
        }
    }

    fn loss_kind(&self) -> Loss {
        Loss::of(&self.objective())
    }

    pub(crate) fn build(
        py: Python<'_>,
        recipe: Recipe,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let model = watched(py, progress, |monitor| recipe.build(monitor))?;
        Ok(Self { model: Arc::new(model), recipe })
    }

    /// As a subclass.
    pub(crate) fn initializer<S>(self, subclass: S) -> PyClassInitializer<S>
    where
        S: PyClass<BaseType = Self>,
    {
        PyClassInitializer::from(self).add_subclass(subclass)
    }

    /// The object of the class that belongs to the loss.
    pub(crate) fn into_object(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(match self.loss_kind() {
            Loss::SquaredError => Py::new(py, self.initializer(models::Ufm))?.into_any(),
            Loss::CrossEntropy => Py::new(py, self.initializer(models::CrossEntropy))?.into_any(),
            Loss::LayerPeeled => Py::new(py, self.initializer(models::LayerPeeled))?.into_any(),
            Loss::SupportVectors => Py::new(py, self.initializer(models::Seli))?.into_any(),
            Loss::FixedEtf => Py::new(py, self.initializer(models::FixedHead))?.into_any(),
            Loss::SphericalCrossEntropy => {
                Py::new(py, self.initializer(models::SphericalCrossEntropy))?.into_any()
            }
            Loss::SupervisedContrastive => {
                Py::new(py, self.initializer(models::SupervisedContrastive))?.into_any()
            }
            Loss::SoftLabels => Py::new(py, self.initializer(models::SoftLabels))?.into_any(),
            Loss::PickAllLabels => Py::new(py, self.initializer(models::MultiLabel))?.into_any(),
            Loss::SupportMargins => Py::new(py, self.initializer(models::SparseLabels))?.into_any(),
        })
    }

    /// The name of the geometry as in the program's JSON.
    fn geometry_name(&self) -> String {
        let name = self.minimum().geometry().to_string();
        match self.squared() {
            Some(_) => name.to_lowercase().replace(' ', "_"),
            None => name,
        }
    }
}

#[pymethods]
impl Prediction {
    /// Name of the geometry, such as "simplex_etf".
    #[getter]
    fn geometry(&self) -> String {
        self.geometry_name()
    }

    /// The value of the training objective at the predicted point: f* where `proof` is "proved".
    #[getter]
    fn loss(&self) -> f64 {
        self.minimum().loss()
    }

    /// Name of the loss function: "mse", "cross_entropy", "layer_peeled", "uf_svm", "fixed_etf", "spherical_ce", "supcon",
    /// "soft_labels", "pick_all_labels" or "support_margins".
    #[getter]
    fn loss_function(&self) -> &'static str {
        self.loss_kind().name()
    }

    /// A number that no value of the training objective is below, by proof; None if no such number is known.
    #[getter]
    fn lower_bound(&self) -> Option<f64> {
        self.minimum().lower_bound()
    }

    /// How far it is proved that this is the global minimum: "proved", "proved_within_gap", "assumed", "best_known" or
    /// "proved_not_global".
    #[getter]
    fn proof(&self) -> &'static str {
        self.minimum().verdict().keyword()
    }

    /// Which theorem or computation says so.
    #[getter]
    fn statement(&self) -> String {
        self.minimum().verdict().to_string()
    }

    /// Whether everything but rotations of the hidden spaces is determined.
    #[getter]
    fn is_unique(&self) -> bool {
        self.minimum().is_unique()
    }

    /// Whether lengths are determined; if not, norms and Gram matrices are known up to a factor.
    #[getter]
    fn has_scale(&self) -> bool {
        self.minimum().has_scale()
    }

    /// Number of linear layers M.
    #[getter]
    fn depth(&self) -> usize {
        self.minimum().depth()
    }

    /// Number of classes K.
    #[getter]
    fn classes(&self) -> usize {
        self.minimum().classes()
    }

    /// The number of samples of each class, shape (K,); None where labels are not classes.
    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray1<u64>>> {
        let runs = self.minimum().counts()?.runs();
        let counts: Vec<u64> = runs.flat_map(|run| run.classes().map(move |_| run.size)).collect();
        Some(list_to_numpy(py, &counts))
    }

    /// The widths d_1, …, d_M (inputs of each layer), or None if they are not limited.
    #[getter]
    fn widths(&self) -> Option<Vec<usize>> {
        self.minimum().widths().map(<[usize]>::to_vec)
    }

    /// The weight decays λ_1, …, λ_M, or None for a model without decays.
    #[getter]
    fn weight_decay<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray1<f64>>> {
        Some(list_to_numpy(py, self.objective().regularization()?.weight_decays()))
    }

    /// The decay λ_H of the features, or None for a model without decays.
    #[getter]
    fn feature_decay(&self) -> Option<f64> {
        self.objective().feature_decay()
    }

    /// The bias b, shape (K,); None without a bias, and where it differs between minimizers.
    #[getter]
    fn bias<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray1<f64>>> {
        Some(list_to_numpy(py, &self.minimum().bias()?))
    }

    /// One dictionary a class: count, classifier_norm_squared ‖w_k‖², feature_norm_squared ‖h_k‖², collapsed. A list
    /// that pandas.DataFrame takes. Raises NotAnsweredError where labels are not classes.
    fn class_table<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let table = PyList::empty(py);
        for (run, class) in self.minimum().class_runs().or_raise(py)? {
            for _ in run.classes() {
                let row = PyDict::new(py);
                row.set_item("count", class.count)?;
                row.set_item("classifier_norm_squared", class.classifier_norm_squared)?;
                row.set_item("feature_norm_squared", class.feature_norm_squared)?;
                row.set_item("collapsed", class.collapsed)?;
                table.append(row)?;
            }
        }
        Ok(table)
    }

    /// Singular values of the product of the layers first, …, last (numbered from 1), as pairs (value, multiplicity)
    /// by falling value.
    ///
    /// Raises ArgumentError if there is no such layer.
    #[pyo3(signature = (first = 1, last = None))]
    fn singular_values(
        &self,
        py: Python<'_>,
        first: usize,
        last: Option<usize>,
    ) -> PyResult<Vec<(f64, usize)>> {
        let values = self.minimum().singular_values(first..=last.unwrap_or(first)).or_raise(py)?;
        Ok(values.into_iter().map(|value| (value.value, value.multiplicity)).collect())
    }

    /// Singular values of the features H (d×N), as pairs (value, multiplicity).
    ///
    /// Raises NotAnsweredError if they are not known.
    fn feature_singular_values(&self, py: Python<'_>) -> PyResult<Vec<(f64, usize)>> {
        let values = self.minimum().feature_singular_values().or_raise(py)?;
        Ok(values.into_iter().map(|value| (value.value, value.multiplicity)).collect())
    }

    /// The Gram matrix of the rows of the last `layers` layers, K×K: the target of NC2.
    #[pyo3(signature = (layers = 1))]
    fn trailing_gram(&self, py: Python<'_>, layers: usize) -> PyResult<ClassMatrix> {
        self.minimum().trailing_gram(layers).map(ClassMatrix).or_raise(py)
    }

    /// The Gram matrix of the class means, K×K.
    fn class_means_gram(&self, py: Python<'_>) -> PyResult<ClassMatrix> {
        self.minimum().class_means_gram().map(ClassMatrix).or_raise(py)
    }

    /// The rank of Σ_B, the number of directions in which the class means differ. Raises NotAnsweredError where it is not known or
    /// differs between minimizers.
    fn class_mean_rank(&self, py: Python<'_>) -> PyResult<usize> {
        self.minimum().class_mean_rank().or_raise(py)
    }

    /// The outputs for the class means without the bias, K×K: the target of NC3.
    fn class_outputs(&self, py: Python<'_>) -> PyResult<ClassMatrix> {
        self.minimum().class_outputs().map(ClassMatrix).or_raise(py)
    }

    /// Matrices that attain the loss: a dictionary with `weights` (a list of arrays, (outputs, inputs) each), `bias`
    /// ((K,) or None), `features` ((N, d), one sample per row, class after class) and `labels` ((N,)): the class of each sample,
    /// or the number of its soft label, set of tags or context; None for real-valued targets.
    ///
    /// With a `seed` hidden spaces are turned at random, else they are the standard ones. Raises NotAnsweredError for a loss
    /// without a classifier.
    #[pyo3(signature = (seed = None))]
    fn explicit<'py>(&self, py: Python<'py>, seed: Option<u64>) -> PyResult<Bound<'py, PyDict>> {
        let basis = seed.map_or(Basis::Standard, Basis::Random);
        let point = py.detach(|| self.minimum().explicit(&basis)).or_raise(py)?;
        let labels = self.recipe.labels().or_raise(py)?;
        let labels: Option<Vec<i64>> =
            labels.map(|labels| labels.into_iter().map(|label| label as i64).collect());
        let found = point_as_dictionary(py, &point)?;
        found.set_item("labels", labels.map(|labels| list_to_numpy(py, &labels)))?;
        Ok(found)
    }

    /// The training objective as plain data.
    #[getter]
    fn training_objective<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, &self.objective())?)
    }

    /// The numbers as plain data, with the keys of the program's `predict --json`.
    fn to_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let (py, own) = (slf.py(), slf.get());
        let found = PyDict::new(py);
        found.set_item("loss_function", own.loss_function())?;
        found.set_item("problem", own.problem(py)?)?;
        found.set_item("geometry", own.geometry_name())?;
        found.set_item("unique", own.is_unique())?;
        found.set_item("proof", own.proof())?;
        found.set_item("statement", own.statement())?;
        found.set_item("loss", own.loss())?;
        found.set_item("lower_bound", own.lower_bound())?;
        found.set_item("gap", own.lower_bound().map(|bound| own.loss() - bound))?;
        found.set_item("bias", own.minimum().bias())?;
        if let Some(minimum) = own.squared() {
            found.set_item("scale", minimum.scale())?;
            found.set_item("threshold", minimum.threshold())?;
        }
        if let Some(landscape) = own.landscape() {
            found.set_item("strength", landscape.problem().strength())?;
        }
        // Labels that are no classes are in no table of them.
        let classes = own.minimum().counts().map(|_| own.class_table(py)).transpose()?;
        found.set_item("classes", classes)?;
        Ok(found)
    }

    fn __repr__(&self) -> String {
        format!(
            "{}(geometry='{}', K={}, M={}, loss={:.8e}, proof='{}')",
            self.loss_kind().class_name(),
            self.geometry_name(),
            self.classes(),
            self.depth(),
            self.loss(),
            self.proof(),
        )
    }

    /// The prediction as a table, for notebooks.
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("neuralcollapse._tables")?.call_method1("prediction", (slf,))
    }

    /// Draws norms against class size, Gram matrices, cosines, vectors and singular values with matplotlib; returns its figure.
    fn plot<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("neuralcollapse.plotting")?.call_method1("prediction", (slf,))
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().recipe == self.recipe)
    }

    fn __hash__(&self) -> u64 {
        self.loss().to_bits()
    }
}

impl Stored for Prediction {
    type Read = Py<PyAny>;

    /// The problem; the prediction is made again from it.
    fn written<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.recipe.written(py)
    }

    fn read(py: Python<'_>, data: &[u8]) -> PyResult<Py<PyAny>> {
        Self::build(py, Recipe::read(py, data)?, None)?.into_object(py)
    }
}

pickled!(Prediction);

impl Prediction {
    /// What the prediction is for, with the keys of the program's `problem`.
    fn problem<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (problem, objective) = (PyDict::new(py), self.objective());
        let counts = self.counts(py).map(|counts| counts.call_method0("tolist")).transpose()?;
        problem.set_item("counts", counts)?;
        problem.set_item("samples", self.minimum().counts().map(ClassCounts::samples))?;
        if let Some(decays) = objective.regularization() {
            problem.set_item("depth", self.depth())?;
            problem.set_item("weight_decay", decays.weight_decays())?;
            problem.set_item("feature_decay", decays.feature_decay())?;
            match decays.bias() {
                Bias::Regularized(decay) => problem.set_item("bias", decay)?,
                other => problem.set_item("bias", other.to_string())?,
            }
            problem.set_item("widths", self.widths())?;
            problem.set_item("rank_limit", self.minimum().rank_limit())?;
        }
        match objective {
            TrainingObjective::WeightedCrossEntropy {
                class_weights,
                label_smoothing,
                nonnegative_features,
                ..
            } => {
                set_unless_default(&problem, "class_weights", class_weights)?;
                set_unless_default(&problem, "label_smoothing", label_smoothing)?;
                set_unless_default(&problem, "nonnegative_features", nonnegative_features)?;
            }
            TrainingObjective::WeightedSquaredError { class_weights, label_smoothing, .. } => {
                set_unless_default(&problem, "class_weights", class_weights)?;
                set_unless_default(&problem, "label_smoothing", label_smoothing)?;
            }
            TrainingObjective::ScaledMargins { margins, logit_scales } => {
                set_unless_default(&problem, "margins", margins)?;
                set_unless_default(&problem, "logit_scales", logit_scales)?;
            }
            TrainingObjective::Budgeted { weight_energy, feature_energy, .. } => {
                problem.set_item("weight_energy", weight_energy)?;
                problem.set_item("feature_energy", feature_energy)?;
            }
            TrainingObjective::FixedSimplexHead {
                classifier_norm_squared, feature_decay, ..
            } => {
                problem.set_item("classifier_norm_squared", classifier_norm_squared)?;
                problem.set_item("feature_decay", feature_decay)?;
            }
            TrainingObjective::UnitVectors { temperature, .. } => {
                problem.set_item("temperature", temperature)?;
            }
            _ => {}
        }
        Ok(problem)
    }
}

/// Weights, bias and the features of all samples.
pub(crate) fn point_as_dictionary<'py>(
    py: Python<'py>,
    point: &ExplicitPoint,
) -> PyResult<Bound<'py, PyDict>> {
    let layers: PyResult<Vec<Bound<'_, PyArray2<f64>>>> =
        point.head().weights().iter().map(|layer| to_numpy(py, layer)).collect();
    let found = PyDict::new(py);
    found.set_item("weights", layers?)?;
    let bias = point.head().bias().map(|bias| list_to_numpy(py, bias.as_slice()));
    found.set_item("bias", bias)?;
    found.set_item("features", columns_to_numpy(py, point.features().or_raise(py)?)?)?;
    Ok(found)
}

/// Sets what is not as the plain loss has it.
fn set_unless_default<'py, V>(problem: &Bound<'py, PyDict>, key: &str, value: V) -> PyResult<()>
where
    V: IntoPyObject<'py> + Default + PartialEq,
{
    match value == V::default() {
        true => Ok(()),
        false => problem.set_item(key, value),
    }
}
