//! Why numbers of a comparison are missing.

use crate::audit::comparison::{Audit, OTHER_OBJECTIVE};

impl Audit {
    /// Says why distances are missing to what is known: there is nothing but zeros.
    pub(super) fn with_distance_reasons(mut self) -> Self {
        let missing = [
            ("nc2", self.nc2.iter().any(Option::is_none), "the Gram matrix of the layers"),
            ("nc2_class_means", self.nc2_class_means.is_none(), "the matrix of the class means"),
            ("nc3", self.nc3.is_none(), "the matrix of the outputs"),
            ("nc3_centered", self.nc3_centered.is_none(), "the matrix of the centered outputs"),
        ];
        for (key, _, what) in missing.into_iter().filter(|(_, is_missing, _)| *is_missing) {
            self.reasons.entry(key).or_insert_with(|| {
                format!("{what}, or what is predicted for it, is zero, so that it has no direction")
            });
        }
        self
    }

    /// Says why the measured gradient is not shown, where there is one.
    pub(super) fn with_gradient_reason(mut self) -> Self {
        if let (Some(_), Some(reason)) = (self.measurement.objective(), self.no_gradient()) {
            self.reasons.insert("gradient_norm", reason.into());
        }
        self
    }

    /// Says why NC1 after a layer has nothing beside it.
    pub(super) fn with_layer_reason(mut self) -> Self {
        if self.nc1_layer_ratios.iter().any(|ratio| ratio.measured.is_none()) {
            let reason = "NC1 of the features is zero, or class means are all equal";
            self.reasons.insert("nc1_layer_ratios.measured", reason.into());
        }
        if self.nc1_layer_ratios.iter().any(|ratio| ratio.predicted.is_none()) {
            let reason =
                "there is no prediction with one minimum and matrices for each of these layers";
            self.reasons.insert("nc1_layer_ratios.predicted", reason.into());
        }
        self
    }

    /// Leaves room for the layers that are not known, and says why there is nothing about them.
    pub(super) fn of_product(mut self) -> Self {
        const UNKNOWN: &str = "only the product of the layers is known";
        let depth = self.prediction.as_ref().map_or(1, |summary| summary.depth);
        let levels = &mut self.levels.unstructured;
        for list in [&mut self.nc2, &mut levels.nc2, &mut levels.nc2_uncertainty] {
            let missing = depth.saturating_sub(list.len());
            list.splice(..0, core::iter::repeat_n(None, missing));
        }
        for key in ["nc2", "levels.unstructured.nc2", "levels.unstructured.nc2_uncertainty"] {
            self.reasons.insert(key, UNKNOWN.into());
        }
        for key in ["loss", "loss_gap", "loss_gap_relative"] {
            self.reasons.insert(key, format!("{UNKNOWN}, and each of them has a penalty"));
        }
        self
    }

    /// Says why there is no loss to compare beside a prediction.
    pub(super) fn with_loss_reasons(mut self) -> Self {
        if self.loss.is_none() && self.measurement.objective().is_some() {
            self.reasons.insert("loss", OTHER_OBJECTIVE.into());
        }
        let optimum = self.loss_optimum();
        if optimum.is_none() {
            let reason = "the model minimizes norms under constraints, and has no loss";
            self.reasons.insert("loss_optimum", reason.into());
        }
        if self.loss_gap().is_none() {
            let of = if optimum.is_none() { "loss_optimum" } else { "loss" };
            let reason = self.reasons.get(of).cloned();
            let keys = ["loss_gap", "loss_gap_relative"];
            self.reasons.extend(
                keys.into_iter()
                    .zip([reason.clone(), reason])
                    .filter_map(|(key, reason)| Some((key, reason?))),
            );
        } else if self.loss_gap_relative().is_none() {
            self.reasons.insert("loss_gap_relative", "the predicted loss is not above zero".into());
        }
        self
    }
}
