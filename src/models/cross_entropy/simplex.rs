//! The scalar problem of the simplex ETF under cross-entropy: its thresholds and its minimizer.

use crate::error::{Error, Result, check_not_negative, check_positive};
use crate::models::cross_entropy::problem::CrossEntropyUfm;
use crate::models::cross_entropy::smoothing::Neighborhood;
use crate::models::regime::Regime;
use crate::numerics::bracketed_root::sign_change;
use crate::numerics::nth_root::root_of_ratio;
use crate::problem::coded_weights::check_smoothing;

/// Cap on the Newton iterations. Far from the fold 6 are enough; close to it each step halves the
/// distance until the two stationary points come apart.
const MAX_STEPS: usize = 80;

/// The loss of logits α(I − 11ᵀ/K) as a function of their size α ≥ 0:
///
/// ```math
/// F(α; u) = ln(1 + (K−1) e^(−α)) + δ (K−1) α/K + (M+1)/2 · (K−1) · u · α^(2/(M+1))
/// ```
///
/// The *strength* u is (n P)^(1/(M+1)), the geometric mean of all decays λ₁, …, λ_M and n λ_H, for n
/// samples per class; δ is the label smoothing, 0 unless it is [set](Self::with_label_smoothing). The first
/// two terms are the cross-entropy of every sample, the last one is the least penalty that layers and
/// features can have for these logits. At α = 0 the loss is ln K.
///
/// For one layer F has one minimum, at α > 0 iff u < (1 − δ)/K. For M ≥ 2 layers 0 is always a local
/// minimum, and up to the [`fold`](Self::fold) there is another one at the larger root of
/// α^((M−1)/(M+1)) · (1/(e^α + K − 1) − δ/K) = u; it is the lower one up to the
/// [`threshold`](Self::threshold).
///
/// ```
/// use neural_collapse::models::cross_entropy::SimplexPotential;
/// use neural_collapse::models::Regime;
///
/// let potential = SimplexPotential::new(10, 3)?;
/// let minimizer = potential.minimizer(0.01)?;
/// assert_eq!(minimizer.regime(), Regime::Positive);
/// assert!(potential.value(minimizer.alpha(), 0.01)? < 10.0_f64.ln());
/// assert!(potential.derivative(minimizer.alpha(), 0.01)?.abs() < 1e-15);
///
/// // Beyond the threshold nothing is learnt, although a local minimum remains up to the fold.
/// let strength = 1.01 * potential.threshold();
/// assert!(strength < potential.fold());
/// assert_eq!(potential.minimizer(strength)?.alpha(), 0.0);
/// assert!(potential.local_minimum(strength)?.is_some());
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: for M = 1 Zhu et al. (NeurIPS 2021), for M ≥ 2 the critical point of Theorem A.1 in Dang
/// et al. (ICML 2023); the threshold and the fold are derived in the project's
/// `docs/cross-entropy.md`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "stored::Stored", into = "stored::Stored"))]
pub struct SimplexPotential {
    /// K.
    classes: usize,
    /// K − 1.
    others: f64,
    depth: f64,
    /// δ.
    smoothing: f64,
    threshold: f64,
    fold: f64,
    /// Where F(α) = F(0) at the threshold, and where the stationary points merge at the fold.
    tie: f64,
    merger: f64,
}

impl SimplexPotential {
    /// The potential for K = `classes` ≥ 2 classes and M = `depth` ≥ 1 layers.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there are less than two classes or no layer.
    pub fn new(classes: usize, depth: usize) -> Result<Self> {
        if classes < 2 {
            return Err(Error::out_of_range("classes", classes as f64, "at least 2"));
        }
        if depth == 0 {
            return Err(Error::out_of_range("depth", 0.0, "at least 1"));
        }
        Ok(Self::unchecked(classes, depth, 0.0))
    }

