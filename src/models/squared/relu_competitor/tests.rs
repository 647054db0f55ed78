//! What is known of graphs in closed form beside their matrices.

use nalgebra::DMatrix;

use super::ReluCompetitor;
use super::graph::{Graph, MOST_STEPS, binomial, log_size, ridge, rising_zeros};
use crate::models::squared::Ufm;
use crate::prediction::Prediction;
use crate::problem::counts::ClassCounts;
use crate::problem::regularization::{Bias, Regularization};

/// All graphs of up to 21 classes.
fn graphs() -> Vec<Graph> {
    Graph::all(21).collect()
}

/// Eigenvalues of a symmetric matrix by falling size.
fn eigenvalues(matrix: &DMatrix<f64>) -> Vec<f64> {
    let mut values: Vec<f64> = matrix.clone().symmetric_eigenvalues().iter().copied().collect();
    values.sort_by(|a, b| b.total_cmp(a));
    values
}

/// Values so many times each, by falling size.
fn repeated(values: &[(f64, f64)]) -> Vec<f64> {
    let mut all: Vec<f64> =
        values.iter().flat_map(|&(value, times)| vec![value; times as usize]).collect();
    all.sort_by(|a, b| b.total_cmp(a));
    all
}

#[track_caller]
fn same(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let largest = found.iter().fold(1.0, |largest: f64, value| largest.max(value.abs()));
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 1e-12 * largest, "{found:?}\n{expected:?}");
    }
}

/// The objective of class means and layers with ReLUs between these, for the classes that they are of among `classes`.
fn loss_with_relus(
    factors: &[DMatrix<f64>],
    regularization: &Regularization,
    classes: usize,
    samples: f64,
) -> f64 {
    let (means, weights) = factors.split_first().unwrap();
    let mut outputs = means.clone();
    for (layer, weight) in weights.iter().enumerate() {
        outputs = weight * outputs;
        if layer + 1 < weights.len() {
            outputs.apply(|entry| *entry = entry.max(0.0));
        }
    }
    let norms = weights.iter().zip(regularization.weight_decays());
    let norms: f64 = norms.map(|(weight, decay)| decay * weight.norm_squared()).sum();
    let features = regularization.feature_decay() * samples * means.norm_squared();
    let residual = (&outputs - DMatrix::identity(outputs.nrows(), outputs.ncols())).norm_squared();
    (residual / classes as f64 + norms + features) / 2.0
}

#[test]
fn graphs_are_all_that_have_room() {
    let list: Vec<_> = graphs().iter().map(|graph| (graph.vertices, graph.unit_size)).collect();
    let four = [(4, 2), (5, 2), (5, 3), (6, 2), (6, 3), (6, 4)];
    assert_eq!(list[..6], four);
    assert_eq!(list[6..], [(7, 2), (7, 3), (7, 4), (7, 5)]);
    assert_eq!((Graph::all(5).count(), Graph::all(6).count(), Graph::all(9).count()), (0, 1, 1));
    let pascal = [1.0, 6.0, 15.0, 20.0, 15.0, 6.0, 1.0];
    assert!(pascal.iter().enumerate().all(|(k, &value)| binomial(6, k) == value));
    let regularization = Regularization::new(&[0.1, 0.25], 0.5).unwrap();
    assert_eq!(ridge(&regularization, 10), 2.5);
}

/// Eight steps in each of 24 decades to both sides, and only zeros at which a function rises: of x³ − x not the middle one.
#[test]
fn sizes_are_searched_for_from_end_to_end() {
    let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-14;
    assert!(close(log_size(1.0, 8), 10.0_f64.ln()) && close(log_size(5.0, 0), 5.0_f64.ln()));
    assert!(close(log_size(5.0, -8), 0.5_f64.ln()));
    assert!(close(log_size(1.0, MOST_STEPS), 1e24_f64.ln()));
    let cubic = |x: f64| x * x * x - x;
    assert_eq!(rising_zeros(&[-1.5, -0.5, 0.5, 1.5], cubic), [-1.0, 1.0]);
    assert_eq!(rising_zeros(&[-1.5, -1.0, -0.5, 0.5, 1.0], cubic), [-1.0, 1.0]);
    assert!(rising_zeros(&[-0.5, 0.5], cubic).is_empty());
    // Where decays are so small that the loss falls all the way, the last size is the best.
    let regularization = Regularization::new(&[1e-40; 2], 1e-40).unwrap();
    let (found, _) = graphs()[0].best_size(&regularization, 6, 1.0);
    assert_eq!(found, log_size(ridge(&regularization, 6), MOST_STEPS));
    // Where they are so large that it only rises, the first one is.
    let regularization = Regularization::new(&[1e3; 2], 1e3).unwrap();
    let (found, _) = graphs()[0].best_size(&regularization, 6, 1.0);
    assert_eq!(found, log_size(ridge(&regularization, 6), -MOST_STEPS));
}

