//! Points from which the search starts.

use core::f64::consts::PI;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

use crate::models::low_rank::objective::Objective;
use crate::numerics::lbfgs::{add_scaled, dot};

/// Noise on structured starts: without it a descent keeps their symmetry, and may end at a saddle.
const NOISE: f64 = 0.03;
/// Scales of a pattern that are tried, from small to large.
const SCALES: usize = 14;
const SMALLEST_SCALE: f64 = 0.4;
const SCALE_RATIO: f64 = 1.6;

/// A pattern of outputs: r vectors on the side of the outputs, r on the side of the classes.
struct Pattern {
    left: Vec<Vec<f64>>,
    right: Vec<Vec<f64>>,
}

/// Random numbers for one start.
struct Dice(ChaCha8Rng);

impl Dice {
    fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    fn normals(&mut self, length: usize) -> Vec<f64> {
        (0..length).map(|_| self.normal()).collect()
    }

    /// Uniform in [0, 1).
    fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// One of 0, …, count − 1.
    fn below(&mut self, count: usize) -> usize {
        ((self.uniform() * count as f64) as usize).min(count.saturating_sub(1))
    }

    fn shuffled(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

/// The start of the given number among those with `rank` terms.
pub(crate) fn start(objective: &Objective, rank: usize, number: usize, seed: u64) -> Vec<f64> {
    // Different streams for all ranks and numbers, whichever thread draws from them.
    let stream = ((rank as u64) << 32) | number as u64;
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(stream);
    let mut dice = Dice(generator);
    let pattern = match number % 5 {
        0 => random(&mut dice, objective.classes, rank, 0.3),
        1 => circle(&mut dice, objective.classes, rank),
        2 => blocks(&mut dice, objective.classes, rank),
        3 => random(&mut dice, objective.classes, rank, 1.0),
        _ => random(&mut dice, objective.classes, rank, 0.0),
    };
    // The bias that would make each class the one with the nearest mean, or none.
    let concave = if dice.uniform() < 0.6 { 0.5 } else { 0.0 };
    let factor = 0.7 + 0.7 * dice.uniform();
    scaled(objective, &pattern, concave, factor)
}

/// A random subspace for the outputs; on the side of the classes the same with some noise.
fn random(dice: &mut Dice, classes: usize, rank: usize, noise: f64) -> Pattern {
    let left = orthonormal((0..rank).map(|_| dice.normals(classes)).collect());
    let mut right = left.clone();
    for side in &mut right {
        let extra = dice.normals(classes);
        add_scaled(side, (noise + NOISE) / (classes as f64).sqrt(), &extra);
    }
    Pattern { left, right }
}

/// Classes on a circle with some frequencies.
fn circle(dice: &mut Dice, classes: usize, rank: usize) -> Pattern {
    let order = dice.shuffled(classes);
    let mut frequencies = dice.shuffled(classes / 2);
    if dice.uniform() < 0.5 {
        frequencies.sort_unstable();
    }
    let mut left = Vec::new();
    for frequency in frequencies.into_iter().map(|frequency| frequency + 1) {
        let weight = 0.5 + dice.uniform();
        for shift in [0.0, PI / 2.0] {
            let angle =
                |place: usize| 2.0 * PI * (frequency * place) as f64 / classes as f64 - shift;
            let axis: Vec<f64> = order.iter().map(|&place| weight * angle(place).cos()).collect();
            if left.len() < rank && dot(&axis, &axis) > 1e-9 {
                left.push(axis);
            }
        }
    }
    while left.len() < rank {
        left.push(dice.normals(classes));
    }
    noisy(dice, left)
}

/// Random blocks of classes, each a simplex or a polygon of its own, and classes at the origin.
fn blocks(dice: &mut Dice, classes: usize, rank: usize) -> Pattern {
    let order = dice.shuffled(classes);
    let mut left: Vec<Vec<f64>> = Vec::new();
    let mut used = 0;
    while left.len() < rank && used + 1 < classes {
        let room = rank - left.len();
        let most = (classes - used).min(if room >= 2 { 7 } else { 2 });
        let size = 2 + dice.below(most - 1);
        let block = &order[used..used + size];
        let frequencies = if size > room + 1 || dice.uniform() < 0.4 { 1 } else { size / 2 };
        for frequency in 1..=frequencies {
            for shift in [0.0, PI / 2.0] {
                let mut axis = vec![0.0; classes];
                for (place, &class) in block.iter().enumerate() {
                    axis[class] =
                        (2.0 * PI * (frequency * place) as f64 / size as f64 - shift).cos();
                }
                if left.len() < rank && dot(&axis, &axis) > 1e-9 {
                    left.push(axis);
                }
            }
        }
        used += size;
    }
    while left.len() < rank {
        left.push(dice.normals(classes));
    }
    noisy(dice, left)
}

/// The same vectors on both sides, with a little noise.
fn noisy(dice: &mut Dice, mut left: Vec<Vec<f64>>) -> Pattern {
    let mut right = left.clone();
    for side in left.iter_mut().chain(&mut right) {
        let size = (dot(side, side) / side.len() as f64).sqrt();
        let extra = dice.normals(side.len());
        add_scaled(side, NOISE * size, &extra);
    }
    Pattern { left, right }
}

/// Orthonormal vectors with the same span, by Gram-Schmidt done twice.
fn orthonormal(mut vectors: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for index in 0..vectors.len() {
        let (before, rest) = vectors.split_at_mut(index);
        let Some(vector) = rest.first_mut() else { break };
        for _ in 0..2 {
            for other in before.iter() {
                let product = dot(other, vector);
                add_scaled(vector, -product, other);
            }
        }
        let norm = dot(vector, vector).sqrt().max(f64::MIN_POSITIVE);
        vector.iter_mut().for_each(|entry| *entry /= norm);
    }
    vectors
}

/// The start from positions of the classes, as they are and times `factor` the scale that suits them best.
pub(crate) fn from_positions(
    objective: &Objective,
    positions: &[Vec<f64>],
    factor: f64,
) -> (usize, Vec<f64>) {
    let rank = positions.first().map_or(0, Vec::len);
    let axis = |axis: usize| positions.iter().map(|position| position[axis]).collect();
    let left: Vec<Vec<f64>> = (0..rank).map(axis).collect();
    let pattern = Pattern { right: left.clone(), left };
    (rank, scaled(objective, &pattern, 0.5, factor))
}

/// The parameters of a pattern at about the scale that suits it best, times `factor`, with `concave` times the bias
/// that is 0 for a class at the mean distance from the origin.
fn scaled(objective: &Objective, pattern: &Pattern, concave: f64, factor: f64) -> Vec<f64> {
    // At the scale 1 the mean of the right outputs is 1.
    let own = |class: usize| -> f64 {
        pattern.left.iter().zip(&pattern.right).map(|(l, r)| l[class] * r[class]).sum()
    };
    let mean = (0..objective.classes).map(own).sum::<f64>() / objective.classes as f64;
    let unit = if mean > 1e-9 { mean.recip() } else { 1.0 };
    let bias: Vec<f64> = match objective.has_bias() {
        true => (0..objective.classes).map(|class| concave * (1.0 - unit * own(class))).collect(),
        false => Vec::new(),
    };
    let scale = best_scale(objective, pattern, unit, &bias) * factor;
    let mut point = Vec::with_capacity(objective.parameters(pattern.left.len()));
    let mut right = Vec::new();
    for (l, r) in pattern.left.iter().zip(&pattern.right) {
        let r: Vec<f64> = r.iter().zip(&objective.scales).map(|(r, nu)| r * nu).collect();
        let norms = [dot(l, l).sqrt(), dot(&r, &r).sqrt()].map(|norm| norm.max(f64::MIN_POSITIVE));
        let root = objective.energy(scale * unit * norms[0] * norms[1]).sqrt();
        point.extend(l.iter().map(|entry| entry / norms[0] * root));
        right.extend(r.iter().map(|entry| entry / norms[1] * root));
    }
    point.extend(right);
    point.extend(bias.iter().map(|entry| entry * scale));
    point
}

/// The best of a range of scales, or a middle one if nothing is better than zero.
fn best_scale(objective: &Objective, pattern: &Pattern, unit: f64, bias: &[f64]) -> f64 {
    let classes = objective.classes;
    let mut outputs = vec![0.0; classes * classes];
    for (l, r) in pattern.left.iter().zip(&pattern.right) {
        for (column, entry) in outputs.chunks_exact_mut(classes).zip(r) {
            add_scaled(column, unit * entry, l);
        }
    }
    let norms = pattern.left.iter().zip(&pattern.right);
    let energy: f64 =
        norms.map(|(l, r)| objective.energy(unit * (dot(l, l) * dot(r, r)).sqrt())).sum();
    let value = |scale: f64| {
        let mut scaled: Vec<f64> = outputs.iter().map(|entry| entry * scale).collect();
        let bias: Vec<f64> = bias.iter().map(|entry| entry * scale).collect();
        let penalty = objective.price() * energy * objective.energy(scale);
        objective.data_term(&mut scaled, &bias) + penalty + objective.bias_penalty(&bias)
    };
    let scales = (0..SCALES).map(|power| SMALLEST_SCALE * SCALE_RATIO.powi(power as i32));
    let values: Vec<(f64, f64)> = scales.map(|scale| (scale, value(scale))).collect();
    let best = values.iter().enumerate().min_by(|a, b| a.1.1.total_cmp(&b.1.1));
    match best {
        Some((index, &(scale, _))) if index > 0 => scale,
        _ => 2.0,
    }
}
