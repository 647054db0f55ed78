//! Samples with their labels, measured around class means.

use neural_collapse::ClassStatistics;
use neural_collapse::measure::{Center, Scalar};
use neural_collapse::metrics::Nc1Options;
use numpy::{Element, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::arrays::{Features, labels};
use crate::error::{OrRaise, bad_argument};
use crate::first_pass::FirstPass;
use crate::passes::{Accumulate, Listener, add_all};

/// The conventions of NC1.
pub(crate) fn nc1_options(
    py: Python<'_>,
    center: &str,
    rank_cutoff: f64,
    divide_by_classes: bool,
) -> PyResult<Nc1Options> {
    Ok(Nc1Options::default()
        .with_center(center_named(py, center)?)
        .with_rank_cutoff(rank_cutoff)
        .with_divide_by_classes(divide_by_classes))
}

pub(crate) fn center_named(py: Python<'_>, center: &str) -> PyResult<Center> {
    match center {
        "samples" => Ok(Center::Samples),
        "classes" => Ok(Center::Classes),
        other => Err(bad_argument(py, "center", &format!("'{other}'"), "'samples' or 'classes'")),
    }
}

/// Samples with their labels, and the class means that they are measured around.
pub(crate) struct Samples<'a, 'py> {
    pub(crate) features: Features<'py>,
    labels: PyReadonlyArray1<'py, i64>,
    means: Means<'a>,
}

enum Means<'a> {
    Given(PyRef<'a, FirstPass>),
    Own(FirstPass),
}

impl<'a, 'py> Samples<'a, 'py> {
    /// Around the class means of `statistics`, or around their own. Without a number of classes they are as many as the
    /// largest label says.
    pub(crate) fn new(
        features: &Bound<'py, PyAny>,
        labels: &Bound<'py, PyAny>,
        classes: Option<usize>,
        statistics: Option<PyRef<'a, FirstPass>>,
    ) -> PyResult<Self> {
        let py = features.py();
        let (features, labels) = (Features::new(features)?, self::labels(labels)?);
        let means = match statistics {
            Some(statistics) => Means::Given(statistics),
            None => {
                let numbers = labels.as_slice()?;
                let largest = numbers.iter().copied().max().unwrap_or(0).max(0);
                let named = usize::try_from(largest).unwrap_or(0).saturating_add(1);
                Means::Own(FirstPass::of(py, &features, numbers, classes.unwrap_or(named))?)
            }
        };
        Ok(Self { features, labels, means })
    }

    /// The statistics that the class means are of.
    pub(crate) fn statistics(&self) -> &ClassStatistics {
        match &self.means {
            Means::Given(pass) => pass.statistics(),
            Means::Own(pass) => pass.statistics(),
        }
    }

    /// Sums over all samples that are made for the class means: those of one precision.
    pub(crate) fn added<T: Scalar + Element, S: Accumulate<T>>(
        &self,
        py: Python<'_>,
        array: &PyReadonlyArray2<'_, T>,
        callback: Option<&Bound<'_, PyAny>>,
        new: impl FnOnce(&ClassStatistics) -> neural_collapse::Result<S> + Send,
    ) -> PyResult<S> {
        let statistics = self.statistics();
        let mut sums = py.detach(|| new(statistics)).or_raise(py)?;
        let listener = Listener { stage: "deviations", callback };
        let labels = self.labels.as_slice()?;
        add_all(py, &mut sums, array, labels, statistics.classes(), listener)?;
        Ok(sums)
    }

    /// Sums that take either precision.
    pub(crate) fn added_to<S: Accumulate<f32> + Accumulate<f64> + Clone>(
        &self,
        py: Python<'_>,
        mut sums: S,
        callback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<S> {
        let listener = Listener { stage: "deviations", callback };
        let (labels, classes) = (self.labels.as_slice()?, self.statistics().classes());
        self.features.add_to(py, &mut sums, labels, classes, listener)?;
        Ok(sums)
    }
}

/// What is asked of sums that are made in the precision of the samples: `measured!(py, samples, progress, new, ask)`.
macro_rules! measured {
    ($py:expr, $samples:expr, $progress:expr, $new:expr, $ask:expr) => {
        match &$samples.features {
            $crate::arrays::Features::Single(array) => {
                $ask($samples.added($py, array, $progress, $new)?)
            }
            $crate::arrays::Features::Double(array) => {
                $ask($samples.added($py, array, $progress, $new)?)
            }
        }
    };
}
pub(crate) use measured;
