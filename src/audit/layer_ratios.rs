//! NC1 after the layers of a head relative to that of the features, measured and predicted.

use crate::audit::measurement::Measurement;
use crate::error::Result;
use crate::measure::class_means::ClassMeans;
use crate::measure::directions::Projector;
use crate::metrics::{Nc1, Nc1Options};
use crate::prediction::{Basis, Prediction, answered};

/// NC1 of the features W_m⋯W₁h after the first m layers, divided by NC1 of the features h that the head takes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct LayerRatio {
    /// In the network; `None` where NC1 of the features is zero, or one of the two is not defined.
    pub measured: Option<f64>,
    /// With the predicted layers and class means, for [isotropic deviations](predicted_layer_ratios).
    pub predicted: Option<f64>,
}

/// What the layers of a minimum make of NC1, for deviations of equal size in all directions of the features:
/// for m = 1, …, M, with A = W_m⋯W₁,
///
/// ```math
/// tr(AAᵀ (AΣ_BAᵀ)†) / tr(Σ_B†),    Σ_B = 1/K Σₖ (h_k − h_G)(h_k − h_G)ᵀ.
/// ```
///
/// It is 1 where the layers rotate and scale the span of the class means as a whole, as for orthogonal frames and
/// simplex ETFs, whatever the deviations. Layers that scale its directions differently also change the angle between what
/// the class means differ by and what they share, so that deviations along the latter count after them; how much
/// depends on the deviations, of which the minimum has none. `None` if the model has no matrices or no class means, if
/// its minimizers differ in more than rotations, or if its class means are all equal.
///
/// # Errors
/// Those of [`Prediction::explicit`], but for models without matrices.
///
/// ```
/// use neural_collapse::audit::predicted_layer_ratios;
/// use neural_collapse::{ClassCounts, Regularization, Ufm};
///
/// let regularization = Regularization::uniform(2, 1e-3, 1e-3)?;
/// let equal = Ufm::new(ClassCounts::balanced(4, 9)?, regularization.clone())?.global_minimum()?;
/// for ratio in predicted_layer_ratios(&equal)?.unwrap() {
///     assert!((ratio - 1.0).abs() < 1e-12);
/// }
/// let unequal = Ufm::new(ClassCounts::new(&[90, 9, 9])?, regularization)?.global_minimum()?;
/// assert!((predicted_layer_ratios(&unequal)?.unwrap()[1] - 1.0).abs() > 1e-2);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn predicted_layer_ratios(prediction: &dyn Prediction) -> Result<Option<Vec<f64>>> {
    let Some(counts) = prediction.counts().filter(|_| prediction.is_unique()) else {
        return Ok(None);
    };
    let Some(point) = answered(prediction.explicit(&Basis::Standard))? else { return Ok(None) };
    let Some(matrix) = point.class_means() else { return Ok(None) };
    let sizes = counts.runs().flat_map(|run| run.classes().map(move |_| run.size)).collect();
    let means = ClassMeans::new(sizes, matrix.clone());
    let directions = Nc1Options::default().directions();
    // NC1 of deviations of the covariance I.
    let trace =
        |projector: Projector| projector.directions.norm_squared() / projector.scale.powi(2);
    let Some(features) = Projector::new(&means, directions, None)?.map(trace) else {
        return Ok(None);
    };
    let head = point.head();
    let ratio = |layers| {
        let product = head.leading_product(layers)?;
        let after = Projector::new(&means, directions, Some(&product))?.map(trace);
        Ok(after.map(|after| after / features).filter(|ratio| ratio.is_finite()))
    };
    (1..=head.depth()).map(ratio).collect()
}

impl Measurement {
    /// One for each layer, if NC1 was measured after them.
    pub(super) fn layer_ratios(
        &self,
        prediction: Option<&dyn Prediction>,
    ) -> Result<Vec<LayerRatio>> {
        let Some(metrics) = self.metrics() else { return Ok(Vec::new()) };
        let features = metrics.nc1.center_samples.map(|nc1| nc1.value);
        let relative = |after: &Option<Nc1>| {
            let ratio = (*after)?.value / features?;
            ratio.is_finite().then_some(ratio)
        };
        let depth = metrics.nc1_after_layers.len();
        let predicted = match prediction.filter(|prediction| prediction.depth() == depth) {
            Some(prediction) => predicted_layer_ratios(prediction)?,
            None => None,
        };
        let predicted = |layer: usize| predicted.as_ref()?.get(layer).copied();
        let layers = metrics.nc1_after_layers.iter().enumerate();
        let ratio =
            |(layer, after)| LayerRatio { measured: relative(after), predicted: predicted(layer) };
        Ok(layers.map(ratio).collect())
    }
}
