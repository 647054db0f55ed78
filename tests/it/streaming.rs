//! Accumulators that are fed batches and merged: any split, any order, the same result.

use nalgebra::DMatrix;
use neural_collapse::measure::{Center, ClassVariances, FeatureEnergy, PooledScatter};
use neural_collapse::metrics::{
    AllMetrics, DecisionCounts, MetricSums, Nc1Options, Nc1Sums, all_metrics, cdnv, nc1,
    nc1_trace_quotient,
};
use neural_collapse::objective::{Objective, ObjectiveSums};
use neural_collapse::problem::{LossFunction, TrainingObjective};
use neural_collapse::{
    AuditSums, ClassStatistics, Error, Features, LabeledFeatures, LinearHead, Regularization, audit,
};
use proptest::prelude::*;

const DIMENSION: usize = 5;
const CLASSES: usize = 4;

/// Samples one after the other and their labels.
#[derive(Debug, Clone, Default)]
struct Samples {
    numbers: Vec<f64>,
    labels: Vec<usize>,
}

impl Samples {
    /// Every class has samples, around means far from each other and from 0.
    fn new(seed: u64, count: usize, deviation: f64, offset: f64) -> Self {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 32) as f64 / f64::from(1_u32 << 31) - 1.0
        };
        let means: Vec<f64> = (0..DIMENSION * CLASSES).map(|_| next() + offset).collect();
        let labels: Vec<usize> =
            (0..count).map(|i| if i < CLASSES { i } else { i * i % CLASSES }).collect();
        let numbers = labels
            .iter()
            .flat_map(|&label| means[label * DIMENSION..][..DIMENSION].to_vec())
            .map(|mean| mean + deviation * next())
            .collect();
        Self { numbers, labels }
    }

    /// The samples for which `piece` gives each number below `pieces`.
    fn split(&self, pieces: usize, piece: impl Fn(usize) -> usize) -> Vec<Self> {
        let mut parts = vec![Self::default(); pieces];
        for (i, sample) in self.numbers.chunks(DIMENSION).enumerate() {
            let part = &mut parts[piece(i)];
            part.numbers.extend_from_slice(sample);
            part.labels.push(self.labels[i]);
        }
        parts
    }

    fn data(&self) -> LabeledFeatures<'_, f64> {
        let features = Features::from_row_major(&self.numbers, self.labels.len(), DIMENSION);
        features.unwrap().with_labels(&self.labels, CLASSES).unwrap()
    }

    fn pooled(&self) -> PooledScatter {
        let mut pooled = PooledScatter::empty(DIMENSION, CLASSES).unwrap();
        pooled.accumulate(&self.data()).unwrap();
        pooled
    }

    fn projected(&self, statistics: &ClassStatistics) -> Projected {
        let mut projected = Projected::new(statistics).unwrap();
        projected.accumulate(&self.data()).unwrap();
        projected
    }
}

/// All that is summed in a second pass for the variants of NC1.
#[derive(Debug, Clone, PartialEq)]
struct Projected {
    nc1: Nc1Sums<f64>,
    variances: ClassVariances<f64>,
}

impl Projected {
    fn new(statistics: &ClassStatistics) -> Result<Self, Error> {
        let nc1 = Nc1Sums::new(statistics, &Nc1Options::default())?;
        Ok(Self { nc1, variances: ClassVariances::new(statistics)? })
    }

    fn accumulate(&mut self, batch: &LabeledFeatures<'_, f64>) -> Result<(), Error> {
        self.nc1.accumulate(batch)?;
        self.variances.accumulate(batch)
    }

    fn merge(&mut self, other: &Self) -> Result<(), Error> {
        self.nc1.merge(&other.nc1)?;
        self.variances.merge(&other.variances)
    }
}

/// Zero where both are zero, as they are with a single sample in each class.
fn relative_error(found: f64, expected: f64) -> f64 {
    if found == expected { 0.0 } else { (found - expected).abs() / expected.abs() }
}

/// NC1, quotient of traces, mean CDNV.
fn pooled_metrics(scatter: &PooledScatter) -> [f64; 3] {
    let options = Nc1Options::default();
    let quotient = scatter.trace_quotient(Center::Samples).unwrap();
    [scatter.nc1(&options).unwrap().value, quotient, scatter.cdnv().unwrap().mean.unwrap()]
}

