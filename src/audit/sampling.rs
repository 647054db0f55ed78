//! How far an audit's numbers may be off because samples are few, and between which levels they lie.

use std::collections::BTreeMap;

use nalgebra::DMatrix;

use crate::audit::measurement::{Losses, Measurement};
use crate::error::Result;
use crate::geometry::class_matrix::ClassMatrix;
use crate::metrics::errors::{Metric, StandardErrors};
use crate::metrics::levels::{Collapsed, Levels, Unstructured, looks_at_pairs};
use crate::monitor::Monitor;
use crate::prediction::Geometry;
use crate::problem::counts::ClassCounts;
use crate::problem::head::LinearHead;

/// Up to this many classes a target is written as a whole matrix to put its classes in another order.
const FEW_CLASSES: usize = 1024;

/// The levels that look at all pairs of classes.
const LEVELS_OF_PAIRS: [&str; 3] = [
    "levels.collapsed.nc2_class_means",
    "levels.collapsed.nc2_class_means_as_they_are",
    "levels.collapsed.cosine_deviation",
];

/// What the distances of an audit are to.
pub(super) struct Targets {
    /// Of NC2 for m = 1, …, M.
    pub(super) grams: Vec<Option<ClassMatrix>>,
    /// Of NC3, in the order of the measured classes.
    pub(super) outputs: Option<ClassMatrix>,
    /// Of the Gram matrix of the class means, in the same order.
    pub(super) class_means: Option<ClassMatrix>,
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
        Ok(Self { grams: vec![target.clone(); head.depth()], outputs: target, class_means: None })
    }
}

/// A predicted matrix, of outputs say, in the order of the measured classes, where `matching` names the measured class of each predicted
/// one; `None` for a family and for many classes in another order.
pub(super) fn in_order(
    predicted: Option<&ClassMatrix>,
    matching: Option<&[usize]>,
) -> Option<ClassMatrix> {
    let predicted = predicted?;
    let Some(order) = matching.filter(|order| !order.is_sorted()) else {
        return Some(predicted.clone());
    };
    if order.len() > FEW_CLASSES {
        return None;
    }
    let predicted = predicted.to_dense()?;
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
        losses: Option<Losses>,
        reasons: &mut BTreeMap<&'static str, String>,
        monitor: &dyn Monitor,
    ) -> Result<(Levels, Option<StandardErrors>)> {
        monitor.report("levels without structure", 0, None)?;
        let mut unstructured =
            Unstructured::of_network(self.counts(), head)?.with_targets(head, &targets.grams)?;
        if let Some(target) = &targets.class_means {
            let dimension = head.feature_dimension();
            unstructured =
                unstructured.with_class_means_target(self.counts(), dimension, target)?;
        }
        level_reasons(&unstructured, self.counts(), head.feature_dimension(), targets, reasons);
        let collapsed = match &self.parts {
            Some(parts) => Collapsed::watched(parts, head, monitor)?,
            None => None,
        };
        if collapsed.is_some() && !looks_at_pairs(self.counts().classes()) {
            let reason = "all pairs of so many classes would take too long";
            reasons.extend(LEVELS_OF_PAIRS.map(|key| (key, reason.to_string())));
        }
        let errors = self.standard_errors(head, targets, losses, monitor)?;
        self.error_reasons(errors.as_ref(), reasons);
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
        targets: &Targets,
        losses: Option<Losses>,
        monitor: &dyn Monitor,
    ) -> Result<Option<StandardErrors>> {
        let Some(parts) = &self.parts else { return Ok(None) };
        let (target, all) = (targets.outputs.as_ref(), self.metrics().is_some());
        let errors = StandardErrors::watched(parts, head, target, all, monitor)?;
        let Some(errors) = errors else { return Ok(None) };
        let mut errors = errors.with_decisions(self.nc4(), self.statistics().counts());
        for (metric, nc1) in [
            (Metric::Nc1Resolved, self.nc1_resolved()),
            (Metric::Nc1PredictedRank, self.nc1_predicted_rank()),
        ] {
            if nc1.is_some() && nc1 == self.nc1() {
                errors = errors.with_nc1_named(metric);
            }
        }
        if let Some(Losses { measured, feature_decay, optimum }) = losses {
            errors = errors.with_loss(parts, (measured, feature_decay), optimum)?;
        }
        match &targets.class_means {
            Some(target) => errors.with_watched_nc2_class_means(parts, target, monitor).map(Some),
            None => Ok(Some(errors)),
        }
    }

    /// Why numbers that are measured have no standard error.
    fn error_reasons(
        &self,
        errors: Option<&StandardErrors>,
        reasons: &mut BTreeMap<&'static str, String>,
    ) {
        let Some(errors) = errors else { return };
        let mut missing = |key, reason: &str| reasons.insert(key, reason.into());
        missing("standard_errors.nc2", "layers are no samples");
        if self.objective().is_some() {
            missing(
                "standard_errors.gradient_norm",
                "it is zero or not for the very samples of the training, of which it is no estimate for others",
            );
        }
        if self.balancedness().is_some() {
            missing(
                "standard_errors.balancedness",
                "it is that of the very samples of the training, of which it is no estimate for others",
            );
        }
        if self.least_squares_split().is_some() {
            missing(
                "standard_errors.least_squares_split",
                "the best head moves with all second moments, which are not kept for each part of the samples; their sum is \
                 the loss but for the penalty of the features",
            );
        }
        for (metric, reason) in errors.reasons() {
            missing(metric.reason_key(), reason);
        }
    }
}

