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
    /// The orbit of every class, numbered from 0; parts of the orbits where the search was too long.
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
    // The exchanges that leave 0, …, i−1 in place move i to as many places as its orbit has, and so on. From the last
    // class to the first, so that those that are known already spare most of the others.
    for base in (0..classes).rev() {
        finder.join_images(base, &mut orbits);
        let reached = orbits.iter().filter(|&&orbit| orbit == orbits[base]).count();
        order = order.and_then(|order| order.checked_mul(reached as u128));
    }
    if finder.steps >= MOST_STEPS {
        order = None;
    }
    Symmetry { order, orbits: renumbered(&orbits) }
}

impl Finder<'_> {
    /// Joins the orbits that exchanges connect which leave the classes before `base` in place.
    fn join_images(&mut self, base: usize, orbits: &mut [usize]) {
        let mut unreached: Vec<usize> = Vec::new();
        for image in base + 1..orbits.len() {
            // What holds for one class of an orbit holds for all of it.
            let alike = |&other: &usize| orbits[other] == orbits[image];
            if alike(&base) || unreached.iter().any(alike) {
                continue;
            }
            let mut map: Vec<usize> = (0..base).collect();
            if self.fits(&map, image) {
                map.push(image);
                if self.extend(&mut map) {
                    join(orbits, &map);
                    continue;
                }
            }
            unreached.push(image);
        }
    }

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
        // Most exchanges leave most classes in place.
        let next = map.len();
        let others = (0..self.outputs.nrows()).filter(|&image| image != next);
        for image in core::iter::once(next).chain(others) {
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
    let first = |(index, kind): (usize, &Vec<f64>)| {
        kinds[..index].iter().position(|other| alike(kind, other)).unwrap_or(index)
    };
    kinds.iter().enumerate().map(first).collect()
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
    let number = |orbit: &usize| {
        seen.iter().position(|other| other == orbit).unwrap_or_else(|| {
            seen.push(*orbit);
            seen.len() - 1
        })
    };
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
    fn simplices_of_every_size() {
        let factorial = |k: u128| (1..=k).product();
        for classes in [1, 2, 5, 34] {
            let order = order(&DMatrix::identity(classes, classes));
            assert_eq!(order, Some(factorial(classes as u128)), "{classes}");
        }
        // 35! is no u128; the orbits are known nevertheless.
        for classes in [35, 200] {
            let found = symmetry(&DMatrix::identity(classes, classes), &vec![vec![0.0]; classes]);
            assert_eq!((found.order, found.orbits), (None, vec![0; classes]));
        }
    }

    /// Right and wrong outputs, of both classes for each other, have each to be kept.
    #[test]
    fn every_output_counts() {
        let alone = |entries: &[(usize, usize)]| {
            let mut outputs = DMatrix::zeros(3, 3);
            entries.iter().for_each(|&entry| outputs[entry] = 1.0);
            symmetry(&outputs, &[const { Vec::new() }; 3])
        };
        // A right output of its own; outputs for and of one class, in one direction only.
        assert_eq!(alone(&[(0, 0)]).orbits, [0, 1, 1]);
        assert_eq!(alone(&[(2, 2)]).orbits, [0, 0, 1]);
        assert_eq!(alone(&[(0, 2)]).order, Some(1));
        assert_eq!(alone(&[(2, 0)]).order, Some(1));
        assert_eq!(alone(&[(0, 2), (1, 2)]).orbits, [0, 0, 1]);
        assert_eq!(alone(&[(2, 0), (2, 1)]).orbits, [0, 0, 1]);
        // One direction of a pair: 0 is not 1.
        assert_eq!(alone(&[(0, 1)]).order, Some(1));
        assert_eq!(alone(&[(0, 1), (1, 0)]).order, Some(2));
        // All three in a circle.
        assert_eq!(alone(&[(0, 1), (1, 2), (2, 0)]).order, Some(3));
    }

    /// An exchange that cannot be completed does not count: in a path of four classes the inner ones have two
    /// neighbors.
    #[test]
    fn exchanges_have_to_be_complete() {
        let path = DMatrix::from_fn(6, 6, |i, j| f64::from(u8::from(i.abs_diff(j) == 1)));
        let found = symmetry(&path, &vec![Vec::new(); 6]);
        assert_eq!((found.order, found.orbits), (Some(2), vec![0, 1, 2, 2, 1, 0]));
        // Two circles, of three and of four: numbers of neighbors alone tell nothing.
        let circles = DMatrix::from_fn(7, 7, |i, j| {
            let neighbors = match (i < 3, j < 3) {
                (true, true) => i != j,
                (false, false) => (i + 4 - j) % 2 == 1,
                _ => false,
            };
            f64::from(u8::from(neighbors))
        });
        let found = symmetry(&circles, &vec![Vec::new(); 7]);
        assert_eq!((found.order, found.orbits), (Some(48), vec![0, 0, 0, 1, 1, 1, 1]));
    }

    /// The tolerance is a share of the largest output, in size, and holds for kinds, too.
    #[test]
    fn what_is_nearly_equal_counts_as_equal() {
        let order = |difference: f64, kind: f64, largest: f64| {
            let mut outputs = DMatrix::identity(3, 3);
            outputs[(1, 1)] += difference;
            outputs[(2, 2)] = largest;
            symmetry_within(&outputs, &[vec![3.0, kind], vec![3.0, 0.0], vec![3.0, 0.0]], 1e-3)
                .order
        };
        assert_eq!(order(0.0009, 0.0, 2.0), Some(2));
        assert_eq!(order(-0.0019, 0.0, -2.0), Some(2));
        assert_eq!(order(0.0021, 0.0, -2.0), Some(1));
        assert_eq!(order(0.0, 0.0019, 2.0), Some(2));
        assert_eq!(order(0.0, -0.0021, 2.0), Some(1));
        assert_eq!(order(0.0, 0.0021, 2.0), Some(1));
        // Without outputs all classes are alike.
        assert_eq!(symmetry(&DMatrix::zeros(4, 4), &vec![Vec::new(); 4]).order, Some(24));
        // Some classes share a kind, whatever is listed between them.
        let kinds = [1.0, 2.0, 1.0, 3.0, 2.0].map(|kind| vec![kind]);
        let found = symmetry(&DMatrix::identity(5, 5), &kinds);
        assert_eq!((found.order, found.orbits), (Some(4), vec![0, 1, 0, 2, 1]));
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

    /// Each place that is tried for a class is a step, and there is an end to them.
    #[test]
    fn steps_are_counted() {
        let outputs = DMatrix::identity(3, 3);
        let mut finder = Finder { outputs: &outputs, kinds: vec![0; 3], tolerance: 0.1, steps: 0 };
        // Class 0 goes to 1, whose own place is tried and taken, so that it goes to 0; 2 stays.
        assert!(finder.extend(&mut vec![1]));
        assert_eq!(finder.steps, 3);
        finder.steps = MOST_STEPS;
        assert!(!finder.extend(&mut vec![1]));
    }
}
