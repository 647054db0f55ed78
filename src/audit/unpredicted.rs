//! A network beside no prediction.

use std::collections::BTreeMap;

use crate::audit::comparison::Audit;
use crate::audit::measurement::Measurement;
use crate::audit::sampling::Targets;
use crate::error::Result;
use crate::monitor::Monitor;
use crate::prediction::Geometry;
use crate::problem::training_objective::LossFunction;

impl Measurement {
    /// The network without a prediction, for a `reason`: distances are those to the frames that need none.
    ///
    /// # Errors
    /// [`Error::Unrepresentable`](crate::Error::Unrepresentable) if a number overflows.
    pub fn without_prediction(self, reason: impl Into<String>) -> Result<Audit> {
        self.without_prediction_with(reason, &())
    }

    /// [`without_prediction`](Self::without_prediction) under the eyes of a monitor, which may end it.
    ///
    /// # Errors
    /// As [`without_prediction`](Self::without_prediction), and [`Error::Cancelled`](crate::Error::Cancelled) if the monitor ends
    /// the work.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// use nalgebra::dmatrix;
    /// use neural_collapse::audit::{AuditOptions, measure_with};
    /// use neural_collapse::{Error, Features, LinearHead, Progress};
    ///
    /// let features = [1.9_f32, 0.1, 2.1, -0.1, 0.0, 1.9, 0.0, 2.1]; // four samples in two dimensions
    /// let data = Features::from_row_major(&features, 4, 2)?.with_labels(&[0, 0, 1, 1], 2)?;
    /// let head = LinearHead::new(vec![dmatrix![0.5, 0.0; 0.0, 0.5]], None)?;
    /// let options = AuditOptions::default().with_standard_errors(true);
    /// let measured = measure_with(&data, &head, &options, &())?;
    /// let hasty = |progress: Progress| match progress.stage {
    ///     "standard errors" => ControlFlow::Break(()),
    ///     _ => ControlFlow::Continue(()),
    /// };
    /// let audit = measured.without_prediction_with("the decays are not known", &hasty);
    /// assert_eq!(audit, Err(Error::Cancelled));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn without_prediction_with(
        self,
        reason: impl Into<String>,
        monitor: &dyn Monitor,
    ) -> Result<Audit> {
        let reason = reason.into();
        let distances = self.frame_distances()?;
        let head = self.head();
        let frame = match self.expected_frame() {
            Ok(Geometry::SimplexEtf) => {
                distances.simplex_etf.clone().zip(Some(Geometry::SimplexEtf))
            }
            Ok(frame) => distances.orthogonal_frame.clone().zip(Some(frame)),
            Err(_) => None,
        };
        let (distance, target) = frame.unzip();
        let mut reasons = BTreeMap::new();
        if distance.is_none() {
            let unknown = self.expected_frame().err().unwrap_or_default();
            for key in ["nc2", "nc3", "nc3_centered"] {
                reasons.insert(
                    key,
                    format!("there is no prediction to compare with{unknown}: {reason}"),
                );
            }
        }
        self.measured_reasons(&mut reasons);
        for key in
            ["nc2_class_means", "loss_optimum", "loss_gap", "loss_gap_relative", "prediction"]
        {
            reasons.insert(key, reason.clone());
        }
        let targets = Targets::of_frame(target.as_ref(), head)?;
        let losses = self.training_objective().and_then(|objective| self.losses(objective, None));
        let (levels, standard_errors) =
            self.sampling(head, &targets, losses, &mut reasons, monitor)?;
        let loss = self.training_objective().and_then(|objective| self.loss_of(objective));
        let audit = Audit {
            nc2: distance
                .as_ref()
                .map_or_else(|| vec![None; head.depth()], |found| found.nc2.clone()),
            nc3: distance.as_ref().and_then(|found| found.nc3),
            nc3_centered: distance.as_ref().and_then(|found| found.nc3_centered),
            nc2_class_means: None,
            nc1_layer_ratios: self.layer_ratios(None)?,
            nc2_target: target.clone(),
            nc3_target: target,
            distances: Some(distances),
            levels,
            standard_errors,
            classes: self.classes(head)?,
            loss,
            prediction: None,
            no_prediction: Some(reason),
            matching: None,
            verdict: self.training_verdict(None, None, None),
            structure: None,
            reasons,
            measurement: self,
        };
        Ok(audit.with_distance_reasons().with_gradient_reason().with_layer_reason())
    }

    /// The frame that balanced classes have under any decays, or why none can be named.
    fn expected_frame(&self) -> core::result::Result<Geometry, &'static str> {
        let squared = self
            .training_objective()
            .map(|objective| objective.loss_function() == LossFunction::SquaredError);
        match (self.counts().is_balanced(), self.head().bias(), squared) {
            (false, ..) => Err(""),
            (true, None, None) => Err(
                ", and without a bias the frame of balanced classes depends on the loss function, which is not known",
            ),
            (true, None, Some(true)) => Ok(Geometry::OrthogonalFrame),
            (true, Some(_), _) | (true, None, Some(false)) => Ok(Geometry::SimplexEtf),
        }
    }
}
