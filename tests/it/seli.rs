//! The SELI geometry against the optimality conditions of its support vector machine, the published
//! closed forms, and a dense decomposition.

use nalgebra::DMatrix;
use neural_collapse::{ClassCounts, ClassMatrix, Prediction, Seli};
use proptest::prelude::*;

fn seli(runs: &[(u64, usize)]) -> Seli {
    Seli::new(ClassCounts::from_runs(runs.iter().copied()).unwrap()).unwrap()
}

fn dense(matrix: &ClassMatrix) -> DMatrix<f64> {
    matrix.to_dense().unwrap()
}

fn sizes(seli: &Seli) -> Vec<f64> {
    let classes = 0..seli.classes();
    classes.map(|class| seli.counts().unwrap().count(class).unwrap() as f64).collect()
}

/// The Karush–Kuhn–Tucker conditions of the UF-SVM, which with the dual bound prove the minimum.
///
/// With Z = WH, ½‖W‖² + ½‖H‖² ≥ ‖Z‖_*, so the SVM is min ‖Z‖_* with margins z_yi − z_ci ≥ 1, a convex
/// problem. A matrix B with ‖B‖ ≤ 1 (spectral norm) whose column i is Σ_c μ_ci (e_y − e_c), μ ≥ 0, has
/// ‖Z‖_* ≥ ⟨B, Z⟩ = Σ μ_ci (z_yi − z_ci) ≥ Σ μ_ci for every feasible Z. Such a B is H̄ᵀH̄ by class: it
/// bounds the minimum from below by what W and H̄ reach.
fn check_optimality(seli: &Seli) {
    let sizes = sizes(seli);
    let classes = sizes.len();
    let means = dense(&seli.class_means_gram().unwrap());
    let scale = means.amax();
    for (class, column) in means.column_iter().enumerate() {
        assert!(column.sum().abs() < 1e-12 * scale, "the columns are Σ μ (e_y − e_c)");
        let mut others = column.iter().enumerate().filter(|&(other, _)| other != class);
        assert!(others.all(|(_, &multiplier)| multiplier < 0.0), "μ > 0: {means}");
    }
    // B has n_k times column k: BBᵀ = G diag(n) G.
    let root = DMatrix::from_fn(classes, classes, |i, j| means[(i, j)] * sizes[j].sqrt());
    let norm = root.singular_values().max();
    assert!(norm < 1.0 + 1e-12, "‖B‖ = {norm}");
    // Σ μ = Σ_k n_k G_kk: the bound.
    let bound: f64 = sizes.iter().zip(means.diagonal().iter()).map(|(n, g)| n * g).sum();
    assert!((bound / seli.loss() - 1.0).abs() < 1e-12, "{bound:e}, {:e}", seli.loss());
    // The value that is reached: ½ tr WWᵀ + ½ Σ n_k ‖h_k‖², with all margins 1.
    let reached = (dense(&seli.trailing_gram(1).unwrap()).trace() + bound) / 2.0;
    assert!((reached / seli.loss() - 1.0).abs() < 1e-12);
    let outputs = dense(&seli.class_outputs().unwrap());
    for i in 0..classes {
        for j in (0..classes).filter(|&j| j != i) {
            assert!((outputs[(i, i)] - outputs[(j, i)] - 1.0).abs() < 1e-12);
        }
    }
}

/// The square of WWᵀ is C diag(n) C, and WWᵀ·H̄ᵀH̄ = C: square roots of matrices inverse to each other.
/// So W = V Λ^(1/2) and H̄ = Λ^(−1/2) Vᵀ, with C diag(n) C = V Λ² Vᵀ, have these Gram matrices and the
/// outputs W H̄ = V Vᵀ = C.
fn check_factors(seli: &Seli) {
    let sizes = sizes(seli);
    let classes = sizes.len();
    let centring = DMatrix::identity(classes, classes).add_scalar(-1.0 / classes as f64);
    let spread = &centring * DMatrix::from_diagonal(&sizes.clone().into()) * &centring;
    let classifier = dense(&seli.trailing_gram(1).unwrap());
    let means = dense(&seli.class_means_gram().unwrap());
    let condition = (sizes.iter().fold(0.0_f64, |a, &b| a.max(b))
        / sizes.iter().fold(f64::INFINITY, |a, &b| a.min(b)))
    .sqrt();
    assert!((&classifier * &classifier - &spread).norm() < 1e-14 * classes as f64 * spread.norm());
    let defect = (&classifier * &means - &centring).norm();
    assert!(defect < 1e-14 * classes as f64 * condition, "{defect:e}");
    assert!((dense(&seli.class_outputs().unwrap()) - &centring).norm() < 1e-14 * classes as f64);
    for (run, geometry) in seli.class_runs().unwrap() {
        let class = run.first_class;
        let norms = [geometry.classifier_norm_squared, geometry.feature_norm_squared];
        for (norm, gram) in norms.into_iter().zip([&classifier, &means]) {
            assert!((norm.unwrap() / gram[(class, class)] - 1.0).abs() < 1e-13);
        }
        assert_eq!(seli.class(class), Some(geometry));
    }
}

proptest! {
    #![proptest_config(crate::support::strategies::config(64))]

    #[test]
    fn optimal_for_any_class_sizes(
        runs in prop::collection::vec((1_u64..2000, 1_usize..4), 1..7)
            .prop_filter("two classes", |runs| runs.iter().map(|run| run.1).sum::<usize>() > 1)
    ) {
        check_optimality(&seli(&runs));
        check_factors(&seli(&runs));
    }
}

