//! The predicted geometry.

use std::cmp::Ordering;
use std::iter::repeat_n;

use neural_collapse::Prediction as _;
use neural_collapse::models::squared::Direction;
use neural_collapse::problem::Run;
use neural_collapse::{Bias, Geometry, GlobalMinimum};
use serde::{Serialize, Serializer};

use super::model::ModelReport;
use super::problem::ProblemReport;
use crate::error::CliError;
use crate::model::{ClassNorms, Prediction};
use crate::tables::{Cell, merge_equal, numbered_table, plain_table, wrap};

/// The JSON object of `predict`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum PredictionReport<'a> {
    /// For the squared loss.
    Squared(SquaredReport<'a>),
    /// For another loss.
    Other(ModelReport<'a>),
}

impl<'a> PredictionReport<'a> {
    /// The report of a prediction.
    pub(crate) fn new(prediction: &'a Prediction) -> Result<Self, CliError> {
        Ok(match prediction {
            Prediction::Squared(minimum) => Self::Squared(SquaredReport::new(minimum)?),
            Prediction::Other(model) => Self::Other(ModelReport::new(model)?),
        })
    }

    /// The prediction as tables.
    pub(crate) fn to_text(&self) -> String {
        match self {
            Self::Squared(report) => report.to_text(),
            Self::Other(report) => report.to_text(),
        }
    }
}

/// The global minimum of the squared loss.
#[derive(Debug, Serialize)]
pub(crate) struct SquaredReport<'a> {
    /// The training problem.
    problem: ProblemReport<'a>,
    /// Name of the geometry.
    geometry: &'static str,
    /// Whether all global minimisers have this geometry.
    unique: bool,
    /// The scale a.
    scale: f64,
    /// The threshold τ_M.
    threshold: f64,
    /// The loss f* at the global minimum.
    loss: f64,
    /// b*, null if there is none or it is not determined.
    #[serde(serialize_with = "serialize_bias")]
    bias: &'a GlobalMinimum,
    /// The singular directions: in class order without bias, else by falling σ².
    #[serde(serialize_with = "serialize_directions")]
    directions: &'a GlobalMinimum,
    /// The classes, in the order given.
    #[serde(serialize_with = "serialize_classes")]
    classes: &'a GlobalMinimum,
}

/// One singular direction. Numbers are null where they differ between global minimisers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct DirectionReport {
    /// σ², the squared singular value of the target.
    target_squared: f64,
    /// a/σ².
    ratio: f64,
    /// The minimiser x of the potential.
    x: Option<f64>,
    /// The energy t.
    energy: Option<f64>,
    /// The singular value of W₁.
    s: Option<f64>,
}

impl<'a> SquaredReport<'a> {
    /// The prediction `minimum` of a classification problem.
    fn new(minimum: &'a GlobalMinimum) -> Result<Self, CliError> {
        let ufm = minimum.problem();
        let counts = ufm.counts().ok_or_else(|| CliError::Argument {
            name: "the target".into(),
            reason: "it has no classes".into(),
        })?;
        Ok(Self {
            problem: ProblemReport::new(counts, ufm.regularization(), ufm.widths()),
            geometry: geometry_name(minimum.geometry()),
            unique: minimum.is_unique(),
            scale: minimum.scale(),
            threshold: minimum.threshold(),
            loss: minimum.loss(),
            bias: minimum,
            directions: minimum,
            classes: minimum,
        })
    }

    /// The prediction as tables.
    fn to_text(&self) -> String {
        let tables = [
            self.problem.to_text(),
            self.summary(),
            direction_table(self.directions),
            squared_class_table(self.classes),
            wrap(&legend(self.directions)),
        ];
        tables.join("\n\n")
    }

