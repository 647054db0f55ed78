//! The samples of all files, in their order.

use neural_collapse::Error;

use super::error::InputError;
use super::shard::{Batch, Shard};

/// Bytes of a block of features, of which two are in memory at a time: enough for threads to share, little beside any model.
const BLOCK_BYTES: usize = 16 << 20;

/// The samples of all files, in their order.
#[derive(Debug, Clone)]
pub(crate) struct DataSet {
    shards: Vec<Shard>,
    labels_key: String,
    classes: usize,
    /// Bytes of a block of features.
    pub(crate) block_bytes: usize,
}

impl DataSet {
    /// The samples of one file or more, whose features are equally wide.
    pub(super) fn new(shards: Vec<Shard>, labels_key: &str, classes: usize) -> Self {
        Self { shards, labels_key: labels_key.into(), classes, block_bytes: BLOCK_BYTES }
    }

    /// The same samples without files that have none, whose features may have any width.
    pub(super) fn without_empty_shards(mut self) -> Self {
        self.shards.retain(|shard| !shard.labels.classes.is_empty());
        self
    }

    /// The same samples with the classes counted among the `present` ones of `all` outputs.
    pub(super) fn renumbered(mut self, present: &[usize], all: usize) -> Self {
        if present.len() == all {
            return self;
        }
        let mut numbers = vec![0; all];
        for (number, &output) in present.iter().enumerate() {
            numbers.get_mut(output).into_iter().for_each(|place| *place = number);
        }
        let classes = self.shards.iter_mut().flat_map(|shard| &mut shard.labels.classes);
        for class in classes {
            *class = numbers.get(*class).copied().unwrap_or_default();
        }
        self.classes = present.len();
        self
    }

    /// Name of the labels.
    pub(crate) fn labels_key(&self) -> &str {
        &self.labels_key
    }

    /// Name of the features.
    pub(crate) fn key(&self) -> &str {
        self.shards.first().map_or("features", |shard| &shard.features.key)
    }

    /// Number of samples N.
    pub(crate) fn samples(&self) -> usize {
        self.shards.iter().map(|shard| shard.labels.classes.len()).sum()
    }

    /// Number of classes K.
    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    /// Length d of a feature vector.
    pub(crate) fn width(&self) -> usize {
        self.shards.first().map_or(0, |shard| shard.features.stored.width)
    }

    /// The name for messages: that of the first file, and how many there are beside it.
    pub(crate) fn name(&self) -> String {
        let first = self.shards.first().map(|shard| shard.features.file.display().to_string());
        let first = first.unwrap_or_default();
        match self.shards.len() {
            0 | 1 => first,
            2 => format!("{first} and another file"),
            files => format!("{first} and {} other files", files - 1),
        }
    }

    /// Passes once over all samples, and shows them to `visit` batch by batch.
    pub(crate) fn for_each_batch(
        &self,
        mut visit: impl FnMut(&Batch<'_>) -> Result<(), Error>,
    ) -> Result<(), InputError> {
        self.shards
            .iter()
            .try_for_each(|shard| shard.for_each_batch(self.classes, self.block_bytes, &mut visit))
    }
}
