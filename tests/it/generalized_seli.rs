//! The support vector machine with margins and scales of the logits: optimality conditions, descents, limits.

use nalgebra::{DMatrix, DVector};
use neural_collapse::models::svm::simplex_margins;
use neural_collapse::{ClassCounts, ClassMatrix, Prediction, Seli};
use proptest::prelude::*;

use crate::support::bases::random_basis;
use crate::support::strategies;

fn dense(matrix: &ClassMatrix) -> DMatrix<f64> {
    matrix.to_dense().unwrap()
}

fn seli(counts: &[u64], margins: &[f64], scales: &[f64]) -> Seli {
    let plain = Seli::new(ClassCounts::new(counts).unwrap()).unwrap();
    plain.with_margins(margins).unwrap().with_logit_scales(scales).unwrap()
}

/// The dual bound: a matrix B with ‖B‖ ≤ 1 whose column for a sample of class y is Σ_c μ_c (δ_y e_y − δ_c e_c), μ ≥ 0,
/// bounds ‖Z‖_* ≥ ⟨B, Z⟩ ≥ Σ μ m_y from below for all feasible Z. The polar factor of the predicted logits is one.
fn check_optimality(counts: &[u64], margins: &[f64], scales: &[f64]) {
    let classes = counts.len();
    let seli = seli(counts, margins, scales);
    let outputs = dense(&seli.class_outputs().unwrap());
    let size = outputs.amax();
    for y in 0..classes {
        for c in (0..classes).filter(|&c| c != y) {
            let margin = scales[y] * outputs[(y, y)] - scales[c] * outputs[(c, y)];
            let rounding = 1e-14 * classes as f64 * size * scales[y].max(scales[c]);
            assert!((margin - margins[y]).abs() < rounding, "{margin}, {}", margins[y]);
        }
    }
    // X with √n_k times column k, from its definition, and its polar factor by a dense decomposition.
    let roots: Vec<f64> = counts.iter().map(|&n| (n as f64).sqrt()).collect();
    let x = DMatrix::from_fn(classes, classes, |i, k| outputs[(i, k)] * roots[k]);
    // In an orthonormal basis of the complement of 1/δ, where X has full rank.
    let mut frame = DMatrix::identity(classes, classes);
    frame.set_column(0, &DVector::from_iterator(classes, scales.iter().map(|scale| 1.0 / scale)));
    let basis = frame.qr().q().columns(1, classes - 1).into_owned();
    let svd = (basis.transpose() * &x).svd(true, true);
    let polar = basis * svd.u.unwrap() * svd.v_t.unwrap();
    let condition = svd.singular_values.max() / svd.singular_values.min();
    let rounding = 1e-14 * classes as f64 * condition;
    let mut bound = 0.0;
    for y in 0..classes {
        for c in (0..classes).filter(|&c| c != y) {
            let multiplier = -polar[(c, y)] / scales[c];
            assert!(multiplier > -rounding / scales[c], "{multiplier:e}");
            bound += roots[y] * multiplier * margins[y];
        }
    }
    assert!((bound / seli.loss() - 1.0).abs() < rounding, "{bound}, {}", seli.loss());
    check_matrices(&seli, &x, &roots, rounding);
}

/// The Gram matrices by a dense decomposition, and the explicit matrices.
fn check_matrices(seli: &Seli, x: &DMatrix<f64>, roots: &[f64], rounding: f64) {
    let classifier = dense(&seli.trailing_gram(1).unwrap());
    assert!((&classifier * &classifier - x * x.transpose()).norm() < rounding * x.norm_squared());
    let features = DMatrix::from_fn(x.nrows(), x.nrows(), |i, j| {
        seli.class_means_gram().unwrap().get(i, j).unwrap() * roots[i] * roots[j]
    });
    assert!((&features * &features - x.transpose() * x).norm() < rounding * x.norm_squared());
    let point = seli.explicit(&random_basis(seli, 2)).unwrap();
    let (layer, means) = (&point.head().weights()[0], point.class_means().unwrap());
    let scale = x.norm();
    assert!((layer * layer.transpose() - classifier).norm() < rounding * scale);
    let gram = dense(&seli.class_means_gram().unwrap());
    assert!((means.transpose() * means - &gram).norm() < rounding * gram.norm());
    let outputs = dense(&seli.class_outputs().unwrap());
    assert!((layer * means - &outputs).norm() < rounding * outputs.norm());
    let squares: f64 = means.column_iter().zip(roots).map(|(h, r)| h.norm_squared() * r * r).sum();
    assert!(((layer.norm_squared() + squares) / 2.0 / seli.loss() - 1.0).abs() < rounding);
    for (run, class) in seli.class_runs().unwrap() {
        let k = run.first_class;
        let norms = [class.classifier_norm_squared, class.feature_norm_squared].map(Option::unwrap);
        assert!((norms[0] - layer.row(k).norm_squared()).abs() < rounding * scale);
        assert!((norms[1] / gram[(k, k)] - 1.0).abs() < rounding);
    }
    let trait_values = seli.singular_values(1..=1).unwrap();
    let count: usize = trait_values.iter().map(|value| value.multiplicity).sum();
    assert_eq!(count, x.nrows() - 1);
    assert!(!seli.has_scale());
}

proptest! {
    #![proptest_config(strategies::config(64))]

    #[test]
    fn optimal_for_any_margins_and_scales(
        classes in prop::collection::vec((1_u64..500, 0.2_f64..5.0, 0.3_f64..3.0), 2..8)
    ) {
        let counts: Vec<u64> = classes.iter().map(|class| class.0).collect();
        let margins: Vec<f64> = classes.iter().map(|class| class.1).collect();
        let scales: Vec<f64> = classes.iter().map(|class| class.2).collect();
        check_optimality(&counts, &margins, &scales);
    }
}

