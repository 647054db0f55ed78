//! Next-token prediction: are the centered supports of the labels what training leads to?

#![allow(clippy::print_stdout, reason = "an example shows its results")]

use neural_collapse::models::soft_labels::SparseLabels;
use neural_collapse::{Prediction, Result};

/// Contexts over five tokens: the tokens that may follow each, and how often it occurs.
struct Contexts {
    name: &'static str,
    supports: Vec<Vec<usize>>,
    samples: Vec<u64>,
}

fn problems() -> [Contexts; 2] {
    [
        Contexts {
            name: "apart",
            supports: vec![vec![0, 1], vec![2], vec![3, 4]],
            samples: vec![50, 20, 30],
        },
        Contexts {
            name: "overlapping",
            supports: vec![vec![0, 2, 3], vec![0, 1], vec![1], vec![0, 3, 4]],
            samples: vec![8, 14, 1, 19],
        },
    ]
}

fn main() -> Result<()> {
    for Contexts { name, supports, samples } in problems() {
        let minimum = SparseLabels::new(5, &supports, &samples)?.global_minimum()?;
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
