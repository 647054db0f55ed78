//! What is predicted for samples that belong to no class.

use nalgebra::DMatrix;

use crate::geometry::class_matrix::ClassMatrix;
use crate::problem::counts::ClassCounts;
use crate::problem::training_objective::TrainingObjective;

/// What a model predicts for samples that belong to no class but carry one of J labels: a soft label, a set of tags, or a
/// context with the tokens that may follow it. All samples of one label have the same features.
///
/// ```
/// use neural_collapse::models::multi_label::MultiLabelUfm;
/// use neural_collapse::{Prediction, Regularization};
///
/// let regularization = Regularization::new(&[5e-4], 1e-5)?;
/// let minimum = MultiLabelUfm::new(3, &[(1, 100), (2, 10)], regularization)?.global_minimum()?;
/// let labels = minimum.label_geometry()?;
/// // Of the pair {0, 1}, after three single tags, both tags have equal outputs, which sum to zero with the third.
/// let pair = labels.outputs.column(3);
/// assert!(pair[0] > 0.0 && (pair[0] - pair[1]).abs() < 1e-14 && pair.sum().abs() < 1e-12);
/// assert_eq!((labels.counts.classes(), labels.counts.count(3)), (6, Some(10)));
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LabelGeometry {
    /// The number of samples of each label.
    pub counts: ClassCounts,
    /// What training minimizes, as a function of the number of each sample's label.
    pub training_objective: TrainingObjective,
    /// The tags of each label, where labels are sets of tags.
    pub tag_sets: Option<Vec<Vec<usize>>>,
    /// The Gram matrix HᵀH of the features, one for each label: J×J.
    pub features_gram: ClassMatrix,
    /// The outputs W H without the bias, a column for each label: K×J.
    pub outputs: DMatrix<f64>,
}
