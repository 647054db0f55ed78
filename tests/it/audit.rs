//! Every number of an audit is what its own function says of the same network, written out beside it, whatever the
//! prediction is: with several layers, a bias, classes in another order, and with nothing to compare with.

use nalgebra::{DMatrix, DVector};
use neural_collapse::audit::{Arrival, AuditOptions, Samples, predicted_layer_ratios};
use neural_collapse::measure::LabeledFeatures;
use neural_collapse::metrics::errors::Metric;
use neural_collapse::metrics::{Nc1Options, all_metrics, nc1, nc2, nc3, nc4};
use neural_collapse::models::fixed_head::FixedHeadUfm;
use neural_collapse::objective::{Objective, balancedness};
use neural_collapse::problem::{LossFunction, TrainingObjective};
use neural_collapse::{
    Audit, AuditSums, Bias, ClassCounts, ClassMatrix, ClassStatistics, CrossEntropyUfm, Features,
    Geometry, LayerPeeled, LinearHead, Prediction, Regularization, Seli, Ufm, audit,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::support::bases::random_basis;

/// A network with random numbers, or near to a prediction.
struct Network {
    features: DMatrix<f64>,
    labels: Vec<usize>,
    head: LinearHead,
}

fn normal(rows: usize, columns: usize, rng: &mut SmallRng) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |_, _| rng.random_range(-1.0..1.0))
}

fn labels(counts: &[usize]) -> Vec<usize> {
    (0..counts.len()).flat_map(|class| vec![class; counts[class]]).collect()
}

impl Network {
    fn random(counts: &[usize], layers: usize, has_bias: bool, seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (labels, classes) = (labels(counts), counts.len());
        let dimension = classes + 2;
        let means = normal(dimension, classes, &mut rng);
        let noise = normal(dimension, labels.len(), &mut rng) * 0.2;
        let mut weights: Vec<DMatrix<f64>> =
            (1..layers).map(|_| normal(dimension, dimension, &mut rng)).collect();
        weights.push(normal(classes, dimension, &mut rng));
        let bias = has_bias.then(|| DVector::from_fn(classes, |_, _| rng.random_range(-1.0..1.0)));
        let features = means.select_columns(&labels) + noise;
        Self { features, labels, head: LinearHead::new(weights, bias).unwrap() }
    }

    fn of(prediction: &dyn Prediction) -> Self {
        let point = prediction.explicit(&random_basis(prediction, 3)).unwrap();
        let labels = prediction.counts().unwrap().labels().unwrap();
        Self { features: point.features().unwrap(), labels, head: point.head().clone() }
    }

    fn data(&self) -> LabeledFeatures<'_, f64> {
        let features = Features::from_sample_columns(&self.features).unwrap();
        features.with_labels(&self.labels, self.head.classes()).unwrap()
    }

    fn statistics(&self) -> ClassStatistics {
        ClassStatistics::new(&self.data()).unwrap()
    }

    /// h_k, written out.
    fn class_means(&self) -> DMatrix<f64> {
        let mut means = DMatrix::zeros(self.features.nrows(), self.head.classes());
        for (class, mut mean) in means.column_iter_mut().enumerate() {
            let own = (0..self.labels.len()).filter(|&sample| self.labels[sample] == class);
            let number = own.clone().count() as f64;
            own.for_each(|sample| mean += self.features.column(sample) / number);
        }
        means
    }

    fn measured(&self, options: &AuditOptions) -> neural_collapse::audit::Measurement {
        let mut sums = AuditSums::new(self.statistics(), self.head.clone(), options).unwrap();
        sums.accumulate(&self.data()).unwrap();
        sums.measurement().unwrap()
    }

    fn audit(&self, prediction: &dyn Prediction) -> Audit {
        let options = AuditOptions::for_prediction(prediction).unwrap();
        let options = options
            .with_all_metrics(true)
            .with_standard_errors(true)
            .with_features_squared(self.features.norm_squared());
        self.measured(&options).compare(prediction).unwrap()
    }
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1e-3), "{found}, {expected}");
}

#[track_caller]
fn same(found: &DMatrix<f64>, expected: &DMatrix<f64>) {
    assert!((found - expected).amax() <= 1e-13 * expected.amax(), "{found}{expected}");
}

