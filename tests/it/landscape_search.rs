//! The numerical search and the closed forms against each other and against losses found elsewhere.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use nalgebra::{DMatrix, DVector};
use neural_collapse::models::cross_entropy::{
    BlockShape, LogitStructure, SphericalCode, phase_diagram, searched_phase_diagram,
};
use neural_collapse::models::low_rank::{LowRankProblem, Search};
use neural_collapse::{
    Basis, Bias, ClassCounts, CrossEntropyUfm, Error, Landscape, Prediction, Progress,
    Regularization, Ufm,
};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, StandardNormal};

use crate::support::bases::random_basis;
use crate::support::cross_entropy::CrossEntropyObjective;
use crate::support::kernels::norm;
use crate::support::lbfgs::Smooth as _;
use crate::support::objective::Unpacked;

/// One sample per class and equal decays, so that the strength is the decay.
pub fn with_strength(classes: usize, depth: usize, bias: Bias, strength: f64) -> CrossEntropyUfm {
    let regularization = Regularization::new(&vec![strength; depth], strength).unwrap();
    CrossEntropyUfm::new(classes, 1, regularization.with_bias(bias).unwrap()).unwrap()
}

pub fn searched(ufm: &CrossEntropyUfm, starts: usize) -> Landscape {
    ufm.searched_landscape(&Search::default().with_starts(starts), &()).unwrap()
}

/// The loss of the matrices of a prediction and the norm of the gradient, from the objective in full.
pub fn evaluated(prediction: &dyn Prediction, regularization: &Regularization) -> (f64, f64) {
    let counts = prediction.counts().unwrap();
    let sizes: Vec<usize> =
        (0..counts.classes()).map(|class| counts.count(class).unwrap() as usize).collect();
    let widths = prediction.widths().map_or(vec![sizes.len(); prediction.depth()], <[_]>::to_vec);
    let objective = CrossEntropyObjective::new(
        &sizes,
        regularization.weight_decays(),
        regularization.feature_decay(),
        regularization.bias(),
        &widths,
    );
    let explicit = prediction.explicit(&random_basis(prediction, 3)).unwrap();
    let bias = explicit.head().bias().cloned();
    let packed = objective.network().pack(&Unpacked {
        weights: explicit.head().weights().to_vec(),
        features: explicit.features().unwrap(),
        bias: bias.unwrap_or_else(|| DVector::zeros(sizes.len())),
    });
    (objective.loss(&packed), norm(&objective.gradient(&packed)))
}

/// Losses that an independent search over W and H has found: below every closed form there was.
#[test]
fn losses_found_elsewhere_are_found() {
    let free = Bias::Unregularized;
    for (classes, depth, bias, strength, loss, digits) in [
        (5, 2, free, 0.13656071, 1.587767, 6),
        (12, 2, Bias::None, 0.018184327, 0.801231, 6),
        (9, 3, Bias::None, 0.0201796803, 0.582684, 6),
        (16, 2, Bias::None, 0.00475780347, 0.319865, 6),
        (9, 3, Bias::None, 0.05, 1.28426, 5),
        (10, 3, Bias::None, 0.005, 0.18098, 5),
        (12, 2, Bias::None, 0.03, 1.21770, 5),
        (9, 4, Bias::None, 0.03, 0.78400, 5),
        (4, 3, free, 0.13, 1.24951, 5),
        (4, 6, free, 0.05, 0.52679, 5),
        (9, 3, free, 0.05, 1.27556, 5),
    ] {
        let ufm = with_strength(classes, depth, bias, strength);
        let landscape = searched(&ufm, 25);
        let error = (landscape.loss() - loss).abs();
        let input = format!("K = {classes}, M = {depth}, {bias:?}, u = {strength}");
        assert!(error <= 0.5 * 10_f64.powi(-digits) * 1.001, "{input}: {}", landscape.loss());
        assert!(landscape.loss() >= landscape.lower_bound().unwrap());
        let (attained, gradient) = evaluated(&landscape, ufm.regularization());
        assert!((attained - landscape.loss()).abs() <= 1e-13 * attained.max(1.0), "{input}");
        assert!(gradient <= 1e-9, "{input}: gradient {gradient:e}");
        assert_eq!(landscape.verdict().keyword(), "best_known");
    }
}