    /// The same potential for labels that are smoothed to (1 − δ) e_k + δ/K 1.
    ///
    /// From δ > 0 on the cross-entropy itself has a smallest value, at
    /// α = ln(1 + K(1 − δ)/δ), which no penalty lets α exceed.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless 0 ≤ δ < 1.
    ///
    /// ```
    /// use neural_collapse::models::cross_entropy::SimplexPotential;
    ///
    /// // One layer: smoothing acts as δ/K more strength.
    /// let plain = SimplexPotential::new(10, 1)?;
    /// let smoothed = plain.with_label_smoothing(0.1)?;
    /// let (a, b) = (smoothed.minimizer(0.02)?.alpha(), plain.minimizer(0.03)?.alpha());
    /// assert!((a - b).abs() < 1e-14);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn with_label_smoothing(&self, smoothing: f64) -> Result<Self> {
        check_smoothing(smoothing)?;
        Ok(Self::unchecked(self.classes(), self.depth(), smoothing))
    }

    /// The potential for checked arguments.
    fn unchecked(classes: usize, depth: usize, smoothing: f64) -> Self {
        let (others, depth) = ((classes - 1) as f64, depth as f64);
        let [threshold, fold, tie, merger] = [0.0; 4];
        let bare = Self { classes, others, depth, smoothing, threshold, fold, tie, merger };
        if depth == 1.0 {
            let threshold = (1.0 - smoothing) / (others + 1.0);
            return Self { threshold, fold: threshold, ..bare };
        }
        let (tie, merger) = (bare.find_tie(), bare.find_merger());
        // u = 2 (ln K − fit(α))/((M+1)(K−1) α^p) is largest at the tie, and α^q · slope at the merger:
        // neither feels an error of its position.
        let power = tie.powf(2.0 / (depth + 1.0));
        let threshold = 2.0 * bare.gain(tie) / ((depth + 1.0) * others * power);
        let fold = merger.powf(bare.exponent()) * bare.slope(merger);
        Self { threshold, fold, tie, merger, ..bare }
    }

    /// Number of classes K.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Number of layers M.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth as usize
    }

    /// δ.
    #[must_use]
    pub fn label_smoothing(&self) -> f64 {
        self.smoothing
    }

    /// The largest strength u for which the simplex ETF is not worse than α = 0; (1 − δ)/K for M = 1.
    ///
    /// The collapse threshold of n·P is its (M+1)-th power.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// The largest strength u for which F has a local minimum at α > 0; (1 − δ)/K for M = 1.
    #[must_use]
    pub fn fold(&self) -> f64 {
        self.fold
    }

    /// F(α; u).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `alpha` is negative, `strength` is not positive, or one of them is
    /// not finite.
    pub fn value(&self, alpha: f64, strength: f64) -> Result<f64> {
        check_not_negative("alpha", alpha)?;
        check_positive("strength", strength)?;
        Ok(self.value_unchecked(alpha, strength))
    }

    pub(crate) fn value_unchecked(&self, alpha: f64, strength: f64) -> f64 {
        let penalty = (self.depth + 1.0) / 2.0 * self.others * self.energy(alpha, strength);
        (self.others * (-alpha).exp()).ln_1p() + self.smoothing_term(alpha) + penalty
    }

    /// δ (K−1) α/K.
    fn smoothing_term(&self, alpha: f64) -> f64 {
        self.smoothing * (self.others / (self.others + 1.0)) * alpha
    }

    /// u·α^(2/(M+1)), the energy t of each of the K−1 singular directions.
    pub(crate) fn energy(&self, alpha: f64, strength: f64) -> f64 {
        strength * alpha.powf(2.0 / (self.depth + 1.0))
    }

    /// The derivative F′(α; u) = (K−1)·(u α^(−(M−1)/(M+1)) + δ/K − 1/(e^α + K − 1)).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `alpha` or `strength` is not positive and finite.
    pub fn derivative(&self, alpha: f64, strength: f64) -> Result<f64> {
        check_positive("alpha", alpha)?;
        check_positive("strength", strength)?;
        let pull = strength / alpha.powf(self.exponent());
        Ok(self.others * (pull - self.slope(alpha)))
    }

    /// The global minimizer of F over α ≥ 0.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `strength` is not positive and finite.
    pub fn minimizer(&self, strength: f64) -> Result<SimplexMinimizer> {
        check_positive("strength", strength)?;
        Ok(self.minimizer_unchecked(strength))
    }

    pub(crate) fn minimizer_unchecked(&self, strength: f64) -> SimplexMinimizer {
        let at = |regime, alpha| SimplexMinimizer { regime, alpha };
        if strength > self.threshold || (self.depth == 1.0 && strength == self.threshold) {
            return at(Regime::Zero, 0.0);
        }
        if strength == self.threshold {
            return at(Regime::Tie, self.tie);
        }
        at(Regime::Positive, self.larger_root(strength))
    }

    /// The local minimum of F at α > 0, or `None` if `strength` is above the [`fold`](Self::fold).
    /// It is the global one only up to the [`threshold`](Self::threshold).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `strength` is not positive and finite.
    pub fn local_minimum(&self, strength: f64) -> Result<Option<f64>> {
        check_positive("strength", strength)?;
        if strength > self.fold || (self.depth == 1.0 && strength == self.fold) {
            return Ok(None);
        }
        Ok(Some(self.larger_root(strength)))
    }

    /// The strength u from which on zero is the global minimum over *all* logits, by proof: K − 1 to the
    /// power (M−1)/(M+1) times the [`threshold`](Self::threshold), which it equals for M = 1 or K = 2.
    ///
    /// The proof bounds the penalty from below by that of one singular value, see
    /// [`lower_bound`](crate::Prediction::lower_bound) of a [`Landscape`](crate::Landscape).
    #[must_use]
    pub fn proved_collapse(&self) -> f64 {
        self.threshold * self.spread()
    }

    /// The strength u up to which the simplex ETF is the global minimum over *all* logits and biases, by proof.
    ///
    /// It is the [`threshold`](Self::threshold) for one layer or two classes. For M ≥ 2 it is 0 without label
    /// smoothing; with it, it is positive, as the smoothed cross-entropy has one minimizer, of full rank,
    /// near which the loss is convex.
    ///
    /// Source: the project's `docs/cross-entropy.md`.
    #[must_use]
    pub fn proved_simplex(&self) -> f64 {
        if self.depth == 1.0 || self.others == 1.0 {
            return self.threshold;
        }
        if self.smoothing == 0.0 {
            return 0.0;
        }
        let minimizer = self.largest_alpha();
        Neighborhood::new(self.others, self.depth, self.smoothing, minimizer).largest_strength()
    }

    /// The least F with the penalty (M+1)/2·u·((K−1)α)^(2/(M+1)) of one singular value.
    pub(crate) fn lower_bound(&self, strength: f64) -> f64 {
        let reduced = strength / self.spread();
        self.value_unchecked(self.minimizer_unchecked(reduced).alpha(), reduced)
    }

    /// (K−1)^((M−1)/(M+1)) = (K−1)/(K−1)^(2/(M+1)), within 3 ulp.
    fn spread(&self) -> f64 {
        let root = root_of_ratio(self.others, 1.0, (self.depth as u32).saturating_add(1));
        self.others / root / root
    }

    /// (M−1)/(M+1).
    fn exponent(&self) -> f64 {
        (self.depth - 1.0) / (self.depth + 1.0)
    }

    /// The α at which the smoothed cross-entropy is smallest, infinite without smoothing.
    pub(crate) fn largest_alpha(&self) -> f64 {
        ((self.others + 1.0) * (1.0 - self.smoothing) / self.smoothing).ln_1p()
    }

    /// 1/(e^α + K − 1) − δ/K, what a larger α gains in each of the K − 1 directions.
    fn slope(&self, alpha: f64) -> f64 {
        if self.smoothing == 0.0 {
            return (alpha.exp() + self.others).recip();
        }
        let share = (self.others * (-alpha).exp() + 1.0).recip();
        let rest = (self.largest_alpha() - alpha).exp_m1().max(0.0);
        self.smoothing * rest * share / (self.others + 1.0)
    }

    /// ln K less the cross-entropy at α.
    fn gain(&self, alpha: f64) -> f64 {
        gain(alpha, self.others) - self.smoothing_term(alpha)
    }

    /// Where F is stationary and equals F(0): gain/(α · slope of the gain) = (M+1)/2.
    ///
    /// The gain is concave, so that its ratio to α times its slope is at least 1, and it rises with α.
    fn find_tie(&self) -> f64 {
        let level = ((self.depth + 1.0) / 2.0).ln();
        let log_slope = |alpha: f64| match self.smoothing {
            0.0 => self.others.ln() - alpha - (self.others * (-alpha).exp()).ln_1p(),
            _ => (self.others * self.slope(alpha)).ln(),
        };
        let excess = |alpha: f64| self.gain(alpha).ln() - alpha.ln() - log_slope(alpha) - level;
        let high = self.above_tie(level);
        sign_change(1e-3 * high.min(1.0), high, excess)
    }

    /// An α above the tie, for the logarithm of (M+1)/2.
    fn above_tie(&self, level: f64) -> f64 {
        let high = 2.0 * (self.others.ln() + level) + 10.0;
        high.min(self.largest_alpha())
    }

    /// The maximum of α^q · slope, where α e^α/(e^α + K − 1) · 1/(e^α + K − 1)/slope = q.
    fn find_merger(&self) -> f64 {
        let exponent = self.exponent();
        let share = |alpha: f64| (1.0 + self.others * (-alpha).exp()).recip();
        let excess = |alpha: f64| {
            alpha * (share(alpha).powi(2) * (-alpha).exp() / self.slope(alpha)) - exponent
        };
        sign_change(0.0, (self.others.ln() + 2.0).min(self.largest_alpha()), excess)
    }

    /// The larger root of α^q · slope = u.
    fn larger_root(&self, strength: f64) -> f64 {
        if self.depth == 1.0 {
            return self.root_of_one_layer(strength);
        }
        if self.smoothing > 0.0 {
            let excess =
                |alpha: f64| strength / alpha.powf(self.exponent()) / self.slope(alpha) - 1.0;
            return sign_change(self.merger, self.largest_alpha(), excess);
        }
        // φ(α) = ln α^q − ln(e^α + K − 1) is concave and falls to the right of the merger: from a
        // start to the right of the root Newton's iteration falls towards it without passing it.
        let mut alpha = self.newton_start(strength);
        for _ in 0..MAX_STEPS {
            let step = self.newton_step(alpha, strength);
            let next = (alpha - alpha * step).max(self.merger);
            let settled = step.abs() <= 2.0 * f64::EPSILON;
            alpha = next;
            if settled || alpha == self.merger {
                break;
            }
        }
        alpha
    }

    /// e^α > α^q/u − (K−1) makes −ln u + q ln α an upper bound of the larger root once α is one, and 2(q − ln u) is above
    /// it and the merger.
    fn newton_start(&self, strength: f64) -> f64 {
        2.0 * (self.exponent() - strength.ln())
    }

    /// α = ln((1 − (K−1)v)/v) = ln(1 + (1 − K v)/v) with v = u + δ/K for one layer; 1 − K v = 1 − δ − K u
    /// is rounded once without smoothing.
    fn root_of_one_layer(&self, strength: f64) -> f64 {
        let classes = self.others + 1.0;
        let whole = strength + self.smoothing / classes;
        let excess = (-classes).mul_add(strength, 1.0 - self.smoothing) / whole;
        if excess.is_finite() { excess.ln_1p() } else { -whole.ln() }
    }

    /// A Newton step for φ(α) = ln u, relative to α. The residual is that of u(e^α + K − 1) = α^q near
    /// the root and that of the logarithms far from it.
    fn newton_step(&self, alpha: f64, strength: f64) -> f64 {
        let exponent = self.exponent();
        let share = (self.others * (-alpha).exp() + 1.0).recip();
        let slope = alpha * share - exponent;
        // Infinite where e^α is: of so large an α the logarithms have all digits.
        let fitted = strength * alpha.exp() + strength * self.others;
        let ratio = fitted / alpha.powf(exponent);
        let residual = if (0.5..2.0).contains(&ratio) {
            ratio - 1.0
        } else {
            strength.ln() + alpha - share.ln() - exponent * alpha.ln()
        };
        residual / slope
    }
}

