//! The loss of logits with symmetries, as a function of a few sizes.
//!
//! Where the logits depend on sizes θ ∈ ℝᵈ linearly, and the classes form a few kinds,
//!
//! ```text
//! F(θ) = Σ_o w_o (ln Σ_t m_t exp(−⟨g_t, θ⟩) + δ Σ_t m_t ⟨g_t, θ⟩/Σ_t m_t) + (M+1)/2 · u · Σ_i m_i (Σ_j q_ij θ_j²)^(1/(M+1)) + λ_b/2 Σ_j r_j θ_j²
//! ```
//!
//! with, for each kind o of classes, the multiplicities m and gaps ⟨g, θ⟩ between the right logit and
//! the others, and for each singular value of the logits its multiplicity and square.

use nalgebra::{DMatrix, DVector};

use crate::models::cross_entropy::problem::CrossEntropyUfm;
use crate::numerics::lbfgs::add_scaled;
use crate::numerics::linalg::solve_positive_definite;
use crate::problem::regularization::Bias;

/// Relative scales of the sizes from which the search starts.
const SCALES: usize = 56;
const SMALLEST_SCALE: f64 = 0.05;
const LARGEST_SCALE: f64 = 800.0;
/// Products of a size and its derivative, relative to F, at a minimum. They are larger where a singular value is on
/// its way to zero.
const STATIONARY: f64 = 1e-8;
/// Cap on the steps of the minimization; 10 are usual.
const MAX_STEPS: usize = 120;

/// What the penalties of F depend on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Penalty {
    pub(crate) depth: usize,
    pub(crate) strength: f64,
    /// With λ_b as F sees it.
    pub(crate) bias: Bias,
    /// δ, as smoothed labels add a term that is linear in the logits.
    pub(crate) smoothing: f64,
}

impl Penalty {
    /// The penalties of a problem as F sees them: the bias with λ_b/c.
    pub(crate) fn of(ufm: &CrossEntropyUfm) -> Self {
        let bias = match ufm.regularization().bias() {
            Bias::Regularized(decay) => Bias::Regularized(decay / ufm.loss_mean().factor()),
            bias => bias,
        };
        Self {
            depth: ufm.depth(),
            strength: ufm.strength(),
            bias,
            smoothing: ufm.label_smoothing(),
        }
    }
}

/// Classes that play the same role.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kind {
    /// Their share of all classes.
    pub(crate) weight: f64,
    /// Multiplicity and gap of the wrong logits; the right one adds 1 to the sum.
    pub(crate) wrong: Vec<(f64, Vec<f64>)>,
}

/// Equal singular values of the logits, as a function of θ.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SingularForm {
    pub(crate) multiplicity: usize,
    /// The q_j of the square Σ q_j θ_j².
    pub(crate) squares: Vec<f64>,
}

/// The function F of one structure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reduced {
    pub(crate) kinds: Vec<Kind>,
    pub(crate) singular_forms: Vec<SingularForm>,
    /// r_j: how many classes have the bias θ_j, 0 for what is no bias.
    pub(crate) bias_counts: Vec<f64>,
    /// Sizes to be scaled for a start.
    pub(crate) starts: Vec<Vec<f64>>,
}

/// F, its gradient and its Hessian.
struct Expansion {
    value: f64,
    gradient: DVector<f64>,
    hessian: DMatrix<f64>,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Adds factor · v vᵀ; a few entries, for which matrices are slower than loops.
fn add_square(matrix: &mut DMatrix<f64>, factor: f64, v: &[f64]) {
    for (mut column, &x) in matrix.column_iter_mut().zip(v) {
        for (entry, &y) in column.iter_mut().zip(v) {
            *entry += factor * x * y;
        }
    }
}

impl SingularForm {
    pub(crate) fn value(&self, sizes: &[f64]) -> f64 {
        self.squares.iter().zip(sizes).map(|(q, size)| q * size * size).sum::<f64>().sqrt()
    }
}

impl Kind {
    /// ln Σ m exp(−gap), without overflow.
    fn loss(&self, sizes: &[f64]) -> f64 {
        let smallest = self.smallest_gap(sizes);
        let sum: f64 =
            self.wrong.iter().map(|(m, gap)| m * (smallest - dot(gap, sizes)).exp()).sum();
        if smallest >= 0.0 {
            // The right logit is the largest: keep the digits of a small loss.
            return (sum * (-smallest).exp()).ln_1p();
        }
        (sum + smallest.exp()).ln() - smallest
    }

