//! Non-negative features: the closed form against descents on the full objective, at its thresholds and its
//! limits.

use crate::support::bases::random_nonnegative_basis;
use crate::support::soft::SoftObjective;
use nalgebra::{DMatrix, DVector};
use neural_collapse::models::nonnegative::{
    NonnegativeMinimum, NonnegativeUfm, margin_equalizing_weights,
};
use neural_collapse::{
    Basis, Bias, ClassCounts, CrossEntropyUfm, Error, Prediction, Regularization,
};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

struct Case {
    counts: Vec<u64>,
    weights: Vec<f64>,
    smoothing: f64,
    decays: (f64, f64),
    bias: Bias,
}

impl Case {
    fn new(
        counts: &[u64],
        weights: &[f64],
        smoothing: f64,
        decays: (f64, f64),
        bias: Bias,
    ) -> Self {
        Self { counts: counts.to_vec(), weights: weights.to_vec(), smoothing, decays, bias }
    }

    fn ufm(&self) -> NonnegativeUfm {
        let regularization = Regularization::new(&[self.decays.0], self.decays.1).unwrap();
        let regularization = regularization.with_bias(self.bias).unwrap();
        NonnegativeUfm::new(ClassCounts::new(&self.counts).unwrap(), regularization)
            .and_then(|ufm| ufm.with_class_weights(&self.weights))
            .and_then(|ufm| ufm.with_label_smoothing(self.smoothing))
            .unwrap()
    }

    fn minimum(&self) -> NonnegativeMinimum {
        self.ufm().global_minimum().unwrap()
    }

    fn objective(&self, dimension: usize, nonnegative: bool) -> SoftObjective {
        let counts: Vec<usize> = self.counts.iter().map(|&n| n as usize).collect();
        let (weight, feature) = self.decays;
        SoftObjective::of_classes(
            &counts,
            &self.weights,
            self.smoothing,
            (weight, feature, self.bias),
            (dimension, nonnegative),
        )
    }
}

fn cases() -> Vec<Case> {
    let none = Bias::None;
    vec![
        Case::new(&[8, 4, 2], &[1.0; 3], 0.0, (2e-2, 1e-2), none),
        Case::new(&[8, 4, 1], &[1.0; 3], 0.0, (9e-2, 5e-2), none), // a class dies
        Case::new(&[6, 3, 2, 1], &[0.5, 1.0, 1.5, 4.0], 0.0, (1e-2, 3e-2), none),
        Case::new(&[6, 3, 2, 1], &[0.5, 1.0, 1.5, 4.0], 0.15, (1e-2, 1e-2), none),
        Case::new(&[7, 2], &[1.0, 1.0], 0.1, (3e-2, 2e-2), none),
        Case::new(&[3, 3, 3, 3], &[1.0; 4], 0.0, (1e-2, 2e-2), Bias::Unregularized),
        Case::new(&[3, 3, 3], &[0.5, 1.0, 2.0], 0.1, (5e-3, 2e-2), Bias::Unregularized),
        Case::new(&[3, 3, 3], &[0.5, 1.0, 2.0], 0.0, (5e-3, 2e-2), Bias::Regularized(0.02)),
        Case::new(&[4, 4], &[1.0, 2.0], 0.0, (1e-2, 2e-2), Bias::Unregularized),
        Case::new(&[2, 2, 2], &[1.0; 3], 0.2, (0.5, 0.5), Bias::Regularized(0.1)), // all die
    ]
}

#[test]
fn no_descent_ends_below_and_some_reach_it() {
    for (index, case) in cases().into_iter().enumerate() {
        let expected = case.minimum().loss();
        for dimension in [case.counts.len(), case.counts.len() + 3] {
            let objective = case.objective(dimension, true);
            let found = objective.lowest(12, 7 + index as u64);
            assert!(found > expected - 1e-13, "case {index}: {found:e} < {expected:e}");
            assert!(found < expected + 1e-9, "case {index}: {found:e} > {expected:e}");
        }
    }
}

