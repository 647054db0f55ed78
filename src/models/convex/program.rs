//! From the problem to the convex program by kinds.

use nalgebra::DMatrix;

use crate::models::convex::data::{Column, Data, Fidelity};
use crate::models::convex::problem::{ConvexUfm, Labels};
use crate::problem::counts::ClassCounts;
use crate::problem::regularization::Bias;
use crate::problem::training_objective::LossFunction;

impl ConvexUfm {
    /// The program by kinds.
    pub(super) fn data(&self) -> Data {
        let fidelity = match self.loss_function() {
            LossFunction::SquaredError => Fidelity::SquaredError,
            _ => Fidelity::CrossEntropy,
        };
        let samples = self.counts().samples() as f64;
        if let Labels::Soft { labels, weights } = self.labels() {
            return soft_data(labels, weights, self.counts(), self.regularization().bias());
        }
        let kinds = self.kinds().map(|kinds| kinds.kinds().to_vec()).unwrap_or_default();
        let classes = self.classes() as f64;
        let rows: Vec<f64> = kinds.iter().map(|kind| kind.classes as f64).collect();
        let (mut columns, mut labels) = (Vec::new(), DMatrix::zeros(rows.len(), rows.len()));
        let weighted: f64 =
            kinds.iter().map(|kind| kind.classes as f64 * kind.size as f64 * kind.numbers[0]).sum();
        let smoothing = self.label_smoothing();
        for (index, kind) in kinds.iter().enumerate() {
            let ([own_weight, _], size) = (kind.numbers, kind.size as f64);
            let (weight, own, deficit) = if let Labels::PyTorch(code) = self.labels() {
                let (spread, entry) = (code.spread(), code.entry_weight(own_weight));
                for (label, other) in labels.column_mut(index).iter_mut().zip(&kinds) {
                    *label = smoothing / classes * other.numbers[0] / entry;
                }
                let own = (1.0 - smoothing) * own_weight / entry;
                (entry * (size / weighted), own, spread / entry)
            } else {
                labels.column_mut(index).fill(smoothing / classes);
                (own_weight * (size / samples), 1.0 - smoothing, smoothing)
            };
            let (members, scale) = (kind.classes as f64, size.sqrt());
            columns.push(Column { weight, members, scale, anchor: index, own, deficit });
        }
        let offsets = match self.logit_offsets() {
            Some(_) => kinds.iter().map(|kind| kind.numbers[1]).collect(),
            None => vec![0.0; rows.len()],
        };
        Data { offsets, ..Data::new(fidelity, rows, columns, labels, self.regularization().bias()) }
    }
}

/// The program with a row for each class and a column for each soft label.
fn soft_data(labels: &DMatrix<f64>, weights: &[f64], counts: &ClassCounts, bias: Bias) -> Data {
    let samples = counts.samples() as f64;
    let sizes = counts.runs().flat_map(|run| core::iter::repeat_n(run.size, run.class_count));
    let mut others = labels.clone();
    let mut columns = Vec::new();
    for (index, (mut label, size)) in others.column_iter_mut().zip(sizes).enumerate() {
        let size = size as f64;
        let (anchor, own) = label.argmax();
        label[anchor] = 0.0;
        let deficit = label.sum();
        let of_sample = weights.get(index).copied().unwrap_or(1.0);
        let (weight, scale) = (of_sample * (size / samples), size.sqrt());
        columns.push(Column { weight, members: 1.0, scale, anchor, own, deficit });
    }
    Data::new(Fidelity::CrossEntropy, vec![1.0; labels.nrows()], columns, others, bias)
}
