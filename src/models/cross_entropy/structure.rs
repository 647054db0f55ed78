//! The structures that logits with symmetries can have, and how their loss depends on their sizes.

use core::f64::consts::PI;
use core::fmt;

use nalgebra::DMatrix;

use crate::models::cross_entropy::reduced::{Kind, Reduced, SingularForm};
use crate::problem::regularization::Bias;

/// How the logits of a [`Block`] of classes are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BlockShape {
    /// One class at the origin: its logits are 0 but for the bias.
    Origin,
    /// k classes with the logits β(I − 11ᵀ/k), of rank k − 1. Two classes are an antipodal pair.
    Simplex,
    /// k classes with the logits β cos(2π(i − j)/k), of rank 2.
    Polygon,
    /// 12 classes with β times the inner products of the unit vertices of an icosahedron, of rank 3.
    Icosahedron,
}

/// Some classes with logits of their own subspace, so that their logits for all other classes are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Block {
    /// How they are arranged.
    pub shape: BlockShape,
    /// Number of classes of one copy.
    pub classes: usize,
    /// Number of copies of equal size, each in a subspace of its own.
    pub copies: usize,
}

/// How the logits Z ∈ ℝ^(K×K) of the class means depend on the classes, up to a few sizes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LogitStructure {
    /// Z = 0.
    Collapsed,
    /// Z = α(I − 11ᵀ/K), of rank K − 1.
    SimplexEtf,
    /// Block by block. K/2 pairs are an orthoplex, of rank K/2; one polygon has rank 2.
    DirectSum(Vec<Block>),
    /// Equal blocks, and an apex that is a class on an axis of its own: a pyramid.
    Pyramid(Block),
    /// Z_ij = β cos(2π(i − j)/K) + δ (−1)^(i−j) for an even K, of rank 3.
    Antiprism,
    /// K = k₁k₂⋯ classes that are tuples, with the sum of one block's logits for each of their
    /// coordinates; the rank is the sum of those of the blocks. Pairs are a hypercube, polygons a
    /// torus of points.
    Product(Vec<Block>),
}

impl Block {
    pub(crate) fn new(shape: BlockShape, classes: usize, copies: usize) -> Self {
        Self { shape, classes, copies }
    }

    /// Number of classes of all copies.
    pub(crate) fn all_classes(self) -> usize {
        self.classes * self.copies
    }

    /// Multiplicities and gaps, for β = 1, of the wrong logits in the same copy.
    fn wrong(self) -> Vec<(f64, f64)> {
        match self.shape {
            BlockShape::Origin => Vec::new(),
            BlockShape::Simplex => vec![((self.classes - 1) as f64, 1.0)],
            BlockShape::Polygon => circulant_offsets(self.classes)
                .map(|(count, offset)| (count, versed_sine(offset, self.classes)))
                .collect(),
            BlockShape::Icosahedron => {
                let cosine = 5.0_f64.sqrt().recip();
                vec![(5.0, 1.0 - cosine), (5.0, 1.0 + cosine), (1.0, 2.0)]
            }
        }
    }

    /// The right logit for β = 1, which is the gap to all logits of other blocks.
    fn right(self) -> f64 {
        match self.shape {
            BlockShape::Origin => 0.0,
            BlockShape::Simplex => 1.0 - (self.classes as f64).recip(),
            BlockShape::Polygon | BlockShape::Icosahedron => 1.0,
        }
    }

    /// Multiplicity and size, for β = 1, of the singular values of one copy.
    fn singular_value(self) -> (usize, f64) {
        match self.shape {
            BlockShape::Origin => (0, 0.0),
            BlockShape::Simplex => (self.classes - 1, 1.0),
            BlockShape::Polygon => (2, self.classes as f64 / 2.0),
            // Vᵀ V for the unit vertices V ∈ ℝ^(3×12), V Vᵀ = (12/3) I.
            BlockShape::Icosahedron => (3, 4.0),
        }
    }

