//! The cross-entropy problem against what knows nothing of its closed forms: the objective written out
//! in full, its gradient, and its minimization from many starts.

use neural_collapse::models::cross_entropy::{
    CrossEntropyPoint, LogitStructure, LossMean, SimplexPotential, phase_diagram,
};
use neural_collapse::models::low_rank::Search;
use neural_collapse::{Basis, Bias, CrossEntropyUfm, Prediction, Regularization, Verdict};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::support::bases::random_basis;
use crate::support::cross_entropy::CrossEntropyObjective;
use crate::support::kernels::norm;
use crate::support::lbfgs::Smooth as _;
use crate::support::objective::Unpacked;
use crate::support::strategies::config;

/// A problem with all decays of the layers in `weight_decays`.
fn problem(classes: usize, samples: u64, decays: &[f64], bias: Bias) -> CrossEntropyUfm {
    let (feature_decay, weight_decays) = decays.split_last().unwrap();
    let regularization = Regularization::new(weight_decays, *feature_decay).unwrap();
    CrossEntropyUfm::new(classes, samples, regularization.with_bias(bias).unwrap()).unwrap()
}

/// One sample per class and equal decays, so that the strength is the decay.
fn with_strength(classes: usize, depth: usize, strength: f64, bias: Bias) -> CrossEntropyUfm {
    problem(classes, 1, &vec![strength; depth + 1], bias)
}

/// The full objective with the mean loss 1/N.
fn objective(ufm: &CrossEntropyUfm) -> CrossEntropyObjective {
    let regularization = ufm.regularization();
    CrossEntropyObjective::new(
        &vec![usize::try_from(ufm.samples_per_class()).unwrap(); ufm.classes()],
        regularization.weight_decays(),
        regularization.feature_decay(),
        regularization.bias(),
        &vec![ufm.classes(); ufm.depth()],
    )
}

/// The loss and the norm of the gradient of the matrices of a point.
fn evaluated(point: &CrossEntropyPoint) -> (f64, f64) {
    let objective = objective(point.problem());
    let explicit = point.explicit(&random_basis(point, 3)).unwrap();
    let bias = explicit.head().bias().cloned();
    let packed = objective.network().pack(&Unpacked {
        weights: explicit.head().weights().to_vec(),
        features: explicit.features().unwrap(),
        bias: bias.unwrap_or_else(|| nalgebra::DVector::zeros(point.problem().classes())),
    });
    (objective.loss(&packed), norm(&objective.gradient(&packed)))
}

fn biases() -> impl Strategy<Value = Bias> {
    prop_oneof![
        Just(Bias::None),
        Just(Bias::Unregularized),
        (-3.0..1.0).prop_map(|exponent| Bias::Regularized(10.0_f64.powf(exponent))),
    ]
}

