//! An explicit point of the model with ReLUs that is below the linear minimum, where there is one.
//!
//! Classes are the edges of a complete graph with r vertices. Features of r dimensions tell them apart by their
//! vertices, a layer of units, one for each set S of s vertices with the weights 1 on S and −1 elsewhere, fires for
//! the edges inside S alone, and the last layer reads the class from these. So all layers but the last two have rank r
//! instead of K = r(r−1)/2.

use core::f64::consts::LN_10;

use nalgebra::DMatrix;

use crate::error::Result;
use crate::models::squared::minimum::GlobalMinimum;
use crate::numerics::bracketed_root::sign_change;
use crate::numerics::linalg::check_memory;
use crate::prediction::explicit::{Copies, ExplicitPoint};
use crate::prediction::{Prediction, Source, Verdict};
use crate::problem::counts::ClassCounts;
use crate::problem::head::LinearHead;
use crate::problem::regularization::{Bias, Regularization};

/// The largest r that is tried.
const MOST_VERTICES: usize = 40;
/// Differences of losses below this share may be rounding errors.
const ROUNDING: f64 = 1e-12;
/// Steps in a decade of the size of the hidden outputs.
const STEPS: i32 = 8;
/// Steps to either side of the ridge between which the size is searched for: 24 decades.
const MOST_STEPS: i32 = 24 * STEPS;

/// A point of the model with ReLUs between the layers whose loss is below that of the linear model.
///
/// It minimizes nothing, but its matrices are there, so that collapse as in the linear model
/// ([`GlobalMinimum::nonnegative_minimizer`]) is proved not to be optimal.
///
/// Source: the graphs of Súkeník, Mondelli & Lampert, *Neural collapse versus low-rank bias* (NeurIPS 2024,
/// arXiv 2405.14468), with one layer of units instead of their construction.
#[derive(Debug, Clone, PartialEq)]
pub struct ReluCompetitor {
    graph: Graph,
    /// How many graphs with classes of their own.
    copies: usize,
    counts: ClassCounts,
    penalties: Regularization,
    widths: Option<Vec<usize>>,
    /// ln c², c the size of the hidden outputs.
    log_size: f64,
    /// t of the classes in no graph.
    energy: f64,
    loss: f64,
    linear_loss: f64,
}

impl GlobalMinimum {
    /// A point of the model with ReLUs between the layers,
    ///
    /// ```math
    /// 1/(2N) ‖W_M σ(W_(M−1) ⋯ σ(W₁ H)) − Y‖² + Σₘ λₘ/2 ‖Wₘ‖² + λ_H/2 ‖H‖²,
    /// ```
    ///
    /// whose loss is below the linear minimum f*, if one is known: for balanced classes without a bias, M ≥ 2 and
    /// widths with room for it. As λ → 0 with equal decays, K = 6 classes have 0.963 f* at M = 4, K = 10 have 0.923 f*
    /// at M = 3, K = 15 have 0.864 f* at M = 3 and 0.9875 f* at M = 2.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, Prediction, Regularization, Ufm};
    ///
    /// let ufm = Ufm::new(ClassCounts::balanced(10, 50)?, Regularization::new(&[1e-4; 3], 1e-4)?)?;
    /// let minimum = ufm.global_minimum()?;
    /// let competitor = minimum.relu_competitor().unwrap();
    /// assert!(competitor.loss() < 0.94 * minimum.loss());
    /// assert_eq!((competitor.vertices(), competitor.unit_size()), (5, 3));
    /// assert_eq!(minimum.relu_verdict().keyword(), "proved_not_global");
    /// let network = competitor.explicit()?;
    /// assert_eq!(network.head().depth(), 3);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// Source: the project's `docs/other-models.md`.
    #[must_use]
    pub fn relu_competitor(&self) -> Option<ReluCompetitor> {
        let problem = self.problem();
        let counts = problem.counts().filter(|counts| counts.is_balanced())?;
        let penalties = problem.regularization();
        let classes = counts.classes();
        let narrow = problem.rank_limit() < classes;
        if penalties.bias() != Bias::None || penalties.depth() < 2 || narrow {
            return None;
        }
        let samples_per_class = counts.count(0)? as f64;
        let linear_loss = self.loss();
        let share = linear_loss / classes as f64;
        let mut best: Option<ReluCompetitor> = None;
        for graph in Graph::all(classes) {
            let (log_size, value) = graph.best_size(penalties, classes, samples_per_class);
            let gain = share * graph.classes() as f64 - value;
            let copies = graph.most_copies(classes, problem.widths());
            let loss = linear_loss - gain * copies as f64;
            let limit = best.as_ref().map_or(linear_loss * (1.0 - ROUNDING), |best| best.loss);
            if loss < limit {
                best = Some(ReluCompetitor {
                    graph,
                    copies,
                    counts: counts.clone(),
                    penalties: penalties.clone(),
                    widths: problem.widths().map(<[usize]>::to_vec),
                    log_size,
                    energy: self.direction(0)?.energy(),
                    loss,
                    linear_loss,
                });
            }
        }
        best
    }

