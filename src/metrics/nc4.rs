//! NC4: the classifier decides as the nearest class mean does.

use nalgebra::{DMatrix, DVector, DVectorView};

use crate::error::{Error, Result};
use crate::features::{Features, LabeledFeatures, Scalar};
use crate::head::LinearHead;
use crate::linalg::power_of_two;
use crate::parallel;
use crate::statistics::{Center, ClassStatistics};

/// Shares of samples, each between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct DecisionShares {
    /// Samples for which the head and the nearest class mean decide for the same class.
    pub agreement: f64,
    /// Samples for which the head decides for the right class: the accuracy of the network.
    pub head_accuracy: f64,
    /// Samples whose nearest class mean is that of the right class.
    pub nearest_mean_accuracy: f64,
}

/// How often a linear head and the nearest class mean decide alike, and rightly.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Nc4 {
    /// Over all samples; its `agreement` is the metric NC4.
    pub overall: DecisionShares,
    /// Over the samples of each class, `None` for one without samples.
    pub classes: Vec<Option<DecisionShares>>,
}

/// NC4: the share of samples h for which
///
/// ```math
/// argmaxₖ (W_M⋯W₁ h + b)ₖ = argminₖ ‖h − h_k‖,
/// ```
///
/// and the accuracy of both rules, over all samples and by class.
///
/// Papyan, Han & Donoho, *Prevalence of neural collapse* (PNAS 2020), who count the disagreements; the
/// bias is part of the decision. On a tie both rules decide for the class with the lowest number,
/// as NumPy and PyTorch do; so two classes with equal means and equal weights count as agreeing.
/// Everything is computed in `f64`; distances are compared without forming the large squares that
/// a common mean of all features would give.
///
/// # Errors
/// [`Error::Shape`] if `statistics` or `head` are for another dimension or number of classes,
/// [`Error::EmptyClass`] if a class has no mean, [`Error::Empty`] without samples,
/// [`Error::Unrepresentable`] if an output is too large for a floating-point number.
///
/// ```
/// use nalgebra::{dmatrix, dvector};
/// use neural_collapse::{ClassStatistics, Features, LinearHead, nc4};
///
/// let numbers = [2.0, 4.0, -3.0, -1.0];
/// let data = Features::from_row_major(&numbers, 4, 1)?.with_labels(&[0, 0, 1, 1], 2)?;
/// let statistics = ClassStatistics::new(&data)?; // means 3 and −2, half-way: 0.5
/// let head = LinearHead::new(vec![dmatrix![1.0; -1.0]], Some(dvector![-3.0, 3.0]))?; // at 3
/// let nc4 = nc4(&data, &statistics, &head)?;
/// assert_eq!(nc4.overall.agreement, 0.75); // not for the sample 2
/// assert_eq!(nc4.overall.nearest_mean_accuracy, 1.0);
/// assert_eq!(nc4.classes[0].map(|class| class.head_accuracy), Some(0.5));
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn nc4<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    statistics: &ClassStatistics,
    head: &LinearHead,
) -> Result<Nc4> {
    if data.features().samples() == 0 {
        return Err(Error::Empty { argument: "features" });
    }
    statistics.check_shape("features", data.features().dimension(), data.classes())?;
    head.check_shape("features", data.features().dimension(), data.classes())?;
    let scale = common_scale(data.features(), statistics)?;
    let rules = [Rule::of_head(head, scale)?, Rule::of_nearest_mean(statistics, scale)?];

    let mut tallies = vec![Tally::default(); data.classes()];
    let blocks: Vec<_> = data.features().blocks().collect();
    let operations = 2 * data.features().samples() * data.classes() * data.features().dimension();
    let decisions = parallel::map(blocks.len(), operations, Scratch::default, |scratch, block| {
        let write = |_: usize, sample: &[T], out: &mut [f64]| {
            out.iter_mut().zip(sample).for_each(|(out, &feature)| *out = feature.into() / scale);
        };
        data.features().fill_block(blocks[block].clone(), &mut scratch.samples, write);
        let [head, mean] = rules.each_ref().map(|rule| rule.decide(scratch));
        let labels = &data.labels()[blocks[block].clone()];
        let decisions = labels.iter().zip(head).zip(mean);
        decisions.map(|((&label, head), mean)| Decision::new(label, head, mean)).collect::<Vec<_>>()
    });
    for (&label, decision) in data.labels().iter().zip(decisions.iter().flatten()) {
        tallies[label].count(*decision);
    }

    let total = tallies.iter().copied().fold(Tally::default(), Tally::plus);
    Ok(Nc4 {
        overall: total.shares(),
        classes: tallies.iter().map(|tally| (tally.samples > 0).then(|| tally.shares())).collect(),
    })
}

