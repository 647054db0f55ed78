//! The spectrum of centered one-hot targets.

use neural_collapse::{Bias, ClassCounts, Regularization, Ufm};

use super::FEW_ULP;
use super::problem::check_message;

/// The eigenvalues of diag(n) − n nᵀ/N interlace with the sizes and add up to the trace.
pub fn check(runs: &[(u64, usize)]) {
    let counts = match ClassCounts::from_runs(runs.iter().copied()) {
        Ok(counts) => counts,
        Err(error) => return check_message(&error),
    };
    let samples = counts.samples() as f64;
    let regularization = Regularization::new(&[samples.recip()], samples.recip()).unwrap();
    let regularization = regularization.with_bias(Bias::Unregularized).unwrap();
    let minimum = Ufm::new(counts.clone(), regularization).unwrap().global_minimum().unwrap();
    let values: Vec<(f64, usize)> = minimum
        .directions()
        .map(|direction| (direction.target_squared(), direction.multiplicity()))
        .collect();
    assert!(values.windows(2).all(|pair| pair[0].0 >= pair[1].0), "{runs:?}: {values:?}");
    assert_eq!(values.iter().map(|value| value.1).sum::<usize>(), counts.classes() - 1, "{runs:?}");
    let sizes: Vec<(f64, f64)> =
        counts.sizes().map(|group| (group.size as f64, group.class_count as f64)).collect();
    let (smallest, largest) = (sizes[sizes.len() - 1].0, sizes[0].0);
    let inside = |value: &(f64, usize)| (smallest..=largest).contains(&value.0);
    assert!(values.iter().all(inside), "{runs:?}: {values:?}");
    // tr(diag(n) − n nᵀ/N) = Σ m_g n_g (1 − n_g/N) without cancellation where one class is nearly all.
    let trace: f64 = sizes
        .iter()
        .map(|&(size, classes)| {
            let others: f64 = sizes
                .iter()
                .map(
                    |&(other, many)| {
                        if other == size { other * (many - 1.0) } else { other * many }
                    },
                )
                .sum();
            classes * size / samples * others
        })
        .sum();
    let sum: f64 = values.iter().map(|&(value, multiplicity)| value * multiplicity as f64).sum();
    let bound = FEW_ULP * (values.len() + sizes.len()) as f64 * trace;
    assert!((sum - trace).abs() <= bound, "{runs:?}: Σ μ = {sum:e}, tr = {trace:e}");
    for direction in minimum.directions() {
        assert!(direction.energy().is_finite(), "{runs:?}: {direction:?}");
    }
}
