//! The numerical minimizer of the test suite, checked by itself; and the reduction to singular directions, checked with it.
//!
//! Nothing here uses a closed form of the library: losses found by L-BFGS on the full objective are
//! compared with a brute-force minimization of one direction after the other.

use nalgebra::DMatrix;
use neural_collapse::Bias;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::support::kernels::norm;
use crate::support::lbfgs::{ENOUGH, minimize, multi_start, multi_start_until};
use crate::support::objective::{MseObjective, Unpacked, one_hot};
use crate::support::starts::{gaussian, random_start};
use crate::support::strategies::{Problem, any_target, config, problems, regularized_bias};
use crate::support::theory::optimum;

/// Relative difference of losses that counts as none: both sides are sums of about a hundred rounded terms.
const TOLERANCE: f64 = 1e-11;

/// The objective as it is written on paper.
fn textbook_loss(problem: &Problem, point: &Unpacked) -> f64 {
    let target = problem.target.matrix();
    let mut residual = product(point) - &target;
    residual.column_iter_mut().for_each(|mut column| column += &point.bias);
    let bias_decay = if let Bias::Regularized(decay) = problem.bias { decay } else { 0.0 };
    let penalties: f64 = std::iter::zip(&point.weights, &problem.weight_decays)
        .map(|(weight, decay)| decay * weight.norm_squared())
        .sum::<f64>()
        + problem.feature_decay * point.features.norm_squared()
        + bias_decay * point.bias.norm_squared();
    (residual.norm_squared() / target.ncols() as f64 + penalties) / 2.0
}

/// W_M⋯W₁H.
fn product(point: &Unpacked) -> DMatrix<f64> {
    point.weights.iter().fold(point.features.clone(), |input, weight| weight * input)
}

/// The partial derivatives of f by central differences.
fn numerical_gradient(objective: &MseObjective, point: &[f64], step: f64) -> Vec<f64> {
    let mut workspace = objective.workspace();
    let mut loss_at = |index: usize, step: f64| {
        let mut moved = point.to_vec();
        moved[index] += step;
        objective.evaluate(&moved, &mut workspace)
    };
    let derivative = |index| (loss_at(index, step) - loss_at(index, -step)) / (2.0 * step);
    (0..point.len()).map(derivative).collect()
}

