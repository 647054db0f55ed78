//! A lower bound of the cross-entropy objective that knows how many directions a few classes need.
//!
//! Let σ₁ ≥ σ₂ ≥ … be the singular values of the logits, S_j the sum of the first j and s that of all. Among any m of
//! the K classes two are close to each other, and the closer the fewer directions the logits have. With the weights
//! of the proof in the project's `docs/cross-entropy.md` (section 5) this says: for 3 ≤ m ≤ K and 1 ≤ j ≤ m − 2
//!
//! ```text
//! cross-entropy ≥ 2/m · ln(1 + (K−1)/(m−1) · e^(−x)),   x = (m−1)/(2(K−1)) · (b s − (b − a) S_j),
//! b/a = m/(m−2),   j a + (m−1−j) b = 2,
//! ```
//!
//! for hard labels, every bias and all widths. m = 2, where x = s/(K−1), is the bound by the nuclear norm. A
//! cross-entropy B is thus possible only with S_j ≤ cap_j(s) for each j, and as Σσ^p is concave, it is least where
//! these caps are reached.

/// The most classes m of an inequality: 5, 6 and 9 raised no bound in what was tried.
const MOST_CLASSES: usize = 4;
/// One for m = 3, two for m = 4.
const MOST_INEQUALITIES: usize = 3;
/// Relative distance of the bound from the minimum that it is computed from.
const TOLERANCE: f64 = 1e-4;
/// Cap on the intervals that are looked at; a few hundred are usual.
const MOST_INTERVALS: usize = 200_000;
/// Cross-entropies that are tried first, and the ratio of one to the one before.
const TRIES: i32 = 100;
const TRY_RATIO: f64 = 0.75;

/// The numbers of S_j ≤ (b s − y)/(b − a), where y is the b s − (b − a) S_j that a cross-entropy asks for.
#[derive(Debug, Clone, Copy)]
struct Inequality {
    /// j.
    directions: usize,
    /// m.
    classes: f64,
    /// b/(b − a) and 1/(b − a).
    slope: f64,
    inverse: f64,
}

/// S_j ≤ slope · s − level.
#[derive(Debug, Clone, Copy, Default)]
struct Cap {
    directions: usize,
    slope: f64,
    level: f64,
}

impl Cap {
    /// The sum at which it meets another cap; the default one is zero.
    fn crossing(&self, other: &Self) -> f64 {
        (self.level - other.level) / (self.slope - other.slope)
    }
}

/// A value that F is nowhere below for K ≥ 3 classes, M ≥ 2 layers and hard labels.
pub(super) fn rank_bound(classes: usize, depth: usize, strength: f64) -> f64 {
    bound_by_intervals(classes, depth, strength).0
}

/// The bound, and how many intervals were looked at.
fn bound_by_intervals(classes: usize, depth: usize, strength: f64) -> (f64, usize) {
    let program = Program::new(classes, depth, strength);
    let ends = (0.0, (classes as f64).ln());
    // A good value at once, so that few intervals are halved.
    let tries = (0..TRIES).map(|index| ends.1 * TRY_RATIO.powi(index));
    let values = tries.map(|loss| loss + program.price * program.least_penalty(loss));
    let mut lowest = values.fold(ends.1, f64::min);
    let mut open = vec![ends];
    for count in 0..MOST_INTERVALS {
        let Some((low, high)) = open.pop() else {
            return (lowest * (1.0 - 1.01 * TOLERANCE), count);
        };
        // F = B + price falls in its second part: on an interval it is at least this.
        let price = program.price * program.least_penalty(high);
        lowest = lowest.min(high + price);
        if low + price < lowest * (1.0 - TOLERANCE) {
            let middle = if low < high / 4.0 { high / 4.0 } else { f64::midpoint(low, high) };
            open.extend([(low, middle), (middle, high)]);
        }
    }
    // Not every interval was looked at, so that nothing is known.
    (0.0, MOST_INTERVALS)
}

struct Program {
    /// K − 1.
    others: f64,
    /// p = 2/(M+1).
    exponent: f64,
    /// (M+1)/2 · u.
    price: f64,
    inequalities: Vec<Inequality>,
}