    /// The mean of all gaps, that of the right logit included: its multiple δ is what smoothed labels add.
    fn mean_gap(&self, sizes: &[f64]) -> f64 {
        let sum: f64 = self.wrong.iter().map(|(m, gap)| m * dot(gap, sizes)).sum();
        sum / self.classes()
    }

    /// The number of logits of one class.
    fn classes(&self) -> f64 {
        self.wrong.iter().fold(1.0, |sum, (m, _)| sum + m)
    }

    /// The smallest gap.
    pub(crate) fn smallest_gap(&self, sizes: &[f64]) -> f64 {
        self.wrong.iter().map(|(_, gap)| dot(gap, sizes)).fold(f64::INFINITY, f64::min)
    }
}

impl Reduced {
    pub(crate) fn value(&self, sizes: &[f64], penalty: &Penalty) -> f64 {
        let smoothing = penalty.smoothing;
        let loss = |kind: &Kind| match smoothing {
            0.0 => kind.loss(sizes),
            _ => kind.loss(sizes) + smoothing * kind.mean_gap(sizes),
        };
        let fit: f64 = self.kinds.iter().map(|kind| kind.weight * loss(kind)).sum();
        fit + self.penalty(sizes, penalty)
    }

    fn penalty(&self, sizes: &[f64], penalty: &Penalty) -> f64 {
        let (singular, bias) = self.penalties(sizes, penalty);
        singular + bias
    }

    /// The penalties of the singular values and of the biases.
    fn penalties(&self, sizes: &[f64], penalty: &Penalty) -> (f64, f64) {
        let factors = penalty.depth as f64 + 1.0;
        let power = |value: &SingularForm| {
            value.multiplicity as f64 * value.value(sizes).powf(2.0 / factors)
        };
        let singular: f64 = self.singular_forms.iter().map(power).sum();
        let bias = match penalty.bias {
            Bias::Regularized(decay) => {
                let squares = self.bias_counts.iter().zip(sizes).map(|(r, size)| r * size * size);
                decay / 2.0 * squares.sum::<f64>()
            }
            _ => 0.0,
        };
        (factors / 2.0 * penalty.strength * singular, bias)
    }

    fn expansion(&self, sizes: &[f64], penalty: &Penalty) -> Expansion {
        let dimension = sizes.len();
        let mut gradient = DVector::zeros(dimension);
        let mut hessian = DMatrix::zeros(dimension, dimension);
        let mut mean = vec![0.0; dimension];
        for kind in &self.kinds {
            let smallest = kind.smallest_gap(sizes).min(0.0);
            let total = kind
                .wrong
                .iter()
                .fold(smallest.exp(), |sum, (m, gap)| sum + m * (smallest - dot(gap, sizes)).exp());
            mean.fill(0.0);
            let smoothed = kind.weight * penalty.smoothing / kind.classes();
            for (m, gap) in &kind.wrong {
                let share = m * (smallest - dot(gap, sizes)).exp() / total;
                add_square(&mut hessian, kind.weight * share, gap);
                add_scaled(&mut mean, share, gap);
                add_scaled(gradient.as_mut_slice(), smoothed * m, gap);
            }
            add_scaled(gradient.as_mut_slice(), -kind.weight, &mean);
            add_square(&mut hessian, -kind.weight, &mean);
        }
        self.expand_penalty(sizes, penalty, &mut gradient, &mut hessian);
        Expansion { value: self.value(sizes, penalty), gradient, hessian }
    }

