//! The scalar core: g(x; b) = 1/(x^M + 1) + b x, its thresholds, stationary points and minimizer.

use num_traits::Float;

use crate::error::{Error, Result, check_not_negative, check_positive};
use crate::models::regime::Regime;
use crate::models::squared::stationary::Solver;
use crate::numerics::double_double::DoubleDouble;
use crate::numerics::nth_root::{double_double_root, from_u32, power, root_of_ratio};

/// The function g(x; b) = 1/(x^M + 1) + b x on x ≥ 0 that decides the size of every singular
/// direction of a deep linear head, for one depth M.
///
/// In a direction whose target has the singular value σ, the loss of an M-layer head is
/// σ²·g(x; b)/(2N) with b = M a/σ², where x^M is the ratio of the fitted to the unfitted share of
/// the target. The global minimizer is 0 for b above the threshold β_M, and the larger of the two
/// stationary points below it.
///
/// Making one costs a few roots (some 200 ns), each question to it much less: make it once for a depth and
/// reuse it. [`tau`], [`beta`] and [`minimize_g`] are for single numbers.
///
/// The type is generic over [`num_traits::Float`], of numbers that errors can show as `f64`. The minimizer, the stationary
/// points and the thresholds are within 2 ulp of the exact value for the given b in `f64` and within 1 ulp in
/// `f32`; the tables of the project's `docs/accuracy.md` show the largest errors found.
///
/// ```
/// use neural_collapse::Potential;
/// use neural_collapse::models::Regime;
///
/// let potential = Potential::<f64>::new(3)?;
/// let minimizer = potential.minimizer(0.1)?;
/// assert_eq!(minimizer.regime(), Regime::Positive);
/// assert!(potential.derivative(minimizer.x(), 0.1)?.abs() < 1e-15);
///
/// // Beyond the threshold the direction collapses, although a local minimum remains up to the fold.
/// let slope = 0.53;
/// assert!(potential.slope_threshold() < slope && slope < potential.fold());
/// assert_eq!(potential.minimizer(slope)?.x(), 0.0);
/// assert!(potential.stationary_points(slope)?.is_some());
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Dang et al. (ICML 2023), appendix D.2.1, where the threshold is derived.
#[doc(alias = "g")]
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(try_from = "u32", into = "u32", bound = "T: Float + Into<f64>")
)]
pub struct Potential<T> {
    depth: u32,
    threshold: T,
    slope_threshold: T,
    fold: T,
    solver: Solver<T>,
}

impl<T: Float + Into<f64>> Potential<T> {
    /// The potential of a head of `depth` M ≥ 1 linear layers.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `depth` is 0, or so large that x^M has hardly a digit left when x is
    /// rounded: above 2¹⁷ for `f32`. For `f64` every depth is allowed.
    pub fn new(depth: u32) -> Result<Self> {
        if depth == 0 {
            return Err(Error::out_of_range("depth", 0.0, "at least 1"));
        }
        if from_u32::<T>(depth) * T::epsilon() > from_u32::<T>(64).recip() {
            return Err(Error::out_of_range("depth", depth.into(), "at most 1/(64 ε)"));
        }
        let (slope_threshold, threshold) = thresholds(depth);
        let solver = Solver::new(depth);
        Ok(Self { depth, threshold, slope_threshold, fold: fold(depth), solver })
    }

    /// The depth M.
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// The threshold τ_M = (M−1)^((M−1)/M)/M² of the ratio a/σ²: a direction is nonzero at the
    /// global minimum iff its ratio is below it. τ₁ = 1, τ₂ = 1/4.
    ///
    /// Source: Theorems 3.1 and 4.4.
    #[doc(alias = "tau_M")]
    #[must_use]
    pub fn threshold(&self) -> T {
        self.threshold
    }

    /// The threshold β_M = M τ_M of the slope b. β₁ = 1, β₂ = 1/2.
    #[doc(alias = "beta_M")]
    #[must_use]
    pub fn slope_threshold(&self) -> T {
        self.slope_threshold
    }

    /// The fold max_x M x^(M−1)/(x^M + 1)²: the largest slope b for which g has stationary points.
    ///
    /// It lies above [`slope_threshold`](Self::slope_threshold) for M ≥ 2. In between, the larger
    /// stationary point is a local minimum that is *not* global. Reached at x^M = (M−1)/(M+1).
    #[must_use]
    pub fn fold(&self) -> T {
        self.fold
    }

    /// g(x; b) = 1/(x^M + 1) + b x.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `x` is negative, `b` is not positive, or one of them is not finite.
    pub fn value(&self, x: T, b: T) -> Result<T> {
        check_not_negative("x", x)?;
        check_positive("b", b)?;
        Ok(self.value_unchecked(x, b))
    }

