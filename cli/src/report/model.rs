//! The prediction for a loss other than the squared one.

use std::collections::BTreeMap;
use std::iter::repeat_n;

use neural_collapse::ClassCounts;
use serde::{Serialize, Serializer};

use super::prediction::class_table;
use super::problem::{ProblemReport, fact, serialize_counts};
use crate::error::CliError;
use crate::model::{ClassNorms, LogitDirection, Model};
use crate::tables::{Cell, merge_equal, numbered_table, plain_table, wrap};

/// The JSON object of `predict` for a loss other than the squared one. What is not determined is null.
#[derive(Debug, Serialize)]
pub(crate) struct ModelReport<'a> {
    /// `cross_entropy`, `layer_peeled` or `uf_svm`.
    loss_function: &'static str,
    /// The training problem.
    problem: ModelProblem<'a>,
    /// The geometry, in words.
    geometry: String,
    /// `proved` (the global minimum) or `best_known`.
    proof: &'static str,
    /// Which theorem speaks and how far.
    statement: String,
    /// The loss of the point.
    loss: f64,
    /// Cross-entropy: the simplex ETF, with `proved`, `proved_not_global` or `best_known`.
    simplex_etf: Option<SimplexReport>,
    /// b*.
    bias: Option<Vec<f64>>,
    /// The singular directions of the logits.
    #[serde(serialize_with = "serialize_directions")]
    directions: Option<Vec<LogitDirection>>,
    /// Cosines between classes, a row for each pair of class sizes; null where classes of one size differ.
    angles: Option<Vec<AngleReport>>,
    /// The classes, in the order given.
    #[serde(serialize_with = "serialize_classes")]
    classes: Vec<(usize, ClassNorms)>,
}

/// The problem.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ModelProblem<'a> {
    Penalised(ProblemReport<'a>),
    Free(FreeProblem<'a>),
}

/// A problem without weight decay.
#[derive(Debug, Serialize)]
struct FreeProblem<'a> {
    #[serde(serialize_with = "serialize_counts")]
    counts: &'a ClassCounts,
    samples: u64,
    /// E_W and E_H of the layer-peeled model.
    #[serde(flatten)]
    energies: Option<Energies>,
}

#[derive(Debug, Serialize)]
struct Energies {
    weight_energy: f64,
    feature_energy: f64,
}

#[derive(Debug, Serialize)]
struct SimplexReport {
    loss: f64,
    proof: &'static str,
}

/// The angle between two classes of given sizes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct AngleReport {
    counts: [u64; 2],
    classifier_cosine: Option<f64>,
    feature_cosine: Option<f64>,
}

impl<'a> ModelReport<'a> {
    /// The report of `model`.
    pub(super) fn new(model: &'a Model) -> Result<Self, CliError> {
        Ok(Self {
            loss_function: model.loss_function().name(),
            problem: ModelProblem::new(model),
            geometry: model.geometry(),
            proof: model.proof(),
            statement: model.statement(),
            loss: model.loss(),
            simplex_etf: model.simplex_etf().map(|(loss, proof)| SimplexReport { loss, proof }),
            bias: model.bias(),
            directions: model.directions()?,
            angles: angles(model)?,
            classes: model.class_runs()?,
        })
    }

    /// The prediction as tables.
    pub(super) fn to_text(&self) -> String {
        let mut parts = vec![self.problem.to_text(), self.summary()];
        parts.extend(self.directions.as_deref().map(direction_table));
        parts.push(self.classes());
        parts.extend(self.angles.as_deref().filter(|angles| !angles.is_empty()).map(angle_table));
        parts.push(format!("Theorem: {}.", self.statement));
        parts.push(wrap(LEGEND));
        parts.join("\n\n")
    }

    fn summary(&self) -> String {
        let number = |name: &str, value| vec![Cell::Text(name.into()), Cell::Number(Some(value))];
        let mut facts = vec![
            fact("geometry", self.geometry.as_str()),
            fact("proof", self.proof.replace('_', " ")),
            number("loss f*", self.loss),
        ];
        if let Some(etf) = &self.simplex_etf {
            facts.push(number("loss of the simplex ETF", etf.loss));
            facts.push(fact("simplex ETF", etf.proof.replace('_', " ")));
        }
        plain_table(&["prediction", ""], &facts)
    }

    fn classes(&self) -> String {
        let mut first = 0;
        let with_bias = self.classes.iter().map(|&(length, class)| {
            let bias = self.bias.as_ref().and_then(|bias| bias.get(first).copied());
            first += length;
            (length, (class, bias))
        });
        class_table(with_bias, self.bias.is_some())
    }
}

/// What the symbols mean.
const LEGEND: &str = "\
σ: singular value of the logits; t = λ·(singular value)² of every layer and of the features; s: singular \
value of W₁; ‖w‖², ‖h‖²: squared norms of the classifier's row and of the class mean; cos w, cos h: cosine \
of the angle between two rows of the classifier, between two class means; – : not determined. All numbers \
are dimensionless.";

