//! Structures of classes of several kinds whose sizes follow from a numerical descent that keeps their symmetry.

use core::f64::consts::PI;
use core::fmt;

use crate::models::cross_entropy::lattice::patches;
use crate::models::cross_entropy::spread::{filled, spread};

/// Classes in several orbits, as the vertices of a solid or of a path. Classifier and class means may have different
/// lengths, so that their logits are not symmetric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Solid {
    /// Classes in a row on one axis, which is mirror-symmetric: rank one.
    Path,
    /// 7 classes, 3 + 3 + 1: an octahedron with a cap on a face.
    CappedOctahedron,
    /// 8 classes, 4 + 4.
    SnubDisphenoid,
    /// 9 classes, 6 + 3: a triangular prism with a cap on each rectangle.
    TricappedPrism,
    /// 10 classes, 8 + 2: a square antiprism with two caps.
    GyroelongatedBipyramid,
    /// 10 classes, 3 + 3 + 3 + 1: three triangles and an apex.
    ThreeTrianglesAndApex,
    /// 11 classes, 5 + 5 + 1: an icosahedron without a vertex.
    IcosahedronWithoutVertex,
    /// 10 classes beside a bias, 6 + 3 + 1: a tricapped prism with a class at its center.
    CenteredTricappedPrism,
    /// 12 classes beside a bias, 5 + 5 + 1 + 1: an icosahedron that has a class at its center instead of a vertex.
    CenteredIcosahedronWithoutVertex,
    /// From 5 to 24 classes, beside a bias: classes in a plane as a compact patch of the triangular lattice, some of them
    /// inside of others.
    LatticePatch,
    /// From 11 to 24 classes, spread over a sphere in a space of this dimension, 3 to 6: far from each other, with the
    /// symmetry that comes of it.
    Spread(u8),
    /// From 11 to 24 classes beside a bias, all but one or two of them spread over a sphere in a space of this dimension,
    /// 3 or 4, and those inside.
    Filled(u8),
}

/// The most classes of a path, and of a patch.
const LONGEST_PATH: usize = 8;
const LARGEST_PATCH: usize = 24;
/// How many classes are spread over a sphere, for which nothing better is known, and in which dimensions.
const SPREAD: core::ops::RangeInclusive<usize> = 11..=24;
const SPREAD_DIMENSIONS: [u8; 4] = [3, 4, 5, 6];
const FILLED_DIMENSIONS: [u8; 2] = [3, 4];

impl Solid {
    /// The solids of K classes, with those that only a bias makes room for.
    pub(crate) fn of(classes: usize, has_bias: bool) -> Vec<Self> {
        let mut list = match classes {
            7 => vec![Self::CappedOctahedron],
            8 => vec![Self::SnubDisphenoid],
            9 => vec![Self::TricappedPrism],
            10 => vec![Self::GyroelongatedBipyramid, Self::ThreeTrianglesAndApex],
            11 => vec![Self::IcosahedronWithoutVertex],
            _ => Vec::new(),
        };
        if (4..=LONGEST_PATH).contains(&classes) {
            list.push(Self::Path);
        }
        if has_bias {
            match classes {
                10 => list.push(Self::CenteredTricappedPrism),
                12 => list.push(Self::CenteredIcosahedronWithoutVertex),
                _ => {}
            }
            if (5..=LARGEST_PATCH).contains(&classes) {
                list.push(Self::LatticePatch);
            }
        }
        if SPREAD.contains(&classes) {
            list.extend(SPREAD_DIMENSIONS.map(Self::Spread));
            if has_bias {
                list.extend(FILLED_DIMENSIONS.map(Self::Filled));
            }
        }
        list
    }

    /// The order of the symmetry group, or of what all patches or all spreads have in common.
    pub(crate) fn automorphisms(self) -> u128 {
        match self {
            Self::LatticePatch | Self::Spread(_) | Self::Filled(_) => 1,
            Self::Path => 2,
            Self::CappedOctahedron | Self::ThreeTrianglesAndApex => 6,
            Self::SnubDisphenoid => 8,
            Self::TricappedPrism | Self::CenteredTricappedPrism => 12,
            Self::GyroelongatedBipyramid => 16,
            Self::IcosahedronWithoutVertex | Self::CenteredIcosahedronWithoutVertex => 10,
        }
    }

