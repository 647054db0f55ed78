//! Sparse soft labels: the certificate of the centered supports against a first-order method that knows none.

use nalgebra::DMatrix;
use neural_collapse::models::soft_labels::{CenteredSupports, Exactness, SparseLabels};
use neural_collapse::{Basis, ClassCounts, Error, Prediction, Progress, Seli};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::support::bases::random_basis;

fn supports(lists: &[&[usize]]) -> Vec<Vec<usize>> {
    lists.iter().map(|list| list.to_vec()).collect()
}

fn minimum(classes: usize, supports: &[Vec<usize>], samples: &[u64]) -> CenteredSupports {
    SparseLabels::new(classes, supports, samples).unwrap().global_minimum().unwrap()
}

/// The minimum of ‖X‖_* over X with one value on each support and all others smaller by √n_j at least, by the
/// alternating direction method of multipliers: what it ends at is feasible, so that it bounds the minimum from above.
fn norm_by_admm(classes: usize, supports: &[Vec<usize>], samples: &[u64], steps: usize) -> f64 {
    let contexts = supports.len();
    let mut feasible = DMatrix::zeros(classes, contexts);
    for (j, support) in supports.iter().enumerate() {
        project(&mut feasible, j, support, (samples[j] as f64).sqrt());
    }
    let size = feasible.norm() / contexts as f64;
    let mut dual = DMatrix::zeros(classes, contexts);
    let mut best = f64::INFINITY;
    for step in 0..steps {
        let x = shrunk(&(&feasible - &dual), size);
        let mut moved = &x + &dual;
        for (j, support) in supports.iter().enumerate() {
            project(&mut moved, j, support, (samples[j] as f64).sqrt());
        }
        dual += &x - &moved;
        feasible = moved;
        if step + 50 > steps {
            let mut centered = feasible.clone();
            centered.column_iter_mut().for_each(|mut column| {
                let mean = column.mean();
                column.add_scalar_mut(-mean);
            });
            best = best.min(singular_values(&centered).sum());
        }
    }
    best
}

/// Singular values by eigenvalues of the smaller Gram matrix: 1e-8 at zero is enough here.
fn singular_values(matrix: &DMatrix<f64>) -> nalgebra::DVector<f64> {
    let gram = if matrix.nrows() < matrix.ncols() {
        matrix * matrix.transpose()
    } else {
        matrix.transpose() * matrix
    };
    gram.symmetric_eigen().eigenvalues.map(|value| value.max(0.0).sqrt())
}

/// Every singular value less by `by`, but not below zero: X f(XᵀX), f(σ²) = max(0, 1 − by/σ).
fn shrunk(matrix: &DMatrix<f64>, by: f64) -> DMatrix<f64> {
    let eigen = (matrix.transpose() * matrix).symmetric_eigen();
    let factors = eigen.eigenvalues.map(|value| {
        let root = value.max(0.0).sqrt();
        if root > by { 1.0 - by / root } else { 0.0 }
    });
    matrix * &eigen.eigenvectors * DMatrix::from_diagonal(&factors) * eigen.eigenvectors.transpose()
}

/// The nearest column with one value a on the support and a − margin at most elsewhere.
fn project(matrix: &mut DMatrix<f64>, j: usize, support: &[usize], margin: f64) {
    let column: Vec<f64> = matrix.column(j).iter().copied().collect();
    let inside = |token: usize| support.contains(&token);
    let slope = |a: f64| {
        let terms = column.iter().enumerate().map(|(token, &x)| match inside(token) {
            true => a - x,
            false => (a - margin - x).min(0.0),
        });
        terms.sum::<f64>()
    };
    let largest = column.iter().fold(0.0, |m: f64, x| m.max(x.abs())) + margin;
    let (mut low, mut high) = (-largest, largest);
    for _ in 0..60 {
        let middle = low.midpoint(high);
        if slope(middle) > 0.0 { high = middle } else { low = middle }
    }
    let a = low.midpoint(high);
    for (token, &x) in column.iter().enumerate() {
        matrix[(token, j)] = if inside(token) { a } else { x.min(a - margin) };
    }
}

