//! How NC1 moves with class means and deviations, to first order.

use nalgebra::DMatrix;

use crate::error::Result;
use crate::measure::center::Center;
use crate::metrics::errors::directions::Nc1Directions;
use crate::metrics::errors::parts::SampleParts;
use crate::numerics::linalg::{left_svd, product, transposed};

/// NC1 and its gradient.
pub(super) struct Nc1Change<'a> {
    parts: &'a SampleParts,
    /// Which of the NC1 of the parts it is.
    place: usize,
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
    pub(super) fn new(parts: &'a SampleParts, place: usize) -> Result<Option<Self>> {
        let Some(directions) = parts.directions().get(place) else { return Ok(None) };
        let Some(projector) = &directions.projector else { return Ok(None) };
        let counts = parts.means().counts();
        let classes = counts.len();
        let samples: f64 = counts.iter().map(|&count| count as f64).sum();
        let divisor = if directions.options.divide_by_classes { classes as f64 } else { 1.0 };
        let square = |class: usize| place * classes + class;
        let sum = |class: usize| -> f64 {
            parts.sums().iter().map(|part| part.projected[square(class)]).sum()
        };
        let sums: Vec<f64> = (0..classes).map(sum).collect();
        Ok(Some(Self {
            parts,
            place,
            value: sums.iter().sum::<f64>() / samples / divisor,
            divisor,
            samples,
            class_means_of_squares: sums
                .iter()
                .zip(counts)
                .map(|(sum, &n)| sum / n as f64)
                .collect(),
            gradient: gradient(parts, directions, projector, samples)? / divisor,
        }))
    }

    /// By how much NC1 changes with a part, whose deviations move the class means by `moves` and are `corrections` times
    /// as large as they seem.
    pub(super) fn with(&self, part: usize, moves: &DMatrix<f64>, corrections: &[f64]) -> f64 {
        let part = &self.parts.sums()[part];
        let projected = &part.projected[self.place * corrections.len()..];
        let squares = corrections.iter().enumerate().map(|(class, correction)| {
            let expected = part.counts[class] as f64 * self.class_means_of_squares[class];
            correction * (projected[class] - expected)
        });
        squares.sum::<f64>() / self.samples / self.divisor + self.gradient.dot(moves)
    }
}

/// The gradient of tr(Σ_W Σ_B†) with respect to the class means, for a constant rank of Σ_B†.
fn gradient(
    parts: &SampleParts,
    directions: &Nc1Directions,
    projector: &DMatrix<f64>,
    samples: f64,
) -> Result<DMatrix<f64>> {
    let (means, center) = (parts.means(), directions.options.center);
    let classes = means.classes() as f64;
    let between = means.centered(center) / (parts.scale() * classes.sqrt());
    let image = &directions.image / samples;
    let gradient = match (&directions.layers, &directions.behind_layers) {
        (Some(layers), Some(behind)) => {
            let layers = &layers.matrix;
            let (between, image) = (product(layers, &between), product(layers, &image));
            product(&transposed(layers), &gradient_by_factor(behind, &between, &image)?)
        }
        _ => gradient_by_factor(projector, &between, &image)?,
    };
    let mut gradient = gradient / classes.sqrt();
    // h_k moves the center too.
    let total = gradient.column_sum();
    for (mut column, &count) in gradient.column_iter_mut().zip(means.counts()) {
        let share = match center {
            Center::Samples => count as f64 / samples,
            Center::Classes => classes.recip(),
        };
        column.axpy(-share, &total, 1.0);
    }
    Ok(gradient)
}

/// The gradient with respect to B, where Σ_B = BBᵀ, for Σ_B† = DDᵀ and the image Σ_W D.
fn gradient_by_factor(
    directions: &DMatrix<f64>,
    between: &DMatrix<f64>,
    image: &DMatrix<f64>,
) -> Result<DMatrix<f64>> {
    let (dimension, classes) = between.shape();
    match directions.ncols() < dimension.min(classes - 1) {
        true => gradient_of_leading(directions, between, image),
        false => Ok(gradient_of_all(directions, between, image)),
    }
}

/// Where all directions of Σ_B count.
///
/// With A = Σ_B† = DDᵀ the derivative of a pseudo-inverse gives
/// 2 [(I − BB†)Σ_W A² B − A Σ_W A B], where A B = D R with R = DᵀB, and BB† = B RᵀDᵀ.
fn gradient_of_all(
    directions: &DMatrix<f64>,
    between: &DMatrix<f64>,
    image: &DMatrix<f64>,
) -> DMatrix<f64> {
    let reduced = product(&transposed(directions), between);
    let inside = product(&transposed(directions), image);
    let across = image * (product(&transposed(directions), directions) * &reduced);
    let kept = product(&transposed(directions), &across);
    let across = across - between * (reduced.transpose() * kept);
    let along = directions * (inside * &reduced);
    (across - along) * 2.0
}

/// Where the first r directions of Σ_B count, which turn as class means move.
///
/// With Σ_B = Σ λ_i u_i u_iᵀ and g(λ) = 1/λ for the first r and 0 for the others, the derivative of tr(Σ_W g(Σ_B)) is
/// Σ_ij (u_iᵀ Σ_W u_j) g\[λ_i, λ_j\] (u_iᵀ dΣ_B u_j), where the quotients of differences g\[λ_i, λ_j\] are −1/(λ_i λ_j) for two
/// of the first, 1/(λ_i (λ_i − λ_j)) for one of them and one of the others, and 0 for two others. (Daleckii & Krein.)
fn gradient_of_leading(
    directions: &DMatrix<f64>,
    between: &DMatrix<f64>,
    image: &DMatrix<f64>,
) -> Result<DMatrix<f64>> {
    let svd = left_svd(between)?;
    let (rank, eigenvalues) = (directions.ncols(), svd.singular_values.map(|value| value * value));
    let reduced = product(&transposed(&svd.u), between);
    // Σ_W u_i λ_i = Σ_W A Σ_B u_i λ_i of the first, from the image Σ_W D.
    let mut turned = product(&transposed(directions), &svd.u.columns_range(..rank).into_owned());
    for (mut column, value) in turned.column_iter_mut().zip(&eigenvalues) {
        column *= *value;
    }
    let moved = product(image, &turned);
    let inside = product(&transposed(&svd.u), &moved);
    let size = eigenvalues.len();
    let quotients = DMatrix::from_fn(size, size, |i, j| match (i < rank, j < rank) {
        (true, true) => -inside[(i, j)] / (eigenvalues[i] * eigenvalues[j]),
        (false, true) => inside[(i, j)] / (eigenvalues[j] * (eigenvalues[j] - eigenvalues[i])),
        (true, false) => inside[(j, i)] / (eigenvalues[i] * (eigenvalues[i] - eigenvalues[j])),
        (false, false) => 0.0,
    });
    let mut weighted = reduced.rows_range(..rank).into_owned();
    for (mut row, value) in weighted.row_iter_mut().zip(&eigenvalues) {
        row /= value * value;
    }
    let across = product(&moved, &weighted);
    let across = &across - product(&svd.u, &product(&transposed(&svd.u), &across));
    Ok((product(&svd.u, &product(&quotients, &reduced)) + across) * 2.0)
}