/// Units, edges and what they have in common, counted.
#[test]
fn matrices_have_the_entries_that_are_claimed() {
    for graph in graphs() {
        let (units, incidence) = (graph.unit_matrix(), graph.incidence());
        assert_eq!(units.nrows() as f64, graph.units());
        assert_eq!(graph.edges().len(), graph.classes());
        for unit in units.row_iter() {
            assert_eq!(unit.iter().filter(|&&entry| entry == 1.0).count(), graph.unit_size);
        }
        for (column, &(a, b)) in incidence.column_iter().zip(&graph.edges()) {
            assert!(a != b && column[a] == 1.0 && column[b] == 1.0 && column.sum() == 2.0);
        }
        let mut rows: Vec<String> = units.row_iter().map(|row| format!("{row}")).collect();
        rows.sort();
        rows.dedup();
        assert_eq!(rows.len(), units.nrows());
    }
}

#[test]
fn eigenvalues_are_those_of_the_matrices() {
    for graph in graphs() {
        let (units, incidence) = (graph.unit_matrix(), graph.incidence());
        let r = graph.vertices as f64;
        let pairs = |[one, beside]: [f64; 2]| repeated(&[(one, 1.0), (beside, r - 1.0)]);
        same(&eigenvalues(&(units.transpose() * &units)), &pairs(graph.unit_eigenvalues()));
        let square = &incidence * incidence.transpose();
        same(&eigenvalues(&square), &pairs(graph.incidence_eigenvalues()));
        let hidden = (&units * &incidence).map(|entry| entry.max(0.0));
        let spaces = graph.edge_spaces();
        let values = graph.hidden_eigenvalues();
        let expected = [0, 1, 2].map(|space| (values[space], spaces[space].0));
        same(&eigenvalues(&(hidden.transpose() * &hidden)), &repeated(&expected));
        for (depth, before) in [(2, &units * &incidence), (3, incidence.clone())] {
            let norm = before.singular_values().sum();
            assert!((graph.nuclear_norm(depth) / norm - 1.0).abs() < 1e-12);
        }
        let matrix = graph.invariant(3.0, 0.5);
        same(&eigenvalues(&matrix), &pairs([3.0, 0.5]));
        assert!((matrix.row_sum().add_scalar(-3.0)).amax() < 1e-12);
    }
}

/// The matrices of one graph: norms that are balanced and what the formula of the loss is of, a last layer that nothing
/// near is better than, and a size of the hidden outputs that nothing near is better than.
#[test]
fn matrices_have_the_loss_that_is_claimed() {
    for graph in graphs() {
        for depth in [2, 3, 4] {
            let decays = [2e-4, 5e-4, 1e-3, 3e-4];
            let regularization = Regularization::new(&decays[..depth], 7e-4).unwrap();
            let (classes, samples) = (25, 3.0);
            let (log_size, loss) = graph.best_size(&regularization, classes, samples);
            let found = |log_size: f64| {
                let factors = graph.matrices(&regularization, classes, samples, log_size);
                assert_eq!(factors.len(), depth + 1);
                let widths: Vec<usize> = factors[..depth].iter().map(DMatrix::nrows).collect();
                assert_eq!(widths, graph.widths(depth));
                loss_with_relus(&factors, &regularization, classes, samples)
            };
            let value = found(log_size);
            assert!((value / loss - 1.0).abs() < 1e-10, "{graph:?}, {depth}: {value} {loss}");
            for step in [-1e-3, 1e-3] {
                let near = found(log_size + step);
                assert!(near > loss && near < loss * (1.0 + 1e-5), "{graph:?}, {depth}: {near}");
            }
            // As good as any size far away.
            for step in [-20.0, -5.0, -2.0, 2.0, 5.0, 20.0] {
                assert!(found(log_size + step) > loss, "{graph:?}, {depth}, {step}");
            }
        }
    }
}

/// As many graphs as the widths have room for, each with the units of its own, and a dimension for each other class.
#[test]
fn copies_fill_the_widths() {
    let graph = Graph { vertices: 5, unit_size: 3 };
    assert_eq!(graph.widths(3), [5, 5, 10]);
    assert_eq!(graph.most_copies(37, None), 3);
    assert_eq!(graph.most_copies(9, None), 0);
    for (classes, widths, copies) in [
        (37, [40, 40, 40], 3),
        (37, [22, 22, 37], 3),
        (37, [21, 22, 37], 0),
        (37, [22, 21, 37], 0),
        (37, [22, 22, 36], 0),
        (20, [20, 20, 20], 2),
        (20, [10, 10, 20], 2),
        (20, [9, 10, 20], 0),
    ] {
        assert_eq!(graph.most_copies(classes, Some(&widths)), copies, "{classes}, {widths:?}");
    }
    // More units than classes: two graphs do not fit where one does.
    let graph = Graph { vertices: 6, unit_size: 3 };
    assert_eq!(graph.widths(2), [6, 20]);
    assert_eq!(graph.most_copies(30, Some(&[30, 35])), 1);
    assert_eq!(graph.most_copies(30, Some(&[30, 40])), 2);
    assert_eq!(graph.most_copies(30, Some(&[20, 35])), 0);
}

