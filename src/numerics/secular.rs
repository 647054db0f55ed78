//! Eigenvalues and eigenvectors of centred class sizes, grouped by equal sizes: of diag(n) − n nᵀ/N,
//! where the mean over samples is taken out, and of C diag(n) C with C = I − 11ᵀ/K, where that over
//! classes is.
//!
//! With m_g classes of size n_g in group g, a group contributes the eigenvalue n_g with multiplicity
//! m_g − 1 (its contrasts). The others belong to vectors that are constant on every group,
//! u_g ∝ c_g/(n_g − μ). Over samples c_g = n_g: (diag(n) − n nᵀ/N) u = μ u as long as
//!
//! ```text
//! Σ_g m_g n_g²/(N (n_g − μ)) = 1   ⟺   f(μ) = Σ_g m_g c_g/(n_g − μ) = 0   or   μ = 0,
//! ```
//!
//! because Σ m_g n_g = N turns the first into (μ/N) f(μ) = 0. Over classes c_g = 1: with 1ᵀu = 0, C diag(n) C u = μ u
//! says that n_k u_k − μ u_k is the same number for every class, and then 1ᵀu = 0 is f(μ) = 0. In
//! either case f rises from −∞ to ∞ between two neighbouring sizes, so each gap holds exactly one
//! eigenvalue.

use crate::numerics::double_double::Twofold;
use crate::problem::counts::SizeGroup;

/// Cap on the iterations for one eigenvalue: each halves the bracket or the step,
/// and far fewer are needed.
const MAX_STEPS: usize = 160;

/// Which mean is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Centring {
    /// That over samples: diag(n) − n nᵀ/N.
    Samples,
    /// That over classes: C diag(n) C.
    Classes,
}

impl Centring {
    /// c_g.
    fn numerator(self, group: SizeGroup) -> f64 {
        match self {
            Self::Samples => group.size as f64,
            Self::Classes => 1.0,
        }
    }
}

/// An eigenvalue strictly between two neighbouring sizes, with its unit eigenvector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SecularPair {
    pub(crate) eigenvalue: f64,
    centring: Centring,
    /// The group whose size is nearest to the eigenvalue.
    origin: usize,
    /// The eigenvalue minus the size of the origin.
    offset: f64,
    /// Norm of the vector with entries c_g/(n_g − μ).
    norm: f64,
}

impl SecularPair {
    /// The eigenvector's entry for each class of a group.
    pub(crate) fn entry(&self, groups: &[SizeGroup], group: usize) -> f64 {
        let Self { origin, centring, .. } = *self;
        Poles { groups, origin, centring }.entry(groups[group], self.offset) / self.norm
    }
}

/// The eigenpairs that lie between the sizes of `groups` (given by falling size), by falling eigenvalue.
pub(crate) fn secular_pairs(groups: &[SizeGroup], centring: Centring) -> Vec<SecularPair> {
    (1..groups.len()).map(|lower| secular_pair(groups, centring, lower)).collect()
}

/// The eigenpair between the sizes of the groups `lower − 1` and `lower`.
fn secular_pair(groups: &[SizeGroup], centring: Centring, lower: usize) -> SecularPair {
    let gap = difference(groups[lower - 1].size, groups[lower].size);
    // The sign of f at the middle tells which end is nearer; the eigenvalue is kept as its distance
    // from there, since a difference of sizes is exact where that of a size and μ is not.
    let from_lower = Poles { groups, origin: lower, centring }.evaluate(gap / 2.0).0 > 0.0;
    let (origin, low, high) =
        if from_lower { (lower, 0.0, gap / 2.0) } else { (lower - 1, -gap / 2.0, 0.0) };
    let poles = Poles { groups, origin, centring };
    let offset = poles.root(low, high);
    SecularPair {
        // To the last bit: the offset is added to an integer.
        eigenvalue: groups[origin].size as f64 + offset,
        centring,
        origin,
        offset,
        norm: poles.norm(offset),
    }
}

/// f as a function of the distance δ = μ − n_origin.
struct Poles<'a> {
    groups: &'a [SizeGroup],
    origin: usize,
    centring: Centring,
}

