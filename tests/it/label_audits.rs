//! Audits of samples that belong to no class: what every model says label by label, the numbers of an audit written out, and
//! pieces that add up to the whole.

use nalgebra::{DMatrix, DVector, dmatrix};
use neural_collapse::audit::{
    Arrival, AuditOptions, SoftLabelAudit, SoftLabelSums, audit_soft_labels, measure,
};
use neural_collapse::measure::LabeledFeatures;
use neural_collapse::metrics::{nc2, tag_average_residuals};
use neural_collapse::models::convex::ConvexUfm;
use neural_collapse::models::multi_label::MultiLabelUfm;
use neural_collapse::models::soft_labels::SparseLabels;
use neural_collapse::{
    Bias, ClassCounts, ClassStatistics, Error, Features, LinearHead, Prediction, Regularization,
    Ufm, audit,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::support::bases::random_basis;
use crate::support::sent::sent;

fn regularization(bias: Bias) -> Regularization {
    Regularization::new(&[1e-2], 2e-2).unwrap().with_bias(bias).unwrap()
}

/// One of each kind of labels that are no classes.
fn predictions() -> Vec<(&'static str, Box<dyn Prediction>)> {
    let labels = dmatrix![0.9, 0.1, 0.2, 0.0; 0.1, 0.8, 0.3, 0.5; 0.0, 0.1, 0.5, 0.5];
    let soft =
        ConvexUfm::soft_labels(labels, &[3, 2, 4, 2], regularization(Bias::Unregularized)).unwrap();
    let tags =
        MultiLabelUfm::new(4, &[(1, 3), (2, 2), (3, 1)], regularization(Bias::None)).unwrap();
    let supports = [vec![0, 1], vec![2], vec![1, 2, 3], vec![0, 1, 2, 3]];
    let contexts = SparseLabels::new(4, &supports, &[3, 2, 4, 2]).unwrap();
    vec![
        ("soft labels", Box::new(soft.global_minimum().unwrap())),
        ("tags", Box::new(tags.global_minimum().unwrap())),
        ("supports", Box::new(contexts.global_minimum().unwrap())),
        ("smallest logits", Box::new(contexts.smallest_logits().unwrap())),
    ]
}

fn labels(counts: &ClassCounts) -> Vec<usize> {
    counts.labels().unwrap()
}

/// A network near a prediction, off by `noise`.
struct Network {
    features: DMatrix<f64>,
    labels: Vec<usize>,
    kinds: usize,
    head: LinearHead,
}

impl Network {
    fn near(prediction: &dyn Prediction, noise: f64) -> Self {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut moved =
            |matrix: DMatrix<f64>| matrix.map(|x| x + noise * rng.random_range(-1.0..1.0));
        let point = prediction.explicit(&random_basis(prediction, 2)).unwrap();
        let counts = prediction.label_geometry().unwrap().counts;
        let weight = moved(point.head().weights()[0].clone());
        let head = LinearHead::new(vec![weight], point.head().bias().cloned()).unwrap();
        let features = moved(point.features().unwrap());
        Self { features, labels: labels(&counts), kinds: counts.classes(), head }
    }

    fn data(&self) -> LabeledFeatures<'_, f64> {
        let features = Features::from_sample_columns(&self.features).unwrap();
        features.with_labels(&self.labels, self.kinds).unwrap()
    }

    fn audit(&self, prediction: &dyn Prediction) -> SoftLabelAudit {
        audit_soft_labels(&self.data(), &self.head, prediction).unwrap()
    }

    /// The mean of the samples of each label, written out.
    fn means(&self) -> DMatrix<f64> {
        let mut means = DMatrix::zeros(self.features.nrows(), self.kinds);
        for (label, mut mean) in means.column_iter_mut().enumerate() {
            let own: Vec<_> =
                (0..self.labels.len()).filter(|&sample| self.labels[sample] == label).collect();
            own.iter().for_each(|&sample| mean += self.features.column(sample) / own.len() as f64);
        }
        means
    }
}

