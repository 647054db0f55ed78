//! The value of the objective at explicit matrices, and its first-order conditions: a vanishing gradient for decays, a
//! gradient along the normals of the constraints for budgets, unit vectors and non-negative features.

use nalgebra::DMatrix;
use neural_collapse::LinearHead;
use neural_collapse::problem::{Bias, LossFunction, Regularization, TrainingObjective};

use super::data_term::{DataTerm, Held, Slopes};
use super::margins;
use super::subject::{Subject, assert_close};

/// How large a gradient may be, of the decays' part of it. Programs that are proved within a relative gap of 1e-11 have a
/// gradient of its root, or less.
const STATIONARY: f64 = 1e-7;

/// Holds loss and first-order conditions of a prediction's objective against the layers and the features of all samples.
pub fn check(subject: &Subject<'_>, head: &LinearHead, features: &DMatrix<f64>) {
    let name = &subject.name;
    let objective = subject.prediction.training_objective();
    let term = DataTerm::new(&objective, subject.prediction.classes(), &subject.held);
    let Some(term) = term else {
        assert!(objective.is_constraint(), "{name}: nothing holds {objective:?}");
        return margins::check(subject, &head.weights()[0], features, &objective);
    };
    let slopes = term.slopes(head, features);
    let penalties = match &objective {
        TrainingObjective::Budgeted { weight_energy, feature_energy, .. } => {
            budgets(
                subject,
                (&head.weights()[0], features),
                &slopes,
                (*weight_energy, *feature_energy),
            );
            0.0
        }
        TrainingObjective::FixedSimplexHead { classifier_norm_squared, feature_decay, .. } => {
            fixed_head(subject, &head.weights()[0], *classifier_norm_squared);
            let gradient = &slopes.features + features * *feature_decay;
            assert_small(gradient.norm(), features.norm() * feature_decay, name);
            feature_decay / 2.0 * features.norm_squared()
        }
        TrainingObjective::UnitVectors { loss_function, nonnegative_features, .. } => {
            assert_eq!(*loss_function, LossFunction::CrossEntropy, "{name}");
            assert!(!nonnegative_features, "{name}");
            let (rows, of_rows) = (head.weights()[0].transpose(), &slopes.layers[0]);
            unit_vectors(&rows, &of_rows.transpose(), false, name);
            unit_vectors(features, &slopes.features, false, name);
            0.0
        }
        objective => {
            let is_nonnegative = matches!(
                objective,
                TrainingObjective::WeightedCrossEntropy { nonnegative_features: true, .. }
            );
            let regularization = objective.regularization().expect(name);
            decays(subject, (head, features), &slopes, (regularization, is_nonnegative))
        }
    };
    assert_close(slopes.value + penalties, subject.prediction.loss(), 1e-11, name);
}

/// How large a gradient may be, for the size of the decays' part of it. Where all factors are zero the bias alone is
/// solved for, a difference of frequencies, which has a scale of its own.
pub fn assert_small(norm: f64, scale: f64, name: &str) {
    let allowed = STATIONARY * if scale == 0.0 { 1e-4 } else { scale.max(1e-6) };
    assert!(norm <= allowed, "{name}: a gradient of {norm:e}, for {scale:e}");
}

