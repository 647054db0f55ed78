//! Logit offsets, PyTorch's weights, and soft labels: against descents, in audits, and where they must not matter.

use std::ops::ControlFlow;

use neural_collapse::audit::{Arrival, audit_soft_labels, audit_soft_labels_with};
use neural_collapse::objective::Objective;
use neural_collapse::problem::{CodedClassWeights, TrainingObjective};
use neural_collapse::{Error, Features, LinearHead, audit};

use super::*;

fn offsets(rng: &mut SmallRng, classes: usize) -> Vec<f64> {
    (0..classes).map(|_| rng.random_range(-2.0..2.0)).collect()
}

/// Constants added to the logits, with weights, smoothing and every bias.
#[test]
fn no_descent_ends_below_the_bound_with_logit_offsets() {
    let mut rng = SmallRng::seed_from_u64(41);
    for index in 0..24 {
        let case = Case::random(&mut rng);
        let classes = case.counts.len();
        let offsets = offsets(&mut rng, classes);
        let minimum = solved(&case.ufm().with_logit_offsets(&offsets).unwrap());
        let objective = SoftObjective {
            offsets: DVector::from_vec(offsets.clone()),
            ..case.objective(classes)
        };
        let found = objective.lowest(5, 300 + index);
        let bound = minimum.lower_bound().unwrap();
        assert!(found >= bound * (1.0 - 1e-14), "{found:e} < {bound:e}: {case:?}, {offsets:?}");
        assert!(found <= minimum.loss() * (1.0 + 1e-8), "{found:e}: {case:?}, {offsets:?}");
        // The network's audit adds them too.
        let (report, _) = audited(&minimum);
        assert!(report.loss_gap().unwrap().abs() < 1e-12 * minimum.loss(), "{case:?}");
        assert!(report.measurement.objective().unwrap().gradient_norm < 1e-7);
    }
}

/// A minimizer audited beside its own prediction, and the point.
fn audited(minimum: &ConvexMinimum) -> (neural_collapse::Audit, LinearHead) {
    let point = minimum.explicit(&random_basis(minimum, 5)).unwrap();
    let (features, counts) = (point.features().unwrap(), minimum.problem().counts());
    let labels = counts.labels().unwrap();
    let data = Features::from_sample_columns(&features).unwrap();
    let data = data.with_labels(&labels, counts.classes()).unwrap();
    (audit(&data, point.head(), minimum).unwrap(), point.head().clone())
}

/// A bias without a penalty takes them over; a common number does nothing; without decay they do not matter.
#[test]
fn where_logit_offsets_do_not_matter() {
    let counts = || ClassCounts::new(&[40, 20, 20, 5]).unwrap();
    let offsets = [0.5, -1.0, 0.25, -2.0];
    let ufm = |decay, bias| {
        let regularization = Regularization::new(&[decay], 2.0 * decay).unwrap();
        ConvexUfm::cross_entropy(counts(), regularization.with_bias(bias).unwrap()).unwrap()
    };
    let plain = solved(&ufm(3e-3, Bias::Unregularized));
    let moved = solved(&ufm(3e-3, Bias::Unregularized).with_logit_offsets(&offsets).unwrap());
    assert!((plain.loss() / moved.loss() - 1.0).abs() < 1e-13);
    assert!((plain.outputs() - moved.outputs()).amax() < 1e-8);
    let mean = offsets.iter().sum::<f64>() / 4.0;
    let biases = plain.bias().unwrap().into_iter().zip(moved.bias().unwrap());
    for ((before, after), offset) in biases.zip(offsets) {
        assert!((before - (offset - mean) - after).abs() < 1e-8);
    }
    let none = solved(&ufm(3e-3, Bias::None));
    let shifted = solved(&ufm(3e-3, Bias::None).with_logit_offsets(&[0.7; 4]).unwrap());
    assert!((none.loss() / shifted.loss() - 1.0).abs() < 1e-13);
    let svm = Seli::new(counts()).unwrap().trailing_gram(1).unwrap().to_dense().unwrap();
    let mut last = f64::INFINITY;
    for decay in [1e-6, 1e-12, 1e-24, 1e-48] {
        let minimum = solved(&ufm(decay, Bias::None).with_logit_offsets(&offsets).unwrap());
        let distance = minimum.trailing_gram(1).unwrap().distance(&svm).unwrap();
        assert!(distance < 0.7 * last, "{decay}: {distance}");
        last = distance;
    }
    assert!(last < 0.03, "{last}");
}

