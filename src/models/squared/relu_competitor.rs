//! An explicit point of the model with ReLUs that is below the linear minimum, where there is one.
//!
//! Its classes are the edges of complete graphs ([`Graph`]), whose vertices are fewer.

mod graph;

use nalgebra::DMatrix;

use crate::error::Result;
use crate::models::squared::minimum::GlobalMinimum;
use crate::models::squared::relu_competitor::graph::Graph;
use crate::models::squared::ufm::Ufm;
use crate::numerics::linalg::check_memory;
use crate::prediction::explicit::{Copies, ExplicitPoint};
use crate::prediction::{Prediction, Source, Verdict};
use crate::problem::head::LinearHead;
use crate::problem::regularization::Bias;

/// Differences of losses below this share may be rounding errors.
const ROUNDING: f64 = 1e-12;

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
    /// With classes.
    problem: Ufm,
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
        let regularization = problem.regularization();
        let classes = counts.classes();
        let narrow = problem.rank_limit() < classes;
        if regularization.bias() != Bias::None || regularization.depth() < 2 || narrow {
            return None;
        }
        let samples_per_class = counts.count(0)? as f64;
        let linear_loss = self.loss();
        let share = linear_loss / classes as f64;
        let mut best: Option<ReluCompetitor> = None;
        for graph in Graph::all(classes) {
            let (log_size, value) = graph.best_size(regularization, classes, samples_per_class);
            let gain = share * graph.classes() as f64 - value;
            let copies = graph.most_copies(classes, problem.widths());
            let loss = linear_loss - gain * copies as f64;
            let limit = best.as_ref().map_or(linear_loss * (1.0 - ROUNDING), |best| best.loss);
            if loss < limit {
                best = Some(ReluCompetitor {
                    graph,
                    copies,
                    problem: problem.clone(),
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
    /// The problem, here with ReLUs between the layers.
    #[must_use]
    pub fn problem(&self) -> &Ufm {
        &self.problem
    }

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
        let rest = self.problem.classes() - self.copies * self.graph.classes();
        let depth = self.problem.depth();
        let needed = self.graph.widths(depth).into_iter().map(|width| width * self.copies + rest);
        self.problem.widths().map_or_else(|| needed.collect(), <[usize]>::to_vec)
    }

    /// The matrices W₁, …, W_M and H that have this loss.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) if they do not fit into memory.
    pub fn explicit(&self) -> Result<ExplicitPoint> {
        let (regularization, classes) = (self.problem.regularization(), self.problem.classes());
        let samples_per_class = self.problem.samples() as f64 / classes as f64;
        let widths = self.widths();
        let widest = widths.iter().copied().fold(classes, usize::max);
        check_memory("widths", widest as f64, widest.checked_mul(widest))?;
        let of_graph =
            self.graph.matrices(regularization, classes, samples_per_class, self.log_size);
        let axes = (0..=regularization.depth()).map(|factor| match factor {
            0 => (self.energy / (regularization.feature_decay() * samples_per_class)).sqrt(),
            layer => (self.energy / regularization.weight_decays()[layer - 1]).sqrt(),
        });
        // Factor 0 is the matrix of the class means.
        let inputs = core::iter::once(classes).chain(widths.iter().copied());
        let outputs = widths.iter().copied().chain([classes]);
        let all = of_graph.iter().zip(axes).zip(outputs.zip(inputs));
        let factors = all.map(|((block, axis), shape)| self.diagonal(block, axis, shape));
        let mut layers: Vec<_> = factors.collect();
        let means = layers.remove(0);
        let head = LinearHead::new(layers, None)?;
        let copies = self.problem.counts().cloned().map_or(Copies::Samples, Copies::Classes);
        Ok(ExplicitPoint::new(head, means, copies))
    }

    /// The block of every graph, and one entry for each other class, on a diagonal.
    fn diagonal(&self, block: &DMatrix<f64>, axis: f64, shape: (usize, usize)) -> DMatrix<f64> {
        let mut matrix = DMatrix::zeros(shape.0, shape.1);
        for copy in 0..self.copies {
            let corner = (copy * block.nrows(), copy * block.ncols());
            matrix.view_mut(corner, block.shape()).copy_from(block);
        }
        let corner = (self.copies * block.nrows(), self.copies * block.ncols());
        for class in 0..self.problem.classes() - self.copies * self.graph.classes() {
            matrix[(corner.0 + class, corner.1 + class)] = axis;
        }
        matrix
    }
}

#[cfg(test)]
mod tests;
