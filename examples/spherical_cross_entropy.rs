//! Cross-entropy of cosines: features and classifiers have length 1, as in face recognition. The minimum is a simplex ETF
//! whatever the temperature, and a network is audited beside it.

#![allow(clippy::print_stdout, reason = "an example shows its results")]

use neural_collapse::models::contrastive::{UnitFeatures, one_vs_rest_bound};
use neural_collapse::nalgebra::DMatrix;
use neural_collapse::{Basis, ClassCounts, Features, LinearHead, Prediction, Result, audit};

fn main() -> Result<()> {
    let counts = ClassCounts::balanced(5, 8)?;
    let labels = counts.labels()?;
    let minimum = UnitFeatures::spherical_cross_entropy(counts, 0.1)?.global_minimum()?;
    println!("predicted: {}, loss {:.3e}", minimum.geometry(), minimum.loss());
    println!("  {}", minimum.verdict());
    println!(
        "  cosine of two classes {:.4}",
        minimum.trailing_gram(1)?.cosine(0, 1).unwrap_or(f64::NAN)
    );

    // The minimum itself with more and more noise, brought back to length 1, stands in for a network in training.
    let network = minimum.explicit(&Basis::Standard)?;
    for noise in [0.3, 0.03, 0.0] {
        let mut features = network.features()?;
        let mut layer = network.head().weights()[0].transpose();
        disturb(&mut features, noise);
        disturb(&mut layer, noise);
        let head = LinearHead::new(vec![layer.transpose()], None)?;
        let data = Features::from_sample_columns(&features)?.with_labels(&labels, 5)?;
        let audit = audit(&data, &head, &minimum)?;
        let nc1 = audit.measurement.nc1().map_or(f64::NAN, |nc1| nc1.value);
        let nc3 = audit.nc3.unwrap_or(f64::NAN);
        println!("noise {noise:<4}: NC1 {nc1:.1e}, NC3 {nc3:.1e}, {}", audit.verdict.text);
    }

    // More classes than dimensions + 1 have no simplex: how far each can at most be from the hull of the others.
    for (classes, dimension) in [(5, 4), (5, 2), (100, 10)] {
        let bound = one_vs_rest_bound(classes, dimension)?;
        let word = if bound.attained { "exactly" } else { "at most" };
        println!("{classes} classes in {dimension} dimensions: {word} {:.4}", bound.distance);
    }
    Ok(())
}

/// Adds numbers of one size to every entry and divides each column by its length.
fn disturb(columns: &mut DMatrix<f64>, size: f64) {
    for (index, entry) in columns.iter_mut().enumerate() {
        *entry += size * (index as f64 * 1.7).sin();
    }
    columns.column_iter_mut().for_each(|mut column| {
        column.normalize_mut();
    });
}
