//! Which measured class stands for which class of a structure.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::geometry::class_matrix::{ClassMatrix, FOR_EACH_CLASS};
use crate::numerics::linalg::check_finite;

/// Up to so many classes all orders are tried.
const FEW_CLASSES: usize = 8;

/// The starts and exchanges together may take about so many operations.
const MOST_OPERATIONS: usize = 1 << 30;

/// Gains below this share of the largest possible score are rounding errors.
const NEGLIGIBLE: f64 = 1e-12;

impl ClassMatrix {
    /// The order of measured classes in which a K×K matrix fits this one best: `order[k]` is the measured class that
    /// stands for class k of the structure.
    ///
    /// It has the largest Σ_ij A[order(i), order(j)] T_ij, and so the smallest normalized
    /// [`distance`](Self::distance), among all orders for up to 8 classes; for more, no exchange of two classes improves
    /// it, and it is the best of many starts, the given order among them. Structures whose classes are interchangeable
    /// need no matching, and families, which treat all classes of a size alike, get the order as it is.
    ///
    /// # Errors
    /// [`Error::Shape`] if A is not K×K, [`Error::OutOfRange`] if an entry is not finite.
    ///
    /// ```
    /// use nalgebra::DMatrix;
    /// use neural_collapse::{CrossEntropyUfm, Prediction, Regularization};
    ///
    /// // An octahedron: three pairs of opposite classes, in an order that nobody knows.
    /// let ufm = CrossEntropyUfm::new(6, 10, Regularization::new(&[1e-3; 2], 1e-4)?)?;
    /// let outputs = ufm.landscape()?.class_outputs()?;
    /// let dense = outputs.to_dense().unwrap();
    /// let shuffled = [4, 0, 3, 1, 5, 2];
    /// let measured = DMatrix::from_fn(6, 6, |i, j| dense[(shuffled[i], shuffled[j])]);
    /// assert!(outputs.distance(&measured)? > 0.5);
    /// let order = outputs.matching(&measured)?;
    /// let matched = measured.select_rows(&order).select_columns(&order);
    /// assert!(outputs.distance(&matched)? < 1e-14);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn matching(&self, measured: &DMatrix<f64>) -> Result<Vec<usize>> {
        let classes = self.classes();
        if measured.shape() != (classes, classes) {
            let expected = (classes, classes);
            return Err(Error::shape("measured", measured.shape(), expected, FOR_EACH_CLASS));
        }
        check_finite("measured", measured)?;
        let Some(target) = self.to_dense() else { return Ok((0..classes).collect()) };
        let (unit, size) = (measured.amax(), target.amax());
        if unit == 0.0 || size == 0.0 {
            return Ok((0..classes).collect());
        }
        let problem = Assignment { measured: measured / unit, target: target / size };
        Ok(match classes <= FEW_CLASSES {
            true => problem.best_of_all(),
            false => problem.best_of_starts(),
        })
    }
}

/// The quadratic assignment of measured classes to those of a target.
struct Assignment {
    measured: DMatrix<f64>,
    target: DMatrix<f64>,
}

impl Assignment {
    fn classes(&self) -> usize {
        self.target.nrows()
    }

    /// What class `class` adds to the score at the position behind those in `order`.
    fn added(&self, order: &[usize], class: usize) -> f64 {
        let position = order.len();
        let own = self.measured[(class, class)] * self.target[(position, position)];
        order.iter().enumerate().fold(own, |sum, (other, &placed)| {
            sum + self.measured[(class, placed)] * self.target[(position, other)]
                + self.measured[(placed, class)] * self.target[(other, position)]
        })
    }

    /// The change of the score when the classes at positions i and j are exchanged.
    fn gain(&self, order: &[usize], i: usize, j: usize) -> f64 {
        let (a, b) = (order[i], order[j]);
        let (m, t) = (&self.measured, &self.target);
        let own = (m[(b, b)] - m[(a, a)]) * (t[(i, i)] - t[(j, j)])
            + (m[(b, a)] - m[(a, b)]) * (t[(i, j)] - t[(j, i)]);
        let others = (0..order.len()).filter(|&k| k != i && k != j);
        others.fold(own, |sum, k| {
            let c = order[k];
            sum + (m[(b, c)] - m[(a, c)]) * (t[(i, k)] - t[(j, k)])
                + (m[(c, b)] - m[(c, a)]) * (t[(k, i)] - t[(k, j)])
        })
    }

    fn score(&self, order: &[usize]) -> f64 {
        (0..order.len()).map(|position| self.added(&order[..position], order[position])).sum()
    }

    /// The best of all orders; the given one if none is better.
    fn best_of_all(&self) -> Vec<usize> {
        let mut best: Vec<usize> = (0..self.classes()).collect();
        let mut highest = self.score(&best) + self.negligible();
        let mut order = Vec::with_capacity(best.len());
        self.extend(&mut order, 0.0, &mut highest, &mut best);
        best
    }