/// ∂ℓ + λW = 0 for all layers, the features and the bias; the sum of the penalties.
fn decays(
    subject: &Subject<'_>,
    (head, features): (&LinearHead, &DMatrix<f64>),
    slopes: &Slopes,
    (regularization, is_nonnegative): (&Regularization, bool),
) -> f64 {
    let name = &subject.name;
    let feature_decay = regularization.feature_decay();
    // λ‖W‖² is the same for all factors.
    let energy = feature_decay * features.norm_squared();
    let mut penalties = energy / 2.0;
    let mut of_features = &slopes.features + features * feature_decay;
    if is_nonnegative {
        // What is zero may only be pushed below zero.
        assert!(features.min() >= 0.0, "{name}");
        of_features.zip_apply(features, |slope, entry| {
            *slope = if entry > 0.0 { *slope } else { slope.min(0.0) };
        });
    }
    assert_small(of_features.norm(), (feature_decay * energy).sqrt(), name);
    let layers = head.weights().iter().zip(&slopes.layers).zip(regularization.weight_decays());
    for ((weight, slope), &decay) in layers {
        assert_small((slope + weight * decay).norm(), (decay * energy).sqrt(), name);
        penalties += decay / 2.0 * weight.norm_squared();
    }
    let decay = match regularization.bias() {
        Bias::None => return penalties,
        Bias::Unregularized => 0.0,
        Bias::Regularized(decay) => decay,
    };
    let bias = head.bias().expect(name);
    let of_bias = &slopes.bias + bias * decay;
    let all_decays = regularization.weight_decays().iter().copied().chain([feature_decay]);
    let least = all_decays.fold(f64::INFINITY, f64::min);
    assert_small(of_bias.norm(), (least * energy).sqrt(), name);
    penalties + decay / 2.0 * bias.norm_squared()
}

/// Both budgets are spent, and a step along the gradient is one along W and along H with n_k for the weight of ‖h_k‖².
fn budgets(
    subject: &Subject<'_>,
    (weight, features): (&DMatrix<f64>, &DMatrix<f64>),
    slopes: &Slopes,
    (weight_energy, feature_energy): (f64, f64),
) {
    let name = &subject.name;
    let Held::Labels(labels) = &subject.held else { panic!("{name} has no classes") };
    let counts = subject.prediction.counts().expect(name);
    let mut features = features.clone();
    let classes = counts.classes() as f64;
    for (mut column, &label) in features.column_iter_mut().zip(labels) {
        column /= (counts.count(label).unwrap() as f64).sqrt();
    }
    assert_close(weight.norm_squared() / classes, weight_energy, 1e-9, name);
    assert_close(features.norm_squared() / classes, feature_energy, 1e-9, name);
    let mut of_features = slopes.features.clone();
    for (mut column, &label) in of_features.column_iter_mut().zip(labels) {
        column *= (counts.count(label).unwrap() as f64).sqrt();
    }
    for (vector, slope) in [(weight, &slopes.layers[0]), (&features, &of_features)] {
        let multiplier = -slope.dot(vector) / vector.norm_squared();
        assert!(multiplier > 0.0, "{name}: {multiplier}");
        let across = slope + vector * multiplier;
        let share = across.norm() / slope.norm();
        // The logits of a convex program are as near as the root of its gap, 1e-11 of the loss.
        assert!(share <= 1e-5, "{name}: {share:e} of the gradient is across the budget");
    }
}

/// The head is a simplex ETF with rows of this length.
fn fixed_head(subject: &Subject<'_>, weight: &DMatrix<f64>, norm_squared: f64) {
    let gram = weight * weight.transpose();
    let cosine = -1.0 / (gram.nrows() as f64 - 1.0);
    let simplex = DMatrix::from_fn(gram.nrows(), gram.nrows(), |i, j| {
        norm_squared * if i == j { 1.0 } else { cosine }
    });
    let difference = (gram - simplex).amax();
    assert!(difference <= 1e-12 * norm_squared, "{}: {difference:e}", subject.name);
}

/// Columns of length 1, whose gradients are along them; what is zero may be pushed below zero, if that is not allowed.
pub fn unit_vectors(
    vectors: &DMatrix<f64>,
    slopes: &DMatrix<f64>,
    are_nonnegative: bool,
    name: &str,
) {
    for (vector, slope) in vectors.column_iter().zip(slopes.column_iter()) {
        assert_close(vector.norm(), 1.0, 1e-12, name);
        let mut across = slope - vector * vector.dot(&slope);
        across.zip_apply(&vector, |slope, entry| {
            if are_nonnegative && entry == 0.0 {
                *slope = slope.min(0.0);
            }
        });
        assert!(across.norm() <= 1e-12 * slope.norm().max(1e-3), "{name}: {across}");
    }
}
