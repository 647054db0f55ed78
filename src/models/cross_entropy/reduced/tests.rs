//! The search for a minimum: its function, its steps and its end.

use super::*;
use crate::models::cross_entropy::block::{Block, BlockShape};
use crate::models::cross_entropy::catalog::structures;
use crate::models::cross_entropy::problem::LossMean;
use crate::models::cross_entropy::structure::LogitStructure;
use crate::problem::regularization::Regularization;

fn penalty(depth: usize, strength: f64, bias: Bias) -> Penalty {
    Penalty { depth, strength, bias, smoothing: 0.0 }
}

/// From far away, where the Hessian is indefinite and steps have to be damped, descents fall to a local minimum.
#[test]
fn descents_fall_to_minima() {
    let pair = Block::new(BlockShape::Simplex, 2, 1);
    let polygon = Block::new(BlockShape::Polygon, 5, 1);
    for (classes, structure) in [
        (4, LogitStructure::DirectSum(vec![pair, pair])),
        (7, LogitStructure::DirectSum(vec![polygon, pair])),
        (8, LogitStructure::antiprism(8)),
    ] {
        for (depth, bias) in [(2, Bias::Unregularized), (3, Bias::Regularized(0.1))] {
            let penalty = penalty(depth, 0.03, bias);
            let reduced = structure.reduced(classes, bias).unwrap();
            let dimension = reduced.bias_counts.len();
            let mut ended = 0;
            for number in 0..24_u32 {
                let size = |index: usize| match index < 2 {
                    true => 0.4 * 1.9_f64.powi(((number + 5 * index as u32) % 7) as i32),
                    false => f64::from(number % 3) - 0.9,
                };
                let start: Vec<f64> = (0..dimension).map(size).collect();
                let above = reduced.value(&start, &penalty);
                let Some((sizes, value)) = reduced.descend(start, &penalty) else { continue };
                ended += 1;
                assert!(value <= above, "{structure}: {value} above {above}");
                assert!((reduced.value(&sizes, &penalty) - value).abs() < 1e-15);
                for index in 0..dimension {
                    for step in [-1e-4, 1e-4] {
                        let mut moved = sizes.clone();
                        moved[index] += step * sizes[index].abs().max(0.1);
                        let there = reduced.value(&moved, &penalty);
                        assert!(there > value - 1e-14, "{structure}: {there} {value}");
                        assert!(there < value + 1e-6, "{structure}: not stationary");
                    }
                }
            }
            assert!(ended >= 21, "{structure}: {ended}");
        }
    }
}

/// F along a ray is F there, and gradient and Hessian are derivatives, for wrong and for right outputs, with every
/// penalty: the grid of scales and Newton's steps see the function that is minimized.
#[test]
fn rays_and_derivatives_belong_to_the_function() {
    let pair = Block::new(BlockShape::Simplex, 2, 1);
    let polygon = Block::new(BlockShape::Polygon, 5, 1);
    for (classes, structure) in
        [(7, LogitStructure::DirectSum(vec![polygon, pair])), (8, LogitStructure::antiprism(8))]
    {
        for bias in [Bias::None, Bias::Unregularized, Bias::Regularized(0.1)] {
            for (depth, smoothing) in [(1, 0.0), (2, 0.1), (4, 0.0)] {
                let penalty = Penalty { smoothing, ..penalty(depth, 0.03, bias) };
                let reduced = structure.reduced(classes, bias).unwrap();
                let size = |index: usize| [0.9, -1.3, 0.4, -0.2][index];
                let start: Vec<f64> = (0..reduced.bias_counts.len()).map(size).collect();
                let ray = Ray::new(&reduced, &start, &penalty);
                for scale in [-2.0, 0.3, 1.0, 5.0, 900.0] {
                    let there: Vec<f64> = start.iter().map(|size| size * scale).collect();
                    let value = reduced.value(&there, &penalty);
                    if scale > 0.0 {
                        assert!((ray.value(scale) - value).abs() <= 1e-14 * value.abs());
                    }
                    // Far out, where sums of exponentials would overflow, differences have no digits.
                    if scale < 10.0 {
                        check_derivatives(&reduced, &there, &penalty);
                    }
                }
            }
        }
    }
}