fn random_problem(rng: &mut SmallRng, classes: usize) -> (Vec<Vec<usize>>, Vec<u64>) {
    let contexts = rng.random_range(2..=7);
    let mut lists = Vec::new();
    while lists.len() < contexts {
        let list: Vec<usize> = (0..classes).filter(|_| rng.random_range(0.0..1.0) < 0.45).collect();
        if !list.is_empty() {
            lists.push(list);
        }
    }
    let samples = (0..contexts).map(|_| rng.random_range(1..20)).collect();
    (lists, samples)
}

/// One support is the union of two others, so that the rank is below the number of contexts.
fn dependent_problem(rng: &mut SmallRng, classes: usize) -> (Vec<Vec<usize>>, Vec<u64>) {
    let (mut lists, mut samples) = random_problem(rng, classes);
    let share: Vec<usize> = (0..classes).map(|_| rng.random_range(0..4)).collect();
    let of = |shares: &[usize]| (0..classes).filter(|&k| shares.contains(&share[k])).collect();
    let added: [Vec<usize>; 3] = [of(&[0]), of(&[1]), of(&[0, 1])];
    for list in added.into_iter().filter(|list| !list.is_empty()) {
        lists.push(list);
        samples.push(rng.random_range(1..20));
    }
    lists.drain(..lists.len().saturating_sub(5));
    samples.drain(..samples.len().saturating_sub(5));
    (lists, samples)
}

/// Where the certificate says so, nothing feasible is shorter; where it denies it, something is. Bounds hold.
#[test]
fn certificates_are_right() {
    let mut rng = SmallRng::seed_from_u64(4);
    let mut seen = [0; 4];
    for index in 0..80 {
        let classes = 4 + index % 4 + 2 * (index % 2);
        let (lists, samples) = match index % 2 {
            0 => random_problem(&mut rng, classes),
            _ => dependent_problem(&mut rng, classes),
        };
        let found = minimum(classes, &lists, &samples);
        let (norm, certificate) = (found.loss(), found.certificate());
        let other = norm_by_admm(classes, &lists, &samples, 3000);
        let bound = certificate.lower_bound;
        let problem = format!("{index}: {lists:?}, {samples:?}: {certificate:?}, {norm}, {other}");
        assert!(bound <= other * (1.0 + 1e-12) && bound <= norm, "{problem}");
        let is_exact = certificate.is_exact();
        assert_eq!(found.lower_bound(), Some(if is_exact { norm } else { bound }), "{problem}");
        match certificate.exactness {
            Exactness::Polar | Exactness::Subgradient => {
                assert!(other > norm * (1.0 - 1e-9), "{problem}");
                assert!(bound > norm * (1.0 - 1e-12), "{problem}");
            }
            Exactness::Improvable => {
                assert!(other < norm * (1.0 - 1e-10), "{problem}");
                assert!(!found.certificate().is_exact() && !found.is_unique());
            }
            _ => {}
        }
        seen[certificate.exactness as usize] += 1;
    }
    println!("polar, subgradient, improvable, undecided: {seen:?}");
    assert!(seen[0] > 30 && seen[1] > 0 && seen[2] > 12 && seen[3] == 0, "{seen:?}");
}

