//! Random hidden spaces, with and without the feature `random`.

use neural_collapse::{Basis, Prediction};

/// Random orthonormal vectors for the matrices of a prediction: drawn by the library if it has the feature `random`, and
/// given to it otherwise.
#[cfg(feature = "random")]
pub fn random_basis(_: &dyn Prediction, seed: u64) -> Basis {
    Basis::Random(seed)
}

#[cfg(not(feature = "random"))]
pub fn random_basis(prediction: &dyn Prediction, seed: u64) -> Basis {
    use nalgebra::DMatrix;
    use neural_collapse::problem::TrainingObjective;
    use rand::SeedableRng;
    use rand_distr::{Distribution, StandardNormal};

    let objective = prediction.training_objective();
    if matches!(
        objective,
        TrainingObjective::WeightedCrossEntropy { nonnegative_features: true, .. }
    ) {
        return random_nonnegative_basis(prediction, seed);
    }
    let mut rng = rand::rngs::SmallRng::seed_from_u64(seed);
    let classes = prediction.classes();
    let all = vec![classes; prediction.depth().max(1)];
    let widths = prediction.widths().unwrap_or(&all);
    let orthonormal = |&width: &usize| {
        let draw = |_, _| StandardNormal.sample(&mut rng);
        DMatrix::from_fn(width, width.min(classes), draw).qr().q()
    };
    Basis::Given(widths.iter().map(orthonormal).collect())
}

/// The same for models whose hidden vectors are nonnegative.
#[cfg(feature = "random")]
pub fn random_nonnegative_basis(_: &dyn Prediction, seed: u64) -> Basis {
    Basis::Random(seed)
}

/// Unit vectors in another order than the standard ones; of the contrastive loss, which has no layer, those of its features.
#[cfg(not(feature = "random"))]
pub fn random_nonnegative_basis(prediction: &dyn Prediction, seed: u64) -> Basis {
    let classes = prediction.classes();
    let all = vec![classes; prediction.depth().max(1)];
    let widths = prediction.widths().unwrap_or(&all);
    let turned = |&width: &usize| {
        let entry = |i, j| f64::from(u8::from(i == (j + 1 + seed as usize) % width));
        nalgebra::DMatrix::from_fn(width, width.min(classes), entry)
    };
    Basis::Given(widths.iter().map(turned).collect())
}
