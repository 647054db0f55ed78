//! The minimum for real-valued targets, sample by sample.

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result};
use crate::models::squared::{GlobalMinimum, Ufm};
use crate::numerics::linalg::{product, svd_thin, transposed};
use crate::prediction::{Basis, ExplicitPoint, Prediction};
use crate::problem::head::LinearHead;
use crate::problem::regularization::{Bias, Regularization};

/// The global minimum for the targets of all samples, and if it is the only one what it makes of a target.
#[derive(Debug)]
pub(super) struct PredictedRegression {
    pub(super) minimum: GlobalMinimum,
    map: Option<Map>,
}

/// Features h* = G (y − c) and outputs z* = W_M⋯W₁h* + b, where c is the mean of the targets if there is a bias.
#[derive(Debug)]
struct Map {
    features: DMatrix<f64>,
    center: Option<DVector<f64>>,
    layers: DMatrix<f64>,
    bias: Option<DVector<f64>>,
}

impl PredictedRegression {
    /// The minimum for targets (K×N), or why there is none in closed form.
    pub(super) fn new(
        targets: &DMatrix<f64>,
        head: &LinearHead,
        regularization: &Regularization,
    ) -> Result<Result<Self, String>> {
        let ufm = Ufm::from_target(targets.clone(), regularization.clone());
        let minimum = ufm.and_then(|ufm| ufm.with_widths(&head.widths())?.global_minimum());
        match minimum {
            Ok(minimum) => {
                let map = minimum.is_unique().then(|| Map::new(&minimum, targets, regularization));
                Ok(Ok(Self { map: map.transpose()?, minimum }))
            }
            Err(error @ (Error::NoClosedForm { .. } | Error::Unrepresentable { .. })) => {
                Ok(Err(error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    /// Features and outputs that are predicted for samples with these targets; `None` if minima differ in them.
    pub(super) fn features_and_outputs(
        &self,
        targets: &DMatrix<f64>,
    ) -> Option<(DMatrix<f64>, DMatrix<f64>)> {
        let Map { features, center, layers, bias } = self.map.as_ref()?;
        let features = product(features, &centered(targets, center.as_ref()));
        let mut outputs = product(layers, &features);
        if let Some(bias) = bias {
            outputs.column_iter_mut().for_each(|mut column| column += bias);
        }
        Some((features, outputs))
    }
}

impl Map {
    /// G = H* (Y − c1ᵀ)⁺. The features of the minimum are zero in the directions that the targets have not.
    fn new(
        minimum: &GlobalMinimum,
        targets: &DMatrix<f64>,
        regularization: &Regularization,
    ) -> Result<Self> {
        let center = (regularization.bias() != Bias::None).then(|| targets.column_mean());
        let point = narrow_point(minimum)?;
        let svd = svd_thin(&centered(targets, center.as_ref()))?;
        let mut along = product(&point.features()?, &svd.v);
        for (mut column, &value) in along.column_iter_mut().zip(&svd.singular_values) {
            // The reciprocal of a number below the least normal one may be infinite.
            column *= if value.is_normal() { value.recip() } else { 0.0 };
        }
        Ok(Self {
            features: product(&along, &transposed(&svd.u)),
            center,
            layers: point.head().product()?,
            bias: point.head().bias().cloned(),
        })
    }
}

/// Targets less their center.
fn centered(targets: &DMatrix<f64>, center: Option<&DVector<f64>>) -> DMatrix<f64> {
    let mut centered = targets.clone();
    if let Some(center) = center {
        centered.column_iter_mut().for_each(|mut column| column -= center);
    }
    centered
}

/// The minimum with layers that are no wider than the outputs, which changes nothing but the size of the features.
fn narrow_point(minimum: &GlobalMinimum) -> Result<ExplicitPoint> {
    let ufm = minimum.problem();
    let outputs = ufm.classes();
    let widths = ufm.widths().unwrap_or_default().iter().map(|&width| width.min(outputs));
    let narrow = ufm.clone().with_widths(&widths.collect::<Vec<_>>())?.global_minimum()?;
    narrow.explicit(&Basis::Standard)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::dmatrix;

    /// In the second direction targets are too small for features and for a reciprocal.
    #[test]
    fn the_least_targets_have_features_of_zero() {
        let targets = dmatrix![1.0, 0.0; 0.0, 2e-309];
        let head = LinearHead::new(vec![DMatrix::identity(2, 2)], None).unwrap();
        let regularization = Regularization::new(&[0.1], 0.1).unwrap();
        let predicted =
            PredictedRegression::new(&targets, &head, &regularization).unwrap().unwrap();
        let (features, outputs) = predicted.features_and_outputs(&targets).unwrap();
        assert!(features.norm() > 0.1 && features.iter().chain(&outputs).all(|x| x.is_finite()));
    }
}
