//! What metrics are without structure and with nothing but noise, against simulations.

use nalgebra::DMatrix;
use neural_collapse::geometry::Frame;
use neural_collapse::metrics::errors::SampleParts;
use neural_collapse::metrics::levels::{Collapsed, ShapeLevel, Unstructured};
use neural_collapse::metrics::{AllMetrics, Nc1Options, Shape, all_metrics, nc2, nc3};
use neural_collapse::{ClassCounts, ClassMatrix, ClassStatistics, Features, LinearHead};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, StandardNormal};

fn normal(rows: usize, columns: usize, rng: &mut SmallRng) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |_, _| StandardNormal.sample(rng))
}

/// Mean, and standard error of the mean.
fn average(numbers: &[f64]) -> (f64, f64) {
    let n = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / n;
    let square = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (square / n).sqrt())
}

/// Five standard errors of the simulation, and `relative` for what the formula leaves out.
fn assert_near(name: &str, numbers: &[f64], expected: f64, relative: f64) {
    let (mean, error) = average(numbers);
    let tolerance = 5.0 * error + relative * expected.abs();
    assert!((mean - expected).abs() < tolerance, "{name}: {mean} ± {error}, expected {expected}");
}

/// Metrics of samples without structure and of random layers.
fn random_metrics(counts: &[u64], dimension: usize, draws: usize) -> Vec<AllMetrics> {
    let mut rng = SmallRng::seed_from_u64(5);
    let classes = counts.len();
    let labels: Vec<usize> = (0..classes).flat_map(|k| vec![k; counts[k] as usize]).collect();
    let draw = |_: usize| {
        let rows = normal(labels.len(), dimension, &mut rng);
        let data = Features::from_sample_rows(&rows).unwrap();
        let data = data.with_labels(&labels, classes).unwrap();
        let head = LinearHead::new(vec![normal(classes, dimension, &mut rng)], None).unwrap();
        all_metrics(&data, &ClassStatistics::new(&data).unwrap(), &head).unwrap()
    };
    (0..draws).map(draw).collect()
}

fn check_shape(
    name: &str,
    metrics: &[AllMetrics],
    shape: fn(&AllMetrics) -> Shape,
    level: ShapeLevel,
    rest: f64,
) {
    let values =
        |value: fn(Shape) -> f64| metrics.iter().map(|m| value(shape(m))).collect::<Vec<_>>();
    let check = |entry: &str, value: fn(Shape) -> f64, expected: Option<f64>, relative: f64| {
        assert_near(&format!("{name} {entry}"), &values(value), expected.unwrap(), relative);
    };
    let cosines = |shape: Shape| shape.cosine_spread.unwrap();
    let _ = cosines;
    check(
        "norms",
        |s| s.norm_spread.coefficient_of_variation().unwrap(),
        level.norm_variation,
        rest,
    );
    check("cosine mean", |s| s.cosine_spread.unwrap().mean, level.cosine_mean, rest * rest);
    check("cosine deviation", |s| s.cosine_spread.unwrap().deviation, level.cosine_deviation, rest);
    check("etf", |s| s.equiangularity.unwrap().etf_deviation, level.etf_deviation, rest);
    check("energy", |s| s.log_energy.unwrap().mean, level.log_energy, rest * rest);
}

#[test]
fn nothing_is_found_where_nothing_is() {
    // The last number: how much the smooth formulas may be off, relative to the value.
    for (counts, dimension, rest) in
        [(&[12; 10][..], 40, 0.03), (&[40, 20, 10, 10, 5, 5], 30, 0.04), (&[6; 30], 12, 0.05)]
    {
        let metrics = random_metrics(counts, dimension, 300);
        let counts = ClassCounts::new(counts).unwrap();
        let level = Unstructured::new(&counts, dimension).unwrap();
        let check = |name: &str, value: fn(&AllMetrics) -> f64, expected: f64, relative: f64| {
            assert_near(name, &metrics.iter().map(value).collect::<Vec<_>>(), expected, relative);
        };
        check("NC1", |m| m.nc1.center_samples.unwrap().value, level.nc1.unwrap(), 0.0);
        let quotient = level.nc1_trace_quotient.unwrap();
        check("quotient", |m| m.nc1_trace_quotient.center_samples.unwrap(), quotient, 0.0);
        check("CDNV", |m| m.cdnv.unwrap().mean.unwrap(), level.cdnv.unwrap(), 0.0);
        check("NC4", |m| m.nc4.overall.head_accuracy, level.nc4, 0.0);
        check("duality", |m| m.self_duality.unwrap(), level.self_duality, 0.003);
        check("cosine", |m| m.duality_cosines.unwrap().mean, level.duality_cosine, 0.0);
        check_shape("means", &metrics, |m| m.class_means, level.class_means, rest);
        check_shape(
            "centered",
            &metrics,
            |m| m.centered_class_means,
            level.centered_class_means,
            rest,
        );
        check_shape("classifier", &metrics, |m| m.classifier, level.classifier, rest);
    }
}

