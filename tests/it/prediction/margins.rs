//! Smallest norms under margins: the conditions of Karush, Kuhn and Tucker.
//!
//! The Lagrangian of ½‖W‖² + ½‖H‖² is stationary iff W = Σ b_i h_iᵀ and h_i = Wᵀb_i, where b_i = Σ_c μ_ic (δ_y e_y − δ_c e_c)
//! for a sample of class y with multipliers μ of its margins: none is negative, and those of margins with slack are zero.
//! For soft labels b_i sums to zero and −b_ic is the multiplier of the margin over c off the support.

use nalgebra::{DMatrix, DVector, Dyn, SymmetricEigen};
use neural_collapse::problem::TrainingObjective;

use super::data_term::Held;
use super::subject::{Subject, assert_close};

/// What is asked of the outputs for one sample.
struct Margins<'a> {
    /// The tokens that have equal outputs: the class, or the support.
    own: &'a [usize],
    /// m.
    margin: f64,
    /// δ.
    scales: &'a DVector<f64>,
}

impl Margins<'_> {
    /// δ_y z_y − δ_c z_c − m for every other c.
    fn slacks(&self, outputs: &DVector<f64>) -> Vec<(usize, f64)> {
        let scaled = outputs.component_mul(self.scales);
        let others = (0..outputs.len()).filter(|c| !self.own.contains(c));
        others.map(|c| (c, scaled[self.own[0]] - scaled[c] - self.margin)).collect()
    }
}

/// Loss, margins and multipliers.
pub fn check(
    subject: &Subject<'_>,
    weight: &DMatrix<f64>,
    features: &DMatrix<f64>,
    objective: &TrainingObjective,
) {
    let name = &subject.name;
    let norms = (weight.norm_squared() + features.norm_squared()) / 2.0;
    assert_close(norms, subject.prediction.loss(), 1e-11, name);
    let (margins, scales) = numbers(objective, weight.nrows());
    let samples: Vec<(Vec<usize>, f64)> = match &subject.held {
        Held::Labels(labels) => labels.iter().map(|&y| (vec![y], margins[y])).collect(),
        Held::Sets(sets) => sets.iter().map(|set| (set.clone(), 1.0)).collect(),
        Held::Target(_) => panic!("{name}: a target has no margins"),
    };
    let multipliers = multipliers(weight, features);
    let mut worst = 0.0_f64;
    for ((own, margin), (feature, b)) in
        samples.iter().zip(features.column_iter().zip(multipliers.column_iter()))
    {
        let margins = Margins { own, margin: *margin, scales: &scales };
        let outputs = weight * feature;
        let level = outputs[own[0]];
        assert!(own.iter().all(|&k| (outputs[k] - level).abs() <= 1e-9), "{name}: {outputs}");
        let defect = (weight.transpose() * b - feature).norm() / features.norm().max(1e-300);
        worst = worst.max(defect);
        let largest = multipliers.amax().max(1e-300);
        for (c, slack) in margins.slacks(&outputs) {
            assert!(slack >= -1e-9, "{name}: a margin misses {slack:e}");
            let multiplier = -b[c] / scales[c] / largest;
            worst = worst.max(-multiplier).max((multiplier * slack).abs());
        }
    }
    let rebuilt = &multipliers * features.transpose();
    worst = worst.max((rebuilt - weight).norm() / weight.norm().max(1e-300));
    let is_stationary = worst <= subject.multipliers_within;
    let refuted = subject.prediction.verdict().keyword() == "proved_not_global";
    assert!(is_stationary != refuted || !has_one_subgradient(weight, subject), "{name}: {worst:e}");
}

/// The b_i with h_i = Wᵀb_i in the range of W.
fn multipliers(weight: &DMatrix<f64>, features: &DMatrix<f64>) -> DMatrix<f64> {
    let (eigen, counted) = eigenvalues_that_count(weight);
    let vectors = eigen.eigenvectors.select_columns(&counted);
    let mut coordinates = vectors.transpose() * weight * features;
    for (mut row, &index) in coordinates.row_iter_mut().zip(&counted) {
        row /= eigen.eigenvalues[index];
    }
    vectors * coordinates
}

/// Eigenvalues of W Wᵀ, and which of them are not zero but for rounding.
fn eigenvalues_that_count(weight: &DMatrix<f64>) -> (SymmetricEigen<f64, Dyn>, Vec<usize>) {
    let eigen = (weight * weight.transpose()).symmetric_eigen();
    let least = 1e-10 * eigen.eigenvalues.max();
    let counted = (0..weight.nrows()).filter(|&index| eigen.eigenvalues[index] > least).collect();
    (eigen, counted)
}

/// Whether the b_i are determined: W has the full rank K − 1, or as many directions as there are distinct features.
/// Elsewhere `tests/it/soft_labels.rs` holds the minimum against another method.
fn has_one_subgradient(weight: &DMatrix<f64>, subject: &Subject<'_>) -> bool {
    let Held::Sets(sets) = &subject.held else { return true };
    let mut distinct: Vec<_> = sets.iter().filter(|set| set.len() < weight.nrows()).collect();
    distinct.sort();
    distinct.dedup();
    let rank = eigenvalues_that_count(weight).1.len();
    rank == distinct.len().min(weight.nrows() - 1)
}

/// m and δ of all classes.
fn numbers(objective: &TrainingObjective, classes: usize) -> (DVector<f64>, DVector<f64>) {
    let list = |numbers: &[f64]| match numbers {
        [] => DVector::from_element(classes, 1.0),
        numbers => DVector::from_row_slice(numbers),
    };
    match objective {
        TrainingObjective::ScaledMargins { margins, logit_scales } => {
            (list(margins), list(logit_scales))
        }
        _ => (list(&[]), list(&[])),
    }
}