    fn expand_penalty(
        &self,
        sizes: &[f64],
        penalty: &Penalty,
        gradient: &mut DVector<f64>,
        hessian: &mut DMatrix<f64>,
    ) {
        let factors = penalty.depth as f64 + 1.0;
        for value in &self.singular_forms {
            let square = value.value(sizes).powi(2);
            // d/ds of (M+1)/2 · u · m · s^(1/(M+1)), s the square.
            let first = penalty.strength * value.multiplicity as f64 / 2.0
                * square.powf(factors.recip() - 1.0);
            let second = first * (factors.recip() - 1.0) / square;
            let slope: Vec<f64> =
                value.squares.iter().zip(sizes).map(|(q, size)| 2.0 * q * size).collect();
            add_scaled(gradient.as_mut_slice(), first, &slope);
            add_square(hessian, second, &slope);
            for (index, q) in value.squares.iter().enumerate() {
                hessian[(index, index)] += 2.0 * first * q;
            }
        }
        if let Bias::Regularized(decay) = penalty.bias {
            for (index, (r, size)) in self.bias_counts.iter().zip(sizes).enumerate() {
                gradient[index] += decay * r * size;
                hessian[(index, index)] += decay * r;
            }
        }
    }

    /// The sizes of the lowest local minimum found with every singular value positive, and its F; `None`
    /// if there is none.
    ///
    /// The search starts from the best of a range of scales of each of the `starts`, and follows damped
    /// Newton steps. That the minimum is the lowest one is certain only for d = 1.
    pub(crate) fn minimize(&self, penalty: &Penalty) -> Option<(Vec<f64>, f64)> {
        let found = self.starts.iter().filter_map(|start| {
            let sizes = self.best_scale(start, penalty)?;
            self.descend(sizes, penalty)
        });
        found.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// The best local minimum along a ray, on a grid of scales.
    fn best_scale(&self, start: &[f64], penalty: &Penalty) -> Option<Vec<f64>> {
        let ray = Ray::new(self, start, penalty);
        let scales = scales();
        let values: Vec<f64> = scales.iter().map(|&scale| ray.value(scale)).collect();
        // The lowest value that is not above the one before is not above the one behind, or is at the largest scale: where
        // F still falls there, the descent goes on from it.
        let falling = (1..SCALES).filter(|&index| values[index] <= values[index - 1]);
        let best = falling.min_by(|&i, &j| values[i].total_cmp(&values[j]))?;
        Some(start.iter().map(|size| size * scales[best]).collect())
    }

    /// Damped Newton steps from a start; `None` if a singular value goes to zero.
    fn descend(&self, start: Vec<f64>, penalty: &Penalty) -> Option<(Vec<f64>, f64)> {
        let (sizes, _) = self.newton(start, penalty);
        let end = self.expansion(&sizes, penalty);
        self.is_minimum(&sizes, &end).then_some((sizes, end.value))
    }

    /// Where damped Newton steps end, and how many of them were tried.
    fn newton(&self, start: Vec<f64>, penalty: &Penalty) -> (Vec<f64>, usize) {
        let mut sizes = start;
        let mut damping = 0.0;
        let mut here = self.expansion(&sizes, penalty);
        for count in 0..MAX_STEPS {
            let Some(step) = newton_step(&here, damping) else {
                damping = raised(damping, &here.hessian);
                continue;
            };
            let next: Vec<f64> = sizes.iter().zip(step.iter()).map(|(x, s)| x - s).collect();
            let there = self.expansion(&next, penalty);
            if there.value < here.value {
                (sizes, here) = (next, there);
                damping = lowered(damping, &here.hessian);
            } else if there.value - here.value <= 4.0 * f64::EPSILON * here.value {
                // Nothing but rounding errors is left; the last step still sharpens the position.
                let sharper = there.gradient.amax() < here.gradient.amax();
                return (if sharper { next } else { sizes }, count);
            } else {
                damping = raised(damping, &here.hessian);
            }
        }
        (sizes, MAX_STEPS)
    }

    /// Whether nothing moves at these sizes, and no singular value is on its way to zero.
    fn is_minimum(&self, sizes: &[f64], end: &Expansion) -> bool {
        let products = end.gradient.iter().zip(sizes).map(|(g, size)| (g * size).abs());
        let is_stationary = products.fold(0.0, f64::max) <= STATIONARY * end.value;
        is_stationary && self.singular_forms.iter().all(|form| form.value(sizes) > 1e-6)
    }
}

/// The scales from the smallest to the largest one, at equal ratios.
fn scales() -> Vec<f64> {
    let ratio = (LARGEST_SCALE / SMALLEST_SCALE).powf((SCALES as f64 - 1.0).recip());
    (0..SCALES).map(|index| SMALLEST_SCALE * ratio.powi(index as i32)).collect()
}

/// F along a ray, with all inner products done.
struct Ray {
    kinds: Vec<KindOnRay>,
    exponent: f64,
    /// The penalties at the scale 1, of singular values and of biases.
    singular: f64,
    bias: f64,
}

/// A kind of classes at the scale 1 of a ray.
struct KindOnRay {
    weight: f64,
    /// δ times the mean gap.
    smoothed: f64,
    /// Multiplicities of the wrong logits, with their gaps.
    gaps: Vec<(f64, f64)>,
}

impl Ray {
    fn new(reduced: &Reduced, start: &[f64], penalty: &Penalty) -> Self {
        let kinds = reduced.kinds.iter().map(|kind| KindOnRay {
            weight: kind.weight,
            smoothed: penalty.smoothing * kind.mean_gap(start),
            gaps: kind.wrong.iter().map(|(m, gap)| (*m, dot(gap, start))).collect(),
        });
        let (singular, bias) = reduced.penalties(start, penalty);
        let exponent = 2.0 / (penalty.depth as f64 + 1.0);
        Self { kinds: kinds.collect(), exponent, singular, bias }
    }

