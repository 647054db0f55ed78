//! The structures that compete with the simplex ETF for given K and bias.

use crate::models::cross_entropy::block::{Block, BlockShape, triangular_root};
use crate::models::cross_entropy::codes::SphericalCode;
use crate::models::cross_entropy::structure::LogitStructure;
use crate::problem::regularization::Bias;

/// The largest simplices and polygons that a direct sum is made of, unless it is one polygon.
const LARGEST_BLOCK: usize = 24;
/// The largest polygon that is tried: neighbors are 20/k² apart, which does not pay.
const LARGEST_POLYGON: usize = 1000;
/// The most products that are listed: 2^10 has 41.
const MOST_PRODUCTS: usize = 64;
/// The most classes of a circulant with two frequencies, of one with three, and of one that is a block.
const MOST_TWO_FREQUENCIES: usize = 100;
const MOST_THREE_FREQUENCIES: usize = 20;
const MOST_BLOCK_FREQUENCIES: usize = 12;

/// The structures that are tried whatever the strength.
pub(crate) fn structures(classes: usize, bias: Bias) -> Vec<LogitStructure> {
    let polygon = |k| Block::new(BlockShape::Polygon, k, 1);
    let pairs = |copies| Block::new(BlockShape::Simplex, 2, copies);
    let room = classes <= LARGEST_POLYGON;
    let mut list: Vec<LogitStructure> = Vec::new();
    if classes >= 4 && classes.is_multiple_of(2) {
        list.push(LogitStructure::DirectSum(vec![pairs(classes / 2)]));
    }
    if classes >= 6 && classes.is_multiple_of(2) && room {
        list.push(LogitStructure::antiprism(classes));
    }
    let wholes = single_blocks(classes).into_iter().filter(|b| b.shape != BlockShape::Simplex);
    let wholes = wholes.chain(circulants(classes));
    list.extend(wholes.map(|block| LogitStructure::DirectSum(vec![block])));
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
    let mut different: Vec<LogitStructure> = Vec::new();
    for structure in list {
        if !different.contains(&structure) {
            different.push(structure);
        }
    }
    different
}

/// The blocks that the best partition of K classes is made of, beside classes at the origin.
pub(crate) fn partition_blocks(classes: usize) -> Vec<Block> {
    let mut list: Vec<Block> = Vec::new();
    for size in 2..=classes {
        let singles = single_blocks(size).into_iter();
        list.extend(singles.filter(|block| size <= LARGEST_BLOCK || is_special(block.shape)));
        if size <= MOST_BLOCK_FREQUENCIES {
            list.extend(circulants(size));
        }
        if size >= LARGEST_POLYGON {
            break;
        }
    }
    list
}

/// Whether a shape is found for few numbers of classes only.
fn is_special(shape: BlockShape) -> bool {
    matches!(shape, BlockShape::Triangular | BlockShape::Code(_))
}

/// Products of simplices, and those in which large factors are polygons.
fn products(classes: usize) -> Vec<Vec<Block>> {
    let mut factorizations = Vec::new();
    extend_products(classes, 2, &mut Vec::new(), &mut factorizations);
    let blocks = |factors: &[usize], smallest_polygon: usize| -> Vec<Block> {
        let polygons = smallest_polygon..=LARGEST_POLYGON;
        let shape = |k| {
            if polygons.contains(&k) { BlockShape::Polygon } else { BlockShape::Simplex }
        };
        factors.iter().map(|&k| Block::new(shape(k), k, 1)).collect()
    };
    let both = |factors: &Vec<usize>| [blocks(factors, usize::MAX), blocks(factors, 5)];
    let mut list: Vec<_> = factorizations.iter().flat_map(both).collect();
    list.dedup();
    list
}