    fn value_unchecked(&self, x: T, b: T) -> T {
        (power(x, self.depth) + T::one()).recip() + b * x
    }

    /// [`value`](Self::value), or NaN where that is an error: for closures that must return a number.
    ///
    /// ```
    /// use neural_collapse::Potential;
    ///
    /// let potential = Potential::<f64>::new(3)?;
    /// let values: Vec<f64> =
    ///     [-1.0, 0.0, 1.0].iter().map(|&x| potential.value_or_nan(x, 0.25)).collect();
    /// assert!(values[0].is_nan() && values[1..] == [1.0, 0.75]);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn value_or_nan(&self, x: T, b: T) -> T {
        self.value(x, b).unwrap_or_else(|_| T::nan())
    }

    /// [`derivative`](Self::derivative), or NaN where that is an error.
    #[must_use]
    pub fn derivative_or_nan(&self, x: T, b: T) -> T {
        self.derivative(x, b).unwrap_or_else(|_| T::nan())
    }

    /// The x of the [`minimizer`](Self::minimizer), or NaN where that is an error.
    #[must_use]
    pub fn minimizer_or_nan(&self, b: T) -> T {
        self.minimizer(b).map_or_else(|_| T::nan(), |minimizer| minimizer.x())
    }

    /// The derivative g′(x; b) = b − M x^(M−1)/(x^M + 1)².
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `x` is negative, `b` is not positive, or one of them is not finite.
    pub fn derivative(&self, x: T, b: T) -> Result<T> {
        check_not_negative("x", x)?;
        check_positive("b", b)?;
        let (below, q) = (power(x, self.depth - 1), power(x, self.depth));
        // x^(M−1)/(1+q)² as a product of two factors that cannot overflow.
        let decay = (below / (q + T::one())) / (q + T::one());
        let pull = if q.is_infinite() { T::zero() } else { from_u32::<T>(self.depth) * decay };
        Ok(b - pull)
    }

    /// The global minimizer of g over x ≥ 0.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `b` is not positive and finite.
    pub fn minimizer(&self, b: T) -> Result<Minimizer<T>> {
        check_positive("b", b)?;
        Ok(self.minimizer_unchecked(b))
    }

    /// [`minimizer`](Self::minimizer) of a slope that is known to be positive and finite.
    pub(crate) fn minimizer_unchecked(&self, b: T) -> Minimizer<T> {
        let regime = self.regime(b);
        let (x, power) = match regime {
            Regime::Zero => (T::zero(), T::zero()),
            Regime::Tie => {
                let power = from_u32::<T>(self.depth - 1);
                (root_of_ratio(power, T::one(), self.depth), power)
            }
            Regime::Positive => {
                let root = self.solver.global(b);
                (root.x, root.power)
            }
        };
        Minimizer { regime, slope: b, x, power }
    }

    /// The minimizer of a slope for which x and x^M were found before.
    pub(crate) fn minimizer_found(&self, b: T, x: T, power: T) -> Minimizer<T> {
        Minimizer { regime: self.regime(b), slope: b, x, power }
    }

    /// Where the minimum of a slope lies that is known to be positive and finite.
    pub(crate) fn regime(&self, b: T) -> Regime {
        if b < self.slope_threshold {
            Regime::Positive
        } else if b == self.slope_threshold && self.depth > 1 {
            Regime::Tie
        } else {
            Regime::Zero
        }
    }

    /// The positive stationary points of g, or `None` if `b` is above the [`fold`](Self::fold).
    ///
    /// The global minimizer is the larger one only for `b` up to
    /// [`slope_threshold`](Self::slope_threshold).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `b` is not positive and finite.
    pub fn stationary_points(&self, b: T) -> Result<Option<StationaryPoints<T>>> {
        check_positive("b", b)?;
        if b > self.fold || (self.depth == 1 && b == self.fold) {
            return Ok(None);
        }
        if b == self.fold {
            let (below, above) =
                (from_u32::<T>(self.depth - 1), from_u32::<T>(self.depth) + T::one());
            let x = root_of_ratio(below, above, self.depth);
            return Ok(Some(StationaryPoints { local_minimum: x, local_maximum: Some(x) }));
        }
        let local_minimum = self.solver.larger(b).x;
        let local_maximum = (self.depth > 1).then(|| self.solver.smaller(b).x);
        Ok(Some(StationaryPoints { local_minimum, local_maximum }))
    }
}

/// The depth, as which a potential is stored.
impl<T: Float + Into<f64>> From<Potential<T>> for u32 {
    fn from(potential: Potential<T>) -> Self {
        potential.depth()
    }
}

impl<T: Float + Into<f64>> TryFrom<u32> for Potential<T> {
    type Error = Error;

