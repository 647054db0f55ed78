//! Standard errors of metrics: their coverage in simulations, and how they are merged and subtracted.

use nalgebra::DMatrix;
use neural_collapse::metrics::errors::{Estimate, Metric, SampleParts, StandardErrors};
use neural_collapse::metrics::{Nc1Options, all_metrics, nc4};
use neural_collapse::{ClassMatrix, ClassStatistics, Error, Features, LabeledFeatures, LinearHead};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};

const DIMENSION: usize = 7;

/// A network whose classes are neither collapsed nor alike.
struct Network {
    means: DMatrix<f64>,
    mixing: DMatrix<f64>,
    head: LinearHead,
    /// Another one, of two layers.
    deep: LinearHead,
    labels: Vec<usize>,
    target: ClassMatrix,
}

fn normal(rows: usize, columns: usize, rng: &mut SmallRng) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |_, _| StandardNormal.sample(rng))
}

impl Network {
    fn new(counts: &[usize], rng: &mut SmallRng) -> Self {
        let classes = counts.len();
        let means = normal(DIMENSION, classes, rng) * 1.5;
        let weights = means.transpose() + normal(classes, DIMENSION, rng) * 0.5;
        let first = DMatrix::identity(6, DIMENSION) + normal(6, DIMENSION, rng) * 0.3;
        let second = (&first * &means).pseudo_inverse(1e-9).unwrap();
        let deep = vec![first, second + normal(classes, 6, rng) * 0.02];
        Self {
            deep: LinearHead::new(deep, None).unwrap(),
            mixing: normal(DIMENSION, DIMENSION, rng) * 0.25,
            head: LinearHead::new(vec![weights], None).unwrap(),
            means,
            labels: (0..classes).flat_map(|k| vec![k; counts[k]]).collect(),
            target: ClassMatrix::simplex_etf(classes).unwrap(),
        }
    }

    fn samples(&self, rng: &mut SmallRng) -> DMatrix<f64> {
        let noise = &self.mixing * normal(DIMENSION, self.labels.len(), rng);
        DMatrix::from_fn(DIMENSION, self.labels.len(), |row, sample| {
            self.means[(row, self.labels[sample])] + noise[(row, sample)]
        })
    }

    fn data<'a>(&'a self, samples: &'a DMatrix<f64>) -> LabeledFeatures<'a, f64> {
        let features = Features::from_sample_columns(samples).unwrap();
        features.with_labels(&self.labels, self.head.classes()).unwrap()
    }

    fn errors(&self, samples: &DMatrix<f64>) -> StandardErrors {
        let data = self.data(samples);
        let statistics = ClassStatistics::new(&data).unwrap();
        let options = Nc1Options::default();
        let parts = SampleParts::new(&statistics, &options).unwrap();
        let parts = parts.with_nc1(Metric::Nc1PredictedRank, &options.with_largest_rank(2));
        let mut parts = parts.unwrap().with_all_nc1(&self.deep).unwrap();
        parts.accumulate(&data).unwrap();
        let errors = StandardErrors::of_all_metrics(&parts, &self.head, Some(&self.target));
        let decisions = nc4(&data, &statistics, &self.head).unwrap();
        let errors = errors.unwrap().unwrap().with_decisions(&decisions, statistics.counts());
        errors.with_nc2_class_means(&parts, &self.target).unwrap()
    }
}

#[test]
fn two_thirds_of_the_measurements_are_within_one_error() {
    const DRAWS: usize = 3000;
    let mut misses = Vec::new();
    let mut rng = SmallRng::seed_from_u64(41);
    for counts in [&[40, 40, 40, 40][..], &[90, 45, 30, 30, 30]] {
        let network = Network::new(counts, &mut rng);
        let samples: Vec<_> = (0..DRAWS).map(|_| network.samples(&mut rng)).collect();
        let draws: Vec<_> = samples.iter().map(|samples| network.errors(samples)).collect();
        let metrics: Vec<Metric> = draws[0].iter().map(|found| found.0).collect();
        for metric in metrics {
            // Shares that are nearly 1 jump by whole samples.
            if matches!(metric, Metric::Nc4 | Metric::Accuracy | Metric::NearestMeanAccuracy) {
                continue;
            }
            // The largest of all pairs has an error only where it stands out.
            let found: Vec<_> = draws.iter().filter_map(|draw| draw.get(metric)).collect();
            let number = found.len() as f64;
            let mean = found.iter().map(|estimate| estimate.value).sum::<f64>() / number;
            let within = found
                .iter()
                .filter(|estimate| (estimate.value - mean).abs() < estimate.standard_error)
                .count();
            let coverage = within as f64 / number;
            // Where it does not stand out every time, those times are chosen by the draw, and the errors are too large.
            let stands_out = number >= 0.97 * DRAWS as f64;
            assert!(stands_out || is_largest(metric), "{metric:?} {counts:?}: {number} of {DRAWS}");
            let most = if stands_out { 0.715 } else { 0.8 };
            if !(0.65..most).contains(&coverage) {
                misses.push(format!("{metric:?} {counts:?}: {coverage} of {number}"));
            }
        }
    }
    assert!(misses.is_empty(), "{misses:#?}");
}

