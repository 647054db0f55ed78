//! How small penalties must be for smoothed labels to make the simplex ETF the global minimum, by proof.
//!
//! The smoothed cross-entropy has one minimizer T₀ = α₀(I − 11ᵀ/K) among all outputs T = Z + b1ᵀ with 1ᵀT = 0. At
//! a global minimum T of F the cross-entropy exceeds that of T₀ by no more than the penalty of T₀ exceeds
//! that of Z, so T lies in a ball around T₀. In a ball in which the Hessian of the cross-entropy outweighs
//! the negative curvature of the penalty, F is strictly convex, so its minimizer there is unique, does
//! not change when classes are exchanged, and is a simplex ETF. The project's `docs/cross-entropy.md`
//! has the inequalities.

/// Cap on the rounds in which a ball shows itself to be smaller.
const MOST_ROUNDS: usize = 200;

/// Logarithms of strengths below and above all that are of interest.
const LOG_STRENGTHS: (f64, f64) = (-600.0, 1.0);

/// What is known about the neighborhood of T₀.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neighborhood {
    /// K − 1.
    others: f64,
    depth: f64,
    smoothing: f64,
    /// α₀, each of the K − 1 singular values of T₀.
    center: f64,
}

impl Neighborhood {
    pub(crate) fn new(others: f64, depth: f64, smoothing: f64, center: f64) -> Self {
        Self { others, depth, smoothing, center }
    }

    /// The largest strength for which the proof goes through.
    pub(crate) fn largest_strength(&self) -> f64 {
        let (mut proved, mut open) = LOG_STRENGTHS;
        if !self.is_proved(proved.exp()) {
            return 0.0;
        }
        // More strength only makes balls larger and curvatures more negative. What is proved stays proved.
        for _ in 0..60 {
            let middle = f64::midpoint(proved, open);
            if self.is_proved(middle.exp()) { proved = middle } else { open = middle }
        }
        proved.exp()
    }

    /// Whether the ball that must hold every global minimum is one in which F is strictly convex.
    fn is_proved(&self, strength: f64) -> bool {
        // All logits below T₀ in penalty lie in the first ball; each ball bounds the penalty from below.
        let mut radius = self.radius(strength, self.power(self.center));
        for _ in 0..MOST_ROUNDS {
            if radius >= self.center {
                return false;
            }
            if self.is_convex(strength, radius) {
                return true;
            }
            let saved = self.power(self.center) - self.power(self.center - radius);
            radius = self.radius(strength, saved);
        }
        false
    }

    /// A radius that ‖T − T₀‖ cannot exceed if each singular value saves at most `saved` of the penalty.
    fn radius(&self, strength: f64, saved: f64) -> f64 {
        // The excess of cross-entropy of all K classes together, at most that of one class.
        let excess =
            (self.others + 1.0) * (self.depth + 1.0) / 2.0 * strength * self.others * saved;
        let spread = excess.exp_m1() / self.least_probability();
        let largest = (spread + (spread * (spread + 8.0)).sqrt()) / 2.0;
        ((2.0 + largest) * spread).sqrt()
    }

    /// Whether F is strictly convex in the ball: the least eigenvalue of the cross-entropy's Hessian against
    /// the negative curvature of the penalty.
    fn is_convex(&self, strength: f64, radius: f64) -> bool {
        let classes = self.others + 1.0;
        let gained =
            self.least_probability() / classes * (-core::f64::consts::SQRT_2 * radius).exp();
        let smallest = self.center - radius;
        let exponent = (self.depth - 1.0) / (self.depth + 1.0);
        let lost = strength * exponent * self.power(smallest) / (smallest * smallest);
        // A margin for the rounding errors of this comparison.
        gained > lost * (1.0 + 1e-9)
    }

    /// δ/K.
    fn least_probability(&self) -> f64 {
        self.smoothing / (self.others + 1.0)
    }

    /// σ^(2/(M+1)).
    fn power(&self, singular_value: f64) -> f64 {
        singular_value.powf(2.0 / (self.depth + 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Equality proves nothing, nor does what rounding errors may have gained.
    #[test]
    fn rounding_errors_prove_nothing() {
        // Five classes and three layers, δ = 0.2, α₀ = 3: δ/K² e^(−√2 r) against u/2 (α₀ − r)^(−3/2), at r = 2.
        let ball = Neighborhood::new(4.0, 3.0, 0.2, 3.0);
        let strength = 2.0 * 0.2 / 25.0 * (-2.0 * core::f64::consts::SQRT_2).exp();
        assert!(ball.is_convex(strength * (1.0 - 2e-9), 2.0));
        assert!(!ball.is_convex(strength * (1.0 - 5e-10), 2.0));
        assert!(!ball.is_convex(strength, 2.0));
    }
}
