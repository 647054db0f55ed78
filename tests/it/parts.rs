//! Sums that are made in parts anywhere, stored, sent and put together; the objective that follows from the training.

use nalgebra::DMatrix;
use neural_collapse::audit::{AuditOptions, Measurement};
use neural_collapse::measure::{ClassVariances, FeatureEnergy, PooledScatter};
use neural_collapse::metrics::{AllMetrics, MetricSums, cdnv};
use neural_collapse::objective::{Objective, ObjectiveSums};
use neural_collapse::problem::{LossFunction, TrainingObjective};
use neural_collapse::{AuditSums, ClassStatistics, Error, Features, LinearHead, Regularization};

use crate::support::samples::{
    CLASSES, DIMENSION, Samples, pooled_metrics, projected_metrics, relative_error,
};
use crate::support::sent::sent;

/// Every accumulator of a second pass: parts that are counted apart, sent as text and put together in any order are
/// the whole; those of another first pass or head are refused and change nothing.
#[test]
fn a_whole_audit_can_be_computed_in_parts() {
    let samples = Samples::new(11, 300, 0.2, 0.5);
    let statistics = ClassStatistics::new(&samples.data()).unwrap();
    let first = DMatrix::from_fn(6, DIMENSION, |i, j| ((i * 5 + j) as f64).sin());
    let second = DMatrix::from_fn(CLASSES, 6, |i, j| ((i * 3 + 2 * j) as f64).cos());
    let head = LinearHead::new(vec![first, second], None).unwrap();
    let regularization = Regularization::new(&[1e-3, 2e-3], 3e-3).unwrap();
    let parts = samples.split(4, |i| (i * i + i / 7) % 4);

    let metrics = || MetricSums::<f64>::new(&statistics, &head).unwrap();
    let objective = || {
        let sums = ObjectiveSums::cross_entropy(&statistics, &head, &regularization).unwrap();
        sums.with_balancedness().unwrap()
    };
    let (mut whole_metrics, mut whole_objective) = (metrics(), objective());
    whole_metrics.accumulate(&samples.data()).unwrap();
    whole_objective.accumulate(&samples.data()).unwrap();
    let (mut metric_sums, mut objective_sums) = (metrics(), objective());
    let mut energy = FeatureEnergy::empty(DIMENSION, CLASSES).unwrap();
    for part in [2, 0, 3, 1] {
        let data = parts[part].data();
        let (mut own_metrics, mut own_objective) = (metrics(), objective());
        own_metrics.accumulate(&data).unwrap();
        own_objective.accumulate(&data).unwrap();
        metric_sums.merge_part(&sent(own_metrics.part())).unwrap();
        objective_sums.merge_part(&sent(own_objective.part())).unwrap();
        energy.merge(&sent(FeatureEnergy::new(&data).unwrap())).unwrap();
    }
    let (found, expected) = (metric_sums.metrics().unwrap(), whole_metrics.metrics().unwrap());
    assert_eq!(found.nc4, expected.nc4);
    assert_eq!(found.class_means, expected.class_means);
    let numbers = |metrics: &AllMetrics| {
        let nc1 = [metrics.nc1.center_samples, metrics.nc1.center_classes];
        let nc1 = nc1.into_iter().chain(metrics.nc1_after_layers.clone());
        let mut numbers: Vec<f64> = nc1.map(|nc1| nc1.unwrap().value).collect();
        numbers.extend(
            [metrics.cdnv.unwrap().mean, metrics.nc1_trace_quotient.center_classes]
                .map(Option::unwrap),
        );
        numbers
    };
    assert_eq!(numbers(&found).len(), 6);
    for (found, expected) in numbers(&found).into_iter().zip(numbers(&expected)) {
        assert!(relative_error(found, expected) < 1e-13);
    }
    let (found, expected) =
        (objective_sums.objective().unwrap(), whole_objective.objective().unwrap());
    assert!(relative_error(found.loss(), expected.loss()) < 1e-13);
    assert!(relative_error(found.gradient_norm, expected.gradient_norm) < 1e-13);
    let balance = |sums: &ObjectiveSums| sums.balancedness().unwrap().unwrap();
    for (found, expected) in balance(&objective_sums).into_iter().zip(balance(&whole_objective)) {
        assert!(relative_error(found, expected) < 1e-13);
    }
    let expected =
        neural_collapse::objective::balancedness(samples.data().features(), &head, &regularization);
    for (found, expected) in balance(&objective_sums).into_iter().zip(expected.unwrap()) {
        assert!(relative_error(found, expected) < 1e-13);
    }
    let squares: f64 = samples.numbers.iter().map(|number| number * number).sum();
    assert!(relative_error(energy.total(), squares) < 1e-14);
    let own = objective_sums.feature_energy().unwrap();
    assert!(relative_error(own.mean().unwrap(), energy.mean().unwrap()) < 1e-14);
    let norms: Vec<f64> = head.weights().iter().map(DMatrix::norm_squared).collect();
    assert_eq!(objective_sums.weight_norms_squared().unwrap(), norms);

    // Of another first pass, head or objective.
    let other = Samples::new(12, 300, 0.2, 0.5);
    let other = ClassStatistics::new(&other.data()).unwrap();
    let before = (metric_sums.clone(), objective_sums.part());
    let foreign = MetricSums::<f64>::new(&other, &head).unwrap();
    assert_eq!(metric_sums.merge(&foreign), Err(Error::DifferentFirstPass));
    let weights = head.weights().iter().map(|weight| weight * 2.0).collect();
    let twice = LinearHead::new(weights, None).unwrap();
    let foreign = MetricSums::<f64>::new(&statistics, &twice).unwrap();
    assert_eq!(metric_sums.merge(&foreign), Err(Error::DifferentFirstPass));
    let strangers = [
        ObjectiveSums::squared_error(&statistics, &head, &regularization).unwrap(),
        ObjectiveSums::cross_entropy(&statistics, &head, &regularization).unwrap(),
        ObjectiveSums::cross_entropy(&statistics, &twice, &regularization).unwrap(),
        ObjectiveSums::cross_entropy(
            &statistics,
            &head,
            &Regularization::new(&[1e-3, 2e-3], 4e-3).unwrap(),
        )
        .unwrap(),
    ];
    for foreign in strangers {
        assert_eq!(objective_sums.merge(&foreign), Err(Error::DifferentFirstPass));
        assert_eq!(objective_sums.merge_part(&foreign.part()), Err(Error::DifferentFirstPass));
    }
    assert_eq!((metric_sums, objective_sums.part()), before);
}