fn is_largest(metric: Metric) -> bool {
    matches!(
        metric,
        Metric::CdnvLargest
            | Metric::ClassMeansLargestEtfDeviation
            | Metric::CenteredClassMeansLargestEtfDeviation
    )
}

/// In a collapsed network all pairs are alike, and the largest is a matter of chance.
#[test]
fn the_largest_of_equal_pairs_has_no_error() {
    let mut rng = SmallRng::seed_from_u64(11);
    let mut network = Network::new(&[60; 6], &mut rng);
    network.means.fill(0.0);
    network.means.view_mut((0, 0), (6, 6)).copy_from(&(DMatrix::identity(6, 6) * 4.0));
    network.mixing = DMatrix::identity(DIMENSION, DIMENSION) * 0.3;
    let draws: Vec<_> = (0..40).map(|_| network.errors(&network.samples(&mut rng))).collect();
    for metric in [Metric::CdnvLargest, Metric::CenteredClassMeansLargestEtfDeviation] {
        let missing: Vec<_> = draws.iter().filter(|draw| draw.get(metric).is_none()).collect();
        assert!(missing.len() >= 30, "{metric:?}: {}", missing.len());
        assert!(
            missing.iter().all(|draw| draw.reason(metric).unwrap().contains("near the largest"))
        );
    }
    assert!(draws.iter().all(|draw| draw.get(Metric::Cdnv).is_some()));
}

/// What is estimated is what the metrics' functions give.
#[test]
fn values_are_those_of_the_metrics() {
    let mut rng = SmallRng::seed_from_u64(2);
    let network = Network::new(&[9, 6, 5], &mut rng);
    let samples = network.samples(&mut rng);
    let data = network.data(&samples);
    let errors = network.errors(&samples);
    let metrics = all_metrics(&data, &ClassStatistics::new(&data).unwrap(), &network.head).unwrap();
    let shape = metrics.centered_class_means;
    for (metric, expected) in [
        (Metric::Nc1, metrics.nc1.center_samples.unwrap().value),
        (Metric::Nc1TraceQuotient, metrics.nc1_trace_quotient.center_samples.unwrap()),
        (Metric::Cdnv, metrics.cdnv.unwrap().mean.unwrap()),
        (Metric::SelfDuality, metrics.self_duality.unwrap()),
        (Metric::Nc4, metrics.nc4.overall.agreement),
        (
            Metric::Nc2ClassMeans,
            network
                .target
                .distance_to_gram(
                    &ClassStatistics::new(&data).unwrap().class_means().unwrap().transpose(),
                )
                .unwrap(),
        ),
        (Metric::CenteredClassMeansLogEnergy, shape.log_energy.unwrap().mean),
    ] {
        let found = errors.get(metric).unwrap().value;
        assert!((found / expected - 1.0).abs() < 1e-12, "{metric}: {found} {expected}");
    }
}

/// A share of samples is a mean of zeros and ones, and its variance that of each class by itself.
#[test]
fn errors_of_shares_are_those_of_means() {
    let mut rng = SmallRng::seed_from_u64(5);
    let mut network = Network::new(&[30, 20, 10], &mut rng);
    // Classes that overlap, so that some samples of each are decided wrongly.
    network.means *= 0.5;
    let samples = network.samples(&mut rng);
    let outputs = network.head.product().unwrap() * &samples;
    let right = |sample: usize| outputs.column(sample).argmax().0 == network.labels[sample];
    let mut variance = 0.0;
    for class in 0..3 {
        let own = (0..network.labels.len()).filter(|&sample| network.labels[sample] == class);
        let hits: Vec<f64> = own.map(|sample| f64::from(u8::from(right(sample)))).collect();
        let share = hits.iter().sum::<f64>() / hits.len() as f64;
        variance += hits.iter().map(|hit| (hit - share).powi(2)).sum::<f64>();
    }
    let expected = variance.sqrt() / network.labels.len() as f64;
    let found = network.errors(&samples).get(Metric::Accuracy).unwrap().standard_error;
    assert!(expected > 0.01 && (found / expected - 1.0).abs() < 1e-12, "{found} {expected}");
}

