//! The metrics beside independent dense computations of their definitions.

use nalgebra::{DMatrix, DVector};
use neural_collapse::measure::{Center, within_class_covariance};
use neural_collapse::metrics::{Nc1, Nc1Options, cdnv, nc1, nc1_trace_quotient, nc4};
use neural_collapse::objective::{Objective, balancedness};
use neural_collapse::{Bias, ClassStatistics, Error, Features, LinearHead, Regularization};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::Xoshiro256PlusPlus};

/// Samples in rows, their labels and the number of classes.
#[derive(Debug, Clone)]
struct Sample {
    rows: DMatrix<f64>,
    labels: Vec<usize>,
    classes: usize,
}

fn random(rng: &mut Xoshiro256PlusPlus, rows: usize, columns: usize) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |_, _| rng.random_range(-1.0..1.0))
}

impl Sample {
    /// Classes around random means, in mixed order, with at least one sample each.
    fn new(seed: u64, samples: usize, dimension: usize, classes: usize, deviation: f64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let means = random(&mut rng, classes, dimension);
        let class = |i: usize| if i < classes { i } else { (i * i + i / 3) % classes };
        let labels: Vec<usize> = (0..samples).map(class).collect();
        let noise = random(&mut rng, samples, dimension) * deviation;
        Self { rows: means.select_rows(&labels) + noise, labels, classes }
    }

    /// Pairs of samples at equal and opposite deviations from the means, which stay as they are.
    fn mirrored(means: &DMatrix<f64>, pairs: usize, deviations: &DMatrix<f64>) -> Self {
        let labels: Vec<usize> = (0..2 * pairs).map(|i| i / 2 % means.nrows()).collect();
        let sign = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
        let signed =
            DMatrix::from_fn(2 * pairs, means.ncols(), |i, j| sign(i) * deviations[(i / 2, j)]);
        Self { rows: means.select_rows(&labels) + signed, labels, classes: means.nrows() }
    }

    fn nc1(&self, options: &Nc1Options) -> neural_collapse::Result<Nc1> {
        let features = Features::from_sample_rows(&self.rows)?;
        let data = features.with_labels(&self.labels, self.classes)?;
        nc1(&data, &ClassStatistics::new(&data)?, options)
    }

    fn class_rows(&self, class: usize) -> DMatrix<f64> {
        let members: Vec<usize> =
            (0..self.labels.len()).filter(|&i| self.labels[i] == class).collect();
        self.rows.select_rows(&members)
    }

    /// Class means in rows.
    fn means(&self) -> DMatrix<f64> {
        let means: Vec<_> = (0..self.classes).map(|k| self.class_rows(k).row_mean()).collect();
        DMatrix::from_rows(&means)
    }

    /// NC1 from d×d matrices: eigenvalues of Σ_B below `cutoff` of the largest count as zero.
    fn dense_nc1(&self, options: &Nc1Options) -> f64 {
        let means = self.means();
        let of_samples = options.center == Center::Samples;
        let origin = if of_samples { self.rows.row_mean() } else { means.row_mean() };
        let mut centered = means.clone();
        centered.row_iter_mut().for_each(|mut row| row -= &origin);
        let between = centered.transpose() * &centered / self.classes as f64;
        let deviations = &self.rows - means.select_rows(&self.labels);
        let within = deviations.transpose() * &deviations / self.rows.nrows() as f64;
        let eigen = between.symmetric_eigen();
        let largest = eigen.eigenvalues.amax();
        let mut trace = 0.0;
        for (value, vector) in eigen.eigenvalues.iter().zip(eigen.eigenvectors.column_iter()) {
            if *value > 1e-12 * largest {
                trace += (vector.transpose() * &within * vector)[0] / value;
            }
        }
        if options.divide_by_classes { trace / self.classes as f64 } else { trace }
    }
}

fn assert_close(found: f64, expected: f64, relative: f64) {
    let error = (found - expected).abs() / expected.abs();
    assert!(error <= relative, "found {found:e}, expected {expected:e}, relative error {error:e}");
}

