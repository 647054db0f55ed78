//! Features with the class of each sample, and the ways to go through them.

use std::borrow::Cow;
use std::ops::Range;

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::measure::features::{Features, ranges};
use crate::monitor::Monitor;
use crate::numerics::linalg::reshape;
use crate::numerics::parallel;
use crate::numerics::scalar::Scalar;
use crate::problem::labels::{Label, indices};

/// Numbers in a chunk: a few megabytes.
const CHUNK_ENTRIES: usize = 1 << 20;

/// Features with the class of each sample, made by [`Features::with_labels`].
///
/// There are as many labels as samples, each below the number of classes.
#[derive(Debug, Clone)]
pub struct LabeledFeatures<'a, T: Scalar> {
    features: Features<'a, T>,
    labels: Cow<'a, [usize]>,
    classes: usize,
}

impl<'a, T: Scalar> Features<'a, T> {
    /// The same features with the class of each sample, one of 0, …, K−1 for K = `classes`.
    ///
    /// Labels can be any integers; those of type `usize` are borrowed.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not as many labels as samples, [`Error::LabelOutOfRange`] if a
    /// label is negative or not below `classes`, [`Error::OutOfRange`] if there are no classes.
    ///
    /// ```
    /// use neural_collapse::Features;
    ///
    /// let features = Features::from_row_major(&[1.0, 2.0, 3.0], 3, 1)?;
    /// let error = features.with_labels(&[0, 1, 2], 2).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "`labels[2]` is 2, but there are 2 classes, numbered from 0",
    /// );
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn with_labels<L: Label>(
        self,
        labels: &'a [L],
        classes: usize,
    ) -> Result<LabeledFeatures<'a, T>> {
        if labels.len() != self.samples() {
            let reason = "one for each sample";
            return Err(Error::length("labels", labels.len(), self.samples(), reason));
        }
        if classes == 0 {
            return Err(Error::out_of_range("classes", 0.0, "at least 1"));
        }
        Ok(LabeledFeatures { labels: indices(labels, classes)?, features: self, classes })
    }
}

impl<'a, T: Scalar> LabeledFeatures<'a, T> {
    /// The features.
    #[must_use]
    pub fn features(&self) -> &Features<'a, T> {
        &self.features
    }

    /// The class of each sample.
    #[must_use]
    pub fn labels(&self) -> &[usize] {
        &self.labels
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
        self.features.check_samples(range.clone())?;
        self.features.for_each_checked_sample(self.by_class(range), visit);
        Ok(())
    }

    /// The samples of a range, class by class.
    pub(crate) fn by_class(&self, range: Range<usize>) -> Vec<usize> {
        if range.len() < self.classes {
            let mut order: Vec<usize> = range.collect();
            order.sort_by_key(|&index| self.labels[index]);
            return order;
        }
        let mut places = vec![0; self.classes + 1];
        self.labels[range.clone()].iter().for_each(|&label| places[label + 1] += 1);
        (1..self.classes).for_each(|class| places[class] += places[class - 1]);
        let mut order = vec![0; range.len()];
        for index in range {
            let place = &mut places[self.labels[index]];
            order[*place] = index;
            *place += 1;
        }
        order
    }

    /// The d×B matrix whose columns `write` computes from the index and the features of each sample.
    pub(crate) fn columns(
        &self,
        write: impl Fn(usize, &[T], &mut [f64]) + Sync,
    ) -> Result<DMatrix<f64>> {
        let mut columns = DMatrix::zeros(0, 0);
        self.fill_columns(&mut columns, write)?;
        Ok(columns)
    }

    /// The same in the memory of a matrix.
    pub(crate) fn fill_columns(
        &self,
        columns: &mut DMatrix<f64>,
        write: impl Fn(usize, &[T], &mut [f64]) + Sync,
    ) -> Result<()> {
        let (dimension, samples) = (self.features.dimension(), self.features.samples());
        reshape(columns, (dimension, samples));
        let pieces: Vec<_> = self.features.blocks().collect();
        let size = pieces.first().map_or(1, ExactSizeIterator::len) * dimension;
        let mut results = vec![Ok(()); pieces.len()];
        let outs = columns.as_mut_slice().chunks_mut(size);
        let work = pieces.into_iter().zip(outs).zip(&mut results);
        parallel::for_each(
            work,
            samples.saturating_mul(dimension),
            || (),
            |(), ((range, out), result)| {
                let first = range.start;
                *result = self.for_each_sample_by_class(range, |index, sample| {
                    write(index, sample, &mut out[(index - first) * dimension..][..dimension]);
                });
            },
        );
        results.into_iter().collect()
    }

    /// The samples in chunks that stay in the cache while several things are computed from them.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = LabeledFeatures<'_, T>> {
        ranges(self.labels.len(), chunk_size(self.features.dimension()))
            .map(|range| self.part(range))
    }

    /// Hands all samples on, chunk by chunk, and tells a monitor of `stage` how many it has been.
    pub(crate) fn watched_chunks(
        &self,
        stage: &'static str,
        monitor: &dyn Monitor,
        add: impl FnMut(&LabeledFeatures<'_, T>) -> Result<()>,
    ) -> Result<()> {
        self.watched_chunks_of(1, stage, monitor, add)
    }

    /// The same for so many chunks `together`.
    pub(crate) fn watched_chunks_of(
        &self,
        together: usize,
        stage: &'static str,
        monitor: &dyn Monitor,
        mut add: impl FnMut(&LabeledFeatures<'_, T>) -> Result<()>,
    ) -> Result<()> {
        let (mut done, total) = (0, self.labels.len() as u64);
        let size = chunk_size(self.features.dimension()).saturating_mul(together);
        for range in ranges(self.labels.len(), size) {
            let chunk = self.part(range);
            add(&chunk)?;
            done += chunk.labels.len() as u64;
            monitor.report(stage, done, Some(total))?;
        }
        Ok(())
    }

    /// Some of the samples.
    pub(crate) fn part(&self, range: Range<usize>) -> LabeledFeatures<'_, T> {
        LabeledFeatures {
            labels: Cow::Borrowed(&self.labels[range.clone()]),
            features: self.features.range(range),
            classes: self.classes,
        }
    }
}

