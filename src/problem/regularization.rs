//! The weight decays of a training objective.

use core::ops::{Range, RangeInclusive};

use crate::error::{Argument, Error, Result, check_positive};

/// Whether the last layer has a bias b ∈ ℝᴷ, and how it is penalised.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Bias {
    /// No bias: the outputs are W_M⋯W₁h.
    #[default]
    None,
    /// A bias that is trained without a penalty (λ_b = 0).
    Unregularized,
    /// A bias with the penalty λ_b/2 ‖b‖², λ_b > 0.
    Regularized(f64),
}

/// The penalties of the training objective: λ₁, …, λ_M of the linear layers, λ_H of the features and
/// the treatment of the bias.
///
/// ```math
/// f = 1/(2N) ‖W_M ⋯ W₁ H + b 1ᵀ − Y‖² + Σₘ λₘ/2 ‖Wₘ‖² + λ_H/2 ‖H‖² + λ_b/2 ‖b‖²
/// ```
///
/// This is problem (3) of Dang et al., *Neural Collapse in Deep Linear Networks* (ICML 2023). The
/// layers are numbered from the features to the output.
///
/// ```
/// use neural_collapse::{Bias, Regularization};
///
/// let penalties = Regularization::new(&[1e-4, 2e-4, 5e-4], 1e-5)?.with_bias(Bias::Unregularized)?;
/// assert_eq!(penalties.depth(), 3);
/// assert_eq!(penalties.weight_decays()[0], 1e-4); // of W₁, the layer next to the features
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Regularization {
    weight_decays: Vec<f64>,
    feature_decay: f64,
    bias: Bias,
}

impl Regularization {
    /// Penalties λ₁, …, λ_M (`weight_decays`, one for each of the M ≥ 1 layers) and λ_H
    /// (`feature_decay`), without a bias.
    ///
    /// # Errors
    /// [`Error::Empty`] without a layer, [`Error::OutOfRange`] if a decay is not positive and finite.
    pub fn new(weight_decays: &[f64], feature_decay: f64) -> Result<Self> {
        if weight_decays.is_empty() {
            return Err(Error::Empty { argument: "weight_decays" });
        }
        for (index, &decay) in weight_decays.iter().enumerate() {
            check_positive(Argument::at("weight_decays", index), decay)?;
        }
        check_positive("feature_decay", feature_decay)?;
        Ok(Self { weight_decays: weight_decays.to_vec(), feature_decay, bias: Bias::None })
    }

    /// The same penalties with another treatment of the bias.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the decay of a regularised bias is not positive and finite.
    pub fn with_bias(mut self, bias: Bias) -> Result<Self> {
        if let Bias::Regularized(decay) = bias {
            check_positive("bias_decay", decay)?;
        }
        self.bias = bias;
        Ok(self)
    }

    /// Number of linear layers M.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.weight_decays.len()
    }

    /// λ₁, …, λ_M, from the features to the output.
    #[must_use]
    pub fn weight_decays(&self) -> &[f64] {
        &self.weight_decays
    }

    /// λ_H.
    #[must_use]
    pub fn feature_decay(&self) -> f64 {
        self.feature_decay
    }

    /// Treatment of the bias.
    #[must_use]
    pub fn bias(&self) -> Bias {
        self.bias
    }

    /// The indices, from 0, of the layers numbered from 1.
    pub(crate) fn layer_indices(&self, layers: &RangeInclusive<usize>) -> Result<Range<usize>> {
        let (first, last) = (*layers.start(), *layers.end());
        if first == 0 || first > self.depth() {
            let expected = "a layer between 1 and the depth";
            return Err(Error::out_of_range("layers.start()", first as f64, expected));
        }
        if last < first || last > self.depth() {
            let expected = "a layer between the first one and the depth";
            return Err(Error::out_of_range("layers.end()", last as f64, expected));
        }
        Ok(first - 1..last)
    }

    /// The singular value Π √(t/λₘ) of the product of the layers with these indices in a direction
    /// of energy t.
    pub(crate) fn product_singular_value(&self, layers: Range<usize>, energy: f64) -> f64 {
        self.weight_decays[layers].iter().map(|decay| (energy / decay).sqrt()).product()
    }

    /// The eigenvalue Π t/λₘ of the Gram matrix of the product of the last layers in a direction of
    /// energy t.
    pub(crate) fn trailing_eigenvalue(&self, layers: usize, energy: f64) -> f64 {
        self.weight_decays.iter().rev().take(layers).map(|decay| energy / decay).product()
    }

    /// Checks that there are as many layers as are to be multiplied.
    pub(crate) fn check_trailing(&self, layers: usize) -> Result<()> {
        if layers == 0 || layers > self.depth() {
            let expected = "between 1 and the depth";
            return Err(Error::out_of_range("layers", layers as f64, expected));
        }
        Ok(())
    }

    /// Checks that there is a width for each layer, and that none is 0.
    pub(crate) fn check_widths(&self, widths: &[usize]) -> Result<()> {
        let depth = self.depth();
        if widths.len() != depth {
            let reason = "one width for the inputs of each layer";
            return Err(Error::length("widths", widths.len(), depth, reason));
        }
        match widths.iter().position(|&width| width == 0) {
            Some(layer) => {
                Err(Error::out_of_range(Argument::at("widths", layer), 0.0, "at least 1"))
            }
            None => Ok(()),
        }
    }
}
