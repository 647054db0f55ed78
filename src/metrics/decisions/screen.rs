//! Decisions in single precision, where these are certain.

use std::ops::Range;

use nalgebra::DMatrix;

use crate::error::Result;
use crate::measure::center::Center;
use crate::measure::class_means::ClassMeans;
use crate::measure::features::Features;
use crate::metrics::decisions::functions::Functions;
use crate::numerics::linalg::{Block, Entries, Packed, transposed};
use crate::numerics::magnitude;
use crate::numerics::scalar::Scalar;
use crate::numerics::shift::Shift;
use crate::numerics::simd::vectorized;
use crate::numerics::squares::norm;

/// Half the distance from 1 to the next number, in `f32` and in `f64`.
const SINGLE: f64 = f32::EPSILON as f64 / 2.0;
const DOUBLE: f64 = f64::EPSILON / 2.0;

/// Nothing overflows in `f32` for samples and offsets up to this length and size.
const LARGEST: f64 = 1e15;

/// Scores that are compared side by side.
const LANES: usize = 16;

/// The scores of all classes in `f32`, twice as fast as in `f64`, and how far they may be from the true ones: what is larger
/// than all others by more than that is the largest.
///
/// Features are taken less the mean of the class means, as by a [`Shift`], and divided by a unit, so that a large common mean costs
/// nothing and nothing is out of range.
#[derive(Debug, Clone)]
pub(super) struct Screen {
    weights: Packed<f32>,
    /// What is added to each score.
    offsets: Vec<f32>,
    /// Of it and 1/unit a sample h becomes x = (h − center)/unit.
    shift: Shift,
    /// The number of features.
    depth: usize,
    /// In the unit.
    center_norm: f64,
    /// That of the nearest class mean and, if there is another one, that of the head.
    rules: Vec<Rule>,
}

/// The scores of one rule.
#[derive(Debug, Clone)]
struct Rule {
    rows: Range<usize>,
    /// The largest ‖w_k‖.
    weight: f64,
    /// The largest |o_k|.
    offset: f64,
    /// The same before what all have in common was subtracted.
    whole_offset: f64,
}

/// What is certain of a sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screened {
    pub(super) nearest_mean: Option<usize>,
    /// `None` also if it was not asked for.
    pub(super) head: Option<usize>,
    /// ‖h‖².
    pub(super) square: f64,
}

/// Memory for a block of samples.
pub(super) struct Scratch {
    samples: Block<f32>,
    scores: DMatrix<f32>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { samples: Block::new(), scores: DMatrix::zeros(0, 0) }
    }
}

impl Screen {
    pub(super) fn new(functions: &Functions, means: &ClassMeans) -> Self {
        let Functions { weights, offsets, size } = functions;
        let center = means.center(Center::Classes);
        let of_center = weights.tr_mul(&center);
        let mut exact: Vec<f64> =
            offsets.iter().zip(&of_center).map(|(offset, score)| (offset + score) / size).collect();
        let classes = means.classes();
        let rules = (0..exact.len()).step_by(classes).map(|first| {
            let rows = first..first + classes;
            let whole_offset = magnitude::largest(&offsets[rows.clone()]) / size;
            // A number that all scores of a rule have in common does not count.
            let offset = center_at_zero(&mut exact[rows.clone()]);
            let squares = weights.columns_range(rows.clone());
            let squares = squares.column_iter().map(|weight| weight.norm_squared());
            Rule { rows, weight: squares.fold(0.0, f64::max).sqrt(), offset, whole_offset }
        });
        let rules = rules.collect();
        Self {
            weights: Packed::new(&transposed(weights), |weight| weight as f32),
            offsets: exact.into_iter().map(|offset| offset as f32).collect(),
            center_norm: norm(center.as_slice()) / size,
            shift: Shift::new(center.as_slice(), size.recip()),
            depth: center.len(),
            rules,
        }
    }

    /// What is certain of some samples; of the head only if it is asked for.
    pub(super) fn screen<T: Scalar>(
        &self,
        features: &Features<'_, T>,
        range: Range<usize>,
        wants_head: bool,
        scratch: &mut Scratch,
    ) -> Result<Vec<Screened>> {
        let Scratch { samples, scores } = scratch;
        let mut squares = Vec::with_capacity(range.len());
        features.fill_block_seen(range, samples, |_, sample, out| {
            let found = self.shift.write(sample, out);
            squares.push((found.square, found.around));
            found.largest
        })?;
        let rules = if wants_head { &self.rules[..] } else { &self.rules[..1] };
        let rows = rules.last().map_or(0, |rule| rule.rows.end);
        self.weights.multiply(samples, Entries::FirstRows(rows), scores);
        let mut screened = Vec::with_capacity(squares.len());
        vectorized(
            #[inline(always)]
            || {
                for (scores, (square, around_center)) in scores.column_iter().zip(squares) {
                    let mut decided = [None; 2];
                    for (decided, rule) in decided.iter_mut().zip(rules) {
                        let margin = self.margin(rule, around_center.sqrt());
                        let scores = &scores.as_slice()[rule.rows.clone()];
                        let offsets = &self.offsets[rule.rows.clone()];
                        *decided = margin.and_then(|margin| certain(scores, offsets, margin));
                    }
                    let [nearest_mean, head] = decided;
                    screened.push(Screened { nearest_mean, head, square });
                }
            },
        );
        Ok(screened)
    }

