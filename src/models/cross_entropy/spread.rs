//! Points that are far from each other on a sphere, from which descents to structures without a closed form start.
//!
//! Without a bias all classes of a low rank lie on a sphere, nearly, and are told from each other by distance. What is
//! best for few points has a name, as antiprism or icosahedron; for more of them it has hardly a symmetry.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use crate::numerics::lbfgs::{Smooth, Stop, add_scaled, descend};
use crate::numerics::squares::dot;

/// Powers of the distance by which points repel each other: with a high one the nearest neighbors decide.
const POWERS: [f64; 2] = [2.0, 8.0];
/// How far from the center two points inside of a sphere start.
const INSIDE: f64 = 0.3;
/// Random starts with each of them.
const STARTS: u64 = 6;
const STOP: Stop = Stop { iterations: 300, gradient: 1e-9, decrease: 1e-9 };

/// Points on the unit sphere in a space of this dimension, for each power the arrangement of the lowest energy of
/// some descents: the same ones in every call.
pub(crate) fn spread(points: usize, dimension: usize) -> Vec<Vec<Vec<f64>>> {
    POWERS.iter().filter_map(|&power| lowest(points, dimension, power)).map(|(_, at)| at).collect()
}

/// The same with some points more inside of the sphere, one at the center or two on both sides of it.
pub(crate) fn filled(points: usize, dimension: usize) -> Vec<Vec<Vec<f64>>> {
    let inside = |heights: &[f64]| {
        let mut list = spread(points.saturating_sub(heights.len()), dimension);
        for positions in &mut list {
            positions.extend(heights.iter().map(|&height| {
                let mut position = vec![0.0; dimension];
                position[0] = height;
                position
            }));
        }
        list
    };
    [inside(&[0.0]), inside(&[INSIDE, -INSIDE])].concat()
}

/// The lowest energy found, with the positions.
fn lowest(points: usize, dimension: usize, power: f64) -> Option<(f64, Vec<Vec<f64>>)> {
    let ends = (0..STARTS).map(|seed| {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let normal = |_| StandardNormal.sample(&mut generator);
        let start: Vec<f64> = (0..points * dimension).map(normal).collect();
        let end = descend(&mut Repulsion { dimension, power }, start, &STOP);
        (end.value, end.point.chunks_exact(dimension).map(unit).collect())
    });
    ends.min_by(|a: &(f64, _), b| a.0.total_cmp(&b.0))
}

fn unit(vector: &[f64]) -> Vec<f64> {
    let norm = dot(vector, vector).sqrt().max(f64::MIN_POSITIVE);
    vector.iter().map(|entry| entry / norm).collect()
}

/// Σ_{i<j} ‖xᵢ/‖xᵢ‖ − xⱼ/‖xⱼ‖‖^(−power).
struct Repulsion {
    dimension: usize,
    power: f64,
}

impl Smooth for Repulsion {
    fn evaluate(&mut self, point: &[f64], gradient: &mut [f64]) -> f64 {
        let dimension = self.dimension;
        let units: Vec<f64> = point.chunks_exact(dimension).flat_map(unit).collect();
        gradient.fill(0.0);
        let mut energy = 0.0;
        for (own, a) in units.chunks_exact(dimension).enumerate() {
            for (other, b) in units.chunks_exact(dimension).enumerate().take(own) {
                let square: f64 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
                let term = square.powf(-self.power / 2.0);
                energy += term;
                let pull = self.power * term / square;
                for axis in 0..dimension {
                    let change = pull * (a[axis] - b[axis]);
                    gradient[own * dimension + axis] -= change;
                    gradient[other * dimension + axis] += change;
                }
            }
        }
        let slots = gradient.chunks_exact_mut(dimension);
        for ((slot, a), at) in
            slots.zip(units.chunks_exact(dimension)).zip(point.chunks_exact(dimension))
        {
            // Only what is tangent to the sphere moves the point.
            let outward = dot(slot, a);
            add_scaled(slot, -outward, a);
            let norm = dot(at, at).sqrt().max(f64::MIN_POSITIVE);
            slot.iter_mut().for_each(|entry| *entry /= norm);
        }
        energy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The energies of charges on a sphere (Thomson's problem) that are known: the simplex, the icosahedron, and 14 and
    /// 16 points; five points in four dimensions are a simplex.
    #[test]
    fn energies_are_those_of_thomsons_problem() {
        for (points, dimension, energy) in [
            (4, 3, 3.674_234_614),
            (12, 3, 49.165_253_058),
            (14, 3, 69.306_363_297),
            (16, 3, 92.911_655_303),
            (5, 4, 10.0 / 2.5_f64.sqrt()),
        ] {
            let (found, positions) = lowest(points, dimension, 1.0).unwrap();
            assert!((found - energy).abs() < 1e-6, "{points}: {found}");
            assert_eq!(positions.len(), points);
            assert!(positions.iter().all(|x| (dot(x, x) - 1.0).abs() < 1e-14));
        }
    }

    #[test]
    fn the_gradient_agrees_with_central_differences() {
        let point: Vec<f64> = (0..12).map(|index| (f64::from(index) * 12.9898).sin()).collect();
        let mut repulsion = Repulsion { dimension: 3, power: 3.0 };
        let (mut gradient, mut unused) = (vec![0.0; 12], vec![0.0; 12]);
        repulsion.evaluate(&point, &mut gradient);
        for index in 0..12 {
            let mut at = |shift: f64| {
                let mut moved = point.clone();
                moved[index] += shift;
                repulsion.evaluate(&moved, &mut unused)
            };
            let numerical = (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!((numerical - gradient[index]).abs() < 1e-7 * numerical.abs().max(1.0));
        }
    }

    /// For each power one arrangement with a point in the middle, and one with two on an axis.
    #[test]
    fn some_points_are_inside_of_others() {
        let all = filled(6, 3);
        assert_eq!(all.len(), 4);
        assert!(all.iter().all(|positions| positions.len() == 6));
        let on_sphere =
            |positions: &[Vec<f64>]| positions.iter().all(|x| (dot(x, x) - 1.0).abs() < 1e-14);
        for positions in &all[..2] {
            assert!(on_sphere(&positions[..5]));
            assert_eq!(positions[5], [0.0; 3]);
        }
        for positions in &all[2..] {
            assert!(on_sphere(&positions[..4]));
            assert_eq!(positions[4..], [[INSIDE, 0.0, 0.0], [-INSIDE, 0.0, 0.0]]);
        }
    }
}