fn check_derivatives(reduced: &Reduced, sizes: &[f64], penalty: &Penalty) {
    let here = reduced.expansion(sizes, penalty);
    let h = 1e-5;
    for index in 0..sizes.len() {
        let [ahead, behind] = [h, -h].map(|h| {
            let mut moved = sizes.to_vec();
            moved[index] += h;
            reduced.expansion(&moved, penalty)
        });
        let slope = (ahead.value - behind.value) / (2.0 * h);
        assert!((slope - here.gradient[index]).abs() < 1e-8, "{penalty:?} at {sizes:?}");
        let column = (ahead.gradient - behind.gradient) / (2.0 * h);
        let error = (&column - here.hessian.column(index)).amax();
        assert!(error < 1e-8, "{penalty:?} at {sizes:?}: {error:e}");
    }
}

/// Newton's steps that are as good as they can be, from the best of the scales: few of them are needed.
#[test]
fn the_best_scale_is_near_the_minimum() {
    let square = LogitStructure::DirectSum(vec![Block::new(BlockShape::Simplex, 2, 2)]);
    let reduced = square.reduced(4, Bias::None).unwrap();
    let penalty = penalty(2, 0.05, Bias::None);
    let (sizes, value) = reduced.minimize(&penalty).unwrap();
    let scales = scales();
    let ratio = scales[1] / scales[0];
    assert!((scales[SCALES - 1] / LARGEST_SCALE - 1.0).abs() < 1e-12);
    let start = reduced.best_scale(&[1.0], &penalty).unwrap()[0];
    assert!((start / sizes[0]).ln().abs() <= ratio.ln(), "{start}, {sizes:?}");
    assert!(value <= reduced.value(&[start], &penalty));
    // Nothing else on the grid is lower.
    for (index, &scale) in scales.iter().enumerate() {
        assert!((scale / SMALLEST_SCALE / ratio.powi(index as i32) - 1.0).abs() < 1e-12);
        let value = reduced.value(&[scale], &penalty);
        assert!(value >= reduced.value(&[start], &penalty) || scale < 0.2, "{scale}");
    }
}

/// Beyond every minimum singular values go to zero, and nothing is found.
#[test]
fn nothing_is_found_where_all_falls_to_zero() {
    let square = LogitStructure::DirectSum(vec![Block::new(BlockShape::Simplex, 2, 2)]);
    let reduced = square.reduced(4, Bias::None).unwrap();
    assert!(reduced.minimize(&penalty(2, 0.15, Bias::None)).is_some());
    assert!(reduced.minimize(&penalty(2, 0.3, Bias::None)).is_none());
    assert!(reduced.descend(vec![3.0], &penalty(2, 0.3, Bias::None)).is_none());
}

/// A minimum is found above F(0) too, and at decays near the end of the range of numbers.
#[test]
fn minima_are_found_wherever_they_are() {
    let square = LogitStructure::DirectSum(vec![Block::new(BlockShape::Simplex, 2, 2)]);
    let reduced = square.reduced(4, Bias::None).unwrap();
    let (_, value) = reduced.minimize(&penalty(2, 0.17, Bias::None)).unwrap();
    assert!(value > 4.0_f64.ln());
    // e^(β/2) = β^q/u up to factors that do not matter: β/2 is the gap to the other pair.
    for exponent in [20, 100, 300, 305] {
        let strength = 10.0_f64.powi(-exponent);
        let (sizes, _) = reduced.minimize(&penalty(2, strength, Bias::None)).unwrap();
        assert!((sizes[0] / 2.0 + strength.ln()).abs() < 4.0, "{exponent}: {sizes:?}");
    }
}

