//! Which class of a network stands where in a structure that does not treat all classes alike.

use nalgebra::DMatrix;

/// More classes than these are left as they are: each round takes K³ steps.
const MAX_CLASSES: usize = 100;

/// Improvements below this share of the norms are rounding errors.
const NEGLIGIBLE: f64 = 1e-12;

/// The order of the classes of a measured matrix that brings it near to `target`: `order[k]` is the measured
/// class in place of class k.
///
/// Two classes are exchanged as long as that raises the inner product with the target, so the order is the
/// best one up to exchanges of two; it need not be the nearest of all.
pub(crate) fn relabelling(measured: &DMatrix<f64>, target: &DMatrix<f64>) -> Vec<usize> {
    let classes = target.nrows();
    let mut order: Vec<usize> = (0..classes).collect();
    if classes > MAX_CLASSES {
        return order;
    }
    let least = NEGLIGIBLE * measured.norm() * target.norm();
    while let Some((i, j)) = improving_exchange(measured, target, &order, least) {
        order.swap(i, j);
    }
    order
}

/// Two places whose exchange gains more than `least`.
fn improving_exchange(
    measured: &DMatrix<f64>,
    target: &DMatrix<f64>,
    order: &[usize],
    least: f64,
) -> Option<(usize, usize)> {
    let pairs = (0..order.len()).flat_map(|j| (0..j).map(move |i| (i, j)));
    pairs.into_iter().find(|&(i, j)| {
        let mut exchanged = order.to_vec();
        exchanged.swap(i, j);
        let gain = |k| {
            touching(measured, target, &exchanged, (i, j), k)
                - touching(measured, target, order, (i, j), k)
        };
        (0..order.len()).map(gain).sum::<f64>() > least
    })
}

/// The part of the inner product in rows and columns i and j that belongs to place k.
fn touching(
    measured: &DMatrix<f64>,
    target: &DMatrix<f64>,
    order: &[usize],
    (i, j): (usize, usize),
    k: usize,
) -> f64 {
    let term = |a: usize, b: usize| measured[(order[a], order[b])] * target[(a, b)];
    match k == i || k == j {
        true => term(k, i) + term(k, j),
        false => term(k, i) + term(k, j) + term(i, k) + term(j, k),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn antipodes_are_found() {
        let antipode = |class: usize| class ^ 1;
        let target = DMatrix::from_fn(8, 8, |i, j| match j {
            _ if i == j => 1.0,
            _ if j == antipode(i) => -1.0,
            _ => 0.0,
        });
        let place = [3, 7, 0, 5, 1, 6, 2, 4];
        let measured = DMatrix::from_fn(8, 8, |i, j| target[(place[i], place[j])]);
        let order = relabelling(&measured, &target);
        let sorted = DMatrix::from_fn(8, 8, |i, j| measured[(order[i], order[j])]);
        assert_eq!(sorted, target);
    }
}