#[test]
fn optimal_at_the_edges() {
    for runs in
        [&[(1, 2)][..], &[(1, 1), (2, 1)], &[(1_000_000, 1), (1, 9)], &[(1 << 40, 5), (1, 5)]]
    {
        check_optimality(&seli(runs));
    }
    assert!(Seli::new(ClassCounts::balanced(1, 3).unwrap()).is_err());
}

/// The step imbalance of Thrampoulidis et al.: K/2 classes of R samples and K/2 of one. Their norms and
/// angles (appendix on the (R, 1/2)-STEP geometry).
#[test]
fn closed_forms_of_step_imbalance() {
    for (classes, ratio) in [(4, 10), (10, 100), (6, 1), (10, 2), (2, 7)] {
        let seli = seli(&[(ratio, classes / 2), (1, classes / 2)]);
        let (k, root) = (classes as f64, (ratio as f64).sqrt());
        let mean = ((ratio as f64 + 1.0) / 2.0).sqrt();
        let majority = |value: f64, mean: f64| (1.0 - 2.0 / k) * value + mean / k;
        let (large, small) = (0, classes - 1);
        let [w_large, h_large, w_small, h_small] = [
            majority(root, mean),
            majority(1.0 / root, 1.0 / mean),
            majority(1.0, mean),
            majority(1.0, 1.0 / mean),
        ];
        let got = |class: usize| {
            let geometry = seli.class(class).unwrap();
            [geometry.classifier_norm_squared, geometry.feature_norm_squared].map(Option::unwrap)
        };
        for (got, expected) in got(large).into_iter().zip([w_large, h_large]) {
            assert!((got / expected - 1.0).abs() < 1e-14, "{got}, {expected}");
        }
        for (got, expected) in got(small).into_iter().zip([w_small, h_small]) {
            assert!((got / expected - 1.0).abs() < 1e-14, "{got}, {expected}");
        }
        let (classifier, means) =
            (seli.trailing_gram(1).unwrap(), seli.class_means_gram().unwrap());
        let close = |got: Option<f64>, expected: f64| {
            assert!((got.unwrap() - expected).abs() < 1e-14, "{got:?}, {expected}");
        };
        close(classifier.cosine(large, small), -mean / k / (w_large * w_small).sqrt());
        close(means.cosine(large, small), -1.0 / mean / k / (h_large * h_small).sqrt());
        if classes > 2 {
            let within = |value: f64, mean: f64| (mean - 2.0 * value) / ((k - 2.0) * value + mean);
            close(classifier.cosine(0, 1), within(root, mean));
            close(classifier.cosine(small, small - 1), within(1.0, mean));
            close(means.cosine(0, 1), within(1.0 / root, 1.0 / mean));
            close(means.cosine(small, small - 1), within(1.0, 1.0 / mean));
        }
        // The angle between classifier and mean of a class.
        let alignment =
            seli.class_outputs().unwrap().get(large, large).unwrap() / (w_large * h_large).sqrt();
        assert!(
            alignment <= 1.0 + 1e-15 && (ratio == 1 || classes == 2) == (alignment > 1.0 - 1e-12)
        );
    }
}

/// Balanced: a simplex ETF for all three.
#[test]
fn balanced_classes_form_a_simplex_etf() {
    let seli = seli(&[(25, 6)]);
    let etf = ClassMatrix::simplex_etf(6).unwrap();
    for (matrix, scale) in [
        (seli.trailing_gram(1).unwrap(), 5.0),
        (seli.class_means_gram().unwrap(), 0.2),
        (seli.class_outputs().unwrap(), 1.0),
    ] {
        assert!((dense(&matrix) - dense(&etf) * scale).amax() < 1e-15 * scale);
    }
    let values = seli.logit_singular_values();
    assert_eq!((values.len(), values[0].value, values[0].multiplicity), (1, 5.0, 5));
    assert_eq!(seli.loss(), 25.0);
}

/// Ten million classes cost no more than their distinct sizes.
#[test]
fn many_classes_of_few_sizes() {
    let seli = seli(&[(600, 5_000_000), (20, 5_000_000)]);
    let cosine = seli.trailing_gram(1).unwrap().cosine(9_000_000, 9_999_999).unwrap();
    assert!(cosine > 0.0 && cosine < 1e-6);
    let values = seli.logit_singular_values();
    assert_eq!(values.iter().map(|own| own.multiplicity).sum::<usize>(), 9_999_999);
}

#[test]
fn the_runs_of_classes_have_the_norms_of_the_matrices() {
    let seli = seli(&[(40, 2), (10, 3), (40, 1)]);
    let (classifier, features) =
        (dense(&seli.trailing_gram(1).unwrap()), dense(&seli.class_means_gram().unwrap()));
    let runs = seli.class_runs().unwrap();
    let classes =
        runs.iter().flat_map(|(run, geometry)| run.classes().map(move |k| (k, run, geometry)));
    let classes: Vec<_> = classes.collect();
    assert_eq!(classes.iter().map(|(class, ..)| *class).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    for (class, run, geometry) in classes {
        assert_eq!((run.size, geometry.count), (geometry.count, [40, 40, 10, 10, 10, 40][class]));
        assert_eq!(seli.class(class).as_ref(), Some(geometry));
        for (norm, gram) in [
            (geometry.classifier_norm_squared, &classifier),
            (geometry.feature_norm_squared, &features),
        ] {
            assert!((norm.unwrap() / gram[(class, class)] - 1.0).abs() < 1e-14);
        }
    }
}