/// The matrices attain the loss, are not negative, and have the Gram matrices, norms and singular values.
#[test]
fn explicit_matrices_attain_all_numbers() {
    for case in cases() {
        let minimum = case.minimum();
        let objective = case.objective(9, true);
        let ufm = case.ufm().with_widths(&[9]).unwrap();
        let wide = ufm.global_minimum().unwrap();
        assert_eq!((minimum.widths(), wide.widths()), (None, Some(&[9][..])));
        for basis in [Basis::Standard, random_nonnegative_basis(&wide, 3)] {
            let point = wide.explicit(&basis).unwrap();
            let features = point.features().unwrap();
            assert!(features.iter().all(|&entry| entry >= 0.0));
            let layer = &point.head().weights()[0];
            let bias =
                point.head().bias().cloned().unwrap_or_else(|| DVector::zeros(layer.nrows()));
            let value = objective.value(layer, &bias, &features);
            assert!(
                (value / minimum.loss() - 1.0).abs() < 1e-14,
                "{value:e}, {:e}",
                minimum.loss()
            );
            check_matrices(&minimum, layer, point.class_means().unwrap(), &features);
        }
    }
}

fn check_matrices(
    minimum: &NonnegativeMinimum,
    layer: &DMatrix<f64>,
    means: &DMatrix<f64>,
    features: &DMatrix<f64>,
) {
    let scale = layer.norm().max(means.norm()).max(1.0);
    if minimum.is_family() {
        assert!(minimum.trailing_gram(1).is_err() && !minimum.is_unique());
        assert_eq!(minimum.class_runs().unwrap()[0].1.classifier_norm_squared, None);
        return;
    }
    let gram = minimum.trailing_gram(1).unwrap().to_dense().unwrap();
    assert!((layer * layer.transpose() - &gram).norm() < 1e-14 * scale * scale);
    let of_means = minimum.class_means_gram().unwrap().to_dense().unwrap();
    assert!((means.transpose() * means - &of_means).norm() < 1e-14 * scale * scale);
    let outputs = minimum.class_outputs().unwrap().to_dense().unwrap();
    assert!((layer * means - outputs).norm() < 1e-14 * scale * scale);
    for (run, class) in minimum.class_runs().unwrap() {
        let norm = class.classifier_norm_squared.unwrap();
        let k = run.first_class;
        assert!((norm - gram[(k, k)]).abs() < 1e-14 * scale * scale);
        let norm = class.feature_norm_squared.unwrap();
        assert!((norm - of_means[(k, k)]).abs() < 1e-14 * scale * scale);
    }
    let pairs = [
        (minimum.singular_values(1..=1).unwrap(), layer),
        (minimum.feature_singular_values().unwrap(), features),
    ];
    for (predicted, matrix) in pairs {
        let mut values = matrix.clone().singular_values().as_slice().to_vec();
        values.sort_by(|a, b| b.total_cmp(a));
        let expanded: Vec<f64> =
            predicted.iter().flat_map(|s| std::iter::repeat_n(s.value, s.multiplicity)).collect();
        assert!(expanded.len() <= values.len());
        for (index, value) in values.into_iter().enumerate() {
            let expected = expanded.get(index).copied().unwrap_or(0.0);
            assert!((value - expected).abs() < 1e-13 * scale, "{index}: {value:e}, {expected:e}");
        }
    }
}

/// One sample more or less, a little more or less decay, weight or smoothing decide about life and death.
#[test]
fn classes_die_at_the_threshold() {
    let (classes, samples) = (3.0_f64, 30.0_f64);
    for (weight, smoothing) in [(1.0, 0.0), (2.5, 0.1), (0.4, 0.3)] {
        // ω² n (1−δ)² = N² κ² K/(K−1) for n = 5.
        let kappa = weight * 5.0_f64.sqrt() * (1.0 - smoothing) / samples
            * ((classes - 1.0) / classes).sqrt();
        let ufm = |factor: f64| {
            Case::new(
                &[15, 10, 5],
                &[10.0, 10.0, weight],
                smoothing,
                (kappa * factor, kappa * factor),
                Bias::None,
            )
            .ufm()
        };
        let margin = |factor: f64| ufm(factor).global_minimum().unwrap().margin(2).unwrap();
        assert!(margin(1.0 - 1e-12) > 0.0 && margin(1.0 - 1e-12) < 1e-10);
        assert_eq!(margin(1.0 + 1e-12), 0.0);
        let critical = ufm(1.0).critical_decay_product();
        assert!((critical / (kappa * kappa) - 1.0).abs() < 1e-14);
        let least = ufm(1.0).smallest_surviving_count(weight).unwrap();
        assert!((least / 5.0 - 1.0).abs() < 1e-14);
        // The loss is smooth there, and a descent agrees from both sides.
        for factor in [0.97, 1.03] {
            let case = Case::new(
                &[15, 10, 5],
                &[10.0, 10.0, weight],
                smoothing,
                (kappa * factor, kappa * factor),
                Bias::None,
            );
            let (expected, found) = (case.minimum().loss(), case.objective(3, true).lowest(6, 5));
            assert!((found - expected).abs() < 1e-10 && found > expected - 1e-13);
        }
    }
}