    /// The logit of class i for class j of one copy, for β = 1.
    fn logit(self, i: usize, j: usize) -> f64 {
        match self.shape {
            BlockShape::Origin => 0.0,
            BlockShape::Simplex => f64::from(u8::from(i == j)) - (self.classes as f64).recip(),
            BlockShape::Polygon => 1.0 - versed_sine(i.abs_diff(j), self.classes),
            BlockShape::Icosahedron => icosahedron_cosine(i, j),
        }
    }

    /// The β at which the smallest gap is 1.
    fn natural_size(self) -> f64 {
        let gaps = self.wrong().into_iter().map(|(_, gap)| gap);
        gaps.fold(self.right(), f64::min).recip().min(1e6)
    }
}

/// 1 − cos(2π·offset/k), without cancellation.
fn versed_sine(offset: usize, classes: usize) -> f64 {
    2.0 * (PI * offset as f64 / classes as f64).sin().powi(2)
}

/// The inner product of two unit vertices of an icosahedron: the cyclic permutations of (0, ±1, ±φ)/√(1 + φ²).
fn icosahedron_cosine(i: usize, j: usize) -> f64 {
    let golden = (1.0 + 5.0_f64.sqrt()) / 2.0;
    let vertex = |index: usize| {
        let sign = |bit: usize| if index >> bit & 1 == 0 { 1.0 } else { -1.0 };
        let mut vertex = [0.0; 3];
        vertex[(index / 4 + 1) % 3] = sign(0);
        vertex[(index / 4 + 2) % 3] = golden * sign(1);
        vertex
    };
    let products = vertex(i).into_iter().zip(vertex(j)).map(|(a, b)| a * b);
    products.sum::<f64>() / (1.0 + golden * golden)
}

/// The distances 1, …, ⌊k/2⌋ on a circle of k classes, each with the number of classes that have it.
fn circulant_offsets(classes: usize) -> impl Iterator<Item = (f64, usize)> {
    let count = move |offset| if 2 * offset == classes { 1.0 } else { 2.0 };
    (1..=classes / 2).map(move |offset| (count(offset), offset))
}

/// Where the sizes and biases of a structure stand in θ.
struct Layout {
    sizes: usize,
    /// Number of biases in θ: none without a bias, and all but the last one without a penalty on
    /// them, as the loss does not feel a common shift.
    biases: usize,
}

impl Layout {
    fn new(sizes: usize, kinds: usize, bias: Bias) -> Self {
        let biases = match bias {
            _ if kinds < 2 => 0,
            Bias::None => 0,
            Bias::Unregularized => kinds - 1,
            Bias::Regularized(_) => kinds,
        };
        Self { sizes, biases }
    }

    fn dimension(&self) -> usize {
        self.sizes + self.biases
    }

    /// The gap Σ coefficient·θ_size + b_right − b_wrong.
    fn gap(&self, sizes: &[(usize, f64)], right: usize, wrong: usize) -> Vec<f64> {
        let mut gap = vec![0.0; self.dimension()];
        for &(index, coefficient) in sizes {
            gap[index] += coefficient;
        }
        for (kind, sign) in [(right, 1.0), (wrong, -1.0)] {
            if kind < self.biases {
                gap[self.sizes + kind] += sign;
            }
        }
        gap
    }

    fn singular_value(&self, multiplicity: usize, squares: &[(usize, f64)]) -> SingularForm {
        let mut all = vec![0.0; self.dimension()];
        for &(index, square) in squares {
            all[index] = square;
        }
        SingularForm { multiplicity, squares: all }
    }

    /// Sizes as given, and for each of them and of the biases one start with another proportion.
    fn starts(&self, natural: &[f64]) -> Vec<Vec<f64>> {
        let mut plain = natural.to_vec();
        plain.resize(self.dimension(), 0.0);
        let mut starts = vec![plain.clone()];
        if self.biases > 0 {
            for index in 0..self.dimension() {
                for factor in [-0.5, 0.5] {
                    let mut start = plain.clone();
                    start[index] += factor * if index < self.sizes { start[index] } else { 1.0 };
                    starts.push(start);
                }
            }
        }
        starts
    }

