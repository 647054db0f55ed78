//! Classes put together for pictures of many of them.

use nalgebra::DMatrix;

use crate::error::{Error, Result, Size};
use crate::geometry::class_matrix::{ClassMatrix, FOR_EACH_CLASS};
use crate::numerics::linalg::check_finite;
use crate::numerics::magnitude::over_largest;
use crate::problem::counts::ClassCounts;

/// The classes in the order of their size, the largest first, and put together in groups of neighbors if they are too
/// many for a picture.
///
/// A matrix over the classes becomes that of the means over pairs of groups. Classes of one size stay in their order.
///
/// ```
/// use neural_collapse::geometry::ClassGroups;
/// use neural_collapse::{ClassCounts, ClassMatrix};
///
/// let groups = ClassGroups::by_size(&ClassCounts::new(&[5, 9, 9, 5])?, 2);
/// assert_eq!(groups.groups(), [[1, 2], [0, 3]]);
/// let means = groups.means_of_matrix(&ClassMatrix::diagonal(&[4.0, 1.0, 3.0, 2.0])?).unwrap();
/// assert_eq!(means, nalgebra::dmatrix![1.0, 0.0; 0.0, 1.5]);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "stored::StoredGroups"))]
pub struct ClassGroups {
    groups: Vec<Vec<usize>>,
    sizes: Vec<u64>,
}

impl ClassGroups {
    /// At most `most` groups of nearly as many classes each; each class a group of its own if there is room.
    #[must_use]
    pub fn by_size(counts: &ClassCounts, most: usize) -> Self {
        let runs = counts.runs();
        let mut order: Vec<(u64, usize)> =
            runs.flat_map(|run| run.classes().map(move |class| (run.size, class))).collect();
        order.sort_by_key(|&(size, class)| (core::cmp::Reverse(size), class));
        let number = most.clamp(1, order.len().max(1));
        let start = |group: usize| group * order.len() / number;
        let members = (0..number).map(|group| &order[start(group)..start(group + 1)]);
        let groups = members.map(|members| members.iter().map(|&(_, class)| class).collect());
        let (groups, sizes) = (groups.collect(), order.iter().map(|&(size, _)| size).collect());
        Self { groups, sizes }
    }

    /// The classes of each group.
    #[must_use]
    pub fn groups(&self) -> &[Vec<usize>] {
        &self.groups
    }

    /// Whether every class is a group of its own.
    #[must_use]
    pub fn are_single(&self) -> bool {
        self.groups.len() == self.sizes.len()
    }

    /// The groups that begin with smaller classes than the one before has at its end: where to draw lines.
    #[must_use]
    pub fn boundaries(&self) -> Vec<usize> {
        let mut first = 0;
        let mut boundaries = Vec::new();
        for (index, group) in self.groups.iter().enumerate() {
            if first > 0 && self.sizes[first] != self.sizes[first - 1] {
                boundaries.push(index);
            }
            first += group.len();
        }
        boundaries
    }

    /// The means of the entries of LR over pairs of groups, for L (K×d) and R (d×K): the products of the mean rows and
    /// columns, so that the K×K matrix is not made.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not a row and a column for each class, or they are not equally long;
    /// [`Error::OutOfRange`] if a number is not finite.
    pub fn means_of_product(
        &self,
        left: &DMatrix<f64>,
        right: &DMatrix<f64>,
    ) -> Result<DMatrix<f64>> {
        let classes = self.sizes.len();
        if (left.nrows(), right.ncols()) != (classes, classes) || left.ncols() != right.nrows() {
            let expected = (left.ncols(), classes);
            return Err(Error::shape("right", right.shape(), expected, FOR_EACH_CLASS));
        }
        check_finite("left", left)?;
        check_finite("right", right)?;
        let mean = |columns: &DMatrix<f64>| {
            let mut means = DMatrix::zeros(columns.nrows(), self.groups.len());
            for (mut mean, group) in means.column_iter_mut().zip(&self.groups) {
                group.iter().for_each(|&class| mean += columns.column(class));
                mean /= group.len() as f64;
            }
            means
        };
        Ok(mean(&left.transpose()).transpose() * mean(right))
    }