/// The parts of a whole audit, in any order and with an empty one.
#[test]
fn audit_sums_can_be_sent_as_parts() {
    let samples = Samples::new(5, 300, 0.2, 0.5);
    let statistics = ClassStatistics::new(&samples.data()).unwrap();
    let weight = DMatrix::from_fn(CLASSES, DIMENSION, |i, j| ((i * 3 + j) as f64).cos());
    let head = LinearHead::new(vec![weight], None).unwrap();
    let regularization = Regularization::new(&[1e-3], 3e-3).unwrap();
    let objective = TrainingObjective::penalized(LossFunction::SquaredError, regularization);
    let squares = FeatureEnergy::new(&samples.data()).unwrap().total();
    let plain = AuditOptions::default();
    let full = plain.clone().with_objective(objective).with_all_metrics(true);
    let full = full.with_features_squared(squares);
    let sums = |options: &AuditOptions| {
        AuditSums::<f64>::new(statistics.clone(), head.clone(), options).unwrap()
    };
    let parts = samples.split(4, |i| (i * i + i / 7) % 4);
    for options in [&plain, &full, &full.clone().with_balance(false)] {
        let (mut whole, mut merged) = (sums(options), sums(options));
        whole.accumulate(&samples.data()).unwrap();
        for part in [2, 0, 3, 1] {
            let mut worker = sums(options);
            worker.accumulate(&parts[part].data()).unwrap();
            merged.merge_part(&sent(worker.part())).unwrap();
        }
        merged.merge_part(&sums(options).part()).unwrap();
        let (found, expected) = (merged.measurement().unwrap(), whole.measurement().unwrap());
        assert_eq!(found.nc4(), expected.nc4());
        assert_eq!(found.objective().is_some(), options.objective.is_some());
        let balance = options.objective.is_some() && !options.without_balance;
        assert_eq!(found.balancedness().is_some(), balance);
        let numbers = |measured: &Measurement| {
            let objective = measured.objective();
            [
                measured.nc1().map(|nc1| nc1.value),
                measured.nc1_resolved().map(|nc1| nc1.value),
                objective.map(|objective| objective.loss()),
                objective.map(|objective| objective.gradient_norm),
                measured.balancedness().map(|residuals| residuals[0]),
                measured.metrics().map(|metrics| metrics.cdnv.unwrap().mean.unwrap()),
            ]
        };
        for (found, expected) in numbers(&found).into_iter().zip(numbers(&expected)) {
            assert_eq!(found.is_some(), expected.is_some());
            assert!(relative_error(found.unwrap_or(1.0), expected.unwrap_or(1.0)) < 1e-13);
        }
    }
}

