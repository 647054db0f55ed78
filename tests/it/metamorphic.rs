//! How the answer must change when the question does, without knowing the answer.

use nalgebra::DMatrix;
use neural_collapse::metrics::{Nc1Options, nc1, nc2, nc3, nc4};
use neural_collapse::{
    Bias, ClassCounts, ClassStatistics, Features, GlobalMinimum, LinearHead, Prediction,
    Regularization, Ufm,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::strategies::config;

/// A classification problem with widths that may be unlimited.
#[derive(Debug, Clone)]
struct Problem {
    counts: Vec<u64>,
    decays: Vec<f64>,
    feature_decay: f64,
    bias: Bias,
    widths: Option<Vec<usize>>,
}

impl Problem {
    fn minimum(&self) -> GlobalMinimum {
        let regularization = Regularization::new(&self.decays, self.feature_decay).unwrap();
        let regularization = regularization.with_bias(self.bias).unwrap();
        let ufm = Ufm::new(ClassCounts::new(&self.counts).unwrap(), regularization).unwrap();
        let ufm = match &self.widths {
            Some(widths) => ufm.with_widths(widths).unwrap(),
            None => ufm,
        };
        ufm.global_minimum().unwrap()
    }

    fn loss(&self) -> f64 {
        self.minimum().loss()
    }

    fn samples(&self) -> f64 {
        self.counts.iter().sum::<u64>() as f64
    }

    /// All decays of layers and features times `factor`.
    fn with_decays_times(&self, factor: f64) -> Self {
        let decays = self.decays.iter().map(|decay| decay * factor).collect();
        Self { decays, feature_decay: self.feature_decay * factor, ..self.clone() }
    }
}

/// Decays from 10⁻⁶ to 1: problems of all kinds between full life and full collapse.
fn decay() -> impl Strategy<Value = f64> {
    (-6.0..0.0).prop_map(|exponent: f64| 10_f64.powf(exponent))
}

prop_compose! {
    fn imbalanced()(
        counts in vec(prop_oneof![1_u64..40, Just(7)], 1..7),
        decays in vec(decay(), 1..6),
        feature_decay in decay(),
        bias in prop_oneof![Just(Bias::None), Just(Bias::Unregularized)],
        width in prop::option::of(1_usize..8),
    ) -> Problem {
        let widths = width.map(|width| vec![width; decays.len()]);
        Problem { counts, decays, feature_decay, bias, widths }
    }
}

prop_compose! {
    fn balanced()(
        problem in imbalanced(),
        classes in 2_usize..7,
        bias in prop_oneof![
            Just(Bias::None), Just(Bias::Unregularized), decay().prop_map(Bias::Regularized)],
    ) -> Problem {
        let counts = vec![problem.counts[0]; classes];
        Problem { counts, bias, ..problem }
    }
}

fn problem() -> impl Strategy<Value = Problem> {
    prop_oneof![2 => imbalanced(), 1 => balanced()]
}

/// Relative equality; both may be zero.
#[track_caller]
fn assert_close(got: f64, wanted: f64, ulps: f64, what: &dyn std::fmt::Debug) {
    let error = (got - wanted).abs();
    let bound = ulps * f64::EPSILON * wanted.abs();
    assert!(error <= bound, "{what:?}: {got:e}, not {wanted:e}: off by {:e}", error / wanted.abs());
}

#[track_caller]
fn assert_all_close(got: &[f64], wanted: &[f64], ulps: f64, what: &dyn std::fmt::Debug) {
    assert_eq!(got.len(), wanted.len(), "{what:?}");
    for (&got, &wanted) in got.iter().zip(wanted) {
        assert_close(got, wanted, ulps, what);
    }
}

/// How far the least certain direction is from its threshold, and the largest condition number of x:
/// what rounding the input differently may decide or magnify.
fn sensitivity(minimum: &GlobalMinimum) -> (f64, f64) {
    let depth = minimum.problem().depth() as f64;
    let mut result = (f64::INFINITY, 1.0_f64);
    for direction in minimum.directions() {
        let margin = (direction.ratio() / minimum.threshold() - 1.0).abs();
        let condition = (depth + 1.0 - 2.0 * depth / (1.0 + direction.power())).recip();
        result.0 = result.0.min(margin);
        if direction.power() > 0.0 {
            result.1 = result.1.max(condition);
        }
    }
    result
}

/// Norms of classifier and mean of every class, where they are determined.
fn norms(minimum: &GlobalMinimum) -> Vec<[Option<f64>; 2]> {
    let classes = (0..minimum.problem().classes()).map(|class| minimum.class(class).unwrap());
    classes.map(|class| [class.classifier_norm_squared, class.feature_norm_squared]).collect()
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn permuting_the_classes_permutes_the_answer_exactly(
        problem in problem(),
        order in Just((0..7_usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let order: Vec<usize> =
            order.into_iter().filter(|&class| class < problem.counts.len()).collect();
        let counts = order.iter().map(|&class| problem.counts[class]).collect();
        let (before, after) = (problem.minimum(), Problem { counts, ..problem }.minimum());
        prop_assert_eq!(before.loss(), after.loss());
        prop_assert_eq!(before.direction_singular_values(1..=1).unwrap(), after.direction_singular_values(1..=1).unwrap());
        for (new, &old) in order.iter().enumerate() {
            prop_assert_eq!(after.class(new), before.class(old));
            for (column, &other) in order.iter().enumerate() {
                let gram = (after.trailing_gram(1).unwrap().get(new, column), before.trailing_gram(1).unwrap());
                prop_assert_eq!(gram.0, gram.1.get(old, other));
            }
            let biases = (before.bias(), after.bias());
            prop_assert_eq!(biases.1.map(|bias| bias[new]), biases.0.map(|bias| bias[old]));
        }
    }

    #[test]
    fn splitting_the_classes_into_runs_changes_nothing(problem in problem()) {
        let runs = problem.counts.iter().flat_map(|&size| [(size, 1), (size, 0)]);
        let counts = ClassCounts::from_runs(runs).unwrap();
        prop_assert_eq!(counts, ClassCounts::new(&problem.counts).unwrap());
    }

    /// H → αH and W₁ → W₁/α with λ_H → λ_H/α² and λ₁ → α²λ₁ leave the objective as it is.
    #[test]
    fn features_scale_with_the_matching_decays(problem in problem(), exponent in -8_i32..8) {
        let square = 4_f64.powi(exponent);
        let mut scaled = problem.clone();
        scaled.feature_decay /= square;
        scaled.decays[0] *= square;
        let (before, after) = (problem.minimum(), scaled.minimum());
        // Powers of two change no digit at all.
        prop_assert_eq!(before.loss(), after.loss());
        prop_assert_eq!(before.output_singular_values(), after.output_singular_values());
        let scale = 2_f64.powi(exponent);
        let features = before.direction_feature_singular_values();
        let wanted: Vec<f64> = features.iter().map(|value| value * scale).collect();
        prop_assert_eq!(after.direction_feature_singular_values(), wanted);
        let wanted: Vec<f64> = before.direction_singular_values(1..=1).unwrap().iter().map(|value| value / scale).collect();
        prop_assert_eq!(after.direction_singular_values(1..=1).unwrap(), wanted);
    }

    #[test]
    fn features_scale_by_any_factor(problem in problem(), factor in 0.1..10.0) {
        let mut scaled = problem.clone();
        scaled.feature_decay /= factor * factor;
        scaled.decays[0] *= factor * factor;
        let (before, after) = (problem.minimum(), scaled.minimum());
        let (margin, condition) = sensitivity(&before);
        prop_assume!(margin > 1e-13);
        assert_close(after.loss(), before.loss(), 16.0, &problem);
        let features = before.direction_feature_singular_values();
        let wanted: Vec<f64> = features.iter().map(|value| value * factor).collect();
        assert_all_close(&after.direction_feature_singular_values(), &wanted, 16.0 * condition, &problem);
    }

    /// c times as many samples of every class with λ_H/c: the same classifier for the same mean.
    #[test]
    fn samples_scale_with_the_decay_of_the_features(problem in problem(), factor in 2_u64..1000) {
        let scaled = Problem {
            counts: problem.counts.iter().map(|size| size * factor).collect(),
            feature_decay: problem.feature_decay / factor as f64,
            ..problem.clone()
        };
        let (before, after) = (problem.minimum(), scaled.minimum());
        let (margin, condition) = sensitivity(&before);
        prop_assume!(margin > 1e-13);
        assert_close(after.loss(), before.loss(), 16.0, &problem);
        assert_all_close(&after.direction_singular_values(1..=1).unwrap(), &before.direction_singular_values(1..=1).unwrap(), 16.0 * condition, &problem);
        for (got, wanted) in norms(&after).into_iter().zip(norms(&before)) {
            for (got, wanted) in got.into_iter().zip(wanted) {
                prop_assert_eq!(got.is_some(), wanted.is_some());
                let (got, wanted) = (got.unwrap_or(0.0), wanted.unwrap_or(0.0));
                assert_close(got, wanted, 40.0 * condition, &problem);
            }
        }
    }

    /// The loss and the outputs hang on the product of all decays only.
    #[test]
    fn decays_may_be_moved_between_layers(problem in problem(), shift in 0_usize..6) {
        let mut moved = problem.clone();
        let length = moved.decays.len();
        moved.decays.rotate_left(shift % length);
        std::mem::swap(&mut moved.feature_decay, &mut moved.decays[0]);
        let (before, after) = (problem.minimum(), moved.minimum());
        let (margin, condition) = sensitivity(&before);
        prop_assume!(margin > 1e-13);
        assert_close(after.loss(), before.loss(), 16.0, &problem);
        let outputs = (after.output_singular_values(), before.output_singular_values());
        let depth = length as f64;
        assert_all_close(&outputs.0, &outputs.1, 16.0 * depth * condition, &problem);
    }

    /// A layer more with λ = 1 keeps P. As (m/2)(P z²)^(1/m), m = M + 1, grows with m while P z² < 1, the
    /// same outputs then cost more.
    #[test]
    fn a_layer_more_with_the_same_product_of_decays_never_pays(problem in problem()) {
        let product: f64 = problem.decays.iter().product::<f64>() * problem.feature_decay;
        let largest = problem.counts.iter().copied().max().unwrap() as f64;
        prop_assume!(product * largest < 1.0);
        let mut deeper = problem.clone();
        deeper.decays.push(1.0);
        if let Some(widths) = &mut deeper.widths {
            widths.push(widths[0]);
        }
        let losses = (deeper.loss(), problem.loss());
        prop_assert!(losses.0 >= losses.1 * (1.0 - 1e-14), "{problem:?}: {losses:?}");
    }

    #[test]
    fn the_loss_grows_with_every_decay(
        problem in problem(),
        which in any::<prop::sample::Index>(),
        factor in 1.0..3.0,
    ) {
        let mut decayed = problem.clone();
        match which.index(problem.decays.len() + 2) {
            0 => decayed.feature_decay *= factor,
            1 => match &mut decayed.bias {
                Bias::Regularized(decay) => *decay *= factor,
                _ => decayed.feature_decay *= factor,
            },
            layer => decayed.decays[layer - 2] *= factor,
        }
        let losses = (problem.loss(), decayed.loss());
        prop_assert!(losses.1 >= losses.0 * (1.0 - 1e-14), "{problem:?}, {decayed:?}: {losses:?}");
    }

    #[test]
    fn widening_never_raises_the_loss(
        problem in problem(),
        width in 1_usize..8,
        which in any::<prop::sample::Index>(),
    ) {
        let depth = problem.decays.len();
        let mut widths = vec![width; depth];
        let narrow = Problem { widths: Some(widths.clone()), ..problem.clone() };
        widths[which.index(depth)] += 1;
        let wide = Problem { widths: Some(widths), ..problem.clone() };
        let unlimited = Problem { widths: None, ..problem };
        let losses = [narrow.loss(), wide.loss(), unlimited.loss()];
        prop_assert!(losses.windows(2).all(|pair| pair[1] <= pair[0]), "{narrow:?}: {losses:?}");
    }

    /// Data sets with different classes do not know of each other: N f*(λ) is the sum of N_i f_i*(λ N/N_i).
    #[test]
    fn problems_with_disjoint_classes_add_up(
        problem in imbalanced(),
        more in vec(1_u64..40, 1..5),
    ) {
        let first = Problem { bias: Bias::None, widths: None, ..problem };
        let second = Problem { counts: more, ..first.clone() };
        let merged = Problem { counts: [&first.counts[..], &second.counts].concat(), ..first.clone() };
        let samples = merged.samples();
        let parts = [&first, &second].map(|part| {
            (part.samples() / samples, part.with_decays_times(samples / part.samples()).minimum())
        });
        let whole = merged.minimum();
        let (margin, condition) = sensitivity(&whole);
        prop_assume!(margin > 1e-13);
        let sum: f64 = parts.iter().map(|(share, minimum)| share * minimum.loss()).sum();
        assert_close(whole.loss(), sum, 16.0, &merged);
        let separate = parts.iter().flat_map(|(_, minimum)| norms(minimum));
        for (got, wanted) in norms(&whole).into_iter().zip(separate) {
            for (got, wanted) in got.into_iter().zip(wanted) {
                assert_close(got.unwrap(), wanted.unwrap(), 40.0 * condition, &merged);
            }
        }
    }

    #[test]
    fn a_bias_almost_without_a_penalty_is_one_without(problem in balanced()) {
        let free = Problem { bias: Bias::Unregularized, ..problem.clone() }.minimum();
        let light = Problem { bias: Bias::Regularized(1e-12), ..problem }.minimum();
        // The all-ones direction collapses: the bias does its work for less.
        let last = light.directions().last().unwrap();
        prop_assert_eq!(last.x(), 0.0, "{:?}", last);
        // λ_b/2 ‖b‖² = 1e-12/(2K) remains.
        prop_assert!((light.loss() - free.loss()).abs() <= 1e-12, "{} {}", light.loss(), free.loss());
        prop_assert_eq!(light.geometry(), free.geometry());
        let (bias, wanted) = (light.bias().unwrap(), free.bias().unwrap());
        prop_assert!(bias.iter().zip(&wanted).all(|(a, b)| (a - b).abs() <= 2e-12), "{bias:?}");
    }

    #[test]
    fn a_bias_with_a_crushing_penalty_is_none(problem in balanced()) {
        let none = Problem { bias: Bias::None, widths: None, ..problem.clone() }.minimum();
        let heavy = Problem { bias: Bias::Regularized(1e12), widths: None, ..problem.clone() }.minimum();
        let (margin, condition) = sensitivity(&none);
        prop_assume!(margin > 1e-10);
        assert_close(heavy.loss(), none.loss(), 1e-11 / f64::EPSILON, &problem);
        prop_assert!(heavy.bias().unwrap().iter().all(|entry| entry.abs() <= 1e-12));
        let error = 1e-11 * condition / f64::EPSILON;
        for (got, wanted) in norms(&heavy).into_iter().zip(norms(&none)) {
            assert_close(got[0].unwrap(), wanted[0].unwrap(), error, &problem);
        }
    }

    /// Sizes that differ by a few in 10⁹ behave as equal ones.
    #[test]
    fn nearly_balanced_classes_are_nearly_balanced(
        offsets in vec(0_u64..10, 2..7),
        decays in vec(decay(), 1..6),
        bias in prop_oneof![Just(Bias::None), Just(Bias::Unregularized)],
    ) {
        let counts: Vec<u64> = offsets.iter().map(|offset| 1_000_000_000 - offset).collect();
        let equal = vec![1_000_000_000; counts.len()];
        let feature_decay = decays[0] * 1e-9;
        let unequal = Problem { counts, decays, feature_decay, bias, widths: None };
        let equal = Problem { counts: equal, ..unequal.clone() };
        let (unequal, equal) = (unequal.minimum(), equal.minimum());
        let (margin, condition) = sensitivity(&equal);
        prop_assume!(margin > 1e-6);
        let relative = |a: f64, b: f64| (a - b).abs() / b.max(f64::MIN_POSITIVE);
        prop_assert!(relative(unequal.loss(), equal.loss()) <= 2e-8);
        // Each squared singular value is within 10 of 10⁹.
        for direction in unequal.directions() {
            let wanted = equal.direction(0).unwrap().energy();
            let error = relative(direction.energy(), wanted);
            prop_assert!(error <= 1e-7 * condition, "{direction:?}: {wanted:e}");
        }
        let grams = (unequal.trailing_gram(1).unwrap().to_dense(), equal.trailing_gram(1).unwrap().to_dense());
        let (got, wanted) = (grams.0.unwrap(), grams.1.unwrap());
        // The eigenvectors differ, but not the projector on all of them.
        prop_assert!((&got - &wanted).amax() <= 1e-6 * condition * wanted.amax(), "{got} {wanted}");
    }
}

/// Measured features of which no two classes have equal means, with a head.
#[derive(Debug, Clone)]
struct Network {
    /// A row a sample.
    rows: DMatrix<f64>,
    labels: Vec<usize>,
    classes: usize,
    weights: Vec<DMatrix<f64>>,
}

prop_compose! {
    fn network()(classes in 2_usize..5, dimension in 2_usize..6, extra in 0_usize..12)(
        numbers in vec(-1.0..1.0, (classes + extra) * dimension),
        labels in vec(0..classes, extra),
        first in vec(-1.0..1.0, 4 * dimension),
        second in vec(-1.0..1.0, 4 * classes),
        (classes, dimension) in Just((classes, dimension)),
    ) -> Network {
        let labels: Vec<usize> = (0..classes).chain(labels).collect();
        let rows = DMatrix::from_row_slice(labels.len(), dimension, &numbers);
        let weights =
            vec![DMatrix::from_vec(4, dimension, first), DMatrix::from_vec(classes, 4, second)];
        Network { rows, labels, classes, weights }
    }
}

/// NC1, NC2, NC3 and NC4.
#[derive(Debug, Clone, PartialEq)]
struct Measured {
    nc1: f64,
    nc2: f64,
    nc3: f64,
    nc4: [f64; 3],
}

impl Network {
    fn measure(&self) -> Measured {
        let data = Features::from_sample_rows(&self.rows).unwrap();
        let data = data.with_labels(&self.labels, self.classes).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let head = LinearHead::new(self.weights.clone(), None).unwrap();
        let target = neural_collapse::ClassMatrix::simplex_etf(self.classes).unwrap();
        let shares = nc4(&data, &statistics, &head).unwrap().overall;
        Measured {
            nc1: nc1(&data, &statistics, &Nc1Options::default()).unwrap().value,
            nc2: nc2(&head, 2, &target).unwrap(),
            nc3: nc3(&statistics.class_means().unwrap(), &head, &target).unwrap(),
            nc4: [shares.agreement, shares.head_accuracy, shares.nearest_mean_accuracy],
        }
    }

    /// H → Q H and W₁ → W₁ Qᵀ for an orthogonal Q made of reflections.
    fn rotated(&self, axes: &[Vec<f64>]) -> Self {
        let dimension = self.rows.ncols();
        let mut rotation = DMatrix::<f64>::identity(dimension, dimension);
        for axis in axes {
            let axis = nalgebra::DVector::from_column_slice(&axis[..dimension]).normalize();
            rotation -= 2.0 * (&rotation * &axis) * axis.transpose();
        }
        let mut weights = self.weights.clone();
        weights[0] = &weights[0] * rotation.transpose();
        Self { rows: &self.rows * rotation.transpose(), weights, ..self.clone() }
    }
}

/// NC1 hangs on the smallest difference of class means that counts; everything else is well conditioned.
fn assert_same(got: &Measured, wanted: &Measured, what: &dyn std::fmt::Debug) {
    let close = |a: f64, b: f64, bound: f64| (a - b).abs() <= bound * b.abs().max(1.0);
    assert!(close(got.nc1, wanted.nc1, 1e-9), "{what:?}: {got:?}, {wanted:?}");
    let distances = close(got.nc2, wanted.nc2, 1e-12) && close(got.nc3, wanted.nc3, 1e-12);
    assert!(distances, "{what:?}: {got:?}, {wanted:?}");
    assert_eq!(got.nc4, wanted.nc4, "{what:?}");
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn metrics_do_not_see_rotations_of_feature_space(
        network in network(),
        axes in vec(vec(0.1..1.0, 6), 2),
    ) {
        assert_same(&network.rotated(&axes).measure(), &network.measure(), &network);
    }

    #[test]
    fn metrics_do_not_see_the_order_of_samples(network in network(), seed in any::<u64>()) {
        let mut order: Vec<usize> = (0..network.labels.len()).collect();
        order.sort_by_key(|&sample| (sample as u64 + 1).wrapping_mul(seed | 1) >> 7);
        let rows = network.rows.select_rows(&order);
        let labels = order.iter().map(|&sample| network.labels[sample]).collect();
        let shuffled = Network { rows, labels, ..network.clone() };
        assert_same(&shuffled.measure(), &network.measure(), &network);
    }

    #[test]
    fn metrics_do_not_see_the_names_of_classes(network in network(), shift in 1_usize..5) {
        let classes = network.classes;
        let labels = network.labels.iter().map(|label| (label + shift) % classes).collect();
        let mut weights = network.weights.clone();
        weights[1] = DMatrix::from_fn(classes, 4, |row, column| {
            network.weights[1][((row + classes - shift % classes) % classes, column)]
        });
        let renamed = Network { labels, weights, ..network.clone() };
        assert_same(&renamed.measure(), &network.measure(), &network);
    }

    /// NC1 is a ratio, NC2 and NC3 compare up to a factor, NC4 is a decision.
    #[test]
    fn metrics_do_not_see_the_scale_of_features_or_weights(
        network in network(),
        features in -20_i32..20,
        weights in -20_i32..20,
    ) {
        let mut scaled = network.clone();
        scaled.rows *= 2_f64.powi(features);
        scaled.weights[0] *= 2_f64.powi(weights);
        assert_same(&scaled.measure(), &network.measure(), &network);
    }
}
