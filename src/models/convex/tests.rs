//! What cannot be seen from outside: derivatives, bounds at points that are no minima, budgets beside closed forms.

use core::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use nalgebra::DMatrix;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::models::convex::certificate::Restraint;
use crate::models::convex::column::Contrasts;
use crate::models::convex::curvature::Curvature;
use crate::models::convex::data::{Column, Data, Fidelity};
use crate::models::convex::newton::Step;
use crate::models::convex::solver::solve;
use crate::models::convex::state::State;
use crate::models::convex::tangent::{Frame, Tangent};
use crate::monitor::Progress;
use crate::numerics::linalg::svd_thin;
use crate::problem::regularization::Bias;

pub(super) const PRICE: f64 = 0.02;

/// Groups with contrasts and smoothing, for both losses and every bias; and margins.
pub(super) fn programs() -> Vec<Data> {
    let mut programs = Vec::new();
    for fidelity in [Fidelity::CrossEntropy, Fidelity::SquaredError] {
        for bias in [Bias::None, Bias::Unregularized, Bias::Regularized(0.05)] {
            for smoothing in [0.0, 0.15] {
                programs.push(grouped(fidelity, bias, smoothing));
            }
        }
    }
    programs.push(margins());
    programs
}

/// Distances to logits with margins, from where a round of multipliers has pulled to.
fn margins() -> Data {
    let supports = vec![vec![0], vec![1, 2], vec![0, 3], vec![3]];
    let column = |(support, size): (&Vec<usize>, f64)| Column {
        weight: 0.03 * size,
        members: 1.0,
        scale: size.sqrt(),
        anchor: support[0],
        own: 1.0,
        deficit: 0.0,
    };
    let columns = supports.iter().zip([9.0, 4.0, 1.0, 6.0]).map(column).collect();
    let labels = DMatrix::from_fn(4, 4, |i, j| 0.3 * (i as f64) - 0.2 * (j as f64));
    Data { supports, ..Data::new(Fidelity::Margins, vec![1.0; 4], columns, labels, Bias::None) }
}

fn grouped(fidelity: Fidelity, bias: Bias, smoothing: f64) -> Data {
    let kinds = [(40.0, 1.0, 1.0), (15.0, 3.0, 0.8), (6.0, 4.0, 1.7), (2.0, 1.0, 1.0)];
    let samples: f64 = kinds.iter().map(|(size, members, _)| size * members).sum();
    let column = |(anchor, (size, members, weight)): (usize, (f64, f64, f64))| Column {
        weight: weight * size / samples,
        members,
        scale: f64::sqrt(size),
        anchor,
        own: 1.0 - smoothing,
        deficit: smoothing,
    };
    let columns = kinds.into_iter().enumerate().map(column).collect();
    let rows = kinds.iter().map(|&(_, members, _)| members).collect();
    let labels = DMatrix::from_element(4, 4, smoothing / 9.0);
    // Half of the programs have constants beside the logits.
    let offsets = if smoothing > 0.0 { vec![0.3, -1.2, 0.0, 2.0] } else { vec![0.0; 4] };
    Data { offsets, ..Data::new(fidelity, rows, columns, labels, bias) }
}

pub(super) fn random(rng: &mut SmallRng, size: f64) -> DMatrix<f64> {
    DMatrix::from_fn(4, 4, |_, _| size * rng.random_range(-1.0..1.0))
}

fn state(data: &Data, point: &DMatrix<f64>) -> State {
    data.state(point, Contrasts::Best(PRICE), &[0.0; 4]).unwrap()
}

/// What X minimizes apart from the price of its own norm.
fn merit(data: &Data, point: &DMatrix<f64>) -> f64 {
    Contrasts::Best(PRICE).merit(&state(data, point))
}

