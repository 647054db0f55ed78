//! Decisions in double precision.

use std::ops::Range;

use nalgebra::DMatrix;

use crate::measure::features::Features;
use crate::metrics::decisions::functions::Functions;
use crate::numerics::linalg::{Block, Entries, Packed, transposed};
use crate::numerics::magnitude::index_of_largest;
use crate::numerics::scalar::{Scalar, to_f64};

/// The scores of all classes in `f64`.
#[derive(Debug, Clone)]
pub(super) struct Exact {
    weights: Packed<f64>,
    /// What is added to each.
    offsets: Vec<f64>,
    classes: usize,
}

/// Memory for a block of samples.
pub(super) struct Scratch {
    samples: Block<f64>,
    scores: DMatrix<f64>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { samples: Block::new(), scores: DMatrix::zeros(0, 0) }
    }
}

impl Exact {
    pub(super) fn new(functions: Functions, classes: usize) -> Self {
        let weights = Packed::of_equal_rows(&transposed(&functions.weights));
        Self { weights, offsets: functions.offsets, classes }
    }

    /// The nearest class mean of each of some checked samples and, if it is asked for, what the head decides.
    pub(super) fn decide<T: Scalar>(
        &self,
        features: &Features<'_, T>,
        samples: &[usize],
        wants_head: bool,
        scratch: &mut Scratch,
    ) -> Vec<(usize, Option<usize>)> {
        scratch.samples.reshape(features.dimension(), samples.len());
        let mut column = 0;
        features.for_each_checked_sample(samples.iter().copied(), |_, sample| {
            to_f64(sample, scratch.samples.column_mut(column));
            column += 1;
        });
        let rows = if wants_head { self.offsets.len() } else { self.classes };
        self.weights.multiply(&scratch.samples, Entries::FirstRows(rows), &mut scratch.scores);
        let decide = |scores: &[f64]| {
            let head = wants_head.then(|| self.largest(scores, self.classes..rows));
            (self.largest(scores, 0..self.classes), head)
        };
        scratch.scores.column_iter().map(|scores| decide(scores.as_slice())).collect()
    }

    /// The first class with the largest score in some rows.
    fn largest(&self, scores: &[f64], rows: Range<usize>) -> usize {
        let scores = scores[rows.clone()].iter().zip(&self.offsets[rows]);
        index_of_largest(scores.map(|(score, offset)| score + offset))
    }
}
