//! A prediction as tables and as JSON.

use neural_collapse::error::Error;
use neural_collapse::models::AnyModel;
use neural_collapse::prediction::Verdict;
use neural_collapse::{Bias, Geometry, GlobalMinimum, Prediction};
use serde::Serialize;

use super::angles::{Angle, angle_table, angles};
use super::classes::{Classes, Entries};
use super::directions::Directions;
use super::limits::Limits;
use super::loss_names::LossNames;
use super::problem::{ProblemReport, fact};
use crate::error::CliError;
use crate::loss::Loss;
use crate::tables::{Cell, plain_table, wrap};

/// The JSON object of `predict`, and the entry `prediction` of that of `audit`. Classes and bias are written one by one and
/// numbers of single models stand beside them; the library's `Summary` has what all models answer, as runs.
#[derive(Debug, Serialize)]
pub(crate) struct PredictionReport {
    loss_function: &'static str,
    problem: ProblemReport,
    geometry: String,
    unique: bool,
    proof: &'static str,
    statement: String,
    #[serde(flatten)]
    scale: Option<Scale>,
    loss: f64,
    lower_bound: Option<f64>,
    gap: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    simplex_etf: Option<SimplexReport>,
    #[serde(flatten)]
    limits: Limits,
    bias: Option<Entries>,
    directions: Directions,
    #[serde(skip_serializing_if = "Option::is_none")]
    angles: Option<Vec<Angle>>,
    classes: Classes,
    #[serde(skip)]
    names: LossNames,
    #[serde(skip)]
    legend: String,
}

/// What decides under the squared loss which directions survive.
#[derive(Debug, Clone, Copy, Serialize)]
struct Scale {
    /// a.
    scale: f64,
    /// τ_M.
    threshold: f64,
}

/// The simplex ETF beside another prediction.
#[derive(Debug, Serialize)]
struct SimplexReport {
    loss: f64,
    proof: &'static str,
    /// The factor on all decays from which on zero weights are better.
    collapse_factor: f64,
}

impl PredictionReport {
    /// The report of a model, whose classes must be known.
    pub(crate) fn new(model: &AnyModel) -> Result<Self, CliError> {
        let prediction = model.prediction();
        let counts = prediction.counts().ok_or_else(|| CliError::Argument {
            name: "the target".into(),
            reason: "it has no classes".into(),
        })?;
        let problem = ProblemReport::new(prediction, counts);
        let verdict = prediction.verdict();
        let classes = Classes::new(prediction, problem.has_bias())?;
        let bound = prediction.lower_bound();
        let directions = Directions::new(model)?;
        Ok(Self {
            loss_function: Loss::of(model).name(),
            geometry: geometry_name(model, &prediction.geometry()),
            unique: prediction.is_unique(),
            proof: verdict.keyword(),
            names: LossNames::new(&verdict),
            statement: verdict.to_string(),
            scale: scale(model),
            loss: prediction.loss(),
            lower_bound: bound,
            gap: bound.map(|bound| prediction.loss() - bound),
            simplex_etf: simplex_etf(model),
            limits: Limits::new(model),
            bias: classes.bias(),
            angles: angles_of(model)?,
            legend: legend(model, &directions, problem.has_bias()),
            directions,
            classes,
            problem,
        })
    }

    /// The prediction as tables.
    pub(crate) fn to_text(&self) -> String {
        let mut parts = vec![self.problem.to_table(), self.summary()];
        parts.extend(self.limits.to_table());
        parts.extend(self.directions.to_table());
        parts.push(self.classes.to_table());
        parts.extend(self.angles.as_deref().filter(|angles| !angles.is_empty()).map(angle_table));
        parts.push(wrap(&format!("Theorem: {}.", self.statement)));
        parts.push(wrap(&self.legend));
        parts.join("\n\n")
    }

