//! Whole problems and their global minima.

use nalgebra::DMatrix;
use neural_collapse::models::Regime;
use neural_collapse::prediction::ClassGeometry;
use neural_collapse::{
    Basis, Bias, ClassCounts, Error, GlobalMinimum, Prediction, Regularization, Ufm,
};

use super::FEW_ULP;

/// Any numbers that a user could give.
#[derive(Debug, Clone)]
pub struct Input {
    /// Sizes and numbers of classes.
    pub runs: Vec<(u64, usize)>,
    pub weight_decays: Vec<f64>,
    pub feature_decay: f64,
    pub bias: Bias,
    /// As many as there are layers, or none at all.
    pub widths: Vec<usize>,
}

impl Input {
    fn regularization(&self) -> Result<Regularization, Error> {
        Regularization::new(&self.weight_decays, self.feature_decay)?.with_bias(self.bias)
    }

    fn problem(&self) -> Result<Ufm, Error> {
        let counts = ClassCounts::from_runs(self.runs.iter().copied())?;
        let ufm = Ufm::new(counts, self.regularization()?)?;
        if self.widths.is_empty() { Ok(ufm) } else { ufm.with_widths(&self.widths) }
    }
}

/// A classification problem is refused with a readable error or has a sound minimum.
pub fn check(input: &Input) {
    match input.problem().and_then(|ufm| ufm.global_minimum()) {
        Ok(minimum) => {
            check_minimum(&minimum, input);
            check_classes(&minimum, input);
            if minimum.problem().classes() <= 12 && input.widths.iter().all(|&width| width <= 64) {
                check_matrices(&minimum, input);
            }
        }
        Err(error) => check_message(&error),
    }
}

/// The same for any target matrix.
pub fn check_target(target: DMatrix<f64>, input: &Input) {
    let ufm =
        input.regularization().and_then(|regularization| Ufm::from_target(target, regularization));
    match ufm.and_then(|ufm| ufm.global_minimum()) {
        Ok(minimum) => {
            check_minimum(&minimum, input);
            check_matrices(&minimum, input);
        }
        Err(error) => check_message(&error),
    }
}

/// One line that tells more than the kind of the error.
pub fn check_message(error: &Error) {
    let text = error.to_string();
    assert!(text.len() > 10 && !text.contains('\n'), "{error:?}: {text}");
}

fn good(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

fn check_minimum(minimum: &GlobalMinimum, input: &Input) {
    let zero_loss: f64 = minimum
        .directions()
        .map(|direction| {
            let weight = direction.target_squared() / (2.0 * direction.effective_samples());
            direction.multiplicity() as f64 * weight
        })
        .sum();
    let loss = minimum.loss();
    assert!(
        good(loss) && loss <= zero_loss * (1.0 + FEW_ULP),
        "{input:?}: f* = {loss:e} > {zero_loss:e}"
    );
    assert!(good(minimum.scale()) && good(minimum.smallest_surviving_count()), "{input:?}");
    let rank: usize = minimum.directions().map(|direction| *direction.rank().end()).sum();
    assert!(rank <= minimum.problem().rank_limit(), "{input:?}: rank {rank}");
    let factor = minimum.largest_decay_factor();
    assert!(factor.is_none_or(good), "{input:?}: {factor:?}");
    for direction in minimum.directions() {
        let (x, energy) = (direction.x(), direction.energy());
        assert!(good(x) && good(energy) && good(direction.power()), "{input:?}: {direction:?}");
        assert!(good(direction.ratio()) && good(direction.loss()), "{input:?}: {direction:?}");
        let shares = direction.fitted_share() + direction.unfitted_share();
        assert!((shares - 1.0).abs() <= FEW_ULP, "{input:?}: {direction:?}");
        assert_eq!(x == 0.0, direction.regime() == Regime::Zero, "{input:?}: {direction:?}");
    }
    let depth = minimum.problem().depth();
    let singular_values = [
        minimum.direction_singular_values(1..=1).unwrap(),
        minimum.direction_feature_singular_values(),
        minimum.output_singular_values(),
        minimum.direction_singular_values(1..=depth).unwrap(),
    ];
    for values in singular_values {
        assert!(values.iter().copied().all(good), "{input:?}: {values:?}");
    }
}

fn check_classes(minimum: &GlobalMinimum, input: &Input) {
    let counts = minimum.problem().counts().unwrap();
    let classes: usize = minimum.class_runs().unwrap().iter().map(|(run, _)| run.class_count).sum();
    assert_eq!(classes, counts.classes(), "{input:?}");
    for (run, class) in minimum.class_runs().unwrap() {
        assert_eq!(minimum.class(run.first_class), Some(class), "{input:?}");
        let ClassGeometry { classifier_norm_squared, feature_norm_squared, .. } = class;
        let norms = [classifier_norm_squared, feature_norm_squared];
        assert!(norms.into_iter().flatten().all(good), "{input:?}: {class:?}");
        assert_eq!(class.collapsed.is_none(), classifier_norm_squared.is_none(), "{input:?}");
    }
    assert_eq!(minimum.class(counts.classes()), None);
    let multiplicity: usize = minimum.directions().map(|direction| direction.multiplicity()).sum();
    let dropped = usize::from(minimum.problem().regularization().bias() == Bias::Unregularized);
    assert_eq!(multiplicity, counts.classes() - dropped, "{input:?}");
    // The vector of more classes than memory can hold is not asked for.
    if counts.classes() <= 1000 {
        let bias = minimum.bias().unwrap_or_default();
        assert!(bias.iter().copied().all(good), "{input:?}: {bias:?}");
    }
}

fn check_matrices(minimum: &GlobalMinimum, input: &Input) {
    let depth = minimum.problem().depth();
    let finite = |matrix: &DMatrix<f64>| matrix.iter().all(|entry| entry.is_finite());
    for layers in [1, depth] {
        let gram = minimum.trailing_gram(layers).unwrap();
        assert!(gram.to_dense().is_none_or(|dense| finite(&dense)), "{input:?}: {gram:?}");
        let measured = DMatrix::identity(gram.classes(), gram.classes());
        if let Ok(distance) = gram.distance(&measured) {
            assert!((0.0..=2.0 + FEW_ULP).contains(&distance), "{input:?}: {distance}");
        }
    }
    if depth > 12 {
        return;
    }
    let explicit = minimum.explicit(&Basis::Standard).unwrap();
    assert!(explicit.head().weights().iter().all(finite), "{input:?}");
    assert!(explicit.class_means().is_none_or(finite), "{input:?}");
}
