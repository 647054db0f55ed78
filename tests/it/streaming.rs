//! Accumulators that are fed batches and merged: any split, any order, the same result.

use neural_collapse::audit::AuditOptions;
use neural_collapse::measure::{Center, PooledScatter};
use neural_collapse::metrics::{
    AllMetrics, Confusion, DecisionCounts, MetricSums, Nc1Options, Nc1Sums, all_metrics, nc1,
    nc1_trace_quotient,
};
use neural_collapse::objective::{Objective, ObjectiveSums};
use neural_collapse::{
    AuditSums, ClassCounts, ClassStatistics, Error, Features, GlobalMinimum, LinearHead,
    Regularization, Ufm, audit,
};
use proptest::prelude::*;

use crate::support::samples::{
    CLASSES, DIMENSION, Projected, Samples, pooled_metrics, projected_metrics, relative_error,
};

proptest! {
    #![proptest_config(crate::support::strategies::config(64))]

    /// In batches, merged in sequence and as a tree, in any order.
    #[test]
    fn any_split_and_any_order(
        seed in any::<u64>(),
        count in CLASSES..300,
        // A large common mean rounds the deviations, and so what batches of few samples have as theirs.
        (deviation, offset) in prop::sample::select(vec![(0.3, 0.0), (0.3, 10.0), (1e-3, 0.0)]),
        order in Just([0_usize, 1, 2, 3, 4]).prop_shuffle(),
        stride in 1_usize..40,
    ) {
        let samples = Samples::new(seed, count, deviation, offset);
        let parts = samples.split(5, |i| (i / stride + i * i % 3) % 5);
        let statistics = ClassStatistics::new(&samples.data()).unwrap();

        let mut batches = PooledScatter::empty(DIMENSION, CLASSES).unwrap();
        let mut projected = Projected::new(&statistics).unwrap();
        let mut sequence = PooledScatter::empty(DIMENSION, CLASSES).unwrap();
        for part in order {
            batches.accumulate(&parts[part].data()).unwrap();
            projected.accumulate(&parts[part].data()).unwrap();
            sequence.merge(&parts[part].pooled()).unwrap();
        }
        let piece = |i: usize| parts[order[i]].pooled();
        let (mut tree, mut right) = (piece(4), piece(1));
        tree.merge(&piece(0)).unwrap();
        right.merge(&piece(3)).unwrap();
        right.merge(&piece(2)).unwrap();
        tree.merge(&right).unwrap();
        let mut projected_tree = parts[order[2]].projected(&statistics);
        for part in [3, 0, 4, 1] {
            projected_tree.merge(&parts[order[part]].projected(&statistics)).unwrap();
        }

        let expected = projected_metrics(&samples.projected(&statistics));
        let direct = nc1(&samples.data(), &statistics, &Nc1Options::default()).unwrap().value;
        let quotient = nc1_trace_quotient(&samples.data(), &statistics, Center::Samples).unwrap();
        prop_assert!(relative_error(direct, expected[0]) < 1e-14, "{direct:e}, {expected:?}");
        prop_assert!(relative_error(quotient, expected[1]) < 1e-14);
        for scatter in [&batches, &sequence, &tree] {
            prop_assert_eq!(scatter.statistics().counts(), statistics.counts());
            for (found, expected) in pooled_metrics(scatter).into_iter().zip(expected) {
                prop_assert!(relative_error(found, expected) < 1e-12);
            }
        }
        for scatter in [&projected, &projected_tree] {
            for (found, expected) in projected_metrics(scatter).into_iter().zip(expected) {
                prop_assert!(relative_error(found, expected) < 1e-13);
            }
        }
    }
}

#[test]
fn nothing_changes_nothing() {
    let samples = Samples::new(1, 50, 0.1, 1.0);
    let nothing = Samples::default();
    let statistics = ClassStatistics::new(&samples.data()).unwrap();
    let (mut pooled, mut projected) = (samples.pooled(), samples.projected(&statistics));
    let before = (pooled.clone(), projected.clone());
    pooled.accumulate(&nothing.data()).unwrap();
    pooled.merge(&nothing.pooled()).unwrap();
    projected.accumulate(&nothing.data()).unwrap();
    projected.merge(&nothing.projected(&statistics)).unwrap();
    assert_eq!((&pooled, &projected), (&before.0, &before.1));
    let mut from_nothing = nothing.pooled();
    from_nothing.merge(&pooled).unwrap();
    assert_eq!(from_nothing, pooled);
}

