//! The weight decays of a training objective.

use core::fmt;
use core::ops::{Range, RangeInclusive};
use core::str::FromStr;

use crate::error::{Argument, Error, Result, check_positive};
use crate::numerics::decay_roots::{OutOfRange, root_of_product};
use crate::numerics::linalg::check_memory;

/// Whether the last layer has a bias b ∈ ℝᴷ, and how it is penalized.
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

/// `none`, `unregularized` or the decay λ_b.
impl fmt::Display for Bias {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("none"),
            Self::Unregularized => formatter.write_str("unregularized"),
            Self::Regularized(decay) => write!(formatter, "{decay:e}"),
        }
    }
}

/// Reads `none`, `unregularized` or the decay λ_b.
///
/// ```
/// use neural_collapse::Bias;
///
/// assert_eq!("unregularized".parse(), Ok(Bias::Unregularized));
/// assert_eq!("1e-3".parse(), Ok(Bias::Regularized(1e-3)));
/// assert!("0".parse::<Bias>().is_err() && "some".parse::<Bias>().is_err());
/// ```
impl FromStr for Bias {
    type Err = Error;

    /// [`Error::Syntax`] for another text, [`Error::OutOfRange`] if a decay is not positive and finite.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self::None),
            "unregularized" => Ok(Self::Unregularized),
            _ => {
                let decay = text.parse().map_err(|_| Error::Syntax {
                    text: text.to_owned(),
                    expected: "`none`, `unregularized` or the decay of the bias",
                })?;
                check_positive("bias_decay", decay)?;
                Ok(Self::Regularized(decay))
            }
        }
    }
}