impl<'a> ModelProblem<'a> {
    fn new(model: &'a Model) -> Self {
        let counts = model.counts();
        match model {
            Model::CrossEntropy(landscape) => {
                let problem = landscape.problem();
                Self::Penalised(ProblemReport::new(counts, problem.penalties(), problem.widths()))
            }
            Model::LayerPeeled(_) | Model::SupportVectors(_) => Self::Free(FreeProblem {
                counts,
                samples: counts.samples(),
                energies: energies(model),
            }),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Penalised(problem) => problem.to_text(),
            Self::Free(problem) => problem.to_text(),
        }
    }
}

fn energies(model: &Model) -> Option<Energies> {
    match model {
        Model::LayerPeeled(minimum) => Some(Energies {
            weight_energy: minimum.problem().weight_energy(),
            feature_energy: minimum.problem().feature_energy(),
        }),
        Model::CrossEntropy(_) | Model::SupportVectors(_) => None,
    }
}

impl FreeProblem<'_> {
    fn to_text(&self) -> String {
        let mut facts = vec![
            fact("samples N", self.samples.to_string()),
            fact("classes K", self.counts.classes().to_string()),
        ];
        if let Some(energies) = &self.energies {
            let number =
                |name: &str, value| vec![Cell::Text(name.into()), Cell::Number(Some(value))];
            facts.push(number("weight energy E_W", energies.weight_energy));
            facts.push(number("feature energy E_H", energies.feature_energy));
        }
        plain_table(&["problem", ""], &facts)
    }
}

/// The cosines between two classes of every two sizes, and of the same size.
fn angles(model: &Model) -> Result<Option<Vec<AngleReport>>, CliError> {
    if !model.is_symmetric() {
        return Ok(None);
    }
    let Some(grams) = model.trailing_gram(1)?.zip(model.class_means_gram()?) else {
        return Ok(None);
    };
    let angle = |counts, [i, j]: [usize; 2]| AngleReport {
        counts,
        classifier_cosine: grams.0.cosine(i, j),
        feature_cosine: grams.1.cosine(i, j),
    };
    let examples = examples(model.counts());
    let mut angles = Vec::new();
    for (index, (size, classes)) in examples.iter().enumerate() {
        if let &[first, second] = classes.as_slice() {
            angles.push(angle([*size; 2], [first, second]));
        }
        for (other, others) in &examples[index + 1..] {
            angles.push(angle([*size, *other], [classes[0], others[0]]));
        }
    }
    Ok(Some(angles))
}

/// Two classes, or the only one, of every size; by falling size.
fn examples(counts: &ClassCounts) -> Vec<(u64, Vec<usize>)> {
    let mut examples: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for run in counts.runs() {
        let of_size = examples.entry(run.size).or_default();
        let wanted = 2_usize.saturating_sub(of_size.len());
        of_size.extend((run.classes()).take(wanted));
    }
    examples.into_iter().rev().collect()
}

fn direction_table(directions: &[LogitDirection]) -> String {
    let runs = merge_equal(directions.iter().map(|direction| (direction.multiplicity, *direction)));
    numbered_table("direction", &["σ", "energy t", "s"], &runs, |direction| {
        [direction.logit, direction.energy, direction.s]
            .map(|value| Cell::Number(Some(value)))
            .into()
    })
}

fn angle_table(angles: &[AngleReport]) -> String {
    let row = |angle: &AngleReport| {
        let [first, second] = angle.counts;
        vec![
            Cell::Count(first),
            Cell::Count(second),
            Cell::Number(angle.classifier_cosine),
            Cell::Number(angle.feature_cosine),
        ]
    };
    let runs = merge_equal(angles.iter().map(|angle| (1, *angle)));
    numbered_table("angle", &["samples", "and", "cos w", "cos h"], &runs, row)
}

/// One direction in the JSON output.
#[derive(Debug, Clone, Serialize)]
struct DirectionReport {
    logit: f64,
    energy: f64,
    s: f64,
}

/// Writes the directions one by one.
fn serialize_directions<S: Serializer>(
    directions: &Option<Vec<LogitDirection>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let Some(directions) = directions else {
        return serializer.serialize_none();
    };
    let one_by_one = directions.iter().flat_map(|direction| {
        let &LogitDirection { logit, energy, s, multiplicity } = direction;
        repeat_n(DirectionReport { logit, energy, s }, multiplicity)
    });
    serializer.collect_seq(one_by_one)
}

/// Writes the classes one by one.
fn serialize_classes<S: Serializer>(
    classes: &[(usize, ClassNorms)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(classes.iter().flat_map(|&(length, class)| repeat_n(class, length)))
}
