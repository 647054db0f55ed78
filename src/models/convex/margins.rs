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