fn check_measurement(network: &Network, found: &Audit) {
    let (data, statistics, head) = (network.data(), network.statistics(), &network.head);
    let measured = &found.measurement;
    assert_eq!((measured.head(), measured.statistics()), (head, &statistics));
    let means = network.class_means();
    same(measured.class_means(), &means);
    let center = network.features.column_mean();
    let mut centered = means.clone();
    centered.column_iter_mut().for_each(|mut mean| mean -= &center);
    same(measured.centered_means(), &centered);
    for (norm, mean) in measured.class_mean_norms().iter().zip(means.column_iter()) {
        near(*norm, mean.norm());
    }
    let sizes: Vec<u64> = statistics.counts().to_vec();
    assert_eq!(measured.counts(), &ClassCounts::new(&sizes).unwrap());
    assert_eq!(measured.nc1().unwrap(), nc1(&data, &statistics, &Nc1Options::default()).unwrap());
    let decisions = nc4(&data, &statistics, head).unwrap();
    assert_eq!(measured.nc4(), &decisions);
    assert_eq!(measured.accuracy(), decisions.overall.head_accuracy);
    assert_eq!(measured.metrics(), Some(&all_metrics(&data, &statistics, head).unwrap()));
    assert!(measured.sample_parts().is_some());
    let squares = network.features.column_iter().zip(&network.labels);
    let energies = squares.map(|(feature, &label)| feature.norm_squared() / sizes[label] as f64);
    near(measured.feature_energy().unwrap(), energies.sum::<f64>() / sizes.len() as f64);
    let product = head.product().unwrap();
    near(measured.weight_energy().unwrap(), product.norm_squared() / sizes.len() as f64);
}

/// Loss, gradient and balance of an objective with decays.
fn check_objective(network: &Network, found: &Audit, objective: &TrainingObjective) {
    let (data, head) = (network.data(), &network.head);
    let measured = &found.measurement;
    assert_eq!(measured.training_objective(), Some(objective));
    let own = Objective::new(&data, head, objective).unwrap();
    near(measured.objective().unwrap().gradient_norm, own.gradient_norm);
    near(found.gradient_norm().unwrap(), own.gradient_norm);
    near(found.loss.unwrap(), own.loss());
    let optimum = found.prediction.as_ref().unwrap().loss;
    assert_eq!(found.loss_optimum(), Some(optimum));
    near(found.loss_gap().unwrap(), own.loss() - optimum);
    near(found.loss_gap_relative().unwrap(), (own.loss() - optimum) / optimum);
    let regularization = objective.regularization().unwrap();
    let balance = balancedness(data.features(), head, regularization).unwrap();
    for (found, expected) in measured.balancedness().unwrap().iter().zip(&balance) {
        near(*found, *expected);
    }
    // The gradient beside that of the penalties alone.
    let mut squares = regularization.feature_decay().powi(2) * network.features.norm_squared();
    for (weight, decay) in head.weights().iter().zip(regularization.weight_decays()) {
        squares += decay * decay * weight.norm_squared();
    }
    if let (Bias::Regularized(decay), Some(bias)) = (regularization.bias(), head.bias()) {
        squares += decay * decay * bias.norm_squared();
    }
    near(measured.relative_gradient().unwrap(), own.gradient_norm / squares.sqrt());
}