#[test]
fn an_empty_accumulator_has_no_metrics() {
    let empty = Error::Empty { argument: "features" };
    let pooled = PooledScatter::empty(DIMENSION, CLASSES).unwrap();
    assert_eq!(pooled.nc1(&Nc1Options::default()).unwrap_err(), empty);
    assert_eq!(pooled.trace_quotient(Center::Samples).unwrap_err(), empty);
    assert_eq!(pooled.within_class_covariance().unwrap_err(), empty);
    assert_eq!(pooled.class_variances(), [None; CLASSES]);
    let statistics = ClassStatistics::new(&Samples::new(1, 50, 0.1, 1.0).data()).unwrap();
    let Projected { nc1, variances } = Projected::new(&statistics).unwrap();
    assert_eq!(nc1.nc1().unwrap_err(), empty);
    assert_eq!(variances.trace_quotient(Center::Samples).unwrap_err(), empty);
    assert_eq!(variances.cdnv().unwrap_err(), empty);
    assert_eq!(variances.class_variances().unwrap_err(), empty);
    assert!(PooledScatter::empty(0, 1).is_err() && PooledScatter::empty(1, 0).is_err());
    assert!(PooledScatter::empty(usize::MAX, 1).is_err());
}

/// A class that a piece does not have is no error until a metric needs its mean.
#[test]
fn a_class_may_be_missing_in_a_piece() {
    let samples = Samples::new(3, 60, 0.1, 0.0);
    let mut parts = samples.split(2, |i| usize::from(samples.labels[i] == 2));
    let (second, mut first) = (parts.pop().unwrap().pooled(), parts.pop().unwrap().pooled());
    let error = Error::EmptyClass { argument: "labels", class: 2 };
    assert_eq!(first.nc1(&Nc1Options::default()).unwrap_err(), error);
    assert_eq!(first.class_variances()[2], None);
    first.merge(&second).unwrap();
    let expected = pooled_metrics(&samples.pooled());
    for (found, expected) in pooled_metrics(&first).into_iter().zip(expected) {
        assert!(relative_error(found, expected) < 1e-12);
    }
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let samples = Samples::new(1, 50, 0.1, 1.0);
    let statistics = ClassStatistics::new(&samples.data()).unwrap();
    let mut pooled = samples.pooled();
    assert!(pooled.merge(&PooledScatter::empty(DIMENSION, 3).unwrap()).is_err());
    assert!(pooled.merge(&PooledScatter::empty(4, CLASSES).unwrap()).is_err());
    let mut projected = samples.projected(&statistics);
    let options = Nc1Options::default().with_center(Center::Classes);
    let other = Nc1Sums::new(&statistics, &options).unwrap();
    assert_eq!(projected.nc1.merge(&other), Err(Error::DifferentFirstPass));
    let wide = Features::from_row_major(&[1.0; 12], 2, 6).unwrap();
    assert!(projected.accumulate(&wide.with_labels(&[0, 1], CLASSES).unwrap()).is_err());
    assert!(pooled.accumulate(&wide.with_labels(&[0, 1], CLASSES).unwrap()).is_err());
}

/// A batch with a number that is not finite, after many good ones, is refused as a whole.
#[test]
fn what_is_not_a_number_never_gets_into_an_accumulator() {
    let samples = Samples::new(1, 5000, 0.1, 1.0);
    let statistics = ClassStatistics::new(&samples.data()).unwrap();
    let head = LinearHead::new(vec![statistics.class_means().unwrap().transpose()], None).unwrap();
    let regularization = Regularization::new(&[1e-3], 1e-3).unwrap();
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e141] {
        let mut damaged = samples.clone();
        damaged.numbers[4711 * DIMENSION + 2] = bad;
        let expected = format!(
            "`features` at sample 4711, feature 2, is {bad}, but must be finite and at most"
        );
        let expected = expected.replace(&format!("{}", 1e141), "1e141");
        let refused = |error: Error| assert!(error.to_string().starts_with(&expected), "{error}");

        let mut sums = statistics.clone();
        refused(sums.accumulate(&damaged.data()).unwrap_err());
        assert_eq!(sums, statistics);
        let mut pooled = samples.pooled();
        refused(pooled.accumulate(&damaged.data()).unwrap_err());
        assert_eq!(pooled, samples.pooled());
        let mut projected = samples.projected(&statistics);
        refused(projected.accumulate(&damaged.data()).unwrap_err());
        assert_eq!(projected, samples.projected(&statistics));
        let mut decisions = DecisionCounts::new(&statistics, &head).unwrap();
        decisions.accumulate(&samples.data()).unwrap();
        let before = decisions.nc4().unwrap();
        refused(decisions.accumulate(&damaged.data()).unwrap_err());
        assert_eq!(decisions.nc4().unwrap(), before);
        let mut objective =
            ObjectiveSums::cross_entropy(&statistics, &head, &regularization).unwrap();
        refused(objective.accumulate(&damaged.data()).unwrap_err());
        objective.accumulate(&samples.data()).unwrap();
        let whole = Objective::cross_entropy(&samples.data(), &head, &regularization).unwrap();
        assert_eq!(objective.objective().unwrap(), whole);
    }
    // As many classes as samples: each class is summed apart.
    let labels: Vec<usize> = (0..500).collect();
    let numbers = |bad| [vec![1.0; 499 * 1000], vec![bad; 1000]].concat();
    let (good, bad) = (numbers(2.0), numbers(f64::NAN));
    let data = |numbers| Features::from_row_major(numbers, 500, 1000).unwrap();
    let mut statistics = ClassStatistics::new(&data(&good).with_labels(&labels, 500).unwrap());
    let before = statistics.clone().unwrap();
    let refused = data(&bad).with_labels(&labels, 500).unwrap();
    let error = statistics.as_mut().unwrap().accumulate(&refused).unwrap_err();
    assert!(
        error.to_string().starts_with("`features` at sample 499, feature 0, is NaN"),
        "{error}"
    );
    assert_eq!(statistics.unwrap(), before);
    let mut empty = ClassStatistics::empty(1000, 500).unwrap();
    assert_eq!(empty.accumulate(&refused).unwrap_err().to_string(), error.to_string());
    assert_eq!(empty, ClassStatistics::empty(1000, 500).unwrap());
}

