//! Decays that nobody gave, from the balance that every stationary point has.

use crate::error::{Argument, Error, Result, check_positive};
use crate::numerics::squares::norm;
use crate::problem::head::LinearHead;

/// The decays λ₁, …, λ_M and λ_H of a network of which some are known: those that are not are inferred from
///
/// ```math
/// λ₁‖W₁‖² = … = λ_M‖W_M‖² = λ_H‖H‖²,
/// ```
///
/// which holds at every stationary point of an objective with these decays, whatever the loss function (the traces of
/// Lemma D.2 of Dang et al., ICML 2023). Networks are often trained without a penalty of the features; the inferred
/// λ_H is then what the layers below the head do instead, *if* the model applies. Whether it does the residuals of
/// the full balance tell ([`Measurement::balancedness`](crate::audit::Measurement::balancedness)): where they are far
/// from 0, the network is at no such point and no decay makes it one.
///
/// `features_squared` is ‖H‖², the sum of the squares of all features of all samples. Of several known decays the
/// geometric mean of their λ‖·‖² is taken.
///
/// # Errors
/// [`Error::Shape`] unless there is one entry for each layer, [`Error::NotAnswered`] if no decay is known or a
/// matrix is zero, [`Error::Unrepresentable`] if a decay is out of range.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::LinearHead;
/// use neural_collapse::audit::infer_decays;
///
/// // ‖W₁‖² = 4 and λ₁ = 0.01, ‖H‖² = 8: λ_H = 0.04/8.
/// let head = LinearHead::new(vec![dmatrix![2.0, 0.0; 0.0, 0.0]], None)?;
/// let (layers, features) = infer_decays(&head, 8.0, &[Some(0.01)], None)?;
/// assert_eq!(layers, [0.01]);
/// assert!((features - 0.005).abs() < 1e-17);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn infer_decays(
    head: &LinearHead,
    features_squared: f64,
    weight_decays: &[Option<f64>],
    feature_decay: Option<f64>,
) -> Result<(Vec<f64>, f64)> {
    if weight_decays.len() != head.depth() {
        let reason = "one for each layer of the head";
        return Err(Error::length("weight_decays", weight_decays.len(), head.depth(), reason));
    }
    for (layer, decay) in weight_decays.iter().enumerate() {
        decay
            .map(|decay| check_positive(Argument::at("weight_decays", layer), decay))
            .transpose()?;
    }
    feature_decay.map(|decay| check_positive("feature_decay", decay)).transpose()?;
    if let (Some(weights), Some(features)) =
        (weight_decays.iter().copied().collect(), feature_decay)
    {
        return Ok((weights, features));
    }
    let norms: Vec<f64> = head.weights().iter().map(|weight| norm(weight.as_slice())).collect();
    let features = features_squared.sqrt();
    let sizes: Vec<f64> = norms.iter().copied().chain([features]).collect();
    let known: Vec<Option<f64>> = weight_decays.iter().copied().chain([feature_decay]).collect();
    if sizes.contains(&0.0) {
        return Err(unknown("a layer or all features are zero"));
    }
    // ln λ‖·‖², which every layer shares.
    let levels = known.iter().zip(&sizes);
    let levels: Vec<f64> =
        levels.filter_map(|(decay, size)| Some(decay.as_ref()?.ln() + 2.0 * size.ln())).collect();
    if levels.is_empty() {
        return Err(unknown("no decay is known"));
    }
    let level = levels.iter().sum::<f64>() / levels.len() as f64;
    let infer = |(decay, size): (&Option<f64>, f64)| {
        let inferred = decay.unwrap_or_else(|| match (levels.as_slice(), single(&known, &sizes)) {
            // One factor in one division, to the last bits.
            ([_], Some((decay, known_size))) => decay * (known_size / size) * (known_size / size),
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
    let weights = weight_decays.iter().zip(norms).map(infer).collect::<Result<_>>()?;
    Ok((weights, infer((&feature_decay, features))?))
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

    #[test]
    fn every_decay_can_be_inferred_from_every_other() {
        let head = LinearHead::new(vec![dmatrix![2.0, 1.0], dmatrix![0.5; 3.0]], None).unwrap();
        let squares = [5.0, 9.25, 7.0];
        let decays = [0.3 / squares[0], 0.3 / squares[1], 0.3 / squares[2]];
        for known in 0..3 {
            let given = |index: usize| (index == known).then_some(decays[index]);
            let found = infer_decays(&head, squares[2], &[given(0), given(1)], given(2)).unwrap();
            for (found, expected) in found.0.iter().chain([&found.1]).zip(decays) {
                assert!((found - expected).abs() <= 4.0 * f64::EPSILON * expected);
            }
        }
        assert!(infer_decays(&head, 7.0, &[None, None], None).is_err());
        assert!(infer_decays(&head, 0.0, &[Some(0.1), None], None).is_err());
        assert!(infer_decays(&head, 7.0, &[None], Some(1.0)).is_err());
        // Of two known decays the geometric mean of λ‖·‖² counts.
        let (_, found) =
            infer_decays(&head, 7.0, &[Some(0.4 / 5.0), Some(0.1 / 9.25)], None).unwrap();
        assert!((found * 7.0 / 0.2 - 1.0).abs() < 1e-14, "{found}");
        // λ₁‖W₁‖² = 10⁻³⁰⁰ · 5 over ‖H‖² = 10²⁰ is no number, nor is what two known decays lead to.
        for (second, expected) in [
            (None, 5e-20_f64.log10() - 300.0),
            (Some(1e-300 * 5.0 / 9.25), 5e-20_f64.log10() - 300.0),
        ] {
            let found = infer_decays(&head, 1e20, &[Some(1e-300), second], None);
            let Err(Error::Unrepresentable { log10, .. }) = found else { panic!("{found:?}") };
            assert!((log10 - expected).abs() < 1e-9, "{log10}");
        }
    }
}
