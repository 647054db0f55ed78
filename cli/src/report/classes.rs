//! What a prediction makes of the classes, as a table and as JSON.

use std::iter::repeat_n;

use neural_collapse::Prediction;
use neural_collapse::error::Error;
use neural_collapse::prediction::ClassGeometry;
use neural_collapse::problem::Run;
use serde::{Serialize, Serializer};

use crate::tables::{Cell, merge_equal, numbered_table};

/// The runs of alike classes with their biases.
#[derive(Debug)]
pub(super) struct Classes {
    runs: Vec<(Run, ClassGeometry)>,
    bias: Option<Vec<f64>>,
    has_bias: bool,
}

impl Classes {
    /// Those of a prediction; where norms are not known, the counts alone.
    pub(super) fn new(prediction: &dyn Prediction, has_bias: bool) -> Result<Self, Error> {
        let runs = match prediction.class_runs() {
            Err(Error::NotAnswered { .. }) => Vec::new(),
            runs => runs?,
        };
        Ok(Self { runs, bias: prediction.bias(), has_bias })
    }

    /// The bias, class by class.
    pub(super) fn bias(&self) -> Option<&[f64]> {
        self.bias.as_deref()
    }

    pub(super) fn to_table(&self) -> String {
        let bias_heading = if self.has_bias { &["b*"][..] } else { &[] };
        let headings = [&["samples", "‖w‖²", "‖h‖²"][..], bias_heading, &[""]];
        let bias_of = |class: usize| self.bias.as_ref()?.get(class).copied();
        let runs = self.runs.iter().flat_map(|(run, class)| {
            split(run, &bias_of).map(move |(length, bias)| (length, (*class, bias)))
        });
        let runs = merge_equal(runs);
        numbered_table("class", &headings.concat(), &runs, |(class, bias)| {
            let mut cells = vec![
                Cell::Count(class.count),
                Cell::Number(class.classifier_norm_squared),
                Cell::Number(class.feature_norm_squared),
            ];
            cells.extend(self.has_bias.then_some(Cell::Number(*bias)));
            cells.push(Cell::Text(collapse_mark(class.collapsed).into()));
            cells
        })
    }
}

/// A run of classes, cut where the bias changes.
fn split<'a>(
    run: &Run,
    bias_of: &'a impl Fn(usize) -> Option<f64>,
) -> impl Iterator<Item = (usize, Option<f64>)> + 'a {
    let (first, length) = (run.first_class, run.class_count);
    match bias_of(first) {
        None => vec![(length, None)],
        Some(_) => (first..first + length).map(|class| (1, bias_of(class))).collect(),
    }
    .into_iter()
}

impl Serialize for Classes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer
            .collect_seq(self.runs.iter().flat_map(|(run, class)| repeat_n(class, run.class_count)))
    }
}

/// The mark of a class in a table.
fn collapse_mark(collapsed: Option<bool>) -> &'static str {
    match collapsed {
        Some(true) => "collapsed",
        Some(false) => "",
        None => "not determined",
    }
}
