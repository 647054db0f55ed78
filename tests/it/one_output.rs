//! A head with one output and the head with two outputs that it stands for.

use nalgebra::{DMatrix, DVector};
use neural_collapse::objective::Objective;
use neural_collapse::problem::PartialRegularization;
use neural_collapse::{Bias, Features, LinearHead};

/// A number between −1 and 1 for each index and seed.
fn number(index: usize, seed: usize) -> f64 {
    ((index * 7919 + seed * 104_729) as f64).sin()
}

/// The mean logistic loss ln(1 + e^(−±z)) with the penalties of the one output, written out, is the objective of the
/// two outputs.
#[test]
fn two_outputs_have_the_objective_of_one() {
    let (samples, width, hidden) = (7, 3, 4);
    let features = DMatrix::from_fn(width, samples, |row, column| number(row + 5 * column, 1));
    let labels = [0, 1, 1, 0, 1, 0, 0];
    let first = DMatrix::from_fn(hidden, width, |row, column| number(row + 5 * column, 2));
    let last = DMatrix::from_fn(1, hidden, |_, column| 3.0 * number(column, 3));
    let (decays, feature_decay, bias_decay, bias) = ([0.02, 0.03], 0.005, 0.07, 0.6);

    let outputs = (&last * &first * &features).add_scalar(bias);
    let logistic = outputs.iter().zip(labels).map(|(z, label)| {
        let margin = if label == 1 { *z } else { -z };
        (-margin).exp().ln_1p()
    });
    let penalties = decays[0] * first.norm_squared()
        + decays[1] * last.norm_squared()
        + feature_decay * features.norm_squared()
        + bias_decay * bias * bias;
    let expected = logistic.sum::<f64>() / samples as f64 + penalties / 2.0;

    let head = LinearHead::new(vec![first, last], Some(DVector::from_vec(vec![bias]))).unwrap();
    let two = head.to_two_outputs().unwrap();
    let regularization = PartialRegularization::new(&decays.map(Some), Some(feature_decay))
        .and_then(|known| known.with_bias(Bias::Regularized(bias_decay)))
        .and_then(PartialRegularization::of_two_outputs)
        .unwrap();
    let data = Features::from_sample_columns(&features).unwrap();
    let data = data.with_labels(&labels, 2).unwrap();
    let found = Objective::cross_entropy(&data, &two, &regularization.known().unwrap()).unwrap();
    assert!((found.loss() / expected - 1.0).abs() < 1e-14, "{} {expected}", found.loss());
    // Decays that are inferred for the two outputs are those of the two outputs.
    let partial = PartialRegularization::new(&[None, None], Some(feature_decay)).unwrap();
    let energy = features.norm_squared();
    let [one, two] =
        [&head, &two].map(|head| partial.inferred(head, energy).unwrap().weight_decays()[1]);
    assert!((two / one - 2.0).abs() < 1e-14);
}