    /// By how much two scores of a sample x of this `length` have to differ, so that the larger one is larger in truth, and in
    /// `f64`: twice a bound on the error of either. `None` if something may be out of range.
    ///
    /// A product of n roundings has an error of γ‖w‖‖x‖ with γ = nu/(1 − nu) (Higham, *Accuracy and stability of numerical
    /// algorithms*, section 3.1). The products in `f64` that would be compared otherwise, and that of the center in the
    /// offsets, have errors relative to the whole lengths.
    fn margin(&self, rule: &Rule, length: f64) -> Option<f64> {
        // Of both factors, of the sum with the offset and of what is compared, beside those of the product.
        let others = Shift::ROUNDINGS + 5;
        let roundings = (Packed::<f32>::roundings(self.depth) + others) as f64 * SINGLE;
        let in_double = 2.0 * (self.depth + 6) as f64 * DOUBLE;
        // ‖h‖ and that of the center.
        let whole = length + 2.0 * self.center_norm;
        let of_center = Shift::OF_CENTER * self.center_norm;
        let relative = roundings / (1.0 - roundings) * length + in_double * whole + of_center;
        let underflow = self.depth as f64 * f64::from(f32::MIN_POSITIVE);
        let of_offsets = 5.0 * SINGLE * rule.offset + 4.0 * DOUBLE * rule.whole_offset;
        let error = rule.weight * relative + of_offsets + underflow;
        let in_range = length < LARGEST && rule.offset < LARGEST && roundings < 0.5;
        (in_range && error.is_finite()).then_some(2.0 * error)
    }
}

/// Subtracts half the sum of the largest and the smallest number, and returns the largest magnitude then.
fn center_at_zero(numbers: &mut [f64]) -> f64 {
    let (smallest, largest) =
        numbers.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(smallest, largest), &number| {
            (number.min(smallest), number.max(largest))
        });
    let middle = smallest / 2.0 + largest / 2.0;
    numbers.iter_mut().for_each(|number| *number -= middle);
    largest / 2.0 - smallest / 2.0
}

/// The class with the largest score and offset, if that is more than `margin` above all others.
#[inline(always)]
fn certain(scores: &[f32], offsets: &[f32], margin: f64) -> Option<usize> {
    let Largest { first, second } = Largest::of(scores, offsets);
    let is_certain = f64::from(first) - f64::from(second) > margin;
    let mut sums = scores.iter().zip(offsets).map(|(score, offset)| score + offset);
    if is_certain { sums.position(|sum| sum == first) } else { None }
}

/// The two largest of some numbers that are not NaN.
#[derive(Clone, Copy)]
struct Largest {
    first: f32,
    second: f32,
}

impl Largest {
    const OF_NONE: Self = Self { first: f32::NEG_INFINITY, second: f32::NEG_INFINITY };

    /// Those of the sums of scores and offsets.
    #[inline(always)]
    fn of(scores: &[f32], offsets: &[f32]) -> Self {
        let (scores, last_scores) = scores.as_chunks::<LANES>();
        let (offsets, last_offsets) = offsets.as_chunks::<LANES>();
        let mut found = Self::OF_NONE;
        for (score, offset) in last_scores.iter().zip(last_offsets) {
            found = found.or(Self { first: score + offset, second: f32::NEG_INFINITY });
        }
        if scores.is_empty() {
            return found;
        }
        let (mut first, mut second) = ([f32::NEG_INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        for (scores, offsets) in scores.iter().zip(offsets) {
            for lane in 0..LANES {
                let sum = scores[lane] + offsets[lane];
                second[lane] = larger(second[lane], smaller(first[lane], sum));
                first[lane] = larger(first[lane], sum);
            }
        }
        for (first, second) in first.into_iter().zip(second) {
            found = found.or(Self { first, second });
        }
        found
    }

    /// Those of both together.
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Self {
            first: larger(self.first, other.first),
            second: larger(smaller(self.first, other.first), larger(self.second, other.second)),
        }
    }
}

/// The larger of two numbers that are not NaN, in one instruction.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The smaller one.
#[inline(always)]
fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Few and many classes, where the largest is alone, is not far enough from another one, or is there twice.
    #[test]
    fn certain_is_what_is_far_from_all_others() {
        assert_eq!(certain(&[1.0], &[0.0], 1e30), Some(0));
        for classes in [2, 10, 16, 17, 100] {
            let offsets: Vec<f32> = (0..classes).map(|class| (class % 3) as f32).collect();
            for (best, other) in [(0, classes - 1), (classes - 1, 0), (classes / 2, 0)] {
                let mut scores: Vec<f32> =
                    (0..classes).map(|class| ((class * 7) as f32).sin() - offsets[class]).collect();
                (scores[best], scores[other]) = (5.0 - offsets[best], 4.5 - offsets[other]);
                assert_eq!(certain(&scores, &offsets, 0.49), Some(best));
                assert_eq!(certain(&scores, &offsets, 0.5), None);
                scores[other] = scores[best] + offsets[best] - offsets[other];
                assert_eq!(certain(&scores, &offsets, 0.0), None);
            }
        }
    }
}
