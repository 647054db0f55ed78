//! Extreme input: a finite answer or an error, never a panic, a NaN or an infinity.

use nalgebra::dmatrix;
use neural_collapse::models::Regime;
use neural_collapse::{
    Bias, ClassCounts, Error, Geometry, GlobalMinimum, Prediction, Regularization, Ufm,
};

use crate::support::bases::random_basis;

/// Penalties of all magnitudes.
const DECAYS: [f64; 11] =
    [5e-324, 1e-320, 1e-300, 1e-150, 1e-20, 1e-3, 1.0, 1e20, 1e150, 1e300, f64::MAX];

fn plain(weight_decays: &[f64], feature_decay: f64) -> Regularization {
    Regularization::new(weight_decays, feature_decay).unwrap()
}

fn ufm(counts: &[u64], weight_decays: &[f64], bias: Bias) -> Ufm {
    let regularization = plain(weight_decays, 1e-3).with_bias(bias).unwrap();
    Ufm::new(ClassCounts::new(counts).unwrap(), regularization).unwrap()
}

fn minimum(counts: &[u64], weight_decays: &[f64], bias: Bias) -> GlobalMinimum {
    ufm(counts, weight_decays, bias).global_minimum().unwrap()
}

/// Every number of a minimum is finite, and what has a sign has the right one.
fn check(minimum: &GlobalMinimum, input: &str) {
    let good = |quantity: &str, value: f64| {
        assert!(value.is_finite() && value >= 0.0, "{input}: {quantity} = {value}");
    };
    let problem = minimum.problem();
    good("the loss", minimum.loss());
    good("the scale", minimum.scale());
    good("the threshold", minimum.threshold());
    good("the smallest surviving count", minimum.smallest_surviving_count());
    good("the largest decay factor", minimum.largest_decay_factor().unwrap_or(0.0));
    for direction in minimum.directions() {
        good("σ²", direction.target_squared());
        good("a/σ²", direction.ratio());
        good("N of a direction", direction.effective_samples());
        good("x", direction.x());
        good("x^M", direction.power());
        good("t", direction.energy());
        good("the fitted share", direction.fitted_share());
        good("the unfitted share", direction.unfitted_share());
        good("the loss of a direction", direction.loss());
        assert!(direction.multiplicity() > 0, "{input}");
    }
    let depth = problem.depth();
    for layers in
        [1..=1, depth..=depth, 1..=depth, 1..=depth.div_ceil(2), depth.div_ceil(2)..=depth]
    {
        for value in minimum.direction_singular_values(layers.clone()).unwrap() {
            good(&format!("a singular value of layers {layers:?}"), value);
        }
    }
    minimum
        .direction_singular_values(1..=1)
        .unwrap()
        .into_iter()
        .for_each(|value| good("s_k", value));
    minimum.direction_feature_singular_values().into_iter().for_each(|value| good("σ(H)", value));
    minimum.output_singular_values().into_iter().for_each(|value| good("σ(WH)", value));
    for (_, class) in minimum.class_runs().into_iter().flatten() {
        good("‖w‖²", class.classifier_norm_squared.unwrap_or(0.0));
        good("‖h‖²", class.feature_norm_squared.unwrap_or(0.0));
    }
    let last = problem.classes() - 1;
    let outputs = [minimum.class_means_gram(), minimum.class_outputs(), minimum.logit_gram()];
    let outputs = outputs.into_iter().flatten();
    let grams = (1..=depth).map(|layers| minimum.trailing_gram(layers).unwrap());
    for matrix in grams.chain(outputs) {
        for (i, j) in [(0, 0), (0, last), (last, 0), (last, last)] {
            let entry = matrix.get(i, j).unwrap_or(0.0);
            assert!(entry.is_finite(), "{input}: entry ({i}, {j}) = {entry} of {matrix:?}");
        }
    }
    if problem.classes() > 100 || problem.widths().is_some() {
        return;
    }
    let bias = minimum.bias();
    assert_eq!(bias.is_some(), problem.regularization().bias() != Bias::None, "{input}: {bias:?}");
    bias.into_iter().flatten().for_each(|entry| good("b", entry.abs()));
    let explicit = minimum
        .explicit(&random_basis(minimum, 1))
        .unwrap_or_else(|error| panic!("{input}: {error}"));
    for weight in explicit.head().weights() {
        assert!(weight.iter().all(|entry| entry.is_finite()), "{input}: {weight}");
    }
    if let Some(means) = explicit.class_means() {
        assert!(means.iter().all(|entry| entry.is_finite()), "{input}: {means}");
    }
}

#[test]
fn decays_of_all_magnitudes_have_a_finite_minimum_or_an_error() {
    let biases = [Bias::None, Bias::Unregularized].into_iter().chain(DECAYS.map(Bias::Regularized));
    let mut answers = 0;
    for bias in biases {
        for depth in [1, 2, 3, 40] {
            for weight in DECAYS {
                for feature in DECAYS {
                    let regularization =
                        plain(&vec![weight; depth], feature).with_bias(bias).unwrap();
                    for counts in [&[1][..], &[3, 3, 3], &[7, 4, 4, 1], &[1 << 53, 1 << 52, 1]] {
                        let counts = ClassCounts::new(counts).unwrap();
                        let Ok(problem) = Ufm::new(counts, regularization.clone()) else {
                            continue;
                        };
                        let input = format!("{problem:?}");
                        match problem.global_minimum() {
                            Ok(minimum) => {
                                answers += 1;
                                check(&minimum, &input);
                            }
                            Err(error) => assert!(
                                matches!(error, Error::Unrepresentable { .. }),
                                "{input}: {error}"
                            ),
                        }
                    }
                }
            }
        }
    }
    assert!(answers > 1000, "{answers}");
}

