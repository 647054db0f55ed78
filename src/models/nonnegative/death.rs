//! When classes die: which sizes and decays they survive.

use crate::error::{Error, Result, check_positive};
use crate::models::nonnegative::minimum::margin;
use crate::models::nonnegative::problem::NonnegativeUfm;
use crate::numerics::last_true::last_true;
use crate::problem::kinds::Kind;

impl NonnegativeUfm {
    /// The number of samples that a class of weight ω must exceed to live: N²κ²K/((K−1)(1−δ)²ω²).
    ///
    /// ```
    /// use neural_collapse::models::nonnegative::NonnegativeUfm;
    /// use neural_collapse::{ClassCounts, Regularization};
    ///
    /// let counts = ClassCounts::new(&[60, 40, 14, 13])?;
    /// let ufm = NonnegativeUfm::new(counts, Regularization::new(&[2e-2], 3.1e-2)?)?;
    /// let least = ufm.smallest_surviving_count(1.0)?;
    /// assert!(13.0 < least && least < 14.0);
    /// let minimum = ufm.global_minimum()?;
    /// assert!(minimum.margin(2) > Some(0.0) && minimum.margin(3) == Some(0.0));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the weight is not positive and finite, [`Error::Unrepresentable`] if the number is
    /// too large.
    pub fn smallest_surviving_count(&self, class_weight: f64) -> Result<f64> {
        check_positive("class_weight", class_weight)?;
        let classes = self.counts().classes() as f64;
        let root = self.counts().samples() as f64 * self.root_of_decays()
            / ((1.0 - self.label_smoothing()) * class_weight);
        let count = root * root * classes / (classes - 1.0);
        if count.is_finite() {
            return Ok(count);
        }
        let log10 = 2.0 * root.log10();
        Err(Error::Unrepresentable { quantity: "the smallest surviving count", log10 })
    }

    /// The decay product λ_W λ_H from which on the first class dies: min_k ω_k² n_k (1−δ)² (K−1)/(N² K).
    ///
    /// ```
    /// use neural_collapse::models::nonnegative::NonnegativeUfm;
    /// use neural_collapse::{ClassCounts, Regularization};
    ///
    /// let ufm = |decay| {
    ///     let regularization = Regularization::new(&[decay], decay)?;
    ///     NonnegativeUfm::new(ClassCounts::new(&[40, 10])?, regularization)
    /// };
    /// let critical = ufm(1e-3)?.critical_decay_product().sqrt();
    /// assert!(ufm(critical * 0.999)?.global_minimum()?.margin(1) > Some(0.0));
    /// assert_eq!(ufm(critical * 1.001)?.global_minimum()?.margin(1), Some(0.0));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn critical_decay_product(&self) -> f64 {
        let (classes, least) = (self.counts().classes() as f64, self.weakest());
        least * least * (classes - 1.0) / classes
    }

    /// min_k ω_k √n_k (1−δ)/N, of the first class to die.
    fn weakest(&self) -> f64 {
        let samples = self.counts().samples() as f64;
        let root = |kind: &Kind<1>| {
            let [weight] = kind.numbers;
            weight * (1.0 - self.label_smoothing()) / samples * (kind.size as f64).sqrt()
        };
        self.kinds().kinds().iter().map(root).fold(f64::INFINITY, f64::min)
    }

    /// The largest factor by which λ_W and λ_H can be multiplied before a class dies: √(λ*/(λ_W λ_H)) with the
    /// [critical product](Self::critical_decay_product) λ*. Below 1 if one is dead already.
    ///
    /// Rounding is on the safe side, as for
    /// [`GlobalMinimum::largest_decay_factor`](crate::GlobalMinimum::largest_decay_factor): with the decays multiplied
    /// by this number all classes survive, with the next larger number one is dead, unless the factor or the decays that it
    /// leads to have no f64 (they would be zero, infinite or without all digits).
    ///
    /// ```
    /// use neural_collapse::models::nonnegative::NonnegativeUfm;
    /// use neural_collapse::{ClassCounts, Regularization};
    ///
    /// let ufm = |decay| {
    ///     NonnegativeUfm::new(ClassCounts::new(&[40, 10])?, Regularization::new(&[decay], decay)?)
    /// };
    /// let factor = ufm(1e-3)?.largest_decay_factor();
    /// assert!(ufm(1e-3 * factor)?.global_minimum()?.margin(1) > Some(0.0));
    /// assert_eq!(ufm(1e-3 * factor.next_up())?.global_minimum()?.margin(1), Some(0.0));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn largest_decay_factor(&self) -> f64 {
        let classes = self.counts().classes() as f64;
        let critical = self.weakest() * ((classes - 1.0) / classes).sqrt();
        let estimate = critical / self.root_of_decays();
        let kinds = self.kinds();
        last_true(estimate, |factor| self.survives(kinds.kinds(), factor))
    }

    /// Whether all classes, which are of these kinds, survive if both decays are multiplied by a factor.
    fn survives(&self, kinds: &[Kind<1>], factor: f64) -> bool {
        self.with_scaled_decays(factor)
            .is_ok_and(|scaled| kinds.iter().all(|kind| margin(&scaled, kind) > 0.0))
    }
}
