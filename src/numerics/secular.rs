//! Eigenvalues and eigenvectors of a diagonal matrix from which a mean is taken out: of diag(n) − n nᵀ/N with
//! N = Σ n_k, and of C diag(n) C with C = I − 11ᵀ/K.
//!
//! If the value n_g stands m_g times on the diagonal, it is an eigenvalue with multiplicity m_g − 1 (its
//! contrasts). The others belong to vectors that are constant where the values are equal,
//! u_g ∝ c_g/(n_g − μ). In the first case c_g = n_g: (diag(n) − n nᵀ/N) u = μ u as long as
//!
//! ```text
//! Σ_g m_g n_g²/(N (n_g − μ)) = 1   ⟺   f(μ) = Σ_g m_g c_g/(n_g − μ) = 0   or   μ = 0,
//! ```
//!
//! because Σ m_g n_g = N turns the first into (μ/N) f(μ) = 0. In the second case c_g = 1: with 1ᵀu = 0,
//! C diag(n) C u = μ u says that n_k u_k − μ u_k is the same number for every k, and then 1ᵀu = 0 is f(μ) = 0. In
//! either case f rises from −∞ to ∞ between two neighboring values, so each gap holds exactly one
//! eigenvalue.

use crate::numerics::double_double::DoubleDouble;

/// Cap on the iterations for one eigenvalue: each halves the bracket or the step,
/// and far fewer are needed.
const MAX_STEPS: usize = 160;
/// Relative size of a step that is not taken any more: the one in twice the precision that follows squares it, while here
/// the next ones would be rounding errors, which lead out of the bracket.
const LAST_STEP: f64 = 1e-9;

/// A value on the diagonal and how often it stands there. Values are whole numbers up to 2⁵³, so that their
/// differences are exact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Repeated {
    /// n_g.
    pub(crate) value: f64,
    /// m_g.
    pub(crate) times: f64,
}

/// Which mean is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Centering {
    /// That weighted by the values: diag(n) − n nᵀ/N.
    Weighted,
    /// The plain one: C diag(n) C.
    Plain,
}

impl Centering {
    /// c_g.
    fn numerator(self, value: f64) -> f64 {
        match self {
            Self::Weighted => value,
            Self::Plain => 1.0,
        }
    }
}

/// An eigenvalue strictly between two neighboring values, with its unit eigenvector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SecularPair {
    pub(crate) eigenvalue: f64,
    centering: Centering,
    /// The value nearest to the eigenvalue.
    origin: f64,
    /// The eigenvalue minus the origin.
    offset: f64,
    /// Norm of the vector with entries c_g/(n_g − μ).
    norm: f64,
}

impl SecularPair {
    /// The eigenvector's entry wherever `value` stands on the diagonal.
    pub(crate) fn entry(&self, value: f64) -> f64 {
        let distance = value - self.origin - self.offset;
        self.centering.numerator(value) / distance / self.norm
    }
}

/// The eigenpairs that lie between the `values` (which fall), by falling eigenvalue.
pub(crate) fn secular_pairs(values: &[Repeated], centering: Centering) -> Vec<SecularPair> {
    let neighbors = values.iter().zip(values.iter().skip(1));
    neighbors.map(|(&upper, &lower)| secular_pair(values, centering, lower, upper)).collect()
}

/// The eigenpair between the neighboring values `lower` and `upper`.
fn secular_pair(
    values: &[Repeated],
    centering: Centering,
    lower: Repeated,
    upper: Repeated,
) -> SecularPair {
    let half = (upper.value - lower.value) / 2.0;
    // The sign of f at the middle tells which end is nearer; the eigenvalue is kept as its distance
    // from there, since a difference of values is exact where that of a value and μ is not.
    let from_lower = Poles { values, origin: lower, centering }.evaluate(half).0 > 0.0;
    let (origin, low, high) = if from_lower { (lower, 0.0, half) } else { (upper, -half, 0.0) };
    let poles = Poles { values, origin, centering };
    let offset = poles.root(low, high);
    SecularPair {
        // To the last bit: the offset is added to an integer.
        eigenvalue: origin.value + offset,
        centering,
        origin: origin.value,
        offset,
        norm: poles.norm(offset),
    }
}

/// f as a function of the distance δ = μ − n_origin.
struct Poles<'a> {
    values: &'a [Repeated],
    origin: Repeated,
    centering: Centering,
}

