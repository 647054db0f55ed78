//! The structures that compete with the simplex ETF for given K, M and bias.

use crate::models::cross_entropy::reduced::Penalty;
use crate::models::cross_entropy::structure::{Block, BlockShape, LogitStructure, product};
use crate::problem::regularization::Bias;

/// The largest simplices and polygons that a direct sum is made of, unless it is one polygon.
const LARGEST_BLOCK: usize = 24;
/// The largest polygon that is tried: neighbours are 20/k² apart, which does not pay.
const LARGEST_POLYGON: usize = 1000;
/// The most classes for which the best partition into blocks is searched.
const MOST_PARTITIONED: usize = 10_000;
/// The most products that are listed: 2^10 has 41.
const MOST_PRODUCTS: usize = 64;

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
        (self.value - other.value).abs() <= 1e-12 * self.value
    }
}

impl LogitStructure {
    /// The best sizes of this structure, or `None` if it has no local minimum.
    pub(crate) fn minimize(&self, classes: usize, penalty: &Penalty) -> Option<Candidate> {
        if let Self::Product(factors) = self {
            return self.minimize_factors(factors, classes, penalty);
        }
        let reduced = self.reduced(classes, penalty.bias)?;
        let (mut sizes, value) = reduced.minimize(penalty)?;
        self.complete_biases(classes, &mut sizes, penalty.bias);
        Some(Candidate { structure: self.clone(), sizes, value })
    }

