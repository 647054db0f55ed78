//! Decisions at the thresholds, number by number: the regime is what exact arithmetic says.

use crate::exact::double_double::DoubleDouble;
use neural_collapse::models::Regime;
use neural_collapse::{
    ClassCounts, Geometry, GlobalMinimum, Potential, Prediction, Regularization, Ufm,
};
use num_traits::One;
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

const DEPTHS: [u32; 14] = [1, 2, 3, 4, 5, 6, 7, 9, 17, 64, 150, 1000, 4096, 100_000];

/// `value` moved by so many numbers.
fn moved(value: f64, steps: i32) -> f64 {
    let step = |value: f64, _| if steps < 0 { value.next_down() } else { value.next_up() };
    (0..steps.abs()).fold(value, step)
}

fn moved_single(value: f32, steps: i32) -> f32 {
    let step = |value: f32, _| if steps < 0 { value.next_down() } else { value.next_up() };
    (0..steps.abs()).fold(value, step)
}

#[test]
fn the_regime_changes_at_the_number_nearest_to_the_threshold() {
    for depth in DEPTHS {
        let exact = Potential::<DoubleDouble>::new(depth).unwrap().slope_threshold();
        let potential = Potential::<f64>::new(depth).unwrap();
        let single = Potential::<f32>::new(depth).unwrap();
        for steps in -20..=20 {
            let b = moved(potential.slope_threshold(), steps);
            let regime = potential.minimizer(b).unwrap().regime();
            let wanted = expected(depth, steps, DoubleDouble::from_f64(b) < exact);
            assert_eq!(regime, wanted, "M = {depth}, b = {b:e}, {steps} steps from β");
            let b = moved_single(single.slope_threshold(), steps);
            let regime = single.minimizer(b).unwrap().regime();
            let wanted = expected(depth, steps, DoubleDouble::from_f64(b.into()) < exact);
            assert_eq!(regime, wanted, "M = {depth}, b = {b:e}, {steps} steps from β, f32");
        }
    }
}

/// The number nearest to the threshold stands for it; one layer has no tie.
fn expected(depth: u32, steps: i32, below: bool) -> Regime {
    match (steps, depth) {
        (0, 1) => Regime::Zero,
        (0, _) => Regime::Tie,
        _ if below => Regime::Positive,
        _ => Regime::Zero,
    }
}

#[test]
fn at_the_threshold_both_minimizers_have_the_value_one() {
    for depth in DEPTHS.into_iter().skip(1) {
        let potential = Potential::<f64>::new(depth).unwrap();
        let beta = potential.slope_threshold();
        let tie = potential.minimizer(beta).unwrap();
        let error = (tie.value() - 1.0).abs();
        assert!(error <= 2.0 * f64::EPSILON, "M = {depth}: g(x) − 1 = {error:e}");
        let below = potential.minimizer(beta.next_down()).unwrap();
        let jump = (below.x() / tie.x() - 1.0).abs();
        assert!(jump <= 4.0 * f64::EPSILON, "M = {depth}: x is {:e}, {jump:e} off", below.x());
    }
}

#[test]
fn one_layer_vanishes_continuously() {
    let potential = Potential::<f64>::new(1).unwrap();
    for steps in 1..=20 {
        let b = moved(1.0, -steps);
        let x = potential.minimizer(b).unwrap().x();
        // x = 1/√b − 1 = (1 − b)/2 + 3(1 − b)²/8 + …, and 1 − b is exact.
        let wanted = (1.0 - b) / 2.0 * (1.0 + 0.75 * (1.0 - b));
        assert!((x / wanted - 1.0).abs() <= 2.0 * f64::EPSILON, "b = {b:e}: {x:e}, not {wanted:e}");
    }
}

fn minimum(counts: &[u64], decays: &[f64], feature_decay: f64) -> GlobalMinimum {
    let regularization = Regularization::new(decays, feature_decay).unwrap();
    Ufm::new(ClassCounts::new(counts).unwrap(), regularization).unwrap().global_minimum().unwrap()
}

