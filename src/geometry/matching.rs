//! Which measured class stands where in a structure that does not treat all classes alike.
//!
//! The order π of the classes is wanted that makes the inner product Σ_ij T_ij A_(π_i π_j) of the structure T and the
//! measured matrix A the largest, which is the smallest distance, as reordering changes no norm. This is a quadratic
//! assignment problem. Few classes are searched completely, by branch and bound; many by exchanging two classes as
//! long as that gains, from several starts.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::geometry::class_matrix::{ClassMatrix, FOR_EACH_CLASS};
use crate::numerics::magnitude::over_largest;
use crate::problem::counts::ClassCounts;

/// Up to this many classes all orders are searched.
const FEW_CLASSES: usize = 8;

/// Starts for few classes …
const MAX_STARTS: usize = 32;

/// … and about so many operations for the starts together: one start for 300 classes and more.
const BUDGET: usize = 30_000_000;

/// Gains below this share of the norms are rounding errors.
const NEGLIGIBLE: f64 = 1e-13;

impl ClassMatrix {
    /// The order of the classes of a measured K×K matrix A that fits this matrix T best: `order[k]` is the measured
    /// class in place of class k, so that `A[(order[i], order[j])]` is nearest to `T[(i, j)]`.
    ///
    /// The classes of some structures are not interchangeable although they have the same size: those of an octahedron
    /// come in pairs. A prediction then has its classes in an arbitrary order, and a measured network has to be
    /// matched to it first.
    ///
    /// Up to 8 classes no order is nearer. For more, no exchange of two classes brings the matrix nearer, and neither
    /// does any of up to 32 starts; each takes some K³ operations. The answer depends on nothing but the matrices. If the
    /// matrix is a family, its mean is matched.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if A is not K×K, [`Error::OutOfRange`](crate::Error::OutOfRange) if an
    /// entry is not finite.
    ///
    /// ```
    /// use nalgebra::{DMatrix, dmatrix};
    /// use neural_collapse::ClassMatrix;
    ///
    /// // The predicted class 0 is the measured class 1.
    /// let predicted = ClassMatrix::diagonal(&[3.0, 1.0, 2.0])?;
    /// let measured = dmatrix![1.1, 0.0, 0.1; 0.0, 2.9, 0.0; 0.1, 0.0, 2.0];
    /// let order = predicted.matching(&measured)?;
    /// assert_eq!(order, [1, 0, 2]);
    /// let matched = DMatrix::from_fn(3, 3, |i, j| measured[(order[i], order[j])]);
    /// assert!(predicted.distance(&matched)? < 0.06);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn matching(&self, measured: &DMatrix<f64>) -> Result<Vec<usize>> {
        self.check(measured)?;
        Ok(self.matching_of_kinds(measured, &vec![0; self.classes()]))
    }

    /// [`matching`](Self::matching) that exchanges only classes of one size.
    ///
    /// # Errors
    /// As [`matching`](Self::matching), and [`Error::Shape`](crate::Error::Shape) if there are not K counts.
    pub fn matching_within_sizes(
        &self,
        measured: &DMatrix<f64>,
        counts: &ClassCounts,
    ) -> Result<Vec<usize>> {
        self.check(measured)?;
        if counts.classes() != self.classes() {
            let (found, expected) = (counts.classes(), self.classes());
            return Err(Error::length("counts", found, expected, FOR_EACH_CLASS));
        }
        let kinds: Vec<usize> = counts
            .runs()
            .flat_map(|run| core::iter::repeat_n(run.group, run.class_count))
            .collect();
        Ok(self.matching_of_kinds(measured, &kinds))
    }

    /// [`matching`](Self::matching) that exchanges only classes of one kind: `kinds` has a number for each class, which
    /// is the same for classes that the objective treats alike.
    ///
    /// ```
    /// use neural_collapse::ClassMatrix;
    /// use nalgebra::dmatrix;
    ///
    /// // Two pairs on one axis; the network has them in another order.
    /// let pairs = dmatrix![2., -2., 0., 0.; -2., 2., 0., 0.; 0., 0., 1., -1.; 0., 0., -1., 1.];
    /// let measured = dmatrix![1., 0., -1., 0.; 0., 2., 0., -2.; -1., 0., 1., 0.; 0., -2., 0., 2.];
    /// let structure = ClassMatrix::from_dense(pairs)?;
    /// assert_eq!(structure.matching_within_kinds(&measured, &[0, 1, 2, 3])?, [0, 1, 2, 3]);
    /// let order = structure.matching_within_kinds(&measured, &[0; 4])?;
    /// assert_eq!(order[0] + order[1], 4); // classes 1 and 3
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`matching`](Self::matching), and [`Error::Shape`](crate::Error::Shape) if there are not K kinds.
    pub fn matching_within_kinds(
        &self,
        measured: &DMatrix<f64>,
        kinds: &[usize],
    ) -> Result<Vec<usize>> {
        self.check(measured)?;
        if kinds.len() != self.classes() {
            return Err(Error::length("kinds", kinds.len(), self.classes(), FOR_EACH_CLASS));
        }
        Ok(self.matching_of_kinds(measured, kinds))
    }

    fn matching_of_kinds(&self, measured: &DMatrix<f64>, kinds: &[usize]) -> Vec<usize> {
        let identity: Vec<usize> = (0..kinds.len()).collect();
        if self.treats_classes_alike() {
            return identity;
        }
        let (structure, measured) = (scaled(self.mean_member()), scaled(measured.clone()));
        let negligible = NEGLIGIBLE * structure.norm() * measured.norm();
        Assignment { structure, measured, kinds, negligible }.best(identity)
    }
}

