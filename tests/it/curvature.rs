//! The curvature at the global minimum against dense Hessians of the full objective.

use nalgebra::{DMatrix, DVector, SymmetricEigen, dmatrix};
use neural_collapse::models::squared::Curvature;
use neural_collapse::{Basis, Bias, ClassCounts, Error, GlobalMinimum, LinearHead, Prediction};
use neural_collapse::{Regularization, Ufm};

use crate::support::bases::random_basis;
use crate::support::objective::{MseObjective, Unpacked, one_hot};

/// A problem small enough for a dense Hessian.
struct Case {
    target: Target,
    decays: Vec<f64>,
    feature_decay: f64,
    bias: Bias,
    widths: Vec<usize>,
}

enum Target {
    Counts(Vec<usize>),
    Matrix(DMatrix<f64>),
}

fn case(counts: &[usize], decays: &[f64], bias: Bias, widths: &[usize]) -> Case {
    let (decays, widths) = (decays.to_vec(), widths.to_vec());
    Case { target: Target::Counts(counts.to_vec()), decays, feature_decay: 3e-3, bias, widths }
}

fn cases() -> Vec<Case> {
    let (none, free) = (Bias::None, Bias::Unregularized);
    let matrix = dmatrix![0.9, 0.8, -0.1, 0.2, 0.3; 0.1, 0.0, 1.1, 0.4, 0.9];
    let soft = |bias| Case {
        target: Target::Matrix(matrix.clone()),
        decays: vec![4e-3, 2e-3],
        feature_decay: 1e-3,
        bias,
        widths: vec![4, 3],
    };
    vec![
        case(&[2, 2, 2], &[2e-3], none, &[3]),
        case(&[4, 2, 1], &[2e-3], none, &[5]),
        case(&[3, 1, 1], &[6e-2], none, &[4]),
        case(&[2, 2, 2, 1], &[2e-3], none, &[2]),
        case(&[3, 2, 1], &[2e-3, 1e-3], none, &[4, 3]),
        case(&[2, 2, 2], &[1e-3, 5e-3], none, &[2, 4]),
        case(&[5, 1, 1], &[1e-2, 2e-2], none, &[3, 5]),
        case(&[2, 1], &[2e-3, 1e-3, 4e-3], none, &[3, 2, 4]),
        case(&[5, 1], &[10.0], none, &[3]),
        case(&[6, 1], &[1.0, 1.0], none, &[2, 3]),
        case(&[2, 2, 2], &[2e-3], free, &[4]),
        case(&[4, 2, 1], &[1e-3, 3e-3], free, &[3, 4]),
        case(&[2, 2, 2], &[1e-3, 3e-3], free, &[1, 2]),
        soft(none),
        soft(free),
    ]
}

impl Case {
    fn minimum(&self) -> GlobalMinimum {
        let regularization = Regularization::new(&self.decays, self.feature_decay).unwrap();
        let regularization = regularization.with_bias(self.bias).unwrap();
        let ufm = match &self.target {
            Target::Counts(counts) => {
                let counts: Vec<u64> = counts.iter().map(|&count| count as u64).collect();
                Ufm::new(ClassCounts::new(&counts).unwrap(), regularization)
            }
            Target::Matrix(matrix) => Ufm::from_target(matrix.clone(), regularization),
        };
        ufm.unwrap().with_widths(&self.widths).unwrap().global_minimum().unwrap()
    }

    fn objective(&self) -> MseObjective {
        let target = match &self.target {
            Target::Counts(counts) => one_hot(counts),
            Target::Matrix(matrix) => matrix.clone(),
        };
        MseObjective::new(target, &self.decays, self.feature_decay, self.bias, &self.widths)
    }
}

/// The point in which a minimum is attained, for the objective of the tests.
fn packed(minimum: &GlobalMinimum, objective: &MseObjective) -> Vec<f64> {
    let explicit = minimum.explicit(&random_basis(minimum, 5)).unwrap();
    let classes = minimum.classes();
    objective.pack(&Unpacked {
        weights: explicit.head().weights().to_vec(),
        features: explicit.features().unwrap(),
        bias: explicit.head().bias().cloned().unwrap_or_else(|| DVector::zeros(classes)),
    })
}

/// Weights of the differences g(h·i) − g(−h·i), i = 1, …, n, that give g′(0) exactly for a polynomial g of degree 2n.
fn stencil(points: usize, step: f64) -> Vec<f64> {
    let weight = |i: usize| {
        let i = i as f64;
        let others = (1..=points).map(|j| j as f64).filter(|&j| j != i);
        others.map(|j| j * j / (j * j - i * i)).product::<f64>() / (2.0 * step * i)
    };
    (1..=points).map(weight).collect()
}