#[test]
fn two_layers_reach_the_tie_exactly_and_report_it() {
    // N = 16 and P = 2⁻¹² make a = 16·√(16 P) = 1, which is τ₂ = 1/4 of the class of 4.
    let tie = minimum(&[4, 12], &[0.0625; 2], 0.0625);
    let small = &tie.direction(1).unwrap();
    assert_eq!((small.ratio(), small.regime(), small.rank()), (0.25, Regime::Tie, 0..=1));
    assert!(!tie.is_unique());
    assert_eq!(tie.geometry(), Geometry::GeneralOrthogonalFrame);
    let class = tie.class(0).unwrap();
    assert_eq!((class.collapsed, class.classifier_norm_squared), (None, None));
    assert_eq!(tie.class(1).unwrap().collapsed, Some(false));
    assert_eq!(tie.trailing_gram(1).unwrap().get(0, 0), None);
    assert_eq!((small.x(), small.loss()), (1.0, 4.0 / 32.0), "x = 1 costs as much as x = 0");
    assert_eq!(tie.smallest_surviving_count(), 4.0);
    assert_eq!(tie.largest_decay_factor(), Some(1.0));
    // a changes by half as much as the product of the decays.
    let above = minimum(&[4, 12], &[0.0625; 2], moved(0.0625, 2));
    assert_eq!(above.class(0).unwrap().collapsed, Some(true));
    let below = minimum(&[4, 12], &[0.0625; 2], moved(0.0625, -2));
    assert_eq!(below.class(0).unwrap().collapsed, Some(false));
}

#[test]
fn one_layer_reaches_its_threshold_exactly_and_is_zero_there() {
    // a = 16·16·2⁻⁶ = 4, the size of the smaller class.
    let at = minimum(&[4, 12], &[0.125], 0.125);
    assert_eq!(
        (at.direction(1).unwrap().ratio(), at.direction(1).unwrap().regime()),
        (1.0, Regime::Zero)
    );
    assert!(at.is_unique());
    assert_eq!(at.class(0).unwrap().collapsed, Some(true));
    let below = minimum(&[4, 12], &[0.125], moved(0.125, -1));
    assert_eq!(below.class(0).unwrap().collapsed, Some(false));
    assert!(below.class(0).unwrap().classifier_norm_squared.unwrap() > 0.0);
    let above = minimum(&[4, 12], &[0.125], moved(0.125, 1));
    assert_eq!(above.class(0).unwrap().collapsed, Some(true));
}

/// a/(σ² τ_M) − 1 for the class of `size`, to about 28 digits: (N^(M+1) P/(τ σ²)^M)^(1/M) − 1.
fn margin(samples: u64, size: u64, decays: &[f64], feature_decay: f64) -> f64 {
    let depth = u32::try_from(decays.len()).unwrap();
    let tau = Potential::<DoubleDouble>::new(depth).unwrap().threshold();
    let unit = DoubleDouble::from_u64(samples) / (tau * DoubleDouble::from_u64(size));
    let decays = decays.iter().chain([&feature_decay]).map(|&decay| DoubleDouble::from_f64(decay));
    // One factor N/(τ σ²) for each layer, so that the product stays near 1.
    let mut product = DoubleDouble::from_u64(samples);
    for (index, decay) in decays.enumerate() {
        product = product * decay;
        if index > 0 {
            product = product * unit;
        }
    }
    ((product - DoubleDouble::one()).nearest()) / f64::from(depth)
}

