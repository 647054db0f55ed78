//! The objective with cross-entropy against naive sums and central differences.

use nalgebra::{DMatrix, DVector};
use neural_collapse::objective::Objective;
use neural_collapse::{Bias, Features, LinearHead, Regularization};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

const LABELS: [usize; 5] = [0, 2, 1, 1, 0];

/// W₁ (2×3), W₂ (3×2), b (3) and H (3×5), one number after the other.
const NUMBERS: usize = 6 + 6 + 3 + 15;

fn penalties() -> Regularization {
    let regularization = Regularization::new(&[0.02, 0.03], 0.01).unwrap();
    regularization.with_bias(Bias::Regularized(0.05)).unwrap()
}

fn objective(numbers: &[f64]) -> Objective {
    let matrix = |range: core::ops::Range<usize>, rows: usize| {
        DMatrix::from_column_slice(rows, range.len() / rows, &numbers[range])
    };
    let weights = vec![matrix(0..6, 2), matrix(6..12, 3)];
    let bias = DVector::from_column_slice(&numbers[12..15]);
    let head = LinearHead::new(weights, Some(bias)).unwrap();
    let data = Features::from_row_major(&numbers[15..], LABELS.len(), 3).unwrap();
    let data = data.with_labels(&LABELS, 3).unwrap();
    Objective::cross_entropy(&data, &head, &penalties()).unwrap()
}

/// The mean of −ln of the probability of the label, from the definition.
fn naive_data_term(numbers: &[f64]) -> f64 {
    let first = DMatrix::from_column_slice(2, 3, &numbers[..6]);
    let second = DMatrix::from_column_slice(3, 2, &numbers[6..12]);
    let losses = LABELS.iter().enumerate().map(|(sample, &label)| {
        let feature = DVector::from_column_slice(&numbers[15 + 3 * sample..18 + 3 * sample]);
        let bias = DVector::from_column_slice(&numbers[12..15]);
        let outputs = &second * (&first * feature) + bias;
        outputs.map(f64::exp).sum().ln() - outputs[label]
    });
    losses.sum::<f64>() / LABELS.len() as f64
}

#[test]
fn cross_entropy_agrees_with_naive_sums_and_central_differences() {
    let mut rng = SmallRng::seed_from_u64(1);
    for _ in 0..20 {
        let numbers: Vec<f64> = (0..NUMBERS).map(|_| rng.random_range(-1.0..1.0)).collect();
        let found = objective(&numbers);
        let expected = naive_data_term(&numbers);
        assert!((found.data_term - expected).abs() < 1e-14, "{} {expected}", found.data_term);
        let step = 1e-5;
        let derivative = |index: usize| {
            let moved = |by: f64| {
                let mut numbers = numbers.clone();
                numbers[index] += by;
                objective(&numbers).loss()
            };
            (moved(step) - moved(-step)) / (2.0 * step)
        };
        let norm = DVector::from_fn(NUMBERS, |index, _| derivative(index)).norm();
        // Central differences are off by h² f'''/6 and ε/h.
        assert!((found.gradient_norm - norm).abs() < 1e-9, "{} {norm}", found.gradient_norm);
    }
}

/// Losses far below ε and outputs beyond the range of exp are exact.
#[test]
fn extreme_outputs_do_not_overflow_or_vanish() {
    for (outputs, label, expected) in [
        ([50.0, 0.0, 0.0], 0, 2.0 * (-50.0_f64).exp()),
        ([2000.0, 0.0, 0.0], 0, 0.0),
        ([2000.0, 0.0, 0.0], 1, 2000.0),
    ] {
        let head = LinearHead::new(vec![DMatrix::from_column_slice(3, 1, &outputs)], None).unwrap();
        let data = Features::from_row_major(&[1.0], 1, 1).unwrap();
        let data = data.with_labels(core::slice::from_ref(&label), 3);
        let Ok(data) = data else { panic!("{data:?}") };
        let regularization = Regularization::new(&[1.0], 1.0).unwrap();
        let found = Objective::cross_entropy(&data, &head, &regularization).unwrap().data_term;
        assert!((found - expected).abs() <= 4.0 * f64::EPSILON * expected, "{found} {expected}");
    }
}
