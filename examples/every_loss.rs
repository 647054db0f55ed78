//! Predicts the geometry under every loss, and audits a network beside each prediction: here the predicted minimum
//! itself, so that all distances are rounding errors.

#![allow(clippy::print_stdout, reason = "an example shows its results")]

use neural_collapse::models::convex::ConvexUfm;
use neural_collapse::models::nonnegative::NonnegativeUfm;
use neural_collapse::{
    Basis, Bias, ClassCounts, CrossEntropyUfm, Features, LayerPeeled, Prediction, Regularization,
    Result, Seli, Ufm, audit,
};

fn main() -> Result<()> {
    let sizes = ClassCounts::new(&[40, 20, 10, 10])?;
    let one_layer = Regularization::uniform(1, 1e-3, 1e-3)?;
    let two_layers = Regularization::new(&[1e-3, 1e-3], 1e-4)?.with_bias(Bias::Unregularized)?;
    let six_of_ten = CrossEntropyUfm::new(6, 10, two_layers.clone())?;
    let predictions: [(&str, Box<dyn Prediction>); 6] = [
        (
            "squared loss, two layers and a bias",
            Box::new(Ufm::new(sizes.clone(), two_layers)?.global_minimum()?),
        ),
        ("cross-entropy, six equal classes, two layers", Box::new(six_of_ten.landscape()?)),
        (
            "cross-entropy, classes of different sizes, one layer",
            Box::new(ConvexUfm::cross_entropy(sizes.clone(), one_layer.clone())?.global_minimum()?),
        ),
        (
            "cross-entropy on features after a ReLU",
            Box::new(NonnegativeUfm::new(sizes.clone(), one_layer)?.global_minimum()?),
        ),
        (
            "the layer-peeled model: cross-entropy under budgets",
            Box::new(LayerPeeled::new(sizes.clone(), 1.0, 1.0)?.global_minimum()?),
        ),
        ("the support vector machine on free features", Box::new(Seli::new(sizes)?)),
    ];
    for (name, prediction) in &predictions {
        show(name, prediction.as_ref())?;
    }
    Ok(())
}

fn show(name: &str, prediction: &dyn Prediction) -> Result<()> {
    println!("{name}\n  {}, loss {:.8}", prediction.geometry(), prediction.loss());
    println!("  {}", prediction.verdict());
    for (run, class) in prediction.class_runs()? {
        let norm = class.classifier_norm_squared.unwrap_or(f64::NAN);
        println!("  {} classes of {} samples: ‖w‖² = {norm:.5}", run.class_count, run.size);
    }
    // A network would come from files; this one is the minimum with features for every sample.
    let network = prediction.explicit(&Basis::Standard)?;
    let features = network.features()?;
    let counts = prediction.counts().cloned();
    let labels = counts.map(|counts| counts.labels()).transpose()?.unwrap_or_default();
    let data =
        Features::from_sample_columns(&features)?.with_labels(&labels, prediction.classes())?;
    let audit = audit(&data, network.head(), prediction)?;
    let nc3 = audit.nc3.unwrap_or(f64::NAN);
    println!("  audit: NC3 {nc3:.1e}; {}\n", audit.verdict.text);
    Ok(())
}