    /// r_j of the biases for the number of classes of each kind.
    fn bias_counts(&self, classes: &[usize]) -> Vec<f64> {
        let zeros = core::iter::repeat_n(0.0, self.sizes);
        zeros.chain(classes.iter().take(self.biases).map(|&count| count as f64)).collect()
    }
}

impl LogitStructure {
    /// The loss as a function of θ, for K classes; `None` for the two structures that need no search.
    pub(crate) fn reduced(&self, classes: usize, bias: Bias) -> Option<Reduced> {
        match self {
            Self::Collapsed | Self::SimplexEtf => None,
            Self::DirectSum(blocks) => Some(direct_sum(blocks, classes, bias)),
            Self::Pyramid(base) => Some(pyramid(*base, bias)),
            Self::Antiprism => Some(antiprism(classes)),
            Self::Product(factors) => Some(product(factors, classes)),
        }
    }

    /// How a point with this structure is found, in words.
    pub(crate) fn found_by(&self) -> String {
        format!("the closed form of the structure {self}")
    }

    /// The numbers of classes of each kind, in the order of the classes; only the first two structures
    /// with several kinds have biases.
    pub(crate) fn kinds(&self, classes: usize) -> Vec<usize> {
        match self {
            Self::DirectSum(blocks) => blocks.iter().map(|block| block.all_classes()).collect(),
            Self::Pyramid(base) => vec![1, base.all_classes()],
            _ => vec![classes],
        }
    }

    /// Number of sizes that are no biases.
    pub(crate) fn size_count(&self) -> usize {
        match self {
            Self::Collapsed => 0,
            Self::SimplexEtf => 1,
            Self::DirectSum(blocks) => sized(blocks).filter(|(_, size)| size.is_some()).count(),
            Self::Pyramid(_) => 3,
            Self::Antiprism => 2,
            Self::Product(factors) => factors.len(),
        }
    }

    /// The logits Z for the class means, without the bias: column j belongs to class j.
    pub(crate) fn logits(&self, classes: usize, sizes: &[f64]) -> DMatrix<f64> {
        match self {
            Self::Collapsed => DMatrix::zeros(classes, classes),
            Self::SimplexEtf => {
                let block = Block::new(BlockShape::Simplex, classes, 1);
                DMatrix::from_fn(classes, classes, |i, j| sizes[0] * block.logit(i, j))
            }
            Self::DirectSum(blocks) => {
                let mut logits = DMatrix::zeros(classes, classes);
                let mut first = 0;
                for (block, size) in sized(blocks) {
                    fill(&mut logits, first, block, size.map_or(0.0, |size| sizes[size]));
                    first += block.all_classes();
                }
                logits
            }
            Self::Pyramid(base) => pyramid_logits(*base, classes, sizes),
            Self::Antiprism => DMatrix::from_fn(classes, classes, |i, j| {
                let sign = if i.abs_diff(j) % 2 == 0 { 1.0 } else { -1.0 };
                sizes[0] * (1.0 - versed_sine(i.abs_diff(j), classes)) + sizes[1] * sign
            }),
            Self::Product(factors) => DMatrix::from_fn(classes, classes, |i, j| {
                let (mut i, mut j) = (i, j);
                let mut logit = 0.0;
                for (factor, size) in factors.iter().zip(sizes) {
                    logit += size * factor.logit(i % factor.classes, j % factor.classes);
                    (i, j) = (i / factor.classes, j / factor.classes);
                }
                logit
            }),
        }
    }
}

/// The blocks with the index of their size; blocks at the origin have none.
fn sized(blocks: &[Block]) -> impl Iterator<Item = (Block, Option<usize>)> + '_ {
    let mut next = 0;
    blocks.iter().map(move |&block| {
        if block.shape == BlockShape::Origin {
            return (block, None);
        }
        next += 1;
        (block, Some(next - 1))
    })
}

/// Writes the logits of all copies of a block on the diagonal.
fn fill(logits: &mut DMatrix<f64>, first: usize, block: Block, size: f64) {
    for copy in 0..block.copies {
        let origin = first + copy * block.classes;
        for i in 0..block.classes {
            for j in 0..block.classes {
                logits[(origin + i, origin + j)] = size * block.logit(i, j);
            }
        }
    }
}

