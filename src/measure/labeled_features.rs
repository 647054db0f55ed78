//! Features with the class of each sample, and the ways to go through them.

use std::ops::Range;

use nalgebra::DMatrix;

use crate::error::Result;
use crate::measure::features::{Features, ranges};
use crate::numerics::parallel;
use crate::numerics::scalar::Scalar;

/// Numbers in a chunk: a few megabytes.
const CHUNK_ENTRIES: usize = 1 << 20;

/// Features with the class of each sample, made by [`Features::with_labels`].
///
/// There are as many labels as samples, each below the number of classes.
#[derive(Debug, Clone, Copy)]
pub struct LabeledFeatures<'a, T: Scalar> {
    pub(crate) features: Features<'a, T>,
    pub(crate) labels: &'a [usize],
    pub(crate) classes: usize,
}

impl<'a, T: Scalar> LabeledFeatures<'a, T> {
    /// The features.
    #[must_use]
    pub fn features(&self) -> &Features<'a, T> {
        &self.features
    }

    /// The class of each sample.
    #[must_use]
    pub fn labels(&self) -> &'a [usize] {
        self.labels
    }

    /// Number of classes K.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Calls `visit` with the index and the features of the samples of a range, class by class, so that what is
    /// kept of a class stays in the nearest cache; they are all checked before the first visit.
    pub(crate) fn for_each_sample_by_class(
        &self,
        range: Range<usize>,
        visit: impl FnMut(usize, &[T]),
    ) -> Result<()> {
        self.features.for_each_sample(range.clone(), |_, _| ())?;
        let mut order: Vec<usize> = range.collect();
        order.sort_by_key(|&index| self.labels[index]);
        self.features.for_each_checked_sample(order, visit);
        Ok(())
    }

    /// The d×B matrix whose columns `write` computes from the index and the features of each sample.
    pub(crate) fn columns(
        &self,
        write: impl Fn(usize, &[T], &mut [f64]) + Sync,
    ) -> Result<DMatrix<f64>> {
        let (dimension, samples) = (self.features.dimension(), self.features.samples());
        let mut columns = DMatrix::zeros(dimension, samples);
        let pieces: Vec<_> = self.features.blocks().collect();
        let size = pieces.first().map_or(1, ExactSizeIterator::len) * dimension;
        let mut results = vec![Ok(()); pieces.len()];
        let outs = columns.as_mut_slice().chunks_mut(size);
        let work = pieces.into_iter().zip(outs).zip(&mut results);
        parallel::for_each(
            work,
            samples * dimension,
            || (),
            |(), ((range, out), result)| {
                let first = range.start;
                *result = self.for_each_sample_by_class(range, |index, sample| {
                    write(index, sample, &mut out[(index - first) * dimension..][..dimension]);
                });
            },
        );
        results.into_iter().collect::<Result<()>>()?;
        Ok(columns)
    }

    /// The samples in chunks that stay in the cache while several things are computed from them.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = LabeledFeatures<'_, T>> {
        let size = (CHUNK_ENTRIES / self.features.dimension()).max(1);
        ranges(self.labels.len(), size).map(|range| LabeledFeatures {
            labels: &self.labels[range.clone()],
            features: self.features.range(range),
            classes: self.classes,
        })
    }
}