fn projected_metrics(Projected { nc1, variances }: &Projected) -> [f64; 3] {
    let quotient = variances.trace_quotient(Center::Samples).unwrap();
    [nc1.nc1().unwrap().value, quotient, variances.cdnv().unwrap().mean.unwrap()]
}

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
    let penalties = Regularization::new(&[1e-3], 1e-3).unwrap();
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
        let mut objective = ObjectiveSums::cross_entropy(&statistics, &head, &penalties).unwrap();
        refused(objective.accumulate(&damaged.data()).unwrap_err());
        objective.accumulate(&samples.data()).unwrap();
        let whole = Objective::cross_entropy(&samples.data(), &head, &penalties).unwrap();
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
    let penalties = Regularization::new(&[1e-3], 1e-3).unwrap();

    let expected = audit(&good, &head, Some(&penalties)).unwrap();
    let mut sums = AuditSums::new(&statistics, &head, Some(&penalties)).unwrap();
    assert!(sums.accumulate(&bad).is_err());
    sums.accumulate(&good).unwrap();
    assert_eq!(sums.audit().unwrap(), expected);
    for cross_entropy in [false, true] {
        let sums = match cross_entropy {
            false => ObjectiveSums::squared_error(&statistics, &head, &penalties),
            true => ObjectiveSums::cross_entropy(&statistics, &head, &penalties),
        };
        let mut sums = sums.unwrap().with_balancedness().unwrap();
        assert!(sums.accumulate(&bad).is_err());
        sums.accumulate(&good).unwrap();
        assert_eq!(sums.balancedness().unwrap(), expected.balancedness);
        let objective = match cross_entropy {
            false => Objective::squared_error(&good, &head, &penalties),
            true => Objective::cross_entropy(&good, &head, &penalties),
        };
        assert_eq!(sums.objective(), objective);
    }
}

/// A second pass over other samples is refused, as far as numbers tell.
#[test]
fn an_incomplete_second_pass_is_refused() {
    let samples = Samples::new(5, 400, 0.2, 1.0);
    let statistics = ClassStatistics::new(&samples.data()).unwrap();
    let head = LinearHead::new(vec![statistics.class_means().unwrap().transpose()], None).unwrap();
    let mut sums = AuditSums::<f64>::new(&statistics, &head, None).unwrap();
    sums.accumulate(&samples.split(2, |i| i % 2)[0].data()).unwrap();
    let refused = |error: Error| {
        assert!(matches!(error, Error::SecondPass { found, expected, .. } if found < expected));
    };
    refused(sums.audit().unwrap_err());
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
    let mut metrics = MetricSums::new(&statistics, &head).unwrap();
    metrics.accumulate(&half.data()).unwrap();
    refused(metrics.metrics().unwrap_err());
    let penalties = Regularization::new(&[1e-3], 2e-3).unwrap();
    let objective = ObjectiveSums::squared_error(&statistics, &head, &penalties).unwrap();
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
}