/// Seven classes, M = 3: a capped octahedron beats pentagon ⊕ pair by 0.22 %.
#[test]
fn a_capped_octahedron_beats_pentagon_and_pair() {
    let landscape = searched(&with_strength(7, 3, Bias::None, 2.4457010e-5), 25);
    let closed = landscape.points().iter().find(|p| p.structure().to_string() == "5-gon ⊕ pair");
    let gain = 1.0 - landscape.loss() / closed.unwrap().loss();
    assert!((gain - 0.0022).abs() < 0.00005, "{gain}");
    assert_eq!(landscape.geometry().to_string(), "capped octahedron");
    assert_eq!(landscape.best().rank(), 3);
    assert!(landscape.search().unwrap().hits > 0);
}

/// With four classes there is a phase of rank one, in which Z is not symmetric, between the square and zero.
#[test]
fn four_classes_have_a_rank_one_phase() {
    for (depth, from, to) in
        [(2, 0.159622, 0.160294), (3, 0.141405, 0.143460), (4, 0.128291, 0.131861)]
    {
        let rank = |strength: f64| {
            searched(&with_strength(4, depth, Bias::None, strength), 10).best().rank()
        };
        let margin = 1e-6;
        assert_eq!(rank(from - margin), 2, "M = {depth}");
        assert_eq!(rank(from + margin), 1, "M = {depth}");
        assert_eq!(rank(to - margin), 1, "M = {depth}");
        assert_eq!(rank(to + margin), 0, "M = {depth}");
    }
}

/// A free bias: pair ⊕ 2 origins from 0.152577, zero only from 0.164573.
#[test]
fn four_classes_with_a_bias_end_as_a_pair_and_two_origins() {
    let phases = phase_diagram(4, 2, Bias::Unregularized, 0.0).unwrap();
    let last = phases.len() - 1;
    assert_eq!(phases[last - 1].structure.to_string(), "pair ⊕ 2 × origin");
    assert!((phases[last - 1].from - 0.152577).abs() < 1e-6, "{}", phases[last - 1].from);
    assert!((phases[last].from - 0.164573).abs() < 1e-6, "{}", phases[last].from);
}

#[test]
fn the_search_gives_the_same_bits_on_any_number_of_threads() {
    let ufm = with_strength(7, 2, Bias::Unregularized, 0.02);
    let mut results = Vec::new();
    for threads in [1, 2, 5] {
        neural_collapse::measure::limit_threads(NonZeroUsize::new(threads));
        results.push(searched(&ufm, 6));
    }
    neural_collapse::measure::limit_threads(None);
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
    let other =
        ufm.searched_landscape(&Search::default().with_starts(6).with_seed(9), &()).unwrap();
    assert!((other.loss() - results[0].loss()).abs() < 1e-12);
}

