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
    bias: Option<Entries>,
    has_bias: bool,
}

/// One number per class, as runs of equal ones.
#[derive(Debug, Clone)]
pub(super) struct Entries(Vec<(usize, f64)>);

impl Serialize for Entries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().flat_map(|&(length, entry)| repeat_n(entry, length)))
    }
}

impl Classes {
    /// Those of a prediction; where norms are not known, the counts alone.
    pub(super) fn new(prediction: &dyn Prediction, has_bias: bool) -> Result<Self, Error> {
        let runs = match prediction.class_runs() {
            Err(Error::NotAnswered { .. }) => Vec::new(),
            runs => runs?,
        };
        Ok(Self { runs, bias: prediction.bias_runs().map(Entries), has_bias })
    }

    /// The bias, one number per class.
    pub(super) fn bias(&self) -> Option<Entries> {
        self.bias.clone()
    }

    pub(super) fn to_table(&self) -> String {
        let bias_heading = if self.has_bias { &["b*"][..] } else { &[] };
        let headings = [&["samples", "‖w‖²", "‖h‖²"][..], bias_heading, &[""]];
        let norms = self.runs.iter().map(|(run, class)| (run.class_count, *class)).collect();
        let bias = match &self.bias {
            Some(Entries(runs)) => {
                runs.iter().map(|&(length, entry)| (length, Some(entry))).collect()
            }
            None => vec![(usize::MAX, None)],
        };
        let runs = merge_equal(side_by_side(norms, bias));
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

/// Runs of pairs from two sequences of runs, as far as both of them go.
fn side_by_side<A: Copy, B: Copy>(
    left: Vec<(usize, A)>,
    right: Vec<(usize, B)>,
) -> impl Iterator<Item = (usize, (A, B))> {
    let (mut left, mut right) = (left.into_iter(), right.into_iter());
    let (mut first, mut second) = (left.next(), right.next());
    std::iter::from_fn(move || {
        let ((a_left, a), (b_left, b)) = (first?, second?);
        let length = a_left.min(b_left);
        first = if a_left > length { Some((a_left - length, a)) } else { left.next() };
        second = if b_left > length { Some((b_left - length, b)) } else { right.next() };
        Some((length, (a, b)))
    })
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
