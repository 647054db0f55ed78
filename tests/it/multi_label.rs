//! Several tags per sample: the closed form against descents on the full pick-all-labels objective.

use nalgebra::{DMatrix, DVector};
use neural_collapse::metrics::tag_average_residuals;
use neural_collapse::models::convex::{ConvexMinimum, ConvexUfm};
use neural_collapse::models::multi_label::{MultiLabelMinimum, MultiLabelUfm};
use neural_collapse::{Basis, Bias, CrossEntropyUfm, Error, Prediction, Regularization};
use proptest::prelude::*;

use crate::support::bases::random_basis;
use crate::support::soft::SoftObjective;
use crate::support::strategies;

fn ufm(classes: usize, sets: &[(usize, u64)], decays: (f64, f64), bias: Bias) -> MultiLabelUfm {
    let regularization =
        Regularization::new(&[decays.0], decays.1).unwrap().with_bias(bias).unwrap();
    MultiLabelUfm::new(classes, sets, regularization).unwrap()
}

/// Every set of tags as a column, each sample on its own if `each`.
fn objective(ufm: &MultiLabelUfm, dimension: usize, each: bool) -> SoftObjective {
    let of_size = |tags: usize| ufm.samples_per_set().find(|size| size.0 == tags).unwrap().1;
    let mut columns: Vec<(Vec<usize>, f64)> = Vec::new();
    for set in ufm.tag_sets() {
        let samples = of_size(set.len());
        match each {
            true => columns.extend((0..samples).map(|_| (set.clone(), 1.0))),
            false => columns.push((set, samples as f64)),
        }
    }
    let total: f64 = columns.iter().map(|column| column.1).sum();
    SoftObjective {
        labels: DMatrix::from_fn(ufm.classes(), columns.len(), |k, j| {
            f64::from(u8::from(columns[j].0.contains(&k)))
        }),
        weights: columns.iter().map(|column| column.1 / total).collect(),
        copies: columns.iter().map(|column| column.1).collect(),
        weight_decay: ufm.regularization().weight_decays()[0],
        feature_decay: ufm.regularization().feature_decay(),
        bias: ufm.regularization().bias(),
        dimension,
        nonnegative: false,
        squared_error: false,
        offsets: DVector::zeros(ufm.classes()),
    }
}

fn problems() -> Vec<MultiLabelUfm> {
    vec![
        ufm(4, &[(1, 3), (2, 1)], (2e-2, 1e-2), Bias::None),
        ufm(4, &[(2, 2), (3, 1), (4, 3)], (1e-2, 3e-3), Bias::Unregularized),
        ufm(5, &[(1, 1), (2, 1), (4, 2)], (5e-3, 2e-3), Bias::Regularized(0.05)),
        ufm(3, &[(1, 2), (2, 5)], (8e-2, 5e-2), Bias::None),
        ufm(2, &[(1, 3), (2, 2)], (1e-2, 2e-2), Bias::None),
        ufm(4, &[(1, 2), (2, 1)], (0.4, 0.3), Bias::Unregularized), // all zero
    ]
}

#[test]
fn no_descent_ends_below_and_some_reach_it() {
    for (index, ufm) in problems().into_iter().enumerate() {
        let expected = ufm.global_minimum().unwrap().loss();
        for (dimension, each) in [(ufm.classes() - 1, true), (ufm.classes() + 2, false)] {
            let found = objective(&ufm, dimension, each).lowest(6, 3 + index as u64);
            assert!(found > expected - 1e-13, "{index}: {found:e} < {expected:e}");
            assert!(found < expected + 1e-10, "{index}: {found:e} > {expected:e}");
        }
    }
}

#[test]
fn explicit_matrices_attain_all_numbers() {
    for problem in problems() {
        let problem = problem.with_widths(&[7]).unwrap();
        let minimum = problem.global_minimum().unwrap();
        let point = minimum.explicit(&random_basis(&minimum, 5)).unwrap();
        let layer = &point.head().weights()[0];
        let bias = point.head().bias().cloned().unwrap_or_else(|| DVector::zeros(layer.nrows()));
        let value = objective(&problem, 7, true).value(layer, &bias, &point.features().unwrap());
        assert!((value / minimum.loss() - 1.0).abs() < 1e-14, "{value:e}, {:e}", minimum.loss());
        assert!(point.class_means().is_none());
        check_grams(&minimum, layer, point.distinct_features());
    }
}