    /// How far the linear minimum f*, which [`nonnegative_minimizer`](Self::nonnegative_minimizer) attains with ReLUs,
    /// is proved to be the minimum of the model with ReLUs between the layers.
    ///
    /// For one layer, which has no ReLU between, it is. Where [`relu_competitor`](Self::relu_competitor) has a
    /// point below it, it is not. Else it is the minimum for two layers under the assumption of Tirer & Bruna,
    /// and best known for more.
    #[must_use]
    pub fn relu_verdict(&self) -> Verdict {
        const OWN: &str = "docs/other-models.md of this project";
        if self.relu_competitor().is_some() {
            return Verdict::Refuted(Source::new("features of a graph have a lower loss", OWN));
        }
        match self.problem().depth() {
            1 => Verdict::Proved(Source::new("without a ReLU between layers it is linear", OWN)),
            2 => Verdict::Assuming {
                assumption: "‖σ(W₁H)‖_* = ‖W₁H‖_* at every minimum".into(),
                source: Source::new("it is the linear minimum", "Tirer & Bruna, ICML 2022"),
            },
            _ => Verdict::BestKnown { found_by: "the minimum of the linear model".into() },
        }
    }
}

impl ReluCompetitor {
    /// Its loss.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.loss
    }

    /// The minimum f* of the linear model, which is larger.
    #[must_use]
    pub fn linear_loss(&self) -> f64 {
        self.linear_loss
    }

    /// Number r of vertices of each graph.
    #[must_use]
    pub fn vertices(&self) -> usize {
        self.graph.vertices
    }

    /// Number s of vertices in the set of each unit.
    #[must_use]
    pub fn unit_size(&self) -> usize {
        self.graph.unit_size
    }

    /// How many graphs of r(r−1)/2 classes there are; classes beyond them have an axis each.
    #[must_use]
    pub fn graphs(&self) -> usize {
        self.copies
    }

    /// The widths d₁, …, d_M: those of the problem, or as many as are needed.
    #[must_use]
    pub fn widths(&self) -> Vec<usize> {
        let rest = self.counts.classes() - self.copies * self.graph.classes();
        let depth = self.penalties.depth();
        let needed = self.graph.widths(depth).into_iter().map(|width| width * self.copies + rest);
        self.widths.clone().unwrap_or_else(|| needed.collect())
    }

    /// The matrices W₁, …, W_M and H that have this loss.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) if they do not fit into memory.
    pub fn explicit(&self) -> Result<ExplicitPoint> {
        let (penalties, classes) = (&self.penalties, self.counts.classes());
        let samples_per_class = self.counts.largest() as f64;
        let widths = self.widths();
        let widest = widths.iter().copied().fold(classes, usize::max);
        check_memory("widths", widest as f64, widest.checked_mul(widest))?;
        let of_graph = self.graph.matrices(penalties, classes, samples_per_class, self.log_size);
        let axes = (0..=penalties.depth()).map(|factor| match factor {
            0 => (self.energy / (penalties.feature_decay() * samples_per_class)).sqrt(),
            layer => (self.energy / penalties.weight_decays()[layer - 1]).sqrt(),
        });
        // Factor 0 is the matrix of the class means.
        let inputs = core::iter::once(classes).chain(widths.iter().copied());
        let outputs = widths.iter().copied().chain([classes]);
        let all = of_graph.iter().zip(axes).zip(outputs.zip(inputs));
        let factors = all.map(|((block, axis), shape)| self.diagonal(block, axis, shape));
        let mut layers: Vec<_> = factors.collect();
        let means = layers.remove(0);
        let head = LinearHead::new(layers, None)?;
        Ok(ExplicitPoint::new(head, means, Copies::Classes(self.counts.clone())))
    }

    /// The block of every graph, and one entry for each other class, on a diagonal.
    fn diagonal(&self, block: &DMatrix<f64>, axis: f64, shape: (usize, usize)) -> DMatrix<f64> {
        let mut matrix = DMatrix::zeros(shape.0, shape.1);
        for copy in 0..self.copies {
            let corner = (copy * block.nrows(), copy * block.ncols());
            matrix.view_mut(corner, block.shape()).copy_from(block);
        }
        let corner = (self.copies * block.nrows(), self.copies * block.ncols());
        for class in 0..self.counts.classes() - self.copies * self.graph.classes() {
            matrix[(corner.0 + class, corner.1 + class)] = axis;
        }
        matrix
    }
}

