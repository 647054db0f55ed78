//! What the pictures of squared norms show.

use neural_collapse::GlobalMinimum;
use neural_collapse::models::AnyModel;

use crate::pictures::{Norm, Norms};

/// Points of a predicted curve.
const CURVE_POINTS: u32 = 120;

/// The norms of the rows of the classifier and of the class means, in this order, with the curve that a model has for
/// classes of all sizes.
pub(super) fn lengths(
    model: Option<&AnyModel>,
    measured: [Vec<Norm>; 2],
    predicted: [Vec<Norm>; 2],
) -> [Norms<'static>; 2] {
    let minimum = match model {
        Some(AnyModel::Squared(minimum)) => Some(minimum),
        _ => None,
    };
    let threshold = minimum.and_then(collapse_threshold);
    let figure =
        |symbol, name, of: fn((f64, f64)) -> f64, [measured, predicted]: [Vec<Norm>; 2]| {
            let curve = minimum.map_or_else(Vec::new, |minimum| curve(minimum, of));
            Norms { symbol, name, measured, predicted, curve, threshold }
        };
    let ([w, h], [predicted_w, predicted_h]) = (measured, predicted);
    [
        figure("‖wₖ‖²", "Squared norms of the classifier", |norms| norms.0, [w, predicted_w]),
        figure("‖hₖ‖²", "Squared norms of the class means", |norms| norms.1, [h, predicted_h]),
    ]
}

/// The class size below which classes collapse.
fn collapse_threshold(minimum: &GlobalMinimum) -> Option<f64> {
    minimum.norms_of_size(1.0).ok()?;
    Some(minimum.smallest_surviving_count())
}

/// The curve that classes of all sizes lie on.
fn curve(minimum: &GlobalMinimum, norm: fn((f64, f64)) -> f64) -> Vec<Norm> {
    let Some(counts) = minimum.problem().counts() else { return Vec::new() };
    let sizes = || counts.sizes().map(|group| group.size as f64);
    let largest = 1.05 * sizes().fold(0.0, f64::max);
    let smallest = 0.8 * sizes().fold(f64::INFINITY, f64::min);
    let size =
        |step: u32| smallest + (largest - smallest) * f64::from(step) / f64::from(CURVE_POINTS);
    let points = (0..=CURVE_POINTS)
        .map(size)
        .filter_map(|size| Some(Norm { size, squared: norm(minimum.norms_of_size(size).ok()?) }));
    points.collect()
}
