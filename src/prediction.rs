//! The one interface of all predictions.

mod alignment;
pub(crate) mod class_runs;
mod class_turns;
pub(crate) mod explicit;
pub(crate) mod geometry;
mod hidden_spaces;
mod label_geometry;
mod matrices;
pub(crate) mod nonnegative;
#[cfg(feature = "serde")]
mod stored;
mod summary;
pub(crate) mod verdict;

use core::fmt::Debug;
use core::ops::RangeInclusive;

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::problem::counts::{ClassCounts, Run};
use crate::problem::training_objective::TrainingObjective;

pub use explicit::{Basis, ExplicitPoint};
pub use geometry::{ClassGeometry, Geometry};
pub use label_geometry::LabelGeometry;
pub use matrices::{Matrices, OutputDirections};
pub use summary::Summary;
pub use verdict::{Source, Verdict};

/// A singular value with the number of its singular vectors.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct SingularValue {
    /// The singular value.
    pub value: f64,
    /// Number of its left singular vectors.
    pub multiplicity: usize,
}

impl SingularValue {
    /// A singular value with its multiplicity.
    pub(crate) fn new(value: f64, multiplicity: usize) -> Self {
        Self { value, multiplicity }
    }
}

/// `None` where a prediction has no answer.
pub(crate) fn answered<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Error::NotAnswered { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a model predicts: the point that training should reach, with everything that can be measured there.
///
/// Layers are numbered from the features to the output, W₁, …, W_M; h_k is the mean of the features of
/// class k, the k-th column of H̄ (d₁×K). Numbers that differ between the members of a family of global
/// minimizers are `None`, and class matrices know the whole family.
pub trait Prediction: Debug + Send + Sync {
    /// The objective that training minimizes, with its decays or budgets.
    fn training_objective(&self) -> TrainingObjective;

    /// The class counts; `None` for a target matrix without classes.
    fn counts(&self) -> Option<&ClassCounts>;

    /// Number of outputs K.
    fn classes(&self) -> usize;

    /// Number of linear layers M.
    fn depth(&self) -> usize;

    /// The widths d₁, …, d_M, or `None` if they are unlimited.
    fn widths(&self) -> Option<&[usize]>;

    /// R = min(K, d₁, …, d_M), the largest rank that the widths leave to the outputs without the bias.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, Prediction, Regularization, Ufm};
    ///
    /// let ufm = Ufm::new(ClassCounts::balanced(4, 10)?, Regularization::new(&[1e-3; 2], 1e-3)?)?;
    /// let rank_limit = |minimum: &dyn Prediction| minimum.rank_limit();
    /// assert_eq!(rank_limit(&ufm.global_minimum()?), 4);
    /// assert_eq!(rank_limit(&ufm.with_widths(&[6, 3])?.global_minimum()?), 3);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    fn rank_limit(&self) -> usize {
        self.widths().into_iter().flatten().copied().fold(self.classes(), usize::min)
    }

    /// Name of the geometry.
    fn geometry(&self) -> Geometry;

    /// How far it is proved that this is the global minimum.
    fn verdict(&self) -> Verdict;

    /// The value of the training objective.
    fn loss(&self) -> f64;

    /// A number that no value of the training objective is below, by proof; the loss itself where it is proved
    /// to be the global minimum. `None` if no such number is known.
    fn lower_bound(&self) -> Option<f64> {
        self.verdict().is_proved().then(|| self.loss())
    }

    /// Whether everything but rotations of the hidden spaces is determined.
    fn is_unique(&self) -> bool;

    /// Whether the lengths are determined. If not, norms and Gram matrices are known up to one common factor
    /// for the classifier and one for the features.
    fn has_scale(&self) -> bool {
        true
    }

    /// Whether exchanging two classes of one size leaves all matrices as they are.
    fn is_symmetric(&self) -> bool {
        true
    }

    /// Whether classes that the problem treats alike have different places in the structure, so that their order in it
    /// is arbitrary and a measured network has to be matched to it ([`ClassMatrix::matching`]).
    fn has_arbitrary_order(&self) -> bool {
        let some_are_alike = |counts| {
            let mut kinds = self.training_objective().class_kinds(counts);
            kinds.sort_unstable();
            kinds.windows(2).any(|pair| pair[0] == pair[1])
        };
        !self.is_symmetric() && self.counts().is_none_or(some_are_alike)
    }

    /// The runs of neighboring classes that are alike, with what becomes of them, in the order of the classes.
    ///
    /// # Errors
    /// [`Error::NotAnswered`] for a target matrix without classes, and where the
    /// matrices are too large.
    fn class_runs(&self) -> Result<Vec<(Run, ClassGeometry)>>;

    /// The bias b, one number for each class; `None` without a bias, where it differs between members of the family,
    /// and for more classes than memory has room for (see [`bias_runs`](Self::bias_runs)).
    fn bias(&self) -> Option<Vec<f64>>;

    /// [`bias`](Self::bias) as runs of neighboring classes: how many they are, and the entry that they share.
    fn bias_runs(&self) -> Option<Vec<(usize, f64)>> {
        Some(self.bias()?.into_iter().map(|entry| (1, entry)).collect())
    }

    /// The singular values of the product of the `layers` (from 1 to M), by falling value.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there is no such layer.
    fn singular_values(&self, layers: RangeInclusive<usize>) -> Result<Vec<SingularValue>>;

    /// The singular values of the features H (d₁×N), by falling value.
    ///
    /// # Errors
    /// [`Error::NotAnswered`] if they are not known.
    fn feature_singular_values(&self) -> Result<Vec<SingularValue>>;

    /// The Gram matrix of the rows of the last m = `layers` layers, W_M⋯W_(M−m+1): the target of NC2.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there are not so many layers.
    fn trailing_gram(&self, layers: usize) -> Result<ClassMatrix>;

    /// The Gram matrix H̄ᵀH̄ of the class means.
    ///
    /// # Errors
    /// [`Error::NotAnswered`] for a target matrix without classes.
    fn class_means_gram(&self) -> Result<ClassMatrix>;

    /// The rank of Σ_B: the number of directions in which the class means differ, K − 1 for orthogonal frames and
    /// simplex ETFs and less where classes coincide or the rank is low ([`ClassMatrix::affine_rank`]).
    ///
    /// # Errors
    /// [`Error::NotAnswered`] where the class means are not known or the members of a family
    /// differ in it.
    fn class_mean_rank(&self) -> Result<usize> {
        self.class_means_gram()?.affine_rank()?.ok_or(Error::NotAnswered {
            question: "the rank of the class means",
            reason: "it differs between global minimizers",
        })
    }

    /// The outputs W_M⋯W₁H̄ for the class means, without the bias: the target of NC3.
    ///
    /// # Errors
    /// [`Error::NotAnswered`] for a target matrix without classes.
    fn class_outputs(&self) -> Result<ClassMatrix>;

    /// Features and outputs of samples that belong to no class but carry soft labels, sets of tags or contexts: the labels
    /// have the order in which the model was given them, sets of tags that of
    /// [`tag_sets`](crate::models::multi_label::MultiLabelUfm::tag_sets).
    ///
    /// # Errors
    /// [`Error::NotAnswered`] where samples belong to classes or each has a target of its own, [`Error::OutOfRange`] if for J
    /// labels J² numbers do not fit into memory.
    ///
    /// ```
    /// use neural_collapse::models::multi_label::MultiLabelUfm;
    /// use neural_collapse::{Prediction, Regularization};
    ///
    /// // Four tags: 100 images for each single tag, 10 for each of the six pairs.
    /// let regularization = Regularization::new(&[5e-4], 1e-5)?;
    /// let minimum = MultiLabelUfm::new(4, &[(1, 100), (2, 10)], regularization)?.global_minimum()?;
    /// let labels = minimum.label_geometry()?;
    /// assert_eq!(labels.outputs.shape(), (4, 10));
    /// assert_eq!(labels.tag_sets.unwrap()[4], [0, 1]);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    fn label_geometry(&self) -> Result<LabelGeometry> {
        Err(Error::NotAnswered {
            question: "the geometry by labels",
            reason: "samples belong to classes, or each has a target of its own",
        })
    }

    /// Matrices W₁, …, W_M, b and H that attain the loss.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::OutOfRange`] if a given
    /// basis does not have the right size or is not orthonormal to 10⁻¹⁰, or if the matrices do not fit into
    /// memory.
    fn explicit(&self, basis: &Basis) -> Result<ExplicitPoint>;
}

#[cfg(test)]
mod tests;
