//! Structures that only a bias makes room for, and decays at the ends of the range of numbers.

use neural_collapse::models::low_rank::{LowRankProblem, Search};
use neural_collapse::{Bias, ClassCounts, Error, Prediction, Regularization};

use crate::landscape_search::{evaluated, with_strength};

/// With a free bias classes lie inside of others: without a search as low as the search from many starts.
#[test]
fn classes_inside_of_others_are_found_without_a_search() {
    for (classes, depth, strength, loss, name) in [
        (5, 3, 1e-2, 0.1777562455, "patch of a triangular lattice"),
        (6, 4, 7.8e-5, 0.0019382853, "patch of a triangular lattice"),
        (8, 4, 1e-5, 0.0003338715, "patch of a triangular lattice"),
        (9, 4, 1e-3, 0.0308960632, "patch of a triangular lattice"),
        (10, 4, 0.0012, 0.0395857371, "patch of a triangular lattice"),
        (12, 4, 1e-3, 0.0385021771, "patch of a triangular lattice"),
        (10, 2, 0.06843808771184332, 1.9635973666, "tricapped prism with a center"),
        (12, 3, 1e-3, 0.0461118409, "icosahedron without a vertex, with a center"),
    ] {
        let ufm = with_strength(classes, depth, Bias::Unregularized, strength);
        let landscape = ufm.landscape().unwrap();
        let input = format!("K = {classes}, M = {depth}, u = {strength}");
        assert_eq!(landscape.geometry().to_string(), name, "{input}");
        assert!((landscape.loss() - loss).abs() < 1e-10, "{input}: {}", landscape.loss());
        assert!(landscape.loss() >= landscape.lower_bound().unwrap());
        let (attained, gradient) = evaluated(&landscape, ufm.regularization());
        assert!((attained - landscape.loss()).abs() <= 1e-12, "{input}: {attained}");
        assert!(gradient <= 1e-9, "{input}: {gradient:e}");
    }
}

/// F/(u (ln 1/u)^(2/(M+1))) falls to its limit as the decays vanish, however small they are.
#[test]
fn the_search_does_not_mind_tiny_decays() {
    let search = Search::default().with_starts(8);
    let ratio = |loss: f64, strength: f64, depth: f64| {
        loss / strength / (-strength.ln()).powf(2.0 / (depth + 1.0))
    };
    for bias in [Bias::None, Bias::Unregularized] {
        let (mut balanced, mut unequal) = (f64::INFINITY, f64::INFINITY);
        for exponent in [20, 60, 120, 160, 200, 250] {
            let strength = 10.0_f64.powi(-exponent);
            let input = format!("{bias:?}, u = {strength:e}");
            let ufm = with_strength(6, 3, bias, strength);
            let (closed, found) =
                (ufm.landscape().unwrap(), ufm.searched_landscape(&search, &()).unwrap());
            assert_eq!(closed.geometry().to_string(), "3 × pair", "{input}");
            let result = found.search().unwrap();
            assert!((result.loss / closed.loss() - 1.0).abs() < 1e-9, "{input}: {result:?}");
            assert!(result.hits > 1, "{input}: {result:?}");
            let next = ratio(found.loss(), strength, 3.0);
            assert!(next < balanced && next > 0.9 * balanced.min(8.9), "{input}: {next}");
            balanced = next;
            let regularization = Regularization::new(&[strength; 2], strength).unwrap();
            let regularization = regularization.with_bias(bias).unwrap();
            let counts = ClassCounts::new(&[3, 2, 1]).unwrap();
            let problem = LowRankProblem::cross_entropy(counts, regularization).unwrap();
            let found = problem.minimize(&search, &()).unwrap();
            let next = ratio(found.loss(), strength, 2.0);
            assert!(next < unequal && next > 0.9 * unequal.min(3.9), "{input}: {next}");
            unequal = next;
        }
    }
}

/// At the end of the range of numbers there is no search, and nothing is made up.
#[test]
fn the_search_ends_where_numbers_do() {
    let search = Search::default().with_starts(2);
    let landscape = with_strength(6, 3, Bias::None, 1e-290).searched_landscape(&search, &());
    let landscape = landscape.unwrap();
    assert!(landscape.search().is_none());
    assert_eq!(landscape.geometry().to_string(), "3 × pair");
    let regularization = Regularization::new(&[1e-290; 2], 1e-290).unwrap();
    let counts = ClassCounts::new(&[3, 2, 1]).unwrap();
    let problem = LowRankProblem::cross_entropy(counts, regularization).unwrap();
    let error = problem.minimize(&search, &()).unwrap_err();
    assert!(matches!(error, Error::Unrepresentable { .. }), "{error}");
}

