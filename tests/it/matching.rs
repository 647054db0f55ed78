//! The order of measured classes that fits a structure best: against all orders where there are few, against
//! what is known where there are many.

use nalgebra::DMatrix;
use neural_collapse::models::low_rank::{LowRankProblem, Search};
use neural_collapse::{
    Basis, Bias, ClassCounts, ClassMatrix, Features, Prediction, Regularization, audit,
};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

type Generator = Xoshiro256PlusPlus;

/// Gram matrix of K vectors in the plane or in space, given as rows.
fn gram(rows: &[Vec<f64>]) -> DMatrix<f64> {
    let inner = |i: usize, j: usize| rows[i].iter().zip(&rows[j]).map(|(a, b)| a * b).sum();
    DMatrix::from_fn(rows.len(), rows.len(), inner)
}

/// ±e_1, …, ±e_r: K = 2r.
fn cross_polytope(dimensions: usize) -> DMatrix<f64> {
    DMatrix::from_fn(2 * dimensions, 2 * dimensions, |i, j| match (i / 2 == j / 2, i == j) {
        (true, true) => 1.0,
        (true, false) => -1.0,
        _ => 0.0,
    })
}

/// A regular polygon with an apex of another length above its center.
fn pyramid(corners: usize) -> DMatrix<f64> {
    let corner = |k: usize| {
        let angle = 2.0 * std::f64::consts::PI * k as f64 / corners as f64;
        vec![angle.cos(), angle.sin(), -0.4]
    };
    let mut rows: Vec<Vec<f64>> = (0..corners).map(corner).collect();
    rows.insert(corners / 2, vec![0.0, 0.0, 1.5]);
    gram(&rows)
}

/// A simplex in the first coordinates and a simplex of another size in others: orthogonal to each other.
fn product(first: usize, second: usize) -> DMatrix<f64> {
    let classes = first + second;
    DMatrix::from_fn(classes, classes, |i, j| {
        let (block, size) = if i < first { (0, first) } else { (1, second) };
        let together = (j < first) == (block == 0);
        let diagonal = if i == j { 1.0 } else { 0.0 };
        if together { diagonal - 1.0 / size as f64 } else { 0.0 }
    })
}

fn structures() -> Vec<(String, DMatrix<f64>)> {
    let polytopes = [2, 3, 4, 5, 8, 20].map(|r| (format!("{r} pairs"), cross_polytope(r)));
    let pyramids = [3, 4, 5, 6, 9].map(|k| (format!("pyramid over {k}"), pyramid(k)));
    let products =
        [(2, 3), (3, 4), (4, 4), (5, 9)].map(|(a, b)| (format!("{a} × {b}"), product(a, b)));
    polytopes.into_iter().chain(pyramids).chain(products).collect()
}

fn reordered(matrix: &DMatrix<f64>, order: &[usize]) -> DMatrix<f64> {
    DMatrix::from_fn(order.len(), order.len(), |i, j| matrix[(order[i], order[j])])
}

fn noise(size: usize, generator: &mut Generator) -> DMatrix<f64> {
    DMatrix::from_fn(size, size, |_, _| generator.random_range(-1.0..1.0))
}

fn shuffled(size: usize, generator: &mut Generator) -> Vec<usize> {
    let mut order: Vec<usize> = (0..size).collect();
    order.shuffle(generator);
    order
}

fn permutations(size: usize) -> Vec<Vec<usize>> {
    if size == 0 {
        return vec![vec![]];
    }
    let insert = |rest: Vec<usize>| {
        (0..size).map(move |at| {
            let mut order = rest.clone();
            order.insert(at, size - 1);
            order
        })
    };
    permutations(size - 1).into_iter().flat_map(insert).collect()
}

#[test]
fn shuffled_structures_are_found_under_noise() {
    let mut generator = Generator::seed_from_u64(1);
    for (name, structure) in structures() {
        let target = ClassMatrix::from_dense(structure.clone()).unwrap();
        let classes = structure.nrows();
        for size in [0.0, 1e-9, 0.02, 0.1] {
            for _ in 0..4 {
                let measured = &structure + noise(classes, &mut generator) * size;
                let unshuffled = target.distance(&measured).unwrap();
                let measured = reordered(&measured, &shuffled(classes, &mut generator));
                let order = target.matching(&measured).unwrap();
                let found = target.distance(&reordered(&measured, &order)).unwrap();
                assert!(
                    found <= unshuffled + 1e-7,
                    "{name}, noise {size}: {found:e}, {unshuffled:e}"
                );
                assert_eq!(order, target.matching(&measured).unwrap(), "{name}: not repeatable");
            }
        }
    }
}