/// The matrix with a largest entry of 1, if it is not zero.
fn scaled(matrix: DMatrix<f64>) -> DMatrix<f64> {
    over_largest(&matrix).map_or(matrix, |(scaled, _)| scaled)
}

/// The problem: T, A, and the kinds within which classes may be exchanged.
struct Assignment<'a> {
    structure: DMatrix<f64>,
    measured: DMatrix<f64>,
    kinds: &'a [usize],
    /// Gains up to this are rounding errors.
    negligible: f64,
}

impl Assignment<'_> {
    fn classes(&self) -> usize {
        self.kinds.len()
    }

    /// Σ_ij T_ij A_(π_i π_j).
    fn value(&self, order: &[usize]) -> f64 {
        let mut sum = 0.0;
        for (j, &b) in order.iter().enumerate() {
            for (i, &a) in order.iter().enumerate() {
                sum += self.structure[(i, j)] * self.measured[(a, b)];
            }
        }
        sum
    }

    /// A number that no value exceeds: with the entries on and off the diagonal each sorted.
    fn bound(&self) -> f64 {
        let [structure, measured] = [&self.structure, &self.measured].map(sorted_entries);
        let products = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        products(&structure.0, &measured.0) + products(&structure.1, &measured.1)
    }

    fn best(&self, identity: Vec<usize>) -> Vec<usize> {
        let (bound, negligible) = (self.bound(), self.negligible);
        let classes = self.classes();
        let starts = (BUDGET / classes.pow(3).max(1)).clamp(1, MAX_STARTS);
        let mut best = self.improved(identity);
        let mut best_value = self.value(&best);
        for start in 0..starts {
            if best_value >= bound - negligible {
                return best;
            }
            let found = self.improved(self.start(start));
            let value = self.value(&found);
            if value > best_value + negligible {
                (best, best_value) = (found, value);
            }
        }
        if classes <= FEW_CLASSES {
            let mut search = Search::new(self, best, best_value);
            search.descend(0, &self.diagonal_gains());
            best = search.best;
        }
        best
    }

    /// Exchanges two classes of one kind as long as that gains.
    fn improved(&self, mut order: Vec<usize>) -> Vec<usize> {
        loop {
            let mut exchanged = false;
            for j in 0..order.len() {
                for i in 0..j {
                    if self.kinds[i] == self.kinds[j] && self.gain(&order, i, j) > self.negligible {
                        order.swap(i, j);
                        exchanged = true;
                    }
                }
            }
            if !exchanged {
                return order;
            }
        }
    }

    /// How much the exchange of the classes in places i and j gains, in O(K).
    fn gain(&self, order: &[usize], i: usize, j: usize) -> f64 {
        let (t, m) = (&self.structure, &self.measured);
        let (a, b) = (order[i], order[j]);
        let mut gain = (t[(i, i)] - t[(j, j)]) * (m[(b, b)] - m[(a, a)])
            + (t[(i, j)] - t[(j, i)]) * (m[(b, a)] - m[(a, b)]);
        for (k, &c) in order.iter().enumerate() {
            if k != i && k != j {
                gain += (t[(k, i)] - t[(k, j)]) * (m[(c, b)] - m[(c, a)])
                    + (t[(i, k)] - t[(j, k)]) * (m[(b, c)] - m[(a, c)]);
            }
        }
        gain
    }

    /// Start number `index`: the first half puts one class after the other into the first place and fills the others
    /// greedily; the second half is shuffled.
    fn start(&self, index: usize) -> Vec<usize> {
        let classes = self.classes();
        if index < classes.min(MAX_STARTS / 2) { self.greedy(index) } else { self.shuffled(index) }
    }

    /// Place by place the class that gains most beside those in the places before, with class `first` in the first
    /// place that it may have.
    fn greedy(&self, first: usize) -> Vec<usize> {
        let classes = self.classes();
        let mut order: Vec<usize> = Vec::with_capacity(classes);
        let mut free: Vec<usize> = (0..classes).collect();
        for place in 0..classes {
            let fits = |&&class: &&usize| self.kinds[class] == self.kinds[place];
            let gain = |class: usize| {
                let beside = order.iter().enumerate().map(|(i, &other)| {
                    self.structure[(i, place)] * self.measured[(other, class)]
                        + self.structure[(place, i)] * self.measured[(class, other)]
                });
                let own = self.structure[(place, place)] * self.measured[(class, class)];
                if class == first && place == 0 { f64::INFINITY } else { own + beside.sum::<f64>() }
            };
            let best = free.iter().filter(fits).max_by(|&&a, &&b| gain(a).total_cmp(&gain(b)));
            // There are as many classes of a kind as places.
            let class = best.copied().unwrap_or(place);
            free.retain(|&other| other != class);
            order.push(class);
        }
        order
    }

    /// A shuffled order, the same for the same index.
    fn shuffled(&self, index: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.classes()).collect();
        let mut state = index as u64;
        for place in (1..order.len()).rev() {
            // Knuth's linear congruential generator (MMIX), of which the high bits are good.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let other = ((state >> 33) % (place as u64 + 1)) as usize;
            if self.kinds[order[place]] == self.kinds[order[other]] {
                order.swap(place, other);
            }
        }
        order
    }

    /// What each class alone gains in each place.
    fn diagonal_gains(&self) -> DMatrix<f64> {
        let classes = self.classes();
        let gain = |place, class| self.structure[(place, place)] * self.measured[(class, class)];
        DMatrix::from_fn(classes, classes, gain)
    }

    /// Whether exchanging two places leaves the structure as it is.
    fn are_twins(&self, i: usize, j: usize) -> bool {
        let t = &self.structure;
        let alike =
            |k: usize| k == i || k == j || (t[(k, i)] == t[(k, j)] && t[(i, k)] == t[(j, k)]);
        let own = t[(i, i)] == t[(j, j)] && t[(i, j)] == t[(j, i)];
        own && self.kinds[i] == self.kinds[j] && (0..self.classes()).all(alike)
    }
}