/// The objective follows from what was minimized: factors scale the data term, budgets leave it alone.
#[test]
fn the_objective_is_that_of_the_training() {
    let samples = Samples::new(3, 60, 0.2, 0.5);
    let data = samples.data();
    let weight = DMatrix::from_fn(CLASSES, DIMENSION, |i, j| ((i * 3 + j) as f64).cos());
    let head = LinearHead::new(vec![weight], None).unwrap();
    let regularization = Regularization::new(&[1e-3], 3e-3).unwrap();
    let whole = Objective::cross_entropy(&data, &head, &regularization).unwrap();
    let halved = TrainingObjective::Penalized {
        loss_function: LossFunction::CrossEntropy,
        factor: 0.5,
        regularization,
    };
    let half = Objective::new(&data, &head, &halved).unwrap();
    assert_eq!(half.data_term, whole.data_term / 2.0);
    assert_eq!(
        (half.weight_penalty, half.feature_penalty),
        (whole.weight_penalty, whole.feature_penalty)
    );
    // Half of the loss with half of the decays has half of the gradient.
    let half_decays = TrainingObjective::Penalized {
        loss_function: LossFunction::CrossEntropy,
        factor: 0.5,
        regularization: Regularization::new(&[0.5e-3], 1.5e-3).unwrap(),
    };
    let scaled = Objective::new(&data, &head, &half_decays).unwrap();
    assert!(relative_error(scaled.gradient_norm, whole.gradient_norm / 2.0) < 1e-14);
    let budgets = TrainingObjective::Budgeted {
        loss_function: LossFunction::CrossEntropy,
        weight_energy: 1.0,
        feature_energy: 1.0,
    };
    let budgeted = Objective::new(&data, &head, &budgets).unwrap();
    assert_eq!((budgeted.loss(), budgeted.weight_penalty), (whole.data_term, 0.0));
    let statistics = ClassStatistics::new(&data).unwrap();
    let sums = ObjectiveSums::new(&statistics, &head, &budgets).unwrap();
    assert!(matches!(sums.with_balancedness(), Err(Error::NotAnswered { .. })));
    let margin = TrainingObjective::SmallestNorms { loss_function: LossFunction::Margin };
    assert!(matches!(Objective::new(&data, &head, &margin), Err(Error::NotAnswered { .. })));
}