proptest! {
    #![proptest_config(crate::support::strategies::config(64))]

    #[test]
    fn nc1_is_the_trace_of_its_definition(
        seed in any::<u64>(),
        (dimension, classes) in (1_usize..12, 2_usize..12),
        extra in 0_usize..600,
        center in prop::sample::select(vec![Center::Samples, Center::Classes]),
        divide_by_classes in any::<bool>(),
    ) {
        let sample = Sample::new(seed, classes + extra, dimension, classes, 0.1);
        let options = Nc1Options::default().with_center(center).with_divide_by_classes(divide_by_classes);
        let expected = sample.dense_nc1(&options);
        let found = sample.nc1(&options).unwrap();
        prop_assert!((found.value - expected).abs() <= 1e-6 * expected);
        prop_assert!(found.rank <= dimension.min(classes - 1));
    }

    /// Metrics do not depend on how the features lie in memory.
    #[test]
    fn layouts_agree(seed in any::<u64>(), samples in 3_usize..600, dimension in 1_usize..8) {
        let sample = Sample::new(seed, samples, dimension, 3, 0.1);
        let columns = sample.rows.transpose();
        let data = [
            Features::from_sample_rows(&sample.rows).unwrap(),
            Features::from_sample_columns(&columns).unwrap(),
            Features::from_row_major(columns.as_slice(), samples, dimension).unwrap(),
        ]
        .map(|features| features.with_labels(&sample.labels, 3).unwrap());
        let statistics = data.each_ref().map(|data| ClassStatistics::new(data).unwrap());
        prop_assert!(statistics[0] == statistics[1] && statistics[1] == statistics[2]);
        let values = data.each_ref().map(|data| nc1(data, &statistics[0], &Nc1Options::default()).unwrap());
        prop_assert!(values[0] == values[1] && values[1] == values[2]);
    }
}

#[test]
fn deep_collapse_keeps_its_digits() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    // Multiples of 1/8 and powers of two: adding the deviations to the means is exact.
    let means = random(&mut rng, 5, 20).map(|entry| (entry * 8.0).round() / 8.0);
    let deviations = random(&mut rng, 200, 20).map(|entry| (entry * 8.0).round() / 8.0);
    let found = |deviation: f64| {
        let sample = Sample::mirrored(&means, 200, &(&deviations * deviation));
        sample.nc1(&Nc1Options::default()).unwrap()
    };
    let expected = Sample::mirrored(&means, 200, &deviations).dense_nc1(&Nc1Options::default());
    for exponent in [0, 10, 20, 30, 40] {
        let deviation = f64::exp2(-f64::from(exponent));
        assert_close(found(deviation).value, expected * deviation * deviation, 1e-12);
    }
    assert_eq!(found(0.0), Nc1 { value: 0.0, rank: 4 });
}

/// Under minority collapse class means coincide up to what training and rounding leave; to invert
/// these differences would give anything up to 1e20.
#[test]
fn coincident_class_means_lower_the_rank() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
    let distinct = random(&mut rng, 3, 10);
    let deviations = random(&mut rng, 200, 10) * 1e-2;
    let coincident = distinct.select_rows(&[0, 1, 2, 2, 2]);
    let expected =
        Sample::mirrored(&coincident, 200, &deviations).dense_nc1(&Nc1Options::default());
    for difference in [0.0, 1e-16, 1e-12, 1e-8] {
        let means = &coincident + random(&mut rng, 5, 10) * difference;
        let sample = Sample::mirrored(&means, 200, &deviations);
        let found = sample.nc1(&Nc1Options::default()).unwrap();
        assert_eq!(found.rank, 2);
        assert_close(found.value, expected, 1e-6);
        let all = sample.nc1(&Nc1Options::default().with_rank_cutoff(0.0)).unwrap();
        assert!(difference < 1e-14 || all.rank == 4 && all.value > 1e6, "{all:?}");
    }
}

#[test]
fn f32_with_a_large_common_mean() {
    let exact = Sample::new(3, 3000, 16, 4, 0.1);
    let moved: Vec<f32> =
        exact.rows.transpose().iter().map(|&feature| (feature + 1e4) as f32).collect();
    // What f32 leaves of the features, in f64.
    let rows = DMatrix::from_row_iterator(3000, 16, moved.iter().map(|&x| f64::from(x) - 1e4));
    let expected = Sample { rows, ..exact.clone() }.dense_nc1(&Nc1Options::default());
    let features = Features::from_row_major(&moved, 3000, 16).unwrap();
    let data = features.with_labels(&exact.labels, 4).unwrap();
    let statistics = ClassStatistics::new(&data).unwrap();
    assert_close(nc1(&data, &statistics, &Nc1Options::default()).unwrap().value, expected, 1e-6);
}