/// A power of two at the size of the features and the class means, by which both are divided.
fn common_scale<T: Scalar>(
    features: &Features<'_, T>,
    statistics: &ClassStatistics,
) -> Result<f64> {
    let largest = features.largest().max(statistics.class_means()?.amax());
    Ok(power_of_two(&DMatrix::from_element(1, 1, largest)))
}

/// The decision for the largest of K linear functions of the features.
struct Rule {
    /// K×d.
    weights: DMatrix<f64>,
    offsets: Vec<f64>,
}

impl Rule {
    /// Largest output, for features that are divided by `scale`; the outputs are divided by a number
    /// too, which does not change which is the largest.
    fn of_head(head: &LinearHead, scale: f64) -> Result<Self> {
        let product = head.product()?;
        let size = power_of_two(&product);
        let bias = head.bias().cloned().unwrap_or_else(|| DVector::zeros(head.classes()));
        let offsets: Vec<f64> = bias.iter().map(|bias| bias / size / scale).collect();
        if offsets.iter().all(|offset| offset.is_finite()) {
            return Ok(Self { weights: product / size, offsets });
        }
        let log10 = bias.amax().log10() - size.log10() - scale.log10();
        Err(Error::Unrepresentable { quantity: "the bias relative to the other outputs", log10 })
    }

    /// Smallest distance, which is the largest of ⟨h, m_k⟩ − ⟨h_G, m_k⟩ − ‖m_k‖²/2 with
    /// m_k = h_k − h_G: products of numbers as small as the differences.
    fn of_nearest_mean(statistics: &ClassStatistics, scale: f64) -> Result<Self> {
        let center = statistics.center(Center::Classes)? / scale;
        let means = statistics.centred_means(Center::Classes)? / scale;
        let offset = |mean: DVectorView<'_, f64>| -center.dot(&mean) - mean.norm_squared() / 2.0;
        Ok(Self { offsets: means.column_iter().map(offset).collect(), weights: means.transpose() })
    }

    /// The class decided for, for each column of a block.
    fn decide(&self, Scratch { samples: block, scores }: &mut Scratch) -> Vec<usize> {
        if scores.shape() != (self.weights.nrows(), block.ncols()) {
            *scores = DMatrix::zeros(self.weights.nrows(), block.ncols());
        }
        scores.gemm(1.0, &self.weights, &*block, 0.0);
        scores.column_iter().map(|column| self.largest(column.as_slice())).collect()
    }

    /// The first class with the largest score.
    fn largest(&self, scores: &[f64]) -> usize {
        let mut best = (0, f64::NEG_INFINITY);
        for (class, (score, offset)) in scores.iter().zip(&self.offsets).enumerate() {
            if score + offset > best.1 {
                best = (class, score + offset);
            }
        }
        best.0
    }
}

/// A block of samples and the scores of the classes.
struct Scratch {
    samples: DMatrix<f64>,
    scores: DMatrix<f64>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { samples: DMatrix::zeros(0, 0), scores: DMatrix::zeros(0, 0) }
    }
}

/// What both rules decided for a sample.
#[derive(Debug, Clone, Copy)]
struct Decision {
    agree: bool,
    head_right: bool,
    mean_right: bool,
}

impl Decision {
    fn new(label: usize, head: usize, mean: usize) -> Self {
        Self { agree: head == mean, head_right: head == label, mean_right: mean == label }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    samples: u64,
    agreements: u64,
    head_right: u64,
    mean_right: u64,
}

impl Tally {
    fn count(&mut self, decision: Decision) {
        self.samples += 1;
        self.agreements += u64::from(decision.agree);
        self.head_right += u64::from(decision.head_right);
        self.mean_right += u64::from(decision.mean_right);
    }

    fn plus(self, other: Self) -> Self {
        Self {
            samples: self.samples + other.samples,
            agreements: self.agreements + other.agreements,
            head_right: self.head_right + other.head_right,
            mean_right: self.mean_right + other.mean_right,
        }
    }

