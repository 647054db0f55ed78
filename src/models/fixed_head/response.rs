//! What features become in front of a fixed simplex ETF, for one label.

use crate::error::{Argument, Error, Result, check_positive};
use crate::numerics::bracketed_root::sign_change;
use crate::numerics::wright_omega::wright_omega;
use crate::problem::probabilities::{ROUNDING, sum_of_probabilities};

/// A classifier W that is a simplex ETF with ‖w_k‖² = E and stays so, in front of a free feature with weight decay:
///
/// ```math
/// min over h:   CE(W h, y) + λ/2 ‖h‖²
/// ```
///
/// for any soft label y: hard, smoothed, mixed (mixup) or from a teacher (distillation). With μ = λ(K−1)/(EK) it is
/// min CE(z, y) + μ/2 ‖z‖² over logits that sum to zero, and
///
/// ```math
/// p_k = μ ω(y_k/μ − s − ln μ),   z_k = s + ln p_k,   Σ z_k = 0,
/// ```
///
/// where p are the probabilities, s = ln Σ e^z and ω is Wright's omega function, ω + ln ω = x.
///
/// ```
/// use neural_collapse::models::fixed_head::FixedSimplexHead;
///
/// let head = FixedSimplexHead::new(4, 1.0, 0.01)?;
/// // Mixup: the feature of a mixed label is not the mixture of features.
/// let [a, b, mixed] = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]];
/// let [a, b, mixed] = [head.response(&a)?, head.response(&b)?, head.response(&mixed)?];
/// assert!((mixed.logits[0] - (a.logits[0] + b.logits[0]) / 2.0).abs() > 0.1);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Yang et al., *Inducing Neural Collapse in Imbalanced Learning* (NeurIPS 2022) and Fisher et al.,
/// *Pushing Boundaries: Mixup's Influence on Neural Collapse* (ICLR 2024), for fixed simplex ETFs; the form with ω is
/// derived in the project's `docs/closed-forms.md`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "stored::Stored"))]
pub struct FixedSimplexHead {
    classes: usize,
    norm_squared: f64,
    decay: f64,
}

/// The optimal feature for a label, by what it does.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Response {
    /// z = W h, which sum to zero.
    pub logits: Vec<f64>,
    /// p = softmax(z).
    pub probabilities: Vec<f64>,
    /// ‖h‖².
    pub feature_norm_squared: f64,
    /// CE(z, y) + λ/2 ‖h‖².
    pub loss: f64,
}

impl FixedSimplexHead {
    /// A simplex ETF of K = `classes` vectors of the squared length E = `norm_squared` and features with the decay
    /// λ = `decay`: for a mean over N samples and λ_H/2 ‖H‖² that is λ = N λ_H.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] with less than two classes or if a number is not positive and finite,
    /// [`Error::Unrepresentable`] if λ/E is out of the range of `f64`.
    pub fn new(classes: usize, norm_squared: f64, decay: f64) -> Result<Self> {
        if classes < 2 {
            return Err(Error::out_of_range("classes", classes as f64, "at least 2"));
        }
        check_positive("norm_squared", norm_squared)?;
        check_positive("decay", decay)?;
        let head = Self { classes, norm_squared, decay };
        let strength = head.strength();
        if !(strength.is_normal() && strength.recip().is_normal()) {
            let log10 = decay.log10() - norm_squared.log10();
            return Err(Error::Unrepresentable { quantity: "the ratio λ/E", log10 });
        }
        Ok(head)
    }

    /// Number of classes K.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// E, the squared length of each w_k.
    #[must_use]
    pub fn norm_squared(&self) -> f64 {
        self.norm_squared
    }

    /// μ = λ(K−1)/(EK), the decay of the logits.
    #[must_use]
    pub fn strength(&self) -> f64 {
        self.decay * self.inverse_square()
    }

    /// (K−1)/(EK) = ‖h‖²/‖W h‖² for features in the row space of W.
    pub(crate) fn inverse_square(&self) -> f64 {
        let classes = self.classes as f64;
        (classes - 1.0) / classes / self.norm_squared
    }