/// Competitors are known where the linear minimum fits all classes alike: the widths leave room for all.
#[test]
fn nothing_is_known_of_narrow_layers() {
    let with = |widths: [usize; 3], bias: Bias| {
        let regularization =
            Regularization::new(&[1e-5; 3], 1e-5).unwrap().with_bias(bias).unwrap();
        let ufm = Ufm::new(ClassCounts::balanced(10, 50).unwrap(), regularization).unwrap();
        ufm.with_widths(&widths).unwrap().global_minimum().unwrap().relu_competitor()
    };
    assert_eq!(with([10, 10, 10], Bias::None).unwrap().graphs(), 1);
    assert!(with([9, 10, 10], Bias::None).is_none());
    assert!(with([5, 5, 10], Bias::None).is_none());
    assert!(with([10, 10, 10], Bias::Unregularized).is_none());
}

/// Two graphs of ten classes and three classes beside them: a block for each graph and an axis for each other class.
#[test]
fn several_graphs_have_blocks_of_their_own() {
    let regularization = Regularization::new(&[2e-4, 5e-4, 1e-3], 3e-4).unwrap();
    let counts = ClassCounts::balanced(23, 3).unwrap();
    let minimum = Ufm::new(counts, regularization.clone()).unwrap().global_minimum().unwrap();
    let graph = Graph { vertices: 5, unit_size: 3 };
    let (log_size, of_graph) = graph.best_size(&regularization, 23, 3.0);
    let loss = 2.0 * of_graph + minimum.loss() * 3.0 / 23.0;
    let competitor = ReluCompetitor {
        graph,
        copies: 2,
        problem: minimum.problem().clone(),
        log_size,
        energy: minimum.direction(0).unwrap().energy(),
        loss,
        linear_loss: minimum.loss(),
    };
    assert_eq!(competitor.widths(), [13, 13, 23]);
    assert_eq!((competitor.graphs(), competitor.vertices(), competitor.unit_size()), (2, 5, 3));
    assert_eq!((competitor.loss(), competitor.linear_loss()), (loss, minimum.loss()));
    let point = competitor.explicit().unwrap();
    let means = [point.class_means().unwrap().clone()];
    let factors: Vec<_> = means.iter().chain(point.head().weights()).cloned().collect();
    let shapes: Vec<_> = factors.iter().map(DMatrix::shape).collect();
    assert_eq!(shapes, [(13, 23), (13, 13), (23, 13), (23, 23)]);
    let found = loss_with_relus(&factors, &regularization, 23, 3.0);
    assert!((found / loss - 1.0).abs() < 1e-12, "{found} {loss}");
}

/// The size of the hidden outputs is found where it is hardly better than none: decays at which the best loss is 0.999 of
/// that without outputs, 1/2. They were found by another search on the formula of the loss, in Python.
#[test]
fn the_best_size_is_found_beside_zero() {
    for (vertices, unit_size, depth, decay) in [
        (4, 2, 3, 0.042902887985105),
        (5, 3, 3, 0.030798905572950),
        (6, 3, 2, 0.028189648613217),
        (7, 3, 4, 0.014495956043286),
    ] {
        let graph = Graph { vertices, unit_size };
        let regularization = Regularization::uniform(depth, decay, decay).unwrap();
        let (_, loss) = graph.best_size(&regularization, graph.classes(), 1.0);
        assert!((loss - 0.4995).abs() < 1e-10, "{graph:?}: {loss}");
    }
}

/// At the largest decay with a competitor its loss is that of the linear minimum, next to nothing less.
#[test]
fn competitors_are_found_up_to_the_tie() {
    let minimum = |decay: f64| {
        let regularization = Regularization::new(&[decay; 3], decay).unwrap();
        let ufm = Ufm::new(ClassCounts::balanced(10, 1).unwrap(), regularization).unwrap();
        ufm.global_minimum().unwrap()
    };
    let (mut low, mut high) = (1e-4_f64, 0.2);
    while low.next_up() < high {
        let middle = (low + high) / 2.0;
        let exists = minimum(middle).relu_competitor().is_some();
        *if exists { &mut low } else { &mut high } = middle;
    }
    let last = minimum(low).relu_competitor().unwrap();
    let share = last.loss() / last.linear_loss();
    assert!(share > 1.0 - 1e-9, "{low}: 1 − {:e}", 1.0 - share);
}
