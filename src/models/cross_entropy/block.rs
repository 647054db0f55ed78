//! Blocks of classes that look alike, of which the structures of logits are made.

use core::f64::consts::PI;
use core::fmt;

use nalgebra::DMatrix;

use crate::models::cross_entropy::codes::SphericalCode;

/// How the logits of a [`Block`] of classes are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum BlockShape {
    /// One class at the origin: its logits are 0 but for the bias.
    Origin,
    /// k classes with the logits β(I − 11ᵀ/k), of rank k − 1. Two classes are an antipodal pair.
    Simplex,
    /// k classes with the logits β cos(2π(i − j)/k), of rank 2.
    Polygon,
    /// k classes on a circle with the logits Σ_f β_f cos(2πf(i − j)/k) of two or three frequencies f, unused
    /// ones 0. Each has rank 2, but f = k/2, which alternates, has rank 1. The frequencies 1 and k/2
    /// are an antiprism.
    Circulant([u16; 3]),
    /// k = m(m − 1)/2 classes, the pairs of m things, with the logits β(shared things − 4/m), of rank m − 1.
    Triangular,
    /// The vectors of a spherical code, with β times their inner products.
    Code(SphericalCode),
}

/// Some classes with logits of their own subspace, so that their logits for all other classes are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Block {
    /// How they are arranged.
    pub shape: BlockShape,
    /// Number of classes of one copy.
    pub classes: usize,
    /// Number of copies of equal size, each in a subspace of its own.
    pub copies: usize,
}

/// What one size β of a block does, for β = 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Component {
    /// Number and size of the singular values of one copy.
    pub(crate) multiplicity: usize,
    pub(crate) singular_value: f64,
    /// The right logit, which is the gap to all logits of other blocks.
    pub(crate) right: f64,
}

impl Block {
    pub(crate) fn new(shape: BlockShape, classes: usize, copies: usize) -> Self {
        Self { shape, classes, copies }
    }

    /// Number of classes of all copies.
    pub(crate) fn all_classes(self) -> usize {
        self.classes * self.copies
    }

    /// The sizes β of the block, with what they do.
    pub(crate) fn components(self) -> Vec<Component> {
        let k = self.classes as f64;
        let one = |multiplicity, singular_value, right| {
            vec![Component { multiplicity, singular_value, right }]
        };
        match self.shape {
            BlockShape::Origin => Vec::new(),
            BlockShape::Simplex => one(self.classes - 1, 1.0, 1.0 - k.recip()),
            BlockShape::Polygon => one(2, k / 2.0, 1.0),
            BlockShape::Circulant(_) => self
                .frequencies()
                .map(|frequency| {
                    let multiplicity = if 2 * frequency == self.classes { 1 } else { 2 };
                    let singular_value = k / multiplicity as f64;
                    Component { multiplicity, singular_value, right: 1.0 }
                })
                .collect(),
            BlockShape::Triangular => {
                let things = triangular_root(self.classes);
                let m = things as f64;
                one(things - 1, m - 2.0, 2.0 - 4.0 / m)
            }
            BlockShape::Code(code) => one(code.dimension(), k / code.dimension() as f64, 1.0),
        }
    }

    /// Number of sizes.
    pub(crate) fn size_count(self) -> usize {
        match self.shape {
            BlockShape::Origin => 0,
            BlockShape::Circulant(_) => self.frequencies().count(),
            _ => 1,
        }
    }

    /// The frequencies of a circulant.
    fn frequencies(self) -> impl Iterator<Item = usize> {
        let all = if let BlockShape::Circulant(all) = self.shape { all } else { [0; 3] };
        all.into_iter().map(usize::from).filter(|&frequency| frequency > 0)
    }

    /// Multiplicities of the wrong logits in the same copy, with the gaps that each size makes.
    pub(crate) fn wrong(self) -> Vec<(f64, Vec<f64>)> {
        let k = self.classes;
        let single =
            |list: Vec<(f64, f64)>| list.into_iter().map(|(m, gap)| (m, vec![gap])).collect();
        match self.shape {
            BlockShape::Origin => Vec::new(),
            BlockShape::Simplex => vec![((k - 1) as f64, vec![1.0])],
            BlockShape::Polygon => single(
                circulant_offsets(k).map(|(m, offset)| (m, versed_sine(offset, k))).collect(),
            ),
            BlockShape::Circulant(_) => circulant_offsets(k)
                .map(|(m, offset)| {
                    (m, self.frequencies().map(|f| versed_sine(f * offset, k)).collect())
                })
                .collect(),
            BlockShape::Triangular => {
                let m = triangular_root(k) as f64;
                single(vec![(2.0 * (m - 2.0), 1.0), ((m - 2.0) * (m - 3.0) / 2.0, 2.0)])
            }
            BlockShape::Code(code) => {
                single(code.distances().into_iter().map(|(m, cosine)| (m, 1.0 - cosine)).collect())
            }
        }
    }

