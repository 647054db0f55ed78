//! The distance of logits to those with one number on a support and less by 1 at least elsewhere, as a data term.

use nalgebra::{DVectorView, DVectorViewMut};

use crate::models::convex::column::{Fit, Rows};
use crate::models::convex::data::Data;
use crate::models::convex::state::State;

impl Data {
    /// Column `index` with margins; the shares are 1/t for the t entries that the projection ties together, else 0.
    pub(super) fn fit_margins(&self, index: usize, rows: Rows<'_>) -> Fit {
        let Rows { logits, shares, residuals } = rows;
        for ((residual, logit), label) in
            residuals.iter_mut().zip(logits).zip(&self.labels.column(index))
        {
            *residual = logit - label;
        }
        let Some(support) = self.supports.get(index) else {
            residuals.fill(0.0);
            return Fit::default();
        };
        let Projection { level, tied } = Projection::new(residuals, support, 1.0);
        let mut inside = vec![false; logits.len()];
        support.iter().for_each(|&token| inside[token] = true);
        let mut squares = 0.0;
        for ((residual, share), inside) in residuals.iter_mut().zip(shares).zip(inside) {
            let nearest = if inside { level } else { residual.min(level - 1.0) };
            let is_tied = inside || *residual > level - 1.0;
            *share = if is_tied { tied.recip() } else { 0.0 };
            *residual -= nearest;
            squares += *residual * *residual;
        }
        Fit { loss: 0.5 * squares, ..Fit::default() }
    }

    /// A column's part of the dual objective, with s times its residual r as the dual point: the distance is at least
    /// s rᵀz − s rᵀy − ½s²‖r‖² + s Σ r off the support, because r sums to zero and has no negative entry there.
    pub(super) fn conjugate_distance(&self, state: &State, index: usize, share: f64) -> (f64, f64) {
        let (mut value, mut size) = (0.0, 0.0);
        let support = self.supports.get(index).map_or(&[][..], Vec::as_slice);
        let residuals = state.residuals.column(index);
        for (row, (residual, label)) in residuals.iter().zip(&self.labels.column(index)).enumerate()
        {
            let dual = share * residual;
            let margin = if support.contains(&row) { 0.0 } else { 1.0 };
            value += dual * (margin - label) - 0.5 * dual * dual;
            size += dual.abs() * (margin + label.abs()) + 0.5 * dual * dual;
        }
        (value, size)
    }
}

/// Replaces a step in the logits by the change of the residual: the step without its mean on the entries that are tied
/// together, and zero elsewhere.
pub(super) fn bend_to_margins(shares: DVectorView<'_, f64>, step: &mut DVectorViewMut<'_, f64>) {
    let mean = step.dot(&shares);
    for (entry, share) in step.iter_mut().zip(&shares) {
        *entry = if *share > 0.0 { *entry - mean } else { 0.0 };
    }
}

/// The nearest column with one level on the support and less by a margin at least elsewhere.
pub(crate) struct Projection {
    /// The mean of the entries on the support and of those elsewhere that are too large, with the margin added.
    pub(crate) level: f64,
    /// How many these are.
    tied: f64,
}

impl Projection {
    pub(crate) fn new(column: &[f64], support: &[usize], margin: f64) -> Self {
        let mut inside = vec![false; column.len()];
        support.iter().for_each(|&token| inside[token] = true);
        let mut others: Vec<f64> = column
            .iter()
            .zip(&inside)
            .filter(|(_, inside)| !**inside)
            .map(|(entry, _)| entry + margin)
            .collect();
        others.sort_by(|a, b| b.total_cmp(a));
        let mut sum: f64 = support.iter().map(|&token| column[token]).sum();
        let mut tied = support.len() as f64;
        for other in others {
            if other * tied <= sum {
                break;
            }
            sum += other;
            tied += 1.0;
        }
        Self { level: sum / tied, tied }
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use super::*;
    use crate::models::convex::column::Contrasts;
    use crate::models::convex::data::{Column, Fidelity};
    use crate::problem::regularization::Bias;

    /// The nearest column by hand: the mean of what is tied, and an entry at the very margin is left alone.
    #[test]
    fn projections_tie_what_is_too_large() {
        let at = |column: &[f64], support: &[usize]| {
            let Projection { level, tied } = Projection::new(column, support, 1.0);
            (level, tied)
        };
        assert_eq!(at(&[3.0, 0.0, 1.0], &[0]), (3.0, 1.0));
        assert_eq!(at(&[2.0, 1.0, 0.0], &[0]), (2.0, 1.0));
        // (4 + 0 + 3.5 + 1)/3, not less than the 1 + 1 of the last entry.
        assert_eq!(at(&[4.0, 3.5, 0.0, 1.0], &[0, 2]), (8.5 / 3.0, 3.0));
        // (0 + 4 + 1 + 2.5 + 1)/3.
        assert_eq!(at(&[0.0, 1.0, 4.0, 2.5], &[0]), (8.5 / 3.0, 3.0));
    }

    /// The last of these columns and the second, moved by the labels; without a support there is no distance.
    #[test]
    fn distances_to_margins_are_worked_out() {
        let column =
            Column { weight: 1.0, members: 1.0, scale: 1.0, anchor: 0, own: 1.0, deficit: 0.0 };
        let labels = DMatrix::from_fn(4, 2, |i, _| i as f64);
        let data = Data::new(Fidelity::Margins, vec![1.0; 4], vec![column; 2], labels, Bias::None);
        let data = Data { supports: vec![vec![0], vec![0]], ..data };
        let fit = |index: usize, logits: [f64; 4]| {
            let (mut shares, mut residuals) = ([9.0; 4], [9.0; 4]);
            let rows = Rows { logits: &logits, shares: &mut shares, residuals: &mut residuals };
            (data.fit(index, Contrasts::Best(1.0), rows).loss, shares, residuals)
        };
        let (loss, shares, residuals) = fit(0, [0.0, 2.0, 6.0, 5.5]);
        let expected = [-17.0, 0.0, 13.0, 4.0].map(|sixths| sixths / 6.0);
        let third = 1.0 / 3.0;
        assert_eq!(shares, [third, 0.0, third, third]);
        let errors = residuals.iter().zip(expected).map(|(found, expected)| found - expected);
        assert!(errors.fold(0.0, |sum: f64, error| sum + error.abs()) < 1e-14, "{residuals:?}");
        assert!((loss - (17.0 * 17.0 + 13.0 * 13.0 + 16.0) / 72.0).abs() < 1e-14);
        assert_eq!(fit(1, [2.0, 2.0, 2.0, 3.0]), (0.0, [1.0, 0.0, 0.0, 0.0], [0.0; 4]));
        let (loss, _, residuals) = fit(2, [1.0; 4]);
        assert_eq!((loss, residuals), (0.0, [0.0; 4]));
    }
}
