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
        let origin = (Block::new(BlockShape::Origin, 1, 1), origin_cost(self.classes));
        let costs = self
            .blocks
            .iter()
            .filter_map(|(block, reduced)| Some((*block, reduced.minimize(penalty)?.1)));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn penalty(depth: usize, strength: f64, bias: Bias) -> Penalty {
        Penalty { depth, strength, bias, smoothing: 0.0 }
    }

    #[test]
    fn points_are_the_same_up_to_rounding_errors() {
        let candidate = |value: f64| Candidate {
            structure: LogitStructure::Collapsed,
            sizes: Vec::new(),
            value,
        };
        for unit in [1e-100, 1.0, 1e3] {
            let is_same = |ratio: f64| candidate(unit).is_same_point(&candidate(unit * ratio));
            assert!(is_same(1.0) && is_same(1.0 + 9e-13) && is_same(1.0 - 9e-13), "{unit:e}");
            assert!(!is_same(1.0 + 2e-12) && !is_same(1.0 - 2e-12) && !is_same(0.5), "{unit:e}");
        }
    }

    /// The sizes of a product are found factor by factor, and its F is their sum.
    #[test]
    fn factors_are_minimized_one_by_one() {
        let factor = |k| Block::new(BlockShape::Simplex, k, 1);
        let grid = LogitStructure::Product(vec![factor(2), factor(5)]);
        assert_eq!(grid.parts(10, Bias::None).len(), 2);
        let penalty = penalty(2, 1e-3, Bias::None);
        let found = grid.minimize(10, &penalty).unwrap();
        let whole = grid.reduced(10, Bias::None).unwrap();
        assert!((whole.value(&found.sizes, &penalty) / found.value - 1.0).abs() < 1e-14);
        assert!((whole.minimize(&penalty).unwrap().1 / found.value - 1.0).abs() < 1e-14);
    }

    /// Σ b_k = 0 where nothing else decides: blocks of unequal sizes have biases of unequal weights.
    #[test]
    fn free_biases_have_the_mean_zero() {
        let blocks = |first| {
            let first = Block::new(BlockShape::Simplex, first, 1);
            LogitStructure::DirectSum(vec![first, Block::new(BlockShape::Origin, 1, 3)])
        };
        for classes in [5, 7] {
            let structure = blocks(classes - 3);
            let found =
                structure.minimize(classes, &penalty(2, 0.05, Bias::Unregularized)).unwrap();
            let [_, first, second] = found.sizes[..] else { panic!("{:?}", found.sizes) };
            let mean = (classes - 3) as f64 * first + 3.0 * second;
            assert!(mean.abs() < 1e-13 && first.abs() > 0.1, "{:?}", found.sizes);
            // With a penalty they are what it makes of them, here the same.
            let found =
                structure.minimize(classes, &penalty(2, 0.05, Bias::Regularized(1e-6))).unwrap();
            assert!((found.sizes[1] - first).abs() < 1e-3, "{:?}", found.sizes);
        }
        let one_kind = LogitStructure::antiprism(6);
        let found = one_kind.minimize(6, &penalty(2, 0.05, Bias::Unregularized)).unwrap();
        assert_eq!(found.sizes.len(), 2);
    }

    /// Three pairs are an antiprism of six classes, too, and four pairs a circulant of eight.
    #[test]
    fn the_first_of_equal_blocks_counts() {
        for (classes, depth, strength, name) in [
            (3, 2, 0.15, ""),
            (3, 3, 0.15, "pair ⊕ origin"),
            (6, 2, 0.05, "3 × pair"),
            (7, 2, 0.02, "triangle ⊕ 2 × pair"),
            (8, 2, 0.02, "4 × pair"),
            (10, 2, 0.05, "2 × 5-gon"),
            (11, 2, 1e-3, "5-gon ⊕ 3 × pair"),
            (11, 2, 0.15, ""),
        ] {
            // A bias plays no part in it.
            for bias in [Bias::None, Bias::Regularized(0.1)] {
                let competitors = Competitors::new(classes, Bias::None);
                let sum = competitors.best_direct_sum(&penalty(depth, strength, bias));
                assert_eq!(sum.map(|sum| sum.to_string()).unwrap_or_default(), name);
            }
        }
    }
}