impl Inequality {
    /// All inequalities for m classes.
    fn of(m: usize) -> impl Iterator<Item = Self> {
        let (classes, ratio) = (m as f64, m as f64 / (m as f64 - 2.0));
        (1..=m - 2).map(move |directions| {
            let j = directions as f64;
            let a = 2.0 / (j + (classes - 1.0 - j) * ratio);
            let inverse = (a * (ratio - 1.0)).recip();
            Self { directions, classes, slope: ratio / (ratio - 1.0), inverse }
        })
    }

    /// What a cross-entropy asks for; `None` where that is nothing.
    fn cap(&self, others: f64, loss: f64) -> Option<Cap> {
        let m = self.classes;
        let x = (others / (m - 1.0) / (m * loss / 2.0).exp_m1()).ln();
        let level = 2.0 * others / (m - 1.0) * x * self.inverse;
        (x > 0.0).then_some(Cap { directions: self.directions, slope: self.slope, level })
    }
}

impl Program {
    fn new(classes: usize, depth: usize, strength: f64) -> Self {
        let exponent = 2.0 / (depth as f64 + 1.0);
        let inequalities = (3..=classes.min(MOST_CLASSES)).flat_map(Inequality::of).collect();
        let others = classes as f64 - 1.0;
        Self { others, exponent, price: strength / exponent, inequalities }
    }

    /// The least Σσ^p with which the cross-entropy can be `loss`, at most ln K.
    fn least_penalty(&self, loss: f64) -> f64 {
        let least_sum = self.others * (self.others / loss.exp_m1()).ln().max(0.0);
        let mut caps = [Cap::default(); MOST_INEQUALITIES];
        let mut count = 0;
        for inequality in &self.inequalities {
            if let Some(cap) = inequality.cap(self.others, loss) {
                caps[count] = cap;
                count += 1;
            }
        }
        let caps = &caps[..count];
        // Between the sums at which two caps cross, the penalty is concave: it is least at one of them.
        let mut least = f64::INFINITY;
        let mut visit = |sum: f64| {
            if sum >= least_sum * (1.0 - 1e-12) && sum.is_finite() {
                least = least.min(self.penalty(sum, caps));
            }
        };
        visit(least_sum);
        for (index, cap) in caps.iter().enumerate() {
            visit(cap.level / (cap.slope - 1.0));
            visit(cap.crossing(&Cap::default()));
            for other in &caps[..index] {
                visit(cap.crossing(other));
            }
        }
        least
    }

    /// The least Σσ^p with the sum s below these caps; infinite if one is negative.
    fn penalty(&self, sum: f64, caps: &[Cap]) -> f64 {
        let mut limits = [sum; MOST_CLASSES];
        for &Cap { directions, slope, level } in caps {
            let cap = slope * sum - level;
            if cap < -1e-12 * level {
                return f64::INFINITY;
            }
            // What bounds S_j bounds all sums of fewer values.
            limits[1..=directions].iter_mut().for_each(|limit| *limit = limit.min(cap.max(0.0)));
        }
        limits[0] = 0.0;
        let steps = limits.windows(2).map(|pair| pair[1] - pair[0]);
        steps.map(|step| step.max(0.0).powf(self.exponent)).sum()
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;
    use rand_distr::{Distribution, StandardNormal, Uniform};

    use super::*;

    /// Mean cross-entropy of logits with a bias, column k for class k.
    fn cross_entropy(logits: &DMatrix<f64>, bias: &[f64]) -> f64 {
        let classes = logits.ncols();
        let loss = |k: usize| {
            let terms =
                (0..classes).map(|i| (logits[(i, k)] + bias[i] - logits[(k, k)] - bias[k]).exp());
            terms.sum::<f64>().ln()
        };
        (0..classes).map(loss).sum::<f64>() / classes as f64
    }

    /// Every inequality at logits of all ranks, with the best bias that some steps of descent find.
    #[test]
    fn no_logits_violate_an_inequality() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut tightest = f64::INFINITY;
        for trial in 0..4000 {
            let classes = 3 + trial % 5;
            let rank = 1 + trial / 5 % (classes - 1);
            let mut normal = |_: usize, _: usize| -> f64 { StandardNormal.sample(&mut rng) };
            let left = DMatrix::from_fn(classes, rank, &mut normal);
            let other = DMatrix::from_fn(classes, rank, &mut normal);
            let share = [0.0, 0.1, 1.0][trial % 3];
            let stretch: f64 = Uniform::new(0.2, 3.0).unwrap().sample(&mut rng);
            // The first direction is longer, and both sides are alike, a little or not at all different.
            let mut scaled = left.clone();
            scaled.column_mut(0).scale_mut(stretch * stretch);
            let logits = stretch * &scaled * (&left * (1.0 - share) + other * share).transpose();
            let mut bias = vec![0.0; classes];
            for _ in 0..200 {
                // The b that gives each output the mean probability 1/K.
                let columns: Vec<f64> = (0..classes)
                    .map(|k| (0..classes).map(|i| (logits[(i, k)] + bias[i]).exp()).sum())
                    .collect();
                for i in 0..classes {
                    let sum: f64 = (0..classes).map(|k| logits[(i, k)].exp() / columns[k]).sum();
                    bias[i] = -sum.ln();
                }
            }
            let zero = vec![0.0; classes];
            let loss = cross_entropy(&logits, &bias).min(cross_entropy(&logits, &zero));
            let mut values: Vec<f64> = logits.singular_values().iter().copied().collect();
            values.sort_by(|a, b| b.total_cmp(a));
            let sum: f64 = values.iter().sum();
            for m in 3..=classes {
                for inequality in Inequality::of(m) {
                    let first: f64 = values[..inequality.directions].iter().sum();
                    let Some(Cap { slope, level, .. }) = inequality.cap(classes as f64 - 1.0, loss)
                    else {
                        continue;
                    };
                    let slack = slope * sum - level - first;
                    tightest = tightest.min(slack / sum);
                    assert!(slack >= -1e-9 * sum, "K = {classes}, rank {rank}, m = {m}: {slack}");
                }
            }
        }
        // Some come close, so that a wrong factor would show.
        assert!(tightest < 0.2, "{tightest}");
    }