/// Closed forms, too: where Newton's steps have to be damped, the damping is as small as the loss.
#[test]
fn structures_stay_minima_at_tiny_decays() {
    for (classes, depth) in [(4, 2), (5, 3), (6, 2), (8, 3), (10, 4), (12, 2)] {
        let best = |strength: f64| {
            let landscape = with_strength(classes, depth, Bias::None, strength).landscape();
            landscape.unwrap().geometry().to_string()
        };
        let usual = best(1e-100);
        for exponent in [150, 200, 250, 290] {
            assert_eq!(best(10.0_f64.powi(-exponent)), usual, "K = {classes}, 1e-{exponent}");
        }
    }
}

/// δ → 0 leads to the numbers without smoothing.
#[test]
fn vanishing_smoothing_changes_nothing() {
    for (classes, depth, strength) in [(4, 1, 0.05), (5, 2, 0.03), (8, 3, 0.01), (6, 5, 0.02)] {
        for bias in [Bias::None, Bias::Unregularized] {
            let hard = with_strength(classes, depth, bias, strength);
            let soft = hard.clone().with_label_smoothing(1e-14).unwrap();
            let (hard, soft) = (hard.landscape().unwrap(), soft.landscape().unwrap());
            assert_eq!(hard.best().structure(), soft.best().structure());
            assert!((hard.loss() - soft.loss()).abs() < 1e-12 * hard.loss());
            let (a, b) = (hard.simplex_etf().margin(), soft.simplex_etf().margin());
            assert!((a - b).abs() < 1e-10 * a);
        }
    }
}

/// The chain of inequalities of the documentation for smoothed labels, from a ball to a smaller one, for one strength u.
fn is_simplex_proved(classes: usize, depth: usize, smoothing: f64, strength: f64) -> bool {
    let (k, m) = (classes as f64, depth as f64);
    let power = 2.0 / (m + 1.0);
    let center = (k * (1.0 - smoothing) / smoothing).ln_1p();
    let mut least = 0.0_f64;
    for _ in 0..1000 {
        let saved = center.powf(power) - least.powf(power);
        let divergence = k / power * strength * (k - 1.0) * saved;
        let v = k / smoothing * divergence.exp_m1();
        let x = (v + (v * v + 8.0 * v).sqrt()) / 2.0;
        let radius = ((2.0 + x) * v).sqrt();
        if radius >= center {
            return false;
        }
        let gained = smoothing / (k * k) * (-std::f64::consts::SQRT_2 * radius).exp();
        let lost = strength * (m - 1.0) / (m + 1.0) * (center - radius).powf(power - 2.0);
        if gained > lost {
            return true;
        }
        if center - radius <= least * (1.0 + 1e-12) {
            return false;
        }
        least = center - radius;
    }
    false
}

/// It closes up to the strength that is given and not beyond.
#[test]
fn the_proof_for_smoothed_labels_closes_as_far_as_it_says() {
    for (classes, depth, smoothing) in
        [(3, 2, 0.1), (3, 7, 0.5), (4, 3, 0.2), (6, 2, 0.01), (10, 4, 0.05), (100, 2, 0.9)]
    {
        let ufm = with_strength(classes, depth, Bias::None, 1.0);
        let potential = ufm.with_label_smoothing(smoothing).unwrap().simplex_potential();
        let limit = potential.proved_simplex();
        let input = format!("K = {classes}, M = {depth}, δ = {smoothing}: {limit:e}");
        assert!(is_simplex_proved(classes, depth, smoothing, limit * (1.0 - 1e-5)), "{input}");
        assert!(!is_simplex_proved(classes, depth, smoothing, limit * (1.0 + 1e-5)), "{input}");
    }
}

/// One layer, and two classes, have nothing but a simplex ETF below the threshold, with and without smoothing.
#[test]
fn simplices_are_proved_up_to_the_threshold_where_nothing_else_is() {
    for smoothing in [0.0, 0.2] {
        for (classes, depth, up_to_threshold) in
            [(2, 3, true), (5, 1, true), (2, 1, true), (3, 2, false)]
        {
            let ufm = with_strength(classes, depth, Bias::None, 1.0);
            let potential = ufm.with_label_smoothing(smoothing).unwrap().simplex_potential();
            let proved = potential.proved_simplex();
            let input = format!("{classes}, {depth}, {smoothing}");
            assert_eq!(proved == potential.threshold(), up_to_threshold, "{input}: {proved}");
        }
    }
}

/// Classes of a structure that is no simplex ETF would have to be decomposed for their norms: not for more than 1000.
#[test]
fn norms_of_very_many_classes_are_given_for_simplices_alone() {
    let landscape = with_strength(1001, 3, Bias::None, 1e-7).landscape().unwrap();
    assert!(!landscape.best().is_symmetric());
    let error = landscape.class_runs().unwrap_err();
    assert!(matches!(error, Error::NotAnswered { .. }), "{error}");
    assert_eq!(landscape.simplex_etf().class_runs().unwrap().len(), 1);
}
