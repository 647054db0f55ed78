//! The training problem that a prediction is for.

use std::iter::repeat_n;

use neural_collapse::{Bias, ClassCounts, Regularization};
use serde::{Serialize, Serializer};

use crate::tables::{Cell, plain_table, shortest_number};

/// The object `problem` of the JSON output.
#[derive(Debug, Serialize)]
pub(crate) struct ProblemReport<'a> {
    /// Samples of each class, in the order given.
    #[serde(serialize_with = "serialize_counts")]
    counts: &'a ClassCounts,
    /// Number of samples N.
    samples: u64,
    /// Number of linear layers M.
    depth: usize,
    /// λ₁, …, λ_M.
    weight_decay: &'a [f64],
    /// λ_H.
    feature_decay: f64,
    /// `none`, `unregularized` or λ_b.
    #[serde(serialize_with = "serialize_bias")]
    bias: Bias,
    /// d₁, …, d_M, null if they are not limited.
    widths: Option<&'a [usize]>,
    /// R = min(K, d₁, …, d_M), the largest rank of the outputs.
    rank_limit: usize,
}

impl<'a> ProblemReport<'a> {
    /// Classes and penalties; with widths, if they are limited.
    pub(crate) fn new(
        counts: &'a ClassCounts,
        penalties: &'a Regularization,
        widths: Option<&'a [usize]>,
    ) -> Self {
        let narrowest = widths.unwrap_or_default().iter().copied().min();
        Self {
            counts,
            samples: counts.samples(),
            depth: penalties.depth(),
            weight_decay: penalties.weight_decays(),
            feature_decay: penalties.feature_decay(),
            bias: penalties.bias(),
            widths,
            rank_limit: narrowest.map_or(counts.classes(), |width| width.min(counts.classes())),
        }
    }

    /// The problem as a table.
    pub(crate) fn to_text(&self) -> String {
        let widths = self.widths.map_or("not limited".into(), list_numbers);
        let mut facts = vec![
            fact("samples N", self.samples.to_string()),
            fact("classes K", self.counts.classes().to_string()),
            fact("linear layers M", self.depth.to_string()),
        ];
        facts.extend(penalty_facts(self.weight_decay, self.feature_decay, self.bias));
        facts.push(fact("widths d₁,…,d_M", widths));
        facts.push(fact("rank limit R", self.rank_limit.to_string()));
        plain_table(&["problem", ""], &facts)
    }
}

/// A row of a table that has a name and a text in it.
pub(super) fn fact(name: &str, text: impl Into<String>) -> Vec<Cell> {
    vec![Cell::Text(name.into()), Cell::Text(text.into())]
}

/// The rows that tell the penalties.
pub(super) fn penalty_facts(
    weight_decays: &[f64],
    feature_decay: f64,
    bias: Bias,
) -> [Vec<Cell>; 3] {
    [
        fact("weight decays λ₁,…,λ_M", list(weight_decays, |&decay| shortest_number(decay))),
        fact("feature decay λ_H", shortest_number(feature_decay)),
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
pub(super) fn serialize_counts<S: Serializer>(
    counts: &&ClassCounts,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(counts.runs().flat_map(|run| repeat_n(run.size, run.class_count)))
}

fn serialize_bias<S: Serializer>(bias: &Bias, serializer: S) -> Result<S::Ok, S::Error> {
    match bias {
        Bias::None => serializer.serialize_str("none"),
        Bias::Unregularized => serializer.serialize_str("unregularized"),
        Bias::Regularized(decay) => serializer.serialize_f64(*decay),
    }
}