/// The same where a batch has many chunks, of which the first ones are good.
#[test]
fn what_is_not_a_number_in_the_last_chunk_is_not_found_too_late() {
    let (samples, dimension) = (2100, 1024);
    let labels: Vec<usize> = (0..samples).map(|i| i % 2).collect();
    let mut numbers: Vec<f64> =
        (0..samples * dimension).map(|i| ((i * i % 1009) as f64).sin()).collect();
    let good = numbers.clone();
    numbers[samples * dimension - 1] = f64::NAN;
    let data = |numbers| {
        let features: Features<'_, f64> =
            Features::from_row_major(numbers, samples, dimension).unwrap();
        features.with_labels(&labels, 2).unwrap()
    };
    let (good, bad) = (data(&good), data(&numbers));
    let statistics = ClassStatistics::new(&good).unwrap();
    let head = LinearHead::new(vec![statistics.class_means().unwrap().transpose()], None).unwrap();
    let regularization = Regularization::new(&[1e-3], 1e-3).unwrap();

    let prediction = minimum(&statistics, &regularization);
    let expected = audit(&good, &head, &prediction).unwrap();
    let options = AuditOptions::for_prediction(&prediction).unwrap();
    let mut sums = AuditSums::new(statistics.clone(), head.clone(), &options).unwrap();
    assert!(sums.accumulate(&bad).is_err());
    sums.accumulate(&good).unwrap();
    assert_eq!(sums.measurement().unwrap().compare(&prediction).unwrap(), expected);
    for cross_entropy in [false, true] {
        let sums = match cross_entropy {
            false => ObjectiveSums::squared_error(&statistics, &head, &regularization),
            true => ObjectiveSums::cross_entropy(&statistics, &head, &regularization),
        };
        let mut sums = sums.unwrap().with_balancedness().unwrap();
        assert!(sums.accumulate(&bad).is_err());
        sums.accumulate(&good).unwrap();
        let (found, expected) = (sums.balancedness().unwrap().unwrap(), &expected.measurement);
        let difference = (found[0] - expected.balancedness().unwrap()[0]).abs();
        assert!(found.len() == 1 && difference < 1e-14, "{difference:e}");
        let objective = match cross_entropy {
            false => Objective::squared_error(&good, &head, &regularization),
            true => Objective::cross_entropy(&good, &head, &regularization),
        };
        assert_eq!(sums.objective(), objective);
    }
}

/// The prediction for classes of the sizes in the statistics.
fn minimum(statistics: &ClassStatistics, regularization: &Regularization) -> GlobalMinimum {
    let counts = ClassCounts::new(statistics.counts()).unwrap();
    Ufm::new(counts, regularization.clone()).unwrap().global_minimum().unwrap()
}

