//! The shape that independent normal vectors make.

use crate::problem::counts::{ClassCounts, SizeGroup};

/// What the metrics of [`Shape`](crate::metrics::Shape) are; `None` where they are not defined.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ShapeLevel {
    /// Standard deviation of the norms relative to their mean.
    pub norm_variation: Option<f64>,
    /// Mean of the cosines of all pairs.
    pub cosine_mean: Option<f64>,
    /// Their standard deviation.
    pub cosine_deviation: Option<f64>,
    /// Mean of |cos + 1/(K−1)|.
    pub etf_deviation: Option<f64>,
    /// Mean of the logarithmic energies.
    pub log_energy: Option<f64>,
}

/// How normal vectors of the classes depend on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vectors {
    /// Means of n_k samples: variances 1/n_k.
    Means,
    /// The same less the mean of all N samples: variances 1/n_k − 1/N, covariances −1/N.
    CenteredMeans,
    /// Rows with the variance 1.
    Rows,
}

impl Vectors {
    fn variance(self, group: SizeGroup, samples: f64) -> f64 {
        match self {
            Self::Means => (group.size as f64).recip(),
            Self::CenteredMeans => (group.size as f64).recip() - samples.recip(),
            Self::Rows => 1.0,
        }
    }

    /// The correlation of two different classes.
    fn correlation(self, (g, h): (SizeGroup, SizeGroup), samples: f64) -> f64 {
        match self {
            Self::Means | Self::Rows => 0.0,
            Self::CenteredMeans => {
                let product = self.variance(g, samples) * self.variance(h, samples);
                (-samples.recip() / product.sqrt()).max(-1.0)
            }
        }
    }

    /// What the metrics of these vectors in d = `dimension` dimensions are on average.
    pub(super) fn level(self, counts: &ClassCounts, dimension: f64) -> ShapeLevel {
        let samples = counts.samples() as f64;
        let pairs = (counts.classes() > 1).then(|| self.cosines(counts, dimension, samples));
        ShapeLevel {
            norm_variation: self.norm_variation(counts, dimension, samples),
            cosine_mean: pairs.map(|pairs| pairs.mean),
            cosine_deviation: pairs.map(Cosines::deviation),
            etf_deviation: pairs.map(|pairs| pairs.etf_deviation),
            log_energy: pairs.map(|pairs| pairs.log_energy).filter(|_| dimension > 1.0),
        }
    }

    /// From E avg r² and E (avg r)² of lengths r_k = √s_k χ_d, with (E χ_d)² = d − ½ + 1/(8d) + O(d⁻²).
    fn norm_variation(self, counts: &ClassCounts, dimension: f64, samples: f64) -> Option<f64> {
        let classes = counts.classes() as f64;
        let average = |power: f64| {
            let term = |group: SizeGroup| {
                group.class_count as f64 * self.variance(group, samples).powf(power)
            };
            counts.sizes().map(term).sum::<f64>() / classes
        };
        let (squares, roots) = (average(1.0), average(0.5));
        let mean_square = dimension - 0.5 + 0.125 / dimension;
        let square_of_mean =
            mean_square * roots * roots + (dimension - mean_square) * squares / classes;
        let variation = (dimension * squares / square_of_mean - 1.0).max(0.0).sqrt();
        variation.is_finite().then_some(variation)
    }

    fn cosines(self, counts: &ClassCounts, dimension: f64, samples: f64) -> Cosines {
        let classes = counts.classes() as f64;
        let total = classes * (classes - 1.0);
        let etf = -(classes - 1.0).recip();
        let mut sums = Cosines::default();
        for g in counts.sizes() {
            for h in counts.sizes() {
                let others = h.class_count as f64 - if g == h { 1.0 } else { 0.0 };
                let weight = g.class_count as f64 * others / total;
                let pair = Pair::new(self.correlation((g, h), samples), dimension);
                sums.add(weight, pair, etf);
            }
        }
        sums.pairs = total / 2.0;
        sums
    }
}

/// The cosine of two normal vectors of d entries, whose entries have the correlation ρ.
#[derive(Debug, Clone, Copy)]
struct Pair {
    mean: f64,
    variance: f64,
    log_energy: f64,
}

impl Pair {
    /// The mean is ρ(1 − (1−ρ²)/(2d)) and the variance (1−ρ²)²/d, both up to O(d⁻²). The energy is exact for ρ = 0 and
    /// ρ = −1, as (1 − cos)/2 then has a beta distribution or is 1, and up to O(d⁻²) between.
    fn new(correlation: f64, dimension: f64) -> Self {
        let rest = 1.0 - correlation * correlation;
        Self {
            mean: correlation * (1.0 - rest / (2.0 * dimension)),
            variance: rest * rest / dimension,
            log_energy: -0.5 * (2.0 - 2.0 * correlation).ln()
                + (1.0 + correlation) * energy_excess(dimension),
        }
    }