#[test]
fn the_search_reports_and_can_be_ended() {
    let ufm = with_strength(6, 3, Bias::None, 0.02);
    let calls = AtomicU64::new(0);
    let count = |progress: Progress| {
        calls.fetch_add(1, Ordering::Relaxed);
        assert!(progress.done <= progress.total.unwrap());
        ControlFlow::Continue(())
    };
    ufm.searched_landscape(&Search::default().with_starts(3), &count).unwrap();
    // Five ranks with three starts, zero, and the closed forms.
    assert!(calls.load(Ordering::Relaxed) >= 16);
    let impatient = |progress: Progress| {
        if progress.done < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let ended = ufm.searched_landscape(&Search::default(), &impatient);
    assert_eq!(ended.unwrap_err(), Error::Cancelled);
}

/// Smoothed labels: descents of the full objective end at the simplex ETF where it is proved to be the minimum
/// and at small decays beyond.
#[test]
fn smoothing_restores_the_simplex_etf() {
    let regularization = Regularization::new(&[1e-4; 2], 1e-4).unwrap();
    let hard = CrossEntropyUfm::new(6, 10, regularization).unwrap();
    let smoothed = hard.clone().with_label_smoothing(0.1).unwrap();
    let landscape = searched(&smoothed, 10);
    assert_eq!(landscape.geometry().to_string(), "simplex ETF");
    assert!((landscape.loss() - 0.4250294).abs() < 5e-8, "{}", landscape.loss());
    let octahedron =
        landscape.points().iter().find(|p| p.structure().to_string() == "3 × pair").unwrap();
    assert!((octahedron.loss() - 0.4680).abs() < 5e-5, "{}", octahedron.loss());
    assert_eq!(hard.landscape().unwrap().geometry().to_string(), "3 × pair");
    for (classes, depth, smoothing) in [(3, 2, 0.1), (4, 3, 0.2), (6, 2, 0.1), (10, 4, 0.05)] {
        for bias in [Bias::None, Bias::Unregularized, Bias::Regularized(0.3)] {
            let at = |strength| {
                let ufm = with_strength(classes, depth, bias, strength);
                ufm.with_label_smoothing(smoothing).unwrap()
            };
            let limit = at(1.0).simplex_potential().proved_simplex();
            assert!(limit > 0.0 && limit < at(1.0).simplex_potential().threshold());
            for share in [1.0, 0.1] {
                let ufm = at(share * limit);
                let landscape = ufm.landscape().unwrap();
                assert_eq!(landscape.verdict().keyword(), "proved", "K = {classes}, M = {depth}");
                // A problem without a theorem for the same objective.
                let counts = ClassCounts::balanced(classes, 1).unwrap();
                let free =
                    LowRankProblem::cross_entropy(counts, ufm.regularization().clone()).unwrap();
                let free = free.with_label_smoothing(smoothing).unwrap();
                let found = free.minimize(&Search::default().with_starts(8), &()).unwrap();
                let error = (found.loss() - landscape.loss()).abs() / landscape.loss();
                assert!(error < 1e-12, "K = {classes}, M = {depth}, {bias:?}: {error:e}");
            }
        }
    }
}

/// One layer with smoothing is one without and a larger strength.
#[test]
fn the_smoothed_potential_is_stationary_and_tied_where_it_says() {
    for classes in [2, 3, 10, 1000] {
        for depth in [1, 2, 3, 7] {
            for smoothing in [1e-9, 0.01, 0.1, 0.5, 0.9] {
                let ufm = with_strength(classes, depth, Bias::None, 1.0);
                let potential = ufm.with_label_smoothing(smoothing).unwrap().simplex_potential();
                let (threshold, fold) = (potential.threshold(), potential.fold());
                assert!(threshold <= fold, "K = {classes}, M = {depth}, δ = {smoothing}");
                let zero = (classes as f64).ln();
                for share in [1e-12, 1e-4, 0.5, 0.999] {
                    let alpha = potential.minimizer(share * threshold).unwrap().alpha();
                    let input = format!("K = {classes}, M = {depth}, δ = {smoothing}, {share}");
                    let slope = potential.derivative(alpha, share * threshold).unwrap();
                    let scale = classes as f64 * threshold * share + smoothing;
                    assert!(slope.abs() < 1e-12 * scale, "{input}: {slope:e}");
                    assert!(potential.value(alpha, share * threshold).unwrap() < zero, "{input}");
                    // Neighbors are not lower.
                    for moved in [alpha * 0.999, alpha * 1.001] {
                        let here = potential.value(alpha, share * threshold).unwrap();
                        let there = potential.value(moved, share * threshold).unwrap();
                        assert!(there >= here - 1e-15 * zero, "{input}");
                    }
                }
                if depth > 1 {
                    let alpha = potential.local_minimum(threshold).unwrap().unwrap();
                    let tied = potential.value(alpha, threshold).unwrap();
                    assert!((tied / zero - 1.0).abs() < 1e-13, "{classes} {depth} {smoothing}");
                    assert!(potential.local_minimum(fold * (1.0 + 1e-9)).unwrap().is_none());
                }
            }
        }
    }
}

/// The closed loss of a spherical code that is a tight frame, and of triangular graphs.
#[test]
fn spherical_codes_win_where_their_formula_says() {
    for (classes, depth, strength, code) in [
        (16, 2, 0.00475780347, SphericalCode::HalfFiveCube),
        (27, 2, 1e-3, SphericalCode::Schlaefli),
        (24, 3, 5e-3, SphericalCode::TwentyFourCell),
        (56, 3, 1e-4, SphericalCode::Hess),
        (240, 3, 1e-5, SphericalCode::EightRoots),
    ] {
        let landscape = with_strength(classes, depth, Bias::None, strength).landscape().unwrap();
        let point = landscape.points().iter().find(|point| {
            matches!(point.structure(), LogitStructure::DirectSum(blocks)
                if blocks.len() == 1 && blocks[0].shape == BlockShape::Code(code))
        });
        let point = point.unwrap_or_else(|| panic!("no {code} among the points"));
        let beta = point.sizes()[0];
        let (k, rank) = (classes as f64, code.dimension() as f64);
        // F = ln(1 + Σ m e^(−β(1−t))) + (M+1)/2·u·r·(βK/r)^(2/(M+1)), from the matrix of logits.
        let logits = point.class_outputs().unwrap().to_dense().unwrap();
        let right = logits[(0, 0)];
        let sum: f64 = logits.column(0).iter().map(|z| (z - right).exp()).sum();
        let exponent = 2.0 / (depth as f64 + 1.0);
        let loss = sum.ln() + strength / exponent * rank * (beta * k / rank).powf(exponent);
        assert!((loss / point.loss() - 1.0).abs() < 1e-11, "{code}");
        assert!((right / beta - 1.0).abs() < 1e-12, "{code}");
        assert_eq!(landscape.best().structure(), point.structure(), "{code}");
    }
}

/// F = ln(1 + 2(m−2)e^(−β) + binom(m−2, 2)e^(−2β)) + (M+1)/2·u·(m−1)((m−2)β)^(2/(M+1)) for classes that are the pairs of m
/// things.
#[test]
fn triangular_graphs_have_the_loss_of_their_formula() {
    for (things, depth, strength) in [(5.0_f64, 2, 0.03), (5.0, 3, 5e-6), (6.0, 2, 0.01)] {
        let classes = (things * (things - 1.0) / 2.0) as usize;
        let landscape = with_strength(classes, depth, Bias::None, strength).landscape().unwrap();
        let name = format!("T{}", if things == 5.0 { "₅" } else { "₆" });
        let mut points = landscape.points().iter();
        let point = points.find(|point| point.structure().to_string() == name).unwrap();
        let (beta, others) = (point.sizes()[0], things - 2.0);
        let wrong =
            2.0 * others * (-beta).exp() + others * (others - 1.0) / 2.0 * (-2.0 * beta).exp();
        let exponent = 2.0 / (f64::from(depth as u32) + 1.0);
        let penalty = (things - 1.0) * (others * beta).powf(exponent);
        let loss = wrong.ln_1p() + strength / exponent * penalty;
        assert!((loss / point.loss() - 1.0).abs() < 1e-13, "{name}: {loss}");
    }
}

/// Unequal classes: no start of the full objective ends below what the search finds, and the matrices attain it.
#[test]
fn unequal_classes_are_searched_too() {
    for (sizes, depth, bias) in [
        (vec![4, 2, 1], 2, Bias::None),
        (vec![5, 3, 2, 1], 2, Bias::Unregularized),
        (vec![4, 4, 1, 1], 3, Bias::Regularized(0.1)),
        (vec![6, 3, 1], 1, Bias::None),
    ] {
        let decays = vec![0.02; depth];
        let regularization = Regularization::new(&decays, 0.01).unwrap().with_bias(bias).unwrap();
        let counts: Vec<u64> = sizes.iter().map(|&size| size as u64).collect();
        let problem = LowRankProblem::cross_entropy(
            ClassCounts::new(&counts).unwrap(),
            regularization.clone(),
        );
        let found = problem.unwrap().minimize(&Search::default().with_starts(10), &()).unwrap();
        let (loss, gradient) = evaluated(&found, &regularization);
        assert!((loss - found.loss()).abs() < 1e-13, "{sizes:?}: {loss} {}", found.loss());
        assert!(gradient < 1e-10 && found.is_local_minimum() == Some(true), "{gradient:e}");
        let widths = vec![sizes.len(); depth];
        let objective = CrossEntropyObjective::new(&sizes, &decays, 0.01, bias, &widths);
        let lowest = objective.multi_start(12, 5).loss;
        assert!(lowest >= found.loss() - 1e-10, "{sizes:?}: {lowest} {}", found.loss());
        // The numbers are those of the matrices.
        let explicit = found.explicit(&Basis::Standard).unwrap();
        let product = explicit.head().product().unwrap();
        let gram = found.trailing_gram(depth).unwrap().to_dense().unwrap();
        assert!((&product * product.transpose() - gram).amax() < 1e-12);
        let means = explicit.class_means().unwrap();
        let gram = found.class_means_gram().unwrap().to_dense().unwrap();
        assert!((means.transpose() * means - gram).amax() < 1e-12);
        let outputs = found.class_outputs().unwrap().to_dense().unwrap();
        assert!((product * means - outputs).amax() < 1e-11);
    }
}

/// Where the squared loss has a closed form, the search finds it; widths and ties included.
#[test]
fn the_squared_loss_agrees_with_its_closed_form() {
    for (sizes, depth, bias, widths) in [
        (vec![40, 20, 10, 5], 1, Bias::None, None),
        (vec![40, 20, 10, 5], 3, Bias::None, None),
        (vec![40, 20, 10, 5], 2, Bias::Unregularized, None),
        (vec![10, 10, 10], 2, Bias::Regularized(0.05), None),
        (vec![40, 20, 10, 5], 2, Bias::None, Some(vec![5, 2])),
    ] {
        let regularization = Regularization::new(&vec![2e-3; depth], 1e-3).unwrap();
        let regularization = regularization.with_bias(bias).unwrap();
        let counts = ClassCounts::new(&sizes).unwrap();
        let mut ufm = Ufm::new(counts.clone(), regularization.clone()).unwrap();
        let mut problem = LowRankProblem::squared(counts, regularization).unwrap();
        if let Some(widths) = &widths {
            ufm = ufm.with_widths(widths).unwrap();
            problem = problem.with_widths(widths).unwrap();
        }
        let exact = ufm.global_minimum().unwrap().loss();
        let found = problem.minimize(&Search::default().with_starts(10), &()).unwrap();
        assert!((found.loss() / exact - 1.0).abs() < 1e-12, "{sizes:?} {depth} {bias:?}");
    }
}

/// Weights act as class sizes do, at one layer and without a penalty on features that feels them.
#[test]
fn class_weights_and_smoothing_enter_the_loss() {
    let counts = ClassCounts::new(&[3, 2, 1]).unwrap();
    let regularization = Regularization::new(&[0.01; 2], 0.01).unwrap();
    let plain = LowRankProblem::cross_entropy(counts, regularization).unwrap();
    let search = Search::default().with_starts(6);
    let same = plain.clone().with_class_weights(&[1.0; 3]).unwrap();
    let (a, b) = (plain.minimize(&search, &()).unwrap(), same.minimize(&search, &()).unwrap());
    assert!((a.loss() - b.loss()).abs() < 1e-14);
    // Twice the weights and twice the decays are twice the objective.
    let doubled = Regularization::new(&[0.02; 2], 0.02).unwrap();
    let counts = ClassCounts::new(&[3, 2, 1]).unwrap();
    let twice = LowRankProblem::cross_entropy(counts, doubled).unwrap();
    let twice = twice.with_class_weights(&[2.0; 3]).unwrap().minimize(&search, &()).unwrap();
    assert!((twice.loss() - 2.0 * a.loss()).abs() < 1e-13);
    assert!(plain.clone().with_class_weights(&[1.0, 0.0, 1.0]).is_err());
    assert!(plain.clone().with_class_weights(&[1.0; 2]).is_err());
    assert!(plain.with_label_smoothing(1.0).is_err());
}

/// K times the least mean cross-entropy over all biases: the b that makes the probabilities doubly stochastic,
/// by alternating scaling.
fn least_over_biases(logits: &DMatrix<f64>) -> f64 {
    let classes = logits.nrows();
    let weights = logits.map(f64::exp);
    let (mut bias, mut column) = (DVector::from_element(classes, 1.0), DVector::zeros(classes));
    for _ in 0..20_000 {
        column = weights.tr_mul(&bias).map(f64::recip);
        bias = (&weights * &column).map(f64::recip);
    }
    let partition: f64 = column.iter().map(|inverse: &f64| -inverse.ln()).sum();
    partition - bias.iter().map(|b| b.ln()).sum::<f64>() - logits.trace()
}

/// The proof that with a free bias Z = Zᵀ: with Z = WHᵀ, W = U√Σ and H = V√Σ, the logits AAᵀ with
/// A = (W + H)/2 have no larger cross-entropy and no larger singular value.
#[test]
fn a_free_bias_makes_symmetric_logits_best() {
    let mut rng = SmallRng::seed_from_u64(11);
    for classes in 2..=7 {
        for rank in 1..classes {
            let mut normal = |scale: f64| {
                DMatrix::from_fn(classes, classes, |_, _| {
                    let draw: f64 = StandardNormal.sample(&mut rng);
                    scale * draw
                })
            };
            let (left, right) = (normal(1.0).qr().q(), normal(1.0).qr().q());
            let values = DVector::from_fn(rank, |i, _| 4.0 / (1.0 + i as f64));
            let root = DMatrix::from_diagonal(&values.map(f64::sqrt));
            let (w, h) = (left.columns(0, rank) * &root, right.columns(0, rank) * &root);
            let logits = &w * h.transpose();
            let (loss, transposed) =
                (least_over_biases(&logits), least_over_biases(&logits.transpose()));
            assert!((loss - transposed).abs() < 1e-9 * loss.abs().max(1.0), "{loss} {transposed}");
            let mean = (w + h) / 2.0;
            let symmetric = &mean * mean.transpose();
            assert!(least_over_biases(&symmetric) <= loss + 1e-9, "K = {classes}, rank {rank}");
            let smaller = symmetric.singular_values();
            assert!(values.iter().zip(smaller.iter()).all(|(a, b)| *b <= a * (1.0 + 1e-12)));
        }
    }
    // What the search finds is symmetric, and positive semidefinite; without a bias it need not be.
    for (classes, depth, strength) in [(4, 3, 0.13), (5, 3, 0.05), (8, 4, 0.01), (9, 3, 0.05)] {
        let landscape = searched(&with_strength(classes, depth, Bias::Unregularized, strength), 15);
        let logits = landscape.class_outputs().unwrap().to_dense().unwrap();
        assert!((&logits - logits.transpose()).amax() < 1e-8 * logits.amax(), "K = {classes}");
        assert!(logits.symmetric_eigenvalues().min() > -1e-8 * logits.amax(), "K = {classes}");
    }
    let landscape = searched(&with_strength(4, 2, Bias::None, 0.16), 10);
    let logits = landscape.class_outputs().unwrap().to_dense().unwrap();
    assert!((&logits - logits.transpose()).amax() > 1e-2 * logits.amax());
}

/// Boundaries that the documentation shows, with a search at every strength.
#[test]
fn searched_phases_have_the_boundaries_of_the_documentation() {
    let search = Search::default().with_starts(4);
    for (classes, depth, bias, names, boundaries) in [
        (
            3,
            2,
            Bias::None,
            vec!["simplex ETF", "pair ⊕ origin", "zero"],
            vec![1.734839e-1, 1.941864e-1],
        ),
        (4, 3, Bias::None, vec!["2 × pair", "path", "zero"], vec![1.414049e-1, 1.434601e-1]),
        (
            4,
            2,
            Bias::Unregularized,
            vec!["simplex ETF", "pair ⊕ pair", "2 × pair", "pair ⊕ 2 × origin", "zero"],
            vec![4.722235e-3, 5.401272e-2, 1.525771e-1, 1.645730e-1],
        ),
    ] {
        let phases = searched_phase_diagram(classes, depth, bias, 0.0, &search, &()).unwrap();
        let found: Vec<String> = phases.iter().map(|phase| phase.structure.to_string()).collect();
        assert_eq!(found, names);
        for (phase, boundary) in phases.iter().zip(boundaries) {
            // Two pairs of different size become alike continuously, where the Hessian of equal ones (in high
            // precision) becomes positive: close to it the losses differ by rounding only.
            let sharpness =
                if phase.structure.to_string() == "pair ⊕ pair" { 2e-6 } else { 1e-6 };
            let error = (phase.to / boundary - 1.0).abs();
            assert!(error < sharpness, "{}: {}", phase.structure, phase.to);
        }
    }
}
