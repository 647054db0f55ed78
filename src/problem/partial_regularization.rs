//! A regularization of which some decays are not known.

use crate::error::{Argument, Error, Result, check_positive};
use crate::numerics::squares::norm;
use crate::problem::head::LinearHead;
use crate::problem::regularization::{Bias, Regularization, check_bias, checked_depth};

/// A [`Regularization`] of which some of the decays λ₁, …, λ_M and λ_H are not known.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::LinearHead;
/// use neural_collapse::problem::PartialRegularization;
///
/// // ‖W₁‖² = 4 and λ₁ = 0.01, ‖H‖² = 8: λ_H = 0.04/8.
/// let head = LinearHead::new(vec![dmatrix![2.0, 0.0; 0.0, 0.0]], None)?;
/// let regularization = PartialRegularization::new(&[Some(0.01)], None)?.inferred(&head, 8.0)?;
/// assert_eq!(regularization.weight_decays(), [0.01]);
/// assert!((regularization.feature_decay() - 0.005).abs() < 1e-17);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Stored"))]
pub struct PartialRegularization {
    /// Never empty.
    weight_decays: Vec<Option<f64>>,
    feature_decay: Option<f64>,
    bias: Bias,
}

/// What is read, before its numbers are looked at.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    weight_decays: Vec<Option<f64>>,
    feature_decay: Option<f64>,
    bias: Bias,
}

#[cfg(feature = "serde")]
impl TryFrom<Stored> for PartialRegularization {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        Self::new(&stored.weight_decays, stored.feature_decay)?.with_bias(stored.bias)
    }
}

impl PartialRegularization {
    /// λ₁, …, λ_M (one entry for each of the M ≥ 1 layers) and λ_H as far as they are known, without a bias.
    ///
    /// # Errors
    /// [`Error::Empty`] without a layer, [`Error::OutOfRange`] if a known decay is not positive and finite.
    pub fn new(weight_decays: &[Option<f64>], feature_decay: Option<f64>) -> Result<Self> {
        if weight_decays.is_empty() {
            return Err(Error::Empty { argument: "weight_decays" });
        }
        checked_depth("weight_decays", weight_decays.len())?;
        for (layer, decay) in weight_decays.iter().enumerate() {
            check_known(Argument::at("weight_decays", layer), *decay)?;
        }
        check_known("feature_decay", feature_decay)?;
        Ok(Self { weight_decays: weight_decays.to_vec(), feature_decay, bias: Bias::None })
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

    /// λ₁, …, λ_M, from the features to the output.
    #[must_use]
    pub fn weight_decays(&self) -> &[Option<f64>] {
        &self.weight_decays
    }

    /// λ_H.
    #[must_use]
    pub fn feature_decay(&self) -> Option<f64> {
        self.feature_decay
    }

    /// Treatment of the bias.
    #[must_use]
    pub fn bias(&self) -> Bias {
        self.bias
    }

    /// The regularization, if all of its decays are known.
    #[must_use]
    pub fn known(&self) -> Option<Regularization> {
        let weights: Vec<f64> = self.weight_decays.iter().copied().collect::<Option<_>>()?;
        // Every decay has been checked.
        Regularization::new(&weights, self.feature_decay?).ok()?.with_bias(self.bias).ok()
    }

    /// The decays with which the head of [two outputs](LinearHead::to_two_outputs) ±z/2 has the same penalty as that
    /// of one output z: 2λ_M and 2λ_b, the others as they are.
    ///
    /// The two rows ±w/2 have together half of ‖w‖², and the two biases half of b². Under cross-entropy, where ±z/2
    /// and z have the same loss, the objective is then the same.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if twice a decay is not finite.
    ///
    /// ```
    /// use neural_collapse::Bias;
    /// use neural_collapse::problem::PartialRegularization;
    ///
    /// let one = PartialRegularization::new(&[Some(1e-3), Some(2e-3)], None)?;
    /// let two = one.with_bias(Bias::Regularized(1e-4))?.of_two_outputs()?;
    /// assert_eq!((two.weight_decays(), two.feature_decay()), (&[Some(1e-3), Some(4e-3)][..], None));
    /// assert_eq!(two.bias(), Bias::Regularized(2e-4));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn of_two_outputs(mut self) -> Result<Self> {
        if let Some(last) = self.weight_decays.last_mut() {
            *last = last.map(|decay| 2.0 * decay);
        }
        let bias = match self.bias {
            Bias::Regularized(decay) => Bias::Regularized(2.0 * decay),
            other => other,
        };
        Self::new(&self.weight_decays, self.feature_decay)?.with_bias(bias)
    }

