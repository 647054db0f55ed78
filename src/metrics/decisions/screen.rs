//! Decisions in single precision, where these are certain.

use std::ops::Range;

use nalgebra::DMatrix;

use crate::error::Result;
use crate::measure::center::Center;
use crate::measure::class_means::ClassMeans;
use crate::measure::features::Features;
use crate::metrics::decisions::functions::Functions;
use crate::metrics::decisions::screened::{DOUBLE, LARGEST, Rule, SINGLE, Screened, rules};
use crate::numerics::linalg::{Block, Entries, Packed, transposed};
use crate::numerics::scalar::Scalar;
use crate::numerics::shift::Shift;
use crate::numerics::simd::vectorized;
use crate::numerics::squares::norm;

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
        let Functions { weights, size, .. } = functions;
        let center = means.center(Center::Classes);
        let (offsets, rules) = rules(functions, &center, *size);
        Self {
            weights: Packed::new(&transposed(weights), |weight| weight as f32),
            offsets,
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
                    let length = around_center.sqrt();
                    let margins = rules.iter().map(|rule| (rule, self.margin(rule, length)));
                    let (scores, square) = (scores.as_slice(), Some(square));
                    screened.push(Screened::of(scores, &self.offsets, margins, square));
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