    fn shares(&self) -> DecisionShares {
        let share = |number: u64| number as f64 / self.samples as f64;
        DecisionShares {
            agreement: share(self.agreements),
            head_accuracy: share(self.head_right),
            nearest_mean_accuracy: share(self.mean_right),
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "shares of a few samples are compared exactly")]
mod tests {
    use super::*;
    use nalgebra::{dmatrix, dvector};

    fn measured(rows: &DMatrix<f64>, labels: &[usize], head: &LinearHead) -> Result<Nc4> {
        let data = Features::from_sample_rows(rows)?.with_labels(labels, head.classes())?;
        nc4(&data, &ClassStatistics::new(&data)?, head)
    }

    #[test]
    fn scales_do_not_matter() {
        let rows = dmatrix![2.0; 4.0; -3.0; -1.0];
        for (features, weights) in [(1.0, 1.0), (1e139, 1e160), (1e-290, 1e10), (1e-200, 1e300)] {
            let bias = dvector![-3.0, 3.0] * features * weights;
            let head = LinearHead::new(vec![dmatrix![1.0; -1.0] * weights], Some(bias)).unwrap();
            let nc4 = measured(&(&rows * features), &[0, 0, 1, 1], &head).unwrap();
            assert_eq!(nc4.overall.agreement, 0.75);
            assert_eq!(nc4.overall.nearest_mean_accuracy, 1.0);
        }
    }

    #[test]
    fn ties_go_to_the_lowest_class() {
        // Classes 1 and 2 have collapsed: features and weights are zero, so the outputs are equal.
        let rows = dmatrix![5.0; 5.0; 0.0; 0.0; 0.0];
        let head = LinearHead::new(vec![dmatrix![1.0; 0.0; 0.0]], None).unwrap();
        let nc4 = measured(&rows, &[0, 0, 1, 2, 2], &head).unwrap();
        // The outputs of zero features are 0, 0, 0: class 0. The nearest mean is that of class 1.
        assert_eq!(nc4.overall.agreement, 2.0 / 5.0);
        let class = |index: usize| nc4.classes[index].unwrap();
        assert_eq!(class(1).nearest_mean_accuracy, 1.0);
        assert_eq!(class(2).nearest_mean_accuracy, 0.0);
    }

    #[test]
    fn large_common_mean() {
        let rows = dmatrix![1e8 + 0.5; 1e8; 1e8 + 3.0; 1e8 + 4.0];
        let head =
            LinearHead::new(vec![dmatrix![-1.0; 1.0]], Some(dvector![1e8 + 2.0, -1e8 - 2.0]));
        let nc4 = measured(&rows, &[0, 0, 1, 1], &head.unwrap()).unwrap();
        let perfect =
            DecisionShares { agreement: 1.0, head_accuracy: 1.0, nearest_mean_accuracy: 1.0 };
        assert_eq!(nc4.overall, perfect);
    }

    #[test]
    fn a_class_without_samples_has_no_shares() {
        let (means, head) = (dmatrix![1.0; -1.0], LinearHead::new(vec![dmatrix![1.0; -1.0]], None));
        let train = Features::from_sample_rows(&means).unwrap().with_labels(&[0, 1], 2).unwrap();
        let statistics = ClassStatistics::new(&train).unwrap();
        let test = Features::from_row_major(&[0.5_f32], 1, 1).unwrap();
        let head = head.unwrap();
        let nc4 = nc4(&test.with_labels(&[0], 2).unwrap(), &statistics, &head).unwrap();
        assert!(nc4.classes[0].is_some() && nc4.classes[1].is_none());
    }

    #[test]
    fn shapes_must_fit() {
        let head =
            |rows, columns| LinearHead::new(vec![DMatrix::identity(rows, columns)], None).unwrap();
        let rows = dmatrix![1.0, 0.0; 0.0, 1.0];
        assert!(measured(&rows, &[0, 1], &head(2, 2)).is_ok());
        assert!(matches!(measured(&rows, &[0, 1], &head(2, 3)), Err(Error::Shape { .. })));
        assert!(matches!(measured(&rows, &[0, 1], &head(3, 2)), Err(Error::EmptyClass { .. })));
        let huge_bias = LinearHead::new(vec![dmatrix![1e-200; 1e-200]], Some(dvector![1e200, 0.0]));
        let result = measured(&dmatrix![1.0; 2.0], &[0, 1], &huge_bias.unwrap());
        assert!(matches!(result, Err(Error::Unrepresentable { .. })));
    }
}
