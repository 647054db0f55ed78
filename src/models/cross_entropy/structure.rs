//! The structures that logits with symmetries can have.

use core::fmt;

use nalgebra::DMatrix;

use crate::models::cross_entropy::block::{Block, BlockShape};
use crate::models::cross_entropy::forms::{direct_sum, product, pyramid, sized};
use crate::models::cross_entropy::reduced::Reduced;
use crate::models::cross_entropy::solids::Solid;
use crate::problem::regularization::Bias;

/// How the logits Z ∈ ℝ^(K×K) of the class means depend on the classes, up to a few sizes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
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
    /// K = k₁k₂⋯ classes that are tuples, with the sum of one block's logits for each of their
    /// coordinates; the rank is the sum of those of the blocks. Pairs are a hypercube, polygons a
    /// torus of points.
    Product(Vec<Block>),
    /// Classes of several kinds, with sizes from a numerical descent.
    Solid(Solid),
    /// Found by a numerical search.
    Numerical(NumericalStructure),
}

/// What a numerical search knows about its logits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct NumericalStructure {
    /// Rank of Z.
    pub rank: usize,
    /// How many exchanges of classes leave Z and b as they are; `None` if that was not found.
    pub automorphisms: Option<u128>,
    /// Number of classes in each orbit of these exchanges, falling.
    pub orbits: Vec<usize>,
    /// Whether Z = Zᵀ, to six digits.
    pub is_symmetric: bool,
    /// How many starts ended there.
    pub hits: usize,
    /// How many starts there were.
    pub starts: usize,
}

impl LogitStructure {
    /// One polygon with an axis on which its classes alternate, for an even K.
    #[must_use]
    pub fn antiprism(classes: usize) -> Self {
        let half = u16::try_from(classes / 2).unwrap_or(u16::MAX);
        Self::DirectSum(vec![Block::new(BlockShape::Circulant([1, half, 0]), classes, 1)])
    }

    /// The loss as a function of θ, for K classes; `None` for the structures that need no search.
    pub(crate) fn reduced(&self, classes: usize, bias: Bias) -> Option<Reduced> {
        match self {
            Self::Collapsed | Self::SimplexEtf | Self::Solid(_) | Self::Numerical(_) => None,
            Self::DirectSum(blocks) => Some(direct_sum(blocks, classes, bias)),
            Self::Pyramid(base) => Some(pyramid(*base, bias)),
            Self::Product(factors) => Some(product(factors, classes)),
        }
    }

    /// How a point with this structure is found, in words.
    pub(crate) fn found_by(&self) -> String {
        match self {
            Self::Numerical(found) => {
                let NumericalStructure { rank, hits, starts, .. } = found;
                format!("a numerical search, rank {rank}, {hits} of {starts} starts")
            }
            Self::Solid(Solid::LatticePatch) => {
                "a descent from a patch of a triangular lattice".to_owned()
            }
            Self::Solid(Solid::Spread(_) | Solid::Filled(_)) => {
                "a descent from points that are spread over a sphere".to_owned()
            }
            Self::Solid(solid) => format!("a descent that keeps the symmetry of the {solid}"),
            _ => format!("the closed form of the structure {self}"),
        }
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
        let all = |blocks: &[Block]| blocks.iter().map(|block| block.size_count()).sum();
        match self {
            Self::Collapsed | Self::Solid(_) | Self::Numerical(_) => 0,
            Self::SimplexEtf => 1,
            Self::DirectSum(blocks) | Self::Product(blocks) => all(blocks),
            Self::Pyramid(base) => base.size_count() + 2,
        }
    }

    /// The logits Z for the class means, without the bias: column j belongs to class j.
    pub(crate) fn logits(&self, classes: usize, sizes: &[f64]) -> DMatrix<f64> {
        match self {
            Self::Collapsed | Self::Solid(_) | Self::Numerical(_) => {
                DMatrix::zeros(classes, classes)
            }
            Self::SimplexEtf => Block::new(BlockShape::Simplex, classes, 1).logits(sizes),
            Self::DirectSum(blocks) => {
                let mut logits = DMatrix::zeros(classes, classes);
                let mut first = 0;
                for (block, places) in sized(blocks) {
                    fill(&mut logits, first, block, &sizes[places]);
                    first += block.all_classes();
                }
                logits
            }
            Self::Pyramid(base) => pyramid_logits(*base, classes, sizes),
            Self::Product(factors) => {
                let parts: Vec<_> =
                    sized(factors).map(|(factor, places)| factor.logits(&sizes[places])).collect();
                DMatrix::from_fn(classes, classes, |i, j| {
                    let (mut i, mut j) = (i, j);
                    let mut logit = 0.0;
                    for part in &parts {
                        let count = part.nrows();
                        logit += part[(i % count, j % count)];
                        (i, j) = (i / count, j / count);
                    }
                    logit
                })
            }
        }
    }
}

/// Writes the logits of all copies of a block on the diagonal.
fn fill(logits: &mut DMatrix<f64>, first: usize, block: Block, sizes: &[f64]) {
    let (k, of_copy) = (block.classes, block.logits(sizes));
    for copy in 0..block.copies {
        let origin = first + copy * k;
        logits.view_mut((origin, origin), (k, k)).copy_from(&of_copy);
    }
}

fn pyramid_logits(base: Block, classes: usize, sizes: &[f64]) -> DMatrix<f64> {
    let mut logits = DMatrix::zeros(classes, classes);
    let (of_base, axis) = sizes.split_at(base.size_count());
    fill(&mut logits, 1, base, of_base);
    let (x, y) = (axis[0], axis[1]);
    for i in 0..classes {
        let row = f64::from(u8::from(i == 0)) - (classes as f64).recip();
        for j in 0..classes {
            logits[(i, j)] += row * if j == 0 { x } else { -y };
        }
    }
    logits
}

impl fmt::Display for LogitStructure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collapsed => write!(f, "zero"),
            Self::SimplexEtf => write!(f, "simplex ETF"),
            Self::DirectSum(blocks) => write!(f, "{}", joined(blocks, " ⊕ ")),
            Self::Pyramid(base) => write!(f, "pyramid over {base}"),
            Self::Product(factors) => write!(f, "{}", joined(factors, " ⊗ ")),
            Self::Solid(solid) => write!(f, "{solid}"),
            Self::Numerical(found) => {
                let orbits: Vec<String> = found.orbits.iter().map(ToString::to_string).collect();
                write!(f, "numerical, rank {}, orbits {}", found.rank, orbits.join(" + "))
            }
        }
    }
}

fn joined(blocks: &[Block], separator: &str) -> String {
    let names: Vec<String> = blocks.iter().map(ToString::to_string).collect();
    names.join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_finding_has_its_words() {
        let words = |solid| LogitStructure::Solid(solid).found_by();
        assert!(words(Solid::LatticePatch).contains("a patch of a triangular lattice"));
        assert!(!words(Solid::LatticePatch).contains("symmetry"));
        assert_eq!(words(Solid::Spread(3)), words(Solid::Filled(4)));
        assert!(words(Solid::Spread(3)).contains("spread over a sphere"));
        assert!(words(Solid::Path).ends_with("keeps the symmetry of the path"));
        assert!(LogitStructure::SimplexEtf.found_by().contains("closed form"));
        let (rank, automorphisms, orbits) = (2, Some(12), vec![6]);
        let found = NumericalStructure {
            rank,
            automorphisms,
            orbits,
            is_symmetric: true,
            hits: 3,
            starts: 50,
        };
        let words = LogitStructure::Numerical(found).found_by();
        assert_eq!(words, "a numerical search, rank 2, 3 of 50 starts");
    }
}