/// Classes as edges of a complete graph, with units for all sets of s of its r vertices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Graph {
    vertices: usize,
    unit_size: usize,
}

impl Graph {
    /// Those of at most so many classes.
    fn all(classes: usize) -> impl Iterator<Item = Self> {
        let vertices = (4..=MOST_VERTICES).take_while(move |&r| r * (r - 1) / 2 <= classes);
        vertices.flat_map(|vertices| {
            (2..=vertices - 2).map(move |unit_size| Self { vertices, unit_size })
        })
    }

    fn classes(self) -> usize {
        self.vertices * (self.vertices - 1) / 2
    }

    /// binom(r, s), the number of units.
    fn units(self) -> f64 {
        binomial(self.vertices, self.unit_size)
    }

    /// The widths d₁, …, d_M that one graph needs.
    fn widths(self, depth: usize) -> Vec<usize> {
        let mut widths = vec![self.vertices; depth];
        if let Some(last) = widths.last_mut() {
            *last = self.units() as usize;
        }
        widths
    }

    /// How many graphs fit; classes in none of them need a dimension each.
    fn most_copies(self, classes: usize, widths: Option<&[usize]>) -> usize {
        let all = classes / self.classes();
        let Some(widths) = widths else { return all };
        let fits = |copies: usize| {
            let rest = classes - copies * self.classes();
            let needed = self.widths(widths.len());
            needed.iter().zip(widths).all(|(need, &width)| need * copies + rest <= width)
        };
        (1..=all).rev().find(|&copies| fits(copies)).unwrap_or(0)
    }

    /// The eigenvalues of U ᵀU on 1 and beside it, U (units × vertices) with the entries 1 and −1.
    fn unit_eigenvalues(self) -> [f64; 2] {
        let (r, s) = (self.vertices, self.unit_size);
        let off = self.units() - 4.0 * binomial(r - 2, s - 1);
        let beside = self.units() - off;
        [beside + r as f64 * off, beside]
    }

    /// Those of BBᵀ, B (vertices × edges) with 1 where an edge has a vertex.
    fn incidence_eigenvalues(self) -> [f64; 2] {
        let r = self.vertices as f64;
        [2.0 * (r - 1.0), r - 2.0]
    }

    /// The eigenvalues of the layers' part before the ReLU: of UᵀU for two layers, where W₁H = UB, else W₁H = B.
    fn before(self, depth: usize) -> [f64; 2] {
        if depth == 2 { self.unit_eigenvalues() } else { [1.0; 2] }
    }

    /// The nuclear norm of W₁H.
    fn nuclear_norm(self, depth: usize) -> f64 {
        let [one, beside] = self.before(depth);
        let [incidence, of_others] = self.incidence_eigenvalues();
        (one * incidence).max(0.0).sqrt()
            + (self.vertices as f64 - 1.0) * (beside * of_others).sqrt()
    }

    /// The product of λ‖·‖² over H and all layers but the last, as a logarithm.
    fn log_product(self, penalties: &Regularization, samples_per_class: f64) -> f64 {
        let depth = penalties.depth();
        let decays = &penalties.weight_decays()[..depth - 1];
        let decays: f64 = decays.iter().map(|decay| decay.ln()).sum();
        let r = self.vertices as f64;
        let between = match depth {
            2 => 0.0,
            _ => (depth as f64 - 3.0) * r.ln() + (r * self.units()).ln(),
        };
        decays
            + (samples_per_class * penalties.feature_decay()).ln()
            + 2.0 * self.nuclear_norm(depth).ln()
            + between
    }