    /// The means of the entries of a class matrix over pairs of groups; `None` for a family and for another number of
    /// classes.
    #[must_use]
    pub fn means_of_matrix(&self, matrix: &ClassMatrix) -> Option<DMatrix<f64>> {
        if !matrix.is_unique() || matrix.classes() != self.sizes.len() {
            return None;
        }
        let mean = |rows: &[usize], columns: &[usize]| {
            let entries = rows.iter().flat_map(|&i| columns.iter().map(move |&j| (i, j)));
            let sum: f64 = entries.filter_map(|(i, j)| matrix.get(i, j)).sum();
            sum / (rows.len() * columns.len()) as f64
        };
        let count = self.groups.len();
        Some(DMatrix::from_fn(count, count, |i, j| mean(&self.groups[i], &self.groups[j])))
    }

    /// The means of the entries of a K×K matrix over pairs of groups.
    ///
    /// # Errors
    /// [`Error::Shape`] if it is not K×K.
    pub fn means_of_dense(&self, matrix: &DMatrix<f64>) -> Result<DMatrix<f64>> {
        let classes = self.sizes.len();
        if matrix.shape() != (classes, classes) {
            let expected = (Size::Exactly(classes), Size::Exactly(classes));
            return Err(Error::shape("matrix", matrix.shape(), expected, FOR_EACH_CLASS));
        }
        let mean = |rows: &[usize], columns: &[usize]| {
            let entries = rows.iter().flat_map(|&i| columns.iter().map(move |&j| (i, j)));
            let sum: f64 = entries.map(|place| matrix[place]).sum();
            sum / (rows.len() * columns.len()) as f64
        };
        let count = self.groups.len();
        Ok(DMatrix::from_fn(count, count, |i, j| mean(&self.groups[i], &self.groups[j])))
    }
}

/// A measured K×K matrix beside a target, both divided by their Frobenius norms and averaged over pairs of groups.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "stored::StoredPair"))]
#[non_exhaustive]
pub struct GroupedPair {
    /// What was measured.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::numerics::stored::write"))]
    pub measured: DMatrix<f64>,
    /// The target; of a family the member that is nearest to what was measured.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::numerics::stored::write"))]
    pub target: DMatrix<f64>,
    /// Measured less target. If every class is a group of its own, its Frobenius norm is the
    /// [distance](ClassMatrix::distance) of the two.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::numerics::stored::write"))]
    pub difference: DMatrix<f64>,
}

impl GroupedPair {
    fn new(measured: DMatrix<f64>, target: DMatrix<f64>) -> Self {
        Self { difference: &measured - &target, measured, target }
    }
}

/// So many classes have K×K matrices that are made whole.
const MOST_DENSE: usize = 512;

impl ClassGroups {
    /// The matrix LR, for L (K×d) and R (d×K), beside a target; `None` if one of them is zero, and for a family of
    /// more than 512 classes.
    ///
    /// # Errors
    /// As [`means_of_product`](Self::means_of_product), and [`Error::Shape`] if the target is for another number of
    /// classes.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::geometry::ClassGroups;
    /// use neural_collapse::{ClassCounts, ClassMatrix};
    ///
    /// let groups = ClassGroups::by_size(&ClassCounts::balanced(2, 9)?, 40);
    /// let rows = dmatrix![3.0, 0.0; 0.0, 4.0];
    /// let target = ClassMatrix::orthogonal_frame(2)?;
    /// let pair = groups.compare(&rows, &rows.transpose(), &target)?.unwrap();
    /// let distance = target.distance_to_gram(&rows)?;
    /// assert!((pair.difference.norm() - distance).abs() < 1e-15);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn compare(
        &self,
        left: &DMatrix<f64>,
        right: &DMatrix<f64>,
        target: &ClassMatrix,
    ) -> Result<Option<GroupedPair>> {
        let measured = self.means_of_product(left, right)?;
        let classes = self.sizes.len();
        if target.classes() != classes {
            let found = (target.classes(), target.classes());
            return Err(Error::shape("target", found, (classes, classes), FOR_EACH_CLASS));
        }
        let predicted = if target.is_unique() {
            self.means_of_matrix(target).map(|means| (means, norm_of_matrix(target)))
        } else if classes <= MOST_DENSE {
            match target.nearest_member(&(left * right)) {
                Ok(member) => Some((self.means_of_dense(&member)?, member.norm())),
                Err(Error::ZeroNorm { .. }) => None,
                Err(error) => return Err(error),
            }
        } else {
            None
        };
        let norm = norm_of_product(left, right);
        let known = predicted.filter(|(_, size)| *size > 0.0 && norm > 0.0);
        Ok(known.map(|(means, size)| GroupedPair::new(measured / norm, means / size)))
    }
}