/// Direct sums of a main part and a second one, which a bias sets apart from each other.
fn with_bias(classes: usize) -> Vec<Vec<Block>> {
    let mut list = Vec::new();
    for rest in 1..=classes.min(LARGEST_BLOCK) / 2 {
        let main = classes - rest;
        let mut seconds = parts(rest);
        if rest >= 2 {
            seconds.push(Block::new(BlockShape::Origin, 1, rest));
        }
        let circles = if main <= MOST_BLOCK_FREQUENCIES { circulants(main) } else { Vec::new() };
        let circles = circles.into_iter().filter(|block| block.size_count() == 2);
        for first in parts(main).into_iter().chain(circles) {
            list.extend(seconds.iter().map(|&second| vec![first, second]));
        }
    }
    list
}

/// One block of k classes, or k/2 pairs.
fn parts(classes: usize) -> Vec<Block> {
    let mut parts = single_blocks(classes);
    if classes >= 4 && classes.is_multiple_of(2) {
        parts.push(Block::new(BlockShape::Simplex, 2, classes / 2));
    }
    parts
}

/// The blocks of k classes with one size.
fn single_blocks(classes: usize) -> Vec<Block> {
    let mut shapes = match classes {
        1 => vec![BlockShape::Origin],
        2..=4 => vec![BlockShape::Simplex],
        _ if classes > LARGEST_POLYGON => vec![BlockShape::Simplex],
        _ => vec![BlockShape::Simplex, BlockShape::Polygon],
    };
    let things = triangular_root(classes);
    if things >= 5 && things * (things - 1) / 2 == classes {
        shapes.push(BlockShape::Triangular);
    }
    let codes = SphericalCode::ALL.into_iter().filter(|code| code.vectors() == classes);
    shapes.extend(codes.map(BlockShape::Code));
    shapes.into_iter().map(|shape| Block::new(shape, classes, 1)).collect()
}

/// The circulants of k classes with two or three frequencies, one for each set of those that are the same up
/// to the order of the classes.
fn circulants(classes: usize) -> Vec<Block> {
    let Ok(half) = u16::try_from(classes / 2) else { return Vec::new() };
    if !(5..=MOST_TWO_FREQUENCIES).contains(&classes) {
        return Vec::new();
    }
    let mut list = Vec::new();
    for low in 1..half {
        for middle in low + 1..=half {
            list.push([low, middle, 0]);
            if classes <= MOST_THREE_FREQUENCIES {
                list.extend((middle + 1..=half).map(|high| [low, middle, high]));
            }
        }
    }
    let canonical = list.into_iter().filter(|&frequencies| is_canonical(frequencies, classes));
    canonical
        .map(|frequencies| Block::new(BlockShape::Circulant(frequencies), classes, 1))
        .collect()
}

