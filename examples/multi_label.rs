//! Images with one to three tags: the geometry that the pick-all-labels loss leads to.

#![allow(clippy::print_stdout, reason = "an example shows its results")]

use neural_collapse::metrics::tag_average_residuals;
use neural_collapse::models::multi_label::MultiLabelUfm;
use neural_collapse::{Basis, Prediction, Regularization, Result};

fn main() -> Result<()> {
    let regularization = Regularization::new(&[5e-4], 1e-5)?;
    let ufm = MultiLabelUfm::new(10, &[(1, 1000), (2, 100), (3, 10)], regularization)?;
    let minimum = ufm.global_minimum()?;
    println!("{} samples, loss {:.6}, {}", ufm.samples(), minimum.loss(), minimum.verdict());
    for (tags, samples) in ufm.samples_per_set() {
        let size = minimum.logit_size(tags).unwrap_or(f64::NAN);
        println!("  sets of {tags} with {samples} samples each: logits of the size {size:.4}");
    }
    // What a trained network would be measured by, here on the minimum itself.
    let point = minimum.explicit(&Basis::Random(1))?;
    let features = point.distinct_features();
    let sets: Vec<Vec<usize>> = ufm.tag_sets().collect();
    let single = features.columns(0, ufm.classes()).into_owned();
    for average in tag_average_residuals(&single, &sets, features)? {
        println!(
            "  features of {} tags: {:.4} times their average, residual {:.1e}",
            average.tags, average.factor, average.residual
        );
    }
    Ok(())
}
