//! The pictures of a measured network.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use nalgebra::DMatrix;
use neural_collapse::error::Error;
use neural_collapse::geometry::{Projection, class_pairs, cosines};
use neural_collapse::prediction::SingularValue;
use neural_collapse::{ClassMatrix, Prediction};

use super::measured::Measured;
use super::seen::Seen;
use crate::audit::AuditedNetwork;
use crate::pictures::{self, Ink, Picture, Scatter, Spectrum};
use crate::plot::layer_name;

/// Pairs of classes whose cosines are counted.
const MOST_PAIRS: usize = 200_000;

/// Classes that are laid over each other in a plane.
const MOST_ALIGNED: usize = 200;

/// A third direction with a smaller share of the squared lengths is not shown.
const WORTH_SEEING: f64 = 0.01;

/// Pictures with what is to be said of them.
pub(super) type Figures = Vec<(Picture, String)>;

/// What a prediction answers, and `None` where it has no answer.
pub(super) fn answer<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Error::NotAnswered { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn gram_figures(
    shown: &Measured,
    prediction: Option<&dyn Prediction>,
    missing: &mut Vec<String>,
) -> Result<Figures, Error> {
    let targets = match prediction {
        None => [None, None, None],
        Some(prediction) => [
            answer(prediction.trailing_gram(1))?,
            answer(prediction.class_means_gram())?,
            answer(prediction.class_outputs())?,
        ],
    };
    let last = shown.head.trailing_product(1)?;
    let product = shown.head.product()?;
    let pairs = [
        ("Classifier", last.clone(), last.transpose()),
        ("Class means", shown.means.transpose(), shown.means.clone()),
        ("Outputs", product, shown.means.clone()),
    ];
    let grid = shown.grid();
    let mut figures = Vec::new();
    for ((name, left, right), target) in pairs.into_iter().zip(targets) {
        let compared = match &target {
            Some(target) => shown.groups.compare(&left, &right, target)?,
            None => None,
        };
        let map = |what: &str, matrix: &DMatrix<f64>, end: f64| {
            let title = format!("{name}, {what}");
            (pictures::heat_map(&title, matrix, &grid, end, Ink::OfPage), String::new())
        };
        match compared {
            Some(pair) => {
                let end = pair.measured.amax().max(pair.target.amax());
                figures.push(map("measured", &pair.measured, end));
                figures.push(map("predicted", &pair.target, end));
                let mut difference = map("difference", &pair.difference, pair.difference.amax());
                difference.1 = "In colors of its own scale.".into();
                figures.push(difference);
            }
            None => {
                let matrix = shown.groups.means_of_product(&left, &right)?;
                let end = matrix.amax();
                figures.push(map("measured", &matrix, end));
                missing.push(format!(
                    "{name}: there is no prediction to compare it with, or one of them is zero or too large a family."
                ));
            }
        }
    }
    Ok(figures)
}

pub(super) fn cosine_figures(
    shown: &Measured,
    prediction: Option<&dyn Prediction>,
) -> Result<Figures, Error> {
    let pairs = class_pairs(shown.head.classes(), MOST_PAIRS);
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let targets = match prediction {
        None => [None, None],
        Some(prediction) => {
            [answer(prediction.trailing_gram(1))?, answer(prediction.class_means_gram())?]
        }
    };
    let vectors = [shown.head.trailing_product(1)?.transpose(), shown.means.clone()];
    let names = ["rows of the classifier", "class means"];
    let figures = names.into_iter().zip(vectors).zip(targets).map(|((name, vectors), target)| {
        let measured: Vec<f64> = cosines(&vectors, &pairs).into_iter().flatten().collect();
        let predicted = target.map_or_else(Vec::new, |target| predicted_cosines(&target, &pairs));
        let missing = pairs.len() - measured.len();
        let caption = match missing {
            0 => format!("All of {} pairs.", pairs.len()),
            _ => format!("{missing} of {} pairs have a vector that is zero.", pairs.len()),
        };
        (pictures::cosines(name, &measured, &predicted, Ink::OfPage), caption)
    });
    Ok(figures.collect())
}

fn predicted_cosines(target: &ClassMatrix, pairs: &[(usize, usize)]) -> Vec<f64> {
    pairs.iter().filter_map(|&(i, j)| target.cosine(i, j)).collect()
}

pub(super) fn spectrum_figures(
    network: &AuditedNetwork,
    shown: &Measured,
    prediction: Option<&dyn Prediction>,
) -> Result<Figures, Error> {
    let depth = shown.head.depth();
    let predicted = |layers: RangeInclusive<usize>| -> Result<Vec<f64>, Error> {
        let Some(prediction) = prediction.filter(|prediction| prediction.has_scale()) else {
            return Ok(Vec::new());
        };
        Ok(answer(prediction.singular_values(layers))?
            .map_or_else(Vec::new, |values| spread(&values)))
    };
    let mut spectra = Vec::new();
    for layer in 1..=depth {
        let name = layer_name(layer);
        let measured = shown.head.singular_values(layer..=layer)?;
        spectra.push(Spectrum { name, measured, predicted: predicted(layer..=layer)? });
    }
    if depth > 1 {
        let name = format!("{}⋯{}", layer_name(depth), layer_name(1));
        let measured = shown.head.singular_values(1..=depth)?;
        spectra.push(Spectrum { name, measured, predicted: predicted(1..=depth)? });
    }
    let of_features = match prediction.filter(|prediction| prediction.has_scale()) {
        Some(prediction) => answer(prediction.feature_singular_values())?,
        None => None,
    };
    spectra.push(Spectrum {
        name: "the features".into(),
        measured: network.audit.measurement.statistics().mean_singular_values()?,
        predicted: of_features.map_or_else(Vec::new, |values| spread(&values)),
    });
    let last = spectra.len() - 1;
    let figures = spectra.iter().enumerate().map(|(index, spectrum)| {
        let rest = spectrum.rest().unwrap_or_default();
        let caption = match index == last {
            true => format!("Measured: every sample replaced by its class mean. {rest}"),
            false => rest,
        };
        (pictures::spectrum(spectrum, Ink::OfPage), caption)
    });
    Ok(figures.collect())
}

/// One number for each singular vector.
pub(super) fn spread(values: &[SingularValue]) -> Vec<f64> {
    let repeated =
        values.iter().flat_map(|value| std::iter::repeat_n(value.value, value.multiplicity));
    repeated.collect()
}

pub(super) fn plane_figures(
    shown: &Measured,
    prediction: Option<&dyn Prediction>,
    seen: &Seen,
    missing: &mut Vec<String>,
) -> Result<Figures, Error> {
    let means = &shown.means;
    if means.ncols() > MOST_ALIGNED {
        missing.push(format!(
            "Class means in space: {} classes are more than are drawn one by one ({MOST_ALIGNED}).",
            means.ncols()
        ));
        return Ok(Vec::new());
    }
    let gram = match prediction.filter(|prediction| prediction.has_scale()) {
        Some(prediction) => answer(prediction.class_means_gram())?,
        None => None,
    };
    let aligned = match gram.map(|gram| gram.aligned_with(means)) {
        Some(Ok(aligned)) => Some(aligned),
        Some(Err(error)) => {
            missing.push(format!("Predicted vectors over the class means: {error}."));
            None
        }
        None => None,
    };
    let leading = Projection::leading(means, 2)?;
    let space = Projection::leading(means, 3)?;
    let in_third = space.share() - leading.share();
    let of_plane = |plane: &Projection| {
        format!(
            "The plane holds {:.1} % of the squared lengths of the class means.",
            100.0 * plane.share()
        )
    };
    let of_third =
        format!("The third direction holds {:.1} % of the squared lengths.", 100.0 * in_third);
    let star = Projection::star(means)?;
    let mut views = vec![
        View {
            title: "Class means in the leading directions",
            caption: of_plane(&leading),
            projection: &leading,
            axes: [(0, "first direction"), (1, "second direction")],
        },
        View {
            title: "Class means in the plane of the star",
            caption: of_plane(&star),
            projection: &star,
            axes: [(0, "first axis"), (1, "second axis")],
        },
    ];
    if space.dimensions() == 3 && in_third > WORTH_SEEING {
        let view = View {
            title: "Class means in the first and third directions",
            caption: of_third,
            projection: &space,
            axes: [(0, "first direction"), (2, "third direction")],
        };
        views.insert(1, view);
    }
    let views = views.into_iter().filter(|view| view.projection.dimensions() >= 2);
    let figures = views.map(|view| view.figure(shown, aligned.as_ref(), seen));
    figures.collect()
}

/// Two axes along which vectors are looked at.
struct View<'a> {
    title: &'a str,
    caption: String,
    projection: &'a Projection,
    /// Which axes of the projection, and what they are.
    axes: [(usize, &'a str); 2],
}

impl View<'_> {
    fn figure(
        self,
        shown: &Measured,
        predicted: Option<&DMatrix<f64>>,
        seen: &Seen,
    ) -> Result<(Picture, String), Error> {
        let [(x, x_name), (y, y_name)] = self.axes;
        let points = |vectors: &DMatrix<f64>| -> Result<Vec<(f64, f64)>, Error> {
            let seen = self.projection.coordinates(vectors)?;
            Ok(seen.column_iter().map(|column| (column[x], column[y])).collect())
        };
        let sample = |sample: &Vec<f64>| -> Result<Option<(f64, f64)>, Error> {
            let seen = self.projection.coordinates_of(sample)?;
            Ok(seen.get(x).copied().zip(seen.get(y).copied()))
        };
        let samples = seen.samples.iter().map(sample).collect::<Result<Vec<_>, Error>>()?;
        let scatter = Scatter {
            title: self.title,
            axes: [x_name, y_name],
            means: points(&shown.means)?,
            predicted: predicted.map_or_else(|| Ok(Vec::new()), points)?,
            samples: samples.into_iter().flatten().collect(),
            names: shown.names.clone(),
        };
        let caption = format!(
            "{} Classes close to the origin or to another name are not named.",
            self.caption
        );
        Ok((pictures::scatter(scatter, Ink::OfPage), caption))
    }
}

pub(super) fn decision_figures(network: &AuditedNetwork, seen: &Seen) -> Figures {
    let classes = network.audit.measurement.head().classes();
    let mut by_mean: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    let mut by_label: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    for entry in &seen.confusion {
        *by_mean.entry((entry.nearest_mean, entry.head)).or_default() += entry.samples;
        *by_label.entry((entry.label, entry.head)).or_default() += entry.samples;
    }
    let list = |pairs: BTreeMap<(usize, usize), u64>| -> Vec<(usize, usize, u64)> {
        pairs.into_iter().map(|((one, other), samples)| (one, other, samples)).collect()
    };
    let kinds = [
        ("Head against nearest class mean (NC4)", "nearest class mean", by_mean),
        ("Head against label", "label", by_label),
    ];
    let figures = kinds.map(|(title, axis, pairs)| {
        let pairs = list(pairs);
        let differ: u64 = pairs.iter().filter(|pair| pair.0 != pair.1).map(|pair| pair.2).sum();
        let axes = [axis, "class with the largest output"];
        let picture = pictures::confusion(title, axes, classes, &pairs, Ink::OfPage);
        (picture, format!("They differ for {differ} samples. Areas are numbers of samples."))
    });
    figures.into()
}