/// From the best of the scales Newton's method needs few steps for every structure, and ends sharply.
#[test]
fn few_steps_are_needed() {
    for (classes, depth, strength, mean, most) in [(6, 2, 0.05, 7.0, 14), (7, 3, 1e-3, 11.0, 20)] {
        for bias in [Bias::None, Bias::Regularized(0.01)] {
            let penalty = penalty(depth, strength, bias);
            let (mut all, mut count) = (0, 0);
            for structure in structures(classes, bias) {
                let reduced = structure.reduced(classes, bias).unwrap();
                for start in &reduced.starts {
                    let Some(start) = reduced.best_scale(start, &penalty) else { continue };
                    let (sizes, steps) = reduced.newton(start, &penalty);
                    let end = reduced.expansion(&sizes, &penalty);
                    if reduced.is_minimum(&sizes, &end) {
                        (all, count) = (all + steps, count + 1);
                        assert!(steps <= most, "{structure}: {steps}");
                        let rest = end.gradient.amax() / end.value;
                        assert!(rest < 2e-14, "{structure}: {rest:e}");
                    }
                }
            }
            assert!(f64::from(all as u32) <= mean * f64::from(count), "{all} of {count}");
        }
    }
}

/// A Hessian with the entries 1 and −3 on its diagonal, and a gradient.
fn saddle() -> Expansion {
    Expansion {
        value: 0.5,
        gradient: DVector::from_vec(vec![3.125, 2.25]),
        hessian: DMatrix::from_row_slice(2, 2, &[1.0, 0.0, 0.0, -3.0]),
    }
}

/// A thousandth of the largest entry of the Hessian at first, four times as much where that is not enough, an eighth
/// where it was, and nothing where that is far below the Hessian.
#[test]
fn damping_follows_the_hessian() {
    let here = saddle();
    assert!(newton_step(&here, 0.0).is_none() && newton_step(&here, 2.9).is_none());
    assert_eq!(newton_step(&here, 5.25).unwrap().as_slice(), [0.5, 1.0]);
    assert_eq!(raised(0.0, &here.hessian), 3e-3);
    assert_eq!(raised(3e-3, &here.hessian), 0.012);
    assert_eq!(lowered(0.012, &here.hessian), 0.0015);
    assert_eq!(lowered(8.0 * 3.1e-9, &here.hessian), 3.1e-9);
    assert_eq!(lowered(8.0 * 2.9e-9, &here.hessian), 0.0);
}

/// Products of a size and its derivative may be 1e-8 of the value, and every singular value is above 1e-6.
#[test]
fn a_minimum_is_stationary_with_all_singular_values() {
    let square = LogitStructure::DirectSum(vec![Block::new(BlockShape::Simplex, 2, 2)]);
    let reduced = square.reduced(4, Bias::None).unwrap();
    let is_minimum = |size: f64, derivative: f64| {
        let end = Expansion { gradient: DVector::from_element(1, derivative), ..saddle() };
        reduced.is_minimum(&[size], &end)
    };
    assert!(is_minimum(4.0, 1.2e-9) && is_minimum(0.25, -1.9e-8));
    assert!(!is_minimum(4.0, 1.3e-9) && !is_minimum(0.25, -2.1e-8));
    assert!(is_minimum(1.1e-6, 0.0) && !is_minimum(0.9e-6, 0.0) && !is_minimum(0.0, 1.0));
}

/// The bias is penalized as if the losses had their mean.
#[test]
fn half_the_loss_doubles_the_penalty_of_the_bias() {
    let regularization = Regularization::new(&[0.01; 2], 0.01).unwrap();
    let regularization = regularization.with_bias(Bias::Regularized(0.3)).unwrap();
    let ufm =
        CrossEntropyUfm::new(4, 1, regularization).unwrap().with_loss_mean(LossMean::TwiceSamples);
    let penalty = Penalty::of(&ufm);
    assert_eq!((penalty.bias, penalty.strength), (Bias::Regularized(0.6), ufm.strength()));
}
