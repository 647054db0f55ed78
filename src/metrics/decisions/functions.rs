//! The linear functions of the features that decide.

use nalgebra::{DMatrix, DVector, DVectorView};

use crate::error::{Error, Result};
use crate::measure::center::Center;
use crate::measure::class_means::ClassMeans;
use crate::numerics::linalg::{Operand, convert, power_of_two, transposed};
use crate::problem::head::LinearHead;

/// Linear functions of the features, of each K the largest of which decides: those of the nearest class mean, and after them
/// those of the head if there is one.
pub(super) struct Functions {
    /// A column for each; those of a rule are of size 1.
    pub(super) weights: DMatrix<f64>,
    /// In the unit of the features.
    pub(super) offsets: Vec<f64>,
    /// What the centered class means were divided by.
    pub(super) size: f64,
    /// K.
    pub(super) classes: usize,
}

impl Functions {
    pub(super) fn new(means: &ClassMeans, head: Option<&LinearHead>) -> Result<Self> {
        let functions = Self::of_nearest_mean(means);
        match head {
            Some(head) => functions.with_head(head),
            None => Ok(functions),
        }
    }

    /// Smallest distance, which is the largest of ⟨h, m_k⟩ − ⟨h_G, m_k⟩ − ‖m_k‖²/2 with
    /// m_k = h_k − h_G: products of numbers as small as the differences.
    fn of_nearest_mean(means: &ClassMeans) -> Self {
        let center = means.center(Center::Classes);
        let mut weights = means.centered(Center::Classes);
        let size = power_of_two(&weights);
        weights /= size;
        let offset = |weight: DVectorView<'_, f64>| {
            -weight.dot(&center) - weight.norm_squared() * size / 2.0
        };
        let offsets = weights.column_iter().map(offset).collect();
        Self { weights, offsets, size, classes: means.classes() }
    }

    /// And after these the outputs of a head, divided by a number, which does not change which is the largest.
    fn with_head(mut self, head: &LinearHead) -> Result<Self> {
        let product = head.product()?;
        let size = power_of_two(&product);
        let bias = head.bias().cloned().unwrap_or_else(|| DVector::zeros(head.classes()));
        self.offsets.extend(bias.iter().map(|bias| bias / size));
        if self.offsets.iter().any(|offset| !offset.is_finite()) {
            let quantity = "the bias relative to the other outputs";
            let log10 = bias.amax().log10() - size.log10();
            return Err(Error::Unrepresentable { quantity, log10 });
        }
        let before = self.weights.ncols();
        self.weights = self.weights.resize_horizontally(before + product.nrows(), 0.0);
        let dimension = self.weights.nrows();
        let own = &mut self.weights.as_mut_slice()[before * dimension..];
        convert(transposed(&product).strided(), own, dimension, |weight| weight / size);
        Ok(self)
    }
}
