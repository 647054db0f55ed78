//! Traps that measurements of neural collapse have fallen into: each test names what goes wrong.

use nalgebra::{DMatrix, DVector, dmatrix};
use neural_collapse::audit::AuditOptions;
use neural_collapse::measure::{ClassVectors, PooledScatter, Scalar};
use neural_collapse::metrics::{
    Nc1Options, Nc1Sums, cdnv, cosine_spread, duality_cosines, equiangularity, log_energy, nc1,
    nc1_trace_quotient, nc4,
};
use neural_collapse::problem::{LossFunction, TrainingObjective};
use neural_collapse::{AuditSums, ClassStatistics, Error, Features, LinearHead};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

/// Samples one after the other, their labels, and the class means they scatter around.
struct Sample {
    numbers: Vec<f64>,
    labels: Vec<usize>,
    dimension: usize,
    classes: usize,
}

impl Sample {
    /// `samples` samples around the columns of `means`.
    fn around(means: &DMatrix<f64>, samples: usize, deviation: f64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let labels: Vec<usize> = (0..samples).map(|i| i % means.ncols()).collect();
        let numbers = labels
            .iter()
            .flat_map(|&label| means.column(label).iter().copied().collect::<Vec<_>>())
            .map(|mean| mean + deviation * rng.random_range(-1.0..1.0))
            .collect();
        Self { numbers, labels, dimension: means.nrows(), classes: means.ncols() }
    }

    fn nc1<T: Scalar>(&self) -> f64 {
        let numbers: Vec<T> = self.numbers.iter().map(|&x| T::from_f64(x).unwrap()).collect();
        let features = Features::from_row_major(&numbers, self.labels.len(), self.dimension);
        let data = features.unwrap().with_labels(&self.labels, self.classes).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        nc1(&data, &statistics, &Nc1Options::default()).unwrap().value
    }
}

fn random(rows: usize, columns: usize) -> DMatrix<f64> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
    DMatrix::from_fn(rows, columns, |_, _| rng.random_range(-1.0..1.0))
}

fn relative_error(found: f64, expected: f64) -> f64 {
    (found - expected).abs() / expected
}

/// `np.linalg.pinv` of the d×d matrix Σ_B keeps rounding errors of the d−K+1 directions without class
/// means, and gives 3.4e6 or −2.3e6 where NC1 is 0.002 to 0.08.
#[test]
fn directions_without_class_means_do_not_count() {
    for (dimension, classes) in [(512, 10), (300, 40), (200, 150)] {
        let sample = Sample::around(&random(dimension, classes), 8 * classes, 0.1);
        let found = sample.nc1::<f64>();
        assert!(found > 1e-5 && found < 0.1, "{found}");
        assert!(relative_error(sample.nc1::<f32>(), found) < 1e-6);
    }
}

/// A cut-off of d·ε in `f32`, 2.4e-4 of the largest eigenvalue at d = 2048, drops real directions and
/// can give 0.
#[test]
fn weak_directions_count_as_much_as_strong_ones() {
    // Three classes: far apart along the first axis, a thousandth of that along the second, in which
    // alone samples deviate.
    let numbers = |scale: f64| {
        let mut rows = DMatrix::zeros(6, 2048);
        for (i, mean) in [-1.0, -1.0, 0.0, 0.0, 1.0, 1.0].into_iter().enumerate() {
            let side = if i % 2 == 0 { 1.0 } else { -1.0 };
            rows[(i, 0)] = mean;
            rows[(i, 1)] = scale * (mean * mean + 0.25 * side);
        }
        rows
    };
    let labels = [0, 0, 1, 1, 2, 2];
    let value = |scale: f64| {
        let rows = numbers(scale).map(|number| number as f32);
        let data = Features::from_sample_rows(&rows).unwrap().with_labels(&labels, 3).unwrap();
        nc1(&data, &ClassStatistics::new(&data).unwrap(), &Nc1Options::default()).unwrap().value
    };
    // Σ_W = 1/16, Σ_B = 2/9 along the second axis, whatever the scale.
    let expected = (1.0 / 16.0) / (2.0 / 9.0) / 3.0;
    for scale in [1.0, 1e-2, 1e-3, 1e-4] {
        assert!(relative_error(value(scale), expected) < 1e-6, "{scale}: {}", value(scale));
    }
}