#[test]
fn f32_agrees_with_f64_in_deep_collapse() {
    // Few classes and many are projected in different ways.
    for classes in [2, 6, 10, 11, 24] {
        let sample = Sample::new(4, 4000, 32, classes, 3e-6);
        let rounded: Vec<f32> =
            sample.rows.transpose().iter().map(|&feature| feature as f32).collect();
        let widened: Vec<f64> = rounded.iter().map(|&feature| feature.into()).collect();
        let narrow = Features::from_row_major(&rounded, 4000, 32).unwrap();
        let wide = Features::from_row_major(&widened, 4000, 32).unwrap();
        let narrow = narrow.with_labels(&sample.labels, classes).unwrap();
        let wide = wide.with_labels(&sample.labels, classes).unwrap();
        let statistics = ClassStatistics::new(&narrow).unwrap();
        assert_eq!(statistics, ClassStatistics::new(&wide).unwrap());
        let options = Nc1Options::default();
        let narrow = nc1(&narrow, &statistics, &options).unwrap();
        assert_close(narrow.value, nc1(&wide, &statistics, &options).unwrap().value, 1e-6);
    }
}

#[test]
fn within_class_covariance_is_that_of_the_deviations() {
    let sample = Sample::new(5, 700, 9, 4, 0.5);
    let features = Features::from_sample_rows(&sample.rows).unwrap();
    let data = features.with_labels(&sample.labels, 4).unwrap();
    let found = within_class_covariance(&data, &ClassStatistics::new(&data).unwrap()).unwrap();
    let deviations = &sample.rows - sample.means().select_rows(&sample.labels);
    let expected = deviations.transpose() * &deviations / 700.0;
    assert!((found - expected).amax() < 1e-14);
}

#[test]
fn nc4_counts_what_the_definition_says() {
    let sample = Sample::new(6, 900, 5, 4, 1.5);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
    let weights = vec![random(&mut rng, 7, 5), random(&mut rng, 4, 7)];
    let bias = DVector::from_fn(4, |_, _| rng.random_range(-1.0..1.0));
    let head = LinearHead::new(weights.clone(), Some(bias.clone())).unwrap();
    let features = Features::from_sample_rows(&sample.rows).unwrap();
    let data = features.with_labels(&sample.labels, 4).unwrap();
    let found = nc4(&data, &ClassStatistics::new(&data).unwrap(), &head).unwrap();

    let (mut agreements, mut right) = (0, 0);
    for (row, &label) in sample.rows.row_iter().zip(&sample.labels) {
        let outputs = &weights[1] * (&weights[0] * row.transpose()) + &bias;
        let nearest = (0..4)
            .min_by(|&i, &j| {
                let distance = |k: usize| (row - sample.class_rows(k).row_mean()).norm();
                distance(i).total_cmp(&distance(j))
            })
            .unwrap();
        agreements += usize::from(outputs.argmax().0 == nearest);
        right += usize::from(nearest == label);
    }
    assert_close(found.overall.agreement, agreements as f64 / 900.0, 1e-15);
    assert_close(found.overall.nearest_mean_accuracy, right as f64 / 900.0, 1e-15);
    let weighted: f64 = (0..4)
        .map(|k| found.classes[k].unwrap().agreement * sample.class_rows(k).nrows() as f64)
        .sum();
    assert_close(weighted / 900.0, found.overall.agreement, 1e-14);
}

/// A point (W₁, …, W_M, H, b) as one list of numbers.
struct Point {
    widths: Vec<usize>,
    labels: Vec<usize>,
    regularization: Regularization,
}

impl Point {
    fn length(&self) -> usize {
        let weights: usize = self.widths.windows(2).map(|pair| pair[0] * pair[1]).sum();
        let bias = if self.regularization.bias() == Bias::None { 0 } else { self.classes() };
        weights + self.widths[0] * self.labels.len() + bias
    }

