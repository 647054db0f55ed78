//! Patches of the triangular lattice: how classes lie in a plane where a bias makes room for classes inside of others.
//!
//! With a free bias a class is told from its neighbors by distance alone, and points of a plane that are to be far
//! from each other within a small moment of inertia lie as pennies do. Deep networks pay little for large
//! singular values, and much for many of them.

use core::f64::consts::PI;

/// Centers that are tried along each side of a triangle of the lattice.
const CENTERS: usize = 12;
/// How many patches are tried.
const MOST_PATCHES: usize = 4;
/// Difference of moments of inertia that counts as equal: n of them are sums of squared distances, and whole numbers.
const SAME: f64 = 1e-9;

/// Patches of so many points with the smallest moments of inertia, at most four, each with its center of mass at the
/// origin.
pub(crate) fn patches(points: usize) -> Vec<Vec<Vec<f64>>> {
    let lattice = lattice(points);
    let mut found: Vec<(f64, Vec<Vec<f64>>)> = Vec::new();
    for center in centers() {
        let patch = nearest(&lattice, points, center);
        let moment = patch.iter().flatten().map(|entry| entry * entry).sum::<f64>();
        if !found.iter().any(|(other, _)| (moment - other).abs() <= SAME) {
            found.push((moment, patch));
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.into_iter().take(MOST_PATCHES).map(|(_, patch)| patch).collect()
}

/// Centers in a triangle of the lattice that has a corner at the origin.
fn centers() -> Vec<[f64; 2]> {
    let center = |row: usize, column: usize| {
        let (x, y) = (column as f64 / CENTERS as f64, row as f64 / CENTERS as f64);
        [x + y / 2.0, y * (PI / 3.0).sin()]
    };
    let row = |row: usize| (0..=CENTERS - row).map(move |column| center(row, column));
    (0..=CENTERS).flat_map(row).collect()
}

/// The points of the lattice that are nearest to a center, about their own center of mass.
fn nearest(lattice: &[[f64; 2]], points: usize, [x, y]: [f64; 2]) -> Vec<Vec<f64>> {
    let distance = |point: &[f64; 2]| (point[0] - x).hypot(point[1] - y);
    let mut sorted = lattice.to_vec();
    // Equal distances, up to rounding, in the order of the lattice.
    sorted.sort_by(|a, b| (distance(a) * 1e9).round().total_cmp(&(distance(b) * 1e9).round()));
    sorted.truncate(points);
    let mean = |axis: usize| sorted.iter().map(|point| point[axis]).sum::<f64>() / points as f64;
    let center = [mean(0), mean(1)];
    sorted.iter().map(|point| vec![point[0] - center[0], point[1] - center[1]]).collect()
}

/// A part of the lattice with edges of length 1 that has the nearest points of every center in a triangle at the origin.
fn lattice(points: usize) -> Vec<[f64; 2]> {
    let reach = (points as f64).sqrt().ceil() as i32 + 2;
    let range = || -reach..=reach;
    let point = |row: i32, column: i32| {
        [f64::from(column) + f64::from(row) / 2.0, f64::from(row) * (PI / 3.0).sin()]
    };
    range().flat_map(|row| range().map(move |column| point(row, column))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No point that is left out is nearer to the center than one that is chosen.
    #[test]
    fn nearest_points_are_chosen() {
        let lattice = lattice(9);
        for center in [[0.1, 0.05], [0.45, 0.2], [0.7, 0.3]] {
            let patch = nearest(&lattice, 9, center);
            let distance = |point: &[f64]| (point[0] - center[0]).hypot(point[1] - center[1]);
            // About the center of mass it is the same patch, moved.
            let squares = |points: &[Vec<f64>]| -> f64 {
                let square =
                    |a: &Vec<f64>, b: &Vec<f64>| (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
                points.iter().flat_map(|a| points.iter().map(move |b| square(a, b))).sum()
            };
            let mut chosen: Vec<[f64; 2]> = lattice.clone();
            chosen.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
            let chosen: Vec<Vec<f64>> = chosen[..9].iter().map(|point| point.to_vec()).collect();
            assert!((squares(&patch) - squares(&chosen)).abs() < 1e-9, "{center:?}");
            let mean = |axis: usize| patch.iter().map(|point| point[axis]).sum::<f64>();
            assert!(mean(0).abs() < 1e-12 && mean(1).abs() < 1e-12);
            let first = [0, 1].map(|axis| patch[0][axis] - patch[1][axis]);
            let expected = [0, 1].map(|axis| chosen[0][axis] - chosen[1][axis]);
            assert!((first[0] - expected[0]).hypot(first[1] - expected[1]) < 1e-12, "{center:?}");
        }
    }

    #[test]
    fn patches_are_the_compact_ones() {
        // Seven points: a hexagon and its center, 6 · 1; four: a rhombus; ten: rows of 3, 4 and 3.
        for (points, moment) in [(3, 1.0), (4, 2.0), (7, 6.0), (10, 13.5)] {
            let patches = patches(points);
            let found: f64 = patches[0].iter().flatten().map(|entry| entry * entry).sum();
            assert!((found - moment).abs() < 1e-12, "{points}: {found}");
            for patch in &patches {
                assert_eq!(patch.len(), points);
                for (index, a) in patch.iter().enumerate() {
                    for b in &patch[..index] {
                        assert!((a[0] - b[0]).hypot(a[1] - b[1]) > 1.0 - 1e-9);
                    }
                }
            }
        }
    }

    /// The moments of n points times n, the squared distances of all pairs: five times as many centers along each side
    /// have the same ones.
    #[test]
    fn moments_are_those_of_all_centers() {
        let table: [(usize, &[f64]); 9] = [
            (5, &[17.0]),
            (6, &[29.0, 30.0]),
            (8, &[69.0, 72.0]),
            (12, &[228.0, 239.0, 249.0]),
            (14, &[371.0, 379.0, 388.0]),
            (17, &[668.0, 687.0, 688.0]),
            (18, &[788.0, 809.0, 810.0, 819.0]),
            (19, &[912.0, 948.0, 951.0, 959.0]),
            (24, &[1895.0, 1896.0]),
        ];
        for (points, sums) in table {
            let moment = |patch: &Vec<Vec<f64>>| patch.iter().flatten().map(|x| x * x).sum::<f64>();
            let found: Vec<f64> =
                patches(points).iter().map(|patch| moment(patch) * points as f64).collect();
            assert_eq!(found.len(), sums.len(), "{points}");
            assert!(found.iter().zip(sums).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
        }
    }
}