/// Classes of different scales may have one value n m²/δ²; kinds repeat and are not neighbors.
#[test]
fn optimal_where_values_coincide() {
    check_optimality(&[4, 1, 9, 4], &[1.0; 4], &[2.0, 1.0, 3.0, 1.0]);
    check_optimality(&[4, 1, 9], &[1.0; 3], &[2.0, 1.0, 3.0]);
    check_optimality(&[5, 5, 7, 5, 7], &[1.0, 2.0, 1.0, 1.0, 1.0], &[1.0, 1.0, 2.0, 1.0, 2.0]);
    check_optimality(&[3, 8], &[0.5, 2.0], &[1.0, 0.25]);
}

/// A first-order method on the convex problem, with no formula of the library: penalized margins, ever steeper. It
/// never ends below the predicted norm by more than its violation allows, and comes close.
#[test]
fn the_minimum_of_the_convex_problem() {
    let (counts, margins, scales) = ([30_u64, 8, 3], [1.0, 1.5, 0.7], [1.0, 0.6, 1.7]);
    let expected = seli(&counts, &margins, &scales).loss();
    let roots = counts.map(|n| (n as f64).sqrt());
    // ADMM between the nuclear norm of X = Z diag(√n) and the feasible Z.
    let mut feasible = DMatrix::<f64>::identity(3, 3);
    let mut dual = DMatrix::<f64>::zeros(3, 3);
    let mut norm = 0.0;
    for _ in 0..20_000 {
        let svd = (&feasible - &dual).svd(true, true);
        let shrunk = svd.singular_values.map(|value| (value - 0.3).max(0.0));
        let x = svd.u.unwrap() * DMatrix::from_diagonal(&shrunk) * svd.v_t.unwrap();
        let mut moved = &x + &dual;
        for y in 0..3 {
            project(&mut moved, y, roots[y] * margins[y], &scales);
        }
        dual += &x - &moved;
        feasible = moved;
        norm = feasible.clone().singular_values().sum();
    }
    assert!((norm - expected).abs() < 1e-8, "{norm}, {expected}");
}

/// The nearest column y with δ_y z_y − δ_c z_c ≥ m for all c ≠ y, by Dykstra's method of two or three half-spaces.
fn project(matrix: &mut DMatrix<f64>, y: usize, margin: f64, scales: &[f64; 3]) {
    let mut corrections = [[0.0; 2]; 3];
    for _ in 0..200 {
        for c in (0..3).filter(|&c| c != y) {
            let mut pair = [matrix[(y, y)] + corrections[c][0], matrix[(c, y)] + corrections[c][1]];
            let gap = margin - (scales[y] * pair[0] - scales[c] * pair[1]);
            let before = pair;
            if gap > 0.0 {
                let step = gap / (scales[y].powi(2) + scales[c].powi(2));
                pair = [pair[0] + step * scales[y], pair[1] - step * scales[c]];
            }
            corrections[c] = [before[0] - pair[0], before[1] - pair[1]];
            (matrix[(y, y)], matrix[(c, y)]) = (pair[0], pair[1]);
        }
    }
}

#[test]
fn ones_change_nothing() {
    let counts = [200, 100, 50, 50];
    let plain = Seli::new(ClassCounts::new(&counts).unwrap()).unwrap();
    let ones = seli(&counts, &[1.0; 4], &[1.0; 4]);
    assert_eq!(plain.loss(), ones.loss());
    assert_eq!(dense(&plain.class_means_gram().unwrap()), dense(&ones.class_means_gram().unwrap()));
    assert!(plain.verdict().is_proved() && ones.verdict().is_proved());
}

/// Margins count as class sizes n m², scales of all classes as margins 1/δ.
#[test]
fn margins_count_as_sizes() {
    let margins = [1.0, 2.0, 3.0];
    let with_margins = seli(&[36, 4, 1], &margins, &[1.0; 3]);
    let sizes = Seli::new(ClassCounts::new(&[36, 16, 9]).unwrap()).unwrap();
    let (a, b) =
        (dense(&with_margins.trailing_gram(1).unwrap()), dense(&sizes.trailing_gram(1).unwrap()));
    assert!((a - b).norm() < 1e-14 * sizes.loss());
    let halved = seli(&[36, 4, 1], &margins, &[2.0; 3]);
    assert!((halved.loss() * 2.0 / with_margins.loss() - 1.0).abs() < 1e-15);
}

#[test]
fn equalizing_margins_give_a_simplex() {
    let counts = ClassCounts::new(&[1000, 300, 300, 7, 1]).unwrap();
    let margins = simplex_margins(&counts);
    let seli = Seli::new(counts).unwrap().with_margins(&margins).unwrap();
    for gram in [seli.trailing_gram(1).unwrap(), seli.class_means_gram().unwrap()] {
        for (i, j) in [(0, 1), (1, 2), (2, 4), (3, 4)] {
            assert!((gram.cosine(i, j).unwrap() + 0.25).abs() < 1e-14);
        }
    }
}

#[test]
fn bad_input_is_refused() {
    let plain = Seli::new(ClassCounts::new(&[3, 2]).unwrap()).unwrap();
    for list in [&[1.0][..], &[1.0, 0.0], &[1.0, -2.0], &[1.0, f64::NAN], &[f64::INFINITY, 1.0]] {
        assert!(plain.clone().with_margins(list).is_err());
        assert!(plain.clone().with_logit_scales(list).is_err());
    }
    assert!(plain.clone().with_margins(&[1e-200, 1.0]).is_err());
    assert!(plain.with_logit_scales(&[1e-200, 1.0]).is_err());
}
