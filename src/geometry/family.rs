//! Families of class matrices: what is left open at low rank and at thresholds.

use core::ops::{Range, RangeInclusive};

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::geometry::structure::Structure;
use crate::numerics::linalg::symmetric_eigen;

/// What a member of a family has beyond the part that all members share.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Family {
    /// value·Π for any orthogonal projector Π onto a part of the subspace, of one of the ranks.
    Projector { subset: Subset, value: f64, ranks: RangeInclusive<usize> },
    /// A fixed matrix or nothing: a simple singular value at its threshold.
    Optional(Structure),
}

/// A subspace of ℝᴷ. Classes are given as runs of neighbors, in rising order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Subset {
    /// All vectors on these classes.
    Span(Vec<Range<usize>>),
    /// The vectors on these classes that sum to zero.
    Contrasts(Vec<Range<usize>>),
    /// The column space of a matrix with orthonormal columns.
    Columns(DMatrix<f64>),
}

impl Subset {
    /// An orthonormal basis, one column a vector.
    pub(crate) fn basis(&self, classes: usize) -> DMatrix<f64> {
        match self {
            Self::Span(runs) => {
                let members = members(runs);
                let mut basis = DMatrix::zeros(classes, members.len());
                for (column, &class) in members.iter().enumerate() {
                    basis[(class, column)] = 1.0;
                }
                basis
            }
            Self::Contrasts(runs) => contrast_basis(&members(runs), classes),
            Self::Columns(columns) => columns.clone(),
        }
    }

    fn touches(&self, i: usize, j: usize) -> bool {
        match self {
            Self::Span(runs) | Self::Contrasts(runs) => contains(runs, i) && contains(runs, j),
            Self::Columns(columns) => {
                let nonzero = |row: usize| columns.row(row).iter().any(|&entry| entry != 0.0);
                nonzero(i) && nonzero(j)
            }
        }
    }
}

/// The classes of all runs.
fn members(runs: &[Range<usize>]) -> Vec<usize> {
    runs.iter().cloned().flatten().collect()
}

/// Whether a class is in one of the runs.
fn contains(runs: &[Range<usize>], class: usize) -> bool {
    let started = runs.partition_point(|run| run.start <= class);
    started.checked_sub(1).is_some_and(|last| runs[last].contains(&class))
}

/// The Helmert contrasts of the members: (1, …, 1, −j, 0, …)/√(j(j+1)).
fn contrast_basis(members: &[usize], classes: usize) -> DMatrix<f64> {
    let mut basis = DMatrix::zeros(classes, members.len().saturating_sub(1));
    for (mut column, j) in basis.column_iter_mut().zip(1_usize..) {
        let norm = (j as f64 * (j as f64 + 1.0)).sqrt();
        for &class in &members[..j] {
            column[class] = norm.recip();
        }
        column[members[j]] = -(j as f64) / norm;
    }
    basis
}

impl Family {
    /// Whether members differ in the entry (i, j).
    pub(crate) fn touches(&self, i: usize, j: usize) -> bool {
        match self {
            Self::Projector { subset, .. } => subset.touches(i, j),
            Self::Optional(term) => term.get(i, j) != 0.0,
        }
    }

    /// An orthonormal basis of the subspace that members have a part of; empty where that part is fixed.
    pub(crate) fn subspace(&self, classes: usize) -> DMatrix<f64> {
        match self {
            Self::Projector { subset, .. } => subset.basis(classes),
            Self::Optional(_) => DMatrix::zeros(classes, 0),
        }
    }

    /// The mean of the members of the largest rank.
    pub(crate) fn mean(&self, classes: usize) -> DMatrix<f64> {
        match self {
            Self::Optional(term) => term.to_dense(),
            Self::Projector { subset, value, ranks } => {
                let basis = subset.basis(classes);
                let share = *ranks.end() as f64 / basis.ncols().max(1) as f64;
                &basis * basis.transpose() * (*value * share)
            }
        }
    }

    /// The member with the largest cosine to `measured`; `base` is what all members share.
    pub(crate) fn nearest_member(
        &self,
        base: DMatrix<f64>,
        measured: &DMatrix<f64>,
    ) -> Result<DMatrix<f64>> {
        let members = match self {
            Self::Optional(term) => vec![&base + term.to_dense(), base],
            Self::Projector { subset, value, ranks } => {
                let basis = subset.basis(base.nrows());
                // Of all projectors of one rank, that on the leading eigenvectors of the measured
                // block has the largest inner product with it; their norms are equal.
                let block = basis.transpose() * measured * &basis;
                let eigen = symmetric_eigen(&((&block + block.transpose()) * 0.5))?;
                let leading = |rank: usize| {
                    let vectors = &basis * eigen.vectors.columns(0, rank);
                    &base + &vectors * vectors.transpose() * *value
                };
                ranks.clone().map(leading).collect()
            }
        };
        let nonzero = members.into_iter().filter(|member| member.amax() > 0.0);
        nonzero
            .max_by(|a, b| cosine(a, measured).total_cmp(&cosine(b, measured)))
            .ok_or(Error::ZeroNorm { argument: "target" })
    }
}

