//! Starts gradient descent at an explicit global minimizer: it has nowhere to go. From a random start
//! of the same size it has, and needs thousands of steps.

#![allow(clippy::print_stdout, reason = "an example shows its results")]

use nalgebra::DMatrix;
use neural_collapse::objective::Objective;
use neural_collapse::{
    Basis, ClassCounts, Features, LinearHead, Prediction, Regularization, Result, Ufm,
};

/// The parameters of a one-layer head on free features.
struct Parameters {
    weight: DMatrix<f64>,
    features: DMatrix<f64>,
}

/// One step of gradient descent on the objective with one-hot targets.
fn descend(parameters: &mut Parameters, targets: &DMatrix<f64>, decay: f64, step: f64) {
    let Parameters { weight, features } = parameters;
    let residual = (&*weight * &*features - targets) / targets.ncols() as f64;
    let of_weight = &residual * features.transpose() + &*weight * decay;
    let of_features = weight.transpose() * &residual + &*features * decay;
    *weight -= of_weight * step;
    *features -= of_features * step;
}

fn objective(
    parameters: &Parameters,
    labels: &[usize],
    regularization: &Regularization,
) -> Result<Objective> {
    let head = LinearHead::new(vec![parameters.weight.clone()], None)?;
    let features = Features::from_sample_columns(&parameters.features)?;
    Objective::squared_error(&features.with_labels(labels, head.classes())?, &head, regularization)
}

fn main() -> Result<()> {
    let (sizes, decay) = ([20, 10, 5, 5], 5e-3);
    let labels: Vec<usize> =
        (0..4).flat_map(|class| std::iter::repeat_n(class, sizes[class])).collect();
    let targets = DMatrix::from_fn(4, 40, |k, i| if labels[i] == k { 1.0 } else { 0.0 });
    let regularization = Regularization::new(&[decay], decay)?;
    let ufm =
        Ufm::new(ClassCounts::new(&[20, 10, 5, 5])?, regularization.clone())?.with_widths(&[16])?;
    let minimum = ufm.global_minimum()?;
    println!("claimed global minimum: {:.12}", minimum.loss());

    let explicit = minimum.explicit(&Basis::Random(1))?;
    let weight = explicit.head().product()?;
    let features = explicit.features()?;
    let scale = |matrix: &DMatrix<f64>| matrix.norm() / (matrix.len() as f64).sqrt();
    let noise = |rows: usize, columns: usize, size: f64| {
        DMatrix::from_fn(rows, columns, |i, j| size * (1e3 * (i * columns + j + 1) as f64).sin())
    };
    let random = Parameters {
        weight: noise(4, 16, scale(&weight)),
        features: noise(16, 40, scale(&features)),
    };
    for (name, mut parameters) in
        [("explicit minimizer", Parameters { weight, features }), ("random start", random)]
    {
        println!("{name}:");
        for steps in [0, 100, 1_000, 10_000] {
            (0..steps).for_each(|_| descend(&mut parameters, &targets, decay, 0.5));
            let objective = objective(&parameters, &labels, &regularization)?;
            println!(
                "  after {steps:>5} more steps: loss − minimum = {:9.2e}, ‖gradient‖ = {:8.2e}",
                objective.loss() - minimum.loss(),
                objective.gradient_norm,
            );
        }
    }
    Ok(())
}
