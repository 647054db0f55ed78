//! The singular values and left singular vectors of the effective target.
//!
//! What the head has to fit, the *effective target* T, is Y without a bias and Y(I − 11ᵀ/N) with an
//! unregularised one, which takes up the mean of the targets. At the global minimum the outputs share
//! the singular vectors of T (Dang et al., ICML 2023, proofs of Theorems 3.1, 4.1 and 4.4), so that
//! singular value by singular value the problem becomes scalar.

use nalgebra::DMatrix;

use crate::error::Result;
use crate::geometry::family::Subset;
use crate::models::squared::ufm::Ufm;
use crate::numerics::linalg::svd_thin;
use crate::numerics::secular::{Centering, SecularPair, secular_pairs};
use crate::problem::counts::{ClassCounts, Run, SizeGroup};
use crate::problem::regularization::Bias;
use crate::problem::target::Target;

/// The singular values of the effective target by falling gain of fitting a direction, which without a
/// regularized bias is by falling σ, and their singular vectors. Directions with σ = 0 are left out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spectrum {
    pub(crate) values: Vec<TargetValue>,
    /// As many subspaces as there are values.
    pub(crate) vectors: SingularVectors,
}

/// A singular value σ of the effective target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TargetValue {
    /// σ².
    pub(crate) squared: f64,
    /// Number of left singular vectors.
    pub(crate) multiplicity: usize,
    /// The number of samples that its loss is divided by: N, but N(1 + λ_b)/λ_b for the direction
    /// that a regularized bias shares.
    pub(crate) samples: f64,
}

/// The singular vectors of the effective target, one subspace for each singular value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SingularVectors {
    /// Of one-hot targets.
    Classes(ClassVectors),
    /// Of an arbitrary matrix.
    Matrix(Vec<Columns>),
}

/// The singular vectors of one-hot targets. The entry of a right one for a sample of class k is σ u_k/n_k, for
/// the left one u.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClassVectors {
    pub(crate) counts: ClassCounts,
    pub(crate) subspaces: Vec<Subspace>,
}

/// The singular vectors of one singular value of an arbitrary matrix.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Columns {
    /// Orthonormal columns in ℝᴷ.
    pub(crate) left: DMatrix<f64>,
    /// Orthonormal columns in ℝᴺ.
    pub(crate) right: DMatrix<f64>,
}

/// The span of the left singular vectors of one singular value, in ℝᴷ.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Subspace {
    /// Vectors on the classes of one size group.
    Classes(usize),
    /// Vectors on the classes of one size group that sum to zero.
    Contrasts(usize),
    /// The multiples of a vector that is constant on each group of equal sizes; boxed, as the others are a third of
    /// its size and may be a million.
    Constant(Box<GroupVector>),
}

/// A unit vector that is constant on each group of equal sizes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum GroupVector {
    /// The entry 1/√K for each of these K classes.
    AllOnes(f64),
    /// An eigenvector of diag(n) − n nᵀ/N.
    Secular(SecularPair),
}

impl GroupVector {
    /// The entry for each class of a size.
    pub(crate) fn entry(&self, size: u64) -> f64 {
        match self {
            Self::AllOnes(classes) => classes.sqrt().recip(),
            Self::Secular(pair) => pair.entry(size as f64),
        }
    }
}

impl Subspace {
    /// Whether this is the all-ones direction that a regularized bias shares.
    pub(crate) fn is_all_ones(&self) -> bool {
        matches!(self, Self::Constant(vector) if matches!(**vector, GroupVector::AllOnes(_)))
    }

    /// The squared length of the projection of a basis vector e_k on this subspace, for a class k of the size
    /// group with this index.
    pub(crate) fn leverage(&self, index: usize, group: SizeGroup) -> f64 {
        match self {
            Self::Classes(own) => f64::from(u8::from(*own == index)),
            Self::Contrasts(own) if *own == index => 1.0 - (group.class_count as f64).recip(),
            Self::Contrasts(_) => 0.0,
            Self::Constant(vector) => match **vector {
                GroupVector::AllOnes(classes) => classes.recip(),
                GroupVector::Secular(pair) => pair.entry(group.size as f64).powi(2),
            },
        }
    }