    /// The optimal feature for the soft label `label`.
    ///
    /// One scalar equation is solved in a bracket; logits are found to some 10⁻¹⁵ times the largest of them and 1, and
    /// probabilities as exactly relative to themselves, also tiny ones.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there are K entries, [`Error::OutOfRange`] if one is negative or not finite, or if
    /// they do not sum to 1 up to 10⁻⁹ (they are divided by their sum).
    pub fn response(&self, label: &[f64]) -> Result<Response> {
        if label.len() != self.classes {
            let reason = "a probability for each class";
            return Err(Error::length("label", label.len(), self.classes, reason));
        }
        let place = |class| Argument::at("label", class);
        let sum = sum_of_probabilities(label, ROUNDING, place, "label")?;
        Ok(self.solve(&label.iter().map(|entry| entry / sum).collect::<Vec<f64>>()))
    }

    fn solve(&self, label: &[f64]) -> Response {
        let strength = self.strength();
        let log_sum = self.log_sum(label);
        let logits: Vec<f64> = label.iter().map(|&entry| self.logit(entry, log_sum).0).collect();
        let probabilities = label.iter().map(|&entry| self.logit(entry, log_sum).1).collect();
        let squares: f64 = logits.iter().map(|logit| logit * logit).sum();
        // −ln p = −ln(y − μ z), without cancellation where p is near y.
        let entries = label.iter().zip(&logits).filter(|(entry, _)| **entry > 0.0);
        let fit: f64 = entries
            .map(|(entry, logit)| -entry * (entry.ln() + (-strength * logit / entry).ln_1p()))
            .sum();
        Response {
            feature_norm_squared: squares * self.inverse_square(),
            loss: fit + strength / 2.0 * squares,
            logits,
            probabilities,
        }
    }

    /// The logit and the probability of an entry of the label, given s: z = s + ln p, or y/μ − p/μ where that cancels
    /// less.
    fn logit(&self, entry: f64, log_sum: f64) -> (f64, f64) {
        let strength = self.strength();
        let omega = wright_omega(entry / strength - log_sum - strength.ln());
        let probability = strength * omega;
        match omega < 1.0 || entry == 0.0 {
            true => (entry / strength - omega, probability),
            false => (log_sum + probability.ln(), probability),
        }
    }

    /// s, where the logits, which rise with it, sum to zero.
    fn log_sum(&self, label: &[f64]) -> f64 {
        // Logits that sum to zero have s ≥ ln K, and are 1/μ at the most; s grows like −ln μ.
        let low = (self.classes as f64).ln();
        let sum =
            |beyond: f64| label.iter().map(|&entry| self.logit(entry, low + beyond).0).sum::<f64>();
        let most = self.strength().recip();
        let mut high = most.min(1.0);
        while sum(high) < 0.0 && high < most {
            high *= 2.0;
        }
        low + sign_change(0.0, high, sum)
    }
}

#[cfg(feature = "serde")]
mod stored {
    use super::FixedSimplexHead;
    use crate::error::{Error, Result};

    #[derive(serde::Deserialize)]
    #[serde(rename = "FixedSimplexHead", deny_unknown_fields)]
    pub(super) struct Stored {
        classes: usize,
        norm_squared: f64,
        decay: f64,
    }

    impl TryFrom<Stored> for FixedSimplexHead {
        type Error = Error;

        fn try_from(stored: Stored) -> Result<Self> {
            Self::new(stored.classes, stored.norm_squared, stored.decay)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A strong decay leaves z = (y − 1/K)/μ up to terms of the size 1/μ², with all digits.
    #[test]
    fn small_logits_keep_their_digits() {
        let head = FixedSimplexHead::new(3, 2.0, 3e12).unwrap();
        assert_eq!((head.classes(), head.norm_squared()), (3, 2.0));
        let strength = 3e12 * (2.0 / 3.0) / 2.0;
        assert!((head.strength() / strength - 1.0).abs() < 1e-15);
        let label = [0.7, 0.2, 0.1];
        let response = head.response(&label).unwrap();
        for (logit, entry) in response.logits.iter().zip(label) {
            let expected = (entry - 1.0 / 3.0) / strength;
            assert!((logit / expected - 1.0).abs() < 1e-11, "{logit:e} {expected:e}");
        }
    }

    /// Labels are divided by their sum.
    #[test]
    fn sums_near_one_are_made_one() {
        let head = FixedSimplexHead::new(3, 1.0, 1e-2).unwrap();
        let label = [0.5, 0.25, 0.25];
        let exact = head.response(&label).unwrap();
        let near = head.response(&label.map(|entry| entry * (1.0 + 9e-10))).unwrap();
        for (a, b) in exact.logits.iter().zip(&near.logits) {
            assert!((a - b).abs() < 1e-13);
        }
        assert!(head.response(&label.map(|entry| entry * (1.0 + 2e-9))).is_err());
    }
}
