//! The layer-peeled model for classes of two sizes: four numbers, found from two multipliers.
//!
//! The problem is convex in the logits Z ∈ ℝ^(K×K) of the class means and does not change when classes
//! of one size are permuted, so its only solution is
//!
//! ```text
//! Z = q_A Π_A + q_B Π_B + u (a, −b)·(1_A/√K_A, 1_B/√K_B)ᵀ,
//! ```
//!
//! with the projectors Π on contrasts within the K_A large and the K_B small classes and the unit
//! vector u ∝ (K_B on A, −K_A on B). Its singular values are q_A (K_A − 1 times), q_B (K_B − 1 times)
//! and r = √(a² + b²), which have the sum T. For a sample of A let p_true, p_near and p_far be the
//! predicted probabilities of its class, of another class of A and of a class of B; then with the
//! multiplier ν of T and (cos θ, sin θ) = (a, b)/r the derivatives in q_A and a say that
//!
//! ```text
//! (n_A/N)(K_A p_near + K_B p_far) = ν   or   q_A = 0 and p_near = p_true,
//! (n_A/N) √(K K_B) p_far = ν cos θ,
//! ```
//!
//! and likewise for B with sin θ. So ν and θ give every probability, and their logarithms give
//!
//! ```text
//! q_A = ln(p_true/p_near),   a = K_A √(K_B/K) (ln(p_near/p_far) + q_A/K_A).
//! ```
//!
//! a rises with θ and b falls, so that (cos θ, sin θ) ∝ (a, b) holds at one θ, or a ≤ 0 and b ≤ 0
//! there, and then r = 0. The sum of the singular values falls with ν. Both are solved in brackets.

use core::f64::consts::FRAC_PI_2;

use crate::numerics::bracketed_root::sign_change;

/// K_A and K_B.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TwoSizes {
    pub(super) classes: [f64; 2],
}

/// The solution at given multipliers, for A and B each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reduced {
    /// q_A and q_B.
    pub(super) within: [f64; 2],
    /// a and b.
    pub(super) between: [f64; 2],
    /// The cross-entropy −ln p_true.
    pub(super) losses: [f64; 2],
}

/// One of the two halves of [`Reduced`].
struct Side {
    within: f64,
    between: f64,
    loss: f64,
}

impl Reduced {
    fn new([a, b]: [Side; 2]) -> Self {
        Self {
            within: [a.within, b.within],
            between: [a.between, b.between],
            losses: [a.loss, b.loss],
        }
    }

    /// r.
    pub(super) fn between_norm(&self) -> f64 {
        self.between[0].hypot(self.between[1])
    }
}

impl TwoSizes {
    /// The solution with the sum T of singular values, and δ = ln(n_A/(N ν)), for ln(n_A/n_B) ≥ 0.
    pub(super) fn solve(self, nuclear_norm: f64, log_ratio: f64) -> (Reduced, f64) {
        let at = |delta: f64| self.reduced([-delta, log_ratio - delta]);
        let delta = self.delta(nuclear_norm, at);
        (at(delta), delta)
    }

    /// The logarithm of the ratio n_A/n_B at which q_B becomes zero, for the sum T of singular values.
    ///
    /// That is where ν = n_B/N. The sum of singular values there rises with the ratio: it raises q_A
    /// and with it a, so that θ falls and b and r = b/sin θ rise.
    pub(super) fn log_critical_ratio(self, nuclear_norm: f64) -> f64 {
        self.delta(nuclear_norm, |delta| self.reduced([-delta, 0.0]))
    }

    /// The δ ≥ 0 at which the sum of singular values, which rises from 0, is as given.
    fn delta(self, nuclear_norm: f64, at: impl Fn(f64) -> Reduced) -> f64 {
        let missing = |delta: f64| self.nuclear_norm(&at(delta)) - nuclear_norm;
        // The sum is at least (K_A − 1) δ, so that small ones have small δ.
        let mut high = nuclear_norm.min(1.0);
        while missing(high) < 0.0 {
            high *= 2.0;
        }
        sign_change(0.0, high, missing)
    }

    fn nuclear_norm(self, reduced: &Reduced) -> f64 {
        let within = core::iter::zip(self.classes, reduced.within).map(|(m, q)| (m - 1.0) * q);
        within.sum::<f64>() + reduced.between_norm()
    }

