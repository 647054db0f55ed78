//! Passes over the samples, piece by piece, so that other Python threads run and Ctrl-C ends them.

use std::num::NonZeroUsize;

use neural_collapse::ClassStatistics;
use neural_collapse::measure::{ClassVariances, LabeledFeatures, PooledScatter, Scalar};
use neural_collapse::metrics::errors::SampleParts;
use neural_collapse::metrics::{Confusion, DecisionCounts, MetricSums, Nc1Sums};
use neural_collapse::objective::ObjectiveSums;
use numpy::PyUntypedArrayMethods;
use numpy::{Element, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::arrays::row_major;
use crate::error::{OrRaise, bad_shape};

/// Numbers in a piece: some hundredths of a second.
const PIECE_ENTRIES: usize = 1 << 25;

/// Samples of the library's own blocks, which pieces do not cut.
const BLOCK: usize = 128;

/// The samples in one piece.
pub(crate) fn piece_samples(dimension: usize) -> usize {
    (PIECE_ENTRIES / dimension.max(1) / BLOCK).max(1) * BLOCK
}

/// Who hears how far a pass is, as `callback(stage, done, total)`.
#[derive(Clone, Copy)]
pub(crate) struct Listener<'a, 'py> {
    pub(crate) stage: &'static str,
    pub(crate) callback: Option<&'a Bound<'py, PyAny>>,
}

impl Listener<'_, '_> {
    /// Says how far the pass is.
    pub(crate) fn hear(&self, done: usize, total: usize) -> PyResult<()> {
        if let Some(callback) = self.callback.filter(|callback| !callback.is_none()) {
            callback.call1((self.stage, done, total))?;
        }
        Ok(())
    }
}

/// Some of the samples.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a, T> {
    pub(crate) numbers: &'a [T],
    pub(crate) labels: &'a [i64],
    pub(crate) dimension: usize,
    pub(crate) classes: usize,
}

impl<'a, T: Scalar> Piece<'a, T> {
    /// As the library takes them.
    pub(crate) fn batch(&self) -> neural_collapse::Result<LabeledFeatures<'a, T>> {
        let samples = self.labels.len();
        neural_collapse::Features::from_row_major(self.numbers, samples, self.dimension)?
            .with_labels(self.labels, self.classes)
    }
}

/// What samples of this precision are added to.
pub(crate) trait Accumulate<T: Scalar>: Send {
    /// Adds samples.
    fn add(&mut self, piece: Piece<'_, T>) -> neural_collapse::Result<()>;
}

/// The library's own sums.
macro_rules! accumulates {
    ($($sums:ty),+) => {
        $(impl<T: Scalar> Accumulate<T> for $sums {
            fn add(&mut self, piece: Piece<'_, T>) -> neural_collapse::Result<()> {
                self.accumulate(&piece.batch()?)
            }
        })+
    };
}

accumulates!(
    ClassStatistics,
    Nc1Sums<T>,
    ClassVariances<T>,
    MetricSums<T>,
    DecisionCounts,
    Confusion,
    PooledScatter,
    ObjectiveSums,
    SampleParts
);

/// Adds all samples to sums, piece by piece. What has been added before an error stays: see [`all_or_nothing`].
pub(crate) fn add_all<T: Scalar + Element>(
    py: Python<'_>,
    sums: &mut impl Accumulate<T>,
    features: &PyReadonlyArray2<'_, T>,
    labels: &[i64],
    classes: usize,
    listener: Listener<'_, '_>,
) -> PyResult<()> {
    let shape = features.shape();
    let (samples, dimension) = (shape[0], shape[1]);
    if labels.len() != samples {
        return Err(bad_shape(py, "labels", labels.len(), samples, "one for each sample"));
    }
    let numbers = row_major(features)?;
    let size = piece_samples(dimension);
    // A batch without samples is looked at too, as its shape may be wrong.
    for first in (0..samples.max(1)).step_by(size) {
        let end = samples.min(first + size);
        let (numbers, labels) = (&numbers[first * dimension..end * dimension], &labels[first..end]);
        let piece = Piece { numbers, labels, dimension, classes };
        let added = py.detach(|| sums.add(piece));
        added.map_err(|error| error.counted_from(first)).or_raise(py)?;
        py.check_signals()?;
        listener.hear(end, samples)?;
    }
    Ok(())
}

/// Adds samples of this shape to sums by `add`; what has been added of a batch that is refused later on is taken back.
pub(crate) fn all_or_nothing<S: Clone>(
    sums: &mut S,
    (samples, dimension): (usize, usize),
    add: impl FnOnce(&mut S) -> PyResult<()>,
) -> PyResult<()> {
    // A single piece is added as a whole or not at all.
    let before = (samples > piece_samples(dimension)).then(|| sums.clone());
    let added = add(sums);
    if let (Err(_), Some(before)) = (&added, before) {
        *sums = before;
    }
    added
}

/// Limits the threads of each measurement of this process; None for as many as the machine runs at once.
///
/// One is for processes that share a machine, such as the workers of a cluster. Results do not depend on it.
#[pyfunction]
#[pyo3(signature = (limit = None))]
pub(crate) fn limit_threads(limit: Option<usize>) {
    neural_collapse::measure::limit_threads(limit.and_then(NonZeroUsize::new));
}