#[test]
fn no_order_of_few_classes_is_nearer() {
    let mut generator = Generator::seed_from_u64(2);
    let few = structures().into_iter().filter(|(_, structure)| structure.nrows() <= 7);
    for (name, structure) in few {
        let classes = structure.nrows();
        // Also structures that are not symmetric, as outputs are not.
        for lopsided in [0.0, 0.3] {
            let structure = &structure + noise(classes, &mut generator) * lopsided;
            let target = ClassMatrix::from_dense(structure.clone()).unwrap();
            for size in [0.3, 1.0, 10.0] {
                let measured = &structure + noise(classes, &mut generator) * size;
                let distance =
                    |order: &Vec<usize>| target.distance(&reordered(&measured, order)).unwrap();
                let best = permutations(classes).iter().map(distance).fold(2.0, f64::min);
                let found = distance(&target.matching(&measured).unwrap());
                assert!(found <= best + 1e-12, "{name}, noise {size}: {found}, {best}");
            }
        }
    }
}

#[test]
fn no_exchange_of_two_of_many_classes_is_nearer() {
    let mut generator = Generator::seed_from_u64(3);
    let many = structures().into_iter().filter(|(_, structure)| structure.nrows() > 8);
    for (name, structure) in many {
        let target = ClassMatrix::from_dense(structure.clone()).unwrap();
        let classes = structure.nrows();
        let measured = &structure + noise(classes, &mut generator) * 2.0;
        let order = target.matching(&measured).unwrap();
        let found = target.distance(&reordered(&measured, &order)).unwrap();
        for j in 0..classes {
            for i in 0..j {
                let mut exchanged = order.clone();
                exchanged.swap(i, j);
                let other = target.distance(&reordered(&measured, &exchanged)).unwrap();
                assert!(found <= other + 1e-12, "{name}: ({i}, {j})");
            }
        }
    }
}

#[test]
fn only_classes_of_one_size_are_exchanged() {
    let mut generator = Generator::seed_from_u64(4);
    let counts = ClassCounts::new(&[7, 7, 5, 5, 7, 7]).unwrap();
    let target = ClassMatrix::from_dense(cross_polytope(3)).unwrap();
    for _ in 0..20 {
        let order = target.matching_within_sizes(&noise(6, &mut generator), &counts).unwrap();
        for (place, &class) in order.iter().enumerate() {
            assert_eq!(counts.count(place), counts.count(class), "{order:?}");
        }
    }
    let exchanged = reordered(&cross_polytope(3), &[0, 4, 3, 2, 1, 5]);
    let order = target.matching_within_sizes(&exchanged, &counts).unwrap();
    assert!(target.distance(&reordered(&exchanged, &order)).unwrap() < 1e-15, "{order:?}");
    let few = ClassCounts::new(&[1, 2]).unwrap();
    assert!(target.matching_within_sizes(&exchanged, &few).is_err());
}

#[test]
fn matrices_of_all_magnitudes_and_families_are_matched() {
    let structure = pyramid(4);
    for scale in [1e-300, 1e-160, 1.0, 1e160, 1e300] {
        let target = ClassMatrix::from_dense(&structure * scale).unwrap();
        let measured = reordered(&structure, &[3, 1, 0, 4, 2]) / scale;
        let order = target.matching(&measured).unwrap();
        assert!(target.distance(&reordered(&measured, &order)).unwrap() < 1e-14, "{scale:e}");
    }
    let zero = DMatrix::zeros(5, 5);
    let target = ClassMatrix::from_dense(structure).unwrap();
    assert_eq!(target.matching(&zero).unwrap(), [0, 1, 2, 3, 4]);
    assert!(target.matching(&DMatrix::zeros(4, 5)).is_err());
    assert!(target.matching(&DMatrix::from_element(5, 5, f64::NAN)).is_err());
    // Where all classes are alike there is nothing to do.
    let family = ClassMatrix::low_rank_simplex_etf(5, 2).unwrap();
    assert_eq!(family.matching(&DMatrix::identity(5, 5)).unwrap().len(), 5);
    let frame = ClassMatrix::orthogonal_frame(5).unwrap();
    assert_eq!(frame.matching(target.to_dense().as_ref().unwrap()).unwrap(), [0, 1, 2, 3, 4]);
}

