//! Random problems, on both sides of the thresholds.

use std::ops::RangeInclusive;

use nalgebra::DMatrix;
use neural_collapse::Bias;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::objective::{MseObjective, one_hot};
use super::theory::{self, Optimum};

/// The largest number of classes K.
const CLASSES: usize = 5;
/// The largest number of samples of a class.
const COUNT: usize = 6;

/// What is to be fitted.
#[derive(Debug, Clone)]
pub enum Target {
    /// One-hot labels, with so many samples of each class.
    Counts(Vec<usize>),
    /// Any K×N matrix.
    Matrix(DMatrix<f64>),
}

/// A training problem.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Y.
    pub target: Target,
    /// λ₁, …, λ_M.
    pub weight_decays: Vec<f64>,
    /// λ_H.
    pub feature_decay: f64,
    /// Treatment of the bias.
    pub bias: Bias,
    /// d₁, …, d_M.
    pub widths: Vec<usize>,
    /// How far a/σ² is from τ_M where it is nearest: the least |ln(a/(σ² τ_M))| of a direction of
    /// the effective target.
    pub margin: f64,
}

impl Problem {
    /// Its objective.
    pub fn objective(&self) -> MseObjective {
        let (target, widths) = (self.target.matrix(), &self.widths);
        MseObjective::new(target, &self.weight_decays, self.feature_decay, self.bias, widths)
    }

    /// Its global minimum by brute force. Every problem made here has one.
    pub fn optimum(&self) -> Optimum {
        theory::optimum(&self.objective()).expect("only problems with a reduction are made")
    }
}

impl Target {
    /// Y.
    pub fn matrix(&self) -> DMatrix<f64> {
        match self {
            Self::Counts(counts) => one_hot(counts),
            Self::Matrix(matrix) => matrix.clone(),
        }
    }
}

/// The settings of a test of `cases` random problems, the same ones at every run.
///
/// The variables `PROPTEST_CASES` and `PROPTEST_RNG_SEED` ask for more and for other ones. A problem that fails is
/// noted in `tests/proptest-regressions` and tried first from then on.
pub fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    let rng_seed = match default.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        chosen => chosen,
    };
    // A failure is to be reported within seconds: by default shrinking tries four times per case.
    ProptestConfig { cases, rng_seed, max_shrink_iters: 500, ..default }
}

/// Problems of every kind whose global minimum is known, with M in `depths`.
pub fn problems(depths: RangeInclusive<usize>) -> BoxedStrategy<Problem> {
    prop_oneof![
        balanced(depths.clone()),
        imbalanced(depths.clone()),
        regularized_bias(depths.clone()),
        any_target(depths),
    ]
    .boxed()
}

/// Classes of one size, without a bias or with an unregularized one.
pub fn balanced(depths: RangeInclusive<usize>) -> impl Strategy<Value = Problem> {
    with_penalties(equal_counts().prop_map(Target::Counts), free_bias(), depths)
}

/// Classes of any sizes, often with ties, without a bias or with an unregularized one.
pub fn imbalanced(depths: RangeInclusive<usize>) -> impl Strategy<Value = Problem> {
    with_penalties(counts().prop_map(Target::Counts), free_bias(), depths)
}

/// Classes of one size with a regularized bias.
pub fn regularized_bias(depths: RangeInclusive<usize>) -> impl Strategy<Value = Problem> {
    with_penalties(equal_counts().prop_map(Target::Counts), regularized(), depths)
}

/// Targets that are no class indicators, without a bias or with an unregularized one.
pub fn any_target(depths: RangeInclusive<usize>) -> impl Strategy<Value = Problem> {
    let target = prop_oneof![random_matrix(), smoothed_labels()].prop_map(Target::Matrix);
    with_penalties(target, free_bias(), depths)
}

fn counts() -> BoxedStrategy<Vec<usize>> {
    let free = vec(1..=COUNT, 1..=CLASSES);
    let two_sizes =
        (1..=COUNT, 1..=COUNT, vec(any::<bool>(), 1..=CLASSES)).prop_map(|(one, other, which)| {
            which.iter().map(|&w| if w { one } else { other }).collect()
        });
    prop_oneof![free, two_sizes].boxed()
}

fn equal_counts() -> impl Strategy<Value = Vec<usize>> {
    (1..=CLASSES, 1..=COUNT).prop_map(|(classes, count)| vec![count; classes])
}

