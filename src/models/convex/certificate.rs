//! A rigorous lower bound of the minimum, from any point.
//!
//! Cross-entropy is a maximum over probability vectors, lse(z) − yᵀz = max_p Entropy(p) + (p − y)ᵀz, and the
//! norm one over matrices of spectral norm κ at most. Any choice y′_j with ‖(w_j/s_j (y′_j − y_j))_j‖ ≤ κ
//! therefore proves that no point is below Σ w_j Entropy(y′_j) (docs/convex.md has the argument for every
//! bias, for budgets and for the squared loss).

use crate::error::Result;
use crate::models::convex::data::{Column, Data, Fidelity};
use crate::models::convex::state::State;
use crate::numerics::linalg::singular_values;
use crate::problem::regularization::Bias;

/// What holds the norm of the logits back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Restraint {
    /// A price κ for each unit of the norm.
    Price(f64),
    /// A budget T that it must not exceed.
    Budget(f64),
}

/// The dual point: y + s (p − y) − ρ.
struct DualPoint {
    /// s.
    share: f64,
    /// ρ, for one class of each row.
    shift: Vec<f64>,
}

impl Data {
    /// A number that the objective is not below, anywhere; negative infinity if this point, with the spectral norm
    /// `steepness` of its gradient, proves none.
    pub(super) fn lower_bound(&self, state: &State, steepness: f64, restraint: Restraint) -> f64 {
        let total = self.total_weight();
        let pull = self.bias_pull(state);
        let shift: Vec<f64> = match self.bias {
            Bias::Unregularized => pull.iter().map(|pull| pull / total).collect(),
            Bias::None | Bias::Regularized(_) => vec![0.0; self.rows.len()],
        };
        let slack = self.weighted_norm(&shift)
            * self
                .columns
                .iter()
                .map(|column| column.members * column.slope().powi(2))
                .sum::<f64>()
                .sqrt();
        let (share, paid) = match restraint {
            Restraint::Budget(budget) => (1.0, budget * (steepness + slack)),
            Restraint::Price(price) => {
                let share = (price / steepness).min(1.0);
                (share * (price / (share * (steepness + slack))).min(1.0), 0.0)
            }
        };
        let shift = shift.iter().map(|shift| share * shift).collect();
        let dual = DualPoint { share, shift };
        let Some((value, magnitude)) = self.dual_value(state, &dual) else {
            return f64::NEG_INFINITY;
        };
        let penalty = match self.bias {
            Bias::Regularized(decay) => (share * self.weighted_norm(&pull)).powi(2) / (2.0 * decay),
            Bias::None | Bias::Unregularized => 0.0,
        };
        // Σ w_j (y′_j − y_j)ᵀι, which is zero where a free bias makes Σ w_j (y′_j − y_j) zero.
        let (constant, size) = match self.bias {
            Bias::Unregularized => (0.0, 0.0),
            Bias::None | Bias::Regularized(_) => self.offset_value(&pull, share),
        };
        let bound = value + constant - penalty - paid;
        bound - self.rounding() * (magnitude + size + penalty + paid)
    }

    /// A relative bound of the rounding errors of sums over rows and columns.
    pub(super) fn rounding(&self) -> f64 {
        f64::EPSILON * (self.rows.len() + self.columns.len() + 32) as f64
    }

    /// ‖∇‖, rounded up: the gradient's spectral norm over all classes.
    pub(super) fn steepness(&self, state: &State) -> Result<f64> {
        let between = singular_values(&state.gradient)?.iter().copied().fold(0.0, f64::max);
        let with_siblings = self.columns.iter().enumerate();
        let with_siblings = with_siblings.filter(|(_, column)| self.siblings(column) > 0.0);
        let within = with_siblings.map(|(index, _)| self.steepness_within(state, index));
        Ok(within.fold(between, f64::max) * (1.0 + self.rounding()))
    }

    /// The singular value of the gradient on the contrasts of one column's kind.
    pub(super) fn steepness_within(&self, state: &State, index: usize) -> f64 {
        let fit = &state.fits[index];
        self.columns[index].slope() * (fit.own - fit.sibling).abs()
    }

