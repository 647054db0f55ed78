//! Classes as edges of a complete graph.
//!
//! The graph has r vertices. Features of r dimensions tell its edges, the classes, apart by their vertices, a layer of
//! units, one for each set S of s vertices with the weights 1 on S and −1 elsewhere, fires for the edges inside S alone,
//! and the last layer reads the class from these. So all layers but the last two have rank r instead of
//! K = r(r−1)/2.

use core::f64::consts::LN_10;

use nalgebra::DMatrix;

use crate::numerics::bracketed_root::sign_change;
use crate::problem::regularization::Regularization;

/// The largest r that is tried.
const MOST_VERTICES: usize = 40;
/// Steps in a decade of the size of the hidden outputs.
const STEPS: i32 = 8;
/// Steps to either side of the ridge between which the size is searched for: 24 decades.
pub(super) const MOST_STEPS: i32 = 24 * STEPS;

/// Classes as edges of a complete graph, with units for all sets of s of its r vertices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Graph {
    pub(super) vertices: usize,
    pub(super) unit_size: usize,
}

impl Graph {
    /// Those of at most so many classes.
    pub(super) fn all(classes: usize) -> impl Iterator<Item = Self> {
        let vertices = (4..=MOST_VERTICES).take_while(move |&r| r * (r - 1) / 2 <= classes);
        vertices.flat_map(|vertices| {
            (2..=vertices - 2).map(move |unit_size| Self { vertices, unit_size })
        })
    }

    pub(super) fn classes(self) -> usize {
        self.vertices * (self.vertices - 1) / 2
    }

    /// binom(r, s), the number of units.
    pub(super) fn units(self) -> f64 {
        binomial(self.vertices, self.unit_size)
    }

    /// The widths d₁, …, d_M that one graph needs.
    pub(super) fn widths(self, depth: usize) -> Vec<usize> {
        let mut widths = vec![self.vertices; depth];
        if let Some(last) = widths.last_mut() {
            *last = self.units() as usize;
        }
        widths
    }

