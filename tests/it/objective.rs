//! The objective with cross-entropy against naive sums and central differences.

use nalgebra::{DMatrix, DVector, dmatrix};
use neural_collapse::measure::PooledScatter;
use neural_collapse::objective::{LeastSquaresSplit, Objective, ObjectiveSums};
use neural_collapse::problem::{LossFunction, TrainingObjective};
use neural_collapse::{Bias, ClassStatistics, Error, Features, LinearHead, Regularization};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

const LABELS: [usize; 5] = [0, 2, 1, 1, 0];

/// W₁ (2×3), W₂ (3×2), b (3) and H (3×5), one number after the other.
const NUMBERS: usize = 6 + 6 + 3 + 15;

fn regularization() -> Regularization {
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
    Objective::cross_entropy(&data, &head, &regularization()).unwrap()
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

/// Random features, labels of classes of different sizes, and a head.
fn network(rng: &mut SmallRng, dimension: usize, has_bias: bool) -> (DMatrix<f64>, LinearHead) {
    let mut matrix =
        |rows, columns| DMatrix::from_fn(rows, columns, |_, _| rng.random_range(-1.0..1.0));
    let features = matrix(dimension, SAMPLES).add_scalar(0.5);
    let bias = has_bias.then(|| matrix(3, 1).column(0).into_owned());
    (features, LinearHead::new(vec![matrix(3, dimension)], bias).unwrap())
}

const SAMPLES: usize = 17;

/// Sample by sample: more of class 0 than of class 2.
fn labels() -> Vec<usize> {
    (0..SAMPLES).map(|sample| [0, 1, 0, 2, 1, 0, 0][sample % 7]).collect()
}

/// The parts add up to the objective at every head; the best head is where the objective has no gradient in the head; and
/// deviations and class means cost what they cost alone.
#[test]
fn the_squared_loss_splits_at_the_best_head() {
    let (mut rng, labels) = (SmallRng::seed_from_u64(11), labels());
    for bias in [Bias::None, Bias::Unregularized, Bias::Regularized(0.03)] {
        for dimension in [2, 6, 30] {
            let (features, head) = network(&mut rng, dimension, bias != Bias::None);
            let regularization =
                Regularization::new(&[0.02], 0.01).unwrap().with_bias(bias).unwrap();
            let data = Features::from_sample_columns(&features).unwrap();
            let data = data.with_labels(&labels, 3).unwrap();
            let mut scatter = PooledScatter::empty(dimension, 3).unwrap();
            scatter.accumulate(&data).unwrap();
            let loss = |head: &LinearHead| {
                let whole = Objective::squared_error(&data, head, &regularization).unwrap();
                whole.loss() - whole.feature_penalty
            };
            let split = LeastSquaresSplit::new(&scatter, &head, &regularization).unwrap();
            assert!((split.loss() - loss(&head)).abs() < 1e-13, "{bias:?} {dimension}");
            let best = LeastSquaresSplit::new(&scatter, &split.best_head, &regularization).unwrap();
            assert!(best.head_distance < 1e-25 && best.head_distance >= 0.0);
            assert!((best.loss() - loss(&split.best_head)).abs() < 1e-13);
            assert!((loss(&head) - best.loss() - split.head_distance).abs() < 1e-13);
            // Every sample at its class mean.
            let means = scatter.statistics().class_means().unwrap();
            let collapsed = DMatrix::from_fn(dimension, SAMPLES, |i, j| means[(i, labels[j])]);
            let collapsed = Features::from_sample_columns(&collapsed).unwrap();
            let collapsed = collapsed.with_labels(&labels, 3).unwrap();
            let at_means =
                Objective::squared_error(&collapsed, &split.best_head, &regularization).unwrap();
            assert!((at_means.data_term - split.class_means).abs() < 1e-13);
            let penalty = at_means.weight_penalty + at_means.bias_penalty;
            assert!((penalty - split.penalty).abs() < 1e-13);
            let all = Objective::squared_error(&data, &split.best_head, &regularization).unwrap();
            let within = all.data_term - at_means.data_term;
            assert!((within - split.within_classes).abs() < 1e-13);
            // No head nearby is better.
            for _ in 0..20 {
                let (_, step) = network(&mut rng, dimension, bias != Bias::None);
                let near = &split.best_head.weights()[0] + &step.weights()[0] * 1e-3;
                let shifted =
                    split.best_head.bias().zip(step.bias()).map(|(b, step)| b + step * 1e-3);
                assert!(loss(&LinearHead::new(vec![near], shifted).unwrap()) > best.loss());
            }
        }
    }
}

#[test]
fn what_cannot_be_split_is_refused() {
    let (features, head) = network(&mut SmallRng::seed_from_u64(3), 4, false);
    let labels = labels();
    let data = Features::from_sample_columns(&features).unwrap().with_labels(&labels, 3).unwrap();
    let mut scatter = PooledScatter::empty(4, 3).unwrap();
    let regularization = Regularization::new(&[0.02], 0.01).unwrap();
    let empty = LeastSquaresSplit::new(&scatter, &head, &regularization);
    assert!(matches!(empty, Err(Error::EmptyClass { .. })), "{empty:?}");
    scatter.accumulate(&data).unwrap();
    let deep = LinearHead::new(vec![DMatrix::identity(4, 4), head.weights()[0].clone()], None);
    let two = Regularization::new(&[0.02; 2], 0.01).unwrap();
    for (head, regularization) in [
        (&deep.unwrap(), &two),
        (&head, &two),
        (&head, &regularization.with_bias(Bias::Unregularized).unwrap()),
    ] {
        let refused = LeastSquaresSplit::new(&scatter, head, regularization);
        assert!(matches!(refused, Err(Error::Shape { .. })), "{refused:?}");
    }
}

/// Squares that are in range are given, those that are not are refused with their size.
#[test]
fn norms_of_layers_of_every_magnitude() {
    let features = Features::from_row_major(&[1.0, 2.0], 2, 1).unwrap();
    let data = features.with_labels(&[0, 1], 2).unwrap();
    let statistics = ClassStatistics::new(&data).unwrap();
    for (size, in_range) in [(1e-150, true), (1.0, true), (1e153, true), (1e160, false)] {
        let layers = vec![dmatrix![3.0; 4.0], dmatrix![1.0, 0.0; 2.0, -2.0] * size];
        let head = LinearHead::new(layers, None).unwrap();
        let data_term = TrainingObjective::DataTerm { loss_function: LossFunction::CrossEntropy };
        let sums = ObjectiveSums::new(&statistics, &head, &data_term).unwrap();
        match sums.weight_norms_squared() {
            Ok(found) => {
                assert!(in_range && found[0] == 25.0);
                assert!((found[1] / (9.0 * size * size) - 1.0).abs() < 1e-14, "{found:?}");
            }
            Err(Error::Unrepresentable { log10, .. }) => {
                let expected = 2.0 * (3.0 * size).log10();
                assert!(!in_range && (log10 - expected).abs() < 1e-12, "{log10}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}
