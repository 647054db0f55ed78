//! One singular direction of the global minimum.

use core::ops::RangeInclusive;

use crate::error::{Error, Result};
use crate::models::regime::Regime;
use crate::models::squared::potential::{Minimizer, Potential};
use crate::models::squared::spectrum::TargetValue;

/// A singular value σ of the effective target and what the global minimum makes of it.
///
/// All left singular vectors of one singular value share a `Direction`; their number is the
/// [`multiplicity`](Self::multiplicity). In each of them the loss is σ²·g(x; M a/σ²)/(2N), see
/// [`Potential`].
///
/// Source: Dang et al. (ICML 2023), proofs of Theorems 3.1, 4.1 and 4.4.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Direction {
    target: TargetValue,
    kept: usize,
    scale: f64,
    minimizer: Minimizer<f64>,
}

impl Direction {
    /// The minimum in the directions of one singular value, of which the widths leave room for `kept`.
    pub(crate) fn new(
        target: TargetValue,
        kept: usize,
        scale: f64,
        minimizer: Minimizer<f64>,
    ) -> Self {
        Self { target, kept, scale, minimizer }
    }

    /// The slope M a/σ² with another scale a.
    pub(crate) fn slope_for(&self, scale: f64, potential: &Potential<f64>) -> f64 {
        self.target.slope(scale, potential)
    }

    /// σ², the square of the singular value of the effective target.
    #[must_use]
    pub fn target_squared(&self) -> f64 {
        self.target.squared
    }

    /// Number of left singular vectors that belong to σ.
    #[must_use]
    pub fn multiplicity(&self) -> usize {
        self.target.multiplicity
    }

    /// The ratio a/σ², to be compared with the threshold τ_M.
    ///
    /// With a regularized bias, the all-ones direction has a scale a of its own.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.scale / self.target.squared
    }

    /// The number of samples that the squared error in this direction is divided by, twice: N, but
    /// N(1 + λ_b)/λ_b for the all-ones direction beside a regularized bias.
    #[must_use]
    pub fn effective_samples(&self) -> f64 {
        self.target.samples
    }

    /// Whether the widths leave room for any vector of this direction.
    pub(crate) fn has_room(&self) -> bool {
        self.kept > 0
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
            Regime::Positive => self.kept == self.target.multiplicity,
        }
    }

    /// The minimizer x of the potential; 0 if no vector is fitted.
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
        self.scale / self.target.samples * self.x()
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
        let dropped = (self.target.multiplicity - self.kept) as f64;
        let kept = self.kept as f64 * self.minimizer.value();
        self.target.squared * (kept + dropped) / (2.0 * self.target.samples)
    }
}

impl TargetValue {
    /// The slope M a/σ² of the potential at the scale a.
    pub(crate) fn slope(&self, scale: f64, potential: &Potential<f64>) -> f64 {
        f64::from(potential.depth()) * scale / self.squared
    }

    /// The slope, if it and what it follows from are normal numbers.
    pub(crate) fn checked_slope(&self, scale: f64, potential: &Potential<f64>) -> Result<f64> {
        let slope = self.slope(scale, potential);
        for (quantity, value) in [
            ("the squared singular value of the target", self.squared),
            ("the scale a = N (N λ_H Πλₘ)^(1/M)", scale),
            ("the slope M a/σ²", slope),
        ] {
            if !value.is_normal() {
                return Err(Error::Unrepresentable { quantity, log10: value.log10() });
            }
        }
        Ok(slope)
    }
}

/// What is written of a direction: all of its numbers.
#[cfg(feature = "serde")]
impl serde::Serialize for Direction {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> core::result::Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;

        let mut written = serializer.serialize_struct("Direction", 12)?;
        written.serialize_field("target_squared", &self.target_squared())?;
        written.serialize_field("multiplicity", &self.multiplicity())?;
        written.serialize_field("ratio", &self.ratio())?;
        written.serialize_field("effective_samples", &self.effective_samples())?;
        written.serialize_field("regime", &self.regime())?;
        written.serialize_field("rank", &self.rank())?;
        written.serialize_field("x", &self.x())?;
        written.serialize_field("power", &self.power())?;
        written.serialize_field("energy", &self.energy())?;
        written.serialize_field("fitted_share", &self.fitted_share())?;
        written.serialize_field("unfitted_share", &self.unfitted_share())?;
        written.serialize_field("loss", &self.loss())?;
        written.end()
    }
}
