//! Class weights that give all classes one margin after a ReLU, and margins that make a simplex of any class sizes.

#![allow(clippy::print_stdout, reason = "an example shows its results")]

use neural_collapse::models::nonnegative::{NonnegativeUfm, margin_equalizing_weights};
use neural_collapse::models::svm::simplex_margins;
use neural_collapse::{ClassCounts, Prediction, Regularization, Result, Seli};

fn main() -> Result<()> {
    let sizes = [500, 200, 50, 20];
    let counts = ClassCounts::new(&sizes)?;
    let ufm = NonnegativeUfm::new(counts.clone(), Regularization::new(&[5e-3], 5e-3)?)?;
    let least = ufm.smallest_surviving_count(1.0)?;
    println!(
        "Non-negative features: without weights, classes of more than {least:.1} samples live."
    );
    let weights = margin_equalizing_weights(&counts);
    let weighted = ufm.clone().with_class_weights(&weights)?.global_minimum()?;
    let plain = ufm.global_minimum()?;
    for (class, (size, weight)) in sizes.iter().zip(&weights).enumerate() {
        let margin = |minimum: Option<f64>| minimum.unwrap_or(f64::NAN);
        println!(
            "  {size:>3} samples: margin {:.3} without weights, {:.3} with the weight {weight:.3}",
            margin(plain.margin(class)),
            margin(weighted.margin(class)),
        );
    }
    println!("  verdict: {}", weighted.verdict());

    println!("Vanishing decay: cosines between classifiers of the two smallest classes");
    let margins = simplex_margins(&counts);
    let plain = Seli::new(counts)?;
    let scaled = plain.clone().with_margins(&margins)?;
    for (name, seli) in [("margins of 1", plain), ("margins ∝ 1/√n", scaled)] {
        let cosine = seli.trailing_gram(1)?.cosine(2, 3).unwrap_or(f64::NAN);
        println!("  {name}: {cosine:.4}");
    }
    Ok(())
}
