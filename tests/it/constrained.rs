//! Objectives that constrain features or the head, against their definitions and central differences along what the
//! constraints allow.

use nalgebra::{DMatrix, DVector};
use neural_collapse::audit::{AuditOptions, AuditSums};
use neural_collapse::objective::{Objective, ObjectiveSums};
use neural_collapse::problem::{LossFunction, TrainingObjective};
use neural_collapse::{ClassStatistics, Error, Features, LinearHead};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

const LABELS: [usize; 9] = [0, 2, 1, 0, 0, 1, 0, 2, 0];
const COUNTS: [f64; 3] = [5.0, 2.0, 2.0];
const SAMPLES: f64 = LABELS.len() as f64;

/// 1/N Σ CE(Wh, (1−δ)e_y + δ1/K) from the definition.
fn cross_entropy(weight: &DMatrix<f64>, features: &DMatrix<f64>, smoothing: f64) -> f64 {
    let outputs = weight * features;
    let losses = outputs.column_iter().zip(LABELS).map(|(outputs, label)| {
        let sum = outputs.map(f64::exp).sum();
        let target = |k: usize| smoothing / 3.0 + if k == label { 1.0 - smoothing } else { 0.0 };
        (0..3).map(|k| -target(k) * (outputs[k].exp() / sum).ln()).sum::<f64>()
    });
    losses.sum::<f64>() / SAMPLES
}

fn normalized(vectors: &DMatrix<f64>) -> DMatrix<f64> {
    let mut vectors = vectors.clone();
    vectors.column_iter_mut().for_each(|mut vector| {
        vector.normalize_mut();
    });
    vectors
}

/// The gradient of `f` at a matrix, by central differences.
fn gradient(at: &DMatrix<f64>, f: impl Fn(&DMatrix<f64>) -> f64) -> DMatrix<f64> {
    let step = 1e-5;
    DMatrix::from_fn(at.nrows(), at.ncols(), |row, column| {
        let moved = |by: f64| {
            let mut moved = at.clone();
            moved[(row, column)] += by;
            f(&moved)
        };
        (moved(step) - moved(-step)) / (2.0 * step)
    })
}

/// What is left of a vector across another one.
fn across(vector: &DMatrix<f64>, normal: &DMatrix<f64>) -> f64 {
    (vector - normal * (vector.dot(normal) / normal.norm_squared())).norm()
}

fn random(rows: usize, columns: usize, rng: &mut SmallRng) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |_, _| rng.random_range(-1.0..1.0))
}

fn evaluated(
    features: &DMatrix<f64>,
    layers: Vec<DMatrix<f64>>,
    objective: &TrainingObjective,
) -> Objective {
    let data = Features::from_sample_columns(features).unwrap().with_labels(&LABELS, 3).unwrap();
    let head = LinearHead::new(layers, None).unwrap();
    let found = Objective::new(&data, &head, objective).unwrap();
    // In pieces that are merged, as they are and by way of what workers send.
    let empty =
        ObjectiveSums::new(&ClassStatistics::new(&data).unwrap(), &head, objective).unwrap();
    let mut merged = empty.clone();
    for (index, range) in [0..2, 2..3, 3..9].into_iter().enumerate() {
        let mut piece = empty.clone();
        let rows = features.columns_range(range.clone()).into_owned();
        let piece_of = Features::from_sample_columns(&rows).unwrap();
        piece.accumulate(&piece_of.with_labels(&LABELS[range], 3).unwrap()).unwrap();
        match index {
            0 => merged.merge(&piece).unwrap(),
            _ => merged.merge_part(&piece.part()).unwrap(),
        }
    }
    let merged = merged.objective().unwrap();
    let pairs = [(merged.loss(), found.loss()), (merged.gradient_norm, found.gradient_norm)];
    for (merged, found) in pairs {
        assert!((merged - found).abs() < 1e-14 * (1.0 + found), "{merged} {found}");
    }
    found
}

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() < tolerance, "{found} {expected}");
}

/// Vectors of any lengths count as those of length 1, and move across themselves.
#[test]
fn vectors_of_length_one() {
    let mut rng = SmallRng::seed_from_u64(21);
    let objective = TrainingObjective::UnitVectors {
        loss_function: LossFunction::CrossEntropy,
        temperature: 0.3,
        nonnegative_features: false,
    };
    for _ in 0..10 {
        let (weight, features) = (random(3, 4, &mut rng), random(4, 9, &mut rng));
        let (rows, columns) = (normalized(&weight.transpose()), normalized(&features));
        let loss = |rows: &DMatrix<f64>, columns: &DMatrix<f64>| {
            cross_entropy(&(normalized(rows).transpose() / 0.3), &normalized(columns), 0.0)
        };
        let found = evaluated(&features, vec![weight], &objective);
        close(found.loss(), loss(&rows, &columns), 1e-14);
        let of_rows = gradient(&rows, |rows| loss(rows, &columns)).norm();
        let of_features = gradient(&columns, |columns| loss(&rows, columns)).norm();
        close(found.gradient_norm, of_rows.hypot(of_features), 1e-8);
    }
}

