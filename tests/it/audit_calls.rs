//! Audits in one call: of the product of the layers, without a prediction, under a monitor; and what is stored of them.

use std::ops::ControlFlow;
use std::sync::Mutex;

use nalgebra::{DMatrix, DVector};
use neural_collapse::audit::{
    AuditOptions, audit_product, audit_with, audit_without_prediction, measure_with,
};
use neural_collapse::measure::LabeledFeatures;
use neural_collapse::{
    Bias, ClassCounts, CrossEntropyUfm, Error, Features, LinearHead, Prediction, Progress,
    Regularization, Ufm, audit,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// A network of three layers with random numbers.
struct Network {
    features: DMatrix<f64>,
    labels: Vec<usize>,
    head: LinearHead,
}

impl Network {
    fn new(counts: &[usize], has_bias: bool) -> Self {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut normal =
            |rows, columns| DMatrix::from_fn(rows, columns, |_, _| rng.random_range(-1.0..1.0));
        let classes = counts.len();
        let labels: Vec<usize> =
            (0..classes).flat_map(|class| vec![class; counts[class]]).collect();
        let features = normal(8, classes).select_columns(&labels) + normal(8, labels.len()) * 0.2;
        let weights = vec![normal(7, 8), normal(8, 7), normal(classes, 8)];
        let bias = has_bias.then(|| DVector::from_fn(classes, |class, _| (class as f64).sin()));
        Self { features, labels, head: LinearHead::new(weights, bias).unwrap() }
    }

    fn data(&self) -> LabeledFeatures<'_, f64> {
        let features = Features::from_sample_columns(&self.features).unwrap();
        features.with_labels(&self.labels, self.head.classes()).unwrap()
    }
}

fn squared() -> Box<dyn Prediction> {
    let regularization = Regularization::uniform(3, 1e-3, 1e-3).unwrap();
    let regularization = regularization.with_bias(Bias::Unregularized).unwrap();
    let ufm = Ufm::new(ClassCounts::new(&[7, 5, 5, 4]).unwrap(), regularization).unwrap();
    Box::new(ufm.global_minimum().unwrap())
}

/// A structure whose classes have to be matched.
fn entropy() -> Box<dyn Prediction> {
    let regularization = Regularization::uniform(3, 1e-3, 1e-3).unwrap();
    Box::new(CrossEntropyUfm::new(6, 4, regularization).unwrap().landscape().unwrap())
}

/// What does not need the layers one by one is that of the whole network, and the rest is missing with its reason.
#[test]
fn products_are_compared_where_layers_are_not_known() {
    for (prediction, counts, has_bias) in
        [(squared(), vec![7, 5, 5, 4], true), (entropy(), vec![4; 6], false)]
    {
        let network = Network::new(&counts, has_bias);
        let whole = audit(&network.data(), &network.head, &*prediction).unwrap();
        let product = network.head.to_one_layer().unwrap();
        // The network itself, too, can be compared by its product alone.
        for head in [&product, &network.head] {
            let found = audit_product(&network.data(), head, &*prediction).unwrap();
            assert_eq!(found.matching, whole.matching);
            assert_eq!(found.measurement.nc1(), whole.measurement.nc1());
            assert_eq!(found.measurement.accuracy(), whole.measurement.accuracy());
            let close = |found: Option<f64>, whole: Option<f64>| {
                (found.unwrap() - whole.unwrap()).abs() < 1e-13
            };
            assert!(close(found.nc3, whole.nc3) && close(found.nc3_centered, whole.nc3_centered));
            assert!(close(found.nc2_class_means, whole.nc2_class_means));
            assert_eq!(found.nc2[..2], [None, None]);
            assert!(close(found.nc2[2], whole.nc2[2]), "{:?} {:?}", found.nc2, whole.nc2);
            let (own, other) = (&found.levels.unstructured, &whole.levels.unstructured);
            assert_eq!((own.nc2.len(), own.nc2_uncertainty.len()), (3, 3));
            assert_eq!(own.nc2[2].is_some(), other.nc2[2].is_some());
            for key in ["nc2", "loss", "loss_gap", "loss_gap_relative"] {
                assert!(found.reasons[key].starts_with("only the product"), "{key}");
            }
            assert_eq!((found.loss, found.loss_gap()), (None, None));
            assert_eq!(found.loss_optimum(), Some(prediction.loss()));
            // The rows of the product beside those that are predicted for it.
            let gram = prediction.trailing_gram(3).unwrap();
            let rows = network.head.product().unwrap();
            for (position, (found, whole)) in found.classes.iter().zip(&whole.classes).enumerate() {
                let measured = rows.row(position).norm_squared();
                assert!((found.classifier_norm_squared.measured / measured - 1.0).abs() < 1e-13);
                assert_eq!(found.feature_norm_squared, whole.feature_norm_squared);
                assert_eq!(found.collapsed.predicted, whole.collapsed.predicted);
            }
            for position in 0..counts.len() {
                let class = found.matching.as_ref().map_or(position, |order| order[position]);
                let predicted = found.classes[class].classifier_norm_squared.predicted;
                assert_eq!(predicted, gram.get(position, position));
            }
        }
        let refused = audit(&network.data(), &product, &*prediction).unwrap_err().to_string();
        assert!(refused.contains("compare_product"), "{refused}");
    }
}