/// Gram matrix, outputs and counts are those of the explicit matrices.
#[test]
fn labels_have_the_features_and_outputs_of_the_matrices() {
    for (name, prediction) in predictions() {
        let found = prediction.label_geometry().unwrap();
        let point = prediction.explicit(&random_basis(&*prediction, 4)).unwrap();
        let all = point.features().unwrap();
        let labels = labels(&found.counts);
        assert_eq!(all.ncols(), labels.len(), "{name}");
        let first = |label| labels.iter().position(|&other| other == label).unwrap();
        let columns: Vec<usize> = (0..found.counts.classes()).map(first).collect();
        let features = all.select_columns(&columns);
        let gram = found.features_gram.to_dense().unwrap();
        assert!((features.transpose() * &features - gram).norm() < 1e-12, "{name}");
        let outputs = &point.head().weights()[0] * &features;
        assert!((outputs - &found.outputs).norm() < 1e-12, "{name}");
        assert_eq!(found.tag_sets.is_some(), name == "tags");
    }
}

/// Cross-entropy with each of the tags of a sample, written out; its gradient vanishes at the minimum.
#[test]
fn picking_all_labels_is_the_objective_of_tags() {
    let (_, prediction) = predictions().swap_remove(1);
    let sets = prediction.label_geometry().unwrap().tag_sets.unwrap();
    let network = Network::near(&*prediction, 0.3);
    let mut data_term = 0.0;
    for (feature, &label) in network.features.column_iter().zip(&network.labels) {
        let outputs: DVector<f64> = &network.head.weights()[0] * feature;
        let total: f64 = outputs.iter().map(|z| z.exp()).sum();
        let losses = sets[label].iter().map(|&tag| total.ln() - outputs[tag]);
        data_term += losses.sum::<f64>() / network.labels.len() as f64;
    }
    let weights = 1e-2 / 2.0 * network.head.weights()[0].norm_squared();
    let loss = data_term + weights + 2e-2 / 2.0 * network.features.norm_squared();
    let found = network.audit(&*prediction);
    let objective = found.objective.unwrap();
    assert!((objective.data_term / data_term - 1.0).abs() < 1e-13);
    assert!((objective.loss() / loss - 1.0).abs() < 1e-13);
    assert!((found.loss_gap().unwrap() - (loss - prediction.loss())).abs() < 1e-13);
    let relative = (loss - prediction.loss()) / prediction.loss();
    assert!((found.loss_gap_relative().unwrap() / relative - 1.0).abs() < 1e-12);
    let exact = Network::near(&*prediction, 0.0).audit(&*prediction);
    assert!(exact.objective.unwrap().gradient_norm < 1e-12);
    assert_eq!(exact.verdict.kind, Arrival::GlobalMinimum, "{}", exact.verdict.text);
    assert_eq!(found.verdict.kind, Arrival::NotStationary, "{}", found.verdict.text);
}

/// Distances to what is predicted, written out from the means; at the minimum they vanish.
#[test]
fn audits_of_labels_are_those_of_the_metrics() {
    let unit = |matrix: &DMatrix<f64>| matrix / matrix.norm();
    for (name, prediction) in predictions() {
        let network = Network::near(&*prediction, 0.1);
        let (found, predicted) =
            (network.audit(&*prediction), prediction.label_geometry().unwrap());
        let (means, weight) = (network.means(), &network.head.weights()[0]);
        let gram = prediction.trailing_gram(1).unwrap();
        let close = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-13;
        assert!(close(found.nc2, nc2(&network.head, 1, &gram).unwrap()), "{name}");
        let outputs = (unit(&(weight * &means)) - unit(&predicted.outputs)).norm();
        assert!(close(found.nc3, outputs), "{name}");
        let target = predicted.features_gram.to_dense().unwrap();
        let features = (unit(&(means.transpose() * &means)) - unit(&target)).norm();
        assert!(close(found.features, features), "{name}");
        let nc1 = measure(&network.data(), &wide(&network)).unwrap().nc1();
        assert!(close(found.nc1.map(|nc1| nc1.value), nc1.unwrap().value), "{name}");
        let averages = predicted.tag_sets.map(|sets| {
            let single: Vec<_> = (0..4).collect();
            tag_average_residuals(&means.select_columns(&single), &sets, &means).unwrap()
        });
        assert_eq!(found.tag_averages.is_some(), averages.is_some(), "{name}");
        let averages = averages.unwrap_or_default();
        for (found, expected) in found.tag_averages.iter().flatten().zip(&averages) {
            assert_eq!((found.tags, found.sets), (expected.tags, expected.sets));
            assert!((found.residual - expected.residual).abs() < 1e-14);
            assert!((found.factor / expected.factor - 1.0).abs() < 1e-13);
        }
        let is_constraint = prediction.training_objective().is_constraint();
        assert_eq!(found.objective.is_none(), is_constraint, "{name}");
        assert_eq!(found.loss_gap().is_none(), is_constraint, "{name}");
        assert_eq!(found.lower_bound.is_none(), is_constraint, "{name}");
        for key in ["objective", "loss_optimum", "loss_gap", "balancedness"] {
            assert_eq!(found.reasons.contains_key(key), is_constraint, "{name} {key}");
        }
        assert_eq!(found.reasons.contains_key("tag_averages"), name != "tags");
        let exact = Network::near(&*prediction, 0.0).audit(&*prediction);
        for distance in [exact.nc2, exact.nc3, exact.features] {
            assert!(distance.unwrap() < 1e-10, "{name} {exact:?}");
        }
    }
}

