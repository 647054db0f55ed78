//! Features of length 1: closed forms against descents on the full objectives, and codes against known ones.

use nalgebra::{DMatrix, DVector};
use neural_collapse::models::contrastive::{
    UnitFeatures, UnitMinimum, one_vs_rest_bound, one_vs_rest_distance,
};
use neural_collapse::{Basis, ClassCounts, Error, Prediction};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

use crate::support::bases::{random_basis, random_nonnegative_basis};
use crate::support::lbfgs::{Smooth, minimize};

/// The simplex ETF √(K/(K−1)) (I − 11ᵀ/K) of unit vectors.
fn unit_simplex(classes: usize) -> DMatrix<f64> {
    let k = classes as f64;
    DMatrix::<f64>::identity(classes, classes).add_scalar(-1.0 / k) * (k / (k - 1.0)).sqrt()
}

/// The losses as functions of vectors of any length, which are normalized: first the classifiers, if there are any.
#[derive(Debug, Clone)]
pub struct Unit {
    labels: Vec<usize>,
    classifiers: usize,
    dimension: usize,
    temperature: f64,
    nonnegative: bool,
}

impl Unit {
    pub fn new(counts: &[usize], classifiers: bool, dimension: usize, temperature: f64) -> Self {
        let labels =
            counts.iter().enumerate().flat_map(|(k, &n)| std::iter::repeat_n(k, n)).collect();
        let classifiers = if classifiers { counts.len() } else { 0 };
        Self { labels, classifiers, dimension, temperature, nonnegative: false }
    }

    fn vectors(&self, point: &[f64]) -> DMatrix<f64> {
        let count = self.classifiers + self.labels.len();
        let mut vectors = DMatrix::from_column_slice(self.dimension, count, point);
        if self.nonnegative {
            vectors.apply(|entry| *entry *= *entry);
        }
        vectors
    }

    /// The loss of unit vectors, and its derivative by their inner products.
    pub fn of_products(&self, products: &DMatrix<f64>) -> (f64, DMatrix<f64>) {
        let mut slopes = DMatrix::zeros(products.nrows(), products.ncols());
        let (k, n) = (self.classifiers, self.labels.len());
        let mut loss = 0.0;
        for (i, &label) in self.labels.iter().enumerate() {
            let row = k + i;
            let (others, targets): (Vec<usize>, Vec<usize>) = if k > 0 {
                ((0..k).collect(), vec![label])
            } else {
                let others: Vec<usize> = (0..n).filter(|&j| j != i).collect();
                let partners =
                    others.iter().copied().filter(|&j| self.labels[j] == label).collect();
                (others, partners)
            };
            if targets.is_empty() {
                continue;
            }
            let weight = if k > 0 { 1.0 / n as f64 } else { 1.0 };
            let logits: Vec<f64> =
                others.iter().map(|&j| products[(row, j)] / self.temperature).collect();
            let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = logits.iter().map(|z| (z - largest).exp()).sum();
            for (&j, z) in others.iter().zip(&logits) {
                slopes[(row, j)] += weight * (z - largest).exp() / total / self.temperature;
            }
            loss += weight * (total.ln() + largest);
            for &j in &targets {
                let share = weight / targets.len() as f64 / self.temperature;
                loss -= share * products[(row, j)];
                slopes[(row, j)] -= share;
            }
        }
        (loss, slopes)
    }

    fn lowest(&self, starts: usize, seed: u64) -> f64 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let size = self.dimension * (self.classifiers + self.labels.len());
        let outcomes = (0..starts).map(|_| {
            let start: Vec<f64> = (0..size)
                .map(|_| {
                    let normal: f64 = StandardNormal.sample(&mut rng);
                    if self.nonnegative { normal.abs().sqrt() } else { normal }
                })
                .collect();
            minimize(self, &start).loss
        });
        outcomes.fold(f64::INFINITY, f64::min)
    }
}

impl Smooth for Unit {
    type Workspace = Vec<f64>;

    fn gradient_in(workspace: &Vec<f64>) -> &[f64] {
        workspace
    }

    fn scales(&self) -> Vec<f64> {
        vec![1.0; self.dimension * (self.classifiers + self.labels.len())]
    }

    fn workspace(&self) -> Vec<f64> {
        Vec::new()
    }

    fn evaluate(&self, point: &[f64], gradient: &mut Vec<f64>) -> f64 {
        let vectors = self.vectors(point);
        let norms: Vec<f64> = vectors.column_iter().map(|column| column.norm()).collect();
        let mut units = vectors;
        units.column_iter_mut().zip(&norms).for_each(|(mut unit, norm)| unit /= *norm);
        let (loss, slopes) = self.of_products(&(units.transpose() * &units));
        let mut pull = &units * (&slopes + slopes.transpose());
        for ((mut column, unit), norm) in
            pull.column_iter_mut().zip(units.column_iter()).zip(&norms)
        {
            let along = column.dot(&unit);
            column -= unit * along;
            column /= *norm;
        }
        gradient.clear();
        let chain = pull.iter().zip(point);
        gradient.extend(chain.map(|(g, p)| if self.nonnegative { 2.0 * p * g } else { *g }));
        loss
    }
}