#[test]
fn random_layers_are_as_far_from_frames_as_predicted() {
    let mut rng = SmallRng::seed_from_u64(9);
    let widths = [50, 30, 40, 10];
    let draw = |rng: &mut SmallRng| {
        let layers = widths.windows(2).map(|w| normal(w[1], w[0], rng)).collect();
        LinearHead::new(layers, None).unwrap()
    };
    let general: Vec<f64> = (1..=10).map(f64::from).collect();
    let targets = [
        ClassMatrix::simplex_etf(10).unwrap(),
        ClassMatrix::orthogonal_frame(10).unwrap(),
        ClassMatrix::diagonal(&general).unwrap(),
    ];
    let heads: Vec<LinearHead> = (0..400).map(|_| draw(&mut rng)).collect();
    for (layers, relative) in [(1, 3e-3), (2, 6e-3), (3, 1e-2)] {
        for target in &targets {
            let values: Vec<f64> =
                heads.iter().map(|head| nc2(head, layers, target).unwrap()).collect();
            let level = Unstructured::nc2(&heads[0], layers, target).unwrap().unwrap();
            assert_near(&format!("NC2, {layers}"), &values, level, relative);
        }
    }
    let dense = ClassMatrix::from_dense(targets[0].to_dense().unwrap()).unwrap();
    let level = |target| Unstructured::nc2(&heads[0], 2, target).unwrap().unwrap();
    assert!((level(&dense) - level(&targets[0])).abs() < 1e-13);
    let family = ClassMatrix::low_rank_orthogonal_frame(10, 3).unwrap();
    assert_eq!(Unstructured::nc2(&heads[0], 1, &family), Ok(None));
    // A family has no closed form: it is simulated, with its error.
    let counts = ClassCounts::balanced(10, 5).unwrap();
    let targets = [Some(family.clone()), None, Some(targets[0].clone())];
    let simulated =
        Unstructured::new(&counts, 50).unwrap().with_targets(&heads[0], &targets).unwrap();
    let values: Vec<f64> = heads.iter().map(|head| nc2(head, 1, &family).unwrap()).collect();
    let (mean, spread) = average(&values);
    let error = simulated.nc2_uncertainty[0].unwrap();
    assert!(error > 0.0 && error < 0.01 * mean, "{error}");
    assert!((simulated.nc2[0].unwrap() - mean).abs() < 4.0 * spread.hypot(error));
    assert_eq!((simulated.nc2[1], simulated.nc2_uncertainty[1]), (None, None));
    assert_eq!(simulated.nc2_uncertainty[2], Some(0.0));
    assert!(Unstructured::nc2(&heads[0], 4, &dense).is_err());
}

/// E tr (GMGᵀ)⁻¹ for M = diag(1/n) − 11ᵀ/N, by drawing G, times E tr Σ_W/d.
fn drawn_nc1(counts: &[u64], dimension: usize, draws: usize, rng: &mut SmallRng) -> Vec<f64> {
    let samples: f64 = counts.iter().map(|&n| n as f64).sum();
    let within = (samples - counts.len() as f64) / samples;
    let draw = |_: usize| {
        let mut means = normal(dimension, counts.len(), rng);
        means.column_iter_mut().zip(counts).for_each(|(mut mean, &n)| mean /= (n as f64).sqrt());
        let sizes =
            nalgebra::DVector::from_iterator(counts.len(), counts.iter().map(|&n| n as f64));
        let center = &means * sizes / samples;
        means.column_iter_mut().for_each(|mut mean| mean -= &center);
        within * (&means * means.transpose()).try_inverse().unwrap().trace()
    };
    (0..draws).map(draw).collect()
}

