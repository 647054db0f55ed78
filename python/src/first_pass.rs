//! The first pass over the samples: what the class means are made of.

use neural_collapse::ClassStatistics;
use neural_collapse::measure::{FeatureEnergy, Scalar};
use numpy::{PyArray1, PyArray2};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde::{Deserialize, Serialize};

use crate::arrays::{Features, columns_to_numpy, labels, list_to_numpy, to_numpy};
use crate::error::{OrRaise, bad_argument};
use crate::passes::{Accumulate, Listener, Piece};
use crate::samples::center_named;
use crate::stored::{self, Stored, pickled};

const FIRST_PASS: &str = "neuralcollapse.FirstPass";

/// Numbers, sums and squared lengths of the samples of each class: the first of the two passes of an audit.
///
/// FirstPass(dimension, classes, energy=True) has no samples yet; `add` them batch by batch, `merge` what was added
/// elsewhere, in any order. It takes 2dK numbers and can be pickled. Without `energy` the squared lengths are left out,
/// which an audit needs.
#[pyclass(module = "neuralcollapse")]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FirstPass {
    statistics: ClassStatistics,
    energy: Option<FeatureEnergy>,
}

impl FirstPass {
    pub(crate) fn statistics(&self) -> &ClassStatistics {
        &self.statistics
    }

    /// The statistics of one set of samples.
    pub(crate) fn of(
        py: Python<'_>,
        features: &Features<'_>,
        labels: &[i64],
        classes: usize,
    ) -> PyResult<Self> {
        let mut pass = Self::new(py, features.shape().1, classes, false)?;
        pass.add_all(py, features, labels, None)?;
        Ok(pass)
    }

    fn add_all(
        &mut self,
        py: Python<'_>,
        features: &Features<'_>,
        labels: &[i64],
        callback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let (dimension, classes, energy) =
            (self.dimension(), self.classes(), self.energy.is_some());
        let listener = Listener { stage: "class means", callback };
        if self.samples() > 0 {
            return features.add_to(py, self, labels, classes, listener);
        }
        // A first pass without samples is made anew faster than it is copied.
        let added = features.add_all_to(py, self, labels, classes, listener);
        if added.is_err() {
            *self = Self::new(py, dimension, classes, energy)?;
        }
        added
    }
}

impl<T: Scalar> Accumulate<T> for FirstPass {
    fn add(&mut self, piece: Piece<'_, T>) -> neural_collapse::Result<()> {
        let batch = piece.batch()?;
        match &mut self.energy {
            Some(energy) => energy.accumulate_with(&mut self.statistics, &batch),
            None => self.statistics.accumulate(&batch),
        }
    }
}

#[pymethods]
impl FirstPass {
    #[new]
    #[pyo3(signature = (dimension, classes, energy = true))]
    fn new(py: Python<'_>, dimension: usize, classes: usize, energy: bool) -> PyResult<Self> {
        let statistics = ClassStatistics::empty(dimension, classes).or_raise(py)?;
        let energy = energy.then(|| FeatureEnergy::empty(dimension, classes));
        Ok(Self { statistics, energy: energy.transpose().or_raise(py)? })
    }

    /// Adds samples: features (n, d) and labels (n,), whole numbers from 0 to K−1. On an error nothing is added.
    /// `progress(stage, done, total)` is called meanwhile.
    #[pyo3(signature = (features, labels, progress = None))]
    fn add(
        &mut self,
        py: Python<'_>,
        features: &Bound<'_, PyAny>,
        labels: &Bound<'_, PyAny>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let (features, labels) = (Features::new(features)?, self::labels(labels)?);
        self.add_all(py, &features, labels.as_slice()?, progress)
    }

    /// Adds the samples of another first pass of the same dimension and number of classes.
    fn merge(&mut self, py: Python<'_>, other: &Bound<'_, Self>) -> PyResult<()> {
        let other = match other.try_borrow() {
            Ok(other) => other,
            Err(_) => return Err(bad_argument(py, "other", "this one itself", "another one")),
        };
        if self.energy.is_some() != other.energy.is_some() {
            let found = "with another setting of `energy`";
            return Err(bad_argument(py, "other", found, "of the same"));
        }
        self.statistics.merge(&other.statistics).or_raise(py)?;
        match (&mut self.energy, &other.energy) {
            (Some(own), Some(other)) => own.merge(other).or_raise(py),
            _ => Ok(()),
        }
    }

    /// Number of features d.
    #[getter]
    pub(crate) fn dimension(&self) -> usize {
        self.statistics.dimension()
    }

    /// Number of classes K.
    #[getter]
    pub(crate) fn classes(&self) -> usize {
        self.statistics.classes()
    }

    /// Number of samples of each class, shape (K,).
    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u64>> {
        list_to_numpy(py, self.statistics.counts())
    }

    /// Σ_B = 1/K Σ_k (h_k − h_G)(h_k − h_G)ᵀ, (d, d), around the mean h_G of all "samples" or of the "classes".
    ///
    /// Raises EmptyClassError for a class without samples.
    #[pyo3(signature = (center = "samples"))]
    fn between_class_covariance<'py>(
        &self,
        py: Python<'py>,
        center: &str,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let center = center_named(py, center)?;
        let covariance = py.detach(|| self.statistics.between_class_covariance(center));
        to_numpy(py, &covariance.or_raise(py)?)
    }

    /// Number of samples N.
    #[getter]
    fn samples(&self) -> u64 {
        self.statistics.samples()
    }

    /// The class means, shape (K, d): one class per row. Raises EmptyClassError if a class has no sample.
    #[getter]
    fn class_means<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f64>>> {
        columns_to_numpy(py, self.statistics.class_means().or_raise(py)?)
    }

    /// ‖H‖², the sum of the squares of all features; None without `energy`.
    #[getter]
    pub(crate) fn features_squared(&self) -> Option<f64> {
        self.energy.as_ref().map(FeatureEnergy::total)
    }

    /// 1/K Σ_k (1/n_k) Σ_i ‖h_ki‖², the budget E_H of the layer-peeled model; None without `energy`. Raises
    /// EmptyClassError if a class has no sample.
    #[getter]
    fn feature_energy(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        self.energy.as_ref().map(FeatureEnergy::mean).transpose().or_raise(py)
    }

    fn __repr__(&self) -> String {
        let statistics = &self.statistics;
        format!(
            "FirstPass(N={}, d={}, K={})",
            statistics.samples(),
            statistics.dimension(),
            statistics.classes()
        )
    }
}

impl Stored for FirstPass {
    type Read = Self;

    fn written<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        stored::write(py, FIRST_PASS, self)
    }

    fn read(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        stored::read(py, FIRST_PASS, data)
    }
}

pickled!(FirstPass);