impl CrossEntropyUfm {
    /// The scalar problem of the simplex ETF for this K, M and label smoothing.
    #[must_use]
    pub fn simplex_potential(&self) -> SimplexPotential {
        SimplexPotential::unchecked(self.classes(), self.depth(), self.label_smoothing())
    }

    /// The factor on λ₁, …, λ_M and λ_H up to which the simplex ETF is not worse than zero weights, its
    /// [threshold](crate::models::cross_entropy::SimplexPotential::threshold) divided by the [strength](Self::strength);
    /// below 1 if it is worse already. With one layer everything collapses there; with several, points of lower rank may
    /// take its place before, and survive it.
    ///
    /// ```
    /// use neural_collapse::{CrossEntropyUfm, Regularization};
    ///
    /// let ufm = CrossEntropyUfm::new(4, 25, Regularization::new(&[1e-3], 1e-3)?)?;
    /// assert!((ufm.simplex_collapse_factor() - 50.0).abs() < 1e-11); // 1/K = 0.25 = 50 √(n λ_W λ_H)
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn simplex_collapse_factor(&self) -> f64 {
        self.simplex_potential().threshold() / self.strength()
    }
}

/// ln K − ln(1 + (K−1) e^(−α)), what logits of size α gain over none.
fn gain(alpha: f64, others: f64) -> f64 {
    let classes = others + 1.0;
    let lost = others / classes * -(-alpha).exp_m1();
    if lost < 0.5 {
        return -(-lost).ln_1p();
    }
    -((1.0 + others * (-alpha).exp()) / classes).ln()
}