#[test]
fn gradient_and_curvature_are_derivatives() {
    let mut rng = SmallRng::seed_from_u64(1);
    for data in programs() {
        for size in [0.5, 8.0] {
            let (point, step) = (random(&mut rng, size), random(&mut rng, 1.0));
            let at = state(&data, &point);
            let h = 1e-4;
            let [ahead, behind] = [h, -h].map(|h| &point + &step * h);
            let slope = (merit(&data, &ahead) - merit(&data, &behind)) / (2.0 * h);
            assert!((slope - at.gradient.dot(&step)).abs() < 1e-8, "{slope}: {data:?}");
            let mut image = step.clone();
            let curvature = Curvature::new(&data, &at).unwrap();
            curvature.apply(&mut image);
            let difference =
                (state(&data, &ahead).gradient - state(&data, &behind).gradient) / (2.0 * h);
            let error = (&difference - &image).amax();
            assert!(error < 1e-6 * difference.amax(), "{error:e}: {data:?}{difference}{image}");
            // The bound of the curvature holds, and the diagonal without a bias is right.
            assert!(
                step.dot(&image) <= curvature.largest_here() * step.norm_squared() * (1.0 + 1e-9)
            );
            assert!(curvature.largest_here() <= data.lipschitz_constant() * (1.0 + 1e-9));
            if data.bias == Bias::None {
                let diagonal = curvature.diagonal();
                for index in 0..16 {
                    let mut unit = DMatrix::zeros(4, 4);
                    unit[index] = 1.0;
                    curvature.apply(&mut unit);
                    assert!((unit[index] - diagonal[index]).abs() < 1e-14);
                }
            }
        }
    }
}

/// The curvature of the norm along matrices of one rank, by differences along the curve of that rank.
#[test]
fn the_norm_bends_as_said() {
    let mut rng = SmallRng::seed_from_u64(2);
    for columns in [5, 8] {
        let matrix = DMatrix::from_fn(5, columns, |_, _| rng.random_range(-1.0..1.0));
        let svd = svd_thin(&matrix).unwrap();
        let values = svd.singular_values.as_slice()[..3].to_vec();
        let frame = Frame { left: svd.u, right: svd.v, values, duals: vec![0.0; 2] };
        let step = frame.project(&DMatrix::from_fn(5, columns, |_, _| rng.random_range(-1.0..1.0)));
        let curve = Step { first: frame.expand(&step), second: frame.bend(&step) };
        let norm = |x: f64| -> f64 {
            let moved = curve.from(&frame.matrix(), x);
            // Those of the nearest matrix of rank 3; the curve leaves the rank with x³.
            svd_thin(&moved).unwrap().singular_values.iter().take(3).sum()
        };
        let h = 1e-4;
        let numerical = (norm(h) - 2.0 * norm(0.0) + norm(-h)) / (h * h);
        let zeros = Tangent::zeros_like(&step);
        let (mut slope, mut image) = (zeros.clone(), zeros);
        frame.add_norm_gradient(&mut slope);
        frame.add_norm_curvature(&step, &mut image);
        let numerical_slope = (norm(h) - norm(-h)) / (2.0 * h);
        assert!((numerical_slope - slope.dot(&step)).abs() < 1e-6);
        assert!((numerical - step.dot(&image)).abs() < 1e-5, "{numerical}, {}", step.dot(&image));
        // The bend of the set against the gradient that holds the vanished singular values down.
        let held = Frame { duals: vec![0.9, 0.4], ..frame.clone() };
        let mut with_duals = Tangent::zeros_like(&step);
        held.add_norm_curvature(&step, &mut with_duals);
        let duals = DMatrix::from_diagonal(&vec![0.9, 0.4].into());
        let pull = held.left.columns(3, 2) * duals * held.right.columns(3, 2).transpose();
        let by_bend = step.dot(&image) - 2.0 * pull.dot(&curve.second);
        assert!((step.dot(&with_duals) - by_bend).abs() < 1e-12);
        // A quadratic form has one symmetric map.
        let other =
            frame.project(&DMatrix::from_fn(5, columns, |_, _| rng.random_range(-1.0..1.0)));
        let mut of_other = Tangent::zeros_like(&step);
        held.add_norm_curvature(&other, &mut of_other);
        assert!((other.dot(&with_duals) - step.dot(&of_other)).abs() < 1e-12);
    }
}