/// A head of as many outputs as there are labels, whatever it is.
fn wide(network: &Network) -> LinearHead {
    let weight = DMatrix::from_element(network.kinds, network.features.nrows(), 1.0);
    LinearHead::new(vec![weight], None).unwrap()
}

/// Logits of contexts grow without bound, so that a factor changes nothing.
#[test]
fn contexts_are_compared_by_directions() {
    let (_, prediction) = predictions().swap_remove(2);
    let network = Network::near(&*prediction, 0.1);
    let weight = &network.head.weights()[0] * 8.0;
    let head = LinearHead::new(vec![weight], None).unwrap();
    let found = audit_soft_labels(&network.data(), &head, &*prediction).unwrap();
    assert_eq!(found, network.audit(&*prediction));
    assert_eq!(found.verdict.kind, Arrival::Unknown);
    assert!(found.verdict.text.starts_with("there is a prediction"), "{}", found.verdict.text);
}

/// Of contexts the product of all layers is predicted.
#[test]
fn layers_of_contexts_are_multiplied() {
    for (name, prediction) in predictions().split_off(2) {
        let network = Network::near(&*prediction, 0.1);
        // A power of two, so that the product has the same bits.
        let layers = [network.head.weights()[0].clone(), DMatrix::identity(4, 4) * 4.0];
        let deep = LinearHead::new(layers.to_vec(), None).unwrap();
        let found = audit_soft_labels(&network.data(), &deep, &*prediction).unwrap();
        assert_eq!(found, network.audit(&*prediction), "{name}");
    }
}

/// Batches, and pieces merged in any order, have the numbers of the whole.
#[test]
fn pieces_of_labels_add_up() {
    for (name, prediction) in predictions() {
        let network = Network::near(&*prediction, 0.1);
        let statistics = ClassStatistics::new(&network.data()).unwrap();
        let empty =
            SoftLabelSums::<f64>::new(statistics, network.head.clone(), &*prediction).unwrap();
        let samples = network.labels.len();
        let piece = |range: std::ops::Range<usize>| {
            let features = network.features.columns_range(range.clone()).into_owned();
            let data = Features::from_sample_columns(&features).unwrap();
            let mut sums = empty.clone();
            sums.accumulate(&data.with_labels(&network.labels[range], network.kinds).unwrap())
                .unwrap();
            sums
        };
        let pieces = [0..2, 2..3, 3..7, 7..samples].map(piece);
        let merged = |order: [usize; 4]| {
            let mut sums = empty.clone();
            order.iter().for_each(|&index| sums.merge(&pieces[index]).unwrap());
            assert!(pieces[order[0]].audit().is_err());
            sums.audit().unwrap()
        };
        let whole = network.audit(&*prediction);
        for order in [[0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]] {
            let found = merged(order);
            let numbers = |audit: &SoftLabelAudit| {
                let objective = audit.objective.map(|found| [found.loss(), found.gradient_norm]);
                let balance = audit.balancedness.as_ref().map(|found| found[0]);
                let of_objective = objective.map_or([None; 2], |found| found.map(Some));
                [
                    audit.nc1.map(|nc1| nc1.value),
                    audit.nc2,
                    audit.nc3,
                    audit.features,
                    of_objective[0],
                    of_objective[1],
                    balance,
                ]
            };
            for (found, whole) in numbers(&found).into_iter().zip(numbers(&whole)) {
                assert_eq!(found.is_some(), whole.is_some(), "{name}");
                let (found, whole) = (found.unwrap_or(1.0), whole.unwrap_or(1.0));
                assert!((found / whole - 1.0).abs() < 1e-13, "{name} {found} {whole}");
            }
            assert_eq!(
                (&found.verdict.kind, &found.reasons),
                (&whole.verdict.kind, &whole.reasons)
            );
        }
        assert!(matches!(pieces[0].audit(), Err(Error::SecondPass { .. })), "{name}");
        // Sums around other means.
        let other = Network::near(&*prediction, 0.2);
        let statistics = ClassStatistics::new(&other.data()).unwrap();
        let mut other = SoftLabelSums::new(statistics, network.head.clone(), &*prediction).unwrap();
        assert_eq!(other.merge(&pieces[0]), Err(Error::DifferentFirstPass), "{name}");
    }
}