/// Another order of the samples deals them out to other parts: standard errors differ by their own error, 1/√(2P) for P = 64
/// parts, and nothing else does.
#[test]
fn the_order_of_samples_moves_standard_errors_by_their_own_error() {
    let mut rng = SmallRng::seed_from_u64(19);
    let mut network = Network::new(&[400, 300, 500], &mut rng);
    let samples = network.samples(&mut rng);
    let labels = network.labels.clone();
    let mut orders = Vec::new();
    for _ in 0..60 {
        let mut order: Vec<usize> = (0..samples.ncols()).collect();
        order.shuffle(&mut rng);
        network.labels = order.iter().map(|&sample| labels[sample]).collect();
        orders.push(network.errors(&samples.select_columns(&order)));
    }
    for metric in [Metric::Nc1, Metric::Cdnv, Metric::Nc2ClassMeans, Metric::Nc3] {
        let found: Vec<_> = orders.iter().map(|errors| errors.get(metric).unwrap()).collect();
        let mean = found.iter().map(|found| found.standard_error).sum::<f64>() / 60.0;
        let square = |found: &&Estimate| (found.standard_error / mean - 1.0).powi(2);
        let spread = (found.iter().map(square).sum::<f64>() / 59.0).sqrt();
        let expected = (0.5_f64 / 64.0).sqrt();
        assert!((spread / expected - 1.0).abs() < 0.4, "{metric}: {spread}, expected {expected}");
        assert!(found.iter().all(|one| (one.value / found[0].value - 1.0).abs() < 1e-10));
    }
}

/// NC1 moves as its gradient says: against differences, where the changes of the class means are of order one.
#[test]
fn the_change_of_nc1_is_that_of_other_samples() {
    let mut rng = SmallRng::seed_from_u64(3);
    // Two samples per class are two parts; one of them moved by a little, and the metric by its gradient.
    let network = Network::new(&[50, 40, 60], &mut rng);
    let samples = network.samples(&mut rng);
    let spread = |scale: f64| {
        // Deviations that are smaller by a factor have errors that are smaller by its square, relative to the means.
        let mut scaled = samples.clone();
        let data = network.data(&samples);
        let means = ClassStatistics::new(&data).unwrap().class_means().unwrap();
        for (mut column, &label) in scaled.column_iter_mut().zip(&network.labels) {
            let deviation = &column - means.column(label);
            column.copy_from(&(means.column(label) + deviation * scale));
        }
        network.errors(&scaled).get(Metric::Nc1).unwrap().clone()
    };
    let (whole, small) = (spread(1.0), spread(1e-4));
    assert!((small.value / whole.value / 1e-8 - 1.0).abs() < 1e-6);
    // Class means hardly move: what is left is the error of the mean of 150 squares.
    assert!(small.standard_error / 1e-8 < whole.standard_error);
    assert!(small.standard_error / 1e-8 > 0.5 * whole.standard_error);
}

#[test]
fn pieces_that_follow_each_other_have_the_parts_of_the_whole() {
    let mut rng = SmallRng::seed_from_u64(5);
    let network = Network::new(&[70, 50, 90], &mut rng);
    let samples = network.samples(&mut rng);
    let data = network.data(&samples);
    let statistics = ClassStatistics::new(&data).unwrap();
    let empty = SampleParts::new(&statistics, &Nc1Options::default()).unwrap();
    let mut whole = empty.clone();
    whole.accumulate(&data).unwrap();
    let mut merged = empty.clone();
    for piece in [0..33, 33..34, 34..150, 150..210] {
        let columns = samples.columns_range(piece.clone()).into_owned();
        let features = Features::from_sample_columns(&columns).unwrap();
        let mut part = empty.clone();
        part.accumulate(&features.with_labels(&network.labels[piece], 3).unwrap()).unwrap();
        merged.merge(&part).unwrap();
    }
    let errors = |parts: &SampleParts| {
        StandardErrors::of_all_metrics(parts, &network.head, None).unwrap().unwrap()
    };
    for (metric, estimate) in errors(&whole).iter() {
        let merged = errors(&merged);
        let Some(one) = estimate else {
            assert!(merged.get(metric).is_none() && is_largest(metric), "{metric}");
            continue;
        };
        let other = merged.get(metric).unwrap();
        assert!((one.standard_error / other.standard_error - 1.0).abs() < 1e-9, "{metric}");
    }
    let others = Network::new(&[70, 50, 90], &mut rng);
    let foreign = others.samples(&mut rng);
    let foreign = ClassStatistics::new(&others.data(&foreign)).unwrap();
    let foreign = SampleParts::new(&foreign, &Nc1Options::default()).unwrap();
    assert_eq!(merged.merge(&foreign), Err(Error::DifferentFirstPass));
    // Equal are those of the same means, options, directions and samples.
    assert_eq!(whole, whole.clone());
    assert_ne!(whole, empty);
    assert_ne!(empty, foreign);
    let options = Nc1Options::default();
    let undivided = SampleParts::new(&statistics, &options.with_divide_by_classes(false)).unwrap();
    assert_ne!(empty, undivided);
    let more = empty.clone().with_nc1(Metric::Nc1Resolved, &options.with_largest_rank(1)).unwrap();
    assert_ne!(empty, more);
    let unfinished = StandardErrors::new(&empty, &network.head, None);
    assert!(matches!(unfinished, Err(Error::SecondPass { .. })));
}