/// The gradient along a line is a polynomial of degree 2M + 1: its slope is found without an error but rounding.
fn dense_hessian(objective: &MseObjective, point: &[f64], depth: usize) -> DMatrix<f64> {
    let step = 0.25;
    let weights = stencil(depth + 1, step);
    let size = point.len();
    let mut hessian = DMatrix::zeros(size, size);
    for variable in 0..size {
        for (index, weight) in weights.iter().enumerate() {
            let at = |side: f64| {
                let mut moved = point.to_vec();
                moved[variable] += side * step * (index + 1) as f64;
                DVector::from_vec(objective.gradient(&moved))
            };
            let mut column = hessian.column_mut(variable);
            column += (at(1.0) - at(-1.0)) * *weight;
        }
    }
    hessian
}

/// Every eigenvalue as often as its multiplicity says.
fn expanded(curvature: &Curvature) -> Vec<f64> {
    let eigenvalues = curvature.eigenvalues().iter();
    eigenvalues.flat_map(|e| vec![e.value; usize::try_from(e.multiplicity).unwrap()]).collect()
}

#[test]
fn all_eigenvalues_are_those_of_the_dense_hessian() {
    for (index, case) in cases().iter().enumerate() {
        let (minimum, objective) = (case.minimum(), case.objective());
        let point = packed(&minimum, &objective);
        let hessian = dense_hessian(&objective, &point, case.decays.len());
        let mut dense: Vec<f64> =
            SymmetricEigen::new(hessian).eigenvalues.iter().copied().collect();
        dense.sort_by(|a, b| b.total_cmp(a));
        let curvature = minimum.curvature().unwrap();
        let found = expanded(&curvature);
        assert_eq!(found.len(), dense.len(), "case {index}");
        let tolerance = 1e-13 * dense[0].max(1.0);
        for (rank, (a, b)) in found.iter().zip(&dense).enumerate() {
            assert!((a - b).abs() < tolerance, "case {index}, {rank}: {a:e}, {b:e}");
        }
        let zeros = dense.iter().filter(|value| value.abs() < 1e-9).count();
        assert_eq!(curvature.zero_modes(), zeros as u128, "case {index}");
    }
}

/// 2/λ_max is the border: a little above it the smallest deviation grows, a little below it does not.
#[test]
fn gradient_descent_is_stable_up_to_the_largest_step() {
    for (index, case) in cases().iter().enumerate() {
        let (minimum, objective) = (case.minimum(), case.objective());
        let step = minimum.curvature().unwrap().largest_step();
        let start = packed(&minimum, &objective);
        // Whether the deviation grows beyond 10⁻⁵.
        let grows = |factor: f64| {
            let moved = start.iter().zip(0..).map(|(x, i)| x + 1e-9 * (f64::from(i) * 1.9).sin());
            let mut point: Vec<f64> = moved.collect();
            (0..800).any(|_| {
                let gradient = objective.gradient(&point);
                point.iter_mut().zip(gradient).for_each(|(x, g)| *x -= factor * step * g);
                let squares = point.iter().zip(&start).map(|(x, y)| (x - y).powi(2));
                squares.sum::<f64>().sqrt() > 1e-5
            })
        };
        assert!(grows(1.03), "case {index}: stable above the largest step");
        assert!(!grows(0.97), "case {index}: not stable below the largest step");
    }
}

/// Deviations within the classes alone: each step multiplies the slowest that NC1 sees by 1 − ηρ/2.
#[test]
fn within_class_deviations_fall_at_the_rate_of_nc1() {
    let case = case(&[4, 3, 2], &[2e-3, 1e-3], Bias::None, &[4, 3]);
    let (minimum, objective) = (case.minimum(), case.objective());
    let curvature = minimum.curvature().unwrap();
    let (rate, step) = (curvature.nc1_rate().unwrap(), 0.5 * curvature.largest_step());
    let mut point = packed(&minimum, &objective);
    let start = objective.unpack(&point);
    // Against each other: the last two samples, along the mean of the smallest class.
    let mut moved = start.clone();
    let direction = start.features.column(8).normalize() * 1e-6;
    let mut column = moved.features.column_mut(8);
    column += &direction;
    let mut column = moved.features.column_mut(7);
    column -= &direction;
    point.copy_from_slice(&objective.pack(&moved));
    let spread = |point: &[f64]| {
        let features = objective.unpack(point).features;
        (features.column(8) - features.column(7)).norm()
    };
    let (before, steps) = (spread(&point), 10);
    for _ in 0..steps {
        let gradient = objective.gradient(&point);
        point.iter_mut().zip(gradient).for_each(|(x, g)| *x -= step * g);
    }
    let factor = (spread(&point) / before).powf(1.0 / f64::from(steps));
    assert!((factor - (1.0 - step * rate / 2.0)).abs() < 1e-6, "{factor}, {rate}, {step}");
}