    /// An orthonormal basis, K × multiplicity.
    pub(crate) fn left_vectors(&self, counts: &ClassCounts) -> DMatrix<f64> {
        let classes = counts.classes();
        match self {
            Self::Classes(group) => Subset::Span(counts.members(*group)).basis(classes),
            Self::Contrasts(group) => Subset::Contrasts(counts.members(*group)).basis(classes),
            Self::Constant(vector) => {
                let entries =
                    |run: Run| core::iter::repeat_n(vector.entry(run.size), run.class_count);
                DMatrix::from_iterator(classes, 1, counts.runs().flat_map(entries))
            }
        }
    }
}

/// The spectrum of a problem's effective target.
pub(crate) fn spectrum(ufm: &Ufm) -> Result<Spectrum> {
    let bias = ufm.regularization().bias();
    match ufm.target() {
        Target::Classes(counts) => Ok(of_classes(counts, bias)),
        Target::Matrix(target) if bias == Bias::None => numerical(target.clone()),
        Target::Matrix(target) => numerical(center_rows(target)),
    }
}

fn of_classes(counts: &ClassCounts, bias: Bias) -> Spectrum {
    let directions = match bias {
        Bias::None => plain(counts),
        Bias::Unregularized => centered(counts),
        Bias::Regularized(decay) => shared(counts, decay),
    };
    let (values, subspaces) = directions.into_iter().unzip();
    let vectors = ClassVectors { counts: counts.clone(), subspaces };
    Spectrum { values, vectors: SingularVectors::Classes(vectors) }
}

/// T = Y: σ_k² = n_k with the left vector e_k.
fn plain(counts: &ClassCounts) -> Vec<(TargetValue, Subspace)> {
    let samples = counts.samples() as f64;
    let direction = |(index, group): (usize, SizeGroup)| {
        let value =
            TargetValue { squared: group.size as f64, multiplicity: group.class_count, samples };
        (value, Subspace::Classes(index))
    };
    counts.sizes().enumerate().map(direction).collect()
}

/// T = Y(I − 11ᵀ/N), TTᵀ = diag(n) − n nᵀ/N.
fn centered(counts: &ClassCounts) -> Vec<(TargetValue, Subspace)> {
    let samples = counts.samples() as f64;
    let value = |squared, multiplicity| TargetValue { squared, multiplicity, samples };
    let mut between = secular_pairs(&counts.repeated_sizes(), Centering::Weighted).into_iter();
    let mut spectrum = Vec::with_capacity(2 * counts.sizes().len());
    for (index, group) in counts.sizes().enumerate() {
        let within = value(group.size as f64, group.class_count - 1);
        spectrum.push((within, Subspace::Contrasts(index)));
        spectrum.extend(between.next().map(|pair| {
            (value(pair.eigenvalue, 1), Subspace::Constant(Box::new(GroupVector::Secular(pair))))
        }));
    }
    spectrum.retain(|(value, _)| value.multiplicity > 0);
    spectrum
}

/// Balanced classes and a regularized bias. Minimizing over b first leaves the loss 1/(2N') of the
/// all-ones direction instead of 1/(2N), N' = N(1 + λ_b)/λ_b ≥ N: fitting it gains less than fitting
/// any other, so it comes last.
fn shared(counts: &ClassCounts, bias_decay: f64) -> Vec<(TargetValue, Subspace)> {
    let mut spectrum = centered(counts);
    let (samples, classes) = (counts.samples() as f64, counts.classes() as f64);
    let value = TargetValue {
        squared: samples / classes,
        multiplicity: 1,
        samples: samples * (1.0 + bias_decay.recip()),
    };
    spectrum.push((value, Subspace::Constant(Box::new(GroupVector::AllOnes(classes)))));
    spectrum
}

