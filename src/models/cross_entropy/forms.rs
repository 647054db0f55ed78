//! The loss of each structure as a function of its sizes and biases.

use core::ops::Range;

use crate::models::cross_entropy::block::Block;
use crate::models::cross_entropy::reduced::{Kind, Reduced, SingularForm};
use crate::problem::regularization::Bias;

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

    fn singular_form(&self, multiplicity: usize, squares: &[(usize, f64)]) -> SingularForm {
        let mut all = vec![0.0; self.dimension()];
        for &(index, square) in squares {
            all[index] = square;
        }
        SingularForm { multiplicity, squares: all }
    }

    /// Sizes as given, and with biases for each of them and of the sizes of the first start one with
    /// another proportion.
    fn starts(&self, natural: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let mut starts = natural.to_vec();
        starts.iter_mut().for_each(|start| start.resize(self.dimension(), 0.0));
        let Some(plain) = starts.first().cloned() else { return starts };
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

/// The blocks with the places of their sizes.
pub(crate) fn sized(blocks: &[Block]) -> impl Iterator<Item = (Block, Range<usize>)> + '_ {
    let mut next = 0;
    blocks.iter().map(move |&block| {
        let first = next;
        next += block.size_count();
        (block, first..next)
    })
}

/// Coefficients for the sizes at these places.
fn at(places: &Range<usize>, coefficients: impl IntoIterator<Item = f64>) -> Vec<(usize, f64)> {
    places.clone().zip(coefficients).collect()
}

/// The right logit as coefficients of the sizes.
fn right(block: Block, places: &Range<usize>) -> Vec<(usize, f64)> {
    at(places, block.components().into_iter().map(|component| component.right))
}

/// The singular values of all copies of a block, stretched by a factor.
fn singular_forms(
    layout: &Layout,
    block: Block,
    places: &Range<usize>,
    stretch: f64,
) -> Vec<SingularForm> {
    let components = block.components().into_iter().zip(places.clone());
    components
        .map(|(component, place)| {
            let value = component.singular_value * stretch;
            layout.singular_form(component.multiplicity * block.copies, &[(place, value * value)])
        })
        .collect()
}

/// The proportions of all blocks together: the first one of each, and the others one by one.
fn natural_sizes(blocks: &[Block]) -> Vec<Vec<f64>> {
    let each: Vec<Vec<Vec<f64>>> = blocks.iter().map(|block| block.natural_sizes()).collect();
    let choice = |varied: usize, variant: usize| -> Vec<f64> {
        let chosen = each.iter().enumerate().filter_map(|(index, variants)| {
            variants.get(if index == varied { variant } else { 0 })
        });
        chosen.flatten().copied().collect()
    };
    let mut all = vec![choice(0, 0)];
    for (index, variants) in each.iter().enumerate() {
        all.extend((1..variants.len()).map(|variant| choice(index, variant)));
    }
    all
}

/// A block of classes among `classes`, as a kind, with the gap right + b − b' to other kinds.
fn block_kind(layout: &Layout, own: usize, blocks: &[Block], classes: usize) -> Option<Kind> {
    let (block, places) = sized(blocks).nth(own)?;
    let outside = right(block, &places);
    let mut wrong: Vec<_> = block
        .wrong()
        .into_iter()
        .map(|(count, gaps)| (count, layout.gap(&at(&places, gaps), own, own)))
        .collect();
    for (other, &of_other) in blocks.iter().enumerate() {
        let own_copy = if other == own { block.classes } else { 0 };
        let count = of_other.all_classes() - own_copy;
        if count > 0 {
            wrong.push((count as f64, layout.gap(&outside, own, other)));
        }
    }
    let listed: usize = blocks.iter().map(|block| block.all_classes()).sum();
    if listed < classes {
        // Classes that are not listed have the logit 0.
        wrong.push(((classes - listed) as f64, layout.gap(&outside, own, own)));
    }
    Some(Kind { weight: block.all_classes() as f64 / classes as f64, wrong })
}

/// The loss of blocks. Classes that are in none of them count as wrong logits 0 only.
pub(crate) fn direct_sum(blocks: &[Block], classes: usize, bias: Bias) -> Reduced {
    let sizes = blocks.iter().map(|block| block.size_count()).sum();
    let layout = Layout::new(sizes, blocks.len(), bias);
    let kinds = (0..blocks.len()).filter_map(|own| block_kind(&layout, own, blocks, classes));
    let singular_forms = sized(blocks)
        .flat_map(|(block, places)| singular_forms(&layout, block, &places, 1.0))
        .collect();
    let counts: Vec<usize> = blocks.iter().map(|block| block.all_classes()).collect();
    Reduced {
        kinds: kinds.collect(),
        singular_forms,
        bias_counts: layout.bias_counts(&counts),
        starts: layout.starts(&natural_sizes(blocks)),
    }
}