impl Poles<'_> {
    /// n_g − μ for μ = n_origin + δ.
    fn distance(&self, value: f64, offset: f64) -> f64 {
        value - self.origin.value - offset
    }

    /// m_g c_g.
    fn weight(&self, repeated: Repeated) -> f64 {
        repeated.times * self.centering.numerator(repeated.value)
    }

    /// f and f′.
    fn evaluate(&self, offset: f64) -> (f64, f64) {
        let (mut sum, mut error, mut slope) = (0.0_f64, 0.0, 0.0);
        for &repeated in self.values {
            let distance = self.distance(repeated.value, offset);
            let term = self.weight(repeated) / distance;
            // Neumaier's compensated sum: far poles must not drown the near ones.
            let next = sum + term;
            error += if sum.abs() > term.abs() { (sum - next) + term } else { (term - next) + sum };
            sum = next;
            slope += term / distance;
        }
        (sum + error, slope)
    }

    /// The root of f in (low, high), one end of which is 0, the pole at the origin.
    fn root(&self, low: f64, high: f64) -> f64 {
        let (offset, _) = self.approach(low, high);
        let polished = offset - self.accurate_value(offset) / self.evaluate(offset).1;
        if polished * offset > 0.0 { polished } else { offset }
    }

    /// The root up to rounding errors of f, and the number of steps to it.
    fn approach(&self, mut low: f64, mut high: f64) -> (f64, usize) {
        let mut offset = (low + high) / 2.0;
        let mut last_step = high - low;
        for steps in 1..=MAX_STEPS {
            let (value, slope) = self.evaluate(offset);
            if value > 0.0 {
                high = offset;
            } else {
                low = offset;
            }
            let model = self.root_of_model(offset, value, slope);
            if (model - offset).abs() <= LAST_STEP * offset.abs() {
                return (offset, steps);
            }
            let trusted = is_trusted((low, high), model, (model - offset).abs(), last_step);
            let next = if trusted { model } else { low + (high - low) / 2.0 };
            last_step = (next - offset).abs();
            offset = next;
        }
        (offset, MAX_STEPS)
    }

    /// f with terms in twice the precision, as their sum cancels at the root: the last step then
    /// leaves the rounding of the offset only, and the eigenvectors hang on that.
    fn accurate_value(&self, offset: f64) -> f64 {
        let terms = self.values.iter().map(|&Repeated { value, times }| {
            let distance = DoubleDouble::sum(value - self.origin.value, -offset);
            let weight = DoubleDouble::product(times, self.centering.numerator(value));
            let quotient = weight.value() / distance.value();
            let rest = (weight - distance.times(quotient)).value() / distance.value();
            DoubleDouble::fast_sum(quotient, rest)
        });
        let negative = terms.fold(DoubleDouble::from(0.0), |sum, term| sum - term);
        -negative.value()
    }

    /// The root, on the side of `offset`, of −w/δ + c + s δ, which has the near pole and the value and
    /// slope of f at `offset`.
    fn root_of_model(&self, offset: f64, value: f64, slope: f64) -> f64 {
        let weight = self.weight(self.origin);
        let s = slope - weight / (offset * offset);
        let c = value + weight / offset - s * offset;
        let root = (c * c + 4.0 * s * weight).sqrt().copysign(offset);
        // The roots of s δ² + c δ − w have opposite signs; take the form without cancellation.
        if c * offset >= 0.0 { 2.0 * weight / (c + root) } else { (root - c) / (2.0 * s) }
    }

    /// The norm of the eigenvector c_g/(n_g − μ).
    fn norm(&self, offset: f64) -> f64 {
        let squares = self.values.iter().map(|&Repeated { value, times }| {
            let entry = self.centering.numerator(value) / self.distance(value, offset);
            times * entry * entry
        });
        squares.sum::<f64>().sqrt()
    }
}

