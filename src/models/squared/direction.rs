//! One singular direction of the global minimum.

use core::ops::RangeInclusive;

use crate::error::{Error, Result};
use crate::models::squared::potential::{Minimizer, Potential, Regime};
use crate::models::squared::spectrum::{SpectralGroup, Subspace};
use crate::problem::counts::SizeGroup;

/// A singular value σ of the effective target and what the global minimum makes of it.
///
/// All left singular vectors of one singular value share a `Direction`; their number is the
/// [`multiplicity`](Self::multiplicity). In each of them the loss is σ²·g(x; M a/σ²)/(2N), see
/// [`Potential`].
///
/// Source: Dang et al. (ICML 2023), proofs of Theorems 3.1, 4.1 and 4.4.
#[derive(Debug, Clone, PartialEq)]
pub struct Direction {
    group: SpectralGroup,
    kept: usize,
    scale: f64,
    slope: f64,
    minimizer: Minimizer<f64>,
}

impl Direction {
    /// The minimum in a group of directions of which the widths leave room for `room`; `unit` is the
    /// energy unit for the samples of the group.
    pub(crate) fn new(
        group: SpectralGroup,
        room: usize,
        unit: f64,
        potential: &Potential<f64>,
    ) -> Result<Self> {
        let scale = group.samples * unit;
        let slope = f64::from(potential.depth()) * scale / group.target_squared;
        for (quantity, value) in [
            ("the squared singular value of the target", group.target_squared),
            ("the scale a = N (N λ_H Πλₘ)^(1/M)", scale),
            ("the slope M a/σ²", slope),
        ] {
            if !value.is_normal() {
                return Err(Error::Unrepresentable { quantity, log10: value.log10() });
            }
        }
        let minimizer = potential.minimizer_unchecked(slope);
        let kept = group.multiplicity.min(room);
        Ok(Self { group, kept, scale, slope, minimizer })
    }

    /// σ², the square of the singular value of the effective target.
    #[must_use]
    pub fn target_squared(&self) -> f64 {
        self.group.target_squared
    }

    /// Number of left singular vectors that belong to σ.
    #[must_use]
    pub fn multiplicity(&self) -> usize {
        self.group.multiplicity
    }

    /// The ratio a/σ², to be compared with the threshold τ_M.
    ///
    /// With a regularised bias, the all-ones direction has a scale a of its own.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.scale / self.group.target_squared
    }

    /// The number of samples that the squared error in this direction is divided by, twice: N, but
    /// N(1 + λ_b)/λ_b for the all-ones direction beside a regularised bias.
    #[must_use]
    pub fn effective_samples(&self) -> f64 {
        self.group.samples
    }

    /// Whether the direction collapses. At a [`Regime::Tie`] each of its vectors may or may not.
    #[must_use]
    pub fn regime(&self) -> Regime {
        if self.kept == 0 { Regime::Zero } else { self.minimizer.regime() }
    }

    /// The possible numbers of vectors that are fitted at a global minimum: none in a collapsed
    /// direction, all in a surviving one, fewer if the widths leave no room for all of them, and any
    /// number up to that at a tie.
    #[must_use]
    pub fn rank(&self) -> RangeInclusive<usize> {
        match self.regime() {
            Regime::Zero => 0..=0,
            Regime::Tie => 0..=self.kept,
            Regime::Positive => self.kept..=self.kept,
        }
    }

    /// Whether the fitted subspace is the same at every global minimum.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        match self.regime() {
            Regime::Zero => true,
            Regime::Tie => false,
            Regime::Positive => self.kept == self.group.multiplicity,
        }
    }

    /// The minimiser x of the potential; 0 if no vector is fitted.
    #[must_use]
    pub fn x(&self) -> f64 {
        if self.kept == 0 { 0.0 } else { self.minimizer.x() }
    }

    /// x^M = (fitted share)/(unfitted share) of the target; 0 if no vector is fitted.
    #[must_use]
    pub fn power(&self) -> f64 {
        if self.kept == 0 { 0.0 } else { self.minimizer.power() }
    }

    /// The energy t = (a/N) x: λₘ times the squared singular value of Wₘ, the same for all layers,
    /// and λ_H times that of H.
    #[must_use]
    pub fn energy(&self) -> f64 {
        self.scale / self.group.samples * self.x()
    }

    /// The share x^M/(x^M + 1) of the target that the outputs reach.
    #[must_use]
    pub fn fitted_share(&self) -> f64 {
        if self.kept == 0 { 0.0 } else { self.minimizer.fitted_share() }
    }

    /// The share 1/(x^M + 1) of the target that the outputs do not reach.
    #[must_use]
    pub fn unfitted_share(&self) -> f64 {
        if self.kept == 0 { 1.0 } else { self.minimizer.unfitted_share() }
    }

    /// The contribution to the loss of all vectors of this direction, fitted or not.
    #[must_use]
    pub fn loss(&self) -> f64 {
        let dropped = (self.group.multiplicity - self.kept) as f64;
        let kept = self.kept as f64 * self.minimizer.value(self.slope);
        self.group.target_squared * (kept + dropped) / (2.0 * self.group.samples)
    }

    pub(crate) fn subspace(&self) -> &Subspace {
        &self.group.subspace
    }

    /// The squared length of the projection of a basis vector e_k on this direction's subspace, for a
    /// class k of the size group `group`.
    pub(crate) fn leverage(&self, groups: &[SizeGroup], group: usize) -> f64 {
        match &self.group.subspace {
            Subspace::Classes(own) => f64::from(u8::from(*own == group)),
            Subspace::Contrasts(own) if *own == group => {
                1.0 - (groups[group].classes as f64).recip()
            }
            Subspace::Contrasts(_) | Subspace::Columns { .. } => 0.0,
            Subspace::AllOnes => {
                groups.iter().map(|group| group.classes as f64).sum::<f64>().recip()
            }
            Subspace::Secular(pair) => pair.entry(groups, group).powi(2),
        }
    }
}
