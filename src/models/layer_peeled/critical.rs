//! The imbalance from which on the minority collapses in the layer-peeled model.

use crate::error::{Error, Result};
use crate::models::layer_peeled::problem::{LayerPeeled, check_energies, nuclear_norm};
use crate::models::layer_peeled::two_sizes::TwoSizes;
use crate::problem::counts::is_exact;

impl LayerPeeled {
    /// The [critical ratio](layer_peeled_critical_ratio) of this problem, whose classes have two sizes: how many times as
    /// large as the small classes the large ones can be before the small ones collapse into one point. `None` unless
    /// there are two sizes, and where the ratio is out of range.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, LayerPeeled};
    ///
    /// let lpm = LayerPeeled::new(ClassCounts::from_runs([(1000, 5), (10, 5)])?, 1.0, 1.0)?;
    /// assert!(lpm.critical_ratio().unwrap() < 100.0);
    /// assert!(lpm.global_minimum()?.minority_collapsed());
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn critical_ratio(&self) -> Option<f64> {
        let mut sizes: Vec<_> = self.counts().sizes().collect();
        sizes.sort_by_key(|group| group.size);
        let [minority, majority] = sizes[..] else { return None };
        let (large, small) = (majority.class_count as u64, minority.class_count as u64);
        layer_peeled_critical_ratio(large, small, self.weight_energy(), self.feature_energy()).ok()
    }
}

/// The critical imbalance ratio ρ* of the layer-peeled model: `majority_classes` classes of R·n
/// samples beside `minority_classes` classes of n samples collapse the minority, whose classifiers
/// become one vector, iff R ≥ ρ*.
///
/// It depends on the product E_W E_H of the budgets only, is above 1 and grows with it.
///
/// # Errors
/// [`Error::OutOfRange`] if there is no majority class, less than two minority classes, or more than
/// 2⁵³ of either, or if a budget is not positive and finite; [`Error::Unrepresentable`] if ρ* or
/// K√(E_W E_H) is out of the range of `f64`.
///
/// ```
/// use neural_collapse::{ClassCounts, LayerPeeled};
/// use neural_collapse::models::layer_peeled::layer_peeled_critical_ratio;
///
/// let ratio = layer_peeled_critical_ratio(5, 5, 1.0, 1.0)?;
/// for (factor, collapsed) in [(0.99, false), (1.01, true)] {
///     let majority = (ratio * factor * 1000.0) as u64;
///     let counts = ClassCounts::from_runs([(majority, 5), (1000, 5)])?;
///     let minimum = LayerPeeled::new(counts, 1.0, 1.0)?.global_minimum()?;
///     assert_eq!(minimum.minority_collapsed(), collapsed);
/// }
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: observed by Fang et al. (PNAS 2021), who prove the limit R → ∞ (Theorem 5); that there is
/// one finite threshold follows from the equations of `docs/other-models.md`.
pub fn layer_peeled_critical_ratio(
    majority_classes: u64,
    minority_classes: u64,
    weight_energy: f64,
    feature_energy: f64,
) -> Result<f64> {
    for (argument, value, least, expected) in [
        ("majority_classes", majority_classes, 1, "between 1 and 2⁵³"),
        ("minority_classes", minority_classes, 2, "between 2 and 2⁵³"),
    ] {
        if value < least || !is_exact(value) {
            return Err(Error::out_of_range(argument, value as f64, expected));
        }
    }
    check_energies(weight_energy, feature_energy)?;
    let classes = [majority_classes as f64, minority_classes as f64];
    let nuclear_norm = nuclear_norm(classes[0] + classes[1], weight_energy, feature_energy);
    if !nuclear_norm.is_normal() {
        let quantity = "the nuclear norm K√(E_W E_H)";
        return Err(Error::Unrepresentable { quantity, log10: nuclear_norm.log10() });
    }
    let logarithm = TwoSizes { classes }.log_critical_ratio(nuclear_norm);
    let ratio = logarithm.exp();
    if ratio.is_finite() {
        return Ok(ratio);
    }
    let log10 = logarithm / core::f64::consts::LN_10;
    Err(Error::Unrepresentable { quantity: "the critical ratio of the layer-peeled model", log10 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::counts::ClassCounts;

    fn model(runs: &[(u64, usize)], weight_energy: f64, feature_energy: f64) -> LayerPeeled {
        let counts = ClassCounts::from_runs(runs.iter().copied()).unwrap();
        LayerPeeled::new(counts, weight_energy, feature_energy).unwrap()
    }

    #[test]
    fn the_critical_ratio_is_that_of_two_sizes() {
        let ratio = layer_peeled_critical_ratio(3, 4, 2.0, 0.7).unwrap();
        assert_eq!(model(&[(10, 4), (70, 3)], 2.0, 0.7).critical_ratio(), Some(ratio));
        for runs in [&[(10, 4)][..], &[(10, 4), (20, 1), (30, 2)], &[(30, 4), (10, 1)]] {
            assert_eq!(model(runs, 2.0, 0.7).critical_ratio(), None);
        }
        let error = |large, small| layer_peeled_critical_ratio(large, small, 1.0, 1.0).unwrap_err();
        let most = 1 << 53;
        let expected = |argument, value, range| Error::out_of_range(argument, value, range);
        let (large, small) = ("between 1 and 2⁵³", "between 2 and 2⁵³");
        assert_eq!(error(0, 2), expected("majority_classes", 0.0, large));
        assert_eq!(error(2, 1), expected("minority_classes", 1.0, small));
        assert_eq!(error(most + 2, 2), expected("majority_classes", most as f64 + 2.0, large));
        assert_eq!(error(1, most + 2), expected("minority_classes", most as f64 + 2.0, small));
        assert!(layer_peeled_critical_ratio(1, 2, 1.0, 1.0).unwrap() > 1.0);
        assert!(layer_peeled_critical_ratio(most, most, 1e-16, 1e-16).unwrap() >= 1.0);
        // Of a large ratio there is the logarithm.
        let error = layer_peeled_critical_ratio(5, 6, 1e3, 1e3).unwrap_err();
        let Error::Unrepresentable { log10, .. } = error else { panic!("{error}") };
        let logarithm = TwoSizes { classes: [5.0, 6.0] }.log_critical_ratio(11e3);
        assert!((log10 * 10.0_f64.ln() / logarithm - 1.0).abs() < 1e-14 && log10 > 308.0);
    }
}
