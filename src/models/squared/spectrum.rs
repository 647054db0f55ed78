//! The singular values and left singular vectors of the effective target.
//!
//! What the head has to fit, the *effective target* T, is Y without a bias and Y(I − 11ᵀ/N) with an
//! unregularized one, which takes up the mean of the targets. At the global minimum the outputs share
//! the singular vectors of T (Dang et al., ICML 2023, proofs of Theorems 3.1, 4.1 and 4.4), so that
//! singular value by singular value the problem becomes scalar.

use core::ops::Range;

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
pub(crate) enum Spectrum {
    /// Of one-hot targets.
    Classes(ClassSpectrum),
    /// Of an arbitrary matrix.
    Matrix(Vec<(TargetValue, Columns)>),
}

/// The spectrum of one-hot targets. The entry of a right singular vector for a sample of class k is σ u_k/n_k, for
/// the left one u.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClassSpectrum {
    pub(crate) counts: ClassCounts,
    /// `None` without a bias, where each group of equal sizes is a direction: a million sizes need no list then.
    mixed: Option<Vec<(TargetValue, Subspace)>>,
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

/// The singular vectors of one singular value of an arbitrary matrix.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Columns {
    /// Orthonormal columns in ℝᴷ.
    pub(crate) left: DMatrix<f64>,
    /// Orthonormal columns in ℝᴺ.
    pub(crate) right: DMatrix<f64>,
}

/// The span of the left singular vectors of one singular value, in ℝᴷ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Subspace {
    /// Vectors on the classes of one size group.
    Classes(usize),
    /// Vectors on the classes of one size group that sum to zero.
    Contrasts(usize),
    /// The multiples of a vector that is constant on each group of equal sizes.
    Constant(GroupVector),
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
        matches!(self, Self::Constant(GroupVector::AllOnes(_)))
    }

    /// The squared length of the projection of a basis vector e_k on this subspace, for a class k of the size
    /// group with this index.
    pub(crate) fn leverage(&self, index: usize, group: SizeGroup) -> f64 {
        match self {
            Self::Classes(own) => f64::from(u8::from(*own == index)),
            Self::Contrasts(own) if *own == index => 1.0 - (group.class_count as f64).recip(),
            Self::Contrasts(_) => 0.0,
            Self::Constant(GroupVector::AllOnes(classes)) => classes.recip(),
            Self::Constant(GroupVector::Secular(pair)) => pair.entry(group.size as f64).powi(2),
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

impl Spectrum {
    /// Number of distinct singular values.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Matrix(directions) => directions.len(),
        }
    }

    /// The singular value with this index, which is below the [length](Self::len).
    pub(crate) fn value(&self, index: usize) -> TargetValue {
        match self {
            Self::Classes(classes) => classes.direction(index).0,
            Self::Matrix(directions) => directions[index].0,
        }
    }
}

impl ClassSpectrum {
    fn new(counts: &ClassCounts, bias: Bias) -> Self {
        let mixed = match bias {
            Bias::None => None,
            Bias::Unregularized => Some(centered(counts)),
            Bias::Regularized(decay) => Some(shared(counts, decay)),
        };
        Self { counts: counts.clone(), mixed }
    }

    /// Number of distinct singular values.
    pub(crate) fn len(&self) -> usize {
        self.mixed.as_ref().map_or(self.counts.groups().len(), Vec::len)
    }

    /// The singular value with this index, which is below the [length](Self::len), and its left singular vectors.
    pub(crate) fn direction(&self, index: usize) -> (TargetValue, Subspace) {
        match &self.mixed {
            None => (self.own_value(self.counts.groups()[index]), Subspace::Classes(index)),
            Some(directions) => directions[index],
        }
    }

    /// T = Y: σ_k² = n_k with the left vector e_k.
    fn own_value(&self, group: SizeGroup) -> TargetValue {
        TargetValue {
            squared: group.size as f64,
            multiplicity: group.class_count,
            samples: self.counts.samples() as f64,
        }
    }