/// Why means of metrics without structure are missing.
fn level_reasons(
    level: &Unstructured,
    counts: &ClassCounts,
    dimension: usize,
    targets: &Targets,
    reasons: &mut BTreeMap<&'static str, String>,
) {
    const TOO_LONG: &str = "no closed form is known, and a simulation would take too long";
    let classes = counts.classes();
    let mut missing = |key, is_missing: bool, reason: &str| {
        if is_missing {
            reasons.insert(key, reason.into());
        }
    };
    let nc1 = match dimension + 2 < classes {
        true => TOO_LONG,
        false if classes < 2 => "there is one class",
        false => "its mean is infinite for K − 2, K − 1 and K dimensions",
    };
    missing("levels.unstructured.nc1", level.nc1.is_none(), nc1);
    let few = "its mean is infinite, or not defined, for so few classes and dimensions";
    missing("levels.unstructured.nc1_trace_quotient", level.nc1_trace_quotient.is_none(), few);
    missing("levels.unstructured.cdnv", level.cdnv.is_none(), few);
    let without =
        targets.grams.iter().zip(&level.nc2).any(|(t, level)| t.is_some() && level.is_none());
    let family = "the target is zero, or a family, for which a simulation would take too long";
    missing("levels.unstructured.nc2", without, family);
    let without = targets.class_means.is_some() && level.nc2_class_means.is_none();
    missing("levels.unstructured.nc2_class_means", without, family);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AuditOptions, measure_with};
    use crate::measure::features::Features;

    #[test]
    fn predicted_classes_are_put_where_they_were_measured() {
        let matrix = DMatrix::from_fn(3, 3, |i, j| (3 * i + j) as f64 + 1.0);
        let dense = ClassMatrix::dense(matrix);
        let found = in_order(Some(&dense), Some(&[2, 0, 1])).unwrap();
        // The predicted classes 1, 2 and 0 are measured as 0, 1 and 2.
        let expected = [5.0, 8.0, 2.0, 6.0, 9.0, 3.0, 4.0, 7.0, 1.0];
        assert_eq!(found.to_dense().unwrap().as_slice(), expected);
        for order in [None, Some(&[0, 1, 2][..])] {
            assert_eq!(in_order(Some(&dense), order), Some(dense.clone()));
        }
        assert_eq!(in_order(None, Some(&[2, 0, 1])), None);
        for (classes, is_given) in [(FEW_CLASSES, true), (FEW_CLASSES + 1, false)] {
            let order: Vec<usize> = (0..classes).rev().collect();
            let lengths: Vec<f64> = (0..classes).map(|class| class as f64 + 1.0).collect();
            let found = in_order(Some(&ClassMatrix::diagonal(&lengths).unwrap()), Some(&order));
            assert_eq!(found.is_some(), is_given);
            assert!(found.is_none_or(|found| found.get(0, 0) == Some(classes as f64)));
        }
    }

    /// Reasons of levels that are missing, and of those alone.
    #[test]
    fn missing_levels_have_their_reasons() {
        let reasons =
            |classes: usize, dimension: usize, targets: &Targets, nc2: Vec<Option<f64>>| {
                let counts = ClassCounts::balanced(classes, 9).unwrap();
                let mut level = Unstructured::new(&counts, dimension).unwrap();
                (level.nc1, level.nc2) = (None, nc2);
                let mut reasons = BTreeMap::new();
                level_reasons(&level, &counts, dimension, targets, &mut reasons);
                reasons
            };
        let etf = || ClassMatrix::simplex_etf(4).unwrap();
        let none = Targets { grams: vec![None], outputs: None, class_means: None };
        for (classes, dimension, start) in [
            (10, 7, "no closed form is known"),
            (10, 8, "its mean is infinite"),
            (10, 10, "its mean is infinite"),
            (2, 2, "its mean is infinite"),
            (1, 5, "there is one class"),
        ] {
            let found = reasons(classes, dimension, &none, vec![None]);
            let reason = &found["levels.unstructured.nc1"];
            assert!(reason.starts_with(start), "{classes} {dimension}: {reason}");
            assert!(!found.contains_key("levels.unstructured.nc2"), "{found:?}");
            assert_eq!(found.contains_key("levels.unstructured.cdnv"), classes < 3);
        }
        let grams = Targets { grams: vec![None, Some(etf())], outputs: None, class_means: None };
        for (nc2, is_missing) in [(Some(0.5), false), (None, true)] {
            let found = reasons(4, 9, &grams, vec![None, nc2]);
            assert_eq!(found.contains_key("levels.unstructured.nc2"), is_missing);
            assert!(!found.contains_key("levels.unstructured.nc2_class_means"));
        }
        let means = Targets { grams: Vec::new(), outputs: None, class_means: Some(etf()) };
        let found = reasons(4, 9, &means, Vec::new());
        assert!(found.contains_key("levels.unstructured.nc2_class_means"));
    }

    /// All pairs of few classes are looked at, so that there is nothing to excuse.
    #[test]
    fn few_classes_have_levels_of_pairs() {
        let rows =
            DMatrix::from_fn(12, 4, |i, j| ((i * i + 5 * j) as f64).sin() + ((i % 3) * j) as f64);
        let labels: Vec<usize> = (0..12).map(|sample| sample % 3).collect();
        let data = Features::from_sample_rows(&rows).unwrap().with_labels(&labels, 3).unwrap();
        let head = LinearHead::new(vec![DMatrix::identity(3, 4)], None).unwrap();
        let options = AuditOptions::default().with_standard_errors(true);
        let found = measure_with(&data, &head, &options, &()).unwrap();
        let found = found.without_prediction("nobody knows").unwrap();
        assert!(found.levels.collapsed.unwrap().cosine_deviation.is_some());
        assert!(LEVELS_OF_PAIRS.iter().all(|key| !found.reasons.contains_key(key)));
    }
}