    fn summary(&self) -> String {
        let number = |name: &str, value| vec![Cell::Text(name.into()), Cell::Number(Some(value))];
        let mut facts = vec![
            fact("geometry", table_name(&self.geometry, self.unique)),
            fact("proof", self.proof.replace('_', " ")),
            number(self.names.loss, self.loss),
        ];
        if let Some(bound) = self.lower_bound.filter(|&bound| bound < self.loss) {
            facts.push(number("no loss is below", bound));
            if bound > 0.0 {
                facts.push(number("loss above that, relative", self.loss / bound - 1.0));
            }
        }
        if let Some(Scale { scale, threshold }) = self.scale {
            facts.push(number("scale a", scale));
            facts.push(number("threshold τ_M", threshold));
        }
        if let Some(etf) = &self.simplex_etf {
            facts.push(number("loss of the simplex ETF", etf.loss));
            facts.push(fact("simplex ETF", etf.proof.replace('_', " ")));
            facts.push(number("decays × this: the ETF collapses", etf.collapse_factor));
        }
        facts.extend(self.limits.facts());
        plain_table(&["prediction", ""], &facts)
    }
}

/// The name of a geometry in JSON: with underscores under the squared loss, in words elsewhere.
fn geometry_name(model: &AnyModel, geometry: &Geometry) -> String {
    let name = geometry.to_string();
    match model {
        AnyModel::Squared(_) => name.to_lowercase().replace(' ', "_"),
        _ => name,
    }
}

/// The name of a geometry in a table.
fn table_name(name: &str, unique: bool) -> String {
    let name = name.replace('_', " ").replace("etf", "ETF");
    if unique { name } else { format!("{name}, one of a family") }
}

fn scale(model: &AnyModel) -> Option<Scale> {
    match model {
        AnyModel::Squared(minimum) => {
            Some(Scale { scale: minimum.scale(), threshold: minimum.threshold() })
        }
        _ => None,
    }
}

fn simplex_etf(model: &AnyModel) -> Option<SimplexReport> {
    match model {
        AnyModel::CrossEntropy(landscape) => {
            let etf = landscape.simplex_etf();
            Some(SimplexReport {
                loss: etf.loss(),
                proof: etf.verdict().keyword(),
                collapse_factor: landscape.problem().simplex_collapse_factor(),
            })
        }
        _ => None,
    }
}

/// Under the squared loss the angles are those that the geometry's name tells.
fn angles_of(model: &AnyModel) -> Result<Option<Vec<Angle>>, Error> {
    match model {
        AnyModel::Squared(_) => Ok(None),
        _ => angles(model.prediction()),
    }
}

/// What the symbols mean.
fn legend(model: &AnyModel, directions: &Directions, has_bias: bool) -> String {
    match model {
        AnyModel::Squared(minimum) => squared_legend(minimum),
        _ => logit_legend(directions, has_bias),
    }
}

fn logit_legend(directions: &Directions, has_bias: bool) -> String {
    let directions = match directions {
        Directions::None => "",
        _ => {
            "σ: singular value of the logits; t = λ·(singular value)² of every layer and of the features; s: singular \
             value of W₁; "
        }
    };
    let bias = if has_bias { "b*: bias of the class; " } else { "" };
    format!(
        "{directions}‖w‖², ‖h‖²: squared norms of the classifier's row and of the class mean; {bias}cos w, cos h: cosine \
         of the angle between two rows of the classifier, between two class means; – : not determined. All numbers \
         are dimensionless."
    )
}

fn squared_legend(minimum: &GlobalMinimum) -> String {
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

/// The verdict in a table's words, for an audit.
pub(super) fn statement(verdict: &Verdict) -> String {
    format!("Theorem: {verdict}.")
}

/// The name of the predicted geometry in an audit's table.
pub(super) fn geometry_text(prediction: &dyn Prediction) -> String {
    table_name(&prediction.geometry().to_string(), prediction.is_unique())
}
