//! The layer-peeled model: cross-entropy with constraints on the norms, and its minority collapse.

mod minimum;
mod prediction;
mod two_sizes;

use crate::error::{Error, Result, check_positive};
use crate::monitor::Monitor;
use crate::problem::counts::{ClassCounts, is_exact};
pub use minimum::LayerPeeledMinimum;
use two_sizes::TwoSizes;

use crate::models::convex::SMALL_BUDGET;

/// The layer-peeled model: cross-entropy on unconstrained features with a budget for the norms,
///
/// ```math
/// min  1/N Σ_k Σ_i CE(W h_ki, k)   such that   1/K Σ_k ‖w_k‖² ≤ E_W,   1/K Σ_k 1/n_k Σ_i ‖h_ki‖² ≤ E_H
/// ```
///
/// over W ∈ ℝ^(K×d) and features h_ki ∈ ℝᵈ, d ≥ K − 1.
///
/// Samples of a class have equal features at the minimum, because the loss is convex in each; then
/// with Z = W H̄ it is the convex problem min Σ_k (n_k/N) CE(Z e_k, k) such that ‖Z‖_* ≤ K√(E_W E_H),
/// since a matrix is a product of factors with these norms iff its nuclear norm obeys that bound. The
/// columns of the optimal Z sum to zero (taking their mean out keeps the loss and shortens Z), so it
/// has rank K − 1 at most and no larger d is needed. Z is unique, as the loss is strictly convex in
/// such columns, and with it the Gram matrices
/// WWᵀ = √(E_W/E_H) (ZZᵀ)^(1/2) and H̄ᵀH̄ = √(E_H/E_W) (ZᵀZ)^(1/2).
///
/// Balanced classes have a closed form; of classes of two sizes symmetry leaves four numbers; any other sizes
/// are solved by the method of [`ConvexUfm`](crate::models::convex::ConvexUfm), with a lower bound that proves the
/// result.
///
/// ```
/// use neural_collapse::{ClassCounts, LayerPeeled};
///
/// let minority_cosine = |majority: u64| {
///     let counts = ClassCounts::from_runs([(majority, 3), (10, 3)])?;
///     let minimum = LayerPeeled::new(counts, 1.0, 1.0)?.global_minimum()?;
///     Ok::<_, neural_collapse::Error>(minimum.classifier_gram().cosine(4, 5).unwrap())
/// };
/// assert!((minority_cosine(10)? + 0.2).abs() < 1e-14); // balanced: a simplex ETF
/// assert!(minority_cosine(30)? > 0.0);
/// assert!(minority_cosine(100)? > 1.0 - 1e-15); // minority collapse
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Fang, He, Long & Su, *Exploring Deep Neural Networks via Layer-Peeled Model* (PNAS 2021),
/// whose convex relaxation (over the Gram matrix of W and H̄, for d ≥ 2K) this is with W and H̄
/// eliminated.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "crate::models::stored::StoredLayerPeeled"))]
pub struct LayerPeeled {
    counts: ClassCounts,
    weight_energy: f64,
    feature_energy: f64,
}

impl LayerPeeled {
    /// The model for classes of these sizes, with the budgets E_W and E_H.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] with less than two classes or if a budget is not positive and finite.
    pub fn new(counts: ClassCounts, weight_energy: f64, feature_energy: f64) -> Result<Self> {
        if counts.classes() < 2 {
            return Err(Error::out_of_range("classes", counts.classes() as f64, "at least 2"));
        }
        check_energies(weight_energy, feature_energy)?;
        Ok(Self { counts, weight_energy, feature_energy })
    }

    /// The class sizes.
    #[must_use]
    pub fn counts(&self) -> &ClassCounts {
        &self.counts
    }

    /// E_W.
    #[must_use]
    pub fn weight_energy(&self) -> f64 {
        self.weight_energy
    }

    /// E_H.
    #[must_use]
    pub fn feature_energy(&self) -> f64 {
        self.feature_energy
    }