/// One layer has its own penalty, so that loss and gradient are there as in an audit of the layer, also where several layers
/// are multiplied first.
#[test]
fn products_beside_one_layer_have_a_loss() {
    let decays = Regularization::uniform(1, 1e-3, 1e-3).unwrap();
    let decays = decays.with_bias(Bias::Unregularized).unwrap();
    let ufm = Ufm::new(ClassCounts::new(&[7, 5, 5, 4]).unwrap(), decays).unwrap();
    let minimum = ufm.global_minimum().unwrap();
    let network = Network::new(&[7, 5, 5, 4], true);
    let product = network.head.to_one_layer().unwrap();
    let whole = audit(&network.data(), &product, &minimum).unwrap();
    assert!(whole.loss_gap().is_some() && whole.gradient_norm().is_some());
    for head in [&product, &network.head] {
        assert_eq!(audit_product(&network.data(), head, &minimum).unwrap(), whole);
    }
}

#[test]
fn an_audit_without_a_prediction_is_one_call() {
    let network = Network::new(&[5, 4, 3], true);
    let (data, head) = (network.data(), &network.head);
    let found = audit_without_prediction(&data, head, "nobody knows").unwrap();
    assert!(found.prediction.is_none() && found.loss_optimum().is_none());
    assert_eq!(found.no_prediction.as_deref(), Some("nobody knows"));
    assert_eq!(found.reasons["loss_gap"], "nobody knows");
    let outputs = head.product().unwrap() * &network.features;
    let hits = outputs.column_iter().zip(&network.labels).filter(|(column, label)| {
        let column: DVector<f64> = column + head.bias().unwrap();
        column.argmax().0 == **label
    });
    assert_eq!(found.measurement.accuracy(), hits.count() as f64 / 12.0);
}