/// Inverting K−1 singular values blindly divides by about 0 where means coincide: 1e13 for 1e-3.
#[test]
fn coincident_means_do_not_blow_up() {
    let mut means = random(30, 8);
    for class in 5..8 {
        let offset = class as f64 * 1e-12;
        means.set_column(class, &means.column(4).add_scalar(offset));
    }
    let sample = Sample::around(&means, 8000, 1e-9);
    assert!(sample.nc1::<f64>() < 1e-15);
    let features = Features::from_row_major(&sample.numbers, 8000, 30).unwrap();
    let data = features.with_labels(&sample.labels, 8).unwrap();
    let statistics = ClassStatistics::new(&data).unwrap();
    let found = cdnv(&data, &statistics).unwrap();
    assert!(found.mean.is_some() && found.largest.unwrap() > 1.0, "{found:?}");
    // Collapsed to exactly equal features: the pairs are told, the others are measured.
    let rows = dmatrix![1.0, 0.0; 3.0, 0.0; 0.0, 0.0; 0.0, 0.0; 0.0, 0.0; 0.0, 0.0];
    let data = Features::from_sample_rows(&rows).unwrap();
    let data = data.with_labels(&[0, 0, 1, 1, 2, 2], 3).unwrap();
    let found = cdnv(&data, &ClassStatistics::new(&data).unwrap()).unwrap();
    assert_eq!((found.coincident_pairs, found.mean), (1, Some(1.0 / 8.0)));
}

/// Batches of one sample: a covariance of one sample is 0, so the scatter is all between batches.
#[test]
fn batches_of_one_sample() {
    let sample = Sample::around(&random(6, 3), 50, 0.2);
    let whole = Features::from_row_major(&sample.numbers, 50, 6).unwrap();
    let whole = whole.with_labels(&sample.labels, 3).unwrap();
    let statistics = ClassStatistics::new(&whole).unwrap();
    let options = Nc1Options::default();
    let expected = nc1(&whole, &statistics, &options).unwrap().value;
    let mut pooled = PooledScatter::empty(6, 3).unwrap();
    let mut projected = Nc1Sums::new(&statistics, &options).unwrap();
    for (numbers, label) in sample.numbers.chunks(6).zip(&sample.labels) {
        let batch = Features::from_row_major(numbers, 1, 6).unwrap();
        let batch = batch.with_labels(std::slice::from_ref(label), 3).unwrap();
        pooled.accumulate(&batch).unwrap();
        projected.accumulate(&batch).unwrap();
    }
    assert!(relative_error(pooled.nc1(&options).unwrap().value, expected) < 1e-13);
    assert!(relative_error(projected.nc1().unwrap().value, expected) < 1e-13);
}

/// Labels out of range are dropped silently elsewhere.
#[test]
fn labels_out_of_range_are_errors() {
    let features = Features::from_row_major(&[1.0, 2.0, 3.0], 3, 1).unwrap();
    let error = features.with_labels(&[0, 1, 2], 2).unwrap_err();
    assert_eq!(error, Error::LabelOutOfRange { sample: 2, label: 2, classes: 2 });
}

/// Elsewhere empty classes enter as means of zero.
#[test]
fn empty_classes_are_errors() {
    let features = Features::from_row_major(&[1.0, 2.0, 3.0], 3, 1).unwrap();
    let data = features.with_labels(&[0, 0, 2], 3).unwrap();
    let statistics = ClassStatistics::new(&data).unwrap();
    let empty = Error::EmptyClass { argument: "labels", class: 1 };
    let options = Nc1Options::default();
    assert_eq!(nc1(&data, &statistics, &options).unwrap_err(), empty);
    assert_eq!(nc1_trace_quotient(&data, &statistics, options.center).unwrap_err(), empty);
    assert_eq!(cdnv(&data, &statistics).unwrap_err(), empty);
    assert_eq!(Nc1Sums::<f64>::new(&statistics, &options).unwrap_err(), empty);
    let mut pooled = PooledScatter::empty(1, 3).unwrap();
    pooled.accumulate(&data).unwrap();
    assert_eq!(pooled.nc1(&options).unwrap_err(), empty);
    assert_eq!(pooled.cdnv().unwrap_err(), empty);
}

/// Sums of `f32` features with a large mean, in `f32`, lose all of NC1's digits.
#[test]
fn large_means_and_deep_collapse_in_f32() {
    let exact = Sample::around(&random(64, 5), 4000, 1e-6);
    // What f32 leaves of the features.
    let rounded: Vec<f64> = exact.numbers.iter().map(|&x| f64::from(x as f32)).collect();
    let rounded = Sample { numbers: rounded, ..exact };
    assert!(relative_error(rounded.nc1::<f32>(), rounded.nc1::<f64>()) < 1e-6);
    let moved = Sample::around(&random(64, 5).add_scalar(1e4), 4000, 0.1);
    let rounded: Vec<f64> = moved.numbers.iter().map(|&x| f64::from(x as f32)).collect();
    let rounded = Sample { numbers: rounded, ..moved };
    assert!(relative_error(rounded.nc1::<f32>(), rounded.nc1::<f64>()) < 1e-6);
}