/// Random classes and decays with λ_H such that the class of index 0 is within a few ulp of its threshold.
fn problem_at_threshold(rng: &mut Xoshiro256PlusPlus) -> (Vec<u64>, Vec<f64>, f64) {
    let depth = [1, 2, 3, 4, 6, 9, 17][rng.random_range(0..7)];
    let counts: Vec<u64> = (0..rng.random_range(2..5)).map(|_| rng.random_range(1..5000)).collect();
    let samples = counts.iter().sum::<u64>() as f64;
    let tau = Potential::<f64>::new(depth).unwrap().threshold();
    let per_layer = tau * counts[0] as f64 / samples;
    let decays: Vec<f64> =
        (0..depth).map(|_| per_layer * 10_f64.powf(rng.random_range(-1.0..1.0))).collect();
    let product: f64 = decays.iter().map(|decay| decay / per_layer).product();
    (counts, decays, 1.0 / samples / product)
}

#[test]
fn whole_problems_decide_as_exact_arithmetic_beyond_two_ulp() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
    let (mut ties, mut decided) = (0, 0);
    for _ in 0..400 {
        let (counts, decays, feature_decay) = problem_at_threshold(&mut rng);
        let samples = counts.iter().sum();
        for steps in -24..=24 {
            let feature_decay = moved(feature_decay, steps);
            let margin = margin(samples, counts[0], &decays, feature_decay);
            let minimum = minimum(&counts, &decays, feature_decay);
            let group = minimum.problem().counts().unwrap().sizes();
            let index = group.map(|group| group.size).position(|size| size == counts[0]).unwrap();
            let regime = minimum.direction(index).unwrap().regime();
            ties += usize::from(regime == Regime::Tie);
            if margin.abs() <= 2.0 * f64::EPSILON {
                continue;
            }
            decided += 1;
            let wanted = if margin > 0.0 { Regime::Zero } else { Regime::Positive };
            let input = (&counts, &decays, feature_decay);
            assert_eq!(regime, wanted, "{input:?}, a/(σ² τ) − 1 = {margin:e}");
        }
    }
    assert!(ties > 100 && decided > 5000, "{ties} ties, {decided} decided");
}

#[test]
fn the_deepest_head_has_a_fold() {
    // M + 1 overflowed where b is the fold.
    let potential = Potential::<f64>::new(u32::MAX).unwrap();
    let points = potential.stationary_points(potential.fold()).unwrap().unwrap();
    assert_eq!(points.local_maximum, Some(points.local_minimum));
}

#[test]
fn the_power_keeps_its_digits_where_m_ulp_of_x_are_many() {
    // The square of M times the rounding error of x was left out: x^M was 1e-14 off.
    let (depth, b) = (4_294_967_073, 0.999_999_994_602_820_1);
    let minimizer = Potential::<f64>::new(depth).unwrap().minimizer(b).unwrap();
    let least = f64::from(depth - 1);
    let error = minimizer.power() / least - 1.0;
    assert!(error >= -4.0 * f64::EPSILON, "x^M = {:e} is {error:e} off", minimizer.power());
}

/// With the largest factor all classes survive, with the next larger number one does not, whatever rounding does.
#[test]
fn the_largest_decay_factor_is_the_last_number_at_which_all_survive() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
    for _ in 0..300 {
        let (counts, decays, feature_decay) = problem_at_threshold(&mut rng);
        let scale = 10_f64.powf(rng.random_range(-1.0..1.0));
        let decays: Vec<f64> = decays.iter().map(|decay| decay * scale).collect();
        let factor = minimum(&counts, &decays, feature_decay).largest_decay_factor().unwrap();
        let collapses = |factor: f64| {
            let decays: Vec<f64> = decays.iter().map(|decay| decay * factor).collect();
            let scaled = minimum(&counts, &decays, feature_decay * factor);
            scaled.collapsed_runs().next().is_some()
        };
        assert!(!collapses(factor), "{counts:?}, {decays:?}, {feature_decay:e}: {factor:e}");
        let next = factor.next_up();
        assert!(collapses(next), "{counts:?}, {decays:?}, {feature_decay:e}: {next:e}");
    }
}