/// The entries on and off the diagonal, each sorted.
fn sorted_entries(matrix: &DMatrix<f64>) -> (Vec<f64>, Vec<f64>) {
    let mut on_diagonal: Vec<f64> = matrix.diagonal().iter().copied().collect();
    let entries = matrix.iter().enumerate().filter(|(k, _)| k % (matrix.nrows() + 1) != 0);
    let mut off_diagonal: Vec<f64> = entries.map(|(_, &entry)| entry).collect();
    on_diagonal.sort_unstable_by(f64::total_cmp);
    off_diagonal.sort_unstable_by(f64::total_cmp);
    (on_diagonal, off_diagonal)
}

/// Branch and bound over all orders, place by place.
struct Search<'a> {
    assignment: &'a Assignment<'a>,
    /// The place before that is a twin of a place: its class must be the smaller one.
    twins: Vec<Option<usize>>,
    /// For each depth and place, the sorted entries of the structure beside the places that are still open.
    open_rows: Vec<Vec<Vec<f64>>>,
    order: Vec<usize>,
    /// What the places filled so far gain beside each other.
    gained: f64,
    best: Vec<usize>,
    /// What a better order has to exceed.
    to_exceed: f64,
}

impl<'a> Search<'a> {
    fn new(assignment: &'a Assignment<'a>, best: Vec<usize>, best_value: f64) -> Self {
        let classes = assignment.classes();
        let twin = |j: usize| (0..j).rev().find(|&i| assignment.are_twins(i, j));
        let open_row = |depth: usize, place: usize| {
            let open = (depth..classes).filter(|&other| other != place);
            sorted(open.map(|other| assignment.structure[(place, other)]))
        };
        let rows = |depth| (0..classes).map(|place| open_row(depth, place)).collect();
        Self {
            assignment,
            twins: (0..classes).map(twin).collect(),
            open_rows: (0..=classes).map(rows).collect(),
            order: Vec::with_capacity(classes),
            gained: 0.0,
            best,
            to_exceed: best_value + assignment.negligible,
        }
    }

