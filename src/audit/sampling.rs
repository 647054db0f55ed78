//! How far an audit's numbers may be off because samples are few, and between which levels they lie.

use std::collections::BTreeMap;

use nalgebra::DMatrix;

use crate::audit::measurement::Measurement;
use crate::error::Result;
use crate::geometry::class_matrix::ClassMatrix;
use crate::metrics::errors::StandardErrors;
use crate::metrics::levels::{Collapsed, Levels, Unstructured};
use crate::prediction::Geometry;
use crate::problem::head::LinearHead;

/// Up to this many classes a target is written as a whole matrix to put its classes in another order.
const FEW_CLASSES: usize = 1024;

/// What the distances of an audit are to.
pub(super) struct Targets {
    /// Of NC2 for m = 1, …, M.
    pub(super) grams: Vec<Option<ClassMatrix>>,
    /// Of NC3, in the order of the measured classes.
    pub(super) outputs: Option<ClassMatrix>,
}

impl Targets {
    /// Those of a frame that needs no prediction.
    pub(super) fn of_frame(frame: Option<&Geometry>, head: &LinearHead) -> Result<Self> {
        let classes = head.classes();
        let target = match frame {
            Some(Geometry::SimplexEtf) => Some(ClassMatrix::simplex_etf(classes)?),
            Some(_) => Some(ClassMatrix::orthogonal_frame(classes)?),
            None => None,
        };
        Ok(Self { grams: vec![target.clone(); head.depth()], outputs: target })
    }
}

/// Predicted outputs in the order of the measured classes, where `matching` names the measured class of each predicted
/// one; `None` for a family and for many classes in another order.
pub(super) fn in_order(
    outputs: Option<&ClassMatrix>,
    matching: Option<&[usize]>,
) -> Option<ClassMatrix> {
    let outputs = outputs?;
    let Some(order) = matching.filter(|order| !order.is_sorted()) else {
        return Some(outputs.clone());
    };
    if order.len() > FEW_CLASSES {
        return None;
    }
    let predicted = outputs.to_dense()?;
    let mut measured = DMatrix::zeros(order.len(), order.len());
    for (i, &row) in order.iter().enumerate() {
        for (j, &column) in order.iter().enumerate() {
            measured[(row, column)] = predicted[(i, j)];
        }
    }
    Some(ClassMatrix::dense(measured))
}

impl Measurement {
    /// Levels and standard errors of the metrics, and why they are missing.
    pub(super) fn sampling(
        &self,
        head: &LinearHead,
        targets: &Targets,
        reasons: &mut BTreeMap<&'static str, String>,
    ) -> Result<(Levels, Option<StandardErrors>)> {
        let unstructured =
            Unstructured::of_network(self.counts(), head)?.with_targets(head, &targets.grams)?;
        let collapsed = match &self.parts {
            Some(parts) => Collapsed::new(parts, head)?,
            None => None,
        };
        let errors = self.standard_errors(head, targets.outputs.as_ref())?;
        if errors.is_none() {
            let reason = match self.parts.is_some() {
                true => {
                    "a class has a single sample, so that nothing tells how far its mean is off"
                }
                false => {
                    "they were not asked for, or the samples are not those that the class means are of"
                }
            };
            reasons.insert("standard_errors", reason.into());
            reasons.insert("levels.collapsed", reason.into());
        }
        Ok((Levels::new(unstructured, collapsed), errors))
    }

    fn standard_errors(
        &self,
        head: &LinearHead,
        target: Option<&ClassMatrix>,
    ) -> Result<Option<StandardErrors>> {
        let Some(parts) = &self.parts else { return Ok(None) };
        let errors = match self.metrics() {
            Some(_) => StandardErrors::of_all_metrics(parts, head, target)?,
            None => StandardErrors::new(parts, head, target)?,
        };
        Ok(errors.map(|errors| errors.with_decisions(self.nc4(), self.statistics().counts())))
    }
}
