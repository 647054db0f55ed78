//! The scatter of the means of independent standard normal samples, and what its inverse is on average.

use nalgebra::{Cholesky, DMatrix};
use rand_chacha::ChaCha8Rng;

use crate::metrics::levels::simulated::{Simulated, affordable_draws, generator, normal_matrix};
use crate::numerics::bracketed_root::sign_change;
use crate::numerics::linalg::{product, symmetric_eigen, transposed};
use crate::problem::counts::ClassCounts;

/// Below this relative size of its first correction the expansion in 1/(K−1−d) is trusted: what it leaves out is of the
/// size of the square.
const SMALL_CORRECTION: f64 = 1.0 / 32.0;

/// The step of the integrals over ln s. Their integrands are analytic for │Im ln s│ < π, so that this leaves e⁻³⁹.
const STEP: f64 = 0.25;

/// The matrix M = diag(1/n_k) − 11ᵀ/N: centered class means are G M^½ Q for a d×K matrix G of independent standard normal
/// numbers and some orthogonal Q. It has K − 1 positive eigenvalues λ_j.
pub(super) struct MeanCovariance<'a>(pub(super) &'a ClassCounts);

impl MeanCovariance<'_> {
    /// F(s) = ln det(I + sM) = Σ ln(1 + s/n_k) + ln(1/N Σ n_k²/(n_k + s)).
    fn log_determinant(&self, s: f64) -> f64 {
        let samples = self.0.samples() as f64;
        let logarithms = self.sum(|n| (s / n).ln_1p());
        logarithms + (self.sum(|n| n / (n + s) * n) / samples).ln()
    }

    /// F′, F″ and F‴.
    fn derivatives(&self, s: f64) -> [f64; 3] {
        let power = |p: i32| self.sum(|n| (n + s).powi(-p));
        let weighted = |p: i32| self.sum(|n| n * n * (n + s).powi(-p));
        let all = weighted(1);
        let (a, b, c) = (-weighted(2) / all, 2.0 * weighted(3) / all, -6.0 * weighted(4) / all);
        [power(1) + a, -power(2) + b - a * a, 2.0 * power(3) + c - 3.0 * a * b + 2.0 * a * a * a]
    }

    fn sum(&self, term: impl Fn(f64) -> f64) -> f64 {
        self.0.sizes().map(|group| group.class_count as f64 * term(group.size as f64)).sum()
    }

    /// E 1/tr(GMGᵀ) for d rows of G: ½ ∫ det(I + sM)^(−d/2) ds, as E e^(−sx/2) = (1 + s)^(−½) for a squared normal number
    /// x. `None` if it is infinite, for (K−1)d ≤ 2.
    pub(super) fn mean_inverse_trace(&self, dimension: f64) -> Option<f64> {
        let degrees = (self.0.classes() as f64 - 1.0) * dimension;
        let log_determinant = |s| dimension * self.log_determinant(s);
        (degrees > 2.0).then(|| half_integral(log_determinant, self.initial_slope(dimension)))
    }

    /// The slope at s = 0 of the logarithm of the determinant for d rows, or somewhat more: without the mean taken out.
    fn initial_slope(&self, dimension: f64) -> f64 {
        dimension * self.sum(f64::recip)
    }

    /// E tr (GMGᵀ)⁻¹ for d < K − 2 rows of G, with what it may be off by: an expansion where it is sharp, else a
    /// simulation; `None` where that would take too long.
    pub(super) fn mean_trace_of_inverse(&self, dimension: usize) -> Option<Simulated> {
        let (mean, correction) = self.expansion(dimension as f64);
        if (0.0..SMALL_CORRECTION).contains(&correction) {
            return Some(Simulated { mean, standard_error: mean * correction * correction });
        }
        self.simulation(dimension)
    }

    /// The value D of the expansion and the relative size ε of its correction.
    ///
    /// With A = GMGᵀ = Σ λ_j g_j g_jᵀ and q_j = g_jᵀ A_j⁻¹ g_j, A_j without the term j, d = E Σ λ_j q_j/(1 + λ_j q_j). As q_j
    /// is D = tr A⁻¹ up to fluctuations, D₀ solves Σ λ_j D/(1 + λ_j D) = d. The fluctuations, of the variance 2 tr A⁻², and
    /// the missing term change it by the factor 1/(1 − ε), ε = Σ λ²/(1+λD)³ / (Σ λ/(1+λD)²)², to first order. For equal
    /// class sizes ε = 1/(K−1−d), and the result is exact.
    fn expansion(&self, dimension: f64) -> (f64, f64) {
        let excess = |x: f64| {
            let s = x.exp();
            s * self.derivatives(s)[0] - dimension
        };
        let sizes = || self.0.sizes().map(|group| (group.size as f64).ln());
        let (low, high) = sizes()
            .fold((f64::INFINITY, 0.0_f64), |(low, high), size| (low.min(size), high.max(size)));
        let trace = sign_change(low - 40.0, high + 40.0, excess).exp();
        let [first, second, third] = self.derivatives(trace);
        let slope = first + trace * second;
        let correction = -(second + trace * third / 2.0) / (slope * slope);
        (trace / (1.0 - correction), correction)
    }

    /// With the rows x of X = GM^½, which are alike, tr (XXᵀ)⁻¹ is the sum of 1/‖x_⊥‖², x_⊥ the part of x at right angles to
    /// the other rows. These leave a space of r = K − d dimensions, M^−½ times one that is drawn uniformly from those at
    /// right angles to the kernel n of M: M^−½ Y for a K×r matrix Y = (I − nnᵀ/‖n‖²)G, where M⁺ is D = diag(n) between
    /// such vectors. Given it, ‖x_⊥‖² is Σ μ_j χ²₁ with the eigenvalues μ_j of (YᵀDY)⁻¹YᵀY, whose mean inverse is an
    /// integral. So each draw lies between the results for classes of the largest and of the smallest size alone, and its
    /// variance is finite where that of the trace is not.
    fn simulation(&self, dimension: usize) -> Option<Simulated> {
        let classes = self.0.classes();
        let rest = classes - dimension;
        let (k, r) = (classes as f64, rest as f64);
        let draws = affordable_draws(&[[4.0, k, r, r], [10.0, r, r, r]])?;
        let mut generator = generator();
        let values = (0..draws).map(|_| self.draw(rest, &mut generator));
        let found = Simulated::of(values.collect::<Option<Vec<f64>>>()?);
        Some(Simulated {
            mean: found.mean * dimension as f64,
            standard_error: found.standard_error * dimension as f64,
        })
    }

    fn draw(&self, rest: usize, generator: &mut ChaCha8Rng) -> Option<f64> {
        let groups = self.0.sizes();
        let sizes: Vec<f64> = groups
            .flat_map(|group| core::iter::repeat_n(group.size as f64, group.class_count))
            .collect();
        let square: f64 = sizes.iter().map(|n| n * n).sum();
        let mut across = normal_matrix(sizes.len(), rest, generator);
        for mut column in across.column_iter_mut() {
            let along: f64 = column.iter().zip(&sizes).map(|(y, n)| y * n).sum();
            column.iter_mut().zip(&sizes).for_each(|(y, n)| *y -= along / square * n);
        }
        let mut weighted = across.clone();
        for mut column in weighted.column_iter_mut() {
            column.iter_mut().zip(&sizes).for_each(|(y, n)| *y *= n);
        }
        let whole = product(&transposed(&across), &across);
        let factor = Cholesky::new(product(&transposed(&across), &weighted))?.unpack();
        let left = factor.solve_lower_triangular(&whole)?;
        let both: DMatrix<f64> = factor.solve_lower_triangular(&left.transpose())?;
        let weights = symmetric_eigen(&both).ok()?.values;
        let log_determinant = |s: f64| weights.iter().map(|weight| (s * weight).ln_1p()).sum();
        Some(half_integral(log_determinant, weights.sum()))
    }
}

