//! K×K matrices that are the same for classes of the same kind, without freedom.

use std::collections::BTreeMap;

use nalgebra::DMatrix;

use crate::problem::counts::ClassCounts;

/// A matrix without freedom. Two are equal if all of their entries are, whatever their groups.
#[derive(Debug, Clone)]
pub(crate) enum Structure {
    Grouped(Grouped),
    Dense(DMatrix<f64>),
}

/// diag(q_g) plus c_gh for each pair of groups.
#[derive(Debug, Clone)]
pub(crate) struct Grouped {
    partition: Partition,
    diagonal: Vec<f64>,
    coupling: Option<DMatrix<f64>>,
}

/// The classes 0, …, K−1 divided into groups, as runs of neighbors.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Partition {
    /// First class and group of each run.
    runs: Vec<(usize, usize)>,
    classes: usize,
}

impl Partition {
    /// Every class a group.
    fn by_class(classes: usize) -> Self {
        Self { runs: (0..classes).map(|class| (class, class)).collect(), classes }
    }

    /// All classes in one group.
    fn single(classes: usize) -> Self {
        Self { runs: vec![(0, 0)], classes }
    }

    /// The groups of equal sizes.
    fn by_size(counts: &ClassCounts) -> Self {
        let runs = counts.runs().map(|run| (run.first_class, run.group)).collect();
        Self { runs, classes: counts.classes() }
    }

    fn group_of(&self, class: usize) -> usize {
        let next = self.runs.partition_point(|&(first, _)| first <= class);
        self.runs[next - 1].1
    }

    /// The group of every class.
    fn groups(&self) -> Vec<usize> {
        let ends = self.runs.iter().skip(1).map(|&(first, _)| first).chain([self.classes]);
        let runs = self.runs.iter().zip(ends);
        runs.flat_map(|(&(first, group), end)| core::iter::repeat_n(group, end - first)).collect()
    }
}

impl Grouped {
    /// One group of all classes, with `diagonal` added to `everywhere` on the diagonal.
    pub(crate) fn single(classes: usize, diagonal: f64, everywhere: f64) -> Self {
        let coupling = (everywhere != 0.0).then(|| DMatrix::from_element(1, 1, everywhere));
        Self { partition: Partition::single(classes), diagonal: vec![diagonal], coupling }
    }

    /// A diagonal matrix.
    pub(crate) fn diagonal_matrix(diagonal: &[f64]) -> Self {
        let partition = Partition::by_class(diagonal.len());
        Self { partition, diagonal: diagonal.to_vec(), coupling: None }
    }

    /// q_g on the diagonal and c_gh for each pair of groups of classes, which are given by the first class and
    /// the group of each run of neighbors.
    pub(crate) fn of_runs(
        runs: Vec<(usize, usize)>,
        classes: usize,
        diagonal: Vec<f64>,
        coupling: Option<DMatrix<f64>>,
    ) -> Self {
        Self { partition: Partition { runs, classes }, diagonal, coupling }
    }

    /// q_g on the diagonal and c_gh for each pair of groups of equal class sizes.
    pub(crate) fn by_size(
        counts: &ClassCounts,
        diagonal: Vec<f64>,
        coupling: Option<DMatrix<f64>>,
    ) -> Self {
        Self { partition: Partition::by_size(counts), diagonal, coupling }
    }

    fn to_dense(&self) -> DMatrix<f64> {
        let groups = self.class_groups();
        DMatrix::from_fn(groups.len(), groups.len(), |i, j| {
            self.entry(i == j, groups[i], groups[j])
        })
    }

    fn get(&self, i: usize, j: usize) -> f64 {
        self.entry(i == j, self.partition.group_of(i), self.partition.group_of(j))
    }

    /// Whether all classes are of one group.
    pub(crate) fn is_of_one_group(&self) -> bool {
        let mut groups = self.partition.runs.iter().map(|&(_, group)| group);
        let first = groups.next();
        groups.all(|group| Some(group) == first)
    }