/// Distances to the prediction's matrices, with the classes in its order.
fn check_distances(network: &Network, found: &Audit, prediction: &dyn Prediction) {
    let classes = network.head.classes();
    let order = found.matching.clone().unwrap_or_else(|| (0..classes).collect());
    let head = match prediction.training_objective().is_of_one_layer() {
        true => {
            LinearHead::new(vec![network.head.product().unwrap()], network.head.bias().cloned())
                .unwrap()
        }
        false => network.head.clone(),
    };
    let head = head.with_order(&order).unwrap();
    let measured = &found.measurement;
    let means = measured.class_means().select_columns(&order);
    assert_eq!(found.nc2.len(), head.depth());
    for (index, distance) in found.nc2.iter().enumerate() {
        let target = prediction.trailing_gram(index + 1).unwrap();
        near(distance.unwrap(), nc2(&head, index + 1, &target).unwrap());
    }
    let outputs = prediction.class_outputs().unwrap();
    near(found.nc3.unwrap(), nc3(&means, &head, &outputs).unwrap());
    let centered = measured.centered_means().select_columns(&order);
    near(found.nc3_centered.unwrap(), nc3(&centered, &head, &outputs).unwrap());
    let gram = prediction.class_means_gram().unwrap();
    near(found.nc2_class_means.unwrap(), gram.distance_to_gram(&means.transpose()).unwrap());
    assert_eq!(found.nc2_target, Some(prediction.geometry()));
    assert_eq!(found.nc3_target, Some(prediction.geometry()));
    // Norms in the order of the measured classes.
    let runs = prediction.class_runs().unwrap();
    let predicted: Vec<_> =
        runs.iter().flat_map(|(run, class)| run.classes().map(move |_| class)).collect();
    let classifier = head.weights().last().unwrap();
    for (place, class) in predicted.iter().enumerate() {
        let audited = &found.classes[order[place]];
        assert_eq!(audited.count, class.count);
        near(audited.classifier_norm_squared.measured, classifier.row(place).norm_squared());
        near(audited.feature_norm_squared.measured, means.column(place).norm_squared());
        assert_eq!(audited.collapsed.predicted, class.collapsed);
        if prediction.has_scale() {
            let predicted = class.classifier_norm_squared;
            assert_eq!(audited.classifier_norm_squared.predicted, predicted);
            assert_eq!(audited.feature_norm_squared.predicted, class.feature_norm_squared);
        }
    }
    let after = found.measurement.metrics().unwrap();
    let features = after.nc1.center_samples.unwrap().value;
    assert_eq!(found.nc1_layer_ratios.len(), network.head.depth());
    let predicted = predicted_layer_ratios(prediction).unwrap();
    for (layer, ratio) in found.nc1_layer_ratios.iter().enumerate() {
        near(ratio.measured.unwrap(), after.nc1_after_layers[layer].unwrap().value / features);
        let fits = prediction.depth() == network.head.depth();
        let expected = predicted.as_ref().filter(|_| fits).map(|ratios| ratios[layer]);
        assert_eq!(ratio.predicted, expected);
    }
}

fn regularization(layers: usize, bias: Bias) -> Regularization {
    let decays: Vec<f64> = (1..=layers).map(|layer| 0.003 * layer as f64).collect();
    Regularization::new(&decays, 0.002).unwrap().with_bias(bias).unwrap()
}

#[test]
fn networks_beside_predictions_with_decays() {
    let squared =
        Ufm::new(ClassCounts::new(&[7, 5, 2]).unwrap(), regularization(2, Bias::Unregularized));
    let squared = squared.unwrap().global_minimum().unwrap();
    let entropy = CrossEntropyUfm::new(4, 5, regularization(1, Bias::Regularized(0.01)));
    let entropy = entropy.unwrap().landscape().unwrap();
    // Octahedra and pairs, whose classes stand in an order.
    let deep = CrossEntropyUfm::new(6, 4, regularization(3, Bias::None)).unwrap();
    let deep = deep.landscape().unwrap();
    let cases: [(&[usize], usize, bool, &dyn Prediction); 3] =
        [(&[7, 5, 2], 2, true, &squared), (&[5; 4], 1, true, &entropy), (&[4; 6], 3, false, &deep)];
    for (seed, (counts, layers, has_bias, prediction)) in cases.into_iter().enumerate() {
        let objective = prediction.training_objective();
        let network = Network::random(counts, layers, has_bias, seed as u64);
        let found = network.audit(prediction);
        check_measurement(&network, &found);
        check_objective(&network, &found, &objective);
        check_distances(&network, &found, prediction);
        assert_eq!(found.verdict.kind, Arrival::NotStationary);
        assert!(found.structure.is_none() && found.no_prediction.is_none());
        let errors = found.standard_errors.as_ref().unwrap();
        near(errors.get(Metric::Nc1).unwrap().value, found.measurement.nc1().unwrap().value);
        near(errors.get(Metric::Nc3).unwrap().value, found.nc3.unwrap());
        near(errors.get(Metric::Loss).unwrap().value, found.loss.unwrap());
        near(errors.get(Metric::Nc4).unwrap().value, found.measurement.nc4().overall.agreement);
        near(errors.get(Metric::Accuracy).unwrap().value, found.measurement.accuracy());
        let gap = errors.get(Metric::LossGapRelative).unwrap();
        near(gap.value, found.loss_gap_relative().unwrap());
        // Nothing changes where nothing differs.
        let none = found.minus(&found, Samples::Same).unwrap();
        assert!(none.metrics.values().all(|metric| metric.difference == 0.0));
        assert!(none.metrics[&Metric::Nc1].paired && !none.metrics[&Metric::Nc4].paired);
        assert_eq!(none.remarks.len(), 1);
        // The minimum itself, with its classes in another order.
        let point = Network::of(prediction);
        let found = point.audit(prediction);
        assert_eq!(found.verdict.kind, Arrival::GlobalMinimum, "{}", found.verdict.text);
        assert!(found.nc3.unwrap() < 1e-10 && found.nc2.iter().all(|nc2| nc2.unwrap() < 1e-10));
        assert!(found.loss_gap().unwrap().abs() < 1e-12);
    }
}

