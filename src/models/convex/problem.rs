//! The one-layer problem: what is trained, checked once.

use nalgebra::DMatrix;

use crate::error::{Argument, Error, Result};
use crate::problem::coded_weights::{CodedClassWeights, check_smoothing};
use crate::problem::counts::ClassCounts;
use crate::problem::kinds::{Kinds, check_list, check_positive_list, list_unless_ones};
use crate::problem::probabilities::{ROUNDING, sum_of_probabilities};
use crate::problem::regularization::{Bias, Regularization};
use crate::problem::training_objective::LossFunction;
use crate::problem::widths::Widths;

/// One linear layer on unconstrained features, for any class sizes, class weights ω, label smoothing or soft
/// labels, and any treatment of the bias:
///
/// ```math
/// min over W ∈ ℝ^(K×d), H ∈ ℝ^(d×N), b ∈ ℝᴷ:   1/N Σᵢ ωᵢ ℓ(W hᵢ + b, yᵢ) + λ_W/2 ‖W‖² + λ_H/2 ‖H‖² + λ_b/2 ‖b‖²
/// ```
///
/// with cross-entropy or the squared loss ½‖z − y‖² for ℓ. With W and H eliminated it is a convex problem in the
/// logits: samples with the same label have equal features, J kinds of labels y_j with n_j samples leave
///
/// ```math
/// min over Z ∈ ℝ^(K×J), b:   Σ_j (ω_j n_j/N) ℓ(Z e_j + b, y_j) + κ ‖Z diag(√n)‖_* + λ_b/2 ‖b‖²,   κ = √(λ_W λ_H),
/// ```
///
/// and with X = Z diag(√n) the Gram matrices at the minimum are WWᵀ = √(λ_H/λ_W) (XXᵀ)^(1/2) and, for the features
/// times √n_j, √(λ_W/λ_H) (XᵀX)^(1/2). [`global_minimum`](Self::global_minimum) solves it by groups of equal
/// classes and proves how near it is: a lower bound of all values is part of the answer.
///
/// ```
/// use neural_collapse::models::convex::ConvexUfm;
/// use neural_collapse::{Bias, ClassCounts, Prediction, Regularization};
///
/// let regularization = Regularization::new(&[5e-3], 1e-3)?.with_bias(Bias::Unregularized)?;
/// let ufm = ConvexUfm::cross_entropy(ClassCounts::new(&[200, 100, 50, 50, 49])?, regularization)?;
/// let minimum = ufm.global_minimum()?;
/// assert!(minimum.gap() < 1e-10 * minimum.loss());
/// // The bias is on the side of large classes: the features of small ones have to do more.
/// assert!(minimum.class_outputs()?.get(0, 0) < minimum.class_outputs()?.get(4, 4));
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: the convex form is that of Hong & Ling, *Neural Collapse for Unconstrained Feature Model under
/// Cross-entropy Loss with Imbalanced Data* (arXiv 2309.09725); derivations, method and certificate are in the
/// project's `docs/convex.md`.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "crate::models::stored::StoredConvex"))]
pub struct ConvexUfm {
    loss_function: LossFunction,
    /// Samples of each class, or of each soft label.
    counts: ClassCounts,
    labels: Labels,
    /// ι, added to the logits in the loss.
    logit_offsets: Option<Vec<f64>>,
    regularization: Regularization,
    widths: Option<Widths>,
}

/// What the samples are held against.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(into = "crate::models::stored::StoredLabels"))]
pub(crate) enum Labels {
    /// (1−δ) e_y + δ1/K, with a weight for each class.
    Classes { weights: Option<Vec<f64>>, smoothing: f64 },
    /// As PyTorch understands `weight` and `label_smoothing`, with Σᵢ ω_{yᵢ} = `total`.
    PyTorch { code: CodedClassWeights, total: f64 },
    /// The columns of a matrix, with a weight for each; no weights if all are 1.
    Soft { labels: DMatrix<f64>, weights: Vec<f64> },
}

impl ConvexUfm {
    /// Cross-entropy with one-hot labels.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] with less than two classes, [`Error::NoClosedForm`] with more than one layer: that
    /// problem is not convex, and unequal classes have no known minimum there.
    pub fn cross_entropy(counts: ClassCounts, regularization: Regularization) -> Result<Self> {
        Self::of_classes(LossFunction::CrossEntropy, counts, regularization)
    }

