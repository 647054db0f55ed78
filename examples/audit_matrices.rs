//! Audits a network whose features and weights are at hand as matrices: here one that was disturbed on
//! its way to the global minimum.

#![allow(clippy::print_stdout, reason = "an example shows its results")]

use neural_collapse::{
    Basis, ClassCounts, Features, LinearHead, Prediction, Regularization, Result, Ufm, audit,
};

fn main() -> Result<()> {
    // Stand-ins for trained numbers: the global minimizer with a disturbance of one percent.
    let sizes = [30_u64, 20, 10];
    let regularization = Regularization::new(&[1e-3, 1e-3], 1e-3)?;
    let ufm = Ufm::new(ClassCounts::new(&sizes)?, regularization)?.with_widths(&[8, 8])?;
    let prediction = ufm.global_minimum()?;
    let network = prediction.explicit(&Basis::Random(5))?;
    let disturbed = |matrix: &nalgebra::DMatrix<f64>, seed: f64| {
        let size = 0.01 * matrix.norm() / (matrix.len() as f64).sqrt();
        let mut index = 0.0;
        matrix.map(|entry| {
            index += 1.0;
            entry + size * (seed * index * index).sin()
        })
    };
    let weights = network.head().weights().iter().map(|weight| disturbed(weight, 1.7)).collect();
    let head = LinearHead::new(weights, None)?;
    let features = disturbed(&network.features()?, 2.3);
    let labels: Vec<usize> =
        (0..3).flat_map(|class| std::iter::repeat_n(class, [30, 20, 10][class])).collect();

    // From here on it is what one does with a real network. PyTorch's N×d features are row-major, for
    // which there is `Features::from_row_major`.
    let data = Features::from_sample_columns(&features)?.with_labels(&labels, 3)?;
    let audit = audit(&data, &head, &prediction)?;
    println!("NC1  {:.3e}", audit.measurement.nc1().map_or(f64::NAN, |nc1| nc1.value));
    for (layers, distance) in (1..).zip(&audit.nc2) {
        println!("NC2  {:.3e}  (last {layers} layers)", distance.unwrap_or(f64::NAN));
    }
    println!("NC3  {:.3e}", audit.nc3.unwrap_or(f64::NAN));
    println!("NC4  {:.3}", audit.measurement.nc4().overall.agreement);
    println!("{}", audit.verdict.text);
    println!("loss above the minimum  {:.3e}", audit.loss_gap().unwrap_or(f64::NAN));
    for (class, found) in audit.classes.iter().enumerate() {
        let norms = found.classifier_norm_squared;
        println!(
            "class {class}: {} samples, ‖w‖² = {:.4}, predicted {:.4}",
            found.count,
            norms.measured,
            norms.predicted.unwrap_or(f64::NAN),
        );
    }
    Ok(())
}