    /// The regularization of a network, its unknown decays inferred from
    ///
    /// ```math
    /// λ₁‖W₁‖² = … = λ_M‖W_M‖² = λ_H‖H‖²,
    /// ```
    ///
    /// which holds at every stationary point of an objective with these decays, whatever the loss function (the traces
    /// of Lemma D.2 of Dang et al., ICML 2023). Networks are often trained without a penalty of the features; the
    /// inferred λ_H is then what the layers below the head do instead, *if* the model applies. Whether it does the
    /// residuals of the full balance tell ([`Measurement::balancedness`](crate::audit::Measurement::balancedness)):
    /// where they are far from 0, the network is at no such point and no decay makes it one.
    ///
    /// `features_squared` is ‖H‖², the sum of the squares of all features of all samples. Of several known decays the
    /// geometric mean of their λ‖·‖² is taken.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there is one entry for each layer of the head, [`Error::NotAnswered`] if no decay is
    /// known or a matrix is zero, [`Error::Unrepresentable`] if a decay is out of range.
    pub fn inferred(&self, head: &LinearHead, features_squared: f64) -> Result<Regularization> {
        if self.weight_decays.len() != head.depth() {
            let reason = "one for each layer of the head";
            let found = self.weight_decays.len();
            return Err(Error::length("weight_decays", found, head.depth(), reason));
        }
        match self.known() {
            Some(known) => Ok(known),
            None => {
                let (weights, features) = self.balanced_decays(head, features_squared)?;
                Regularization::new(&weights, features)?.with_bias(self.bias)
            }
        }
    }

    /// The decays that balance the layers with those that are known.
    fn balanced_decays(&self, head: &LinearHead, features_squared: f64) -> Result<(Vec<f64>, f64)> {
        let norms: Vec<f64> = head.weights().iter().map(|weight| norm(weight.as_slice())).collect();
        let features = features_squared.sqrt();
        let sizes: Vec<f64> = norms.iter().copied().chain([features]).collect();
        let known: Vec<Option<f64>> =
            self.weight_decays.iter().copied().chain([self.feature_decay]).collect();
        if sizes.contains(&0.0) {
            return Err(unknown("a layer or all features are zero"));
        }
        // ln λ‖·‖², which every layer shares.
        let levels = known.iter().zip(&sizes);
        let levels: Vec<f64> = levels
            .filter_map(|(decay, size)| Some(decay.as_ref()?.ln() + 2.0 * size.ln()))
            .collect();
        if levels.is_empty() {
            return Err(unknown("no decay is known"));
        }
        let level = levels.iter().sum::<f64>() / levels.len() as f64;
        let infer = |(decay, size): (&Option<f64>, f64)| {
            let inferred =
                decay.unwrap_or_else(|| match (levels.as_slice(), single(&known, &sizes)) {
                    // One factor in one division, to the last bits.
                    ([_], Some((decay, known_size))) => {
                        decay * (known_size / size) * (known_size / size)
                    }
                    _ => (level - 2.0 * size.ln()).exp(),
                });
            match inferred.is_normal() {
                true => Ok(inferred),
                false => {
                    let log10 = (level - 2.0 * size.ln()) * core::f64::consts::LOG10_E;
                    Err(Error::Unrepresentable { quantity: "an inferred decay", log10 })
                }
            }
        };
        let weights = self.weight_decays.iter().zip(norms).map(infer).collect::<Result<_>>()?;
        Ok((weights, infer((&self.feature_decay, features))?))
    }
}

/// Refuses a decay that no regularization has.
fn check_known(argument: impl Into<Argument>, decay: Option<f64>) -> Result<()> {
    decay.map_or(Ok(()), |decay| check_positive(argument, decay))
}