    /// T = K√(E_W E_H), the nuclear norm of the logits Z of the class means.
    #[must_use]
    pub fn nuclear_norm(&self) -> f64 {
        nuclear_norm(self.counts.classes() as f64, self.weight_energy, self.feature_energy)
    }

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
        let mut sizes: Vec<_> = self.counts.sizes().collect();
        sizes.sort_by_key(|group| group.size);
        let [minority, majority] = sizes[..] else { return None };
        let (large, small) = (majority.class_count as u64, minority.class_count as u64);
        layer_peeled_critical_ratio(large, small, self.weight_energy, self.feature_energy).ok()
    }

    /// The global minimum.
    ///
    /// Balanced: a simplex ETF with ‖w_k‖² = E_W and ‖h_k‖² = E_H, aligned. Two sizes: by two nested
    /// scalar equations, each solved in a bracket with a bounded number of steps; the logits are then
    /// found with an absolute error of about 10⁻¹⁵. Other sizes: by the convex program with prices for the norm, until
    /// one spends the budget. Small budgets with a single largest class are solved as what they are in the limit, the
    /// budget times a fixed direction, and corrected from there, so that their digits do not suffer.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, LayerPeeled, Prediction};
    ///
    /// let counts = ClassCounts::new(&[100, 60, 30, 10, 10])?;
    /// let minimum = LayerPeeled::new(counts, 3.0, 2.0)?.global_minimum()?;
    /// let gap = minimum.loss() - minimum.lower_bound().unwrap();
    /// assert!(gap < 1e-9 * minimum.loss());
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unrepresentable`] if E_W E_H or E_W/E_H is out of the range of `f64`, or the loss is too small for it;
    /// [`Error::NoConvergence`] if no finite point was found.
    ///
    /// Source: Theorem 1 (balanced) and section "Imbalanced training" of Fang et al. (PNAS 2021).
    pub fn global_minimum(&self) -> Result<LayerPeeledMinimum> {
        self.global_minimum_with(&())
    }

    /// [`global_minimum`](Self::global_minimum) under the eyes of a monitor, which hears of each step of the convex
    /// program.
    ///
    /// # Errors
    /// As there, and [`Error::Cancelled`] if the monitor ends the work.
    pub fn global_minimum_with(&self, monitor: &dyn Monitor) -> Result<LayerPeeledMinimum> {
        let aspect = self.weight_energy.sqrt() / self.feature_energy.sqrt();
        for (quantity, value) in [
            ("the nuclear norm K√(E_W E_H)", self.nuclear_norm()),
            ("the ratio √(E_W/E_H)", aspect),
        ] {
            if !value.is_normal() {
                return Err(Error::Unrepresentable { quantity, log10: value.log10() });
            }
        }
        let problem = self.clone();
        match self.counts.groups() {
            [_] => Ok(LayerPeeledMinimum::balanced(problem, aspect)),
            // Two nested equations know the logits to absolute digits only, the contrasts apart.
            [large, small] if large.class_count > 1 || self.nuclear_norm() > SMALL_BUDGET => {
                let sizes = [large.size as f64, small.size as f64];
                let classes = [large.class_count as f64, small.class_count as f64];
                Ok(LayerPeeledMinimum::of_two_sizes(problem, aspect, sizes, classes))
            }
            _ => LayerPeeledMinimum::of_any_sizes(problem, aspect, monitor),
        }
    }
}

/// The critical imbalance ratio R* of the layer-peeled model: `majority_classes` classes of R·n
/// samples beside `minority_classes` classes of n samples collapse the minority, whose classifiers
/// become one vector, iff R ≥ R*.
///
/// It depends on the product E_W E_H of the budgets only, is above 1 and grows with it.
///
/// # Errors
/// [`Error::OutOfRange`] if there is no majority class, less than two minority classes, or more than
/// 2⁵³ of either, or if a budget is not positive and finite; [`Error::Unrepresentable`] if R* or
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

/// K√(E_W E_H), without overflow on the way.
fn nuclear_norm(classes: f64, weight_energy: f64, feature_energy: f64) -> f64 {
    classes * weight_energy.sqrt() * feature_energy.sqrt()
}

fn check_energies(weight_energy: f64, feature_energy: f64) -> Result<()> {
    check_positive("weight_energy", weight_energy)?;
    check_positive("feature_energy", feature_energy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prediction::Prediction;

    fn model(runs: &[(u64, usize)], weight_energy: f64, feature_energy: f64) -> LayerPeeled {
        let counts = ClassCounts::from_runs(runs.iter().copied()).unwrap();
        LayerPeeled::new(counts, weight_energy, feature_energy).unwrap()
    }

    /// A single largest class with a small budget is left to the program, which keeps the digits.
    #[test]
    fn two_sizes_are_solved_in_closed_form_but_where_digits_would_suffer() {
        let (closed, program) = ("proved", "proved_within_gap");
        for (runs, energy, expected) in [
            (&[(20, 3), (10, 3)][..], 1.0, closed),
            (&[(20, 3), (10, 3)], 1e-6, closed),
            (&[(50, 1), (10, 4)], 1.0, closed),
            (&[(50, 1), (10, 4)], 1e-6, program),
            (&[(20, 6)], 1e-6, closed),
            (&[(20, 1), (10, 1), (5, 1)], 1.0, program),
        ] {
            let minimum = model(runs, energy, energy).global_minimum().unwrap();
            assert_eq!(minimum.verdict().keyword(), expected, "{runs:?}, {energy}");
        }
        let edge = model(&[(50, 1), (10, 1)], 2.5e-7, 1.0);
        assert_eq!(edge.nuclear_norm(), SMALL_BUDGET);
        assert_eq!(edge.global_minimum().unwrap().verdict().keyword(), program);
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

    /// Each class has the geometry of its run.
    #[test]
    fn classes_are_asked_for_one_by_one() {
        let minimum = model(&[(1000, 2), (10, 3), (1000, 1)], 1.0, 2.0).global_minimum().unwrap();
        for (run, geometry) in minimum.class_runs() {
            for class in run.classes() {
                assert_eq!(minimum.class(class), Some(geometry));
            }
        }
        assert_eq!(minimum.class(6), None);
        // The small classes share one classifier: two directions of the large ones, and one between both.
        let values = minimum.singular_values(1..=1).unwrap();
        let multiplicities: Vec<usize> = values.iter().map(|value| value.multiplicity).collect();
        assert_eq!(multiplicities.iter().sum::<usize>(), 3);
        assert_eq!(minimum.rank(), 3);
        // A small budget goes to the large classes alone.
        let small = model(&[(20, 3), (10, 3)], 1e-6, 1e-6).global_minimum().unwrap();
        assert_eq!((small.rank(), small.singular_values(1..=1).unwrap().len()), (2, 1));
        assert!(minimum.is_unique() && minimum.bias().is_none() && minimum.widths().is_none());
    }
}