/// Samples of so many features that stay in the cache.
pub(crate) fn chunk_size(dimension: usize) -> usize {
    (CHUNK_ENTRIES / dimension.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Progress;
    use std::ops::ControlFlow;

    /// The name of a bad number is the same whether it is found in the whole or in a chunk.
    #[test]
    fn chunks_cover_the_samples_once() {
        let (samples, dimension) = (700, 5000);
        let mut numbers = vec![1.0_f32; samples * dimension];
        numbers[650 * dimension + 7] = f32::NAN;
        let labels: Vec<usize> = (0..samples).collect();
        let rows = DMatrix::from_row_slice(samples, dimension, &numbers);
        for features in [
            Features::from_row_major(&numbers, samples, dimension).unwrap(),
            Features::from_sample_rows(&rows).unwrap(),
        ] {
            let data = features.with_labels(&labels, samples).unwrap();
            let chunks: Vec<_> = data.chunks().collect();
            assert!(chunks.len() > 2);
            let seen: Vec<_> = chunks.iter().flat_map(LabeledFeatures::labels).copied().collect();
            assert_eq!(seen, labels);
            let found = chunks.iter().find_map(|chunk| chunk.features().check().err());
            let found = found.unwrap().to_string();
            assert_eq!(found, features.check().unwrap_err().to_string());
            assert!(found.starts_with("`features` at sample 650, feature 7, is NaN"), "{found}");
        }
    }

    #[test]
    fn a_monitor_hears_how_many_samples_are_done() {
        let numbers = vec![1.0_f32; 5 * CHUNK_ENTRIES / 2];
        let features = Features::from_row_major(&numbers, 5, CHUNK_ENTRIES / 2).unwrap();
        let data = features.with_labels(&[0_u8; 5], 1).unwrap();
        let heard = std::sync::Mutex::new(Vec::new());
        let monitor = |progress: Progress| {
            heard.lock().unwrap().push((progress.done, progress.total));
            ControlFlow::Continue(())
        };
        let mut added = Vec::new();
        let add = |chunk: &LabeledFeatures<'_, f32>| {
            added.push(chunk.labels().len());
            Ok(())
        };
        data.watched_chunks("samples", &monitor, add).unwrap();
        assert_eq!(added, [2, 2, 1]);
        assert_eq!(heard.into_inner().unwrap(), [(2, Some(5)), (4, Some(5)), (5, Some(5))]);
    }

    #[test]
    fn labels_must_fit() {
        let features = Features::from_row_major(&[1.0, 2.0], 2, 1).unwrap();
        assert!(features.with_labels(&[0, 1], 2).is_ok());
        assert!(features.with_labels(&[0], 2).is_err());
        assert!(features.with_labels(&[0, 0], 0).is_err());
        let empty = Features::<f64>::from_row_major(&[], 0, 1).unwrap();
        assert!(empty.with_labels::<u8>(&[], 0).is_err());
        assert!(empty.with_labels::<u8>(&[], 1).is_ok());
    }
}