    /// The group of every class.
    pub(crate) fn class_groups(&self) -> Vec<usize> {
        self.partition.groups()
    }

    /// The entry for a class of group g and one of group h, which may be the same class.
    pub(crate) fn entry(&self, same_class: bool, g: usize, h: usize) -> f64 {
        let on_diagonal = if same_class { self.diagonal[g] } else { 0.0 };
        on_diagonal + self.coupling.as_ref().map_or(0.0, |coupling| coupling[(g, h)])
    }

    /// First class and group of each run of neighbors.
    #[cfg(feature = "serde")]
    pub(crate) fn runs(&self) -> &[(usize, usize)] {
        &self.partition.runs
    }

    /// q_g for every group.
    pub(crate) fn diagonal(&self) -> &[f64] {
        &self.diagonal
    }

    /// The constants c_gh, if any is not zero.
    pub(crate) fn coupling(&self) -> Option<&DMatrix<f64>> {
        self.coupling.as_ref()
    }

    /// The matrix divided by its largest number, so that the squares of its entries are in range; `None`
    /// if it is zero.
    pub(crate) fn unit_scale(&self) -> Option<Self> {
        let numbers = self.diagonal.iter().chain(self.coupling.iter().flatten());
        let largest = numbers.fold(0.0, |largest: f64, number| largest.max(number.abs()));
        (largest > 0.0).then(|| Self {
            partition: self.partition.clone(),
            diagonal: self.diagonal.iter().map(|number| number / largest).collect(),
            coupling: self.coupling.as_ref().map(|coupling| coupling / largest),
        })
    }

    /// Whether all entries are those of a matrix for as many classes.
    fn has_entries_of(&self, other: &Self) -> bool {
        let mut pairs = BTreeMap::new();
        for pair in self.partition.groups().into_iter().zip(other.partition.groups()) {
            *pairs.entry(pair).or_insert(0_usize) += 1;
        }
        let equal = |same_class, (g, a): (usize, usize), (h, b): (usize, usize)| {
            self.entry(same_class, g, h) == other.entry(same_class, a, b)
        };
        if self.coupling.is_none() && other.coupling.is_none() {
            return pairs.keys().all(|&pair| equal(true, pair, pair));
        }
        pairs.iter().all(|(&first, &classes)| {
            let others = pairs.keys().filter(|&&second| second != first || classes > 1);
            equal(true, first, first) && others.copied().all(|second| equal(false, first, second))
        })
    }

    /// The Frobenius norm.
    pub(crate) fn norm(&self) -> f64 {
        let groups = self.class_groups();
        let mut classes = vec![0.0; self.diagonal.len()];
        for group in groups {
            classes[group] += 1.0;
        }
        let Some(coupling) = &self.coupling else {
            let squares = self.diagonal.iter().zip(&classes).map(|(q, classes)| q * q * classes);
            return squares.sum::<f64>().sqrt();
        };
        let mut sum = 0.0;
        for (g, &classes_g) in classes.iter().enumerate() {
            let (q, c) = (self.diagonal[g], coupling[(g, g)]);
            // m diagonal entries q + c, and the other entries of the block c.
            sum += classes_g * ((q + c).powi(2) - c * c);
            for (h, &classes_h) in classes.iter().enumerate() {
                sum += classes_g * classes_h * coupling[(g, h)].powi(2);
            }
        }
        sum.sqrt()
    }
}

impl PartialEq for Structure {
    fn eq(&self, other: &Self) -> bool {
        if self.classes() != other.classes() {
            return false;
        }
        match (self, other) {
            (Self::Grouped(own), Self::Grouped(other)) => own.has_entries_of(other),
            _ => {
                let rows = |j| (0..self.classes()).map(move |i| (i, j));
                let mut entries = (0..self.classes()).flat_map(rows);
                entries.all(|(i, j)| self.get(i, j) == other.get(i, j))
            }
        }
    }
}

impl Structure {
    pub(crate) fn to_dense(&self) -> DMatrix<f64> {
        match self {
            Self::Grouped(grouped) => grouped.to_dense(),
            Self::Dense(matrix) => matrix.clone(),
        }
    }