    fn summary(&self) -> String {
        let fact = |name: &str, cell: Cell| vec![Cell::Text(name.into()), cell];
        let number = |name: &str, value: f64| fact(name, Cell::Number(Some(value)));
        let facts = [
            fact("geometry", Cell::Text(geometry_text(self.directions))),
            number("loss f*", self.loss),
            number("scale a", self.scale),
            number("threshold τ_M", self.threshold),
        ];
        plain_table(&["prediction", ""], &facts)
    }
}

/// The name of the geometry in a table.
pub(super) fn geometry_text(minimum: &GlobalMinimum) -> String {
    let name = geometry_name(minimum.geometry()).replace('_', " ").replace("etf", "ETF");
    if minimum.is_unique() { name } else { format!("{name}, one of a family") }
}

/// The name of a geometry in the JSON output.
fn geometry_name(geometry: Geometry) -> &'static str {
    match geometry {
        Geometry::Collapsed => "collapsed",
        Geometry::OrthogonalFrame => "orthogonal_frame",
        Geometry::SimplexEtf => "simplex_etf",
        Geometry::GeneralOrthogonalFrame => "general_orthogonal_frame",
        _ => "spectral",
    }
}

/// Runs of equal directions with their lengths: in class order without bias, else by falling σ².
fn direction_runs(
    minimum: &GlobalMinimum,
) -> Box<dyn Iterator<Item = (usize, DirectionReport)> + '_> {
    if minimum.problem().regularization().bias() == Bias::None {
        return Box::new(directions_of_classes(minimum));
    }
    let mut directions: Vec<&Direction> = minimum.directions().iter().collect();
    directions.sort_by(|a, b| {
        b.target_squared().partial_cmp(&a.target_squared()).unwrap_or(Ordering::Equal)
    });
    let first_decay = first_decay(minimum);
    Box::new(
        directions
            .into_iter()
            .flat_map(move |direction| split(direction, 0..direction.multiplicity(), first_decay)),
    )
}

/// Without a bias, the directions of a class size belong to the classes of that size.
fn directions_of_classes(
    minimum: &GlobalMinimum,
) -> impl Iterator<Item = (usize, DirectionReport)> + '_ {
    let directions = minimum.directions();
    let first_decay = first_decay(minimum);
    let mut used = vec![0; directions.len()];
    minimum.class_runs().into_iter().flatten().flat_map(move |(run, _)| {
        let first = used[run.group];
        used[run.group] += run.class_count;
        split(&directions[run.group], first..used[run.group], first_decay)
    })
}

fn first_decay(minimum: &GlobalMinimum) -> f64 {
    minimum.problem().regularization().weight_decays().first().copied().unwrap_or(f64::NAN)
}

/// The vectors `range` of a direction: those that every minimiser fits, those that some fit, the others.
///
/// Which vectors of a direction are fitted is not determined if there is no room for all; how many are,
/// is. The fitted ones are listed first.
fn split(
    direction: &Direction,
    range: std::ops::Range<usize>,
    first_decay: f64,
) -> impl Iterator<Item = (usize, DirectionReport)> + use<> {
    let (least, most) = direction.rank().into_inner();
    let below = |limit: usize| range.end.min(limit).saturating_sub(range.start);
    let (fitted, possible) = (below(least), below(most));
    let (x, energy) = (direction.x(), direction.energy());
    let report = |x: Option<f64>, energy: Option<f64>| DirectionReport {
        target_squared: direction.target_squared(),
        ratio: direction.ratio(),
        x,
        energy,
        s: energy.map(|energy| (energy / first_decay).sqrt()),
    };
    let pieces = [
        (fitted, report(Some(x), Some(energy))),
        (possible - fitted, report(None, None)),
        (range.len() - possible, report(Some(0.0), Some(0.0))),
    ];
    pieces.into_iter().filter(|(length, _)| *length > 0)
}

/// Runs of classes, in the order given.
fn class_runs(minimum: &GlobalMinimum) -> impl Iterator<Item = (usize, ClassNorms)> + '_ {
    minimum
        .class_runs()
        .into_iter()
        .flatten()
        .map(|(run, class): (Run, _)| (run.class_count, class.into()))
}