    fn classes(&self) -> usize {
        *self.widths.last().unwrap()
    }

    fn parts(&self, numbers: &[f64]) -> (LinearHead, DMatrix<f64>) {
        let mut rest = numbers;
        let mut take = |rows: usize, columns: usize| {
            let (head, tail) = rest.split_at(rows * columns);
            rest = tail;
            DMatrix::from_column_slice(rows, columns, head)
        };
        let weights = self.widths.windows(2).map(|pair| take(pair[1], pair[0])).collect();
        let features = take(self.widths[0], self.labels.len());
        let bias = (self.regularization.bias() != Bias::None)
            .then(|| take(self.classes(), 1).column(0).into_owned());
        (LinearHead::new(weights, bias).unwrap(), features)
    }

    fn objective(&self, numbers: &[f64]) -> Objective {
        let (head, features) = self.parts(numbers);
        let features = Features::from_sample_columns(&features).unwrap();
        let data = features.with_labels(&self.labels, self.classes()).unwrap();
        Objective::squared_error(&data, &head, &self.regularization).unwrap()
    }

    /// The objective as it is written down, from dense matrices.
    fn dense_loss(&self, numbers: &[f64]) -> f64 {
        let (head, features) = self.parts(numbers);
        let targets = DMatrix::from_fn(self.classes(), self.labels.len(), |class, sample| {
            f64::from(u8::from(self.labels[sample] == class))
        });
        let mut outputs = features.clone();
        let mut loss = self.regularization.feature_decay() / 2.0 * features.norm_squared();
        for (weight, decay) in head.weights().iter().zip(self.regularization.weight_decays()) {
            outputs = weight * outputs;
            loss += decay / 2.0 * weight.norm_squared();
        }
        if let Some(bias) = head.bias() {
            outputs.column_iter_mut().for_each(|mut column| column += bias);
            if let Bias::Regularized(decay) = self.regularization.bias() {
                loss += decay / 2.0 * bias.norm_squared();
            }
        }
        loss + (outputs - targets).norm_squared() / (2.0 * self.labels.len() as f64)
    }
}

#[test]
fn objective_and_gradient_are_those_of_the_definition() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(8);
    for bias in [Bias::None, Bias::Unregularized, Bias::Regularized(0.3)] {
        for widths in [vec![5, 3], vec![4, 6, 3], vec![3, 5, 2, 3, 4]] {
            let decays: Vec<f64> = (1..widths.len()).map(|m| 0.1 * m as f64).collect();
            let regularization = Regularization::new(&decays, 0.02).unwrap().with_bias(bias);
            let labels = (0..7).map(|i| i % 3).collect();
            let point = Point { widths, labels, regularization: regularization.unwrap() };
            let numbers: Vec<f64> =
                (0..point.length()).map(|_| rng.random_range(-1.0..1.0)).collect();
            let objective = point.objective(&numbers);
            assert_close(objective.loss(), point.dense_loss(&numbers), 1e-14);
            let slope = |index: usize| {
                let step = 1e-5;
                let moved = |by: f64| {
                    let mut moved = numbers.clone();
                    moved[index] += by;
                    point.dense_loss(&moved)
                };
                (moved(step) - moved(-step)) / (2.0 * step)
            };
            let expected = (0..numbers.len()).map(|i| slope(i).powi(2)).sum::<f64>().sqrt();
            assert_close(objective.gradient_norm, expected, 1e-8);
        }
    }
}

#[test]
fn objective_of_many_samples_passes_all_blocks() {
    let sample = Sample::new(9, 1000, 6, 4, 0.3);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(10);
    let weight = random(&mut rng, 4, 6);
    let (weight_decay, feature_decay) = (1e-2, 1e-3);
    let features = Features::from_sample_rows(&sample.rows).unwrap();
    let data = features.with_labels(&sample.labels, 4).unwrap();
    let head = LinearHead::new(vec![weight.clone()], None).unwrap();
    let regularization = Regularization::new(&[weight_decay], feature_decay).unwrap();
    let objective = Objective::squared_error(&data, &head, &regularization).unwrap();

    let h = sample.rows.transpose();
    let mut residuals = &weight * &h;
    sample.labels.iter().enumerate().for_each(|(i, &label)| residuals[(label, i)] -= 1.0);
    let of_weight = &residuals * h.transpose() / 1000.0 + &weight * weight_decay;
    let of_features = weight.transpose() * &residuals / 1000.0 + &h * feature_decay;
    let expected = (of_weight.norm_squared() + of_features.norm_squared()).sqrt();
    assert_close(objective.gradient_norm, expected, 1e-13);
    assert_close(objective.data_term, residuals.norm_squared() / 2000.0, 1e-13);
}

