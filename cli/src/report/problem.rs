//! The training problem that a prediction is for.

use std::iter::repeat_n;

use neural_collapse::problem::TrainingObjective;
use neural_collapse::{Bias, ClassCounts, Prediction, Regularization};
use serde::{Serialize, Serializer};

use crate::tables::{Cell, plain_table, shortest_number};

/// The object `problem` of the JSON output: one flat object with the keys of the program's flags, which people script
/// against, where the library writes a [`TrainingObjective`] as the nested enumeration that it is.
#[derive(Debug, Serialize)]
pub(super) struct ProblemReport {
    /// Samples of each class, in the order given.
    #[serde(serialize_with = "serialize_counts")]
    counts: ClassCounts,
    /// Number of samples N.
    samples: u64,
    #[serde(flatten)]
    constraints: Constraints,
    #[serde(flatten)]
    labels: Labels,
}

/// How the loss treats classes, labels and features, as far as it is not the plain one.
#[derive(Debug, Default, Serialize)]
struct Labels {
    /// ω, one number for each class.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    class_weights: Vec<f64>,
    /// δ.
    #[serde(skip_serializing_if = "Option::is_none")]
    label_smoothing: Option<f64>,
    /// Whether features are constrained to be non-negative.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    nonnegative_features: bool,
    /// m, one number for each class.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    margins: Vec<f64>,
    /// δ of the logits, one number for each class.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logit_scales: Vec<f64>,
}

impl Labels {
    fn of(objective: TrainingObjective) -> Self {
        let positive = |smoothing: f64| Some(smoothing).filter(|&smoothing| smoothing > 0.0);
        match objective {
            TrainingObjective::WeightedCrossEntropy {
                class_weights,
                label_smoothing,
                nonnegative_features,
                ..
            } => Self {
                class_weights,
                label_smoothing: positive(label_smoothing),
                nonnegative_features,
                ..Self::default()
            },
            TrainingObjective::WeightedSquaredError { class_weights, label_smoothing, .. } => {
                let label_smoothing = positive(label_smoothing);
                Self { class_weights, label_smoothing, ..Self::default() }
            }
            TrainingObjective::ScaledMargins { margins, logit_scales } => {
                Self { margins, logit_scales, ..Self::default() }
            }
            _ => Self::default(),
        }
    }

    fn facts(&self) -> Vec<Vec<Cell>> {
        let lists = [
            ("class weights ω", &self.class_weights),
            ("margins m", &self.margins),
            ("logit scales δ", &self.logit_scales),
        ];
        let mut facts: Vec<_> = lists
            .into_iter()
            .filter(|(_, numbers)| !numbers.is_empty())
            .map(|(name, numbers)| fact(name, runs(numbers)))
            .collect();
        facts.extend(
            self.label_smoothing
                .map(|smoothing| fact("label smoothing δ", shortest_number(smoothing))),
        );
        facts.extend(self.nonnegative_features.then(|| fact("features", "not negative")));
        facts
    }
}