/// Any problem around and below its threshold.
fn problems() -> impl Strategy<Value = CrossEntropyUfm> {
    (2_usize..=9, 1_usize..=4, 1_u64..=4, biases())
        .prop_flat_map(|(classes, depth, samples, bias)| {
            let ratios = proptest::collection::vec(-1.0..1.0, depth + 1);
            (Just((classes, samples, bias)), -5.0..0.1, ratios)
        })
        .prop_map(|((classes, samples, bias), log_strength, ratios): (_, f64, Vec<f64>)| {
            let depth = ratios.len() - 1;
            let threshold = SimplexPotential::new(classes, depth).unwrap().threshold();
            let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
            let samples_share = (samples as f64).ln() / ratios.len() as f64;
            let level = threshold.ln() + log_strength - samples_share - mean;
            let decays: Vec<f64> = ratios.iter().map(|ratio| (ratio + level).exp()).collect();
            problem(classes, samples, &decays, bias)
        })
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn the_gradient_agrees_with_central_differences(ufm in problems(), seed: u64) {
        let objective = objective(&ufm);
        let point = objective.random_start(&mut SmallRng::seed_from_u64(seed));
        let analytic = objective.gradient(&point);
        let step = f64::EPSILON.cbrt();
        let mut worst = 0.0_f64;
        for index in 0..point.len() {
            let at = |shift: f64| {
                let mut moved = point.clone();
                moved[index] += shift;
                objective.loss(&moved)
            };
            let numerical = (at(step) - at(-step)) / (2.0 * step);
            worst = worst.max((numerical - analytic[index]).abs());
        }
        let allowed = 1e-7 * (1.0 + norm(&analytic) + objective.loss(&point));
        prop_assert!(worst <= allowed, "{worst:e} is more than {allowed:e}");
    }

    /// Every claimed loss is attained by matrices; those of the simplex ETF, and of every structure
    /// whose biases are free to adapt, are critical points of the full objective.
    #[test]
    fn claimed_losses_are_attained_at_critical_points(ufm in problems()) {
        let landscape = ufm.landscape().unwrap();
        for point in landscape.points() {
            let (loss, gradient) = evaluated(point);
            prop_assert!(
                (loss - point.loss()).abs() <= 1e-12 * loss.max(1.0),
                "{}: {} claimed, {} attained", point.structure(), point.loss(), loss
            );
            prop_assert!(gradient <= 3e-7, "{}: gradient {:e}", point.structure(), gradient);
        }
    }

    #[test]
    fn no_start_ends_below_the_lower_bound(ufm in problems(), seed: u64) {
        let landscape = ufm.landscape().unwrap();
        let found = objective(&ufm).multi_start(2, seed).loss;
        prop_assert!(found >= landscape.lower_bound().unwrap() * (1.0 - 1e-12));
        prop_assert!(landscape.best().loss() >= landscape.lower_bound().unwrap() * (1.0 - 1e-13));
        if landscape.verdict().is_proved() {
            prop_assert!(found >= landscape.best().loss() * (1.0 - 1e-12));
        }
    }

    /// The numbers of a point are those of its matrices.
    #[test]
    fn norms_and_gram_matrices_are_those_of_the_matrices(ufm in problems()) {
        for point in ufm.landscape().unwrap().points() {
            let explicit = point.explicit(&Basis::Standard).unwrap();
            let head = explicit.head();
            for layers in 1..=ufm.depth() {
                let product = head.trailing_product(layers).unwrap();
                let claimed = point.trailing_gram(layers).unwrap().to_dense().unwrap();
                let gram = &product * product.transpose();
                prop_assert!((&gram - claimed).norm() <= 1e-10 * gram.norm());
            }
            let means = explicit.class_means().unwrap();
            let claimed = point.class_means_gram().unwrap().to_dense().unwrap();
            let gram = means.transpose() * means;
            prop_assert!((&gram - claimed).norm() <= 1e-10 * gram.norm());
            let logits = head.product().unwrap() * means;
            let claimed = point.class_outputs().unwrap().to_dense().unwrap();
            prop_assert!((&logits - claimed).norm() <= 1e-10 * logits.norm());
            let singular = point.singular_values(1..=ufm.depth()).unwrap();
            let largest = head.product().unwrap().singular_values().amax();
            let claimed = singular.first().map_or(0.0, |first| first.value);
            prop_assert!((largest - claimed).abs() <= 1e-10 * largest);
        }
    }

    #[test]
    fn half_the_mean_loss_is_half_the_objective_with_twice_the_decays(ufm in problems()) {
        let regularization = ufm.regularization();
        let twice: Vec<f64> = regularization.weight_decays().iter().map(|decay| 2.0 * decay).collect();
        let bias = match regularization.bias() {
            Bias::Regularized(decay) => Bias::Regularized(2.0 * decay),
            bias => bias,
        };
        let doubled = Regularization::new(&twice, 2.0 * regularization.feature_decay()).unwrap();
        let doubled = doubled.with_bias(bias).unwrap();
        let doubled =
            CrossEntropyUfm::new(ufm.classes(), ufm.samples_per_class(), doubled).unwrap();
        let half = ufm.with_loss_mean(LossMean::TwiceSamples).landscape().unwrap();
        let full = doubled.landscape().unwrap();
        let (half, full) = (half.best(), full.best());
        prop_assert!((2.0 * half.loss() - full.loss()).abs() <= 1e-12 * full.loss());
        prop_assert_eq!(half.structure(), full.structure());
        for (a, b) in half.energies().iter().zip(full.energies()) {
            prop_assert!((2.0 * a.0 - b.0).abs() <= 1e-9 * b.0);
        }
    }
}

