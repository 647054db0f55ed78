//! From the class weights of training code to those of the objective.

use crate::error::{Error, Result};
use crate::problem::counts::ClassCounts;
use crate::problem::kinds::check_list;

/// The arguments `weight` and `label_smoothing` of PyTorch's `CrossEntropyLoss`, whose mean is not that of this crate's
/// objective.
///
/// In the objective a weight multiplies the loss of a sample, and the sum is divided by the number N of samples.
/// PyTorch divides by the sum of the weights of all samples, and beside label smoothing weights every entry of the
/// smoothed label by the class of that *entry*:
///
/// ```math
/// 1/Σᵢ ω_{yᵢ} · Σᵢ Σ_k ω_k y′_ik ln(1/p_ik),   y′ = (1−δ) e_y + δ 1/K.
/// ```
///
/// | in the code | in the objective |
/// |---|---|
/// | weights, no smoothing | class weights ω_k N/Σᵢ ω_{yᵢ}: [`class_weights`](Self::class_weights) |
/// | equal weights, smoothing δ | no weights, smoothing δ |
/// | weights and smoothing | for samples of class y the soft label [(1−δ) ω_y e_y + (δ/K) ω]/W_y with weight W_y N/Σᵢ ω_{yᵢ}, W_y = (1−δ) ω_y + (δ/K) Σω: [`soft_label`](Self::soft_label) |
///
/// With one layer [`ConvexUfm::pytorch`](crate::models::convex::ConvexUfm::pytorch) takes the arguments as they are.
/// In mini-batches the sum of weights is that of the batch; its mean is meant here.
///
/// ```
/// use neural_collapse::ClassCounts;
/// use neural_collapse::problem::CodedClassWeights;
///
/// let counts = ClassCounts::new(&[60, 20, 20])?;
/// let code = CodedClassWeights::new(&[1.0, 3.0, 3.0], 0.0)?;
/// // N = 100 and Σᵢ ω = 180.
/// let weights = code.class_weights(&counts)?;
/// assert!((weights[0] - 1.0 / 1.8).abs() < 1e-15 && (weights[1] - 3.0 / 1.8).abs() < 1e-15);
///
/// let smoothed = CodedClassWeights::new(&[1.0, 3.0, 3.0], 0.3)?;
/// let (label, weight) = smoothed.soft_label(&counts, 0)?;
/// // W_0 = 0.7 · 1 + 0.1 · 7 = 1.4, and the label is (0.7 + 0.1, 0.3, 0.3)/1.4.
/// assert!((weight - 1.4 / 1.8).abs() < 1e-15 && (label[0] - 0.8 / 1.4).abs() < 1e-15);
/// assert!(smoothed.class_weights(&counts).is_err());
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: the documentation of `torch.nn.CrossEntropyLoss`.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "stored::Stored"))]
pub struct CodedClassWeights {
    weight: Vec<f64>,
    label_smoothing: f64,
}

impl CodedClassWeights {
    /// The arguments as the code gives them.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if a weight is not positive and finite or unless 0 ≤ δ < 1.
    pub fn new(weight: &[f64], label_smoothing: f64) -> Result<Self> {
        check_list("weight", weight, weight.len())?;
        check_smoothing(label_smoothing)?;
        Ok(Self { weight: weight.to_vec(), label_smoothing })
    }

    /// ω as given.
    #[must_use]
    pub fn weight(&self) -> &[f64] {
        &self.weight
    }

    /// δ.
    #[must_use]
    pub fn label_smoothing(&self) -> f64 {
        self.label_smoothing
    }

    /// The class weights ω_k N/Σᵢ ω_{yᵢ} of the objective, whose sum over samples is N.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there is a weight for each class, [`Error::NotAnswered`] with unequal weights beside
    /// smoothing, which no weights of samples amount to.
    pub fn class_weights(&self, counts: &ClassCounts) -> Result<Vec<f64>> {
        let equal = self.weight.iter().all(|weight| self.weight.first() == Some(weight));
        if self.label_smoothing > 0.0 && !equal {
            return Err(Error::NotAnswered {
                question: "the class weights",
                reason: "PyTorch weights the entries of smoothed labels, which amounts to other soft labels",
            });
        }
        self.entry_weights(counts)
    }

    /// ω_k N/Σᵢ ω_{yᵢ}, with which each entry of a label is weighted where the sum is divided by N.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there is a weight for each class.
    pub fn entry_weights(&self, counts: &ClassCounts) -> Result<Vec<f64>> {
        Ok(self.scaled_weights(counts.samples() as f64 / self.total(counts)?))
    }