fn counts(sizes: &[usize]) -> ClassCounts {
    ClassCounts::new(&sizes.iter().map(|&n| n as u64).collect::<Vec<_>>()).unwrap()
}

fn check(expected: &UnitMinimum, objective: &Unit, name: &str) {
    let found = objective.lowest(8, 5);
    let loss = expected.loss();
    assert!(found > loss - 1e-11 * loss.max(1.0), "{name}: {found:e} < {loss:e}");
    assert!(found < loss + 1e-8 * loss.max(1.0), "{name}: {found:e} > {loss:e}");
}

#[test]
fn no_descent_ends_below_and_some_reach_it() {
    for temperature in [0.3, 1.0] {
        for sizes in [&[3, 3][..], &[2, 2, 2], &[3, 3, 3, 3]] {
            let classes = sizes.len();
            let model = UnitFeatures::supervised_contrastive(counts(sizes), temperature).unwrap();
            let minimum = model.global_minimum().unwrap();
            for dimension in [classes - 1, classes + 1] {
                check(&minimum, &Unit::new(sizes, false, dimension, temperature), "contrastive");
            }
            let model = UnitFeatures::spherical_cross_entropy(counts(sizes), temperature).unwrap();
            let minimum = model.global_minimum().unwrap();
            check(&minimum, &Unit::new(sizes, true, classes, temperature), "spherical");
        }
        for sizes in [&[3, 3][..], &[4, 2, 2], &[3, 1, 2], &[2, 1, 1]] {
            let model = UnitFeatures::supervised_contrastive(counts(sizes), temperature).unwrap();
            let model = model.with_nonnegative_features().unwrap();
            let mut objective = Unit::new(sizes, false, sizes.len(), temperature);
            objective.nonnegative = true;
            check(&model.global_minimum().unwrap(), &objective, "non-negative");
        }
    }
}

/// The matrices attain the losses and have the Gram matrices.
#[test]
fn explicit_vectors_attain_all_numbers() {
    let sizes = [3, 3, 3, 3];
    let spread = |means: &DMatrix<f64>, sizes: &[usize]| {
        let columns = sizes.iter().enumerate().flat_map(|(k, &n)| std::iter::repeat_n(k, n));
        means.select_columns(&columns.collect::<Vec<_>>())
    };
    let spherical = UnitFeatures::spherical_cross_entropy(counts(&sizes), 0.2).unwrap();
    let spherical = spherical.global_minimum().unwrap();
    let point = spherical.explicit(&random_basis(&spherical, 2)).unwrap();
    let (layer, means) = (&point.head().weights()[0], point.class_means().unwrap());
    let objective = Unit::new(&sizes, true, 4, 0.2);
    let mut vectors = layer.transpose();
    vectors = DMatrix::from_columns(
        &vectors.column_iter().chain(spread(means, &sizes).column_iter()).collect::<Vec<_>>(),
    );
    let loss = objective.of_products(&(vectors.transpose() * &vectors)).0;
    assert!((loss - spherical.loss()).abs() < 1e-14);
    let outputs = spherical.class_outputs().unwrap().to_dense().unwrap();
    assert!((layer * means - outputs).norm() < 1e-14);

    for (sizes, nonnegative) in [([3, 3, 3, 3], false), ([4, 1, 2, 3], true)] {
        let model = UnitFeatures::supervised_contrastive(counts(&sizes), 0.2).unwrap();
        let model = if nonnegative { model.with_nonnegative_features().unwrap() } else { model };
        let minimum = model.global_minimum().unwrap();
        let means = minimum.class_means(&random_nonnegative_basis(&minimum, 9)).unwrap();
        let features = spread(&means, &sizes);
        let loss =
            Unit::new(&sizes, false, 4, 0.2).of_products(&(features.transpose() * &features)).0;
        assert!((loss / minimum.loss() - 1.0).abs() < 1e-13);
        let gram = minimum.class_means_gram().unwrap().to_dense().unwrap();
        assert!((means.transpose() * &means - gram).norm() < 1e-14);
        let total: f64 = minimum
            .feature_singular_values()
            .unwrap()
            .iter()
            .map(|s| s.value * s.value * s.multiplicity as f64)
            .sum();
        assert!((total / features.ncols() as f64 - 1.0).abs() < 1e-14);
        assert!(matches!(minimum.trailing_gram(1), Err(Error::NotAnswered { .. })));
        assert!(matches!(minimum.explicit(&Basis::Standard), Err(Error::NotAnswered { .. })));
    }
}