fn direction_table(minimum: &GlobalMinimum) -> String {
    let headings = ["σ²", "a/σ²", "x", "energy t", "s"];
    let runs = merge_equal(direction_runs(minimum));
    numbered_table("direction", &headings, &runs, |direction| {
        vec![
            Cell::Number(Some(direction.target_squared)),
            Cell::Number(Some(direction.ratio)),
            Cell::Number(direction.x),
            Cell::Number(direction.energy),
            Cell::Number(direction.s),
        ]
    })
}

fn squared_class_table(minimum: &GlobalMinimum) -> String {
    let has_bias = minimum.problem().regularization().bias() != Bias::None;
    let with_bias = |(run, class): (Run, _)| {
        (run.class_count, (ClassNorms::from(class), minimum.bias_of_class(run.first_class)))
    };
    class_table(minimum.class_runs().into_iter().flatten().map(with_bias), has_bias)
}

/// Runs of classes with their biases, if there are any.
pub(super) fn class_table(
    classes: impl IntoIterator<Item = (usize, (ClassNorms, Option<f64>))>,
    has_bias: bool,
) -> String {
    let headings = [&["samples", "‖w‖²", "‖h‖²"][..], if has_bias { &["b*"] } else { &[] }, &[""]];
    let runs = merge_equal(classes);
    numbered_table("class", &headings.concat(), &runs, |(class, bias)| {
        let mut cells = vec![
            Cell::Count(class.count),
            Cell::Number(class.classifier_norm_squared),
            Cell::Number(class.feature_norm_squared),
        ];
        cells.extend(has_bias.then_some(Cell::Number(*bias)));
        cells.push(Cell::Text(collapse_mark(class.collapsed).into()));
        cells
    })
}

/// The mark of a class in a table.
fn collapse_mark(collapsed: Option<bool>) -> &'static str {
    match collapsed {
        Some(true) => "collapsed",
        Some(false) => "",
        None => "not determined",
    }
}

/// What the symbols mean.
fn legend(minimum: &GlobalMinimum) -> String {
    let problem = minimum.problem();
    let has_bias = problem.regularization().bias() != Bias::None;
    let order = if has_bias { "by falling σ²" } else { "one for each class" };
    let family = match minimum.is_unique() {
        true => "",
        false => ", but which of equal ones are fitted is not determined",
    };
    let room = match problem.rank_limit() < problem.classes() {
        true => " and the rank limit leaves room for it",
        false => "",
    };
    let bias = if has_bias { "b*: bias of the class; " } else { "" };
    format!(
        "directions: {order}{family}; σ: singular value of the target; a direction survives if a/σ² < τ_M{room}, \
         then x > 0; t = λ·(singular value)² of every layer and of the features; s: singular value of W₁; \
         ‖w‖², ‖h‖²: squared norms of the classifier's row and of the class mean; {bias}– : not determined. \
         All numbers are dimensionless."
    )
}

/// Writes the entries of b* one by one.
fn serialize_bias<S: Serializer>(
    minimum: &&GlobalMinimum,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let entries = || {
        minimum
            .class_runs()
            .into_iter()
            .flatten()
            .map(|(run, _)| (run, minimum.bias_of_class(run.first_class)))
    };
    // All entries are known, or none is.
    if entries().any(|(_, entry)| entry.is_none()) {
        return serializer.serialize_none();
    }
    serializer.collect_seq(entries().flat_map(|(run, entry)| repeat_n(entry, run.class_count)))
}

/// Writes the directions one by one.
fn serialize_directions<S: Serializer>(
    minimum: &&GlobalMinimum,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer
        .collect_seq(direction_runs(minimum).flat_map(|(length, item)| repeat_n(item, length)))
}

/// Writes the classes one by one.
fn serialize_classes<S: Serializer>(
    minimum: &&GlobalMinimum,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(class_runs(minimum).flat_map(|(length, item)| repeat_n(item, length)))
}
