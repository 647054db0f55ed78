//! Compensated sums of the samples of each class.

use std::sync::atomic::{AtomicBool, Ordering};

use nalgebra::DMatrix;

use crate::error::Result;
use crate::measure::groups::{Group, NEIGHBORS};
use crate::measure::labeled_features::LabeledFeatures;
use crate::numerics::compensated::{TOGETHER, add_samples, add_sums, quotient};
use crate::numerics::linalg::zeros;
use crate::numerics::parallel;
use crate::numerics::scalar::Scalar;

/// Pieces into which work is divided for the threads.
const PIECES: usize = 16;

/// Numbers of sums that all pieces of samples may have together.
const CACHED: usize = 1 << 18;

/// The sum of the samples of each class.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClassSums {
    /// d×K, the rounded sums.
    rounded: DMatrix<f64>,
    /// d×K, what rounding has lost of them.
    corrections: DMatrix<f64>,
}

/// How the work of adding a batch is divided. It depends on the shape alone, so the sums do too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Division {
    /// Neighboring samples are summed by one thread, and the sums of all pieces added in their order: for sums
    /// that take little memory, beside a cache and beside the samples.
    Samples { pieces: usize },
    /// Each class is summed by one thread, in the order of the samples.
    Classes,
}

impl ClassSums {
    /// Of no samples; an error if they do not fit in memory.
    pub(crate) fn new(dimension: usize, classes: usize) -> Result<Self> {
        let zeros = || zeros("dimension", dimension, classes);
        Ok(Self { rounded: zeros()?, corrections: zeros()? })
    }

    /// Sums and corrections of one shape.
    #[cfg(feature = "serde")]
    pub(crate) fn from_parts(rounded: DMatrix<f64>, corrections: DMatrix<f64>) -> Self {
        Self { rounded, corrections }
    }

    /// The sums and what rounding has lost of them, d×K.
    #[cfg(feature = "serde")]
    pub(crate) fn parts(&self) -> (&DMatrix<f64>, &DMatrix<f64>) {
        (&self.rounded, &self.corrections)
    }

    /// Numbers of features and classes.
    pub(crate) fn shape(&self) -> (usize, usize) {
        self.rounded.shape()
    }

    /// Adds a batch of this shape; on an error all is as it was. `are_empty` tells that these are sums of no samples. Each
    /// sample is handed on while it is in the nearest cache, on whichever thread has added it.
    pub(crate) fn accumulate<T: Scalar>(
        &mut self,
        batch: &LabeledFeatures<'_, T>,
        are_empty: bool,
        hand_on: impl Fn(usize, &[T]) + Sync,
    ) -> Result<()> {
        match self.division(batch.features().samples()) {
            Division::Samples { pieces } => self.add_by_sample(batch, pieces, hand_on),
            Division::Classes if are_empty => {
                // Zeros can be gone back to, so samples need not be read twice.
                let added = self.add_by_class(batch, hand_on);
                if added.is_err() {
                    self.rounded.fill(0.0);
                    self.corrections.fill(0.0);
                }
                added
            }
            Division::Classes => {
                // There is no second copy of the sums to go back to.
                batch.features().check()?;
                self.add_by_class(batch, hand_on)
            }
        }
    }

    fn division(&self, samples: usize) -> Division {
        let fit = CACHED / self.rounded.len().max(1);
        match fit.min(samples / (PIECES * self.rounded.ncols())).clamp(1, PIECES) {
            1 => Division::Classes,
            pieces => Division::Samples { pieces },
        }
    }

    fn add_by_sample<T: Scalar>(
        &mut self,
        batch: &LabeledFeatures<'_, T>,
        pieces: usize,
        hand_on: impl Fn(usize, &[T]) + Sync,
    ) -> Result<()> {
        let (dimension, samples) = (self.rounded.nrows(), batch.features().samples());
        let size = samples.div_ceil(pieces);
        let operations = samples.saturating_mul(4).saturating_mul(dimension);
        let parts = parallel::map(
            pieces,
            operations,
            || (),
            |(), piece| {
                let mut sums = vec![0.0; self.rounded.len()];
                let mut corrections = sums.clone();
                let range = (piece * size).min(samples)..samples.min((piece + 1) * size);
                for first in range.clone().step_by(NEIGHBORS) {
                    let neighbors = first..range.end.min(first + NEIGHBORS);
                    batch.for_each_group_by_class::<TOGETHER>(neighbors, |class, group| {
                        let own = class * dimension..(class + 1) * dimension;
                        add_group((&mut sums[own.clone()], &mut corrections[own]), group, &hand_on)
                    })?;
                }
                Ok((sums, corrections))
            },
        );
        let parts = parts.into_iter().collect::<Result<Vec<_>>>()?;
        let (sums, corrections) = (self.rounded.as_mut_slice(), self.corrections.as_mut_slice());
        for (terms, rests) in parts {
            add_sums(sums, corrections, &terms, &rests);
        }
        Ok(())
    }