    /// The squared loss 1/(2N) Σ ‖W h + b − e_y‖² with one-hot labels. Without a penalty of the bias there is a
    /// closed form, [`Ufm`](crate::Ufm), which this agrees with.
    ///
    /// ```
    /// use neural_collapse::models::convex::ConvexUfm;
    /// use neural_collapse::{Bias, ClassCounts, Prediction, Regularization};
    ///
    /// let regularization = Regularization::new(&[5e-3], 1e-3)?.with_bias(Bias::Regularized(0.1))?;
    /// let ufm = ConvexUfm::squared_error(ClassCounts::new(&[200, 100, 50, 50])?, regularization)?;
    /// let minimum = ufm.global_minimum()?;
    /// assert!(minimum.gap() < 1e-10 * minimum.loss());
    /// let bias = minimum.bias().unwrap();
    /// assert!(bias[0] > bias[1] && bias[2] == bias[3]);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`cross_entropy`](Self::cross_entropy).
    pub fn squared_error(counts: ClassCounts, regularization: Regularization) -> Result<Self> {
        Self::of_classes(LossFunction::SquaredError, counts, regularization)
    }

    /// Cross-entropy with soft labels: `samples[j]` samples have column j of `labels` (K×J) as their label, as
    /// under distillation or with several annotators.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::models::convex::ConvexUfm;
    /// use neural_collapse::{Prediction, Regularization};
    ///
    /// let labels = dmatrix![0.9, 0.1, 0.3; 0.1, 0.8, 0.3; 0.0, 0.1, 0.4];
    /// let regularization = Regularization::new(&[1e-3], 1e-3)?;
    /// let minimum = ConvexUfm::soft_labels(labels, &[50, 50, 20], regularization)?.global_minimum()?;
    /// assert!(minimum.gap() < 1e-10 * minimum.loss());
    /// assert_eq!(minimum.outputs().shape(), (3, 3));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OutOfRange`] with less than two classes, if an entry of a label is negative or not finite, if a
    /// label does not sum to 1 within 10⁻⁹, or if with a bias that is not penalized some class has no label at
    /// all, whose bias would have no minimum; [`Error::Shape`] unless there is a number of samples for each label, and the
    /// errors of [`ClassCounts::new`] and of [`cross_entropy`](Self::cross_entropy).
    pub fn soft_labels(
        labels: DMatrix<f64>,
        samples: &[u64],
        regularization: Regularization,
    ) -> Result<Self> {
        if labels.ncols() != samples.len() {
            let reason = "one number of samples for each label";
            return Err(Error::length("samples", samples.len(), labels.ncols(), reason));
        }
        check_classes(labels.nrows())?;
        check_one_layer(&regularization)?;
        let counts = ClassCounts::new(samples)?;
        let labels = checked_labels(labels, regularization.bias())?;
        let labels = Labels::Soft { labels, weights: Vec::new() };
        Ok(Self::plain(LossFunction::SoftLabels, counts, labels, regularization))
    }

    /// What PyTorch's `CrossEntropyLoss(weight, label_smoothing)` with its weighted mean minimizes.
    ///
    /// There the weights do not multiply the loss of a sample: they weight each entry of its smoothed label, and
    /// the mean divides by Σᵢ ω_{yᵢ} instead of N ([`CodedClassWeights`] converts them). That is the model with weights W_y = (1−δ)ω_y + (δ/K)Σω and the
    /// soft labels [(1−δ)ω_y e_y + (δ/K)ω]/W_y, times N/Σᵢ ω_{yᵢ}; without smoothing it is
    /// [`with_class_weights`](Self::with_class_weights) but for that factor.
    ///
    /// ```
    /// use neural_collapse::models::convex::ConvexUfm;
    /// use neural_collapse::{ClassCounts, Prediction, Regularization};
    ///
    /// let counts = ClassCounts::new(&[60, 20, 20])?;
    /// let regularization = Regularization::new(&[1e-3], 1e-3)?;
    /// let torch = ConvexUfm::pytorch(counts.clone(), &[1.0, 3.0, 3.0], 0.0, regularization.clone())?;
    /// // Σᵢ ω = 180 for N = 100 samples.
    /// let weights = [100.0 / 180.0, 300.0 / 180.0, 300.0 / 180.0];
    /// let ours = ConvexUfm::cross_entropy(counts, regularization)?.with_class_weights(&weights)?;
    /// let difference = torch.global_minimum()?.loss() - ours.global_minimum()?.loss();
    /// assert!(difference.abs() < 1e-14);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] unless there are K weights, [`Error::OutOfRange`] if one is not positive and finite or unless
    /// 0 ≤ δ < 1, and the errors of [`cross_entropy`](Self::cross_entropy).
    pub fn pytorch(
        counts: ClassCounts,
        weight: &[f64],
        label_smoothing: f64,
        regularization: Regularization,
    ) -> Result<Self> {
        check_list("weight", weight, counts.classes())?;
        let code = CodedClassWeights::new(weight, label_smoothing)?;
        let total = code.total(&counts)?;
        let ufm = Self::of_classes(LossFunction::SoftLabels, counts, regularization)?;
        Ok(Self { labels: Labels::PyTorch { code, total }, ..ufm })
    }