    /// As [`Potential::new`].
    fn try_from(depth: u32) -> Result<Self> {
        Self::new(depth)
    }
}

/// The threshold τ_M = (M−1)^((M−1)/M)/M² of a head of `depth` M linear layers: a direction of the squared loss
/// collapses iff its ratio a/σ² is above it.
///
/// [`Potential::threshold`] for one depth; within 2 ulp.
///
/// # Errors
/// [`Error::OutOfRange`] if the depth is 0.
///
/// ```
/// use neural_collapse::models::squared::tau;
///
/// assert_eq!((tau(1)?, tau(2)?), (1.0, 0.25));
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Theorems 3.1 and 4.4 of Dang et al. (ICML 2023).
#[doc(alias = "tau_M")]
#[doc(alias = "τ_M")]
pub fn tau(depth: u32) -> Result<f64> {
    Potential::new(depth).map(|potential| potential.threshold())
}

/// The threshold β_M = M τ_M of the slope b in g(x; b), for `depth` M linear layers.
///
/// # Errors
/// [`Error::OutOfRange`] if the depth is 0.
///
/// ```
/// use neural_collapse::models::squared::beta;
///
/// assert_eq!((beta(1)?, beta(2)?), (1.0, 0.5));
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Theorems 3.1 and 4.4 of Dang et al. (ICML 2023).
#[doc(alias = "beta_M")]
#[doc(alias = "β_M")]
pub fn beta(depth: u32) -> Result<f64> {
    Potential::new(depth).map(|potential| potential.slope_threshold())
}

/// The global minimizer of g(x; b) = 1/(x^M + 1) + b x over x ≥ 0 for M = `depth` and b = `slope`.
///
/// For many slopes and one depth, [`Potential::minimizer`] is faster.
///
/// # Errors
/// [`Error::OutOfRange`] if the depth is 0 or the slope not positive and finite.
///
/// ```
/// use neural_collapse::models::squared::minimize_g;
///
/// // One layer: x = 1/√b − 1.
/// assert_eq!(minimize_g(1, 0.25)?.x(), 1.0);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Dang et al. (ICML 2023), appendix D.2.1.
#[doc(alias = "g")]
pub fn minimize_g(depth: u32, slope: f64) -> Result<Minimizer<f64>> {
    Potential::new(depth)?.minimizer(slope)
}

/// β_M = (M−1)^((M−1)/M)/M = (M−1)/(M·(M−1)^(1/M)), and the same divided by M: both rounded once.
fn thresholds<T: Float>(depth: u32) -> (T, T) {
    if depth == 1 {
        return (T::one(), T::one());
    }
    let (m, below) = (from_u32::<T>(depth), DoubleDouble::from(from_u32::<T>(depth - 1)));
    let denominator = double_double_root(depth - 1, 1, depth).times(m);
    (below.over(denominator), below.over(denominator.times(m)))
}

/// (M² − 1)/(4M)·((M+1)/(M−1))^(1/M), the maximum of M x^(M−1)/(x^M+1)², rounded once.
fn fold<T: Float>(depth: u32) -> T {
    if depth == 1 {
        return T::one();
    }
    let (m, below) = (from_u32::<T>(depth), from_u32::<T>(depth - 1));
    let numerator = double_double_root(depth.saturating_add(1), depth - 1, depth);
    numerator.times(below).times(m + T::one()).over(DoubleDouble::product(from_u32(4), m))
}

/// The global minimizer of a [`Potential`].
///
/// At a [`Regime::Tie`] the numbers are those of the positive minimizer; the other one is 0.
///
/// ```
/// use neural_collapse::Potential;
/// use neural_collapse::models::Regime;
///
/// let tie = Potential::<f64>::new(2)?.minimizer(0.5)?;
/// assert_eq!((tie.regime(), tie.x(), tie.value()), (Regime::Tie, 1.0, 1.0));
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Minimizer<T> {
    regime: Regime,
    slope: T,
    x: T,
    power: T,
}

impl<T: Float> Minimizer<T> {
    /// Where the minimum lies.
    #[must_use]
    pub fn regime(&self) -> Regime {
        self.regime
    }

    /// The minimizer x.
    #[must_use]
    pub fn x(&self) -> T {
        self.x
    }

    /// x^M, the fitted share of the target divided by the unfitted share. Accurate to a few ulp for
    /// every M, where raising [`x`](Self::x) to the power M would lose M ulp; infinite if it overflows.
    #[must_use]
    pub fn power(&self) -> T {
        self.power
    }

    /// The share x^M/(x^M + 1) of the target that is fitted.
    #[must_use]
    pub fn fitted_share(&self) -> T {
        if self.power > T::one() {
            (self.power.recip() + T::one()).recip()
        } else {
            self.power / (self.power + T::one())
        }
    }

