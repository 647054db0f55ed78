//! Ranks, ends of descents, and what becomes of the points that are found.

use super::*;
use crate::models::low_rank::objective::DataTerm;
use crate::numerics::lbfgs::Smooth;
use crate::problem::regularization::Bias;

#[test]
fn ranks_are_all_small_ones_some_others_and_the_largest() {
    let search = Search::default();
    assert_eq!(search.ranks(0), [0; 0]);
    assert_eq!(search.ranks(3), [1, 2, 3]);
    assert_eq!(search.ranks(8), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(search.ranks(9), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(search.ranks(12), [1, 2, 3, 4, 5, 6, 7, 8, 12]);
    assert_eq!(search.ranks(28), [1, 2, 3, 4, 5, 6, 7, 8, 12, 18, 27, 28]);
    assert_eq!(search.with_largest_rank(4).ranks(28), [1, 2, 3, 4]);
    assert_eq!(search.with_largest_rank(40).ranks(10), [1, 2, 3, 4, 5, 6, 7, 8, 10]);
}

/// Ends that agree to six digits are one; no more than six are looked at.
#[test]
fn finalists_differ() {
    let ends = |values: &[f64]| -> Vec<End> {
        let descent = |&value| Descent { point: Vec::new(), gradient: Vec::new(), value };
        values.iter().map(|value| End { rank: 0, descent: descent(value) }).collect()
    };
    assert_eq!(finalists(&ends(&[])), [0; 0]);
    let found = finalists(&ends(&[1.0, 1.0 + 5e-7, 1.0 + 2e-6, 1.0 + 2.1e-6, 1.1]));
    assert_eq!(found, [0, 2, 4]);
    assert_eq!(finalists(&ends(&[2.0, 2.0 + 1.9e-6, 2.0 + 2.1e-6])), [0, 2]);
    let many: Vec<f64> = (1..=9).map(f64::from).collect();
    assert_eq!(finalists(&ends(&many)), [0, 1, 2, 3, 4, 5]);
}

/// A point is one of outputs and singular values, whatever its terms are: those of its decomposition have the same
/// outputs with no more energy, and those that are zero are left out.
#[test]
fn a_point_becomes_its_decomposition() {
    let wild = |index: usize| (index as f64 * 12.9898).sin() + 0.3 * (index as f64 * 78.233).cos();
    for (depth, bias) in [(1, Bias::None), (2, Bias::Unregularized), (3, Bias::Regularized(0.3))] {
        let objective = Objective {
            data_term: DataTerm::CrossEntropy,
            classes: 5,
            weights: vec![0.2, 0.1, 0.4, 0.1, 0.2],
            scales: vec![1.0, 0.7, 1.4, 2.0, 0.5],
            sharpness: 0.9,
            depth,
            strength: 0.01,
            bias,
        };
        let length = objective.parameters(3);
        let mut point: Vec<f64> = (0..length).map(wild).collect();
        // The last term is dead.
        point[10..15].fill(0.0);
        point[25..30].fill(0.0);
        let mut gradient = vec![0.0; length];
        let value = Terms::new(&objective, 3).evaluate(&point, &mut gradient);
        let descent = Descent { point, gradient, value };
        let whole = found(&objective, 3, &descent, None).unwrap();
        assert_eq!(whole.gradient * objective.unit(), largest(&descent.gradient));
        let (rank, alive) = without_dead_terms(&objective, 3, &descent).unwrap();
        assert_eq!((rank, alive.len()), (2, objective.parameters(2)));
        let mut gradient = vec![0.0; alive.len()];
        let value = Terms::new(&objective, 2).evaluate(&alive, &mut gradient);
        let descent = Descent { point: alive.clone(), gradient, value };
        let found = found(&objective, 2, &descent, Some(true)).unwrap();
        assert!((found.value * objective.unit() / value - 1.0).abs() < 1e-14);
        // Roundings of the dead singular value have a root for their energy.
        assert!((found.value / whole.value - 1.0).abs() < 1e-7);
        assert!((&found.outputs - &whole.outputs).amax() < 1e-14);
        assert!(
            found
                .singular_values
                .iter()
                .zip(&whole.singular_values)
                .all(|(a, b)| (a - b).abs() < 1e-14)
        );
        let (rank, parameters) = found.parameters(&objective);
        assert!(rank == 2 && parameters.iter().zip(&alive).all(|(a, b)| (a - b).abs() < 1e-14));
        let scaled = &found.outputs * DMatrix::from_diagonal(&objective.scales.clone().into());
        let product = &found.left
            * DMatrix::from_diagonal(&found.singular_values.clone().into())
            * found.right.transpose();
        assert!((scaled - product).amax() < 1e-14);
        let (screened, _) = screened(&objective, 2, alive, 0);
        assert_eq!(screened, value / objective.unit());
    }
}

#[test]
fn a_nudge_is_small_and_has_no_structure() {
    let nudged = nudged(&[2.0; 40]);
    let shifts: Vec<f64> = nudged.iter().map(|x| (x - 2.0) / 2e-3).collect();
    assert!(shifts.iter().all(|shift| shift.abs() <= 0.5));
    let mean = shifts.iter().sum::<f64>() / 40.0;
    let square = shifts.iter().map(|shift| shift * shift).sum::<f64>() / 40.0;
    assert!(mean.abs() < 0.05 && (square * 12.0 - 1.0).abs() < 0.1, "{mean} {square}");
}
