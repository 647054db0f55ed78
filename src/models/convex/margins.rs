//! The smallest logits with margins, min ‖Z diag(√n)‖_* with one number on each column's support and less by 1 at
//! least elsewhere, by the method of multipliers.
//!
//! A hard constraint has no slope to follow, but the squared distance to it has one, and is a data term as the others are:
//! its curvature is constant where the entries that the projection ties together stay the same. Each round
//! solves the convex program with that distance, from where the last one pulled to,
//!
//! ```text
//! min over X:   ‖X‖_* + ρ/2 Σ_j n_j dist²(z_j − y_j, margins of j),     y_j ← −(residual of j),
//! ```
//!
//! so that ρ n_j times the residuals become the multipliers of the constraints, and the distance itself vanishes.

use nalgebra::{DMatrix, DVectorView, DVectorViewMut};

use crate::error::{Error, Result};
use crate::models::convex::column::{Fit, Rows};
use crate::models::convex::data::{Column, Data, Fidelity};
use crate::models::convex::solver::solve;
use crate::models::convex::state::State;
use crate::monitor::Monitor;
use crate::problem::regularization::Bias;

/// By how much ρ grows each round, and the range that it may grow over: a stiff distance is met in few rounds, but each
/// is harder to solve.
const GROWTH: f64 = 4.0;
const RANGE: f64 = 1e4;

/// The program between two rounds.
pub(crate) struct MarginProgram {
    data: Data,
    /// √n_j.
    roots: Vec<f64>,
    point: DMatrix<f64>,
    /// ρ.
    stiffness: f64,
    stiffest: f64,
}

impl MarginProgram {
    /// Begins at X (K×J), for the supports of its columns and their numbers of samples; ρ has the size of
    /// 1/`unit`.
    pub(crate) fn new(
        point: DMatrix<f64>,
        supports: Vec<Vec<usize>>,
        samples: &[f64],
        unit: f64,
    ) -> Self {
        let stiffness = unit.recip();
        let columns = supports.iter().zip(samples).map(|(support, samples)| Column {
            weight: stiffness * samples,
            members: 1.0,
            scale: samples.sqrt(),
            anchor: support.first().copied().unwrap_or(0),
            own: 1.0,
            deficit: 0.0,
        });
        let labels = DMatrix::zeros(point.nrows(), point.ncols());
        let rows = vec![1.0; point.nrows()];
        let plain = Data::new(Fidelity::Margins, rows, columns.collect(), labels, Bias::None);
        let point = point.resize_horizontally(plain.columns.len(), 0.0);
        Self {
            data: Data { supports, ..plain },
            roots: samples.iter().map(|samples| samples.sqrt()).collect(),
            point,
            stiffness,
            stiffest: RANGE * stiffness,
        }
    }

    /// Makes one round: X (K×J), and a matrix near the subdifferential of the norm there that is a multiplier of the
    /// constraints, up to sign.
    pub(crate) fn round(&mut self, monitor: &dyn Monitor) -> Result<(DMatrix<f64>, DMatrix<f64>)> {
        let start = (self.point.clone(), vec![0.0; self.data.rows.len()]);
        let Some(solution) = solve(&self.data, 1.0, Some(start), monitor)? else {
            return Err(Error::NoConvergence { algorithm: "smallest logits", iterations: 0 });
        };
        self.point = solution.frame.matrix();
        let next = (self.stiffness * GROWTH).min(self.stiffest);
        self.data.labels = solution.state.residuals * (-self.stiffness / next);
        for (column, root) in self.data.columns.iter_mut().zip(&self.roots) {
            column.weight = next * root * root;
        }
        self.stiffness = next;
        let columns = self.roots.len();
        let subgradient = -solution.state.gradient.columns(0, columns).into_owned();
        Ok((self.point.columns(0, columns).into_owned(), subgradient))
    }
}

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