    /// Dimension of the space.
    pub(crate) fn rank(self) -> usize {
        match self {
            Self::Path => 1,
            Self::LatticePatch => 2,
            Self::Spread(dimension) | Self::Filled(dimension) => usize::from(dimension),
            _ => 3,
        }
    }

    /// Positions of the classes, each of length [`rank`](Self::rank), from which descents start.
    pub(crate) fn starts(self, classes: usize) -> Vec<Vec<Vec<f64>>> {
        match self {
            Self::LatticePatch => patches(classes),
            Self::Spread(dimension) => spread(classes, usize::from(dimension)),
            Self::Filled(dimension) => filled(classes, usize::from(dimension)),
            _ => vec![self.positions(classes)],
        }
    }

    fn positions(self, classes: usize) -> Vec<Vec<f64>> {
        let ring = |count: usize, radius: f64, height: f64, turn: f64| {
            (0..count).map(move |place| {
                let angle = 2.0 * PI * (place as f64 + turn) / count as f64;
                vec![radius * angle.cos(), radius * angle.sin(), height]
            })
        };
        let rings = |rings: &[(usize, f64, f64, f64)]| -> Vec<Vec<f64>> {
            rings
                .iter()
                .flat_map(|&(count, radius, height, turn)| ring(count, radius, height, turn))
                .collect()
        };
        let centered = |solid: Self| {
            // Rings have their own numbers of classes, whatever that of all is.
            let mut positions = solid.positions(classes);
            positions.push(vec![0.0; 3]);
            positions
        };
        match self {
            Self::LatticePatch | Self::Spread(_) | Self::Filled(_) => Vec::new(),
            Self::CenteredTricappedPrism => centered(Self::TricappedPrism),
            Self::CenteredIcosahedronWithoutVertex => centered(Self::IcosahedronWithoutVertex),
            Self::Path => {
                let middle = (classes as f64 - 1.0) / 2.0;
                (0..classes).map(|class| vec![(class as f64 - middle) / middle]).collect()
            }
            Self::CappedOctahedron => {
                rings(&[(3, 0.97, 0.21, 0.0), (3, 0.62, -0.78, 0.5), (1, 0.0, 1.0, 0.0)])
            }
            Self::SnubDisphenoid => rings(&[
                (2, 0.55, 0.85, 0.0),
                (2, 0.55, -0.85, 0.5),
                (2, 0.95, 0.3, 0.5),
                (2, 0.95, -0.3, 0.0),
            ]),
            Self::TricappedPrism => {
                rings(&[(3, 0.75, 0.66, 0.0), (3, 0.75, -0.66, 0.0), (3, 1.0, 0.0, 0.5)])
            }
            Self::GyroelongatedBipyramid => rings(&[
                (4, 0.92, 0.4, 0.0),
                (4, 0.92, -0.4, 0.5),
                (1, 0.0, 1.0, 0.0),
                (1, 0.0, -1.0, 0.0),
            ]),
            Self::ThreeTrianglesAndApex => rings(&[
                (3, 0.9, 0.42, 0.0),
                (3, 0.95, -0.2, 0.5),
                (3, 0.55, -0.83, 0.0),
                (1, 0.0, 1.0, 0.0),
            ]),
            Self::IcosahedronWithoutVertex => {
                rings(&[(5, 0.894, 0.447, 0.0), (5, 0.894, -0.447, 0.5), (1, 0.0, 1.0, 0.0)])
            }
        }
    }
}