impl Poles<'_> {
    /// n_g − μ for μ = n_origin + δ.
    fn distance(&self, group: SizeGroup, offset: f64) -> f64 {
        difference(group.size, self.groups[self.origin].size) - offset
    }

    /// m_g c_g.
    fn weight(&self, group: SizeGroup) -> f64 {
        group.classes as f64 * self.centring.numerator(group)
    }

    /// f and f′.
    fn evaluate(&self, offset: f64) -> (f64, f64) {
        let (mut sum, mut error, mut slope) = (0.0_f64, 0.0, 0.0);
        for &group in self.groups {
            let distance = self.distance(group, offset);
            let weight = self.weight(group);
            let term = weight / distance;
            // Neumaier's compensated sum: far poles must not drown the near ones.
            let next = sum + term;
            error += if sum.abs() > term.abs() { (sum - next) + term } else { (term - next) + sum };
            sum = next;
            slope += term / distance;
        }
        (sum + error, slope)
    }

    /// The root of f in (low, high), one end of which is 0, the pole at the origin.
    fn root(&self, mut low: f64, mut high: f64) -> f64 {
        let mut offset = (low + high) / 2.0;
        let mut last_step = high - low;
        for _ in 0..MAX_STEPS {
            let (value, slope) = self.evaluate(offset);
            if value > 0.0 {
                high = offset;
            } else {
                low = offset;
            }
            let model = self.root_of_model(offset, value, slope);
            // A step that is not inside of the bracket, or does not at least halve the last one,
            // gives way to bisection.
            let trusted = low < model && model < high && (model - offset).abs() <= last_step / 2.0;
            let next = if trusted { model } else { low + (high - low) / 2.0 };
            last_step = (next - offset).abs();
            offset = next;
            if last_step <= f64::EPSILON * offset.abs() {
                break;
            }
        }
        let polished = offset - self.accurate_value(offset) / self.evaluate(offset).1;
        if polished * offset > 0.0 { polished } else { offset }
    }

    /// f with terms in twice the precision, as their sum cancels at the root: the last step then
    /// leaves the rounding of the offset only, and the eigenvectors hang on that.
    fn accurate_value(&self, offset: f64) -> f64 {
        let origin = self.groups[self.origin].size;
        let terms = self.groups.iter().map(|group| {
            let distance = Twofold::sum(difference(group.size, origin), -offset);
            let weight = Twofold::product(group.classes as f64, self.centring.numerator(*group));
            let quotient = weight.value() / distance.value();
            let rest = (weight - distance.times(quotient)).value() / distance.value();
            Twofold::fast_sum(quotient, rest)
        });
        let negative = terms.fold(Twofold::from(0.0), |sum, term| sum - term);
        -negative.value()
    }

    /// The root, on the side of `offset`, of −w/δ + c + s δ, which has the near pole and the value and
    /// slope of f at `offset`.
    fn root_of_model(&self, offset: f64, value: f64, slope: f64) -> f64 {
        let weight = self.weight(self.groups[self.origin]);
        let s = slope - weight / (offset * offset);
        let c = value + weight / offset - s * offset;
        let root = (c * c + 4.0 * s * weight).sqrt().copysign(offset);
        // The roots of s δ² + c δ − w have opposite signs; take the form without cancellation.
        if c * offset >= 0.0 { 2.0 * weight / (c + root) } else { (root - c) / (2.0 * s) }
    }

    /// c_g/(n_g − μ), the eigenvector's entry before normalisation.
    fn entry(&self, group: SizeGroup, offset: f64) -> f64 {
        self.centring.numerator(group) / self.distance(group, offset)
    }

    /// The eigenvector's norm before normalisation.
    fn norm(&self, offset: f64) -> f64 {
        let squares = self.groups.iter().map(|&group| {
            let entry = self.entry(group, offset);
            group.classes as f64 * entry * entry
        });
        squares.sum::<f64>().sqrt()
    }
}

/// The difference of two sizes: exact, as sizes are at most 2⁵³.
fn difference(a: u64, b: u64) -> f64 {
    a as f64 - b as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::counts::ClassCounts;

    fn groups(runs: &[(u64, usize)]) -> Vec<SizeGroup> {
        ClassCounts::from_runs(runs.iter().copied()).unwrap().sizes().collect()
    }

    #[test]
    fn two_classes_have_the_harmonic_mean() {
        // diag(p, q) − (p, q)(p, q)ᵀ/(p + q) = pq/(p + q)·[[1, −1], [−1, 1]].
        let pairs = secular_pairs(&groups(&[(7, 1), (3, 1)]), Centring::Samples);
        assert!((pairs[0].eigenvalue - 4.2).abs() <= 1e-15, "{:?}", pairs[0]);
        let (groups, half) = (groups(&[(7, 1), (3, 1)]), 0.5_f64.sqrt());
        assert!((pairs[0].entry(&groups, 0) - half).abs() < 1e-15);
        assert!((pairs[0].entry(&groups, 1) + half).abs() < 1e-15);
    }

    #[test]
    fn eigenvectors_are_orthonormal_for_sizes_apart_by_one() {
        let runs: Vec<_> = (0..30).map(|i| (1_000_000_000 - i, 1 + (i % 3) as usize)).collect();
        for centring in [Centring::Samples, Centring::Classes] {
            let groups = groups(&runs);
            check_orthonormal(&groups, &secular_pairs(&groups, centring));
        }
    }

    fn check_orthonormal(groups: &[SizeGroup], pairs: &[SecularPair]) {
        for (i, a) in pairs.iter().enumerate() {
            for (j, b) in pairs.iter().enumerate() {
                let term = |g: usize| a.entry(groups, g) * b.entry(groups, g);
                let inner: f64 = groups
                    .iter()
                    .enumerate()
                    .map(|(g, group)| group.classes as f64 * term(g))
                    .sum();
                let expected = f64::from(u8::from(i == j));
                assert!((inner - expected).abs() < 1e-13, "{i}, {j}: {inner:e}");
            }
        }
    }

    #[test]
    fn centring_over_classes_takes_out_their_mean() {
        // C diag(p, q) C = (p + q)/4·[[1, −1], [−1, 1]].
        let pairs = secular_pairs(&groups(&[(7, 1), (3, 1)]), Centring::Classes);
        assert!((pairs[0].eigenvalue - 5.0).abs() <= 1e-15, "{:?}", pairs[0]);
        // m_A and m_B classes: μ = (m_A n_B + m_B n_A)/K.
        let pairs = secular_pairs(&groups(&[(70, 3), (5, 4)]), Centring::Classes);
        assert!((pairs[0].eigenvalue - 295.0 / 7.0).abs() <= 1e-14, "{:?}", pairs[0]);
    }
}
