//! Spherical codes that are tight frames: sets of unit vectors with few distances and much symmetry.

use core::fmt;

use nalgebra::DMatrix;

/// k unit vectors in ℝʳ with VVᵀ = (k/r) I that all look alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum SphericalCode {
    /// 12 vertices of the icosahedron in ℝ³.
    Icosahedron,
    /// 16 vertices of the half 5-cube in ℝ⁵, neighbors as in the Clebsch graph.
    HalfFiveCube,
    /// 24 vertices of the 24-cell in ℝ⁴, the roots of D₄.
    TwentyFourCell,
    /// 27 vertices of the polytope 2₂₁ in ℝ⁶, neighbors as in the Schläfli graph.
    Schlaefli,
    /// 32 vertices of the half 6-cube in ℝ⁶.
    HalfSixCube,
    /// 56 vertices of the polytope 3₂₁ in ℝ⁷.
    Hess,
    /// 100 vectors in ℝ²² with the Higman–Sims graph.
    HigmanSims,
    /// 120 vertices of the 600-cell in ℝ⁴.
    SixHundredCell,
    /// 240 roots of E₈ in ℝ⁸.
    EightRoots,
}

impl SphericalCode {
    /// All codes, by rising number of vectors.
    pub(crate) const ALL: [Self; 9] = [
        Self::Icosahedron,
        Self::HalfFiveCube,
        Self::TwentyFourCell,
        Self::Schlaefli,
        Self::HalfSixCube,
        Self::Hess,
        Self::HigmanSims,
        Self::SixHundredCell,
        Self::EightRoots,
    ];

    /// Number k of vectors.
    #[must_use]
    pub fn vectors(self) -> usize {
        match self {
            Self::Icosahedron => 12,
            Self::HalfFiveCube => 16,
            Self::TwentyFourCell => 24,
            Self::Schlaefli => 27,
            Self::HalfSixCube => 32,
            Self::Hess => 56,
            Self::HigmanSims => 100,
            Self::SixHundredCell => 120,
            Self::EightRoots => 240,
        }
    }

    /// Dimension r of the space.
    #[must_use]
    pub fn dimension(self) -> usize {
        match self {
            Self::Icosahedron => 3,
            Self::TwentyFourCell | Self::SixHundredCell => 4,
            Self::HalfFiveCube => 5,
            Self::Schlaefli | Self::HalfSixCube => 6,
            Self::Hess => 7,
            Self::EightRoots => 8,
            Self::HigmanSims => 22,
        }
    }

    /// How many other vectors have which inner product with a vector.
    pub(crate) fn distances(self) -> Vec<(f64, f64)> {
        let golden = (1.0 + 5.0_f64.sqrt()) / 2.0;
        match self {
            Self::Icosahedron => {
                let cosine = 5.0_f64.sqrt().recip();
                vec![(5.0, cosine), (5.0, -cosine), (1.0, -1.0)]
            }
            Self::HalfFiveCube => vec![(10.0, 0.2), (5.0, -0.6)],
            Self::TwentyFourCell => vec![(8.0, 0.5), (6.0, 0.0), (8.0, -0.5), (1.0, -1.0)],
            Self::Schlaefli => vec![(16.0, 0.25), (10.0, -0.5)],
            Self::HalfSixCube => vec![(15.0, 1.0 / 3.0), (15.0, -1.0 / 3.0), (1.0, -1.0)],
            Self::Hess => vec![(27.0, 1.0 / 3.0), (27.0, -1.0 / 3.0), (1.0, -1.0)],
            Self::HigmanSims => vec![(77.0, 1.0 / 11.0), (22.0, -4.0 / 11.0)],
            Self::SixHundredCell => vec![
                (12.0, golden / 2.0),
                (20.0, 0.5),
                (12.0, (golden - 1.0) / 2.0),
                (30.0, 0.0),
                (12.0, (1.0 - golden) / 2.0),
                (20.0, -0.5),
                (12.0, -golden / 2.0),
                (1.0, -1.0),
            ],
            Self::EightRoots => vec![(56.0, 0.5), (126.0, 0.0), (56.0, -0.5), (1.0, -1.0)],
        }
    }

