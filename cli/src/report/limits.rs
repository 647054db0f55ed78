//! How far a problem is from the collapse of its classes.

use neural_collapse::models::AnyModel;
use neural_collapse::models::convex::ConvexUfm;
use neural_collapse::models::nonnegative::NonnegativeMinimum;
use neural_collapse::models::squared::CollapseFactor;
use neural_collapse::problem::LossFunction;
use neural_collapse::{Bias, GlobalMinimum, Landscape};
use serde::Serialize;

use crate::tables::{Cell, plain_table};

/// How far the problem may be changed before classes collapse: one object for all models, each of which answers some of
/// these questions.
#[derive(Debug, Default, Serialize)]
pub(super) struct Limits {
    /// The class size below which a class collapses.
    #[serde(skip_serializing_if = "Option::is_none")]
    smallest_surviving_count: Option<f64>,
    /// The ratio of the two class sizes from which on the small classes collapse.
    #[serde(skip_serializing_if = "Option::is_none")]
    critical_imbalance_ratio: Option<f64>,
    /// The factor on all decays from which on everything is zero, or with non-negative features the first class.
    #[serde(skip_serializing_if = "Option::is_none")]
    collapse_factor: Option<f64>,
    /// The factors on all decays at which directions collapse one after the other, with how many are left.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    collapse_factors: Vec<CollapseFactor>,
    /// u = (n λ_H Πλₘ)^(1/(M+1)), the strength of the penalties under cross-entropy.
    #[serde(skip_serializing_if = "Option::is_none")]
    strength: Option<f64>,
    /// n*, up to which classes of one size merge, for every class weight.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    merging_counts: Vec<WeightedCount>,
    /// The size below which a class of each weight dies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    surviving_counts: Vec<WeightedCount>,
}

/// A number of samples for classes of a weight.
#[derive(Debug, Clone, Copy, Serialize)]
struct WeightedCount {
    class_weight: f64,
    count: f64,
}

impl Limits {
    pub(super) fn new(model: &AnyModel) -> Self {
        match model {
            AnyModel::Squared(minimum) => Self::of_squared_loss(minimum),
            AnyModel::CrossEntropy(landscape) => Self::of_landscape(landscape),
            AnyModel::Convex(minimum) => Self::of_program(minimum.problem()),
            AnyModel::Nonnegative(minimum) => Self::of_nonnegative(minimum),
            AnyModel::LayerPeeled(minimum) => Self {
                critical_imbalance_ratio: minimum.problem().critical_ratio(),
                ..Self::default()
            },
            _ => Self::default(),
        }
    }

    fn of_squared_loss(minimum: &GlobalMinimum) -> Self {
        let no_bias = minimum.problem().regularization().bias() == Bias::None;
        Self {
            smallest_surviving_count: no_bias.then(|| minimum.smallest_surviving_count()),
            critical_imbalance_ratio: minimum.critical_imbalance_ratio(),
            collapse_factors: minimum.collapse_factors(),
            ..Self::default()
        }
    }

    /// With one layer n* is that of the convex program, and everything collapses with the simplex ETF.
    fn of_landscape(landscape: &Landscape) -> Self {
        let problem = landscape.problem();
        let strength = Some(problem.strength());
        if problem.depth() > 1 {
            return Self { strength, ..Self::default() };
        }
        let program = problem.to_convex();
        Self {
            strength,
            merging_counts: program.map(|program| merging_counts(&program)).unwrap_or_default(),
            collapse_factor: Some(problem.simplex_collapse_factor()),
            ..Self::default()
        }
    }

    fn of_program(program: &ConvexUfm) -> Self {
        let merges = program.loss_function() == LossFunction::CrossEntropy;
        Self {
            merging_counts: if merges { merging_counts(program) } else { Vec::new() },
            collapse_factor: program.collapse_factor().ok(),
            ..Self::default()
        }
    }

    fn of_nonnegative(minimum: &NonnegativeMinimum) -> Self {
        let problem = minimum.problem();
        let count = |class_weight| {
            let count = problem.smallest_surviving_count(class_weight).ok()?;
            Some(WeightedCount { class_weight, count })
        };
        let weights = distinct(problem.class_weights());
        Self {
            surviving_counts: weights.into_iter().filter_map(count).collect(),
            collapse_factor: Some(problem.largest_decay_factor()),
            ..Self::default()
        }
    }

    /// What is one number.
    pub(super) fn facts(&self) -> Vec<Vec<Cell>> {
        let number = |name: &str, value| vec![Cell::Text(name.into()), Cell::Number(Some(value))];
        let mut facts = Vec::new();
        let single = [
            ("classes survive above n =", self.smallest_surviving_count),
            ("critical imbalance ratio", self.critical_imbalance_ratio),
            ("strength u", self.strength),
        ];
        facts.extend(single.into_iter().filter_map(|(name, value)| Some(number(name, value?))));
        facts.extend(weighted("classes of one size merge up to n* =", &self.merging_counts));
        facts.extend(weighted("classes survive above n =", &self.surviving_counts));
        let first = self.collapse_factors.first().map(|first| first.factor);
        let name = match self.surviving_counts.is_empty() {
            true => "decays × this: all collapse",
            false => "decays × this: first collapse",
        };
        facts.extend(first.map(|factor| number("decays × this: first collapse", factor)));
        facts.extend(self.collapse_factor.map(|factor| number(name, factor)));
        facts
    }

    /// The order in which directions collapse, where there are several.
    pub(super) fn to_table(&self) -> Option<String> {
        let rows: Vec<_> = self
            .collapse_factors
            .iter()
            .map(|step| {
                vec![Cell::Number(Some(step.factor)), Cell::Count(step.surviving_directions as u64)]
            })
            .collect();
        (rows.len() > 1).then(|| plain_table(&["decays ×", "directions left"], &rows))
    }
}

fn merging_counts(program: &ConvexUfm) -> Vec<WeightedCount> {
    let weights = distinct(program.class_weights()).into_iter();
    let count = |class_weight| {
        Some(WeightedCount { class_weight, count: program.merging_count(class_weight).ok()? })
    };
    weights.filter_map(count).collect()
}

/// The different weights of classes, by rising size; 1 without any.
fn distinct(weights: Option<&[f64]>) -> Vec<f64> {
    let mut weights = weights.unwrap_or(&[1.0]).to_vec();
    weights.sort_by(f64::total_cmp);
    weights.dedup();
    weights
}

/// A row for each weight, which is named where there are several.
fn weighted<'a>(
    name: &'a str,
    counts: &'a [WeightedCount],
) -> impl Iterator<Item = Vec<Cell>> + use<'a> {
    const MOST_ROWS: usize = 8;
    let shown = if counts.len() > MOST_ROWS { &[] } else { counts };
    shown.iter().map(move |entry| {
        let name = match counts.len() {
            1 => name.into(),
            _ => format!("weight {}: {name}", entry.class_weight),
        };
        vec![Cell::Text(name), Cell::Number(Some(entry.count))]
    })
}