/// Models without decays for the layers: each has the loss and the layers that it speaks of.
#[test]
fn networks_beside_other_predictions() {
    let counts = ClassCounts::new(&[6, 6, 3, 3]).unwrap();
    let peeled = LayerPeeled::new(counts.clone(), 1.0, 2.0).unwrap().global_minimum().unwrap();
    let seli = Seli::new(counts.clone()).unwrap();
    let fixed = FixedHeadUfm::new(counts, 2.0, 0.01).unwrap().global_minimum().unwrap();
    let cases: [(usize, &dyn Prediction); 3] = [(2, &peeled), (2, &seli), (1, &fixed)];
    for (seed, (layers, prediction)) in cases.into_iter().enumerate() {
        let network = Network::random(&[6, 6, 3, 3], layers, false, 10 + seed as u64);
        let found = network.audit(prediction);
        check_measurement(&network, &found);
        check_distances(&network, &found, prediction);
        let objective = prediction.training_objective();
        let own = Objective::new(&network.data(), &network.head, &objective).ok();
        assert_eq!(own.is_some(), seed != 1);
        let expected = own.map(|own| own.loss());
        assert_eq!(found.loss.is_some(), expected.is_some());
        if seed == 2 {
            let penalty = 0.01 / 2.0 * network.features.norm_squared();
            near(found.loss.unwrap(), own.unwrap().data_term + penalty);
        }
        found.loss.iter().zip(expected).for_each(|(found, expected)| near(*found, expected));
        assert_eq!(found.loss_optimum(), expected.map(|_| prediction.loss()));
        assert_eq!(found.loss_gap().is_some(), expected.is_some());
        let gradient = own.map(|own| own.gradient_norm);
        assert_eq!(found.gradient_norm().is_some(), gradient.is_some());
        let pairs = found.gradient_norm().into_iter().zip(gradient);
        pairs.for_each(|(found, expected)| near(found, expected));
        assert_eq!(found.reasons.contains_key("gradient_norm"), seed == 1, "{:?}", found.reasons);
        assert!(found.measurement.balancedness().is_none());
        // Features in front of a fixed head have a penalty, whose gradient is λ_H H.
        let relative = (seed == 2).then(|| gradient.unwrap() / (0.01 * network.features.norm()));
        assert_eq!(found.measurement.relative_gradient().is_some(), relative.is_some());
        let pairs = found.measurement.relative_gradient().into_iter().zip(relative);
        pairs.for_each(|(found, expected)| near(found, expected));
        if !prediction.has_scale() {
            // Predicted norms have the sum of the measured ones.
            let sums = found.classes.iter().fold([0.0; 4], |sums, class| {
                let (w, h) = (class.classifier_norm_squared, class.feature_norm_squared);
                let new = [w.measured, w.predicted.unwrap(), h.measured, h.predicted.unwrap()];
                [0, 1, 2, 3].map(|index| sums[index] + new[index])
            });
            near(sums[0], sums[1]);
            near(sums[2], sums[3]);
        }
    }
}

