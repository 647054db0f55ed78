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
        let divisor = directions.options.divisor(classes);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::features::Features;
    use crate::measure::statistics::ClassStatistics;
    use crate::metrics::errors::Metric;
    use crate::metrics::nc1::Nc1Options;
    use crate::problem::head::LinearHead;

    const CLASSES: usize = 3;
    const PARTS: usize = 16;

    fn matrix(rows: usize, columns: usize, seed: usize) -> DMatrix<f64> {
        DMatrix::from_fn(rows, columns, |i, j| ((i * i + 3 * i * j + 7 * j + seed) as f64).sin())
    }

    /// tr(Σ_W Σ_B†) with the `rank` largest eigenvalues of Σ_B.
    fn trace(
        within: &DMatrix<f64>,
        means: &DMatrix<f64>,
        weights: &[f64],
        layers: &DMatrix<f64>,
        rank: usize,
    ) -> f64 {
        let mut between = means.clone();
        let center = means * nalgebra::DVector::from_column_slice(weights);
        between.column_iter_mut().for_each(|mut column| column -= &center);
        let between = layers * between / (CLASSES as f64).sqrt();
        let eigen = (&between * between.transpose()).symmetric_eigen();
        let within = layers * within * layers.transpose();
        let mut order: Vec<usize> = (0..eigen.eigenvalues.len()).collect();
        order.sort_by(|&i, &j| eigen.eigenvalues[j].total_cmp(&eigen.eigenvalues[i]));
        let term = |&i: &usize| {
            let vector = eigen.eigenvectors.column(i);
            vector.dot(&(&within * vector)) / eigen.eigenvalues[i]
        };
        order.iter().take(rank).map(term).sum()
    }

    /// Each part moves NC1 by its derivative, by differences, along the class means and the scatter of the part.
    #[test]
    fn parts_move_nc1_by_its_derivative() {
        let labels: Vec<usize> = (0..130).map(|i| [0, 1, 0, 2, 1, 0, 0][i % 7]).collect();
        let noise = matrix(130, 4, 5) * 20.0;
        let rows = DMatrix::from_fn(130, 4, |i, j| {
            noise[(i, j)] + 100.0 * ((labels[i] * (j + 2) + j) as f64).cos()
        });
        let data = Features::from_sample_rows(&rows).unwrap();
        let data = data.with_labels(&labels, CLASSES).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let head = LinearHead::new(vec![matrix(1, 4, 1), matrix(2, 1, 2), matrix(3, 2, 3)], None);
        let other = LinearHead::new(vec![matrix(5, 4, 2), matrix(3, 5, 4)], None);
        let by_classes = Nc1Options::default().with_center(Center::Classes);
        let of = |options: &Nc1Options| {
            SampleParts::new(&statistics, options).unwrap().with_most_parts(PARTS)
        };
        let all = [
            of(&Nc1Options::default()).with_all_nc1(&head.unwrap()).unwrap(),
            of(&by_classes.with_divide_by_classes(false)).with_all_nc1(&other.unwrap()).unwrap(),
            of(&by_classes.with_largest_rank(1))
                .with_nc1(Metric::Nc1Resolved, &Nc1Options::default().with_largest_rank(1))
                .unwrap(),
        ];
        for mut parts in all {
            parts.accumulate(&data).unwrap();
            for place in 0..parts.directions().len() {
                check(&parts, place, (&rows, &labels));
            }
        }
    }

    fn check(parts: &SampleParts, place: usize, (rows, labels): (&DMatrix<f64>, &[usize])) {
        let (moves, corrections) = (parts.moves().unwrap(), parts.corrections().unwrap());
        let (moves, corrections) = (moves.unwrap(), corrections.unwrap());
        let nc1 = Nc1Change::new(parts, place).unwrap().unwrap();
        let directions = &parts.directions()[place];
        let (means, counts) = (parts.means().matrix(), parts.means().counts());
        let number = |class: usize| counts[class] as f64;
        let samples = labels.len() as f64;
        let weight = |class: usize| match directions.options.center {
            Center::Samples => number(class) / samples,
            Center::Classes => 1.0 / CLASSES as f64,
        };
        let weights: Vec<f64> = (0..CLASSES).map(weight).collect();
        let divisor = if directions.options.divide_by_classes { CLASSES as f64 } else { 1.0 };
        let layers = match &directions.layers {
            Some(layers) => layers.matrix.clone(),
            None => DMatrix::identity(4, 4),
        };
        let rank = directions.projector.as_ref().unwrap().ncols();
        // Scatter and number of samples of every class in a part, or of all of them.
        let scatter = |class: usize, part: Option<usize>| {
            let own = (0..labels.len()).filter(|&i| labels[i] == class).enumerate();
            let own = own.filter(|(index, _)| part.is_none_or(|part| index % PARTS == part));
            own.fold((DMatrix::zeros(4, 4), 0.0), |(sum, number), (_, i)| {
                let x = rows.row(i).transpose() - means.column(class);
                (sum + &x * x.transpose(), number + 1.0)
            })
        };
        let whole: Vec<_> = (0..CLASSES).map(|class| scatter(class, None).0).collect();
        let within = whole.iter().fold(DMatrix::zeros(4, 4), |sum, own| sum + own) / samples;
        let value = trace(&within, means, &weights, &layers, rank) / divisor;
        assert!((nc1.value / value - 1.0).abs() < 1e-9, "{place}: {} {value}", nc1.value);
        for (part, moved) in moves.iter().enumerate() {
            let mut change = DMatrix::zeros(4, 4);
            for class in 0..CLASSES {
                let (own, count) = scatter(class, Some(part));
                change += (own - &whole[class] * (count / number(class))) * corrections[class];
            }
            let at = |step: f64| {
                let within = &within + &change * (step / samples);
                let means = means + moved * (parts.scale() * step);
                trace(&within, &means, &weights, &layers, rank) / divisor
            };
            let expected = (at(1e-4) - at(-1e-4)) / 2e-4;
            let found = nc1.with(part, moved, &corrections);
            assert!((found - expected).abs() < 1e-6 * value, "{place}: {found} {expected}");
        }
    }
}