    /// Fills the places from `depth` on. `gains` is what a class gains in a place beside the places before, and alone.
    fn descend(&mut self, depth: usize, gains: &DMatrix<f64>) {
        if self.gained + self.bound(depth, gains) <= self.to_exceed {
            return;
        }
        if depth == self.assignment.classes() {
            self.to_exceed = self.gained + self.assignment.negligible;
            self.best.clone_from(&self.order);
            return;
        }
        for class in self.candidates(depth) {
            let gain = gains[(depth, class)];
            self.order.push(class);
            self.gained += gain;
            self.descend(depth + 1, &self.gains_beside(depth, class, gains));
            self.gained -= gain;
            self.order.pop();
        }
    }

    /// The classes that may stand in a place.
    fn candidates(&self, place: usize) -> Vec<usize> {
        let kinds = self.assignment.kinds;
        let twin = self.twins[place].map(|twin| self.order[twin]);
        let fits = |&class: &usize| {
            kinds[class] == kinds[place]
                && !self.order.contains(&class)
                && twin.is_none_or(|twin| class > twin)
        };
        (0..kinds.len()).filter(fits).collect()
    }

    /// The gains once `class` stands in `place`.
    fn gains_beside(&self, place: usize, class: usize, gains: &DMatrix<f64>) -> DMatrix<f64> {
        let (t, m) = (&self.assignment.structure, &self.assignment.measured);
        DMatrix::from_fn(gains.nrows(), gains.ncols(), |k, c| {
            gains[(k, c)] + t[(place, k)] * m[(class, c)] + t[(k, place)] * m[(c, class)]
        })
    }

    /// What the open places can gain at most: for each the best class, with the entries beside other open places
    /// sorted. The same sum over classes instead of places is a bound too.
    ///
    /// This is the bound of Gilmore (1962) and Lawler (1963), with a maximum instead of their assignment.
    fn bound(&self, depth: usize, gains: &DMatrix<f64>) -> f64 {
        let classes = self.assignment.classes();
        let free: Vec<usize> = (0..classes).filter(|class| !self.order.contains(class)).collect();
        let mut of_places = vec![f64::NEG_INFINITY; classes - depth];
        let mut sum_of_classes = 0.0;
        for &class in &free {
            let others = free.iter().filter(|&&other| other != class);
            let row = sorted(others.map(|&other| self.assignment.measured[(class, other)]));
            let mut of_class = f64::NEG_INFINITY;
            for (place, of_place) in (depth..).zip(&mut of_places) {
                let open = &self.open_rows[depth][place];
                let beside: f64 = open.iter().zip(&row).map(|(a, b)| a * b).sum();
                let gain = gains[(place, class)] + beside;
                *of_place = of_place.max(gain);
                of_class = of_class.max(gain);
            }
            sum_of_classes += of_class;
        }
        sum_of_classes.min(of_places.iter().sum())
    }
}

fn sorted(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_unstable_by(f64::total_cmp);
    numbers
}

#[cfg(test)]
mod tests;
