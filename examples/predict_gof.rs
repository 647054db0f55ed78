//! Predicts the general orthogonal frame of an imbalanced data set, for one, three and six linear layers.

#![allow(clippy::print_stdout, reason = "an example shows its results")]

use neural_collapse::{ClassCounts, Prediction, Regularization, Result, Ufm};

fn main() -> Result<()> {
    let counts = ClassCounts::new(&[200, 100, 50, 50])?;
    for depth in [1, 3, 6] {
        let regularization = Regularization::new(&vec![5e-4; depth], 5e-4)?;
        let minimum = Ufm::new(counts.clone(), regularization)?.global_minimum()?;
        println!("M = {depth}: {:?}, loss {:.9}", minimum.geometry(), minimum.loss());
        println!("  a = {:.4e}, threshold τ_M = {:.4}", minimum.scale(), minimum.threshold());
        for (direction, s_k) in minimum.directions().zip(minimum.direction_singular_values(1..=1)?)
        {
            println!(
                "  n = {:>3}, {} of them: x = {:.5}, s = {:.5}, outputs reach {:.2} % of their target",
                direction.target_squared(),
                direction.multiplicity(),
                direction.x(),
                s_k,
                100.0 * direction.fitted_share(),
            );
        }
        if let Some(ratio) = minimum.classifier_norm_ratio(0, 3) {
            println!("  ‖w‖² of the largest class is {ratio:.3} times that of the smallest");
        }
    }
    Ok(())
}
