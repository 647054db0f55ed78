use super::*;
use crate::metrics::{Nc1Options, Nc1Sums};
use nalgebra::{DVector, dmatrix};

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
        for (decision, exact) in rules.decide(&data, None, None).unwrap().iter().zip(&decided) {
            assert_eq!((decision.nearest_mean, Some(decision.head)), *exact);
        }
        (certain, decided)
    }

    /// Those for samples of which NC1 finds few numbers: how many are certain, all of which have to be right.
    fn certain_near<T: Scalar>(&self) -> usize {
        let samples = self.samples.map(T::rounded);
        let data = Features::from_sample_columns(&samples).unwrap();
        let data = data.with_labels(&self.labels, self.head.classes()).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let rules = Rules::new(&statistics, &self.head).unwrap();
        let options = Nc1Options::default();
        let nc1 = Nc1Sums::<T>::for_others(&statistics, &options, std::iter::empty()).unwrap();
        let (directions, scale) = nc1.few_directions().unwrap();
        let near = rules.near::<T>(directions, scale).unwrap();
        let number = |data: &LabeledFeatures<'_, T>, are_apart: bool| {
            let (_, seen) = nc1.find(data, &[], near.as_ref()).unwrap();
            let Some(seen) = seen else { return 0 };
            let (exact, all): (_, Vec<usize>) = (rules.exact().unwrap(), (0..seen.len()).collect());
            let decided = exact.decide(data.features(), &all, true, &mut exact::Scratch::default());
            let decisions = rules.decide(data, None, Some(seen.clone())).unwrap();
            // What no digit tells apart may depend on which samples are decided together.
            number_of_right(&seen, &decided, if are_apart { &decisions } else { &[] })
        };
        let (edges, labels) = self.edges(&statistics.class_means().unwrap());
        let edges = edges.map(T::rounded);
        let edges = Features::from_sample_columns(&edges).unwrap();
        number(&edges.with_labels(&labels, self.head.classes()).unwrap(), false);
        number(&data, true)
    }

    /// Samples so close to where two classes are equally near, or have equal outputs, that in the end no digit tells them apart.
    fn edges(&self, means: &DMatrix<f64>) -> (DMatrix<f64>, Vec<usize>) {
        let (mut edges, mut labels) = (Vec::new(), Vec::new());
        let (weights, bias) = (&self.head.weights()[0], self.head.bias().unwrap());
        for class in 0..means.ncols() {
            let next = (class + 1) % means.ncols();
            let mean = means.column(class);
            let across = means.column(next) - mean;
            let outputs = (weights.row(next) - weights.row(class)).transpose();
            let (here, there) =
                (outputs.dot(&mean) + bias[next] - bias[class], outputs.dot(&across));
            for place in [0.5, -here / there].into_iter().filter(|place| place.abs() < 10.0) {
                for digit in 2..17 {
                    for sign in [-1.0, 1.0] {
                        let moved = place * (1.0 + sign * 10_f64.powi(-digit));
                        let edge = mean + &across * moved;
                        // Both as it is, and with a part in which both outputs are equal.
                        let other = self.samples.column((class * 3 + digit as usize) % 10) - mean;
                        let share = outputs.dot(&other) / outputs.norm_squared();
                        edges.push(&edge + (other - &outputs * share));
                        edges.push(edge);
                        labels.extend([class; 2]);
                    }
                }
            }
        }
        (DMatrix::from_columns(&edges), labels)
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
        number_of_right(&certain, &decided, &[])
    }
}