    fn of_classes(
        loss_function: LossFunction,
        counts: ClassCounts,
        regularization: Regularization,
    ) -> Result<Self> {
        check_classes(counts.classes())?;
        check_one_layer(&regularization)?;
        let labels = Labels::Classes { weights: None, smoothing: 0.0 };
        Ok(Self::plain(loss_function, counts, labels, regularization))
    }

    /// The checked parts, without offsets and with features of any width.
    fn plain(
        loss_function: LossFunction,
        counts: ClassCounts,
        labels: Labels,
        regularization: Regularization,
    ) -> Self {
        Self { loss_function, counts, labels, logit_offsets: None, regularization, widths: None }
    }

    /// The same problem with the weight ω_k for each sample of class k. The weighted sum of the losses is divided
    /// by N, not by the sum of the weights (for that see [`pytorch`](Self::pytorch)).
    ///
    /// ```
    /// use neural_collapse::models::convex::ConvexUfm;
    /// use neural_collapse::{ClassCounts, Prediction, Regularization};
    ///
    /// // The squared loss without a bias: class k has the output max(0, 1 − Nκ/(ω_k √n_k)) for itself alone.
    /// let ufm = ConvexUfm::squared_error(ClassCounts::new(&[64, 36])?, Regularization::new(&[1e-2], 1e-2)?)?;
    /// let outputs = ufm.with_class_weights(&[1.0, 2.0])?.global_minimum()?.class_outputs()?;
    /// assert!((outputs.get(0, 0).unwrap() - (1.0 - 1.0 / 8.0)).abs() < 1e-12);
    /// assert!((outputs.get(1, 1).unwrap() - (1.0 - 1.0 / 12.0)).abs() < 1e-12);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] unless there are K weights, [`Error::OutOfRange`] if one is not positive and finite,
    /// [`Error::NoClosedForm`] for labels that are not classes.
    pub fn with_class_weights(mut self, class_weights: &[f64]) -> Result<Self> {
        let weights = list_unless_ones("class_weights", class_weights, self.counts.classes())?;
        *self.class_labels()?.0 = weights;
        Ok(self)
    }

