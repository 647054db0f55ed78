//! Structured K×K matrices over pairs of classes: the Gram matrices of the frames and of predictions.

mod affine_rank;
mod contrasts;
mod cosine;
mod kinds;

use nalgebra::DMatrix;

use crate::error::{Argument, Error, Result, check_not_negative};
use crate::geometry::family::{Family, Subset};
use crate::geometry::structure::{Grouped, Structure};
use crate::numerics::linalg::check_finite;
use crate::numerics::magnitude::over_largest;

/// A K×K matrix that is the same for classes of the same kind: the Gram matrix of a frame, or the
/// predicted Gram matrix or outputs of a [`GlobalMinimum`](crate::GlobalMinimum).
///
/// The classes are divided into groups; the matrix is diag(q_g) plus a constant for each pair of
/// groups. Identity, I − 11ᵀ/K and diagonal matrices are of this kind, and so is every prediction for
/// one-hot targets: none of them needs K² numbers. Where minimizers form a family, the matrix is
/// determined up to q·Π with any orthogonal projector Π of a given rank in a subspace, and
/// [`distance`](Self::distance) is that to the nearest member.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::ClassMatrix;
///
/// let etf = ClassMatrix::simplex_etf(3)?;
/// assert_eq!(etf.get(0, 1), Some(-1.0 / 3.0));
/// let measured = dmatrix![2.0, -1.0, -1.0; -1.0, 2.0, -1.0; -1.0, -1.0, 2.0];
/// assert!(etf.distance(&measured)? < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(try_from = "crate::geometry::stored::Stored", into = "crate::geometry::stored::Stored")
)]
pub struct ClassMatrix {
    base: Structure,
    family: Option<Family>,
}

impl ClassMatrix {
    /// The Gram matrix I of the orthogonal frame of K = `classes` vectors.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there is no class.
    #[doc(alias = "OF")]
    pub fn orthogonal_frame(classes: usize) -> Result<Self> {
        check_classes(classes)?;
        Ok(Self::unique(Grouped::single(classes, 1.0, 0.0)))
    }

    /// The Gram matrix I − 11ᵀ/K of a simplex equiangular tight frame of K = `classes` vectors, each of the squared
    /// length 1 − 1/K: that of the unit vectors of [`Frame::simplex`](crate::geometry::Frame::simplex) is K/(K−1) times
    /// as large. Distances do not depend on the scale.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there is no class.
    #[doc(alias = "ETF")]
    pub fn simplex_etf(classes: usize) -> Result<Self> {
        check_classes(classes)?;
        Ok(Self::unique(Grouped::single(classes, 1.0, -(classes as f64).recip())))
    }