/// Whether frequencies tell all classes apart, and are the smallest of those that renumbering the classes of
/// the circle leads to.
fn is_canonical(frequencies: [u16; 3], classes: usize) -> bool {
    let used = frequencies.into_iter().map(usize::from).filter(|&frequency| frequency > 0);
    // All frequencies together are a simplex.
    if used.clone().count() == classes / 2 {
        return false;
    }
    if used.clone().fold(classes, greatest_common_divisor) > 1 {
        return false;
    }
    let own: Vec<usize> = used.collect();
    let units = (2..classes).filter(|&unit| greatest_common_divisor(unit, classes) == 1);
    let mut others = units.map(|unit| {
        let image = |frequency: &usize| {
            let image = frequency * unit % classes;
            image.min(classes - image)
        };
        let mut images: Vec<usize> = own.iter().map(image).collect();
        images.sort_unstable();
        images
    });
    others.all(|other| own <= other)
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn circulants_are_listed_once_each() {
        let names = |k| circulants(k).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(6), ["6-circulant(1,2)", "6-antiprism", "6-circulant(2,3)"]);
        // The pairs of frequencies of seven classes go over into each other.
        assert_eq!(names(7), ["7-circulant(1,2)"]);
        assert!(names(12).contains(&"12-circulant(2,3)".to_string()));
        assert!(circulants(5).is_empty() && circulants(101).is_empty());
    }

    /// Beside a bias the second block may be origins or pairs, and the first one a code or a T_m.
    #[test]
    fn a_bias_has_second_blocks_of_every_kind() {
        let names = |k, bias| -> Vec<String> {
            structures(k, bias).iter().map(ToString::to_string).collect()
        };
        for (classes, name) in [
            (4, "pair ⊕ 2 × origin"),
            (7, "5-gon ⊕ 2 × origin"),
            (9, "5-gon ⊕ 2 × pair"),
            (10, "8-antiprism ⊕ pair"),
            (12, "T₅ ⊕ pair"),
            (18, "half 5-cube ⊕ pair"),
        ] {
            let name = name.to_string();
            assert!(names(classes, Bias::Unregularized).contains(&name), "{name}");
            assert!(!names(classes, Bias::None).contains(&name), "{name}");
        }
        // Without one the search for a partition has codes, triangular graphs and circulants as blocks.
        let blocks: Vec<String> = partition_blocks(24).iter().map(ToString::to_string).collect();
        for name in ["half 5-cube", "24-cell", "icosahedron", "T₅", "12-circulant(2,3)"] {
            assert!(blocks.contains(&name.to_string()), "{name}");
        }
    }

    #[test]
    fn every_structure_has_all_classes() {
        for classes in [3, 4, 7, 10, 12, 16, 24, 27, 36, 240] {
            for structure in structures(classes, Bias::Unregularized) {
                let kinds: usize = structure.kinds(classes).iter().sum();
                assert_eq!(kinds, classes, "{structure}");
            }
        }
    }

    /// The orbits of sets of two or three frequencies under all renumberings of the circle, by brute force.
    #[test]
    fn every_orbit_of_frequencies_has_one_circulant() {
        for classes in 5..=21_usize {
            let fold = |frequency: usize| frequency.min(classes - frequency);
            let divisors = || (2..=classes).filter(|&d| classes.is_multiple_of(d));
            let coprime = |unit: usize| divisors().all(|d| !unit.is_multiple_of(d));
            let tells_apart = |set: &BTreeSet<usize>| {
                divisors().all(|d| set.iter().any(|frequency| !frequency.is_multiple_of(d)))
            };
            let orbit = |set: &BTreeSet<usize>| -> BTreeSet<BTreeSet<usize>> {
                let units = (1..classes).filter(|&unit| coprime(unit));
                units.map(|unit| set.iter().map(|f| fold(f * unit % classes)).collect()).collect()
            };
            let numbers = || 1..=classes / 2;
            let triples = numbers().flat_map(|a| {
                numbers().flat_map(move |b| numbers().map(move |c| BTreeSet::from([a, b, c])))
            });
            let most = if classes <= 20 { 3 } else { 2 };
            let used =
                |set: &BTreeSet<usize>| (2..=most).contains(&set.len()) && set.len() < classes / 2;
            let expected: BTreeSet<_> = triples
                .filter(|set| used(set) && tells_apart(set))
                .map(|set| orbit(&set))
                .collect();
            let listed: Vec<_> = circulants(classes)
                .into_iter()
                .map(|block| {
                    let BlockShape::Circulant(all) = block.shape else { panic!("{block}") };
                    orbit(&all.into_iter().filter(|&f| f > 0).map(usize::from).collect())
                })
                .collect();
            assert_eq!(listed.len(), expected.len(), "{classes}");
            assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), expected, "{classes}");
        }
    }

    /// The numbers of ways to write K as a product (OEIS A001055, without K itself), at most 64 of them.
    #[test]
    fn products_are_all_factorizations() {
        for (classes, ways) in
            [(2, 0), (7, 0), (8, 2), (12, 3), (36, 8), (64, 10), (360, 51), (1024, 41), (4096, 64)]
        {
            let mut factorizations = Vec::new();
            extend_products(classes, 2, &mut Vec::new(), &mut factorizations);
            assert_eq!(factorizations.len(), ways, "{classes}");
            for factors in &factorizations {
                assert!(factors.is_sorted() && factors.len() > 1, "{factors:?}");
                assert_eq!(factors.iter().product::<usize>(), classes);
            }
        }
    }

    /// The whole list for few classes, without a bias and what comes with one; for more classes how many there are.
    #[test]
    fn small_numbers_of_classes_have_these_structures() {
        let names = |list: &[LogitStructure]| -> String {
            list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        let both = |classes: usize| {
            let plain = structures(classes, Bias::None);
            let mut all = structures(classes, Bias::Unregularized);
            assert_eq!(all[..plain.len()], plain);
            let with_bias = all.split_off(plain.len());
            (plain, with_bias)
        };
        for (classes, plain, with_bias) in [
            (2, "", "origin ⊕ origin"),
            (3, "", "pair ⊕ origin"),
            (4, "2 × pair, pair ⊗ pair", "triangle ⊕ origin, pair ⊕ pair, pair ⊕ 2 × origin"),
            (
                5,
                "5-gon, pyramid over 2 × pair",
                "4-simplex ⊕ origin, 2 × pair ⊕ origin, triangle ⊕ pair, triangle ⊕ 2 × origin",
            ),
            (
                6,
                "3 × pair, 6-antiprism, 6-gon, 6-circulant(1,2), 6-circulant(2,3), pyramid over 5-gon, pair ⊗ triangle",
                "5-simplex ⊕ origin, 5-gon ⊕ origin, 4-simplex ⊕ pair, 4-simplex ⊕ 2 × origin, 2 × pair ⊕ pair, \
                 2 × pair ⊕ 2 × origin, triangle ⊕ triangle, triangle ⊕ 3 × origin",
            ),
        ] {
            let (found, with_found) = both(classes);
            assert_eq!((names(&found), names(&with_found)), (plain.into(), with_bias.into()));
        }
        let found = names(&structures(10, Bias::None));
        assert!(
            found
                .ends_with("10-circulant(2,5), pyramid over 9-gon, pair ⊗ 5-simplex, pair ⊗ 5-gon")
        );
        assert!(found.starts_with("5 × pair, 10-antiprism, 10-gon, T₅, 10-circulant(1,2)"));
        for (classes, counts) in [
            (8, (11, 25)),
            (9, (8, 30)),
            (11, (7, 56)),
            (12, (28, 81)),
            (13, (10, 79)),
            (14, (23, 104)),
            (60, (63, 105)),
        ] {
            let (plain, with_bias) = both(classes);
            assert_eq!((plain.len(), with_bias.len()), counts, "{classes}");
        }
        // Polygons beyond a thousand classes are left out, and antiprisms and pyramids over them.
        assert_eq!(
            names(&structures(1006, Bias::None)),
            "503 × pair, pair ⊗ 503-simplex, pair ⊗ 503-gon"
        );
        assert_eq!(names(&structures(1009, Bias::None)), "pyramid over 504 × pair");
    }

    /// Blocks of one size: polygons from five classes to a thousand, and what few numbers of classes have.
    #[test]
    fn blocks_have_their_numbers_of_classes() {
        let names = |k| single_blocks(k).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(1), ["origin"]);
        assert_eq!((names(2), names(4)), (vec!["pair".into()], vec!["4-simplex".to_string()]));
        assert_eq!(names(6), ["6-simplex", "6-gon"]);
        assert_eq!(names(10), ["10-simplex", "10-gon", "T₅"]);
        assert_eq!(names(56), ["56-simplex", "56-gon", "Hess 3₂₁"]);
        assert_eq!(names(1000), ["1000-simplex", "1000-gon"]);
        assert_eq!(names(1001), ["1001-simplex"]);
        // The parts of a partition are small, or special.
        let blocks: Vec<String> = partition_blocks(30).iter().map(ToString::to_string).collect();
        for (name, is_part) in [
            ("24-gon", true),
            ("25-gon", false),
            ("30-simplex", false),
            ("T₈", true),
            ("Schläfli 2₂₁", true),
            ("13-circulant(1,2)", false),
        ] {
            assert_eq!(blocks.contains(&name.to_string()), is_part, "{name}");
        }
    }
}
