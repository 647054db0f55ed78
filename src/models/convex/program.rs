//! From the problem to the convex program by kinds.

use nalgebra::DMatrix;

use crate::models::convex::data::{Column, Data, Fidelity};
use crate::models::convex::problem::{ConvexUfm, Labels};
use crate::problem::counts::ClassCounts;
use crate::problem::kinds::Kinds;
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
        let kinds = Kinds::new(self.counts(), [self.class_weights(), self.logit_offsets()]);
        let kinds = kinds.kinds();
        let classes = self.classes() as f64;
        let rows: Vec<f64> = kinds.iter().map(|kind| kind.classes as f64).collect();
        let (mut columns, mut labels) = (Vec::new(), DMatrix::zeros(rows.len(), rows.len()));
        let weighted: f64 =
            kinds.iter().map(|kind| kind.classes as f64 * kind.size as f64 * kind.numbers[0]).sum();
        let smoothing = self.label_smoothing();
        for (index, kind) in kinds.iter().enumerate() {
            let ([own_weight, _], size) = (kind.numbers, kind.size as f64);
            let (weight, own, deficit) = if let Labels::PyTorch { code, .. } = self.labels() {
                let (spread, entry) = (code.spread(), code.entry_weight(own_weight));
                for (label, other) in labels.column_mut(index).iter_mut().zip(kinds) {
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

#[cfg(test)]
mod tests {
    use nalgebra::dmatrix;

    use super::*;
    use crate::problem::regularization::Regularization;

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-15
    }

    /// Six samples of a class and two of each of two others: weight, own label, what it lacks and the labels, worked out
    /// for weights 1 and 3 and δ = 1/4, as they are and as PyTorch has them.
    #[test]
    fn programs_by_kinds_are_worked_out() {
        let counts = ClassCounts::new(&[6, 2, 2]).unwrap();
        let (penalties, weights) = (Regularization::new(&[1e-3], 1e-3).unwrap(), [1.0, 3.0, 3.0]);
        let ours = ConvexUfm::squared_error(counts.clone(), penalties.clone())
            .and_then(|ufm| ufm.with_class_weights(&weights))
            .and_then(|ufm| ufm.with_label_smoothing(0.25));
        // δ/K Σω = 7/12, so that the labels of a sample weigh 3/4·ω + 7/12 together; Σᵢ ω is 18.
        let torch = ConvexUfm::pytorch(counts, &weights, 0.25, penalties);
        for (ufm, fidelity, columns, labels) in [
            (
                ours,
                Fidelity::SquaredError,
                [[0.6, 0.75, 0.25], [0.6, 0.75, 0.25]],
                DMatrix::from_element(2, 2, 1.0 / 12.0),
            ),
            (
                torch,
                Fidelity::CrossEntropy,
                [[4.0 / 9.0, 9.0 / 16.0, 7.0 / 16.0], [17.0 / 54.0, 27.0 / 34.0, 7.0 / 34.0]],
                dmatrix![1.0 / 16.0, 1.0 / 34.0; 3.0 / 16.0, 3.0 / 34.0],
            ),
        ] {
            let data = ufm.unwrap().data();
            assert_eq!(
                (data.fidelity, &data.rows, data.columns.len()),
                (fidelity, &vec![1.0, 2.0], 2)
            );
            assert!((&data.labels - labels).amax() < 1e-16, "{}", data.labels);
            assert_eq!(data.offsets, [0.0; 2]);
            for (index, (column, [weight, own, deficit])) in
                data.columns.iter().zip(columns).enumerate()
            {
                assert_eq!((column.anchor, column.members), (index, data.rows[index]));
                assert_eq!(column.scale, [6.0, 2.0].map(f64::sqrt)[index]);
                assert!(close(column.weight, weight), "{column:?}");
                assert!(close(column.own, own) && close(column.deficit, deficit), "{column:?}");
            }
        }
    }

    /// A soft label is held by its largest entry.
    #[test]
    fn soft_labels_are_anchored_at_their_largest_entry() {
        let labels = dmatrix![0.125, 0.75; 0.625, 0.25; 0.25, 0.0];
        let regularization = Regularization::new(&[1e-3], 1e-3).unwrap();
        let ufm = ConvexUfm::soft_labels(labels, &[9, 1], regularization);
        let data = ufm.unwrap().with_label_weights(&[0.5, 2.0]).unwrap().data();
        let one = |weight, scale, anchor, own, deficit| Column {
            weight,
            members: 1.0,
            scale,
            anchor,
            own,
            deficit,
        };
        assert_eq!(
            data.columns[..2],
            [one(0.45, 3.0, 1, 0.625, 0.375), one(0.2, 1.0, 0, 0.75, 0.25)]
        );
        assert_eq!(data.labels, dmatrix![0.125, 0.0, 0.0; 0.0, 0.25, 0.0; 0.25, 0.0, 0.0]);
        assert_eq!((data.rows, data.columns[2].weight), (vec![1.0; 3], 0.0));
    }
}