#[test]
fn bad_offsets_and_weights_are_named() {
    let counts = || ClassCounts::new(&[4, 2]).unwrap();
    let regularization = || Regularization::new(&[1e-2], 1e-2).unwrap();
    let ufm = || ConvexUfm::cross_entropy(counts(), regularization()).unwrap();
    for (list, place) in [
        (vec![0.0], "logit_offsets"),
        (vec![0.0, f64::NAN], "`logit_offsets[1]` is NaN"),
        (vec![f64::INFINITY, 0.0], "`logit_offsets[0]`"),
    ] {
        let message = ufm().with_logit_offsets(&list).unwrap_err().to_string();
        assert!(message.contains(place), "{message}");
    }
    let squared = ConvexUfm::squared_error(counts(), regularization()).unwrap();
    assert!(squared.with_logit_offsets(&[0.0, 1.0]).is_err());
    let adjusted = ufm().with_logit_offsets(&[0.0, 1.0]).unwrap();
    assert!(matches!(adjusted.critical_decay_product(), Err(Error::NoClosedForm { .. })));
    for (weight, smoothing) in [(vec![1.0, 0.0], 0.0), (vec![f64::NAN], 0.0), (vec![1.0], 1.0)] {
        assert!(CodedClassWeights::new(&weight, smoothing).is_err());
    }
    let code = CodedClassWeights::new(&[1.0, 2.0], 0.1).unwrap();
    assert!(matches!(code.class_weights(&counts()), Err(Error::NotAnswered { .. })));
    assert!(code.soft_label(&counts(), 2).is_err());
    assert!(code.entry_weights(&ClassCounts::balanced(3, 1).unwrap()).is_err());
    // Equal weights are none.
    let equal = CodedClassWeights::new(&[2.0, 2.0], 0.1).unwrap();
    assert_eq!(equal.class_weights(&counts()).unwrap(), [1.0, 1.0]);
}

/// The conversion of PyTorch's arguments is the same problem, by soft labels, by weighted entries, and audited by class.
#[test]
fn three_ways_to_say_what_pytorch_does() {
    let (sizes, weight) = ([7_u64, 3, 2, 2], [0.5, 1.0, 2.0, 2.0]);
    for smoothing in [0.0, 0.2] {
        for bias in [Bias::None, Bias::Unregularized] {
            let counts = ClassCounts::new(&sizes).unwrap();
            let regularization =
                Regularization::new(&[1e-2], 2e-2).unwrap().with_bias(bias).unwrap();
            let torch =
                ConvexUfm::pytorch(counts.clone(), &weight, smoothing, regularization.clone())
                    .unwrap();
            let minimum = solved(&torch);
            let (report, _) = audited(&minimum);
            assert!(report.loss_gap().unwrap().abs() < 1e-14, "{:?}", report.loss_gap());
            assert!(report.measurement.objective().unwrap().gradient_norm < 1e-7);
            assert!(report.measurement.balancedness().unwrap()[0] < 1e-7);
            // As soft labels with a weight for each: 1/N Σ W CE, W of the conversion.
            let code = CodedClassWeights::new(&weight, smoothing).unwrap();
            let (mut labels, mut weights) = (Vec::new(), Vec::new());
            for class in 0..4 {
                let (label, weight) = code.soft_label(&counts, class).unwrap();
                assert!((label.iter().sum::<f64>() - 1.0).abs() < 1e-15);
                labels.push(label);
                weights.push(weight);
            }
            let objective = TrainingObjective::SoftLabels {
                regularization: regularization.clone(),
                labels,
                weights,
            };
            let point = minimum.explicit(&Basis::Standard).unwrap();
            let (features, of_samples) = (point.features().unwrap(), counts.labels().unwrap());
            let data = Features::from_sample_columns(&features).unwrap();
            let data = data.with_labels(&of_samples, 4).unwrap();
            let soft = Objective::new(&data, point.head(), &objective).unwrap();
            assert!((soft.loss() / minimum.loss() - 1.0).abs() < 1e-13);
            assert!(soft.gradient_norm < 1e-7);
            if smoothing == 0.0 {
                let ours = ConvexUfm::cross_entropy(counts.clone(), regularization)
                    .and_then(|ufm| ufm.with_class_weights(&code.class_weights(&counts).unwrap()));
                assert!((solved(&ours.unwrap()).loss() / minimum.loss() - 1.0).abs() < 1e-13);
            }
        }
    }
}

/// `CrossEntropyLoss(weight, label_smoothing)` as its documentation says, written out.
#[test]
fn weighted_entries_are_evaluated_as_written() {
    let (weight, smoothing) = ([0.5, 2.0, 1.0], 0.3);
    let outputs = [[1.0, -0.5, 0.2], [0.3, 0.1, -2.0]];
    let labels = [0_usize, 2];
    // Identity features and W = the outputs.
    let layer = DMatrix::from_fn(3, 2, |k, i| outputs[i][k]);
    let head = LinearHead::new(vec![layer], None).unwrap();
    let features = DMatrix::<f64>::identity(2, 2);
    let data = Features::from_sample_columns(&features).unwrap().with_labels(&labels, 3).unwrap();
    let mut expected = 0.0;
    for (output, label) in outputs.iter().zip(labels) {
        let log = output.iter().map(|z: &f64| z.exp()).sum::<f64>().ln();
        for k in 0..3 {
            let target = smoothing / 3.0 + if k == label { 1.0 - smoothing } else { 0.0 };
            expected += weight[k] * target * (log - output[k]);
        }
    }
    expected /= weight[0] + weight[2];
    let total: f64 = weight[0] + weight[2];
    let objective = TrainingObjective::WeightedEntries {
        regularization: Regularization::new(&[1e-300], 1e-300).unwrap(),
        entry_weights: weight.iter().map(|weight| weight * 2.0 / total).collect(),
        label_smoothing: smoothing,
    };
    let found = Objective::new(&data, &head, &objective).unwrap();
    assert!((found.data_term - expected).abs() < 1e-15, "{}, {expected}", found.data_term);
}