/// The counterexamples to Theorem A.1 that `docs/cross-entropy.md` shows, by minimizing the full
/// objective with n = 10 samples per class.
#[test]
fn minimization_reproduces_the_counterexamples() {
    for (ufm, etf, best, name) in [
        (problem(6, 10, &[1e-3, 1e-3, 1e-4], Bias::None), 0.03149014, 0.02956847, "3 × pair"),
        (problem(4, 10, &[5e-3, 5e-3, 5e-3, 5e-4], Bias::None), 0.08076916, 0.07416102, "2 × pair"),
    ] {
        let landscape = ufm.landscape().unwrap();
        assert!((landscape.simplex_etf().loss() - etf).abs() < 1e-8);
        assert!((landscape.best().loss() - best).abs() < 1e-8);
        assert_eq!(landscape.best().structure().to_string(), name);
        assert!(matches!(landscape.simplex_etf().verdict(), Verdict::Refuted(_)));
        let found = objective(&ufm).multi_start(12, 1).loss;
        assert!((found - landscape.best().loss()).abs() < 1e-9, "{found}");
    }
}

/// The documented set: K, M, bias and strengths for which no start ends below the best known loss, and
/// one ends at it.
#[test]
fn minimization_never_ends_below_the_best_known_of_the_documented_set() {
    let set: [(usize, usize, Bias, &[f64]); 18] = [
        (2, 3, Bias::None, &[0.3, 0.1, 0.01]),
        (3, 1, Bias::Unregularized, &[0.2, 0.05]),
        (6, 1, Bias::None, &[0.1, 0.01]),
        (3, 2, Bias::None, &[0.21, 0.18, 0.15, 0.05, 0.005]),
        (3, 2, Bias::Unregularized, &[0.17, 0.13, 0.01]),
        (3, 3, Bias::None, &[0.15, 0.05]),
        (3, 3, Bias::Unregularized, &[0.17, 0.1, 0.01]),
        (4, 2, Bias::None, &[0.15, 0.05, 0.02, 0.005]),
        (4, 2, Bias::Unregularized, &[0.13, 0.05, 0.01, 0.001]),
        (4, 3, Bias::None, &[0.1, 0.02, 0.005]),
        (5, 2, Bias::None, &[0.1, 0.07, 0.02]),
        (5, 2, Bias::Unregularized, &[0.1, 0.02]),
        (5, 3, Bias::None, &[0.1, 0.02]),
        (6, 2, Bias::None, &[0.115, 0.1, 0.02]),
        (6, 2, Bias::Regularized(0.1), &[0.05]),
        (7, 2, Bias::None, &[0.05, 0.02]),
        (8, 3, Bias::None, &[0.05, 0.02]),
        (12, 3, Bias::None, &[0.005]),
    ];
    for (classes, depth, bias, strengths) in set {
        for &strength in strengths {
            let ufm = with_strength(classes, depth, strength, bias);
            let best = ufm.landscape().unwrap().best().clone();
            let found = objective(&ufm).multi_start(40, 7).loss;
            let input = format!("K = {classes}, M = {depth}, {bias:?}, u = {strength}");
            assert!(found >= best.loss() - 1e-10, "{input}: {found} below {}", best.structure());
            assert!(found <= best.loss() + 1e-8, "{input}: {found} above {}", best.structure());
        }
    }
}