/// Whether a step leads into the bracket and at least halves the last one; if not, it gives way to bisection.
fn is_trusted((low, high): (f64, f64), model: f64, step: f64, last_step: f64) -> bool {
    low < model && model < high && step <= last_step / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps to one root in the mean.
    const MEAN: usize = 5;

    fn repeated(values: &[(f64, f64)]) -> Vec<Repeated> {
        values.iter().map(|&(value, times)| Repeated { value, times }).collect()
    }

    #[test]
    fn two_values_have_the_harmonic_mean() {
        // diag(p, q) − (p, q)(p, q)ᵀ/(p + q) = pq/(p + q)·[[1, −1], [−1, 1]].
        let pairs = secular_pairs(&repeated(&[(7.0, 1.0), (3.0, 1.0)]), Centering::Weighted);
        assert!((pairs[0].eigenvalue - 4.2).abs() <= 1e-15, "{:?}", pairs[0]);
        let half = 0.5_f64.sqrt();
        assert!((pairs[0].entry(7.0) - half).abs() < 1e-15);
        assert!((pairs[0].entry(3.0) + half).abs() < 1e-15);
    }

    #[test]
    fn eigenvectors_are_orthonormal_for_values_apart_by_one() {
        let values: Vec<_> =
            (0..30).map(|i| (1e9 - f64::from(i), 1.0 + f64::from(i % 3))).collect();
        for centering in [Centering::Weighted, Centering::Plain] {
            let values = repeated(&values);
            check_orthonormal(&values, &secular_pairs(&values, centering));
        }
    }

    fn check_orthonormal(values: &[Repeated], pairs: &[SecularPair]) {
        for (i, a) in pairs.iter().enumerate() {
            for (j, b) in pairs.iter().enumerate() {
                let terms = values
                    .iter()
                    .map(|&Repeated { value, times }| times * (a.entry(value) * b.entry(value)));
                let inner: f64 = terms.sum();
                let expected = f64::from(u8::from(i == j));
                assert!((inner - expected).abs() < 1e-13, "{i}, {j}: {inner:e}");
            }
        }
    }

    #[test]
    fn the_plain_mean_is_taken_out() {
        // C diag(p, q) C = (p + q)/4·[[1, −1], [−1, 1]].
        let pairs = secular_pairs(&repeated(&[(7.0, 1.0), (3.0, 1.0)]), Centering::Plain);
        assert!((pairs[0].eigenvalue - 5.0).abs() <= 1e-15, "{:?}", pairs[0]);
        // m_A times n_A and m_B times n_B: μ = (m_A n_B + m_B n_A)/K.
        let pairs = secular_pairs(&repeated(&[(70.0, 3.0), (5.0, 4.0)]), Centering::Plain);
        assert!((pairs[0].eigenvalue - 295.0 / 7.0).abs() <= 1e-14, "{:?}", pairs[0]);
    }

    /// Results do not depend on the model, since bisection takes over where it is bad; the number of steps does.
    #[test]
    fn the_model_has_the_near_pole_and_the_value_and_slope() {
        let values = repeated(&[(90.0, 2.0), (70.0, 3.0), (64.0, 1.0), (5.0, 4.0)]);
        for (origin, sign) in [(values[1], -1.0), (values[2], 1.0)] {
            let poles = Poles { values: &values, origin, centering: Centering::Weighted };
            for offset in [0.01, 0.7, 2.9].map(|offset| sign * offset) {
                let (value, slope) = poles.evaluate(offset);
                let root = poles.root_of_model(offset, value, slope);
                // −w/δ + c + s δ, through the value and the slope.
                let weight = origin.times * origin.value;
                let rise = slope - weight / offset.powi(2);
                let model =
                    |delta: f64| value + weight / offset - weight / delta + rise * (delta - offset);
                assert!(root * sign > 0.0, "{root}");
                let terms = value.abs() + (weight / offset).abs() + (weight / root).abs();
                assert!(model(root).abs() <= 1e-14 * terms, "{root}: {}", model(root));
            }
        }
    }

    #[test]
    fn steps_stay_in_the_bracket_and_halve() {
        for (model, step, trusted) in [
            (2.0, 1.0, true),
            (2.0, 1.25, false),
            (1.0, 0.5, false),
            (3.0, 0.5, false),
            (0.5, 0.5, false),
            (3.5, 0.5, false),
        ] {
            assert_eq!(is_trusted((1.0, 3.0), model, step, 2.0), trusted, "{model}, {step}");
        }
    }

    /// 1 beside numbers of which it is less than a rounding error, in any order.
    #[test]
    fn far_poles_do_not_drown_near_ones() {
        let large = 2.0_f64.powi(60);
        let terms = [(11.0, large), (14.0, 4.0), (9.0, large)];
        let origin = Repeated { value: 10.0, times: 1.0 };
        for [i, j, k] in [[0, 1, 2], [1, 0, 2], [0, 2, 1], [2, 1, 0], [1, 2, 0]] {
            let values = repeated(&[terms[i], terms[j], terms[k]]);
            let poles = Poles { values: &values, origin, centering: Centering::Plain };
            assert_eq!(poles.evaluate(0.0), (1.0, 2.0 * large), "{i} {j} {k}");
        }
    }

    /// Bisection alone would need thirty steps: the model is trusted, and refused where it leads astray.
    #[test]
    fn roots_are_found_in_a_few_steps() {
        let neighbors =
            repeated(&[(1e9, 1.0), (1e9 - 1.0, 1.0), (5.0, 1e6), (4.0, 1.0), (1.0, 2e6)]);
        let spread = repeated(&[(90.0, 2.0), (70.0, 3.0), (64.0, 1.0), (5.0, 4.0)]);
        let long: Vec<_> = (0..40).map(|i| (f64::from(2 * (40 - i)).powi(2), 1.0)).collect();
        let (mut all, mut roots) = (0, 0);
        for values in [neighbors, spread, repeated(&long)] {
            for (upper, lower) in values.iter().zip(&values[1..]) {
                let gap = upper.value - lower.value;
                for (origin, sign) in [(*lower, 1.0), (*upper, -1.0)] {
                    for centering in [Centering::Weighted, Centering::Plain] {
                        let poles = Poles { values: &values, origin, centering };
                        let middle = sign * gap / 2.0;
                        if poles.evaluate(middle).0 * sign < 0.0 {
                            continue;
                        }
                        let (low, high) = (middle.min(0.0), middle.max(0.0));
                        let (offset, steps) = poles.approach(low, high);
                        assert!(low < offset && offset < high);
                        (all, roots) = (all + steps, roots + 1);
                    }
                }
            }
        }
        assert!(all <= MEAN * roots, "{all} for {roots}");
    }
}
