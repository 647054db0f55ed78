//! How NC1 moves with class means and deviations, to first order.

use nalgebra::DMatrix;

use crate::measure::center::Center;
use crate::metrics::errors::parts::SampleParts;
use crate::numerics::linalg::{product, transposed};

/// NC1 and its gradient.
pub(super) struct Nc1Change<'a> {
    parts: &'a SampleParts,
    /// NC1.
    pub(super) value: f64,
    /// K, or 1.
    divisor: f64,
    samples: f64,
    /// Σ ‖B†x‖²/n_k of each class.
    class_means_of_squares: Vec<f64>,
    /// ∂NC1/∂h_k in units of the scale, d×K.
    gradient: DMatrix<f64>,
}

impl<'a> Nc1Change<'a> {
    /// `None` if the class means do not differ.
    pub(super) fn new(parts: &'a SampleParts) -> Option<Self> {
        let directions = parts.projector()?;
        let counts = parts.means().counts();
        let samples: f64 = counts.iter().map(|&count| count as f64).sum();
        let divisor = if parts.options().divide_by_classes { counts.len() as f64 } else { 1.0 };
        let sum = |class: usize| parts.sums().iter().map(|part| part.projected[class]).sum::<f64>();
        let sums: Vec<f64> = (0..counts.len()).map(sum).collect();
        Some(Self {
            parts,
            value: sums.iter().sum::<f64>() / samples / divisor,
            divisor,
            samples,
            class_means_of_squares: sums
                .iter()
                .zip(counts)
                .map(|(sum, &n)| sum / n as f64)
                .collect(),
            gradient: gradient(parts, directions, samples) / divisor,
        })
    }

    /// By how much NC1 changes with a part, whose deviations move the class means by `moves` and are `corrections` times
    /// as large as they seem.
    pub(super) fn with(&self, part: usize, moves: &DMatrix<f64>, corrections: &[f64]) -> f64 {
        let part = &self.parts.sums()[part];
        let squares = corrections.iter().enumerate().map(|(class, correction)| {
            let expected = part.counts[class] as f64 * self.class_means_of_squares[class];
            correction * (part.projected[class] - expected)
        });
        squares.sum::<f64>() / self.samples / self.divisor + self.gradient.dot(moves)
    }
}

/// The gradient of tr(Σ_W Σ_B†) with respect to the class means, for a constant rank of Σ_B.
///
/// With Σ_B = BBᵀ and A = Σ_B† = DDᵀ the derivative of a pseudo-inverse gives
/// 2 [(I − BB†)Σ_W A² B − A Σ_W A B] with respect to B, where A B = D R with R = DᵀB, and BB† = B RᵀDᵀ.
fn gradient(parts: &SampleParts, directions: &DMatrix<f64>, samples: f64) -> DMatrix<f64> {
    let (means, center) = (parts.means(), parts.options().center);
    let classes = means.classes() as f64;
    let between = means.centered(center) / (parts.scale() * classes.sqrt());
    let reduced = product(&transposed(directions), &between);
    let image = parts.image() / samples;
    let inside = product(&transposed(directions), &image);
    let across = &image * (product(&transposed(directions), directions) * &reduced);
    let kept = product(&transposed(directions), &across);
    let across = across - &between * (reduced.transpose() * kept);
    let along = directions * (inside * &reduced);
    let mut gradient = (across - along) * (2.0 / classes.sqrt());
    // h_k moves the center too.
    let total = gradient.column_sum();
    for (mut column, &count) in gradient.column_iter_mut().zip(means.counts()) {
        let share = match center {
            Center::Samples => count as f64 / samples,
            Center::Classes => classes.recip(),
        };
        column.axpy(-share, &total, 1.0);
    }
    gradient
}