    fn extend(&self, order: &mut Vec<usize>, score: f64, highest: &mut f64, best: &mut Vec<usize>) {
        if order.len() == self.classes() {
            if score > *highest {
                *highest = score;
                best.clone_from(order);
            }
            return;
        }
        for class in 0..self.classes() {
            if !order.contains(&class) {
                let score = score + self.added(order, class);
                order.push(class);
                self.extend(order, score, highest, best);
                order.pop();
            }
        }
    }

    /// The best order that exchanges reach from the given one and from orders that begin with each class and take
    /// the class that adds most at every further position.
    fn best_of_starts(&self) -> Vec<usize> {
        let classes = self.classes();
        let cost = classes.saturating_mul(classes).saturating_mul(classes);
        let starts = (MOST_OPERATIONS / cost.max(1)).min(classes);
        let mut best = self.improved((0..classes).collect());
        let mut highest = self.score(&best) + self.negligible();
        for first in 0..starts {
            let order = self.improved(self.greedy(first * classes / starts));
            let score = self.score(&order);
            if score > highest {
                (best, highest) = (order, score);
            }
        }
        best
    }

    fn greedy(&self, first: usize) -> Vec<usize> {
        let mut order = vec![first];
        let mut left: Vec<usize> = (0..self.classes()).filter(|&class| class != first).collect();
        while let Some(index) = (0..left.len()).max_by(|&a, &b| {
            let added = |index: usize| self.added(&order, left[index]);
            // The first of equals.
            added(a).total_cmp(&added(b)).then(b.cmp(&a))
        }) {
            order.push(left.remove(index));
        }
        order
    }

    /// Exchanges two classes for as long as that improves the fit.
    fn improved(&self, mut order: Vec<usize>) -> Vec<usize> {
        let (classes, least) = (self.classes(), self.negligible());
        let rounds =
            (MOST_OPERATIONS / classes.pow(2).saturating_mul(classes).max(1)).clamp(1, 100);
        for _ in 0..rounds {
            let mut improved = false;
            for j in 1..classes {
                for i in 0..j {
                    if self.gain(&order, i, j) > least {
                        order.swap(i, j);
                        improved = true;
                    }
                }
            }
            if !improved {
                break;
            }
        }
        order
    }

    fn negligible(&self) -> f64 {
        NEGLIGIBLE * self.measured.norm() * self.target.norm()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::cross_entropy::CrossEntropyUfm;
    use crate::prediction::Prediction;
    use crate::problem::regularization::Regularization;

    /// A permutation and noise, the same in every run.
    fn numbers(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 11) as f64) / (1_u64 << 53) as f64
        }
    }

    fn shuffle(classes: usize, seed: u64) -> Vec<usize> {
        let mut number = numbers(seed);
        let mut order: Vec<usize> = (0..classes).collect();
        for i in (1..classes).rev() {
            order.swap(i, (number() * (i as f64 + 1.0)) as usize);
        }
        order
    }

    #[test]
    fn shuffled_structures_are_found_again() {
        for (classes, depth, decay) in
            [(4, 3, 1e-4), (6, 2, 1e-4), (7, 2, 1e-4), (8, 3, 1e-4), (12, 2, 1e-5), (15, 3, 1e-4)]
        {
            let regularization = Regularization::new(&vec![decay; depth], decay).unwrap();
            let ufm = CrossEntropyUfm::new(classes, 10, regularization).unwrap();
            let landscape = ufm.landscape().unwrap();
            let target = landscape.class_outputs().unwrap();
            let dense = target.to_dense().unwrap();
            for seed in 0..6 {
                let order = shuffle(classes, seed);
                let mut noise = numbers(seed + 100);
                let measured = DMatrix::from_fn(classes, classes, |i, j| {
                    dense[(order[i], order[j])] + 1e-3 * dense.amax() * (noise() - 0.5)
                });
                let found = target.matching(&measured).unwrap();
                let matched = measured.select_rows(&found).select_columns(&found);
                let distance = target.distance(&matched).unwrap();
                assert!(distance < 1e-2, "{}: {distance}", landscape.geometry());
            }
        }
    }

    #[test]
    fn gains_are_differences_of_scores() {
        let mut number = numbers(5);
        let mut random = |_, _| number() - 0.5;
        let problem = Assignment {
            measured: DMatrix::from_fn(7, 7, &mut random),
            target: DMatrix::from_fn(7, 7, &mut random),
        };
        let order = shuffle(7, 3);
        for (i, j) in [(0, 1), (2, 6), (3, 4)] {
            let mut exchanged = order.clone();
            exchanged.swap(i, j);
            let gain = problem.score(&exchanged) - problem.score(&order);
            assert!((problem.gain(&order, i, j) - gain).abs() < 1e-13);
        }
        // Of all orders none is better than the best.
        let best = problem.score(&problem.best_of_all());
        assert!(best >= problem.score(&problem.best_of_starts()) - 1e-12);
    }
}