/// Without a prediction the frames of balanced classes are what distances are to.
#[test]
fn networks_without_a_prediction() {
    let squared =
        TrainingObjective::penalized(LossFunction::SquaredError, regularization(2, Bias::None));
    for (counts, has_bias, objective, frame) in [
        ([4, 4, 4], true, None, Some(Geometry::SimplexEtf)),
        ([4, 4, 4], false, Some(squared), Some(Geometry::OrthogonalFrame)),
        ([4, 4, 4], false, None, None),
        ([5, 4, 3], true, None, None),
    ] {
        let network = Network::random(&counts, 2, has_bias, 20);
        let mut options = AuditOptions::default().with_all_metrics(true).with_standard_errors(true);
        if let Some(objective) = &objective {
            options = options.with_objective(objective.clone());
        }
        let found = network.measured(&options).without_prediction("nobody knows").unwrap();
        check_measurement(&network, &found);
        assert_eq!((&found.nc2_target, &found.nc3_target), (&frame, &frame));
        assert_eq!(found.no_prediction.as_deref(), Some("nobody knows"));
        assert!(found.prediction.is_none() && found.loss_optimum().is_none());
        assert_eq!(found.loss.is_some(), objective.is_some());
        let distances = found.distances.as_ref().unwrap();
        let (head, means) = (&network.head, network.class_means());
        let seli = Seli::new(found.measurement.counts().clone()).unwrap();
        let both = |matrix: ClassMatrix| (matrix.clone(), matrix);
        for (name, measured, target) in [
            ("etf", &distances.simplex_etf, Some(both(ClassMatrix::simplex_etf(3).unwrap()))),
            (
                "frame",
                &distances.orthogonal_frame,
                Some(both(ClassMatrix::orthogonal_frame(3).unwrap())),
            ),
            (
                "seli",
                &distances.seli,
                (counts == [5, 4, 3]).then(|| {
                    let outputs = Prediction::class_outputs(&seli).unwrap();
                    (Prediction::trailing_gram(&seli, 1).unwrap(), outputs)
                }),
            ),
        ] {
            assert_eq!(measured.is_some(), target.is_some(), "{name}");
            let Some((measured, (gram, outputs))) = measured.as_ref().zip(target) else {
                continue;
            };
            for layers in [1, 2] {
                near(measured.nc2[layers - 1].unwrap(), nc2(head, layers, &gram).unwrap());
            }
            near(measured.nc3.unwrap(), nc3(&means, head, &outputs).unwrap());
            let centered = found.measurement.centered_means();
            near(measured.nc3_centered.unwrap(), nc3(centered, head, &outputs).unwrap());
        }
        let expected = match &frame {
            Some(Geometry::SimplexEtf) => distances.simplex_etf.as_ref(),
            Some(_) => distances.orthogonal_frame.as_ref(),
            None => None,
        };
        assert_eq!(found.nc3, expected.and_then(|frame| frame.nc3));
        assert_eq!(found.nc3_centered, expected.and_then(|frame| frame.nc3_centered));
        assert_eq!(found.nc2, expected.map_or(vec![None; 2], |frame| frame.nc2.clone()));
        assert_eq!(found.reasons.contains_key("nc3"), expected.is_none());
        assert!(found.reasons.contains_key("loss_optimum"));
        let infinite = found.minus(&found, Samples::Independent).unwrap();
        assert!(infinite.remarks.is_empty() && infinite.metrics.values().all(|m| !m.paired));
    }
}

/// One call, sums of pieces, and sums of other samples.
#[test]
fn pieces_and_other_samples() {
    let ufm = Ufm::new(ClassCounts::balanced(3, 8).unwrap(), regularization(2, Bias::None));
    let minimum = ufm.unwrap().global_minimum().unwrap();
    let network = Network::random(&[8; 3], 2, false, 30);
    let once = audit(&network.data(), &network.head, &minimum).unwrap();
    let options = AuditOptions::for_prediction(&minimum).unwrap();
    let whole = network.measured(&options).compare(&minimum).unwrap();
    assert_eq!((once.nc3, once.loss, &once.nc2), (whole.nc3, whole.loss, &whole.nc2));
    let empty = AuditSums::new(network.statistics(), network.head.clone(), &options).unwrap();
    let mut merged = empty.clone();
    for part in [0..9, 9..24] {
        let features = network.features.columns_range(part.clone()).into_owned();
        let features = Features::from_sample_columns(&features).unwrap();
        let mut piece = empty.clone();
        piece.accumulate(&features.with_labels(&network.labels[part], 3).unwrap()).unwrap();
        merged.merge(&piece).unwrap();
    }
    let merged = merged.measurement().unwrap();
    near(merged.nc1().unwrap().value, once.measurement.nc1().unwrap().value);
    near(merged.objective().unwrap().loss(), once.loss.unwrap());
    near(merged.feature_energy().unwrap(), once.measurement.feature_energy().unwrap());
    // Half of the samples alone are refused, unless they are said to be others.
    let every_second: Vec<usize> = (0..24).step_by(2).collect();
    let half = network.features.select_columns(&every_second);
    let half = Features::from_sample_columns(&half).unwrap();
    let half = half.with_labels(&[0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2], 3).unwrap();
    for (others, is_error) in [(false, true), (true, false)] {
        let options = AuditOptions::default().with_other_samples(others);
        let mut sums =
            AuditSums::new(network.statistics(), network.head.clone(), &options).unwrap();
        sums.accumulate(&half).unwrap();
        let found = sums.measurement();
        assert_eq!(found.is_err(), is_error, "{found:?}");
        if let Ok(found) = found {
            let expected = nc1(&half, &network.statistics(), &Nc1Options::default()).unwrap();
            assert_eq!(found.nc1().unwrap().value, expected.value);
        }
    }
}

