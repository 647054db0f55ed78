//! What is certain of decisions, and what the bounds of errors are made of.

use std::ops::Range;

use nalgebra::DVector;

use crate::metrics::decisions::certain::certain;
use crate::metrics::decisions::functions::Functions;
use crate::numerics::magnitude;

/// Half the distance from 1 to the next number, in `f32` and in `f64`.
pub(super) const SINGLE: f64 = f32::EPSILON as f64 / 2.0;
pub(super) const DOUBLE: f64 = f64::EPSILON / 2.0;

/// Nothing overflows in `f32` for samples and offsets up to this length and size.
pub(super) const LARGEST: f64 = 1e15;

/// The scores of one rule.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) rows: Range<usize>,
    /// The largest ‖w_k‖.
    pub(super) weight: f64,
    /// The largest |o_k|.
    pub(super) offset: f64,
    /// The same before what all have in common was subtracted.
    pub(super) whole_offset: f64,
}

/// What is added to the scores wᵀ(h − `center`)/`unit`, and the rules: that of the nearest class mean and, if there is another
/// one, that of the head.
pub(super) fn rules(
    functions: &Functions,
    center: &DVector<f64>,
    unit: f64,
) -> (Vec<f32>, Vec<Rule>) {
    let Functions { weights, offsets, classes, .. } = functions;
    let of_center = weights.tr_mul(center);
    let mut exact: Vec<f64> =
        offsets.iter().zip(&of_center).map(|(offset, score)| (offset + score) / unit).collect();
    let rules = (0..exact.len()).step_by(*classes).map(|first| {
        let rows = first..first + classes;
        let whole_offset = magnitude::largest(&offsets[rows.clone()]) / unit;
        // A number that all scores of a rule have in common does not count.
        let offset = center_at_zero(&mut exact[rows.clone()]);
        let squares = weights.columns_range(rows.clone());
        let squares = squares.column_iter().map(|weight| weight.norm_squared());
        Rule { rows, weight: squares.fold(0.0, f64::max).sqrt(), offset, whole_offset }
    });
    let rules = rules.collect();
    (exact.into_iter().map(|offset| offset as f32).collect(), rules)
}

/// What is certain of a sample.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Screened {
    pub(super) nearest_mean: Option<usize>,
    /// `None` also if it was not asked for.
    pub(super) head: Option<usize>,
    /// ‖h‖², if it was found along with them.
    pub(super) square: Option<f64>,
}

impl Screened {
    /// From the scores of one or two rules, what is added to them, and by how much two have to differ.
    #[inline(always)]
    pub(super) fn of<'a>(
        scores: &[f32],
        offsets: &[f32],
        margins: impl Iterator<Item = (&'a Rule, Option<f64>)>,
        square: Option<f64>,
    ) -> Self {
        let mut decided = [None; 2];
        for (decided, (rule, margin)) in decided.iter_mut().zip(margins) {
            let (scores, offsets) = (&scores[rule.rows.clone()], &offsets[rule.rows.clone()]);
            *decided = margin.and_then(|margin| certain(scores, offsets, margin));
        }
        let [nearest_mean, head] = decided;
        Self { nearest_mean, head, square }
    }

    /// Whether something is left to be decided.
    pub(super) fn is_open(&self, wants_head: bool) -> bool {
        self.nearest_mean.is_none() || (wants_head && self.head.is_none())
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