/// Squares of these numbers are zero or out of range; none of the results is.
#[test]
fn one_pass_at_every_magnitude() {
    let samples = Samples::new(4, 200, 0.3, 0.0);
    let expected = pooled_metrics(&samples.pooled());
    for scale in [1e-280, 1e-170, 1e-160, 1e-80, 1e80, 1e139] {
        let numbers: Vec<f64> = samples.numbers.iter().map(|number| number * scale).collect();
        let scaled = Samples { numbers, labels: samples.labels.clone() };
        let mut batches = PooledScatter::empty(DIMENSION, CLASSES).unwrap();
        for part in scaled.split(3, |i| i % 3) {
            batches.merge(&part.pooled()).unwrap();
        }
        for scatter in [&scaled.pooled(), &batches] {
            for (found, expected) in pooled_metrics(scatter).into_iter().zip(expected) {
                assert!(relative_error(found, expected) < 1e-12, "{scale}: {found} {expected}");
            }
        }
        let statistics = ClassStatistics::new(&scaled.data()).unwrap();
        let found = projected_metrics(&scaled.projected(&statistics));
        for (found, expected) in found.into_iter().zip(expected) {
            assert!(relative_error(found, expected) < 1e-12, "{scale}: {found} {expected}");
        }
    }
    // The variances themselves, of one pass and of two.
    for scale in [1e-80, 1.0, 1e80] {
        let numbers: Vec<f64> = samples.numbers.iter().map(|number| number * scale).collect();
        let scaled = Samples { numbers, labels: samples.labels.clone() };
        let statistics = ClassStatistics::new(&scaled.data()).unwrap();
        let mut two = ClassVariances::new(&statistics).unwrap();
        two.accumulate(&scaled.data()).unwrap();
        let found = [scaled.pooled().class_variances(), two.class_variances().unwrap()];
        for (class, expected) in samples.pooled().class_variances().into_iter().enumerate() {
            for found in &found {
                let found = found[class].unwrap() / scale / scale;
                assert!(relative_error(found, expected.unwrap()) < 1e-12, "{scale}: {found}");
            }
        }
    }
    // Batches of very different magnitudes: the small ones do not count.
    let mut mixed = samples.pooled();
    let numbers: Vec<f64> = samples.numbers.iter().map(|number| number * 1e-170).collect();
    let tiny = Samples { numbers, labels: samples.labels.clone() };
    mixed.merge(&tiny.pooled()).unwrap();
    let mut other = tiny.pooled();
    other.merge(&samples.pooled()).unwrap();
    for (found, expected) in pooled_metrics(&mixed).into_iter().zip(pooled_metrics(&other)) {
        assert!(relative_error(found, expected) < 1e-12);
    }
    // Equal means have no distance, and no number that is not one.
    let equal = Features::from_row_major(&[1.0, 2.0], 2, 1).unwrap();
    let equal = equal.with_labels(&[0, 0], 1).unwrap();
    let statistics = ClassStatistics::new(&equal).unwrap();
    assert!(cdnv(&equal, &statistics).is_err());
    let equal = Features::from_row_major(&[1.0, 2.0, 2.0, 1.0], 4, 1).unwrap();
    let equal = equal.with_labels(&[0, 0, 1, 1], 2).unwrap();
    let found = cdnv(&equal, &ClassStatistics::new(&equal).unwrap()).unwrap();
    assert_eq!((found.mean, found.largest, found.coincident_pairs), (None, None, 1));
}

#[cfg(feature = "serde")]
mod stored {
    use super::*;
    use crate::support::samples::Projected;
    use neural_collapse::metrics::Nc1Part;

