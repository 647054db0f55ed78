//! Points from which the search starts.

use core::f64::consts::PI;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

use crate::models::low_rank::objective::Objective;
use crate::numerics::lbfgs::add_scaled;
use crate::numerics::squares::dot;

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

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use super::*;
    use crate::models::low_rank::objective::DataTerm;
    use crate::problem::regularization::Bias;

    fn objective(classes: usize, depth: usize, bias: Bias) -> Objective {
        Objective {
            data_term: DataTerm::CrossEntropy,
            classes,
            weights: vec![(classes as f64).recip(); classes],
            scales: vec![1.0; classes],
            sharpness: 1.0,
            depth,
            strength: 1e-3,
            bias,
        }
    }

    fn dice(seed: u64) -> Dice {
        Dice(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Z of the parameters of a start.
    fn outputs(objective: &Objective, rank: usize, point: &[f64]) -> DMatrix<f64> {
        let k = objective.classes;
        let mut sum = DMatrix::zeros(k, k);
        let (left, right) = point.split_at(rank * k);
        for (c, d) in left.chunks(k).zip(right.chunks(k)).take(rank) {
            let gain = ((dot(c, c) + dot(d, d)) / 2.0).powf(objective.exponent());
            sum += DMatrix::from_fn(k, k, |i, j| gain * c[i] * d[j] / objective.scales[j]);
        }
        sum
    }

    /// Every start is another one, has its rank and numbers for all of it; the same numbers come for the same seed.
    #[test]
    fn starts_differ_and_come_again() {
        for bias in [Bias::None, Bias::Unregularized] {
            let objective = objective(7, 3, bias);
            let mut seen: Vec<Vec<f64>> = Vec::new();
            for rank in 1..=6 {
                for number in 0..10 {
                    let point = start(&objective, rank, number, 4);
                    assert_eq!(point.len(), objective.parameters(rank));
                    assert_eq!(point, start(&objective, rank, number, 4));
                    assert_ne!(point, start(&objective, rank, number, 5));
                    assert!(point.iter().all(|entry| entry.is_finite()) && !seen.contains(&point));
                    assert_eq!(outputs(&objective, rank, &point).rank(1e-9), rank, "{number}");
                    seen.push(point);
                }
            }
        }
    }

    #[test]
    fn dice_are_fair_enough() {
        let mut dice = dice(1);
        let mut counts = [0; 5];
        (0..5000).for_each(|_| counts[dice.below(5)] += 1);
        assert!(counts.iter().all(|&count| (900..1100).contains(&count)), "{counts:?}");
        assert_eq!(dice.below(1), 0);
        let mut places = [[0; 4]; 4];
        for _ in 0..4000 {
            let order = dice.shuffled(4);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3]);
            order.iter().enumerate().for_each(|(place, &class)| places[place][class] += 1);
        }
        let mut places = places.iter().flatten();
        assert!(places.all(|count| (880..1120).contains(count)), "{places:?}");
        let mean = (0..4000).map(|_| dice.uniform()).sum::<f64>() / 4000.0;
        assert!((mean - 0.5).abs() < 0.03, "{mean}");
    }

    #[test]
    fn gram_schmidt_keeps_the_span() {
        let mut dice = dice(2);
        let vectors: Vec<Vec<f64>> = (0..4).map(|_| dice.normals(6)).collect();
        let basis = orthonormal(vectors.clone());
        for (i, a) in basis.iter().enumerate() {
            for (j, b) in basis.iter().enumerate() {
                let expected = f64::from(u8::from(i == j));
                assert!((dot(a, b) - expected).abs() < 1e-14);
            }
        }
        for vector in &vectors {
            let inside: f64 = basis.iter().map(|axis| dot(axis, vector).powi(2)).sum();
            assert!((inside / dot(vector, vector) - 1.0).abs() < 1e-13);
        }
    }

    /// A circle has the outputs of its frequencies, blocks have their own axes, up to the noise on them.
    #[test]
    fn patterns_are_what_they_are_called() {
        for seed in 0..20 {
            let pattern = circle(&mut dice(seed), 9, 2);
            let norms: Vec<f64> = (0..9)
                .map(|class| pattern.left.iter().map(|axis| axis[class].powi(2)).sum::<f64>())
                .collect();
            let mean = norms.iter().sum::<f64>() / 9.0;
            assert!(norms.iter().all(|norm| (norm / mean - 1.0).abs() < 0.5), "{norms:?}");
            let pattern = blocks(&mut dice(seed), 12, 1);
            // With one axis there is room for one pair.
            let size = |axis: &[f64]| axis.iter().filter(|entry| entry.abs() > 0.5).count();
            assert_eq!(size(&pattern.left[0]), 2, "{:?}", pattern.left[0]);
            let Pattern { left, right } = random(&mut dice(seed), 50, 3, 0.0);
            for (l, r) in left.iter().zip(&right) {
                let cosine = dot(l, r) / (dot(l, l) * dot(r, r)).sqrt();
                assert!(cosine > 0.99, "{cosine}");
            }
            let Pattern { left, right } = random(&mut dice(seed), 50, 3, 1.0);
            let cosine = dot(&left[0], &right[0]) / dot(&right[0], &right[0]).sqrt();
            assert!((0.4..0.95).contains(&cosine), "{cosine}");
        }
    }

    /// Positions become outputs ∝ ⟨x_i, x_j⟩, with the bias that makes a class's own output the largest by half of the
    /// squared distances, at a scale that no other one of the range is better than.
    #[test]
    fn positions_become_outputs() {
        let positions: Vec<Vec<f64>> =
            [[1.0, 0.0], [-0.5, 0.8], [-0.4, -0.9], [0.2, 0.1], [1.4, 1.1]].map(Vec::from).into();
        let unequal = vec![1.0, 0.7, 1.4, 2.0, 0.5];
        for (depth, scales) in
            [(1, vec![1.0; 5]), (2, vec![1.0; 5]), (4, vec![1.0; 5]), (3, unequal)]
        {
            let objective = Objective { scales, ..objective(5, depth, Bias::Unregularized) };
            let value = |factor: f64| {
                let (rank, point) = from_positions(&objective, &positions, factor);
                let z = outputs(&objective, rank, &point);
                let bias = &point[2 * rank * 5..];
                let energy: f64 =
                    point[..2 * rank * 5].iter().map(|entry| entry * entry / 2.0).sum();
                let mut columns = z.as_slice().to_vec();
                let fit = objective.data_term(&mut columns, bias);
                let unit = z[(0, 0)];
                for i in 0..5 {
                    for j in 0..5 {
                        let expected = unit * dot(&positions[i], &positions[j]);
                        assert!((z[(i, j)] - expected).abs() < 1e-12 * unit);
                        let (own, wrong) = (z[(j, j)] + bias[j], z[(i, j)] + bias[i]);
                        let distance: f64 = (0..2)
                            .map(|axis| (positions[i][axis] - positions[j][axis]).powi(2))
                            .sum();
                        assert!((own - wrong - unit * distance / 2.0).abs() < 1e-12 * unit);
                    }
                }
                (fit + objective.price() * energy, unit)
            };
            let ((best, unit), (smaller, _), (larger, twice)) =
                (value(1.0), value(SCALE_RATIO.recip()), value(SCALE_RATIO));
            // With unequal scales, only about.
            let is_best = best <= smaller && best <= larger;
            assert!(is_best || depth == 3, "{depth}: {smaller} {best} {larger}");
            assert!((twice / unit / SCALE_RATIO - 1.0).abs() < 1e-12);
        }
    }

    /// Where nothing is better than zero the scale is one that leads neither to zero nor far away.
    #[test]
    fn a_start_is_not_zero_where_zero_is_best() {
        let objective = Objective { strength: 10.0, ..objective(3, 2, Bias::None) };
        let positions = [[1.0], [-1.0], [0.0]].map(Vec::from);
        let (rank, point) = from_positions(&objective, &positions, 1.0);
        let z = outputs(&objective, rank, &point);
        // The mean of the right outputs is the scale.
        assert!((z.trace() / 3.0 - 2.0).abs() < 1e-12, "{z}");
    }

    /// The scale is the one with the least value, with the penalties of terms and bias, at every strength.
    #[test]
    fn the_scale_is_the_best_of_the_range() {
        let axes = [[1.0, -0.5, 0.2], [0.3, 0.4, -0.9], [0.8, -0.7, 0.1], [0.2, 0.6, -1.1]];
        let [left, right] =
            [&axes[..2], &axes[2..]].map(|side| side.iter().map(Vec::from).collect());
        let pattern: Pattern = Pattern { left, right };
        let (unit, bias) = (0.7, [0.3, -0.2, 0.4]);
        for depth in [1, 3] {
            for power in 0..40 {
                let strength = 0.5 * 0.8_f64.powi(power);
                let decay = Bias::Regularized(0.8_f64.powi(power));
                let objective = Objective { strength, ..objective(3, depth, decay) };
                let value = |scale: f64| {
                    let mut z = DMatrix::zeros(3, 3);
                    let mut penalty = 0.8_f64.powi(power) / 2.0 * 0.29 * scale.powi(2);
                    for (l, r) in pattern.left.iter().zip(&pattern.right) {
                        z += DMatrix::from_fn(3, 3, |i, j| scale * unit * l[i] * r[j]);
                        let norms = (dot(l, l) * dot(r, r)).sqrt();
                        let m = depth as f64;
                        let energy = (scale * unit * norms).powf(2.0 / (m + 1.0));
                        penalty += (m + 1.0) / 2.0 * strength * energy;
                    }
                    objective.data_term(z.as_mut_slice(), &bias.map(|b| b * scale)) + penalty
                };
                let scales: Vec<f64> = (0..14).map(|power| 0.4 * 1.6_f64.powi(power)).collect();
                let values: Vec<f64> = scales.iter().map(|&scale| value(scale)).collect();
                let least = values.iter().copied().fold(f64::INFINITY, f64::min);
                let expected = if values[0] == least {
                    2.0
                } else {
                    scales[values.iter().position(|&value| value == least).unwrap()]
                };
                let found = best_scale(&objective, &pattern, unit, &bias);
                assert!((found / expected - 1.0).abs() < 1e-12, "{strength}: {found} {expected}");
            }
        }
    }
}
