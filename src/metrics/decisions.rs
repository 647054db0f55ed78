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
use crate::numerics::linalg::{Block, Packed, power_of_two, transposed};
use crate::numerics::magnitude::index_of_largest;
use crate::numerics::parallel;
use crate::numerics::scalar::{Scalar, to_f64};
use crate::problem::head::LinearHead;

/// What both rules decide for a sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decision {
    /// The class with the largest output.
    pub(super) head: usize,
    /// The class with the nearest mean.
    pub(super) nearest_mean: usize,
}

/// The two rules. Ties go to the lowest class.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    means: Arc<ClassMeans>,
    of_head: Fingerprint,
    /// `None` if it is that of the nearest mean.
    head: Option<Rule>,
    nearest_mean: Rule,
}

impl Rules {
    /// Those of a head and of the class means of `statistics`.
    pub(super) fn new(statistics: &ClassStatistics, head: &LinearHead) -> Result<Self> {
        head.check_shape("statistics", statistics.dimension(), statistics.classes())?;
        let bias = head.bias().into_iter().flatten();
        Ok(Self {
            head: Some(Rule::of_head(head)?),
            of_head: Fingerprint::new().layers(head.weights()).numbers(bias),
            ..Self::without_head(statistics)?
        })
    }

    /// For features without a head: both rules are that of the nearest class mean.
    pub(super) fn without_head(statistics: &ClassStatistics) -> Result<Self> {
        let means = statistics.shared_means()?;
        let nearest_mean = Rule::of_nearest_mean(&means);
        Ok(Self { means, of_head: Fingerprint::new(), head: None, nearest_mean })
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
        let write = |_: usize, sample: &[T], out: &mut [f64]| to_f64(sample, out);
        batch.features().fill_block(range, &mut scratch.samples, write)?;
        let means = self.nearest_mean.decide(scratch);
        // Where one is not known the whole block is decided.
        let known = of_head.and_then(|of_head| of_head.iter().copied().collect());
        let heads: Vec<usize> = match (known, &self.head) {
            (Some(known), _) => known,
            (None, Some(rule)) => rule.decide(scratch),
            (None, None) => means.clone(),
        };
        let both = heads.into_iter().zip(means);
        Ok(both.map(|(head, nearest_mean)| Decision { head, nearest_mean }).collect())
    }
}

/// The decision for the largest of K linear functions of the features.
#[derive(Debug, Clone)]
struct Rule {
    /// K×d, of size 1.
    weights: Packed<f64>,
    /// In the unit of the features.
    offsets: Vec<f64>,
}

impl Rule {
    /// Largest output, divided by a number, which does not change which is the largest.
    fn of_head(head: &LinearHead) -> Result<Self> {
        let product = head.product()?;
        let size = power_of_two(&product);
        let bias = head.bias().cloned().unwrap_or_else(|| DVector::zeros(head.classes()));
        let offsets: Vec<f64> = bias.iter().map(|bias| bias / size).collect();
        if offsets.iter().all(|offset| offset.is_finite()) {
            let weights = Packed::new(&product, |weight| weight / size);
            return Ok(Self { weights, offsets });
        }
        let log10 = bias.amax().log10() - size.log10();
        Err(Error::Unrepresentable { quantity: "the bias relative to the other outputs", log10 })
    }

    /// Smallest distance, which is the largest of ⟨h, m_k⟩ − ⟨h_G, m_k⟩ − ‖m_k‖²/2 with
    /// m_k = h_k − h_G: products of numbers as small as the differences.
    fn of_nearest_mean(means: &ClassMeans) -> Self {
        let center = means.center(Center::Classes);
        let means = means.centered(Center::Classes);
        let size = power_of_two(&means);
        let weights = &means / size;
        let offset = |(weight, mean): (DVectorView<'_, f64>, DVectorView<'_, f64>)| {
            -weight.dot(&center) - weight.dot(&mean) / 2.0
        };
        let offsets = weights.column_iter().zip(means.column_iter()).map(offset).collect();
        Self { weights: Packed::new(&transposed(&weights), |weight| weight), offsets }
    }

    /// The class decided for, for each column of a block.
    fn decide(&self, Scratch { samples: block, scores }: &mut Scratch) -> Vec<usize> {
        self.weights.multiply(block, scores);
        scores.column_iter().map(|column| self.largest(column.as_slice())).collect()
    }

    /// The first class with the largest score.
    fn largest(&self, scores: &[f64]) -> usize {
        index_of_largest(scores.iter().zip(&self.offsets).map(|(score, offset)| score + offset))
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