    /// The eigenspaces of matrices that treat edges by what they share: multiplicity, and the eigenvalues of sharing
    /// one vertex and of sharing none.
    fn edge_spaces(self) -> [(f64, f64, f64); 3] {
        let r = self.vertices as f64;
        [
            (1.0, 2.0 * (r - 2.0), (r - 2.0) * (r - 3.0) / 2.0),
            (r - 1.0, r - 4.0, 3.0 - r),
            (r * (r - 3.0) / 2.0, -2.0, 1.0),
        ]
    }

    /// The eigenvalues of FᵀF in these spaces, F (units × edges) the outputs after the ReLU: 2 where a unit's set
    /// has both vertices.
    fn hidden_eigenvalues(self) -> [f64; 3] {
        let sets = |fixed: usize| match self.unit_size.checked_sub(fixed) {
            Some(free) => binomial(self.vertices - fixed, free),
            None => 0.0,
        };
        let value =
            |(_, one, none): (f64, f64, f64)| 4.0 * (sets(2) + sets(3) * one + sets(4) * none);
        self.edge_spaces().map(|space| value(space).max(0.0))
    }

    /// The best ln c² for hidden outputs cF, and the loss of all classes of the graph: with the last layer a ridge
    /// regression, M/2 (c² Π λ‖·‖²)^(1/M) + 1/(2K) Σ μ/(c² ζ + μ), μ = Kλ_M.
    fn best_size(self, penalties: &Regularization, classes: usize, samples: f64) -> (f64, f64) {
        let depth = penalties.depth() as f64;
        let product = self.log_product(penalties, samples);
        let ridge = ridge(penalties, classes);
        let spaces = self.edge_spaces().map(|space| space.0);
        let values = self.hidden_eigenvalues();
        let energy = |log_size: f64| ((log_size + product) / depth).exp();
        let left = |log_size: f64, value: f64| ridge / (log_size.exp() * value + ridge);
        let loss = |log_size: f64| {
            let shares = values.iter().zip(spaces).map(|(&value, m)| m * left(log_size, value));
            depth / 2.0 * energy(log_size) + shares.sum::<f64>() / (2.0 * classes as f64)
        };
        let slope = |log_size: f64| {
            let falls = values.iter().zip(spaces).map(|(&value, m)| {
                let left = left(log_size, value);
                m * left * (1.0 - left)
            });
            energy(log_size) / 2.0 - falls.sum::<f64>() / (2.0 * classes as f64)
        };
        // The lowest of all valleys; the first size, next to no outputs at all, and the last one may be lower still.
        let sizes: Vec<f64> =
            (-MOST_STEPS..=MOST_STEPS).map(|step| log_size(ridge, step)).collect();
        let valleys = rising_zeros(&sizes, slope).into_iter().chain([log_size(ridge, MOST_STEPS)]);
        let first = log_size(ridge, -MOST_STEPS);
        let lower = |best: (f64, f64), other: f64| match loss(other) {
            found if found < best.1 => (other, found),
            _ => best,
        };
        valleys.fold((first, loss(first)), lower)
    }

    /// The class means and the layers for one graph.
    fn matrices(
        self,
        penalties: &Regularization,
        classes: usize,
        samples: f64,
        log_size: f64,
    ) -> Vec<DMatrix<f64>> {
        let depth = penalties.depth();
        let (units, incidence) = (self.unit_matrix(), self.incidence());
        // W₁ = UA and H = A⁺B with equal norms, A = (BBᵀ/UᵀU)^¼; U = I for more layers.
        let balance = |place: usize| match self.before(depth)[place] {
            value if value > 0.0 => (self.incidence_eigenvalues()[place] / value).powf(0.25),
            _ => 0.0,
        };
        let (one, beside) = (balance(0), balance(1));
        let first = self.invariant(one, beside);
        let inverse = |value: f64| if value > 0.0 { value.recip() } else { 0.0 };
        let means = self.invariant(inverse(one), inverse(beside)) * &incidence;
        let mut factors = vec![means, if depth == 2 { &units * &first } else { first }];
        for _ in 3..depth {
            factors.push(DMatrix::identity(self.vertices, self.vertices));
        }
        if depth > 2 {
            factors.push(units.clone());
        }
        let energy = ((log_size + self.log_product(penalties, samples)) / depth as f64).exp();
        let decays = core::iter::once(samples * penalties.feature_decay())
            .chain(penalties.weight_decays().iter().copied());
        for (factor, decay) in factors.iter_mut().zip(decays) {
            *factor *= (energy / decay).sqrt() / factor.norm();
        }
        let hidden = (units * incidence).map(|entry| entry.max(0.0));
        factors.push(self.readout(&hidden, ridge(penalties, classes), log_size));
        factors
    }