/// Fewer dimensions than classes of unequal sizes: a simulation, or an expansion where it is sharp.
#[test]
fn nc1_of_unequal_classes_in_few_dimensions_is_that_of_drawn_means() {
    let mut rng = SmallRng::seed_from_u64(31);
    let long_tail: Vec<u64> = (0..60).map(|k| 3 + 500 / (1 + k)).collect();
    for (counts, dimension, draws) in [
        (&[40, 20, 10, 10, 5, 5, 3, 3, 2, 2][..], 4, 40_000),
        (&[900, 20, 20, 20, 2, 2, 2, 2, 2], 2, 40_000),
        (&long_tail, 15, 4000),
    ] {
        let level = Unstructured::new(&ClassCounts::new(counts).unwrap(), dimension).unwrap();
        let (expected, error) = (level.nc1.unwrap(), level.nc1_uncertainty.unwrap());
        assert!(error > 0.0 && error < 0.01 * expected, "{counts:?}: {expected} ± {error}");
        let drawn = drawn_nc1(counts, dimension, draws, &mut rng);
        let (mean, spread) = average(&drawn);
        let difference = (mean - expected).abs();
        assert!(difference < 4.0 * spread.hypot(error), "{mean} ± {spread}, {expected} ± {error}");
        assert!(spread < 0.01 * mean, "too few draws to tell: {mean} ± {spread}");
    }
    // In one dimension NC1 is the quotient of traces, divided by K, which is an integral.
    for counts in [&[30, 10, 5, 2, 2][..], &[7, 6, 5, 4, 3, 3, 2], &[1000, 1, 1, 1]] {
        let level = Unstructured::new(&ClassCounts::new(counts).unwrap(), 1).unwrap();
        let exact = level.nc1_trace_quotient.unwrap() / counts.len() as f64;
        let error = level.nc1_uncertainty.unwrap();
        assert!((level.nc1.unwrap() - exact).abs() < 4.0 * error + 1e-12, "{exact}, {level:?}");
    }
    // Equal sizes: the integral is known, and sizes that are nearly equal have nearly that NC1.
    let equal = Unstructured::new(&ClassCounts::balanced(12, 50).unwrap(), 6).unwrap();
    let quotient = 49.0 / 50.0 * 50.0 * 12.0 * 6.0 / (11.0 * 6.0 - 2.0);
    assert!((equal.nc1_trace_quotient.unwrap() / quotient - 1.0).abs() < 1e-13);
    assert_eq!(equal.nc1_uncertainty, Some(0.0));
    let mut nearly = vec![50; 12];
    nearly[0] = 51;
    let nearly = Unstructured::new(&ClassCounts::new(&nearly).unwrap(), 6).unwrap();
    assert!((nearly.nc1.unwrap() / equal.nc1.unwrap() - 1.0).abs() < 0.01);
}

#[test]
fn random_class_means_are_as_far_from_a_target_as_predicted() {
    let mut rng = SmallRng::seed_from_u64(13);
    let counts = [80, 40, 40, 20, 10, 10, 5, 5, 4, 4];
    let dimension = 40;
    let lengths: Vec<f64> = (1..=10).map(f64::from).collect();
    let general = ClassMatrix::diagonal(&lengths).unwrap();
    let family = ClassMatrix::low_rank_orthogonal_frame(10, 3).unwrap();
    for (target, relative) in
        [(ClassMatrix::simplex_etf(10).unwrap(), 0.04), (general, 0.04), (family, 0.0)]
    {
        let level = Unstructured::new(&ClassCounts::new(&counts).unwrap(), dimension).unwrap();
        let level = level
            .with_class_means_target(&ClassCounts::new(&counts).unwrap(), dimension, &target)
            .unwrap();
        let values: Vec<f64> = (0..2000)
            .map(|_| {
                let mut means = normal(10, dimension, &mut rng);
                means
                    .row_iter_mut()
                    .zip(counts)
                    .for_each(|(mut mean, n)| mean /= (n as f64).sqrt());
                target.distance_to_gram(&means).unwrap()
            })
            .collect();
        let (expected, error) =
            (level.nc2_class_means.unwrap(), level.nc2_class_means_uncertainty.unwrap());
        assert_eq!(error == 0.0, target.is_unique());
        assert_near("NC2 of class means", &values, expected, relative + 5.0 * error / expected);
    }
    let level = Unstructured::new(&ClassCounts::new(&counts).unwrap(), dimension).unwrap();
    let other = ClassMatrix::simplex_etf(9).unwrap();
    let counts = ClassCounts::new(&counts).unwrap();
    assert!(level.with_class_means_target(&counts, dimension, &other).is_err());
}