    /// The same problem with the weight ω_j for each sample with soft label j. The weighted sum of the losses is divided
    /// by N.
    ///
    /// With it any numbers of tags per sample are covered: the pick-all-labels loss Σ_{k∈S} CE(z, k) of a sample with a set
    /// S of m tags is m·CE(z, 1_S/m). ([`MultiLabelUfm`](crate::models::multi_label::MultiLabelUfm) has a closed form
    /// where all sets of m tags have equally many samples.)
    ///
    /// ```
    /// use nalgebra::DMatrix;
    /// use neural_collapse::models::convex::ConvexUfm;
    /// use neural_collapse::{Prediction, Regularization};
    ///
    /// // Images with the tags {0}, {1}, {0, 1} and {1, 2, 3}.
    /// let sets = [vec![0], vec![1], vec![0, 1], vec![1, 2, 3]];
    /// let sizes: Vec<f64> = sets.iter().map(|set| set.len() as f64).collect();
    /// let labels = DMatrix::from_fn(4, 4, |k, j| f64::from(u8::from(sets[j].contains(&k))) / sizes[j]);
    /// let regularization = Regularization::new(&[1e-3], 1e-3)?;
    /// let ufm = ConvexUfm::soft_labels(labels, &[40, 30, 20, 10], regularization)?;
    /// let minimum = ufm.with_label_weights(&sizes)?.global_minimum()?;
    /// assert!(minimum.gap() < 1e-10 * minimum.loss());
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] unless there is a weight for each soft label, [`Error::OutOfRange`] if one is not positive and
    /// finite, [`Error::NoClosedForm`] for labels that are classes or PyTorch's.
    pub fn with_label_weights(mut self, label_weights: &[f64]) -> Result<Self> {
        let Labels::Soft { weights, .. } = &mut self.labels else {
            return Err(Error::NoClosedForm {
                problem: "weights of soft labels where labels are classes",
            });
        };
        let (length, reason) = (self.counts.classes(), "one number for each soft label");
        check_positive_list("label_weights", label_weights, length, reason)?;
        *weights = label_weights.to_vec();
        Ok(self)
    }

    /// The same problem with the labels (1−δ) e_k + δ 1/K.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless 0 ≤ δ < 1, [`Error::NoClosedForm`] for labels that are not classes.
    pub fn with_label_smoothing(mut self, label_smoothing: f64) -> Result<Self> {
        check_smoothing(label_smoothing)?;
        *self.class_labels()?.1 = label_smoothing;
        Ok(self)
    }

    fn class_labels(&mut self) -> Result<(&mut Option<Vec<f64>>, &mut f64)> {
        match &mut self.labels {
            Labels::Classes { weights, smoothing } => Ok((weights, smoothing)),
            _ => Err(Error::NoClosedForm {
                problem: "class weights or smoothing beside labels that have them already",
            }),
        }
    }

    /// The same problem with constants added to the logits in the loss, ℓ(W h + b + ι, y), as *logit adjustment* has
    /// them: ι_k = τ ln(n_k/N) makes the loss demand larger margins of small classes. The outputs of the network, and all
    /// predictions, are without them.
    ///
    /// A bias without a penalty takes them over, b − ι, and nothing else changes. As the decays vanish they do not
    /// matter beside growing logits.
    ///
    /// ```
    /// use neural_collapse::models::convex::ConvexUfm;
    /// use neural_collapse::{ClassCounts, Prediction, Regularization};
    ///
    /// let counts = ClassCounts::new(&[90, 10])?;
    /// let adjusted = ConvexUfm::cross_entropy(counts, Regularization::new(&[5e-3], 1e-3)?)?
    ///     .with_logit_offsets(&[0.9_f64.ln(), 0.1_f64.ln()])?;
    /// let outputs = adjusted.global_minimum()?.class_outputs()?;
    /// let margin = |own, other| outputs.get(own, own).unwrap() - outputs.get(other, own).unwrap();
    /// assert!(margin(1, 0) > margin(0, 1)); // the rare class has the larger margin
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] unless there are K offsets, [`Error::OutOfRange`] if one is not finite,
    /// [`Error::NoClosedForm`] for the squared loss and for labels that are not classes.
    ///
    /// Source: Menon et al., *Long-tail learning via logit adjustment* (ICLR 2021), for the loss.
    pub fn with_logit_offsets(mut self, logit_offsets: &[f64]) -> Result<Self> {
        if logit_offsets.len() != self.counts.classes() {
            let (found, expected) = (logit_offsets.len(), self.counts.classes());
            return Err(Error::length(
                "logit_offsets",
                found,
                expected,
                "one number for each class",
            ));
        }
        for (class, &offset) in logit_offsets.iter().enumerate() {
            if !offset.is_finite() {
                let argument = Argument::at("logit_offsets", class);
                return Err(Error::out_of_range(argument, offset, "finite"));
            }
        }
        self.class_labels()?;
        if self.loss_function != LossFunction::CrossEntropy {
            return Err(Error::NoClosedForm {
                problem: "constants added to the outputs of the squared loss, which are part of its target",
            });
        }
        self.logit_offsets = Some(logit_offsets.to_vec());
        Ok(self)
    }

    /// The same problem with features of dimension `widths[0]`. K − 1 are enough with cross-entropy; less are
    /// enough where the minimum has a smaller rank, and refused where not.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there is one width, [`Error::OutOfRange`] if it is 0.
    pub fn with_widths(mut self, widths: &[usize]) -> Result<Self> {
        self.widths = Some(Widths::new(widths, self.regularization.depth())?);
        Ok(self)
    }

    /// The class sizes, or the numbers of samples of the soft labels.
    #[must_use]
    pub fn counts(&self) -> &ClassCounts {
        &self.counts
    }

    /// Number of classes K.
    #[must_use]
    pub fn classes(&self) -> usize {
        match &self.labels {
            Labels::Soft { labels, .. } => labels.nrows(),
            Labels::Classes { .. } | Labels::PyTorch { .. } => self.counts.classes(),
        }
    }

    /// Cross-entropy or the squared loss; [`LossFunction::SoftLabels`] for soft labels, PyTorch's weighted ones among
    /// them.
    #[must_use]
    pub fn loss_function(&self) -> LossFunction {
        self.loss_function
    }

    /// The decays and the bias.
    #[must_use]
    pub fn regularization(&self) -> &Regularization {
        &self.regularization
    }

    /// The class weights ω as given; `None` if all are 1, or for soft labels.
    #[must_use]
    pub fn class_weights(&self) -> Option<&[f64]> {
        match &self.labels {
            Labels::Classes { weights, .. } => weights.as_deref(),
            Labels::PyTorch { code, .. } => Some(code.weight()),
            Labels::Soft { .. } => None,
        }
    }

    /// δ.
    #[must_use]
    pub fn label_smoothing(&self) -> f64 {
        match &self.labels {
            Labels::Classes { smoothing, .. } => *smoothing,
            Labels::PyTorch { code, .. } => code.label_smoothing(),
            Labels::Soft { .. } => 0.0,
        }
    }

    /// ι, or `None` if all are 0.
    #[must_use]
    pub fn logit_offsets(&self) -> Option<&[f64]> {
        self.logit_offsets.as_deref()
    }

    /// The dimension of the features, or `None` if it is unlimited.
    #[must_use]
    pub fn widths(&self) -> Option<&[usize]> {
        self.widths.as_ref().map(Widths::as_slice)
    }

    pub(super) fn labels(&self) -> &Labels {
        &self.labels
    }

    /// λ_W.
    pub(super) fn weight_decay(&self) -> f64 {
        self.regularization.first_decay()
    }

    /// κ = √(λ_W λ_H), without underflow on the way.
    pub(super) fn price(&self) -> f64 {
        self.weight_decay().sqrt() * self.regularization.feature_decay().sqrt()
    }

    /// The classes by their size, weight and offset; `None` for soft labels.
    pub(super) fn kinds(&self) -> Option<Kinds<2>> {
        let classes = !matches!(self.labels, Labels::Soft { .. });
        classes.then(|| Kinds::new(&self.counts, [self.class_weights(), self.logit_offsets()]))
    }

    /// The same, or why there are none.
    pub(super) fn kinds_of_classes(&self) -> Result<Kinds<2>> {
        self.kinds().ok_or(Error::NoClosedForm { problem: "labels that are not classes" })
    }
}

