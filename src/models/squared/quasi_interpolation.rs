//! Outputs that miss their targets by the same small gap for every class.

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::geometry::structure::Grouped;
use crate::models::squared::minimum::GlobalMinimum;
use crate::problem::regularization::Bias;

/// Symmetric quasi-interpolation: for every sample the output is 1 − ε on its class and ε/(K−1) on
/// each other class.
///
/// Rangamani & Banburski-Fahey assume such outputs of a deep homogeneous network with weight decay and
/// derive neural collapse from them. For a deep linear head on unconstrained features with an
/// unregularized bias and balanced classes it is no assumption: the global minimum has
/// ε = (1 − 1/K)/(x^M + 1), see [`GlobalMinimum::quasi_interpolation`], and weight decay and gap ε
/// determine each other.
///
/// ```
/// use neural_collapse::{Bias, ClassCounts, Regularization, Ufm};
/// use neural_collapse::models::squared::QuasiInterpolation;
///
/// // Which decay of all M = 3 layers and the features leaves a gap of 5 %?
/// let gap = QuasiInterpolation::new(10, 0.05)?;
/// let decay = gap.decay(3, 6000)?;
/// let regularization = Regularization::new(&[decay; 3], decay)?.with_bias(Bias::Unregularized)?;
/// let minimum = Ufm::new(ClassCounts::balanced(10, 600)?, regularization)?.global_minimum()?;
/// let reached = minimum.quasi_interpolation().unwrap();
/// assert!((reached.gap() - 0.05).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Rangamani & Banburski-Fahey, *Neural Collapse in Deep Homogeneous Classifiers and the Role
/// of Weight Decay* (ICASSP 2022).
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "stored::Stored", into = "stored::Stored"))]
pub struct QuasiInterpolation {
    classes: usize,
    gap: f64,
}

impl QuasiInterpolation {
    /// Outputs with the gap ε for K = `classes` classes.
    ///
    /// ε = 0 is interpolation, and with 1 − 1/K all outputs are 1/K.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] with less than two classes or if ε is not in [0, 1 − 1/K].
    pub fn new(classes: usize, gap: f64) -> Result<Self> {
        if classes < 2 {
            return Err(Error::out_of_range("classes", classes as f64, "at least 2"));
        }
        if !(gap >= 0.0 && gap <= largest_gap(classes)) {
            return Err(Error::out_of_range("gap", gap, "between 0 and 1 − 1/K"));
        }
        Ok(Self { classes, gap })
    }

    /// Number of classes K.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// ε.
    #[must_use]
    pub fn gap(&self) -> f64 {
        self.gap
    }

    /// The margin 1 − ε − ε/(K−1) between the output on the class and any other one.
    #[must_use]
    pub fn margin(&self) -> f64 {
        1.0 - self.unfitted_share()
    }

    /// The outputs, bias included; column k belongs to class k.
    ///
    /// ```
    /// let outputs = neural_collapse::models::squared::QuasiInterpolation::new(3, 0.125)?.class_outputs();
    /// assert_eq!((outputs.get(0, 0), outputs.get(1, 0)), (Some(0.875), Some(0.0625)));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn class_outputs(&self) -> ClassMatrix {
        // The margin times I − 11ᵀ/K, plus 1/K everywhere.
        let (margin, classes) = (self.margin(), self.classes as f64);
        let everywhere = classes.recip() - margin / classes;
        ClassMatrix::unique(Grouped::single(self.classes, margin, everywhere))
    }

    /// The weight decay that leaves the gap ε at the global minimum of `depth` layers for N =
    /// `samples` samples in balanced classes: the geometric mean of λ₁, …, λ_M and λ_H,
    ///
    /// ```text
    /// (λ_H Πλₘ)^(1/(M+1)) = u ((1−u)^(M−1)/(N Kᴹ))^(1/(M+1)),   u = ε K/(K−1).
    /// ```
    ///
    /// The objective is that of [`Ufm`](crate::Ufm), with the squared error divided by 2N.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if depth or N is 0, or if ε is 0 or above (1 − 1/K)/M, which no global
    /// minimum leaves except by collapsing to zero (with M = 1, (1 − 1/K) itself is the collapse);
    /// [`Error::Unrepresentable`] if the decay is.
    pub fn decay(&self, depth: usize, samples: u64) -> Result<f64> {
        for (argument, value) in [("depth", depth as u64), ("samples", samples)] {
            if value == 0 {
                return Err(Error::out_of_range(argument, 0.0, "at least 1"));
            }
        }
        let (k, m) = (self.classes() as f64, depth as f64);
        if !(self.gap > 0.0 && self.gap <= largest_gap(self.classes()) / m) {
            let expected = "positive and at most (1 − 1/K)/M, to be left by a global minimum";
            return Err(Error::out_of_range("gap", self.gap, expected));
        }
        let unfitted = self.unfitted_share();
        let degree = m + 1.0;
        // x^M = (1−u)/u in M x^(M−1)/(x^M+1)² = M a/n.
        let decay = unfitted
            * (1.0 - unfitted).powf((m - 1.0) / degree)
            * (samples as f64).powf(-degree.recip())
            * k.powf(-m / degree);
        if decay.is_normal() {
            return Ok(decay);
        }
        Err(Error::Unrepresentable { quantity: "the weight decay", log10: decay.log10() })
    }

    /// u = ε K/(K−1), the share of the centered target that is not fitted.
    fn unfitted_share(&self) -> f64 {
        self.gap / largest_gap(self.classes())
    }
}