#[test]
fn what_is_not_known_is_refused() {
    let uneven = counts(&[3, 2]);
    assert!(
        UnitFeatures::supervised_contrastive(uneven.clone(), 0.1)
            .unwrap()
            .global_minimum()
            .is_err()
    );
    let spherical = UnitFeatures::spherical_cross_entropy(uneven, 0.1).unwrap();
    assert!(spherical.global_minimum().is_err() && spherical.with_nonnegative_features().is_err());
    let alone = UnitFeatures::supervised_contrastive(counts(&[1, 1, 1]), 0.1).unwrap();
    assert!(alone.global_minimum().is_err());
    for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(UnitFeatures::supervised_contrastive(counts(&[2, 2]), temperature).is_err());
    }
    let model = UnitFeatures::supervised_contrastive(counts(&[2, 1, 1]), 0.1).unwrap();
    let minimum = model.with_nonnegative_features().unwrap().global_minimum().unwrap();
    assert!(!minimum.is_unique() && minimum.class_means_gram().is_err());
    // Extreme temperatures are limits, not errors.
    for temperature in [1e-300, 1e300] {
        let model = UnitFeatures::supervised_contrastive(counts(&[5, 5]), temperature).unwrap();
        assert!(model.global_minimum().unwrap().loss().is_finite());
    }
}

fn random_unit_rows(classes: usize, dimension: usize, rng: &mut SmallRng) -> DMatrix<f64> {
    let mut rows = DMatrix::from_fn(classes, dimension, |_, _| StandardNormal.sample(&mut *rng));
    rows.row_iter_mut().for_each(|mut row| {
        let norm: f64 = row.norm();
        row /= norm;
    });
    rows
}

/// The known codes have the distance of the bound, and random ones never more.
#[test]
fn codes_reach_their_bounds() {
    let close = |vectors: &DMatrix<f64>, expected: f64| {
        let distance = one_vs_rest_distance(vectors).unwrap();
        assert!((distance - expected).abs() < 1e-13, "{distance}, {expected}");
    };
    for classes in 2..12 {
        close(&unit_simplex(classes), one_vs_rest_bound(classes, classes).unwrap().distance);
    }
    for classes in 4..30 {
        let angle = std::f64::consts::TAU / classes as f64;
        let polygon = DMatrix::from_fn(classes, 2, |i, j| match j {
            0 => (angle * i as f64).cos(),
            _ => (angle * i as f64).sin(),
        });
        close(&polygon, one_vs_rest_bound(classes, 2).unwrap().distance);
    }
    let mut octahedron = DMatrix::zeros(8, 4);
    for axis in 0..4 {
        octahedron[(2 * axis, axis)] = 1.0;
        octahedron[(2 * axis + 1, axis)] = -1.0;
    }
    close(&octahedron, one_vs_rest_bound(8, 4).unwrap().distance);
    close(&(octahedron * 1e200), 1e200);
    let mut rng = SmallRng::seed_from_u64(3);
    for _ in 0..400 {
        let (classes, dimension) = (rng.random_range(2..20), rng.random_range(1..8));
        let vectors = random_unit_rows(classes, dimension, &mut rng);
        let distance = one_vs_rest_distance(&vectors).unwrap();
        let bound = one_vs_rest_bound(classes, dimension).unwrap().distance;
        assert!(distance <= bound + 1e-13, "{classes}, {dimension}: {distance}");
    }
}

/// Against projected gradients on the weights of the hull.
#[test]
fn distances_agree_with_another_method() {
    let mut rng = SmallRng::seed_from_u64(8);
    for _ in 0..20 {
        let vectors = random_unit_rows(6, 4, &mut rng);
        let distance = one_vs_rest_distance(&vectors).unwrap();
        let slow = (0..6).map(|class| hull_distance(&vectors, class)).fold(f64::INFINITY, f64::min);
        assert!((distance - slow).abs() < 1e-7, "{distance}, {slow}");
    }
    // Copies of one vector, and one inside the hull of the others.
    let copies = DMatrix::from_element(3, 2, 1.0);
    assert_eq!(one_vs_rest_distance(&copies).unwrap(), 0.0);
    let inside = DMatrix::from_row_slice(4, 2, &[1.0, 0.0, -1.0, 1.0, -1.0, -1.0, 0.0, 0.0]);
    assert!(one_vs_rest_distance(&inside).unwrap() < 1e-14);
    assert!(one_vs_rest_distance(&DMatrix::from_element(1, 2, 1.0)).is_err());
    assert!(one_vs_rest_distance(&DMatrix::from_element(2, 2, f64::NAN)).is_err());
    assert!(one_vs_rest_bound(1, 3).is_err() && one_vs_rest_bound(3, 0).is_err());
}

/// Multiplicative updates of the weights (mirror descent), averaged down in step.
fn hull_distance(vectors: &DMatrix<f64>, class: usize) -> f64 {
    let own = vectors.row(class).transpose();
    let others: Vec<usize> = (0..vectors.nrows()).filter(|&k| k != class).collect();
    let points = vectors.select_rows(&others).transpose();
    let mut logs = DVector::<f64>::zeros(others.len());
    let mut best = f64::INFINITY;
    for _ in 0..20_000 {
        let mut weights = logs.map(f64::exp);
        weights /= weights.sum();
        let gap = &points * &weights - &own;
        best = best.min(gap.norm());
        logs -= points.transpose() * gap * 0.5;
        let largest = logs.max();
        logs.add_scalar_mut(-largest);
    }
    best
}
