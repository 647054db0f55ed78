//! A short deterministic run of the properties that the fuzz targets search for counterexamples of.

use nalgebra::DMatrix;
use neural_collapse::{Bias, Potential, Regularization};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::properties::{measured, problem, scalar, spectrum};
use crate::support::strategies::config;

/// Numbers of every magnitude, and the special ones.
fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-308.0..308.0).prop_map(|exponent: f64| 10_f64.powf(exponent)),
        4 => (-6.0..6.0).prop_map(|exponent: f64| 10_f64.powf(exponent)),
        1 => any::<f64>(),
        1 => prop::sample::select(vec![0.0, -0.0, 1.0, 0.5, f64::MIN_POSITIVE, 5e-324, f64::MAX,
            f64::INFINITY, f64::NEG_INFINITY, f64::NAN]),
    ]
}

fn any_depth() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0_u32..12, 2 => 0_u32..2000, 1 => any::<u32>()]
}

/// Numbers beside the threshold or the fold, by up to so many parts in a million million.
fn beside_threshold() -> impl Strategy<Value = (u32, f64)> {
    (1_u32..2000, any::<bool>(), -40_i32..40).prop_map(|(depth, fold, steps)| {
        let potential = Potential::<f64>::new(depth).unwrap();
        let center = if fold { potential.fold() } else { potential.slope_threshold() };
        (depth, center * (1.0 + f64::from(steps).powi(5) * f64::EPSILON))
    })
}

fn any_bias() -> impl Strategy<Value = Bias> {
    prop_oneof![
        Just(Bias::None),
        Just(Bias::Unregularized),
        any_number().prop_map(Bias::Regularized),
    ]
}

/// Sizes that are equal, neighbors, of every magnitude, or out of range.
fn any_runs() -> impl Strategy<Value = Vec<(u64, usize)>> {
    let size = prop_oneof![
        4 => 1_u64..200,
        2 => (0.0..9.5).prop_map(|exponent: f64| 10_f64.powf(exponent) as u64),
        2 => (0_u64..6).prop_map(|offset| 1_000_000_000 - offset),
        1 => any::<u64>(),
    ];
    let classes = prop_oneof![8 => 0_usize..5, 1 => 0_usize..100_000, 1 => any::<usize>()];
    vec((size, classes), 0..8)
}

prop_compose! {
    fn any_problem()(
        runs in any_runs(),
        decay in any_number(),
        spread in vec(any_number(), 0..4),
        depth in prop_oneof![8 => 0_usize..6, 1 => 0_usize..300],
        feature_decay in any_number(),
        bias in any_bias(),
        widths in prop_oneof![Just(Vec::new()), vec(0_usize..20, 1..6)],
    ) -> problem::Input {
        // Most layers share a decay, as in practice; the widths may not fit their number.
        let mut weight_decays = vec![decay; depth];
        weight_decays.extend(spread);
        problem::Input { runs, weight_decays, feature_decay, bias, widths }
    }
}

prop_compose! {
    fn plausible_problem()(
        runs in vec((1_u64..300, 1_usize..4), 1..6),
        decays in vec((-5.0..-0.5).prop_map(|exponent: f64| 10_f64.powf(exponent)), 2..8),
        bias in prop_oneof![Just(Bias::None), Just(Bias::Unregularized), Just(Bias::Regularized(0.01))],
        width in 1_usize..12,
    ) -> problem::Input {
        let (&feature_decay, weight_decays) = decays.split_first().unwrap();
        let widths = vec![width; weight_decays.len()];
        let runs = if matches!(bias, Bias::Regularized(_)) { runs[..1].to_vec() } else { runs };
        problem::Input { runs, weight_decays: weight_decays.to_vec(), feature_decay, bias, widths }
    }
}

prop_compose! {
    fn measured_network()(
        dimension in 0_usize..5,
        classes in 0_usize..5,
        labels in vec(0_usize..5, 0..12),
        hidden in vec(0_usize..5, 0..3),
    )(
        features in vec(feature(), labels.len() * dimension),
        weights in vec(feature(), 1..30),
        regularization in prop::option::of((1e-4..0.5, 1e-4..0.5)),
        (dimension, classes, labels, hidden) in Just((dimension, classes, labels, hidden)),
    ) -> measured::Input {
        let decays = |(weights, features): (f64, f64)| {
            Regularization::new(&vec![weights; hidden.len() + 1], features).unwrap()
        };
        let regularization = regularization.map(decays);
        // Labels in order and at random, so that every class has a sample in half of the cases.
        let labels = labels.iter().enumerate().map(|(index, &label)| match label {
            0 => index % classes.max(1),
            _ => label.min(classes.saturating_sub(usize::from(index % 97 != 0))),
        });
        let labels = labels.collect();
        measured::Input { features, dimension, labels, classes, hidden, weights, regularization }
    }
}

/// Mostly ordinary numbers, some equal, some extreme.
fn feature() -> impl Strategy<Value = f64> {
    prop_oneof![6 => -2.0..2.0, 2 => Just(1.0), 1 => Just(0.0), 1 => any_number()]
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn the_scalar_core_is_sound(depth in any_depth(), b in any_number(), x in any_number()) {
        scalar::check(depth, b, x);
    }

    #[test]
    fn the_scalar_core_is_sound_beside_thresholds((depth, b) in beside_threshold(), x in any_number()) {
        scalar::check(depth, b, x);
    }
}

proptest! {
    #![proptest_config(config(5_000))]

    #[test]
    fn every_problem_is_refused_or_solved(input in any_problem()) {
        problem::check(&input);
    }

    #[test]
    fn plausible_problems_are_solved(input in plausible_problem()) {
        problem::check(&input);
    }

    #[test]
    fn every_target_is_refused_or_solved(
        rows in 0_usize..5,
        columns in 0_usize..5,
        entries in vec(feature(), 16),
        input in prop_oneof![any_problem(), plausible_problem()],
    ) {
        let target = DMatrix::from_fn(rows, columns, |i, j| entries[4 * i + j]);
        problem::check_target(target, &input);
    }

    #[test]
    fn spectra_interlace(runs in any_runs()) {
        spectrum::check(&runs);
    }

    #[test]
    fn metrics_are_sound(input in measured_network()) {
        measured::check(&input);
    }
}
