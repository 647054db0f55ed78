//! The minimum of soft labels, label by label.

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::models::convex::minimum::ConvexMinimum;
use crate::numerics::linalg::check_memory;
use crate::prediction::{LabelGeometry, Prediction};

impl ConvexMinimum {
    /// Features and outputs of every soft label.
    pub(super) fn geometry_of_labels(&self) -> Result<LabelGeometry> {
        if self.counts().is_some() {
            let question = "the geometry by labels";
            return Err(Error::NotAnswered { question, reason: "its labels are classes" });
        }
        let counts = self.problem().counts();
        let labels = counts.classes();
        check_memory("labels", labels as f64, labels.checked_mul(labels))?;
        Ok(LabelGeometry {
            counts: counts.clone(),
            training_objective: self.training_objective(),
            tag_sets: None,
            features_gram: ClassMatrix::dense(self.features_gram()),
            outputs: self.outputs(),
        })
    }
}
