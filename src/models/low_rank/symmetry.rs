//! The exchanges of classes that leave outputs as they are.

use nalgebra::DMatrix;

/// Relative difference of outputs that counts as equal for a minimum that a search has found.
const TOLERANCE: f64 = 1e-6;
/// Cap on the assignments tried: matrices with much symmetry and no structure could need very many.
const MOST_STEPS: usize = 2_000_000;

/// The group of all permutations π with Z_π(i)π(j) = Z_ij and b_π(i) = b_i that exchange classes of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Symmetry {
    /// Its order; `None` if it was not found.
    pub(crate) order: Option<u128>,
    /// The orbit of every class, numbered from 0.
    pub(crate) orbits: Vec<usize>,
}

struct Finder<'a> {
    outputs: &'a DMatrix<f64>,
    kinds: Vec<usize>,
    tolerance: f64,
    steps: usize,
}

/// The symmetry of outputs (K×K) whose classes are of the given `kinds` (numbers that an exchange must keep).
pub(crate) fn symmetry(outputs: &DMatrix<f64>, kinds: &[Vec<f64>]) -> Symmetry {
    symmetry_within(outputs, kinds, TOLERANCE)
}

/// The same where outputs within `tolerance` of the largest one count as equal, as for a trained network.
pub(crate) fn symmetry_within(
    outputs: &DMatrix<f64>,
    kinds: &[Vec<f64>],
    tolerance: f64,
) -> Symmetry {
    let tolerance = tolerance * outputs.amax().max(f64::MIN_POSITIVE);
    let classes = outputs.nrows();
    let mut finder = Finder { outputs, kinds: numbered(kinds, tolerance), tolerance, steps: 0 };
    let mut orbits: Vec<usize> = (0..classes).collect();
    let mut order = Some(1_u128);
    // The stabilizer of 0, …, i−1 moves i to as many places as the orbit of i has, and so on.
    for base in 0..classes {
        let mut reached = 1;
        for image in base + 1..classes {
            let mut map: Vec<usize> = (0..base).collect();
            if finder.fits(&map, image) {
                map.push(image);
                if finder.extend(&mut map) {
                    reached += 1;
                    join(&mut orbits, &map);
                }
            }
        }
        order = order.and_then(|order| order.checked_mul(reached));
    }
    if finder.steps >= MOST_STEPS {
        order = None;
    }
    Symmetry { order, orbits: renumbered(&orbits) }
}

impl Finder<'_> {
    /// Whether the next class can go to `image`, given where those before it go.
    fn fits(&self, map: &[usize], image: usize) -> bool {
        let (next, z) = (map.len(), self.outputs);
        let equal = |a: f64, b: f64| (a - b).abs() <= self.tolerance;
        self.kinds[next] == self.kinds[image]
            && !map.contains(&image)
            && equal(z[(next, next)], z[(image, image)])
            && map.iter().enumerate().all(|(class, &place)| {
                equal(z[(class, next)], z[(place, image)])
                    && equal(z[(next, class)], z[(image, place)])
            })
    }

    /// Completes a map of the first classes to a permutation, if that is possible.
    fn extend(&mut self, map: &mut Vec<usize>) -> bool {
        if map.len() == self.outputs.nrows() {
            return true;
        }
        for image in 0..self.outputs.nrows() {
            if self.steps >= MOST_STEPS {
                return false;
            }
            self.steps += 1;
            if self.fits(map, image) {
                map.push(image);
                if self.extend(map) {
                    return true;
                }
                map.pop();
            }
        }
        false
    }
}

/// A number for each kind, equal for kinds that agree within the tolerance.
fn numbered(kinds: &[Vec<f64>], tolerance: f64) -> Vec<usize> {
    let alike = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance);
    let first = |kind: &Vec<f64>| kinds.iter().position(|other| alike(kind, other)).unwrap_or(0);
    kinds.iter().map(first).collect()
}

/// Joins the orbits that a permutation connects.
fn join(orbits: &mut [usize], map: &[usize]) {
    for (class, &place) in map.iter().enumerate() {
        let (a, b) = (orbits[class], orbits[place]);
        let (kept, lost) = (a.min(b), a.max(b));
        orbits.iter_mut().filter(|orbit| **orbit == lost).for_each(|orbit| *orbit = kept);
    }
}

/// Orbits numbered 0, 1, … in the order in which they appear.
fn renumbered(orbits: &[usize]) -> Vec<usize> {
    let mut seen: Vec<usize> = Vec::new();
    for orbit in orbits {
        if !seen.contains(orbit) {
            seen.push(*orbit);
        }
    }
    let number = |orbit: &usize| seen.iter().position(|other| other == orbit).unwrap_or(0);
    orbits.iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(outputs: &DMatrix<f64>) -> Option<u128> {
        symmetry(outputs, &vec![Vec::new(); outputs.nrows()]).order
    }

    #[test]
    fn groups_of_known_order() {
        let etf = DMatrix::identity(7, 7).add_scalar(-1.0 / 7.0);
        assert_eq!(order(&etf), Some(5040));
        let octahedron = DMatrix::from_fn(6, 6, |i, j| match (i / 2 == j / 2, i == j) {
            (_, true) => 1.0,
            (true, false) => -1.0,
            _ => 0.0,
        });
        assert_eq!(order(&octahedron), Some(48));
        let heptagon = DMatrix::from_fn(7, 7, |i, j| {
            (2.0 * core::f64::consts::PI * (i as f64 - j as f64) / 7.0).cos()
        });
        assert_eq!(order(&heptagon), Some(14));
        let cube =
            DMatrix::from_fn(8, 8, |i, j| 3.0 - 2.0 * f64::from(((i ^ j) as u32).count_ones()));
        assert_eq!(order(&cube), Some(48));
    }

    #[test]
    fn kinds_and_lack_of_symmetry_count() {
        let etf = DMatrix::identity(4, 4);
        let kinds = [vec![1.0], vec![1.0], vec![2.0], vec![2.0]];
        let found = symmetry(&etf, &kinds);
        assert_eq!((found.order, found.orbits), (Some(4), vec![0, 0, 1, 1]));
        let generic = DMatrix::from_fn(5, 5, |i, j| (i * i + 3 * j) as f64);
        let found = symmetry(&generic, &vec![Vec::new(); 5]);
        assert_eq!((found.order, found.orbits), (Some(1), vec![0, 1, 2, 3, 4]));
        // Rotations only: the outputs are not symmetric.
        let cycle = DMatrix::from_fn(5, 5, |i, j| ((j + 5 - i) % 5) as f64);
        assert_eq!(order(&cycle), Some(5));
    }
}