/// The weight decays of the training objective: λ₁, …, λ_M of the linear layers, λ_H of the features and
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
/// let regularization = Regularization::new(&[1e-4, 2e-4, 5e-4], 1e-5)?.with_bias(Bias::Unregularized)?;
/// assert_eq!(regularization.depth(), 3);
/// assert_eq!(regularization.weight_decays()[0], 1e-4); // of W₁, the layer next to the features
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "stored::Stored", into = "stored::Stored"))]
pub struct Regularization {
    weight_decays: Vec<f64>,
    /// λ₁ and λ_M: there is a layer at least.
    ends: [f64; 2],
    /// The number of weight decays, less than 2³² − 1.
    layers: u32,
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
        let (&[first, ..], &[.., last]) = (weight_decays, weight_decays) else {
            return Err(Error::Empty { argument: "weight_decays" });
        };
        for (index, &decay) in weight_decays.iter().enumerate() {
            check_positive(Argument::at("weight_decays", index), decay)?;
        }
        let layers = checked_depth("weight_decays", weight_decays.len())?;
        check_positive("feature_decay", feature_decay)?;
        let weight_decays = weight_decays.to_vec();
        Ok(Self { weight_decays, ends: [first, last], layers, feature_decay, bias: Bias::None })
    }

    /// The same decay λ_W (`weight_decay`) for each of M = `depth` layers, and λ_H (`feature_decay`), without
    /// a bias.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there is no layer, or so many that their decays do not fit into memory, or if a
    /// decay is not positive and finite.
    ///
    /// ```
    /// use neural_collapse::Regularization;
    ///
    /// let regularization = Regularization::uniform(3, 5e-4, 1e-5)?;
    /// assert_eq!(regularization, Regularization::new(&[5e-4; 3], 1e-5)?);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn uniform(depth: usize, weight_decay: f64, feature_decay: f64) -> Result<Self> {
        let layers = checked_depth("depth", depth)?;
        check_memory("depth", depth as f64, Some(depth))?;
        check_positive("weight_decay", weight_decay)?;
        check_positive("feature_decay", feature_decay)?;
        let (weight_decays, ends) = (vec![weight_decay; depth], [weight_decay; 2]);
        Ok(Self { weight_decays, ends, layers, feature_decay, bias: Bias::None })
    }

    /// λ₁, …, λ_M and λ_H multiplied by a factor.
    pub(crate) fn scaled(&self, factor: f64) -> Result<Self> {
        let decays: Vec<f64> = self.weight_decays.iter().map(|decay| decay * factor).collect();
        Self::new(&decays, self.feature_decay * factor)?.with_bias(self.bias)
    }

    /// The same decays with another treatment of the bias.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the decay of a regularized bias is not positive and finite.
    pub fn with_bias(mut self, bias: Bias) -> Result<Self> {
        check_bias(bias)?;
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

    /// λ₁, of the layer next to the features; the only one of a model of one layer.
    pub(crate) fn first_decay(&self) -> f64 {
        self.ends[0]
    }

    /// λ_M, of the layer next to the outputs.
    pub(crate) fn last_decay(&self) -> f64 {
        self.ends[1]
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

    /// M as a root's degree or a power.
    pub(crate) fn layers(&self) -> u32 {
        self.layers
    }

    /// The unit of energy (N P)^(1/M) of the squared loss, with P = λ_H Πλₘ and N = `samples`, within 2 ulp.
    pub(crate) fn energy_unit(&self, samples: f64) -> Result<f64> {
        if samples.is_infinite() {
            let quantity = "the effective number of samples N(1 + λ_b)/λ_b";
            return Err(Error::Unrepresentable { quantity, log10: f64::INFINITY });
        }
        self.root_of_decays(samples, self.layers, "the energy scale (N λ_H Πλₘ)^(1/M)")
    }

    /// The mean decay (n P)^(1/(M+1)) of the M layers and the features, which is what the cross-entropy
    /// loss depends on, for n = `samples`, within 2 ulp.
    pub(crate) fn mean_decay(&self, samples: f64) -> Result<f64> {
        self.root_of_decays(samples, self.layers + 1, "the mean decay (n λ_H Πλₘ)^(1/(M+1))")
    }

    /// (samples·P)^(1/degree).
    fn root_of_decays(&self, samples: f64, degree: u32, quantity: &'static str) -> Result<f64> {
        let factors = self.weight_decays.iter().copied().chain([self.feature_decay, samples]);
        root_of_product(factors, degree)
            .map_err(|OutOfRange { log10 }| Error::Unrepresentable { quantity, log10 })
    }

    /// The indices, from 0, of the layers numbered from 1.
    pub(crate) fn layer_indices(&self, layers: &RangeInclusive<usize>) -> Result<Range<usize>> {
        let (first, last) = (*layers.start(), *layers.end());
        if first == 0 || first > self.depth() {
            let expected = "a first layer between 1 and the depth";
            return Err(Error::out_of_range("layers", first as f64, expected));
        }
        if last < first || last > self.depth() {
            let expected = "a last layer between the first one and the depth";
            return Err(Error::out_of_range("layers", last as f64, expected));
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
}

/// Refuses a bias whose decay is not positive and finite.
pub(super) fn check_bias(bias: Bias) -> Result<()> {
    match bias {
        Bias::Regularized(decay) => check_positive("bias_decay", decay),
        Bias::None | Bias::Unregularized => Ok(()),
    }
}

/// M, at least 1 and less than 2³² − 1, so that M + 1 is the degree of a root too.
pub(super) fn checked_depth(argument: &'static str, depth: usize) -> Result<u32> {
    u32::try_from(depth)
        .ok()
        .filter(|depth| (1..u32::MAX).contains(depth))
        .ok_or_else(|| Error::out_of_range(argument, depth as f64, "between 1 and 2³² − 2"))
}

/// How decays are stored: what is read passes through the constructors.
#[cfg(feature = "serde")]
mod stored {
    use super::{Bias, Regularization};
    use crate::error::Error;

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields, rename = "Regularization")]
    pub(super) struct Stored {
        weight_decays: Vec<f64>,
        feature_decay: f64,
        #[serde(default)]
        bias: Bias,
    }

    impl From<Regularization> for Stored {
        fn from(regularization: Regularization) -> Self {
            let Regularization { weight_decays, feature_decay, bias, .. } = regularization;
            Self { weight_decays, feature_decay, bias }
        }
    }

    impl TryFrom<Stored> for Regularization {
        type Error = Error;

        fn try_from(stored: Stored) -> Result<Self, Error> {
            Self::new(&stored.weight_decays, stored.feature_decay)?.with_bias(stored.bias)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decays() -> Regularization {
        Regularization::new(&[2.0, 8.0, 0.5], 4.0).unwrap()
    }

    #[test]
    fn texts_are_biases() {
        for bias in [Bias::None, Bias::Unregularized, Bias::Regularized(2.5e-3)] {
            assert_eq!(bias.to_string().parse(), Ok(bias));
        }
        assert!(matches!("none ".parse::<Bias>(), Err(Error::Syntax { .. })));
        assert!(matches!("-1".parse::<Bias>(), Err(Error::OutOfRange { .. })));
    }

    /// Of λ = 2, 8, ½ and λ_H = 4, whose product is 32.
    #[test]
    fn products_of_decays() {
        let close = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-14);
        close(decays().energy_unit(250.0).unwrap(), 20.0); // ∛(250 · 32)
        close(decays().mean_decay(128.0).unwrap(), 8.0); // ∜(128 · 32)
        close(decays().product_singular_value(1..3, 3.0), 1.5); // √(3/8 · 3/½)
        close(decays().trailing_eigenvalue(2, 3.0), 2.25); // 3/½ · 3/8
        let scaled = decays().with_bias(Bias::Unregularized).unwrap().scaled(3.0).unwrap();
        assert_eq!(scaled.weight_decays(), [6.0, 24.0, 1.5]);
        assert_eq!((scaled.feature_decay(), scaled.bias()), (12.0, Bias::Unregularized));
        assert!(decays().energy_unit(f64::INFINITY).is_err());
    }

    #[test]
    fn layers_are_from_one_to_the_depth() {
        for (first, last) in [(1, 3), (2, 2), (3, 3)] {
            assert_eq!(decays().layer_indices(&(first..=last)), Ok(first - 1..last));
        }
        let refused = |first: usize, last: usize| match decays().layer_indices(&(first..=last)) {
            Err(Error::OutOfRange { argument, value, .. }) => (argument.name, value),
            found => panic!("{found:?}"),
        };
        for (first, last) in [(0, 1), (4, 4), (5, 9)] {
            assert_eq!(refused(first, last), ("layers", first as f64));
        }
        for (first, last) in [(3, 2), (3, 4), (1, 5)] {
            assert_eq!(refused(first, last), ("layers", last as f64));
        }
        let is_trailing = |layers: usize| decays().check_trailing(layers).is_ok();
        assert_eq!([0, 1, 3, 4, 5].map(is_trailing), [false, true, true, false, false]);
    }
}
