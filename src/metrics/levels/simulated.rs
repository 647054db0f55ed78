//! Levels that are simulated because no closed form of them is known.

use nalgebra::DMatrix;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use crate::error::Result;
use crate::geometry::class_matrix::ClassMatrix;
use crate::metrics::all::defined;
use crate::metrics::nc2::nc2;
use crate::problem::head::LinearHead;

/// Operations that a simulation may take: some tenths of a second.
const OPERATIONS: f64 = 3e8;

/// Fewer draws tell too little of their own spread.
const FEWEST_DRAWS: f64 = 8.0;
const MOST_DRAWS: f64 = 512.0;

/// A mean with what it may be off by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Simulated {
    pub(super) mean: f64,
    pub(super) standard_error: f64,
}

impl Simulated {
    /// Mean of independent draws, and the standard error of this mean.
    pub(super) fn of(draws: Vec<f64>) -> Self {
        let number = draws.len() as f64;
        let mean = draws.iter().sum::<f64>() / number;
        let square = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>();
        Self { mean, standard_error: (square / (number - 1.0) / number).sqrt() }
    }

    /// A mean that is known.
    pub(super) fn exact(mean: f64) -> Self {
        Self { mean, standard_error: 0.0 }
    }
}

/// How many draws there is time for, each of as many operations as these products add up to; `None` if they are too few.
pub(super) fn affordable_draws(products: &[[f64; 4]]) -> Option<usize> {
    let operations = products.iter().map(|product| product.iter().product::<f64>()).sum::<f64>();
    let draws = (OPERATIONS / operations).min(MOST_DRAWS);
    (draws >= FEWEST_DRAWS).then_some(draws as usize)
}

/// About how many operations a draw of matrices with so many entries, and the distance of K classes, take.
fn operations(classes: f64, rows: f64, columns: f64) -> [[f64; 4]; 2] {
    [[2.0, classes, rows, columns], [10.0, classes, classes, classes]]
}

/// The same numbers each time, on every machine.
pub(super) fn generator() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(0)
}

pub(super) fn normal_matrix(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |_, _| StandardNormal.sample(rng))
}

/// NC2 of the last layers to a target for layers of independent normal numbers; `None` where it would take too long.
pub(super) fn simulated_nc2(
    head: &LinearHead,
    layers: usize,
    target: &ClassMatrix,
) -> Result<Option<Simulated>> {
    let shapes: Vec<_> =
        head.weights().iter().skip(head.depth() - layers).map(DMatrix::shape).collect();
    let classes = head.classes() as f64;
    let products: f64 = shapes.iter().map(|&(rows, columns)| (rows * columns) as f64).sum();
    let Some(draws) = affordable_draws(&operations(classes, products, 1.0)) else {
        return Ok(None);
    };
    simulated(draws, |generator| {
        let layer = |&(rows, columns): &_| normal_matrix(rows, columns, generator);
        nc2(&LinearHead::new(shapes.iter().map(layer).collect(), None)?, layers, target)
    })
}

/// The distance of the Gram matrix of independent class means of so many samples to a target; `None` where it would take
/// too long.
pub(super) fn simulated_nc2_class_means(
    sizes: &[f64],
    dimension: usize,
    target: &ClassMatrix,
) -> Result<Option<Simulated>> {
    let classes = sizes.len() as f64;
    let cost = operations(classes, classes, dimension as f64);
    let Some(draws) = affordable_draws(&cost) else { return Ok(None) };
    simulated(draws, |generator| {
        let mut means = normal_matrix(sizes.len(), dimension, generator);
        means.row_iter_mut().zip(sizes).for_each(|(mut mean, n)| mean /= n.sqrt());
        target.distance_to_gram(&means)
    })
}

/// The mean of so many draws; `None` where they are not defined, as for a target of nothing but zeros.
fn simulated(
    draws: usize,
    mut draw: impl FnMut(&mut ChaCha8Rng) -> Result<f64>,
) -> Result<Option<Simulated>> {
    let mut generator = generator();
    let values = (0..draws).map(|_| defined(draw(&mut generator)));
    let values: Option<Vec<f64>> = values.collect::<Result<Vec<_>>>()?.into_iter().collect();
    Ok(values.map(Simulated::of))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Class means of n samples vary by 1/n: against draws of their own, with other random numbers.
    #[test]
    fn class_means_vary_less_with_more_samples() {
        let target = ClassMatrix::diagonal(&[1.0, 1.0, 1.0, 4.0]).unwrap();
        let sizes = [1.0, 1.0, 1.0, 16.0_f64];
        let found = simulated_nc2_class_means(&sizes, 3, &target).unwrap().unwrap();
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        let draws = (0..512).map(|_| {
            let mut means = normal_matrix(4, 3, &mut generator);
            for (mut mean, n) in means.row_iter_mut().zip(sizes) {
                mean.scale_mut(n.powf(-0.5));
            }
            target.distance(&(&means * means.transpose())).unwrap()
        });
        let expected = Simulated::of(draws.collect());
        let error = found.standard_error.hypot(expected.standard_error);
        assert!((found.mean - expected.mean).abs() < 4.0 * error, "{found:?} {expected:?}");
    }

    #[test]
    fn means_of_draws_have_their_standard_error() {
        let found = Simulated::of(vec![1.0, 2.0, 3.0, 6.0]);
        // Σ (x − 3)² = 14 of 4 − 1 degrees of freedom, over 4 draws.
        assert_eq!(found, Simulated { mean: 3.0, standard_error: (14.0_f64 / 12.0).sqrt() });
        assert_eq!(Simulated::exact(3.0).standard_error, 0.0);
        assert_eq!(operations(10.0, 30.0, 7.0), [[2.0, 10.0, 30.0, 7.0], [10.0; 4]]);
        let draws = |operations: f64| {
            affordable_draws(&[
                [operations / 4.0, 1.0, 2.0, 1.0],
                [operations / 2.0, 1.0, 1.0, 1.0],
            ])
        };
        assert_eq!(
            [1.0, OPERATIONS / 8.5, OPERATIONS / 8.0, OPERATIONS / 7.9].map(draws),
            [Some(512), Some(8), Some(8), None]
        );
    }
}
