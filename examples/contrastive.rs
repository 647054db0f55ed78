//! The supervised contrastive loss, which has features of length 1 and no classifier: what it leads to with and without a
//! ReLU, and how far measured features are from it.

#![allow(clippy::print_stdout, reason = "an example shows its results")]

use neural_collapse::measure::ClassVectors;
use neural_collapse::metrics::{Nc1Options, equiangularity, nc1};
use neural_collapse::models::contrastive::{UnitFeatures, UnitMinimum};
use neural_collapse::nalgebra::DMatrix;
use neural_collapse::{Basis, ClassCounts, ClassStatistics, Features, Prediction, Result};

fn main() -> Result<()> {
    let balanced = UnitFeatures::supervised_contrastive(ClassCounts::balanced(4, 12)?, 0.1)?;
    show("equal classes, features of either sign", &balanced.global_minimum()?)?;
    // After a ReLU the classes may have any sizes.
    let uneven = UnitFeatures::supervised_contrastive(ClassCounts::new(&[30, 12, 4, 2])?, 0.1)?;
    show("after a ReLU, any classes", &uneven.with_nonnegative_features()?.global_minimum()?)
}

fn show(name: &str, minimum: &UnitMinimum) -> Result<()> {
    let target = minimum.class_means_gram()?;
    let cosine = target.cosine(0, 1).unwrap_or(f64::NAN);
    println!("{name}: {}, cosine of two classes {cosine:.4}", minimum.geometry());
    println!("  loss {:.6}; {}", minimum.loss(), minimum.verdict());

    // Features near the predicted class means stand in for those of a network.
    let labels = minimum.problem().counts().labels()?;
    let means = minimum.class_means(&Basis::Standard)?;
    for noise in [0.1, 0.01, 0.0] {
        let features = spread(&means, &labels, noise);
        let data = Features::from_sample_columns(&features)?.with_labels(&labels, 4)?;
        let statistics = ClassStatistics::new(&data)?;
        let nc1 = nc1(&data, &statistics, &Nc1Options::default())?.value;
        let measured = statistics.class_means()?;
        // NC2 of the class means: the distance of their normalized Gram matrix to the predicted one.
        let nc2 = target.distance_to_gram(&measured.transpose())?;
        let angles = equiangularity(&ClassVectors::columns(&measured)?)?;
        println!(
            "  noise {noise:<4}: NC1 {nc1:.1e}, NC2 of the means {nc2:.1e}, cosines {:.4} ± {:.1e}",
            angles.cosines.mean, angles.cosines.deviation
        );
    }
    Ok(())
}

/// A feature of length 1 for each label, near the mean of its class.
fn spread(means: &DMatrix<f64>, labels: &[usize], noise: f64) -> DMatrix<f64> {
    let mut features = means.select_columns(labels);
    for (index, entry) in features.iter_mut().enumerate() {
        *entry += noise * (index as f64 * 1.3).sin();
    }
    features.column_iter_mut().for_each(|mut feature| {
        feature.normalize_mut();
    });
    features
}
