//! Pictures of a prediction.

use nalgebra::DMatrix;
use neural_collapse::geometry::Projection;
use neural_collapse::models::AnyModel;
use neural_collapse::models::diagrams::{ClassNorms, MinorityCollapse};
use neural_collapse::prediction::SingularValue;
use neural_collapse::{Basis, Bias, ClassCounts, Error, GlobalMinimum, Potential, Prediction};

use crate::error::CliError;
use crate::pictures::{self, Arrows, Curve, Ink, Picture, Spectrum};
use crate::progress::Progress;
use crate::tables::{capitalized, shortest_number};

/// Matrices of more classes are not made for a picture.
const MOST_CLASSES: usize = 200;

/// Vectors in a picture.
const MOST_VECTORS: usize = 12;

/// Layers whose singular values are shown.
pub(crate) const MOST_LAYERS: usize = 5;

/// Classes of so many different sizes get a curve of their own, from the largest to the smallest.
pub(crate) const MOST_CURVES: usize = 6;

/// The vectors of the classes.
pub(crate) fn vectors_of(model: &AnyModel, ink: Ink) -> Result<Picture, CliError> {
    let prediction = model.prediction();
    let classes = prediction.classes();
    if classes > MOST_CLASSES {
        return Err(refused(
            "vectors",
            format!("{classes} classes, but at most {MOST_CLASSES} can be drawn"),
        ));
    }
    let explicit = prediction.explicit(&Basis::Standard)?;
    let chosen: Vec<usize> = match classes {
        0..=MOST_VECTORS => (0..classes).collect(),
        _ => (0..MOST_VECTORS).map(|index| index * classes / MOST_VECTORS).collect(),
    };
    let last = explicit.head().trailing_product(1)?.transpose();
    let tips = |vectors: &DMatrix<f64>| -> Result<Vec<(f64, f64)>, Error> {
        let vectors = vectors.select_columns(&chosen);
        let plane = Projection::star(&vectors)?;
        let seen = plane.coordinates(&vectors)?;
        let longest = seen.column_iter().map(|column| column.norm()).fold(0.0, f64::max);
        let unit = if longest > 0.0 { longest } else { 1.0 };
        let second = |column: usize| if seen.nrows() > 1 { seen[(1, column)] / unit } else { 0.0 };
        let first = |column: usize| if seen.nrows() > 0 { seen[(0, column)] / unit } else { 0.0 };
        Ok((0..seen.ncols()).map(|column| (first(column), second(column))).collect())
    };
    let mut kinds = vec![Arrows { name: "rows of the classifier", tips: tips(&last)? }];
    if let Some(means) = explicit.class_means() {
        kinds.push(Arrows { name: "class means", tips: tips(means)? });
    }
    let counts = prediction.counts();
    let name = |&class: &usize| match counts.and_then(|counts| counts.count(class)) {
        Some(count) => format!("n = {count}"),
        None => class.to_string(),
    };
    let title = capitalized(&prediction.geometry().to_string());
    Ok(pictures::vectors(&title, kinds, chosen.iter().map(name).collect(), ink))
}

