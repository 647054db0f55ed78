//! The singular values and left singular vectors of the effective target.
//!
//! What the head has to fit, the *effective target* T, is Y without a bias and Y(I − 11ᵀ/N) with an
//! unregularised one, which takes up the mean of the targets. At the global minimum the outputs share
//! the singular vectors of T (Dang et al., ICML 2023, proofs of Theorems 3.1, 4.1 and 4.4), so that
//! singular value by singular value the problem becomes scalar.

use nalgebra::DMatrix;

use crate::error::Result;
use crate::geometry::family::Subset;
use crate::models::squared::ufm::{Target, Ufm};
use crate::numerics::linalg::svd_thin;
use crate::numerics::secular::{Centring, SecularPair, secular_pairs};
use crate::problem::counts::{ClassCounts, SizeGroup};
use crate::problem::regularization::Bias;

/// A singular value σ of the effective target with all its left singular vectors.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SpectralGroup {
    /// σ².
    pub(crate) target_squared: f64,
    /// Number of left singular vectors.
    pub(crate) multiplicity: usize,
    /// The number of samples that its loss is divided by: N, but N(1 + λ_b)/λ_b for the direction
    /// that a regularised bias shares.
    pub(crate) samples: f64,
    pub(crate) subspace: Subspace,
}

/// The span of the left singular vectors of one singular value, in ℝᴷ.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Subspace {
    /// Vectors on the classes of one size.
    Classes(usize),
    /// Vectors on the classes of one size that sum to zero.
    Contrasts(usize),
    /// The multiples of 1.
    AllOnes,
    /// The multiples of a vector that is constant on each group of equal sizes.
    Secular(SecularPair),
    /// The column space of `left`, with the right singular vectors beside it.
    Columns { left: DMatrix<f64>, right: DMatrix<f64> },
}

impl Subspace {
    /// An orthonormal basis for one-hot targets, K × multiplicity.
    pub(crate) fn left_vectors(&self, counts: &ClassCounts) -> DMatrix<f64> {
        let classes = counts.classes();
        match self {
            Self::Classes(group) => Subset::Span(counts.members(*group)).basis(classes),
            Self::Contrasts(group) => Subset::Contrasts(counts.members(*group)).basis(classes),
            Self::AllOnes => DMatrix::from_element(classes, 1, (classes as f64).sqrt().recip()),
            Self::Secular(pair) => {
                let entries = counts.runs().flat_map(|run| {
                    let entry = pair.entry(counts.groups(), run.group);
                    core::iter::repeat_n(entry, run.classes)
                });
                DMatrix::from_iterator(classes, 1, entries)
            }
            Self::Columns { left, .. } => left.clone(),
        }
    }
}

/// The spectrum of the effective target by falling gain of fitting a direction, which without a
/// regularised bias is by falling σ. Directions with σ = 0 are left out.
pub(crate) fn spectrum(ufm: &Ufm) -> Result<Vec<SpectralGroup>> {
    let bias = ufm.penalties().bias();
    match (ufm.target(), bias) {
        (Target::Classes(counts), Bias::None) => Ok(plain(counts)),
        (Target::Classes(counts), Bias::Unregularized) => Ok(centred(counts)),
        (Target::Classes(counts), Bias::Regularized(decay)) => Ok(shared(counts, decay)),
        (Target::Matrix(target), Bias::None) => numerical(target.clone()),
        (Target::Matrix(target), _) => numerical(centre_rows(target)),
    }
}

/// T = Y: σ_k² = n_k with the left vector e_k.
fn plain(counts: &ClassCounts) -> Vec<SpectralGroup> {
    let samples = counts.samples() as f64;
    let group = |(index, group): (usize, SizeGroup)| SpectralGroup {
        target_squared: group.size as f64,
        multiplicity: group.classes,
        samples,
        subspace: Subspace::Classes(index),
    };
    counts.sizes().enumerate().map(group).collect()
}

/// T = Y(I − 11ᵀ/N), TTᵀ = diag(n) − n nᵀ/N.
fn centred(counts: &ClassCounts) -> Vec<SpectralGroup> {
    let groups = counts.groups();
    let samples = counts.samples() as f64;
    let mut between = secular_pairs(groups, Centring::Samples).into_iter();
    let mut spectrum = Vec::with_capacity(2 * groups.len());
    for (index, group) in groups.iter().enumerate() {
        spectrum.push(SpectralGroup {
            target_squared: group.size as f64,
            multiplicity: group.classes - 1,
            samples,
            subspace: Subspace::Contrasts(index),
        });
        spectrum.extend(between.next().map(|pair| SpectralGroup {
            target_squared: pair.eigenvalue,
            multiplicity: 1,
            samples,
            subspace: Subspace::Secular(pair),
        }));
    }
    spectrum.retain(|group| group.multiplicity > 0);
    spectrum
}

/// Balanced classes and a regularised bias. Minimising over b first leaves the loss 1/(2N') of the
/// all-ones direction instead of 1/(2N), N' = N(1 + λ_b)/λ_b ≥ N: fitting it gains less than fitting
/// any other, so it comes last.
fn shared(counts: &ClassCounts, bias_decay: f64) -> Vec<SpectralGroup> {
    let mut spectrum = centred(counts);
    let samples = counts.samples() as f64;
    spectrum.push(SpectralGroup {
        target_squared: samples / counts.classes() as f64,
        multiplicity: 1,
        samples: samples * (1.0 + bias_decay.recip()),
        subspace: Subspace::AllOnes,
    });
    spectrum
}

/// The singular value decomposition of a target matrix. Neighbouring singular values within the
/// rounding error of the decomposition are one value, as the vectors can be told apart no further.
fn numerical(target: DMatrix<f64>) -> Result<Vec<SpectralGroup>> {
    let samples = target.ncols() as f64;
    let size = target.nrows().max(target.ncols()) as f64;
    let svd = svd_thin(&target)?;
    let values = svd.singular_values.as_slice();
    let noise = values.first().map_or(0.0, |largest| largest * size * f64::EPSILON);
    let mut spectrum = Vec::new();
    let mut first = 0;
    while first < values.len() && values[first] > noise {
        let tail = values[first..].windows(2);
        let multiplicity = 1 + tail.take_while(|pair| pair[0] - pair[1] <= noise).count();
        let mean = values[first..first + multiplicity].iter().sum::<f64>() / multiplicity as f64;
        spectrum.push(SpectralGroup {
            target_squared: mean * mean,
            multiplicity,
            samples,
            subspace: Subspace::Columns {
                left: svd.u.columns(first, multiplicity).into_owned(),
                right: svd.v.columns(first, multiplicity).into_owned(),
            },
        });
        first += multiplicity;
    }
    Ok(spectrum)
}

/// Y(I − 11ᵀ/N).
fn centre_rows(target: &DMatrix<f64>) -> DMatrix<f64> {
    let mean = target.column_mean();
    let mut centred = target.clone();
    for mut column in centred.column_iter_mut() {
        column -= &mean;
    }
    centred
}
