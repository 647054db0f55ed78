//! The best sizes of every structure, for a given strength of the penalties.

use core::cmp::Reverse;

use crate::models::cross_entropy::block::{Block, BlockShape};
use crate::models::cross_entropy::catalog::{partition_blocks, structures};
use crate::models::cross_entropy::forms::{direct_sum, product};
use crate::models::cross_entropy::reduced::{Penalty, Reduced};
use crate::models::cross_entropy::structure::LogitStructure;
use crate::problem::regularization::Bias;

/// The most classes for which the best partition into blocks is searched.
const MOST_PARTITIONED: usize = 10_000;

/// Relative differences of losses below this may be rounding errors.
const ROUNDING: f64 = 1e-12;

/// A structure with its best sizes and F.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) structure: LogitStructure,
    /// The sizes, and a bias for each kind of classes if there are several.
    pub(crate) sizes: Vec<f64>,
    pub(crate) value: f64,
}

impl Candidate {
    /// Whether the losses agree up to rounding errors: structures overlap, as an antiprism of six classes
    /// may be an octahedron, and two blocks may have one size.
    fn is_same_point(&self, other: &Self) -> bool {
        (self.value - other.value).abs() <= ROUNDING * self.value
    }
}

impl LogitStructure {
    /// The best sizes of this structure, or `None` if it has no local minimum.
    pub(crate) fn minimize(&self, classes: usize, penalty: &Penalty) -> Option<Candidate> {
        let parts = self.parts(classes, penalty.bias);
        self.minimize_parts(&parts, classes, penalty)
    }

    /// The functions whose sum is F: one for each factor of a product, and one for everything else.
    fn parts(&self, classes: usize, bias: Bias) -> Vec<Reduced> {
        match self {
            Self::Product(factors) => {
                factors.iter().map(|&factor| product(&[factor], classes)).collect()
            }
            _ => self.reduced(classes, bias).into_iter().collect(),
        }
    }

    fn minimize_parts(
        &self,
        parts: &[Reduced],
        classes: usize,
        penalty: &Penalty,
    ) -> Option<Candidate> {
        if parts.is_empty() {
            return None;
        }
        let (mut sizes, mut value) = (Vec::new(), 0.0);
        for part in parts {
            let (size, loss) = part.minimize(penalty)?;
            sizes.extend(size);
            value += loss;
        }
        self.complete_biases(classes, &mut sizes, penalty.bias);
        Some(Candidate { structure: self.clone(), sizes, value })
    }

    /// Adds the biases that were left out of θ, and shifts them to the mean 0 where nothing else
    /// decides.
    fn complete_biases(&self, classes: usize, sizes: &mut Vec<f64>, bias: Bias) {
        let kinds = self.kinds(classes);
        if kinds.len() < 2 {
            return;
        }
        let first = self.size_count();
        sizes.resize(first + kinds.len(), 0.0);
        if bias == Bias::Unregularized {
            let shares = kinds.iter().map(|&count| count as f64 / classes as f64);
            let mean: f64 = shares.zip(&sizes[first..]).map(|(share, b)| share * b).sum();
            sizes[first..].iter_mut().for_each(|b| *b -= mean);
        }
    }
}

/// Every competitor of the simplex ETF, made ready once for all strengths.
#[derive(Debug, Clone)]
pub(crate) struct Competitors {
    classes: usize,
    structures: Vec<(LogitStructure, Vec<Reduced>)>,
    /// The blocks of a partition, as parts of K classes.
    blocks: Vec<(Block, Reduced)>,
}

impl Competitors {
    pub(crate) fn new(classes: usize, bias: Bias) -> Self {
        let structures = structures(classes, bias).into_iter();
        let structures = structures.map(|structure| {
            let parts = structure.parts(classes, bias);
            (structure, parts)
        });
        let blocks =
            if classes <= MOST_PARTITIONED { partition_blocks(classes) } else { Vec::new() };
        // Without a bias the blocks of a direct sum do not see each other.
        let blocks = blocks.into_iter().map(|b| (b, direct_sum(&[b], classes, Bias::None)));
        Self { classes, structures: structures.collect(), blocks: blocks.collect() }
    }

    /// Those that have a local minimum, with their best sizes.
    pub(crate) fn candidates(&self, penalty: &Penalty) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = Vec::new();
        let mut add = |new: Option<Candidate>| {
            found.extend(new.filter(|new| !found.iter().any(|old| old.is_same_point(new))));
        };
        for (structure, parts) in &self.structures {
            add(structure.minimize_parts(parts, self.classes, penalty));
        }
        let best_sum = self.best_direct_sum(penalty);
        let new_sum = best_sum.filter(|sum| !self.structures.iter().any(|(s, _)| s == sum));
        add(new_sum.and_then(|sum| sum.minimize(self.classes, penalty)));
        found
    }

    /// The best direct sum without a bias, if it is not one simplex or zero.
    ///
    /// Without a bias the loss is a sum over the blocks, as a block sees of the others their number of
    /// classes only. So the best partition of K follows from the best partitions of smaller numbers.
    fn best_direct_sum(&self, penalty: &Penalty) -> Option<LogitStructure> {
        if self.blocks.is_empty() {
            return None;
        }
        let without_bias = Penalty { bias: Bias::None, ..*penalty };
        let origin = (Block::new(BlockShape::Origin, 1, 1), origin_cost(self.classes));
        let costs = self
            .blocks
            .iter()
            .filter_map(|(block, reduced)| Some((*block, reduced.minimize(&without_bias)?.1)));
        let costs: Vec<(Block, f64)> = core::iter::once(origin).chain(costs).collect();
        let mut best: Vec<(f64, Option<Block>)> = vec![(0.0, None)];
        for total in 1..=self.classes {
            let options = costs.iter().filter(|(block, _)| block.classes <= total);
            let options =
                options.map(|(block, cost)| (best[total - block.classes].0 + cost, Some(*block)));
            // Four pairs are a circulant of eight, too: of equal sums the one of the first blocks counts.
            let choice =
                options.reduce(
                    |best, next| {
                        if next.0 < best.0 * (1.0 - ROUNDING) { next } else { best }
                    },
                )?;
            best.push(choice);
        }
        let mut blocks: Vec<Block> = Vec::new();
        let mut rest = self.classes;
        while let Some(block) = best.get(rest)?.1 {
            rest -= block.classes;
            match blocks.iter_mut().find(|b| (b.shape, b.classes) == (block.shape, block.classes)) {
                Some(same) => same.copies += 1,
                None => blocks.push(block),
            }
        }
        blocks.sort_by_key(|block| Reverse((block.classes, block.copies)));
        let trivial = matches!(blocks[..], [Block { shape, copies, .. }]
            if shape == BlockShape::Origin || (shape == BlockShape::Simplex && copies == 1));
        (!trivial).then_some(LogitStructure::DirectSum(blocks))
    }
}

/// What one class at the origin adds to F.
fn origin_cost(classes: usize) -> f64 {
    (classes as f64).ln() / classes as f64
}