    /// ω times a factor.
    pub(crate) fn scaled_weights(&self, factor: f64) -> Vec<f64> {
        self.weight.iter().map(|weight| weight * factor).collect()
    }

    /// The soft label of a sample of a class, K probabilities, and the weight of its loss.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there is a weight for each class, [`Error::OutOfRange`] if there is no such class.
    pub fn soft_label(&self, counts: &ClassCounts, class: usize) -> Result<(Vec<f64>, f64)> {
        let total = self.total(counts)?;
        let Some(&own) = self.weight.get(class) else {
            return Err(Error::out_of_range("class", class as f64, "below the number of classes"));
        };
        let share = self.label_smoothing / self.weight.len() as f64;
        let entry = self.entry_weight(own);
        let mut label: Vec<f64> = self.weight.iter().map(|weight| share * weight / entry).collect();
        label[class] += (1.0 - self.label_smoothing) * own / entry;
        Ok((label, entry * (counts.samples() as f64 / total)))
    }

    /// W_y = (1−δ) ω_y + (δ/K) Σω for a class with ω_y = `own`.
    pub(crate) fn entry_weight(&self, own: f64) -> f64 {
        (1.0 - self.label_smoothing) * own + self.spread()
    }

    /// (δ/K) Σω.
    pub(crate) fn spread(&self) -> f64 {
        self.label_smoothing / self.weight.len() as f64 * self.weight.iter().sum::<f64>()
    }

    /// Σᵢ ω_{yᵢ}.
    pub(crate) fn total(&self, counts: &ClassCounts) -> Result<f64> {
        if self.weight.len() != counts.classes() {
            let reason = "one number for each class";
            return Err(Error::length("weight", self.weight.len(), counts.classes(), reason));
        }
        let of_run = |run: crate::problem::counts::Run| {
            run.size as f64 * self.weight[run.classes()].iter().sum::<f64>()
        };
        Ok(counts.runs().map(of_run).sum())
    }
}

/// Refuses a label smoothing that is none.
pub(crate) fn check_smoothing(label_smoothing: f64) -> Result<()> {
    if !(0.0..1.0).contains(&label_smoothing) {
        let expected = "at least 0 and below 1";
        return Err(Error::out_of_range("label_smoothing", label_smoothing, expected));
    }
    Ok(())
}

/// How they are read.
#[cfg(feature = "serde")]
mod stored {
    use super::CodedClassWeights;
    use crate::error::{Error, Result};

    #[derive(serde::Deserialize)]
    #[serde(rename = "CodedClassWeights", deny_unknown_fields)]
    pub(super) struct Stored {
        weight: Vec<f64>,
        label_smoothing: f64,
    }

    impl TryFrom<Stored> for CodedClassWeights {
        type Error = Error;

        fn try_from(stored: Stored) -> Result<Self> {
            Self::new(&stored.weight, stored.label_smoothing)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        let mut pairs = found.iter().zip(expected);
        assert!(pairs.all(|(found, expected)| (found - expected).abs() < 1e-15), "{found:?}");
    }

    #[test]
    fn every_class_has_its_soft_label() {
        let counts = ClassCounts::new(&[60, 20, 20]).unwrap();
        let code = CodedClassWeights::new(&[1.0, 3.0, 2.0], 0.3).unwrap();
        assert_eq!((code.weight(), code.label_smoothing()), (&[1.0, 3.0, 2.0][..], 0.3));
        // N/Σᵢ ω = 100/160, and W_1 = 0.7 · 3 + 0.1 · 6 = 2.7.
        let (label, weight) = code.soft_label(&counts, 1).unwrap();
        assert_close(&label, &[0.1 / 2.7, 2.4 / 2.7, 0.2 / 2.7]);
        assert_close(&[weight], &[2.7 / 1.6]);
        assert_close(&code.entry_weights(&counts).unwrap(), &[1.0 / 1.6, 3.0 / 1.6, 2.0 / 1.6]);
        assert!(code.class_weights(&counts).is_err() && code.soft_label(&counts, 3).is_err());
        // Equal weights are none, with smoothing too.
        let equal = CodedClassWeights::new(&[3.0; 3], 0.3).unwrap();
        assert_close(&equal.class_weights(&counts).unwrap(), &[1.0; 3]);
        assert!(equal.class_weights(&ClassCounts::new(&[60, 40]).unwrap()).is_err());
    }

    #[test]
    fn smoothing_is_a_share() {
        let is_share = |smoothing: f64| CodedClassWeights::new(&[1.0], smoothing).is_ok();
        assert_eq!(
            [-0.1, 0.0, 0.9, 1.0, f64::NAN].map(is_share),
            [false, true, true, false, false]
        );
    }
}