fn check_classes(classes: usize) -> Result<()> {
    if classes < 2 {
        return Err(Error::out_of_range("classes", classes as f64, "at least 2"));
    }
    Ok(())
}

fn check_one_layer(regularization: &Regularization) -> Result<()> {
    if regularization.depth() > 1 {
        return Err(Error::NoClosedForm {
            problem: "more than one layer with classes that are not alike",
        });
    }
    Ok(())
}

/// Probability vectors, made to sum to one exactly, up to rounding.
fn checked_labels(mut labels: DMatrix<f64>, bias: Bias) -> Result<DMatrix<f64>> {
    for (index, mut column) in labels.column_iter_mut().enumerate() {
        let place = |row| Argument::entry("labels", row, index);
        let whole = Argument::at("labels", index);
        column /= sum_of_probabilities(column.as_slice(), ROUNDING, place, whole)?;
    }
    let unlabeled = labels.row_iter().position(|row| row.iter().all(|&entry| entry == 0.0));
    if let (Some(class), Bias::Unregularized) = (unlabeled, bias) {
        let expected = "positive for some label of each class beside a bias without a penalty";
        return Err(Error::out_of_range(Argument::entry("labels", class, 0), 0.0, expected));
    }
    Ok(labels)
}

#[cfg(test)]
mod tests;