    /// The solution for the logarithms of ν/(n_A/N) and ν/(n_B/N).
    fn reduced(self, excess: [f64; 2]) -> Reduced {
        let [large, small] = self.classes;
        let sides = |angle: f64| {
            let (sine, cosine) = angle.sin_cos();
            [coupled(large, small, excess[0], cosine), coupled(small, large, excess[1], sine)]
        };
        let angle = sign_change(0.0, FRAC_PI_2, |angle| {
            let [a, b] = sides(angle);
            a.between * angle.sin() - b.between * angle.cos()
        });
        let [a, b] = sides(angle);
        if a.between > 0.0 && b.between > 0.0 {
            return Reduced::new([a, b]);
        }
        Reduced::new([separate(large, small, excess[0]), separate(small, large, excess[1])])
    }
}

/// One side for the logarithm of ν/(n/N) and cos θ, with `own` classes of this size and `other`
/// classes of the other one.
fn coupled(own: f64, other: f64, excess: f64, cosine: f64) -> Side {
    let total = own + other;
    let share = (other / total).sqrt() * cosine;
    // K_B p_far and ln p_far.
    let far = (excess.exp() * share).min(1.0);
    let log_far = excess + cosine.ln() - 0.5 * (total * other).ln();
    let contrasts = own > 1.0 && excess < 0.0;
    // K_A p_near and ln p_near.
    let (near, log_near) = if contrasts {
        (excess.exp() * (1.0 - share), excess + (-share).ln_1p() - own.ln())
    } else {
        (1.0 - far, (-far).ln_1p() - own.ln())
    };
    // p_true − p_near.
    let gap = if contrasts { -excess.exp_m1() } else { 0.0 };
    let within = if contrasts { log_ratio(gap, log_near) } else { 0.0 };
    Side {
        within,
        between: own * (other / total).sqrt() * (log_near - log_far + within / own),
        loss: cross_entropy(near / own + gap, (1.0 - own.recip()) * near + far),
    }
}

/// −ln p from p and 1 − p, of which the smaller one is accurate.
fn cross_entropy(likely: f64, error: f64) -> f64 {
    if error < 0.5 { -(-error).ln_1p() } else { -likely.ln() }
}

/// ln((p + gap)/p) from ln p.
fn log_ratio(gap: f64, log_p: f64) -> f64 {
    let ratio = gap * (-log_p).exp();
    if ratio.is_finite() { ratio.ln_1p() } else { (log_p.exp() + gap).ln() - log_p }
}

