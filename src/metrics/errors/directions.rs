//! Directions that parts of the samples are projected on: one set for each NC1 whose error is wanted.

use nalgebra::DMatrix;

use crate::error::Result;
use crate::measure::class_means::ClassMeans;
use crate::measure::directions::Projector;
use crate::measure::fingerprint::Fingerprint;
use crate::measure::layers::FirstLayers;
use crate::metrics::errors::metric::Metric;
use crate::metrics::nc1::Nc1Options;
use crate::numerics::linalg::{add_product, product, transposed, zeros};
use crate::problem::head::LinearHead;

/// What is projected for one NC1.
#[derive(Debug, Clone)]
pub(super) struct Nc1Directions {
    pub(super) metric: Metric,
    pub(super) options: Nc1Options,
    /// W_m⋯W₁, if NC1 is that of the features after these layers.
    pub(super) layers: Option<FirstLayers>,
    /// D with DDᵀ = Σ_B†, d×r, for deviations in units of the scale; `None` if the class means do not differ.
    pub(super) projector: Option<DMatrix<f64>>,
    /// The same behind the layers.
    pub(super) behind_layers: Option<DMatrix<f64>>,
    /// Σ x (Dᵀx)ᵀ over all deviations x, in squares of the scale: d×r.
    pub(super) image: DMatrix<f64>,
}

impl Nc1Directions {
    /// For deviations that are divided by a `scale`, or by that of these directions.
    pub(super) fn new(
        metric: Metric,
        means: &ClassMeans,
        options: &Nc1Options,
        scale: Option<f64>,
    ) -> Result<(Self, Option<f64>)> {
        Self::build(metric, means, options, scale, None)
    }

    /// Those of NC1 after the first layers of a head.
    pub(super) fn after_layers(
        (head, layers): (&LinearHead, usize),
        means: &ClassMeans,
        options: &Nc1Options,
        scale: f64,
    ) -> Result<Self> {
        let first = FirstLayers::new(head, layers)?;
        let metric = Metric::Nc1AfterLayer(layers);
        Ok(Self::build(metric, means, options, Some(scale), Some(first))?.0)
    }

    fn build(
        metric: Metric,
        means: &ClassMeans,
        options: &Nc1Options,
        scale: Option<f64>,
        layers: Option<FirstLayers>,
    ) -> Result<(Self, Option<f64>)> {
        let matrix = layers.as_ref().map(|layers| &layers.matrix);
        let found = Projector::new(means, options.directions(), matrix)?;
        let own = found.as_ref().map(|projector| projector.scale);
        let factor = scale.zip(own).map_or(1.0, |(scale, own)| scale / own);
        let (projector, behind_layers) = match found {
            Some(found) => {
                let behind = found.behind_layers.map(|directions| directions * factor);
                (Some(found.directions * factor), behind)
            }
            None => (None, None),
        };
        let rank = projector.as_ref().map_or(0, DMatrix::ncols);
        let image = zeros("dimension", means.shape().0, rank)?;
        let options = *options;
        Ok((Self { metric, options, layers, projector, behind_layers, image }, own))
    }

    /// Adds deviations as columns, and returns ‖Dᵀx‖² of each.
    pub(super) fn add(&mut self, columns: &DMatrix<f64>) -> Vec<f64> {
        let Some(directions) = &self.projector else { return vec![0.0; columns.ncols()] };
        let projected = product(&transposed(directions), columns);
        add_product(&mut self.image, 1.0, columns, &transposed(&projected));
        projected.column_iter().map(|column| column.norm_squared()).collect()
    }

    /// Numbers that tell it from others.
    pub(super) fn fingerprint(&self, fingerprint: Fingerprint) -> Fingerprint {
        let Nc1Options { center, divide_by_classes, rank_cutoff, largest_rank } = self.options;
        let rank = largest_rank.map_or(u64::MAX, |rank| rank as u64);
        let layers = self.layers.as_ref().map_or(0, |layers| layers.fingerprint.value());
        let choices = [center as u64, u64::from(divide_by_classes), rank, layers];
        fingerprint.words(choices.into_iter().chain([rank_cutoff.to_bits()]))
    }
}