/// Deviations in the null space of the head, far larger than anything it sees, once cancelled to negative squares.
#[test]
fn deviations_that_the_head_removes_cost_no_digits() {
    let (dimension, classes, decay) = (12, 3, 1e-10);
    let weight = DMatrix::identity(classes, dimension);
    let rows = DMatrix::from_fn(120, dimension, |sample, axis| match axis.checked_sub(classes) {
        None => f64::from(u8::from(sample % classes == axis)),
        Some(rest) => 1e6 * (((sample * 7 + rest * 13) % 101) as f64 - 50.0) / 50.0,
    });
    let labels: Vec<usize> = (0..120).map(|sample| sample % classes).collect();
    let data = Features::from_sample_rows(&rows).unwrap().with_labels(&labels, classes).unwrap();
    let head = LinearHead::new(vec![weight.clone()], None).unwrap();
    let regularization = Regularization::new(&[decay], decay).unwrap();
    let objective = Objective::squared_error(&data, &head, &regularization).unwrap();
    assert!((0.0..1e-30).contains(&objective.data_term), "{}", objective.data_term);
    let expected = decay * (rows.norm_squared() + weight.norm_squared()).sqrt();
    assert_close(objective.gradient_norm, expected, 1e-13);
}

#[test]
fn objective_with_a_class_without_samples() {
    let head = LinearHead::new(vec![DMatrix::from_element(3, 1, 0.5)], None).unwrap();
    let regularization = Regularization::new(&[0.1], 0.1).unwrap();
    let data = Features::from_row_major(&[1.0, 2.0], 2, 1).unwrap();
    let objective =
        Objective::squared_error(&data.with_labels(&[0, 2], 3).unwrap(), &head, &regularization);
    // The outputs are (1, 1, 1)/2 and (1, 1, 1).
    assert_close(objective.unwrap().data_term, (3.0 * 0.25 + 2.0) / 4.0, 1e-15);
}

#[test]
fn heads_and_penalties_must_fit_each_other() {
    let numbers = [1.0, 2.0];
    let data = Features::from_row_major(&numbers, 2, 1).unwrap().with_labels(&[0, 1], 2).unwrap();
    let weights = vec![DMatrix::from_element(2, 1, 1.0)];
    let without = LinearHead::new(weights.clone(), None).unwrap();
    let with = LinearHead::new(weights, Some(DVector::zeros(2))).unwrap();
    let plain = Regularization::new(&[0.1], 0.1).unwrap();
    let biased = plain.clone().with_bias(Bias::Unregularized).unwrap();
    assert_eq!(
        Objective::squared_error(&data, &with, &plain).unwrap_err().to_string(),
        "`bias` has shape 2, but must have shape 0, as the penalties are those of a head \
         without a bias"
    );
    assert!(matches!(Objective::squared_error(&data, &without, &biased), Err(Error::Shape { .. })));
    let deep = Regularization::new(&[0.1, 0.1], 0.1).unwrap();
    assert_eq!(
        Objective::squared_error(&data, &without, &deep).unwrap_err().to_string(),
        "`weight_decays` has shape 2, but must have shape 1, one for each layer of the head"
    );
    assert!(balancedness(data.features(), &without, &deep).is_err());
    let huge = LinearHead::new(vec![DMatrix::from_element(2, 1, 1e200)], None).unwrap();
    let overflow = Objective::squared_error(&data, &huge, &plain);
    assert!(matches!(overflow, Err(Error::Unrepresentable { .. })), "{overflow:?}");
    let overflow = balancedness(data.features(), &huge, &plain);
    assert!(matches!(overflow, Err(Error::Unrepresentable { .. })), "{overflow:?}");
}