/// The cosine between two nonzero matrices, up to the norm of the second.
fn cosine(member: &DMatrix<f64>, measured: &DMatrix<f64>) -> f64 {
    member.dot(measured) / member.norm()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::class_matrix::ClassMatrix;

    /// The mean over all members is that over the nearest ones to matrices that prefer each axis equally often.
    #[test]
    fn means_are_means_of_members() {
        let family = ClassMatrix::low_rank_orthogonal_frame(5, 2).unwrap();
        let mut mean = DMatrix::zeros(5, 5);
        for turn in 0..5 {
            let preferred = DMatrix::from_fn(5, 5, |i, j| match i == j {
                true => [5.0, 4.0, 2.0, 1.0, 0.0][(i + turn) % 5],
                false => 0.0,
            });
            let member = family.nearest_member(&preferred).unwrap();
            assert_eq!(member.rank(1e-9), 2);
            mean += member / 5.0;
        }
        assert!((family.mean_member() - &mean).amax() < 1e-14, "{mean}");
        // A fixed part beside it, and another value.
        let subset = Subset::Contrasts(vec![1..3, 4..6]);
        let family = Family::Projector { subset: subset.clone(), value: 4.0, ranks: 1..=2 };
        let basis = subset.basis(6);
        assert_eq!(basis.shape(), (6, 3));
        assert!((basis.transpose() * &basis - DMatrix::identity(3, 3)).amax() < 1e-15);
        assert!(basis.row_sum().amax() < 1e-15 && basis.row(0).amax() + basis.row(3).amax() == 0.0);
        let expected = &basis * basis.transpose() * (4.0 * 2.0 / 3.0);
        assert!((family.mean(6) - expected).amax() < 1e-14);
        for (i, j, touches) in
            [(1, 2, true), (1, 5, true), (4, 4, true), (0, 1, false), (3, 3, false), (5, 3, false)]
        {
            assert_eq!(family.touches(i, j), touches, "{i}, {j}");
        }
        // Of two ranks the nearer one; what all members share counts, too.
        let one = basis.column(0) * basis.column(0).transpose();
        let base = DMatrix::identity(6, 6) * 0.5;
        let member = family.nearest_member(base.clone(), &(&base + &one * 4.0)).unwrap();
        assert!((member - (&base + &one * 4.0)).amax() < 1e-13);
        let columns = Subset::Columns(basis);
        assert!(columns.touches(1, 5) && !columns.touches(0, 1) && !columns.touches(2, 3));
    }

    /// Of a fixed matrix and nothing, what is nearer; without a shared part a matrix of zeros is no member.
    #[test]
    fn what_may_be_missing_is_there_if_that_is_nearer() {
        let term = DMatrix::from_row_slice(2, 2, &[1.0, 0.0, 0.0, 0.0]);
        let family = Family::Optional(Structure::Dense(term.clone()));
        let base = DMatrix::identity(2, 2);
        let nearest = |base: &DMatrix<f64>, x| {
            let measured = DMatrix::from_row_slice(2, 2, &[x, 0.0, 0.0, 1.0]);
            family.nearest_member(base.clone(), &measured).unwrap()
        };
        assert_eq!(nearest(&base, 1.9), &base + &term);
        assert_eq!(nearest(&base, 1.1), base);
        assert_eq!(family.mean(2), term);
        assert!(family.touches(0, 0) && !family.touches(0, 1) && !family.touches(1, 1));
        let zero = DMatrix::zeros(2, 2);
        for x in [1.0, -1.0] {
            assert_eq!(nearest(&zero, x), term);
        }
        let nothing = Family::Optional(Structure::Dense(zero.clone()));
        let error = nothing.nearest_member(zero, &base).unwrap_err();
        assert!(matches!(error, Error::ZeroNorm { argument: "target" }), "{error}");
    }

    /// The largest eigenvalues count, not those of the largest magnitude, and of a matrix its symmetric part.
    #[test]
    fn members_follow_the_largest_eigenvalues() {
        let subset = Subset::Span([0..1, 1..3].to_vec());
        let family = Family::Projector { subset, value: 2.0, ranks: 1..=1 };
        let mut measured = DMatrix::from_diagonal(&nalgebra::dvector![1.0, -5.0, 0.5]);
        let nearest = |measured: &DMatrix<f64>| {
            family.nearest_member(DMatrix::zeros(3, 3), measured).unwrap()
        };
        let axis = |class: usize| {
            DMatrix::from_fn(3, 3, |i, j| if i == class && j == class { 2.0 } else { 0.0 })
        };
        assert!((nearest(&measured) - axis(0)).amax() < 1e-15);
        // Entries that cancel in the symmetric part.
        (measured[(0, 2)], measured[(2, 0)], measured[(2, 2)]) = (7.0, -7.0, 1.5);
        assert!((nearest(&measured) - axis(2)).amax() < 1e-15);
    }
}