    /// On an error some samples have been added.
    fn add_by_class<T: Scalar>(
        &mut self,
        batch: &LabeledFeatures<'_, T>,
        hand_on: impl Fn(usize, &[T]) + Sync,
    ) -> Result<()> {
        let refused = AtomicBool::new(false);
        let (dimension, classes) = self.rounded.shape();
        let operations = batch.features().samples().saturating_mul(4).saturating_mul(dimension);
        let classes = classes.div_ceil(PIECES);
        let sums = self.rounded.as_mut_slice().chunks_mut(classes * dimension);
        let corrections = self.corrections.as_mut_slice().chunks_mut(classes * dimension);
        let pieces = (0..).step_by(classes).zip(sums.zip(corrections));
        parallel::for_each(
            pieces,
            operations,
            || (),
            |(), (first, (sums, corrections))| {
                let own = first..first + sums.len() / dimension;
                let samples = 0..batch.labels().len();
                let mut samples: Vec<usize> =
                    samples.filter(|&index| own.contains(&batch.labels()[index])).collect();
                samples.sort_by_key(|&index| batch.labels()[index]);
                let added = batch.for_each_group::<TOGETHER>(&samples, |class, group| {
                    let own = (class - first) * dimension..(class - first + 1) * dimension;
                    add_group((&mut sums[own.clone()], &mut corrections[own]), group, &hand_on)
                });
                refused.fetch_or(added.is_err(), Ordering::Relaxed);
            },
        );
        match refused.into_inner() {
            false => Ok(()),
            // Names the first bad number, whichever was found first.
            true => batch.features().check(),
        }
    }

    /// Adds the first, second, … class of other sums to the given ones of these.
    pub(crate) fn merge_classes(&mut self, other: &Self, classes: &[usize]) {
        let dimension = self.rounded.nrows();
        let place = |class: usize| class * dimension..(class + 1) * dimension;
        for (theirs, &own) in classes.iter().enumerate() {
            add_sums(
                &mut self.rounded.as_mut_slice()[place(own)],
                &mut self.corrections.as_mut_slice()[place(own)],
                &other.rounded.as_slice()[place(theirs)],
                &other.corrections.as_slice()[place(theirs)],
            );
        }
    }

    /// The mean of a class of `count` > 0 samples.
    #[inline(always)]
    pub(crate) fn mean(&self, class: usize, count: u64) -> impl Iterator<Item = f64> {
        let (start, length) = (class * self.rounded.nrows(), self.rounded.nrows());
        let sums = &self.rounded.as_slice()[start..][..length];
        let corrections = &self.corrections.as_slice()[start..][..length];
        let count = count as f64;
        sums.iter().zip(corrections).map(move |(&sum, &rest)| quotient(sum, rest, count))
    }
}

/// Adds the samples of a group to the sums of their class, and hands each on; returns the largest magnitude.
fn add_group<T: Scalar>(
    (sums, corrections): (&mut [f64], &mut [f64]),
    group: &Group<'_, T>,
    hand_on: impl Fn(usize, &[T]),
) -> T::Magnitude {
    let largest = add_samples(sums, corrections, group.samples, group.next);
    group.each().for_each(|(index, sample)| hand_on(index, sample));
    largest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::features::Features;

    fn division(dimension: usize, classes: usize, samples: usize) -> Division {
        ClassSums::new(dimension, classes).unwrap().division(samples)
    }

    #[test]
    fn samples_are_divided_where_there_are_many_and_sums_are_small() {
        assert_eq!(division(1, 2, 9000), Division::Samples { pieces: 16 });
        assert_eq!(division(2, 3, 247), Division::Samples { pieces: 5 });
        assert_eq!(division(3, 40, 100), Division::Classes);
        // Of 2¹⁷ sums two copies may be made, of more none.
        assert_eq!(division(1 << 16, 2, 1 << 20), Division::Samples { pieces: 2 });
        assert_eq!(division(1 << 17, 2, 1 << 20), Division::Classes);
    }

    /// Of whole numbers, whose sums are exact. In the first case a piece has more samples than are summed at a time.
    #[test]
    fn every_division_sums_every_sample_once() {
        for (samples, dimension, classes) in [(9000, 1, 2), (247, 2, 3), (100, 3, 40), (7, 5, 3)] {
            let numbers: Vec<f64> =
                (0..samples * dimension).map(|i| (i * 37 % 101) as f64 - 50.0).collect();
            let labels: Vec<usize> = (0..samples).map(|i| (i * 7 + i / 5) % classes).collect();
            let mut expected = DMatrix::zeros(dimension, classes);
            for (sample, &label) in numbers.chunks(dimension).zip(&labels) {
                sample.iter().enumerate().for_each(|(i, number)| expected[(i, label)] += number);
            }
            let features = Features::from_row_major(&numbers, samples, dimension).unwrap();
            let data = features.with_labels(&labels, classes).unwrap();
            let mut sums = ClassSums::new(dimension, classes).unwrap();
            let seen = std::sync::Mutex::new(vec![0; samples]);
            let see = |index: usize, sample: &[f64]| {
                assert_eq!(sample, &numbers[index * dimension..][..dimension]);
                seen.lock().unwrap()[index] += 1;
            };
            sums.accumulate(&data, true, see).unwrap();
            assert_eq!(sums.rounded, expected);
            sums.accumulate(&data, false, see).unwrap();
            assert_eq!(seen.into_inner().unwrap(), vec![2; samples]);
            assert_eq!(sums.rounded, &expected * 2.0);
            let mean: Vec<f64> = sums.mean(classes - 1, 4).collect();
            assert_eq!(mean, (expected.column(classes - 1) / 2.0).as_slice());
        }
    }
}