/// Collapsed classes have zero vectors: elsewhere an ε in the denominator hides that they have no angle.
#[test]
fn zero_vectors_have_no_angle() {
    let matrix = dmatrix![1.0, 0.0; 0.0, 0.0; 0.0, 1.0];
    let rows = ClassVectors::rows(&matrix).unwrap();
    let zero = Error::ZeroVector { argument: "vectors", class: 1 };
    assert_eq!(cosine_spread(&rows).unwrap_err(), zero);
    assert_eq!(equiangularity(&rows).unwrap_err(), zero);
    assert_eq!(log_energy(&rows).unwrap_err(), zero);
    assert_eq!(duality_cosines(&rows, &rows).unwrap_err(), zero);
    let one = dmatrix![1.0, 0.0];
    assert!(cosine_spread(&ClassVectors::rows(&one).unwrap()).is_err());
    let equal = dmatrix![1.0, 0.0; 2.0, 0.0];
    assert_eq!(log_energy(&ClassVectors::rows(&equal).unwrap()).unwrap().mean, f64::INFINITY);
    assert!(ClassVectors::rows(&dmatrix![f64::NAN]).is_err());
    assert!(ClassVectors::columns(&DMatrix::zeros(0, 3)).is_err());
}

/// Squares of numbers like 1e-200 or 1e200 are 0 or infinite.
#[test]
fn scales_do_not_matter_for_shapes() {
    let matrix = random(6, 4);
    let measured = |scale: f64| {
        let scaled = &matrix * scale;
        let rows = ClassVectors::rows(&scaled).unwrap();
        let norms =
            neural_collapse::metrics::norm_spread(&rows).coefficient_of_variation().unwrap();
        (norms, equiangularity(&rows).unwrap().etf_deviation, log_energy(&rows).unwrap().mean)
    };
    let expected = measured(1.0);
    for scale in [1e-200, 1e-80, 1e80, 1e200] {
        let found = measured(scale);
        assert!(relative_error(found.0, expected.0) < 1e-12);
        assert!(relative_error(found.1, expected.1) < 1e-12);
        assert!((found.2 - expected.2).abs() < 1e-12);
    }
}

/// An audit reads the head's decisions from the outputs that it computes for the loss. They may underflow where those of
/// NC4, which divides by the size of the head, do not; ties go to the lowest class in both.
#[test]
fn an_audit_decides_as_nc4_alone() {
    let means = DMatrix::from_fn(6, 4, |i, j| if i == j { 3.0 } else { 1.0 });
    let ones = |rows, size: f64| DMatrix::from_diagonal_element(rows, 6, size);
    for (weight_size, feature_size) in [(1.0, 1.0), (1e-190, 1e-139), (1e-300, 1.0), (1e60, 1e60)] {
        let one_layer = LinearHead::new(vec![ones(4, weight_size)], None);
        let two_layers = LinearHead::new(vec![ones(6, 2.0), ones(4, weight_size)], None);
        let bias = Some(DVector::from_fn(4, |k, _| weight_size * feature_size * k as f64));
        let with_bias = LinearHead::new(vec![ones(4, weight_size)], bias);
        for (head, deviation, has_zeros) in [
            (one_layer.clone(), 0.0, false),
            (one_layer.clone(), 2.0, false),
            (one_layer, 2.0, true),
            (two_layers, 2.0, false),
            (with_bias, 2.0, true),
        ] {
            // Whole numbers for many ties.
            let mut sample = Sample::around(&means, 200, deviation);
            sample.numbers.iter_mut().for_each(|number| *number = number.round() * feature_size);
            if has_zeros {
                sample.numbers[..6].fill(0.0);
            }
            let features = Features::from_row_major(&sample.numbers, 200, 6).unwrap();
            let (data, head) = (features.with_labels(&sample.labels, 4).unwrap(), head.unwrap());
            let statistics = ClassStatistics::new(&data).unwrap();
            let expected = nc4(&data, &statistics, &head).unwrap();
            assert!(deviation == 0.0 || expected.overall.head_accuracy < 1.0);
            let loss_function = LossFunction::CrossEntropy;
            let objective = TrainingObjective::DataTerm { loss_function };
            let options = AuditOptions::default().with_objective(objective);
            let mut sums = AuditSums::new(statistics, head, &options).unwrap();
            sums.accumulate(&data).unwrap();
            let found = sums.measurement().unwrap();
            assert_eq!(found.nc4(), &expected, "{weight_size:e} {feature_size:e} {deviation}");
        }
    }
}