    /// The best sizes of a product, factor by factor.
    fn minimize_factors(
        &self,
        factors: &[Block],
        classes: usize,
        penalty: &Penalty,
    ) -> Option<Candidate> {
        let (mut sizes, mut value) = (Vec::new(), 0.0);
        for &factor in factors {
            let (size, loss) = product(&[factor], classes).minimize(penalty)?;
            sizes.extend(size);
            value += loss;
        }
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

/// Every competitor of the simplex ETF that has a local minimum, zero left out.
pub(crate) fn candidates(classes: usize, penalty: &Penalty) -> Vec<Candidate> {
    let mut structures = fixed(classes, penalty.bias);
    let best_sum = best_direct_sum(classes, penalty);
    structures.extend(best_sum.filter(|sum| !structures.contains(sum)));
    let mut found: Vec<Candidate> = Vec::new();
    for structure in &structures {
        let new = structure.minimize(classes, penalty);
        found.extend(new.filter(|new| !found.iter().any(|old| old.is_same_point(new))));
    }
    found
}

/// The structures that are tried whatever the strength.
fn fixed(classes: usize, bias: Bias) -> Vec<LogitStructure> {
    let polygon = |k| Block::new(BlockShape::Polygon, k, 1);
    let pairs = |copies| Block::new(BlockShape::Simplex, 2, copies);
    let mut list = Vec::new();
    let room = classes <= LARGEST_POLYGON;
    if classes >= 5 && room {
        list.push(LogitStructure::DirectSum(vec![polygon(classes)]));
    }
    if classes >= 4 && classes.is_multiple_of(2) {
        list.push(LogitStructure::DirectSum(vec![pairs(classes / 2)]));
    }
    if classes >= 6 && classes.is_multiple_of(2) && room {
        list.push(LogitStructure::Antiprism);
    }
    if classes >= 5 && !classes.is_multiple_of(2) {
        list.push(LogitStructure::Pyramid(pairs(classes / 2)));
    }
    if classes >= 6 && room {
        list.push(LogitStructure::Pyramid(polygon(classes - 1)));
    }
    list.extend(products(classes).into_iter().map(LogitStructure::Product));
    if bias != Bias::None {
        list.extend(with_bias(classes).into_iter().map(LogitStructure::DirectSum));
    }
    list
}

/// Products of simplices, and those in which large factors are polygons.
fn products(classes: usize) -> Vec<Vec<Block>> {
    let mut factorisations = Vec::new();
    extend_products(classes, 2, &mut Vec::new(), &mut factorisations);
    let blocks = |factors: &[usize], smallest_polygon: usize| -> Vec<Block> {
        let polygons = smallest_polygon..=LARGEST_POLYGON;
        let shape = |k| {
            if polygons.contains(&k) { BlockShape::Polygon } else { BlockShape::Simplex }
        };
        factors.iter().map(|&k| Block::new(shape(k), k, 1)).collect()
    };
    let both = |factors: &Vec<usize>| [blocks(factors, usize::MAX), blocks(factors, 5)];
    let mut list: Vec<_> = factorisations.iter().flat_map(both).collect();
    list.dedup();
    list
}

/// Direct sums of a main part and one more block, which a bias sets apart from each other.
fn with_bias(classes: usize) -> Vec<Vec<Block>> {
    let mut list = Vec::new();
    for rest in 1..=classes.min(LARGEST_BLOCK) / 2 {
        let main = classes - rest;
        for first in main_parts(main) {
            list.extend(single_blocks(rest).into_iter().map(|last| vec![first, last]));
        }
    }
    list
}

/// One block of k classes, or k/2 pairs.
fn main_parts(classes: usize) -> Vec<Block> {
    let mut parts = single_blocks(classes);
    if classes >= 4 && classes.is_multiple_of(2) {
        parts.push(Block::new(BlockShape::Simplex, 2, classes / 2));
    }
    parts
}

/// The blocks of k classes.
fn single_blocks(classes: usize) -> Vec<Block> {
    let shapes: &[BlockShape] = match classes {
        1 => &[BlockShape::Origin],
        2..=4 => &[BlockShape::Simplex],
        12 => &[BlockShape::Simplex, BlockShape::Polygon, BlockShape::Icosahedron],
        _ if classes > LARGEST_POLYGON => &[BlockShape::Simplex],
        _ => &[BlockShape::Simplex, BlockShape::Polygon],
    };
    shapes.iter().map(|&shape| Block::new(shape, classes, 1)).collect()
}

/// All ways to write `rest` as a product of at least two rising factors.
fn extend_products(
    rest: usize,
    smallest: usize,
    chosen: &mut Vec<usize>,
    list: &mut Vec<Vec<usize>>,
) {
    let mut factor = smallest;
    while factor * factor <= rest && list.len() < MOST_PRODUCTS {
        if rest.is_multiple_of(factor) {
            chosen.push(factor);
            list.push(chosen.iter().copied().chain([rest / factor]).collect());
            extend_products(rest / factor, factor, chosen, list);
            chosen.pop();
        }
        factor += 1;
    }
}

/// The best direct sum without a bias, if it is not one simplex or zero.
///
/// Without a bias the loss is a sum over the blocks, as a block sees of the others their number of
/// classes only. So the best partition of K follows from the best partitions of smaller numbers.
fn best_direct_sum(classes: usize, penalty: &Penalty) -> Option<LogitStructure> {
    if classes > MOST_PARTITIONED {
        return None;
    }
    let without_bias = Penalty { bias: Bias::None, ..*penalty };
    let mut costs = vec![(Block::new(BlockShape::Origin, 1, 1), origin_cost(classes))];
    for size in 2..=classes.min(LARGEST_BLOCK) {
        for block in single_blocks(size) {
            let part = LogitStructure::DirectSum(vec![block]);
            costs.extend(part.minimize(classes, &without_bias).map(|found| (block, found.value)));
        }
    }
    let mut best: Vec<(f64, Option<Block>)> = vec![(0.0, None)];
    for total in 1..=classes {
        let options = costs.iter().filter(|(block, _)| block.classes <= total);
        let choice = options
            .map(|(block, cost)| (best[total - block.classes].0 + cost, Some(*block)))
            .min_by(|a, b| a.0.total_cmp(&b.0))?;
        best.push(choice);
    }
    let mut blocks: Vec<Block> = Vec::new();
    let mut rest = classes;
    while let Some(block) = best.get(rest)?.1 {
        rest -= block.classes;
        match blocks.iter_mut().find(|b| (b.shape, b.classes) == (block.shape, block.classes)) {
            Some(same) => same.copies += 1,
            None => blocks.push(block),
        }
    }
    blocks.sort_by_key(|block| core::cmp::Reverse((block.classes, block.copies)));
    let trivial = matches!(blocks[..], [Block { shape, copies, .. }]
        if shape == BlockShape::Origin || (shape == BlockShape::Simplex && copies == 1));
    (!trivial).then_some(LogitStructure::DirectSum(blocks))
}

/// What one class at the origin adds to F.
fn origin_cost(classes: usize) -> f64 {
    (classes as f64).ln() / classes as f64
}