/// The rows of a classifier have as many entries as the last layer has inputs.
#[test]
fn classifiers_have_dimensions_of_their_own() {
    let counts = ClassCounts::balanced(4, 9).unwrap();
    let layers = vec![DMatrix::identity(6, 20), DMatrix::identity(4, 6)];
    let head = LinearHead::new(layers, None).unwrap();
    let found = Unstructured::of_network(&counts, &head).unwrap();
    let of_features = Unstructured::new(&counts, 20).unwrap();
    assert_eq!(found.classifier, Unstructured::new(&counts, 6).unwrap().classifier);
    assert_ne!(found.classifier, of_features.classifier);
    assert_eq!(found.class_means, of_features.class_means);
}

#[test]
fn infinite_means_are_told_apart() {
    let level = |classes, dimension| {
        Unstructured::new(&ClassCounts::balanced(classes, 9).unwrap(), dimension).unwrap()
    };
    // The smallest eigenvalue of a square Wishart matrix has no mean inverse.
    for dimension in [8, 9, 10] {
        assert_eq!(level(10, dimension).nc1, None);
    }
    assert!(level(10, 11).nc1.is_some() && level(10, 7).nc1.is_some());
    assert_eq!(level(3, 2).cdnv, None);
    assert_eq!(level(3, 1).class_means.log_energy, None);
    assert_eq!(level(1, 5).nc1, None);
    assert_eq!(level(1, 5).class_means.cosine_mean, None);
    // Centered means of two classes point in opposite directions, whatever they are.
    let two = level(2, 6).centered_class_means;
    assert!((two.cosine_mean.unwrap() + 1.0).abs() < 1e-15);
    assert!(two.cosine_deviation.unwrap() < 1e-15 && two.etf_deviation.unwrap() < 1e-15);
    assert!(Unstructured::new(&ClassCounts::balanced(2, 2).unwrap(), 0).is_err());
}

/// A collapsed network with noise of different sizes in different directions and classes.
struct Noisy {
    means: DMatrix<f64>,
    head: LinearHead,
    labels: Vec<usize>,
    deviations: DMatrix<f64>,
}

impl Noisy {
    fn new(counts: &[usize], dimension: usize, rng: &mut SmallRng) -> Self {
        let classes = counts.len();
        let frame = Frame::simplex(classes).unwrap().vectors().clone();
        let turn = normal(dimension, frame.nrows(), rng).qr().q();
        let means = turn * frame * 2.0;
        let mixing = DMatrix::from_fn(classes, classes, |i, j| if i == j { 1.0 } else { 0.1 });
        let mixed = &means * mixing.transpose() * 0.7;
        Self {
            head: LinearHead::new(vec![mixed.transpose()], None).unwrap(),
            means,
            labels: (0..classes).flat_map(|k| vec![k; counts[k]]).collect(),
            deviations: normal(dimension, classes, rng).map(f64::abs) * 0.3,
        }
    }

