//! A brute-force oracle of the global minimum.
//!
//! It uses the reduction to singular directions, which the minimizer is to test, and nothing after
//! it: every direction is minimized numerically in its singular value z of Z = W_M⋯W₁H, without the
//! function g(x), its thresholds or its roots.
//!
//! Why there is such a reduction: the least Σ λₘ/2 ‖Wₘ‖² + λ_H/2 ‖H‖² for a given Z is
//! (M+1)/2 Σ (P zᵢ²)^{1/(M+1)}, zᵢ the singular values of Z, and ‖Z − T‖² ≥ Σ (zᵢ − σᵢ)² for sorted
//! singular values (von Neumann), with equality where Z has the singular vectors of T.
//!
//! With a regularized bias b is minimized out first. That leaves ‖(Z − Y) S‖² with S = I, but √α on
//! the vector 1, α = λ_b/(1+λ_b). If 1 is a right singular vector of Y, with singular value σ₀, Z may
//! be restricted to the row and column spaces of Y (projecting raises neither term). For Z' = ZS,
//! ‖Z' − YS‖² ≥ Σ (z'ᵢ − tᵢ)² with tᵢ the singular values of YS, and Σ σᵢ(Z' S⁻¹)^p ≥ Σ (z'ᵢ s'ᵢ)^p
//! for p > 0 with the largest s' = 1/√α on the smallest z' (Gelfand and Naimark). An aligned Z attains
//! both, whatever its rank, if √α σ₀ is the smallest of the tᵢ. For classes of one size it is.

use nalgebra::DMatrix;
use neural_collapse::Bias;

use super::objective::MseObjective;

/// Cells of the grid on which a direction is minimized first. Its loss has two local minima at most,
/// one of them at 0.
const GRID: usize = 512;
/// Steps of the golden-section search in two cells of the grid: enough to reach √ε, below which a
/// loss is flat.
const REFINEMENTS: usize = 45;

/// The global minimum that the theory predicts.
#[derive(Debug, Clone)]
pub struct Optimum {
    /// f*.
    pub loss: f64,
    /// The nonzero singular values of W_M⋯W₁H, in descending order.
    pub fitted: Vec<f64>,
}

/// A singular direction of the effective target.
#[derive(Debug, Clone, Copy)]
pub struct Direction {
    /// Its singular value σ.
    pub singular_value: f64,
    /// The N of 1/(2N) (z − σ)²: more than the number of samples where a regularized bias fits some
    /// of the direction.
    pub samples: f64,
}

/// A [`Direction`] at its minimum.
#[derive(Debug, Clone, Copy)]
struct Minimized {
    /// The singular value of W_M⋯W₁H.
    fitted: f64,
    /// Its share of the loss.
    loss: f64,
    /// What leaving the direction out would add to the loss.
    gain: f64,
}

/// The global minimum of `objective` by brute force; `None` where no reduction to directions is
/// known: with a regularized bias and a target of which 1 is no right singular vector.
pub fn optimum(objective: &MseObjective) -> Option<Optimum> {
    let mut minimized: Vec<_> = directions(objective.target(), objective.bias())?
        .iter()
        .map(|direction| direction.minimize(objective.depth(), objective.decay_product()))
        .collect();
    minimized.sort_by(|a, b| b.gain.total_cmp(&a.gain));
    let (kept, dropped) = minimized.split_at(objective.rank_limit().min(minimized.len()));
    let loss = kept.iter().map(|m| m.loss).sum::<f64>()
        + dropped.iter().map(|m| m.loss + m.gain).sum::<f64>();
    let mut fitted: Vec<_> = kept.iter().map(|m| m.fitted).filter(|&z| z > 0.0).collect();
    fitted.sort_by(|a, b| b.total_cmp(a));
    Some(Optimum { loss, fitted })
}

/// The singular directions of the effective target for a treatment of the bias; `None` where none are known.
pub fn directions(target: &DMatrix<f64>, bias: Bias) -> Option<Vec<Direction>> {
    let samples = target.ncols() as f64;
    match bias {
        Bias::None => Some(spectrum(target)),
        Bias::Unregularized => Some(spectrum(&centered(target))),
        Bias::Regularized(decay) => {
            // The bias fits 1/(1 + λ_b) of what is left of the mean: λ_b/(1 + λ_b) of its square
            // remains.
            let of_mean = Direction {
                singular_value: target.column_mean().norm() * samples.sqrt(),
                samples: samples * (1.0 + decay) / decay,
            };
            let mut directions = spectrum(&centered(target));
            directions.push(of_mean);
            mean_is_singular(target).then_some(directions)
        }
    }
}

/// Whether the vector of ones is a right singular vector of `target`, up to rounding.
fn mean_is_singular(target: &DMatrix<f64>) -> bool {
    let image = centered(target).tr_mul(&target.column_mean());
    image.norm() <= 1e-12 * target.norm_squared()
}

/// The rows of `target` less their means: Y (I − 11ᵀ/N).
fn centered(target: &DMatrix<f64>) -> DMatrix<f64> {
    let mean = target.column_mean();
    let mut centered = target.clone();
    centered.column_iter_mut().for_each(|mut column| column -= &mean);
    centered
}

fn spectrum(target: &DMatrix<f64>) -> Vec<Direction> {
    let samples = target.ncols() as f64;
    let values = target.singular_values();
    values.iter().map(|&singular_value| Direction { singular_value, samples }).collect()
}

impl Direction {
    /// The minimum over z of 1/(2N) (z − σ)² + (M+1)/2 (P z²)^{1/(M+1)}.
    ///
    /// The second term is the least Σ λₘ/2 ‖Wₘ‖² + λ_H/2 ‖H‖² for which the product has the singular value z.
    fn minimize(&self, depth: usize, decay_product: f64) -> Minimized {
        let factors = depth as f64 + 1.0;
        let loss = |z: f64| {
            (z - self.singular_value).powi(2) / (2.0 * self.samples)
                + factors / 2.0 * (decay_product * z * z).powf(1.0 / factors)
        };
        let step = self.singular_value / GRID as f64;
        let nearest = (0..=GRID)
            .map(|cell| cell as f64 * step)
            .min_by(|&a, &b| loss(a).total_cmp(&loss(b)))
            .expect("the grid has points");
        let refined = golden_section(loss, (nearest - step).max(0.0)..nearest + step);
        let fitted = if loss(refined) < loss(0.0) { refined } else { 0.0 };
        Minimized { fitted, loss: loss(fitted), gain: loss(0.0) - loss(fitted) }
    }
}

/// The minimizer of a function with one local minimum in a bracket.
fn golden_section(f: impl Fn(f64) -> f64, bracket: std::ops::Range<f64>) -> f64 {
    let ratio = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (bracket.start, bracket.end);
    for _ in 0..REFINEMENTS {
        let (left, right) = (high - ratio * (high - low), low + ratio * (high - low));
        if f(left) < f(right) {
            high = right;
        } else {
            low = left;
        }
    }
    low.midpoint(high)
}