/// ‖LR‖ = √⟨LᵀL, RRᵀ⟩ (Frobenius norms) without the K×K matrix.
fn norm_of_product(left: &DMatrix<f64>, right: &DMatrix<f64>) -> f64 {
    let Some(((left, first), (right, second))) = over_largest(left).zip(over_largest(right)) else {
        return 0.0;
    };
    let squared = (left.transpose() * &left).dot(&(&right * right.transpose()));
    squared.max(0.0).sqrt() * first * second
}

/// The Frobenius norm of a matrix that is no family.
fn norm_of_matrix(matrix: &ClassMatrix) -> f64 {
    let classes = matrix.classes();
    let entries = (0..classes).flat_map(|i| (0..classes).map(move |j| (i, j)));
    entries.filter_map(|(i, j)| matrix.get(i, j)).map(|entry| entry * entry).sum::<f64>().sqrt()
}

/// Pairs i < j of K classes: all of them, or those of evenly spaced classes if they are more than `most`.
///
/// ```
/// use neural_collapse::geometry::class_pairs;
///
/// assert_eq!(class_pairs(3, 10), [(0, 1), (0, 2), (1, 2)]);
/// assert_eq!(class_pairs(1000, 3), [(0, 333), (0, 666), (333, 666)]);
/// ```
#[must_use]
pub fn class_pairs(classes: usize, most: usize) -> Vec<(usize, usize)> {
    // The largest number c of classes with c(c−1)/2 ≤ most.
    let chosen = ((0.25 + 2.0 * most as f64).sqrt() + 0.5).floor() as usize;
    let chosen = chosen.clamp(1, classes.max(1)).min(classes);
    let class = |index: usize| index * classes / chosen.max(1);
    (0..chosen).flat_map(|i| (i + 1..chosen).map(move |j| (class(i), class(j)))).collect()
}

/// The cosines of the angles between pairs of vectors (columns); `None` where one of them is zero or there is no such
/// column.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::geometry::cosines;
///
/// let vectors = dmatrix![2.0, 0.0, 0.0; 0.0, 1.0, 0.0];
/// assert_eq!(cosines(&vectors, &[(0, 1), (0, 2)]), [Some(0.0), None]);
/// ```
#[must_use]
pub fn cosines(vectors: &DMatrix<f64>, pairs: &[(usize, usize)]) -> Vec<Option<f64>> {
    let largest = vectors.amax();
    let norms: Vec<f64> = vectors.column_iter().map(|vector| (vector / largest).norm()).collect();
    let cosine = |&(i, j): &(usize, usize)| {
        let (first, second) = (*norms.get(i)?, *norms.get(j)?);
        let product = (vectors.column(i) / largest).dot(&(vectors.column(j) / largest));
        let is_known = first > 0.0 && second > 0.0;
        is_known.then(|| (product / first / second).clamp(-1.0, 1.0))
    };
    pairs.iter().map(cosine).collect()
}

#[cfg(feature = "serde")]
mod stored {
    use nalgebra::DMatrix;

    use super::{ClassGroups, GroupedPair};
    use crate::error::{Error, Result, check_shape};
    use crate::numerics::linalg::check_finite;
    use crate::problem::counts::ClassCounts;

    #[derive(serde::Deserialize)]
    #[serde(rename = "ClassGroups", deny_unknown_fields)]
    pub(super) struct StoredGroups {
        groups: Vec<Vec<usize>>,
        /// Of the classes in the order of the groups.
        sizes: Vec<u64>,
    }

    impl TryFrom<StoredGroups> for ClassGroups {
        type Error = Error;

        /// The groups that [`by_size`](ClassGroups::by_size) makes of classes of these sizes have to be those stored.
        fn try_from(stored: StoredGroups) -> Result<Self> {
            let StoredGroups { groups, sizes } = stored;
            let mut counts = vec![0; sizes.len()];
            for (&class, &size) in groups.iter().flatten().zip(&sizes) {
                if let Some(count) = counts.get_mut(class) {
                    *count = size;
                }
            }
            let made = Self::by_size(&ClassCounts::new(&counts)?, groups.len());
            if made != (Self { groups, sizes }) {
                let expected = "groups of nearly as many classes each, the largest classes first";
                return Err(Error::Syntax { text: "groups".to_owned(), expected });
            }
            Ok(made)
        }
    }

