//! Sweeps the imbalance between large and small classes until the small ones collapse to zero.

#![allow(clippy::print_stdout, reason = "an example shows its results")]

use neural_collapse::models::squared::critical_imbalance_ratio;
use neural_collapse::{ClassCounts, GlobalMinimum, Regularization, Result, Ufm};

const MAJORITY: usize = 5;
const MINORITY: usize = 5;
const MINORITY_SIZE: u64 = 20;

fn minimum(ratio: u64, regularization: &Regularization) -> Result<GlobalMinimum> {
    let runs = [(ratio * MINORITY_SIZE, MAJORITY), (MINORITY_SIZE, MINORITY)];
    Ufm::new(ClassCounts::from_runs(runs)?, regularization.clone())?.global_minimum()
}

fn main() -> Result<()> {
    for depth in [1, 3] {
        let regularization = Regularization::new(&vec![2e-3; depth], 2e-3)?;
        let (large, small) = (MAJORITY as u64, MINORITY as u64);
        let critical = critical_imbalance_ratio(large, small, MINORITY_SIZE, &regularization)?;
        println!("M = {depth}: the minority collapses above an imbalance of ρ* = {critical:.3}");
        for ratio in [1, 2, 5, 10, 20, 50] {
            let minimum = minimum(ratio, &regularization)?;
            let Some(class) = minimum.class(MAJORITY) else { continue };
            let norm = class.classifier_norm_squared.unwrap_or(f64::NAN);
            let state = if class.collapsed == Some(true) { "collapsed" } else { "alive" };
            let least = minimum.smallest_surviving_count();
            println!(
                "  R = {ratio:>2}: minority ‖w‖² = {norm:.5} ({state}); classes above {least:.2} samples survive"
            );
        }
    }
    Ok(())
}
