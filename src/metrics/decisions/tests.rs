use super::*;
use nalgebra::{DMatrix, DVector, dmatrix};

/// Numbers in −1..1 that look random.
fn numbers(rows: usize, columns: usize, seed: f64) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |i, j| {
        let phase = (i as f64 * 12.9898 + j as f64 * 78.233 + seed).sin() * 43_758.545;
        2.0 * (phase - phase.floor()) - 1.0
    })
}

/// What the biases of all classes have in common, and what they differ by.
struct Bias(f64, f64);

struct Case {
    samples: DMatrix<f64>,
    labels: Vec<usize>,
    head: LinearHead,
}

impl Case {
    /// Samples around the class means `means`, d×K.
    fn new(means: &DMatrix<f64>, noise: f64, weights: DMatrix<f64>, bias: Bias) -> Self {
        let (dimension, classes) = means.shape();
        let labels: Vec<usize> = (0..5 * classes).map(|sample| sample % classes).collect();
        let mut samples = numbers(dimension, labels.len(), 0.3) * noise;
        for (mut sample, &label) in samples.column_iter_mut().zip(&labels) {
            sample += means.column(label);
        }
        let bias = DVector::from_fn(classes, |k, _| bias.0 + bias.1 * (k as f64).cos());
        Self { samples, labels, head: LinearHead::new(vec![weights], Some(bias)).unwrap() }
    }

    /// Both rules for these samples: what is certain, and what is decided in `f64`.
    fn decided<T: Scalar>(&self) -> (Vec<Screened>, Vec<(usize, Option<usize>)>) {
        let samples = self.samples.map(T::rounded);
        let features = Features::from_sample_columns(&samples).unwrap();
        let data = features.with_labels(&self.labels, self.head.classes()).unwrap();
        let rules = Rules::new(&ClassStatistics::new(&data).unwrap(), &self.head).unwrap();
        let all = 0..self.labels.len();
        let mut scratch = screen::Scratch::default();
        let features = data.features();
        let certain = rules.screen.screen(features, all.clone(), true, &mut scratch).unwrap();
        let (exact, all): (_, Vec<usize>) = (rules.exact().unwrap(), all.collect());
        let decided = exact.decide(features, &all, true, &mut exact::Scratch::default());
        for (decision, exact) in rules.decide(&data, None).unwrap().iter().zip(&decided) {
            assert_eq!((decision.nearest_mean, Some(decision.head)), *exact);
        }
        (certain, decided)
    }

    /// How many decisions are certain, all of which have to be right; those for samples in single precision, too.
    fn certain(&self) -> usize {
        if self.samples.amax() < 1e37 {
            self.certain_of::<f32>();
        }
        self.certain_of::<f64>()
    }

    fn certain_of<T: Scalar>(&self) -> usize {
        let (certain, decided) = self.decided::<T>();
        let mut number = 0;
        for (found, (nearest_mean, head)) in certain.iter().zip(decided) {
            for (found, expected) in [(found.nearest_mean, Some(nearest_mean)), (found.head, head)]
            {
                assert!(found.is_none() || found == expected, "{found:?} {expected:?}");
                number += usize::from(found.is_some());
            }
        }
        number
    }
}

/// Classes that differ by as much as single precision tells apart, and by less; a common mean and a bias that are
/// much larger, and scales out of its range.
#[test]
fn what_is_certain_is_right() {
    // More classes than are looked at together, and some that fill no vector.
    let (classes, dimension) = (150, 40);
    let all = 2 * 5 * classes;
    let separate = numbers(dimension, classes, 1.7);
    let common = DMatrix::from_element(dimension, classes, 1e6);
    for scale in [1e-170, 1e-30, 1.0, 1e30, 1e100] {
        for (differences, shift, bias, certain) in [
            (1.0, 0.0, [0.0, 0.0], all..all + 1),
            (1.0, 1.0, [0.0, 0.0], all - 20..all + 1),
            // A common mean that leaves five digits of the differences in `f64`, fewer than in `f32`.
            (1.0, 1e5, [0.0, 0.0], 0..all + 1),
            (1e-5, 0.0, [0.0, 0.0], 1..all),
            (1e-7, 0.0, [0.0, 0.0], 0..all / 2),
            (1.0, 0.0, [0.0, 1e20], 0..all + 1),
            (1.0, 0.0, [1e8, 0.0], all..all + 1),
            // Beside so much nothing else counts.
            (1.0, 0.0, [1e17, 0.0], all / 2..all / 2 + 1),
        ] {
            // Neighbors in pairs that differ by little.
            let pairs = DMatrix::from_fn(dimension, classes, |i, k| separate[(i, k / 2 * 2)]);
            let means = &pairs * (1.0 - differences) + &separate * differences + &common * shift;
            let weights = (&means - &common * shift).transpose();
            let case = Case::new(
                &(means * scale),
                0.01 * scale,
                weights,
                Bias(bias[0] * scale, bias[1] * scale),
            );
            let number = case.certain();
            assert!(
                certain.contains(&number),
                "{scale:e} {differences:e} {shift} {bias:?} {number}"
            );
            // Samples in single precision have the same digits unless they have much in common.
            if scale == 1.0 && shift == 0.0 {
                let number = case.certain_of::<f32>();
                assert!(certain.contains(&number), "{differences:e} {bias:?} {number}");
            }
        }
    }
}

/// Beside them others are 10⁶⁰ times as large, as in a test set that has gone wrong.
#[test]
fn samples_out_of_range_are_decided_too() {
    let means = numbers(8, 5, 0.9);
    let mut case = Case::new(&means, 0.1, means.transpose(), Bias(0.0, 0.0));
    for factor in [1e20, 1e60, 1e-60] {
        let mut far = case.samples.columns_range_mut(0..3);
        far *= factor;
        case.certain();
    }
}

/// Ties are never certain.
#[test]
fn equal_classes_are_decided_exactly() {
    let means = dmatrix![1.0, 1.0, -1.0; 0.0, 0.0, 2.0];
    let weights = dmatrix![1.0, 0.5; 1.0, 0.5; -3.0, 0.0];
    let case = Case::new(&means, 0.0, weights, Bias(0.0, 0.0));
    let (certain, decided) = case.decided::<f64>();
    let found: Vec<_> = certain.iter().map(|found| (found.nearest_mean, found.head)).collect();
    assert_eq!(&found[..2], [(None, None); 2]);
    assert_eq!(found[2], (Some(2), Some(2)));
    assert_eq!(&decided[..3], [(0, Some(0)), (0, Some(0)), (2, Some(2))]);
}