/// The matrices attain the norm, have S̃ as outputs and the Gram matrices.
#[test]
fn explicit_matrices_attain_all_numbers() {
    let lists = supports(&[&[0, 1], &[2], &[0, 1], &[1, 2, 3], &[0, 1, 2, 3, 4], &[4]]);
    let samples = [5, 2, 7, 3, 4, 1];
    let found = minimum(5, &lists, &samples);
    let point = found.explicit(&random_basis(&found, 1)).unwrap();
    let (layer, features) = (&point.head().weights()[0], point.distinct_features());
    let outputs = layer * features;
    assert!((outputs - found.problem().centered_supports().unwrap()).norm() < 1e-13);
    let all = point.features().unwrap();
    assert_eq!(all.ncols(), 22);
    let reached = (layer.norm_squared() + all.norm_squared()) / 2.0;
    assert!((reached / found.loss() - 1.0).abs() < 1e-13);
    let gram = found.trailing_gram(1).unwrap().to_dense().unwrap();
    assert!((layer * layer.transpose() - gram).norm() < 1e-13);
    let contexts = found.context_gram().unwrap().to_dense().unwrap();
    assert!((features.transpose() * features - contexts).norm() < 1e-13);
    // Contexts of one support share their features, a context with every token has none.
    assert!((features.column(0) - features.column(2)).norm() == 0.0);
    assert_eq!(features.column(4).norm(), 0.0);
    assert!(!found.has_scale() && found.class_means_gram().is_err());
}

/// Hard labels are SELI.
#[test]
fn single_tokens_are_classes() {
    let samples = [40, 10, 3, 3];
    let found = minimum(4, &supports(&[&[0], &[1], &[2], &[3]]), &samples);
    let seli = Seli::new(ClassCounts::new(&samples).unwrap()).unwrap();
    assert_eq!(found.certificate().exactness, Exactness::Polar);
    assert!(found.certificate().is_exact());
    assert!(found.is_unique() && found.verdict().is_proved());
    assert!((found.loss() / seli.loss() - 1.0).abs() < 1e-14);
    let (a, b) = (found.trailing_gram(1).unwrap(), seli.trailing_gram(1).unwrap());
    assert!((a.to_dense().unwrap() - b.to_dense().unwrap()).norm() < 1e-13);
    let (a, b) = (found.context_gram().unwrap(), seli.class_means_gram().unwrap());
    assert!((a.to_dense().unwrap() - b.to_dense().unwrap()).norm() < 1e-13);
}

/// The polar factor is positive off the supports and the rank below min(K−1, J), but they are exact.
#[test]
fn another_subgradient_may_certify() {
    let lists = supports(&[&[0, 3], &[0, 1, 2, 3], &[2, 3, 4, 5], &[4], &[0, 3, 5]]);
    let certificate = *minimum(6, &lists, &[13, 4, 16, 10, 6]).certificate();
    println!("{certificate:?}");
    assert_eq!((certificate.exactness, certificate.rank), (Exactness::Subgradient, 4));
    assert!((certificate.largest_of_polar_factor - 0.034).abs() < 1e-3);
    assert!(certificate.norm_of_rest < 0.4);
}

/// Copies of contexts and the order of everything do not matter.
#[test]
fn splitting_and_permuting_change_nothing() {
    let lists = supports(&[&[0, 1], &[1, 2], &[3, 4], &[0, 4]]);
    let one = minimum(5, &lists, &[6, 4, 9, 1]);
    let more = supports(&[&[4, 0], &[1, 0], &[4, 3], &[1, 2], &[0, 1]]);
    let other = minimum(5, &more, &[1, 2, 9, 4, 4]);
    assert!((one.loss() / other.loss() - 1.0).abs() < 1e-14);
    assert_eq!(one.certificate().exactness, other.certificate().exactness);
    let scaled = minimum(5, &lists, &[24, 16, 36, 4]);
    assert!((scaled.loss() / one.loss() - 2.0).abs() < 1e-14);
}

#[test]
fn everything_in_every_support_is_zero() {
    let found = minimum(3, &supports(&[&[0, 1, 2], &[2, 1, 0]]), &[5, 1]);
    assert_eq!(found.loss(), 0.0);
    assert!(found.verdict().is_proved());
    let point = found.explicit(&Basis::Standard).unwrap();
    assert_eq!(point.features().unwrap().norm(), 0.0);
}

