//! The same samples after several layers, read side by side.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use neural_collapse::{Error, Features, LabeledFeatures};

use super::data_set::DataSet;
use super::error::InputError;

/// Rows of features with the class of each.
struct Rows {
    numbers: Vec<f64>,
    labels: Vec<usize>,
    width: usize,
}

/// Passes once over the samples of several data sets, which are the same after different layers, and shows to `visit` the
/// features of some samples after every layer. Each data set is read by threads of its own, up to two
/// blocks ahead.
pub(crate) fn for_each_batch_of_layers(
    layers: &[&DataSet],
    mut visit: impl FnMut(&[LabeledFeatures<'_, f64>]) -> Result<(), Error>,
) -> Result<Result<(), Error>, InputError> {
    thread::scope(|scope| {
        let (mut receivers, mut readers) = (Vec::new(), Vec::new());
        for layer in layers {
            let (sender, receiver) = sync_channel(1);
            receivers.push(receiver);
            readers.push(scope.spawn(move || send(layer, &sender)));
        }
        let classes = layers.first().map_or(0, |layer| layer.classes());
        let visited = visit_all(&receivers, classes, &mut visit);
        // Readers that have more to send end at once.
        drop(receivers);
        for reader in readers {
            match reader.join() {
                Ok(Err(error)) if visited.is_ok() => return Err(error),
                // A panic goes on in the thread that waits.
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(_) => {}
            }
        }
        Ok(visited)
    })
}

/// Sends block after block, as long as they are wanted.
fn send(layer: &DataSet, sender: &SyncSender<Rows>) -> Result<(), InputError> {
    layer.for_each_batch(|batch| {
        let rows = Rows {
            numbers: batch.numbers.to_vec(),
            labels: batch.samples.labels().to_vec(),
            width: layer.width(),
        };
        sender.send(rows).map_err(|_| Error::Cancelled)
    })
}

/// Takes from every layer as many rows as all of them have sent.
fn visit_all(
    receivers: &[Receiver<Rows>],
    classes: usize,
    visit: &mut impl FnMut(&[LabeledFeatures<'_, f64>]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut waiting: Vec<Option<Rows>> = receivers.iter().map(|_| None).collect();
    loop {
        for (rows, receiver) in waiting.iter_mut().zip(receivers) {
            if rows.as_ref().is_none_or(|rows| rows.labels.is_empty()) {
                *rows = receiver.recv().ok();
            }
        }
        // All layers have the same samples, so that they end together; a reader that failed says why.
        let ready: Vec<_> = waiting.iter_mut().flatten().collect();
        let samples = ready.iter().map(|rows| rows.labels.len()).min().unwrap_or(0);
        if samples == 0 || ready.len() < receivers.len() {
            return Ok(());
        }
        let batch =
            ready.iter().map(|rows| rows.first(samples, classes)).collect::<Result<Vec<_>, _>>()?;
        visit(&batch)?;
        drop(batch);
        for rows in ready {
            rows.numbers.drain(..samples * rows.width);
            rows.labels.drain(..samples);
        }
    }
}

impl Rows {
    fn first(&self, samples: usize, classes: usize) -> Result<LabeledFeatures<'_, f64>, Error> {
        let numbers = self.numbers.get(..samples * self.width).unwrap_or_default();
        let labels = self.labels.get(..samples).unwrap_or_default();
        Features::from_row_major(numbers, samples, self.width)?.with_labels(labels, classes)
    }
}