/// With the largest factor all classes survive, with the next larger number one is dead, whatever rounding does.
#[test]
fn the_largest_decay_factor_is_the_last_number_at_which_all_survive() {
    let mut random = SmallRng::seed_from_u64(11);
    for _ in 0..300 {
        let classes = random.random_range(2..7);
        let counts: Vec<u64> = (0..classes).map(|_| random.random_range(1..2000)).collect();
        let weights: Vec<f64> = (0..classes).map(|_| random.random_range(0.1..3.0)).collect();
        let smoothing = *[0.0, random.random_range(0.0..0.9)].choose(&mut random).unwrap();
        let mut decay = || 10_f64.powf(random.random_range(-8.0..0.0));
        let decays = (decay(), decay());
        let case = |factor: f64| {
            let decays = (decays.0 * factor, decays.1 * factor);
            Case::new(&counts, &weights, smoothing, decays, Bias::None)
        };
        let factor = case(1.0).ufm().largest_decay_factor();
        let dead = |factor: f64| classes - case(factor).minimum().living_classes();
        assert_eq!(dead(factor), 0, "{counts:?}, {weights:?}, {smoothing}, {decays:?}: {factor:e}");
        let next = factor.next_up();
        assert!(dead(next) > 0, "{counts:?}, {weights:?}, {smoothing}, {decays:?}: {next:e}");
    }
}

/// Best point with orthogonal features of any length and any bias, given class sizes: a convex problem in the
/// logits z_k that feature k adds to the bias, Σ n_k/N CE(z_k + b, k) + κ Σ √n_k ‖z_k‖.
fn best_orthogonal(counts: &[f64], kappa: f64) -> f64 {
    // With features h_k along different axes ‖W‖² and ‖H‖² split by classes: one dimension a class.
    let classes = counts.len();
    let samples: f64 = counts.iter().sum();
    let value = |logits: &DMatrix<f64>, bias: &DVector<f64>| {
        (0..classes)
            .map(|k| {
                let own = logits.column(k) + bias;
                let total: f64 = own.iter().map(|z| (z - own[k]).exp()).sum();
                counts[k] / samples * total.ln()
                    + kappa * counts[k].sqrt() * logits.column(k).norm()
            })
            .sum::<f64>()
    };
    // Proximal gradient with the bias as a smooth block.
    let (mut logits, mut bias) = (DMatrix::zeros(classes, classes), DVector::zeros(classes));
    for _ in 0..60_000 {
        let mut slope = DVector::zeros(classes);
        for k in 0..classes {
            let own = logits.column(k) + &bias;
            let largest = own.max();
            let mut p = own.map(|z: f64| (z - largest).exp());
            p /= p.sum();
            p[k] -= 1.0;
            let step = 1.0;
            slope += &p * (counts[k] / samples);
            // Each column has its own step, in units of its share of the loss.
            let moved = logits.column(k) - &p * step;
            let shrink = 1.0 - step * kappa * samples / counts[k].sqrt() / moved.norm();
            logits.set_column(k, &(moved * shrink.max(0.0)));
        }
        bias -= slope;
    }
    value(&logits, &bias)
}

/// A bias where classes differ in size bends the right angles, so that it is refused.
#[test]
fn a_bias_and_imbalance_break_orthogonality() {
    let case = Case::new(&[40, 20, 10, 5], &[1.0; 4], 0.0, (4e-3, 2e-4), Bias::Unregularized);
    let refused = case.ufm().global_minimum().unwrap_err();
    assert!(matches!(refused, Error::NoClosedForm { .. }) && refused.to_string().contains("bias"));
    let orthogonal = best_orthogonal(&[40.0, 20.0, 10.0, 5.0], (4e-3_f64 * 2e-4).sqrt());
    // One column for all samples of a class: what it finds is a point of the full problem.
    let mut objective = case.objective(4, true);
    objective.labels = DMatrix::identity(4, 4);
    objective.copies = vec![40.0, 20.0, 10.0, 5.0];
    objective.weights = objective.copies.iter().map(|n| n / 75.0).collect();
    let found = objective.lowest(24, 11);
    println!("orthogonal {orthogonal:.8}, found {found:.8}");
    assert!((orthogonal - 0.075_471).abs() < 1e-6, "{orthogonal}");
    assert!((found - 0.074_640).abs() < 1e-6, "{found}");
}

