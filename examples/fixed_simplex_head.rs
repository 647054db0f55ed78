//! A classifier that is a fixed simplex ETF, so that classes of any sizes get features at equal angles: the minimum is
//! predicted, free features are trained in front of the classifier, and both are compared.

#![allow(clippy::print_stdout, reason = "an example shows its results")]

use neural_collapse::models::fixed_head::FixedHeadUfm;
use neural_collapse::nalgebra::{DMatrix, DVector};
use neural_collapse::{Basis, ClassCounts, Features, LinearHead, Prediction, Result, audit};

fn main() -> Result<()> {
    let counts = ClassCounts::new(&[40, 10, 2])?;
    let (labels, decay) = (counts.labels()?, 1e-3);
    let minimum = FixedHeadUfm::new(counts, 1.0, decay)?.global_minimum()?;
    println!("predicted: {}, loss {:.8}", minimum.geometry(), minimum.loss());
    println!("  {}", minimum.verdict());

    // The head of the prediction, which is not trained, and features that are.
    let head = minimum.explicit(&Basis::Standard)?.head().clone();
    for steps in [0, 20, 2000] {
        let features = trained(&head, &labels, decay, steps);
        let data = Features::from_sample_columns(&features)?.with_labels(&labels, 3)?;
        let audit = audit(&data, &head, &minimum)?;
        let nc1 = audit.measurement.nc1().map_or(f64::NAN, |nc1| nc1.value);
        let nc3 = audit.nc3.unwrap_or(f64::NAN);
        let gap = audit.loss_gap_relative().unwrap_or(f64::NAN);
        println!(
            "after {steps:>4} steps: NC1 {nc1:.1e}, NC3 {nc3:.1e}, relative loss gap {gap:.1e}"
        );
    }
    Ok(())
}

/// Features after steps of gradient descent on 1/N Σ CE(W h, y) + λ_H/2 ‖H‖²; each sample on its own.
fn trained(head: &LinearHead, labels: &[usize], decay: f64, steps: usize) -> DMatrix<f64> {
    let layer = &head.weights()[0];
    let samples = labels.len();
    let mut features = DMatrix::from_fn(head.feature_dimension(), samples, |feature, sample| {
        ((7 * feature + 3 * sample) as f64).sin()
    });
    for _ in 0..steps {
        for (mut feature, &label) in features.column_iter_mut().zip(labels) {
            let mut rest = softmax(layer * &feature);
            rest[label] -= 1.0;
            // N times the gradient: the mean over samples divides every step by N.
            let gradient = layer.transpose() * rest + &feature * (decay * samples as f64);
            feature -= gradient;
        }
    }
    features
}

fn softmax(logits: DVector<f64>) -> DVector<f64> {
    let largest = logits.max();
    let powers = logits.map(|logit| (logit - largest).exp());
    let sum = powers.sum();
    powers / sum
}