/// The known decay with the size of its matrix, if there is one only.
fn single(known: &[Option<f64>], sizes: &[f64]) -> Option<(f64, f64)> {
    let mut pairs = known.iter().zip(sizes).filter_map(|(decay, &size)| Some(((*decay)?, size)));
    let first = pairs.next()?;
    pairs.next().is_none().then_some(first)
}

fn unknown(reason: &'static str) -> Error {
    Error::NotAnswered { question: "the decays that are not given", reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::dmatrix;

    fn inferred(
        head: &LinearHead,
        features_squared: f64,
        weights: &[Option<f64>],
        features: Option<f64>,
    ) -> Result<Regularization> {
        PartialRegularization::new(weights, features)?.inferred(head, features_squared)
    }

    #[test]
    fn every_decay_can_be_inferred_from_every_other() {
        let head = LinearHead::new(vec![dmatrix![2.0, 1.0], dmatrix![0.5; 3.0]], None).unwrap();
        let squares = [5.0, 9.25, 7.0];
        let decays = [0.3 / squares[0], 0.3 / squares[1], 0.3 / squares[2]];
        for known in 0..3 {
            let given = |index: usize| (index == known).then_some(decays[index]);
            let partial = PartialRegularization::new(&[given(0), given(1)], given(2)).unwrap();
            assert_eq!(partial.feature_decay(), given(2));
            let found = partial.inferred(&head, squares[2]).unwrap();
            let all = found.weight_decays().iter().copied().chain([found.feature_decay()]);
            for (found, expected) in all.zip(decays) {
                assert!((found - expected).abs() <= 4.0 * f64::EPSILON * expected);
            }
        }
        assert!(inferred(&head, 7.0, &[None, None], None).is_err());
        assert!(inferred(&head, 0.0, &[Some(0.1), None], None).is_err());
        assert!(inferred(&head, 7.0, &[None], Some(1.0)).is_err());
        // Of two known decays the geometric mean of λ‖·‖² counts.
        let found = inferred(&head, 7.0, &[Some(0.4 / 5.0), Some(0.1 / 9.25)], None).unwrap();
        assert!((found.feature_decay() * 7.0 / 0.2 - 1.0).abs() < 1e-14, "{found:?}");
        // λ₁‖W₁‖² = 10⁻³⁰⁰ · 5 over ‖H‖² = 10²⁰ is no number, nor is what two known decays lead to.
        for (second, expected) in [
            (None, 5e-20_f64.log10() - 300.0),
            (Some(1e-300 * 5.0 / 9.25), 5e-20_f64.log10() - 300.0),
        ] {
            let found = inferred(&head, 1e20, &[Some(1e-300), second], None);
            let Err(Error::Unrepresentable { log10, .. }) = found else { panic!("{found:?}") };
            assert!((log10 - expected).abs() < 1e-9, "{log10}");
        }
    }

    #[test]
    fn what_is_known_is_checked() {
        let refused = |weights: &[Option<f64>], features, bias| {
            let found = PartialRegularization::new(weights, features)
                .and_then(|partial| partial.with_bias(bias))
                .and_then(PartialRegularization::of_two_outputs);
            match found {
                Err(Error::OutOfRange { argument, value, .. }) => (argument.to_string(), value),
                found => panic!("{found:?}"),
            }
        };
        let (some, none) = (Some(1.0), Bias::None);
        assert_eq!(refused(&[None, Some(-1.0)], None, none), ("`weight_decays[1]`".into(), -1.0));
        assert_eq!(refused(&[None], Some(0.0), none), ("`feature_decay`".into(), 0.0));
        let bias = Bias::Regularized(-2.0);
        assert_eq!(refused(&[some], some, bias), ("`bias_decay`".into(), -2.0));
        // Twice the largest number is none.
        let largest = f64::MAX;
        assert_eq!(refused(&[Some(largest)], some, none).0, "`weight_decays[0]`");
        assert_eq!(refused(&[some], some, Bias::Regularized(largest)).0, "`bias_decay`");
        let empty = PartialRegularization::new(&[], None);
        assert_eq!(empty, Err(Error::Empty { argument: "weight_decays" }));
    }
}