/// Singular values of the layers, their product and the features.
pub(crate) fn spectrum_of(model: &AnyModel, ink: Ink) -> Result<Picture, CliError> {
    let prediction = model.prediction();
    let mut curves: Vec<Curve> = Vec::new();
    let mut add = |name: String, values: &[SingularValue]| {
        let values = spread(values);
        let points = values.iter().enumerate();
        let points: Vec<_> = points.map(|(index, &value)| (index as f64 + 1.0, value)).collect();
        // With equal decays all layers have the same values, of which only the last would be seen.
        match curves.iter_mut().find(|curve| nearly_equal(&curve.points, &points)) {
            Some(curve) => curve.name = format!("{}, {name}", curve.name),
            None => curves.push(Curve { name, points, is_drawn_through: false }),
        }
    };
    let depth = prediction.depth();
    for layer in 1..=depth.min(MOST_LAYERS) {
        add(layer_name(layer), &prediction.singular_values(layer..=layer)?);
    }
    if depth > 1 {
        add(
            format!("{}⋯{}", layer_name(depth), layer_name(1)),
            &prediction.singular_values(1..=depth)?,
        );
    }
    match prediction.feature_singular_values() {
        Ok(values) => add("H".into(), &values),
        Err(Error::NotAnswered { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let axes = ["number, by falling size", "singular value"];
    let title = match depth > MOST_LAYERS {
        true => format!("Predicted singular values, first {MOST_LAYERS} of {depth} layers"),
        false => "Predicted singular values".into(),
    };
    let most = curves.iter().map(|curve| curve.points.len()).max().unwrap_or(0);
    let picture = pictures::curves(&title, axes, curves, &[], [false; 2], ink);
    // Whole numbers only, and values from zero on.
    Ok(picture.with_layout(|layout| {
        layout.with_x_tick_step(most.div_ceil(10).max(1) as f64).with_y_axis_min(0.0)
    }))
}

/// Whether two curves cannot be told apart.
pub(crate) fn nearly_equal(one: &[(f64, f64)], other: &[(f64, f64)]) -> bool {
    let same = |(a, b): (&(f64, f64), &(f64, f64))| (a.1 - b.1).abs() <= 1e-9 * a.1.abs();
    one.len() == other.len() && one.iter().zip(other).all(same)
}

/// The singular values of features and layers, the first few of very many, for a page.
pub(crate) fn spectra(prediction: &dyn Prediction) -> Result<Vec<Spectrum>, Error> {
    let spectrum = |name: String, values: &[SingularValue]| Spectrum {
        name,
        measured: Vec::new(),
        predicted: spread(values),
    };
    let depth = prediction.depth();
    let mut spectra = Vec::new();
    for layer in 1..=depth.min(MOST_LAYERS) {
        spectra.push(spectrum(layer_name(layer), &prediction.singular_values(layer..=layer)?));
    }
    match prediction.feature_singular_values() {
        Ok(values) => spectra.push(spectrum("the features".into(), &values)),
        Err(Error::NotAnswered { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(spectra)
}

/// `W₃`.
pub(crate) fn layer_name(layer: usize) -> String {
    let digit = |digit: char| {
        let value = digit.to_digit(10).unwrap_or(0);
        char::from_u32(0x2080 + value).unwrap_or(digit)
    };
    format!("W{}", layer.to_string().chars().map(digit).collect::<String>())
}

/// One number for each singular vector, of very many the first.
fn spread(values: &[SingularValue]) -> Vec<f64> {
    const MOST: usize = 400;
    let repeated =
        values.iter().flat_map(|value| std::iter::repeat_n(value.value, value.multiplicity));
    repeated.take(MOST).collect()
}

/// Norms of the classes over the imbalance.
pub(crate) fn collapse_of(
    model: &AnyModel,
    ink: Ink,
    progress: &Progress,
) -> Result<Picture, CliError> {
    let AnyModel::Squared(minimum) = model else {
        let reason = "classes collapse one by one under the squared loss (--loss mse)";
        return Err(refused("collapse", reason.into()));
    };
    if minimum.problem().regularization().bias() != Bias::None {
        let reason = "beside a bias no class collapses on its own (--bias none)";
        return Err(refused("collapse", reason.into()));
    }
    let counts = counts_of(minimum)?;
    let found = MinorityCollapse::new(minimum, MOST_CURVES, progress)?;
    let name = |class: &ClassNorms| match counts.is_balanced() {
        true => format!("class {}", class.class),
        false => format!("class {} (now n = {})", class.class, class.count),
    };
    let curves = found.classes.into_iter().map(|class| (name(&class), class.points)).collect();
    Ok(pictures::collapse(curves, &found.critical, ink))
}

/// g(x; β) at the slopes of the directions, at the threshold and at the fold.
pub(crate) fn potential_of(model: &AnyModel, ink: Ink) -> Result<Picture, CliError> {
    let AnyModel::Squared(minimum) = model else {
        let reason = "g(x; β) belongs to the squared loss (--loss mse)";
        return Err(refused("potential", reason.into()));
    };
    let depth = minimum.depth();
    let layers = u32::try_from(depth).map_err(|_| refused("potential", "too deep".into()))?;
    let mut slopes: Vec<(String, f64)> = Vec::new();
    for direction in minimum.directions().take(3) {
        let slope = depth as f64 * direction.ratio();
        let target = shortest_number(direction.target_squared());
        slopes.push((format!("β = {slope:.4} (σ² = {target})"), slope));
    }
    let of_depth = Potential::<f64>::new(layers)?;
    slopes.push(("threshold".into(), of_depth.slope_threshold()));
    if depth > 1 {
        slopes.push(("fold".into(), of_depth.fold()));
    }
    Ok(pictures::potential(layers, &slopes, ink)?)
}

pub(crate) fn counts_of(minimum: &GlobalMinimum) -> Result<&ClassCounts, CliError> {
    minimum.counts().ok_or_else(|| refused("plot", "the target has no classes".into()))
}

pub(crate) fn refused(kind: &str, reason: String) -> CliError {
    CliError::Argument { name: format!("plot {kind}"), reason }
}
