//! Next-token prediction: are the centered supports of the labels what training leads to?

#![allow(clippy::print_stdout, reason = "an example shows its results")]

use neural_collapse::models::soft_labels::SparseLabels;
use neural_collapse::{Prediction, Result};

fn main() -> Result<()> {
    // Contexts over five tokens, with the tokens that may follow and how often the context occurs.
    let problems: [(&str, &[&[usize]], &[u64]); 2] = [
        ("apart", &[&[0, 1], &[2], &[3, 4]], &[50, 20, 30]),
        ("overlapping", &[&[0, 1, 2], &[2, 3], &[0, 4], &[1], &[1, 2, 3, 4]], &[1, 16, 3, 19, 9]),
    ];
    for (name, supports, samples) in problems {
        let supports: Vec<Vec<usize>> = supports.iter().map(|support| support.to_vec()).collect();
        let minimum = SparseLabels::new(5, &supports, samples)?.global_minimum()?;
        let certificate = minimum.certificate();
        println!("{name}: {}", minimum.verdict());
        println!(
            "  norm {:.6}, lower bound {:.6}, largest entry off the supports {:+.4}",
            minimum.loss(),
            minimum.lower_bound().unwrap_or(f64::NAN),
            certificate.largest_of_polar_factor
        );
        let gram = minimum.context_gram()?;
        println!(
            "  cosine between contexts 0 and 1: {:+.4}",
            gram.cosine(0, 1).unwrap_or(f64::NAN)
        );
    }
    Ok(())
}