    #[derive(serde::Deserialize)]
    #[serde(rename = "GroupedPair", deny_unknown_fields)]
    pub(super) struct StoredPair {
        #[serde(deserialize_with = "crate::numerics::stored::read")]
        measured: DMatrix<f64>,
        #[serde(deserialize_with = "crate::numerics::stored::read")]
        target: DMatrix<f64>,
        /// What follows from the two is not read.
        #[serde(default, rename = "difference")]
        _difference: serde::de::IgnoredAny,
    }

    impl TryFrom<StoredPair> for GroupedPair {
        type Error = Error;

        fn try_from(stored: StoredPair) -> Result<Self> {
            let StoredPair { measured, target, .. } = stored;
            check_finite("measured", &measured)?;
            check_finite("target", &target)?;
            let groups = measured.nrows();
            for (argument, matrix) in [("measured", &measured), ("target", &target)] {
                check_shape(argument, matrix.shape(), (groups, groups), "groups × groups")?;
            }
            Ok(Self::new(measured, target))
        }
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::dmatrix;

    use super::*;

    /// Norms are those of the matrices written out, at numbers whose squares are out of range too.
    #[test]
    fn norms_are_those_of_the_matrices() {
        let left = dmatrix![3.0, -1.0; 0.5, 2.0; 4.0, 7.0];
        let right = dmatrix![0.2, -0.3, 0.7; 5.0, 1.5, -2.0];
        let expected = (&left * &right).norm();
        for (scale, other) in [(1.0, 1.0), (1e200, 1e-150), (1e-190, 1e-20), (1e190, 1e100)] {
            let norm = norm_of_product(&(&left * scale), &(&right * other));
            assert!((norm / scale / other / expected - 1.0).abs() < 1e-14, "{norm}");
        }
        assert_eq!(norm_of_product(&(&left * 0.0), &right), 0.0);
        assert_eq!(norm_of_product(&left, &(&right * 0.0)), 0.0);
        let matrix = ClassMatrix::dense(left * &right);
        assert!((norm_of_matrix(&matrix) / expected - 1.0).abs() < 1e-14);
    }

    /// As many classes as their pairs leave room for, spread over all.
    #[test]
    fn pairs_are_of_classes_spread_over_all() {
        for classes in [1, 2, 5, 10, 1000] {
            for most in [0, 1, 2, 3, 5, 6, 9, 10, 44, 45, 1000] {
                let chosen = (1..=classes).rev().find(|c| c * (c - 1) / 2 <= most).unwrap();
                let pairs = class_pairs(classes, most);
                assert_eq!(pairs.len(), chosen * (chosen - 1) / 2, "{classes}, {most}");
                for &(i, j) in &pairs {
                    assert!(i < j && j < classes);
                    assert!((j - i) * chosen + chosen > classes, "{classes}, {most}: {i}, {j}");
                }
            }
        }
    }

    #[test]
    fn classes_are_in_groups_by_size() {
        let counts = ClassCounts::new(&[5, 9, 9, 5, 7, 7, 7]).unwrap();
        let groups = ClassGroups::by_size(&counts, 3);
        assert_eq!(groups.groups(), [vec![1, 2], vec![4, 5], vec![6, 0, 3]]);
        assert!(!groups.are_single());
        // The first 7 begins the second group; the first 5 is within the third.
        assert_eq!(groups.boundaries(), [1]);
        for most in [7, 8, 100] {
            let single = ClassGroups::by_size(&counts, most);
            assert_eq!(single.groups().concat(), [1, 2, 4, 5, 6, 0, 3]);
            assert!(single.are_single());
            assert_eq!(single.boundaries(), [2, 5]);
        }
        for most in [0, 1] {
            assert_eq!(ClassGroups::by_size(&counts, most).groups(), [[1, 2, 4, 5, 6, 0, 3]]);
        }
    }