    #[test]
    fn what_is_written_can_be_read() {
        let samples = Samples::new(1, 50, 0.25, 1.0);
        let statistics = ClassStatistics::new(&samples.data()).unwrap();
        let (pooled, projected) = (samples.pooled(), samples.projected(&statistics));
        let text = serde_json::to_string(&statistics).unwrap();
        let read: ClassStatistics = serde_json::from_str(&text).unwrap();
        assert!((read.class_means().unwrap() - statistics.class_means().unwrap()).amax() < 1e-15);
        assert_eq!(read.counts(), statistics.counts());
        let read: PooledScatter =
            serde_json::from_str(&serde_json::to_string(&pooled).unwrap()).unwrap();
        for (found, expected) in pooled_metrics(&read).into_iter().zip(pooled_metrics(&pooled)) {
            assert!(relative_error(found, expected) < 1e-14);
        }
        let read: Nc1Part =
            serde_json::from_str(&serde_json::to_string(&projected.nc1.part()).unwrap()).unwrap();
        let mut merged = Projected::new(&statistics).unwrap();
        merged.nc1.merge_part(&read).unwrap();
        let text = serde_json::to_string(&projected.variances.part()).unwrap();
        merged.variances.merge_part(&serde_json::from_str(&text).unwrap()).unwrap();
        for (found, expected) in
            projected_metrics(&merged).into_iter().zip(projected_metrics(&projected))
        {
            assert!(relative_error(found, expected) < 1e-14);
        }
    }

    fn statistics_error(text: &str) -> String {
        serde_json::from_str::<ClassStatistics>(text).unwrap_err().to_string()
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let good =
            r#"{"version":1,"dimension":1,"counts":[1,0],"sums":[2.0,0.0],"corrections":[0,0]}"#;
        assert!(serde_json::from_str::<ClassStatistics>(good).is_ok());
        for (from, to, error) in [
            (r#""version":1"#, r#""version":2"#, "version 2"),
            (r#""dimension":1"#, r#""dimension":2"#, "`sums` has 2 numbers, but must have 4"),
            (r#""dimension":1"#, r#""dimension":18446744073709551615"#, "more than fits"),
            (r#""counts":[1,0]"#, r#""counts":[]"#, "must not be empty"),
            (r#""counts":[1,0]"#, r#""counts":[0,1]"#, "without samples"),
            (
                r#""counts":[1,0],"sums":[2.0,0.0]"#,
                r#""counts":[0,0],"sums":[0.0,2.0]"#,
                "without samples",
            ),
            (r#""corrections":[0,0]"#, r#""corrections":[0,1]"#, "without samples"),
            (r#""corrections":[0,0]"#, r#""corrections":[0]"#, "`corrections` has 1"),
            (r#""version":1"#, r#""version":1,"more":0"#, "unknown field"),
        ] {
            let found = statistics_error(&good.replace(from, to));
            assert!(found.contains(error), "{found}");
        }
        let pooled = format!(
            r#"{{"version":1,"statistics":{good},"unit":0.5,"scatter":[1.0],"squares":[1,0]}}"#
        );
        for unit in ["0.5", "0.25", "2e-323"] {
            let read = serde_json::from_str::<PooledScatter>(&pooled.replace("0.5", unit));
            assert_eq!(read.is_ok(), unit != "2e-323");
        }
        for (from, to) in [
            ("[1.0]", "[1.0,2.0]"),
            ("[1,0]}", "[-1,0]}"),
            ("[1,0]}", "[1]}"),
            ("0.5", "0.6"),
            ("0.5", "0.75"),
            ("0.5", "0"),
            ("0.5", "-1"),
        ] {
            assert!(serde_json::from_str::<PooledScatter>(&pooled.replace(from, to)).is_err());
        }
        let part = r#"{"version":1,"fingerprint":7,"counts":[1],"projected":[1,0]}"#;
        assert!(serde_json::from_str::<Nc1Part>(part).is_ok());
        for (from, to) in [("[1,0]", "[-1,0]"), (":1,", ":2,"), ("[1,0]", "[1e308,1e308]")] {
            assert!(serde_json::from_str::<Nc1Part>(&part.replace(from, to)).is_err());
        }
    }
}