#[test]
fn balancedness_of_zeros_and_of_random_layers() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
    let (h, w1, w2) = (random(&mut rng, 4, 300), random(&mut rng, 5, 4), random(&mut rng, 3, 5));
    let features = Features::from_sample_columns(&h).unwrap();
    let regularization = Regularization::new(&[0.2, 0.3], 0.05).unwrap();
    let head = LinearHead::new(vec![w1.clone(), w2.clone()], None).unwrap();
    let found = balancedness(&features, &head, &regularization).unwrap();
    let distance = |a: DMatrix<f64>, b: DMatrix<f64>| (&a - &b).norm() / a.norm().max(b.norm());
    let first = distance(w1.transpose() * &w1 * 0.2, &h * h.transpose() * 0.05);
    let second = distance(w2.transpose() * &w2 * 0.3, &w1 * w1.transpose() * 0.2);
    assert_close(found[0], first, 1e-13);
    assert_close(found[1], second, 1e-13);

    let nothing = DMatrix::<f64>::zeros(4, 10);
    let features = Features::from_sample_columns(&nothing).unwrap();
    let head = LinearHead::new(vec![w1 * 0.0, w2 * 0.0], None).unwrap();
    assert_eq!(balancedness(&features, &head, &regularization).unwrap(), [0.0, 0.0]);
}

#[test]
fn fewer_samples_than_classes_is_an_empty_class() {
    let numbers = [1.0, 2.0];
    let data = Features::from_row_major(&numbers, 2, 1).unwrap().with_labels(&[0, 2], 3).unwrap();
    let statistics = ClassStatistics::new(&data).unwrap();
    let expected = Error::EmptyClass { argument: "labels", class: 1 };
    assert_eq!(nc1(&data, &statistics, &Nc1Options::default()), Err(expected));
}

/// CDNV of many dimensions, where no distance is near to zero and none is small beside the means, by its definition.
#[test]
fn cdnv_is_that_of_all_pairs() {
    for (dimension, classes) in [(3, 4), (50, 6), (200, 12)] {
        let sample = Sample::new(7, 5 * classes, dimension, classes, 0.3);
        let features = Features::from_sample_rows(&sample.rows).unwrap();
        let data = features.with_labels(&sample.labels, classes).unwrap();
        let found = cdnv(&data, &ClassStatistics::new(&data).unwrap()).unwrap();
        let means = sample.means();
        let variance = |class: usize| {
            let rows = sample.class_rows(class);
            let squares = rows.row_iter().map(|row| (row - means.row(class)).norm_squared());
            squares.sum::<f64>() / rows.nrows() as f64
        };
        let (mut sum, mut largest, mut pairs): (f64, f64, f64) = (0.0, 0.0, 0.0);
        for i in 0..classes {
            for j in 0..i {
                let distance = (means.row(i) - means.row(j)).norm_squared();
                let value = (variance(i) + variance(j)) / 2.0 / distance;
                (sum, largest, pairs) = (sum + value, largest.max(value), pairs + 1.0);
            }
        }
        assert!((found.mean.unwrap() / (sum / pairs) - 1.0).abs() < 1e-12);
        assert!((found.largest.unwrap() / largest - 1.0).abs() < 1e-12);
        assert_eq!(found.coincident_pairs, 0);
    }
}

/// What no number can hold is an error: deviations across the direction in which the means differ, by too much.
#[test]
fn a_quotient_out_of_range_is_refused() {
    let quotient = |between: f64, within: f64| {
        let rows = [within, between, -within, between, within, -between, -within, -between];
        let features = Features::from_row_major(&rows, 4, 2).unwrap();
        let data = features.with_labels(&[0, 0, 1, 1], 2).unwrap();
        nc1_trace_quotient(&data, &ClassStatistics::new(&data).unwrap(), Center::Samples)
    };
    assert!((quotient(0.5, 1.0).unwrap() - 4.0).abs() < 1e-15);
    assert!((quotient(1e-150, 1.0).unwrap() / 1e300 - 1.0).abs() < 1e-14);
    assert!(matches!(quotient(1e-150, 1e20), Err(Error::Unrepresentable { .. })));
}