    /// Class 1 is one group, classes 0 and 2 are the other.
    #[test]
    fn means_are_those_of_entries() {
        let groups = ClassGroups::by_size(&ClassCounts::new(&[2, 9, 2]).unwrap(), 2);
        assert_eq!(groups.groups(), [vec![1], vec![0, 2]]);
        let (left, right) = (dmatrix![1., 2.; 3., 5.; -7., 4.], dmatrix![2., 1., 6.; 1., -3., 5.]);
        let product = &left * &right;
        // The product is [4, −5, 16; 11, −12, 43; −10, −19, −22].
        let means = dmatrix![-12., 27.; -12., -3.];
        assert_eq!(groups.means_of_product(&left, &right).unwrap(), means);
        assert_eq!(groups.means_of_dense(&product).unwrap(), means);
        let target = ClassMatrix::dense(product.clone());
        assert_eq!(groups.means_of_matrix(&target).unwrap(), means);
        let pair = groups.compare(&(&left * 2.0), &right, &target).unwrap().unwrap();
        assert!((&pair.target - &means / product.norm()).amax() < 1e-15);
        assert!((&pair.measured - &pair.target).amax() < 1e-15);
        let pair = groups.compare(&-left, &right, &target).unwrap().unwrap();
        assert!((pair.difference + pair.target * 2.0).amax() < 1e-15);
    }

    #[test]
    fn shapes_of_factors_are_checked() {
        let groups = ClassGroups::by_size(&ClassCounts::balanced(3, 2).unwrap(), 9);
        let matrix = |rows, columns| DMatrix::from_element(rows, columns, 1.0);
        let (left, right) = (matrix(3, 2), matrix(2, 3));
        for (left, right) in
            [(3, 2), (2, 3), (3, 2), (3, 3)].into_iter().zip([(2, 2), (3, 3), (3, 3), (2, 3)])
        {
            let (left, right) = (matrix(left.0, left.1), matrix(right.0, right.1));
            assert!(matches!(groups.means_of_product(&left, &right), Err(Error::Shape { .. })));
        }
        for argument in ["left", "right"] {
            let [mut a, mut b] = [left.clone(), right.clone()];
            *(if argument == "left" { &mut a[(2, 1)] } else { &mut b[(1, 2)] }) = f64::NAN;
            let error = groups.means_of_product(&a, &b).unwrap_err().to_string();
            assert!(error.contains(argument), "{error}");
        }
        for wrong in [matrix(3, 2), matrix(2, 3), matrix(4, 4)] {
            assert!(matches!(groups.means_of_dense(&wrong), Err(Error::Shape { .. })));
        }
        for (classes, fits) in [(2, false), (3, true), (4, false)] {
            let target = ClassMatrix::orthogonal_frame(classes).unwrap();
            assert_eq!(groups.means_of_matrix(&target).is_some(), fits);
            assert_eq!(groups.compare(&left, &right, &target).is_ok(), fits);
        }
    }

    #[test]
    fn nothing_is_compared_without_a_direction() {
        let groups = ClassGroups::by_size(&ClassCounts::balanced(3, 2).unwrap(), 9);
        let (left, zero) = (dmatrix![1.0; 2.0; 2.0], DMatrix::zeros(3, 1));
        let compare = |groups: &ClassGroups, left: &DMatrix<f64>, target: &ClassMatrix| {
            groups.compare(left, &left.transpose(), target).unwrap()
        };
        let frame = ClassMatrix::orthogonal_frame(3).unwrap();
        assert!(compare(&groups, &zero, &frame).is_none());
        assert!(compare(&groups, &left, &ClassMatrix::diagonal(&[0.0; 3]).unwrap()).is_none());
        // Of a family the nearest member, which is made up to 512 classes.
        let family = ClassMatrix::low_rank_orthogonal_frame(3, 1).unwrap();
        assert!(groups.means_of_matrix(&family).is_none());
        assert!(compare(&groups, &left, &family).unwrap().difference.amax() < 1e-15);
        let many = ClassGroups::by_size(&ClassCounts::balanced(513, 2).unwrap(), 3);
        let family = ClassMatrix::low_rank_orthogonal_frame(513, 1).unwrap();
        assert!(compare(&many, &DMatrix::from_element(513, 1, 1.0), &family).is_none());
    }

    #[test]
    fn cosines_have_no_scale() {
        let vectors = dmatrix![3.0, 1.0, -1.0, 0.0; 4.0, 0.0, 0.0, 0.0];
        let pairs = [(0, 1), (0, 2), (1, 2), (0, 0), (1, 3), (3, 1), (1, 4), (4, 1)];
        for scale in [1e-200, 1.0, 1e200] {
            let found = cosines(&(&vectors * scale), &pairs);
            for (found, expected) in found.iter().zip([0.6, -0.6, -1.0, 1.0]) {
                assert!((found.unwrap() - expected).abs() < 1e-15, "{found:?}");
            }
            assert_eq!(found[4..], [None; 4]);
        }
        assert_eq!(cosines(&(vectors * 0.0), &pairs[..2]), [None, None]);
    }
}
