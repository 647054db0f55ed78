//! Ranks, ends of descents, and what becomes of the points that are found.

use core::ops::ControlFlow;
use std::sync::Mutex;

use super::*;
use crate::models::low_rank::objective::DataTerm;
use crate::monitor::Progress as Step;
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
        // The gradient is that of the point that is told of.
        let mut gradient = vec![0.0; length];
        Terms::new(&objective, 3).evaluate(&whole.parameters(&objective).1, &mut gradient);
        assert_eq!(whole.gradient * objective.unit(), largest(&gradient));
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
        let (start, same) = screened(&objective, 2, alive.clone(), 0);
        assert!(start == value / objective.unit() && same == alive);
        let (lower, point) = screened(&objective, 2, alive, 3);
        let there = Terms::new(&objective, 2).evaluate(&point, &mut vec![0.0; point.len()]);
        assert!(lower < start && lower * objective.unit() == there);
    }
}

#[test]
fn a_nudge_is_small_and_has_no_structure() {
    let nudged = nudged(&[2.0; 40]);
    let shifts: Vec<f64> = nudged.iter().map(|x| (x - 2.0) / 2e-3).collect();
    assert!(shifts.iter().all(|shift| shift.abs() <= 0.5));
    // The first are 0.618… − 1/2 and 1.236… − 3/2.
    assert!((shifts[0] - 0.1180339887).abs() < 1e-9 && (shifts[1] + 0.2639320225).abs() < 1e-9);
    let mean = shifts.iter().sum::<f64>() / 40.0;
    let square = shifts.iter().map(|shift| shift * shift).sum::<f64>() / 40.0;
    assert!(mean.abs() < 0.05 && (square * 12.0 - 1.0).abs() < 0.1, "{mean} {square}");
}

/// Balanced classes with the cross-entropy and no bias.
fn balanced(classes: usize, depth: usize, share: f64, strength: f64) -> Objective {
    Objective {
        data_term: DataTerm::CrossEntropy,
        classes,
        weights: vec![share; classes],
        scales: vec![1.0; classes],
        sharpness: 1.0,
        depth,
        strength,
        bias: Bias::None,
    }
}

#[test]
fn gradients_are_held_against_the_price() {
    let relative = Stop { iterations: 7, gradient: 1e-3, decrease: 1e-5 };
    // 0.75/2²⁰ times 2²¹, and a price above one.
    for (strength, unit, size) in [(0.75 / 1048576.0, 2097152.0, 1.5), (3.0, 1.0, 3.0)] {
        let objective = balanced(2, 1, 0.5, strength);
        assert_eq!(objective.unit(), unit);
        let stop = stop(&objective, relative);
        assert_eq!((stop.iterations, stop.gradient, stop.decrease), (7, 1e-3 * size, 1e-5));
    }
}

/// Two classes and one layer have one minimum, at e^σ = 4 for a price of a fifth of the loss at zero, which is above it
/// by less than as much again: all starts end there but the one at zero.
#[test]
fn starts_are_counted_and_reported() {
    let objective = balanced(2, 1, 5e-7, 2e-7);
    let given = [(1, vec![1.0, -1.0, 1.0, -1.0]), (1, vec![0.5, -0.4, 0.3, -0.6])];
    let options = Search::default().with_starts(4);
    let heard = Mutex::new(Vec::new());
    let patience = |most: u64| {
        let heard = &heard;
        move |step: Step| {
            heard.lock().unwrap().push((step.done, step.total));
            if step.done < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        }
    };
    let found = search(&objective, 1, &given, &options, &patience(u64::MAX)).unwrap();
    let expected = 1e-6 * (1.25_f64.ln() + 0.2 * 4.0_f64.ln());
    assert!((found.value / expected - 1.0).abs() < 1e-12, "{}", found.value);
    assert_eq!((found.hits, found.starts), (6, 7));
    // Each start, and then the two values that differ.
    let mut heard_of = core::mem::take(&mut *heard.lock().unwrap());
    heard_of.sort_unstable();
    let expected = [0, 1, 2, 3, 4, 5, 6, 7, 7].map(|done| (done, Some(7)));
    assert_eq!(heard_of, expected);
    // It can be ended at any time, also when all starts are done.
    for most in [0, 3, 7] {
        let ended = search(&objective, 1, &given, &options, &patience(most));
        assert_eq!(ended.unwrap_err(), Error::Cancelled);
    }
}

#[test]
fn the_smallest_price_is_searched() {
    let search = |strength: f64| {
        let options = Search::default().with_starts(1);
        search(&balanced(2, 1, 0.5, strength), 1, &[], &options, &())
    };
    assert!(search(LEAST_PRICE).is_ok());
    let Error::Unrepresentable { log10, .. } = search(LEAST_PRICE / 10.0).unwrap_err() else {
        panic!("a price below the least")
    };
    assert!((log10 + 261.0).abs() < 1e-10);
}

/// Two classes of four against each other and the others at the origin: no minimum, but without structure in it a descent
/// does not leave.
#[test]
fn saddles_are_left_where_that_is_asked_for() {
    let objective = balanced(4, 2, 0.25, 0.01);
    let point = vec![1.0, -1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0];
    let saddle = followed(&objective, 1, point.clone()).unwrap();
    assert_eq!(saddle.is_minimum, Some(false));
    let descent = Descent { gradient: vec![0.0; 8], point, value: 0.0 };
    let minimum = finish(&objective, &End { rank: 1, descent }).unwrap();
    assert_eq!(minimum.is_minimum, Some(true));
    assert!(minimum.value < 0.9 * saddle.value && minimum.gradient < 1e-14, "{minimum:?}");
    // Nothing is left of terms that are all zero.
    let descent = Descent { point: vec![0.0; 16], gradient: vec![0.0; 16], value: 0.0 };
    assert_eq!(without_dead_terms(&objective, 2, &descent).unwrap(), (0, Vec::new()));
    // Nor of a singular value that is small beside the other one, 100.
    let objective = balanced(2, 1, 0.5, 0.01);
    for (value, rank) in [(5e-7_f64, 1), (2e-6, 2)] {
        let root = value.sqrt();
        let point = vec![10.0, 0.0, 0.0, root, 10.0, 0.0, 0.0, root];
        let descent = Descent { point, gradient: vec![0.0; 8], value: 0.0 };
        assert_eq!(without_dead_terms(&objective, 2, &descent).unwrap().0, rank);
    }
}

/// Classes that differ a little have singular values that nearly agree: a slope in which terms turn against each other
/// is hardly felt by the terms, and all the more by the outputs and by the layers made of them.
#[test]
fn singular_values_that_nearly_agree_are_found_to_the_last_digits() {
    let sizes = [13.0, 13.0, 13.0, 13.0, 10.0];
    let weights = [1.42, 1.21, 1.09, 0.61, 1.07];
    let objective = Objective {
        data_term: DataTerm::Squared,
        weights: sizes.iter().zip(weights).map(|(size, weight)| size * weight / 62.0).collect(),
        scales: sizes.iter().map(|size| (size / 12.4_f64).sqrt()).collect(),
        bias: Bias::Regularized(1.33),
        ..balanced(5, 3, 0.2, 1.8e-3)
    };
    for seed in 0..3 {
        let options = Search::default().with_starts(1).with_seed(seed);
        let found = search(&objective, 5, &[], &options, &()).unwrap();
        assert!(found.singular_values.len() == 5 && found.is_minimum == Some(true));
        assert!(found.gradient < 1e-10 * objective.price(), "{:e}", found.gradient);
    }
}