/// Findings: here the optimizer or the search once ended below every structure in the list, which now has what they found.
#[test]
fn gaps_of_the_list_are_closed() {
    for (classes, depth, bias, strength) in
        [(5, 3, Bias::Unregularized, 0.05), (9, 3, Bias::Unregularized, 0.05)]
    {
        let ufm = with_strength(classes, depth, strength, bias);
        let landscape = ufm.landscape().unwrap();
        assert_eq!(landscape.verdict().keyword(), "best_known");
        let found = objective(&ufm).multi_start(60, 7).loss;
        assert!((found - landscape.loss()).abs() < 1e-8, "{classes} {depth}: {found}");
        assert!(found > landscape.lower_bound().unwrap());
    }
    let ufm = with_strength(14, 4, 1e-3, Bias::Unregularized);
    let (listed, searched) =
        (ufm.landscape().unwrap(), ufm.searched_landscape(&Search::default(), &()).unwrap());
    assert!((listed.loss() - 0.0433465).abs() < 5e-8, "{}", listed.loss());
    assert!((listed.loss() - searched.loss()).abs() < 1e-12, "{}", searched.loss());
}

#[test]
fn breakpoints_are_ties_and_proofs_agree_with_the_list() {
    for (classes, depth, bias) in [
        (3, 2, Bias::None),
        (3, 3, Bias::Unregularized),
        (4, 2, Bias::None),
        (5, 2, Bias::None),
        (6, 2, Bias::None),
        (10, 3, Bias::None),
        (5, 1, Bias::None),
        (2, 4, Bias::Regularized(0.3)),
    ] {
        let phases = phase_diagram(classes, depth, bias, 0.0).unwrap();
        assert_eq!((phases[0].from, phases.last().unwrap().to), (0.0, f64::INFINITY));
        assert_eq!(phases.last().unwrap().structure, LogitStructure::Collapsed);
        let potential = SimplexPotential::new(classes, depth).unwrap();
        assert!(phases.last().unwrap().from <= potential.proved_collapse());
        for pair in phases.windows(2) {
            assert_eq!(pair[0].to, pair[1].from);
            let product = pair[0].to.powi(depth as i32 + 1);
            assert!((pair[0].decay_products().1 / product - 1.0).abs() < 1e-13);
            assert!((pair[1].decay_products().0 / product - 1.0).abs() < 1e-13);
            for (phase, strength) in
                [(&pair[0], pair[0].to * (1.0 - 1e-6)), (&pair[1], pair[0].to * (1.0 + 1e-6))]
            {
                let ufm = with_strength(classes, depth, strength, bias);
                let best = ufm.landscape().unwrap().best().clone();
                assert_eq!(*best.structure(), phase.structure, "K = {classes}, u = {strength}");
            }
        }
    }
}

/// The proofs of `docs/cross-entropy.md`: pairs, and a triangle if K is odd, with out-of-block gaps of α cost
/// no more than the simplex ETF with the margin α; so do, for three classes, a pair of gap 4α and a bias.
#[test]
fn the_dominance_behind_the_proofs_holds_exactly_where_it_is_claimed() {
    for depth in 1..=40 {
        let power = 2.0 / (f64::from(depth) + 1.0);
        let three = 4.0_f64.powf(power) <= 2.0 * (1.0 + 1e-15);
        assert_eq!(three, depth >= 3, "M = {depth}");
        for classes in 4..=200_u32 {
            let k = f64::from(classes);
            let pair = 2.0_f64.powf(power);
            let cost = if classes % 2 == 0 {
                k / 2.0 * pair
            } else {
                (k - 3.0) / 2.0 * pair + 2.0 * 1.5_f64.powf(power)
            };
            let claimed = depth >= 3 || (classes >= 6 && depth == 2);
            assert_eq!(cost <= k - 1.0, claimed, "K = {classes}, M = {depth}");
        }
    }
}