/// Entries in (−1, 1), with fewer samples than outputs or more.
fn random_matrix() -> impl Strategy<Value = DMatrix<f64>> {
    (1..=CLASSES, 1_usize..=12).prop_flat_map(|(rows, columns)| {
        vec(-1.0..1.0, rows * columns)
            .prop_map(move |entries| DMatrix::from_vec(rows, columns, entries))
    })
}

fn smoothed_labels() -> impl Strategy<Value = DMatrix<f64>> {
    (counts(), 0.0..0.5).prop_map(|(counts, smoothing)| {
        let share = smoothing / counts.len() as f64;
        one_hot(&counts).map(|entry| (1.0 - smoothing) * entry + share)
    })
}

fn free_bias() -> impl Strategy<Value = Bias> {
    prop_oneof![Just(Bias::None), Just(Bias::Unregularized)]
}

/// λ_b from where the bias is as good as free to where it is as good as absent.
fn regularized() -> impl Strategy<Value = Bias> {
    (-2.0..1.5).prop_map(|exponent| Bias::Regularized(10_f64.powf(exponent)))
}

/// Adds decays and widths to a target.
fn with_penalties(
    target: impl Strategy<Value = Target>,
    bias: impl Strategy<Value = Bias>,
    depths: RangeInclusive<usize>,
) -> impl Strategy<Value = Problem> {
    (target, bias, depths)
        .prop_flat_map(|(target, bias, depth)| {
            let widths = widths(target.matrix().nrows(), depth);
            (Just((target, bias)), strength(), decay_ratios(depth), widths)
        })
        .prop_map(|((target, bias), strength, ratios, widths)| {
            place(target, bias, strength, &ratios, widths)
        })
}

/// Widths that limit the rank in about half of the problems.
fn widths(classes: usize, depth: usize) -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![vec(classes..=classes + 2, depth), vec(1..=classes + 2, depth)]
}

/// Which direction of the target to place, as a share of their number, and ln(a/(σ² τ_M)) of it:
/// mostly alive, as smaller directions collapse before it does.
fn strength() -> impl Strategy<Value = (f64, f64)> {
    (0.0..1.0, -4.0..0.5)
}

/// Logarithms of the ratios of λ₁, …, λ_M, λ_H to a common scale: all 1, or 1/3 to 3, or 1/10 to 10.
fn decay_ratios(depth: usize) -> impl Strategy<Value = Vec<f64>> {
    let spread = prop_oneof![Just(0.0), Just(3_f64.ln()), Just(10_f64.ln())];
    (spread, vec(-1.0..1.0, depth + 1))
        .prop_map(|(spread, ratios)| ratios.into_iter().map(|ratio| spread * ratio).collect())
}

/// The problem with decays of the given ratios, such that a/(σ² τ_M) has the given logarithm in the
/// given direction.
fn place(
    target: Target,
    bias: Bias,
    (direction, log_ratio): (f64, f64),
    ratios: &[f64],
    widths: Vec<usize>,
) -> Problem {
    let depth = widths.len() as f64;
    let offsets = log_ratios_without_decays(&target, bias, depth);
    let placed = offsets.get((direction * offsets.len() as f64) as usize).unwrap_or(&0.0);
    let shift = log_ratio - placed;
    let margin = offsets.iter().map(|offset| (offset + shift).abs()).fold(f64::INFINITY, f64::min);
    let mean_log_decay = depth * shift / (depth + 1.0);
    let mean_ratio = ratios.iter().sum::<f64>() / (depth + 1.0);
    let mut weight_decays: Vec<_> =
        ratios.iter().map(|ratio| (mean_log_decay + ratio - mean_ratio).exp()).collect();
    let feature_decay = weight_decays.pop().expect("there are M + 1 ratios");
    Problem { target, weight_decays, feature_decay, bias, widths, margin }
}

/// ln(a/(σ² τ_M)) for P = 1 in every nonzero direction of the effective target, where a = N (N P)^{1/M}.
///
/// The threshold only places the decays; no check depends on it.
fn log_ratios_without_decays(target: &Target, bias: Bias, depth: f64) -> Vec<f64> {
    let log_threshold = (1.0 - 1.0 / depth) * (depth - 1.0).max(1.0).ln() - 2.0 * depth.ln();
    theory::directions(&target.matrix(), bias)
        .expect("only problems with a reduction are made")
        .iter()
        .filter(|direction| direction.singular_value > 1e-6)
        .map(|direction| {
            (1.0 + 1.0 / depth) * direction.samples.ln()
                - 2.0 * direction.singular_value.ln()
                - log_threshold
        })
        .collect()
}