/// One side for r = 0, where p_far/p_near = e^(q/K_A) instead.
fn separate(own: f64, other: f64, excess: f64) -> Side {
    if own <= 1.0 || excess >= 0.0 {
        return Side { within: 0.0, between: 0.0, loss: (own + other).ln() };
    }
    // All divided by p_true: p_near is e^(−q).
    let near = |q: f64| (-q).exp();
    let far = |q: f64| other * (q / own - q).exp();
    let sum = |q: f64| 1.0 + (own - 1.0) * near(q) + far(q);
    // K_A p_near + K_B p_far = ν/(n/N), or where that is near 1 the same for the rest of the
    // probability, p_true − p_near.
    let balance = |q: f64| {
        if excess > -1.0 {
            excess.exp_m1() - (-q).exp_m1() / sum(q)
        } else {
            excess - ((own * near(q) + far(q)) / sum(q)).ln()
        }
    };
    // K_A p_near + K_B p_far ≤ K e^(−q/2), and K (p_true − p_near) ≥ 1 − e^(−q).
    let (classes, gap) = (own + other, -excess.exp_m1());
    let by_share = 2.0 * (classes.ln() - excess);
    let by_gap = -(-(classes * gap).min(1.0)).ln_1p();
    let within = sign_change(0.0, by_share.min(by_gap), balance);
    let error = ((own - 1.0) * near(within) + far(within)) / sum(within);
    Side { within, between: 0.0, loss: cross_entropy(sum(within).recip(), error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logarithms of p_true, p_near and p_far from a logit for the own class and one for those of the other size, where the
    /// others of the own size have the logit 0.
    fn log_probabilities([own, other]: [f64; 2], within: f64, far: f64) -> [f64; 3] {
        let largest = within.max(far).max(0.0);
        let exponentials = [within, 0.0, far].map(|z| (z - largest).exp());
        let sum = exponentials[0] + (own - 1.0) * exponentials[1] + other * exponentials[2];
        [within, 0.0, far].map(|z| z - largest - sum.ln())
    }

    fn close(found: f64, expected: f64) {
        let error = (found - expected).abs();
        assert!(error <= 1e-13 * expected.abs().max(1e-30), "{found:e}, {expected:e}");
    }

    /// Both conditions hold for the probabilities of the logits that are found, and the loss is theirs.
    #[test]
    fn a_coupled_side_obeys_its_conditions() {
        for (own, other, excess, cosine) in [
            (3.0, 2.0, -0.3, 0.6),
            (3.0, 2.0, 0.2, 0.5),
            (3.0, 2.0, -4.0, 0.9),
            (2.0, 5.0, -1e-3, 0.3),
            (1.0, 4.0, -0.5, 0.8),
            (1.0, 4.0, 0.1, 0.3),
        ] {
            let (total, side): (f64, _) = (own + other, coupled(own, other, excess, cosine));
            let far = side.within / own - side.between / (own * (other / total).sqrt());
            let log_p = log_probabilities([own, other], side.within, far);
            let [p_true, p_near, p_far] = log_p.map(f64::exp);
            close((total * other).sqrt() * p_far, excess.exp() * cosine);
            if own > 1.0 && excess < 0.0 {
                close(own * p_near + other * p_far, excess.exp());
            } else {
                assert_eq!(side.within, 0.0);
                close(p_true, (1.0 - other * p_far) / own);
            }
            close(side.loss, -log_p[0]);
        }
        // A multiplier whose exponential is no number: q = ln(1/p_near).
        let side = coupled(3.0, 2.0, -800.0, 0.5);
        close(side.within, 800.0 + 3.0_f64.ln() - (1.0 - 0.4_f64.sqrt() / 2.0).ln());
        assert_eq!(side.loss, 0.0);
    }

    /// Without a direction between the sizes p_far/p_near is e^(q/K_A), and the contrasts obey their condition.
    #[test]
    fn a_separate_side_obeys_its_condition() {
        for (own, other) in [(2.0_f64, 1e6), (2.0, 1.0), (5.0, 3.0), (1e6, 2.0)] {
            for excess in [-1e-250, -1e-12, -1e-3, -0.99, -1.01, -5.0, -100.0, -700.0_f64] {
                let side = separate(own, other, excess);
                let far = side.within / own;
                let log_p = log_probabilities([own, other], side.within, far);
                if excess > -1.0 {
                    // p_true − p_near is the rest of the probability.
                    close(side.within.exp_m1() * log_p[1].exp(), -excess.exp_m1());
                } else {
                    let largest = log_p[1].max(log_p[2]);
                    let sum = own * (log_p[1] - largest).exp() + other * (log_p[2] - largest).exp();
                    close(largest + sum.ln(), excess);
                }
                assert!((side.loss + log_p[0]).abs() < 1e-15 + 1e-13 * side.loss, "{excess}");
                assert_eq!(side.between, 0.0);
            }
        }
        // Classes that nothing tells apart share the probability.
        for (own, excess) in [(1.0, -0.1), (1.0, 0.1), (3.0, 0.0), (3.0, 0.1)] {
            let side = separate(own, 4.0, excess);
            assert_eq!((side.within, side.between, side.loss), (0.0, 0.0, (own + 4.0).ln()));
        }
    }

    #[test]
    fn logarithms_keep_their_digits() {
        close(cross_entropy(0.9, 0.1), -(0.9_f64.ln()));
        assert_eq!(cross_entropy(f64::NAN, 1e-20), 1e-20);
        close(cross_entropy(1e-20, f64::NAN), 20.0 * 10.0_f64.ln());
        close(log_ratio(1e-20, 0.5_f64.ln()), 2e-20);
        // p = e^(−800) is no number, and gap/p none either.
        close(log_ratio(0.25, -800.0), 0.25_f64.ln() + 800.0);
        close(log_ratio(0.25, -720.0), 0.25_f64.ln() + 720.0);
    }
}