    /// Any K×K matrix, such as the Gram matrix of a structure that the library does not know.
    ///
    /// # Errors
    /// [`Error::Empty`] if it has no entry, [`Error::Shape`] if it is not square, [`Error::OutOfRange`] if an entry is
    /// not finite.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::ClassMatrix;
    ///
    /// // Four unit vectors in the plane, the corners of a square.
    /// let square = ClassMatrix::from_dense(dmatrix![
    ///     1.0, 0.0, -1.0, 0.0;
    ///     0.0, 1.0, 0.0, -1.0;
    ///     -1.0, 0.0, 1.0, 0.0;
    ///     0.0, -1.0, 0.0, 1.0
    /// ])?;
    /// assert_eq!(square.cosine(1, 3), Some(-1.0));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn from_dense(matrix: DMatrix<f64>) -> Result<Self> {
        if matrix.is_empty() {
            return Err(Error::Empty { argument: "matrix" });
        }
        if !matrix.is_square() {
            let expected = (matrix.nrows(), matrix.nrows());
            return Err(Error::shape("matrix", matrix.shape(), expected, "to be square"));
        }
        check_finite("matrix", &matrix)?;
        Ok(Self::dense(matrix))
    }

    /// A square matrix without structure.
    pub(crate) fn dense(matrix: DMatrix<f64>) -> Self {
        Self { base: Structure::Dense(matrix), family: None }
    }

    /// A diagonal matrix with entries that are not negative: the Gram matrix diag(‖v_k‖²) of a general orthogonal
    /// frame, from the *squared* lengths of its vectors. Zero is allowed, for collapsed classes, though
    /// Definition 2.1 asks for positive lengths.
    ///
    /// [`Frame::general_orthogonal`](crate::geometry::Frame::general_orthogonal) makes the vectors of given lengths.
    ///
    /// # Errors
    /// [`Error::Empty`] without a class, [`Error::OutOfRange`] if an entry is negative or not finite.
    ///
    /// Source: Dang et al. (ICML 2023), Definition 2.1.
    #[doc(alias = "GOF")]
    #[doc(alias = "general orthogonal frame")]
    pub fn diagonal(squared_lengths: &[f64]) -> Result<Self> {
        if squared_lengths.is_empty() {
            return Err(Error::Empty { argument: "squared_lengths" });
        }
        for (index, &length) in squared_lengths.iter().enumerate() {
            check_not_negative(Argument::at("squared_lengths", index), length)?;
        }
        Ok(Self::unique(Grouped::diagonal_matrix(squared_lengths)))
    }

    /// The family P_R(I): all orthogonal projectors of rank R = `rank`, which orthogonal frames become
    /// where the widths leave room for R < K directions only.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there is no class or the rank is not between 1 and K.
    ///
    /// Source: Dang et al. (ICML 2023), Theorem 3.1 (i).
    pub fn low_rank_orthogonal_frame(classes: usize, rank: usize) -> Result<Self> {
        check_classes(classes)?;
        check_rank(rank, classes, "between 1 and the number of classes")?;
        if rank == classes {
            return Self::orthogonal_frame(classes);
        }
        Ok(Self::free(classes, Subset::Span(all(classes)), rank))
    }

    /// The family P_R(I − 11ᵀ/K): all orthogonal projectors of rank R = `rank` on vectors that sum to
    /// zero, which simplex ETFs become where the widths leave room for R < K − 1 directions only.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there are less than two classes or the rank is not between 1 and K − 1.
    ///
    /// Source: Dang et al. (ICML 2023), Theorem 3.1 (ii).
    pub fn low_rank_simplex_etf(classes: usize, rank: usize) -> Result<Self> {
        if classes < 2 {
            return Err(Error::out_of_range("classes", classes as f64, "at least 2"));
        }
        check_rank(rank, classes - 1, "between 1 and the number of classes less one")?;
        if rank == classes - 1 {
            return Self::simplex_etf(classes);
        }
        Ok(Self::free(classes, Subset::Contrasts(all(classes)), rank))
    }

    /// A structured matrix.
    pub(crate) fn unique(grouped: Grouped) -> Self {
        Self { base: Structure::Grouped(grouped), family: None }
    }

    /// A matrix without freedom.
    #[cfg(feature = "serde")]
    pub(crate) fn of_structure(base: Structure) -> Self {
        Self { base, family: None }
    }

    /// What all members of a family share.
    #[cfg(feature = "serde")]
    pub(crate) fn base(&self) -> &Structure {
        &self.base
    }

    /// What members of a family have beyond that.
    #[cfg(feature = "serde")]
    pub(crate) fn family(&self) -> Option<&Family> {
        self.family.as_ref()
    }

    /// The family whose members are this matrix plus those of `family`.
    pub(crate) fn with_family(self, family: Option<Family>) -> Self {
        Self { family, ..self }
    }

    fn free(classes: usize, subset: Subset, rank: usize) -> Self {
        let family = Family::Projector { subset, value: 1.0, ranks: rank..=rank };
        Self::unique(Grouped::single(classes, 0.0, 0.0)).with_family(Some(family))
    }

    /// Number of classes K.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.base.classes()
    }

    /// Whether the matrix is determined, and not one of a family.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        self.family.is_none()
    }

    /// The entry in row i and column j; `None` outside of the matrix and where members of the family
    /// differ.
    #[must_use]
    pub fn get(&self, i: usize, j: usize) -> Option<f64> {
        let inside = i < self.classes() && j < self.classes();
        let free = || self.family.as_ref().is_some_and(|family| family.touches(i, j));
        (inside && !free()).then(|| self.base.get(i, j))
    }

    /// An entry inside of the matrix, of a family that of the member it is made from.
    pub(crate) fn base_entry(&self, i: usize, j: usize) -> f64 {
        self.base.get(i, j)
    }

    /// All K² entries; `None` for a family.
    #[must_use]
    pub fn to_dense(&self) -> Option<DMatrix<f64>> {
        self.is_unique().then(|| self.base.to_dense())
    }

    /// The member of the family that is nearest to a measured K×K matrix, in the sense of
    /// [`distance`](Self::distance); the matrix itself if it is no family.
    ///
    /// # Errors
    /// As [`distance`](Self::distance).
    pub fn nearest_member(&self, measured: &DMatrix<f64>) -> Result<DMatrix<f64>> {
        self.check(measured)?;
        let base = self.base.to_dense();
        match &self.family {
            None => Ok(base),
            Some(family) => family.nearest_member(base, measured),
        }
    }

    /// The normalized distance ‖A/‖A‖ − T/‖T‖‖ (Frobenius norms) between a measured K×K matrix A and
    /// this matrix T, or the nearest member T of the family. It is between 0 and 2.
    ///
    /// # Errors
    /// [`Error::Shape`] if A is not K×K, [`Error::OutOfRange`] if an entry is not finite,
    /// [`Error::ZeroNorm`] if A or T is zero, as then there is no direction to compare.
    ///
    /// Source: the form of NC2 and NC3 in Dang et al. (ICML 2023), C.1.1 and C.2.1.
    pub fn distance(&self, measured: &DMatrix<f64>) -> Result<f64> {
        let target = self.nearest_member(measured)?;
        let measured = normalized(measured).ok_or(Error::ZeroNorm { argument: "measured" })?;
        let target = normalized(&target).ok_or(Error::ZeroNorm { argument: "target" })?;
        Ok((measured - target).norm())
    }

    /// The diagonal of T/‖T‖; `None` for a family and a matrix of zeros.
    pub(crate) fn diagonal_over_norm(&self) -> Option<Vec<f64>> {
        if !self.is_unique() {
            return None;
        }
        let (unit, norm) = match &self.base {
            Structure::Grouped(grouped) => {
                let unit = grouped.unit_scale()?;
                let norm = unit.norm();
                (Structure::Grouped(unit), norm)
            }
            Structure::Dense(matrix) => (Structure::Dense(normalized(matrix)?), 1.0),
        };
        Some((0..self.classes()).map(|class| unit.get(class, class) / norm).collect())
    }

    /// Whether all classes are alike, so that their order does not matter.
    pub(crate) fn treats_classes_alike(&self) -> bool {
        self.as_grouped().is_some_and(Grouped::is_of_one_group)
    }

    /// An orthonormal basis (K×s) of the subspace in which members have their part of any directions; `None` without a
    /// family.
    pub(crate) fn open_subspace(&self) -> Option<DMatrix<f64>> {
        self.family.as_ref().map(|family| family.subspace(self.classes()))
    }

    /// The mean of all members of the family of the largest rank; the matrix itself if it is no family.
    pub(crate) fn mean_member(&self) -> DMatrix<f64> {
        let base = self.base.to_dense();
        match &self.family {
            None => base,
            Some(family) => base + family.mean(self.classes()),
        }
    }

    /// The structured form, if it is one matrix and not a family.
    pub(crate) fn as_grouped(&self) -> Option<&Grouped> {
        match &self.base {
            Structure::Grouped(grouped) if self.is_unique() => Some(grouped),
            _ => None,
        }
    }

    /// Refuses a measured matrix that is not K×K or not finite.
    pub(crate) fn check(&self, measured: &DMatrix<f64>) -> Result<()> {
        let classes = self.classes();
        if measured.shape() != (classes, classes) {
            let expected = (classes, classes);
            return Err(Error::shape("measured", measured.shape(), expected, FOR_EACH_CLASS));
        }
        check_finite("measured", measured)
    }
}

