//! The published closed forms of plain and extended models with the squared loss, each as its paper
//! states it, against the general minimum; and quasi-interpolation.

use crate::support::lbfgs::multi_start;
use crate::support::objective::MseObjective;
use nalgebra::DMatrix;
use neural_collapse::models::squared::QuasiInterpolation;
use neural_collapse::{
    Bias, ClassCounts, ClassMatrix, GlobalMinimum, Prediction, Regularization, Ufm,
};

fn balanced(
    classes: usize,
    size: u64,
    weight_decays: &[f64],
    feature_decay: f64,
    bias: Bias,
) -> GlobalMinimum {
    let regularization =
        Regularization::new(weight_decays, feature_decay).unwrap().with_bias(bias).unwrap();
    let counts = ClassCounts::balanced(classes, size).unwrap();
    Ufm::new(counts, regularization).unwrap().global_minimum().unwrap()
}

fn close(got: &ClassMatrix, expected: &DMatrix<f64>) {
    let got = got.to_dense().unwrap();
    let error = (&got - expected).norm();
    assert!(error <= 1e-13 * expected.norm(), "{error:e}: {got}{expected}");
}

fn eye(classes: usize) -> DMatrix<f64> {
    DMatrix::identity(classes, classes)
}

fn ones(classes: usize) -> DMatrix<f64> {
    DMatrix::from_element(classes, classes, 1.0)
}

const PLAIN: [(usize, u64, f64, f64); 5] = [
    (2, 5, 1e-3, 2e-3),
    (4, 100, 5e-3, 5e-4),
    (10, 20, 1e-4, 1e-4),
    (3, 7, 0.04, 0.03),
    (5, 40, 0.1, 0.1), // collapsed
];

/// Tirer & Bruna (ICML 2022), bias-free plain UFM. With c = K√(n λ_W λ_H) ≤ 1: orthogonal class means
/// of ‖h‖² = (1 − c)√(λ_W/(n λ_H)), w_k = √(n λ_H/λ_W) h_k; with c > 1 everything is zero.
#[test]
fn tirer_and_bruna_without_bias() {
    for (classes, size, weight, feature) in PLAIN {
        let n = size as f64;
        let c = classes as f64 * (n * weight * feature).sqrt();
        let rho = (1.0 - c).max(0.0) * (weight / (n * feature)).sqrt();
        let minimum = balanced(classes, size, &[weight], feature, Bias::None);
        close(&minimum.class_means_gram().unwrap(), &(eye(classes) * rho));
        close(&minimum.trailing_gram(1).unwrap(), &(eye(classes) * rho * (n * feature / weight)));
        close(&minimum.class_outputs().unwrap(), &(eye(classes) * (1.0 - c).max(0.0)));
    }
}

/// The same with an unregularized bias: b = 1/K, means centered at zero, ‖h‖² = (1 − 1/K) ρ and
/// h_k·h_l = −ρ/K with the same ρ, so a simplex ETF.
#[test]
fn tirer_and_bruna_with_a_free_bias() {
    for (classes, size, weight, feature) in PLAIN {
        let (k, n) = (classes as f64, size as f64);
        let rho =
            (1.0 - k * (n * weight * feature).sqrt()).max(0.0) * (weight / (n * feature)).sqrt();
        let minimum = balanced(classes, size, &[weight], feature, Bias::Unregularized);
        let expected = eye(classes) * rho - ones(classes) * (rho / k);
        close(&minimum.class_means_gram().unwrap(), &expected);
        close(&minimum.trailing_gram(1).unwrap(), &(expected * (n * feature / weight)));
        assert!(minimum.bias().unwrap().iter().all(|b| (b - 1.0 / k).abs() < 1e-15));
    }
}

/// Tirer & Bruna's extended UFM, two linear layers without a bias. All of W₂W₁, H are orthogonal
/// frames, balanced; the scale is where the derivative of the paper's scalar problem vanishes, which
/// is found here by bisection in the singular value s of W₂W₁H̄ (s = 1 fits).
#[test]
fn tirer_and_bruna_with_two_linear_layers() {
    for (classes, size, first, second, feature) in
        [(4, 25, 1e-3, 2e-3, 5e-4), (10, 10, 1e-4, 1e-4, 1e-4), (3, 50, 5e-4, 5e-3, 1e-3)]
    {
        let (k, n) = (classes as f64, size as f64);
        // Per class (1 − s)²/(2K) + 3/2 (λ₁ λ₂ nλ_H s²)^(1/3), the penalties balanced (AM–GM).
        let product: f64 = first * second * feature * n;
        let slope = |s: f64| (s - 1.0) / k + product.cbrt() * s.powf(-1.0 / 3.0);
        let (mut low, mut high) = (0.25_f64, 1.0);
        for _ in 0..100 {
            let middle = (low + high) / 2.0;
            if slope(middle) < 0.0 { low = middle } else { high = middle }
        }
        let energy = (product * low * low).cbrt();
        let minimum = balanced(classes, size, &[first, second], feature, Bias::None);
        close(&minimum.class_outputs().unwrap(), &(eye(classes) * low));
        close(&minimum.trailing_gram(1).unwrap(), &(eye(classes) * (energy / second)));
        let both = eye(classes) * (energy * energy / (first * second));
        close(&minimum.trailing_gram(2).unwrap(), &both);
        close(&minimum.class_means_gram().unwrap(), &(eye(classes) * (energy / (n * feature))));
        let loss = k * ((1.0 - low).powi(2) / (2.0 * k) + 1.5 * energy);
        assert!((minimum.loss() / loss - 1.0).abs() < 1e-13);
    }
}