#[test]
fn bad_input_is_refused() {
    let new = |classes, lists: &[&[usize]], samples: &[u64]| {
        SparseLabels::new(classes, &supports(lists), samples)
    };
    assert!(new(1, &[&[0]], &[1]).is_err() && new(3, &[], &[]).is_err());
    assert!(new(3, &[&[]], &[1]).is_err() && new(3, &[&[3]], &[1]).is_err());
    assert!(new(3, &[&[1, 1]], &[1]).is_err() && new(3, &[&[1]], &[1, 2]).is_err());
    assert!(new(3, &[&[1]], &[0]).is_err());
    for label in [[0.5, 0.6], [-0.5, 1.5], [f64::NAN, 1.0], [0.0, 0.0]] {
        let labels = DMatrix::from_column_slice(2, 1, &label);
        assert!(SparseLabels::from_labels(&labels, &[1]).is_err(), "{label:?}");
    }
}

#[test]
fn a_search_can_be_cancelled() {
    let lists = supports(&[&[0, 1], &[2, 3], &[0, 2], &[1, 3], &[0, 1, 2]]);
    let problem = SparseLabels::new(5, &lists, &[9, 8, 7, 1, 5]).unwrap();
    let stop = |_: Progress| std::ops::ControlFlow::Break(());
    match problem.global_minimum_with(&stop) {
        Err(error) => assert_eq!(error, Error::Cancelled),
        Ok(found) => assert!(found.certificate().norm_of_rest >= 0.0),
    }
}

/// The smallest logits are feasible, as short as another method finds, above their bound, and the centered supports where
/// these are certified.
#[test]
fn smallest_logits_are_found_where_supports_are_not() {
    let mut rng = SmallRng::seed_from_u64(14);
    let (mut exact, mut shorter) = (0, 0);
    for index in 0..24 {
        let classes = 4 + index % 4;
        let (lists, samples) = match index % 2 {
            0 => random_problem(&mut rng, classes),
            _ => dependent_problem(&mut rng, classes),
        };
        let problem = SparseLabels::new(classes, &lists, &samples).unwrap();
        let (centered, found) =
            (problem.global_minimum().unwrap(), problem.smallest_logits().unwrap());
        let what = format!("{index}: {lists:?}, {samples:?}, {} steps", found.steps());
        assert!(found.gap() <= 1e-10 * found.loss(), "{what}: {:e}", found.gap());
        let other = norm_by_admm(classes, &lists, &samples, 3000);
        assert!(found.lower_bound().unwrap() <= other * (1.0 + 1e-12), "{what}");
        assert!(found.loss() <= other * (1.0 + 1e-7), "{what}: {}, {other}", found.loss());
        let mut scaled = found.logits().clone();
        for (j, support) in lists.iter().enumerate() {
            let column = found.logits().column(j);
            let own = column[support[0]];
            for token in 0..classes {
                match support.contains(&token) {
                    true => assert!((column[token] - own).abs() < 1e-12 * own.abs().max(1.0)),
                    false => assert!(own - column[token] > 1.0 - 1e-12, "{what}"),
                }
            }
            assert!(column.sum().abs() < 1e-12 * column.norm().max(1.0));
            scaled.column_mut(j).scale_mut((samples[j] as f64).sqrt());
        }
        let norm: f64 = singular_values(&scaled).sum();
        assert!((norm / found.loss() - 1.0).abs() < 1e-6, "{what}");
        let gram = found.trailing_gram(1).unwrap().to_dense().unwrap();
        assert!(
            (&gram * &gram - &scaled * scaled.transpose()).norm() < 1e-10 * gram.norm_squared()
        );
        match centered.certificate().exactness {
            Exactness::Polar | Exactness::Subgradient => {
                assert!(found.loss() > centered.loss() * (1.0 - 1e-7), "{what}");
                exact += 1;
            }
            Exactness::Improvable => {
                assert!(found.loss() < centered.loss() * (1.0 - 1e-11), "{what}");
                shorter += 1;
            }
            _ => {}
        }
    }
    assert!(exact > 5 && shorter > 5, "{exact} {shorter}");
}