/// The same samples before and after a small step: the difference is known much better than either number.
#[test]
fn errors_of_the_same_samples_cancel() {
    let mut rng = SmallRng::seed_from_u64(7);
    let network = Network::new(&[40; 4], &mut rng);
    let turn =
        DMatrix::identity(DIMENSION, DIMENSION) + normal(DIMENSION, DIMENSION, &mut rng) * 0.02;
    let mut pairs = Vec::new();
    for _ in 0..400 {
        let samples = network.samples(&mut rng);
        pairs.push((network.errors(&samples), network.errors(&(&turn * &samples))));
    }
    for metric in
        [Metric::Nc1TraceQuotient, Metric::Cdnv, Metric::CenteredClassMeansCosineDeviation]
    {
        let differences: Vec<_> = pairs
            .iter()
            .map(|(early, late)| {
                late.get(metric).unwrap().minus(early.get(metric).unwrap()).unwrap()
            })
            .collect();
        let mean = differences.iter().map(|found| found.value).sum::<f64>() / 400.0;
        let within = differences
            .iter()
            .filter(|found| (found.value - mean).abs() < found.standard_error)
            .count();
        assert!((240..305).contains(&within), "{metric}: {within} of 400");
        let (early, late) = (pairs[0].0.get(metric).unwrap(), pairs[0].1.get(metric).unwrap());
        let independent = late.minus_independent(early);
        assert_eq!(independent.value, differences[0].value);
        assert!(differences[0].standard_error < 0.5 * independent.standard_error, "{metric}");
    }
    let share = pairs[0].0.get(Metric::Nc4).unwrap();
    assert_eq!(share.minus(share), None);
}

#[test]
fn what_has_no_error_has_none() {
    let head = LinearHead::new(vec![DMatrix::identity(2, 2)], None).unwrap();
    let errors = |rows: &DMatrix<f64>, labels: &[usize]| {
        let data = Features::from_sample_rows(rows).unwrap().with_labels(labels, 2).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let mut parts = SampleParts::new(&statistics, &Nc1Options::default()).unwrap();
        parts.accumulate(&data).unwrap();
        StandardErrors::of_all_metrics(&parts, &head, None).unwrap()
    };
    // One sample in a class.
    assert_eq!(
        errors(&DMatrix::from_row_slice(3, 2, &[1.0, 0.0, 1.0, 0.2, 0.0, 1.0]), &[0, 0, 1]),
        None
    );
    // Coincident class means: no NC1 and no angles.
    let equal = errors(
        &DMatrix::from_row_slice(4, 2, &[1.0, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, -1.0]),
        &[0, 0, 1, 1],
    );
    let equal = equal.unwrap();
    assert_eq!(equal.get(Metric::Nc1), None);
    assert_eq!(equal.get(Metric::ClassMeansCosineMean), None);
    assert_eq!(equal.get(Metric::Nc3), None);
    // Perfect collapse: errors of zero, whatever the scale.
    for scale in [1e-150, 1.0, 1e100] {
        let rows = DMatrix::from_row_slice(4, 2, &[1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0]) * scale;
        let perfect = errors(&rows, &[0, 0, 1, 1]).unwrap();
        let nc1 = perfect.get(Metric::Nc1).unwrap();
        assert_eq!((nc1.value, nc1.standard_error), (0.0, 0.0));
    }
}
