//! The scatter of the features of several layers around their means, and between layers.

use nalgebra::{DMatrix, DVector};

use crate::error::Result;
use crate::measure::center::Center;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::statistics::ClassStatistics;
use crate::numerics::linalg::{add_gram, power_of_two, singular_values, zeros};
use crate::numerics::scalar::Scalar;

/// Σ (x − x̄)(x − x̄)ᵀ for the features x of all layers on top of each other, in a unit for each layer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CrossScatter {
    /// Mean and unit of each layer.
    layers: Vec<(DVector<f64>, f64)>,
    /// Lower triangle.
    scatter: DMatrix<f64>,
}

impl CrossScatter {
    pub(super) fn new(statistics: &[ClassStatistics]) -> Result<Self> {
        let layer = |statistics: &ClassStatistics| {
            let means = statistics.centered_means(Center::Samples)?;
            Ok((statistics.center(Center::Samples)?, power_of_two(&means)))
        };
        let layers: Vec<_> = statistics.iter().map(layer).collect::<Result<_>>()?;
        let size = layers.iter().map(|(mean, _)| mean.len()).sum();
        Ok(Self { layers, scatter: zeros("dimension²", size, size)? })
    }

    /// Adds checked samples, the same in every layer.
    pub(super) fn accumulate<T: Scalar>(
        &mut self,
        layers: &[LabeledFeatures<'_, T>],
    ) -> Result<()> {
        let samples = layers.first().map_or(0, |layer| layer.labels().len());
        let mut stacked = DMatrix::zeros(self.scatter.nrows(), samples);
        let mut first = 0;
        for (features, (mean, unit)) in layers.iter().zip(&self.layers) {
            let columns = features.columns(|_, sample, out| {
                for ((out, &entry), mean) in out.iter_mut().zip(sample).zip(mean.iter()) {
                    *out = (entry.into() - mean) / unit;
                }
            })?;
            stacked.rows_mut(first, mean.len()).copy_from(&columns);
            first += mean.len();
        }
        add_gram(&mut self.scatter, &stacked);
        Ok(())
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.scatter += &other.scatter;
    }

    /// Of the layers m ≥ l: d_m×d_l, with the lower triangle alone if they are the same.
    fn block(&self, l: usize, m: usize) -> DMatrix<f64> {
        let first = |layer: usize| self.layers.iter().take(layer).map(|(mean, _)| mean.len()).sum();
        let size = |layer: usize| self.layers.get(layer).map_or(0, |(mean, _)| mean.len());
        let mut block = self.scatter.view((first(m), first(l)), (size(m), size(l))).into_owned();
        if l == m {
            block.fill_upper_triangle_with_lower_triangle();
        }
        block
    }

    /// Linear CKA of every pair of layers, ‖C_lm‖²/(‖C_ll‖ ‖C_mm‖); `None` beside a layer that does not vary.
    pub(super) fn cka(&self) -> Vec<Vec<Option<f64>>> {
        let number = self.layers.len();
        let norms: Vec<f64> = (0..number).map(|layer| self.block(layer, layer).norm()).collect();
        let similarity = |l: usize, m: usize| {
            let square = self.block(l.min(m), l.max(m)).norm_squared();
            let similarity = if l == m { 1.0 } else { square / (norms[l] * norms[m]) };
            (norms[l] > 0.0 && norms[m] > 0.0 && similarity.is_finite()).then_some(similarity)
        };
        (0..number).map(|l| (0..number).map(|m| similarity(l, m)).collect()).collect()
    }

    /// Effective and stable rank of a layer: e to the entropy of σ/Σσ, and Σσ²/max σ², for the singular values σ of the
    /// features less their mean; `None` if these do not vary.
    pub(super) fn ranks(&self, layer: usize) -> Result<Option<(f64, f64)>> {
        let squares = singular_values(&self.block(layer, layer))?;
        let largest = squares.max();
        if largest <= 0.0 || !largest.is_finite() {
            return Ok(None);
        }
        // What rounding has left of directions in which nothing varies.
        let cutoff = largest * f64::EPSILON * squares.len() as f64;
        let squares: Vec<f64> = squares.iter().copied().filter(|&square| square > cutoff).collect();
        let total: f64 = squares.iter().map(|square| square.sqrt()).sum();
        let entropy: f64 = squares
            .iter()
            .map(|square| square.sqrt() / total)
            .map(|share| -share * share.ln())
            .sum();
        Ok(Some((entropy.exp(), squares.iter().sum::<f64>() / largest)))
    }
}
