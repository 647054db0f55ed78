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
/// Cap on the steps of the minimisation; 10 are usual.
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
        let local = (1..SCALES - 1)
            .filter(|&index| values[index] <= values[index - 1].min(values[index + 1]));
        let best = local.min_by(|&i, &j| values[i].total_cmp(&values[j]))?;
        Some(start.iter().map(|size| size * scales[best]).collect())
    }

    /// Damped Newton steps from a start; `None` if a singular value goes to zero.
    fn descend(&self, start: Vec<f64>, penalty: &Penalty) -> Option<(Vec<f64>, f64)> {
        let mut sizes = start;
        let mut damping = 0.0;
        let mut here = self.expansion(&sizes, penalty);
        for _ in 0..MAX_STEPS {
            let Some(step) = newton_step(&here, damping) else {
                damping = raised(damping, &here.hessian);
                continue;
            };
            let next: Vec<f64> = sizes.iter().zip(step.iter()).map(|(x, s)| x - s).collect();
            let there = self.expansion(&next, penalty);
            if there.value >= here.value || !there.value.is_finite() {
                let small = step.amax() <= 1e-13 * largest(&sizes);
                if small || there.value - here.value <= 4.0 * f64::EPSILON * here.value {
                    // Nothing but rounding errors is left; the last step still sharpens the position.
                    let sharper = there.gradient.amax() < here.gradient.amax();
                    sizes = if sharper { next } else { sizes };
                    break;
                }
                damping = raised(damping, &here.hessian);
                continue;
            }
            (sizes, here, damping) = (next, there, damping / 8.0);
            damping = if damping < 1e-9 * here.hessian.amax() { 0.0 } else { damping };
        }
        let alive = |value: &SingularForm| value.value(&sizes) > 1e-6;
        let end = self.expansion(&sizes, penalty);
        let stationary = end.gradient.iter().zip(&sizes).map(|(g, size)| (g * size).abs());
        let stationary = stationary.fold(0.0, f64::max) <= STATIONARY * end.value;
        (stationary && self.singular_forms.iter().all(alive)).then_some((sizes, end.value))
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

fn largest(sizes: &[f64]) -> f64 {
    sizes.iter().fold(0.0, |largest: f64, size| largest.max(size.abs()))
}

/// The step of Newton's method for a Hessian that is raised to be positive definite.
fn newton_step(here: &Expansion, damping: f64) -> Option<DVector<f64>> {
    let mut hessian = here.hessian.clone();
    for index in 0..hessian.nrows() {
        hessian[(index, index)] += damping;
    }
    solve_positive_definite(hessian, &here.gradient)
}

/// The next damping to try.
fn raised(damping: f64, hessian: &DMatrix<f64>) -> f64 {
    // Relative to the Hessian, which is as small as the decays are.
    if damping > 0.0 { damping * 4.0 } else { 1e-3 * hessian.amax().max(f64::MIN_POSITIVE) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::cross_entropy::block::{Block, BlockShape};
    use crate::models::cross_entropy::structure::LogitStructure;

    fn penalty(depth: usize, strength: f64, bias: Bias) -> Penalty {
        Penalty { depth, strength, bias, smoothing: 0.0 }
    }

    /// From far away, where the Hessian is indefinite and steps have to be damped, descents fall to a local minimum.
    #[test]
    fn descents_fall_to_minima() {
        let pair = Block::new(BlockShape::Simplex, 2, 1);
        let polygon = Block::new(BlockShape::Polygon, 5, 1);
        for (classes, structure) in [
            (4, LogitStructure::DirectSum(vec![pair, pair])),
            (7, LogitStructure::DirectSum(vec![polygon, pair])),
            (8, LogitStructure::antiprism(8)),
        ] {
            for (depth, bias) in [(2, Bias::Unregularized), (3, Bias::Regularized(0.1))] {
                let penalty = penalty(depth, 0.03, bias);
                let reduced = structure.reduced(classes, bias).unwrap();
                let dimension = reduced.bias_counts.len();
                let mut ended = 0;
                for number in 0..24_u32 {
                    let size = |index: usize| match index < 2 {
                        true => 0.4 * 1.9_f64.powi(((number + 5 * index as u32) % 7) as i32),
                        false => f64::from(number % 3) - 0.9,
                    };
                    let start: Vec<f64> = (0..dimension).map(size).collect();
                    let above = reduced.value(&start, &penalty);
                    let Some((sizes, value)) = reduced.descend(start, &penalty) else { continue };
                    ended += 1;
                    assert!(value <= above, "{structure}: {value} above {above}");
                    assert!((reduced.value(&sizes, &penalty) - value).abs() < 1e-15);
                    for index in 0..dimension {
                        for step in [-1e-4, 1e-4] {
                            let mut moved = sizes.clone();
                            moved[index] += step * sizes[index].abs().max(0.1);
                            let there = reduced.value(&moved, &penalty);
                            assert!(there > value - 1e-14, "{structure}: {there} {value}");
                            assert!(there < value + 1e-6, "{structure}: not stationary");
                        }
                    }
                }
                assert!(ended >= 21, "{structure}: {ended}");
            }
        }
    }

    /// F along a ray is F there, and gradient and Hessian are derivatives, for wrong and for right outputs, with every
    /// penalty: the grid of scales and Newton's steps see the function that is minimized.
    #[test]
    fn rays_and_derivatives_belong_to_the_function() {
        let pair = Block::new(BlockShape::Simplex, 2, 1);
        let polygon = Block::new(BlockShape::Polygon, 5, 1);
        for (classes, structure) in
            [(7, LogitStructure::DirectSum(vec![polygon, pair])), (8, LogitStructure::antiprism(8))]
        {
            for bias in [Bias::None, Bias::Unregularized, Bias::Regularized(0.1)] {
                for (depth, smoothing) in [(1, 0.0), (2, 0.1), (4, 0.0)] {
                    let penalty = Penalty { smoothing, ..penalty(depth, 0.03, bias) };
                    let reduced = structure.reduced(classes, bias).unwrap();
                    let size = |index: usize| [0.9, -1.3, 0.4, -0.2][index];
                    let start: Vec<f64> = (0..reduced.bias_counts.len()).map(size).collect();
                    let ray = Ray::new(&reduced, &start, &penalty);
                    for scale in [-2.0, 0.3, 1.0, 5.0] {
                        let there: Vec<f64> = start.iter().map(|size| size * scale).collect();
                        let value = reduced.value(&there, &penalty);
                        if scale > 0.0 {
                            assert!((ray.value(scale) - value).abs() <= 1e-14 * value.abs());
                        }
                        check_derivatives(&reduced, &there, &penalty);
                    }
                }
            }
        }
    }

    fn check_derivatives(reduced: &Reduced, sizes: &[f64], penalty: &Penalty) {
        let here = reduced.expansion(sizes, penalty);
        let h = 1e-5;
        for index in 0..sizes.len() {
            let [ahead, behind] = [h, -h].map(|h| {
                let mut moved = sizes.to_vec();
                moved[index] += h;
                reduced.expansion(&moved, penalty)
            });
            let slope = (ahead.value - behind.value) / (2.0 * h);
            assert!((slope - here.gradient[index]).abs() < 1e-8, "{penalty:?} at {sizes:?}");
            let column = (ahead.gradient - behind.gradient) / (2.0 * h);
            let error = (&column - here.hessian.column(index)).amax();
            assert!(error < 1e-8, "{penalty:?} at {sizes:?}: {error:e}");
        }
    }

    /// Newton's steps that are as good as they can be, from the best of the scales: few of them are needed.
    #[test]
    fn the_best_scale_is_near_the_minimum() {
        let square = LogitStructure::DirectSum(vec![Block::new(BlockShape::Simplex, 2, 2)]);
        let reduced = square.reduced(4, Bias::None).unwrap();
        let penalty = penalty(2, 0.05, Bias::None);
        let (sizes, value) = reduced.minimize(&penalty).unwrap();
        let scales = scales();
        let ratio = scales[1] / scales[0];
        assert!((scales[SCALES - 1] / LARGEST_SCALE - 1.0).abs() < 1e-12);
        let start = reduced.best_scale(&[1.0], &penalty).unwrap()[0];
        assert!((start / sizes[0]).ln().abs() <= ratio.ln(), "{start}, {sizes:?}");
        assert!(value <= reduced.value(&[start], &penalty));
        // Nothing else on the grid is lower.
        for (index, &scale) in scales.iter().enumerate() {
            assert!((scale / SMALLEST_SCALE / ratio.powi(index as i32) - 1.0).abs() < 1e-12);
            let value = reduced.value(&[scale], &penalty);
            assert!(value >= reduced.value(&[start], &penalty) || scale < 0.2, "{scale}");
        }
    }

    /// Beyond every minimum singular values go to zero, and nothing is found.
    #[test]
    fn nothing_is_found_where_all_falls_to_zero() {
        let square = LogitStructure::DirectSum(vec![Block::new(BlockShape::Simplex, 2, 2)]);
        let reduced = square.reduced(4, Bias::None).unwrap();
        assert!(reduced.minimize(&penalty(2, 0.15, Bias::None)).is_some());
        assert!(reduced.minimize(&penalty(2, 0.3, Bias::None)).is_none());
        assert!(reduced.descend(vec![3.0], &penalty(2, 0.3, Bias::None)).is_none());
    }
}