/// A block of classes among `classes`, as a kind, with the gap β·right + b − b' to other kinds.
fn block_kind(
    layout: &Layout,
    (own, size): (usize, Option<usize>),
    blocks: &[Block],
    classes: usize,
) -> Kind {
    let block = blocks[own];
    let scaled = |gap: f64| size.map(|size| (size, gap)).into_iter().collect::<Vec<_>>();
    let mut wrong: Vec<_> = block
        .wrong()
        .into_iter()
        .map(|(count, gap)| (count, layout.gap(&scaled(gap), own, own)))
        .collect();
    for (other, &of_other) in blocks.iter().enumerate() {
        let own_copy = if other == own { block.classes } else { 0 };
        let count = of_other.all_classes() - own_copy;
        if count > 0 {
            wrong.push((count as f64, layout.gap(&scaled(block.right()), own, other)));
        }
    }
    let listed: usize = blocks.iter().map(|block| block.all_classes()).sum();
    if listed < classes {
        // Classes that are not listed have the logit 0.
        wrong.push(((classes - listed) as f64, layout.gap(&scaled(block.right()), own, own)));
    }
    Kind { weight: block.all_classes() as f64 / classes as f64, wrong }
}

/// The loss of blocks. Classes that are in none of them count as wrong logits 0 only.
fn direct_sum(blocks: &[Block], classes: usize, bias: Bias) -> Reduced {
    let sizes = sized(blocks).filter(|(_, size)| size.is_some()).count();
    let layout = Layout::new(sizes, blocks.len(), bias);
    let kinds = sized(blocks)
        .enumerate()
        .map(|(own, (_, size))| block_kind(&layout, (own, size), blocks, classes))
        .collect();
    let singular_values = sized(blocks)
        .filter_map(|(block, size)| {
            let (multiplicity, value) = block.singular_value();
            let squares = [(size?, value * value)];
            Some(layout.singular_value(multiplicity * block.copies, &squares))
        })
        .collect();
    let natural: Vec<f64> = sized(blocks)
        .filter(|(_, size)| size.is_some())
        .map(|(block, _)| block.natural_size())
        .collect();
    let counts: Vec<usize> = blocks.iter().map(|block| block.all_classes()).collect();
    Reduced {
        kinds,
        singular_values,
        bias_counts: layout.bias_counts(&counts),
        starts: layout.starts(&natural),
    }
}

/// The loss of a pyramid with θ = (β, x, y, b_apex, b_base): the apex exceeds every class of the base
/// by x, each class of the base the apex by β·right + y. Beside the base there is the rank-one matrix
/// (e_apex − 1/K)(x at the apex, −y at the base)ᵀ.
fn pyramid(base: Block, bias: Bias) -> Reduced {
    let classes = base.all_classes() + 1;
    let layout = Layout::new(3, 2, bias);
    let (apex, below) = (0, 1);
    let of_base = base.all_classes() as f64;
    let mut wrong: Vec<_> = base
        .wrong()
        .into_iter()
        .map(|(count, gap)| (count, layout.gap(&[(0, gap)], below, below)))
        .collect();
    if base.copies > 1 {
        let others = (base.all_classes() - base.classes) as f64;
        wrong.push((others, layout.gap(&[(0, base.right())], below, below)));
    }
    wrong.push((1.0, layout.gap(&[(0, base.right()), (2, 1.0)], below, apex)));
    let at_apex = vec![(of_base, layout.gap(&[(1, 1.0)], apex, below))];
    let share = (classes as f64).recip();
    let (multiplicity, value) = base.singular_value();
    let axis = of_base * share;
    Reduced {
        kinds: vec![
            Kind { weight: share, wrong: at_apex },
            Kind { weight: of_base * share, wrong },
        ],
        singular_values: vec![
            layout.singular_value(multiplicity * base.copies, &[(0, value * value)]),
            layout.singular_value(1, &[(1, axis), (2, axis * of_base)]),
        ],
        bias_counts: layout.bias_counts(&[1, base.all_classes()]),
        starts: layout.starts(&[base.natural_size(), 1.0, 0.2]),
    }
}