/// Every accumulator of a second pass: parts that are counted apart, sent as text and put together in any order are
/// the whole; those of another first pass or head are refused and change nothing.
#[test]
fn a_whole_audit_can_be_computed_in_parts() {
    let samples = Samples::new(11, 300, 0.2, 0.5);
    let statistics = ClassStatistics::new(&samples.data()).unwrap();
    let first = DMatrix::from_fn(6, DIMENSION, |i, j| ((i * 5 + j) as f64).sin());
    let second = DMatrix::from_fn(CLASSES, 6, |i, j| ((i * 3 + 2 * j) as f64).cos());
    let head = LinearHead::new(vec![first, second], None).unwrap();
    let penalties = Regularization::new(&[1e-3, 2e-3], 3e-3).unwrap();
    let parts = samples.split(4, |i| (i * i + i / 7) % 4);

    let metrics = || MetricSums::<f64>::new(&statistics, &head).unwrap();
    let objective = || {
        let sums = ObjectiveSums::cross_entropy(&statistics, &head, &penalties).unwrap();
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
        neural_collapse::objective::balancedness(samples.data().features(), &head, &penalties);
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
        ObjectiveSums::squared_error(&statistics, &head, &penalties).unwrap(),
        ObjectiveSums::cross_entropy(&statistics, &head, &penalties).unwrap(),
        ObjectiveSums::cross_entropy(&statistics, &twice, &penalties).unwrap(),
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

/// What arrives when something is sent as text.
#[cfg(feature = "serde")]
fn sent<P: serde::Serialize + serde::de::DeserializeOwned>(part: P) -> P {
    serde_json::from_str(&serde_json::to_string(&part).unwrap()).unwrap()
}

#[cfg(not(feature = "serde"))]
fn sent<P>(part: P) -> P {
    part
}

/// The objective follows from what was minimised: factors scale the data term, budgets leave it alone.
#[test]
fn the_objective_is_that_of_the_training() {
    let samples = Samples::new(3, 60, 0.2, 0.5);
    let data = samples.data();
    let weight = DMatrix::from_fn(CLASSES, DIMENSION, |i, j| ((i * 3 + j) as f64).cos());
    let head = LinearHead::new(vec![weight], None).unwrap();
    let penalties = Regularization::new(&[1e-3], 3e-3).unwrap();
    let whole = Objective::cross_entropy(&data, &head, &penalties).unwrap();
    let halved = TrainingObjective::Penalized {
        loss_function: LossFunction::CrossEntropy,
        factor: 0.5,
        regularization: penalties.clone(),
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

/// An audit in batches is that of all samples at once.
#[test]
fn audits_of_batches() {
    let samples = Samples::new(5, 400, 0.2, 1.0);
    let statistics = ClassStatistics::new(&samples.data()).unwrap();
    let head = LinearHead::new(vec![statistics.class_means().unwrap().transpose()], None).unwrap();
    let penalties = Regularization::new(&[1e-3], 2e-3).unwrap();
    let whole = audit(&samples.data(), &head, Some(&penalties)).unwrap();
    let mut sums = AuditSums::new(&statistics, &head, Some(&penalties)).unwrap();
    for part in samples.split(7, |i| i % 7) {
        assert!(sums.audit().is_err());
        sums.accumulate(&part.data()).unwrap();
    }
    let parts = sums.audit().unwrap();
    assert_eq!((&parts.nc2, parts.nc3, &parts.nc4), (&whole.nc2, whole.nc3, &whole.nc4));
    assert_eq!((&parts.classes, &parts.prediction), (&whole.classes, &whole.prediction));
    assert!(relative_error(parts.nc1.unwrap().value, whole.nc1.unwrap().value) < 1e-12);
    let (found, expected) = (parts.objective.unwrap(), whole.objective.unwrap());
    assert!(relative_error(found.loss(), expected.loss()) < 1e-12);
    assert!(relative_error(found.gradient_norm, expected.gradient_norm) < 1e-12);
    let balance = parts.balancedness.unwrap().into_iter().zip(whole.balancedness.unwrap());
    assert!(balance.into_iter().all(|(found, expected)| relative_error(found, expected) < 1e-12));
    sums.accumulate(&samples.split(50, |i| i % 50)[0].data()).unwrap();
    assert!(matches!(sums.audit(), Err(Error::SecondPass { .. })));
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

#[cfg(feature = "serde")]
mod stored {
    use super::*;
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
            (r#""corrections":[0,0]"#, r#""corrections":[0]"#, "`corrections` has 1"),
            (r#""version":1"#, r#""version":1,"more":0"#, "unknown field"),
        ] {
            let found = statistics_error(&good.replace(from, to));
            assert!(found.contains(error), "{found}");
        }
        let pooled = format!(
            r#"{{"version":1,"statistics":{good},"unit":0.5,"scatter":[1.0],"squares":[1,0]}}"#
        );
        assert!(serde_json::from_str::<PooledScatter>(&pooled).is_ok());
        for (from, to) in [
            ("[1.0]", "[1.0,2.0]"),
            ("[1,0]}", "[-1,0]}"),
            ("[1,0]}", "[1]}"),
            ("0.5", "0.6"),
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