#[test]
fn equal_matrices_are_equal_whatever_they_are_made_of() {
    let frame = ClassMatrix::orthogonal_frame(2).unwrap();
    assert_eq!(ClassMatrix::diagonal(&[1.0, 1.0]).unwrap(), frame);
    assert_eq!(ClassMatrix::from_dense(DMatrix::identity(2, 2)).unwrap(), frame);
    assert_ne!(ClassMatrix::diagonal(&[1.0, 2.0]).unwrap(), frame);
    assert_ne!(ClassMatrix::orthogonal_frame(3).unwrap(), frame);
    let etf = ClassMatrix::simplex_etf(4).unwrap();
    assert_eq!(ClassMatrix::from_dense(etf.to_dense().unwrap()).unwrap(), etf);
    assert_ne!(ClassMatrix::diagonal(&[0.75; 4]).unwrap(), etf);
    let family = |rank| ClassMatrix::low_rank_orthogonal_frame(4, rank).unwrap();
    assert_eq!(family(2), family(2));
    assert_ne!(family(2), family(3));
    assert_ne!(family(2), ClassMatrix::from_dense(DMatrix::zeros(4, 4)).unwrap());
}

/// Classes of one size with different weights keep their places in an audit; those of one weight may be exchanged.
#[test]
fn an_audit_exchanges_only_classes_of_one_weight() {
    let regularization = Regularization::new(&[0.01; 2], 0.01).unwrap();
    let regularization = regularization.with_bias(Bias::Unregularized).unwrap();
    let counts = ClassCounts::balanced(5, 2).unwrap();
    let problem = LowRankProblem::cross_entropy(counts, regularization).unwrap();
    let weights = [1.0, 1.0, 2.5, 2.5, 2.5];
    let problem = problem.with_class_weights(&weights).unwrap();
    let minimum = problem.minimize(&Search::default().with_starts(6), &()).unwrap();
    let point = minimum.explicit(&Basis::Standard).unwrap();
    let features = point.features().unwrap();
    // The network has these classes at the places of the prediction.
    for (order, keeps_weights) in [([1, 0, 4, 2, 3], true), ([2, 1, 0, 3, 4], false)] {
        let head = point.head().with_order(&order).unwrap();
        let columns: Vec<usize> = order.iter().flat_map(|&k| [2 * k, 2 * k + 1]).collect();
        let features = features.select_columns(&columns);
        let labels: Vec<usize> = (0..10).map(|sample| sample / 2).collect();
        let data = Features::from_sample_columns(&features).unwrap();
        let data = data.with_labels(&labels, 5).unwrap();
        let report = audit(&data, &head, &minimum).unwrap();
        if let Some(matching) = &report.matching {
            assert!(matching.iter().zip(&weights).all(|(&k, w)| weights[k] == *w), "{matching:?}");
        }
        let distance = report.nc3.unwrap();
        assert_eq!(distance < 1e-9, keeps_weights, "{order:?}: {distance}");
    }
}

/// Entries that are often equal, where places can seem interchangeable that are not, with kinds that may not be mixed.
#[test]
fn no_order_is_nearer_where_entries_are_equal() {
    let mut generator = Generator::seed_from_u64(6);
    for round in 0..120 {
        let classes = 2 + round % 5;
        let mut whole =
            || noise(classes, &mut generator).map(|x| (1.5 * x).round().clamp(-1.0, 1.0));
        let (mut structure, mut measured) = (whole(), whole());
        if round % 2 == 0 {
            structure += structure.transpose();
            measured += measured.transpose();
        }
        if structure.amax() == 0.0 || measured.amax() == 0.0 {
            continue;
        }
        let target = ClassMatrix::from_dense(structure).unwrap();
        let kinds: Vec<usize> = (0..classes).map(|class| class % (1 + round % 2)).collect();
        let may =
            |order: &&Vec<usize>| order.iter().zip(&kinds).all(|(&k, kind)| kinds[k] == *kind);
        let distance = |order: &Vec<usize>| target.distance(&reordered(&measured, order)).unwrap();
        let all = permutations(classes);
        let best = all.iter().filter(may).map(distance).fold(2.0, f64::min);
        let order = target.matching_within_kinds(&measured, &kinds).unwrap();
        assert!(may(&&order), "{order:?}");
        assert!(distance(&order) <= best + 1e-12, "{}, {best}", distance(&order));
    }
}
