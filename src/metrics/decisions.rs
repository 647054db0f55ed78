//! What head and nearest class mean decide for a sample.

use std::ops::Range;
use std::sync::Arc;

use nalgebra::{DMatrix, DVector, DVectorView};

use crate::error::{Error, Result};
use crate::measure::center::Center;
use crate::measure::class_means::ClassMeans;
use crate::measure::fingerprint::Fingerprint;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::statistics::ClassStatistics;
use crate::numerics::linalg::{Block, Entries, Packed, power_of_two, transposed};
use crate::numerics::magnitude::index_of_largest;
use crate::numerics::parallel;
use crate::numerics::scalar::{Scalar, to_f64};
use crate::numerics::squares::sum_of_squares;
use crate::problem::head::LinearHead;

/// What both rules decide for a sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decision {
    /// The class with the largest output.
    pub(super) head: usize,
    /// The class with the nearest mean.
    pub(super) nearest_mean: usize,
    /// ‖h‖² of the sample.
    pub(super) square: f64,
}

/// The two rules. Ties go to the lowest class.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    means: Arc<ClassMeans>,
    of_head: Fingerprint,
    /// Linear functions of the features: those of the nearest mean, which decides by the largest of them, and after them
    /// those of the head, unless its rule is the same.
    weights: Packed<f64>,
    /// What is added to each.
    offsets: Vec<f64>,
}

impl Rules {
    /// Those of a head and of the class means of `statistics`.
    pub(super) fn new(statistics: &ClassStatistics, head: &LinearHead) -> Result<Self> {
        head.check_shape("statistics", statistics.dimension(), statistics.classes())?;
        let means = statistics.shared_means()?;
        let functions = Functions::of_nearest_mean(&means).with_head(head)?;
        let bias = head.bias().into_iter().flatten();
        let of_head = Fingerprint::new().layers(head.weights()).numbers(bias);
        Ok(Self::of(means, of_head, functions))
    }

    /// For features without a head: both rules are that of the nearest class mean.
    pub(super) fn without_head(statistics: &ClassStatistics) -> Result<Self> {
        let means = statistics.shared_means()?;
        let functions = Functions::of_nearest_mean(&means);
        Ok(Self::of(means, Fingerprint::new(), functions))
    }

    fn of(means: Arc<ClassMeans>, of_head: Fingerprint, functions: Functions) -> Self {
        let weights = Packed::of_equal_rows(&transposed(&functions.weights));
        Self { means, of_head, weights, offsets: functions.offsets }
    }

    /// Of the class means and the head.
    pub(super) fn fingerprint(&self) -> u64 {
        self.of_head.words([self.means.fingerprint()]).value()
    }

    pub(super) fn means(&self) -> &ClassMeans {
        &self.means
    }

    /// The decisions for the samples of a batch, in their order; some of the head's may be known.
    pub(super) fn decide<T: Scalar>(
        &self,
        batch: &LabeledFeatures<'_, T>,
        of_head: Option<&[Option<usize>]>,
    ) -> Result<impl Iterator<Item = Decision> + use<T>> {
        self.means.check_shape(batch)?;
        let (dimension, classes) = self.means.shape();
        let blocks: Vec<_> = batch.features().blocks().collect();
        let samples = batch.features().samples();
        // It decides about threads only, which do not change the decisions.
        let operations =
            samples.saturating_mul(2).saturating_mul(classes).saturating_mul(dimension);
        let decide = |scratch: &mut Scratch, block: usize| {
            let range = blocks[block].clone();
            let of_head = of_head.map(|of_head| &of_head[range.clone()]);
            self.decide_block(batch, range, of_head, scratch)
        };
        let decisions = parallel::map(blocks.len(), operations, Scratch::default, decide);
        let decisions = decisions.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(decisions.into_iter().flatten())
    }

    fn decide_block<T: Scalar>(
        &self,
        batch: &LabeledFeatures<'_, T>,
        range: Range<usize>,
        of_head: Option<&[Option<usize>]>,
        scratch: &mut Scratch,
    ) -> Result<Vec<Decision>> {
        let first = range.start;
        let mut squares = vec![0.0; range.len()];
        batch.features().fill_block(range, &mut scratch.samples, |index, sample, out| {
            to_f64(sample, out);
            squares[index - first] = sum_of_squares(sample);
        })?;
        // Where one is not known the whole block is decided.
        let known: Option<Vec<usize>> =
            of_head.and_then(|of_head| of_head.iter().copied().collect());
        let classes = self.means.classes();
        let wanted = if known.is_some() { Entries::FirstRows(classes) } else { Entries::All };
        self.weights.multiply(&scratch.samples, wanted, &mut scratch.scores);
        let decide = |(index, scores): (usize, DVectorView<'_, f64>)| {
            let nearest_mean = self.largest(scores.as_slice(), 0..classes);
            let head = match &known {
                Some(known) => known[index],
                None if self.offsets.len() == classes => nearest_mean,
                None => self.largest(scores.as_slice(), classes..self.offsets.len()),
            };
            Decision { head, nearest_mean, square: squares[index] }
        };
        Ok(scratch.scores.column_iter().enumerate().map(decide).collect())
    }

    /// The first class with the largest score in some rows.
    fn largest(&self, scores: &[f64], rows: Range<usize>) -> usize {
        let scores = scores[rows.clone()].iter().zip(&self.offsets[rows]);
        index_of_largest(scores.map(|(score, offset)| score + offset))
    }
}

/// Linear functions of the features, of each K the largest of which decides.
struct Functions {
    /// A column for each; those of a rule are of size 1.
    weights: DMatrix<f64>,
    /// In the unit of the features.
    offsets: Vec<f64>,
}

impl Functions {
    /// Smallest distance, which is the largest of ⟨h, m_k⟩ − ⟨h_G, m_k⟩ − ‖m_k‖²/2 with
    /// m_k = h_k − h_G: products of numbers as small as the differences.
    fn of_nearest_mean(means: &ClassMeans) -> Self {
        let center = means.center(Center::Classes);
        let mut weights = means.centered(Center::Classes);
        let size = power_of_two(&weights);
        weights /= size;
        let offset = |weight: DVectorView<'_, f64>| {
            -weight.dot(&center) - weight.norm_squared() * size / 2.0
        };
        let offsets = weights.column_iter().map(offset).collect();
        Self { weights, offsets }
    }

    /// And after these the outputs of a head, divided by a number, which does not change which is the largest.
    fn with_head(mut self, head: &LinearHead) -> Result<Self> {
        let product = head.product()?;
        let size = power_of_two(&product);
        let bias = head.bias().cloned().unwrap_or_else(|| DVector::zeros(head.classes()));
        self.offsets.extend(bias.iter().map(|bias| bias / size));
        if self.offsets.iter().any(|offset| !offset.is_finite()) {
            let quantity = "the bias relative to the other outputs";
            let log10 = bias.amax().log10() - size.log10();
            return Err(Error::Unrepresentable { quantity, log10 });
        }
        let before = self.weights.ncols();
        self.weights = self.weights.resize_horizontally(before + product.nrows(), 0.0);
        let columns = self.weights.column_iter_mut().skip(before);
        for (mut column, row) in columns.zip(product.row_iter()) {
            column.iter_mut().zip(row.iter()).for_each(|(out, weight)| *out = weight / size);
        }
        Ok(self)
    }
}

/// A block of samples and the scores of the classes.
struct Scratch {
    samples: Block<f64>,
    scores: DMatrix<f64>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { samples: Block::new(), scores: DMatrix::zeros(0, 0) }
    }
}