    /// Σ_j w_j (p_j − y_j) for one class of each row.
    fn bias_pull(&self, state: &State) -> Vec<f64> {
        let mut pull = vec![0.0; self.rows.len()];
        for (column, residuals) in self.columns.iter().zip(state.residuals.column_iter()) {
            for ((pull, residual), members) in pull.iter_mut().zip(&residuals).zip(&self.rows) {
                *pull += column.total_weight() * residual / members;
            }
        }
        pull
    }

    /// s Σ_k pull_k ι_k over all classes, and the size of the terms.
    fn offset_value(&self, pull: &[f64], share: f64) -> (f64, f64) {
        let terms = pull.iter().zip(&self.offsets).zip(&self.rows);
        let terms = terms.map(|((pull, offset), members)| share * members * pull * offset);
        (terms.clone().sum(), terms.map(f64::abs).sum())
    }

    /// The norm of a vector over classes that is constant on each row.
    fn weighted_norm(&self, vector: &[f64]) -> f64 {
        vector
            .iter()
            .zip(&self.rows)
            .map(|(entry, members)| members * entry * entry)
            .sum::<f64>()
            .sqrt()
    }

    /// The dual objective without what bias and norm cost, and the size of the terms that it is the sum of.
    fn dual_value(&self, state: &State, dual: &DualPoint) -> Option<(f64, f64)> {
        let (mut sum, mut magnitude) = (0.0, 0.0);
        for (index, column) in self.columns.iter().enumerate() {
            if column.weight > 0.0 {
                let (value, size) = match self.fidelity {
                    Fidelity::CrossEntropy => self.entropy(state, index, dual)?,
                    Fidelity::SquaredError => self.conjugate_square(state, index, dual),
                    Fidelity::Margins => self.conjugate_distance(state, index, dual.share),
                };
                sum += column.total_weight() * value;
                magnitude += column.total_weight() * size;
            }
        }
        Some((sum, magnitude))
    }

    /// Entropy(y′) of a column; `None` if y′ has a negative entry.
    fn entropy(&self, state: &State, index: usize, dual: &DualPoint) -> Option<(f64, f64)> {
        let (column, fit) = (&self.columns[index], &state.fits[index]);
        let DualPoint { share, shift } = dual;
        let residuals = state.residuals.column(index);
        let (mut entropy, mut rest) = (0.0, 0.0);
        let mut add = |probability: f64, members: f64| {
            if probability > 0.0 {
                entropy -= members * probability * probability.ln();
                rest += members * probability;
            }
            (probability >= 0.0).then_some(())
        };
        for (row, &members) in self.rows.iter().enumerate().filter(|&(row, _)| row != column.anchor)
        {
            let label = self.labels[(row, index)];
            add(label + share * residuals[row] / members - shift[row], members)?;
        }
        let sibling =
            self.labels[(column.anchor, index)] + share * fit.sibling - shift[column.anchor];
        if self.siblings(column) > 0.0 {
            add(sibling, self.siblings(column))?;
        }
        entropy -= x_ln_x_of_rest(rest)?;
        Some((entropy, entropy))
    }

    /// −½‖θ‖² − yᵀθ of a column.
    fn conjugate_square(&self, state: &State, index: usize, dual: &DualPoint) -> (f64, f64) {
        let (column, fit) = (&self.columns[index], &state.fits[index]);
        let Column { anchor, own, .. } = *column;
        let residuals = state.residuals.column(index);
        let (mut value, mut size) = (0.0, 0.0);
        let mut add = |residual: f64, label: f64, row: usize, members: f64| {
            let theta = dual.share * residual - dual.shift[row];
            value -= members * (0.5 * theta * theta + label * theta);
            size += members * (0.5 * theta * theta + (label * theta).abs());
        };
        for (row, &members) in self.rows.iter().enumerate() {
            let label = self.labels[(row, index)];
            if row == anchor {
                add(fit.own, label + own, row, 1.0);
                add(fit.sibling, label, row, members - 1.0);
            } else {
                add(residuals[row] / members, label, row, members);
            }
        }
        (value, size)
    }
}

/// p ln p for the probability p that all others leave; `None` if they leave none.
fn x_ln_x_of_rest(others: f64) -> Option<f64> {
    // Labels add up to one only up to rounding.
    let probability = 1.0 - others;
    if probability < -1e-12 {
        return None;
    }
    if probability <= 0.0 {
        return Some(0.0);
    }
    Some(probability * if others < 0.5 { (-others).ln_1p() } else { probability.ln() })
}