    /// With the simplex ETF of m = K and with isosceles triangles the inequality of the distances is an equality.
    #[test]
    fn the_distances_of_close_points_are_bounded_by_the_spectrum() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let mut tightest = [f64::INFINITY; 6];
        for trial in 0..20_000 {
            let m = 3 + trial % 3;
            let mut points =
                DMatrix::from_fn(m, m - 1, |_, _| -> f64 { StandardNormal.sample(&mut rng) });
            for (axis, mut column) in points.column_iter_mut().enumerate() {
                let mean = column.mean();
                column.add_scalar_mut(-mean);
                column.scale_mut(0.6_f64.powi((axis * (trial % 4)) as i32));
            }
            let distance = |i: usize, j: usize| (points.row(i) - points.row(j)).norm_squared();
            let pairs = (0..m).flat_map(|i| (0..i).map(move |j| (i, j)));
            let closest = pairs.map(|(i, j)| distance(i, j)).fold(f64::INFINITY, f64::min);
            let mut values: Vec<f64> = points.singular_values().iter().map(|s| s * s).collect();
            values.sort_by(|a, b| b.total_cmp(a));
            let sum: f64 = values.iter().sum();
            for inequality in Inequality::of(m) {
                let first: f64 = values[..inequality.directions].iter().sum();
                // b s − (b − a) S_j.
                let bound = (inequality.slope * sum - first) / inequality.inverse;
                assert!(closest <= bound * (1.0 + 1e-12), "m = {m}: {closest} > {bound}");
                tightest[m] = tightest[m].min(bound / closest);
            }
        }
        assert!(tightest[3] < 1.001 && tightest[4] < 1.2, "{tightest:?}");
    }

    /// Singular values as unlike as the caps allow, for which no sum is possible below zero.
    #[test]
    fn penalties_are_those_of_the_least_equal_values() {
        let program = Program::new(5, 3, 1.0); // σ^(1/2)
        let cap = |directions, slope, level| Cap { directions, slope, level };
        assert_eq!(program.penalty(4.0, &[]), 2.0);
        assert_eq!(program.penalty(4.0, &[cap(1, 1.5, 3.0)]), 3_f64.sqrt() + 1.0);
        let both = [cap(2, 2.0, 4.75), cap(1, 1.5, 3.75)];
        assert_eq!(program.penalty(4.0, &both), 1.5 + 1.0 + 0.75_f64.sqrt());
        assert_eq!(program.penalty(4.0, &[cap(2, 1.5, 6.0)]), 2.0);
        // Rounding errors are 1e-12 of the level, 6.
        assert_eq!(program.penalty(4.0, &[cap(2, 1.5, 6.0 + 5e-12)]), 2.0);
        assert_eq!(program.penalty(4.0, &[cap(2, 1.5, 6.0 + 7e-12)]), f64::INFINITY);
        assert_eq!(program.penalty(4.0, &[cap(1, 1.5, 6.1), both[0]]), f64::INFINITY);
    }

    /// Few intervals are looked at, and the bound is as near as it is meant to be to values of the function on a grid.
    #[test]
    fn few_intervals_are_needed() {
        for (classes, depth, share, most) in [
            (3, 2, 0.9, 40),
            (4, 2, 0.3, 700),
            (6, 3, 0.5, 1450),
            (10, 4, 1e-3, 320),
            (1000, 3, 0.1, 310),
        ] {
            let strength = share * (classes as f64).ln() / classes as f64;
            let (bound, count) = bound_by_intervals(classes, depth, strength);
            let program = Program::new(classes, depth, strength);
            let losses = (0..3000).map(|index| (classes as f64).ln() * 0.995_f64.powi(index));
            let values = losses.map(|loss| loss + program.price * program.least_penalty(loss));
            let lowest = values.fold(f64::INFINITY, f64::min).min((classes as f64).ln());
            let ratio = bound / lowest;
            assert!(count <= most, "{classes}, {depth}: {count}");
            assert!((0.999..1.0).contains(&ratio), "{classes}, {depth}: {ratio}");
        }
    }

    /// The least Σσ^p of a given cross-entropy is below that of every spectrum which the inequalities allow, and
    /// is attained by one.
    #[test]
    fn no_allowed_spectrum_is_cheaper() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let uniform = Uniform::<f64>::new(0.0, 1.0).unwrap();
        for (classes, depth, loss) in [(3, 2, 0.01), (4, 2, 0.05), (6, 3, 0.001), (10, 4, 0.2)] {
            let program = Program::new(classes, depth, 1.0);
            let least = program.least_penalty(loss);
            let needed = program.others * (program.others / loss.exp_m1()).ln();
            let mut cheapest = f64::INFINITY;
            for _ in 0..40_000 {
                let mut values: Vec<f64> = (0..4.min(classes as i32 - 1))
                    .map(|place| uniform.sample(&mut rng).powi(1 + 2 * place))
                    .collect();
                values.sort_by(|a, b| b.total_cmp(a));
                // The smallest multiple that is allowed.
                let sum: f64 = values.iter().sum();
                let scale = program.inequalities.iter().filter_map(|inequality| {
                    let Cap { slope, level, .. } = inequality.cap(program.others, loss)?;
                    let first: f64 = values.iter().take(inequality.directions).sum();
                    Some(level / (slope * sum - first))
                });
                let scale = scale.fold(needed / sum, f64::max);
                let penalty: f64 = values.iter().map(|s| (scale * s).powf(program.exponent)).sum();
                cheapest = cheapest.min(penalty);
            }
            assert!(cheapest >= least * (1.0 - 1e-12), "K = {classes}: {cheapest} < {least}");
            assert!(cheapest <= least * 1.02, "K = {classes}: {cheapest} > {least}");
        }
    }

    /// Sums between those that are looked at have no lower penalty, with few caps and with all of them.
    #[test]
    fn the_least_penalty_is_that_of_all_sums() {
        for (classes, depth) in [(3, 2), (4, 2), (4, 5), (6, 3), (10, 4), (100, 3)] {
            let program = Program::new(classes, depth, 1.0);
            for share in [1e-9, 1e-6, 1e-3, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5, 0.9] {
                let loss = share * (classes as f64).ln();
                let needed = program.others * (program.others / loss.exp_m1()).ln();
                let inequalities = program.inequalities.iter();
                let caps: Vec<Cap> =
                    inequalities.filter_map(|cap| cap.cap(program.others, loss)).collect();
                let sums = (0..4000).map(|step| needed * 1.001_f64.powi(step));
                let lowest =
                    sums.map(|sum| program.penalty(sum, &caps)).fold(f64::INFINITY, f64::min);
                let least = program.least_penalty(loss);
                let input = format!("{classes}, {depth}, {share:e}, {} caps", caps.len());
                // Near the end of a cap it is as far above as the sums are apart.
                let ratio = lowest / least;
                assert!((1.0 - 1e-12..1.001).contains(&ratio), "{input}: {lowest}, {least}");
            }
        }
    }
}
