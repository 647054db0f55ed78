//! A measured network beside its prediction.

use nalgebra::DMatrix;
use neural_collapse::Audit as Measured;
use neural_collapse::audit::{Measurement, Samples};
use neural_collapse::{Error, LinearHead};
use numpy::{PyArray1, PyArray2};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pythonize::pythonize;

use crate::arrays::{columns_to_numpy, list_to_numpy, to_numpy};
use crate::error::{OrRaise, exception};
use crate::pictures::{Compared, Matrix, pair_cosines};
use crate::prediction::Prediction;

type Numbers<'py> = Bound<'py, PyArray1<f64>>;

/// A network as it was measured, beside a prediction or none. Made by :func:`audit` and `AuditSums.audit`.
///
/// All numbers are dimensionless. A number that cannot be computed is None, and `reasons` says why.
#[pyclass(frozen, module = "neuralcollapse")]
#[derive(Debug)]
pub(crate) struct Audit {
    audit: Measured,
    prediction: Option<Py<Prediction>>,
}

impl Audit {
    pub(crate) fn new(audit: Measured, prediction: Option<Py<Prediction>>) -> Self {
        Self { audit, prediction }
    }

    pub(crate) fn measurement(&self) -> &Measurement {
        &self.audit.measurement
    }

    /// The prediction, as it is in Python.
    pub(crate) fn minimum(&self) -> Option<&Prediction> {
        self.prediction.as_ref().map(Py::get)
    }

    fn model(&self) -> Option<&dyn neural_collapse::Prediction> {
        self.minimum().map(Prediction::minimum)
    }
}

#[pymethods]
impl Audit {
    /// NC1 = tr(Σ_W Σ_B⁺)/K.
    #[getter]
    fn nc1(&self) -> Option<f64> {
        self.audit.measurement.nc1().map(|nc1| nc1.value)
    }

    /// The rank of Σ_B that NC1 used.
    #[getter]
    fn nc1_rank(&self) -> Option<usize> {
        self.audit.measurement.nc1().map(|nc1| nc1.rank)
    }

    /// NC1 on as many directions as the prediction says that class means differ in.
    #[getter]
    fn nc1_predicted_rank(&self) -> Option<f64> {
        self.audit.measurement.nc1_predicted_rank().map(|nc1| nc1.value)
    }

    /// NC1 on the directions alone in which class means stand out of their noise.
    #[getter]
    fn nc1_resolved(&self) -> Option<f64> {
        self.audit.measurement.nc1_resolved().map(|nc1| nc1.value)
    }

    /// NC2 for the last m = 1, …, M layers: distances of their Gram matrices to `nc2_target`.
    #[getter]
    fn nc2(&self) -> Vec<Option<f64>> {
        self.audit.nc2.clone()
    }

    /// The geometry that NC2 is measured to.
    #[getter]
    fn nc2_target(&self) -> Option<String> {
        self.audit.nc2_target.as_ref().map(ToString::to_string)
    }

    /// NC3: the distance of the outputs for the class means as they are.
    #[getter]
    fn nc3(&self) -> Option<f64> {
        self.audit.nc3
    }

    /// The same for the class means less the mean over all samples.
    #[getter]
    fn nc3_centered(&self) -> Option<f64> {
        self.audit.nc3_centered
    }

    /// The geometry that NC3 is measured to.
    #[getter]
    fn nc3_target(&self) -> Option<String> {
        self.audit.nc3_target.as_ref().map(ToString::to_string)
    }

    /// The distance of the Gram matrix of the class means to the predicted one.
    #[getter]
    fn nc2_class_means(&self) -> Option<f64> {
        self.audit.nc2_class_means
    }