/// Without the constraint the features of balanced classes are a simplex ETF with the same threshold times
/// √(K/(K−1)), and their loss is lower.
#[test]
fn the_constraint_costs_something() {
    let regularization = Regularization::new(&[1e-2], 5e-3).unwrap();
    let free = CrossEntropyUfm::new(4, 5, regularization.clone()).unwrap().simplex_etf().unwrap();
    let minimum =
        NonnegativeUfm::new(ClassCounts::balanced(4, 5).unwrap(), regularization).unwrap();
    let minimum = minimum.global_minimum().unwrap();
    assert!(minimum.loss() > free.loss());
    // α depends on κ√(K/(K−1)) as that of the simplex ETF on κ.
    let factor = 4.0 / 3.0;
    let regularization = Regularization::new(&[1e-2 * factor], 5e-3).unwrap();
    let scaled = CrossEntropyUfm::new(4, 5, regularization).unwrap().simplex_etf().unwrap();
    assert!((scaled.margin() - minimum.margin(0).unwrap()).abs() < 1e-13);
}

#[test]
fn equalizing_weights_equalize() {
    let counts = [400, 90, 12, 12];
    let weights = margin_equalizing_weights(&ClassCounts::new(&counts).unwrap());
    let mean: f64 = weights.iter().zip(&counts).map(|(w, &n)| w * n as f64).sum::<f64>() / 514.0;
    assert!((mean - 1.0).abs() < 1e-14);
    let minimum = Case::new(&counts, &weights, 0.05, (1e-3, 1e-4), Bias::None).minimum();
    let margins: Vec<f64> = (0..4).map(|k| minimum.margin(k).unwrap()).collect();
    assert!(margins.iter().all(|m| (m / margins[0] - 1.0).abs() < 1e-14), "{margins:?}");
    let cosine = minimum.class_outputs().unwrap().cosine(0, 1);
    assert!(cosine.unwrap() < 0.0);
}

/// ω_k → c ω_k with decays → c decays scales the loss by c; n → c n with λ_H → λ_H/c leaves it.
#[test]
fn scalings_leave_the_minimum() {
    let base = Case::new(&[6, 3, 2], &[1.0, 2.0, 3.0], 0.1, (1e-2, 2e-2), Bias::None).minimum();
    let doubled = Case::new(&[6, 3, 2], &[2.0, 4.0, 6.0], 0.1, (2e-2, 4e-2), Bias::None).minimum();
    assert!((doubled.loss() / base.loss() - 2.0).abs() < 1e-14);
    let copied = Case::new(&[18, 9, 6], &[1.0, 2.0, 3.0], 0.1, (1e-2, 2e-2 / 3.0), Bias::None);
    assert!((copied.minimum().loss() / base.loss() - 1.0).abs() < 1e-14);
    let swapped = Case::new(&[2, 6, 3], &[3.0, 1.0, 2.0], 0.1, (1e-2, 2e-2), Bias::None).minimum();
    assert!((swapped.loss() / base.loss() - 1.0).abs() < 1e-15);
    assert!((swapped.margin(0).unwrap() - base.margin(2).unwrap()).abs() < 1e-15);
}

#[test]
fn bad_input_is_refused() {
    let ufm = Case::new(&[6, 3, 2], &[1.0; 3], 0.0, (1e-2, 2e-2), Bias::None).ufm();
    assert!(ufm.clone().with_class_weights(&[1.0, 0.0, 1.0]).is_err());
    assert!(ufm.clone().with_class_weights(&[1.0, 1.0]).is_err());
    for smoothing in [1.0, -0.1, f64::NAN] {
        assert!(ufm.clone().with_label_smoothing(smoothing).is_err());
    }
    assert!(ufm.clone().with_widths(&[2]).unwrap().global_minimum().is_err());
    assert!(ufm.smallest_surviving_count(f64::INFINITY).is_err());
    let minimum = ufm.global_minimum().unwrap();
    let negative = Basis::Given(vec![-DMatrix::<f64>::identity(3, 3)]);
    assert!(minimum.explicit(&negative).unwrap_err().to_string().contains("not negative"));
    assert!(minimum.explicit(&Basis::Given(vec![DMatrix::identity(3, 2)])).is_err());
    assert!(minimum.trailing_gram(2).is_err() && minimum.singular_values(0..=1).is_err());
    let two = Regularization::new(&[1e-3; 2], 1e-3).unwrap();
    assert!(NonnegativeUfm::new(ClassCounts::balanced(3, 2).unwrap(), two).is_err());
}