    /// The logits of one copy (k×k).
    pub(crate) fn logits(self, sizes: &[f64]) -> DMatrix<f64> {
        let k = self.classes;
        let sized = |logits: DMatrix<f64>| logits * sizes[0];
        match self.shape {
            BlockShape::Origin => DMatrix::zeros(k, k),
            BlockShape::Simplex => {
                let entry = |same: bool| f64::from(u8::from(same)) - (k as f64).recip();
                sized(DMatrix::from_fn(k, k, |i, j| entry(i == j)))
            }
            BlockShape::Polygon => {
                sized(DMatrix::from_fn(k, k, |i, j| 1.0 - versed_sine(i.abs_diff(j), k)))
            }
            BlockShape::Circulant(_) => DMatrix::from_fn(k, k, |i, j| {
                let cosine = |f: usize| 1.0 - versed_sine(f * i.abs_diff(j), k);
                self.frequencies().zip(sizes).map(|(f, size)| size * cosine(f)).sum()
            }),
            BlockShape::Triangular => {
                let pairs: Vec<(usize, usize)> =
                    (0..).flat_map(|b| (0..b).map(move |a| (a, b))).take(k).collect();
                let shift = 4.0 / triangular_root(k) as f64;
                sized(DMatrix::from_fn(k, k, |i, j| {
                    let ((a, b), (c, d)) = (pairs[i], pairs[j]);
                    let shared =
                        [a == c, a == d, b == c, b == d].into_iter().filter(|x| *x).count();
                    shared as f64 - shift
                }))
            }
            BlockShape::Code(code) => sized(code.gram()),
        }
    }

    /// Sizes at which the smallest gap is about 1, in one or more proportions.
    pub(crate) fn natural_sizes(self) -> Vec<Vec<f64>> {
        let proportions: &[&[f64]] = match self.size_count() {
            0 => &[&[]],
            1 => &[&[1.0]],
            2 => &[&[1.0, 1.0], &[1.0, 0.3], &[0.3, 1.0]],
            _ => &[&[1.0, 1.0, 1.0], &[1.0, 0.4, 0.4], &[0.4, 1.0, 0.4], &[0.4, 0.4, 1.0]],
        };
        let components = self.components();
        let wrong = self.wrong();
        proportions
            .iter()
            .map(|proportion| {
                let gap = |gaps: &[f64]| gaps.iter().zip(*proportion).map(|(g, p)| g * p).sum();
                let right: f64 = components.iter().zip(*proportion).map(|(c, p)| c.right * p).sum();
                let smallest = wrong.iter().map(|(_, gaps)| gap(gaps)).fold(right, f64::min);
                let scale = smallest.recip().min(1e6);
                proportion.iter().map(|p| p * scale).collect()
            })
            .collect()
    }
}

/// 1 − cos(2π·offset/k), without cancellation.
pub(crate) fn versed_sine(offset: usize, classes: usize) -> f64 {
    2.0 * (PI * (offset % classes) as f64 / classes as f64).sin().powi(2)
}

/// The distances 1, …, ⌊k/2⌋ on a circle of k classes, each with the number of classes that have it.
fn circulant_offsets(classes: usize) -> impl Iterator<Item = (f64, usize)> {
    let count = move |offset| if 2 * offset == classes { 1.0 } else { 2.0 };
    (1..=classes / 2).map(move |offset| (count(offset), offset))
}

/// The largest m with m(m−1)/2 ≤ k.
pub(crate) fn triangular_root(classes: usize) -> usize {
    let mut things = 1;
    while (things + 1) * things / 2 <= classes {
        things += 1;
    }
    things
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
            (BlockShape::Circulant([1, half, 0]), k) if 2 * usize::from(half) == k => {
                write!(f, "{k}-antiprism")
            }
            (BlockShape::Circulant(_), k) => {
                let names: Vec<String> = self.frequencies().map(|f| f.to_string()).collect();
                write!(f, "{k}-circulant({})", names.join(","))
            }
            (BlockShape::Triangular, k) => write!(f, "T{}", subscript(triangular_root(k))),
            (BlockShape::Code(code), _) => write!(f, "{code}"),
        }
    }
}