/// The loss of a pyramid with θ = (sizes of the base, x, y, b_apex, b_base): the apex exceeds every class of
/// the base by x, each class of the base the apex by its right logit + y. Beside the base there is the rank-one
/// matrix (e_apex − 1/K)(x at the apex, −y at the base)ᵀ.
pub(crate) fn pyramid(base: Block, bias: Bias) -> Reduced {
    let classes = base.all_classes() + 1;
    let places = 0..base.size_count();
    let (x, y) = (places.end, places.end + 1);
    let layout = Layout::new(places.end + 2, 2, bias);
    let (apex, below) = (0, 1);
    let of_base = base.all_classes() as f64;
    let outside = right(base, &places);
    let mut wrong: Vec<_> = base
        .wrong()
        .into_iter()
        .map(|(count, gaps)| (count, layout.gap(&at(&places, gaps), below, below)))
        .collect();
    if base.copies > 1 {
        let others = (base.all_classes() - base.classes) as f64;
        wrong.push((others, layout.gap(&outside, below, below)));
    }
    let to_apex: Vec<_> = outside.iter().copied().chain([(y, 1.0)]).collect();
    wrong.push((1.0, layout.gap(&to_apex, below, apex)));
    let at_apex = vec![(of_base, layout.gap(&[(x, 1.0)], apex, below))];
    let share = (classes as f64).recip();
    let axis = of_base * share;
    let mut forms = singular_forms(&layout, base, &places, 1.0);
    forms.push(layout.singular_form(1, &[(x, axis), (y, axis * of_base)]));
    let mut starts = base.natural_sizes();
    starts.iter_mut().for_each(|start| start.extend([1.0, 0.2]));
    Reduced {
        kinds: vec![
            Kind { weight: share, wrong: at_apex },
            Kind { weight: of_base * share, wrong },
        ],
        singular_forms: forms,
        bias_counts: layout.bias_counts(&[1, base.all_classes()]),
        starts: layout.starts(&starts),
    }
}