/// The stand-in for the curvature is inverted: the norm's as it is, the data term's without what it has beside the
/// diagonal, and with its mean over the columns outside of the singular vectors.
#[test]
fn the_preconditioner_inverts_what_it_stands_for() {
    let mut rng = SmallRng::seed_from_u64(5);
    for columns in [5, 8] {
        let mut random = |low: f64| DMatrix::from_fn(5, columns, |_, _| rng.random_range(low..1.0));
        let svd = svd_thin(&random(-1.0)).unwrap();
        let values = svd.singular_values.as_slice()[..3].to_vec();
        let frame = Frame { left: svd.u, right: svd.v, values, duals: vec![0.9, 0.3] };
        let (diagonal, step) = (random(0.1), frame.project(&random(-1.0)));
        let mut image = Tangent::zeros_like(&step);
        frame.add_norm_curvature(&step, &mut image);
        for (i, j) in (0..25).map(|index| (index / 5, index % 5)) {
            let mut unit = Tangent::zeros_like(&step);
            unit.core[(i, j)] = 1.0;
            let moved = frame.expand(&unit).component_mul(&diagonal);
            image.core[(i, j)] += frame.project(&moved).core[(i, j)] * step.core[(i, j)];
        }
        for (row, mut entries) in image.wide.row_iter_mut().enumerate() {
            let left = frame.left.column(row);
            let mean = left.component_mul(&left).dot(&diagonal.column_mean());
            entries += step.wide.row(row) * mean;
        }
        let found = frame.preconditioner(&diagonal).apply(&image);
        assert!((&found.core - &step.core).amax() < 1e-12, "{}{}", found.core, step.core);
        assert!((&found.wide - &step.wide).amax() < 1e-12);
    }
}

/// At any point, and with a bias that is not yet the best one for it, the bound is below every value.
#[test]
fn bounds_hold_everywhere() {
    let mut rng = SmallRng::seed_from_u64(3);
    for data in programs() {
        let minimum = solve(&data, PRICE, None, &()).unwrap().unwrap();
        assert!(minimum.objective - minimum.lower_bound <= 1e-11 * minimum.objective);
        for round in 0..200 {
            let point = minimum.frame.matrix() * rng.random_range(0.0..1.5)
                + random(&mut rng, [1e-9, 1e-3, 1.0, 20.0][round % 4]);
            let mut at = state(&data, &point);
            if round % 3 == 0 && data.bias != Bias::None {
                // A wrong bias: the contrasts and residuals are those of another one.
                let shifted = Data { bias: Bias::None, ..data.clone() };
                at = state(&shifted, &point);
            }
            let steepness = data.steepness(&at).unwrap();
            let bound = data.lower_bound(&at, steepness, Restraint::Price(PRICE));
            assert!(bound <= minimum.objective, "{bound:e} > {:e}: {data:?}", minimum.objective);
        }
    }
}

/// A budget has the multiplier as its price.
#[test]
fn budgets_and_prices_agree() {
    for smoothing in [0.0, 0.15] {
        let data = grouped(Fidelity::CrossEntropy, Bias::None, smoothing);
        for price in [0.02, 0.01, 1e-4] {
            let priced = solve(&data, price, None, &()).unwrap().unwrap();
            let budget = data.within_budget(priced.norm(), &()).unwrap();
            assert!((budget.multiplier / price - 1.0).abs() < 1e-9, "{}", budget.multiplier);
            assert!((budget.loss - priced.state.value).abs() < 1e-10 * budget.loss);
            assert!(budget.loss - budget.lower_bound < 1e-9 * budget.loss);
        }
    }
}

/// A few steps, each with a proof: Newton's steps, their lengths and the proximal ones between work together.
#[test]
fn few_steps_are_needed() {
    // Each iteration of the conjugate gradients in a step of Newton's method reports.
    let heard = AtomicU64::new(0);
    let monitor = |_: Progress| {
        heard.fetch_add(1, Ordering::Relaxed);
        ControlFlow::Continue(())
    };
    let mut all = 0;
    for data in programs() {
        for (price, most) in [(1e-3, 110), (1e-2, 14), (0.05, 6), (0.2, 4)] {
            let minimum = solve(&data, price, None, &monitor).unwrap().unwrap();
            let gap = minimum.objective - minimum.lower_bound;
            assert!(gap <= 1e-12 * minimum.objective, "{gap:e} at {price}: {data:?}");
            assert!(minimum.steps <= most, "{} at {price}: {data:?}", minimum.steps);
            all += minimum.steps;
        }
    }
    assert!(all <= 620, "{all}");
    let heard = heard.into_inner();
    assert!(heard <= 1400, "{heard}");
    // Small prices leave few zeros to find where only cross-entropy is to be minimized.
    for bias in [Bias::None, Bias::Regularized(0.05)] {
        for price in [1e-6, 1e-4] {
            let data = grouped(Fidelity::CrossEntropy, bias, 0.0);
            assert!(solve(&data, price, None, &()).unwrap().unwrap().steps <= 10);
        }
    }
}

