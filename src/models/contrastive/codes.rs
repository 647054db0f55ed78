//! Unit vectors for more classes than dimensions: how far each can be from the convex hull of the others.

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result};
use crate::numerics::linalg::{check_finite, power_of_two, solve_positive_definite};

/// An upper bound of the one-vs-rest distance of unit vectors.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct CodeBound {
    /// No K unit vectors in ℝᵈ have a larger one-vs-rest distance.
    pub distance: f64,
    /// Whether some are known to have it.
    pub attained: bool,
}

/// The largest [`one_vs_rest_distance`] that K = `classes` unit vectors in d = `dimension` dimensions can have.
///
/// * K ≤ d + 1: K/(K−1), a simplex ETF;
/// * d = 2: 1 − cos(2π/K), a regular polygon;
/// * d + 2 ≤ K ≤ 2d: 1, orthogonal sums of simplices;
/// * K > 2d ≥ 6: at most 1.
///
/// Softmax codes, which spherical cross-entropy leads to as the temperature vanishes, maximize that distance.
///
/// ```
/// use neural_collapse::models::contrastive::one_vs_rest_bound;
///
/// assert_eq!(one_vs_rest_bound(4, 3)?.distance, 4.0 / 3.0);
/// assert!(one_vs_rest_bound(6, 3)?.attained); // an octahedron
/// assert!(!one_vs_rest_bound(100, 10)?.attained);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// # Errors
/// [`Error::OutOfRange`] with less than two classes or no dimension.
///
/// Source: Jiang et al., *Generalized Neural Collapse for a Large Number of Classes* (ICML 2024); proofs in the
/// project's `docs/closed-forms.md`.
pub fn one_vs_rest_bound(classes: usize, dimension: usize) -> Result<CodeBound> {
    if classes < 2 {
        return Err(Error::out_of_range("classes", classes as f64, "at least 2"));
    }
    if dimension == 0 {
        return Err(Error::out_of_range("dimension", 0.0, "at least 1"));
    }
    let k = classes as f64;
    if classes - 1 <= dimension {
        return Ok(CodeBound { distance: k / (k - 1.0), attained: true });
    }
    Ok(match dimension {
        // Two of three vectors on a line coincide.
        1 => CodeBound { distance: 0.0, attained: true },
        // 1 − cos φ = 2 sin²(φ/2).
        2 => {
            CodeBound { distance: 2.0 * (core::f64::consts::PI / k).sin().powi(2), attained: true }
        }
        _ => CodeBound { distance: 1.0, attained: classes.div_ceil(2) <= dimension },
    })
}

/// The one-vs-rest distance min_k dist(w_k, hull of the other w_j) of the rows of a K×d matrix.
///
/// Each distance by Wolfe's method for the nearest point of a polytope, which ends after a finite number of steps.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::models::contrastive::one_vs_rest_distance;
///
/// let square = dmatrix![1.0, 0.0; 0.0, 1.0; -1.0, 0.0; 0.0, -1.0];
/// assert!((one_vs_rest_distance(&square)? - 1.0).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// # Errors
/// [`Error::OutOfRange`] with less than two rows or if an entry is not finite, [`Error::NoConvergence`] if rounding
/// errors kept the method from ending.
pub fn one_vs_rest_distance(vectors: &DMatrix<f64>) -> Result<f64> {
    if vectors.nrows() < 2 {
        return Err(Error::out_of_range("vectors", vectors.nrows() as f64, "at least 2 rows"));
    }
    check_finite("vectors", vectors)?;
    let scale = power_of_two(vectors);
    let columns = vectors.transpose() / scale;
    let mut smallest = f64::INFINITY;
    for class in 0..columns.ncols() {
        let mut others = columns.clone().remove_column(class);
        others.column_iter_mut().for_each(|mut column| column -= columns.column(class));
        smallest = smallest.min(distance_from_origin(&others)?);
    }
    Ok(smallest * scale)
}

/// Points of the polytope whose hull has the nearest point so far in its interior, with the weights of that point.
struct Corral {
    members: Vec<usize>,
    weights: Vec<f64>,
}

/// The distance of the hull of the columns from the origin.
fn distance_from_origin(points: &DMatrix<f64>) -> Result<f64> {
    let squares: Vec<f64> = points.column_iter().map(|point| point.norm_squared()).collect();
    let largest = squares.iter().copied().fold(0.0, f64::max);
    let first = (0..squares.len()).min_by(|&i, &j| squares[i].total_cmp(&squares[j])).unwrap_or(0);
    let mut corral = Corral { members: vec![first], weights: vec![1.0] };
    let cap = most_steps(points);
    for _ in 0..cap {
        let nearest = corral.point(points);
        let products = points.transpose() * &nearest;
        let next = products.argmin().0;
        let gain = nearest.norm_squared() - products[next];
        if gain <= 16.0 * f64::EPSILON * largest || corral.members.contains(&next) {
            return Ok(nearest.norm());
        }
        corral.members.push(next);
        corral.weights.push(0.0);
        corral.settle(points, largest);
    }
    Err(Error::NoConvergence {
        algorithm: "search for the nearest point of a hull",
        iterations: cap,
    })
}

/// Cap on the steps, which end by themselves unless rounding keeps them from it.
fn most_steps(points: &DMatrix<f64>) -> usize {
    100 + 20 * (points.ncols() + points.nrows())
}