/// A second pass over other samples is refused, as far as numbers tell.
#[test]
fn an_incomplete_second_pass_is_refused() {
    let samples = Samples::new(5, 400, 0.2, 1.0);
    let statistics = ClassStatistics::new(&samples.data()).unwrap();
    let head = LinearHead::new(vec![statistics.class_means().unwrap().transpose()], None).unwrap();
    let mut sums =
        AuditSums::<f64>::new(statistics.clone(), head.clone(), &AuditOptions::default()).unwrap();
    sums.accumulate(&samples.split(2, |i| i % 2)[0].data()).unwrap();
    let refused = |error: Error| {
        assert!(matches!(error, Error::SecondPass { found, expected, .. } if found < expected));
    };
    refused(sums.measurement().unwrap_err());
    // Each accumulator refuses it by itself.
    let half = samples.split(2, |i| i % 2).swap_remove(0);
    let Projected { nc1, variances } = half.projected(&statistics);
    refused(nc1.nc1().unwrap_err());
    refused(variances.class_variances().unwrap_err());
    refused(variances.trace_quotient(Center::Samples).unwrap_err());
    refused(variances.cdnv().unwrap_err());
    let mut decisions = DecisionCounts::new(&statistics, &head).unwrap();
    decisions.accumulate(&half.data()).unwrap();
    refused(decisions.nc4().unwrap_err());
    let mut confusion = Confusion::new(&statistics, &head).unwrap();
    confusion.accumulate(&half.data()).unwrap();
    refused(confusion.entries().map(|_| ()).unwrap_err());
    let mut metrics = MetricSums::new(&statistics, &head).unwrap();
    metrics.accumulate(&half.data()).unwrap();
    refused(metrics.metrics().unwrap_err());
    let regularization = Regularization::new(&[1e-3], 2e-3).unwrap();
    let objective = ObjectiveSums::squared_error(&statistics, &head, &regularization).unwrap();
    let mut objective = objective.with_balancedness().unwrap();
    objective.accumulate(&half.data()).unwrap();
    refused(objective.objective().unwrap_err());
    refused(objective.balancedness().unwrap_err());
    refused(objective.feature_energy().unwrap_err());
    // Unless it is meant: half of the samples around the means of all.
    let other = metrics.of_other_samples().metrics().unwrap();
    let expected = all_metrics(&half.data(), &statistics, &head).unwrap();
    let nc1 = |metrics: &AllMetrics| metrics.nc1.center_samples.unwrap().value;
    assert!(relative_error(nc1(&other), nc1(&expected)) < 1e-13);
    assert_eq!((other.cdnv, expected.cdnv), (None, None)); // half of the classes have no sample
    assert_eq!(other.nc4, expected.nc4);
    let confusion = confusion.of_other_samples();
    let agreeing = confusion.entries().unwrap().filter(|entry| entry.head == entry.nearest_mean);
    let share = agreeing.map(|entry| entry.samples).sum::<u64>() as f64 / 200.0;
    assert_eq!(share, expected.nc4.overall.agreement);
}

/// An audit in batches is that of all samples at once.
#[test]
fn audits_of_batches() {
    let samples = Samples::new(5, 400, 0.2, 1.0);
    let statistics = ClassStatistics::new(&samples.data()).unwrap();
    let head = LinearHead::new(vec![statistics.class_means().unwrap().transpose()], None).unwrap();
    let regularization = Regularization::new(&[1e-3], 2e-3).unwrap();
    let prediction = minimum(&statistics, &regularization);
    let whole = audit(&samples.data(), &head, &prediction).unwrap();
    let options = AuditOptions::for_prediction(&prediction).unwrap();
    let mut sums = AuditSums::new(statistics, head, &options).unwrap();
    for part in samples.split(7, |i| i % 7) {
        assert!(sums.measurement().is_err());
        sums.accumulate(&part.data()).unwrap();
    }
    let parts = sums.measurement().unwrap().compare(&prediction).unwrap();
    assert_eq!((&parts.nc2, parts.nc3), (&whole.nc2, whole.nc3));
    assert_eq!((&parts.classes, &parts.prediction), (&whole.classes, &whole.prediction));
    let (parts, whole) = (&parts.measurement, &whole.measurement);
    assert_eq!(parts.nc4(), whole.nc4());
    assert!(relative_error(parts.nc1().unwrap().value, whole.nc1().unwrap().value) < 1e-12);
    let (found, expected) = (parts.objective().unwrap(), whole.objective().unwrap());
    assert!(relative_error(found.loss(), expected.loss()) < 1e-12);
    assert!(relative_error(found.gradient_norm, expected.gradient_norm) < 1e-12);
    let balance = parts.balancedness().unwrap().iter().zip(whole.balancedness().unwrap());
    assert!(balance.into_iter().all(|(&found, &expected)| relative_error(found, expected) < 1e-12));
    sums.accumulate(&samples.split(50, |i| i % 50)[0].data()).unwrap();
    assert!(matches!(sums.measurement(), Err(Error::SecondPass { .. })));
}

#[test]
fn covariance_of_one_pass_is_that_of_two() {
    let samples = Samples::new(9, 200, 0.5, 3.0);
    let statistics = ClassStatistics::new(&samples.data()).unwrap();
    let expected =
        neural_collapse::measure::within_class_covariance(&samples.data(), &statistics).unwrap();
    let mut pooled = PooledScatter::empty(DIMENSION, CLASSES).unwrap();
    samples.split(7, |i| i % 7).iter().for_each(|part| pooled.accumulate(&part.data()).unwrap());
    assert!((pooled.within_class_covariance().unwrap() - expected).amax() < 1e-14);
}