/// Zhou et al. (ICML 2022), plain UFM with a bias penalty λ_b ≥ 0, by singular values of WH: on 1^⊥ a
/// soft threshold at N√(λ_W λ_H), on 1 the same with (1 + λ_b)/λ_b times that, so that up to
/// λ_b/(1 + λ_b) = K√(n λ_W λ_H) there is a simplex ETF, and beyond it something between it and an
/// orthogonal frame. w_k = √(n λ_H/λ_W) h_k always; b = b* 1.
#[test]
fn zhou_et_al_with_a_bias_penalty() {
    for (classes, size, weight, feature) in PLAIN {
        let (k, n) = (classes as f64, size as f64);
        let root = (n * weight * feature).sqrt();
        for bias_decay in [0.0, 1e-3, 0.02, 0.5 * k * root, k * root, 0.3, 1.0, 50.0, 1e6] {
            let bias =
                if bias_decay == 0.0 { Bias::Unregularized } else { Bias::Regularized(bias_decay) };
            let minimum = balanced(classes, size, &[weight], feature, bias);
            let contrast = (1.0 - k * root).max(0.0);
            let shared = (1.0 - k * root * (1.0 + bias_decay.recip())).max(0.0);
            let outputs =
                (eye(classes) - ones(classes) / k) * contrast + ones(classes) * (shared / k);
            close(&minimum.class_outputs().unwrap(), &outputs);
            close(&minimum.trailing_gram(1).unwrap(), &(&outputs * (n * feature / weight).sqrt()));
            close(
                &minimum.class_means_gram().unwrap(),
                &(&outputs * (weight / (n * feature)).sqrt()),
            );
            let b = (1.0 - shared) / (k * (1.0 + bias_decay));
            assert!(minimum.bias().unwrap().iter().all(|got| (got / b - 1.0).abs() < 1e-13));
            let etf = bias_decay / (1.0 + bias_decay) <= k * root;
            assert_eq!(
                etf,
                shared == 0.0 || (bias_decay / (1.0 + bias_decay) - k * root).abs() < 1e-15
            );
        }
    }
}

/// Outputs of the global minimum, bias included, are quasi-interpolating, and decay ↔ ε both ways.
#[test]
fn quasi_interpolation_and_decay_determine_each_other() {
    for depth in [1, 2, 3, 6, 50] {
        for classes in [2, 3, 10, 1000] {
            let largest = (1.0 - 1.0 / classes as f64) / f64::from(depth);
            for gap in [1e-9, 1e-3, 0.3 * largest, 0.9 * largest, (1.0 - 1e-9) * largest] {
                let wanted = QuasiInterpolation::new(classes, gap).unwrap();
                let decay = wanted.decay(depth as usize, 20 * classes as u64).unwrap();
                let decays = vec![decay; depth as usize];
                let minimum = balanced(classes, 20, &decays, decay, Bias::Unregularized);
                let reached = minimum.quasi_interpolation().unwrap();
                assert_eq!(QuasiInterpolation::new(classes, reached.gap()).unwrap(), reached);
                // Near the collapse ε is ill-conditioned in the decay (like a square root for M ≥ 2).
                let tolerance = if gap > 0.95 * largest { 1e-9 } else { 1e-12 };
                assert!(
                    (reached.gap() / gap - 1.0).abs() < tolerance,
                    "M = {depth}, K = {classes}: {gap:e}, {:e}",
                    reached.gap()
                );
            }
        }
    }
    let collapsed = balanced(4, 10, &[1.0, 1.0], 1.0, Bias::Unregularized);
    assert_eq!(collapsed.quasi_interpolation().unwrap().gap(), 0.75);
    assert_eq!(balanced(4, 10, &[1e-3], 1e-3, Bias::None).quasi_interpolation(), None);
}

#[test]
fn quasi_interpolating_outputs_are_those_of_the_minimum() {
    let (classes, size, decays) = (5, 12, [1e-3, 2e-3]);
    let minimum = balanced(classes, size, &decays, 5e-4, Bias::Unregularized);
    let predicted = minimum.quasi_interpolation().unwrap();
    let bias = 1.0 / classes as f64;
    let outputs = minimum.class_outputs().unwrap().to_dense().unwrap().add_scalar(bias);
    close(&predicted.class_outputs(), &outputs);
    let margin = outputs[(0, 0)] - outputs[(1, 0)];
    assert!((predicted.margin() - margin).abs() < 1e-15);
    // And of a numerical one that knows none of this.
    let objective = MseObjective::from_counts(
        &[size as usize; 5],
        &decays,
        5e-4,
        Bias::Unregularized,
        &[classes, classes],
    );
    let point = objective.unpack(&multi_start(&objective, 4, 3).best.parameters);
    let product = &point.weights[1] * &point.weights[0] * point.features.column(0) + &point.bias;
    let gap = predicted.gap();
    assert!((product[0] - (1.0 - gap)).abs() < 1e-7, "{product}, {gap}");
    for output in product.iter().skip(1) {
        assert!((output - gap / 4.0).abs() < 1e-7, "{product}, {gap}");
    }
}

#[test]
fn bad_gaps_are_named() {
    let error =
        |result: neural_collapse::Result<QuasiInterpolation>| result.unwrap_err().to_string();
    assert_eq!(error(QuasiInterpolation::new(1, 0.1)), "`classes` is 1, but must be at least 2");
    assert!(error(QuasiInterpolation::new(4, 0.76)).starts_with("`gap` is 0.76"));
    assert!(QuasiInterpolation::new(4, f64::NAN).is_err());
    let gap = QuasiInterpolation::new(4, 0.4).unwrap();
    assert!(gap.decay(2, 0).is_err() && gap.decay(0, 5).is_err());
    assert!(gap.decay(2, 5).is_err() && gap.decay(1, 5).is_ok()); // 0.4 > 0.75/2
}