    /// The share 1/(x^M + 1) of the target that is not fitted.
    #[must_use]
    pub fn unfitted_share(&self) -> T {
        (self.power + T::one()).recip()
    }

    /// The slope b that this is the minimizer for.
    #[must_use]
    pub fn slope(&self) -> T {
        self.slope
    }

    /// The minimum g(x; b).
    #[must_use]
    pub fn value(&self) -> T {
        self.unfitted_share() + self.slope * self.x
    }
}

/// The positive stationary points of a [`Potential`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct StationaryPoints<T> {
    /// The larger one, a local minimum of g (global only up to the slope threshold).
    pub local_minimum: T,
    /// The smaller one, a local maximum of g. There is none for M = 1.
    pub local_maximum: Option<T>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The depths and slopes of a reference table.
    fn inputs(table: &str) -> Vec<(u32, f64)> {
        let path = format!("{}/tests/reference/{table}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let rows = text.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
        rows.map(|row| (row[0].parse().unwrap(), row[1].parse().unwrap())).collect()
    }

    /// The largest number of steps of a solver over a table, with the input that took it.
    fn most_steps(table: &str, steps: impl Fn(u32, f64) -> Option<usize>) -> (usize, u32, f64) {
        let counted = inputs(table).into_iter().filter_map(|(m, b)| Some((steps(m, b)?, m, b)));
        let most = counted.max_by_key(|row| row.0).unwrap();
        println!("{table}: {most:?}");
        most
    }

    #[test]
    fn the_minimizer_takes_at_most_four_steps() {
        let most = most_steps("minimizer.csv", |m, b| {
            let positive = Potential::new(m).unwrap().minimizer(b).unwrap().regime();
            (positive == Regime::Positive).then(|| Solver::new(m).global(b).steps)
        });
        assert!(most.0 <= 4, "{most:?}");
        let most = most_steps("minimizer.csv", |m, b| {
            let b = b as f32;
            let regime = Potential::<f32>::new(m).unwrap().minimizer(b).map(|found| found.regime());
            (regime == Ok(Regime::Positive)).then(|| Solver::<f32>::new(m).global(b).steps)
        });
        assert!(most.0 <= 4, "f32: {most:?}");
    }

    #[test]
    fn stationary_points_end_before_the_cap() {
        let below_fold = |m, b| b < Potential::<f64>::new(m).unwrap().fold();
        let larger = most_steps("stationary.csv", |m, b| {
            below_fold(m, b).then(|| Solver::new(m).larger(b).steps)
        });
        let smaller = most_steps("stationary.csv", |m, b| {
            (m > 1 && below_fold(m, b)).then(|| Solver::new(m).smaller(b).steps)
        });
        assert!(larger.0 <= 45 && smaller.0 <= 45, "{larger:?}, {smaller:?}");
    }

    #[test]
    fn depths_are_allowed_while_powers_have_digits() {
        assert_eq!(Potential::<f32>::new(1 << 17).unwrap().depth(), 1 << 17);
        let error = Potential::<f32>::new((1 << 17) + 1).unwrap_err();
        assert_eq!(error, Error::out_of_range("depth", 131_073.0, "at most 1/(64 ε)"));
    }

    /// x^M = (M−1)/(M+1): x is √(1/3) of two layers and the cube root of 1/2 of three; that of one would be 0.
    #[test]
    fn stationary_points_meet_at_the_fold() {
        let at_fold = |depth| {
            let potential = Potential::<f64>::new(depth).unwrap();
            potential.stationary_points(potential.fold()).unwrap()
        };
        assert_eq!(at_fold(1), None);
        for (depth, x) in [(2, 0.577_350_269_189_625_8), (3, 0.793_700_525_984_099_7)] {
            let points = at_fold(depth).unwrap();
            assert!((points.local_minimum - x).abs() < 2e-16, "{points:?}");
            assert_eq!(points.local_maximum, Some(points.local_minimum));
        }
    }

    /// g(1; b) = 1/2 + b, g′(1; b) = b − M/4, and x = 1/√b − 1 for M = 1.
    #[test]
    fn numbers_stand_for_answers_and_nan_for_errors() {
        let potential = Potential::<f64>::new(1).unwrap();
        assert_eq!(potential.value_or_nan(1.0, 0.0625), 0.5625);
        assert_eq!(potential.derivative_or_nan(1.0, 0.0625), -0.1875);
        assert_eq!(potential.minimizer_or_nan(0.0625), 3.0);
        let errors = [
            potential.value_or_nan(-1.0, 0.1),
            potential.derivative_or_nan(1.0, -0.1),
            potential.minimizer_or_nan(0.0),
        ];
        assert!(errors.iter().all(|value| value.is_nan()), "{errors:?}");
    }
}