    /// E |cos − target| of a normal distribution.
    fn deviation_from(self, target: f64) -> f64 {
        let (distance, deviation) = ((self.mean - target).abs(), self.variance.sqrt());
        if deviation == 0.0 {
            return distance;
        }
        let ratio = distance / deviation;
        let density = (-0.5 * ratio * ratio).exp() * (2.0 / core::f64::consts::PI).sqrt();
        deviation * density + distance * (2.0 * normal_distribution(ratio) - 1.0)
    }
}

/// E ln 1/‖u − v‖ + ½ ln 2 for independent directions: ½ Σⱼ (−1)ʲ/(d − 1 + j).
fn energy_excess(dimension: f64) -> f64 {
    const TERMS: usize = 16;
    let first = dimension - 1.0;
    let term = |j: usize| (first + j as f64).recip() * if j.is_multiple_of(2) { 1.0 } else { -1.0 };
    // The alternating rest by Boole's formula.
    let rest = (first + TERMS as f64).recip();
    let rest = 0.5 * rest + 0.25 * rest * rest - 0.125 * rest.powi(4);
    0.5 * ((0..TERMS).map(term).sum::<f64>() + rest)
}

/// Φ(x) for x ≥ 0, to 10⁻⁷: 26.2.17 of Abramowitz & Stegun, *Handbook of Mathematical Functions*.
fn normal_distribution(x: f64) -> f64 {
    const FACTORS: [f64; 5] =
        [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let t = (1.0 + 0.231_641_9 * x).recip();
    let sum = FACTORS.iter().rev().fold(0.0, |sum, factor| (sum + factor) * t);
    1.0 - (-0.5 * x * x).exp() / (2.0 * core::f64::consts::PI).sqrt() * sum
}

/// Averages over the pairs.
#[derive(Debug, Clone, Copy, Default)]
struct Cosines {
    mean: f64,
    square: f64,
    variance: f64,
    etf_deviation: f64,
    log_energy: f64,
    pairs: f64,
}

impl Cosines {
    fn add(&mut self, weight: f64, pair: Pair, etf: f64) {
        self.mean += weight * pair.mean;
        self.square += weight * (pair.variance + pair.mean * pair.mean);
        self.variance += weight * pair.variance;
        self.etf_deviation += weight * pair.deviation_from(etf);
        self.log_energy += weight * pair.log_energy;
    }

    /// Among the pairs of one draw, whose mean varies too.
    fn deviation(self) -> f64 {
        (self.square - self.mean * self.mean - self.variance / self.pairs).max(0.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ½ Σ (−1)ʲ/(d − 1 + j) = ½ ln 2 for two dimensions, ½ (1 − ln 2) for three, and so on.
    #[test]
    fn energies_of_independent_directions() {
        let ln2 = core::f64::consts::LN_2;
        for (dimension, expected) in
            [(2.0, ln2), (3.0, 1.0 - ln2), (4.0, ln2 - 0.5), (5.0, 5.0 / 6.0 - ln2)]
        {
            let found = 2.0 * energy_excess(dimension);
            assert!((found - expected).abs() < 1e-7, "{dimension}: {found}");
        }
        // Neighbors add up to the first term.
        for dimension in [7.0, 30.0, 512.0] {
            let sum = energy_excess(dimension) + energy_excess(dimension + 1.0);
            assert!((sum * 2.0 * (dimension - 1.0) - 1.0).abs() < 1e-7);
        }
    }

    #[test]
    fn the_normal_distribution_and_means_of_distances() {
        for (x, expected) in
            [(0.0, 0.5), (0.5, 0.691_462_461), (1.0, 0.841_344_746), (2.5, 0.993_790_335)]
        {
            assert!((normal_distribution(x) - expected).abs() < 1e-7, "{x}");
        }
        // E │X − t│ by the trapezoidal rule.
        for (mean, deviation, target) in [(0.3, 0.2, 0.1), (-0.1, 0.5, 0.4), (0.2, 0.1, 0.2)] {
            let pair = Pair { mean, variance: deviation * deviation, log_energy: 0.0 };
            let integral: f64 = (-4000..=4000)
                .map(|step| {
                    let z = f64::from(step) / 400.0;
                    let density = (-z * z / 2.0).exp() / (2.0 * core::f64::consts::PI).sqrt();
                    (mean + deviation * z - target).abs() * density / 400.0
                })
                .sum();
            let found = pair.deviation_from(target);
            assert!((found - integral).abs() < 1e-6, "{found} {integral}");
        }
        let still = Pair { mean: 0.5, variance: 0.0, log_energy: 0.0 };
        assert_eq!(still.deviation_from(-0.25), 0.75);
    }

    /// Vectors at right angles and opposite ones are known exactly, those between up to the square of 1/d.
    #[test]
    fn pairs_at_the_ends_are_exact() {
        let right = Pair::new(0.0, 50.0);
        assert_eq!((right.mean, right.variance), (0.0, 0.02));
        let energy = -0.5 * core::f64::consts::LN_2 + energy_excess(50.0);
        assert!((right.log_energy - energy).abs() < 1e-15);
        let opposite = Pair::new(-1.0, 50.0);
        assert_eq!((opposite.mean, opposite.variance), (-1.0, 0.0));
        assert!((opposite.log_energy + core::f64::consts::LN_2).abs() < 1e-15);
        let between = Pair::new(0.6, 100.0);
        assert!((between.mean - 0.6 * (1.0 - 0.64 / 200.0)).abs() < 1e-15);
        assert!((between.variance - 0.64 * 0.64 / 100.0).abs() < 1e-15);
        let energy = -0.5 * 0.8_f64.ln() + 1.6 * energy_excess(100.0);
        assert!((between.log_energy - energy).abs() < 1e-15);
    }

    /// For d numbers each χ_d has a mean that a recursion gives, and the variation of K norms follows.
    #[test]
    fn norms_vary_as_chi_does() {
        let dimension = 40;
        // E χ_d E χ_(d+1) = d from E χ₁ = √(2/π) on.
        let first = (2.0 / core::f64::consts::PI).sqrt();
        let mean = (1..dimension).fold(first, |mean, d| f64::from(d) / mean);
        for (sizes, vectors) in [
            (vec![5; 6], Vectors::Means),
            (vec![5; 6], Vectors::CenteredMeans),
            (vec![20, 20, 5, 1], Vectors::Rows),
            (vec![20, 20, 5, 1], Vectors::Means),
        ] {
            let counts = ClassCounts::new(&sizes).unwrap();
            let samples = counts.samples() as f64;
            let variance = |n: u64| match vectors {
                Vectors::Means => 1.0 / n as f64,
                Vectors::CenteredMeans => 1.0 / n as f64 - 1.0 / samples,
                Vectors::Rows => 1.0,
            };
            let (k, d) = (sizes.len() as f64, f64::from(dimension));
            let squares = sizes.iter().map(|&n| variance(n)).sum::<f64>() / k;
            let roots = sizes.iter().map(|&n| variance(n).sqrt()).sum::<f64>() / k;
            let square_of_mean = mean * mean * roots * roots + (d - mean * mean) * squares / k;
            let expected = (d * squares / square_of_mean - 1.0).sqrt();
            let found = vectors.norm_variation(&counts, d, samples).unwrap();
            assert!((found / expected - 1.0).abs() < 1e-4, "{vectors:?}: {found} {expected}");
            if let Vectors::CenteredMeans = vectors {
                // Equal vectors that add up to zero.
                let group = counts.sizes().next().unwrap();
                let correlation = vectors.correlation((group, group), samples);
                assert!((correlation + 1.0 / (k - 1.0)).abs() < 1e-15, "{correlation}");
            }
        }
    }

    /// The level of pairs is the average over all of them, one by one.
    #[test]
    fn pairs_are_counted_one_by_one() {
        let sizes = [20_u64, 20, 20, 5, 5, 1];
        let counts = ClassCounts::new(&sizes).unwrap();
        let (samples, dimension) = (71.0_f64, 9.0);
        for vectors in [Vectors::Means, Vectors::CenteredMeans, Vectors::Rows] {
            let mut pairs = Vec::new();
            for (index, &n) in sizes.iter().enumerate() {
                for &m in &sizes[..index] {
                    let variances = [n, m].map(|size| 1.0 / size as f64 - 1.0 / samples);
                    let correlation = match vectors {
                        Vectors::CenteredMeans => {
                            -1.0 / samples / (variances[0] * variances[1]).sqrt()
                        }
                        _ => 0.0,
                    };
                    pairs.push(Pair::new(correlation, dimension));
                }
            }
            let average =
                |of: &dyn Fn(&Pair) -> f64| pairs.iter().map(of).sum::<f64>() / pairs.len() as f64;
            let (mean, variance) = (average(&|pair| pair.mean), average(&|pair| pair.variance));
            // Within a draw pairs deviate from their own mean, which has a fifteenth of their variance.
            let square = average(&|pair| pair.variance + (pair.mean - mean).powi(2));
            let found = vectors.level(&counts, dimension);
            for (found, expected) in [
                (found.cosine_mean, mean),
                (found.cosine_deviation, (square - variance / 15.0).sqrt()),
                (found.etf_deviation, average(&|pair| pair.deviation_from(-0.2))),
                (found.log_energy, average(&|pair| pair.log_energy)),
            ] {
                assert!((found.unwrap() - expected).abs() < 1e-14, "{vectors:?}: {found:?}");
            }
        }
    }
}