    /// How many graphs fit; classes in none of them need a dimension each.
    pub(super) fn most_copies(self, classes: usize, widths: Option<&[usize]>) -> usize {
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
    pub(super) fn unit_eigenvalues(self) -> [f64; 2] {
        let (r, s) = (self.vertices, self.unit_size);
        let off = self.units() - 4.0 * binomial(r - 2, s - 1);
        let beside = self.units() - off;
        [beside + r as f64 * off, beside]
    }

    /// Those of BBᵀ, B (vertices × edges) with 1 where an edge has a vertex.
    pub(super) fn incidence_eigenvalues(self) -> [f64; 2] {
        let r = self.vertices as f64;
        [2.0 * (r - 1.0), r - 2.0]
    }

    /// The eigenvalues of the layers' part before the ReLU: of UᵀU for two layers, where W₁H = UB, else W₁H = B.
    pub(super) fn before(self, depth: usize) -> [f64; 2] {
        if depth == 2 { self.unit_eigenvalues() } else { [1.0; 2] }
    }

    /// The nuclear norm of W₁H.
    pub(super) fn nuclear_norm(self, depth: usize) -> f64 {
        let [one, beside] = self.before(depth);
        let [incidence, of_others] = self.incidence_eigenvalues();
        (one * incidence).max(0.0).sqrt()
            + (self.vertices as f64 - 1.0) * (beside * of_others).sqrt()
    }

    /// The product of λ‖·‖² over H and all layers but the last, as a logarithm.
    pub(super) fn log_product(
        self,
        regularization: &Regularization,
        samples_per_class: f64,
    ) -> f64 {
        let depth = regularization.depth();
        let decays = &regularization.weight_decays()[..depth - 1];
        let decays: f64 = decays.iter().map(|decay| decay.ln()).sum();
        let r = self.vertices as f64;
        let between = match depth {
            2 => 0.0,
            _ => (depth as f64 - 3.0) * r.ln() + (r * self.units()).ln(),
        };
        decays
            + (samples_per_class * regularization.feature_decay()).ln()
            + 2.0 * self.nuclear_norm(depth).ln()
            + between
    }

    /// The eigenspaces of matrices that treat edges by what they share: multiplicity, and the eigenvalues of sharing
    /// one vertex and of sharing none.
    pub(super) fn edge_spaces(self) -> [(f64, f64, f64); 3] {
        let r = self.vertices as f64;
        [
            (1.0, 2.0 * (r - 2.0), (r - 2.0) * (r - 3.0) / 2.0),
            (r - 1.0, r - 4.0, 3.0 - r),
            (r * (r - 3.0) / 2.0, -2.0, 1.0),
        ]
    }

    /// The eigenvalues of FᵀF in these spaces, F (units × edges) the outputs after the ReLU: 2 where a unit's set
    /// has both vertices.
    pub(super) fn hidden_eigenvalues(self) -> [f64; 3] {
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
    pub(super) fn best_size(
        self,
        regularization: &Regularization,
        classes: usize,
        samples: f64,
    ) -> (f64, f64) {
        let depth = regularization.depth() as f64;
        let product = self.log_product(regularization, samples);
        let ridge = ridge(regularization, classes);
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
    pub(super) fn matrices(
        self,
        regularization: &Regularization,
        classes: usize,
        samples: f64,
        log_size: f64,
    ) -> Vec<DMatrix<f64>> {
        let depth = regularization.depth();
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
        let energy = ((log_size + self.log_product(regularization, samples)) / depth as f64).exp();
        let decays = core::iter::once(samples * regularization.feature_decay())
            .chain(regularization.weight_decays().iter().copied());
        for (factor, decay) in factors.iter_mut().zip(decays) {
            *factor *= (energy / decay).sqrt() / factor.norm();
        }
        let hidden = (units * incidence).map(|entry| entry.max(0.0));
        factors.push(self.readout(&hidden, ridge(regularization, classes), log_size));
        factors
    }

    /// The ridge regression c(c² FᵀF + μ)⁻¹Fᵀ of the classes on cF.
    pub(super) fn readout(self, hidden: &DMatrix<f64>, ridge: f64, log_size: f64) -> DMatrix<f64> {
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
    pub(super) fn invariant(self, one: f64, beside: f64) -> DMatrix<f64> {
        let r = self.vertices;
        let same = (one - beside) / r as f64;
        DMatrix::from_fn(r, r, |i, j| same + if i == j { beside } else { 0.0 })
    }

    pub(super) fn edges(self) -> Vec<(usize, usize)> {
        (0..self.vertices).flat_map(|a| (0..a).map(move |b| (a, b))).collect()
    }

    /// B, vertices × edges.
    pub(super) fn incidence(self) -> DMatrix<f64> {
        let edges = self.edges();
        DMatrix::from_fn(self.vertices, edges.len(), |vertex, edge| {
            f64::from(u8::from(edges[edge].0 == vertex || edges[edge].1 == vertex))
        })
    }

    /// U, units × vertices.
    pub(super) fn unit_matrix(self) -> DMatrix<f64> {
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
pub(super) fn log_size(ridge: f64, step: i32) -> f64 {
    ridge.ln() + f64::from(step) * (LN_10 / f64::from(STEPS))
}

/// Where a function rises through zero between neighboring ones of the rising places.
pub(super) fn rising_zeros(places: &[f64], function: impl Fn(f64) -> f64 + Copy) -> Vec<f64> {
    let points: Vec<(f64, f64)> = places.iter().map(|&place| (place, function(place))).collect();
    let pairs = points.iter().zip(points.iter().skip(1));
    let rising = pairs.filter(|(low, high)| low.1 < 0.0 && high.1 >= 0.0);
    rising.map(|(low, high)| sign_change(low.0, high.0, function)).collect()
}

/// μ = Kλ_M.
pub(super) fn ridge(regularization: &Regularization, classes: usize) -> f64 {
    regularization.last_decay() * classes as f64
}

/// binom(n, k), rounded where it has more than 53 bits.
pub(super) fn binomial(n: usize, k: usize) -> f64 {
    (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product::<f64>().round()
}