/// Features and the product of the layers move along the surfaces where the budgets are as they are.
#[test]
fn budgets_that_are_used_up() {
    let mut rng = SmallRng::seed_from_u64(22);
    let objective = TrainingObjective::Budgeted {
        loss_function: LossFunction::CrossEntropy,
        weight_energy: 1.0,
        feature_energy: 1.0,
    };
    for _ in 0..10 {
        let layers = vec![random(2, 4, &mut rng), random(3, 2, &mut rng)];
        let (product, features) = (&layers[1] * &layers[0], random(4, 9, &mut rng));
        let found = evaluated(&features, layers, &objective);
        close(found.loss(), cross_entropy(&product, &features, 0.0), 1e-14);
        let weights = gradient(&product, |product| cross_entropy(product, &features, 0.0));
        let of_features = gradient(&features, |features| cross_entropy(&product, features, 0.0));
        let mut normal = features.clone();
        for (mut column, label) in normal.column_iter_mut().zip(LABELS) {
            column /= COUNTS[label];
        }
        let expected = across(&weights, &product).hypot(across(&of_features, &normal));
        close(found.gradient_norm, expected, 1e-9);
    }
}

/// In front of a head that is not trained only features move, and smoothed labels count.
#[test]
fn heads_that_are_not_trained() {
    let mut rng = SmallRng::seed_from_u64(23);
    for label_smoothing in [0.0, 0.2] {
        let objective = TrainingObjective::FixedSimplexHead {
            classifier_norm_squared: 1.0,
            feature_decay: 0.03,
            label_smoothing,
        };
        let (weight, features) = (random(3, 4, &mut rng), random(4, 9, &mut rng));
        let loss = |features: &DMatrix<f64>| {
            cross_entropy(&weight, features, label_smoothing) + 0.015 * features.norm_squared()
        };
        let found = evaluated(&features, vec![weight.clone()], &objective);
        close(found.loss(), loss(&features), 1e-14);
        close(found.gradient_norm, gradient(&features, loss).norm(), 1e-9);
    }
}

/// Models without a bias have none to be measured, and products of unit vectors are those of one layer.
#[test]
fn heads_of_another_form_are_refused() {
    let features = DMatrix::from_element(3, 9, 1.0);
    let data = Features::from_sample_columns(&features).unwrap().with_labels(&LABELS, 3).unwrap();
    let fixed = TrainingObjective::FixedSimplexHead {
        classifier_norm_squared: 1.0,
        feature_decay: 0.03,
        label_smoothing: 0.0,
    };
    let unit = TrainingObjective::UnitVectors {
        loss_function: LossFunction::CrossEntropy,
        temperature: 0.3,
        nonnegative_features: false,
    };
    let layer = DMatrix::identity(3, 3);
    let biased = LinearHead::new(vec![layer.clone()], Some(DVector::zeros(3))).unwrap();
    let deep = LinearHead::new(vec![layer.clone(), layer], None).unwrap();
    for (head, objective, is_refused) in [
        (&biased, &fixed, true),
        (&biased, &unit, true),
        (&deep, &unit, true),
        (&deep, &fixed, false),
    ] {
        let found = Objective::new(&data, head, objective);
        assert_eq!(matches!(found, Err(Error::Shape { .. })), is_refused, "{found:?}");
    }
}

/// The accuracy is that of the head as it is, whatever lengths the objective gives to its rows; a vector of zeros stays zero.
#[test]
fn decisions_are_those_of_the_head() {
    // The first row is long: its output is the largest for all samples, but its cosine is not.
    let weight = DMatrix::from_row_slice(3, 3, &[9.0, 9.0, 9.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    let features = DMatrix::<f64>::identity(3, 3).select_columns(&LABELS);
    let data = Features::from_sample_columns(&features).unwrap().with_labels(&LABELS, 3).unwrap();
    let head = LinearHead::new(vec![weight], None).unwrap();
    let objective = TrainingObjective::UnitVectors {
        loss_function: LossFunction::CrossEntropy,
        temperature: 1.0,
        nonnegative_features: false,
    };
    let options = AuditOptions::default().with_objective(objective);
    let mut sums = AuditSums::new(ClassStatistics::new(&data).unwrap(), head, &options).unwrap();
    sums.accumulate(&data).unwrap();
    let measured = sums.measurement().unwrap();
    assert_eq!(measured.accuracy(), 5.0 / 9.0);
    let cosine = 1.0 / 3.0_f64.sqrt();
    let loss = |own: f64, other: f64| -(own.exp() / (cosine.exp() + other.exp() + 1.0)).ln();
    let losses = 5.0 * loss(cosine, 0.0) + 2.0 * loss(1.0, 1.0) + 2.0 * loss(0.0, 0.0);
    close(measured.objective().unwrap().loss(), losses / 9.0, 1e-14);
}