/// A monitor hears of every sample of both passes and of the comparison, and changes nothing.
#[test]
fn audits_are_watched_and_cancelled() {
    let (network, prediction) = (Network::new(&[7, 5, 5, 4], true), squared());
    let heard = Mutex::new(Vec::new());
    let listen = |progress: Progress| {
        heard.lock().unwrap().push((progress.stage, progress.done, progress.total));
        ControlFlow::Continue(())
    };
    let (data, head) = (network.data(), &network.head);
    let found = audit_with(&data, head, &*prediction, &listen).unwrap();
    assert_eq!(found, audit(&data, head, &*prediction).unwrap());
    let all = Some(21);
    let stages = ["class means", "deviations"];
    let mut expected = stages.map(|stage| (stage, 21, all)).to_vec();
    expected.push(("levels without structure", 0, None));
    assert_eq!(*heard.lock().unwrap(), expected);
    for last in stages {
        let ends = |progress: Progress| match progress.stage == last {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let found = audit_with(&data, head, &*prediction, &ends);
        assert_eq!(found, Err(Error::Cancelled));
        let options = AuditOptions::default();
        assert_eq!(measure_with(&data, head, &options, &ends), Err(Error::Cancelled));
    }
}

#[cfg(feature = "serde")]
mod stored {
    use super::*;
    use neural_collapse::audit::AuditPart;
    use neural_collapse::prediction::Summary;
    use neural_collapse::problem::TrainingObjective;
    use neural_collapse::{AuditSums, ClassStatistics};

    /// All that is known of a prediction, and what was measured for it, is in what is written of an audit.
    #[test]
    fn audits_are_written_with_their_prediction() {
        let (network, prediction) = (Network::new(&[4; 6], false), entropy());
        let found = audit(&network.data(), &network.head, &*prediction).unwrap();
        let written = serde_json::to_value(&found).unwrap();
        let read: Summary = serde_json::from_value(written["prediction"].clone()).unwrap();
        assert_eq!(Some(&read), found.prediction.as_ref());
        let order: Vec<usize> = serde_json::from_value(written["matching"].clone()).unwrap();
        assert_eq!(Some(order), found.matching);
        let counts: ClassCounts = serde_json::from_value(written["counts"].clone()).unwrap();
        assert_eq!(counts, ClassCounts::balanced(6, 4).unwrap());
        let objective = found.measurement.objective().unwrap();
        assert_eq!(written["objective"]["data_term"].as_f64(), Some(objective.data_term));
        let training = written["training_objective"].clone();
        let training: TrainingObjective = serde_json::from_value(training).unwrap();
        assert_eq!(Some(&training), found.measurement.training_objective());
        // A program that describes the prediction itself gets the rest.
        let mut numbers = serde_json::to_value(found.numbers()).unwrap();
        assert!(numbers.get("prediction").is_none());
        for key in ["prediction", "training_objective"] {
            numbers[key] = written[key].clone();
        }
        assert_eq!(numbers, written);
    }

    /// Options, first pass, head and sums are all that a measurement is made of: each can be stored.
    #[test]
    fn measurements_are_made_again_from_what_is_stored() {
        let (network, prediction) = (Network::new(&[7, 5, 5, 4], true), squared());
        let options = AuditOptions::for_prediction(&*prediction).unwrap();
        let options = options.with_all_metrics(true).with_standard_errors(true);
        let statistics = ClassStatistics::new(&network.data()).unwrap();
        let head = network.head.clone();
        let mut sums = AuditSums::new(statistics.clone(), head.clone(), &options).unwrap();
        sums.accumulate(&network.data()).unwrap();
        let text = serde_json::to_string(&(&options, &statistics, &head, sums.part())).unwrap();
        let (read, statistics, head, part): (AuditOptions, ClassStatistics, LinearHead, AuditPart) =
            serde_json::from_str(&text).unwrap();
        assert_eq!(read, options);
        let mut again = AuditSums::<f64>::new(statistics, head, &read).unwrap();
        again.merge_part(&part).unwrap();
        let found = again.measurement().unwrap();
        let written = serde_json::to_value(&found).unwrap();
        assert_eq!(written, serde_json::to_value(sums.measurement().unwrap()).unwrap());
        assert_eq!(written["nc1"]["value"].as_f64(), found.nc1().map(|nc1| nc1.value));
        assert_eq!(written["nc4"]["agreement"].as_f64(), Some(found.nc4().overall.agreement));
        assert!(written["metrics"]["cdnv"].is_object());
    }

    #[test]
    fn options_that_cannot_be_are_refused() {
        let read = |text: &str| serde_json::from_str::<AuditOptions>(text);
        assert_eq!(read("{}").unwrap(), AuditOptions::default());
        assert!(read(r#"{"features_squared": 2.5}"#).unwrap().features_squared == Some(2.5));
        for text in [
            r#"{"features_squared": -1.0}"#,
            r#"{"all_metric": true}"#,
            r#"{"nc1": {"center": "samples", "divide_by_classes": true, "rank_cutoff": -1.0, "largest_rank": null}}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