#[test]
fn a_verdict_of_not_global_comes_with_a_lower_point() {
    for classes in 3..=12 {
        for depth in 2..=6 {
            for bias in [Bias::None, Bias::Unregularized] {
                let threshold = SimplexPotential::new(classes, depth).unwrap().threshold();
                for decade in 0..6 {
                    let strength = 0.99 * threshold * 10.0_f64.powi(-decade);
                    let ufm = with_strength(classes, depth, strength, bias);
                    let landscape = ufm.landscape().unwrap();
                    let lower = landscape.margin_over_simplex_etf() > 0.0;
                    let proved = matches!(landscape.simplex_etf().verdict(), Verdict::Refuted(_));
                    assert_eq!(proved, lower, "K = {classes}, M = {depth}, {bias:?}, {strength}");
                    assert!(lower || decade > 0, "K = {classes}, M = {depth}, {bias:?}");
                }
            }
        }
    }
}

#[test]
fn three_classes_fail_in_a_window_only() {
    let phases = phase_diagram(3, 2, Bias::None, 0.0).unwrap();
    let names: Vec<String> = phases.iter().map(|phase| phase.structure.to_string()).collect();
    assert_eq!(names, ["simplex ETF", "pair ⊕ origin", "zero"]);
}

#[test]
fn extreme_problems_have_answers() {
    // P = 1e-755, and a million classes.
    let deep = with_strength(10, 150, 1e-5, Bias::None).simplex_etf().unwrap();
    assert!(deep.margin() > 10.0 && deep.loss().is_finite());
    let etf = with_strength(1_000_000, 2, 1e-8, Bias::None).simplex_etf().unwrap();
    assert_eq!(etf.rank(), 999_999);
    assert_eq!(etf.class_means_gram().unwrap().classes(), 1_000_000);
    // Ten million classes as points of a grid have a loss, but no matrix that fits into memory.
    let large = with_strength(10_000_000, 3, 1e-8, Bias::None).landscape().unwrap();
    assert!(large.best().class_outputs().is_err() && large.best().trailing_gram(1).is_err());
    assert!(large.best().explicit(&Basis::Standard).is_err());
    assert!(large.best().loss() < large.simplex_etf().loss());
    let weak = with_strength(3, 1, 1e-150, Bias::None).simplex_etf().unwrap();
    assert!((weak.margin() + 1e-150_f64.ln()).abs() < 1e-12);
}

#[test]
fn bad_problems_are_named() {
    let regularization = Regularization::new(&[0.1; 2], 0.1).unwrap();
    let error = CrossEntropyUfm::new(1, 1, regularization.clone()).unwrap_err();
    assert_eq!(error.to_string(), "`classes` is 1, but must be at least 2");
    assert!(CrossEntropyUfm::new(3, 0, regularization.clone()).is_err());
    let ufm = CrossEntropyUfm::new(5, 1, regularization).unwrap();
    assert!(ufm.clone().with_widths(&[4, 4]).is_ok());
    let error = ufm.clone().with_widths(&[4, 3]).unwrap_err();
    assert!(error.to_string().starts_with("no closed form is known"), "{error}");
    assert!(ufm.with_widths(&[9]).is_err());
    assert!(phase_diagram(3, 2, Bias::Regularized(0.0), 0.0).is_err());
    assert!(phase_diagram(1, 2, Bias::None, 0.0).is_err());
}

#[test]
fn the_size_of_a_simplex_etf_is_its_margin_and_the_minimizer() {
    for (classes, depth, strength) in [(3, 1, 0.1), (4, 2, 1e-2), (10, 3, 1e-3)] {
        let landscape = with_strength(classes, depth, strength, Bias::None).landscape().unwrap();
        let point = landscape.simplex_etf();
        let alpha =
            SimplexPotential::new(classes, depth).unwrap().minimizer(strength).unwrap().alpha();
        let [size] = point.sizes() else { panic!("{:?}", point.sizes()) };
        assert!((size / alpha - 1.0).abs() < 1e-13, "{size} for {alpha}");
        assert!((point.margin() / alpha - 1.0).abs() < 1e-13, "{}", point.margin());
    }
}
