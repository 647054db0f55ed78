//! Random points to start a minimization from.
//!
//! From two layers on the origin is a local minimum with a wide basin, and near its threshold every
//! direction has a narrow one: no single kind of start finds every global minimum. So some starts
//! know nothing of the target and some have its singular vectors. The latter make the search
//! efficient and do not help the theory: a loss below the predicted one refutes it however it was
//! found.

use std::ops::Range;

use nalgebra::{DMatrix, DVector};
use neural_collapse::Bias;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

use super::objective::{MseObjective, Unpacked};

/// A random point; the kind goes round with `index`.
pub fn random_start(objective: &MseObjective, index: usize, rng: &mut SmallRng) -> Vec<f64> {
    match index % 6 {
        0 => aligned(objective, 0.7..1.1, rng),
        1 => gaussian(objective, 1.0, rng),
        2 => aligned(objective, 0.0..1.5, rng),
        3 => gaussian(objective, 2.0, rng),
        4 => isometric(objective, rng),
        _ => gaussian(objective, 0.3, rng),
    }
}

/// Independent normal entries, `scale` times as large as a fit of the target needs.
pub fn gaussian(objective: &MseObjective, scale: f64, rng: &mut SmallRng) -> Vec<f64> {
    let size = scale * factor_size(objective, objective.target().norm());
    let factors = objective
        .factor_shapes()
        .map(|(rows, columns)| {
            normal(rows, columns, rng) * (size / (rows.max(columns) as f64).sqrt())
        })
        .collect();
    unscale(objective, factors, random_bias(objective, rng))
}

/// Partial isometries in random directions, of the size of a fit of the target.
pub fn isometric(objective: &MseObjective, rng: &mut SmallRng) -> Vec<f64> {
    let size = factor_size(objective, objective.target().norm());
    let factors = objective
        .factor_shapes()
        .map(|(rows, columns)| {
            if rows < columns {
                orthonormal(columns, rows, rng).transpose() * size
            } else {
                orthonormal(rows, columns, rng) * size
            }
        })
        .collect();
    unscale(objective, factors, random_bias(objective, rng))
}

/// The singular vectors of the target with a random share of its mean taken out, each singular value
/// times a random one of `factors`; the bases between the layers are random.
pub fn aligned(objective: &MseObjective, factors: Range<f64>, rng: &mut SmallRng) -> Vec<f64> {
    let bias = random_bias(objective, rng);
    let mut target = objective.target().clone();
    target.column_iter_mut().for_each(|mut column| column -= &bias);
    let svd = target.svd(true, true);
    let (mut left, right) = (svd.u.expect("asked for"), svd.v_t.expect("asked for"));
    let rank = objective.rank_limit().min(svd.singular_values.len());
    let sizes = svd.singular_values.rows(0, rank).map(|singular_value| {
        factor_size(objective, singular_value * rng.random_range(factors.clone()))
    });
    let sizes = DMatrix::from_diagonal(&sizes);

    left = left.columns(0, rank).into_owned();
    let shapes: Vec<_> = objective.factor_shapes().collect();
    let mut scaled = vec![];
    for &(_, columns) in shapes[..objective.depth()].iter().rev() {
        let basis = orthonormal(columns, rank, rng);
        scaled.push(left * &sizes * basis.transpose());
        left = basis;
    }
    scaled.reverse();
    scaled.push(left * sizes * right.rows(0, rank));
    unscale(objective, scaled, bias)
}

/// The size of equal factors, scaled by the square roots of their decays, whose product has the given
/// singular value.
fn factor_size(objective: &MseObjective, singular_value: f64) -> f64 {
    let factors = objective.depth() as f64 + 1.0;
    (singular_value * objective.decay_product().sqrt()).powf(1.0 / factors)
}

/// A share of the mean of the target: often all of it, and none where the objective has no bias.
fn random_bias(objective: &MseObjective, rng: &mut SmallRng) -> DVector<f64> {
    let share = match objective.bias() {
        Bias::None => 0.0,
        _ => rng.random_range(0.0..1.5_f64).min(1.0),
    };
    objective.target().column_mean() * share
}

/// Packs factors that are scaled by the square roots of their decays.
fn unscale(objective: &MseObjective, scaled: Vec<DMatrix<f64>>, bias: DVector<f64>) -> Vec<f64> {
    let mut weights: Vec<_> =
        scaled.into_iter().zip(objective.factor_decays()).map(|(w, l)| w / l.sqrt()).collect();
    let features = weights.pop().expect("H is a factor");
    objective.pack(&Unpacked { weights, features, bias })
}

/// Independent standard normal entries.
fn normal(rows: usize, columns: usize, rng: &mut impl Rng) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |_, _| StandardNormal.sample(rng))
}

/// A random matrix with orthonormal columns, which are no more than its rows.
fn orthonormal(rows: usize, columns: usize, rng: &mut impl Rng) -> DMatrix<f64> {
    normal(rows, columns, rng).qr().q()
}
