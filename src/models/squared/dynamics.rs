//! How singular values grow in training: a logistic law.

use crate::error::{Error, Result, check_not_negative, check_positive};
use crate::models::squared::minimum::GlobalMinimum;
use crate::problem::regularization::Bias;

/// The law by which a singular value grows under gradient flow, for one layer and equal decays λ_W = λ_H = λ:
///
/// ```text
/// d(s²)/dt = 2 s² (s∞² − s²)/N,    s∞² = σ − Nλ,
/// s²(t) = s∞² / (1 + (s∞²/s₀² − 1) e^(−2 s∞² t/N)).
/// ```
///
/// It holds exactly for a start in the singular directions of the target with the same singular values s₀ of W and H, and
/// is where other small starts lead to: directions of larger classes are learned first. For s∞² < 0 the direction
/// collapses, at the rate 2|s∞²|/N at last.
///
/// ```
/// use neural_collapse::{ClassCounts, Prediction, Regularization, Ufm};
///
/// let ufm = Ufm::new(ClassCounts::balanced(4, 25)?, Regularization::new(&[1e-3], 1e-3)?)?;
/// let law = ufm.global_minimum()?.logistic_law(0, 1e-4)?;
/// assert!((law.limit() - 4.9).abs() < 1e-12); // √25 − 100 · 1e-3
/// assert!((law.squared_singular_value(1e4)? - law.limit()).abs() < 1e-12);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Saxe, McClelland & Ganguli (ICLR 2014) with weight decay; section "Dynamics" of the project's
/// `docs/theory.md`.
#[doc(alias = "dynamics")]
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct LogisticLaw {
    limit: f64,
    start: f64,
    samples: f64,
}

impl LogisticLaw {
    /// s∞² = σ − Nλ, where it is positive what s² grows to; otherwise s² falls to 0.
    #[must_use]
    pub fn limit(&self) -> f64 {
        self.limit
    }

    /// ρ = 2 s∞²/N: s² grows as e^(ρt) at first and comes near its limit as e^(−ρt) at last; if it is negative, s² falls as
    /// e^(ρt).
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, Regularization, Ufm};
    ///
    /// let ufm = Ufm::new(ClassCounts::balanced(4, 25)?, Regularization::new(&[1e-3], 1e-3)?)?;
    /// let law = ufm.global_minimum()?.logistic_law(0, 1e-9)?;
    /// let growth = law.squared_singular_value(10.0)? / law.squared_singular_value(0.0)?;
    /// assert!((growth.ln() - 10.0 * law.rate()).abs() < 1e-9);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn rate(&self) -> f64 {
        2.0 * self.limit / self.samples
    }

    /// s² at the time t ≥ 0; a step of gradient descent takes the time η.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the time is negative or not finite.
    pub fn squared_singular_value(&self, time: f64) -> Result<f64> {
        check_not_negative("time", time)?;
        // With ρ = 2 s∞²/N: s₀²/(e^(−ρt) + s₀² (2t/N) (1 − e^(−ρt))/(ρt)), whose last quotient is 1 at ρt = 0.
        let unit = 2.0 * time / self.samples;
        let exponent = unit * self.limit;
        let quotient = if exponent == 0.0 { 1.0 } else { -(-exponent).exp_m1() / exponent };
        let divisor = (-exponent).exp() + self.start * unit * quotient;
        Ok(if divisor.is_finite() { self.start / divisor } else { 0.0 })
    }
}

impl GlobalMinimum {
    /// The logistic law of growth in one of the [`directions`](Self::directions), for one layer, no bias and equal decays,
    /// from s₀² = `squared_start` on.
    ///
    /// # Errors
    /// [`Error::NotAnswered`] for other problems, [`Error::OutOfRange`] if there is no such direction or the start is
    /// not positive and finite.
    pub fn logistic_law(&self, direction: usize, squared_start: f64) -> Result<LogisticLaw> {
        check_positive("squared_start", squared_start)?;
        let regularization = self.problem().regularization();
        // Lists are equal for one layer only.
        let equal = regularization.weight_decays() == [regularization.feature_decay()];
        if !equal || regularization.bias() != Bias::None {
            let reason = "it is known for one layer without a bias and with equal decays";
            return Err(Error::NotAnswered { question: "the law of growth", reason });
        }
        let Some(found) = self.direction(direction) else {
            let expected = "the number of a direction, counted from 0";
            return Err(Error::out_of_range("direction", direction as f64, expected));
        };
        let samples = self.problem().samples() as f64;
        let target = found.target_squared().sqrt();
        let limit = target - samples * regularization.feature_decay();
        Ok(LogisticLaw { limit, start: squared_start, samples })
    }
}