/// ½ ∫₀^∞ e^(−F(s)/2) ds for a sum F of logarithms ln(1 + λs), by the trapezoidal rule in ln s; `scale` is about F′(0).
fn half_integral(log_determinant: impl Fn(f64) -> f64, scale: f64) -> f64 {
    const SMALLEST: f64 = 1e-18;
    const MOST_STEPS: i32 = 100_000;
    let start = -scale.ln();
    let term = |steps: i32| {
        let x = start + f64::from(steps) * STEP;
        (x - start - log_determinant(x.exp()) / 2.0).exp()
    };
    // Concave in ln s, so that nothing comes after the terms have become small.
    let side = |steps: fn(i32) -> i32| {
        let mut sum = 0.0;
        for step in 0..MOST_STEPS {
            let next = term(steps(step));
            sum += next;
            if next <= SMALLEST * sum {
                break;
            }
        }
        sum
    };
    (side(|step| step) + side(|step| -1 - step)) * STEP / 2.0 / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For equal sizes n the matrix is Wishart's with K − 1 degrees of freedom, over n: E tr A⁻¹ = n d/(K − 2 − d), which the
    /// expansion and each draw hit exactly, and E 1/tr A = n/((K − 1) d − 2).
    #[test]
    fn equal_sizes_have_the_means_of_wisharts() {
        for (classes, size, dimension) in [(40, 7, 10), (100, 50, 3), (9, 4, 5)] {
            let counts = ClassCounts::balanced(classes, size).unwrap();
            let covariance = MeanCovariance(&counts);
            let (k, n, d) = (classes as f64, size as f64, dimension as f64);
            let expected = n * d / (k - 2.0 - d);
            let (value, correction) = covariance.expansion(d);
            assert!((value / expected - 1.0).abs() < 1e-12, "{value} {expected}");
            assert!((correction * (k - 1.0 - d) - 1.0).abs() < 1e-12, "{correction}");
            let trace = covariance.mean_inverse_trace(d).unwrap();
            assert!((trace * ((k - 1.0) * d - 2.0) / n - 1.0).abs() < 1e-9, "{trace}");
            let simulated = covariance.simulation(dimension).unwrap();
            assert!((simulated.mean / expected - 1.0).abs() < 1e-8, "{simulated:?}");
        }
    }

    /// F and its derivatives are those of the determinant of I + sM.
    #[test]
    fn the_determinant_and_its_derivatives() {
        let counts = ClassCounts::new(&[3, 3, 8, 20]).unwrap();
        let covariance = MeanCovariance(&counts);
        let samples = 34.0;
        let sizes = [3.0, 3.0, 8.0, 20.0_f64];
        let matrix = DMatrix::from_fn(4, 4, |i, j| {
            (if i == j { sizes[i].recip() } else { 0.0 }) - 1.0 / samples
        });
        let direct = |s: f64| (DMatrix::identity(4, 4) + &matrix * s).determinant().ln();
        let difference = covariance.initial_slope(2.0) - 2.0 * covariance.derivatives(0.0)[0];
        assert!((difference - 2.0 * 4.0 / samples).abs() < 1e-14, "{difference}");
        for s in [0.1, 2.0, 30.0] {
            assert!((covariance.log_determinant(s) - direct(s)).abs() < 1e-12);
            let h = 1e-3 * s;
            let [first, second, third] = covariance.derivatives(s);
            let at = |steps: f64| covariance.log_determinant(s + steps * h);
            let slope = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * h);
            assert!((slope / first - 1.0).abs() < 1e-9, "{slope} {first}");
            let slopes = |steps: f64| covariance.derivatives(s + steps * h);
            let [one, two] = [0, 1].map(|order| {
                let far = slopes(2.0)[order] - slopes(-2.0)[order];
                (8.0 * (slopes(1.0)[order] - slopes(-1.0)[order]) - far) / (12.0 * h)
            });
            assert!((one / second - 1.0).abs() < 1e-9 && (two / third - 1.0).abs() < 1e-9);
        }
    }

    /// E tr A⁻¹ = n d/(K − 2 − d) is far below the sizes for many classes, and far above them for few.
    #[test]
    fn expansions_are_found_far_from_the_sizes() {
        for (classes, size, dimension) in
            [(100_000, 2, 1), (1000, 1, 3), (1000, 1, 990), (100_000, 3, 99_990)]
        {
            let counts = ClassCounts::balanced(classes, size).unwrap();
            let (k, n, d) = (classes as f64, size as f64, f64::from(dimension));
            let (value, _) = MeanCovariance(&counts).expansion(d);
            assert!((value * (k - 2.0 - d) / (n * d) - 1.0).abs() < 1e-8, "{classes}: {value}");
        }
    }

    /// In one dimension nothing is left to be drawn: tr A⁻¹ is 1/tr A. In more the error is that of the mean of draws.
    #[test]
    fn draws_are_those_of_unequal_sizes() {
        let counts = ClassCounts::new(&[30, 10, 5, 2, 2, 1]).unwrap();
        let covariance = MeanCovariance(&counts);
        let exact = covariance.mean_inverse_trace(1.0).unwrap();
        let mut random = generator();
        for _ in 0..5 {
            let draw = covariance.draw(5, &mut random).unwrap();
            assert!((draw / exact - 1.0).abs() < 1e-11, "{draw} {exact}");
        }
        let mut random = generator();
        let draws = (0..512).map(|_| 3.0 * covariance.draw(3, &mut random).unwrap());
        let (expected, found) = (Simulated::of(draws.collect()), covariance.simulation(3).unwrap());
        assert!((found.mean / expected.mean - 1.0).abs() < 1e-13);
        assert!((found.standard_error / expected.standard_error - 1.0).abs() < 1e-11);
    }

    /// A sharp expansion is off by the square of its correction; others give way to a simulation.
    #[test]
    fn sharp_expansions_are_not_simulated() {
        let counts = ClassCounts::new(&[7; 30].map(|size| [size, size + 1]).concat()).unwrap();
        let covariance = MeanCovariance(&counts);
        let (mean, correction) = covariance.expansion(3.0);
        assert!(correction < SMALL_CORRECTION, "{correction}");
        let standard_error = mean * correction * correction;
        let expected = Simulated { mean, standard_error };
        assert_eq!(covariance.mean_trace_of_inverse(3), Some(expected));
        assert_eq!(covariance.mean_trace_of_inverse(50), covariance.simulation(50));
    }
}
