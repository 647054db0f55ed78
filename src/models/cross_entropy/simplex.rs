//! The scalar problem of the simplex ETF under cross-entropy: its thresholds and its minimiser.

use crate::error::{Error, Result, check_not_negative, check_positive};
use crate::models::regime::Regime;
use crate::numerics::bracketed_root::sign_change;
use crate::numerics::double_double::DoubleDouble;
use crate::numerics::nth_root::root_of_ratio;

/// Cap on the Newton iterations. Far from the fold 6 are enough; close to it each step halves the
/// distance until the two stationary points come apart.
const MAX_STEPS: usize = 80;

/// The loss of logits α(I − 11ᵀ/K) as a function of their size α ≥ 0:
///
/// ```math
/// F(α; u) = ln(1 + (K−1) e^(−α)) + (M+1)/2 · (K−1) · u · α^(2/(M+1))
/// ```
///
/// The *strength* u is (n P)^(1/(M+1)), the geometric mean of all decays λ₁, …, λ_M and n λ_H, for n
/// samples a class. The first term is the cross-entropy of every sample, the second the least
/// penalty that layers and features can have for these logits. At α = 0 the loss is ln K.
///
/// For one layer F has one minimum, at α > 0 iff u < 1/K. For M ≥ 2 layers 0 is always a local
/// minimum, and up to the [`fold`](Self::fold) there is another one at the larger root of
/// α^((M−1)/(M+1))/(e^α + K − 1) = u; it is the lower one up to the [`threshold`](Self::threshold).
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
pub struct SimplexPotential {
    /// K − 1.
    others: f64,
    depth: f64,
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
        let (others, depth) = ((classes - 1) as f64, depth as f64);
        if depth == 1.0 {
            let threshold = (others + 1.0).recip();
            return Ok(Self { others, depth, threshold, fold: threshold, tie: 0.0, merger: 0.0 });
        }
        let (tie, merger) = (tie(others, depth), merger(others, depth));
        // u = 2 (ln K − ln(1 + (K−1)e^(−α)))/((M+1)(K−1) α^p) is largest at the tie, and
        // α^q/(e^α + K − 1) at the merger: neither feels an error of its position.
        let power = tie.powf(2.0 / (depth + 1.0));
        let threshold = 2.0 * gain(tie, others) / ((depth + 1.0) * others * power);
        let fold = merger.powf((depth - 1.0) / (depth + 1.0)) / (merger.exp() + others);
        Ok(Self { others, depth, threshold, fold, tie, merger })
    }

    /// The largest strength u for which the simplex ETF is not worse than α = 0; 1/K for M = 1.
    ///
    /// The collapse threshold of n·P is its (M+1)-th power.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// The largest strength u for which F has a local minimum at α > 0; 1/K for M = 1.
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
        (self.others * (-alpha).exp()).ln_1p() + penalty
    }

    /// u·α^(2/(M+1)), the energy t of each of the K−1 singular directions.
    pub(crate) fn energy(&self, alpha: f64, strength: f64) -> f64 {
        strength * alpha.powf(2.0 / (self.depth + 1.0))
    }

    /// The derivative F′(α; u) = (K−1)·(u α^(−(M−1)/(M+1)) − 1/(e^α + K − 1)).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `alpha` or `strength` is not positive and finite.
    pub fn derivative(&self, alpha: f64, strength: f64) -> Result<f64> {
        check_positive("alpha", alpha)?;
        check_positive("strength", strength)?;
        let pull = strength / alpha.powf(self.exponent());
        Ok(self.others * (pull - (alpha.exp() + self.others).recip()))
    }

    /// The global minimiser of F over α ≥ 0.
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
    /// [`Landscape::lower_bound`](crate::Landscape::lower_bound).
    #[must_use]
    pub fn proved_collapse(&self) -> f64 {
        self.threshold * self.spread()
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

    /// The larger root of α^q/(e^α + K − 1) = u.
    fn larger_root(&self, strength: f64) -> f64 {
        if self.depth == 1.0 {
            return self.root_of_one_layer(strength);
        }
        // φ(α) = ln α^q − ln(e^α + K − 1) is concave and falls to the right of the merger: from a
        // start to the right of the root Newton's iteration falls towards it without passing it.
        // e^α > α^q/u − (K−1) makes −ln u + q ln α an upper bound once α is one.
        let (log, exponent) = (strength.ln(), self.exponent());
        let mut alpha = (self.merger + 1.0).max(2.0 * (exponent - log));
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

    /// α = ln((1 − (K−1)u)/u) = ln(1 + (1 − K u)/u) for one layer, with 1 − K u rounded once.
    fn root_of_one_layer(&self, strength: f64) -> f64 {
        let excess = (-(self.others + 1.0)).mul_add(strength, 1.0) / strength;
        if excess.is_finite() { excess.ln_1p() } else { -strength.ln() }
    }

    /// A Newton step for φ(α) = ln u, relative to α. The residual is that of u(e^α + K − 1) = α^q near
    /// the root and that of the logarithms far from it.
    fn newton_step(&self, alpha: f64, strength: f64) -> f64 {
        let exponent = self.exponent();
        let share = (self.others * (-alpha).exp() + 1.0).recip();
        let slope = alpha * share - exponent;
        // u e^α in two factors, neither of which overflows.
        let half = (alpha / 2.0).exp();
        let fitted = if alpha < 600.0 {
            DoubleDouble::product(strength, alpha.exp()).value() + strength * self.others
        } else {
            strength * half * half
        };
        let ratio = fitted / alpha.powf(exponent);
        let residual = if (0.5..2.0).contains(&ratio) {
            ratio - 1.0
        } else {
            strength.ln() + alpha - share.ln() - exponent * alpha.ln()
        };
        residual / slope
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

/// The root of gain(α)·(e^α + K − 1)/((K−1) α) = (M+1)/2, where F is stationary and equals F(0).
///
/// The gain is concave, so that its ratio to α times its slope is at least 1, and it rises with α.
fn tie(others: f64, depth: f64) -> f64 {
    let level = ((depth + 1.0) / 2.0).ln();
    let excess = |alpha: f64| {
        let slope = others.ln() - alpha - (others * (-alpha).exp()).ln_1p();
        gain(alpha, others).ln() - alpha.ln() - slope - level
    };
    sign_change(1e-3, 2.0 * (others.ln() + level) + 10.0, excess)
}

/// The root of α e^α/(e^α + K − 1) = (M−1)/(M+1), the maximum of α^q/(e^α + K − 1).
fn merger(others: f64, depth: f64) -> f64 {
    let exponent = (depth - 1.0) / (depth + 1.0);
    let excess = |alpha: f64| alpha / (1.0 + others * (-alpha).exp()) - exponent;
    sign_change(0.0, others.ln() + 2.0, excess)
}

/// The global minimiser of a [`SimplexPotential`].
///
/// At a [`Regime::Tie`], the threshold of M ≥ 2 layers, `alpha` is the positive one of the two.
#[derive(Debug, Clone, Copy, PartialEq)]
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

    /// The minimiser α, by which the logit of the right class exceeds every other.
    #[must_use]
    pub fn alpha(&self) -> f64 {
        self.alpha
    }
}