/// Every model is compared, or the function that compares it is named.
#[test]
fn what_is_no_class_names_the_function_for_it() {
    let reason = |error: Error| match error {
        Error::NotAnswered { reason, .. } => reason,
        other => panic!("{other}"),
    };
    for (name, prediction) in predictions() {
        let network = Network::near(&*prediction, 0.1);
        let found = audit(&network.data(), &network.head, &*prediction).unwrap_err();
        assert!(reason(found).contains("`audit_soft_labels`"), "{name}");
        let found = AuditOptions::for_prediction(&*prediction).unwrap_err();
        assert!(reason(found).contains("`audit_soft_labels`"), "{name}");
        let measured = measure(&network.data(), &wide(&network)).unwrap();
        let found = measured.compare(&*prediction).unwrap_err();
        assert!(reason(found).contains("`audit_soft_labels`"), "{name}");
    }
    let targets = dmatrix![1.0, -2.0, 0.5, 3.0; 0.3, 1.0, -1.0, 0.2];
    let regression = Ufm::from_target(targets.clone(), regularization(Bias::None)).unwrap();
    let regression = regression.global_minimum().unwrap();
    let data = Features::from_sample_columns(&targets).unwrap();
    let data = data.with_labels(&[0, 0, 1, 1], 2).unwrap();
    let head = LinearHead::new(vec![DMatrix::identity(2, 2)], None).unwrap();
    let found = audit(&data, &head, &regression).unwrap_err();
    assert!(reason(found).contains("`audit_regression`"));
    let found = audit_soft_labels(&data, &head, &regression).unwrap_err();
    assert!(reason(found).contains("`audit_regression`"));
    let classes =
        Ufm::new(ClassCounts::balanced(2, 2).unwrap(), regularization(Bias::None)).unwrap();
    let classes = classes.global_minimum().unwrap();
    let found = audit_soft_labels(&data, &head, &classes).unwrap_err();
    assert!(reason(found).contains("`audit`"));
    // A head of other outputs, or of several layers.
    let (_, prediction) = predictions().swap_remove(0);
    let network = Network::near(&*prediction, 0.1);
    let deep =
        LinearHead::new(vec![network.head.weights()[0].clone(), DMatrix::identity(3, 3)], None);
    for (head, start) in [
        (wide(&network), "`weights` has shape 4×"),
        (deep.unwrap(), "`weights` has shape 2, but must have shape 1, as the model has one layer"),
    ] {
        let found = audit_soft_labels(&network.data(), &head, &*prediction).unwrap_err();
        assert!(found.to_string().starts_with(start), "{found}");
    }
}

#[test]
fn parts_of_labels_can_be_sent() {
    for (name, prediction) in predictions() {
        let network = Network::near(&*prediction, 0.1);
        let statistics = ClassStatistics::new(&network.data()).unwrap();
        let mut whole =
            SoftLabelSums::<f64>::new(statistics, network.head.clone(), &*prediction).unwrap();
        let mut worker = whole.clone();
        worker.accumulate(&network.data()).unwrap();
        whole.merge_part(&sent(worker.part())).unwrap();
        let whole = whole.audit().unwrap();
        assert_eq!(whole, network.audit(&*prediction), "{name}");
        #[cfg(feature = "serde")]
        {
            let written = serde_json::to_value(&whole).unwrap();
            assert_eq!(written["nc3"].as_f64(), whole.nc3);
            assert_eq!(written["prediction"]["loss"].as_f64(), Some(prediction.loss()));
        }
    }
}