/// Why a matrix must have as many rows or columns as there are classes.
pub(crate) const FOR_EACH_CLASS: &str = "for the classes";

/// One run of all classes.
fn all(classes: usize) -> Vec<core::ops::Range<usize>> {
    core::iter::once(0..classes).collect()
}

/// The matrix divided by its Frobenius norm, without overflow; `None` if it is zero.
pub(crate) fn normalized(matrix: &DMatrix<f64>) -> Option<DMatrix<f64>> {
    let (scaled, _) = over_largest(matrix)?;
    let norm = scaled.norm();
    Some(scaled / norm)
}

fn check_classes(classes: usize) -> Result<()> {
    if classes == 0 { Err(Error::out_of_range("classes", 0.0, "at least 1")) } else { Ok(()) }
}

fn check_rank(rank: usize, largest: usize, expected: &'static str) -> Result<()> {
    if rank == 0 || rank > largest {
        return Err(Error::out_of_range("rank", rank as f64, expected));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use nalgebra::dmatrix;

    use super::*;

    #[test]
    fn families_begin_below_the_full_rank() {
        for (classes, rank) in (0..6).flat_map(|classes| (0..7).map(move |rank| (classes, rank))) {
            let frame = ClassMatrix::low_rank_orthogonal_frame(classes, rank);
            assert_eq!(frame.is_ok(), 0 < rank && rank <= classes, "{classes} {rank}");
            assert!(frame.is_ok_and(|frame| frame.is_unique()) == (rank > 0 && rank == classes));
            let etf = ClassMatrix::low_rank_simplex_etf(classes, rank);
            assert_eq!(etf.is_ok(), 0 < rank && rank < classes, "{classes} {rank}");
            assert!(etf.is_ok_and(|etf| etf.is_unique()) == (rank > 0 && rank + 1 == classes));
        }
        assert!(ClassMatrix::orthogonal_frame(0).is_err() && ClassMatrix::simplex_etf(0).is_err());
    }

    #[test]
    fn entries_end_with_the_classes() {
        let etf = ClassMatrix::simplex_etf(4).unwrap();
        assert_eq!((etf.get(3, 3), etf.get(3, 2)), (Some(0.75), Some(-0.25)));
        assert_eq!((etf.get(4, 0), etf.get(0, 4), etf.get(4, 4)), (None, None, None));
        assert_eq!(ClassMatrix::low_rank_simplex_etf(4, 1).unwrap().get(0, 0), None);
        let bad = [DMatrix::zeros(0, 0), DMatrix::zeros(2, 3), dmatrix![f64::NAN]];
        assert!(bad.into_iter().all(|matrix| ClassMatrix::from_dense(matrix).is_err()));
    }

    /// Of any magnitude: [3, 0; 4, 0] has the norm 5, and diag(2, 1, 1) the norm √6.
    #[test]
    fn matrices_are_divided_by_their_norms() {
        for scale in [1e-300, 1.0, 1e300] {
            let dense = dmatrix![3., 0.; 4., 0.] * scale;
            let unit = normalized(&dense).unwrap();
            assert!((unit - dmatrix![0.6, 0.; 0.8, 0.]).amax() < 1e-15);
            let dense = ClassMatrix::dense(dense).diagonal_over_norm().unwrap();
            assert!((dense[0] - 0.6).abs() < 1e-15 && dense[1] == 0.0);
            let grouped = ClassMatrix::diagonal(&[2.0 * scale, scale, scale]).unwrap();
            let diagonal = grouped.diagonal_over_norm().unwrap();
            assert!((diagonal[0] - 2.0 / 6.0_f64.sqrt()).abs() < 1e-15);
            assert!((diagonal[1] - 1.0 / 6.0_f64.sqrt()).abs() < 1e-15);
        }
        let family = ClassMatrix::low_rank_orthogonal_frame(3, 1).unwrap();
        assert_eq!(family.diagonal_over_norm(), None);
        assert_eq!(ClassMatrix::diagonal(&[0.0; 2]).unwrap().diagonal_over_norm(), None);
        assert_eq!(normalized(&DMatrix::zeros(2, 2)), None);
        // 2 I with a projector of rank one that is free among the first two classes.
        let family = Family::Projector { subset: Subset::Span(all(2)), value: 3.0, ranks: 1..=1 };
        let frame = ClassMatrix::unique(Grouped::single(3, 2.0, 0.0)).with_family(Some(family));
        let mean = DMatrix::from_diagonal(&nalgebra::dvector![3.5, 3.5, 2.0]);
        assert!((frame.mean_member() - mean).amax() < 1e-15);
        assert!(frame.as_grouped().is_none() && !frame.treats_classes_alike());
        let expected = DMatrix::identity(3, 2);
        assert_eq!(frame.open_subspace().unwrap(), expected);
        let etf = ClassMatrix::simplex_etf(3).unwrap();
        assert!(etf.as_grouped().is_some() && etf.treats_classes_alike());
        assert!(etf.open_subspace().is_none());
    }

    #[test]
    fn distances_are_between_zero_and_two() {
        let frame = ClassMatrix::orthogonal_frame(2).unwrap();
        for (last, sign, expected) in [(1., 1., 0.0), (-1., 1., 2.0_f64.sqrt()), (1., -1., 2.0)] {
            let measured = dmatrix![3., 0.; 0., 3. * last] * sign;
            assert!((frame.distance(&measured).unwrap() - expected).abs() < 1e-15);
        }
        for wrong in [DMatrix::identity(3, 3), DMatrix::identity(2, 3)] {
            assert!(matches!(frame.distance(&wrong), Err(Error::Shape { .. })));
        }
        assert!(frame.distance(&dmatrix![1., 0.; f64::NAN, 1.]).is_err());
    }
}