/// How many decisions are certain, all of which have to be right, as have those that are made in the end.
fn number_of_right(
    certain: &[Screened],
    expected: &[(usize, Option<usize>)],
    decisions: &[Decision],
) -> usize {
    let mut number = 0;
    for (found, &(nearest_mean, head)) in certain.iter().zip(expected) {
        for (found, expected) in [(found.nearest_mean, Some(nearest_mean)), (found.head, head)] {
            assert!(found.is_none() || found == expected, "{found:?} {expected:?}");
            number += usize::from(found.is_some());
        }
    }
    for (decision, expected) in decisions.iter().zip(expected) {
        assert_eq!((decision.nearest_mean, Some(decision.head)), *expected);
    }
    number
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

/// The same from projections, with few classes and with more of them: beside heads that have collapsed, have not, and have nothing
/// to do with the class means, a common mean, large biases, and classes that differ by little.
#[test]
fn what_is_certain_from_projections_is_right() {
    for (classes, dimension) in [(2, 9), (6, 40), (10, 100), (30, 250)] {
        let all = 2 * 5 * classes;
        let (separate, other) =
            (numbers(dimension, classes, 1.7), numbers(dimension, classes, 4.2));
        let common = DMatrix::from_element(dimension, classes, 1e3);
        for scale in [1e-9, 1.0, 1e8] {
            for (differences, shift, rest, noise, bias, certain) in [
                (1.0, 0.0, 0.0, 0.01, [0.0, 0.0], all..all + 1),
                (1.0, 0.0, 0.1, 0.01, [0.0, 0.0], all..all + 1),
                (1.0, 0.0, 0.3, 0.3, [0.0, 0.0], 1..all + 1),
                (1.0, 0.0, 1e6, 0.3, [0.0, 0.0], all / 2..all),
                (1.0, 1.0, 0.1, 0.01, [0.0, 0.0], all / 2..all + 1),
                (1e-3, 0.0, 0.0, 0.01, [0.0, 0.0], 1..all + 1),
                (1e-7, 0.0, 0.0, 1e-9, [0.0, 0.0], 0..all + 1),
                (1.0, 0.0, 0.1, 0.01, [1e8, 0.0], all..all + 1),
                (1.0, 0.0, 0.1, 0.01, [1e17, 1.0], all / 2..all / 2 + 1),
            ] {
                let pairs = DMatrix::from_fn(dimension, classes, |i, k| separate[(i, k / 2 * 2)]);
                let means = &pairs * (1.0 - differences) + &separate * differences;
                let weights = (&means + &other * rest).transpose();
                let case = Case::new(
                    &((means + &common * shift) * scale),
                    noise * scale,
                    weights,
                    Bias(bias[0] * scale, bias[1] * scale),
                );
                for number in [case.certain_near::<f32>(), case.certain_near::<f64>()] {
                    assert!(
                        certain.contains(&number),
                        "{classes} {scale:e} {differences:e} {shift} {rest} {bias:?} {number}"
                    );
                }
            }
        }
    }
}

/// Two class means that differ by little in many features, so that directions are far from orthogonal, and a head whose outputs
/// for two other classes are equal at the mean of one.
#[test]
fn close_class_means_leave_open_what_is_not_certain() {
    let (classes, dimension) = (4, 2000);
    for difference in [1e-2, 1e-3, 1e-4, 1e-5, 3e-6, 1e-6] {
        let mut means = numbers(dimension, classes, 2.9);
        let close = means.column(0) + numbers(dimension, 1, 7.1).column(0) * difference;
        means.set_column(1, &close);
        let mut case = Case::new(&means, 1e-9, means.transpose(), Bias(0.0, 0.0));
        let mean = (0..5).fold(DVector::zeros(dimension), |sum, sample| {
            sum + case.samples.column(2 + classes * sample) / 5.0
        });
        let outputs = &case.head.weights()[0] * mean;
        let mut bias = DVector::zeros(classes);
        bias[3] = outputs[2] - outputs[3];
        case.head = LinearHead::new(vec![means.transpose()], Some(bias)).unwrap();
        let number = case.certain_near::<f64>();
        assert!(number >= 10 || difference < 1e-5, "{difference:e} {number}");
        case.certain_near::<f32>();
    }
}