fn check_grams(minimum: &MultiLabelMinimum, layer: &DMatrix<f64>, features: &DMatrix<f64>) {
    let scale = layer.norm_squared().max(features.norm_squared()).max(1.0);
    let gram = minimum.trailing_gram(1).unwrap().to_dense().unwrap();
    assert!((layer * layer.transpose() - gram).norm() < 1e-14 * scale);
    let sets: Vec<_> = minimum.problem().tag_sets().collect();
    let products = features.transpose() * features;
    for (i, a) in sets.iter().enumerate() {
        for (j, b) in sets.iter().enumerate() {
            let overlap = a.iter().filter(|tag| b.contains(tag)).count();
            let expected = minimum.feature_product(a.len(), b.len(), overlap).unwrap();
            assert!((products[(i, j)] - expected).abs() < 1e-14 * scale);
        }
    }
    let values = minimum.singular_values(1..=1).unwrap();
    if let [value] = values.as_slice() {
        let found = layer.clone().singular_values();
        assert!((found[0] - value.value).abs() < 1e-14 * scale);
        assert_eq!(value.multiplicity, minimum.problem().classes() - 1);
    }
    let single: Vec<usize> = (0..sets.len()).filter(|&set| sets[set].len() == 1).collect();
    if single.is_empty() {
        assert!(matches!(minimum.class_means_gram(), Err(Error::NotAnswered { .. })));
        return;
    }
    let means = features.select_columns(&single);
    let expected = minimum.class_means_gram().unwrap().to_dense().unwrap();
    assert!((means.transpose() * &means - expected).norm() < 1e-14 * scale);
    let outputs = minimum.class_outputs().unwrap().to_dense().unwrap();
    assert!((layer * &means - outputs).norm() < 1e-14 * scale);
    if minimum.logit_singular_value() > 0.0 && !sets.iter().any(|set| set.len() == layer.nrows()) {
        for average in tag_average_residuals(&means, &sets, features).unwrap() {
            assert!(average.residual < 1e-13, "{average:?}");
            let expected = minimum.logit_size(average.tags).unwrap() * average.tags as f64
                / minimum.logit_size(1).unwrap();
            assert!((average.factor / expected - 1.0).abs() < 1e-13);
        }
    }
}

/// With one tag each it is the simplex ETF of cross-entropy.
#[test]
fn single_tags_are_classes() {
    for (classes, samples, decay) in [(2, 5, 1e-2), (10, 600, 1e-5), (7, 3, 0.05), (7, 3, 0.2)] {
        let regularization = Regularization::new(&[decay], decay / 3.0).unwrap();
        let etf = CrossEntropyUfm::new(classes, samples, regularization.clone()).unwrap();
        let etf = etf.simplex_etf().unwrap();
        let minimum = MultiLabelUfm::new(classes, &[(1, samples)], regularization).unwrap();
        let minimum = minimum.global_minimum().unwrap();
        let size = minimum.logit_size(1).unwrap();
        assert!((size - etf.margin()).abs() < 1e-14 * size.max(1.0), "{size}, {}", etf.margin());
        assert!((minimum.loss() / Prediction::loss(&etf) - 1.0).abs() < 1e-14);
    }
}

proptest! {
    #![proptest_config(strategies::config(64))]

    /// The equations hold, and the loss is stationary and lower than without logits.
    #[test]
    fn sizes_solve_their_equations(
        classes in 3_usize..40,
        samples in prop::collection::vec(0_u64..2000, 3),
        log_decay in -60.0_f64..0.0,
    ) {
        let sets: Vec<_> = (1..=3).zip(samples).filter(|set| set.1 > 0).collect();
        prop_assume!(!sets.is_empty());
        let decay = log_decay.exp();
        let ufm = ufm(classes, &sets, (decay, decay), Bias::None);
        let minimum = ufm.global_minimum().unwrap();
        let k = classes as f64;
        if minimum.logit_singular_value() == 0.0 {
            return Ok(());
        }
        let t = minimum.logit_singular_value() * k / (ufm.samples() * decay);
        let mut squares = 0.0;
        for &(tags, samples) in &sets {
            let (m, alpha) = (tags as f64, minimum.logit_size(tags).unwrap());
            let fitted = alpha * (m * alpha.exp() + k - m);
            prop_assert!((fitted / t - 1.0).abs() < 1e-12 * alpha.max(1.0), "{fitted}, {t}");
            // binom(K−2, m−1) for m ≤ 3.
            let pairs = [1.0, k - 2.0, (k - 2.0) * (k - 3.0) / 2.0][tags - 1];
            squares += samples as f64 * pairs * alpha * alpha;
        }
        prop_assert!((squares.sqrt() / minimum.logit_singular_value() - 1.0).abs() < 1e-13);
    }
}

/// All logits vanish iff Σ n_m binom(K−2, m−1) ≤ N²κ².
#[test]
fn everything_collapses_at_the_threshold() {
    // K = 5, n_1 = 4, n_2 = 3: N = 20 + 30, Σ = 4 + 3·3.
    let critical = 13.0_f64.sqrt() / 50.0;
    let size = |factor: f64| {
        let decays = (critical * factor, critical * factor);
        let ufm = ufm(5, &[(1, 4), (2, 3)], decays, Bias::None);
        ufm.global_minimum().unwrap().logit_size(2).unwrap()
    };
    assert!(size(1.0 - 1e-12) > 0.0 && size(1.0 - 1e-12) < 1e-10);
    assert_eq!(size(1.0 + 1e-12), 0.0);
}

