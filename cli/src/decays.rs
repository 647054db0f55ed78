//! The decays of an objective, given or inferred.

/// The decays of an objective, as far as they are known.
pub(crate) enum Decays {
    All {
        weights: Vec<f64>,
        features: f64,
        weights_are_inferred: Vec<bool>,
        features_are_inferred: bool,
    },
    Missing {
        weights: Option<Vec<f64>>,
        reason: &'static str,
    },
}

impl Decays {
    /// λ₁, …, λ_M.
    pub(crate) fn weight_decays(&self) -> Option<&[f64]> {
        match self {
            Self::All { weights, .. } => Some(weights),
            Self::Missing { weights, .. } => weights.as_deref(),
        }
    }

    /// λ_H, if it was inferred.
    pub(crate) fn inferred_feature_decay(&self) -> Option<f64> {
        match self {
            Self::All { features, features_are_inferred: true, .. } => Some(*features),
            _ => None,
        }
    }

    /// λ₁, …, λ_M as far as they were inferred, if any was.
    pub(crate) fn inferred_weight_decays(&self) -> Option<Vec<Option<f64>>> {
        let Self::All { weights, weights_are_inferred, .. } = self else { return None };
        let decays = weights.iter().zip(weights_are_inferred);
        let inferred = decays.map(|(&decay, &is_inferred)| is_inferred.then_some(decay));
        weights_are_inferred.contains(&true).then(|| inferred.collect())
    }
}