    /// The Gram matrix of the vectors.
    pub(crate) fn gram(self) -> DMatrix<f64> {
        if self == Self::HigmanSims {
            return higman_sims_gram();
        }
        let vectors = match self {
            Self::HalfFiveCube => half_cube(5),
            Self::HalfSixCube => half_cube(6),
            Self::TwentyFourCell => signed_pairs(4),
            Self::EightRoots => eight_roots(),
            Self::Hess => hess(),
            Self::Schlaefli => schlaefli(),
            Self::SixHundredCell => six_hundred_cell(),
            _ => icosahedron(),
        };
        let rows: Vec<f64> = vectors.iter().flat_map(|vector| unit(vector)).collect();
        let columns = vectors.first().map_or(0, Vec::len);
        let matrix = DMatrix::from_row_slice(vectors.len(), columns, &rows);
        &matrix * matrix.transpose()
    }
}

fn unit(vector: &[f64]) -> Vec<f64> {
    let norm = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    vector.iter().map(|x| x / norm).collect()
}

/// All vectors of ±1 with the given length.
fn signs(length: u32) -> impl Iterator<Item = Vec<f64>> {
    let sign = |bits: usize, place: u32| if bits >> place & 1 == 0 { 1.0 } else { -1.0 };
    (0..1_usize << length).map(move |bits| (0..length).map(|place| sign(bits, place)).collect())
}

/// Those with an even number of −1.
fn half_cube(length: u32) -> Vec<Vec<f64>> {
    signs(length).filter(|vertex| vertex.iter().product::<f64>() > 0.0).collect()
}

/// ±eᵢ ± eⱼ.
fn signed_pairs(dimension: usize) -> Vec<Vec<f64>> {
    let mut vectors = Vec::new();
    for i in 0..dimension {
        for j in 0..i {
            for pair in signs(2) {
                let mut vector = vec![0.0; dimension];
                (vector[i], vector[j]) = (pair[0], pair[1]);
                vectors.push(vector);
            }
        }
    }
    vectors
}

/// ±eᵢ ± eⱼ, and (±½, …, ±½) with an even number of −½: lengths do not count.
fn eight_roots() -> Vec<Vec<f64>> {
    signed_pairs(8).into_iter().chain(half_cube(8)).collect()
}

/// ±(3, 3, −1, −1, −1, −1, −1, −1) and its permutations.
fn hess() -> Vec<Vec<f64>> {
    let mut vectors = Vec::new();
    for i in 0..8 {
        for j in 0..i {
            for sign in [1.0, -1.0] {
                vectors.push(
                    (0..8).map(|k| sign * if k == i || k == j { 3.0 } else { -1.0 }).collect(),
                );
            }
        }
    }
    vectors
}

/// The neighbors of one vertex of 3₂₁, without their part along it.
fn schlaefli() -> Vec<Vec<f64>> {
    let vertices = hess();
    let Some((first, others)) = vertices.split_first() else { return Vec::new() };
    let product = |v: &[f64]| v.iter().zip(first).map(|(x, y)| x * y).sum::<f64>();
    let neighbors = others.iter().filter(|v| product(v) == 8.0);
    neighbors.map(|v| v.iter().zip(first).map(|(x, y)| x - y / 3.0).collect()).collect()
}

/// The cyclic permutations of (0, ±1, ±φ).
fn icosahedron() -> Vec<Vec<f64>> {
    let golden = (1.0 + 5.0_f64.sqrt()) / 2.0;
    let mut vectors = Vec::new();
    for [one, other] in [[1, 2], [2, 0], [0, 1]] {
        for pair in signs(2) {
            let mut vector = vec![0.0; 3];
            (vector[one], vector[other]) = (pair[0], golden * pair[1]);
            vectors.push(vector);
        }
    }
    vectors
}

/// ±eᵢ, (±½, ±½, ±½, ±½) and the even permutations of (±φ, ±1, ±1/φ, 0)/2, up to their lengths.
fn six_hundred_cell() -> Vec<Vec<f64>> {
    let golden = (1.0 + 5.0_f64.sqrt()) / 2.0;
    let mut vectors: Vec<Vec<f64>> = signs(4).collect();
    for axis in 0..4 {
        for sign in [1.0, -1.0] {
            vectors.push((0..4).map(|k| if k == axis { sign } else { 0.0 }).collect());
        }
    }
    for order in even_permutations_of_four() {
        for sign in signs(3) {
            let entries = [sign[0] * golden, sign[1], sign[2] / golden, 0.0];
            let mut vector = vec![0.0; 4];
            for (entry, place) in entries.into_iter().zip(order) {
                vector[place] = entry;
            }
            vectors.push(vector);
        }
    }
    vectors
}