/// 1 − 1/K.
fn largest_gap(classes: usize) -> f64 {
    (classes as f64 - 1.0) / classes as f64
}

impl GlobalMinimum {
    /// The quasi-interpolation that the outputs W_M⋯W₁h + b are: for balanced classes and an
    /// unregularized bias ε = (1 − 1/K)/(x^M + 1). `None` for every other problem, for a single class,
    /// where the widths leave room for some of the K − 1 directions only, and exactly at a threshold.
    ///
    /// ```
    /// use neural_collapse::{Bias, ClassCounts, Regularization, Ufm};
    ///
    /// // One layer: 1/(x + 1) = √b = K√(n λ_W λ_H).
    /// let regularization = Regularization::new(&[1e-3], 1e-3)?.with_bias(Bias::Unregularized)?;
    /// let minimum = Ufm::new(ClassCounts::balanced(4, 100)?, regularization)?.global_minimum()?;
    /// let gap = minimum.quasi_interpolation().unwrap().gap();
    /// assert!((gap - 0.75 * 0.04).abs() < 1e-15);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn quasi_interpolation(&self) -> Option<QuasiInterpolation> {
        let counts = self.problem().counts()?;
        let unregularized = self.problem().regularization().bias() == Bias::Unregularized;
        let direction = self.direction(0)?;
        if !unregularized || !counts.is_balanced() || !direction.is_unique() {
            return None;
        }
        let gap = largest_gap(counts.classes()) * direction.unfitted_share();
        Some(QuasiInterpolation { classes: counts.classes(), gap })
    }
}

/// How it is stored: what is read passes through the constructor.
#[cfg(feature = "serde")]
mod stored {
    use super::QuasiInterpolation;
    use crate::error::{Error, Result};

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename = "QuasiInterpolation", deny_unknown_fields)]
    pub(super) struct Stored {
        classes: usize,
        gap: f64,
    }

    impl From<QuasiInterpolation> for Stored {
        fn from(outputs: QuasiInterpolation) -> Self {
            Self { classes: outputs.classes, gap: outputs.gap }
        }
    }

    impl TryFrom<Stored> for QuasiInterpolation {
        type Error = Error;

        fn try_from(stored: Stored) -> Result<Self> {
            Self::new(stored.classes, stored.gap)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::squared::Ufm;
    use crate::problem::counts::ClassCounts;
    use crate::problem::regularization::Regularization;

    #[test]
    fn gaps_are_between_none_and_all() {
        let made = |classes, gap| QuasiInterpolation::new(classes, gap).is_ok();
        assert!(made(2, 0.0) && made(2, 0.5) && made(4, 0.0) && made(4, 0.75));
        assert!(!made(1, 0.0) && !made(2, -5e-324) && !made(4, 0.75_f64.next_up()));
        let outputs = QuasiInterpolation::new(4, 0.375).unwrap();
        assert_eq!((outputs.classes(), outputs.gap(), outputs.margin()), (4, 0.375, 0.5));
    }

    /// u = 1/2: the decay of one layer is 1/2 · (N K)^(−1/2), that of two 1/2 · (1/2/(N K²))^(1/3), from a gap of at most
    /// 3/4 over M.
    #[test]
    fn decays_are_those_of_positive_gaps_up_to_the_tie() {
        let decay =
            |gap, depth, samples| QuasiInterpolation::new(4, gap).unwrap().decay(depth, samples);
        assert_eq!(decay(0.375, 1, 16), Ok(0.0625));
        assert!((decay(0.375, 2, 4).unwrap() - 0.5 / 128_f64.cbrt()).abs() < 1e-16);
        assert!(decay(0.375_f64.next_up(), 2, 4).is_err() && decay(0.0, 2, 4).is_err());
        assert!((decay(0.75, 1, 16).unwrap() - 0.125).abs() < 1e-16);
        assert!(matches!(decay(5e-324, 1, 16), Err(Error::Unrepresentable { .. })));
    }

    #[test]
    fn classes_are_balanced_and_have_room() {
        let gap = |counts: &[u64], width: usize| {
            let regularization = Regularization::new(&[1e-3], 1e-3).unwrap();
            let regularization = regularization.with_bias(Bias::Unregularized).unwrap();
            let ufm = Ufm::new(ClassCounts::new(counts).unwrap(), regularization).unwrap();
            ufm.with_widths(&[width]).unwrap().global_minimum().unwrap().quasi_interpolation()
        };
        assert!(gap(&[6, 6, 6], 2).is_some());
        assert_eq!((gap(&[6, 6, 6], 1), gap(&[6, 5], 2), gap(&[6], 1)), (None, None, None));
    }
}