#[test]
fn extreme_decays_are_solved_or_refused() {
    for decay in [1e-300, 1e-200, 1e-100, 1e100, 1e300] {
        let minimum = ufm(6, &[(1, 10), (3, 2)], (decay, decay), Bias::None).global_minimum();
        let minimum = minimum.unwrap();
        assert!(minimum.loss().is_finite() && minimum.logit_size(3).unwrap().is_finite());
    }
}

#[test]
fn bad_input_is_refused() {
    let new = |classes, sets: &[(usize, u64)]| {
        MultiLabelUfm::new(classes, sets, Regularization::new(&[1e-3], 1e-3).unwrap())
    };
    for (classes, sets) in [
        (1, &[(1, 1)][..]),
        (3, &[]),
        (3, &[(0, 1)]),
        (3, &[(4, 1)]),
        (3, &[(1, 0)]),
        (3, &[(1, 2), (1, 3)]),
    ] {
        assert!(new(classes, sets).is_err(), "{classes}, {sets:?}");
    }
    assert!(new(5, &[(1, 1)]).unwrap().with_widths(&[3]).is_err());
    assert!(new(5, &[(1, 1)]).unwrap().with_widths(&[4]).is_ok());
    assert!(new(5000, &[(2500, 1)]).is_err());
    // 10¹² sets are described, but not written down.
    let large = new(1000, &[(1, 1), (5, 1)]).unwrap().global_minimum().unwrap();
    assert!(large.explicit(&Basis::Standard).is_err() && large.trailing_gram(1).is_ok());
    let (single, sets) = (DMatrix::<f64>::identity(3, 3), vec![vec![0, 1]]);
    for (sets, means) in [
        (vec![vec![0, 3]], DMatrix::from_element(3, 1, 1.0)),
        (vec![vec![0, 0]], DMatrix::from_element(3, 1, 1.0)),
        (vec![vec![]], DMatrix::from_element(3, 1, 1.0)),
        (vec![], DMatrix::from_element(3, 0, 1.0)),
        (sets.clone(), DMatrix::from_element(3, 2, 1.0)),
        (sets.clone(), DMatrix::from_element(3, 1, f64::NAN)),
        (sets, DMatrix::zeros(3, 1)),
    ] {
        assert!(tag_average_residuals(&single, &sets, &means).is_err());
    }
}

/// Tags as weighted soft labels of the convex program: the closed form for balanced ones, descents for others.
#[test]
fn the_convex_program_covers_all_tag_sets() {
    for (index, ufm) in problems().into_iter().enumerate() {
        let sets: Vec<Vec<usize>> = ufm.tag_sets().collect();
        let of_size = |tags: usize| ufm.samples_per_set().find(|size| size.0 == tags).unwrap().1;
        let samples: Vec<u64> = sets.iter().map(|set| of_size(set.len())).collect();
        let balanced = convex(&ufm, &sets, &samples);
        let closed = ufm.global_minimum().unwrap();
        assert!((balanced.loss() / closed.loss() - 1.0).abs() < 1e-11, "{ufm:?}");
        // Another number of samples for each set, and one set that nobody has.
        let (sets, samples) = (&sets[1..], &samples[1..]);
        let unequal: Vec<u64> = samples.iter().zip(1..).map(|(n, more)| n + more).collect();
        let minimum = convex(&ufm, sets, &unequal);
        let total = unequal.iter().sum::<u64>() as f64;
        let objective = SoftObjective {
            labels: DMatrix::from_fn(ufm.classes(), sets.len(), |k, j| {
                f64::from(u8::from(sets[j].contains(&k)))
            }),
            weights: unequal.iter().map(|&n| n as f64 / total).collect(),
            copies: unequal.iter().map(|&n| n as f64).collect(),
            ..objective(&ufm, ufm.classes(), false)
        };
        let found = objective.lowest(5, 300 + index as u64);
        assert!(found >= minimum.lower_bound().unwrap() * (1.0 - 1e-14), "{found:e}: {ufm:?}");
        assert!(found <= minimum.loss() * (1.0 + 1e-8), "{found:e}: {ufm:?}, {minimum:?}");
    }
}

fn convex(ufm: &MultiLabelUfm, sets: &[Vec<usize>], samples: &[u64]) -> ConvexMinimum {
    let sizes: Vec<f64> = sets.iter().map(|set| set.len() as f64).collect();
    let labels = DMatrix::from_fn(ufm.classes(), sets.len(), |k, j| {
        f64::from(u8::from(sets[j].contains(&k))) / sizes[j]
    });
    let program = ConvexUfm::soft_labels(labels, samples, ufm.regularization().clone()).unwrap();
    let minimum = program.with_label_weights(&sizes).unwrap().global_minimum().unwrap();
    assert!(minimum.gap() < 1e-10 * minimum.loss(), "{minimum:?}");
    minimum
}