/// The bound of the curvature is met: by two equal probabilities under cross-entropy, everywhere else.
#[test]
fn the_bound_of_the_curvature_is_met() {
    for fidelity in [Fidelity::CrossEntropy, Fidelity::SquaredError] {
        let column = |anchor: usize, weight: f64, scale: f64| Column {
            weight,
            members: 1.0,
            scale,
            anchor,
            own: 1.0,
            deficit: 0.0,
        };
        let columns = vec![column(0, 0.3, 2.0), column(1, 0.7, 3.0)];
        let labels = DMatrix::zeros(2, 2);
        let data = Data::new(fidelity, vec![1.0; 2], columns, labels, Bias::None);
        let here = data.state(&DMatrix::zeros(2, 2), Contrasts::Best(PRICE), &[0.0; 2]).unwrap();
        let curvature = Curvature::new(&data, &here).unwrap();
        let mut image = DMatrix::from_row_slice(2, 2, &[0.0, 1.0, 0.0, -1.0]);
        let step = image.clone();
        curvature.apply(&mut image);
        let bound = data.lipschitz_constant() * step.norm_squared();
        assert!((image.dot(&step) / bound - 1.0).abs() < 1e-14, "{}", image.dot(&step) / bound);
    }
}

/// The largest change of a logit beside that of the own class, written out for all classes.
#[test]
fn changes_of_logits_are_measured_per_sample() {
    let mut rng = SmallRng::seed_from_u64(4);
    let data = grouped(Fidelity::CrossEntropy, Bias::None, 0.0);
    for _ in 0..20 {
        let step = random(&mut rng, 3.0);
        let logit = |row: usize, column: usize| {
            let Column { members, scale, .. } = data.columns[column];
            step[(row, column)] / (data.rows[row].sqrt() * members.sqrt() * scale)
        };
        let mut largest: f64 = 0.0;
        for (column, Column { anchor, .. }) in data.columns.iter().enumerate() {
            for row in 0..4 {
                largest = largest.max((logit(row, column) - logit(*anchor, column)).abs());
            }
        }
        assert!((data.largest_change(&step) / largest - 1.0).abs() < 1e-14);
    }
}

/// The guess is the minimum where all classes are alike.
#[test]
fn the_start_is_the_minimum_of_equal_classes() {
    // Five classes of 9 samples, each a kind of its own, or as kinds of two and three.
    let (alone, kinds) = (vec![1.0; 5], vec![2.0, 3.0]);
    for (fidelity, smoothing, rows) in [
        (Fidelity::CrossEntropy, 0.0, &alone),
        (Fidelity::CrossEntropy, 0.1, &alone),
        (Fidelity::CrossEntropy, 0.1, &kinds),
        (Fidelity::SquaredError, 0.1, &alone),
    ] {
        let column = |(anchor, &members): (usize, &f64)| Column {
            weight: 0.2,
            members,
            scale: 3.0,
            anchor,
            own: 1.0 - smoothing,
            deficit: smoothing,
        };
        let labels = DMatrix::from_element(rows.len(), rows.len(), smoothing / 5.0);
        let columns = rows.iter().enumerate().map(column).collect();
        let data = Data::new(fidelity, rows.clone(), columns, labels, Bias::None);
        for price in [1e-4, 0.01, 0.03] {
            let minimum = solve(&data, price, None, &()).unwrap().unwrap().frame.matrix();
            let mut start = data.start(price);
            if fidelity == Fidelity::SquaredError {
                // Without a bias the means of the outputs are shrunk, too.
                let means = minimum.row_mean();
                start.row_iter_mut().for_each(|mut row| row += &means);
            }
            let error = (&start - &minimum).amax() / minimum.amax();
            assert!(error < 1e-6, "{fidelity:?}, {smoothing}, {price}: {error:e}");
        }
        assert_eq!(data.start(0.07).amax(), 0.0);
    }
}