    fn measure(&self, rng: &mut SmallRng) -> ([f64; 7], Collapsed) {
        let samples = DMatrix::from_fn(self.means.nrows(), self.labels.len(), |row, sample| {
            let noise: f64 = StandardNormal.sample(rng);
            let class = self.labels[sample];
            self.means[(row, class)] + self.deviations[(row, class)] * noise
        });
        let classes = self.means.ncols();
        let data = Features::from_sample_columns(&samples).unwrap();
        let data = data.with_labels(&self.labels, classes).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let mut parts = SampleParts::new(&statistics, &Nc1Options::default()).unwrap();
        parts.accumulate(&data).unwrap();
        let level = Collapsed::new(&parts, &self.head).unwrap().unwrap();
        let metrics = all_metrics(&data, &statistics, &self.head).unwrap();
        let etf = ClassMatrix::simplex_etf(classes).unwrap();
        let means = statistics.class_means().unwrap();
        let center = neural_collapse::measure::Center::Samples;
        let centered = statistics.centered_means(center).unwrap();
        let shape = metrics.centered_class_means;
        let values = [
            nc3(&means, &self.head, &etf).unwrap(),
            nc3(&centered, &self.head, &etf).unwrap(),
            etf.distance(&(centered.transpose() * &centered)).unwrap(),
            metrics.self_duality.unwrap(),
            shape.norm_spread.coefficient_of_variation().unwrap(),
            shape.cosine_spread.unwrap().deviation,
            ClassMatrix::from_dense(self.means.transpose() * &self.means)
                .unwrap()
                .distance_to_gram(&means.transpose())
                .unwrap(),
        ];
        (values, level)
    }
}

#[test]
fn noise_alone_leaves_what_is_said() {
    let mut rng = SmallRng::seed_from_u64(17);
    for counts in [&[60; 6][..], &[200; 4], &[80; 3]] {
        let network = Noisy::new(counts, 12, &mut rng);
        let draws: Vec<_> = (0..400).map(|_| network.measure(&mut rng)).collect();
        let levels: [fn(&Collapsed) -> Option<f64>; 7] = [
            |level| level.nc3,
            |level| level.nc3_centered,
            |level| level.nc2_class_means,
            |level| level.self_duality,
            |level| level.norm_variation,
            |level| level.cosine_deviation,
            |level| level.nc2_class_means_as_they_are,
        ];
        for (index, level) in levels.into_iter().enumerate() {
            let squares: Vec<f64> = draws.iter().map(|(values, _)| values[index].powi(2)).collect();
            let expected: Vec<f64> =
                draws.iter().map(|(_, found)| level(found).unwrap().powi(2)).collect();
            let relative = average(&expected).1 * 5.0 / average(&expected).0 + 0.02;
            assert_near(&format!("level {index}"), &squares, average(&expected).0, relative);
        }
    }
}

/// √(2 NC1 (K+1)(K−2)/n)/(K−1) for a simplex ETF with spherical noise.
#[test]
fn the_level_of_a_simplex_follows_from_nc1() {
    let mut rng = SmallRng::seed_from_u64(23);
    let (classes, samples) = (5, 4000);
    let mut network = Noisy::new(&[samples; 5], 8, &mut rng);
    network.deviations.fill(0.1);
    let labels = network.labels.clone();
    let columns = DMatrix::from_fn(8, labels.len(), |row, sample| {
        let noise: f64 = StandardNormal.sample(&mut rng);
        network.means[(row, labels[sample])] + 0.1 * noise
    });
    let data = Features::from_sample_columns(&columns).unwrap();
    let data = data.with_labels(&labels, classes).unwrap();
    let statistics = ClassStatistics::new(&data).unwrap();
    let mut parts = SampleParts::new(&statistics, &Nc1Options::default()).unwrap();
    parts.accumulate(&data).unwrap();
    let found = Collapsed::new(&parts, &network.head).unwrap().unwrap().nc2_class_means.unwrap();
    let nc1 = all_metrics(&data, &statistics, &network.head).unwrap().nc1.center_samples.unwrap();
    let k = classes as f64;
    let expected = (2.0 * nc1.value * (k + 1.0) * (k - 2.0) / samples as f64).sqrt() / (k - 1.0);
    // 64 parts of 16 numbers leave an error of some 3 %.
    assert!((found / expected - 1.0).abs() < 0.1, "{found} {expected}");
}

#[test]
fn a_class_alone_has_no_distances() {
    let level = Unstructured::new(&ClassCounts::balanced(1, 5).unwrap(), 10).unwrap();
    assert_eq!((level.nc1, level.nc1_trace_quotient, level.cdnv), (None, None, None));
    assert_eq!(level.class_means.cosine_mean, None);
}