/// Soft labels of any number are audited by the number of the label; a disturbed network is seen.
#[test]
fn networks_trained_with_soft_labels_are_audited() {
    let mut rng = SmallRng::seed_from_u64(8);
    for index in 0..12 {
        let (classes, kinds) = (rng.random_range(2..6), rng.random_range(2..8));
        let labels = random_labels(&mut rng, classes, kinds);
        let samples: Vec<u64> = (0..kinds).map(|_| rng.random_range(1..5)).collect();
        let bias = [Bias::None, Bias::Unregularized, Bias::Regularized(0.1)][index % 3];
        let regularization = Regularization::new(&[2e-2], 1e-2).unwrap().with_bias(bias).unwrap();
        let Ok(ufm) = ConvexUfm::soft_labels(labels, &samples, regularization) else { continue };
        let minimum = solved(&ufm);
        let point = minimum.explicit(&random_basis(&minimum, index as u64)).unwrap();
        let mut features = point.features().unwrap();
        let of_samples: Vec<usize> =
            samples.iter().enumerate().flat_map(|(j, &n)| vec![j; n as usize]).collect();
        let report = |features: &DMatrix<f64>| {
            let data = Features::from_sample_columns(features).unwrap();
            let data = data.with_labels(&of_samples, kinds).unwrap();
            audit_soft_labels(&data, point.head(), &minimum).unwrap()
        };
        let right = report(&features);
        assert!(right.loss_gap().unwrap().abs() < 1e-13, "{right:?}");
        assert!(right.lower_bound <= right.loss_optimum && right.balancedness.unwrap()[0] < 1e-7);
        assert!(right.objective.unwrap().gradient_norm < 1e-8);
        if minimum.rank() > 0 {
            assert!(right.nc2.unwrap() < 1e-11 && right.nc3.unwrap() < 1e-11);
            assert!(right.features.unwrap() < 1e-11);
            assert_eq!(right.verdict.kind, Arrival::GlobalMinimum);
        }
        features[(0, 0)] += 0.5;
        let wrong = report(&features);
        assert!(wrong.loss_gap().unwrap() > 1e-6 && wrong.objective.unwrap().gradient_norm > 1e-3);
        assert_ne!(wrong.verdict.kind, Arrival::GlobalMinimum);
    }
}

#[test]
fn audits_of_soft_labels_refuse_what_does_not_fit() {
    let regularization = || Regularization::new(&[2e-2], 1e-2).unwrap();
    let labels = dmatrix![0.9, 0.2; 0.1, 0.8];
    let ufm = ConvexUfm::soft_labels(labels, &[2, 1], regularization()).unwrap();
    let minimum = ufm.global_minimum().unwrap();
    let point = minimum.explicit(&Basis::Standard).unwrap();
    let features = point.features().unwrap();
    let data = Features::from_sample_columns(&features).unwrap();
    let of = |labels: &[usize], kinds| {
        audit_soft_labels(&data.with_labels(labels, kinds).unwrap(), point.head(), &minimum)
    };
    assert!(of(&[0, 0, 1], 2).is_ok());
    let different = Error::DifferentCounts { class: 0, found: 1, expected: 2 };
    assert_eq!(of(&[0, 1, 1], 2).unwrap_err(), different);
    assert!(matches!(of(&[0, 1, 2], 3), Err(Error::Shape { .. })));
    assert!(matches!(of(&[0, 0, 0], 2), Err(Error::EmptyClass { .. })));
    let classes = ConvexUfm::cross_entropy(ClassCounts::new(&[2, 1]).unwrap(), regularization());
    let classes = classes.unwrap().global_minimum().unwrap();
    let labeled = data.with_labels(&[0, 0, 1], 2).unwrap();
    let refused = audit_soft_labels(&labeled, point.head(), &classes);
    assert!(matches!(refused, Err(Error::NotAnswered { .. })));
    let cancelled =
        audit_soft_labels_with(&labeled, point.head(), &minimum, &|_| ControlFlow::Break(()));
    assert_eq!(cancelled.unwrap_err(), Error::Cancelled);
}