impl fmt::Display for Solid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Path => "path",
            Self::CappedOctahedron => "capped octahedron",
            Self::SnubDisphenoid => "snub disphenoid",
            Self::TricappedPrism => "tricapped prism",
            Self::GyroelongatedBipyramid => "gyroelongated square bipyramid",
            Self::ThreeTrianglesAndApex => "three triangles and an apex",
            Self::IcosahedronWithoutVertex => "icosahedron without a vertex",
            Self::CenteredTricappedPrism => "tricapped prism with a center",
            Self::CenteredIcosahedronWithoutVertex => "icosahedron without a vertex, with a center",
            Self::LatticePatch => "patch of a triangular lattice",
            Self::Spread(dimension) => {
                return write!(f, "points spread over a sphere, rank {dimension}");
            }
            Self::Filled(dimension) => {
                return write!(f, "points spread over a sphere and inside, rank {dimension}");
            }
        };
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use super::*;
    use crate::models::low_rank::symmetry::symmetry;

    /// ⟨x_i, x_j⟩.
    fn gram(positions: &[Vec<f64>]) -> DMatrix<f64> {
        let size = positions.len();
        DMatrix::from_fn(size, size, |i, j| {
            positions[i].iter().zip(&positions[j]).map(|(a, b)| a * b).sum()
        })
    }

    /// As charges on a sphere the vertices have nearly the least energy there is (the known minima of Thomson's problem),
    /// and they have the symmetry that is claimed, so that descents from them keep it.
    #[test]
    fn solids_are_near_their_shapes() {
        use Solid::*;
        for (solid, classes, least) in [
            (CappedOctahedron, 7, 14.452_977_414),
            (SnubDisphenoid, 8, 19.675_287_861),
            (TricappedPrism, 9, 25.759_986_531),
            (GyroelongatedBipyramid, 10, 32.716_949_460),
            (ThreeTrianglesAndApex, 10, 32.716_949_460),
            (IcosahedronWithoutVertex, 11, 40.596_450_510),
        ] {
            let positions = solid.starts(classes).remove(0);
            assert_eq!(positions.len(), classes, "{solid}");
            assert!(positions.iter().all(|position| position.len() == solid.rank()), "{solid}");
            let gram = gram(&positions);
            let mut energy = 0.0;
            for i in 0..classes {
                assert!((gram[(i, i)] - 1.0).abs() < 0.07, "{solid}: {}", gram[(i, i)]);
                for j in 0..i {
                    energy += (gram[(i, i)] + gram[(j, j)] - 2.0 * gram[(i, j)]).sqrt().recip();
                }
            }
            assert!((energy / least - 1.0).abs() < 0.03, "{solid}: {energy}");
            let found = symmetry(&gram, &vec![Vec::new(); classes]);
            assert_eq!(found.order, Some(solid.automorphisms()), "{solid}");
        }
        for (solid, around, classes) in [
            (CenteredTricappedPrism, TricappedPrism, 10),
            (CenteredIcosahedronWithoutVertex, IcosahedronWithoutVertex, 12),
        ] {
            let positions = solid.starts(classes).remove(0);
            assert_eq!(positions[..classes - 1], around.starts(classes - 1)[0], "{solid}");
            assert_eq!(positions[classes - 1], [0.0; 3], "{solid}");
            assert_eq!(solid.automorphisms(), around.automorphisms());
        }
        // A ring is turned by its share of a place: here by half of one, 60°.
        let second_ring = &CappedOctahedron.starts(7)[0][3];
        let turned = [0.62 / 2.0, 0.62 * 0.75_f64.sqrt(), -0.78];
        assert!(second_ring.iter().zip(turned).all(|(a, b)| (a - b).abs() < 1e-15));
        assert_eq!(Path.starts(5), [[-1.0, -0.5, 0.0, 0.5, 1.0].map(|at| vec![at]).to_vec()]);
        assert_eq!(symmetry(&gram(&Path.starts(5)[0]), &vec![Vec::new(); 5]).order, Some(2));
    }

    #[test]
    fn every_solid_belongs_to_its_number_of_classes() {
        let named = |classes: usize, has_bias: bool| -> Vec<String> {
            Solid::of(classes, has_bias).iter().map(ToString::to_string).collect()
        };
        assert!(named(3, true).is_empty());
        assert_eq!(named(4, true), ["path"]);
        assert_eq!(named(8, false), ["snub disphenoid", "path"]);
        assert_eq!(named(8, true), ["snub disphenoid", "path", "patch of a triangular lattice"]);
        assert_eq!(Solid::of(10, true).len(), 4);
        assert_eq!((Solid::of(11, false).len(), Solid::of(11, true).len()), (5, 8));
        assert_eq!((Solid::of(12, false).len(), Solid::of(12, true).len()), (4, 8));
        assert_eq!((Solid::of(24, false).len(), Solid::of(24, true).len()), (4, 7));
        assert!(named(25, true).is_empty());
        let ranks = Solid::of(24, true).into_iter().map(Solid::rank).collect::<Vec<_>>();
        assert_eq!(ranks, [2, 3, 4, 5, 6, 3, 4]);
        for solid in Solid::of(13, true) {
            assert_eq!(solid.automorphisms(), 1);
            for start in solid.starts(13) {
                assert!(start.len() == 13 && start.iter().all(|at| at.len() == solid.rank()));
            }
        }
    }
}