    pub(crate) fn get(&self, i: usize, j: usize) -> f64 {
        match self {
            Self::Grouped(grouped) => grouped.get(i, j),
            Self::Dense(matrix) => matrix[(i, j)],
        }
    }

    /// Number of classes K.
    pub(crate) fn classes(&self) -> usize {
        match self {
            Self::Grouped(grouped) => grouped.partition.classes,
            Self::Dense(matrix) => matrix.nrows(),
        }
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::dmatrix;

    use super::*;

    /// Two groups, one of which has classes at either end.
    fn example(coupling: Option<DMatrix<f64>>) -> Grouped {
        Grouped::of_runs(vec![(0, 1), (2, 0), (3, 1)], 4, vec![10.0, -20.0], coupling)
    }

    #[test]
    fn entries_are_those_of_the_groups() {
        let coupled = example(Some(dmatrix![1., 2.; 3., 4.]));
        let expected = dmatrix![
            -16., 4., 3., 4.;
            4., -16., 3., 4.;
            2., 2., 11., 2.;
            4., 4., 3., -16.
        ];
        assert_eq!(coupled.class_groups(), [1, 1, 0, 1]);
        let diagonal = DMatrix::from_diagonal(&nalgebra::dvector![-20., -20., 10., -20.]);
        for (grouped, expected) in [(coupled, expected), (example(None), diagonal)] {
            assert_eq!(grouped.to_dense(), expected);
            assert_eq!(DMatrix::from_fn(4, 4, |i, j| grouped.get(i, j)), expected);
            assert!((grouped.norm() / expected.norm() - 1.0).abs() < 1e-15);
            assert!((grouped.unit_scale().unwrap().to_dense() * 20.0 - expected).amax() < 1e-14);
        }
        let large = example(Some(dmatrix![1., 2.; 3., -40.])).unit_scale().unwrap();
        assert_eq!(large.diagonal(), [0.25, -0.5]);
        assert!(Grouped::single(3, 0.0, 0.0).unit_scale().is_none());
        let one_group =
            |runs: &[_]| Grouped::of_runs(runs.to_vec(), 4, vec![1.0, 2.0], None).is_of_one_group();
        assert!(one_group(&[(0, 1), (2, 1)]) && !one_group(&[(0, 0), (2, 1)]));
        assert!(!large.is_of_one_group() && Grouped::single(3, 1.0, 2.0).is_of_one_group());
        assert!(Grouped::single(3, 1.0, 0.0).coupling().is_none());
    }

    /// Whatever the groups are: all matrices for three classes in up to two groups with entries 0 and 1.
    #[test]
    fn matrices_are_equal_if_their_entries_are() {
        let bit = |code: usize, place: usize| ((code >> place) & 1) as f64;
        let mut matrices = Vec::new();
        for runs in [vec![(0, 0)], vec![(0, 0), (1, 1)], vec![(0, 1), (1, 0), (2, 1)]] {
            for code in 0..64 {
                let coupling = DMatrix::from_fn(2, 2, |g, h| bit(code, 2 + 2 * g + h));
                let coupling = (code > 3).then_some(coupling);
                let diagonal = vec![bit(code, 0), bit(code, 1)];
                matrices.push(Grouped::of_runs(runs.clone(), 3, diagonal, coupling));
            }
        }
        let dense: Vec<_> = matrices.iter().map(Grouped::to_dense).collect();
        let structures: Vec<_> = matrices.into_iter().map(Structure::Grouped).collect();
        for (own, entries) in structures.iter().zip(&dense) {
            for (other, other_entries) in structures.iter().zip(&dense) {
                let equal = entries == other_entries;
                assert_eq!(own == other, equal, "{own:?} {other:?}");
                assert_eq!(*own == Structure::Dense(other_entries.clone()), equal);
            }
        }
        let of_size = |classes| Structure::Grouped(Grouped::single(classes, 1.0, 0.0));
        assert!(of_size(3) != of_size(4) && of_size(4).classes() == 4);
    }
}
