//! What is predicted for samples that belong to no class.

use nalgebra::DMatrix;

use crate::geometry::class_matrix::ClassMatrix;
use crate::problem::counts::ClassCounts;
use crate::problem::training_objective::TrainingObjective;

/// What a model predicts for samples that belong to no class but carry one of J labels: a soft label, a set of tags, or a
/// context with the tokens that may follow it. All samples of one label have the same features.
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
