//! The convex program: descents on the full objective against its bounds, its closed facts, and its limits.

use nalgebra::{DMatrix, DVector, dmatrix};
use neural_collapse::models::convex::{ConvexMinimum, ConvexUfm};
use neural_collapse::{
    Basis, Bias, ClassCounts, ClassMatrix, CrossEntropyUfm, Geometry, Prediction, Regularization,
    Seli, Ufm,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::exact::tables::{list, table, ulps};
use crate::support::bases::random_basis;
use crate::support::lbfgs::{Smooth, multi_start};
use crate::support::objective::{MseObjective, one_hot};
use crate::support::soft::SoftObjective;

mod conventions;
mod facts;
mod first_order;
mod narrow;
mod weights;

/// Relative gap that every minimum has to have.
const GAP: f64 = 1e-10;

/// A problem with classes, as plain numbers.
#[derive(Debug, Clone)]
struct Case {
    counts: Vec<u64>,
    weights: Vec<f64>,
    smoothing: f64,
    decays: (f64, f64),
    bias: Bias,
}

impl Case {
    fn random(rng: &mut SmallRng) -> Self {
        let classes = rng.random_range(2..6);
        let mut size = || rng.random_range(1..9_u64);
        let mut counts: Vec<u64> = (0..classes).map(|_| size()).collect();
        if classes > 2 && rng.random_bool(0.5) {
            counts[1] = counts[0];
        }
        let mut weights = vec![1.0; classes];
        if rng.random_bool(0.4) {
            weights.iter_mut().for_each(|weight| *weight = rng.random_range(0.3..3.0));
        }
        let smoothing = if rng.random_bool(0.3) { rng.random_range(0.0..0.4) } else { 0.0 };
        let mut decay = || 10_f64.powf(rng.random_range(-3.0..-0.7));
        let decays = (decay(), decay());
        let bias = match rng.random_range(0..3) {
            0 => Bias::None,
            1 => Bias::Unregularized,
            _ => Bias::Regularized(10_f64.powf(rng.random_range(-3.0..0.5))),
        };
        Self { counts, weights, smoothing, decays, bias }
    }

    fn regularization(&self) -> Regularization {
        let regularization = Regularization::new(&[self.decays.0], self.decays.1).unwrap();
        regularization.with_bias(self.bias).unwrap()
    }

    fn ufm(&self) -> ConvexUfm {
        ConvexUfm::cross_entropy(ClassCounts::new(&self.counts).unwrap(), self.regularization())
            .and_then(|ufm| ufm.with_class_weights(&self.weights))
            .and_then(|ufm| ufm.with_label_smoothing(self.smoothing))
            .unwrap()
    }

    fn objective(&self, dimension: usize) -> SoftObjective {
        let counts: Vec<usize> = self.counts.iter().map(|&n| n as usize).collect();
        let (weight, feature) = self.decays;
        let decays = (weight, feature, self.bias);
        let dimension = (dimension, false);
        SoftObjective::of_classes(&counts, &self.weights, self.smoothing, decays, dimension)
    }
}

fn solved(ufm: &ConvexUfm) -> ConvexMinimum {
    let minimum = ufm.global_minimum().unwrap();
    assert!(minimum.gap() <= GAP * minimum.loss(), "{:e}: {ufm:?}", minimum.gap());
    assert!(minimum.gap() >= 0.0);
    minimum
}

/// Descents on all of W, H and b, with every sample's features on their own, never end below the bound, and reach
/// the value.
#[test]
fn no_descent_ends_below_the_bound_and_some_reach_the_value() {
    let mut rng = SmallRng::seed_from_u64(11);
    for index in 0..30 {
        let case = Case::random(&mut rng);
        let minimum = solved(&case.ufm());
        let found = case.objective(case.counts.len()).lowest(5, index);
        let bound = minimum.lower_bound().unwrap();
        assert!(found >= bound * (1.0 - 1e-14), "{found:e} < {bound:e}: {case:?}");
        assert!(found <= minimum.loss() * (1.0 + 1e-8), "{found:e}: {case:?}, {minimum:?}");
    }
}

fn random_labels(rng: &mut SmallRng, classes: usize, kinds: usize) -> DMatrix<f64> {
    let mut labels = DMatrix::from_fn(classes, kinds, |_, _| {
        if rng.random_bool(0.3) { 0.0 } else { rng.random_range(0.0..1.0) }
    });
    for (index, mut column) in labels.column_iter_mut().enumerate() {
        column[index % classes] += 0.1;
        let sum = column.sum();
        column /= sum;
    }
    labels
}

/// The same for soft labels, more of them than classes and less.
#[test]
fn no_descent_ends_below_the_bound_for_soft_labels() {
    let mut rng = SmallRng::seed_from_u64(5);
    for index in 0..20 {
        let case = Case::random(&mut rng);
        let (classes, kinds) = (rng.random_range(2..6), rng.random_range(1..8));
        let labels = random_labels(&mut rng, classes, kinds);
        let samples: Vec<u64> = (0..kinds).map(|_| rng.random_range(1..9)).collect();
        let total = samples.iter().sum::<u64>() as f64;
        let Ok(ufm) = ConvexUfm::soft_labels(labels.clone(), &samples, case.regularization())
        else {
            let unlabeled = labels.row_iter().any(|row| row.amax() == 0.0);
            assert!(unlabeled && case.bias == Bias::Unregularized);
            continue;
        };
        let mut label_weights = vec![1.0; kinds];
        if index % 2 == 1 {
            label_weights.iter_mut().for_each(|weight| *weight = rng.random_range(0.3..3.0));
        }
        let ufm = ufm.with_label_weights(&label_weights).unwrap();
        let minimum = solved(&ufm);
        let weights = samples.iter().zip(&label_weights);
        let objective = SoftObjective {
            labels,
            weights: weights.map(|(&n, weight)| weight * n as f64 / total).collect(),
            copies: samples.iter().map(|&n| n as f64).collect(),
            dimension: classes,
            offsets: DVector::zeros(classes),
            ..case.objective(classes)
        };
        let found = objective.lowest(5, 100 + index);
        let bound = minimum.lower_bound().unwrap();
        assert!(found >= bound * (1.0 - 1e-14), "{found:e} < {bound:e}: {ufm:?}");
        assert!(
            found <= minimum.loss() * (1.0 + 1e-8),
            "{found:e} > {:e}: {ufm:?}",
            minimum.loss()
        );
        let point = minimum.explicit(&random_basis(&minimum, 3)).unwrap();
        let (layer, features) = (&point.head().weights()[0], point.distinct_features());
        let bias = point.head().bias().cloned().unwrap_or_else(|| DVector::zeros(classes));
        let value = objective.value(layer, &bias, features);
        assert!((value / minimum.loss() - 1.0).abs() < 1e-12);
        assert!((layer * features - minimum.outputs()).amax() < 1e-12 * (1.0 + layer.amax()));
        let gram = features.transpose() * features;
        assert!((gram.clone() - minimum.features_gram()).amax() <= 1e-12 * gram.amax());
        let gram = minimum.trailing_gram(1).unwrap().to_dense().unwrap();
        assert!((layer * layer.transpose() - &gram).amax() <= 1e-12 * gram.amax());
        assert!(minimum.class_runs().is_err() && minimum.counts().is_none());
    }
}

/// The squared loss with a penalized bias and unequal classes has no closed form; descents know it too.
#[test]
fn the_squared_loss_with_a_penalized_bias() {
    let mut rng = SmallRng::seed_from_u64(3);
    for index in 0..16 {
        let case = Case { bias: Bias::Regularized(0.3), ..Case::random(&mut rng) };
        let case = Case { bias: [case.bias, Bias::Regularized(4e-3)][index % 2], ..case };
        let counts = ClassCounts::new(&case.counts).unwrap();
        let minimum = solved(&ConvexUfm::squared_error(counts, case.regularization()).unwrap());
        let sizes: Vec<usize> = case.counts.iter().map(|&n| n as usize).collect();
        let (weight, feature) = case.decays;
        let target = one_hot(&sizes);
        let objective = MseObjective::new(target, &[weight], feature, case.bias, &[sizes.len()]);
        let found = multi_start(&objective, 5, index as u64).best.loss;
        let bound = minimum.lower_bound().unwrap();
        assert!(found >= bound * (1.0 - 1e-14), "{found:e} < {bound:e}: {case:?}");
        assert!(found <= minimum.loss() * (1.0 + 1e-8), "{found:e}: {case:?}");
    }
}

/// Where the squared loss has a closed form, it is the same.
#[test]
fn the_squared_loss_where_it_is_known() {
    for (counts, bias) in [
        (vec![20, 10, 5, 5], Bias::None),
        (vec![20, 10, 5, 5], Bias::Unregularized),
        (vec![8, 8, 8], Bias::Regularized(0.05)),
        (vec![8, 8, 8], Bias::Regularized(3.0)),
    ] {
        for decay in [1e-4, 1e-2, 0.03, 0.3] {
            let counts = ClassCounts::new(&counts).unwrap();
            let regularization = Regularization::new(&[decay], 0.5 * decay).unwrap();
            let regularization = regularization.with_bias(bias).unwrap();
            let closed = Ufm::new(counts.clone(), regularization.clone()).unwrap();
            let closed = closed.global_minimum().unwrap();
            let convex = solved(&ConvexUfm::squared_error(counts, regularization).unwrap());
            let error = (convex.loss() / closed.loss() - 1.0).abs();
            assert!(error < 1e-13, "{bias:?}, {decay}: {error:e}");
            same(&convex.class_outputs().unwrap(), &closed.class_outputs().unwrap(), 1e-9);
            same(&convex.trailing_gram(1).unwrap(), &closed.trailing_gram(1).unwrap(), 1e-9);
        }
    }
}

fn same(found: &ClassMatrix, expected: &ClassMatrix, tolerance: f64) {
    let (found, expected) = (found.to_dense().unwrap(), expected.to_dense().unwrap());
    let error = (&found - &expected).amax();
    assert!(error <= tolerance * expected.amax().max(1e-300), "{error:e}\n{found}{expected}");
}

/// The matrices attain the loss where its gradient vanishes, and have the Gram matrices, norms, outputs and singular
/// values.
#[test]
fn explicit_matrices_attain_all_numbers() {
    let mut rng = SmallRng::seed_from_u64(29);
    for _ in 0..30 {
        let case = Case::random(&mut rng);
        let minimum = solved(&case.ufm().with_widths(&[7]).unwrap());
        let objective = case.objective(7);
        let point = minimum.explicit(&random_basis(&minimum, 1)).unwrap();
        let (layer, features) = (&point.head().weights()[0], point.features().unwrap());
        let means = point.class_means().unwrap();
        let bias = point.head().bias().cloned();
        assert_eq!(bias.as_ref().map(|bias| bias.as_slice().to_vec()), minimum.bias());
        let zeros = DVector::zeros(case.counts.len());
        let value = objective.value(layer, bias.as_ref().unwrap_or(&zeros), &features);
        assert!((value / minimum.loss() - 1.0).abs() < 1e-12, "{value:e}: {minimum:?}");
        let biases = bias.map(|bias| bias.as_slice().to_vec()).unwrap_or_default();
        let packed = [layer.as_slice(), &biases, features.as_slice()].concat();
        let gradient = DVector::from_vec(objective.gradient(&packed));
        assert!(gradient.amax() < 1e-8, "{:e}: {case:?}", gradient.amax());
        let outputs = layer * means;
        let scale = outputs.amax();
        let predicted = minimum.outputs();
        assert!((outputs - predicted).amax() <= 1e-12 * scale);
        let gram = layer * layer.transpose();
        let predicted = minimum.trailing_gram(1).unwrap().to_dense().unwrap();
        assert!((&gram - predicted).amax() <= 1e-12 * gram.amax());
        let of_means = means.transpose() * means;
        assert!((&of_means - minimum.features_gram()).amax() <= 1e-12 * of_means.amax());
        for (run, class) in minimum.class_runs().unwrap() {
            for k in run.classes() {
                let norm = gram[(k, k)];
                assert!(
                    (class.classifier_norm_squared.unwrap() - norm).abs() <= 1e-12 * gram.amax()
                );
                let norm = of_means[(k, k)];
                let found = class.feature_norm_squared.unwrap();
                assert!((found - norm).abs() <= 1e-12 * of_means.amax());
                assert_eq!(class.count, case.counts[k]);
            }
        }
        check_singular_values(&minimum, layer, &features);
    }
}

fn check_singular_values(minimum: &ConvexMinimum, layer: &DMatrix<f64>, features: &DMatrix<f64>) {
    for (predicted, matrix) in [
        (minimum.singular_values(1..=1).unwrap(), layer),
        (minimum.feature_singular_values().unwrap(), features),
    ] {
        let mut measured: Vec<f64> = matrix.singular_values().iter().copied().collect();
        measured.sort_by(|a, b| b.total_cmp(a));
        let predicted = predicted.iter().flat_map(|one| vec![one.value; one.multiplicity]);
        let predicted: Vec<f64> =
            predicted.chain(std::iter::repeat(0.0)).take(measured.len()).collect();
        for (found, expected) in measured.iter().zip(predicted) {
            assert!((found - expected).abs() <= 1e-7 * measured[0], "{found}, {expected}");
        }
    }
}

/// The order of the classes, how they are grouped, and a common factor of the weights change nothing.
#[test]
fn what_must_not_matter() {
    let mut rng = SmallRng::seed_from_u64(17);
    for _ in 0..20 {
        let case = Case::random(&mut rng);
        let minimum = solved(&case.ufm());
        let mut reversed = case.clone();
        reversed.counts.reverse();
        reversed.weights.reverse();
        let other = solved(&reversed.ufm());
        assert!((other.loss() / minimum.loss() - 1.0).abs() < 1e-13);
        let (mine, theirs) = (minimum.outputs(), other.outputs());
        let classes = mine.nrows();
        let turned =
            DMatrix::from_fn(classes, classes, |i, j| theirs[(classes - 1 - i, classes - 1 - j)]);
        assert!((&mine - turned).amax() <= 1e-8 * mine.amax().max(1e-6), "{case:?}");
        // 3 (loss + norms) for weights times 3, the square of decays times 9.
        let bias = match case.bias {
            Bias::Regularized(decay) => Bias::Regularized(3.0 * decay),
            other => other,
        };
        let scaled = Case {
            weights: case.weights.iter().map(|weight| 3.0 * weight).collect(),
            decays: (3.0 * case.decays.0, 3.0 * case.decays.1),
            bias,
            ..case.clone()
        };
        let scaled = solved(&scaled.ufm());
        assert!((scaled.loss() / (3.0 * minimum.loss()) - 1.0).abs() < 1e-13);
    }
}

/// One-hot soft labels, and classes split into kinds by weights that differ in the last bit only.
#[test]
fn grouped_and_ungrouped_classes_agree() {
    for bias in [Bias::None, Bias::Unregularized, Bias::Regularized(0.02)] {
        let counts = [30, 12, 12, 12, 5, 5];
        let case = Case {
            counts: counts.to_vec(),
            weights: vec![1.0; 6],
            smoothing: 0.0,
            decays: (2e-3, 3e-3),
            bias,
        };
        let grouped = solved(&case.ufm());
        let weights = (0..6).map(|k| 1.0 + f64::from(k) * 1e-15).collect();
        let split = solved(&Case { weights, ..case.clone() }.ufm());
        let labels = DMatrix::identity(6, 6);
        let soft = solved(&ConvexUfm::soft_labels(labels, &counts, case.regularization()).unwrap());
        for other in [split, soft] {
            assert!((other.loss() / grouped.loss() - 1.0).abs() < 1e-13);
            assert!((other.outputs() - grouped.outputs()).amax() < 1e-8);
            let bias =
                |minimum: &ConvexMinimum| DVector::from_vec(minimum.bias().unwrap_or_default());
            assert!((bias(&other) - bias(&grouped)).amax() < 1e-8);
        }
    }
}

/// PyTorch's conventions, written out: the loss of a sample is −Σ_k ω_k y_k ln p_k, divided by Σᵢ ω of the labels.
#[test]
fn weights_and_smoothing_of_pytorch() {
    let (counts, weight, smoothing) = ([7_u64, 3, 2, 2], [0.5, 1.0, 2.0, 2.0], 0.2);
    for bias in [Bias::None, Bias::Unregularized] {
        let regularization = Regularization::new(&[1e-2], 2e-2).unwrap().with_bias(bias).unwrap();
        let torch = ConvexUfm::pytorch(
            ClassCounts::new(&counts).unwrap(),
            &weight,
            smoothing,
            regularization.clone(),
        );
        let minimum = solved(&torch.unwrap());
        let divisor: f64 = counts.iter().zip(weight).map(|(&n, w)| n as f64 * w).sum();
        let sizes: Vec<usize> = counts.iter().map(|&n| n as usize).collect();
        let decays = (1e-2, 2e-2, bias);
        let mut objective =
            SoftObjective::of_classes(&sizes, &[1.0; 4], smoothing, decays, (4, false));
        for mut column in objective.labels.column_iter_mut() {
            column.component_mul_assign(&DVector::from_column_slice(&weight));
        }
        objective.weights.fill(1.0 / divisor);
        let found = objective.lowest(6, 4);
        assert!(found >= minimum.lower_bound().unwrap() * (1.0 - 1e-14));
        assert!(found <= minimum.loss() * (1.0 + 1e-8), "{found}, {}", minimum.loss());
        // It is not the model whose weights multiply smoothed losses.
        let factor = 14.0 / divisor;
        let ours = ConvexUfm::cross_entropy(ClassCounts::new(&counts).unwrap(), regularization)
            .and_then(|ufm| ufm.with_class_weights(&weight.map(|w| w * factor)))
            .and_then(|ufm| ufm.with_label_smoothing(smoothing))
            .unwrap();
        assert!((solved(&ours).loss() - minimum.loss()).abs() > 1e-4);
    }
}

/// Equal sizes: the closed form of one layer, and of label smoothing as its limit says.
#[test]
fn equal_classes_form_a_simplex() {
    for (classes, bias) in [(2, Bias::None), (5, Bias::Unregularized), (40, Bias::Regularized(0.1))]
    {
        for decay in [1e-8, 1e-4, 1e-2, 3e-2] {
            let counts = ClassCounts::balanced(classes, 9).unwrap();
            let regularization = Regularization::new(&[decay], decay).unwrap();
            let regularization = regularization.with_bias(bias).unwrap();
            let closed = CrossEntropyUfm::new(classes, 9, regularization.clone()).unwrap();
            let best = closed.simplex_etf().unwrap().loss();
            let ufm = ConvexUfm::cross_entropy(counts, regularization).unwrap();
            let convex = solved(&ufm);
            assert!((convex.loss() / best - 1.0).abs() < 1e-12, "{}, {best}", convex.loss());
            let nearly = solved(&ufm.clone().with_label_smoothing(1e-14).unwrap());
            assert!((nearly.loss() / convex.loss() - 1.0).abs() < 1e-10 / decay.min(1e-2));
            let collapsed = convex.geometry() == Geometry::Collapsed;
            assert!(collapsed || convex.geometry() == Geometry::SimplexEtf);
            assert!(convex.bias().is_none_or(|bias| bias.iter().all(|b| b.abs() < 1e-12)));
        }
    }
}