fn even_permutations_of_four() -> Vec<[usize; 4]> {
    let mut list = Vec::new();
    for code in 0..256_usize {
        let order = [code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6];
        let pairs = (0..4).flat_map(|i| (0..i).map(move |j| (j, i)));
        let inversions = pairs.clone().filter(|&(j, i)| order[j].cmp(&order[i]).is_gt()).count();
        let distinct = pairs.clone().all(|(j, i)| order[j] != order[i]);
        if distinct && inversions % 2 == 0 {
            list.push(order);
        }
    }
    list
}

/// The Gram matrix of the 22-dimensional eigenspace of the Higman–Sims graph: one vertex, 22 points and the 77
/// hexads of the Steiner system S(3, 6, 22); points and their hexads are neighbors, and disjoint hexads.
fn higman_sims_gram() -> DMatrix<f64> {
    let hexads = hexads();
    let count = 23 + hexads.len();
    let adjacent = |i: usize, j: usize| match (i.min(j), i.max(j)) {
        (0, high) => (1..23).contains(&high),
        (_, high) if high < 23 => false,
        (low, high) if low < 23 => hexads[high - 23] >> (low - 1) & 1 == 1,
        (low, high) => hexads[low - 23] & hexads[high - 23] == 0,
    };
    DMatrix::from_fn(count, count, |i, j| match (i == j, adjacent(i, j)) {
        (true, _) => 1.0,
        (false, true) => -4.0 / 11.0,
        (false, false) => 1.0 / 11.0,
    })
}

/// The words of weight 8 of the extended Golay code that contain two given places, without these.
fn hexads() -> Vec<u32> {
    // The binary Golay code of length 23 has the generator x¹¹ + x⁹ + x⁷ + x⁶ + x⁵ + x + 1.
    const GENERATOR: u32 = 0b1010_1110_0011;
    let word = |message: u32| {
        let bits = (0..12).filter(|bit| message >> bit & 1 == 1);
        let word = bits.fold(0, |word, bit| word ^ GENERATOR << bit);
        word | (word.count_ones() & 1) << 23
    };
    let octads = (0..1_u32 << 12).map(word).filter(|word| word.count_ones() == 8);
    octads.filter(|octad| octad >> 22 == 3).map(|octad| octad & ((1 << 22) - 1)).collect()
}

impl fmt::Display for SphericalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Icosahedron => "icosahedron",
            Self::HalfFiveCube => "half 5-cube",
            Self::TwentyFourCell => "24-cell",
            Self::Schlaefli => "Schläfli 2₂₁",
            Self::HalfSixCube => "half 6-cube",
            Self::Hess => "Hess 3₂₁",
            Self::HigmanSims => "Higman–Sims",
            Self::SixHundredCell => "600-cell",
            Self::EightRoots => "E₈ roots",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not their mirror images, and in this order, which is that of the classes.
    #[test]
    fn vertices_have_an_order() {
        let pairs = [[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]];
        assert!(signs(2).eq(pairs.map(Vec::from)));
        assert_eq!(half_cube(3)[0], [1.0; 3]);
        let orders = even_permutations_of_four();
        assert!(orders.len() == 12 && orders.contains(&[0, 1, 2, 3]));
    }

    #[test]
    fn codes_are_tight_frames_with_the_distances_listed() {
        for code in SphericalCode::ALL {
            let gram = code.gram();
            let (count, rank) = (code.vectors(), code.dimension());
            assert_eq!(gram.shape(), (count, count), "{code}");
            // The Gram matrix of a tight frame is k/r times a projector of rank r.
            let squared = &gram * &gram;
            let frame = count as f64 / rank as f64;
            assert!((&squared - &gram * frame).amax() < 1e-12 * frame, "{code}");
            assert!((gram.trace() / frame - rank as f64).abs() < 1e-12, "{code}");
            let listed: f64 = code.distances().iter().map(|(count, _)| count).sum();
            assert_eq!(listed + 1.0, count as f64, "{code}");
            for row in gram.row_iter() {
                for (expected, cosine) in code.distances() {
                    let found = row.iter().filter(|x| (**x - cosine).abs() < 1e-12).count();
                    assert_eq!(found as f64, expected, "{code}: {cosine}");
                }
            }
        }
    }
}