/// The global minimizer of a [`SimplexPotential`].
///
/// At a [`Regime::Tie`], the threshold of M ≥ 2 layers, `alpha` is the positive one of the two.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SimplexMinimizer {
    regime: Regime,
    alpha: f64,
}

impl SimplexMinimizer {
    /// Where the minimum lies.
    #[must_use]
    pub fn regime(&self) -> Regime {
        self.regime
    }

    /// The minimizer α, by which the logit of the right class exceeds every other.
    #[must_use]
    pub fn alpha(&self) -> f64 {
        self.alpha
    }
}

#[cfg(feature = "serde")]
mod stored {
    use super::SimplexPotential;
    use crate::error::{Error, Result};

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename = "SimplexPotential", deny_unknown_fields)]
    pub(super) struct Stored {
        classes: usize,
        depth: usize,
        #[serde(default)]
        label_smoothing: f64,
    }

    impl From<SimplexPotential> for Stored {
        fn from(potential: SimplexPotential) -> Self {
            let (classes, depth) = (potential.classes(), potential.depth());
            Self { classes, depth, label_smoothing: potential.label_smoothing() }
        }
    }

    impl TryFrom<Stored> for SimplexPotential {
        type Error = Error;

        fn try_from(stored: Stored) -> Result<Self> {
            Self::new(stored.classes, stored.depth)?.with_label_smoothing(stored.label_smoothing)
        }
    }
}

#[cfg(test)]
mod tests;