/// The cross-entropy of tuples is the sum of those of their coordinates: F is a sum over the factors of
/// K = `classes`, of which these may be some only.
pub(crate) fn product(factors: &[Block], classes: usize) -> Reduced {
    let sizes = factors.iter().map(|factor| factor.size_count()).sum();
    let layout = Layout::new(sizes, 1, Bias::None);
    let kinds = sized(factors).map(|(factor, places)| {
        let scaled = |(count, gaps)| (count, layout.gap(&at(&places, gaps), 0, 0));
        Kind { weight: 1.0, wrong: factor.wrong().into_iter().map(scaled).collect() }
    });
    let forms = sized(factors).flat_map(|(factor, places)| {
        let stretch = (classes / factor.classes) as f64;
        singular_forms(&layout, factor, &places, stretch)
    });
    Reduced {
        kinds: kinds.collect(),
        singular_forms: forms.collect(),
        bias_counts: layout.bias_counts(&[classes]),
        starts: layout.starts(&natural_sizes(factors)),
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use super::*;
    use crate::models::cross_entropy::block::BlockShape;
    use crate::models::cross_entropy::catalog::structures;
    use crate::models::cross_entropy::reduced::Penalty;
    use crate::models::cross_entropy::structure::LogitStructure;

    /// F of logits with a bias, written out, and the smallest margin.
    fn of_matrix(logits: &DMatrix<f64>, bias: &[f64], penalty: &Penalty) -> (f64, f64) {
        let classes = logits.nrows();
        let (mut fit, mut margin) = (0.0, f64::INFINITY);
        for (k, column) in logits.column_iter().enumerate() {
            let outputs: Vec<f64> = column.iter().zip(bias).map(|(z, b)| z + b).collect();
            let partition = outputs.iter().map(|output| output.exp()).sum::<f64>().ln();
            let mean = outputs.iter().sum::<f64>() / classes as f64;
            let right = (1.0 - penalty.smoothing) * outputs[k] + penalty.smoothing * mean;
            fit += (partition - right) / classes as f64;
            let wrong = outputs.iter().enumerate().filter(|&(i, _)| i != k);
            margin = wrong.fold(margin, |least, (_, output)| least.min(outputs[k] - output));
        }
        let exponent = 2.0 / (penalty.depth as f64 + 1.0);
        let values = logits.singular_values();
        let energy: f64 = values.iter().filter(|&&s| s > 1e-9).map(|s| s.powf(exponent)).sum();
        let decay = if let Bias::Regularized(decay) = penalty.bias { decay } else { 0.0 };
        let of_bias = decay / 2.0 * bias.iter().map(|b| b * b).sum::<f64>();
        (fit + penalty.strength / exponent * energy + of_bias, margin)
    }

    /// Value and smallest gap of every structure, at sizes and biases that are all different, are those of its matrix.
    #[test]
    fn the_function_of_a_structure_is_that_of_its_matrix() {
        for (classes, bias, smoothing) in [
            (4, Bias::Regularized(0.3), 0.0),
            (5, Bias::Unregularized, 0.2),
            (6, Bias::Regularized(0.2), 0.1),
            (9, Bias::Unregularized, 0.0),
            (10, Bias::None, 0.3),
            (12, Bias::None, 0.1),
        ] {
            let penalty = Penalty { depth: 3, strength: 0.05, bias, smoothing };
            let simplex = Block::new(BlockShape::Simplex, classes, 1);
            let pyramid = LogitStructure::Pyramid(Block::new(BlockShape::Simplex, classes - 1, 1));
            let whole = [LogitStructure::DirectSum(vec![simplex]), pyramid];
            for structure in structures(classes, bias).into_iter().chain(whole) {
                let reduced = structure.reduced(classes, bias).unwrap();
                let count = structure.size_count();
                let place = |index: usize| match index < count {
                    true => 1.7 - 0.4 * index as f64,
                    false => 0.3 - 0.5 * (index - count) as f64,
                };
                let sizes: Vec<f64> = (0..reduced.bias_counts.len()).map(place).collect();
                let kinds = structure.kinds(classes).into_iter().enumerate();
                let of_kind = |kind: usize| sizes.get(count + kind).copied().unwrap_or(0.0);
                let biases: Vec<f64> = kinds
                    .flat_map(|(kind, number)| core::iter::repeat_n(of_kind(kind), number))
                    .collect();
                let logits = structure.logits(classes, &sizes);
                let (value, margin) = of_matrix(&logits, &biases, &penalty);
                let found = reduced.value(&sizes, &penalty);
                assert!((found / value - 1.0).abs() < 1e-13, "{structure}: {found} {value}");
                let gaps = reduced.kinds.iter().map(|kind| kind.smallest_gap(&sizes));
                let gap = gaps.fold(f64::INFINITY, f64::min);
                assert!((gap - margin).abs() < 1e-13, "{structure}: {gap} {margin}");
            }
        }
    }

    /// Classes that are in no block are like classes at the origin, but for their own loss.
    #[test]
    fn classes_that_are_not_listed_have_the_logit_zero() {
        let penalty = Penalty { depth: 2, strength: 0.1, bias: Bias::None, smoothing: 0.0 };
        for (block, classes) in [
            (Block::new(BlockShape::Simplex, 3, 1), 5),
            (Block::new(BlockShape::Polygon, 5, 2), 11),
            (Block::new(BlockShape::Circulant([1, 3, 0]), 6, 1), 9),
        ] {
            let rest = classes - block.all_classes();
            let origin = Block::new(BlockShape::Origin, 1, rest);
            let sizes = [1.3, 0.6];
            let part = direct_sum(&[block], classes, Bias::None).value(&sizes, &penalty);
            let whole = direct_sum(&[block, origin], classes, Bias::None).value(&sizes, &penalty);
            let of_rest = rest as f64 / classes as f64 * (classes as f64).ln();
            assert!((part + of_rest - whole).abs() < 1e-14, "{block}: {part} {whole}");
        }
    }

    /// Each proportion of one block beside the first ones of the others; with biases half as much and more of each size,
    /// and a bias to either side.
    #[test]
    fn starts_vary_one_number_at_a_time() {
        let antiprism = Block::new(BlockShape::Circulant([1, 3, 0]), 6, 1);
        let natural = natural_sizes(&[antiprism, Block::new(BlockShape::Polygon, 5, 1), antiprism]);
        assert_eq!(natural.len(), 5);
        let of_antiprism = antiprism.natural_sizes();
        for (index, start) in natural.iter().enumerate() {
            let (first, last) = [(0, 0), (1, 0), (2, 0), (0, 1), (0, 2)][index];
            assert_eq!(start[..2], of_antiprism[first]);
            assert_eq!(start[3..], of_antiprism[last]);
        }
        let natural = [vec![2.0, 3.0], vec![5.0, 7.0]];
        let starts = |bias| Layout::new(2, 2, bias).starts(&natural);
        assert_eq!(starts(Bias::None), natural);
        let varied = [
            [2.0, 3.0, 0.0],
            [5.0, 7.0, 0.0],
            [1.0, 3.0, 0.0],
            [3.0, 3.0, 0.0],
            [2.0, 1.5, 0.0],
            [2.0, 4.5, 0.0],
            [2.0, 3.0, -0.5],
            [2.0, 3.0, 0.5],
        ];
        assert_eq!(starts(Bias::Unregularized), varied);
        assert_eq!(starts(Bias::Regularized(1.0)).len(), 10);
    }
}