/// Audits beside other predictions or of other samples are compared with a remark.
#[test]
fn what_differs_is_remarked() {
    let minimum = |decay: f64| {
        let regularization = Regularization::new(&[decay, decay], decay).unwrap();
        let ufm = Ufm::new(ClassCounts::balanced(3, 8).unwrap(), regularization).unwrap();
        ufm.global_minimum().unwrap()
    };
    let network = Network::random(&[8; 3], 2, false, 40);
    let audits = [1e-3, 1e-1].map(|decay| network.audit(&minimum(decay)));
    // Both are orthogonal frames; the larger decays are beyond the collapse.
    let remarks = audits[0].minus(&audits[1], Samples::Independent).unwrap().remarks;
    assert_eq!(audits[0].nc3_target == audits[1].nc3_target, remarks.is_empty());
    let same = audits[0].minus(&audits[0], Samples::Independent).unwrap();
    assert!(same.remarks.is_empty());
    let fewer = Network::random(&[6; 3], 2, false, 41);
    let regularization = Regularization::new(&[1e-3, 1e-3], 1e-3).unwrap();
    let ufm = Ufm::new(ClassCounts::balanced(3, 6).unwrap(), regularization).unwrap();
    let fewer = fewer.audit(&ufm.global_minimum().unwrap());
    assert_eq!(fewer.nc3_target, audits[0].nc3_target);
    assert_eq!(audits[0].minus(&fewer, Samples::Independent).unwrap().remarks.len(), 1);
    assert!(audits[0].minus(&fewer, Samples::Same).is_err());
}

/// What is written of an audit are its own numbers.
#[cfg(feature = "serde")]
#[test]
fn what_is_written_is_what_was_found() {
    let entropy = CrossEntropyUfm::new(6, 4, regularization(3, Bias::None)).unwrap();
    let landscape = entropy.landscape().unwrap();
    let network = Network::random(&[4; 6], 3, false, 50);
    let found = network.audit(&landscape);
    let written = serde_json::to_value(&found).unwrap();
    let number = |key: &str| written[key].as_f64();
    let is_moved = found.matching.as_ref().is_some_and(|order| !order.is_sorted());
    assert_eq!(written["relabelled"].as_bool(), Some(is_moved));
    assert_eq!(number("nc1"), found.measurement.nc1().map(|nc1| nc1.value));
    for (key, expected) in [
        ("nc3", found.nc3),
        ("nc3_centered", found.nc3_centered),
        ("nc2_class_means", found.nc2_class_means),
        ("nc4", Some(found.measurement.nc4().overall.agreement)),
        ("accuracy", Some(found.measurement.accuracy())),
        ("loss", found.loss),
        ("loss_optimum", found.loss_optimum()),
        ("loss_gap", found.loss_gap()),
        ("loss_gap_relative", found.loss_gap_relative()),
        ("gradient_norm", found.gradient_norm()),
    ] {
        assert_eq!(number(key), expected, "{key}");
    }
    assert_eq!(written["nc1_layer_ratios"].as_array().map(Vec::len), Some(3));
    assert_eq!(written["classes"].as_array().map(Vec::len), Some(6));
    // Without all metrics there are no ratios to write.
    let options = AuditOptions::for_prediction(&landscape).unwrap();
    let plain = network.measured(&options).compare(&landscape).unwrap();
    let written = serde_json::to_value(&plain).unwrap();
    assert!(written.get("nc1_layer_ratios").is_none() && written.get("nc3").is_some());
}
