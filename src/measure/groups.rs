//! Samples of one class, several at a time.

use std::ops::Range;

use crate::error::Result;
use crate::measure::labeled_features::LabeledFeatures;
use crate::numerics::scalar::Scalar;

/// Samples that are visited class by class at a time: enough for groups to be full, few enough for all threads to have some.
pub(crate) const NEIGHBORS: usize = 512;

/// Samples of one class.
pub(crate) struct Group<'g, T> {
    /// Which they are.
    pub(crate) indices: &'g [usize],
    /// Their features.
    pub(crate) samples: &'g [&'g [T]],
    /// The features of the next group, to be [asked for](crate::numerics::simd::Prefetch) meanwhile.
    pub(crate) next: &'g [&'g [T]],
}

impl<'g, T> Group<'g, T> {
    /// Which sample each is, and its features.
    pub(crate) fn each(&self) -> impl Iterator<Item = (usize, &'g [T])> {
        self.indices.iter().copied().zip(self.samples.iter().copied())
    }
}

impl<T: Scalar> LabeledFeatures<'_, T> {
    /// Calls `visit` with the class of groups of at most `SIZE` neighbors in `order` that have the same one. It returns
    /// the largest magnitude that it has seen, so that samples need not be read once more for a check; a number that is
    /// not finite or too large ends it.
    pub(crate) fn for_each_group<const SIZE: usize>(
        &self,
        order: &[usize],
        mut visit: impl FnMut(usize, &Group<'_, T>) -> T::Magnitude,
    ) -> Result<()> {
        let features = self.features();
        let class = |&index: &usize| self.labels()[index];
        let Some(columns) = features.contiguous_columns() else {
            return features.for_each_sample(order.iter().copied(), |index, sample| {
                visit(class(&index), &Group { indices: &[index], samples: &[sample], next: &[] });
            });
        };
        let gather = |indices: &[usize]| {
            let mut samples = [&[][..]; SIZE];
            for (sample, &index) in samples.iter_mut().zip(indices) {
                *sample = columns.column(index).data.into_slice();
            }
            samples
        };
        let runs = order.chunk_by(|a, b| class(a) == class(b));
        let mut groups = runs.flat_map(|run| run.chunks(SIZE)).peekable();
        while let Some(indices) = groups.next() {
            let following = groups.peek().copied().unwrap_or_default();
            let (samples, next) = (gather(indices), gather(following));
            let (samples, next) = (&samples[..indices.len()], &next[..following.len()]);
            if visit(class(&indices[0]), &Group { indices, samples, next }) > T::LARGEST.magnitude()
            {
                return features.check_samples(indices.iter().copied());
            }
        }
        Ok(())
    }

    /// The same for a range of samples, class by class; an error names the first bad number.
    pub(crate) fn for_each_group_by_class<const SIZE: usize>(
        &self,
        range: Range<usize>,
        visit: impl FnMut(usize, &Group<'_, T>) -> T::Magnitude,
    ) -> Result<()> {
        match self.for_each_group::<SIZE>(&self.by_class(range.clone()), visit) {
            Ok(()) => Ok(()),
            Err(error) => self.features().range(range).check().and(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::features::Features;
    use nalgebra::DMatrix;

    /// Samples and those that were said to come next, of each group.
    type Seen = Vec<(Vec<usize>, Vec<f64>)>;

    fn groups(features: Features<'_, f64>, labels: &[usize]) -> Seen {
        let data = features.with_labels(labels, 3).unwrap();
        let mut seen = Vec::new();
        let result = data.for_each_group_by_class::<4>(0..labels.len(), |class, group| {
            for (&index, sample) in group.indices.iter().zip(group.samples) {
                assert_eq!((class, sample[0]), (labels[index], index as f64));
            }
            let next = group.next.iter().map(|sample| sample[0]).collect();
            seen.push((group.indices.to_vec(), next));
            0.0_f64.magnitude()
        });
        assert_eq!(result, Ok(()));
        seen
    }

    #[test]
    fn groups_are_of_one_class_and_know_the_next() {
        let rows = DMatrix::from_fn(11, 2, |i, j| if j == 0 { i as f64 } else { 0.5 });
        let (columns, labels) = (rows.transpose(), [0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 2]);
        let found = groups(Features::from_sample_columns(&columns).unwrap(), &labels);
        let expected = [&[0, 2, 3, 5][..], &[6, 7, 9], &[1, 4, 8], &[10]].map(<[usize]>::to_vec);
        assert!(found.iter().map(|group| &group.0).eq(&expected));
        for (group, following) in found.iter().zip(&expected[1..]) {
            assert!(group.1.iter().copied().eq(following.iter().map(|&index| index as f64)));
        }
        // Samples that do not lie in one piece come one by one.
        let found = groups(Features::from_sample_rows(&rows).unwrap(), &labels);
        assert!(found.iter().map(|group| &group.0[..]).eq(expected.concat().chunks(1)));
    }

    #[test]
    fn the_largest_number_is_good_and_ends_nothing() {
        let rows = DMatrix::from_fn(3, 2, |i, j| if j == 0 { i as f64 } else { 0.5 });
        let columns = rows.transpose();
        let data = Features::from_sample_columns(&columns).unwrap();
        let data = data.with_labels(&[0, 1, 2], 3).unwrap();
        let mut seen = 0;
        let result = data.for_each_group_by_class::<4>(0..3, |_, _| {
            seen += 1;
            1e140_f64.magnitude()
        });
        assert_eq!((result, seen), (Ok(()), 3));
    }

    #[test]
    fn the_first_bad_number_is_named() {
        let mut columns = DMatrix::from_element(5, 40, 1.0);
        (columns[(3, 30)], columns[(2, 31)]) = (f64::NAN, f64::INFINITY);
        // The class of the second is visited before.
        let labels: Vec<usize> = (0..40).map(|index| usize::from(index < 31)).collect();
        let features = Features::from_sample_columns(&columns).unwrap();
        let data = features.with_labels(&labels, 2).unwrap();
        let largest = |group: &Group<'_, f64>| {
            group.samples.iter().flat_map(|sample| sample.iter()).map(|x| x.magnitude()).max()
        };
        let found = data.for_each_group_by_class::<4>(0..40, |_, group| largest(group).unwrap());
        let found = found.unwrap_err().to_string();
        assert_eq!(found, features.check().unwrap_err().to_string());
        assert!(found.contains("sample 30, feature 3"), "{found}");
    }
}