#[test]
fn decays_of_very_different_magnitudes() {
    for weights in [
        [1e-200, 1e-200, 1e200, 1e200],
        [1e200, 1e200, 1e-200, 1e-200],
        [1e-300, 1e-300, 1e-300, 1e300],
        [1e300, 1e-300, 1e300, 1e-300],
        [1e-320, 1e-320, 1e-3, 1e300],
    ] {
        for feature in [1e-300, 1e-100, 1e-10, 1.0, 1e300] {
            let counts = ClassCounts::new(&[40, 20, 20]).unwrap();
            let problem = Ufm::new(counts, plain(&weights, feature)).unwrap();
            let input = format!("{problem:?}");
            match problem.global_minimum() {
                Ok(minimum) => check(&minimum, &input),
                Err(error) => assert!(matches!(error, Error::Unrepresentable { .. }), "{error}"),
            }
        }
    }
}

#[test]
fn one_class_and_fewer_samples_than_outputs() {
    // One class: centered targets vanish, and an unregularized bias fits everything.
    let alone = minimum(&[10], &[1e-3], Bias::Unregularized);
    check(&alone, "K = 1");
    assert_eq!((alone.geometry(), alone.loss()), (Geometry::Collapsed, 0.0));
    assert_eq!(alone.bias(), Some(vec![1.0]));
    check(&minimum(&[10], &[1e-3], Bias::None), "K = 1, no bias");
    check(&minimum(&[10], &[1e-3; 2], Bias::Regularized(0.5)), "K = 1, regularized bias");
    check(&minimum(&[1; 5], &[1e-3], Bias::Unregularized), "one sample per class");

    // N < K: five outputs, two samples.
    let target = dmatrix![1.0, 0.0; 0.0, 1.0; 0.5, 0.5; 0.0, 0.0; -1.0, 2.0];
    for bias in [Bias::None, Bias::Unregularized] {
        let regularization = plain(&[1e-3; 2], 1e-3).with_bias(bias).unwrap();
        let minimum =
            Ufm::from_target(target.clone(), regularization).unwrap().global_minimum().unwrap();
        check(&minimum, "N < K");
        assert!(minimum.directions().map(|direction| direction.multiplicity()).sum::<usize>() <= 2);
    }
}

#[test]
fn target_matrices_of_all_magnitudes() {
    let shape = dmatrix![1.0, 0.0, 0.3; 0.0, 1.0, -0.2];
    for size in [0.0, 5e-324, 1e-320, 1e-300, 1e-160, 1e-150, 1.0, 1e150, 1e160, 1e300, 1e308] {
        for bias in [Bias::None, Bias::Unregularized] {
            let regularization = plain(&[1e-3; 2], 1e-3).with_bias(bias).unwrap();
            let target = &shape * size;
            let input = format!("Y of size {size:e}, {bias:?}");
            match Ufm::from_target(target, regularization).unwrap().global_minimum() {
                Ok(minimum) => check(&minimum, &input),
                Err(error) => {
                    assert!(matches!(error, Error::Unrepresentable { .. }), "{input}: {error}");
                }
            }
        }
    }
    // Constant rows: an unregularized bias fits them, and nothing is left.
    let regularization = plain(&[1e-3], 1e-3).with_bias(Bias::Unregularized).unwrap();
    let constant = dmatrix![0.5, 0.5, 0.5; -2.0, -2.0, -2.0];
    let minimum = Ufm::from_target(constant, regularization).unwrap().global_minimum().unwrap();
    check(&minimum, "constant rows");
    assert_eq!((minimum.loss(), minimum.bias()), (0.0, Some(vec![0.5, -2.0])));
}

#[test]
fn millions_of_classes() {
    let problem = |counts: ClassCounts, bias| {
        Ufm::new(counts, plain(&[1e-6; 3], 1e-6).with_bias(bias).unwrap()).unwrap()
    };
    for bias in [Bias::None, Bias::Unregularized, Bias::Regularized(0.1)] {
        for (classes, size) in [(10_000_000, 1), (10_000_000, 600), (1 << 40, 1), (usize::MAX, 1)] {
            let counts = ClassCounts::balanced(classes, size).unwrap();
            let input = format!("{classes} classes of {size}, {bias:?}");
            check(&problem(counts, bias).global_minimum().unwrap(), &input);
        }
    }
    let runs = [(1 << 53, 3), (600, 5_000_000), (7, 5_000_000), (1, 1)];
    for bias in [Bias::None, Bias::Unregularized] {
        let counts = ClassCounts::from_runs(runs).unwrap();
        let minimum = problem(counts, bias).global_minimum().unwrap();
        check(&minimum, &format!("{runs:?}, {bias:?}"));
        if bias == Bias::None {
            assert_eq!(minimum.direction(0).unwrap().regime(), Regime::Positive);
        }
    }
}

#[test]
fn widths_without_a_limit() {
    let wide = ufm(&[3, 2, 1], &[1e-3; 3], Bias::None).with_widths(&[usize::MAX; 3]).unwrap();
    assert_eq!(wide.rank_limit(), 3);
    check(&wide.global_minimum().unwrap(), "widths of usize::MAX");
}