/// Numbers of classes as they are written at the command line: `1x5, 2.5x5`.
fn runs(numbers: &[f64]) -> String {
    let runs = numbers.chunk_by(|one, other| one == other);
    let texts = runs.map(|run| match run {
        [number] => shortest_number(*number),
        [number, ..] => format!("{}x{}", shortest_number(*number), run.len()),
        [] => String::new(),
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// What keeps weights and features small.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Constraints {
    Decays {
        /// Number of linear layers M.
        depth: usize,
        /// λ₁, …, λ_M.
        weight_decay: Vec<f64>,
        /// λ_H.
        feature_decay: f64,
        /// `none`, `unregularized` or λ_b.
        #[serde(serialize_with = "serialize_bias")]
        bias: Bias,
        /// d₁, …, d_M, null if they are not limited.
        widths: Option<Vec<usize>>,
        /// R = min(K, d₁, …, d_M), the largest rank of the outputs.
        rank_limit: usize,
    },
    Budgets {
        weight_energy: f64,
        feature_energy: f64,
    },
    Nothing {},
}

impl ProblemReport {
    pub(super) fn new(prediction: &dyn Prediction, counts: &ClassCounts) -> Self {
        let objective = prediction.training_objective();
        let constraints = match (&objective, objective.regularization()) {
            (_, Some(regularization)) => Constraints::of(regularization, prediction),
            (TrainingObjective::Budgeted { weight_energy, feature_energy, .. }, _) => {
                Constraints::Budgets {
                    weight_energy: *weight_energy,
                    feature_energy: *feature_energy,
                }
            }
            _ => Constraints::Nothing {},
        };
        let labels = Labels::of(objective);
        Self { counts: counts.clone(), samples: counts.samples(), constraints, labels }
    }

    /// Whether the outputs have a bias.
    pub(super) fn has_bias(&self) -> bool {
        matches!(self.constraints, Constraints::Decays { bias, .. } if bias != Bias::None)
    }

    /// The problem as a table.
    pub(super) fn to_table(&self) -> String {
        let classes = match self.counts.runs().len() {
            1 => format!(
                "{} classes of {}",
                self.counts.classes(),
                self.samples / self.counts.classes() as u64
            ),
            _ => self.counts.classes().to_string(),
        };
        let mut facts =
            vec![fact("samples N", self.samples.to_string()), fact("classes K", classes)];
        match &self.constraints {
            Constraints::Decays {
                depth,
                weight_decay,
                feature_decay,
                bias,
                widths,
                rank_limit,
            } => {
                facts.push(fact("linear layers M", depth.to_string()));
                facts.extend(decay_facts(weight_decay, Some(*feature_decay), *bias));
                let widths = widths.as_deref().map_or("not limited".into(), list_numbers);
                facts.push(fact("widths d₁,…,d_M", widths));
                facts.push(fact("rank limit R", rank_limit.to_string()));
            }
            Constraints::Budgets { weight_energy, feature_energy } => {
                let number =
                    |name: &str, value| vec![Cell::Text(name.into()), Cell::Number(Some(value))];
                facts.push(number("weight energy E_W", *weight_energy));
                facts.push(number("feature energy E_H", *feature_energy));
            }
            Constraints::Nothing {} => {}
        }
        facts.extend(self.labels.facts());
        plain_table(&["problem", ""], &facts)
    }
}

impl Constraints {
    fn of(regularization: &Regularization, prediction: &dyn Prediction) -> Self {
        Self::Decays {
            depth: regularization.depth(),
            weight_decay: regularization.weight_decays().to_vec(),
            feature_decay: regularization.feature_decay(),
            bias: regularization.bias(),
            widths: prediction.widths().map(<[usize]>::to_vec),
            rank_limit: prediction.rank_limit(),
        }
    }
}

/// A row of a table that has a name and a text in it.
pub(super) fn fact(name: &str, text: impl Into<String>) -> Vec<Cell> {
    vec![Cell::Text(name.into()), Cell::Text(text.into())]
}

/// The rows that tell the decays.
pub(super) fn decay_facts(
    weight_decays: &[f64],
    feature_decay: Option<f64>,
    bias: Bias,
) -> [Vec<Cell>; 3] {
    [
        fact("weight decays λ₁,…,λ_M", list(weight_decays, |&decay| shortest_number(decay))),
        fact("feature decay λ_H", feature_decay.map_or("not known".into(), shortest_number)),
        fact("bias", describe_bias(bias)),
    ]
}

/// Whole numbers separated by commas; one number if all are equal.
pub(super) fn list_numbers(numbers: &[usize]) -> String {
    list(numbers, usize::to_string)
}

/// Values separated by commas; one value if all are equal.
fn list<T: PartialEq>(values: &[T], to_text: impl Fn(&T) -> String) -> String {
    match values {
        [first, rest @ ..] if rest.iter().all(|value| value == first) => to_text(first),
        _ => values.iter().map(to_text).collect::<Vec<_>>().join(", "),
    }
}

fn describe_bias(bias: Bias) -> String {
    match bias {
        Bias::None => "none".into(),
        Bias::Unregularized => "unregularized".into(),
        Bias::Regularized(decay) => format!("weight decay λ_b = {}", shortest_number(decay)),
    }
}

/// Writes the counts one by one: they are kept as runs.
fn serialize_counts<S: Serializer>(counts: &ClassCounts, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(counts.runs().flat_map(|run| repeat_n(run.size, run.class_count)))
}

fn serialize_bias<S: Serializer>(bias: &Bias, serializer: S) -> Result<S::Ok, S::Error> {
    match bias {
        Bias::None => serializer.serialize_str("none"),
        Bias::Unregularized => serializer.serialize_str("unregularized"),
        Bias::Regularized(decay) => serializer.serialize_f64(*decay),
    }
}