impl Corral {
    fn point(&self, points: &DMatrix<f64>) -> DVector<f64> {
        let terms = self.members.iter().zip(&self.weights);
        let start = DVector::zeros(points.nrows());
        terms.fold(start, |sum, (&member, weight)| sum + points.column(member) * *weight)
    }

    /// Moves to the nearest point of the affine hull, and drops members as long as that leaves the convex one.
    fn settle(&mut self, points: &DMatrix<f64>, scale: f64) {
        while self.members.len() > 1 {
            let Some(goal) = self.affine_weights(points, scale) else {
                // The newest member depends on the others to rounding.
                self.members.pop();
                self.weights.pop();
                return;
            };
            let pairs = self.weights.iter().zip(&goal);
            let leaving = pairs.filter(|(_, goal)| **goal <= 0.0);
            let step = leaving.map(|(now, goal)| now / (now - goal)).fold(1.0, f64::min);
            let step = if step.is_finite() { step } else { 0.0 };
            for (now, goal) in self.weights.iter_mut().zip(&goal) {
                *now += step * (goal - *now);
            }
            if goal.iter().all(|&weight| weight > 0.0) {
                return;
            }
            self.drop_smallest();
        }
        self.weights.fill(1.0);
    }

    /// Drops the members whose weight is zero, the smallest one at least.
    fn drop_smallest(&mut self) {
        let smallest = self.weights.iter().copied().fold(f64::INFINITY, f64::min);
        let cutoff = smallest.max(f64::EPSILON);
        let kept: Vec<(usize, f64)> = self
            .members
            .iter()
            .copied()
            .zip(self.weights.iter().copied())
            .filter(|&(_, weight)| weight > cutoff)
            .collect();
        self.members = kept.iter().map(|member| member.0).collect();
        let sum: f64 = kept.iter().map(|member| member.1).sum();
        self.weights = kept.iter().map(|member| member.1 / sum).collect();
    }

    /// The weights of the nearest point of the affine hull: u/Σu with (s 11ᵀ + PᵀP) u = 1.
    fn affine_weights(&self, points: &DMatrix<f64>, scale: f64) -> Option<Vec<f64>> {
        let own = points.select_columns(&self.members);
        let gram = (own.transpose() * &own).add_scalar(scale);
        let ones = DVector::from_element(self.members.len(), 1.0);
        let solution = solve_positive_definite(gram, &ones)?;
        let sum = solution.sum();
        Some(solution.iter().map(|entry| entry / sum).collect())
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::dmatrix;

    use super::*;

    #[test]
    fn caps_leave_twenty_steps_for_each_row_and_column() {
        assert_eq!(most_steps(&DMatrix::zeros(3, 5)), 260);
    }

    #[test]
    fn bounds_of_every_kind() {
        let half = 0.5; // 1 − cos 60°
        for (classes, dimension, distance, attained) in [
            (2, 1, 2.0, true),
            (3, 1, 0.0, true),
            (3, 2, 1.5, true),
            (6, 2, half, true),
            (5, 4, 1.25, true),
            (6, 4, 1.0, true),
            (7, 4, 1.0, true),
            (8, 4, 1.0, true),
            (9, 4, 1.0, false),
        ] {
            let bound = one_vs_rest_bound(classes, dimension).unwrap();
            assert!((bound.distance - distance).abs() < 1e-15, "{classes}, {dimension}");
            assert_eq!(bound.attained, attained, "{classes}, {dimension}");
        }
    }

    /// The nearest point can be a corner in the middle of a face, and everything can be small.
    #[test]
    fn distances_of_known_hulls() {
        let face = dmatrix![1.0, 1.0, 1.0; -1.0, 1.0, 0.0];
        let edge = dmatrix![1.0, 0.0, 2.0; 0.0, 1.0, 2.0];
        for size in [1.0, 1e-8] {
            assert_eq!(distance_from_origin(&(&face * size)).unwrap(), size);
            let distance = distance_from_origin(&(&edge * size)).unwrap();
            assert!((distance / size - 0.5_f64.sqrt()).abs() < 1e-15);
        }
    }

    /// The nearest point of the plane of three points has the weights 6, −3/2 and −7/2. On the way to it from (1, 2, 4)/7
    /// the last one reaches zero first, and of what is left 5/9 and 4/9 are nearest.
    #[test]
    fn members_leave_where_their_weight_is_zero() {
        let points = dmatrix![3.0, 1.0, 4.0; 2.0, 1.0, 3.0; 2.0, 4.0, 1.0];
        let weights = [1.0, 2.0, 4.0].map(|weight| weight / 7.0).to_vec();
        let mut corral = Corral { members: vec![0, 1, 2], weights };
        let goal = corral.affine_weights(&points, 26.0).unwrap();
        assert!(goal.iter().zip([6.0, -1.5, -3.5]).all(|(a, b)| (a - b).abs() < 1e-11), "{goal:?}");
        corral.settle(&points, 26.0);
        assert_eq!(corral.members, [0, 1]);
        assert!(corral.weights.iter().zip([5.0, 4.0]).all(|(a, b)| (a - b / 9.0).abs() < 1e-14));
        // Another weight that is smallest leaves, and the rest is made one.
        let mut corral = Corral { members: vec![4, 7, 9], weights: vec![0.25, 0.125, 0.25] };
        corral.drop_smallest();
        assert_eq!((corral.members, corral.weights), (vec![4, 9], vec![0.5, 0.5]));
    }
}
