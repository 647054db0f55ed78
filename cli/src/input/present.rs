//! Which classes have samples.

use std::path::Path;

use super::data_set::DataSet;
use super::error::{InputError, Problem};
use super::shard::Shard;

/// The outputs that are classes: all of them, or those that have samples.
#[derive(Debug)]
pub(super) struct Present<'a> {
    /// Number of outputs of the head.
    all: usize,
    /// Name of the labels.
    labels_key: &'a str,
    /// Whether outputs without samples are left out.
    leaves_out: bool,
    /// The outputs that count, once they are known.
    outputs: Option<Vec<usize>>,
}

impl<'a> Present<'a> {
    /// For a head with `outputs` outputs.
    pub(super) fn new(outputs: usize, labels_key: &'a str, leaves_out: bool) -> Self {
        Self { all: outputs, labels_key, leaves_out, outputs: None }
    }

    /// The data set of `shards`. The first one tells which classes there are, for its class means count; others need
    /// not have samples of each.
    pub(super) fn count(&mut self, shards: Vec<Shard>) -> Result<DataSet, InputError> {
        let mut is_present = vec![false; self.all];
        for &class in shards.iter().flat_map(|shard| &shard.labels.classes) {
            is_present.get_mut(class).into_iter().for_each(|present| *present = true);
        }
        let present: Vec<_> =
            (0..self.all).filter(|&output| is_present.get(output) == Some(&true)).collect();
        let whole = DataSet::new(shards, self.labels_key, self.all);
        match &self.outputs {
            None => {
                self.refuse_empty_classes(&present, &whole)?;
                self.outputs = Some(present);
            }
            Some(outputs) => {
                if let Some(class) = present.iter().find(|class| !outputs.contains(class)) {
                    let text = format!(
                        "has samples of class {class} in `{}`, of which the files of --means have none",
                        self.labels_key
                    );
                    return Err(Problem::Impossible(text).in_file(Path::new(&whole.name())));
                }
            }
        }
        Ok(whole.without_empty_shards().renumbered(self.outputs(), self.all))
    }

    fn refuse_empty_classes(&self, present: &[usize], data: &DataSet) -> Result<(), InputError> {
        let (key, name) = (self.labels_key.to_string(), data.name());
        if present.is_empty() {
            let text = format!(
                "no sample is left: all labels in `{key}` are ignored; give fewer to --ignore-label"
            );
            return Err(Problem::Impossible(text).in_file(Path::new(&name)));
        }
        let mut empty = (0..self.all).filter(|output| !present.contains(output));
        match empty.next() {
            Some(class) if !self.leaves_out => {
                let (others, outputs) = (empty.count(), self.all);
                Err(Problem::EmptyClasses { key, class, others, outputs }.in_file(Path::new(&name)))
            }
            _ => Ok(()),
        }
    }

    /// The outputs that count.
    pub(super) fn outputs(&self) -> &[usize] {
        self.outputs.as_deref().unwrap_or_default()
    }

    /// The outputs that do not.
    pub(super) fn left_out(&self) -> Vec<usize> {
        (0..self.all).filter(|output| !self.outputs().contains(output)).collect()
    }

    /// What belongs to the outputs that count.
    pub(super) fn select<T>(&self, of_outputs: Vec<T>) -> Vec<T> {
        let pairs = of_outputs.into_iter().enumerate();
        pairs.filter(|(output, _)| self.outputs().contains(output)).map(|(_, item)| item).collect()
    }
}