/// A random point of one of the kinds that minimizations start from.
fn random_point(objective: &MseObjective, seed: u64) -> Vec<f64> {
    random_start(objective, (seed % 6) as usize, &mut SmallRng::seed_from_u64(seed))
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn the_objective_is_the_textbook_formula(problem in problems(1..=4), seed: u64) {
        let objective = problem.objective();
        let point = random_point(&objective, seed);
        let unpacked = objective.unpack(&point);
        prop_assert_eq!(&objective.pack(&unpacked), &point);
        let (loss, expected) = (objective.loss(&point), textbook_loss(&problem, &unpacked));
        prop_assert!((loss - expected).abs() <= 1e-13 * expected, "{} and {}", loss, expected);
    }

    #[test]
    fn the_gradient_agrees_with_central_differences(problem in problems(1..=4), seed: u64) {
        let objective = problem.objective();
        let point = random_point(&objective, seed);
        // At the cube root of ε rounding and truncation both cost a third of the digits.
        let step = f64::EPSILON.cbrt() * norm(&point) / (point.len() as f64).sqrt();
        let numerical = numerical_gradient(&objective, &point, step);
        let analytic = objective.gradient(&point);
        let difference: Vec<f64> =
            std::iter::zip(&analytic, &numerical).map(|(a, n)| a - n).collect();
        // The residual is a difference of the target and something close to it.
        let terms = objective.loss(&point) + objective.target().norm_squared();
        let rounding = f64::EPSILON * terms / step * (point.len() as f64).sqrt();
        let (found, allowed) = (norm(&difference), 1e-7 * norm(&analytic) + 8.0 * rounding);
        prop_assert!(found <= allowed, "{} is more than {}", found, allowed);
    }

    #[test]
    fn no_start_ends_below_the_predicted_minimum(problem in problems(1..=4), seed: u64) {
        let predicted = problem.optimum().loss;
        for loss in multi_start(&problem.objective(), 6, seed).losses {
            prop_assert!(
                loss >= predicted - TOLERANCE * predicted.max(1.0),
                "{} is below {}", loss, predicted
            );
        }
    }

    #[test]
    fn up_to_two_layers_the_predicted_minimum_is_reached(problem in problems(1..=2), seed: u64) {
        let (objective, predicted) = (problem.objective(), problem.optimum());
        let wanted = predicted.loss + TOLERANCE * predicted.loss.max(1.0);
        let best = multi_start_until(&objective, ENOUGH, seed, wanted).best;
        prop_assert!(best.loss <= wanted, "{} is above {}", best.loss, predicted.loss);
    }

    /// Starts that know nothing of the target find the predicted minimum too, unless it is near a
    /// transition, where its basin is small.
    #[test]
    fn blind_starts_reach_the_predicted_minimum(
        problem in problems(1..=2).prop_filter("near a transition", |p| p.margin > 0.4),
        seed: u64,
    ) {
        let (objective, predicted) = (problem.objective(), problem.optimum());
        let wanted = predicted.loss + TOLERANCE * predicted.loss.max(1.0);
        let mut rng = SmallRng::seed_from_u64(seed);
        let reached = (0..ENOUGH).any(|_| {
            let start = gaussian(&objective, 1.0, &mut rng);
            minimize(&objective, &start).loss <= wanted
        });
        prop_assert!(reached, "{} is not reached", predicted.loss);
    }

    /// Where the loss is the predicted one, so are the singular values of W_M⋯W₁H.
    #[test]
    fn minimizers_have_the_predicted_singular_values(
        problem in problems(1..=4).prop_filter("near a transition", |p| p.margin > 0.1),
        seed: u64,
    ) {
        let (objective, predicted) = (problem.objective(), problem.optimum());
        let wanted = predicted.loss + TOLERANCE * predicted.loss.max(1.0);
        let best = multi_start_until(&objective, 30, seed, wanted).best;
        prop_assume!(best.loss <= wanted);
        let found = product(&objective.unpack(&best.parameters)).singular_values();
        let expected = predicted.fitted.iter().copied().chain(std::iter::repeat(0.0));
        for (found, expected) in found.iter().zip(expected) {
            prop_assert!((found - expected).abs() <= 1e-6, "{} and {}", found, expected);
        }
    }

    /// The case with the least obvious alignment: a regularized bias, and less rank than classes.
    #[test]
    fn narrow_layers_with_a_regularized_bias_drop_the_mean_first(
        problem in regularized_bias(1..=4)
            .prop_filter("wide", |p| p.objective().rank_limit() < p.target.matrix().nrows()),
        seed: u64,
    ) {
        let predicted = problem.optimum().loss;
        let found = multi_start(&problem.objective(), 6, seed).best.loss;
        prop_assert!(found >= predicted - TOLERANCE, "{} is below {}", found, predicted);
    }

    #[test]
    fn minimization_never_loses_ground(problem in any_target(1..=3), seed: u64) {
        let objective = problem.objective();
        let start = random_point(&objective, seed);
        let first = minimize(&objective, &start);
        let second = minimize(&objective, &first.parameters);
        // Losses that differ by rounding errors are told apart by their gradients.
        let noise = 1.0 + 1e-13;
        prop_assert!(first.loss <= objective.loss(&start) * noise);
        prop_assert!(second.loss <= first.loss * noise);
    }
}

/// Without layers in between the minimum is that of the nuclear norm: singular values are reduced by N √(λ_W λ_H).
#[test]
fn the_oracle_knows_soft_thresholding() {
    let (counts, weight_decay, feature_decay) = ([9_usize, 4, 1], 0.01, 0.04);
    let objective =
        MseObjective::from_counts(&counts, &[weight_decay], feature_decay, Bias::None, &[3]);
    let samples = 14.0;
    let threshold = samples * f64::sqrt(weight_decay * feature_decay);
    let found = optimum(&objective).expect("no bias").fitted;
    let expected = counts.iter().map(|&count| (count as f64).sqrt() - threshold);
    let expected: Vec<_> = expected.filter(|&value| value > 0.0).collect();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-7, "{found} and {expected}");
    }
}

#[test]
fn a_regularized_bias_and_unequal_classes_have_no_oracle() {
    let objective = MseObjective::from_counts(&[3, 2], &[0.01], 0.01, Bias::Regularized(0.1), &[2]);
    assert!(optimum(&objective).is_none());
}

/// The starts that a line search is worst at: a stationary point, a point far away, one that is no number.
#[test]
fn minimization_survives_bad_starts() {
    let objective = MseObjective::new(one_hot(&[3, 3]), &[0.01; 2], 0.01, Bias::None, &[2, 2]);
    let minimize_from = |value: f64| minimize(&objective, &vec![value; objective.dimension()]);
    let at_origin = minimize_from(0.0);
    assert!((at_origin.loss - 0.5).abs() < 1e-15 && at_origin.gradient_norm == 0.0);
    let from_afar = minimize_from(1e6);
    assert!(from_afar.loss < 0.5 + 1e-12 && from_afar.gradient_norm < 1e-8);
    assert!(minimize_from(f64::NAN).loss.is_infinite());
}