    fn value(&self, scale: f64) -> f64 {
        let loss = |KindOnRay { weight, smoothed, gaps }: &KindOnRay| {
            let smallest = gaps.iter().map(|(_, gap)| gap * scale).fold(0.0, f64::min);
            let sum: f64 = gaps.iter().map(|(m, gap)| m * (smallest - gap * scale).exp()).sum();
            let whole = if smallest == 0.0 { sum.ln_1p() } else { (sum + smallest.exp()).ln() };
            weight * (whole - smallest + smoothed * scale)
        };
        let fit: f64 = self.kinds.iter().map(loss).sum();
        fit + self.singular * scale.powf(self.exponent) + self.bias * scale * scale
    }
}

/// The step of Newton's method for a Hessian that is raised to be positive definite.
fn newton_step(here: &Expansion, damping: f64) -> Option<DVector<f64>> {
    let mut hessian = here.hessian.clone();
    for index in 0..hessian.nrows() {
        hessian[(index, index)] += damping;
    }
    solve_positive_definite(hessian, &here.gradient)
}

/// The damping after a step that was taken.
fn lowered(damping: f64, hessian: &DMatrix<f64>) -> f64 {
    let lowered = damping / 8.0;
    if lowered < 1e-9 * hessian.amax() { 0.0 } else { lowered }
}

/// The damping after a step that was not taken.
fn raised(damping: f64, hessian: &DMatrix<f64>) -> f64 {
    // Relative to the Hessian, which is as small as the decays are.
    if damping > 0.0 { damping * 4.0 } else { 1e-3 * hessian.amax().max(f64::MIN_POSITIVE) }
}

#[cfg(test)]
mod tests;