    /// NC1 after each layer relative to that of the features, dictionaries of measured and predicted; empty unless
    /// `all_metrics` was asked for.
    #[getter]
    fn nc1_layer_ratios<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, &self.audit.nc1_layer_ratios)?)
    }

    /// Without a prediction, the distances to the frames that need none: orthogonal_frame, simplex_etf, seli.
    #[getter]
    fn distances<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, &self.audit.distances)?)
    }

    /// What the metrics are without any structure (`unstructured`), and what noise alone leaves of them in a collapsed
    /// network (`collapsed`, None unless `all_metrics` was asked for).
    #[getter]
    fn levels<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, &self.audit.levels)?)
    }

    /// Standard errors of the metrics by their keys; None unless `all_metrics` was asked for and classes have two samples.
    #[getter]
    fn standard_errors<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, &self.audit.standard_errors)?)
    }

    /// By how much each metric differs from that of another audit, with the standard error of the difference: a dictionary
    /// with `samples`, `metrics` (for each key of `standard_errors` that both have: `value`, `other`, `difference`,
    /// `standard_error` and `paired`) and `remarks`.
    ///
    /// Without `same_samples` the samples of both count as independent of each other, as those of two seeds with data of
    /// their own. With it they are the same in the same order, as of one network at two epochs: errors that both share
    /// cancel. Both audits need `all_metrics=True`; raises NotAnsweredError if they have no standard errors, or if class
    /// sizes differ and the samples shall be the same.
    #[pyo3(signature = (other, *, same_samples = false))]
    fn minus<'py>(
        &self,
        py: Python<'py>,
        other: &Bound<'py, Self>,
        same_samples: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let samples = if same_samples { Samples::Same } else { Samples::Independent };
        let found = self.audit.minus(&other.get().audit, samples).or_raise(py)?;
        Ok(pythonize(py, &found)?)
    }

    /// The squared loss of one layer with known decays, without the penalty of the features, in four parts: within_classes,
    /// class_means, penalty and head_distance; None for other losses. See :func:`least_squares_split`.
    #[getter]
    fn least_squares_split<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        pythonize(py, &self.audit)?.get_item("least_squares_split")
    }

    /// What the network looks like where it is better than the best point that was known: rank, automorphisms, orbits and
    /// is_symmetric; None elsewhere.
    #[getter]
    fn structure<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, &self.audit.structure)?)
    }

    /// NC4: the share of samples where the classifier and the nearest class mean agree.
    #[getter]
    fn nc4(&self) -> f64 {
        self.audit.measurement.nc4().overall.agreement
    }

    /// The share of samples whose largest output is that of their label.
    #[getter]
    fn accuracy(&self) -> f64 {
        self.audit.measurement.accuracy()
    }

    /// The measured value of the training objective.
    #[getter]
    fn loss(&self) -> Option<f64> {
        self.audit.loss
    }

    /// The terms of the objective: data_term, weight_penalty, feature_penalty, bias_penalty and gradient_norm of all of it;
    /// None without one.
    #[getter]
    fn objective<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, &self.audit.measurement.objective())?)
    }

    /// 1/K Σ_k (1/n_k) Σ_i ‖h_ki‖², the energy E_H of the features; None if it was not measured.
    #[getter]
    fn feature_energy(&self) -> Option<f64> {
        self.audit.measurement.feature_energy()
    }

    /// 1/K Σ_k ‖w_k‖², the energy E_W of the classifier W_M⋯W_1. Raises RangeError if it overflows.
    #[getter]
    fn weight_energy(&self, py: Python<'_>) -> PyResult<f64> {
        self.audit.measurement.weight_energy().or_raise(py)
    }

    /// The predicted value: f* where that is proved to be the global minimum.
    #[getter]
    fn loss_optimum(&self) -> Option<f64> {
        self.audit.loss_optimum()
    }

    /// `loss` less `loss_optimum`.
    #[getter]
    fn loss_gap(&self) -> Option<f64> {
        self.audit.loss_gap()
    }

    /// `loss_gap` divided by `loss_optimum`.
    #[getter]
    fn loss_gap_relative(&self) -> Option<f64> {
        self.audit.loss_gap_relative()
    }

    /// ‖∇f‖.
    #[getter]
    fn gradient_norm(&self) -> Option<f64> {
        self.audit.gradient_norm()
    }

    /// The residuals of the layers' balance, from features and W_1 on.
    #[getter]
    fn balancedness<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray1<f64>>> {
        Some(list_to_numpy(py, self.audit.measurement.balancedness()?))
    }

    /// Where training has come to: "global_minimum", "local_minimum", "not_stationary", "below_best_known" or
    /// "unknown".
    #[getter]
    fn verdict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, &self.audit.verdict.kind)?)
    }

    /// The same in one sentence, with the numbers that decide it.
    #[getter]
    fn verdict_text(&self) -> &str {
        &self.audit.verdict.text
    }

    /// For each number that is None, why.
    #[getter]
    fn reasons<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let reasons = PyDict::new(py);
        for (key, reason) in &self.audit.reasons {
            reasons.set_item(key, reason)?;
        }
        Ok(reasons)
    }

    /// Why there is no prediction.
    #[getter]
    fn no_prediction(&self) -> Option<&str> {
        self.audit.no_prediction.as_deref()
    }

    /// What is predicted.
    #[getter]
    fn prediction(&self, py: Python<'_>) -> Option<Py<Prediction>> {
        self.prediction.as_ref().map(|prediction| prediction.clone_ref(py))
    }

    /// Which measured class stands for each class of the prediction, where that had to be found out.
    #[getter]
    fn matching(&self) -> Option<Vec<usize>> {
        self.audit.matching.clone()
    }

    /// One dictionary a class: count, and of classifier_norm_squared, feature_norm_squared and collapsed what is
    /// measured and what is predicted.
    fn class_table<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, &self.audit.classes)?)
    }

    /// Every metric, with the keys of docs/metrics.md; None unless `all_metrics` was asked for.
    #[getter]
    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.audit.measurement.metrics().map(|metrics| pythonize(py, metrics)).transpose()?)
    }

    /// The class means, shape (K, d).
    #[getter]
    fn class_means<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f64>>> {
        columns_to_numpy(py, self.audit.measurement.class_means().clone())
    }

    /// The number of samples of each class, shape (K,).
    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u64>> {
        list_to_numpy(py, self.audit.measurement.statistics().counts())
    }

    /// The layers W_1, …, W_M that were measured, arrays (outputs, inputs); one where the objective is of one layer.
    #[getter]
    fn weights<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyArray2<f64>>>> {
        self.audit.measurement.head().weights().iter().map(|layer| to_numpy(py, layer)).collect()
    }

    /// The bias that was measured, shape (K,), or None.
    #[getter]
    fn bias<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray1<f64>>> {
        Some(list_to_numpy(py, self.audit.measurement.head().bias()?.as_slice()))
    }

    /// Measured singular values of the product of the layers first, …, last (numbered from 1), by falling value.
    ///
    /// Raises ArgumentError if there is no such layer.
    #[pyo3(signature = (first = 1, last = None))]
    fn singular_values<'py>(
        &self,
        py: Python<'py>,
        first: usize,
        last: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let head = self.audit.measurement.head();
        let values = py.detach(|| head.singular_values(first..=last.unwrap_or(first)));
        Ok(list_to_numpy(py, &values.or_raise(py)?))
    }

    /// Singular values of the features H (d×N) with every sample replaced by its class mean, by falling value.
    fn feature_singular_values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let statistics = self.audit.measurement.statistics();
        Ok(list_to_numpy(py, &py.detach(|| statistics.mean_singular_values()).or_raise(py)?))
    }

    /// A matrix over the classes beside the predicted one: a dictionary with measured, predicted and difference.
    ///
    /// `matrix` is "classifier" (the Gram matrix of the rows of the last layer), "class_means" (that of the class means) or
    /// "outputs" (those for the class means). Classes stand by falling size, and of more than `most` the means over pairs of
    /// groups of neighbors. Measured and predicted are divided by their Frobenius norms, so that the norm of the difference
    /// is the distance of NC2 and NC3; without a prediction, or if one of the two is zero, predicted and difference are None
    /// and what is measured is as it is.
    #[pyo3(signature = (matrix, most = 40))]
    fn compared<'py>(
        &self,
        py: Python<'py>,
        matrix: &str,
        most: usize,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (matrix, model) = (Matrix::named(py, matrix)?, self.model());
        let found = py.detach(|| Compared::new(&self.audit, model, matrix, most)).or_raise(py)?;
        let (predicted, difference) = found.others.unzip();
        let array = |matrix: Option<_>| matrix.map(|matrix| to_numpy(py, &matrix)).transpose();
        let pair = PyDict::new(py);
        pair.set_item("measured", to_numpy(py, &found.measured)?)?;
        pair.set_item("predicted", array(predicted)?)?;
        pair.set_item("difference", array(difference)?)?;
        Ok(pair)
    }

    /// The cosines of the angles between the vectors of two classes, of at most 200 000 pairs: those measured and those
    /// predicted, without pairs that have none. `vectors` are the "classifier" or the "class_means".
    fn cosines<'py>(
        &self,
        py: Python<'py>,
        vectors: &str,
    ) -> PyResult<(Numbers<'py>, Numbers<'py>)> {
        let (matrix, model) = (Matrix::of_vectors(py, vectors)?, self.model());
        let found = py.detach(|| pair_cosines(&self.audit, model, matrix));
        let (measured, predicted) = found.or_raise(py)?;
        Ok((list_to_numpy(py, &measured), list_to_numpy(py, &predicted)))
    }

    /// The matrices of the prediction in the coordinates of the network, its classes in the network's order: a dictionary with
    /// `weights` (a list of arrays, (outputs, inputs) each, one where the objective is of one layer), `bias` (K,), `class_means`
    /// (K, d), `trailing_grams` (of the last 1, …, M layers, K×K each), `class_means_gram` (K×K) and `class_outputs` (K×K, a column
    /// a class), to be laid beside the measured ones. What is not determined is None.
    ///
    /// Raises NotAnsweredError without a prediction, ShapeError if its widths are not those of the network.
    fn aligned<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let model = self.model().ok_or_else(|| {
            let (question, reason) = ("the predicted matrices", "there is no prediction");
            exception(py, &Error::NotAnswered { question, reason })
        })?;
        let aligned = py.detach(|| self.audit.aligned(model)).or_raise(py)?;
        let array = |matrix: &DMatrix<f64>| to_numpy(py, matrix);
        let layers = aligned.head.as_ref().map(LinearHead::weights);
        let layers = layers.map(|layers| layers.iter().map(array).collect::<PyResult<Vec<_>>>());
        let bias = aligned.head.as_ref().and_then(LinearHead::bias);
        let grams = aligned.trailing_grams.iter().map(|gram| gram.as_ref().map(array).transpose());
        let found = PyDict::new(py);
        found.set_item("weights", layers.transpose()?)?;
        found.set_item("bias", bias.map(|bias| list_to_numpy(py, bias.as_slice())))?;
        let means = aligned.class_means.map(|means| columns_to_numpy(py, means));
        found.set_item("class_means", means.transpose()?)?;
        found.set_item("trailing_grams", grams.collect::<PyResult<Vec<_>>>()?)?;
        let gram = aligned.class_means_gram.as_ref().map(array).transpose()?;
        found.set_item("class_means_gram", gram)?;
        let outputs = aligned.class_outputs.as_ref().map(array).transpose()?;
        found.set_item("class_outputs", outputs)?;
        Ok(found)
    }

    /// All numbers as plain data, with the keys of the program's `audit --json`.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let found = pythonize(py, &self.audit.numbers())?;
        let prediction = self.prediction.as_ref().map(|prediction| prediction.bind(py));
        let loss = prediction.map(|prediction| prediction.getattr("loss_function")).transpose()?;
        found.set_item("loss_function", loss)?;
        let prediction = prediction.map(|prediction| prediction.call_method0("to_dict"));
        found.set_item("prediction", prediction.transpose()?)?;
        Ok(found)
    }

    fn __repr__(&self) -> String {
        let number = |number: Option<f64>| number.map_or("None".into(), |n| format!("{n:.4e}"));
        let nc2: Vec<String> = self.audit.nc2.iter().map(|&distance| number(distance)).collect();
        format!(
            "Audit(nc1={}, nc2=[{}], nc3={}, nc4={:.4}, accuracy={:.4}, loss_gap_relative={}, verdict='{}')",
            number(self.nc1()),
            nc2.join(", "),
            number(self.nc3()),
            self.nc4(),
            self.accuracy(),
            number(self.loss_gap_relative()),
            self.audit.verdict.text.split(':').next().unwrap_or_default(),
        )
    }

    /// The audit as tables, for notebooks.
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("neuralcollapse._tables")?.call_method1("audit", (slf,))
    }

    /// Draws the figures of the program's report with matplotlib: norms against class size, class means in space, Gram
    /// matrices, cosines and singular values, measured beside predicted; returns its figure.
    ///
    /// With the `features` (N, d) and `labels` (N,) of the audit, in any order, some of the samples are drawn beside the class
    /// means, and the confusion of the decisions. Raises MismatchError if they are not those of the audit.
    #[pyo3(signature = (features = None, labels = None))]
    fn plot<'py>(
        slf: &Bound<'py, Self>,
        features: Option<&Bound<'py, PyAny>>,
        labels: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let plotting = slf.py().import("neuralcollapse.plotting")?;
        plotting.call_method1("audit", (slf, features, labels))
    }
}
