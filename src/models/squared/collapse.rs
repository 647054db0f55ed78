//! Minority collapse backwards: which sizes, decays and imbalances a class survives.

use crate::error::{Error, Result};
use crate::models::regime::Regime;
use crate::models::squared::direction::Direction;
use crate::models::squared::minimum::GlobalMinimum;
use crate::models::squared::potential::Potential;
use crate::numerics::last_true::last_true;
use crate::numerics::nth_root::root_of_ratio;
use crate::problem::counts::check_count;
use crate::problem::regularization::{Bias, Regularization};

impl GlobalMinimum {
    /// The largest factor by which all of λ₁, …, λ_M and λ_H can be multiplied before a direction that
    /// the widths have room for collapses: (τ_M σ²/a)^(M/(M+1)) for the first to go. Below 1 if one has
    /// collapsed already; `None` if there is no direction.
    ///
    /// Without a bias, directions are classes. The all-ones direction beside a regularized bias is not
    /// counted, as no class hangs on it, and the decay of the bias stays as it is.
    ///
    /// Rounding is on the safe side: with the decays multiplied by this number all directions survive (at M ≥ 2 they
    /// may be at the tie), with the next larger number one collapses.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, Regularization, Ufm};
    ///
    /// let counts = ClassCounts::new(&[2000, 495, 495, 10])?;
    /// let minimum = Ufm::new(counts, Regularization::new(&[3e-3], 3e-3)?)?.global_minimum()?;
    /// let factor = minimum.largest_decay_factor().unwrap();
    /// assert!((factor - (10.0_f64 / 81.0).sqrt()).abs() < 1e-15);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// Source: Theorem 4.4 of Dang et al. (ICML 2023); a grows with the factor to the power (M+1)/M.
    #[must_use]
    pub fn largest_decay_factor(&self) -> Option<f64> {
        let weakest = self.weakest_direction()?;
        let margin = self.threshold() / weakest.ratio();
        let estimate = power_of_depth(margin, self.problem().regularization().layers());
        Some(last_true(estimate, |factor| self.survives(&weakest, factor)))
    }

    /// The [critical imbalance ratio](critical_imbalance_ratio) of this problem, whose classes have two sizes: how many
    /// times as large as the small classes the large ones can be before the small ones collapse, their size and all
    /// decays as they are. `None` unless there are two sizes and no bias, and where the ratio is out of range.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, Regularization, Ufm};
    ///
    /// let ufm = |majority| {
    ///     let counts = ClassCounts::from_runs([(majority, 5), (100, 5)])?;
    ///     Ufm::new(counts, Regularization::new(&[1e-3], 1e-3)?)?.global_minimum()
    /// };
    /// let ratio = ufm(200)?.critical_imbalance_ratio().unwrap();
    /// assert!((ratio - 19.0).abs() < 1e-13);
    /// assert!(ufm(1899)?.smallest_surviving_count() < 100.0);
    /// assert!(ufm(1901)?.smallest_surviving_count() > 100.0);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn critical_imbalance_ratio(&self) -> Option<f64> {
        let mut sizes: Vec<_> = self.problem().counts()?.sizes().collect();
        sizes.sort_by_key(|group| group.size);
        let [minority, majority] = sizes[..] else { return None };
        let (large, small) = (majority.class_count as u64, minority.class_count as u64);
        let regularization = self.problem().regularization();
        critical_imbalance_ratio(large, small, minority.size, regularization).ok()
    }

    /// The first direction to collapse among those that the widths have room for, but for the all-ones
    /// direction.
    fn weakest_direction(&self) -> Option<Direction> {
        let reachable = self.unshared_directions().take_while(Direction::has_room);
        reachable.max_by(|a, b| a.ratio().total_cmp(&b.ratio()))
    }

    /// Whether a direction survives if all decays are multiplied by a factor.
    fn survives(&self, direction: &Direction, factor: f64) -> bool {
        let scaled = self.problem().regularization().scaled(factor);
        let samples = direction.effective_samples();
        let unit = scaled.and_then(|decays| decays.energy_unit(samples));
        unit.is_ok_and(|unit| {
            let slope = direction.slope_for(samples * unit, self.potential());
            self.potential().regime(slope) != Regime::Zero
        })
    }
}

/// The critical imbalance ratio ρ* of `majority_classes` classes with R·n_B samples beside
/// `minority_classes` classes with n_B = `minority_size`: above it the minority collapses to zero.
///
/// ρ* = (N*/n_B − K_B)/K_A with the number of samples N* = (τ_M n_B P^(−1/M))^(M/(M+1)) at which the
/// minority reaches the threshold. A value below 1 means that the minority collapses even when the
/// classes are balanced.
///
/// # Errors
/// [`Error::OutOfRange`] if one of the numbers is 0 or above 2⁵³, [`Error::NoClosedForm`] with a bias,
/// beside which no class collapses on its own, [`Error::Unrepresentable`] if P^(1/M) is.
///
/// ```
/// use neural_collapse::Regularization;
/// use neural_collapse::models::squared::critical_imbalance_ratio;
///
/// // One layer: N* = √(n_B/(λ_W λ_H)).
/// let ratio = critical_imbalance_ratio(5, 5, 100, &Regularization::new(&[1e-3], 1e-3)?)?;
/// assert!((ratio - (10_000.0 / 100.0 - 5.0) / 5.0).abs() < 1e-13);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Theorem 4.4 of Dang et al. (ICML 2023) for the step imbalance of Fang et al. (PNAS 2021).
pub fn critical_imbalance_ratio(
    majority_classes: u64,
    minority_classes: u64,
    minority_size: u64,
    regularization: &Regularization,
) -> Result<f64> {
    for (argument, value) in [
        ("majority_classes", majority_classes),
        ("minority_classes", minority_classes),
        ("minority_size", minority_size),
    ] {
        check_count(argument, value)?;
    }
    if regularization.bias() != Bias::None {
        return Err(Error::NoClosedForm {
            problem: "the collapse of single classes beside a bias",
        });
    }
    let layers = regularization.layers();
    let potential = Potential::<f64>::new(layers)?;
    let unit = regularization.energy_unit(1.0)?;
    // N*/n_B = (τ_M/P^(1/M))/(τ_M n_B/P^(1/M))^(1/(M+1)), of which N* alone may overflow.
    let threshold = potential.threshold();
    let root = root_of_ratio(threshold * minority_size as f64, unit, layers + 1);
    let imbalance = threshold / root / unit;
    Ok((imbalance - minority_classes as f64) / majority_classes as f64)
}

/// z^(M/(M+1)) = z/z^(1/(M+1)), accurately.
fn power_of_depth(z: f64, layers: u32) -> f64 {
    z / root_of_ratio(z, 1.0, layers + 1)
}
