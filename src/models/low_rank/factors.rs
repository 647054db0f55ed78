//! The training objective as a function of two factors of the outputs.
//!
//! In the rank-one terms of `objective` two singular values that are nearly equal, 1 and 1 + ε, make a valley with a
//! curvature of ε²: terms that are turned against each other cost as little as that, and Newton's method creeps along.
//! The sum of a power of the singular values of Z diag(ν) is smooth in Z diag(ν) itself, however near these are to each
//! other, as long as none vanishes. With Z diag(ν) = CDᵀ of two K×r factors there is no such valley, and what leaves CDᵀ
//! as it is has no slope at all.

use nalgebra::DMatrix;

use crate::models::low_rank::objective::Objective;
use crate::numerics::lbfgs::{Smooth, add_scaled};
use crate::numerics::linalg::svd_thin;
use crate::problem::regularization::Bias;

/// F of the factors C and D, times its [`unit`](Objective::unit).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Factors<'a> {
    objective: &'a Objective,
    rank: usize,
}

impl<'a> Factors<'a> {
    pub(crate) fn new(objective: &'a Objective, rank: usize) -> Self {
        Self { objective, rank }
    }

    /// F, where (M+1)/2 · u Σσᵢ^(2/(M+1)) has the derivative u U diag(σᵢ^(2/(M+1) − 1)) Vᵀ, and its gradient. Without a
    /// decomposition they are no numbers, and no step leads there.
    fn value_and_gradient(&self, point: &[f64]) -> (f64, Vec<f64>) {
        let Self { objective, rank } = *self;
        let (left, right, bias) = sides(objective, rank, point);
        let product = &left * right.transpose();
        let Ok(svd) = svd_thin(&product) else { return (f64::NAN, vec![f64::NAN; point.len()]) };
        let mut slopes = product;
        objective.unscale(&mut slopes);
        let mut value = objective.data_term(slopes.as_mut_slice(), &objective.shift(bias));
        for (mut column, weight) in slopes.column_iter_mut().zip(&objective.weights) {
            column *= *weight;
        }
        let mut of_bias = slopes.column_sum().as_slice()[..bias.len()].to_vec();
        if let Bias::Regularized(decay) = objective.bias {
            add_scaled(&mut of_bias, decay, bias);
        }
        objective.unscale(&mut slopes);
        let mut turned = svd.u.columns(0, rank).into_owned();
        for (mut column, &sigma) in turned.column_iter_mut().zip(svd.singular_values.iter()) {
            let energy = objective.energy(sigma);
            value += objective.price() * energy;
            column *= objective.strength * energy / sigma;
        }
        slopes += turned * svd.v.columns(0, rank).transpose();
        let (of_left, of_right) = (&slopes * right, slopes.tr_mul(&left));
        let gradient = [of_left.as_slice(), of_right.as_slice(), &of_bias].concat();
        (value + objective.bias_penalty(bias), gradient)
    }
}

/// C, D and b.
pub(crate) fn sides<'a>(
    objective: &Objective,
    rank: usize,
    point: &'a [f64],
) -> (DMatrix<f64>, DMatrix<f64>, &'a [f64]) {
    let (left, rest) = point.split_at(rank * objective.classes);
    let (right, bias) = rest.split_at(rank * objective.classes);
    let matrix = |side| DMatrix::from_column_slice(objective.classes, rank, side);
    (matrix(left), matrix(right), bias)
}

impl Smooth for Factors<'_> {
    fn evaluate(&mut self, point: &[f64], gradient: &mut [f64]) -> f64 {
        let unit = self.objective.unit();
        let (value, slopes) = self.value_and_gradient(point);
        gradient.iter_mut().zip(slopes).for_each(|(entry, slope)| *entry = slope * unit);
        value * unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::low_rank::objective::Terms;
    use crate::models::low_rank::objective::tests::{assert_is_gradient, objectives};

    /// Two terms whose vectors are orthogonal, and the factors of the same outputs, whose columns are as long as the root of
    /// the singular value: the value is that of the terms, and the gradient that of central differences.
    #[test]
    fn factors_are_worth_what_terms_are() {
        let vectors = [
            [0.5, 0.5, -0.5, -0.5],
            [0.5, -0.5, 0.5, -0.5],
            [0.6, 0.8, 0.0, 0.0],
            [0.0, 0.0, 0.8, -0.6],
        ];
        for objective in objectives(&[0.1, 0.4, 0.2, 0.3], &[0.7, 1.1, 1.6, 0.9]) {
            let point = |root: &dyn Fn(f64) -> f64| -> Vec<f64> {
                let roots = [1.7, 0.6, 1.7, 0.6].map(root);
                let sides = vectors.iter().zip(roots);
                let sides = sides.flat_map(|(side, root)| side.map(|entry| entry * root));
                let length = objective.parameters(2) - 16;
                sides.chain([0.2, -0.5, 0.1, 0.4].into_iter().take(length)).collect()
            };
            let terms = point(&|sigma| objective.energy(sigma).sqrt());
            let mut gradient = vec![0.0; terms.len()];
            let expected = Terms::new(&objective, 2).evaluate(&terms, &mut gradient);
            let mut factors = Factors::new(&objective, 2);
            let mut here = point(&f64::sqrt);
            let value = factors.evaluate(&here, &mut gradient);
            assert!((value / expected - 1.0).abs() < 1e-13, "{objective:?}: {value} {expected}");
            // Columns that are neither orthogonal nor of one length.
            here[3] += 0.3;
            here[9] -= 0.4;
            assert_is_gradient(&mut factors, &here, objective.unit());
        }
    }
}