#[test]
fn what_has_no_curvature_says_so() {
    let penalized = case(&[2, 2], &[1e-3], Bias::Regularized(0.1), &[3]);
    let answer = penalized.minimum().curvature();
    assert!(matches!(answer, Err(Error::NotAnswered { .. })));
    let collapsed = case(&[2, 2], &[100.0], Bias::None, &[3]).minimum().curvature().unwrap();
    assert_eq!((collapsed.nc1_rate(), collapsed.zero_modes()), (None, 0));
    assert_eq!(
        case(&[1, 1], &[1e-3], Bias::None, &[3]).minimum().curvature().unwrap().nc1_rate(),
        None
    );
    // As many samples as the library takes.
    let regularization = Regularization::new(&[1e-12; 2], 1e-12).unwrap();
    let counts = ClassCounts::balanced(1000, 1 << 53).unwrap();
    let ufm = Ufm::new(counts, regularization).unwrap().with_widths(&[4096, 2048]).unwrap();
    let curvature = ufm.global_minimum().unwrap().curvature().unwrap();
    let parameters: u128 = curvature.eigenvalues().iter().map(|e| e.multiplicity).sum();
    assert_eq!(parameters, 1000 * 2048 + 2048 * 4096 + 4096 * (1000_u128 << 53));
}

/// No rotation of the nearest minimizer is nearer, be it random or small.
#[test]
fn the_nearest_minimizer_is_the_nearest() {
    let counts = [5_u64, 3, 1];
    for bias in [Bias::None, Bias::Unregularized] {
        let case = case(&[5, 3, 1], &[3e-3], bias, &[5]);
        let minimum = case.minimum();
        let planted = minimum.explicit(&random_basis(&minimum, 9)).unwrap();
        for noise in [0.0, 0.3, 3.0] {
            let weight = planted.head().weights()[0]
                .map_with_location(|i, j, x| x + noise * ((7 * i + 3 * j) as f64 * 1.3).sin());
            let means = planted
                .class_means()
                .unwrap()
                .map_with_location(|i, j, x| x + noise * ((5 * i + 2 * j) as f64 * 0.7).cos());
            let head = LinearHead::new(vec![weight], None).unwrap();
            let distance = |basis: &Basis| {
                let other = minimum.explicit(basis).unwrap();
                let weights = (&other.head().weights()[0] - &head.weights()[0]).norm_squared();
                let columns = other.class_means().unwrap() - &means;
                let squares = columns.column_iter().zip(counts);
                let features = squares.map(|(column, n)| n as f64 * column.norm_squared());
                case.decays[0] * weights + case.feature_decay * features.sum::<f64>()
            };
            let basis = minimum.nearest_basis(&means, &head).unwrap();
            let nearest = distance(&basis);
            assert!(nearest <= distance(&random_basis(&minimum, 9)) + 1e-15);
            for seed in 0..200 {
                assert!(nearest <= distance(&random_basis(&minimum, seed)) + 1e-15);
                let Basis::Given(vectors) = &basis else { panic!() };
                let size = vectors[0].nrows();
                let generator = DMatrix::from_fn(size, size, |i, j| {
                    let angle = |i, j| ((seed as usize * 31 + i * 7 + j) as f64).sin() * 1e-3;
                    angle(i, j) - angle(j, i)
                });
                let turned = Basis::Given(vec![generator.exp() * &vectors[0]]);
                assert!(nearest <= distance(&turned) + 1e-15, "noise {noise}, {seed}");
            }
        }
    }
}

/// ‖Z − Z*‖² ≤ 2N(f − f*) wherever the network is.
#[test]
fn the_loss_bounds_the_distance_of_the_outputs() {
    let case = case(&[4, 2, 1], &[2e-2], Bias::None, &[5]);
    let (minimum, objective) = (case.minimum(), case.objective());
    let start = packed(&minimum, &objective);
    let outputs = |point: &[f64]| {
        let point = objective.unpack(point);
        &point.weights[0] * &point.features
    };
    let mut closest = 0.0_f64;
    for seed in 0..3000 {
        let size = 10_f64.powf(f64::from(seed % 13) / 4.0 - 3.0);
        let noise = |i: i32| (f64::from(i * (seed + 1)) * 1.7).sin() * size;
        let moved: Vec<f64> = start.iter().zip(0..).map(|(x, i)| x + noise(i)).collect();
        let distance = (outputs(&moved) - outputs(&start)).norm();
        let bound = minimum.output_distance_bound(objective.loss(&moved)).unwrap();
        assert!(distance <= bound + 1e-7, "{distance:e} > {bound:e}");
        closest = closest.max(distance / bound);
    }
    assert!(closest > 0.3, "the bound was never nearly reached: {closest}");
    let deep = self::case(&[4, 2, 1], &[2e-2, 1e-2], Bias::None, &[5, 5]).minimum();
    assert!(matches!(deep.output_distance_bound(0.1), Err(Error::NotAnswered { .. })));
}