fn pyramid_logits(base: Block, classes: usize, sizes: &[f64]) -> DMatrix<f64> {
    let mut logits = DMatrix::zeros(classes, classes);
    fill(&mut logits, 1, base, sizes[0]);
    for i in 0..classes {
        let row = f64::from(u8::from(i == 0)) - (classes as f64).recip();
        for j in 0..classes {
            logits[(i, j)] += row * if j == 0 { sizes[1] } else { -sizes[2] };
        }
    }
    logits
}

fn antiprism(classes: usize) -> Reduced {
    let layout = Layout::new(2, 1, Bias::None);
    let wrong = circulant_offsets(classes).map(|(count, offset)| {
        let alternating = if offset % 2 == 0 { 0.0 } else { 2.0 };
        (count, layout.gap(&[(0, versed_sine(offset, classes)), (1, alternating)], 0, 0))
    });
    let k = classes as f64;
    let natural = Block::new(BlockShape::Polygon, classes, 1).natural_size();
    Reduced {
        kinds: vec![Kind { weight: 1.0, wrong: wrong.collect() }],
        singular_values: vec![
            layout.singular_value(2, &[(0, k * k / 4.0)]),
            layout.singular_value(1, &[(1, k * k)]),
        ],
        bias_counts: layout.bias_counts(&[classes]),
        starts: [0.2, 0.5].map(|share| vec![natural * (1.0 - share), share / 2.0]).to_vec(),
    }
}

/// The cross-entropy of tuples is the sum of those of their coordinates: F is a sum over the factors of
/// K = `classes`, of which these may be some only.
pub(crate) fn product(factors: &[Block], classes: usize) -> Reduced {
    let layout = Layout::new(factors.len(), 1, Bias::None);
    let kinds = factors.iter().enumerate().map(|(index, factor)| {
        let scaled = |(count, gap)| (count, layout.gap(&[(index, gap)], 0, 0));
        Kind { weight: 1.0, wrong: factor.wrong().into_iter().map(scaled).collect() }
    });
    let values = factors.iter().enumerate().map(|(index, factor)| {
        let (multiplicity, value) = factor.singular_value();
        let stretched = value * (classes / factor.classes) as f64;
        layout.singular_value(multiplicity, &[(index, stretched * stretched)])
    });
    let natural: Vec<f64> = factors.iter().map(|factor| factor.natural_size()).collect();
    Reduced {
        kinds: kinds.collect(),
        singular_values: values.collect(),
        bias_counts: layout.bias_counts(&[classes]),
        starts: layout.starts(&natural),
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.copies > 1 {
            write!(f, "{} × ", self.copies)?;
        }
        match (self.shape, self.classes) {
            (BlockShape::Origin, _) => write!(f, "origin"),
            (BlockShape::Simplex, 2) => write!(f, "pair"),
            (BlockShape::Simplex, 3) => write!(f, "triangle"),
            (BlockShape::Simplex, k) => write!(f, "{k}-simplex"),
            (BlockShape::Polygon, k) => write!(f, "{k}-gon"),
            (BlockShape::Icosahedron, _) => write!(f, "icosahedron"),
        }
    }
}

impl fmt::Display for LogitStructure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collapsed => write!(f, "zero"),
            Self::SimplexEtf => write!(f, "simplex ETF"),
            Self::DirectSum(blocks) => write!(f, "{}", joined(blocks, " ⊕ ")),
            Self::Pyramid(base) => write!(f, "pyramid over {base}"),
            Self::Antiprism => write!(f, "antiprism"),
            Self::Product(factors) => write!(f, "{}", joined(factors, " ⊗ ")),
        }
    }
}

fn joined(blocks: &[Block], separator: &str) -> String {
    let names: Vec<String> = blocks.iter().map(ToString::to_string).collect();
    names.join(separator)
}