    /// The indices of the directions that can touch the classes of a group: without a bias, group and direction are
    /// one; with it, each direction may touch each group.
    pub(crate) fn touching(&self, group: usize) -> Range<usize> {
        if self.mixed.is_none() { group..group + 1 } else { 0..self.len() }
    }

    /// The index of the all-ones direction that a regularized bias shares.
    pub(crate) fn all_ones(&self) -> Option<usize> {
        let (_, subspace) = self.mixed.as_ref()?.last()?;
        subspace.is_all_ones().then(|| self.len() - 1)
    }
}

/// The spectrum of a problem's effective target.
pub(crate) fn spectrum(ufm: &Ufm) -> Result<Spectrum> {
    let bias = ufm.regularization().bias();
    match ufm.target() {
        Target::Classes(counts) => Ok(Spectrum::Classes(ClassSpectrum::new(counts, bias))),
        Target::Matrix(target) if bias == Bias::None => numerical(target.clone()),
        Target::Matrix(target) => numerical(center_rows(target)),
    }
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
            (value(pair.eigenvalue, 1), Subspace::Constant(GroupVector::Secular(pair)))
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
    spectrum.push((value, Subspace::Constant(GroupVector::AllOnes(classes))));
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
    let mut directions = Vec::new();
    let mut first = 0;
    while let Some(&largest) = rest.first().filter(|&&largest| largest > noise) {
        // All within the spread of the first: a chain of neighbors could reach any distance.
        let multiplicity = rest.partition_point(|value| largest - value <= noise);
        let mean = rest[..multiplicity].iter().sum::<f64>() / multiplicity as f64;
        let columns = Columns {
            left: svd.u.columns(first, multiplicity).into_owned(),
            right: svd.v.columns(first, multiplicity).into_owned(),
        };
        directions.push((TargetValue { squared: mean * mean, multiplicity, samples }, columns));
        first += multiplicity;
        rest = &rest[multiplicity..];
    }
    Ok(Spectrum::Matrix(directions))
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
        let spectrum = spectrum(&ufm).unwrap();
        let values = (0..spectrum.len()).map(|index| spectrum.value(index));
        values.flat_map(|value| vec![value.squared.sqrt(); value.multiplicity]).collect()
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
            assert_eq!(spectrum(&ufm).unwrap().len(), 1, "{size}");
        }
    }

    /// 4 + 4√n ulp, and what is closer to zero than that is left out.
    #[test]
    fn values_within_the_spread_are_one_or_none() {
        assert_eq!([1, 9, 100].map(spread_in_ulp), [8.0, 16.0, 44.0]);
        let number = |entries: [f64; 4]| {
            let target = DMatrix::from_diagonal(&DVector::from_row_slice(&entries));
            let regularization = Regularization::new(&[1e-4], 1e-4).unwrap();
            spectrum(&Ufm::from_target(target, regularization).unwrap()).unwrap().len()
        };
        let ulp = f64::EPSILON;
        assert_eq!(number([1.0, 0.5, 0.5 - 12.0 * ulp, 12.0 * ulp]), 2);
        assert_eq!(number([1.0, 0.5, 0.5 - 13.0 * ulp, 13.0 * ulp]), 4);
        assert_eq!(number([0.0; 4]), 0);
    }

    /// diag(n) − n nᵀ/N: of n = (4, 1) the eigenvalue 8/5 alone, of (3, 3, 1) that of (1, −1, 0) and 9/7.
    #[test]
    fn centered_targets_lose_a_dimension() {
        for (counts, expected) in [(&[4, 1][..], &[1.6][..]), (&[3, 3, 1], &[3.0, 9.0 / 7.0])] {
            let spectrum =
                ClassSpectrum::new(&ClassCounts::new(counts).unwrap(), Bias::Unregularized);
            assert_eq!((spectrum.len(), spectrum.all_ones()), (expected.len(), None));
            for (index, expected) in expected.iter().enumerate() {
                let value = spectrum.direction(index).0;
                assert!((value.squared - expected).abs() < 1e-15 * expected, "{value:?}");
                assert_eq!(value.multiplicity, 1);
            }
        }
    }
}