/// How far computed singular values of one value may lie apart, in ulp of the largest: some 2√n were found for
/// n×n matrices up to n = 600.
fn spread_in_ulp(size: usize) -> f64 {
    4.0 + 4.0 * (size as f64).sqrt()
}

/// The singular value decomposition of a target matrix. Singular values that rounding errors may have torn apart
/// are one value, as their vectors can be told apart no further; those that it may have lifted from 0 are left out.
fn numerical(target: DMatrix<f64>) -> Result<Spectrum> {
    let samples = target.ncols() as f64;
    let spread = spread_in_ulp(target.nrows().max(target.ncols()));
    let svd = svd_thin(&target)?;
    let mut rest = svd.singular_values.as_slice();
    let noise = rest.first().map_or(0.0, |largest| largest * spread * f64::EPSILON);
    let (mut values, mut vectors) = (Vec::new(), Vec::new());
    let mut first = 0;
    while let Some(&largest) = rest.first().filter(|&&largest| largest > noise) {
        // All within the spread of the first: a chain of neighbors could reach any distance.
        let multiplicity = rest.partition_point(|value| largest - value <= noise);
        let mean = rest[..multiplicity].iter().sum::<f64>() / multiplicity as f64;
        values.push(TargetValue { squared: mean * mean, multiplicity, samples });
        vectors.push(Columns {
            left: svd.u.columns(first, multiplicity).into_owned(),
            right: svd.v.columns(first, multiplicity).into_owned(),
        });
        first += multiplicity;
        rest = &rest[multiplicity..];
    }
    Ok(Spectrum { values, vectors: SingularVectors::Matrix(vectors) })
}

/// Y(I − 11ᵀ/N).
fn center_rows(target: &DMatrix<f64>) -> DMatrix<f64> {
    let mean = target.column_mean();
    let mut centered = target.clone();
    for mut column in centered.column_iter_mut() {
        column -= &mean;
    }
    centered
}

#[cfg(test)]
mod tests {
    use nalgebra::DVector;

    use super::*;
    use crate::problem::regularization::Regularization;

    /// The σ of a diagonal target with entries 1 − i·step·ε, each repeated as often as it was merged.
    fn merged(size: usize, step: f64) -> Vec<f64> {
        let entry = |i: usize| 1.0 - i as f64 * step * f64::EPSILON;
        let diagonal = DVector::from_fn(size, |i, _| entry(i));
        let regularization = Regularization::new(&[1e-4], 1e-4).unwrap();
        let ufm = Ufm::from_target(DMatrix::from_diagonal(&diagonal), regularization).unwrap();
        let values = spectrum(&ufm).unwrap().values;
        values.iter().flat_map(|value| vec![value.squared.sqrt(); value.multiplicity]).collect()
    }

    #[test]
    fn chains_of_close_singular_values_keep_their_ends_apart() {
        for (size, step) in [(400, 360.0), (400, 10.0), (50, 1.0), (5, 6.0), (7, 20.0)] {
            let found = merged(size, step);
            assert_eq!(found.len(), size);
            for (i, value) in found.iter().enumerate() {
                let error = (value - 1.0) / f64::EPSILON + i as f64 * step;
                assert!(error.abs() <= spread_in_ulp(size), "{size}, {step}: {i} by {error} ulp");
            }
        }
    }

    #[test]
    fn equal_singular_values_are_one() {
        // An orthogonal matrix: the reflection I − 2vvᵀ.
        for size in [2, 5, 30, 200] {
            let v = DVector::from_fn(size, |i, _| (i as f64 * 1.7).sin()).normalize();
            let target = DMatrix::identity(size, size) - &v * v.transpose() * 2.0;
            let regularization = Regularization::new(&[1e-4], 1e-4).unwrap();
            let ufm = Ufm::from_target(target, regularization).unwrap();
            assert_eq!(spectrum(&ufm).unwrap().values.len(), 1, "{size}");
        }
    }
}