/// A number in subscript digits.
fn subscript(number: usize) -> String {
    let digit = |c: char| c.to_digit(10).and_then(|d| char::from_u32(0x2080 + d)).unwrap_or(c);
    number.to_string().chars().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gaps, right logits and singular values are those of the matrix.
    #[test]
    fn the_numbers_of_a_block_are_those_of_its_logits() {
        let circulant = |k, f| Block::new(BlockShape::Circulant(f), k, 1);
        let blocks = [
            Block::new(BlockShape::Simplex, 5, 1),
            Block::new(BlockShape::Polygon, 7, 1),
            Block::new(BlockShape::Triangular, 10, 1),
            Block::new(BlockShape::Triangular, 15, 1),
            Block::new(BlockShape::Code(SphericalCode::Schlaefli), 27, 1),
            circulant(12, [2, 3, 0]),
            circulant(9, [1, 2, 4]),
            circulant(8, [1, 4, 0]),
        ];
        for block in blocks {
            let sizes: Vec<f64> = (0..block.size_count()).map(|i| 1.3 - 0.4 * i as f64).collect();
            let logits = block.logits(&sizes);
            assert!(logits.row_sum().amax() < 1e-12, "{block}");
            let natural_sizes = block.natural_sizes();
            // One proportion for one size, equal ones and those with one that is larger for several.
            assert_eq!(natural_sizes.len(), [1, 1, 3, 4][block.size_count()], "{block}");
            for natural in natural_sizes {
                assert_eq!(natural.len(), block.size_count(), "{block}");
                let logits = block.logits(&natural);
                let wrong = (0..block.classes).filter(|&row| row != 1);
                let wrong = wrong.map(|row| logits[(row, 1)]).fold(0.0, f64::max);
                assert!((logits[(1, 1)] - wrong - 1.0).abs() < 1e-9, "{block}: {natural:?}");
            }
            let components = block.components();
            let right: f64 = components.iter().zip(&sizes).map(|(c, s)| c.right * s).sum();
            assert!((logits[(0, 0)] - right).abs() < 1e-12, "{block}");
            let mut gaps: Vec<f64> = logits.column(2).iter().map(|z| right - z).collect();
            gaps.sort_by(f64::total_cmp);
            let mut listed = vec![0.0];
            for (count, gap) in block.wrong() {
                let gap: f64 = gap.iter().zip(&sizes).map(|(g, s)| g * s).sum();
                listed.extend(std::iter::repeat_n(gap, count as usize));
            }
            listed.sort_by(f64::total_cmp);
            assert_eq!(gaps.len(), listed.len(), "{block}");
            assert!(gaps.iter().zip(&listed).all(|(a, b)| (a - b).abs() < 1e-12), "{block}");
            let squares: f64 = components
                .iter()
                .zip(&sizes)
                .map(|(c, s)| c.multiplicity as f64 * (c.singular_value * s).powi(2))
                .sum();
            assert!((logits.norm_squared() / squares - 1.0).abs() < 1e-12, "{block}");
            let rank: usize = components.iter().map(|c| c.multiplicity).sum();
            assert_eq!(logits.rank(1e-9), rank, "{block}");
        }
    }

    #[test]
    fn an_origin_has_no_size() {
        let origin = Block::new(BlockShape::Origin, 1, 3);
        assert_eq!((origin.size_count(), origin.all_classes()), (0, 3));
        assert!(origin.components().is_empty() && origin.wrong().is_empty());
        assert_eq!(origin.natural_sizes(), [[0.0; 0]]);
        assert_eq!(origin.logits(&[]), DMatrix::zeros(1, 1));
    }

    /// Small angles keep their digits, and whole turns do not matter.
    #[test]
    fn versed_sines_keep_their_digits() {
        let small = 2.0 * (PI * 1e-6).powi(2) * (1.0 - (PI * 1e-6).powi(2) / 3.0);
        for turns in [0, 1, 1000] {
            let found = versed_sine(turns * 1_000_000 + 1, 1_000_000);
            assert!((found / small - 1.0).abs() < 1e-15, "{turns}: {found:e}");
        }
        assert_eq!(versed_sine(3, 6), 2.0);
    }

    #[test]
    fn triangular_roots_are_the_largest() {
        assert_eq!([1, 3, 9, 10, 14, 15].map(triangular_root), [2, 3, 4, 5, 5, 6]);
    }
}