    /// The ridge regression c(c² FᵀF + μ)⁻¹Fᵀ of the classes on cF.
    fn readout(self, hidden: &DMatrix<f64>, ridge: f64, log_size: f64) -> DMatrix<f64> {
        let (size, classes) = ((log_size / 2.0).exp(), self.classes() as f64);
        let spaces = self.edge_spaces();
        let values = self.hidden_eigenvalues().map(|value| (size * size * value + ridge).recip());
        // The entry for two edges that share two, one or no vertex.
        let [(_, some, none), ..] = spaces;
        let entry = |part: fn((f64, f64, f64)) -> f64, number: f64| {
            let terms =
                spaces.iter().zip(values).map(|(&space, value)| space.0 * value * part(space));
            terms.sum::<f64>() / number / classes
        };
        let entries =
            [entry(|space| space.2, none), entry(|space| space.1, some), entry(|_| 1.0, 1.0)];
        let edges = self.edges();
        let inverse = DMatrix::from_fn(edges.len(), edges.len(), |i, j| {
            let ((a, b), (c, d)) = (edges[i], edges[j]);
            entries[[a, b].iter().filter(|vertex| [c, d].contains(vertex)).count()]
        });
        inverse * hidden.transpose() * size
    }

    /// The matrix with these eigenvalues on 1 and beside it.
    fn invariant(self, one: f64, beside: f64) -> DMatrix<f64> {
        let r = self.vertices;
        let same = (one - beside) / r as f64;
        DMatrix::from_fn(r, r, |i, j| same + if i == j { beside } else { 0.0 })
    }

    fn edges(self) -> Vec<(usize, usize)> {
        (0..self.vertices).flat_map(|a| (0..a).map(move |b| (a, b))).collect()
    }

    /// B, vertices × edges.
    fn incidence(self) -> DMatrix<f64> {
        let edges = self.edges();
        DMatrix::from_fn(self.vertices, edges.len(), |vertex, edge| {
            f64::from(u8::from(edges[edge].0 == vertex || edges[edge].1 == vertex))
        })
    }

    /// U, units × vertices.
    fn unit_matrix(self) -> DMatrix<f64> {
        let mut sets: Vec<Vec<bool>> = vec![Vec::new()];
        for place in 0..self.vertices {
            let left = self.vertices - place;
            let extended = sets.iter().flat_map(|set| {
                let chosen = set.iter().filter(|&&inside| inside).count();
                let missing = self.unit_size - chosen;
                let with = (missing > 0).then_some(true);
                let without = (missing < left).then_some(false);
                with.into_iter().chain(without).map(|inside| [&set[..], &[inside]].concat())
            });
            sets = extended.collect();
        }
        DMatrix::from_fn(
            sets.len(),
            self.vertices,
            |unit, vertex| {
                if sets[unit][vertex] { 1.0 } else { -1.0 }
            },
        )
    }
}

/// The ln c² between which valleys are searched for.
fn log_size(ridge: f64, step: i32) -> f64 {
    ridge.ln() + f64::from(step) * (LN_10 / f64::from(STEPS))
}

/// Where a function rises through zero between neighboring ones of the rising places.
fn rising_zeros(places: &[f64], function: impl Fn(f64) -> f64 + Copy) -> Vec<f64> {
    let points: Vec<(f64, f64)> = places.iter().map(|&place| (place, function(place))).collect();
    let pairs = points.iter().zip(points.iter().skip(1));
    let rising = pairs.filter(|(low, high)| low.1 < 0.0 && high.1 >= 0.0);
    rising.map(|(low, high)| sign_change(low.0, high.0, function)).collect()
}

/// μ = Kλ_M.
fn ridge(penalties: &Regularization, classes: usize) -> f64 {
    penalties.last_decay() * classes as f64
}

/// binom(n, k), rounded where it has more than 53 bits.
fn binomial(n: usize, k: usize) -> f64 {
    (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product::<f64>().round()
}

#[cfg(test)]
mod tests;
